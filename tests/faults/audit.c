/*
 * Audit: three books that must agree, and what producers were told.
 *
 * A job is one line of Redis' journal. Its runs are those of the record with
 * the same serial or, for the equal ones, the same id. A job may run more
 * often than once only if it was delivered more often, and never twice under
 * one fencing token: that holds whatever the fault.
 *
 * Thread: the test's.
 */
#include "tests/faults/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "tests/faults/journal.h"
#include "tests/faults/store.h"

/* Runs in the order of their jobs, then of their starts. */
struct runs {
    struct run *in_order; /* owned: of starts */
    struct run **by_job;  /* owned */
    size_t n;
};

static int compare_job(uint64_t serial, const char *id, const struct run *r)
{
    if (serial != r->serial)
        return serial < r->serial ? -1 : 1;
    return serial != 0 ? 0 : strcmp(id, r->id);
}

static int by_job(const void *a, const void *b)
{
    const struct run *const *x = a, *const *y = b;
    int d = compare_job((*x)->serial, (*x)->id, *y);
    return d != 0 ? d : *x < *y ? -1 : *x > *y;
}

static int by_fence(const void *a, const void *b)
{
    const struct run *const *x = a, *const *y = b;
    return (*x)->fence < (*y)->fence ? -1 : (*x)->fence > (*y)->fence;
}

static void read_runs(struct battle *b, struct runs *ret)
{
    ret->in_order = record_read(b->record, &ret->n);
    ret->by_job = mem_new((ret->n + 1) * sizeof(struct run *));
    for (size_t i = 0; i < ret->n; i++)
        ret->by_job[i] = &ret->in_order[i];
    qsort(ret->by_job, ret->n, sizeof(struct run *), by_fence);
    for (size_t i = 1; i < ret->n; i++) {
        const struct run *r = ret->by_job[i];
        if (r->fence == ret->by_job[i - 1]->fence)
            battle_breach(b, "fencing token %llu: ran twice (job %s)",
                          (unsigned long long)r->fence, r->id);
    }
    qsort(ret->by_job, ret->n, sizeof(struct run *), by_job);
}

/* Index of the first run of a job, and how many there are. */
static size_t find_runs(const struct runs *runs, const struct job_history *h,
                        size_t *ret_first)
{
    size_t low = 0, high = runs->n, end;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_job(h->serial, h->id, runs->by_job[mid]) > 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_first = low;
    for (end = low; end < runs->n; end++) {
        if (compare_job(h->serial, h->id, runs->by_job[end]) != 0)
            break;
    }
    return end - low;
}

/* ---- Redis as it is ---- */

uint64_t audit_left(struct battle *b, const char *queue)
{
    static const char *const wanted[] = {"LLEN belt:{%s}",
                                         "ZCARD belt:{%s}:retry",
                                         "ZCARD belt:{%s}:scheduled",
                                         "LLEN belt:{%s}:outbox",
                                         "ZCARD belt:{%s}:leases",
                                         "HLEN belt:{%s}:lanes"};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        long long n = redis_int(b->redis, wanted[i], queue);
        sum += (uint64_t)n;
        if (n != 0)
            battle_breach(b, "queue %s, %s: %lld", queue, wanted[i], n);
    }
    redisReply *lists = redis_cmd(b->redis, "KEYS belt:{%s}:active:*", queue);
    sum += lists->elements;
    for (size_t i = 0; i < lists->elements; i++)
        battle_breach(b, "left over: %s", lists->element[i]->str);
    freeReplyObject(lists);
    return sum;
}

