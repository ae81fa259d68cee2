/*
 * Sender: batches of jobs in flight.
 *
 * The first batch travels alone, by script: what is wrong with the queue, or
 * with what we may do, is then told exactly. The others go by transaction,
 * unless that is forbidden.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/sender.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/queue.h"
#include "producer/append.h"
#include "producer/complain.h"

enum {
    BATCH_JOBS = QUEUE_BATCH_MAX,
    BATCH_BYTES = 1024 * 1024,
    ADDED_BYTES = 256,      /* what completing adds to a line, at most */
    FLIGHT_BATCHES = 16,    /* enough that Redis never waits for us */
    FLIGHT_BYTES = 8 << 20, /* bounds our memory, and Redis' buffer for us */
};

enum batch_state { BATCH_SENT, BATCH_DONE, BATCH_REFUSED, BATCH_UNKNOWN };

struct batch {
    STAILQ_ENTRY(batch) link;
    struct sender *sender; /* borrowed */
    enum batch_state state;
    struct buf text; /* the envelopes, one behind the other */
    size_t ends[BATCH_JOBS];
    unsigned count;
    uint64_t first_line, last_line;
    bool appended; /* by a transaction */
    struct errbuf refusal;
};

STAILQ_HEAD(batches, batch);

struct sender {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct keys keys;

    struct batch *open;   /* owned; NULL: none */
    struct batches sent;  /* owned, oldest first */
    struct batches spare; /* owned */
    unsigned flight;
    size_t flight_bytes;
    bool known;      /* the first batch came through */
    bool may_append; /* transactions are allowed */

    int status; /* 0 until it stopped */
    char why[512];

    uint64_t jobs;       /* acknowledged */
    uint64_t acked_line; /* all lines up to this one are settled */
};

static void list_queue(struct sender *s);
static void on_pushed(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, int err, const struct reply *r);

struct sender *sender_new(const struct options *o, struct client *client)
{
    struct sender *s = mem_new(sizeof(*s));

    s->o = o;
    s->client = client;
    s->acked_line = (uint64_t)o->skip;
    keys_init(&s->keys, o->ns, o->queue);
    STAILQ_INIT(&s->sent);
    STAILQ_INIT(&s->spare);
    list_queue(s);
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

/* The set of queues is for people; a push does not depend on it. */
static void on_listed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    const struct sender *s = arg;

    if (err == 0 && reply_is_error(r))
        complain(s->o, "%s: %s", s->keys.queues, reply_error(r));
}

static void free_batches(struct batches *list)
{
    struct batch *batch;

    while ((batch = STAILQ_FIRST(list))) {
        STAILQ_REMOVE_HEAD(list, link);
        buf_done(&batch->text);
        free(batch);
    }
}

void sender_free(struct sender *s)
{
    if (!s)
        return;
    if (s->open)
        STAILQ_INSERT_HEAD(&s->spare, s->open, link);
    free_batches(&s->sent);
    free_batches(&s->spare);
    free(s);
}

static struct batch *new_batch(struct sender *s)
{
    struct batch *batch = STAILQ_FIRST(&s->spare);

    if (batch)
        STAILQ_REMOVE_HEAD(&s->spare, link);
    else
        batch = mem_new(sizeof(*batch));
    batch->sender = s;
    batch->count = 0;
    buf_clear(&batch->text);
    return batch;
}

struct buf *sender_begin(struct sender *s, size_t n, uint64_t line)
{
    const struct batch *batch = s->open;

    if (batch && batch->text.len + n + ADDED_BYTES > BATCH_BYTES)
        sender_flush(s);
    if (!s->open)
        s->open = new_batch(s);
    if (s->open->count == 0)
        s->open->first_line = line;
    return &s->open->text;
}

void sender_add(struct sender *s, uint64_t line)
{
    struct batch *batch = s->open;

    assert(batch && batch->count < BATCH_JOBS && s->status == 0);
    batch->ends[batch->count++] = batch->text.len;
    batch->last_line = line;
    if (batch->count == BATCH_JOBS)
        sender_flush(s);
}

static int send_batch(struct sender *s, struct batch *batch,
                      const struct bytes *envelopes) ON_LOOP
{
    struct conn *c = client_conn(s->client);

    if (!s->known)
        append_probe(c, &s->may_append);
    batch->appended = s->known && s->may_append;
    if (batch->appended)
        return append_send(c, &s->keys, envelopes, batch->count,
                           &batch->refusal, on_pushed, batch);
    return queue_push(c, &s->keys, false, envelopes, batch->count, on_pushed,
                      batch);
}

