/*
 * belt push: put a job, or a file of jobs, at the end of a queue.
 *
 * One job costs one connection and, once Redis knows the script, one round
 * trip: the name of the queue travels in front of the push.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/ulid.h"
#include "common/job/job.h"
#include "common/redis/queue.h"
#include "producer/bulk.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/out.h"
#include "producer/payload.h"

#define AT(member) offsetof(struct options, member)
#define DAY_MS (24LL * 3600 * 1000)

enum { ATTEMPTS_MAX = 1000000, SIZE_MAX_BYTES = 64 << 20 };

struct push {
    const struct options *o; /* borrowed */
    struct keys keys;
    bool answered;
    int status; /* once answered */
};

static void on_pushed(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, int err, const struct reply *r);

static void send_all(struct push *p, struct client *client,
                     const struct buf *envelope)
{
    struct bytes bytes = {envelope->data, envelope->len};
    struct conn *conn = client_conn(client);
    struct args a = {0};

    loop_role_assert();
    args_str(&a, "SADD");
    args_str(&a, p->keys.queues);
    args_str(&a, p->keys.queue);
    int rc = conn_call(conn, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                       on_listed, p);
    args_done(&a);
    if (rc == 0)
        rc = queue_push(conn, &p->keys, p->o->front, &bytes, 1, on_pushed, p);
    if (rc != 0) {
        p->answered = true;
        p->status = fail(p->o, EX_UNAVAILABLE, "%s: not sent: %s",
                         client_url(client), client_down_why(client));
    }
}

/* The set of queues is for people; a push does not depend on it. */
static void on_listed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    const struct push *p = arg;

    if (err == 0 && reply_is_error(r))
        complain(p->o, "%s: %s", p->keys.queues, reply_error(r));
}

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct push *p = arg;
    struct errbuf eb;
    struct push_result pushed;
    int rc = queue_push_result(err, r, &pushed, &eb);

    p->answered = true;
    if (rc == ERR_UNKNOWN)
        p->status = fail(p->o, EX_TEMPFAIL,
                         "outcome unknown: the connection was lost before "
                         "Redis answered; the job may be in %s or not",
                         p->keys.queue);
    else if (rc == ERR_REFUSED)
        p->status = fail(p->o, EX_TEMPFAIL, "not pushed: connection lost");
    else if (rc != 0)
        p->status =
            fail(p->o, client_push_status(rc, &eb), "not pushed: %s", eb.text);
}

static void print_id(const struct push *p, const char *id)
{
    static const struct column columns[] = {
        {"queue", FOR_ALL, false}, {"id", FOR_ALL, false}, {0}};

    if (p->o->format == OUT_TABLE) {
        printf("%s/%s\n", p->keys.queue, id);
    } else if (p->o->format == OUT_JSON) { /* one job: no array */
        printf("{\"queue\":\"%s\",\"id\":\"%s\"}\n", p->keys.queue, id);
    } else {
        struct out *out = out_new(p->o, columns);
        out_str(out, p->keys.queue);
        out_str(out, id);
        out_row(out);
        out_end(out);
    }
}

static int deliver(const struct options *o, const struct buf *envelope,
                   const char *id)
{
    struct push p = {.o = o};
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    keys_init(&p.keys, o->ns, o->queue);
    send_all(&p, client, envelope);
    while (!p.answered)
        client_turn(client, true);
    client_close(client);
    if (p.status == 0)
        print_id(&p, id);
    return p.status;
}

static int payload_status(int err)
{
    return err == ERR_MISSING  ? EX_NOINPUT
           : err == ERR_SYSTEM ? EX_IOERR
                               : EX_DATAERR;
}

static int push_one(const struct options *o)
{
    struct buf payload = {0}, envelope = {0};
    struct errbuf eb;
    char fresh[ULID_LEN + 1];
    int status;
    int rc = payload_build(o->args + 1, o->arg_count - 1, (size_t)o->max_bytes,
                           &payload, &eb);

    ulid_make(fresh);
    struct job_spec spec = {
        .id = o->id ? o->id : fresh,
        .type = o->args[0],
        .payload = {payload.data, payload.len},
        .created_at_ms = clock_wall_ms(),
        .max_attempts = o->max_attempts,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms,
    };
    if (rc == 0)
        rc = job_build(&spec, (size_t)o->max_bytes, &envelope, &eb);
    if (rc == 0)
        status = deliver(o, &envelope, spec.id);
    else
        status = fail(o, payload_status(rc), "%s", eb.text);
    buf_done(&payload);
    buf_done(&envelope);
    return status;
}

static int run_bulk(const struct options *o)
{
    if (o->arg_count > 1)
        return fail(o, EX_USAGE, "--ndjson takes one FILE, or - for stdin");
    if (o->id || o->front)
        return fail(o, EX_USAGE, "--id and --front are not for --ndjson");
    if (!o->type && (o->max_attempts || o->timeout_ms || o->keep_ms))
        return fail(o, EX_USAGE,
                    "without --type each line of --ndjson has its own "
                    "max_attempts, timeout and keep");
    if (o->format == OUT_JSON || o->format == OUT_TSV)
        return fail(o, EX_USAGE, "--ndjson prints ids only as -o ndjson");
    return bulk_push(o, o->arg_count == 1 ? o->args[0] : "-");
}

static int run_push(const struct options *o)
{
    if (o->ndjson)
        return run_bulk(o);
    if (o->arg_count == 0)
        return fail(o, EX_USAGE, "TYPE is missing; see belt push --help");
    if (o->type || o->skip)
        return fail(o, EX_USAGE, "--type and --skip are for --ndjson");
    if (o->id && !text_is_id(o->id, strlen(o->id)))
        return fail(o, EX_USAGE, "--id: %s: up to 64 of A-Z a-z 0-9 . _ : -",
                    o->id);
    return push_one(o);
}

static const struct flag flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "where to (default: \"default\")"},
    {"id", 0, FLAG_TEXT, "ID", AT(id), 0, 0, "instead of a fresh ULID"},
    {"front", 0, FLAG_BOOL, NULL, AT(front), 0, 0,
     "to the head of the queue: it runs next"},
    {"max-attempts", 0, FLAG_INT, "N", AT(max_attempts), 1, ATTEMPTS_MAX,
     "then it is dead (20)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, 366 * DAY_MS,
     "of an attempt (the handler's)"},
    {"keep", 0, FLAG_DURATION, "D", AT(keep_ms), 1, 366 * DAY_MS,
     "how long its result is kept (not at all)"},
    {"ndjson", 0, FLAG_BOOL, NULL, AT(ndjson), 0, 0,
     "many jobs: one a line, from FILE or stdin"},
    {"type", 0, FLAG_TEXT, "TYPE", AT(type), 0, 0,
     "the lines are bare payloads of this type"},
    {"skip", 0, FLAG_INT, "N", AT(skip), 1, INT64_MAX,
     "leave out the first N lines: resume"},
    {"max-bytes", 0, FLAG_SIZE, "SIZE", AT(max_bytes), 64, SIZE_MAX_BYTES,
     "of an envelope or line (1m)"},
    {0},
};

const struct command cmd_push = {
    .name = "push",
    .usage = "TYPE [PAYLOAD | - | @FILE | key=value key:=json ...]\n"
             "belt push --ndjson [--type TYPE] [FILE | -]",
    .summary = "Put a job into a queue and print its queue/id",
    .details = "A job is acknowledged when Redis has it: then the exit status "
               "is 0.\n75 says try again; with \"outcome unknown\" the job may "
               "be there already.\n",
    .flags = flags,
    .max_args = -1,
    .run = run_push,
};
