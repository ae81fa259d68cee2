/*
 * The audit of jobs with options: each that was acknowledged has one end; what
 * follows came if, and only if, its parent was done, and once; each tick came
 * once, and none is missing; no lock, mark or parcel is left.
 *
 * Thread: the test's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/faults/audit.h"
#include "tests/faults/journal.h"
#include "tests/faults/life.h"

struct books {
    struct battle *b;
    struct life *l;
    struct journal *first, *second; /* of q and of q2; owned */
    unsigned *starts;               /* owned: of job n at [n] */
};

static const char *name_of(const struct books *k, size_t n)
{
    static char name[24];
    (void)snprintf(name, sizeof(name), "%c%zu",
                   k->l->jobs[n].outcome == LIFE_FOLLOWS ? 'F' : 'L', n);
    return name;
}

/* What became of a job in a queue, or NULL. */
static const struct job_history *history(const struct books *k, size_t n,
                                         bool second)
{
    return journal_find(second ? k->second : k->first, name_of(k, n));
}

/* Ends that a job came to; those that people undid do not count. */
static uint64_t ends_of(const struct moves *m)
{
    return m->done + m->discarded + m->dead + m->expired + m->invalid +
           m->cancelled + m->removed + m->purged - m->revived;
}

static bool is_done(const struct books *k, size_t n)
{
    const struct job_history *h = history(k, n, k->l->jobs[n].second);
    return h != NULL && h->moves.done > 0;
}

static bool is_replaced(const struct books *k, size_t n)
{
    const struct job_history *h = history(k, n, k->l->jobs[n].second);
    return h != NULL && h->moves.replaced > 0;
}

/* That it came as often as it should, and ended once for each. */
static void audit_end(struct books *k, size_t n, bool must, bool may)
{
    const struct life_job *j = &k->l->jobs[n];
    const struct job_history *h = history(k, n, j->second);
    uint64_t pushed = h != NULL ? h->moves.pushed : 0;
    if (must && pushed == 0)
        battle_breach(k->b, "job %s: never came", name_of(k, n));
    if (!may && pushed > 0)
        battle_breach(k->b, "job %s: came, and was not to", name_of(k, n));
    if (pushed > 1)
        battle_breach(k->b, "job %s: came %llu times", name_of(k, n),
                      (unsigned long long)pushed);
    if (pushed == 0)
        return;
    if (!h->settled || ends_of(&h->moves) != 1)
        battle_breach(k->b, "job %s: %llu ends", name_of(k, n),
                      (unsigned long long)ends_of(&h->moves));
    if (j->sure && !j->cancelled && h->moves.done == 0)
        battle_breach(k->b, "job %s: ended, and not well", name_of(k, n));
    if (h->moves.cancelled > 0 && !j->cancelled)
        battle_breach(k->b, "job %s: cancelled, and nobody asked for it",
                      name_of(k, n));
    if (j->late && k->starts[n] > 0 && h->moves.revived == 0)
        battle_breach(k->b, "job %s: expired, and was run", name_of(k, n));
}

static void audit_job(struct books *k, size_t n)
{
    const struct life_job *j = &k->l->jobs[n];
    if (j->outcome == LIFE_FOLLOWS) {
        /* What took the parent's place has nothing to follow it. */
        bool done = is_done(k, j->parent) && !is_replaced(k, j->parent);
        audit_end(k, n, done, done);
        if (j->second) {
            const struct job_history *h = history(k, n, false);
            uint64_t sent = h != NULL ? h->moves.sent : 0;
            if (sent != done)
                battle_breach(k->b, "job %s: sent %llu times", name_of(k, n),
                              (unsigned long long)sent);
        }
        return;
    }
    audit_end(k, n, j->outcome == LIFE_ACKED, j->outcome != LIFE_NOT);
}

static bool is_final(const char *state)
{
    static const char *const states[] = {"done", "dead", "cancelled",
                                         "expired"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(state, states[i]) == 0)
            return true;
    }
    return false;
}

static void audit_news(struct books *k, size_t n)
{
    const struct job_history *h = history(k, n, false);
    char state[32];
    if (!k->l->jobs[n].kept || h == NULL || h->moves.pushed == 0)
        return;
    (void)redis_str(k->b->redis, state, sizeof(state),
                    "HGET belt:{q}:job:%s state", name_of(k, n));
    bool done = strcmp(state, "done") == 0;
    /* Of two that were marked, the journal does not tell which one was done. */
    if (!is_final(state) ||
        (!k->l->jobs[n].cancelled && done != (h->moves.done > 0)))
        battle_breach(k->b, "job %s: done %llu times, and the news say %s",
                      name_of(k, n), (unsigned long long)h->moves.done, state);
}

