/*
 * Doctor, the queues: what is in the way of their jobs, or left behind.
 *
 * A key of another type would end most commands with an error, so types come
 * first, and a queue with such a key is looked at no further. Lists of lanes
 * that are in no set are looked for by a scan of the keys, which is cut.
 *
 * Thread: that of the client.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/queue.h"
#include "producer/doctor.h"
#include "producer/queue_sizes.h"

enum {
    LANES_LOOKED_AT = 1000,
    SCAN_COUNT = 1000,
    SCANS_MAX = 1000, /* calls: about a million keys */
    LATE_MS = 60000   /* a lease or a tick that nobody has dealt with */
};

struct patient {
    struct doctor *doctor; /* borrowed */
    struct keys keys;
    int64_t now_ms;
    int64_t live, lost; /* lanes: lease holds; ran out LATE_MS ago */
    int64_t tick_ms;    /* of the first periodic job; 0: none */
    char holder[LANE_ID_MAX];
};

/* ---- types ---- */

/* of: a queue, or NULL. Takes *ret_right away if it is another one. */
static int look_at_type(struct doctor *d, const char *of, const char *key,
                        const char *type, bool *ret_right)
{
    struct doctor_answer a = {0};
    int status = doctor_ask(d, (const char *[]){"TYPE", key, NULL}, &a);

    if (status == 0 && a.error.len == 0 && a.text.len > 0 &&
        strcmp(a.text.data, "none") != 0 && strcmp(a.text.data, type) != 0) {
        *ret_right = false;
        doctor_say(d, DOCTOR_WRONG, "type", of,
                   "%s is a %s, and should be a %s", key, a.text.data, type);
    }
    doctor_answer_done(&a);
    return status;
}

static int look_at_types(struct patient *p, bool *ret_right)
{
    const struct {
        const char *key, *type;
    } keys[] = {{p->keys.ready, "list"},     {p->keys.scheduled, "zset"},
                {p->keys.retry, "zset"},     {p->keys.dead, "zset"},
                {p->keys.leases, "zset"},    {p->keys.lanes, "hash"},
                {p->keys.config, "hash"},    {p->keys.stats, "hash"},
                {p->keys.cancelled, "zset"}, {p->keys.outbox, "list"},
                {p->keys.cron, "hash"},      {p->keys.cron_due, "zset"},
                {p->keys.fence, "string"}};
    int status = 0;

    *ret_right = true;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && status == 0; i++)
        status = look_at_type(p->doctor, p->keys.queue, keys[i].key,
                              keys[i].type, ret_right);
    return status;
}

int doctor_shared(struct doctor *d, bool *ret_right)
{
    struct keys keys;

    keys_init(&keys, d->ns, "default"); /* any will do */
    *ret_right = true;
    int status = look_at_type(d, NULL, keys.queues, "set", ret_right);
    if (status == 0)
        status = look_at_type(d, NULL, keys.workers, "zset", ret_right);
    return status;
}

/* ---- lanes, ticks ---- */

static void on_leases(void *arg, const struct reply *r)
{
    struct patient *p = arg;

    for (size_t i = 0; i + 1 < reply_len(r); i += 2) {
        const char *lane, *score;
        size_t n, len;
        if (!reply_str(reply_at(r, i), &lane, &n) ||
            !reply_str(reply_at(r, i + 1), &score, &len))
            continue;
        int64_t until_ms = (int64_t)strtod(score, NULL);
        if (until_ms > p->now_ms)
            p->live++;
        else if (until_ms < p->now_ms - LATE_MS && p->lost++ == 0)
            (void)snprintf(p->holder, sizeof(p->holder), "%s", lane);
    }
}

static void on_tick(void *arg, const struct reply *r)
{
    struct patient *p = arg;
    const char *score;
    size_t n;

    if (reply_len(r) == 2 && reply_str(reply_at(r, 1), &score, &n))
        p->tick_ms = (int64_t)strtod(score, NULL);
}

static int look_at_sets(struct patient *p)
{
    struct client *c = p->doctor->client;
    struct args a = {0};

    args_str(&a, "ZRANGE");
    args_str(&a, p->keys.leases);
    args_int(&a, 0);
    args_int(&a, LANES_LOOKED_AT - 1);
    args_str(&a, "WITHSCORES");
    client_call(c, &a, on_leases, p);
    args_clear(&a);
    args_str(&a, "ZRANGE");
    args_str(&a, p->keys.cron_due);
    args_int(&a, 0);
    args_int(&a, 0);
    args_str(&a, "WITHSCORES");
    client_call(c, &a, on_tick, p);
    args_done(&a);
    return client_wait(c);
}

