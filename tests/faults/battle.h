#ifndef TESTS_FAULTS_BATTLE_H
#define TESTS_FAULTS_BATTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/faults/feed.h"
#include "tests/faults/proxy.h"
#include "tests/faults/record.h"
#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

/*
 * A battle: a Redis, some workers and producers, and a seeded plan of faults
 * that strike while the jobs run. Then everything is healed and drained, and
 * every job is counted (audit.h).
 *
 * The plan follows progress, not time: a strike comes when so many runs have
 * begun. With the same seed the same strikes come at the same counts, or as
 * soon after as they are seen; what the machine does in between is its own.
 * So what strikes draw is not to depend on time: jobs have a seeded sequence
 * of their own (feed.h).
 *
 * Thread: the test's. Failures of the harness itself end the program; breaches
 * of a promise are told and counted.
 */
enum { ARMY_MAX = 8, BATTLE_PATH_MAX = 256 };
/* For what must come about; less than CTest's, so that it says what did not. */
enum { BATTLE_PATIENCE_MS = 120 * 1000 };

struct battle;
struct verdict;

/* How far clocks are ahead of ours: a file that clock_shim.c has mapped. */
struct clock_shift {
    int64_t wall_ms, boot_ms;
};

/* One worker of the army. */
struct fighter {
    struct worker *w;          /* owned; NULL: dead */
    char host[24];             /* its BELT_HOST */
    bool paused;               /* stopped by SIGSTOP */
    struct clock_shift *clock; /* mapped; NULL: the real clocks */
};

struct scenario {
    const char *name;
    const char *what;          /* for --list and the table: a few words */
    unsigned jobs, short_jobs; /* in a run by name; in the mix of tests/run */
    unsigned jobs_per_strike;  /* a strike comes after about so many runs */
    unsigned workers, threads; /* 0: 4 and 2 */
    bool same_host;            /* all workers are of one host */
    bool through_proxy;        /* worker i is connected by link i */
    const char *redis_conf;    /* one more line; NULL: appendfsync always */
    const char *const *flags;  /* more flags of the workers; NULL: none */
    const struct kind *kinds;  /* of the jobs; NULL: the usual ones */
    bool no_reruns;            /* each job has exactly one run an attempt */
    bool kills_handlers;       /* so that one may die behind its end */
    bool clocks;               /* workers have clocks that can be set */
    bool redis_clock;          /* so has Redis */
    bool small_disk;           /* Redis has one of its own */

    /*
     * All may be NULL. They run in this order; feed and strike as often as
     * planned. What feeds for itself audits for itself: feed counts what was
     * acknowledged in b->feed.acked.
     */
    void (*open)(struct battle *b);
    void (*feed)(struct battle *b, unsigned n);
    void (*strike)(struct battle *b);
    void (*heal)(struct battle *b);  /* before all is healed */
    void (*judge)(struct battle *b); /* at rest, the workers still there */
    void (*audit)(struct battle *b, struct verdict *ret);
};

/* All scenarios, by name or number; NULL: there is none such. */
const struct scenario *scenario_find(const char *name);
const struct scenario *scenario_at(unsigned i);

struct battle {
    const struct scenario *s;
    uint64_t seed, random;
    unsigned jobs;
    struct redis *redis; /* owned */
    struct proxy *proxy; /* owned; NULL without */
    char record[BATTLE_PATH_MAX], store[BATTLE_PATH_MAX];
    struct record_tail tail;
    struct feed feed;
    struct fighter army[ARMY_MAX];
    unsigned army_size;
    struct clock_shift *redis_clock; /* mapped; NULL: the real clock */
    unsigned strikes;
    int64_t *struck_at_ms; /* owned: CLOCK_BOOTTIME of each strike */
    unsigned breaches;
    void *own; /* the scenario's; it frees it in its audit */
    bool quiet;
    const char *keep; /* borrowed; NULL: no files are kept */
};

/*
 * Fights it to the end and audits it. Returns the number of breaches; if there
 * are some and keep is not NULL, a copy of all files is made there first.
 */
unsigned battle_run(const struct scenario *s, uint64_t seed, unsigned jobs,
                    bool quiet, const char *keep);

/* ---- what scenarios are made of ---- */

/* A number below n, of the seed. */
unsigned battle_random(struct battle *b, unsigned n);

/* Tells what happens; a breach, which counts. */
void battle_say(struct battle *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void battle_breach(struct battle *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Waits for cond(arg); ends the program with what and the state if it fails. */
void battle_await(struct battle *b, const char *what, wait_cond cond,
                  void *arg);

/* Lets time pass that is part of the fault (an outage of so many ms). */
void battle_let_pass(struct battle *b, unsigned ms);

/* Pushes n jobs, as the scenario does. */
void battle_feed(struct battle *b, unsigned n);

/* Pushes some jobs if few are ready: for a wait that needs work to go on. */
void battle_top_up(struct battle *b);

/* Waits until n more runs have begun, with enough jobs for that. */
void battle_await_starts(struct battle *b, unsigned n);

/* Starts worker i and waits until it has a lane; it must not run. */
void battle_enlist(struct battle *b, unsigned i);

/* Sends a signal; KILL waits for its end, STOP and CONT are remembered. */
void battle_signal(struct battle *b, unsigned i, int sig);

/* Sends TERM and waits for an end with exit code 0: anything else is told. */
void battle_discharge(struct battle *b, unsigned i);

/* Whether it has been killed by one of its jobs; it may then be enlisted. */
bool battle_has_fallen(struct battle *b, unsigned i);

/* A worker that lives and is not paused, at random. */
unsigned battle_someone(struct battle *b);

/* Lines of all logs of workers so far, the dead ones' too, with this text. */
unsigned battle_said(struct battle *b, const char *text);

/* Where Redis has its data, as it sees it; owned. It runs. */
char *battle_data_dir(const struct battle *b);

/* A counter of the queue. */
long long battle_stat(struct battle *b, const char *name);

#endif
