/*
 * belt result: how jobs ended that were pushed with --keep.
 *
 * Ids come from the command line or, any number of them, from stdin; they are
 * looked up by the hundred in one pipelined round.
 *
 * Thread: main, which is also the loop.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/json.h"
#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/lines.h"
#include "producer/out.h"

enum { IDS_AT_ONCE = 100, LINE_MAX_BYTES = NAME_MAX_LEN + 1 + ID_MAX_LEN + 64 };

#define FIELDS(X)                                                              \
    X(state)                                                                   \
    X(result)                                                                  \
    X(error)                                                                   \
    X(worker)                                                                  \
    X(attempt)                                                                 \
    X(started_at)                                                              \
    X(ended_at)

enum field {
#define FIELD_ENUM(name) FIELD_##name,
    FIELDS(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_COUNT
};

static const char *const field_names[] = {
#define FIELD_NAME(name) #name,
    FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

struct entry {
    char queue[NAME_MAX_LEN + 1], id[ID_MAX_LEN + 1];
    char *values[FIELD_COUNT]; /* owned; NULL: not there */
    size_t lens[FIELD_COUNT];
};

struct query {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct out *out;         /* borrowed */
    struct entry entries[IDS_AT_ONCE];
    size_t count;
    bool negative; /* a job is not there, or not done */
    bool bad;      /* a line was no id */
    int status;
};

static void on_fields(void *arg, const struct reply *r);

static void on_fields(void *arg, const struct reply *r)
{
    struct entry *e = arg;

    for (size_t i = 0; i < FIELD_COUNT && i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, i), &p, &n))
            continue;
        e->values[i] = mem_dup(p, n);
        e->lens[i] = n;
    }
}

static void ask(struct query *q, struct entry *e)
{
    struct keys keys;
    struct args a = {0};
    char key[KEY_MAX];

    keys_init(&keys, q->o->ns, e->queue);
    if (!keys_job(&keys, e->id, key))
        return;
    args_str(&a, "HMGET");
    args_str(&a, key);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        args_str(&a, field_names[i]);
    client_call(q->client, &a, on_fields, e);
    args_done(&a);
}

static const struct column columns[] = {
    {"job", FOR_PEOPLE, false},         {"queue", FOR_PROGRAMS, false},
    {"id", FOR_PROGRAMS, false},        {"state", FOR_ALL, false},
    {"attempt", FOR_ALL, true},         {"worker", FOR_PROGRAMS, false},
    {"started_at", FOR_PROGRAMS, true}, {"ended_at", FOR_PROGRAMS, true},
    {"result", FOR_PROGRAMS, false},    {"error", FOR_PROGRAMS, false},
    {"result", FOR_PEOPLE, false},      {0},
};

static void out_field(struct out *out, const struct entry *e, enum field f)
{
    if (e->values[f])
        out_text(out, e->values[f], e->lens[f]);
    else
        out_none(out);
}

/* As JSON if it is JSON, else as a string. */
static void out_value(struct out *out, const struct entry *e, enum field f)
{
    if (e->values[f] && json_check(e->values[f], e->lens[f], NULL) == 0)
        out_json(out, e->values[f], e->lens[f]);
    else
        out_field(out, e, f);
}

static void out_number(struct out *out, const struct entry *e, enum field f)
{
    char *end;

    if (e->values[f]) {
        int64_t n = strtoll(e->values[f], &end, 10);
        if (end != e->values[f] && *end == '\0') {
            out_int(out, n);
            return;
        }
    }
    out_field(out, e, f);
}

