/*
 * belt workers: the fleet, as each worker describes itself.
 *
 * Every field is optional: workers of other versions write others.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/redis/keys.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/connect.h"
#include "producer/out.h"

enum { WORKERS_AT_ONCE = 100 };

#define FIELDS(X)                                                              \
    X(host)                                                                    \
    X(pid)                                                                     \
    X(queues)                                                                  \
    X(threads)                                                                 \
    X(busy)                                                                    \
    X(held)                                                                    \
    X(rss_kb)                                                                  \
    X(version)                                                                 \
    X(started_at)                                                              \
    X(stage)

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

struct worker {
    char *id; /* owned */
    int64_t expires_ms;
    char *fields[FIELD_COUNT]; /* owned; NULL: not said */
};

struct page {
    struct worker workers[WORKERS_AT_ONCE];
    size_t count, seen;
};

static void on_time(void *arg, const struct reply *r);
static void on_page(void *arg, const struct reply *r);
static void on_fields(void *arg, const struct reply *r);

/* Workers write expiry by their clocks; Redis' is as good as ours and the same
 * for everybody who looks. */
static void on_time(void *arg, const struct reply *r)
{
    int64_t s = 0, us = 0;

    if (reply_len(r) != 2)
        return;
    (void)reply_int(reply_at(r, 0), &s);
    (void)reply_int(reply_at(r, 1), &us);
    *(int64_t *)arg = s * 1000 + us / 1000;
}

static void on_page(void *arg, const struct reply *r)
{
    struct page *page = arg;

    page->seen = reply_len(r) / 2;
    for (size_t i = 0; i < page->seen && page->count < WORKERS_AT_ONCE; i++) {
        struct worker *w = &page->workers[page->count];
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, 2 * i), &p, &n))
            continue;
        w->id = mem_dup(p, n);
        (void)reply_int(reply_at(r, 2 * i + 1), &w->expires_ms);
        page->count++;
    }
}

static void on_fields(void *arg, const struct reply *r)
{
    struct worker *w = arg;

    for (size_t i = 0; i < FIELD_COUNT && i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n))
            w->fields[i] = mem_dup(p, n);
    }
}

static void ask_fields(struct client *client, const struct keys *keys,
                       struct worker *w)
{
    struct args a = {0};
    char key[KEY_MAX];

    if (!keys_worker(keys, w->id, key))
        return;
    args_str(&a, "HMGET");
    args_str(&a, key);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        args_str(&a, field_names[i]);
    client_call(client, &a, on_fields, w);
    args_done(&a);
}

static const struct column columns[] = {
    {"worker", FOR_ALL, false},
    {"state", FOR_ALL, false},
    {"host", FOR_ALL, false},
    {"pid", FOR_ALL, true},
    {"queues", FOR_ALL, false},
    {"threads", FOR_ALL, true},
    {"busy", FOR_ALL, true},
    {"held", FOR_ALL, true},
    {"rss_kb", FOR_ALL, true},
    {"version", FOR_ALL, false},
    {"up", FOR_PEOPLE, true},
    {"started_at", FOR_PROGRAMS, true},
    {0},
};

/* A number if it is one: what lies in Redis is only text. */
static void out_number(struct out *out, const char *text, int64_t *ret_n)
{
    char *end;

    *ret_n = text ? strtoll(text, &end, 10) : 0;
    if (text && end != text && *end == '\0')
        out_int(out, *ret_n);
    else
        out_str(out, text);
}

static void print(struct out *out, const struct worker *w, int64_t now_ms)
{
    char age[32];
    int64_t n, started_ms = 0;

    out_str(out, w->id);
    if (w->expires_ms <= now_ms)
        out_str(out, "lost");
    else
        out_str(out, w->fields[FIELD_stage] ? w->fields[FIELD_stage] : "up");
    for (size_t i = 0; i < FIELD_started_at; i++) {
        if (columns[i + 2].right)
            out_number(out, w->fields[i], &n);
        else
            out_str(out, w->fields[i]);
    }
    const char *started = w->fields[FIELD_started_at];
    if (started)
        started_ms = strtoll(started, NULL, 10);
    out_str(out, started_ms > 0 ? age_format(now_ms - started_ms, age) : NULL);
    out_number(out, started, &n);
    out_row(out);
}

static void free_page(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        free(page->workers[i].id);
        for (size_t f = 0; f < FIELD_COUNT; f++)
            free(page->workers[i].fields[f]);
    }
    free(page);
}

/* Prints the workers from index on. */
static int print_page(struct client *client, const struct keys *keys,
                      struct out *out, int64_t from, bool *ret_more)
{
    struct page *page = mem_new(sizeof(*page));
    struct args a = {0};
    int64_t now_ms = 0;

    args_str(&a, "TIME");
    client_call(client, &a, on_time, &now_ms);
    args_clear(&a);
    args_str(&a, "ZRANGE");
    args_str(&a, keys->workers);
    args_int(&a, from);
    args_int(&a, from + WORKERS_AT_ONCE - 1);
    args_str(&a, "WITHSCORES");
    client_call(client, &a, on_page, page);
    args_done(&a);
    int status = client_wait(client);
    for (size_t i = 0; i < page->count && status == 0; i++)
        ask_fields(client, keys, &page->workers[i]);
    if (status == 0)
        status = client_wait(client);
    for (size_t i = 0; i < page->count && status == 0; i++)
        print(out, &page->workers[i], now_ms);
    *ret_more = page->seen == WORKERS_AT_ONCE;
    free_page(page);
    return status;
}

static int run_workers(const struct options *o)
{
    struct client *client;
    struct keys keys;
    bool more = true;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    keys_init(&keys, o->ns, o->queue);
    struct out *out = out_new(o, columns);
    for (int64_t from = 0; status == 0 && more; from += WORKERS_AT_ONCE)
        status = print_page(client, &keys, out, from, &more);
    out_end(out);
    client_close(client);
    return status;
}

const struct command cmd_workers = {
    .name = "workers",
    .usage = "",
    .summary = "Show the workers: where they run and what they hold",
    .run = run_workers,
};
