/*
 * libbelt: pushing, one job or many.
 *
 * Many jobs go in runs of one queue, each run through a sender: their numbers
 * are its lines, so what it acknowledges, and what it leaves when it stops,
 * says what became of each.
 *
 * Thread: any; each call is one thread's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/ulid.h"
#include "producer/lib.h"
#include "producer/push_job.h"
#include "producer/sender.h"

enum { TURN_JOBS = 500 }; /* between looks at what Redis has answered */

/* A job made ready to be sent. Done with ready_done. */
struct ready {
    struct push_options options; /* borrows all but unique */
    struct buf envelope;         /* appended to, and cleared by the owner */
    struct push_one one;
    char fresh[ULID_LEN + 1];
};

struct many {
    struct lib_call call;
    struct belt_job *const *jobs; /* borrowed */
    struct belt_pushed *ret;      /* borrowed; NULL: not wanted */
    struct sender *sender;        /* owned; NULL: no job of the run was good */
    size_t done;                  /* jobs that the sender got, or are bad */
    int stop_code;                /* nothing is sent any more; 0: it is */
    char why[512];
    int first_code; /* of the first job that was not pushed; 0: none */
    size_t first;
    char first_why[512];
};

static void on_acked(void *arg, const struct batch *batch);
static void on_note(void *arg, const char *text);
static void on_left(void *arg, const struct batch *batch);

/* ---- one ---- */

static const char *queue_of(const struct belt_job *job)
{
    return job->queue ? job->queue : "default";
}

static void ready_done(struct ready *r)
{
    buf_done(&r->options.unique_json);
    r->options.unique_json = (struct buf){0};
}

static int check_together(const struct belt_job *job, struct errbuf *eb)
{
    const struct push_options *p = &job->options;

    if (p->in_ms && p->at_ms)
        return errbuf_set(eb, ERR_INVALID, "in and at: one of them");
    if (job->front && (p->in_ms || p->at_ms))
        return errbuf_set(eb, ERR_INVALID,
                          "front is not for what waits until it is due");
    return 0;
}

static int make_ready(const struct belt_client *b, const struct belt_job *job,
                      struct ready *ret, struct errbuf *eb)
{
    struct push_unique unique = {
        .unique = job->unique,
        .until = job->until,
        .on_conflict = job->on_conflict,
        .names = {"unique", "until", "on_conflict"},
    };
    struct job_spec spec = {
        .id = job->id ? job->id : ret->fresh,
        .type = job->type,
        .payload = {job->payload.len > 0 ? job->payload.data : "null",
                    job->payload.len > 0 ? job->payload.len : 4},
        .created_at_ms = clock_wall_ms(),
        .max_attempts = job->max_attempts,
        .timeout_ms = job->timeout_ms,
        .keep_ms = job->keep_ms,
        .after = job->after,
    };

    ret->options = job->options;
    ret->options.unique_json = (struct buf){0};
    int rc = check_together(job, eb);
    if (rc == 0)
        rc = push_unique_read(&unique, &ret->options, eb);
    if (rc != 0)
        return rc;
    ulid_make(ret->fresh);
    rc = push_job_build(&spec, &ret->options, b->max_bytes, &ret->envelope,
                        &ret->one, eb);
    ret->one.front = job->front;
    ret->one.id = spec.id;
    return rc;
}

static void set_name(struct belt_pushed *ret, const char *queue, const char *id)
{
    struct job_name name = {0};

    _Static_assert(BELT_JOB_NAME_SIZE == JOB_NAME_TEXT_MAX, "the same");
    (void)snprintf(name.queue, sizeof(name.queue), "%s", queue);
    (void)snprintf(name.id, sizeof(name.id), "%s", id);
    job_name_format(&name, ret->job);
}

/* What Redis has answered. */
static int set_answered(struct belt_pushed *ret, const char *queue,
                        const struct push_one_result *r,
                        const struct unique *unique)
{
    static const int states[] = {[PUSH_DONE] = BELT_PUSH_DONE,
                                 [PUSH_SAME] = BELT_PUSH_SAME,
                                 [PUSH_HELD] = BELT_PUSH_HELD,
                                 [PUSH_REPLACED] = BELT_PUSH_REPLACED};
    bool held = r->state == PUSH_HELD;

    ret->state = states[r->state];
    ret->code = held && unique && unique->on_conflict != UNIQUE_SKIP
                    ? BELT_ERR_HELD
                    : 0;
    if ((held || r->state == PUSH_REPLACED) && r->holder[0] != '\0')
        set_name(ret, queue, r->holder);
    return ret->code;
}

