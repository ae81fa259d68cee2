/*
 * Agent: the loop, its lanes and the pool.
 *
 *     Redis ⇄ lanes ── jobs ──► pool ── outcomes ──► lanes ⇄ Redis
 *
 * Who fetches is in room.c, how it ends in stop.c.
 *
 * Thread: event loop only; agent_run makes the calling thread that.
 */
#include "worker/agent.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "worker/cancel.h"
#include "worker/control.h"
#include "worker/cron.h"
#include "worker/lane.h"
#include "worker/listen.h"
#include "worker/notes.h"
#include "worker/queue_file.h"
#include "worker/reload.h"
#include "worker/replace.h"
#include "worker/watchdog.h"

enum {
    FLEET_MS = 20000, /* between updates of this worker's entry */
    OUTCOMES_PER_TURN = 1000,
    GATHER_MS = 1,
    GATHER_MOST = 100 /* in that time: more of them make turns of their own */
};

static const int signal_numbers[4] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};

static void on_wake(evutil_socket_t fd, short what, void *arg);
static void on_tick(evutil_socket_t fd, short what, void *arg);

/* ---- turns ---- */

static bool burst_is_over(const struct agent *a)
{
    if (!a->cfg->burst || a->stage != AGENT_RUNNING || a->out > 0 ||
        (a->discovering && !a->discovered))
        return false;
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *l = a->lanes[i];
        if (l->state != LANE_UP || l->ledger.len > 0 || l->unacked != NULL ||
            lane_relays(l) || !(l->burst_checked || l->paused))
            return false;
    }
    return true;
}

void agent_turn(struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        lane_settle(a->lanes[i]);
        lane_look_cancelled(a->lanes[i]);
        lane_send_held(a->lanes[i]);
        lane_relay(a->lanes[i]);
        lane_pause_turn(a->lanes[i]);
        lane_going_turn(a->lanes[i]);
    }
    if (burst_is_over(a))
        agent_drain(a, "burst");
    if (a->stage >= AGENT_DRAINING)
        agent_drain_turn(a);
    else
        agent_pump(a);
}

static void take_outcome(struct agent *a, struct delivery *d,
                         int64_t now_us) ON_LOOP;

static void take_outcome(struct agent *a, struct delivery *d, int64_t now_us)
{
    struct slot *s = d->slot;
    a->out--;
    d->lane->out--;
    listen_note(a->listen, d);
    if (s == NULL) {
        a->stale++;
        d->lane->counts[C_STALE]++;
        LOG_WARN("stale", F_STR("job", d->job->id), F_STR("queue", d->queue),
                 F_STR("so", "not ours any more, result not committed"));
        delivery_free(d);
        return;
    }
    if (d->outcome.verdict != VERDICT_NONE)
        window_done(&a->window, d->outcome.run_us, now_us);
    if (d->log != NULL)
        lane_log_ended(d->lane, d);
    lane_judge_cancelled(d->lane, d);
    enum verdict v = d->outcome.verdict;
    ledger_set_state(&d->lane->ledger, s,
                     v == VERDICT_NONE || v == VERDICT_RELEASE ? SLOT_GIVE_BACK
                                                               : SLOT_FINISHED);
}

static void take_note(struct agent *a, const struct note *n,
                      int64_t now_us) ON_LOOP;

static void take_note(struct agent *a, const struct note *n, int64_t now_us)
{
    if (n->kind == NOTE_ENDED)
        take_outcome(a, n->d, now_us);
    else if (n->d->slot != NULL && n->kind == NOTE_LOG)
        lane_note_log(n->d->lane, n->d);
    else if (n->d->slot != NULL)
        lane_note(n->d->lane, n->d, n->kind);
}

/*
 * Whether outcomes may wait for GATHER_MS, so that a pool whose jobs are short,
 * but no no-ops, does not wake the loop, and that Redis, for each of them. It
 * has enough to do meanwhile: twice what it does in that time.
 */
static bool may_gather(const struct agent *a) ON_LOOP;

static bool may_gather(const struct agent *a)
{
    double coming = a->window.pace * GATHER_MS * 1000;
    return a->stage == AGENT_RUNNING && coming >= 1 && coming <= GATHER_MOST &&
           chan_len(a->jobs) >= a->cfg->threads + 2 * coming;
}

static void on_gathered(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)event_add(a->on_wake, NULL);
    on_wake(fd, what, a);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct agent *a = arg;
    void *items[OUTCOMES_PER_TURN];
    (void)fd;
    (void)what;
    pool_woken(a->pool);
    unsigned n = chan_try_recv_many(a->outcomes, items, OUTCOMES_PER_TURN);
    int64_t now_us = clock_us();
    for (unsigned i = 0; i < n; i++)
        take_note(a, items[i], now_us);
    for (unsigned i = 0; i < a->lane_count && n > 0; i++)
        a->lanes[i]->burst_checked = false; /* they may have pushed some */
    if (n == OUTCOMES_PER_TURN)             /* more may wait: come again */
        event_active(a->on_wake, EV_READ, 0);
    agent_turn(a);
    if (n < OUTCOMES_PER_TURN && may_gather(a)) {
        (void)event_del(a->on_wake);
        timer_in(a->gather_timer, GATHER_MS);
    }
}

