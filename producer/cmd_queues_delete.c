/*
 * belt queues delete: a queue without jobs, and all that is kept of it.
 *
 * Keys go in transactions that WATCH the places where jobs and lanes are, and
 * that do nothing unless these are empty: a job that is pushed meanwhile, and
 * its lock, are left. Keys of jobs that have ended are found by SCAN, in
 * steps; those of the queue itself go last.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/confirm.h"
#include "producer/connect.h"
#include "producer/purge.h"

enum { SCAN_AT_ONCE = 1000, NAMES_MAX = 4096, CURSOR_MAX = 24 };

/* Where jobs and lanes are, or what brings new ones. */
enum { READY, SCHEDULED, RETRY, DEAD, OUTBOX, CRON, LEASES, PLACES };

struct deletion {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct keys keys;
    int64_t sizes[PLACES];
    int64_t alive; /* leases that have not run out */
    char cursor[CURSOR_MAX];
    char *names[NAMES_MAX]; /* owned: of one step, to go */
    size_t count;
    char *held; /* owned: an active list that is not empty */
    int64_t now_ms;
    bool changed; /* a transaction was not executed */
};

static void on_size(void *arg, const struct reply *r);
static void on_time(void *arg, const struct reply *r);
static void on_scan(void *arg, const struct reply *r);
static void on_nothing(void *arg, const struct reply *r);
static void on_exec(void *arg, const struct reply *r);

static const char *place_key(const struct deletion *d, int place)
{
    const struct keys *k = &d->keys;
    const char *const all[] = {k->ready,  k->scheduled, k->retry, k->dead,
                               k->outbox, k->cron,      k->leases};

    return all[place];
}

static void on_size(void *arg, const struct reply *r)
{
    (void)reply_int(r, arg);
}

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

static void on_time(void *arg, const struct reply *r)
{
    int64_t seconds;

    if (reply_int(reply_at(r, 0), &seconds) && seconds > 0 &&
        seconds < INT64_MAX / 1000)
        *(int64_t *)arg = seconds * 1000;
}

static void ask(struct deletion *d, const char *verb, const char *key,
                client_reply_cb cb, void *arg)
{
    struct args a = {0};

    args_str(&a, verb);
    if (key)
        args_str(&a, key);
    client_call(d->client, &a, cb, arg);
    args_done(&a);
}

/* Watches the places, and sees how much is there. */
static int look(struct deletion *d)
{
    static const char *const verbs[PLACES] = {"LLEN", "ZCARD", "ZCARD", "ZCARD",
                                              "LLEN", "HLEN",  "ZCARD"};
    struct args a = {0};

    ask(d, "UNWATCH", NULL, on_nothing, NULL); /* our own changes */
    args_str(&a, "WATCH");
    for (int i = 0; i < PLACES; i++)
        args_str(&a, place_key(d, i));
    client_call(d->client, &a, on_nothing, NULL);
    for (int i = 0; i < PLACES; i++)
        ask(d, verbs[i], place_key(d, i), on_size, &d->sizes[i]);
    args_clear(&a);
    args_str(&a, "ZCOUNT");
    args_str(&a, d->keys.leases);
    args_int(&a, d->now_ms);
    args_str(&a, "+inf");
    client_call(d->client, &a, on_size, &d->alive);
    args_done(&a);
    return client_wait(d->client);
}

/* Returns 0 if the queue may go, else tells why not. */
static int judge(const struct deletion *d)
{
    static const char *const names[] = {"ready",
                                        "scheduled",
                                        "to be retried",
                                        "dead",
                                        "on their way to another queue",
                                        "periodic jobs"};
    const char *queue = d->keys.queue;

    if (d->alive > 0)
        return fail(d->o, 1, "%s: %lld workers are at work on it", queue,
                    (long long)d->alive);
    for (int i = 0; i < CRON; i++) {
        if (d->sizes[i] > 0)
            return fail(d->o, 1, "%s: %lld jobs are %s%s", queue,
                        (long long)d->sizes[i], names[i],
                        i < OUTBOX ? "; --force deletes them too" : "");
    }
    if (d->sizes[CRON] > 0 && !d->o->force)
        return fail(d->o, 1,
                    "%s: has %lld periodic jobs; --force deletes them too",
                    queue, (long long)d->sizes[CRON]);
    if (d->sizes[LEASES] > 0 && !d->o->force)
        return fail(d->o, 1,
                    "%s: the leases of %lld workers ran out; --force takes "
                    "them for gone",
                    queue, (long long)d->sizes[LEASES]);
    return 0;
}

static void on_exec(void *arg, const struct reply *r)
{
    *(bool *)arg = reply_is_nil(r);
}

/* In the transaction that the last look began. */
static int unlink_all(struct deletion *d, const char *const *names, size_t n)
{
    struct args a = {0};

    ask(d, "MULTI", NULL, on_nothing, NULL);
    args_str(&a, "UNLINK");
    for (size_t i = 0; i < n; i++)
        args_str(&a, names[i]);
    client_call(d->client, &a, on_nothing, NULL);
    args_done(&a);
    ask(d, "EXEC", NULL, on_exec, &d->changed);
    int status = client_wait(d->client);
    if (status == 0 && d->changed)
        status = fail(d->o, EX_TEMPFAIL,
                      "%s: something came meanwhile; what is there is left",
                      d->keys.queue);
    return status;
}

/* ---- what is kept of jobs ---- */

/* Whether a key is one of ours that goes with the jobs, by what is behind
 * belt:{q}: */
static bool is_of_jobs(const char *rest)
{
    static const char *const kinds[] = {
        "job:", "log:", "unique:", "pending:", "once:", "stats:"};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(rest, kinds[i], strlen(kinds[i])) == 0)
            return true;
    }
    return false;
}

