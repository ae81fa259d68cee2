/*
 * belt push: put a job, or a file of jobs, at the end of a queue.
 *
 * One job costs one connection and, once Redis knows the script, one round
 * trip.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/ulid.h"
#include "common/job/job.h"
#include "common/redis/queue.h"
#include "producer/bulk.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/payload.h"
#include "producer/push_flags.h"
#include "producer/push_job.h"
#include "producer/push_tell.h"
#include "producer/push_wait.h"

#define AT(member) offsetof(struct options, member)

enum { SIZE_MAX_BYTES = 64 << 20 };

struct push {
    const struct options *o;    /* borrowed */
    const struct push_one *one; /* borrowed */
    struct push_one_result result;
    int status;
};

static void push(struct push *p, struct client *client)
{
    struct push_outcome outcome;
    struct keys keys;

    keys_init(&keys, p->o->ns, p->o->queue);
    p->status = push_job(client, &keys, p->one, &outcome);
    p->result = outcome.result;
    if (p->status == 0)
        p->status = push_tell_other(p->o, p->one, &p->result);
}

static int deliver(const struct options *o, const struct push_one *one)
{
    struct push p = {.o = o, .one = one};
    struct await *w = NULL;
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    p.status = push_wait_begin(o, client, one->id, &w);
    if (p.status == 0)
        push(&p, client);
    if (p.status == 0 && w)
        p.status = push_wait_end(o, client, w, &p.result);
    else if (p.status == 0)
        push_print_id(o, one, &p.result);
    else
        await_free(w);
    client_close(client);
    return p.status;
}

static int payload_status(int err)
{
    return err == ERR_MISSING  ? EX_NOINPUT
           : err == ERR_SYSTEM ? EX_IOERR
                               : EX_DATAERR;
}

/* Writes the envelope, and what push_one heeds of it. */
static int build(const struct options *o, const struct push_options *options,
                 const struct buf *payload, struct buf *envelope,
                 struct push_one *one, struct errbuf *eb)
{
    struct job_spec spec = {
        .id = one->id,
        .type = o->args[0],
        .payload = {payload->data, payload->len},
        .created_at_ms = clock_wall_ms(),
        .max_attempts = o->max_attempts,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms || !o->wait ? o->keep_ms : PUSH_WAIT_KEEP_MS,
        .after = o->after,
    };
    const char *id = one->id;
    int rc =
        push_job_build(&spec, options, (size_t)o->max_bytes, envelope, one, eb);
    one->front = o->front;
    one->id = id;
    return rc;
}

static int push_one(const struct options *o, const struct push_options *options)
{
    struct buf payload = {0}, envelope = {0};
    struct errbuf eb;
    char fresh[ULID_LEN + 1];
    struct push_one one = {.id = o->id ? o->id : fresh};
    int status;
    int rc = payload_build(o->args + 1, o->arg_count - 1, (size_t)o->max_bytes,
                           &payload, &eb);

    ulid_make(fresh);
    if (rc == 0)
        rc = build(o, options, &payload, &envelope, &one, &eb);
    if (rc == 0)
        status = deliver(o, &one);
    else
        status = fail(o, payload_status(rc), "%s", eb.text);
    buf_done(&payload);
    buf_done(&envelope);
    return status;
}

static int run_bulk(const struct options *o, const struct push_options *options)
{
    if (o->arg_count > 1)
        return fail(o, EX_USAGE, "--ndjson takes one FILE, or - for stdin");
    if (o->id || o->front || o->unique || o->after)
        return fail(o, EX_USAGE,
                    "--id, --front, --unique and --after are not for --ndjson");
    if (!o->type &&
        (o->max_attempts || o->timeout_ms || o->keep_ms || push_flags_given(o)))
        return fail(o, EX_USAGE,
                    "without --type each line of --ndjson has its own members "
                    "like max_attempts, timeout, keep, in and backoff");
    if (o->format == OUT_JSON || o->format == OUT_TSV)
        return fail(o, EX_USAGE, "--ndjson prints ids only as -o ndjson");
    return bulk_push(o, options, o->arg_count == 1 ? o->args[0] : "-");
}