void agent_recall(struct agent *a, agent_takes_fn takes, void *arg)
{
    void *item;
    for (unsigned n = chan_len(a->jobs); n > 0; n--) {
        if (chan_try_recv(a->jobs, &item) != 0)
            break;
        struct delivery *d = item;
        if (d->slot != NULL && takes(arg, d)) {
            a->out--;
            a->recalled++;
            d->lane->out--;
            continue;
        }
        int rc = chan_try_send(a->jobs, d);
        assert(rc == 0); /* there was room for it */
        (void)rc;
    }
}

/* arg: how many more may stay. */
static bool is_beyond(void *arg, struct delivery *d)
{
    unsigned *ahead = arg;
    if (*ahead > 0) {
        --*ahead;
        return false;
    }
    ledger_set_state(&d->lane->ledger, d->slot, SLOT_GIVE_BACK);
    return true;
}

/*
 * The pool got stuck in long jobs: what waits behind them goes back, so that
 * idle workers can have it.
 */
static void shed(struct agent *a) ON_LOOP;

static void shed(struct agent *a)
{
    unsigned ahead = agent_window(a) - a->cfg->threads;
    /* A few more are no matter, unless nothing has finished for a tick. */
    bool stuck = clock_us() - a->window.last_done_us >= AGENT_TICK_MS * 1000LL;
    if (chan_len(a->jobs) <= ahead + (stuck ? 0 : a->cfg->threads))
        return;
    agent_recall(a, is_beyond, &ahead);
    agent_turn(a);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)fd;
    (void)what;
    timer_in(a->tick, AGENT_TICK_MS);
    if (a->stage == AGENT_RUNNING)
        shed(a);
    lanes_tick(a);
    reload_tick(a->reload);
    agent_look_late(a);
    watchdog_look(a->watchdog);
    orphans_reap(&a->orphans);
    if (clock_ms() >= a->fleet_at_ms) {
        a->fleet_at_ms = clock_ms() + FLEET_MS;
        fleet_update(a);
    }
}

/* ---- birth and death ---- */

unsigned worker_subtask_threads(const struct worker_config *cfg)
{
    return cfg->subtask_threads != 0 ? cfg->subtask_threads : cfg->threads;
}

static void name_agent(struct agent *a)
{
    char ulid[ULID_LEN + 1];
    ulid_make(ulid);
    host_self(&a->host);
    (void)snprintf(a->id, sizeof(a->id), "%s-%d-%s",
                   a->cfg->name[0] != '\0' ? a->cfg->name : a->host.name,
                   (int)a->host.pid, ulid + ULID_LEN - 10);
}

static struct event_base *new_base(void)
{
    struct event_config *ec = event_config_new();
    struct event_base *base = NULL;
    if (ec != NULL && event_config_set_flag(ec, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(ec);
    if (ec != NULL)
        event_config_free(ec);
    return base;
}

static void block_signals(int how)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (unsigned i = 0; i < 4; i++)
        (void)sigaddset(&set, signal_numbers[i]);
    (void)pthread_sigmask(how, &set, NULL);
}

static int begin(struct agent *a, struct errbuf *eb) ON_LOOP;

static int begin(struct agent *a, struct errbuf *eb)
{
    const struct worker_config *cfg = a->cfg;
    orphans_init(&a->orphans);
    a->base = new_base();
    a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->base == NULL || a->wake_fd < 0)
        return errbuf_set(eb, ERR_SYSTEM, "event loop: %s", strerror(errno));
    /* What a lane holds beyond the window (BLMOVE, rebind) waits in it. */
    unsigned most = cfg->max_window + cfg->threads;
    a->jobs = chan_new(most);
    a->outcomes = chan_new(NOTE_KINDS * (most + cfg->threads));
    window_init(&a->window, cfg->threads, cfg->max_window);
    a->subtasks = subtask_pool_new(
        &(struct subtask_config){.threads = worker_subtask_threads(cfg),
                                 .window = cfg->subtask_window,
                                 .parents = cfg->threads,
                                 .results_max = cfg->subtask_results});
    struct pool_config pc = {.threads = cfg->threads,
                             .subtasks = a->subtasks,
                             .jobs = a->jobs,
                             .outcomes = a->outcomes,
                             .wake_fd = a->wake_fd};
    a->pool = pool_start(&pc, eb);
    if (a->pool == NULL)
        return ERR_SYSTEM;
    a->on_wake =
        event_new(a->base, a->wake_fd, EV_READ | EV_PERSIST, on_wake, a);
    a->gather_timer = event_new(a->base, -1, 0, on_gathered, a);
    a->tick = event_new(a->base, -1, 0, on_tick, a);
    a->full_timer = event_new(a->base, -1, 0, on_full, a);
    a->stop_timer = event_new(a->base, -1, 0, on_stop_timer, a);
    a->late_timer = event_new(a->base, -1, 0, on_late_timer, a);
    (void)event_add(a->on_wake, NULL);
    for (unsigned i = 0; i < 4; i++) {
        a->signals[i] = evsignal_new(a->base, signal_numbers[i], on_signal, a);
        (void)event_add(a->signals[i], NULL);
    }
    if (!reload_start(a->reload, a, eb))
        return ERR_SYSTEM;
    if (a->replaced_at_ms != 0) /* they were, so that none was lost */
        block_signals(SIG_UNBLOCK);
    a->lanes = mem_new(LANES_MAX * sizeof(struct lane *));
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        if (!cfg->queues[i].pattern)
            (void)agent_add_lane(a, &cfg->queues[i], i);
    }
    if (cfg->listen[0] != '\0' && (a->listen = listen_start(a, eb)) == NULL) {
        a->exit_code = 78;
        return ERR_INVALID;
    }
    return 0;
}