static void on_scan(void *arg, const struct reply *r)
{
    struct deletion *d = arg;
    const struct reply *all = reply_at(r, 1);
    size_t prefix = strlen(d->keys.ready) + 1, n;
    const char *p;

    memcpy(d->cursor, "0", 2); /* what is none ends the scan */
    if (reply_str(reply_at(r, 0), &p, &n) && n < CURSOR_MAX)
        memcpy(d->cursor, p, n + 1);
    for (size_t i = 0; i < reply_len(all) && d->count < NAMES_MAX; i++) {
        if (!reply_str(reply_at(all, i), &p, &n) || strlen(p) != n ||
            n <= prefix)
            continue;
        if (is_of_jobs(p + prefix))
            d->names[d->count++] = mem_dup(p, n);
        else if (strncmp(p + prefix, "active:", 7) == 0 && !d->held)
            d->held = mem_dup(p, n);
    }
}

static void forget_names(struct deletion *d)
{
    for (size_t i = 0; i < d->count; i++)
        free(d->names[i]);
    d->count = 0;
}

/* A list that is there is not empty. */
static int refuse_held(const struct deletion *d)
{
    return fail(d->o, 1,
                "%s: jobs are held by a worker that is gone (%s); start one, "
                "which gives them back",
                d->keys.queue, d->held);
}

/* check: only looks for jobs that are held; else keys go. */
static int scan(struct deletion *d, bool check)
{
    char *pattern = mem_printf("%s:*", d->keys.ready);
    int status = 0;

    memcpy(d->cursor, "0", 2);
    do {
        struct args a = {0};
        args_str(&a, "SCAN");
        args_str(&a, d->cursor);
        args_str(&a, "MATCH");
        args_str(&a, pattern);
        args_str(&a, "COUNT");
        args_int(&a, SCAN_AT_ONCE);
        client_call(d->client, &a, on_scan, d);
        status = client_wait(d->client);
        args_done(&a);
        if (status == 0 && d->held)
            status = refuse_held(d);
        if (status == 0 && !check && d->count > 0) {
            status = look(d);
            if (status == 0)
                status = judge(d);
            if (status == 0)
                status = unlink_all(d, (const char *const *)d->names, d->count);
        }
        forget_names(d);
    } while (status == 0 && strcmp(d->cursor, "0") != 0);
    free(pattern);
    return status;
}

/* ---- the queue itself ---- */

static int delete_rest(struct deletion *d)
{
    const struct keys *k = &d->keys;
    const char *const names[] = {
        k->ready, k->scheduled, k->retry,  k->dead,     k->outbox,
        k->cron,  k->cron_due,  k->leases, k->lanes,    k->reaped,
        k->fence, k->stats,     k->config, k->cancelled};
    struct args a = {0};
    int status = look(d);

    if (status == 0)
        status = judge(d);
    if (status == 0)
        status = unlink_all(d, names, sizeof(names) / sizeof(names[0]));
    if (status != 0)
        return status;
    args_str(&a, "SREM");
    args_str(&a, k->queues);
    args_str(&a, k->queue);
    client_call(d->client, &a, on_nothing, NULL);
    args_done(&a);
    return client_wait(d->client);
}

static int begin(struct deletion *d)
{
    d->now_ms = 0;
    ask(d, "TIME", NULL, on_time, &d->now_ms);
    int status = client_wait(d->client);
    if (status == 0)
        status = look(d);
    if (status == 0 && d->alive > 0)
        status = judge(d);
    return status == 0 && !d->o->force ? judge(d) : status;
}

static int run_on(const struct options *o)
{
    struct deletion *d = mem_new(sizeof(*d));
    int64_t purged = 0;
    int status = client_open(o, &d->client);

    d->o = o;
    keys_init(&d->keys, o->ns, o->args[0]);
    if (status == 0) {
        status = begin(d);
        if (status == 0)
            status = scan(d, true);
        if (status == 0 && o->force)
            status = purge_queue(o, "all", &purged);
        if (status == 0)
            status = scan(d, false);
        if (status == 0)
            status = delete_rest(d);
        client_close(d->client);
    }
    free(d->held);
    free(d);
    return status;
}

static int run_delete(const struct options *o)
{
    const char *name = o->args[0];
    char what[NAME_MAX_LEN + 64];

    if (!text_is_name(name, strlen(name)))
        return fail(o, EX_USAGE, "%s: not the name of a queue", name);
    (void)snprintf(what, sizeof(what), "This deletes the queue %s%s", name,
                   o->force ? " with all its jobs" : "");
    int status = confirm(o, name, what);
    if (status == 0)
        status = run_on(o);
    if (status == 0 && o->format == OUT_TABLE)
        printf("%s deleted\n", name);
    return status;
}

static const struct flag flags[] = {
    {"force", 0, FLAG_BOOL, NULL, offsetof(struct options, force), 0, 0,
     "with its jobs, and if workers left without a word"},
    {"yes", 0, FLAG_BOOL, NULL, offsetof(struct options, yes), 0, 0,
     "do not ask"},
    {0},
};

const struct command cmd_queues_delete = {
    .name = "queues delete",
    .usage = "QUEUE [--force] [--yes]",
    .summary = "Delete a queue that has no jobs and no workers",
    .details =
        "With its counters, bounds, locks and kept results. While workers are "
        "at work on it,\nor jobs are held by one or are on their way to "
        "another queue, it is refused\n(status 1); --force purges jobs that "
        "wait or are dead first. What comes meanwhile is not\ndeleted (status "
        "75). On a "
        "terminal the name is to be typed, elsewhere --yes is\nneeded.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
