/*
 * Outcome: what becomes of a finished job: done, retried, snoozed, dead,
 * expired, cancelled, put off, discarded or buried, as a part of the call that
 * settles it.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "common/job/backoff.h"
#include "common/job/then.h"
#include "worker/settle_priv.h"

enum {
    CRASHES_MAX = 3,      /* then the job is a poison pill */
    SAID_MAX = 256,       /* types that were said to have no handler */
    GROWTH = 512,         /* of an envelope, but for the texts of a failure */
    FOLLOWER_GROWTH = 160 /* of a push or a "then": id, time, queue */
};
#define SNOOZES_MAX 1000000000 /* as far as an envelope counts */
#define PUT_OFF_MAX_MS (24 * 3600 * 1000LL)
/* In base64 it fits into what Redis takes at once, 512 MiB. */
#define INVALID_RAW_MAX ((size_t)256 << 20)

static void add(struct work *w, const struct slot *s, enum settle_where where,
                int64_t delay_ms, const struct job_change *changes,
                size_t n) ON_LOOP;
static void add_failed(struct work *w, const struct slot *s,
                       enum settle_where where, int64_t delay_ms,
                       int64_t attempt, int64_t crashes) ON_LOOP;
static void fail(struct work *w, struct slot *s) ON_LOOP;
static void put_off(struct work *w, struct slot *s) ON_LOOP;
static void snooze(struct work *w, struct slot *s) ON_LOOP;
static void cancel(struct work *w, struct slot *s) ON_LOOP;
static void bury(struct work *w, struct slot *s) ON_LOOP;

/* Done, and that is all: what most jobs are adds nothing to the call. */
static bool is_plain(const struct slot *s)
{
    const struct job *job = s->invalid == NULL ? s->d->job : NULL;
    return job != NULL && s->d->outcome.verdict == VERDICT_DONE &&
           job->keep_ms == 0 && job->unique.p == NULL && job->then.p == NULL &&
           s->d->pushes == NULL;
}

/* How many envelopes it adds to the call, at most. */
static unsigned adds_of(const struct slot *s)
{
    if (s->invalid != NULL || s->d->outcome.verdict != VERDICT_DONE)
        return 1;
    return (s->d->job->then.p != NULL ? THEN_MAX : 0) +
           (s->d->pushes != NULL ? s->d->pushes->n : 0);
}

/* How many bytes of them follow a done job. */
static size_t following(const struct slot *s)
{
    const struct job *job = s->d->job;
    return (job->then.p != NULL ? job->then.len : 0) +
           (s->d->pushes != NULL ? s->d->pushes->text.len : 0) +
           adds_of(s) * (size_t)FOLLOWER_GROWTH;
}

/*
 * About how many bytes it adds to the call. Escapes may make more of them,
 * which the script does not mind.
 */
static size_t size_of(const struct slot *s)
{
    if (s->invalid != NULL)
        return s->raw_len / 3 * 4 + GROWTH;
    const struct job *job = s->d->job;
    const struct outcome *o = &s->d->outcome;
    size_t texts = o->message.len + o->stderr_tail.len;
    size_t kept = job->keep_ms > 0 ? o->result.len + o->message.len : 0;
    switch (o->verdict) {
    case VERDICT_DONE:
        return kept + following(s);
    case VERDICT_DISCARD:
    case VERDICT_CANCEL:
        return kept;
    default:
        return kept + job->raw_len + texts + GROWTH;
    }
}

bool work_fits(const struct work *w, const struct slot *s)
{
    if (is_plain(s))
        return true;
    return w->jobs == 0 || (w->bytes + size_of(s) <= QUEUE_BATCH_MAX_BYTES &&
                            w->call.add_count + adds_of(s) <= QUEUE_BATCH_MAX);
}

static void count(struct work *w, struct slot *s, enum counter c)
{
    w->ended[c]++;
    s->counter = c;
}

/* Adds the job's new envelope. */
static void add(struct work *w, const struct slot *s, enum settle_where where,
                int64_t delay_ms, const struct job_change *changes, size_t n)
{
    job_rewrite(s->d->job, changes, n, w->now_ms - RECOVERY_WINDOW_MS,
                work_envelope(w));
    work_put(w, where, delay_ms);
}

static int64_t retry_delay(const struct slot *s, int64_t attempt)
{
    const int64_t asked_ms = s->d->outcome.delay_ms;
    struct backoff policy;
    if (asked_ms >= 0)
        return asked_ms < JOB_DURATION_MAX_MS ? asked_ms : JOB_DURATION_MAX_MS;
    double jitter = (double)random_below(1 << 20) / (1 << 20);
    handler_backoff(s->d, &policy);
    return backoff_delay(&policy, attempt, jitter);
}

