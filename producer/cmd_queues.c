/*
 * belt queues: how much waits where.
 *
 * Queues are asked a hundred at a time, each batch in one pipelined round for
 * the sizes and one for the active lists of the lanes found.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/keys.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/out.h"

enum { QUEUES_AT_ONCE = 100, LANES_AT_ONCE = 1000, REASON_WIDTH = 40 };

struct names {
    char **names; /* owned, each too */
    size_t count, cap;
};

enum { READY, SCHEDULED, RETRY, DEAD, SIZES };

/* What config says of a pause, and of how many may be ready. */
enum { PAUSED, PAUSED_AT, PAUSED_BY, PAUSED_REASON, MAX_LENGTH, FIELDS };
static const char *const field_names[] = {"paused", "paused_at", "paused_by",
                                          "paused_reason", "max_length"};

struct row {
    struct client *client; /* borrowed */
    struct keys keys;
    int64_t sizes[SIZES], active, lanes;
    int64_t more_from;    /* index of the next page of lanes; -1: none */
    char *fields[FIELDS]; /* owned; NULL: not said */
};

static void on_names(void *arg, const struct reply *r);
static void on_size(void *arg, const struct reply *r);
static void on_fields(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);
static void on_active(void *arg, const struct reply *r);

static void add_name(struct names *list, const char *name)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->names = mem_resize(list->names, list->cap * sizeof(*list->names));
    }
    list->names[list->count++] = mem_strdup(name);
}

static void free_names(struct names *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free((void *)list->names);
}

/* Anybody may write to that set: what is no name is no queue. */
static void on_names(void *arg, const struct reply *r)
{
    for (size_t i = 0; i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n) && text_is_name(p, n))
            add_name(arg, p);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_all(const struct options *o, struct client *client,
                    struct names *list)
{
    struct keys keys;
    struct args a = {0};

    keys_init(&keys, o->ns, o->queue);
    args_str(&a, "SMEMBERS");
    args_str(&a, keys.queues);
    client_call(client, &a, on_names, list);
    args_done(&a);
    int status = client_wait(client);
    if (list->count > 0)
        qsort((void *)list->names, list->count, sizeof(*list->names), compare);
    return status;
}

static void on_size(void *arg, const struct reply *r)
{
    (void)reply_int(r, arg);
}

static void ask_size(struct row *row, const char *command, const char *key,
                     int which)
{
    struct args a = {0};

    args_str(&a, command);
    args_str(&a, key);
    client_call(row->client, &a, on_size, &row->sizes[which]);
    args_done(&a);
}

static void on_fields(void *arg, const struct reply *r)
{
    struct row *row = arg;

    for (size_t i = 0; i < FIELDS && i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n) && n > 0)
            row->fields[i] = mem_dup(p, n);
    }
}

static void ask_fields(struct row *row)
{
    struct args a = {0};

    args_str(&a, "HMGET");
    args_str(&a, row->keys.config);
    for (size_t i = 0; i < FIELDS; i++)
        args_str(&a, field_names[i]);
    client_call(row->client, &a, on_fields, row);
    args_done(&a);
}

static void ask_lanes(struct row *row)
{
    struct args a = {0};

    args_str(&a, "ZRANGE");
    args_str(&a, row->keys.leases);
    args_int(&a, row->more_from);
    args_int(&a, row->more_from + LANES_AT_ONCE - 1);
    row->more_from = -1;
    client_call(row->client, &a, on_lanes, row);
    args_done(&a);
}

static void on_active(void *arg, const struct reply *r)
{
    struct row *row = arg;
    int64_t n = 0;

    (void)reply_int(r, &n);
    row->active += n;
}

static void on_lanes(void *arg, const struct reply *r)
{
    struct row *row = arg;
    struct args a = {0};

    for (size_t i = 0; i < reply_len(r); i++) {
        char key[KEY_MAX];
        const char *lane;
        size_t n;
        if (!reply_str(reply_at(r, i), &lane, &n) ||
            !keys_active(&row->keys, lane, key))
            continue;
        args_clear(&a);
        args_str(&a, "LLEN");
        args_str(&a, key);
        client_call(row->client, &a, on_active, row);
    }
    args_done(&a);
    row->lanes += (int64_t)reply_len(r);
    if (reply_len(r) == LANES_AT_ONCE)
        row->more_from = row->lanes;
}

static void ask(struct row *row)
{
    ask_size(row, "LLEN", row->keys.ready, READY);
    ask_size(row, "ZCARD", row->keys.scheduled, SCHEDULED);
    ask_size(row, "ZCARD", row->keys.retry, RETRY);
    ask_size(row, "ZCARD", row->keys.dead, DEAD);
    ask_fields(row);
    ask_lanes(row);
}

static const struct column columns[] = {
    {"queue", FOR_ALL, false},
    {"ready", FOR_PROGRAMS, true},
    {"ready", FOR_PEOPLE, true},
    {"active", FOR_ALL, true},
    {"scheduled", FOR_ALL, true},
    {"retry", FOR_ALL, true},
    {"dead", FOR_ALL, true},
    {"workers", FOR_ALL, true},
    {"paused", FOR_PROGRAMS, false},
    {"paused", FOR_PEOPLE, false},
    {"paused_until", FOR_PROGRAMS, true},
    {"paused_at", FOR_PROGRAMS, true},
    {"paused_by", FOR_PROGRAMS, false},
    {"paused_reason", FOR_PROGRAMS, false},
    {"max_length", FOR_PROGRAMS, true},
    {0},
};

