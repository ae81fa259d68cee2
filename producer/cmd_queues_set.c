/*
 * belt queues set: the bounds of a queue.
 *
 *     flags ──one transaction──► config: fields, version ──HMGET──► shown
 *
 * The scripts read the bounds at each call, so they hold from now on, and what
 * is beyond them already stays. The version is raised as the protocol asks;
 * nobody waits for it.
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/queue.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/out.h"

#define AT(member) offsetof(struct options, member)
struct setting {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct keys keys;
    int64_t wanted[QUEUE_BOUNDS]; /* -1: none */
    char *now[QUEUE_BOUNDS];      /* owned: what is there; NULL: nothing */
    char *refused;                /* owned: by EXEC; NULL: nothing was */
};

static void on_nothing(void *arg, const struct reply *r);
static void on_exec(void *arg, const struct reply *r);
static void on_bounds(void *arg, const struct reply *r);

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

/* The last one is the version, which is nobody's but may be planted. */
static void on_exec(void *arg, const struct reply *r)
{
    struct setting *s = arg;

    for (size_t i = 0; i + 1 < reply_len(r); i++) {
        if (reply_is_error(reply_at(r, i)) && !s->refused)
            s->refused = mem_strdup(reply_error(reply_at(r, i)));
    }
}

static void ask(struct setting *s, const struct args *a)
{
    client_call(s->client, a, on_nothing, NULL);
}

static void send_fields(struct setting *s, bool gone)
{
    struct args a = {0};
    bool any = false;

    args_str(&a, gone ? "HDEL" : "HSET");
    args_str(&a, s->keys.config);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        if (!s->o->bounds[i] || (s->wanted[i] < 0) != gone)
            continue;
        args_str(&a, queue_bounds[i].field);
        if (!gone)
            args_int(&a, s->wanted[i]);
        any = true;
    }
    if (any)
        ask(s, &a);
    args_done(&a);
}

static void send_all(struct setting *s)
{
    struct args a = {0};

    args_str(&a, "SADD");
    args_str(&a, s->keys.queues);
    args_str(&a, s->keys.queue);
    ask(s, &a);
    args_clear(&a);
    args_str(&a, "MULTI");
    ask(s, &a);
    send_fields(s, false);
    send_fields(s, true);
    args_clear(&a);
    args_str(&a, "HINCRBY");
    args_str(&a, s->keys.config);
    args_str(&a, "version");
    args_int(&a, 1);
    ask(s, &a);
    args_clear(&a);
    args_str(&a, "EXEC");
    client_call(s->client, &a, on_exec, s);
    args_done(&a);
}

static void ask_bounds(struct setting *s)
{
    struct args a = {0};

    args_str(&a, "HMGET");
    args_str(&a, s->keys.config);
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        args_str(&a, queue_bounds[i].field);
    client_call(s->client, &a, on_bounds, s);
    args_done(&a);
}

static void on_bounds(void *arg, const struct reply *r)
{
    struct setting *s = arg;

    for (size_t i = 0; i < QUEUE_BOUNDS; i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n))
            s->now[i] = mem_dup(p, n);
    }
}

/* What the scripts make of a field: what is no number counts as absent. */
static bool read_number(const char *text, int64_t *ret)
{
    return text && text_parse_int(text, 0, INT64_MAX, "", ret, NULL) == 0;
}

static void print_one(struct out *out, const struct queue_bound *b,
                      const char *text)
{
    char shown[32];
    int64_t n = b->without;
    bool there = read_number(text, &n);

    out_str(out, b->field);
    if (n == 0 && !there)
        out_str(out, "none");
    else if (b->kind == BOUND_AGE)
        out_str(out, text_format_duration(n, shown));
    else
        out_int(out, n);
    if (n == 0 && !there)
        out_none(out);
    else
        out_int(out, n);
    out_bool(out, there);
    out_row(out);
}

static void print_all(const struct setting *s)
{
    static const struct column columns[] = {{"bound", FOR_ALL, false},
                                            {"value", FOR_PEOPLE, true},
                                            {"value", FOR_PROGRAMS, true},
                                            {"set", FOR_ALL, false},
                                            {0}};
    struct out *out = out_new(s->o, columns);

    for (int i = 0; i < QUEUE_BOUNDS; i++)
        print_one(out, &queue_bounds[i], s->now[i]);
    out_end(out);
}

static int set_and_show(struct setting *s)
{
    const struct options *o = s->o;
    bool any = false;

    keys_init(&s->keys, o->ns, o->args[0]);
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        any = any || o->bounds[i];
    if (any)
        send_all(s);
    ask_bounds(s);
    int status = client_wait(s->client);
    if (status == 0 && s->refused)
        status = fail(o, client_error_status(s->refused), "%s: %s",
                      s->keys.config, s->refused);
    if (status == 0)
        print_all(s);
    return status;
}

static int run_set(const struct options *o)
{
    struct setting s = {.o = o};
    struct errbuf eb;

    if (!text_is_name(o->args[0], strlen(o->args[0])))
        return fail(o, EX_USAGE, "%s: not the name of a queue", o->args[0]);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        if (o->bounds[i] && queue_bound_read(&queue_bounds[i], o->bounds[i],
                                             &s.wanted[i], &eb) != 0)
            return fail(o, EX_USAGE, "--%s: %s", queue_bounds[i].name, eb.text);
    }
    int status = client_open(o, &s.client);
    if (status != 0)
        return status;
    status = set_and_show(&s);
    client_close(s.client);
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        free(s.now[i]);
    free(s.refused);
    return status;
}

static const struct flag flags[] = {
    {"max-length", 0, FLAG_TEXT, "N", AT(bounds[0]), 0, 0,
     "a push is refused while so many jobs are ready"},
    {"max-bytes", 0, FLAG_TEXT, "SIZE", AT(bounds[1]), 0, 0,
     "or while they take so much memory, roughly"},
    {"dead-max", 0, FLAG_TEXT, "N", AT(bounds[2]), 0, 0,
     "so many dead jobs are kept, the newest ones (100000)"},
    {"dead-max-age", 0, FLAG_TEXT, "D", AT(bounds[3]), 0, 0,
     "for so long (90d)"},
    {"dead-max-bytes", 0, FLAG_TEXT, "SIZE", AT(bounds[4]), 0, 0,
     "and so many bytes of them (256m)"},
    {0},
};

const struct command cmd_queues_set = {
    .name = "queues set",
    .usage = "QUEUE [--max-length N] [--max-bytes SIZE] ...",
    .summary = "Bound a queue; without flags show its bounds",
    .details = "A push that finds no room ends with 75. What waits stays, and "
               "so does what comes\nby itself: retries, jobs that are due, "
               "what follows a job. none takes a bound away;\nfor dead jobs "
               "the usual one holds then.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_set,
};
