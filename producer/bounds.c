/*
 * Bounds: how much a queue may hold.
 *
 *     wanted ──one transaction──► config: fields, version ──HMGET──► bounds
 *
 * The scripts read the bounds at each call, so they hold from now on, and what
 * is beyond them already stays. The version is raised as the protocol asks;
 * nobody waits for it.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/bounds.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/queue.h"

struct setting {
    struct client *client;   /* borrowed */
    const struct keys *keys; /* borrowed */
    const int64_t *wanted;   /* borrowed */
    char *now[QUEUE_BOUNDS]; /* owned: what is there; NULL: nothing */
    char *refused;           /* owned: by EXEC; NULL: nothing was */
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
    args_str(&a, s->keys->config);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        if (s->wanted[i] == QUEUE_BOUND_UNSAID ||
            (s->wanted[i] == QUEUE_BOUND_NONE) != gone)
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
    args_str(&a, s->keys->queues);
    args_str(&a, s->keys->queue);
    ask(s, &a);
    args_clear(&a);
    args_str(&a, "MULTI");
    ask(s, &a);
    send_fields(s, false);
    send_fields(s, true);
    args_clear(&a);
    args_str(&a, "HINCRBY");
    args_str(&a, s->keys->config);
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
    args_str(&a, s->keys->config);
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
static void read_field(const struct queue_bound *b, const char *text,
                       int64_t *ret_value, bool *ret_set)
{
    *ret_value = b->without == 0 ? QUEUE_BOUND_NONE : b->without;
    *ret_set =
        text && text_parse_int(text, 0, INT64_MAX, "", ret_value, NULL) == 0;
}

static bool wants_any(const int64_t *wanted)
{
    for (int i = 0; wanted && i < QUEUE_BOUNDS; i++) {
        if (wanted[i] != QUEUE_BOUND_UNSAID)
            return true;
    }
    return false;
}

int bounds_set(struct client *c, const struct keys *k, const int64_t *wanted,
               struct bounds *ret)
{
    struct setting s = {.client = c, .keys = k, .wanted = wanted};

    if (wants_any(wanted))
        send_all(&s);
    ask_bounds(&s);
    int status = client_wait(c);
    if (status == 0 && s.refused)
        status = client_tell(c, client_error_status(s.refused), "%s: %s",
                             k->config, s.refused);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        read_field(&queue_bounds[i], s.now[i], &ret->values[i], &ret->set[i]);
        free(s.now[i]);
    }
    free(s.refused);
    return status;
}
