#ifndef WORKER_LANE_H
#define WORKER_LANE_H

#include <event2/event.h>

#include "common/redis/queue.h"
#include "common/redis/relay.h"
#include "worker/agent_priv.h"
#include "worker/histogram.h"
#include "worker/ledger.h"
#include "worker/logs.h"
#include "worker/marks.h"

/*
 * A lane: this worker's side of one queue (docs/PROTOCOL.md).
 *
 *     DOWN ──both connections up──► BINDING ──register or rebind──► UP
 *       ▲                              │                            │
 *       └──────── a connection lost, a refused or failed call ──────┤
 *                                                         leave ──► LEFT
 *
 * A lane speaks under an id that is never used twice. Replies to calls of a
 * connection that was lost come with an error and are passed over: whoever
 * closes a connection also sets the state.
 */
#define RECOVERY_WINDOW_MS (3 * 24 * 3600 * 1000LL) /* recoveries count */

enum lane_state { LANE_DOWN, LANE_BINDING, LANE_UP, LANE_LEAVING, LANE_LEFT };

/* Slots that were settled or released, until Redis has answered. */
struct batch {
    struct lane *lane;
    struct batch *next;
    struct slot *slots; /* owned, chained by next */
    bool release;
    bool not_run;       /* Redis certainly did not execute it */
    bool outbox;        /* it puts jobs into outbox */
    struct times *told; /* owned: what it tells of those before; or NULL */
};

struct neighbour {
    char *id;               /* owned */
    struct buf description; /* owned */
};

/* What a lane knows of the ids that are to be cancelled (cancel.h). */
#define CANCEL_UNTOLD INT64_MIN
struct cancelling {
    struct marks marks;  /* as of the last load */
    int64_t told;        /* version of the set that we heard of last */
    int64_t loaded;      /* that we had heard of when we asked for marks */
    uint64_t sent, done; /* loads */
    uint64_t needed;     /* number of the load that jobs wait for */
    int64_t asked_ms;    /* when the last one was sent; 0: never */
    int64_t asked_version;
    uint64_t asked_taken; /* slots that the ledger had been given then */
    bool refused_said;
};

struct lane {
    struct agent *agent; /* borrowed */
    struct keys keys;
    unsigned order, weight;
    double served; /* jobs fetched or asked for, over weight */
    bool was_idle; /* had nothing to fetch at the last turn */
    bool going;    /* no queue of the configuration any more: it is to leave */
    unsigned out;  /* deliveries of it in jobs, running, or in outcomes */

    struct conn *cmd, *wait; /* owned */
    int64_t wait_client_id;  /* of wait while it is up; 0: not known yet */
    enum lane_state state;
    char id[LANE_ID_MAX], next_id[LANE_ID_MAX];
    char lost_id[LANE_ID_MAX]; /* it was fenced; "": nothing to tell of it */
    bool leased;               /* id held its lease when we last heard */
    bool rebinding; /* next_id is chosen for id, and perhaps in force */
    unsigned seq;

    struct ledger ledger;
    struct batch *unacked, *unacked_last; /* owned, oldest first */
    struct cancelling cancelling;
    struct delivery_list noted; /* news of them are to be told */
    struct lane_logs logs;
    uint64_t front_number;  /* of the slot that others wait behind */
    int64_t front_since_us; /* since when it is that one */

    unsigned fetches;       /* under way */
    unsigned fetching_n;    /* jobs they may bring */
    size_t fetching_bytes;  /* and bytes */
    bool blocked;           /* BLMOVE is out */
    bool unblocking;        /* and was told to come back */
    bool empty;             /* the last look found nothing */
    bool wary;              /* the last jobs that came had recovered ones */
    bool plenty;            /* the last fetch left some: more may go ahead */
    bool bulk;              /* the fetch under way is in bulk: none behind it */
    unsigned bulk_in;       /* fetches until one in bulk may be tried */
    unsigned bulk_penalty;  /* what that becomes when it does not go well */
    bool paused;            /* the queue, as a renewal or a fetch told */
    bool heard;             /* a renewal has told, since it was bound */
    int64_t config_version; /* that it told */
    int64_t complied;       /* version to which we answer; -1: to none yet */
    bool oom;               /* BLMOVE is refused: poll, then try again */
    bool oom_said;
    bool burst_checked; /* empty while nothing of ours was left */

