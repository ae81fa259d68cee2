/*
 * Batch: envelopes, one behind the other in one buffer, and where each ends.
 *
 * An envelope is written where it will be sent from, before anybody knows
 * whether it has options; then it moves to a batch of its own.
 *
 * Thread: that of the client.
 */
#include "producer/batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum { KEPT_BYTES = 2 * 1024 * 1024 }; /* a spare one may hold so much */

static const char front[] = "{\"id\":\"";
#define FRONT_LEN (sizeof(front) - 1)

struct batch *batch_new(struct batches *spare)
{
    struct batch *b = STAILQ_FIRST(spare);

    if (b)
        STAILQ_REMOVE_HEAD(spare, link);
    else
        b = mem_new(sizeof(*b));
    b->state = BATCH_NEW;
    b->count = b->accepted = 0;
    b->is_one = false;
    buf_clear(&b->text);
    return b;
}

void batch_recycle(struct batches *spare, struct batch *b)
{
    if (b->text.cap > KEPT_BYTES)
        buf_done(&b->text); /* one huge job: do not hold its memory */
    STAILQ_INSERT_HEAD(spare, b, link);
}

void batch_free_all(struct batches *list)
{
    struct batch *b;

    while ((b = STAILQ_FIRST(list))) {
        STAILQ_REMOVE_HEAD(list, link);
        buf_done(&b->text);
        free(b);
    }
}

void batch_add(struct batch *b, uint64_t line)
{
    assert(b->count < BATCH_JOBS && !b->is_one);
    b->ends[b->count] = b->text.len;
    b->lines[b->count++] = line;
}

/* The envelope that begins at p: the length of its id. */
static size_t id_len(const char *p)
{
    assert(memcmp(p, front, FRONT_LEN) == 0);
    return strcspn(p + FRONT_LEN, "\"");
}

void batch_set_one(struct batch *b, uint64_t line, const struct push_one *p)
{
    size_t n = id_len(b->text.data);

    assert(b->count == 0 && n <= ID_MAX_LEN);
    batch_add(b, line);
    b->is_one = true;
    b->one = *p;
    b->one.envelope = (struct bytes){b->text.data, b->text.len};
    memcpy(b->id, b->text.data + FRONT_LEN, n);
    b->id[n] = '\0';
    b->one.id = b->id;
    (void)snprintf(b->type, sizeof(b->type), "%s", p->type ? p->type : "");
    b->one.type = b->type;
    if (p->unique) {
        b->unique = *p->unique;
        b->one.unique = &b->unique;
    }
}

void batch_move_tail(struct batch *from, struct batch *to)
{
    size_t start = from->count > 0 ? from->ends[from->count - 1] : 0;

    assert(to->count == 0 && from->text.len > start);
    buf_append(&to->text, from->text.data + start, from->text.len - start);
    from->text.len = start;
}

void batch_envelopes(const struct batch *b, struct bytes ret[BATCH_JOBS])
{
    size_t start = 0;

    for (unsigned i = 0; i < b->count; i++) {
        ret[i].p = b->text.data + start;
        ret[i].len = b->ends[i] - start;
        start = b->ends[i];
    }
}

struct bytes batch_id(const struct batch *b, unsigned i)
{
    const char *p = b->text.data + (i > 0 ? b->ends[i - 1] : 0);

    return (struct bytes){p + FRONT_LEN, id_len(p)};
}
