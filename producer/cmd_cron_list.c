/*
 * belt cron list, show, next: which periodic jobs there are, and when they
 * come.
 *
 * Entries are read by HSCAN, page by page; memory is bounded by a page.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/base/text.h"
#include "producer/age.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/cron_client.h"
#include "producer/out.h"

#define AT(member) offsetof(struct options, member)

enum { PAGE = 100, NEXT_MAX = 1000, QUEUES_MAX = 100000 };

/* An entry of a page. */
struct row {
    char *name, *text; /* owned */
    size_t name_len, text_len;
    int64_t due_ms; /* -1: it is not due */
};

struct listing {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct out *out;         /* borrowed */
    struct keys keys;
    struct row *rows; /* owned */
    size_t count, cap;
    char cursor[32];
    int64_t now_ms;
    char **queues; /* owned, each too */
    size_t queue_count;
};

static void on_page(void *arg, const struct reply *r);
static void on_due(void *arg, const struct reply *r);
static void on_queues(void *arg, const struct reply *r);

/* ---- list ---- */

static const struct column columns[] = {
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

static void add_row(struct listing *l, struct bytes name, struct bytes text)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : PAGE;
        l->rows = mem_resize(l->rows, l->cap * sizeof(*l->rows));
    }
    l->rows[l->count++] = (struct row){.name = mem_dup(name.p, name.len),
                                       .name_len = name.len,
                                       .text = mem_dup(text.p, text.len),
                                       .text_len = text.len,
                                       .due_ms = -1};
}

static void on_page(void *arg, const struct reply *r)
{
    struct listing *l = arg;
    const struct reply *pairs = reply_at(r, 1);
    struct bytes cursor = {"0", 1};

    (void)reply_str(reply_at(r, 0), &cursor.p, &cursor.len);
    (void)snprintf(l->cursor, sizeof(l->cursor), "%s", cursor.p);
    for (size_t i = 0; i + 1 < reply_len(pairs); i += 2) {
        struct bytes name, text;
        if (reply_str(reply_at(pairs, i), &name.p, &name.len) &&
            reply_str(reply_at(pairs, i + 1), &text.p, &text.len))
            add_row(l, name, text);
    }
}

static void on_due(void *arg, const struct reply *r)
{
    struct listing *l = arg;

    for (size_t i = 0; i < l->count; i++) {
        struct bytes score;
        double d;
        if (!reply_str(reply_at(r, i), &score.p, &score.len))
            continue;
        d = strtod(score.p, NULL);
        if (d >= 0 && d < 9e15)
            l->rows[i].due_ms = (int64_t)d;
    }
}

static void ask_due(struct listing *l)
{
    struct args a = {0};

    args_str(&a, "ZMSCORE");
    args_str(&a, l->keys.cron_due);
    for (size_t i = 0; i < l->count; i++)
        args_mem(&a, l->rows[i].name, l->rows[i].name_len);
    client_call(l->client, &a, on_due, l);
    args_done(&a);
}

static void clear_rows(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->rows[i].name);
        free(l->rows[i].text);
    }
    l->count = 0;
}

