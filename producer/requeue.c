/*
 * Requeue: new envelopes for jobs, and the call that moves them.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/requeue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/unique.h"
#include "common/redis/relay.h"
#include "common/redis/sha1.h"
#include "producer/invalid.h"

enum { CHANGES_MAX = 10 };

struct ready {
    const struct selected *from; /* borrowed */
    struct buf envelope;
    struct unique unique;
    bool locked;                 /* it has a key */
    char holder[ID_MAX_LEN + 1]; /* of the other queue's lock; "": free */
};

struct batch {
    struct select *s; /* borrowed */
    const char *to;   /* borrowed */
    struct keys there;
    struct ready *all; /* owned */
    unsigned count;
    bool answered;
    int status;
};

static void on_requeued(void *arg, int err, const struct reply *r);
static void on_holder(void *arg, const struct reply *r);
static void on_nothing(void *arg, const struct reply *r);

/* ---- envelopes ---- */

static void change(struct job_change *changes, size_t *n, const char *name,
                   const char *json)
{
    changes[(*n)++] = (struct job_change){name, json};
}

static void rewrite(const struct batch *b, const struct selected *from,
                    const struct job *job, struct buf *out)
{
    static const char *const ended[] = {"attempt", "crashes", "put_offs",
                                        "put_off_since", "error"};
    struct job_change changes[CHANGES_MAX];
    char queue[NAME_MAX_LEN + 3], at[INT_TEXT_MAX];
    bool dead = b->s->set == QUEUE_DEAD;
    size_t n = 0;

    for (size_t i = 0; dead && i < sizeof(ended) / sizeof(ended[0]); i++)
        change(changes, &n, ended[i], NULL);
    if (dead && job->expires_at_ms > 0 && job->expires_at_ms <= clock_wall_ms())
        change(changes, &n, "expires_at", NULL); /* or it is dead at once */
    if (b->to) {
        /* The relay pushes it, which heeds these. */
        bool waits = b->s->set == QUEUE_SCHEDULED && from->at_ms > 0;
        if (waits)
            text_format_int(from->at_ms, at);
        change(changes, &n, "at", waits ? at : NULL);
        change(changes, &n, "in", NULL);
        snprintf(queue, sizeof(queue), "\"%s\"", b->to);
        change(changes, &n, "queue", queue);
    }
    job_rewrite(job, changes, n, dead ? INT64_MAX : 0, out);
}

/* A job without an id is given one, as stamping would. */
static int rewrite_any(const struct batch *b, const struct selected *from,
                       struct buf *out, struct errbuf *eb)
{
    struct buf stamped = {0};
    struct job *job = NULL;

    if (from->job->id[0] != '\0') {
        rewrite(b, from, from->job, out);
        return 0;
    }
    int rc = job_complete(from->element.p, from->element.len, NULL,
                          clock_wall_ms(), SIZE_MAX, &stamped, NULL, eb);
    if (rc == 0)
        rc = job_parse(stamped.data, stamped.len, SIZE_MAX, &job, eb);
    if (rc == 0)
        rewrite(b, from, job, out);
    job_free(job);
    buf_done(&stamped);
    return rc;
}

static int make_envelope(const struct batch *b, const struct selected *from,
                         struct buf *out, struct errbuf *eb)
{
    if (!from->job)
        return errbuf_set(eb, ERR_INVALID, "no envelope: %s", from->why);
    if (b->s->set == QUEUE_DEAD && invalid_is(from->job)) {
        if (b->to)
            return errbuf_set(eb, ERR_INVALID, "no envelope");
        if (!b->s->o->raw)
            return errbuf_set(eb, ERR_INVALID,
                              "was no envelope: --raw puts its bytes back");
        return invalid_raw(from->job, out, eb);
    }
    if (b->s->set != QUEUE_DEAD && !b->to) {
        buf_append(out, from->element.p, from->element.len);
        return 0;
    }
    return rewrite_any(b, from, out, eb);
}

/* Takes up what can be moved; tells of the others. */
static void take_up(struct batch *b, const struct selected *from)
{
    struct ready *e = &b->all[b->count];
    const struct job *job = from->job;
    struct errbuf eb = {""};

    *e = (struct ready){.from = from};
    if (make_envelope(b, from, &e->envelope, &eb) != 0) {
        buf_done(&e->envelope);
        select_leave(b->s, from, eb.text);
        return;
    }
    /* What waits has its lock, or has let it go when it began to run. */
    e->locked = (b->s->set == QUEUE_DEAD || b->to) && job->id[0] != '\0' &&
                job->unique.p &&
                unique_parse(job->unique, &e->unique, NULL) == 0;
    b->count++;
}

/* ---- another queue ---- */

static void on_holder(void *arg, const struct reply *r)
{
    struct ready *e = arg;
    const char *p;
    size_t n;

    if (reply_str(r, &p, &n))
        snprintf(e->holder, sizeof(e->holder), "%s", p);
}

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

/* Takes out those whose lock is held where they go: there they would vanish. */
static void drop_held(struct batch *b)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < b->count; i++) {
        struct ready *e = &b->all[i];
        if (e->holder[0] != '\0' && strcmp(e->holder, e->from->job->id) != 0) {
            char why[ID_MAX_LEN + NAME_MAX_LEN + 64];
            snprintf(why, sizeof(why), "%s/%s holds its unique key", b->to,
                     e->holder);
            select_leave(b->s, e->from, why);
            buf_done(&e->envelope);
        } else {
            b->all[kept++] = *e;
        }
    }
    b->count = kept;
}

