/*
 * Queue sizes: how much waits where.
 *
 * Queues are asked in one pipelined round for the sizes and one for the active
 * lists of the lanes found; only those with very many lanes take more.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/queue_sizes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/age.h"

enum { LANES_AT_ONCE = 1000, REASON_WIDTH = 40 };

static const char *const field_names[] = {"paused", "paused_at", "paused_by",
                                          "paused_reason", "max_length"};

static void on_names(void *arg, const struct reply *r);
static void on_size(void *arg, const struct reply *r);
static void on_fields(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);
static void on_active(void *arg, const struct reply *r);

/* ---- names ---- */

void queue_names_add(struct queue_names *list, const char *name)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->names =
            mem_resize((void *)list->names, list->cap * sizeof(*list->names));
    }
    list->names[list->count++] = mem_strdup(name);
}

void queue_names_done(struct queue_names *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free((void *)list->names);
    *list = (struct queue_names){0};
}

/* Anybody may write to that set: what is no name is no queue. */
static void on_names(void *arg, const struct reply *r)
{
    for (size_t i = 0; i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n) && text_is_name(p, n))
            queue_names_add(arg, p);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int queue_names_find(struct queue_names *list, struct client *c, const char *ns)
{
    struct keys keys;
    struct args a = {0};

    keys_init(&keys, ns, "default");
    args_str(&a, "SMEMBERS");
    args_str(&a, keys.queues);
    client_call(c, &a, on_names, list);
    args_done(&a);
    int status = client_wait(c);
    if (list->count > 0)
        qsort((void *)list->names, list->count, sizeof(*list->names), compare);
    return status;
}

/* ---- sizes ---- */

static void on_size(void *arg, const struct reply *r)
{
    (void)reply_int(r, arg);
}

static void ask_size(struct queue_sizes *q, const char *command,
                     const char *key, int64_t *ret)
{
    struct args a = {0};

    args_str(&a, command);
    args_str(&a, key);
    client_call(q->client, &a, on_size, ret);
    args_done(&a);
}

static void on_fields(void *arg, const struct reply *r)
{
    struct queue_sizes *q = arg;

    for (size_t i = 0; i < QUEUE_FIELDS && i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n) && n > 0)
            q->fields[i] = mem_dup(p, n);
    }
}

static void ask_fields(struct queue_sizes *q)
{
    struct args a = {0};

    args_str(&a, "HMGET");
    args_str(&a, q->keys.config);
    for (size_t i = 0; i < QUEUE_FIELDS; i++)
        args_str(&a, field_names[i]);
    client_call(q->client, &a, on_fields, q);
    args_done(&a);
}

static void ask_lanes(struct queue_sizes *q)
{
    struct args a = {0};

    args_str(&a, "ZRANGE");
    args_str(&a, q->keys.leases);
    args_int(&a, q->more_from);
    args_int(&a, q->more_from + LANES_AT_ONCE - 1);
    q->more_from = -1;
    client_call(q->client, &a, on_lanes, q);
    args_done(&a);
}

static void on_active(void *arg, const struct reply *r)
{
    struct queue_sizes *q = arg;
    int64_t n = 0;

    (void)reply_int(r, &n);
    q->active += n;
}

static void on_lanes(void *arg, const struct reply *r)
{
    struct queue_sizes *q = arg;
    struct args a = {0};

    for (size_t i = 0; i < reply_len(r); i++) {
        char key[KEY_MAX];
        const char *lane;
        size_t n;
        if (!reply_str(reply_at(r, i), &lane, &n) ||
            !keys_active(&q->keys, lane, key))
            continue;
        args_clear(&a);
        args_str(&a, "LLEN");
        args_str(&a, key);
        client_call(q->client, &a, on_active, q);
    }
    args_done(&a);
    q->lanes += (int64_t)reply_len(r);
    if (reply_len(r) == LANES_AT_ONCE)
        q->more_from = q->lanes;
}

static void ask(struct queue_sizes *q)
{
    ask_size(q, "LLEN", q->keys.ready, &q->ready);
    ask_size(q, "ZCARD", q->keys.scheduled, &q->scheduled);
    ask_size(q, "ZCARD", q->keys.retry, &q->retry);
    ask_size(q, "ZCARD", q->keys.dead, &q->dead);
    ask_fields(q);
    ask_lanes(q);
}

int queue_sizes_look(struct client *c, const char *ns, char *const *names,
                     size_t n, struct queue_sizes *ret, int64_t *ret_now_ms)
{
    *ret_now_ms = 0;
    for (size_t i = 0; i < n; i++) {
        ret[i] = (struct queue_sizes){.client = c};
        keys_init(&ret[i].keys, ns, names[i]);
        ask(&ret[i]);
    }
    int status = client_now(c, ret_now_ms);
    for (size_t i = 0; i < n; i++) {
        while (status == 0 && ret[i].more_from >= 0) {
            ask_lanes(&ret[i]);
            status = client_wait(c);
        }
    }
    return status;
}

void queue_sizes_done(struct queue_sizes *queues, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t f = 0; f < QUEUE_FIELDS; f++)
            free(queues[i].fields[f]);
    }
}

/* ---- rows ---- */

const struct column queue_sizes_columns[] = {
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

static void out_instant(struct out *out, int64_t ms)
{
    if (ms > 1)
        out_int(out, ms);
    else
        out_none(out);
}

/* "no", or "yes" and for how long and why. */
static void print_pause(struct out *out, const struct queue_sizes *q,
                        int64_t now_ms)
{
    int64_t until_ms = text_int_or(q->fields[QUEUE_PAUSED], 0);
    bool paused = until_ms == 1 || until_ms > now_ms;
    const char *reason = q->fields[QUEUE_PAUSED_REASON];
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
    out_instant(out, paused ? text_int_or(q->fields[QUEUE_PAUSED_AT], 0) : 0);
    out_str(out, paused ? q->fields[QUEUE_PAUSED_BY] : NULL);
    out_str(out, paused ? reason : NULL);
}

/* For people "12/1000" where that is the limit. Returns that, or -1. */
static int64_t print_ready(struct out *out, const struct queue_sizes *q)
{
    int64_t max;
    char text[64];

    out_int(out, q->ready);
    if (!q->fields[QUEUE_MAX_LENGTH] ||
        text_parse_int(q->fields[QUEUE_MAX_LENGTH], 0, INT64_MAX, "", &max,
                       NULL) != 0) {
        out_int(out, q->ready);
        return -1;
    }
    snprintf(text, sizeof(text), "%lld/%lld", (long long)q->ready,
             (long long)max);
    out_str(out, text);
    return max;
}

void queue_sizes_out(struct out *out, const struct queue_sizes *q,
                     int64_t now_ms)
{
    out_str(out, q->keys.queue);
    int64_t max = print_ready(out, q);
    out_int(out, q->active);
    out_int(out, q->scheduled);
    out_int(out, q->retry);
    out_int(out, q->dead);
    out_int(out, q->lanes);
    print_pause(out, q, now_ms);
    if (max >= 0)
        out_int(out, max);
    else
        out_none(out);
    out_row(out);
}
