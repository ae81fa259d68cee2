/*
 * Audit of a sweep: three books that must agree. What was pushed; what Redis'
 * counters, its lists and its journal say; and what handlers wrote down.
 *
 * Thread: the test's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/faults/journal.h"
#include "tests/faults/sweep.h"
#include "tests/unit/unit.h"

/* Says what is wrong with a pair. Returns 1: one thing more. */
__attribute__((format(printf, 2, 3))) static unsigned
wrong(const struct pair *p, const char *fmt, ...)
{
    va_list ap;
    (void)fprintf(stderr, "%s %s, %s jobs, number %u (queue %s): ", p->point,
                  p->scene->name, p->equal ? "equal" : "distinct", p->nth,
                  p->queue);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    return 1;
}

/*
 * At most once: of jobs and ends that were under way nobody knows. Only a cut
 * before jobs were taken from the queue loses none.
 */
static bool may_lose_ends(const struct pair *p)
{
    return p->scene->at_most_once;
}

static bool may_lose_jobs(const struct pair *p)
{
    bool takes = strstr(p->scene->command, "LPOP") != NULL;
    return p->scene->at_most_once &&
           !(takes && strcmp(p->point, "before") == 0);
}

static unsigned count_runs(struct pair *p)
{
    char *path = mem_printf("%s/runs.%s", redis_dir(p->sweep->redis), p->queue);
    unsigned bad = 0;
    p->ran = file_lines(path);
    p->distinct = file_distinct_lines(path);
    free(path);
    if (p->distinct > p->runs || (p->distinct < p->runs && !may_lose_jobs(p)))
        bad += wrong(p, "%u different runs, not %lld", p->distinct, p->runs);
    if (p->ran > p->distinct + p->scene->repeats)
        bad += wrong(p, "%u runs came again", p->ran - p->distinct);
    return bad;
}

static unsigned check_stat(const struct pair *p, const char *name, long long n)
{
    long long is = queue_stat(p->sweep->redis, p->queue, name);
    if (is == n || (is < n && may_lose_ends(p)))
        return 0;
    return wrong(p, "%s is %lld, not %lld", name, is, n);
}

static unsigned check_zero(const struct pair *p, const char *command,
                           const char *key)
{
    long long n =
        redis_int(p->sweep->redis, "%s belt:{%s}%s", command, p->queue, key);
    return n == 0 ? 0 : wrong(p, "%s of %s is %lld", command, key, n);
}

/* Books of Redis now: all settled, each once, and nothing left anywhere. */
static unsigned check_redis(struct pair *p)
{
    unsigned bad = check_stat(p, "done", p->done);
    bad += check_stat(p, "retried", p->retried);
    bad += check_stat(p, "dead", p->dead);
    bad += check_stat(p, "cancelled", p->cancelled);
    bad += check_stat(p, "invalid", 0);
    bad += check_stat(p, "put_off", 0);
    if (p->scene->strands && strcmp(p->point, "late") == 0)
        bad += check_stat(p, "straggled", 1);
    bad += check_zero(p, "LLEN", "");
    bad += check_zero(p, "ZCARD", ":retry");
    bad += check_zero(p, "ZCARD", ":scheduled");
    bad += check_zero(p, "ZCARD", ":cancelled");
    bad += check_zero(p, "ZCARD", ":leases");
    bad += check_zero(p, "HLEN", ":lanes");
    redisReply *lists =
        redis_cmd(p->sweep->redis, "KEYS belt:{%s}:active:*", p->queue);
    if (lists->elements > 0)
        bad += wrong(p, "%s is left", lists->element[0]->str);
    freeReplyObject(lists);
    p->was_done = queue_stat(p->sweep->redis, p->queue, "done");
    return bad;
}

/* Books of Redis on the way: no job was ever nowhere, or in two places. */
static unsigned check_journal(const struct pair *p)
{
    unsigned bad = 0;
    struct journal *j =
        journal_replay(redis_dir(p->sweep->redis), p->queue, 0, stderr);
    struct moves m = journal_moves(j);
    if (journal_breach_count(j) > 0)
        bad += wrong(p, "%d breaches in the journal",
                     (int)journal_breach_count(j));
    if (journal_left(j) > 0)
        bad += wrong(p, "%d jobs left in the journal", (int)journal_left(j));
    /* At most once, what is given back is pushed again. */
    long long all = p->done + p->dead + p->cancelled;
    if ((long long)m.pushed != all && !p->scene->at_most_once)
        bad += wrong(p, "%d were pushed in the journal, not %lld",
                     (int)m.pushed, all);
    journal_free(j);
    return bad;
}

static void print_line(const struct pair *p, bool ok)
{
    print_message("%-24s %-7s %-9s %3lld jobs %3lld done %3lld dead "
                  "%3u runs %u again  %s\n",
                  p->scene->name, p->point, p->equal ? "equal" : "distinct",
                  p->done + p->dead + p->cancelled, p->was_done, p->dead,
                  p->ran, p->ran - p->distinct, ok ? "ok" : "WRONG");
}

unsigned sweep_audit(struct sweep *s)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < s->count; i++) {
        struct pair *p = &s->pairs[i];
        unsigned n = count_runs(p) + check_redis(p) + check_journal(p);
        print_line(p, n == 0);
        bad += n > 0;
    }
    return bad;
}
