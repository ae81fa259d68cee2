/*
 * Worker list: a page of the fleet.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/worker_list.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "producer/age.h"

static const char *const field_names[] = {
#define FIELD_NAME(name) #name,
    WORKER_FIELDS(FIELD_NAME)
#undef FIELD_NAME
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
    struct worker_page *page = arg;
    size_t seen = reply_len(r) / 2;

    page->more = seen == WORKERS_AT_ONCE;
    for (size_t i = 0; i < seen && page->count < WORKERS_AT_ONCE; i++) {
        struct worker_info *w = &page->workers[page->count];
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
    struct worker_info *w = arg;

    for (size_t i = 0; i < WORKER_FIELD_COUNT && i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n))
            w->fields[i] = mem_dup(p, n);
    }
}

static void ask_fields(struct client *client, const struct keys *keys,
                       struct worker_info *w)
{
    struct args a = {0};
    char key[KEY_MAX];

    if (!keys_worker(keys, w->id, key))
        return;
    args_str(&a, "HMGET");
    args_str(&a, key);
    for (size_t i = 0; i < WORKER_FIELD_COUNT; i++)
        args_str(&a, field_names[i]);
    client_call(client, &a, on_fields, w);
    args_done(&a);
}

void worker_page_free(struct worker_page *page)
{
    if (!page)
        return;
    for (size_t i = 0; i < page->count; i++) {
        free(page->workers[i].id);
        for (size_t f = 0; f < WORKER_FIELD_COUNT; f++)
            free(page->workers[i].fields[f]);
    }
    free(page);
}

int worker_page_read(struct client *c, const struct keys *k, int64_t from,
                     struct worker_page **ret)
{
    struct worker_page *page = mem_new(sizeof(*page));
    struct args a = {0};

    args_str(&a, "TIME");
    client_call(c, &a, on_time, &page->now_ms);
    args_clear(&a);
    args_str(&a, "ZRANGE");
    args_str(&a, k->workers);
    args_int(&a, from);
    args_int(&a, from + WORKERS_AT_ONCE - 1);
    args_str(&a, "WITHSCORES");
    client_call(c, &a, on_page, page);
    args_done(&a);
    int status = client_wait(c);
    for (size_t i = 0; i < page->count && status == 0; i++)
        ask_fields(c, k, &page->workers[i]);
    if (status == 0)
        status = client_wait(c);
    if (status == 0)
        *ret = page;
    else
        worker_page_free(page);
    return status;
}

/* ---- rows ---- */

const struct column worker_columns[] = {
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

void worker_out(struct out *out, const struct worker_info *w, int64_t now_ms)
{
    char age[32];
    int64_t n, started_ms = 0;

    out_str(out, w->id);
    if (w->expires_ms <= now_ms)
        out_str(out, "lost");
    else
        out_str(out, w->fields[WORKER_stage] ? w->fields[WORKER_stage] : "up");
    for (size_t i = 0; i < WORKER_started_at; i++) {
        if (worker_columns[i + 2].right)
            out_number(out, w->fields[i], &n);
        else
            out_str(out, w->fields[i]);
    }
    const char *started = w->fields[WORKER_started_at];
    if (started)
        started_ms = strtoll(started, NULL, 10);
    out_str(out, started_ms > 0 ? age_format(now_ms - started_ms, age) : NULL);
    out_number(out, started, &n);
    out_row(out);
}