static int64_t number_of(const char *text)
{
    char *end;
    long long n = text ? strtoll(text, &end, 10) : 0;

    return text && *end == '\0' ? n : 0;
}

static void out_instant(struct out *out, int64_t ms)
{
    if (ms > 1)
        out_int(out, ms);
    else
        out_none(out);
}

/* "no", or "yes" and for how long and why. */
static void print_pause(struct out *out, const struct row *row, int64_t now_ms)
{
    int64_t until_ms = number_of(row->fields[PAUSED]);
    bool paused = until_ms == 1 || until_ms > now_ms;
    const char *reason = row->fields[PAUSED_REASON];
    struct buf text = {0};
    char age[32];

    out_bool(out, paused);
    buf_str(&text, paused ? "yes" : "no");
    if (paused && until_ms > 1)
        buf_printf(&text, ", %s more", age_format(until_ms - now_ms, age));
    if (paused && reason) {
        size_t n = strlen(reason), cut = n < REASON_WIDTH ? n : REASON_WIDTH;
        while (cut > 0 && cut < n && (reason[cut] & 0xc0) == 0x80)
            cut--;
        buf_printf(&text, ": %.*s%s", (int)cut, reason, cut < n ? "…" : "");
    }
    out_text(out, text.data, text.len);
    buf_done(&text);
    out_instant(out, paused ? until_ms : 0);
    out_instant(out, paused ? number_of(row->fields[PAUSED_AT]) : 0);
    out_str(out, paused ? row->fields[PAUSED_BY] : NULL);
    out_str(out, paused ? reason : NULL);
}

/* For people "12/1000" where that is the limit. Returns that, or -1. */
static int64_t print_ready(struct out *out, const struct row *row)
{
    int64_t max;
    char text[64];

    out_int(out, row->sizes[READY]);
    if (!row->fields[MAX_LENGTH] ||
        text_parse_int(row->fields[MAX_LENGTH], 0, INT64_MAX, "", &max, NULL) !=
            0) {
        out_int(out, row->sizes[READY]);
        return -1;
    }
    snprintf(text, sizeof(text), "%lld/%lld", (long long)row->sizes[READY],
             (long long)max);
    out_str(out, text);
    return max;
}

static void print(struct out *out, const struct row *row, int64_t now_ms)
{
    out_str(out, row->keys.queue);
    int64_t max = print_ready(out, row);
    out_int(out, row->active);
    out_int(out, row->sizes[SCHEDULED]);
    out_int(out, row->sizes[RETRY]);
    out_int(out, row->sizes[DEAD]);
    out_int(out, row->lanes);
    print_pause(out, row, now_ms);
    if (max >= 0)
        out_int(out, max);
    else
        out_none(out);
    out_row(out);
}

static int print_some(const struct options *o, struct client *client,
                      struct out *out, char *const *names, size_t n)
{
    struct row *rows = mem_new(n * sizeof(*rows));
    int64_t now_ms = 0;

    for (size_t i = 0; i < n; i++) {
        rows[i].client = client;
        keys_init(&rows[i].keys, o->ns, names[i]);
        ask(&rows[i]);
    }
    int status = client_now(client, &now_ms);
    for (size_t i = 0; i < n && status == 0;) {
        if (rows[i].more_from < 0) {
            print(out, &rows[i++], now_ms);
            continue;
        }
        ask_lanes(&rows[i]);
        status = client_wait(client);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t p = 0; p < FIELDS; p++)
            free(rows[i].fields[p]);
    }
    free(rows);
    return status;
}

static int print_all(const struct options *o, struct client *client,
                     const struct names *list)
{
    struct out *out = out_new(o, columns);
    int status = 0;

    for (size_t i = 0; i < list->count && status == 0; i += QUEUES_AT_ONCE) {
        size_t n = list->count - i;
        if (n > QUEUES_AT_ONCE)
            n = QUEUES_AT_ONCE;
        status = print_some(o, client, out, list->names + i, n);
    }
    out_end(out);
    return status;
}

static int run_queues(const struct options *o)
{
    struct names list = {0};
    struct client *client;
    int status = 0;

    for (int i = 0; i < o->arg_count && status == 0; i++) {
        if (!text_is_name(o->args[i], strlen(o->args[i])))
            status =
                fail(o, EX_USAGE, "%s: not the name of a queue", o->args[i]);
        add_name(&list, o->args[i]);
    }
    if (status == 0)
        status = client_open(o, &client);
    if (status == 0) {
        if (list.count == 0)
            status = find_all(o, client, &list);
        if (status == 0)
            status = print_all(o, client, &list);
        client_close(client);
    }
    free_names(&list);
    return status;
}

const struct command cmd_queues = {
    .name = "queues",
    .usage = "[QUEUE ...]",
    .summary = "Show the queues: what waits, runs, failed",
    .details = "workers counts the lanes that hold a lease.\n",
    .max_args = -1,
    .run = run_queues,
};