static void compare_stats(struct battle *b, const char *queue,
                          const struct journal *j)
{
    const struct moves m = journal_moves(j);
    const struct {
        const char *name;
        uint64_t moved;
    } rows[] = {{"done", m.done},           {"discarded", m.discarded},
                {"retried", m.retried},     {"put_off", m.put_off},
                {"dead", m.dead},           {"invalid", m.invalid},
                {"released", m.released},   {"reaped", m.reaped},
                {"straggled", m.straggled}, {"promoted", m.promoted},
                {"cancelled", m.cancelled}, {"expired", m.expired},
                {"snoozed", m.snoozed},     {"requeued", m.requeued},
                {"removed", m.removed},     {"purged", m.purged},
                {"sent", m.sent},           {"ticked", m.ticked}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        long long is = queue_stat(b->redis, queue, rows[i].name);
        if (is != (long long)rows[i].moved)
            battle_breach(b, "stats say %s %lld, the journal %llu",
                          rows[i].name, is, (unsigned long long)rows[i].moved);
        if (is != journal_stat(j, rows[i].name))
            battle_breach(b, "stats say %s %lld, in the journal they say %lld",
                          rows[i].name, is,
                          (long long)journal_stat(j, rows[i].name));
    }
}

/* ---- each job ---- */

static const char *name_of(const struct job_history *h)
{
    static char name[100];
    (void)snprintf(name, sizeof(name), "job %llu %s",
                   (unsigned long long)h->serial, h->id);
    return name;
}

/*
 * How the runs of a job that was settled ended: 0 done, 99 discarded, -1
 * neither. One settle may tell both, and its counters do not say of which job;
 * the handlers of a job always end in the same way.
 */
static int ending(const struct runs *runs, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) {
        int code = runs->by_job[i]->exit;
        if (code == 0 || code == 99)
            return code;
    }
    return -1;
}

/*
 * Infrastructure costs a job no attempt: only a retry raises its number. A
 * job that a rebind took along is given one more token, which Redis' journal
 * does not tell from others.
 */
static void audit_run(struct battle *b, const struct run *r,
                      const struct job_history *h)
{
    const struct moves *m = &h->moves;
    if (r->attempt > m->retried + m->put_off + 1)
        battle_breach(b, "%s: attempt %u after %llu retries", name_of(h),
                      r->attempt, (unsigned long long)m->retried);
    if (r->recovered > m->reaped)
        battle_breach(b, "%s: %u recoveries noted, %llu made", name_of(h),
                      r->recovered, (unsigned long long)m->reaped);
    if (h->fences != m->fetched)
        return;
    if (r->fence < h->first_fence ||
        (r->fence > h->last_fence && m->rebound == 0))
        battle_breach(b, "%s: ran under token %llu, never given to it",
                      name_of(h), (unsigned long long)r->fence);
}

/* How many of the runs ended so; -1: were killed. */
static size_t ended(const struct runs *runs, size_t first, size_t n, int code)
{
    size_t sum = 0;
    for (size_t i = first; i < first + n; i++)
        sum += runs->by_job[i]->exit == code;
    return sum;
}

/*
 * What became of a job is what its runs said: dead is one that said 65, or
 * that three runs died of; only what is no envelope ends without having run.
 */
static void audit_end(struct battle *b, const struct runs *runs, size_t first,
                      size_t n, const struct job_history *h)
{
    const struct moves *m = &h->moves;
    if (m->invalid > 0 && h->serial != 0)
        battle_breach(b, "%s: buried as invalid", name_of(h));
    if (h->settled && m->invalid == 0 && n == 0)
        battle_breach(b, "%s: settled, never started", name_of(h));
    if (m->dead > 0 && ended(runs, first, n, EX_DATAERR) == 0 &&
        ended(runs, first, n, -1) < 3)
        battle_breach(b, "%s: dead, and no run of it said so", name_of(h));
    if (b->s->no_reruns && !b->s->kills_handlers &&
        ended(runs, first, n, 0) + ended(runs, first, n, 99) > 1)
        battle_breach(b, "%s: ended well and was run again", name_of(h));
}

