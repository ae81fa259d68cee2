/*
 * Sender: batches of jobs in flight.
 *
 * The first batch travels alone, by script: what is wrong with the queue, or
 * with what we may do, is then told exactly. The others go by transaction,
 * unless that is forbidden.
 *
 * Thread: that of the client.
 */
#include "producer/sender.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/append.h"
#include "producer/batch.h"

enum {
    BATCH_BYTES = 1024 * 1024,
    ADDED_BYTES = 256,      /* what completing adds to a line, at most */
    FLIGHT_BATCHES = 16,    /* enough that Redis never waits for us */
    FLIGHT_ONES = 256,      /* the same for jobs that go one by one */
    FLIGHT_BYTES = 8 << 20, /* bounds our memory, and Redis' buffer for us */
};

struct sender {
    struct sender_events events;
    struct client *client; /* borrowed */
    struct keys keys;

    struct batch *open;     /* owned; NULL: none */
    struct batches waiting; /* owned: to be sent as soon as they may */
    struct batches sent;    /* owned, oldest first */
    struct batches spare;   /* owned */
    unsigned flight, flight_ones;
    size_t flight_bytes;
    bool known;      /* the first batch came through */
    bool limited;    /* the queue has limits: one batch at a time */
    bool may_append; /* transactions are allowed */

    int status; /* 0 until it stopped */
    bool full;  /* since the queue is */
    char why[512];

    struct sender_sum sum;
    bool gap; /* a batch was taken in part: those behind it are late */
    uint64_t acked_line; /* all lines up to this one are settled */
};

static void list_queue(struct sender *s);
static void ask_limits(struct sender *s);
static void on_pushed(void *arg, int err, const struct reply *r);
static void on_news(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, int err, const struct reply *r);
static void on_limits(void *arg, int err, const struct reply *r);

struct sender *sender_new(struct client *client, const char *ns,
                          const char *queue, uint64_t acked,
                          const struct sender_events *events)
{
    struct sender *s = mem_new(sizeof(*s));

    s->events = *events;
    s->client = client;
    s->acked_line = acked;
    keys_init(&s->keys, ns, queue);
    STAILQ_INIT(&s->waiting);
    STAILQ_INIT(&s->sent);
    STAILQ_INIT(&s->spare);
    list_queue(s);
    ask_limits(s);
    return s;
}

static void list_queue(struct sender *s)
{
    struct args a = {0};

    loop_role_assert();
    args_str(&a, "SADD");
    args_str(&a, s->keys.queues);
    args_str(&a, s->keys.queue);
    /* A refusal means that the connection is gone, as the push will say. */
    (void)conn_call(client_conn(s->client), &a, clock_ms() + QUEUE_DEADLINE_MS,
                    false, on_listed, s);
    args_done(&a);
}

__attribute__((format(printf, 2, 3))) static void note(const struct sender *s,
                                                       const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    s->events.on_note(s->events.arg, text);
}

/* The set of queues is for people; a push does not depend on it. */
static void on_listed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    const struct sender *s = arg;

    if (err == 0 && reply_is_error(r))
        note(s, "%s: %s", s->keys.queues, reply_error(r));
}

/* Answered before the first batch is, and so before a second one goes. */
static void ask_limits(struct sender *s)
{
    struct args a = {0};

    loop_role_assert();
    args_str(&a, "HMGET");
    args_str(&a, s->keys.config);
    args_str(&a, "max_length");
    args_str(&a, "max_bytes");
    (void)conn_call(client_conn(s->client), &a, clock_ms() + QUEUE_DEADLINE_MS,
                    false, on_limits, s);
    args_done(&a);
}

/* Who may not ask finds out by a push, which is as good but less exact. */
static void on_limits(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct sender *s = arg;
    const char *p;
    size_t n;

    s->limited = err == 0 && (reply_str(reply_at(r, 0), &p, &n) ||
                              reply_str(reply_at(r, 1), &p, &n));
}

void sender_free(struct sender *s)
{
    if (!s)
        return;
    if (s->open)
        STAILQ_INSERT_HEAD(&s->spare, s->open, link);
    batch_free_all(&s->waiting);
    batch_free_all(&s->sent);
    batch_free_all(&s->spare);
    free(s);
}

struct buf *sender_begin(struct sender *s, size_t n)
{
    const struct batch *batch = s->open;

