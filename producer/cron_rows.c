/*
 * Cron rows: the entries of a queue, read by HSCAN, and what is known of each.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/cron_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/age.h"
#include "producer/cron_client.h"

enum { ROWS_FIRST = 100 };

static void on_page(void *arg, const struct reply *r);
static void on_due(void *arg, const struct reply *r);

static void add_row(struct cron_page *p, struct bytes name, struct bytes text)
{
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : ROWS_FIRST;
        p->rows = mem_resize(p->rows, p->cap * sizeof(*p->rows));
    }
    p->rows[p->count++] = (struct cron_row){.name = mem_dup(name.p, name.len),
                                            .name_len = name.len,
                                            .text = mem_dup(text.p, text.len),
                                            .text_len = text.len,
                                            .due_ms = -1};
}

static void on_page(void *arg, const struct reply *r)
{
    struct cron_page *p = arg;
    const struct reply *pairs = reply_at(r, 1);
    struct bytes cursor = {"0", 1};

    (void)reply_str(reply_at(r, 0), &cursor.p, &cursor.len);
    p->cursor = strtoull(cursor.p, NULL, 10);
    for (size_t i = 0; i + 1 < reply_len(pairs); i += 2) {
        struct bytes name, text;
        if (reply_str(reply_at(pairs, i), &name.p, &name.len) &&
            reply_str(reply_at(pairs, i + 1), &text.p, &text.len))
            add_row(p, name, text);
    }
}

static void on_due(void *arg, const struct reply *r)
{
    struct cron_page *p = arg;

    for (size_t i = 0; i < p->count; i++) {
        struct bytes score;
        double d;
        if (!reply_str(reply_at(r, i), &score.p, &score.len))
            continue;
        d = strtod(score.p, NULL);
        if (d >= 0 && d < 9e15)
            p->rows[i].due_ms = (int64_t)d;
    }
}

static void ask_due(struct cron_page *p)
{
    struct args a = {0};

    args_str(&a, "ZMSCORE");
    args_str(&a, p->keys.cron_due);
    for (size_t i = 0; i < p->count; i++)
        args_mem(&a, p->rows[i].name, p->rows[i].name_len);
    client_call(p->client, &a, on_due, p);
    args_done(&a);
}

static void clear(struct cron_page *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->rows[i].name);
        free(p->rows[i].text);
    }
    p->count = 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct cron_row *)a)->name,
                  ((const struct cron_row *)b)->name);
}

int cron_page_read(struct cron_page *p, int64_t size)
{
    char cursor[24];
    struct args a = {0};

    clear(p);
    (void)snprintf(cursor, sizeof(cursor), "%" PRIu64, p->cursor);
    args_str(&a, "HSCAN");
    args_str(&a, p->keys.cron);
    args_str(&a, cursor);
    args_str(&a, "COUNT");
    args_int(&a, size);
    client_call(p->client, &a, on_page, p);
    args_done(&a);
    int status = client_wait(p->client);
    if (status == 0 && p->count > 0) {
        ask_due(p);
        status = client_wait(p->client);
    }
    if (p->count > 1)
        qsort(p->rows, p->count, sizeof(*p->rows), by_name);
    return status;
}

void cron_page_done(struct cron_page *p)
{
    clear(p);
    free(p->rows);
    p->rows = NULL;
    p->cap = 0;
}

/* ---- rows ---- */

const struct column cron_columns[] = {
    {"name", FOR_ALL, false},
    {"queue", FOR_ALL, false},
    {"state", FOR_ALL, false},
    {"spec", FOR_ALL, false},
    {"tz", FOR_ALL, false},
    {"type", FOR_ALL, false},
    {"next", FOR_PEOPLE, false},
    {"in", FOR_PEOPLE, true},
    {"next", FOR_PROGRAMS, true},
    {"payload", FOR_PROGRAMS, false},
    {"jitter", FOR_PROGRAMS, true},
    {"overlap", FOR_PROGRAMS, false},
    {"catch_up", FOR_PROGRAMS, false},
    {"catch_up_limit", FOR_PROGRAMS, true},
    {"times", FOR_PROGRAMS, true},
    {"source", FOR_PROGRAMS, false},
    {"updated_at", FOR_PROGRAMS, true},
    {"error", FOR_PROGRAMS, false},
    {0},
};

