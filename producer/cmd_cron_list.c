/*
 * belt cron list, show, next: which periodic jobs there are, and when they
 * come.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/safe.h"
#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/cron_client.h"
#include "producer/cron_rows.h"
#include "producer/queue_sizes.h"

#define AT(member) offsetof(struct options, member)

enum { PAGE = 100, NEXT_MAX = 1000 };

struct listing {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct out *out;         /* owned */
    int64_t now_ms;
};

/* ---- list ---- */

static int list_queue(struct listing *l, const char *queue)
{
    struct cron_page page = {.client = l->client};
    int status;

    keys_init(&page.keys, l->o->ns, queue);
    do {
        status = cron_page_read(&page, PAGE);
        for (size_t i = 0; i < page.count && status == 0; i++)
            cron_row_out(l->out, &page.keys, &page.rows[i], l->now_ms);
    } while (status == 0 && page.cursor != 0);
    cron_page_done(&page);
    return status;
}

static int list_all(struct listing *l)
{
    struct queue_names list = {0};
    int status = queue_names_find(&list, l->client, l->o->ns);

    for (size_t i = 0; i < list.count && status == 0; i++)
        status = list_queue(l, list.names[i]);
    queue_names_done(&list);
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
        l.out = out_new(o, cron_columns);
        status = o->only_queue != NULL ? list_queue(&l, o->only_queue)
                                       : list_all(&l);
        out_end(l.out);
    }
    client_close(l.client);
    return status;
}

/* ---- next ---- */

static int print_next(const struct options *o, const struct cron *cron,
                      const char *zone, int64_t now_ms)
{
    struct out *out = out_new(o, cron_next_columns);
    struct errbuf eb;
    int rc = cron_next_out(out, cron, zone, now_ms, o->next_count, &eb);

    out_end(out);
    if (rc != 0)
        return fail(o, rc == ERR_SYSTEM ? EX_UNAVAILABLE : EX_DATAERR, "%s",
                    eb.text);
    return 0;
}

static int next_of_entry(const struct options *o)
{
    struct cron_client c;
    struct client *client;
    struct cron_entry *e = NULL;
    int64_t now_ms = 0;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    cron_client_init(&c, client, o->ns, o->queue);
    status = cron_client_read(&c, o->args[0]);
    if (status == 0)
        status = cron_client_parse(&c, o->args[0], &e);
    if (status == 0)
        status = client_now(client, &now_ms);
    if (status == 0 && e->paused)
        complain(o, "%s is paused: this is when it would come", e->name);
    if (status == 0)
        status = print_next(o, &e->cron, o->tz != NULL ? o->tz : e->zone,
                            cron_client_from(&c, e, now_ms));
    cron_entry_free(e);
    cron_client_done(&c);
    client_close(client);
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

/* All of it, for people. */
static void print_entry(const struct cron_client *c)
{
    struct buf b = {0};

    safe_append_json(&b, c->was, c->was_len);
    printf("\n%s\n", b.data);
    if (c->holder[0] != '\0')
        printf("%s has not ended: with overlap skip no other comes\n",
               c->holder);
    buf_done(&b);
}

static int show(const struct options *o, struct cron_client *c)
{
    int64_t now_ms = 0;
    int status = cron_client_read(c, o->args[0]);

    if (status == 0 && c->was == NULL)
        status = fail(o, EXIT_FAILURE, "%s: there is no such entry in %s",
                      o->args[0], o->queue);
    if (status == 0)
        status = client_now(c->client, &now_ms);
    if (status != 0)
        return status;
    struct out *out = out_new(o, cron_columns);
    cron_client_out(c, o->args[0], out, now_ms);
    out_end(out);
    if (o->format == OUT_TABLE)
        print_entry(c);
    return 0;
}

static int run_show(const struct options *o)
{
    struct cron_client c;
    struct client *client;
    int status = client_open(o, &client);

    if (status != 0)
        return status;
    cron_client_init(&c, client, o->ns, o->queue);
    status = show(o, &c);
    cron_client_done(&c);
    client_close(client);
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