static void print(struct query *q, const struct entry *e)
{
    char name[NAME_MAX_LEN + ID_MAX_LEN + 2];
    bool there = e->values[FIELD_state] != NULL;
    bool failed = e->values[FIELD_error] && !e->values[FIELD_result];

    if (!there || strcmp(e->values[FIELD_state], "done") != 0)
        q->negative = true;
    snprintf(name, sizeof(name), "%s/%s", e->queue, e->id);
    out_str(q->out, name);
    out_str(q->out, e->queue);
    out_str(q->out, e->id);
    if (there)
        out_field(q->out, e, FIELD_state);
    else
        out_str(q->out, q->o->format == OUT_TABLE ? "(not kept)" : NULL);
    out_number(q->out, e, FIELD_attempt);
    out_field(q->out, e, FIELD_worker);
    out_number(q->out, e, FIELD_started_at);
    out_number(q->out, e, FIELD_ended_at);
    out_value(q->out, e, FIELD_result);
    out_value(q->out, e, FIELD_error);
    out_field(q->out, e, failed ? FIELD_error : FIELD_result);
    if (!out_row(q->out))
        q->status = EX_IOERR; /* told at the end */
}

static void flush(struct query *q)
{
    for (size_t i = 0; i < q->count && q->status == 0; i++)
        ask(q, &q->entries[i]);
    if (q->status == 0)
        q->status = client_wait(q->client);
    for (size_t i = 0; i < q->count; i++) {
        struct entry *e = &q->entries[i];
        if (q->status == 0)
            print(q, e);
        for (size_t f = 0; f < FIELD_COUNT; f++)
            free(e->values[f]);
        *e = (struct entry){0};
    }
    q->count = 0;
}

/* Returns false if text is not QUEUE/ID. */
static bool add(struct query *q, const char *text, size_t n)
{
    struct entry *e = &q->entries[q->count];
    const char *slash = memchr(text, '/', n);

    if (!slash)
        return false;
    size_t queue_len = (size_t)(slash - text), id_len = n - queue_len - 1;
    if (!text_is_name(text, queue_len) || !text_is_id(slash + 1, id_len))
        return false;
    memcpy(e->queue, text, queue_len);
    memcpy(e->id, slash + 1, id_len);
    if (++q->count == IDS_AT_ONCE)
        flush(q);
    return true;
}

static void add_line(struct query *q, const char *p, size_t n, uint64_t number)
{
    while (n > 0 && strchr(" \t", p[0])) {
        p++;
        n--;
    }
    while (n > 0 && strchr(" \t", p[n - 1]))
        n--;
    if (n == 0 || add(q, p, n))
        return;
    complain(q->o, "line %" PRIu64 ": not QUEUE/ID", number);
    q->bad = true;
}

static void add_stdin(struct query *q)
{
    struct lines lines;
    bool end = false;

    lines_init(&lines, STDIN_FILENO, LINE_MAX_BYTES);
    while (!end && q->status == 0) {
        const char *p;
        size_t n;
        switch (lines_next(&lines, &p, &n)) {
        case LINES_LINE:
            add_line(q, p, n, lines.number);
            break;
        case LINES_TOO_LONG:
            add_line(q, "?", 1, lines.number);
            break;
        case LINES_MORE:
            if (lines_fill(&lines) != 0)
                q->status =
                    fail(q->o, EX_IOERR, "standard input: %s", strerror(errno));
            break;
        case LINES_END:
            end = true;
            break;
        }
    }
    lines_done(&lines);
}

static void add_args(struct query *q)
{
    const struct options *o = q->o;

    for (int i = 0; i < o->arg_count && q->status == 0; i++) {
        if (strcmp(o->args[i], "-") == 0)
            add_stdin(q);
        else if (!add(q, o->args[i], strlen(o->args[i])))
            q->status = fail(o, EX_USAGE, "%s: not QUEUE/ID", o->args[i]);
    }
}

static int run_result(const struct options *o)
{
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    struct query *q = mem_new(sizeof(*q));
    q->o = o;
    q->client = client;
    q->out = out_new(o, columns);
    add_args(q);
    flush(q);
    out_end(q->out);
    status = q->status     ? q->status
             : q->bad      ? EX_DATAERR
             : q->negative ? 1
                           : EX_OK;
    free(q);
    client_close(client);
    return status;
}

const struct command cmd_result = {
    .name = "result",
    .usage = "QUEUE/ID ... | -",
    .summary = "Show how jobs ended that were pushed with --keep",
    .details = "With - the ids come from stdin, one a line. Exits 1 if a job "
               "is not there or\nnot done.\n",
    .min_args = 1,
    .max_args = -1,
    .run = run_result,
};