static void audit_job(struct battle *b, const struct runs *runs,
                      const struct job_history *h, struct verdict *v)
{
    size_t first, n = find_runs(runs, h, &first);
    const struct moves *m = &h->moves;
    if (n > v->runs_max)
        v->runs_max = n;
    if (m->done + m->discarded > 0 && ending(runs, first, n) < 0)
        battle_breach(b, "%s: settled, and no run ended so", name_of(h));
    audit_end(b, runs, first, n, h);
    if (n > m->fetched)
        battle_breach(b, "%s: delivered %llu times, ran %zu times", name_of(h),
                      (unsigned long long)m->fetched, n);
    uint64_t attempts = m->retried + m->done + m->discarded + m->dead;
    if (b->s->no_reruns && n > attempts)
        battle_breach(b, "%s: ran %zu times for %llu attempts", name_of(h), n,
                      (unsigned long long)attempts);
    for (size_t i = first; i < first + n; i++)
        audit_run(b, runs->by_job[i], h);
}

static void audit_jobs(struct battle *b, const struct journal *j,
                       const struct runs *runs, struct verdict *v)
{
    const struct feed *f = &b->feed;
    bool *seen = mem_new(f->serials + 1);
    size_t equal = 0, settled_equal = 0, matched = 0;
    for (size_t i = 0; i < journal_jobs(j); i++) {
        const struct job_history *h = journal_job(j, i);
        size_t first;
        audit_job(b, runs, h, v);
        matched += find_runs(runs, h, &first);
        v->jobs += h->settled;
        if (h->serial == 0 && h->moves.invalid == 0) {
            equal++;
            settled_equal += h->settled;
        } else if (h->serial <= f->serials) {
            seen[h->serial] = h->settled;
        }
    }
    for (uint64_t s = 1; s <= f->serials; s++) {
        if (f->outcome[s] == PUSH_ACKED && !seen[s]) {
            v->lost++;
            battle_breach(b, "job %llu: acknowledged, not settled",
                          (unsigned long long)s);
        }
    }
    if (settled_equal < f->equal_acked ||
        equal > f->equal_acked + f->equal_unknown) {
        v->lost++;
        battle_breach(b,
                      "equal jobs: %zu acknowledged, %zu unknown, %zu seen, "
                      "%zu settled",
                      f->equal_acked, f->equal_unknown, equal, settled_equal);
    }
    if (matched != runs->n)
        battle_breach(b, "%zu runs are of no job in Redis' journal",
                      runs->n - matched);
    free(seen);
}

/*
 * Effects: one for each job that was done, whatever happened to its runs. A
 * job that ended otherwise has none.
 */
static void audit_store(struct battle *b, const struct journal *j,
                        const struct runs *runs)
{
    size_t size = b->feed.serials + 1;
    unsigned *effects = mem_new(size * sizeof(*effects));
    struct store_sums sums = store_audit(b->store, effects, size);
    uint64_t done = 0, done_equal = 0;
    for (size_t i = 0; i < journal_jobs(j); i++) {
        const struct job_history *h = journal_job(j, i);
        size_t first, n = find_runs(runs, h, &first);
        bool is_done = h->moves.done + h->moves.discarded > 0 &&
                       ending(runs, first, n) == 0;
        done += is_done;
        done_equal += h->serial == 0 && is_done;
        if (h->serial > 0 && h->serial < size && effects[h->serial] != is_done)
            battle_breach(b, "%s: %u effects, %s", name_of(h),
                          effects[h->serial], is_done ? "done" : "not done");
    }
    if (done != journal_moves(j).done)
        battle_breach(b, "%llu jobs ended well, %llu were settled so",
                      (unsigned long long)done,
                      (unsigned long long)journal_moves(j).done);
    if (effects[0] != done_equal)
        battle_breach(b, "equal jobs: %u effects, %llu done", effects[0],
                      (unsigned long long)done_equal);
    if (sums.effects != sums.jobs || sums.unrecorded != 0 ||
        sums.balance != sums.log_balance || sums.effects < done)
        battle_breach(b,
                      "store: %llu effects of %llu jobs, %llu unrecorded, "
                      "balance %lld, by its log %lld",
                      (unsigned long long)sums.effects,
                      (unsigned long long)sums.jobs,
                      (unsigned long long)sums.unrecorded,
                      (long long)sums.balance, (long long)sums.log_balance);
    free(effects);
}

