/*
 * Summary: jobs counted by what they have in common.
 *
 * Thread: any, one at a time.
 */
#include "producer/summary.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "producer/age.h"
#include "producer/failure.h"
#include "producer/job_name.h"
#include "producer/pattern.h"

enum { GROUPS_MAX = 1000, SLOTS = 4096, ERROR_WIDTH = 70 };

struct group {
    char *key; /* owned: type, NUL, pattern */
    size_t type_len, len;
    int64_t count, first_ms, last_ms;
    char example[JOB_NAME_TEXT_MAX];
};

struct summary {
    struct group groups[GROUPS_MAX + 1]; /* the last one: all others */
    unsigned count;
    unsigned short slots[SLOTS]; /* place in groups and 1, or 0 */
};

static struct group *find_group(struct summary *sum, const struct buf *key,
                                size_t type_len)
{
    unsigned hash = 2166136261U; /* FNV-1a */

    for (size_t i = 0; i < key->len; i++)
        hash = (hash ^ (unsigned char)key->data[i]) * 16777619U;
    unsigned slot = hash % SLOTS;
    for (; sum->slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        struct group *g = &sum->groups[sum->slots[slot] - 1];
        if (g->len == key->len && memcmp(g->key, key->data, key->len) == 0)
            return g;
    }
    if (sum->count == GROUPS_MAX)
        return &sum->groups[GROUPS_MAX];
    struct group *g = &sum->groups[sum->count];
    sum->slots[slot] = (unsigned short)++sum->count;
    g->key = mem_dup(key->data, key->len);
    g->len = key->len;
    g->type_len = type_len;
    return g;
}

static void add(struct summary *sum, const struct select *s,
                const struct selected *job)
{
    struct buf key = {0}, error = {0};
    const char *type = job->job ? job->job->type : "(invalid)";

    buf_append(&key, type, strlen(type) + 1);
    if (job->job)
        failure_append(job->job, &error);
    else
        buf_str(&error, job->why);
    if (error.len > 0)
        pattern_append(&key, error.data, error.len);
    struct group *g = find_group(sum, &key, strlen(type));
    buf_done(&key);
    buf_done(&error);

    bool first = g->count++ == 0;
    if (first || job->at_ms < g->first_ms)
        g->first_ms = job->at_ms;
    /* Of those of one instant the last one of the set is the example. */
    if (!first && (job->at_ms < g->last_ms ||
                   (job->at_ms == g->last_ms && s->plan->down)))
        return;
    g->last_ms = job->at_ms;
    if (job->job && job->job->id[0] != '\0') {
        struct job_name name = {0};
        memcpy(name.queue, s->keys.queue, sizeof(name.queue));
        memcpy(name.id, job->job->id, sizeof(name.id));
        (void)job_name_format(&name, g->example);
    }
}

int summary_add(struct select *s, const struct selected *jobs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add(s->arg, s, &jobs[i]);
    return 0;
}

struct summary *summary_new(void)
{
    return mem_new(sizeof(struct summary));
}

void summary_free(struct summary *sum)
{
    for (unsigned i = 0; i < sum->count; i++)
        free(sum->groups[i].key);
    free(sum);
}

/* ---- rows ---- */

static int compare(const void *a, const void *b)
{
    const struct group *one = a, *other = b;

    if (one->count != other->count)
        return one->count < other->count ? 1 : -1;
    return one->last_ms < other->last_ms ? 1 : -1;
}

const struct column summary_columns[] = {
    {"count", FOR_ALL, true},
    {"type", FOR_ALL, false},
    {"first", FOR_PEOPLE, true},
    {"last", FOR_PEOPLE, true},
    {"first_at", FOR_PROGRAMS, true},
    {"last_at", FOR_PROGRAMS, true},
    {"example", FOR_ALL, false},
    {"error", FOR_ALL, false},
    {0},
};

static void out_ago(struct out *out, int64_t ms, int64_t now_ms)
{
    char age[32];

    if (ms < 0)
        out_none(out);
    else
        out_str(out, age_format(now_ms - ms, age));
}

static void print(struct out *out, bool people, const struct group *g,
                  int64_t now_ms)
{
    const char *error = g->key ? g->key + g->type_len + 1 : "";
    size_t n = g->key ? g->len - g->type_len - 1 : 0;

    out_int(out, g->count);
    out_str(out, g->key ? g->key : "(others)");
    out_ago(out, g->first_ms, now_ms);
    out_ago(out, g->last_ms, now_ms);
    out_int(out, g->first_ms);
    out_int(out, g->last_ms);
    out_str(out, g->example[0] != '\0' ? g->example : NULL);
    if (people)
        n = safe_cut(error, n, ERROR_WIDTH);
    if (n > 0)
        out_text(out, error, n);
    else
        out_none(out);
    out_row(out);
}

void summary_out(struct summary *sum, struct out *out, bool people)
{
    int64_t now_ms = clock_wall_ms();

    qsort(sum->groups, sum->count, sizeof(sum->groups[0]), compare);
    for (unsigned i = 0; i < sum->count; i++)
        print(out, people, &sum->groups[i], now_ms);
    if (sum->groups[GROUPS_MAX].count > 0)
        print(out, people, &sum->groups[GROUPS_MAX], now_ms);
}
