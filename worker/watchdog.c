/*
 * Watchdog: what the service manager is told, and whether there is progress.
 *
 * A worker whose loop hangs says nothing and is ended by its manager. One whose
 * loop turns but whose lanes have got stuck would say that it lives for ever,
 * so each look asks what a person would: do jobs wait, is there room, and does
 * nothing move? Only what must not be is a lack, since the answer to it kills
 * what runs: a renewal has to have seen the jobs, again and again, while Redis
 * refused nothing.
 *
 * A message for which the manager has no room is sent again at the next look.
 *
 * Thread: event loop only.
 */
#include "worker/watchdog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/notify.h"
#include "worker/lane.h"
#include "worker/reload.h"

enum {
    READY_MS = 3000,        /* then a start has taken long enough */
    READY_LOOK_MS = 20,     /* between looks until then */
    LOOK_MS = 2000,         /* between looks: a new STATUS is no older */
    LIMIT_MS = 30000,       /* where no manager has one */
    EXTEND_US = 15000000,   /* what an ending worker asks for, at each look */
    FAREWELL_US = 60000000, /* and at its last one, for threads and handlers */
    QUEUES_NAMED = 4
};

/* Of these the manager has to hear, whatever it takes. */
enum saying { SAY_NOTHING, SAY_READY, SAY_RELOADING, SAY_STOPPING };

struct watchdog {
    struct agent *agent; /* borrowed */
    struct event *timer; /* owned; NULL: nobody listens */
    int64_t started_ms, pinged_ms;
    int64_t reloading_us; /* CLOCK_MONOTONIC; 0: nothing is read */
    enum saying said, owed;
    struct buf status, told; /* what is so, and what the manager knows */

    struct stall stall;
    char lacking[NAME_MAX_LEN + 1]; /* a queue; "": none lacks progress */
};

static void on_timer(evutil_socket_t fd, short what, void *arg);

/* ---- progress ---- */

bool stall_lasts(struct stall *p, bool expected, uint64_t moved, int64_t now_ms,
                 int64_t limit_ms)
{
    if (!expected || moved != p->moved) {
        p->moved = moved;
        p->since_ms = expected ? now_ms : 0;
        return false;
    }
    if (p->since_ms == 0)
        p->since_ms = now_ms;
    return now_ms - p->since_ms >= limit_ms;
}

/* Changes with each job that comes, each answered settle and each refusal. */
static uint64_t count_moves(const struct agent *a)
{
    uint64_t n = a->sent;
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *l = a->lanes[i];
        n += l->ledger.taken + (uint64_t)l->settles + l->refusals;
    }
    return n;
}

/*
 * Jobs wait and could come. Where none is held, there is room, whatever the
 * books say.
 */
static bool has_to_move(struct agent *a, const struct lane *l) ON_LOOP
{
    if (l->state != LANE_UP || !l->heard || l->paused || l->going)
        return false;
    if (clock_boot_ms() - l->renewed_boot_ms > 2 * a->cfg->lease_ms)
        return true; /* its lease is over, and it has not noticed */
    return l->ready > 0 && (a->out == 0 || agent_room(a, l) > 0);
}

/* A queue whose jobs have to move, or NULL. */
static const char *expected_of(struct agent *a) ON_LOOP
{
    for (unsigned i = 0; i < a->lane_count && a->stage == AGENT_RUNNING; i++)
        if (has_to_move(a, a->lanes[i]))
            return a->lanes[i]->keys.queue;
    return NULL;
}

static void look_for_progress(struct watchdog *w) ON_LOOP
{
    struct agent *a = w->agent;
    const char *queue = expected_of(a);
    int64_t ms = notify_watchdog_ms();
    int64_t limit = 4 * (ms > 0 ? ms : LIMIT_MS / 2);
    if (limit < a->cfg->lease_ms)
        limit = a->cfg->lease_ms;
    if (!stall_lasts(&w->stall, queue != NULL, count_moves(a), clock_ms(),
                     limit)) {
        if (w->lacking[0] != '\0')
            LOG_INFO("progress", F_STR("queue", w->lacking),
                     F_STR("so", "it is made again"));
        w->lacking[0] = '\0';
        return;
    }
    if (w->lacking[0] == '\0')
        LOG_ERROR("stuck", F_STR("queue", queue), F_INT("ms", limit),
                  F_INT("out", a->out),
                  F_STR("so", "jobs wait and none comes, though there is room: "
                              "no sign of life until one does"));
    (void)snprintf(w->lacking, sizeof(w->lacking), "%s", queue);
}

const char *watchdog_lacks(const struct watchdog *w)
{
    return w != NULL && w->lacking[0] != '\0' ? w->lacking : NULL;
}

/* ---- status ---- */

static bool is_bound(const struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++)
        if (a->lanes[i]->state != LANE_UP && !a->lanes[i]->going)
            return false;
    return !a->discovering || a->discovered;
}

static void write_queues(const struct agent *a, struct buf *out)
{
    unsigned named = 0;
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *l = a->lanes[i];
        if (l->going)
            continue;
        if (named++ < QUEUES_NAMED)
            buf_printf(out, "%s%s%s", named == 1 ? "; " : ", ", l->keys.queue,
                       l->paused ? " (paused)" : "");
    }
    if (named > QUEUES_NAMED)
        buf_printf(out, " and %u more", named - QUEUES_NAMED);
}

