/*
 * belt emit: a job that follows the one that runs this script, or a part of
 * it, a sub-task.
 *
 * A job becomes an envelope as in belt push, from the same flags and forms of
 * a payload. It goes to the worker, which enqueues it in the step that settles
 * its own job as done.
 *
 * Thread: main.
 */
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/job/job.h"
#include "producer/complain.h"
#include "producer/control_line.h"
#include "producer/payload.h"
#include "producer/push_flags.h"

#define AT(member) offsetof(struct options, member)

enum { SIZE_MAX_BYTES = 64 << 20, KEY_MAX_BYTES = 256 };

static int payload_status(int err)
{
    return err == ERR_MISSING  ? EX_NOINPUT
           : err == ERR_SYSTEM ? EX_IOERR
                               : EX_DATAERR;
}

/* ---- a job ---- */

static int put_job(const struct options *o, const struct push_options *options,
                   struct buf *line, struct errbuf *eb)
{
    struct buf payload = {0};
    int rc = payload_build(o->args + 1, o->arg_count - 1, (size_t)o->max_bytes,
                           &payload, eb);
    /* created_at is the worker's: that it is not there yet says so. */
    struct job_spec spec = {
        .id = o->id,
        .type = o->args[0],
        .queue = o->only_queue,
        .payload = {payload.data, payload.len},
        .max_attempts = o->max_attempts,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms,
        .after = o->after,
    };

    push_options_apply(options, clock_wall_ms(), &spec);
    buf_str(line, "{\"op\":\"push\",\"job\":");
    if (rc == 0)
        rc = job_build(&spec, (size_t)o->max_bytes, line, eb);
    buf_str(line, "}\n");
    buf_done(&payload);
    return rc;
}

static int emit_job(const struct options *o)
{
    struct push_options options;
    struct buf line = {0};
    struct errbuf eb;
    int status;
    int rc = push_flags_read(o, &options, &eb);

    if (rc == ERR_INVALID) {
        status = fail(o, EX_USAGE, "%s", eb.text);
    } else {
        if (rc == 0)
            rc = put_job(o, &options, &line, &eb);
        status = rc == 0 ? control_send(o, &line)
                         : fail(o, payload_status(rc), "%s", eb.text);
    }
    push_options_done(&options);
    buf_done(&line);
    return status;
}

/* ---- sub-tasks ---- */

static int emit_subtask(const struct options *o)
{
    struct buf line = {0}, payload = {0};
    struct errbuf eb;
    const char *type = o->args[0];
    size_t n = strlen(type), key = o->key ? strlen(o->key) : 0;
    int status;

    if (n > JOB_TYPE_MAX_LEN || text_utf8_error(type, n) != n ||
        text_control(type, n) != n)
        return fail(o, EX_DATAERR, "%s: not a type", type);
    if (o->key && (key > KEY_MAX_BYTES || text_utf8_error(o->key, key) != key))
        return fail(o, EX_DATAERR, "--key: up to %d bytes of UTF-8",
                    KEY_MAX_BYTES);
    int rc = payload_build(o->args + 1, o->arg_count - 1, (size_t)o->max_bytes,
                           &payload, &eb);
    if (rc == 0) {
        buf_str(&line, "{\"op\":\"subtask\"");
        control_text(&line, "type", type, n);
        if (o->key)
            control_text(&line, "key", o->key, key);
        buf_str(&line, ",\"payload\":");
        buf_append(&line, payload.data, payload.len);
        buf_str(&line, "}\n");
        status = control_send(o, &line);
    } else {
        status = fail(o, payload_status(rc), "%s", eb.text);
    }
    buf_done(&payload);
    buf_done(&line);
    return status;
}

/* How sub-tasks are run: the members that a worker knows, and their values. */
static const struct {
    const char *name, *values[2];
} hows[] = {{"order", {"\"finished\"", "\"emitted\""}},
            {"on_error", {"\"fail\"", "\"collect\""}},
            {"results", {"true", "false"}}};
enum { HOWS = sizeof(hows) / sizeof(hows[0]) };

static bool is_value(struct json_span value, const char *text)
{
    return value.len == strlen(text) && memcmp(value.p, text, value.len) == 0;
}

static int on_how(void *arg, struct json_span key, struct json_span value,
                  struct errbuf *eb)
{
    (void)arg;
    for (int i = 0; i < HOWS; i++) {
        const char *const *values = hows[i].values;
        if (!json_string_is(key, hows[i].name))
            continue;
        if (is_value(value, values[0]) || is_value(value, values[1]))
            return 0;
        return errbuf_set(eb, ERR_INVALID, "%s: %s or %s", hows[i].name,
                          values[0], values[1]);
    }
    return errbuf_set(eb, ERR_INVALID,
                      "%.*s: order, on_error and results are known",
                      (int)(key.len < 64 ? key.len : 64), key.p);
}

