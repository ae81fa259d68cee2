/*
 * Subscribe: one SUBSCRIBE for each channel, in every session anew.
 *
 * Thread: that of the client.
 */
#include "producer/subscribe.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/conn.h"

enum { SUBSCRIBE_TIMEOUT_MS = 30000 };

struct channel {
    const char *name; /* borrowed */
    size_t index;     /* among those of the owner */
};

struct subscription {
    struct subscription_events events;
    struct conn *conn;        /* owned */
    struct channel *channels; /* owned, by name */
    size_t count;
    size_t answered; /* in this session */
};

static void on_up(void *arg);
static void on_down(void *arg, int err, const char *why);
static void on_message(void *arg, const char *channel, const char *text,
                       size_t len);
static void on_subscribed(void *arg, int err, const struct reply *r);

static int compare(const void *a, const void *b)
{
    const struct channel *x = a, *y = b;

    return strcmp(x->name, y->name);
}

struct subscription *subscription_new(const struct client *c,
                                      const char *const *channels, size_t n,
                                      const struct subscription_events *events)
{
    struct subscription *s = mem_new(sizeof(*s));
    struct conn_config cfg = {
        .on_up = on_up,
        .on_down = on_down,
        .on_message = on_message,
        .arg = s,
    };

    s->events = *events;
    s->channels = mem_new(n * sizeof(*s->channels));
    for (s->count = 0; s->count < n; s->count++)
        s->channels[s->count] = (struct channel){channels[s->count], s->count};
    qsort(s->channels, n, sizeof(*s->channels), compare);
    s->conn = client_conn_new(c, &cfg);
    conn_open(s->conn);
    return s;
}

void subscription_free(struct subscription *s)
{
    if (!s)
        return;
    conn_free(s->conn);
    free(s->channels);
    free(s);
}

static void on_up(void *arg)
{
    loop_role_assert();
    struct subscription *s = arg;
    struct args a = {0};

    s->answered = 0;
    for (size_t i = 0; i < s->count; i++) {
        args_clear(&a);
        args_str(&a, "SUBSCRIBE");
        args_str(&a, s->channels[i].name);
        (void)conn_call(s->conn, &a, clock_ms() + SUBSCRIBE_TIMEOUT_MS, false,
                        on_subscribed, s);
    }
    args_done(&a);
}

static void on_subscribed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct subscription *s = arg;

    if (err != 0)
        return; /* on_down comes, or we have closed it */
    if (reply_is_error(r)) {
        const char *why = reply_error(r);
        s->events.on_refused(s->events.arg, why);
        conn_close(s->conn);
        return;
    }
    if (++s->answered == s->count)
        s->events.on_ready(s->events.arg);
}

static void on_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    const struct subscription *s = arg;

    (void)err;
    s->events.on_lost(s->events.arg, why);
}

static void on_message(void *arg, const char *channel, const char *text,
                       size_t len)
{
    loop_role_assert();
    const struct subscription *s = arg;
    size_t low = 0, high = s->count;

    while (low < high) { /* the first of this name */
        size_t mid = low + (high - low) / 2;
        if (strcmp(s->channels[mid].name, channel) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < s->count && strcmp(s->channels[low].name, channel) == 0; low++)
        s->events.on_message(s->events.arg, s->channels[low].index, text, len);
}