static void log_failure(const struct work *w, const struct slot *s,
                        const char *event, int64_t attempt, int64_t delay_ms)
{
    const struct outcome *o = &s->d->outcome;
    LOG_INFO(event, F_STR("job", s->d->job->id),
             F_STR("queue", w->lane->keys.queue),
             F_STR("type", s->d->job->type), F_INT("attempt", attempt),
             F_STR("class", o->error_class),
             F_MEM("error", o->message.data, o->message.len),
             F_INT("delay_ms", delay_ms));
}

/* Whether the run counts: a job may die without one. */
static bool is_attempt(const struct outcome *o)
{
    return o->verdict != VERDICT_PUT_OFF && o->verdict != VERDICT_EXPIRE &&
           strcmp(o->error_class, "poison") != 0 &&
           strcmp(o->error_class, "after") != 0;
}

/* Adds it to retry or dead as it is after this failure. */
static void add_failed(struct work *w, const struct slot *s,
                       enum settle_where where, int64_t delay_ms,
                       int64_t attempt, int64_t crashes)
{
    char attempt_text[INT_TEXT_MAX], crashes_text[INT_TEXT_MAX];
    struct buf error = {0}, failures = {0};
    failure_texts(w, s, attempt, &error, &failures);
    (void)text_format_int(attempt, attempt_text);
    (void)text_format_int(crashes, crashes_text);
    const struct job_change changes[] = {
        {"attempt", attempt_text},
        {"crashes", crashes > 0 ? crashes_text : NULL},
        {"put_offs", NULL},
        {"put_off_since", NULL},
        {"failures", failures.data},
        {"error", error.data}};
    add(w, s, where, delay_ms, changes, sizeof(changes) / sizeof(changes[0]));
    buf_done(&error);
    buf_done(&failures);
}

static void fail(struct work *w, struct slot *s)
{
    const struct job *job = s->d->job;
    const struct outcome *o = &s->d->outcome;
    int64_t attempt = job->attempt + (is_attempt(o) ? 1 : 0);
    int64_t crashes = job->crashes + (o->crashed ? 1 : 0);
    bool expired = o->verdict == VERDICT_EXPIRE;
    if (o->verdict == VERDICT_RETRY && attempt < handler_max_attempts(s->d) &&
        (!o->crashed || crashes < CRASHES_MAX)) {
        int64_t delay = retry_delay(s, attempt);
        add_failed(w, s, SETTLE_RETRY, delay, attempt, crashes);
        work_tell_wait(w, s, "retry", attempt, w->now_ms + delay);
        lane_promote_in(w->lane, delay);
        count(w, s, C_RETRIED);
        log_failure(w, s, "retry", attempt, delay);
        return;
    }
    const char *state = expired ? "expired" : "dead";
    add_failed(w, s, SETTLE_DEAD, 0, attempt, crashes);
    work_tell_end(w, s, state, attempt);
    count(w, s, expired ? C_EXPIRED : C_DEAD);
    log_failure(w, s, state, attempt, 0);
}

/* Says once for each type that it is put off. */
static bool first_time(const char *type)
{
    static char *said[SAID_MAX];
    static unsigned n;
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(said[i], type) == 0)
            return false;
    }
    if (n == SAID_MAX)
        return false;
    said[n++] = mem_strdup(type);
    return true;
}

static void put_off(struct work *w, struct slot *s)
{
    const struct job *job = s->d->job;
    int64_t since = job->put_offs > 0 ? job->put_off_since_ms : w->now_ms;
    if (w->now_ms - since > PUT_OFF_MAX_MS) {
        fail(w, s);
        return;
    }
    char n_text[INT_TEXT_MAX], since_text[INT_TEXT_MAX];
    struct buf error = {0};
    failure_error(w, s, job->attempt, &error);
    (void)text_format_int(job->put_offs + 1, n_text);
    (void)text_format_int(since, since_text);
    const struct job_change changes[] = {{"put_offs", n_text},
                                         {"put_off_since", since_text},
                                         {"error", error.data}};
    double jitter = (double)random_below(1 << 20) / (1 << 20);
    int64_t delay = backoff_put_off(job->put_offs + 1, jitter);
    add(w, s, SETTLE_RETRY, delay, changes,
        sizeof(changes) / sizeof(changes[0]));
    buf_done(&error);
    work_tell_wait(w, s, "retry", job->attempt, w->now_ms + delay);
    lane_promote_in(w->lane, delay);
    count(w, s, C_PUT_OFF);
    if (first_time(job->type))
        log_failure(w, s, "put_off", job->attempt, delay);
}