static void out_when(struct out *out, const struct cron_entry *e,
                     int64_t due_ms, int64_t now_ms)
{
    struct zone *z = NULL;
    char local[CRON_LOCAL_MAX], age[32];
    struct errbuf eb;

    if (due_ms < 0) {
        out_none(out);
        out_none(out);
        out_none(out);
        return;
    }
    if (zone_open(e != NULL ? e->zone : "UTC", &z, &eb) == 0) {
        cron_format_local(z, due_ms, local);
        out_str(out, local);
    } else {
        out_none(out);
    }
    zone_free(z);
    out_str(out, due_ms <= now_ms ? "now" : age_format(due_ms - now_ms, age));
    out_int(out, due_ms);
}

static void out_rest(struct out *out, const struct cron_entry *e)
{
    static const char *const catch_ups[] = {
        [CRON_LAST] = "last", [CRON_NONE] = "none", [CRON_ALL] = "all"};

    if (e->payload.p != NULL)
        out_json(out, e->payload.p, e->payload.len);
    else
        out_none(out);
    out_int(out, e->jitter_ms);
    out_str(out, e->overlap == CRON_SKIP ? "skip" : "allow");
    out_str(out, catch_ups[e->catch_up]);
    out_int(out, e->catch_up_limit_ms);
    if (e->times >= 0)
        out_int(out, e->times);
    else
        out_none(out);
    out_str(out, e->source[0] != '\0' ? e->source : NULL);
    if (e->updated_at_ms > 0)
        out_int(out, e->updated_at_ms);
    else
        out_none(out);
    out_none(out);
}

void cron_row_out(struct out *out, const struct keys *k,
                  const struct cron_row *row, int64_t now_ms)
{
    struct cron_entry *e = NULL;
    struct errbuf eb;

    (void)cron_entry_parse(row->name, row->text, row->text_len, &e, &eb);
    out_text(out, row->name, row->name_len);
    out_str(out, k->queue);
    out_str(out, e == NULL         ? "invalid"
                 : e->paused       ? "paused"
                 : row->due_ms < 0 ? "not due"
                                   : "active");
    out_str(out, e != NULL ? e->spec : eb.text);
    out_str(out, e != NULL ? e->zone : NULL);
    out_str(out, e != NULL ? e->type : NULL);
    out_when(out, e, row->due_ms, now_ms);
    if (e != NULL) {
        out_rest(out, e);
    } else {
        for (int i = 0; i < 8; i++)
            out_none(out);
        out_str(out, eb.text);
    }
    out_row(out);
    cron_entry_free(e);
}

void cron_client_out(const struct cron_client *c, const char *name,
                     struct out *out, int64_t now_ms)
{
    char *copy = mem_strdup(name);
    const struct cron_row row = {.name = copy,
                                 .name_len = strlen(name),
                                 .text = c->was,
                                 .text_len = c->was_len,
                                 .due_ms = c->due_ms};

    cron_row_out(out, &c->keys, &row, now_ms);
    free(copy);
}

/* ---- instants ---- */

const struct column cron_next_columns[] = {
    {"local", FOR_ALL, false},
    {"utc", FOR_ALL, false},
    {"at", FOR_PROGRAMS, true},
    {0},
};

int cron_next_out(struct out *out, const struct cron *cron, const char *zone,
                  int64_t from_ms, int64_t count, struct errbuf *eb)
{
    char text[CRON_LOCAL_MAX];
    struct zone *z;
    int rc = zone_open(zone, &z, eb);

    if (rc != 0)
        return rc;
    for (int64_t i = 0, at_ms = from_ms; i < count; i++) {
        at_ms = cron_next(cron, z, at_ms);
        if (at_ms < 0)
            break;
        cron_format_local(z, at_ms, text);
        out_str(out, text);
        clock_format(at_ms, text);
        out_str(out, text);
        out_int(out, at_ms);
        out_row(out);
    }
    zone_free(z);
    return 0;
}