    struct relay *relay;     /* owned */
    bool outbox_filled;      /* a settle has put jobs there */
    unsigned outbox_seen;    /* renewals in a row that saw jobs there */
    int64_t outbox_again_ms; /* those that are left wait until then */

    struct event *renew_timer, *promote_timer, *reap_timer, *poll_timer;
    struct event *settle_timer, *note_timer, *soon_timer, *pause_timer;
    struct event *outbox_timer, *marks_timer;
    struct cron_watch *cron;  /* owned */
    int64_t promote_at_ms;    /* 0: timer not set */
    bool promoting, renewing; /* calls under way */
    bool promote_again;       /* came due while one was under way */
    int64_t promote_asked_us; /* clock_us() of the last call */
    bool ask_again;           /* when the renewal under way has ended */
    bool look_due;            /* at all that a renewal tells now and then */
    int64_t asked_us;         /* clock_us() of the last renewal */
    int64_t asked_boot_ms;    /* CLOCK_BOOTTIME of the last call for a lease */
    int64_t renewed_boot_ms;  /* of the last that was answered */
    _Atomic int64_t *good_until_ms; /* borrowed: what that allows */
    size_t expected_active;         /* length when the renewal was sent */
    size_t expected_more;           /* that a fetch or BLMOVE could still add */
    unsigned mismatches, idle_looks;

    int64_t clock_offset_ms; /* Redis' clock less ours */
    bool clock_known;
    int64_t grace_until_ms; /* no reaping of expired leases before */
    int64_t lanes_version;
    struct neighbour *neighbours; /* owned: lanes of this host */
    unsigned neighbour_count;
    unsigned looks;        /* of the reaper */
    bool may_straggle;     /* ids may have been ended lately */
    int64_t straggle_from; /* of those, the place where the next look begins */
    int64_t down_said_ms;  /* when it was last logged */
    int64_t counts[COUNTERS], rebinds, fenced;
    int64_t cpu_us;         /* of the jobs that it ran, as far as it is known */
    struct histogram waits; /* of all jobs that it ran first */
    struct times times;     /* not told yet */
    int64_t times_told_ms;  /* Redis' clock */
    int64_t settles;        /* run under our ids, as far as we were told */
    int64_t ready;          /* jobs that wait, as a renewal told */
    uint64_t refusals;      /* errors that Redis answered */
};

/* ---- lane.c ---- */
/* Returns an owned lane that is DOWN until lane_start; order: its place. */
struct lane *lane_new(struct agent *a, const struct queue_spec *q,
                      unsigned order) ON_LOOP;
void lane_free(struct lane *lane) ON_LOOP;
void lane_start(struct lane *lane) ON_LOOP;

/*
 * Answers a failed call of this lane: FENCED starts again under the next id,
 * errors of Redis and refused settles rebind over new connections, and lost
 * connections are left to those who were told of the loss.
 */
void lane_failed(struct lane *lane, int err, const struct errbuf *eb) ON_LOOP;

/* Redis' clock, as far as it is known here. */
int64_t lane_now_ms(const struct lane *lane);

/* Ends the lease if nothing is left; the lane is then LEFT. */
void lane_leave(struct lane *lane) ON_LOOP;

/* ---- lease.c ---- */
/* Renews the lease now, and from then on in time. */
void lane_renew(struct lane *lane) ON_LOOP;
/* Renews once more, now or right behind the renewal under way. */
void lane_ask(struct lane *lane) ON_LOOP;
/* The same in a few milliseconds, so that many who want it cost little. */
void lane_renew_soon(struct lane *lane) ON_LOOP;
void on_soon_timer(evutil_socket_t fd, short what, void *arg);
void on_renew_timer(evutil_socket_t fd, short what, void *arg);
/* Takes note of what Redis' clock was, asked for at asked_boot_ms. */
void lane_watch_clock(struct lane *lane, int64_t redis_now_ms);

/* ---- adopt.c ---- */
/*
 * Makes the ledger agree with the list that rebind returned; settles: calls
 * that ran since the lane was registered.
 */