static void set_failed(struct belt_pushed *ret, int code)
{
    ret->state =
        code == BELT_ERR_UNKNOWN ? BELT_PUSH_UNKNOWN : BELT_PUSH_REFUSED;
    ret->code = code;
}

static int code_of_push(const struct lib_call *call, int err)
{
    return err == ERR_UNKNOWN   ? BELT_ERR_UNKNOWN
           : err == ERR_FULL    ? BELT_ERR_FULL
           : err == ERR_REFUSED ? BELT_ERR_AGAIN
                                : call->error.code;
}

static void push_ready(struct lib_call *call, const char *queue,
                       const struct ready *r, struct belt_pushed *ret)
{
    struct push_outcome outcome;
    struct keys keys;

    keys_init(&keys, call->owner->ns, queue);
    if (push_job(call->client, &keys, &r->one, &outcome) != 0) {
        call->error.code = code_of_push(call, outcome.err);
        set_failed(ret, call->error.code);
        return;
    }
    if (set_answered(ret, queue, &outcome.result, r->one.unique) != 0)
        (void)lib_error(&call->error, ret->code, "%s is held by %s",
                        r->one.unique->key, ret->job);
}

int belt_client_push(struct belt_client *client, const struct belt_job *job,
                     struct belt_pushed *ret, struct belt_error *error)
{
    struct ready r = {.fresh = ""};
    struct belt_pushed own, *pushed = ret ? ret : &own;
    struct lib_call call;
    struct errbuf eb;
    int rc = make_ready(client, job, &r, &eb);

    *pushed = (struct belt_pushed){.state = BELT_PUSH_REFUSED};
    if (rc != 0) {
        rc = lib_error(error, lib_code_of_err(rc), "%s", eb.text);
    } else {
        set_name(pushed, queue_of(job), r.one.id);
        rc = lib_begin(client, &call, error);
        if (rc == 0) {
            push_ready(&call, queue_of(job), &r, pushed);
            rc = lib_end(client, &call, error);
        }
    }
    if (pushed->state == BELT_PUSH_REFUSED)
        pushed->code = rc;
    ready_done(&r);
    buf_done(&r.envelope);
    return rc;
}

/* ---- many ---- */

/* Takes note of what became of job i, if it is an error. */
static void note_code(struct many *m, size_t i, int code, const char *why)
{
    if (code == 0 || (m->first_code != 0 && m->first <= i))
        return;
    m->first_code = code;
    m->first = i;
    (void)snprintf(m->first_why, sizeof(m->first_why), "%s", why);
}

static void fail_job(struct many *m, size_t i, int code, const char *why)
{
    if (m->ret)
        set_failed(&m->ret[i], code);
    note_code(m, i, code, why);
}

static void take_accepted(struct many *m, const struct batch *batch)
{
    for (unsigned j = 0; j < batch->accepted; j++) {
        size_t i = (size_t)batch->lines[j] - 1;
        struct belt_pushed own, *ret = m->ret ? &m->ret[i] : &own;
        ret->state = BELT_PUSH_DONE;
        ret->code = 0;
        if (batch->is_one &&
            set_answered(ret, queue_of(m->jobs[i]), &batch->result,
                         batch->one.unique) != 0)
            note_code(m, i, ret->code, "another job has its unique key");
    }
}

/* Of a batch that is taken in part, the rest found the queue full. */
static void on_acked(void *arg, const struct batch *batch)
{
    struct many *m = arg;
    const char *why;

    take_accepted(m, batch);
    if (sender_get_stop(m->sender, &why) == 0)
        return;
    for (unsigned j = batch->accepted; j < batch->count; j++)
        fail_job(m, (size_t)batch->lines[j] - 1, BELT_ERR_FULL, why);
}