    if (batch && batch->text.len + n + ADDED_BYTES > BATCH_BYTES)
        sender_flush(s);
    if (!s->open) {
        s->open = batch_new(&s->spare);
        s->open->sender = s;
    }
    return &s->open->text;
}

void sender_add(struct sender *s, uint64_t line)
{
    assert(s->open && s->status == 0);
    batch_add(s->open, line);
    if (s->open->count == BATCH_JOBS)
        sender_flush(s);
}

void sender_add_one(struct sender *s, uint64_t line, const struct push_one *p)
{
    struct batch *plain = s->open;

    assert(plain && s->status == 0);
    if (plain->count > 0) {
        struct batch *own = batch_new(&s->spare);
        own->sender = s;
        batch_move_tail(plain, own);
        sender_flush(s); /* what came before it is before it */
        s->open = own;
    }
    batch_set_one(s->open, line, p);
    sender_flush(s);
}

static int send_batch(struct sender *s, struct batch *batch) ON_LOOP
{
    struct conn *c = client_conn(s->client);
    struct bytes envelopes[BATCH_JOBS];

    if (batch->is_one)
        return queue_push_one(c, &s->keys, &batch->one, on_pushed, batch);
    batch_envelopes(batch, envelopes);
    if (!s->known)
        append_probe(c, &s->may_append);
    batch->appended = s->known && s->may_append;
    if (batch->appended)
        return append_send(c, &s->keys, envelopes, batch->count,
                           &batch->refusal, on_pushed, batch);
    return queue_push(c, &s->keys, false, envelopes, batch->count, on_pushed,
                      batch);
}

/* Sends what waits, if it may go. */
static void send_waiting(struct sender *s) ON_LOOP
{
    struct batch *batch;

    while ((batch = STAILQ_FIRST(&s->waiting)) && s->status == 0 &&
           (s->flight == 0 || (s->known && !s->limited))) {
        STAILQ_REMOVE_HEAD(&s->waiting, link);
        STAILQ_INSERT_TAIL(&s->sent, batch, link);
        batch->state = BATCH_SENT;
        if (send_batch(s, batch) != 0) {
            batch->state = BATCH_REFUSED;
            sender_stop(s, EX_TEMPFAIL,
                        conn_is_up(client_conn(s->client))
                            ? "no memory to send the next job"
                            : "connection lost");
            return;
        }
        s->flight++;
        s->flight_ones += batch->is_one;
        s->flight_bytes += batch->text.len;
    }
}

void sender_flush(struct sender *s)
{
    struct batch *batch = s->open;

    loop_role_assert();
    if (!batch || batch->count == 0 || s->status != 0)
        return;
    s->open = NULL;
    STAILQ_INSERT_TAIL(&s->waiting, batch, link);
    send_waiting(s);
}

static void count_acked(struct sender *s, const struct batch *batch)
{
    if (!batch->is_one || batch->result.state == PUSH_DONE) {
        s->sum.pushed += batch->accepted;
    } else if (batch->result.state == PUSH_SAME) {
        s->sum.same++;
    } else if (batch->result.state == PUSH_REPLACED) {
        s->sum.replaced++;
    } else {
        s->sum.held++;
        s->sum.conflicts += batch->unique.on_conflict != UNIQUE_SKIP;
    }
}

/* Takes the acknowledged ones off the front, and from one of which a part is.
 */
static void advance(struct sender *s)
{
    struct batch *batch;

    while ((batch = STAILQ_FIRST(&s->sent)) && batch->accepted > 0 && !s->gap) {
        STAILQ_REMOVE_HEAD(&s->sent, link);
        s->acked_line = batch->lines[batch->accepted - 1];
        count_acked(s, batch);
        s->events.on_acked(s->events.arg, batch);
        s->gap = batch->accepted < batch->count;
        batch_recycle(&s->spare, batch);
    }
}

/* Of a full queue: how many of the batch are there all the same. */
static void take_full(struct sender *s, struct batch *batch, int64_t accepted,
                      int64_t depth)
{
    char why[96];

    batch->accepted = accepted < batch->count ? (unsigned)accepted : 0;
    snprintf(why, sizeof(why), "%s is full: %lld jobs wait", s->keys.queue,
             (long long)depth);
    s->full = s->status == 0;
    sender_stop(s, EX_TEMPFAIL, why);
    advance(s);
}