void sender_flush(struct sender *s)
{
    struct bytes envelopes[BATCH_JOBS];
    struct batch *batch = s->open;
    size_t start = 0;

    loop_role_assert();
    if (!batch || batch->count == 0 || s->status != 0)
        return;
    for (unsigned i = 0; i < batch->count; i++) {
        envelopes[i].p = batch->text.data + start;
        envelopes[i].len = batch->ends[i] - start;
        start = batch->ends[i];
    }
    s->open = NULL;
    batch->state = BATCH_SENT;
    STAILQ_INSERT_TAIL(&s->sent, batch, link);
    if (send_batch(s, batch, envelopes) == 0) {
        s->flight++;
        s->flight_bytes += batch->text.len;
        return;
    }
    batch->state = BATCH_REFUSED;
    sender_stop(s, EX_TEMPFAIL,
                conn_is_up(client_conn(s->client))
                    ? "no memory to send the next job"
                    : "connection lost");
}

/* {"queue":…,"id":…} for each job; envelopes begin with {"id":"…". */
static void print_ids(const struct sender *s, const struct batch *batch)
{
    static const char front[] = "{\"id\":\"";
    size_t start = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        const char *id = batch->text.data + start + sizeof(front) - 1;
        assert(memcmp(batch->text.data + start, front, sizeof(front) - 1) == 0);
        printf("{\"queue\":\"%s\",\"id\":\"%.*s\"}\n", s->keys.queue,
               (int)strcspn(id, "\""), id);
        start = batch->ends[i];
    }
}

static void recycle(struct sender *s, struct batch *batch)
{
    if (batch->text.cap > 2 * BATCH_BYTES)
        buf_done(&batch->text); /* one huge job: do not hold its memory */
    STAILQ_INSERT_HEAD(&s->spare, batch, link);
}

/* Takes the acknowledged ones off the front. */
static void advance(struct sender *s)
{
    struct batch *batch;

    while ((batch = STAILQ_FIRST(&s->sent)) && batch->state == BATCH_DONE) {
        STAILQ_REMOVE_HEAD(&s->sent, link);
        s->jobs += batch->count;
        s->acked_line = batch->last_line;
        if (s->o->format == OUT_NDJSON)
            print_ids(s, batch);
        recycle(s, batch);
    }
    if (ferror(stdout))
        sender_stop(s, EX_IOERR, "standard output cannot be written");
}

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *batch = arg;
    struct sender *s = batch->sender;
    struct errbuf eb;
    struct push_result pushed;
    int rc = batch->appended
                 ? append_result(err, r, &batch->refusal, &pushed, &eb)
                 : queue_push_result(err, r, &pushed, &eb);

    s->flight--;
    s->flight_bytes -= batch->text.len;
    if (rc == 0) {
        s->known = true;
        batch->state = BATCH_DONE;
        advance(s);
        return;
    }
    batch->state = rc == ERR_UNKNOWN ? BATCH_UNKNOWN : BATCH_REFUSED;
    if (err != 0)
        sender_stop(s, EX_TEMPFAIL, "connection lost");
    else if (rc == ERR_UNKNOWN)
        sender_stop(s, EX_TEMPFAIL, eb.text);
    else
        sender_stop(s, client_push_status(rc, &eb), eb.text);
}

bool sender_has_room(const struct sender *s)
{
    if (!s->known)
        return s->flight == 0;
    return s->flight < FLIGHT_BATCHES && s->flight_bytes < FLIGHT_BYTES;
}

bool sender_awaits(const struct sender *s)
{
    return s->flight > 0;
}

bool sender_holds(const struct sender *s)
{
    return s->open && s->open->count > 0;
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

uint64_t sender_jobs(const struct sender *s)
{
    return s->jobs;
}

int sender_tell_stop(const struct sender *s)
{
    const struct batch *batch;

    if (s->status == 0)
        return 0;
    complain(s->o, "%s: stopped: %s%s%s", client_url(s->client), s->why,
             client_is_down(s->client) ? ": " : "", client_down_why(s->client));
    STAILQ_FOREACH(batch, &s->sent, link)
    {
        const char *what = batch->state == BATCH_UNKNOWN ? "outcome unknown"
                           : batch->state == BATCH_DONE  ? "pushed"
                                                         : NULL;
        if (what)
            complain(s->o,
                     "%s: lines %" PRIu64 " to %" PRIu64
                     ", which --skip %" PRIu64 " would push again",
                     what, batch->first_line, batch->last_line, s->acked_line);
    }
    complain(s->o,
             "all lines up to %" PRIu64
             " are acknowledged; to resume behind them: --skip %" PRIu64,
             s->acked_line, s->acked_line);
    return s->status;
}