/*
 * Asks for locks, and forgets that these bytes have come there before: else a
 * job that was moved there, moved back and is moved again, all of it untouched,
 * would be taken for its own double.
 */
static int ask_there(struct batch *b)
{
    struct args a = {0};
    char key[KEY_MAX];

    for (unsigned i = 0; i < b->count; i++) {
        struct ready *e = &b->all[i];
        char once[41];
        if (e->locked && keys_unique(&b->there, e->unique.key, key)) {
            args_clear(&a);
            args_str(&a, "GET");
            args_str(&a, key);
            client_call(b->s->client, &a, on_holder, e);
        }
        sha1_hex_plain(e->envelope.data, e->envelope.len, once);
        if (keys_once(&b->there, once, key)) {
            args_clear(&a);
            args_str(&a, "UNLINK");
            args_str(&a, key);
            client_call(b->s->client, &a, on_nothing, NULL);
        }
    }
    args_done(&a);
    int status = client_wait(b->s->client);
    if (status == 0)
        drop_held(b);
    return status;
}

/* Lanes look at the outbox at once, and the other queue is known. */
static int tell_lanes(struct batch *b)
{
    struct args a = {0};

    args_str(&a, "SADD");
    args_str(&a, b->there.queues);
    args_str(&a, b->to);
    client_call(b->s->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "PUBLISH");
    args_str(&a, b->s->keys.control);
    args_str(&a, "outbox");
    client_call(b->s->client, &a, on_nothing, NULL);
    args_done(&a);
    return client_wait(b->s->client);
}

static void on_relayed(void *arg, const struct relay_result *res)
{
    bool *ended = arg;

    (void)res; /* what stays is for the workers of the queue */
    *ended = true;
}

/* So that no worker is needed. If this ends half-way, one goes on with it. */
static void bring_on(struct batch *b)
{
    loop_role_assert();
    bool ended = false;
    struct relay *r =
        relay_new(client_conn(b->s->client), &b->s->keys, on_relayed, &ended);

    if (relay_start(r) == 0) {
        while (!ended)
            client_turn(b->s->client, true);
    }
    relay_free(r);
}

/* ---- the call ---- */

static void tell_refused(struct batch *b, const struct reply *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t place;
        struct bytes holder;
        if (!queue_requeue_refused(r, i, &place, &holder) ||
            place >= b->count || !b->all[place].from)
            continue;
        const struct selected *from = b->all[place].from;
        char why[ID_MAX_LEN + 64];
        b->all[place].from = NULL;
        if (!holder.p) {
            select_gone(b->s, from); /* somebody was faster */
            continue;
        }
        snprintf(why, sizeof(why), "%.*s holds its unique key",
                 holder.len < ID_MAX_LEN ? (int)holder.len : ID_MAX_LEN,
                 holder.p);
        select_leave(b->s, from, why);
    }
}

static void on_requeued(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct errbuf eb = {""};
    int64_t moved;
    size_t refused;
    int rc = queue_requeue_result(err, r, &moved, &refused, &eb);

    b->answered = true;
    if (rc != 0) {
        b->status = client_tell_failed(b->s->client, rc, &eb, b->count);
        return;
    }
    tell_refused(b, r, refused);
    for (unsigned i = 0; i < b->count; i++) {
        if (b->all[i].from)
            select_done(b->s, b->all[i].from, true);
    }
}

/* A lock for a time is of the push, and is not let go of by a move. */
static bool takes_lock(const struct batch *b, const struct ready *e)
{
    return e->locked && !(b->to && e->unique.until == UNIQUE_TIME);
}

static int send(struct batch *b)
{
    struct requeue_job jobs[WALK_PAGE_MAX];
    bool dead = b->s->set == QUEUE_DEAD;

    for (unsigned i = 0; i < b->count; i++) {
        const struct ready *e = &b->all[i];
        const struct job *job = e->from->job;
        jobs[i] = (struct requeue_job){
            .member = e->from->element,
            .envelope = {e->envelope.data ? e->envelope.data : "",
                         e->envelope.len},
            .id = job->id,
            .unique = takes_lock(b, e) ? e->unique.key : NULL,
            .lock_ttl_ms = e->unique.ttl_ms,
            .keep = (dead || b->to) && job->keep_ms > 0 && job->id[0] != '\0'};
    }
    loop_role_assert();
    int rc = queue_requeue(client_conn(b->s->client), &b->s->keys, b->s->set,
                           b->to != NULL, jobs, b->count, on_requeued, b);
    int status = client_await(b->s->client, rc, &b->answered);
    return status != 0 ? status : b->status;
}

int requeue_jobs(struct select *s, const struct selected *jobs, unsigned n,
                 const char *to)
{
    struct batch b = {
        .s = s, .to = to, .all = mem_new(n * sizeof(struct ready))};
    int status = 0;

    for (unsigned i = 0; i < n; i++)
        take_up(&b, &jobs[i]);
    if (to) {
        keys_init(&b.there, s->o->ns, to);
        status = ask_there(&b);
    }
    if (status == 0 && b.count > 0)
        status = send(&b);
    if (status == 0 && to && b.count > 0)
        status = tell_lanes(&b);
    if (status == 0 && to && b.count > 0)
        bring_on(&b);
    for (unsigned i = 0; i < b.count; i++)
        buf_done(&b.all[i].envelope);
    free(b.all);
    return status;
}