/* Later, as its handler asked: neither an attempt nor a failure. */
static void snooze(struct work *w, struct slot *s)
{
    const struct job *job = s->d->job;
    int64_t delay = s->d->outcome.delay_ms;
    delay = delay < 0 ? 0 : delay;
    delay = delay < JOB_DURATION_MAX_MS ? delay : JOB_DURATION_MAX_MS;
    char n_text[INT_TEXT_MAX];
    (void)text_format_int(
        job->snoozes < SNOOZES_MAX ? job->snoozes + 1 : SNOOZES_MAX, n_text);
    const struct job_change changes[] = {
        {"snoozes", n_text}, {"put_offs", NULL}, {"put_off_since", NULL}};
    add(w, s, SETTLE_SCHEDULED, delay, changes,
        sizeof(changes) / sizeof(changes[0]));
    work_tell_wait(w, s, "scheduled", job->attempt, w->now_ms + delay);
    lane_promote_in(w->lane, delay);
    count(w, s, C_SNOOZED);
    /* What waits for another job comes and goes. */
    bool after = strcmp(s->d->outcome.error_class, "after") == 0;
    LOG_AT(after ? LOG_LVL_DEBUG : LOG_LVL_INFO, "snooze",
           F_STR("job", job->id), F_STR("queue", w->lane->keys.queue),
           F_STR("type", job->type), F_INT("snoozes", job->snoozes + 1),
           F_INT("delay_ms", delay));
}

/* Gone for good, unrun or stopped by us. */
static void cancel(struct work *w, struct slot *s)
{
    const struct job *job = s->d->job;
    bool ran = s->d->outcome.started_at_ms > 0;
    work_tell_end(w, s, "cancelled", job->attempt + (ran ? 1 : 0));
    count(w, s, C_CANCELLED);
    LOG_INFO("cancel", F_STR("job", job->id),
             F_STR("queue", w->lane->keys.queue), F_STR("type", job->type),
             F_STR("was", ran ? "running" : "waiting"));
}

void work_bury(struct work *w, const char *raw, size_t len, const char *why)
{
    job_build_invalid(raw, len, INVALID_RAW_MAX, why, w->now_ms,
                      work_envelope(w));
    work_put(w, SETTLE_DEAD, 0);
    w->ended[C_INVALID]++;
    LOG_WARN("invalid", F_STR("queue", w->lane->keys.queue),
             F_INT("bytes", (int64_t)len), F_STR("error", why),
             F_STR("so", "moved to dead"));
}

/*
 * An element that is no envelope here. It may be one elsewhere, too big for
 * this worker: then somebody waits for its end, and its lock must go.
 */
static void bury(struct work *w, struct slot *s)
{
    struct job *job;
    work_bury(w, s->raw, s->raw_len, s->invalid);
    s->counter = C_INVALID;
    if (s->d == NULL &&
        job_parse(s->raw, s->raw_len, SIZE_MAX, &job, NULL) == 0) {
        slot_set_delivery(s, delivery_new(job)); /* its bytes once, not twice */
        s->d->outcome.verdict = VERDICT_DEAD;
        buf_str(&s->d->outcome.message, s->invalid);
    }
    if (s->d != NULL && s->d->job->id[0] != '\0')
        work_tell_end(w, s, "dead", s->d->job->attempt);
}

void work_add(struct work *w, struct slot *s)
{
    w->jobs++;
    if (is_plain(s)) {
        count(w, s, C_DONE);
        return;
    }
    if (s->invalid != NULL) {
        bury(w, s);
        return;
    }
    switch (s->d->outcome.verdict) {
    case VERDICT_DONE:
        work_tell_end(w, s, "done", s->d->job->attempt + 1);
        work_push(w, s);
        work_follow(w, s);
        count(w, s, C_DONE);
        break;
    case VERDICT_DISCARD:
        work_tell_end(w, s, "cancelled", s->d->job->attempt + 1);
        count(w, s, C_DISCARDED);
        break;
    case VERDICT_RETRY:
    case VERDICT_DEAD:
    case VERDICT_EXPIRE:
        fail(w, s);
        break;
    case VERDICT_PUT_OFF:
        put_off(w, s);
        break;
    case VERDICT_SNOOZE:
        snooze(w, s);
        break;
    case VERDICT_CANCEL:
        cancel(w, s);
        break;
    case VERDICT_NONE:
    case VERDICT_RELEASE:
        assert(!"a released job is not finished");
    }
}
