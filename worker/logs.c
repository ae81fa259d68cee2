/*
 * Logs: what kept jobs write, on its way to Redis.
 *
 *     ring of the run ──take──► waiting ──send──► calls ──answered──► gone
 *                                  ▲ rebind ────────┘
 *
 * Sent on the connection of the settles, behind the news that a job started and
 * in front of its end. Where Redis is slower than those who write, the lines
 * stay in their rings, which lose the oldest; only what a run that has ended
 * leaves behind is taken at once, since its delivery goes. All rings together,
 * and what was taken of them, have a bound (run_log.h).
 *
 * Thread: event loop only.
 */
#include "worker/logs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/redis/queue_news.h"
#include "worker/lane.h"

enum {
    LOG_MS = 200,              /* between two times of one job */
    FLOOD_MS = 1000,           /* of one that writes more than a log holds */
    UNDER_WAY_MAX = 1 << 20,   /* bytes; then jobs that run wait */
    CALL_JOBS_MAX = 64,        /* in one call */
    CALL_BYTES_MAX = 512 << 10 /* the first job's may be more */
};

_Static_assert((int)RUN_LOG_LINES >= (int)LOG_LINES_MAX, "a ring holds a log");
_Static_assert((int)RUN_LOG_BYTES >= (int)LOG_BYTES_MAX, "a ring holds a log");

static void on_logged(void *arg, int err, const struct reply *r);

void lane_logs_init(struct lane_logs *l)
{
    LIST_INIT(&l->running);
    STAILQ_INIT(&l->waiting);
    STAILQ_INIT(&l->calls);
}

static void forget(struct delivery *d)
{
    if (d->logging)
        LIST_REMOVE(d, by_log);
    d->logging = false;
}

void lane_note_log(struct lane *lane, struct delivery *d)
{
    if (d->logging)
        return;
    d->logging = true;
    LIST_INSERT_HEAD(&lane->logs.running, d, by_log);
}

/* Puts the lines of d behind those that wait. */
static void take(struct lane *lane, struct delivery *d) ON_LOOP;

static void take(struct lane *lane, struct delivery *d)
{
    struct log_piece *p = mem_new(sizeof(*p));
    forget(d);
    run_log_take(d->log, &p->lines);
    if (p->lines.count == 0) {
        log_lines_done(&p->lines);
        free(p);
        return;
    }
    (void)snprintf(p->id, sizeof(p->id), "%s", d->job->id);
    lane->logs.bytes += log_lines_bytes(&p->lines);
    STAILQ_INSERT_TAIL(&lane->logs.waiting, p, next);
    d->logged_ms = clock_ms();
    if (p->lines.count == RUN_LOG_LINES) /* most of it falls out again */
        d->logged_ms += FLOOD_MS - LOG_MS;
}

void lane_log_ended(struct lane *lane, struct delivery *d)
{
    take(lane, d);
}

bool may_have_log(const struct delivery *d)
{
    const struct job *job = d->job;
    return d->log != NULL || job->attempt > 0 || job->snoozes > 0 ||
           job->put_offs > 0 || job->recovered_count > 0;
}

/* ---- what is under way ---- */

static void free_pieces(struct lane_logs *l, struct log_pieces *pieces)
{
    struct log_piece *p;
    while ((p = STAILQ_FIRST(pieces)) != NULL) {
        STAILQ_REMOVE_HEAD(pieces, next);
        l->bytes -= log_lines_bytes(&p->lines);
        log_lines_done(&p->lines);
        free(p);
    }
}

static void end_call(struct log_call *c)
{
    struct lane_logs *l = &c->lane->logs;
    STAILQ_REMOVE(&l->calls, c, log_call, next);
    free_pieces(l, &c->pieces);
    free(c);
}

void lane_forget_logs(struct lane *lane)
{
    struct lane_logs *l = &lane->logs;
    while (!LIST_EMPTY(&l->running))
        forget(LIST_FIRST(&l->running));
    while (!STAILQ_EMPTY(&l->calls))
        end_call(STAILQ_FIRST(&l->calls));
    free_pieces(l, &l->waiting);
}

void lane_log_again(struct lane *lane)
{
    struct lane_logs *l = &lane->logs;
    struct log_pieces all = STAILQ_HEAD_INITIALIZER(all);
    struct log_call *c;
    while ((c = STAILQ_FIRST(&l->calls)) != NULL) {
        STAILQ_CONCAT(&all, &c->pieces);
        end_call(c);
    }
    STAILQ_CONCAT(&all, &l->waiting);
    STAILQ_CONCAT(&l->waiting, &all);
}