void lane_adopt(struct lane *lane, const struct reply *r, int64_t settles,
                size_t count) ON_LOOP;
/* Forgets all jobs, stopping those that run: they are not ours any more. */
void lane_drop(struct lane *lane) ON_LOOP;

/* ---- fetch.c ---- */
/* Fetches or waits if there is room and the stage allows it. */
void lane_pump(struct lane *lane) ON_LOOP;
/* Takes the BLMOVE back, if one is out. */
void lane_unblock(struct lane *lane) ON_LOOP;
/* No fetch and no BLMOVE is under way. */
bool lane_is_quiescent(const struct lane *lane);

/* ---- intake.c ---- */
/* Takes in one element of the active list. Returns its slot. */
struct slot *lane_take(struct lane *lane, struct bytes raw,
                       int64_t fence) ON_LOOP;
/* Gives back what was fetched beyond the window that recovered jobs leave. */
void lane_spare_innocents(struct lane *lane) ON_LOOP;
/* Moves held slots into the jobs channel. */
void lane_send_held(struct lane *lane) ON_LOOP;

/*
 * After a->cfg has got another table of handlers: what has not begun gets its
 * handlers from there.
 */
void agent_lend_again(struct agent *a) ON_LOOP;

/* ---- lanes.c ---- */
/* While it is going: gives back what it holds, and leaves when it can. */
void lane_going_turn(struct lane *lane) ON_LOOP;

/* ---- pause.c ---- */
/* Nothing of it begins any more: all that has not is to be given back. */
void lane_let_go(struct lane *lane) ON_LOOP;
/* Takes note of what a renewal tells of the pause and of the version. */
void lane_heed(struct lane *lane, const struct renew_result *r) ON_LOOP;
void lane_set_paused(struct lane *lane, bool paused) ON_LOOP;
/* Lets go while the queue is paused, and says so when it has. */
void lane_pause_turn(struct lane *lane) ON_LOOP;
void on_pause_timer(evutil_socket_t fd, short what, void *arg);

/* ---- stop.c ---- */
/* What is held and not in the jobs channel is to be released. */
void lane_give_back_held(struct lane *lane) ON_LOOP;

/* ---- settle.c ---- */
/* Sends what is finished, and what is to be given back. */
void lane_settle(struct lane *lane) ON_LOOP;
void lane_release(struct lane *lane) ON_LOOP;
/* Tells what is left of the times, if all or some is to be told by now. */
void lane_tell_times(struct lane *lane, bool all) ON_LOOP;
void on_settle_timer(evutil_socket_t fd, short what, void *arg);
void batch_free(struct batch *b);
extern const char *const counter_names[COUNTERS];

/* ---- times.c ---- */
/* Counts how long jobs waited and ran whose settle was answered. */
void lane_note_times(struct lane *lane, const struct slot *slots) ON_LOOP;
/* The settle of this batch did not run: what it told is told again. */
void batch_give_back_times(struct batch *b);

/* ---- reaper.c ---- */
/* Looks for dead lanes, by what a renewal told, and reaps them. */
void lane_look(struct lane *lane, const struct renew_result *r) ON_LOOP;
/* Frees what was read of the lanes of this host. */
void reaper_forget_neighbours(struct lane *lane);
void on_reap_timer(evutil_socket_t fd, short what, void *arg);

/* ---- outbox.c ---- */
/* Brings on what a settle has put into the outbox, if one has. */
void lane_relay(struct lane *lane) ON_LOOP;
/* Whether that is under way, or about to be. */
bool lane_relays(const struct lane *lane);
/* Takes note of the length of the outbox that a renewal has seen. */
void lane_watch_outbox(struct lane *lane, int64_t len) ON_LOOP;
void on_relayed(void *arg, const struct relay_result *res);
void on_outbox_timer(evutil_socket_t fd, short what, void *arg);

/* ---- scheduler.c ---- */
/* Promotes in wait_ms at the latest. */
void lane_promote_in(struct lane *lane, int64_t wait_ms) ON_LOOP;
void on_promote_timer(evutil_socket_t fd, short what, void *arg);

/* Sets a timer in ms. */
void timer_in(struct event *timer, int64_t ms);

#endif