/* ---- how long it took ---- */

/* When the job of this run was started the next time; -1: never. */
static int64_t next_start(const struct runs *runs, size_t i)
{
    const struct run *r = runs->by_job[i];
    if (i + 1 == runs->n ||
        compare_job(r->serial, r->id, runs->by_job[i + 1]) != 0)
        return -1;
    return runs->by_job[i + 1]->started_at_ms;
}

/* The strike that hit this run, or that came last before a time. */
static int64_t last_strike(const struct battle *b, int64_t before_ms)
{
    int64_t at_ms = -1;
    for (unsigned i = 0; i < b->strikes; i++) {
        if (b->struck_at_ms[i] <= before_ms)
            at_ms = b->struck_at_ms[i];
    }
    return at_ms;
}

static void measure_recovery(const struct battle *b, const struct runs *runs,
                             struct verdict *v)
{
    v->recovery_ms = -1;
    for (size_t i = 0; i < runs->n; i++) {
        const struct run *r = runs->by_job[i];
        if (r->exit >= 0)
            continue;
        v->interrupted++;
        int64_t again_ms = next_start(runs, i);
        int64_t strike_ms = last_strike(b, again_ms);
        if (again_ms >= 0 && strike_ms >= r->started_at_ms &&
            again_ms - strike_ms > v->recovery_ms)
            v->recovery_ms = again_ms - strike_ms;
    }
    for (unsigned s = 0, i = 0; s < b->strikes; s++) {
        while (i < runs->n &&
               runs->in_order[i].started_at_ms < b->struck_at_ms[s])
            i++;
        if (i < runs->n &&
            runs->in_order[i].started_at_ms - b->struck_at_ms[s] >
                v->recovery_ms)
            v->recovery_ms =
                runs->in_order[i].started_at_ms - b->struck_at_ms[s];
    }
}

/* With appendfsync everysec the file may be behind what Redis has answered. */
static struct journal *replay(struct battle *b, const char *queue)
{
    redis_do(b->redis, "CONFIG SET appendfsync always");
    redis_do(b->redis, "PING");
    char *dir = battle_data_dir(b);
    struct journal *j = journal_replay(dir, queue, 0, stdout);
    free(dir);
    return j;
}

struct journal *audit_books(struct battle *b, const char *queue,
                            struct verdict *v)
{
    struct journal *j = replay(b, queue);
    struct breaches found = journal_breaches(j);
    if (journal_breach_count(j) > 0)
        battle_breach(
            b,
            "journal: lost %llu, twice %llu, settled twice %llu, "
            "without lease %llu, miscounted %llu, out of order %llu, "
            "altered %llu, tokens %llu, outlived %llu, unknown %llu",
            (unsigned long long)found.lost, (unsigned long long)found.twice,
            (unsigned long long)found.settled_twice,
            (unsigned long long)found.unleased,
            (unsigned long long)found.miscounted,
            (unsigned long long)found.order, (unsigned long long)found.altered,
            (unsigned long long)found.fences,
            (unsigned long long)found.outlived,
            (unsigned long long)found.unknown);
    if (journal_left(j) != 0)
        battle_breach(b, "journal: %llu jobs left",
                      (unsigned long long)journal_left(j));
    v->lost += found.lost;
    v->settled_twice += found.settled_twice;
    compare_stats(b, queue, j);
    return j;
}

void audit(struct battle *b, struct verdict *ret)
{
    struct runs runs;
    struct verdict v = {0};
    v.stranded = audit_left(b, "q");
    struct journal *j = audit_books(b, "q", &v);
    read_runs(b, &runs);
    v.runs = runs.n;
    audit_jobs(b, j, &runs, &v);
    audit_store(b, j, &runs);
    measure_recovery(b, &runs, &v);
    free(runs.by_job);
    free(runs.in_order);
    journal_free(j);
    *ret = v;
}