/* ---- what is said of it ---- */

static const char *jobs(int64_t n, char out[32])
{
    (void)snprintf(out, 32, "%" PRId64 " job%s", n, n == 1 ? "" : "s");
    return out;
}

static void say_what_waits(const struct patient *p, const struct queue_sizes *q)
{
    int64_t waiting = q->ready + q->scheduled + q->retry + q->active;
    int64_t max = text_int_or(q->fields[QUEUE_MAX_LENGTH], -1);
    const char *paused = q->fields[QUEUE_PAUSED];
    struct doctor *d = p->doctor;
    const char *name = p->keys.queue;
    char text[32];

    if (paused != NULL && strcmp(paused, "1") == 0 && waiting > 0)
        doctor_say(d, DOCTOR_NOTE, "paused", name, "%s while it is paused",
                   jobs(waiting, text));
    if (waiting > 0 && p->live == 0)
        doctor_say(d, DOCTOR_WARNING, "workers", name,
                   "%s, and no worker: belt-worker -q %s", jobs(waiting, text),
                   name);
    else
        doctor_say(d, DOCTOR_OK, "workers", name, "%" PRId64 " for %s", p->live,
                   jobs(waiting, text));
    if (max >= 0 && q->ready >= max)
        doctor_say(d, DOCTOR_WARNING, "full", name,
                   "%" PRId64 " ready of %" PRId64 ": pushes are refused",
                   q->ready, max);
    if (q->dead > 0)
        doctor_say(d, DOCTOR_NOTE, "dead", name, "%s: belt dead summary %s",
                   jobs(q->dead, text), name);
}

static void say_what_is_late(const struct patient *p)
{
    char text[32];

    if (p->lost > 0)
        doctor_say(p->doctor, DOCTOR_WARNING, "lost", p->keys.queue,
                   "%" PRId64
                   " lane%s, %s first, lost the lease over a minute ago; "
                   "any worker of the queue gives back what it held",
                   p->lost, p->lost == 1 ? "" : "s", p->holder);
    if (p->tick_ms > 0 && p->tick_ms < p->now_ms - LATE_MS) {
        text_format_duration(p->now_ms - p->tick_ms, text);
        doctor_say(p->doctor, DOCTOR_WARNING, "cron", p->keys.queue,
                   "a periodic job is overdue by %s%s", text,
                   p->live == 0 ? ": workers push them, and there is none"
                                : "");
    }
}

static int look_at_format(struct patient *p)
{
    struct doctor_answer a = {0};
    int status = doctor_ask(
        p->doctor, (const char *[]){"HGET", p->keys.config, "format", NULL},
        &a);

    if (status == 0 && a.text.len > 0 &&
        text_int_or(a.text.data, INT64_MAX) > QUEUE_FORMAT)
        doctor_say(p->doctor, DOCTOR_WRONG, "format", p->keys.queue,
                   "%s, newer than %d, which this belt knows", a.text.data,
                   QUEUE_FORMAT);
    doctor_answer_done(&a);
    return status;
}

static int look_at_outbox(struct patient *p)
{
    struct doctor_answer a = {0};
    char text[32];
    int status = doctor_ask(p->doctor,
                            (const char *[]){"LLEN", p->keys.outbox, NULL}, &a);

    if (status == 0 && text_int_or(a.text.data, 0) > 0 && p->live == 0)
        doctor_say(p->doctor, DOCTOR_WARNING, "outbox", p->keys.queue,
                   "%s on the way to other queues, and no worker to bring "
                   "them there",
                   jobs(text_int_or(a.text.data, 0), text));
    doctor_answer_done(&a);
    return status;
}

static int look_at_queue(struct doctor *d, char *const *name)
{
    struct patient p = {.doctor = d};
    struct queue_sizes sizes = {0};
    bool right = false;

    keys_init(&p.keys, d->ns, *name);
    int status = look_at_types(&p, &right);
    if (status != 0 || !right)
        return status;
    status = queue_sizes_look(d->client, d->ns, name, 1, &sizes, &p.now_ms);
    if (status == 0)
        status = look_at_sets(&p);
    if (status == 0) {
        say_what_waits(&p, &sizes);
        say_what_is_late(&p);
        status = look_at_format(&p);
    }
    if (status == 0)
        status = look_at_outbox(&p);
    queue_sizes_done(&sizes, 1);
    return status;
}