/* ---- the call ---- */

/* What a call is made of, besides its pieces. */
struct texts {
    char run[LANE_ID_MAX + 24];
    struct bytes lines[RUN_LOG_LINES];
};

static void describe(const struct lane *lane, const struct log_piece *p,
                     struct texts *t, struct log_job *ret)
{
    size_t at = p->lines.at;
    assert(p->lines.count <= RUN_LOG_LINES);
    for (unsigned i = 0; i < p->lines.count; i++)
        t->lines[i].p = log_lines_next(&p->lines, &at, &t->lines[i].len);
    (void)snprintf(t->run, sizeof(t->run), "%s.%llu", lane->agent->id,
                   (unsigned long long)p->lines.run);
    *ret = (struct log_job){.id = p->id,
                            .run = t->run,
                            .first = p->lines.first,
                            .lines = t->lines,
                            .count = p->lines.count};
}

/* Moves as many pieces as one call takes; returns how many. */
static unsigned gather(struct lane_logs *l, struct log_call *c)
{
    size_t bytes = 0;
    unsigned n = 0;
    struct log_piece *p;
    while (n < CALL_JOBS_MAX && (p = STAILQ_FIRST(&l->waiting)) != NULL) {
        bytes += log_lines_bytes(&p->lines);
        if (n > 0 && bytes > CALL_BYTES_MAX)
            break;
        STAILQ_REMOVE_HEAD(&l->waiting, next);
        STAILQ_INSERT_TAIL(&c->pieces, p, next);
        n++;
    }
    return n;
}

static void send_one(struct lane *lane) ON_LOOP;

static void send_one(struct lane *lane)
{
    struct log_call *c = mem_new(sizeof(*c));
    struct log_job jobs[CALL_JOBS_MAX];
    const struct log_piece *p;
    unsigned i = 0;
    c->lane = lane;
    STAILQ_INIT(&c->pieces);
    unsigned n = gather(&lane->logs, c);
    struct texts *texts = mem_new(n * sizeof(*texts));
    STAILQ_FOREACH(p, &c->pieces, next)
    {
        describe(lane, p, &texts[i], &jobs[i]);
        i++;
    }
    STAILQ_INSERT_TAIL(&lane->logs.calls, c, next);
    /* Not sent means down: sent again after the rebind. */
    (void)queue_log(lane->cmd, &lane->keys, lane->id, jobs, n, on_logged, c);
    free(texts);
}

void lane_send_logs(struct lane *lane)
{
    struct lane_logs *l = &lane->logs;
    struct delivery *d, *next;
    if (LIST_EMPTY(&l->running) && STAILQ_EMPTY(&l->waiting))
        return;
    int64_t now_ms = clock_ms(), later_ms = INT64_MAX;
    for (d = LIST_FIRST(&l->running); d != NULL; d = next) {
        int64_t wait = d->logged_ms > 0 ? d->logged_ms + LOG_MS - now_ms : 0;
        next = LIST_NEXT(d, by_log);
        if (d->slot == NULL)
            forget(d);
        else if (wait <= 0 && l->bytes < UNDER_WAY_MAX)
            take(lane, d);
        else
            later_ms = wait > 0 && wait < later_ms ? wait : later_ms;
    }
    while (lane->state == LANE_UP && !STAILQ_EMPTY(&l->waiting))
        send_one(lane);
    if (LIST_EMPTY(&l->running) || evtimer_pending(lane->note_timer, NULL))
        return;
    timer_in(lane->note_timer, later_ms < LOG_MS ? later_ms : LOG_MS);
}

static void on_logged(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct log_call *c = arg;
    struct lane *lane = c->lane;
    struct errbuf eb;
    int rc = queue_log_result(err, r, &eb);
    if (err != 0) /* the connection is gone: sent again, or forgotten */
        return;
    end_call(c);
    if (rc == 0) {
        lane->logs.failed_said = false;
        return;
    }
    if (rc == ERR_FENCED || lane->logs.failed_said)
        return;
    lane->logs.failed_said = true;
    LOG_WARN("log", F_STR("queue", lane->keys.queue), F_STR("error", eb.text),
             F_STR("so", "lines of kept jobs are missing in Redis"));
}