static int emit_subtasks(const struct options *o)
{
    struct buf how = {0}, line = {0};
    struct errbuf eb;
    int status;
    int rc =
        payload_build(o->args, o->arg_count, (size_t)o->max_bytes, &how, &eb);

    if (rc == 0 && o->arg_count > 0)
        rc = json_scan_object(how.data, how.len, on_how, NULL, &eb);
    if (rc == 0) {
        buf_str(&line, "{\"op\":\"subtasks\"");
        if (o->arg_count > 0 && how.len > 2) {
            buf_char(&line, ',');
            buf_append(&line, how.data + 1, how.len - 2);
        }
        buf_str(&line, "}\n");
        status = control_send(o, &line);
    } else {
        status = fail(o, payload_status(rc), "%s", eb.text);
    }
    buf_done(&how);
    buf_done(&line);
    return status;
}

static int emit_word(const struct options *o, const char *op)
{
    struct buf line = {0};

    if (o->arg_count > 0)
        return fail(o, EX_USAGE, "%s: too many arguments", o->args[0]);
    buf_printf(&line, "{\"op\":\"%s\"}\n", op);
    int status = control_send(o, &line);
    buf_done(&line);
    return status;
}

/* ---- which ---- */

static bool says_job(const struct options *o)
{
    return o->only_queue || o->id || o->max_attempts || o->timeout_ms ||
           o->keep_ms || o->after || push_flags_given(o);
}

static int run_emit(const struct options *o)
{
    int others = o->subtask + o->subtasks + o->end + o->cancel;

    if (others > 1)
        return fail(o, EX_USAGE,
                    "--subtask, --subtasks, --end and --cancel: one of them");
    if (others > 0 && says_job(o))
        return fail(o, EX_USAGE,
                    "a sub-task has a TYPE, a payload and --key, and no flag "
                    "of a job");
    if (o->key && !o->subtask)
        return fail(o, EX_USAGE, "--key is for --subtask");
    if (o->subtasks)
        return emit_subtasks(o);
    if (o->end || o->cancel)
        return emit_word(o, o->end ? "subtasks_end" : "subtasks_cancel");
    if (o->arg_count == 0)
        return fail(o, EX_USAGE, "TYPE is missing; see belt emit --help");
    return o->subtask ? emit_subtask(o) : emit_job(o);
}

static const struct flag flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(only_queue), 0, 0,
     "where to (default: the queue of this job)"},
    {"id", 0, FLAG_TEXT, "ID", AT(id), 0, 0, "instead of a fresh ULID"},
    {"max-attempts", 0, FLAG_INT, "N", AT(max_attempts), 1, PUSH_ATTEMPTS_MAX,
     "then it is dead (20)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, JOB_DURATION_MAX_MS,
     "of an attempt (the handler's)"},
    {"keep", 0, FLAG_DURATION, "D", AT(keep_ms), 1, JOB_DURATION_MAX_MS,
     "how long its result is kept (not at all)"},
    {"in", 0, FLAG_DURATION, "D", AT(in_ms), 1, JOB_DURATION_MAX_MS,
     "not to be run before so long from when this job is done"},
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
     "skip, or replace (a job that is not due yet)"},
    {"then", 0, FLAG_LIST, "JOB", AT(then), 0, 0,
     "to push when it is done: JSON, @FILE or type=TYPE; repeatable"},
    {"meta", 0, FLAG_LIST, "KEY=VALUE", AT(meta), 0, 0,
     "carried along: traceparent and the like; repeatable"},
    {"subtask", 0, FLAG_BOOL, NULL, AT(subtask), 0, 0,
     "a part of this job, run by its worker"},
    {"key", 0, FLAG_TEXT, "KEY", AT(key), 0, 0,
     "comes back with the result of the sub-task"},
    {"subtasks", 0, FLAG_BOOL, NULL, AT(subtasks), 0, 0,
     "before the first: order=finished|emitted, on_error=fail|collect,\n"
     "                            results:=true|false"},
    {"end", 0, FLAG_BOOL, NULL, AT(end), 0, 0, "behind the last sub-task"},
    {"cancel", 0, FLAG_BOOL, NULL, AT(cancel), 0, 0,
     "the sub-tasks that have not ended"},
    {"max-bytes", 0, FLAG_SIZE, "SIZE", AT(max_bytes), 64, SIZE_MAX_BYTES,
     "of an envelope (1m)"},
    {0},
};

const struct command cmd_emit = {
    .name = "emit",
    .usage = "TYPE [PAYLOAD | - | @FILE | key=value key:=json ...]\n"
             "belt emit --subtask [--key KEY] TYPE [PAYLOAD ...]\n"
             "belt emit --subtasks [order=...] [on_error=...] [results:=...]\n"
             "belt emit --end | --cancel",
    .summary = "In a handler: push a job that follows, or a sub-task",
    .details =
        "A job is enqueued in the step that settles the one that runs this "
        "script as done, or\nnot at all; it is given to the worker, not to "
        "Redis, and nothing is printed. What\nthe worker refuses (more than "
        "1000 jobs of one run, say) fails the run, and its log\ntells why. "
        "A sub-task is no job: it is run at once, inside the worker, and its "
        "result\ncomes on descriptor 4: docs/HANDLERS.md. Forms of PAYLOAD: "
        "belt help payload.\n",
    .flags = flags,
    .max_args = -1,
    .run = run_emit,
};
