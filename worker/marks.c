/*
 * Marks: a set of ids.
 *
 * Open addressing over places in one text, at most half full. It is filled
 * once, asked for every job that comes, and then thrown away for the next one.
 *
 * Thread: event loop only.
 */
#include "worker/marks.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum { SIZE_FIRST = 64 };

/* FNV-1a. */
static uint32_t hash(const char *p, size_t n)
{
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619U;
    return h;
}

/* The place of the table where the id is, or would be. */
static uint32_t *find(const struct marks *m, const char *p, size_t n)
{
    size_t i = hash(p, n) & (m->size - 1);
    for (;; i = (i + 1) & (m->size - 1)) {
        if (m->places[i] == 0)
            return &m->places[i];
        const char *there = m->text.data + m->places[i] - 1;
        if (strncmp(there, p, n) == 0 && there[n] == '\0')
            return &m->places[i];
    }
}

static void grow(struct marks *m)
{
    struct marks old = *m;
    m->size = old.size == 0 ? SIZE_FIRST : 2 * old.size;
    m->places = mem_new(m->size * sizeof(*m->places));
    for (size_t i = 0; i < old.size; i++) {
        if (old.places[i] == 0)
            continue;
        const char *id = m->text.data + old.places[i] - 1;
        *find(m, id, strlen(id)) = old.places[i];
    }
    free(old.places);
}

void marks_done(struct marks *m)
{
    buf_done(&m->text);
    free(m->places);
    *m = (struct marks){0};
}

void marks_add(struct marks *m, const char *p, size_t n)
{
    if (!text_is_id(p, n) || m->count == MARKS_MAX)
        return;
    if (2 * (m->count + 1) > m->size)
        grow(m);
    uint32_t *place = find(m, p, n);
    if (*place != 0)
        return;
    *place = (uint32_t)m->text.len + 1;
    buf_append(&m->text, p, n);
    buf_char(&m->text, '\0');
    m->count++;
}

bool marks_has(const struct marks *m, const char *id)
{
    return m->count > 0 && *find(m, id, strlen(id)) != 0;
}