static void write_status(const struct watchdog *w, struct buf *out)
{
    const struct agent *a = w->agent;
    if (a->replace)
        buf_printf(out, "starting anew when %u jobs have ended", a->out);
    else if (a->stage >= AGENT_DRAINING)
        buf_printf(out, "%s, %u jobs run",
                   a->stage == AGENT_DRAINING ? "draining" : "stopping",
                   a->out);
    else
        buf_printf(out, "%s%u of %u busy",
                   a->stage == AGENT_QUIET ? "quiet, " : "", pool_busy(a->pool),
                   a->cfg->threads);
    if (a->stage < AGENT_DRAINING)
        write_queues(a, out);
    if (!is_bound(a) && a->stage < AGENT_DRAINING)
        buf_str(out, "; waiting for Redis");
    if (w->lacking[0] != '\0')
        buf_printf(out, "; stuck: %s has jobs and none comes", w->lacking);
    if (!reload_went_well(a->reload))
        buf_str(out, "; the new configuration is wrong, the old one stays");
}

/* ---- telling ---- */

static bool say(const struct watchdog *w, enum saying what)
{
    switch (what) {
    case SAY_NOTHING:
        break;
    case SAY_READY:
        return notify_send("READY=1");
    case SAY_RELOADING:
        return notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                           w->reloading_us);
    case SAY_STOPPING:
        return notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d", EXTEND_US);
    }
    return true;
}

/* The last of these is what counts; READY comes before the others. */
static enum saying to_be_said(const struct watchdog *w)
{
    const struct agent *a = w->agent;
    if (a->stage >= AGENT_DRAINING && !a->replace)
        return SAY_STOPPING;
    if (w->said == SAY_NOTHING && !is_bound(a) &&
        clock_ms() - w->started_ms < READY_MS)
        return SAY_NOTHING;
    return w->reloading_us != 0 && w->said != SAY_NOTHING ? SAY_RELOADING
                                                          : SAY_READY;
}

static void tell_state(struct watchdog *w)
{
    enum saying what = to_be_said(w);
    if (what != w->said) {
        w->said = what;
        w->owed = what;
    } else if (what == SAY_STOPPING) {
        (void)notify_send("EXTEND_TIMEOUT_USEC=%d", EXTEND_US);
    }
    if (w->owed != SAY_NOTHING && say(w, w->owed))
        w->owed = SAY_NOTHING;
}

static void tell_status(struct watchdog *w)
{
    buf_clear(&w->status);
    write_status(w, &w->status);
    if (w->status.len == w->told.len && w->told.len > 0 &&
        memcmp(w->status.data, w->told.data, w->told.len) == 0)
        return;
    if (!notify_send("STATUS=%.*s", (int)w->status.len, w->status.data))
        return;
    buf_clear(&w->told);
    buf_append(&w->told, w->status.data, w->status.len);
}

static int64_t look_every_ms(const struct watchdog *w)
{
    int64_t ms = notify_watchdog_ms();
    if (w->said == SAY_NOTHING)
        return READY_LOOK_MS;
    return ms > 0 && ms < LOOK_MS ? ms : LOOK_MS;
}

/* Half a look early, so that none is missed by a hair. */
static void ping(struct watchdog *w)
{
    int64_t ms = notify_watchdog_ms(), now = clock_ms();
    if (ms == 0 || w->lacking[0] != '\0' ||
        now - w->pinged_ms + look_every_ms(w) / 2 < ms)
        return;
    if (notify_send("WATCHDOG=1"))
        w->pinged_ms = now;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct watchdog *w = arg;
    (void)fd;
    (void)what;
    watchdog_look(w);
    ping(w);
    timer_in(w->timer, look_every_ms(w));
}

void watchdog_look(struct watchdog *w)
{
    if (w == NULL)
        return;
    look_for_progress(w);
    if (w->timer == NULL)
        return;
    tell_state(w);
    tell_status(w);
}

void watchdog_reloading(struct watchdog *w)
{
    if (w == NULL)
        return;
    if (w->reloading_us == 0)
        w->reloading_us = clock_us();
    watchdog_look(w);
}

void watchdog_reloaded(struct watchdog *w)
{
    if (w == NULL)
        return;
    w->reloading_us = 0;
    watchdog_look(w);
}

/* ---- birth and death ---- */

struct watchdog *watchdog_start(struct agent *a)
{
    struct watchdog *w = mem_new(sizeof(*w));
    w->agent = a;
    w->started_ms = clock_ms();
    if (notify_is_heard()) {
        w->timer = event_new(a->base, -1, 0, on_timer, w);
        timer_in(w->timer, 0);
    }
    return w;
}

void watchdog_end(struct watchdog *w)
{
    if (w == NULL)
        return;
    if (w->said == SAY_STOPPING)
        (void)notify_send("EXTEND_TIMEOUT_USEC=%d", FAREWELL_US);
    else if (notify_watchdog_ms() > 0) /* it goes on in another form */
        (void)notify_send("WATCHDOG=1");
    if (w->timer != NULL)
        event_free(w->timer);
    buf_done(&w->status);
    buf_done(&w->told);
    free(w);
}
