/*
 * belt run: a command line for a worker that allows it.
 *
 * The job is kept, so that its output is there for belt logs and another one
 * can come after it. With --wait its lines are shown as they come, those of
 * stdout on stdout, and the exit status is that of the command: as if it ran
 * here.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/base/ulid.h"
#include "common/job/job.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/failure.h"
#include "producer/follow.h"
#include "producer/kept.h"
#include "producer/payload.h"
#include "producer/push_flags.h"
#include "producer/push_job.h"
#include "producer/push_tell.h"

#define AT(member) offsetof(struct options, member)
#define TYPE_DEFAULT "belt.command"
#define KEEP_DEFAULT_MS (24LL * 3600 * 1000)

enum { SIZE_MAX_BYTES = 64 << 20 };

struct run {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct keys keys;
    struct job_name name;
    struct push_one one;
    struct push_one_result pushed;
};

/* ---- the payload ---- */

static int put_word(struct buf *out, const char *word, struct errbuf *eb)
{
    size_t n = strlen(word);

    /* JSON cannot carry it, and something like it is another command. */
    if (text_utf8_error(word, n) != n)
        return errbuf_set(eb, ERR_INVALID, "%.40s: not UTF-8", word);
    buf_json_string(out, word, n);
    return 0;
}

static int put_argv(const struct options *o, struct buf *out, struct errbuf *eb)
{
    int rc = 0;

    buf_str(out, "{\"argv\":[");
    for (int i = 0; i < o->arg_count && rc == 0; i++) {
        if (i > 0)
            buf_char(out, ',');
        rc = put_word(out, o->args[i], eb);
    }
    buf_char(out, ']');
    return rc;
}

static int put_env(const struct options *o, struct buf *out, struct errbuf *eb)
{
    int rc = 0;

    buf_str(out, ",\"env\":{");
    for (int i = 0; i < o->env.count && rc == 0; i++) {
        const char *text = o->env.texts[i], *equals = strchr(text, '=');
        if (!equals || equals == text)
            return errbuf_set(eb, ERR_INVALID, "--env: %.40s: not NAME=VALUE",
                              text);
        if (i > 0)
            buf_char(out, ',');
        char *name = strndup(text, (size_t)(equals - text));
        rc = name ? put_word(out, name, eb) : ERR_NOMEM;
        free(name);
        buf_char(out, ':');
        if (rc == 0)
            rc = put_word(out, equals + 1, eb);
    }
    buf_char(out, '}');
    return rc;
}

static int put_input(const struct options *o, struct buf *out,
                     struct errbuf *eb)
{
    struct buf text = {0};
    int rc = payload_read(STDIN_FILENO, "standard input", (size_t)o->max_bytes,
                          &text, eb);

    if (rc == 0 && (text_utf8_error(text.data, text.len) != text.len ||
                    memchr(text.data, '\0', text.len)))
        rc = errbuf_set(eb, ERR_INVALID,
                        "standard input: not UTF-8 text, which is all that a "
                        "job can carry");
    if (rc == 0) {
        buf_str(out, ",\"input\":");
        buf_json_string(out, text.data, text.len);
    }
    buf_done(&text);
    return rc;
}

static int put_payload(const struct options *o, struct buf *out,
                       struct errbuf *eb)
{
    int rc = put_argv(o, out, eb);

    if (rc == 0 && o->env.count > 0)
        rc = put_env(o, out, eb);
    if (rc == 0 && o->run_dir) {
        buf_str(out, ",\"dir\":");
        rc = put_word(out, o->run_dir, eb);
    }
    if (rc == 0 && o->with_stdin)
        rc = put_input(o, out, eb);
    buf_char(out, '}');
    return rc;
}

/* ---- --after ---- */

/* Whether it can be waited for: else the job would be dead on arrival. */
static int check_after(const struct run *r)
{
    const struct options *o = r->o;
    struct job_name name;
    struct keys keys;
    struct kept k = {0};

    if (!o->after)
        return 0;
    (void)job_name_parse(o->after, strlen(o->after), &name); /* run_run did */
    keys_init(&keys, o->ns, name.queue[0] != '\0' ? name.queue : o->queue);
    kept_ask(r->client, &keys, name.id, &k);
    int status = client_wait(r->client);
    if (status == 0 && !k.values[KEPT_state])
        status = fail(o, EXIT_FAILURE,
                      "--after: %s: not kept: push it with --keep", o->after);
    else if (status == 0 && kept_is_over(&k) && !kept_is(&k, "done"))
        status = fail(o, EXIT_FAILURE, "--after: %s: it is %s", o->after,
                      k.values[KEPT_state]);
    kept_done(&k);
    return status;
}

/* ---- --wait ---- */

