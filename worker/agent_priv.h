#ifndef WORKER_AGENT_PRIV_H
#define WORKER_AGENT_PRIV_H

#include <event2/event.h>

#include "common/base/chan.h"
#include "worker/agent.h"
#include "worker/host.h"
#include "worker/orphans.h"
#include "worker/pool.h"
#include "worker/subtask.h"
#include "worker/window.h"

/*
 * What the files of the agent share: the agent itself. Loop thread only.
 */
enum agent_stage {
    AGENT_RUNNING,
    AGENT_QUIET,    /* fetches nothing, stays */
    AGENT_DRAINING, /* waits for running jobs, gives the others back */
    AGENT_STOPPING  /* running jobs were told to stop */
};

enum { AGENT_TICK_MS = 1000 };

struct control;
struct cron_file;
struct queue_file;
struct reload;
struct lane;
struct listen;
struct watchdog;

struct agent {
    struct reload *reload;           /* borrowed from main */
    const struct worker_config *cfg; /* borrowed: what reload says holds now */
    struct host host;
    char id[96]; /* name-pid-random: a lane adds its number */

    struct event_base *base;       /* owned */
    struct chan *jobs, *outcomes;  /* owned */
    struct pool *pool;             /* owned */
    struct subtask_pool *subtasks; /* owned */
    int wake_fd;                   /* owned eventfd: outcomes are there */
    struct event *on_wake;         /* owned, like all events */
    struct event *gather_timer;    /* pending: on_wake is not */
    struct event *signals[4];
    struct event *tick, *full_timer, *stop_timer, *late_timer;

    /* To find the queues that patterns mean; NULL if there are none. */
    struct conn *discover_conn;   /* owned */
    struct event *discover_timer; /* owned */
    bool discovering, discovered, discover_said, discover_full;

    struct lane **lanes; /* owned, room for LANES_MAX */
    unsigned lane_count;
    /* Until when what each of them holds may begin, by the boot clock: the
     * pool, which outlives them, reads it. */
    _Atomic int64_t good_until_ms[LANES_MAX];

    struct cron_file *cron_file;   /* owned */
    struct queue_file *queue_file; /* owned */
    struct control *control;   /* owned; NULL: not listening yet, or any more */
    struct listen *listen;     /* owned; NULL: no HTTP endpoint */
    struct watchdog *watchdog; /* owned */

    struct window window;
    struct orphans orphans;
    unsigned out;            /* deliveries in jobs, running, or in outcomes */
    unsigned sent, recalled; /* ever put into jobs, and taken out again */
    enum agent_stage stage;
    unsigned stop_signals;
    int64_t stale;          /* results of jobs that were not ours any more */
    int64_t started_at_ms;  /* wall clock */
    int64_t replaced_at_ms; /* see replace.h */
    int64_t fleet_at_ms;    /* when the fleet's entry is written next */
    bool fleet_cleaned;
    int exit_code;
    bool replace;  /* it drains to be run anew: threads were lost */
    bool farewell; /* nothing runs: only Redis is to be told */
    bool ended;
};

/* Unfinished jobs that this worker may hold now. */
unsigned agent_window(struct agent *a) ON_LOOP;

/* Jobs that this lane may fetch now. */
unsigned agent_room(struct agent *a, const struct lane *lane) ON_LOOP;

/* Lets the lanes fetch or wait, in their order. */
void agent_pump(struct agent *a) ON_LOOP;
void on_full(evutil_socket_t fd, short what, void *arg);

/*
 * Goes once through the jobs that no thread has taken. takes(arg, d) is asked
 * of each that its lane still has; it returns true when it has given the slot
 * another state. The others stay, in their order.
 */
typedef bool (*agent_takes_fn)(void *arg, struct delivery *d);
void agent_recall(struct agent *a, agent_takes_fn takes, void *arg) ON_LOOP;

/* Begins to stop; a no-op when it has begun. A turn is to follow. */
void agent_drain(struct agent *a, const char *why) ON_LOOP;
/* What is next while stopping; ends the loop when all has been told. */
void agent_drain_turn(struct agent *a) ON_LOOP;
void on_stop_timer(evutil_socket_t fd, short what, void *arg);
void on_signal(evutil_socket_t fd, short what, void *arg);

/*
 * Takes away from their threads the runs that do not stop, and has the worker
 * replaced when some were lost. To be called now and then.
 */
void agent_look_late(struct agent *a) ON_LOOP;
/* Threads that never come back, of both pools. */
unsigned agent_lost(const struct agent *a);
/* A run was told to stop: looks as soon as it may be late. */
void agent_look_soon(struct agent *a) ON_LOOP;
void on_late_timer(evutil_socket_t fd, short what, void *arg);

/* Lets every lane fetch, wait, settle or leave, as the stage allows. */
void agent_turn(struct agent *a) ON_LOOP;

/* ---- lanes.c ---- */
/* NULL if there is none. */
struct lane *agent_find_lane(const struct agent *a, const char *queue) ON_LOOP;
struct lane *agent_lane_up(const struct agent *a) ON_LOOP;
/* There is room for it. Returns it, not started. */
struct lane *agent_add_lane(struct agent *a, const struct queue_spec *q,
                            unsigned order) ON_LOOP;
/* Makes the lanes agree with a->cfg: some are added, some begin to leave. */
void lanes_follow(struct agent *a) ON_LOOP;
/* Frees those that have left. Not from a callback of a connection. */
void lanes_tick(struct agent *a) ON_LOOP;

/* ---- discover.c ---- */
/* Finds queues by pattern, if there are patterns. */
void discover_start(struct agent *a) ON_LOOP;
void discover_stop(struct agent *a) ON_LOOP;
/* The same for the patterns of another configuration. */
void discover_follow(struct agent *a) ON_LOOP;

/*
 * Writes this worker's entry in belt:workers; takes it out and then ends the
 * loop.
 */
void fleet_update(struct agent *a) ON_LOOP;
void fleet_leave(struct agent *a) ON_LOOP;

#endif