static void on_note(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

/* Behind what stopped the sender: not sent, refused or unknown. Some, behind
 * a full batch that was sent before, may be there. */
static void on_left(void *arg, const struct batch *batch)
{
    struct many *m = arg;
    bool unknown = batch->state == BATCH_UNKNOWN;

    take_accepted(m, batch);
    for (unsigned j = batch->accepted; j < batch->count; j++)
        fail_job(m, (size_t)batch->lines[j] - 1,
                 unknown ? BELT_ERR_UNKNOWN : m->stop_code, m->why);
}

/* Returns false if nothing can be sent any more. */
static bool add_ready(struct many *m, size_t i, const struct ready *r)
{
    const struct belt_client *b = m->call.owner;
    struct sender_events events = {
        .on_acked = on_acked, .on_note = on_note, .arg = m};

    if (!m->sender)
        m->sender =
            sender_new(m->call.client, b->ns, queue_of(m->jobs[i]), i, &events);
    struct buf *out = sender_begin(m->sender, r->envelope.len);
    if (sender_has_stopped(m->sender))
        return false;
    buf_append(out, r->envelope.data, r->envelope.len);
    if (push_job_is_one(&r->one) || r->one.front)
        sender_add_one(m->sender, i + 1, &r->one);
    else
        sender_add(m->sender, i + 1);
    return true;
}

/* Waits until more may be sent, or it has stopped. */
static void await_room(struct many *m)
{
    struct client *c = m->call.client;

    while (!client_is_down(c) && !sender_has_stopped(m->sender) &&
           !sender_has_room(m->sender)) {
        sender_flush(m->sender);
        client_turn(c, true);
    }
    if (client_is_down(c))
        sender_stop(m->sender, EX_TEMPFAIL, "connection lost");
}

static void await_end(struct many *m)
{
    struct client *c = m->call.client;
    struct sender *s = m->sender;

    for (;;) {
        if (client_is_down(c))
            sender_stop(s, EX_TEMPFAIL, "connection lost");
        if (sender_has_room(s))
            sender_flush(s);
        if (!sender_awaits(s) && (sender_has_stopped(s) || !sender_holds(s)))
            return;
        client_turn(c, true);
    }
}

/* Ends the run of a queue, and says what became of what it left. */
static void end_run(struct many *m)
{
    const char *why;

    if (!m->sender)
        return;
    await_end(m);
    int status = sender_get_stop(m->sender, &why);
    if (status != 0) {
        m->stop_code = sender_found_full(m->sender)
                           ? BELT_ERR_FULL
                           : lib_code_of_status(status);
        (void)snprintf(m->why, sizeof(m->why), "%s%s%s", why,
                       client_is_down(m->call.client) ? ": " : "",
                       client_down_why(m->call.client));
        sender_each_left(m->sender, on_left, m);
        client_drop(m->call.client); /* what it still asks for is its own */
    }
    sender_free(m->sender);
    m->sender = NULL;
}

static bool add_job(struct many *m, size_t i, struct ready *r)
{
    struct errbuf eb;
    bool added = true;

    buf_clear(&r->envelope);
    int rc = make_ready(m->call.owner, m->jobs[i], r, &eb);
    if (m->ret)
        m->ret[i] = (struct belt_pushed){.state = BELT_PUSH_REFUSED};
    if (rc != 0) {
        fail_job(m, i, lib_code_of_err(rc), eb.text);
    } else {
        if (m->ret)
            set_name(&m->ret[i], queue_of(m->jobs[i]), r->one.id);
        added = add_ready(m, i, r);
    }
    ready_done(r);
    return added;
}

static void push_all(struct many *m, size_t n)
{
    struct ready r = {.fresh = ""};

    for (size_t i = 0; i < n && m->stop_code == 0; i++) {
        if (i > 0 &&
            strcmp(queue_of(m->jobs[i]), queue_of(m->jobs[i - 1])) != 0)
            end_run(m);
        if (m->stop_code != 0 || !add_job(m, i, &r))
            break;
        m->done = i + 1;
        if (!m->sender)
            continue;
        if (i % TURN_JOBS == 0)
            client_turn(m->call.client, false);
        await_room(m);
        if (sender_has_stopped(m->sender))
            break;
    }
    end_run(m);
    buf_done(&r.envelope);
    for (size_t i = m->done; i < n; i++) {
        if (m->ret)
            m->ret[i] = (struct belt_pushed){.state = BELT_PUSH_REFUSED};
        fail_job(m, i, m->stop_code, m->why);
    }
}

int belt_client_push_many(struct belt_client *client,
                          struct belt_job *const *jobs, size_t n,
                          struct belt_pushed *ret, struct belt_error *error)
{
    struct many m = {.jobs = jobs, .ret = ret};

    if (n == 0)
        return 0;
    int rc = lib_begin(client, &m.call, error);
    if (rc != 0) {
        for (size_t i = 0; ret && i < n; i++)
            ret[i] =
                (struct belt_pushed){.state = BELT_PUSH_REFUSED, .code = rc};
        return rc;
    }
    push_all(&m, n);
    m.call.error.code = 0;
    if (m.first_code != 0)
        (void)lib_error(&m.call.error, m.first_code, "job %zu: %s", m.first,
                        m.first_why);
    return lib_end(client, &m.call, error);
}