static bool on_line(void *arg, const struct log_line *line)
{
    FILE *f = strcmp(line->source, "stdout") == 0 ? stdout : stderr;

    (void)arg;
    if (line->text.len > 0)
        fwrite(line->text.data, 1, line->text.len, f);
    if (!line->more)
        putc('\n', f);
    fflush(f);
    return !ferror(stdout);
}

static void on_missing(void *arg, int64_t n)
{
    const struct run *r = arg;

    complain(r->o, "%lld lines came too fast and are not here", (long long)n);
}

static void on_absent(void *arg, bool seen)
{
    const struct run *r = arg;

    (void)seen;
    complain(r->o, "%s/%s: removed, or not kept any longer", r->name.queue,
             r->name.id);
}

/* A command that ran and ended has said why itself. */
static void on_end(void *arg, const struct kept *k)
{
    const struct run *r = arg;
    struct buf why = {0};

    if (kept_is(k, "done") || (kept_is(k, "dead") && k->values[KEPT_exit]))
        return;
    if (k->values[KEPT_error])
        failure_append_text(k->values[KEPT_error], k->lens[KEPT_error], &why);
    complain(r->o, "%s/%s is %s%s%s", r->name.queue, r->name.id,
             k->values[KEPT_state] ? k->values[KEPT_state] : "gone",
             why.len > 0 ? ": " : "", why.len > 0 ? why.data : "");
    buf_done(&why);
}

static int begin(struct run *r, struct follow **ret)
{
    const struct follow_events events = {.on_line = on_line,
                                         .on_missing = on_missing,
                                         .on_end = on_end,
                                         .on_absent = on_absent,
                                         .arg = r};
    int status = follow_new(r->client, r->o->ns, &r->name, FOLLOW_ALL,
                            r->o->wait_timeout_ms, &events, ret);

    return status ? fail(r->o, status, "not pushed") : 0;
}

/* ---- the push ---- */

static int push(struct run *r)
{
    struct push_outcome outcome;
    int status = push_job(r->client, &r->keys, &r->one, &outcome);

    r->pushed = outcome.result;
    return status ? status : push_tell_other(r->o, &r->one, &r->pushed);
}

static int push_and_follow(struct run *r)
{
    struct follow *f = NULL;
    int status = begin(r, &f);

    if (status == 0)
        status = push(r);
    if (status == 0 && r->pushed.holder[0] != '\0') { /* it has our key */
        follow_free(f);
        f = NULL;
        snprintf(r->name.id, sizeof(r->name.id), "%s", r->pushed.holder);
        status = begin(r, &f);
        if (status == 0 && r->pushed.state == PUSH_REPLACED)
            follow_expect(f); /* it is kept from now on */
    }
    if (status == 0 && isatty(STDERR_FILENO))
        complain(r->o, "%s/%s", r->name.queue, r->name.id);
    if (status == 0)
        status = follow_run(f);
    follow_free(f);
    return status;
}

static int deliver(struct run *r)
{
    int status = client_open(r->o, &r->client);

    if (status != 0)
        return status;
    keys_init(&r->keys, r->o->ns, r->o->queue);
    status = check_after(r);
    if (status == 0 && r->o->wait) {
        status = push_and_follow(r);
    } else if (status == 0) {
        status = push(r);
        if (status == 0)
            push_print_id(r->o, &r->one, &r->pushed);
    }
    client_close(r->client);
    return status;
}

static int run_job(const struct options *o, const struct push_options *options)
{
    struct run r = {.o = o};
    struct buf payload = {0}, envelope = {0};
    struct errbuf eb;
    struct job_spec spec = {
        .id = r.name.id,
        .type = o->type ? o->type : TYPE_DEFAULT,
        .after = o->after,
        .created_at_ms = clock_wall_ms(),
        .max_attempts = o->max_attempts ? o->max_attempts : 1,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms ? o->keep_ms : KEEP_DEFAULT_MS,
    };
    int status, rc = put_payload(o, &payload, &eb);

    ulid_make(r.name.id);
    snprintf(r.name.queue, sizeof(r.name.queue), "%s", o->queue);
    if (o->id)
        snprintf(r.name.id, sizeof(r.name.id), "%s", o->id);
    spec.payload = (struct json_span){payload.data, payload.len};
    if (rc == 0)
        rc = push_job_build(&spec, options, (size_t)o->max_bytes, &envelope,
                            &r.one, &eb);
    r.one.id = r.name.id;
    r.one.front = o->front;
    if (rc == 0)
        status = deliver(&r);
    else
        status =
            fail(o, rc == ERR_SYSTEM ? EX_IOERR : EX_DATAERR, "%s", eb.text);
    buf_done(&payload);
    buf_done(&envelope);
    return status;
}

