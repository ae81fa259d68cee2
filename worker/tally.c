/*
 * Tally: how the runs of each handler went.
 *
 * A handler can name the class of its failure itself, so only the classes that
 * the worker knows are labels.
 *
 * Thread: event loop only.
 */
#include "worker/tally.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static const char other[] = "_other";

/* Of failures; the last one stands for all that a handler made up. */
static const char *const classes[] = {"exit",     "signal", "timeout", "spawn",
                                      "protocol", "http",   "subtask", "push",
                                      "plugin",   "poison", "after",   "other"};
enum { CLASSES = sizeof(classes) / sizeof(classes[0]) };

/* Every other bucket of a histogram, from 4 ms to 70 min, as an upper bound:
 * bucket k is of less than 2^k ms. */
enum { FIRST = 2, STEP = 2, BOUNDS = 11 };

struct tally_row {
    char *pattern; /* owned */
    struct histogram run;
    uint64_t failures[CLASSES];
};

void tally_done(struct tally *t)
{
    for (unsigned i = 0; i < t->count; i++)
        free(t->rows[i].pattern);
    free(t->rows);
    *t = (struct tally){0};
}

static struct tally_row *find_row(struct tally *t, const char *pattern)
{
    for (unsigned i = 0; i < t->count; i++)
        if (strcmp(t->rows[i].pattern, pattern) == 0)
            return &t->rows[i];
    if (t->count >= TALLY_HANDLERS && pattern != other)
        return find_row(t, other);
    if (t->count == t->cap) {
        t->cap = t->cap > 0 ? 2 * t->cap : 8;
        t->rows = mem_resize(t->rows, t->cap * sizeof(*t->rows));
    }
    t->rows[t->count] = (struct tally_row){.pattern = mem_strdup(pattern)};
    return &t->rows[t->count++];
}

static unsigned class_of(const char *name)
{
    unsigned i = 0;
    while (i < CLASSES - 1 && strcmp(classes[i], name) != 0)
        i++;
    return i;
}

void tally_note(struct tally *t, const char *pattern, const struct outcome *o)
{
    struct tally_row *row;
    bool failed = o->verdict == VERDICT_RETRY || o->verdict == VERDICT_DEAD ||
                  o->verdict == VERDICT_PUT_OFF;
    if (o->verdict == VERDICT_NONE || o->verdict == VERDICT_EXPIRE)
        return; /* it was not run */
    row = find_row(t, pattern);
    if (o->started_at_ms != 0 && o->verdict != VERDICT_PUT_OFF)
        histogram_add(&row->run, o->run_us);
    if (failed)
        row->failures[class_of(o->error_class)]++;
}

void tally_write_times(const struct histogram *h,
                       const struct prom_label *labels, const char *name,
                       struct buf *out)
{
    int64_t le_us[BOUNDS];
    uint64_t n[BOUNDS] = {0}, beyond = 0;
    for (unsigned i = 0; i < BOUNDS; i++)
        le_us[i] = INT64_C(1000) << (FIRST + i * STEP);
    for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++) {
        unsigned i = k <= FIRST ? 0 : (k - FIRST + STEP - 1) / STEP;
        if (i < BOUNDS)
            n[i] += h->n[k];
        else
            beyond += h->n[k];
    }
    prom_times(out, name, labels, le_us, n, BOUNDS, beyond, h->sum_us);
}

void tally_write(const struct tally *t, struct buf *out)
{
    static const char times[] = "belt_job_duration_seconds";
    static const char failures[] = "belt_job_failures_total";

    prom_family(out, times, PROM_HISTOGRAM,
                "How long runs took, by the handler's pattern.");
    for (unsigned i = 0; i < t->count; i++)
        tally_write_times(&t->rows[i].run,
                          (const struct prom_label[]){
                              {"handler", t->rows[i].pattern}, {NULL, NULL}},
                          times, out);
    prom_family(out, failures, PROM_COUNTER,
                "Runs that failed, by the handler's pattern and why.");
    for (unsigned i = 0; i < t->count; i++)
        for (unsigned c = 0; c < CLASSES; c++)
            prom_int(
                out, failures,
                (const struct prom_label[]){{"handler", t->rows[i].pattern},
                                            {"class", classes[c]},
                                            {NULL, NULL}},
                (int64_t)t->rows[i].failures[c]);
}
