/*
 * Pulse: what the service manager is told of belt serve.
 *
 * A message for which the manager has no room is sent again with the next beat.
 *
 * Thread: event loop only.
 */
#include "producer/serve/pulse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/mem.h"
#include "common/base/notify.h"
#include "producer/serve/serve.h"
#include "producer/serve/server.h"

enum {
    BEAT_MS = 2000,      /* a new STATUS is no older */
    FAREWELL_MS = 10000, /* for the side threads, beyond the drain */
    STATUS_MAX = 600
};

struct pulse {
    const struct serve *serve; /* borrowed */
    struct event *timer;       /* owned */
    int64_t stop_ms;           /* what its end takes; 0: it goes on */
    bool owes;                 /* READY or STOPPING was not taken yet */
    char status[STATUS_MAX], told[STATUS_MAX];
};

static void on_beat(evutil_socket_t fd, short what, void *arg);

static void tell(struct pulse *p)
{
    const struct serve *s = p->serve;
    char at[ADDRESS_TEXT_MAX];
    if (p->owes && p->stop_ms > 0)
        p->owes = !notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64,
                               p->stop_ms * 1000);
    else if (p->owes)
        p->owes = !notify_send("READY=1");
    server_address(s->server, at);
    (void)snprintf(p->status, sizeof(p->status), "%s %s%s%s",
                   p->stop_ms > 0 ? "draining," : "listening at", at,
                   s->away[0] != '\0' ? "; Redis is away: " : "", s->away);
    if (strcmp(p->status, p->told) != 0 && notify_send("STATUS=%s", p->status))
        memcpy(p->told, p->status, sizeof(p->told));
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct pulse *p = arg;
    (void)fd;
    (void)what;
    tell(p);
    if (notify_watchdog_ms() > 0)
        (void)notify_send("WATCHDOG=1");
}

struct pulse *pulse_start(const struct serve *s)
{
    int64_t ms = notify_watchdog_ms();
    if (!notify_is_heard())
        return NULL;
    struct pulse *p = mem_new(sizeof(*p));
    p->serve = s;
    p->owes = true;
    if (ms == 0 || ms > BEAT_MS)
        ms = BEAT_MS;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    p->timer = event_new(s->base, -1, EV_PERSIST, on_beat, p);
    (void)event_add(p->timer, &tv);
    tell(p);
    return p;
}

void pulse_stopping(struct pulse *p, int64_t drain_ms)
{
    if (p == NULL)
        return;
    p->stop_ms = drain_ms + FAREWELL_MS;
    p->owes = true;
    tell(p);
}

void pulse_free(struct pulse *p)
{
    if (p == NULL)
        return;
    event_free(p->timer);
    free(p);
}