static void out_when(struct listing *l, const struct cron_entry *e,
                     int64_t due_ms)
{
    struct zone *z = NULL;
    char local[CRON_LOCAL_MAX], age[32];
    struct errbuf eb;

    if (due_ms < 0) {
        out_none(l->out);
        out_none(l->out);
        out_none(l->out);
        return;
    }
    if (zone_open(e != NULL ? e->zone : "UTC", &z, &eb) == 0) {
        cron_format_local(z, due_ms, local);
        out_str(l->out, local);
    } else {
        out_none(l->out);
    }
    zone_free(z);
    out_str(l->out,
            due_ms <= l->now_ms ? "now" : age_format(due_ms - l->now_ms, age));
    out_int(l->out, due_ms);
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

static void print_row(struct listing *l, const struct row *row)
{
    struct cron_entry *e = NULL;
    struct errbuf eb;
    struct out *out = l->out;

    (void)cron_entry_parse(row->name, row->text, row->text_len, &e, &eb);
    out_text(out, row->name, row->name_len);
    out_str(out, l->keys.queue);
    out_str(out, e == NULL         ? "invalid"
                 : e->paused       ? "paused"
                 : row->due_ms < 0 ? "not due"
                                   : "active");
    out_str(out, e != NULL ? e->spec : eb.text);
    out_str(out, e != NULL ? e->zone : NULL);
    out_str(out, e != NULL ? e->type : NULL);
    out_when(l, e, row->due_ms);
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

static int by_row(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static int list_queue(struct listing *l, const char *queue)
{
    int status = 0;

    keys_init(&l->keys, l->o->ns, queue);
    (void)snprintf(l->cursor, sizeof(l->cursor), "0");
    do {
        struct args a = {0};
        args_str(&a, "HSCAN");
        args_str(&a, l->keys.cron);
        args_str(&a, l->cursor);
        args_str(&a, "COUNT");
        args_int(&a, PAGE);
        client_call(l->client, &a, on_page, l);
        args_done(&a);
        status = client_wait(l->client);
        if (status == 0 && l->count > 0) {
            ask_due(l);
            status = client_wait(l->client);
        }
        if (l->count > 1) /* a page: of few, all of them */
            qsort(l->rows, l->count, sizeof(*l->rows), by_row);
        for (size_t i = 0; i < l->count && status == 0; i++)
            print_row(l, &l->rows[i]);
        clear_rows(l);
    } while (status == 0 && strcmp(l->cursor, "0") != 0);
    return status;
}

static void on_queues(void *arg, const struct reply *r)
{
    struct listing *l = arg;
    struct bytes cursor = {"0", 1};
    const struct reply *names = reply_at(r, 1);

    (void)reply_str(reply_at(r, 0), &cursor.p, &cursor.len);
    (void)snprintf(l->cursor, sizeof(l->cursor), "%s", cursor.p);
    for (size_t i = 0; i < reply_len(names); i++) {
        struct bytes name;
        if (!reply_str(reply_at(names, i), &name.p, &name.len) ||
            !text_is_name(name.p, name.len) || l->queue_count == QUEUES_MAX)
            continue;
        l->queues = mem_resize((void *)l->queues,
                               (l->queue_count + 1) * sizeof(*l->queues));
        l->queues[l->queue_count++] = mem_strdup(name.p);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_queues(struct listing *l)
{
    int status;

    keys_init(&l->keys, l->o->ns, "default");
    (void)snprintf(l->cursor, sizeof(l->cursor), "0");
    do {
        struct args a = {0};
        args_str(&a, "SSCAN");
        args_str(&a, l->keys.queues);
        args_str(&a, l->cursor);
        client_call(l->client, &a, on_queues, l);
        args_done(&a);
        status = client_wait(l->client);
    } while (status == 0 && strcmp(l->cursor, "0") != 0);
    if (l->queue_count > 0)
        qsort((void *)l->queues, l->queue_count, sizeof(*l->queues), by_name);
    return status;
}

static int list_all(struct listing *l)
{
    int status = find_queues(l);

    for (size_t i = 0; i < l->queue_count; i++) {
        if (status == 0 &&
            (i == 0 || strcmp(l->queues[i], l->queues[i - 1]) != 0))
            status = list_queue(l, l->queues[i]);
    }
    for (size_t i = 0; i < l->queue_count; i++)
        free(l->queues[i]);
    free((void *)l->queues);
    return status;
}

static int run_list(const struct options *o)
{
    struct listing l = {.o = o};
    int status = client_open(o, &l.client);

    if (status != 0)
        return status;
    if (o->only_queue != NULL &&
        !text_is_name(o->only_queue, strlen(o->only_queue)))
        status =
            fail(o, EX_USAGE, "%s: not the name of a queue", o->only_queue);
    if (status == 0)
        status = client_now(l.client, &l.now_ms);
    if (status == 0) {
        l.out = out_new(o, columns);
        status = o->only_queue != NULL ? list_queue(&l, o->only_queue)
                                       : list_all(&l);
        out_end(l.out);
    }
    free(l.rows);
    client_close(l.client);
    return status;
}

/* ---- next ---- */

static const struct column next_columns[] = {
    {"local", FOR_ALL, false},
    {"utc", FOR_ALL, false},
    {"at", FOR_PROGRAMS, true},
    {0},
};

static int print_next(const struct options *o, const struct cron *cron,
                      const char *zone, int64_t now_ms)
{
    struct zone *z;
    struct errbuf eb;
    int64_t at_ms = now_ms;
    char text[CRON_LOCAL_MAX];
    int rc = zone_open(zone, &z, &eb);

    if (rc != 0)
        return fail(o, rc == ERR_SYSTEM ? EX_UNAVAILABLE : EX_DATAERR, "%s",
                    eb.text);
    struct out *out = out_new(o, next_columns);
    for (int64_t i = 0; i < o->next_count; i++) {
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
    out_end(out);
    zone_free(z);
    return 0;
}

static int next_of_entry(const struct options *o)
{
    struct cron_client c;
    struct cron_entry *e = NULL;
    int64_t now_ms = 0;
    int status = cron_client_open(o, &c);

    if (status == 0)
        status = cron_client_read(&c, o->args[0]);
    if (status == 0)
        status = cron_client_parse(&c, o->args[0], &e);
    if (status == 0)
        status = client_now(c.client, &now_ms);
    if (status == 0 && e->paused)
        complain(o, "%s is paused: this is when it would come", e->name);
    if (status == 0)
        status = print_next(o, &e->cron, o->tz != NULL ? o->tz : e->zone,
                            e->paused || c.due_ms < 0 ? now_ms : c.due_ms - 1);
    cron_entry_free(e);
    cron_client_close(&c);
    return status;
}

static int run_next(const struct options *o)
{
    struct cron cron;
    struct errbuf eb;
    const char *text = o->args[0];

    if (cron_is_name(text, strlen(text)))
        return next_of_entry(o);
    if (cron_parse(text, &cron, &eb) != 0)
        return fail(o, EX_DATAERR, "%s", eb.text);
    return print_next(o, &cron, o->tz != NULL ? o->tz : "UTC", clock_wall_ms());
}

/* ---- show ---- */

static int run_show(const struct options *o)
{
    struct listing l = {.o = o};
    struct cron_client c;
    int status = cron_client_open(o, &c);

    if (status == 0)
        status = cron_client_read(&c, o->args[0]);
    if (status == 0 && c.was == NULL)
        status = fail(o, EXIT_FAILURE, "%s: there is no such entry in %s",
                      o->args[0], o->queue);
    if (status == 0)
        status = client_now(c.client, &l.now_ms);
    if (status == 0) {
        struct row row = {.name = mem_strdup(o->args[0]),
                          .name_len = strlen(o->args[0]),
                          .text = c.was,
                          .text_len = c.was_len,
                          .due_ms = c.due_ms};
        l.keys = c.keys;
        l.out = out_new(o, columns);
        print_row(&l, &row);
        out_end(l.out);
        free(row.name);
        if (o->format == OUT_TABLE) {
            struct buf b = {0};
            safe_append_json(&b, c.was, c.was_len);
            printf("\n%s\n", b.data);
            if (c.holder[0] != '\0')
                printf("%s has not ended: with overlap skip no other comes\n",
                       c.holder);
            buf_done(&b);
        }
    }
    cron_client_close(&c);
    return status;
}

/* ---- the commands ---- */

static const struct flag list_flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(only_queue), 0, 0,
     "only of this one (of all)"},
    {0},
};
static const struct flag show_flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "whose it is (default: \"default\")"},
    {0},
};
static const struct flag next_flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "of NAME (default: \"default\")"},
    {"tz", 0, FLAG_TEXT, "ZONE", AT(tz), 0, 0,
     "whose clock (UTC, or the entry's)"},
    {"count", 'n', FLAG_INT, "N", AT(next_count), 1, NEXT_MAX, "how many (5)"},
    {0},
};

const struct command cmd_cron_list = {
    .name = "cron list",
    .usage = "",
    .summary = "List the periodic jobs, and when each comes next",
    .details = "State: active, paused, or invalid: not understood, and so "
               "never due.\n",
    .flags = list_flags,
    .run = run_list,
};
const struct command cmd_cron_show = {
    .name = "cron show",
    .usage = "NAME",
    .summary = "Show all of a periodic job",
    .flags = show_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
const struct command cmd_cron_next = {
    .name = "cron next",
    .usage = "SPEC | NAME",
    .summary = "Say when an expression, or a periodic job, comes next",
    .details = "belt cron next '30 2 * * SUN' --tz Europe/Berlin -n 3\nFor "
               "SPEC no Redis is needed.\n",
    .flags = next_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_next,
};