/* ---- lists that belong to nobody ---- */

struct scan {
    struct doctor *doctor; /* borrowed */
    char cursor[32];
    char **keys; /* owned: of active lists */
    size_t count, cap;
};

static void on_scan(void *arg, const struct reply *r)
{
    struct scan *s = arg;
    const struct reply *keys = reply_at(r, 1);
    const char *p;
    size_t n;

    (void)snprintf(s->cursor, sizeof(s->cursor), "%s",
                   reply_str(reply_at(r, 0), &p, &n) ? p : "0");
    for (size_t i = 0; i < reply_len(keys); i++) {
        if (!reply_str(reply_at(keys, i), &p, &n))
            continue;
        if (s->count == s->cap) {
            s->cap = s->cap > 0 ? 2 * s->cap : 64;
            s->keys = mem_resize(s->keys, s->cap * sizeof(*s->keys));
        }
        s->keys[s->count++] = mem_dup(p, n);
    }
}

/* Splits "NS:{QUEUE}:active:LANE"; false if it is none of ours. */
static bool split(const char *key, const char *ns, char queue[NAME_MAX_LEN + 1],
                  const char **ret_lane)
{
    size_t n = strlen(ns);
    const char *open = key + n + 2, *close;

    if (strncmp(key, ns, n) != 0 || strncmp(key + n, ":{", 2) != 0)
        return false;
    close = strstr(open, "}:active:");
    if (close == NULL || !text_is_name(open, (size_t)(close - open)))
        return false;
    (void)snprintf(queue, NAME_MAX_LEN + 1, "%.*s", (int)(close - open), open);
    *ret_lane = close + 9;
    return true;
}

/* The reaper deals with lanes in leases, and with those that it has ended. */
static int look_at_list(struct doctor *d, const char *key)
{
    struct keys keys;
    char queue[NAME_MAX_LEN + 1];
    const char *lane;
    char text[32];
    struct doctor_answer lease = {0}, ended = {0}, length = {0};

    if (!split(key, d->ns, queue, &lane))
        return 0;
    keys_init(&keys, d->ns, queue);
    int status = doctor_ask(
        d, (const char *[]){"ZSCORE", keys.leases, lane, NULL}, &lease);
    if (status == 0)
        status = doctor_ask(
            d, (const char *[]){"ZSCORE", keys.reaped, lane, NULL}, &ended);
    if (status == 0)
        status = doctor_ask(d, (const char *[]){"LLEN", key, NULL}, &length);
    if (status == 0 && lease.text.len == 0 && ended.text.len == 0 &&
        text_int_or(length.text.data, 0) > 0)
        doctor_say(d, DOCTOR_WARNING, "orphan", queue,
                   "%s in %s, a list that no worker knows of: LMOVE them to "
                   "%s RIGHT LEFT one by one",
                   jobs(text_int_or(length.text.data, 0), text), key,
                   keys.ready);
    doctor_answer_done(&lease);
    doctor_answer_done(&ended);
    doctor_answer_done(&length);
    return status;
}

static int look_for_orphans(struct doctor *d)
{
    struct scan s = {.doctor = d, .cursor = "0"};
    char *pattern = mem_printf("%s:{*}:active:*", d->ns);
    struct args a = {0};
    int status = 0, calls = 0;

    do {
        args_clear(&a);
        args_str(&a, "SCAN");
        args_str(&a, s.cursor);
        args_str(&a, "MATCH");
        args_str(&a, pattern);
        args_str(&a, "COUNT");
        args_int(&a, SCAN_COUNT);
        client_call(d->client, &a, on_scan, &s);
        status = client_wait(d->client);
    } while (status == 0 && strcmp(s.cursor, "0") != 0 && ++calls < SCANS_MAX);
    args_done(&a);
    for (size_t i = 0; i < s.count; i++) {
        if (status == 0)
            status = look_at_list(d, s.keys[i]);
        free(s.keys[i]);
    }
    if (status == 0 && strcmp(s.cursor, "0") != 0)
        doctor_say(d, DOCTOR_NOTE, "orphan", NULL,
                   "only about a million keys were looked at");
    free((void *)s.keys);
    free(pattern);
    return status;
}

int doctor_queues(struct doctor *d, char *const *names, size_t n)
{
    int status = 0;

    for (size_t i = 0; i < n && status == 0; i++)
        status = look_at_queue(d, &names[i]);
    return status == 0 ? look_for_orphans(d) : status;
}