/* ---- periodic jobs ---- */

static int by_number(const void *a, const void *b)
{
    const long long *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* One a second, from the first to the last: each once, each ended. */
static void audit_ticks(struct books *k)
{
    size_t count = journal_jobs(k->first), n = 0;
    long long *at_ms = mem_new((count + 1) * sizeof(*at_ms));
    for (size_t i = 0; i < count; i++) {
        const struct job_history *h = journal_job(k->first, i);
        if (strncmp(h->id, "cron:", 5) != 0)
            continue;
        if (h->moves.pushed != 1 || h->moves.ticked != 1 || !h->settled ||
            ends_of(&h->moves) != 1)
            battle_breach(k->b, "job %s: pushed %llu times, %llu ends", h->id,
                          (unsigned long long)h->moves.pushed,
                          (unsigned long long)ends_of(&h->moves));
        n += sscanf(h->id, "cron:tick:%lld", &at_ms[n]) == 1;
    }
    qsort(at_ms, n, sizeof(*at_ms), by_number);
    for (size_t i = 1; i < n; i++) {
        if (at_ms[i] - at_ms[i - 1] != 1000)
            battle_breach(k->b, "tick %lld follows %lld", at_ms[i],
                          at_ms[i - 1]);
    }
    if (n < 2)
        battle_breach(k->b, "%zu ticks", n);
    free(at_ms);
}

/* ---- Redis as it is ---- */

/* Those that end by time may be there. */
static void audit_locks(struct books *k, const char *queue)
{
    redisReply *keys = redis_cmd(k->b->redis, "KEYS belt:{%s}:unique:*", queue);
    for (size_t i = 0; i < keys->elements; i++) {
        if (strstr(keys->element[i]->str, ":unique:time") == NULL)
            battle_breach(k->b, "a lock is left: %s", keys->element[i]->str);
    }
    freeReplyObject(keys);
}

/* A mark may be left only of a job that ended before its lane heard of it. */
static void audit_marks(struct books *k, const char *queue, bool second)
{
    redisReply *marks =
        redis_cmd(k->b->redis, "ZRANGE belt:{%s}:cancelled 0 -1", queue);
    for (size_t i = 0; i < marks->elements; i++) {
        const char *id = marks->element[i]->str;
        const struct job_history *h =
            journal_find(second ? k->second : k->first, id);
        if (h != NULL && h->settled && h->moves.cancelled > 0)
            battle_breach(k->b, "a mark is left of job %s, cancelled", id);
    }
    freeReplyObject(marks);
}

static void read_runs(struct books *k, struct verdict *v)
{
    size_t n;
    struct run *runs = record_read(k->b->record, &n);
    v->runs = n;
    for (size_t i = 0; i < n; i++) {
        const struct run *r = &runs[i];
        v->interrupted += r->exit < 0;
        size_t job = r->serial > LIFE_NUMBERS ? r->serial - LIFE_NUMBERS : 0;
        if (job <= k->l->count)
            k->starts[job]++;
        for (unsigned p = 0; p < k->l->paused; p++) {
            if (r->started_at_ms > k->l->pauses[p].from_ms &&
                r->started_at_ms < k->l->pauses[p].to_ms &&
                journal_find(k->second, r->id) == NULL)
                battle_breach(k->b, "job %s: started in a pause", r->id);
        }
    }
    free(runs);
}

void life_audit(struct battle *b, struct verdict *ret)
{
    struct books k = {.b = b, .l = b->own};
    struct verdict v = {.recovery_ms = -1};
    v.stranded = audit_left(b, "q") + audit_left(b, "q2");
    k.first = audit_books(b, "q", &v);
    k.second = audit_books(b, "q2", &v);
    k.starts = mem_new((k.l->count + 1) * sizeof(*k.starts));
    read_runs(&k, &v);
    for (size_t n = 1; n <= k.l->count; n++) {
        const struct job_history *h = history(&k, n, k.l->jobs[n].second);
        audit_job(&k, n);
        audit_news(&k, n);
        v.jobs += h != NULL && h->settled;
        if (k.starts[n] > v.runs_max)
            v.runs_max = k.starts[n];
    }
    audit_ticks(&k);
    audit_locks(&k, "q");
    audit_locks(&k, "q2");
    audit_marks(&k, "q", false);
    audit_marks(&k, "q2", true);
    journal_free(k.first);
    journal_free(k.second);
    free(k.starts);
    free(k.l->jobs);
    free(k.l);
    *ret = v;
}