static int read_answer(struct batch *batch, int err, const struct reply *r,
                       struct push_result *ret, struct errbuf *eb) ON_LOOP
{
    if (batch->appended)
        return append_result(err, r, &batch->refusal, ret, eb);
    if (!batch->is_one)
        return queue_push_result(err, r, ret, eb);
    int rc = queue_push_one_result(err, r, &batch->result, eb);
    *ret = (struct push_result){.depth = batch->result.depth};
    return rc;
}

static void land(struct sender *s, const struct batch *batch)
{
    s->flight--;
    s->flight_ones -= batch->is_one;
    s->flight_bytes -= batch->text.len;
}

static void take_done(struct sender *s, struct batch *batch) ON_LOOP
{
    land(s, batch);
    s->known = true;
    batch->state = BATCH_DONE;
    batch->accepted = batch->count;
    advance(s);
    send_waiting(s);
}

/* Whether it has replaced another job, and the news of that are under way. */
static bool tells_news(struct sender *s, struct batch *batch) ON_LOOP
{
    return batch->is_one && batch->result.state == PUSH_REPLACED &&
           batch->result.holder[0] != '\0' &&
           queue_push_replaced(client_conn(s->client), &s->keys, &batch->one,
                               batch->result.holder, on_news, batch) == 0;
}

/* The job is what it is to be, whatever becomes of its news. */
static void on_news(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *batch = arg;
    struct sender *s = batch->sender;
    struct errbuf eb;

    if (queue_push_replaced_result(err, r, &eb) != 0) {
        note(s, "line %" PRIu64 ": what is kept of %s may be out of date: %s",
             batch->lines[0], batch->result.holder, eb.text);
    }
    take_done(s, batch);
}

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *batch = arg;
    struct sender *s = batch->sender;
    struct push_result pushed = {0};
    struct errbuf eb;
    int rc = read_answer(batch, err, r, &pushed, &eb);

    if (rc == 0) {
        if (!tells_news(s, batch))
            take_done(s, batch);
        return;
    }
    land(s, batch);
    batch->state = rc == ERR_UNKNOWN ? BATCH_UNKNOWN : BATCH_REFUSED;
    if (err != 0)
        sender_stop(s, EX_TEMPFAIL, "connection lost");
    else if (rc == ERR_UNKNOWN)
        sender_stop(s, EX_TEMPFAIL, eb.text);
    else if (rc == ERR_FULL)
        take_full(s, batch, pushed.accepted, pushed.depth);
    else
        sender_stop(s, client_push_status(rc, &eb), eb.text);
}

bool sender_has_room(const struct sender *s)
{
    if (!s->known || s->limited)
        return s->flight == 0 && STAILQ_EMPTY(&s->waiting);
    return s->flight - s->flight_ones < FLIGHT_BATCHES &&
           s->flight_ones < FLIGHT_ONES && s->flight_bytes < FLIGHT_BYTES;
}

bool sender_awaits(const struct sender *s)
{
    return s->flight > 0;
}

bool sender_holds(const struct sender *s)
{
    return !STAILQ_EMPTY(&s->waiting) || (s->open && s->open->count > 0);
}

void sender_stop(struct sender *s, int status, const char *why)
{
    if (s->status != 0)
        return;
    s->status = status;
    snprintf(s->why, sizeof(s->why), "%s", why);
}

bool sender_has_stopped(const struct sender *s)
{
    return s->status != 0;
}

const struct sender_sum *sender_get_sum(const struct sender *s)
{
    return &s->sum;
}

int sender_get_stop(const struct sender *s, const char **ret_why)
{
    *ret_why = s->why;
    return s->status;
}

bool sender_found_full(const struct sender *s)
{
    return s->full;
}

uint64_t sender_acked_line(const struct sender *s)
{
    return s->acked_line;
}

void sender_each_left(const struct sender *s,
                      void (*cb)(void *arg, const struct batch *batch),
                      void *arg)
{
    const struct batch *batch;

    STAILQ_FOREACH(batch, &s->sent, link)
    cb(arg, batch);
    STAILQ_FOREACH(batch, &s->waiting, link)
    cb(arg, batch);
    if (s->open)
        cb(arg, s->open);
}