static int run_single(const struct options *o,
                      const struct push_options *options)
{
    if (o->arg_count == 0)
        return fail(o, EX_USAGE, "TYPE is missing; see belt push --help");
    if (o->type || o->skip)
        return fail(o, EX_USAGE, "--type and --skip are for --ndjson");
    if (o->id && !text_is_id(o->id, strlen(o->id)))
        return fail(o, EX_USAGE, "--id: %s: up to 64 of A-Z a-z 0-9 . _ : -",
                    o->id);
    if (o->front && (options->at_ms || options->in_ms))
        return fail(o, EX_USAGE,
                    "--front is not for what waits until it is due");
    return push_one(o, options);
}

static int run_push(const struct options *o)
{
    struct push_options options;
    struct errbuf eb;
    int status;
    int rc = push_flags_read(o, &options, &eb);

    if (rc != 0)
        status = fail(o, rc == ERR_INVALID ? EX_USAGE : payload_status(rc),
                      "%s", eb.text);
    else if ((status = push_wait_check(o)) == 0)
        status = o->ndjson ? run_bulk(o, &options) : run_single(o, &options);
    push_options_done(&options);
    return status;
}

static const struct flag flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "where to (default: \"default\")"},
    {"id", 0, FLAG_TEXT, "ID", AT(id), 0, 0, "instead of a fresh ULID"},
    {"front", 0, FLAG_BOOL, NULL, AT(front), 0, 0,
     "to the head of the queue: it runs next"},
    {"max-attempts", 0, FLAG_INT, "N", AT(max_attempts), 1, PUSH_ATTEMPTS_MAX,
     "then it is dead (20)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, JOB_DURATION_MAX_MS,
     "of an attempt (the handler's)"},
    {"keep", 0, FLAG_DURATION, "D", AT(keep_ms), 1, JOB_DURATION_MAX_MS,
     "how long its result is kept (not at all)"},
    {"in", 0, FLAG_DURATION, "D", AT(in_ms), 1, JOB_DURATION_MAX_MS,
     "not to be run before so long from now"},
    {"at", 0, FLAG_TEXT, "INSTANT", AT(at), 0, 0,
     "not before then: 2026-11-26T09:30:00+01:00, or ...Z"},
    {"after", 0, FLAG_TEXT, "QUEUE/ID", AT(after), 0, 0,
     "not before that kept job is done; dead if it is not"},
    {"expires", 0, FLAG_TEXT, "D|INSTANT", AT(expires), 0, 0,
     "not to be begun later than that, or D after it is due"},
    {"backoff", 0, FLAG_TEXT, "POLICY", AT(backoff), 0, 0,
     "between attempts: default, exponential:1s:2:1h, fixed:30s, 10s,1m,5m"},
    {"unique", 0, FLAG_TEXT, "KEY[:TTL]", AT(unique), 0, 0,
     "one job at a time has KEY: until it ends, or for TTL"},
    {"until", 0, FLAG_TEXT, "WHEN", AT(until), 0, 0,
     "KEY is free when the job is done (it has ended) or started"},
    {"on-conflict", 0, FLAG_TEXT, "DO", AT(on_conflict), 0, 0,
     "skip, replace (a job that is not due yet), or error"},
    {"then", 0, FLAG_LIST, "JOB", AT(then), 0, 0,
     "to push when this is done: JSON, @FILE or type=TYPE; repeatable"},
    {"meta", 0, FLAG_LIST, "KEY=VALUE", AT(meta), 0, 0,
     "carried along: traceparent and the like; repeatable"},
    {"wait", 0, FLAG_BOOL, NULL, AT(wait), 0, 0,
     "until it has ended: print that, and exit as belt wait does"},
    {"wait-timeout", 0, FLAG_DURATION, "D", AT(wait_timeout_ms), 1,
     JOB_DURATION_MAX_MS, "no longer than that: exit 124"},
    {"raw", 0, FLAG_BOOL, NULL, AT(raw), 0, 0,
     "with --wait: the bytes of its result and nothing else"},
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
    .details =
        "A job is acknowledged when Redis has it: then the exit status "
        "is 0.\n75 says try again: the queue is full, say; with \"outcome "
        "unknown\" the job may\nbe there already. With --id ID --unique "
        "KEY:TTL pushing it again is safe.\nWhere KEY is held, what is "
        "printed is the queue/id of its holder,\nand what --wait waits for is "
        "the holder. --wait keeps the result for 1h unless\n--keep says. "
        "Forms of PAYLOAD: belt help payload.\n",
    .flags = flags,
    .max_args = -1,
    .run = run_push,
};