static int run_run(const struct options *o)
{
    struct push_options options = {0};
    struct job_name name;
    struct errbuf eb;
    int status;

    if (o->id && !text_is_id(o->id, strlen(o->id)))
        return fail(o, EX_USAGE, "--id: %s: up to 64 of A-Z a-z 0-9 . _ : -",
                    o->id);
    if (o->after && !job_name_parse(o->after, strlen(o->after), &name))
        return fail(o, EX_USAGE, "--after: %s: neither QUEUE/ID nor ID",
                    o->after);
    if (!o->wait && o->wait_timeout_ms)
        return fail(o, EX_USAGE, "--wait-timeout needs --wait");
    if (push_flags_read(o, &options, &eb) != 0)
        status = fail(o, EX_USAGE, "%s", eb.text);
    else if (o->front && (options.at_ms || options.in_ms))
        status =
            fail(o, EX_USAGE, "--front is not for what waits until it is due");
    else
        status = run_job(o, &options);
    push_options_done(&options);
    return status;
}

static const struct flag flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "where to (default: \"default\")"},
    {"wait", 'w', FLAG_BOOL, NULL, AT(wait), 0, 0,
     "show its output as it comes, and end as it ends"},
    {"wait-timeout", 0, FLAG_DURATION, "D", AT(wait_timeout_ms), 1,
     JOB_DURATION_MAX_MS, "no longer than that: exit 124"},
    {"in", 0, FLAG_DURATION, "D", AT(in_ms), 1, JOB_DURATION_MAX_MS,
     "not to be run before so long from now"},
    {"at", 0, FLAG_TEXT, "INSTANT", AT(at), 0, 0,
     "not before then: 2026-11-26T09:30:00+01:00, or ...Z"},
    {"after", 0, FLAG_TEXT, "QUEUE/ID", AT(after), 0, 0,
     "not before that kept job is done; dead if it is not"},
    {"env", 0, FLAG_LIST, "NAME=VALUE", AT(env), 0, 0,
     "in its environment, as far as the worker allows it; repeatable"},
    {"dir", 0, FLAG_TEXT, "DIR", AT(run_dir), 0, 0,
     "its working directory, if the worker allows it"},
    {"stdin", 0, FLAG_BOOL, NULL, AT(with_stdin), 0, 0,
     "what comes on stdin is its stdin: text"},
    {"type", 0, FLAG_TEXT, "TYPE", AT(type), 0, 0,
     "of the job (" TYPE_DEFAULT ")"},
    {"id", 0, FLAG_TEXT, "ID", AT(id), 0, 0, "instead of a fresh ULID"},
    {"front", 0, FLAG_BOOL, NULL, AT(front), 0, 0,
     "to the head of the queue: it runs next"},
    {"max-attempts", 0, FLAG_INT, "N", AT(max_attempts), 1, PUSH_ATTEMPTS_MAX,
     "how often it may fail (1)"},
    {"backoff", 0, FLAG_TEXT, "POLICY", AT(backoff), 0, 0,
     "between attempts: default, exponential:1s:2:1h, fixed:30s, 10s,1m,5m"},
    {"timeout", 0, FLAG_DURATION, "D", AT(timeout_ms), 1, JOB_DURATION_MAX_MS,
     "of an attempt (the handler's)"},
    {"keep", 0, FLAG_DURATION, "D", AT(keep_ms), 1, JOB_DURATION_MAX_MS,
     "how long its end and its output are kept (1d)"},
    {"expires", 0, FLAG_TEXT, "D|INSTANT", AT(expires), 0, 0,
     "not to be begun later than that, or D after it is due"},
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
    {"max-bytes", 0, FLAG_SIZE, "SIZE", AT(max_bytes), 64, SIZE_MAX_BYTES,
     "of the envelope (1m)"},
    {0},
};

const struct command cmd_run = {
    .name = "run",
    .usage = "[FLAGS] -- PROGRAM [ARGUMENT ...]",
    .summary = "Run a command line on a worker that allows it",
    .details =
        "The worker needs a handler of kind command that allows this command "
        "line, word by\nword; no shell looks at it. Without --wait it prints "
        "the queue/id, for belt wait,\nbelt logs and --after. With --wait the "
        "exit status is that of the command, 127 if it\nwas not found, 1 if "
        "it was not allowed. It is run once: a failure is not repeated\nunless "
        "--max-attempts says so. Its output is kept as belt logs shows it, its "
        "last\n1000 lines and 256 KiB; what comes faster than it is read is "
        "counted on stderr.\n--after looks at that job every now and then, so "
        "it starts up to a tenth of the time\nlater that it has waited, and "
        "no more than ten seconds.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = -1,
    .dashes = true,
    .run = run_run,
};