static void free_event(struct event *ev)
{
    if (ev != NULL)
        event_free(ev);
}

static void end(struct agent *a) ON_LOOP;

static void end(struct agent *a)
{
    /* It ends as it was told to: more orders would only spoil the exit code. */
    block_signals(SIG_BLOCK);
    reload_end(a->reload);
    watchdog_end(a->watchdog);
    listen_free(a->listen);
    discover_stop(a);
    control_free(a->control);
    for (unsigned i = 0; i < a->lane_count; i++)
        lane_free(a->lanes[i]);
    free(a->lanes);
    cron_file_free(a->cron_file);
    queue_file_free(a->queue_file);
    for (unsigned i = 0; i < 4; i++)
        free_event(a->signals[i]);
    free_event(a->on_wake);
    free_event(a->gather_timer);
    free_event(a->tick);
    free_event(a->full_timer);
    free_event(a->stop_timer);
    free_event(a->late_timer);
    if (a->base != NULL)
        event_base_free(a->base);
}

static void end_pool(struct agent *a, unsigned lost)
{
    void *item;
    /* Parts of what was given up may run on. */
    if (a->pool != NULL && subtask_pool_busy(a->subtasks) == 0)
        reload_stop_handlers(a->reload);
    if (a->pool != NULL) {
        chan_close(a->jobs);
        pool_join(a->pool);
        while (chan_try_recv(a->jobs, &item) == 0)
            delivery_free(item);
        while (chan_try_recv(a->outcomes, &item) == 0) {
            const struct note *n = item;
            if (n->kind == NOTE_ENDED)
                delivery_free(n->d);
        }
    }
    if (lost == 0)
        subtask_pool_free(a->subtasks);
    chan_free(a->jobs);
    chan_free(a->outcomes);
    if (a->wake_fd >= 0)
        (void)close(a->wake_fd);
}

static int run(struct agent *a, struct errbuf *eb) ON_LOOP;

static int run(struct agent *a, struct errbuf *eb)
{
    int rc = begin(a, eb);
    if (rc == 0) {
        LOG_INFO("start", F_STR("worker", a->id),
                 F_INT("threads", a->cfg->threads),
                 F_INT("queues", a->cfg->queue_count),
                 F_STR("version", BELT_VERSION));
        timer_in(a->tick, AGENT_TICK_MS);
        a->cron_file = cron_file_new(a);
        a->queue_file = queue_file_new(a);
        for (unsigned i = 0; i < a->lane_count; i++)
            lane_start(a->lanes[i]);
        a->control = control_start(a);
        discover_start(a);
        a->watchdog = watchdog_start(a);
        (void)event_base_dispatch(a->base);
    }
    end(a);
    return rc;
}

static int run_on_loop(struct agent *a, struct errbuf *eb)
{
    loop_role_bind();
    return run(a, eb);
}

int agent_run(struct reload *reload, struct agent_end *ret_end)
{
    struct agent a = {.reload = reload,
                      .cfg = reload_config(reload),
                      .wake_fd = -1,
                      .started_at_ms = clock_wall_ms(),
                      .replaced_at_ms = replaced_at_ms()};
    struct errbuf eb;
    name_agent(&a);
    int rc = run_on_loop(&a, &eb);
    unsigned lost = a.pool != NULL ? agent_lost(&a) : 0;
    *ret_end = (struct agent_end){.lost = lost > 0, .replace = a.replace};
    end_pool(&a, lost);
    if (rc != 0) {
        LOG_ERROR("start", F_STR("error", eb.text));
        return a.exit_code != 0 ? a.exit_code : 70;
    }
    LOG_INFO("stop", F_STR("worker", a.id), F_INT("stale", a.stale),
             F_INT("exit", a.exit_code));
    return a.exit_code;
}
