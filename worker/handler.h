#ifndef WORKER_HANDLER_H
#define WORKER_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/thread.h"
#include "common/job/backoff.h"
#include "worker/delivery.h"

/*
 * Handlers: what runs the jobs of a type.
 *
 * The table is built by one thread and constant while others see it. A type is
 * an exact name or a glob (fnmatch(3)); the most specific one wins: exact names
 * first, then the glob with the longest text before its first wildcard, then
 * the longest glob.
 */
struct handlers;
struct handler_keys;

struct handler_limits {
    int64_t timeout_ms;           /* of one attempt; default 30 min */
    int64_t kill_after_ms;        /* from TERM to KILL; default 10 s */
    int64_t cancel_kill_after_ms; /* of a cancelled job; default 500 ms */
    size_t result_max;            /* bytes of stdout kept; default 64 KiB */
    size_t stderr_max; /* bytes of stderr kept on failure; default 8 KiB */
};

/* When its failed jobs run again, as far as their envelopes do not say. */
struct retry_policy {
    int64_t max_attempts; /* 0: not said */
    bool has_backoff;
    struct backoff backoff;
};

/* limits may be NULL: the defaults. The environment is read here. */
struct handlers *handlers_new(const struct handler_limits *limits);
void handlers_free(struct handlers *hs);

/*
 * Begins what handlers need before their first run: once for a table that is
 * about to be used. On failure, with a text that names the handler, what had
 * begun is ended again. The thread that built it.
 */
int handlers_start(struct handlers *hs, struct errbuf *eb) MAY_BLOCK;

/*
 * Ends what handlers keep between runs: processes, connections. No run is
 * under way and none will come; the threads that ran them are still there.
 */
void handlers_stop(struct handlers *hs) MAY_BLOCK;

/* Most processes that handlers keep between the runs of so many threads. */
unsigned handlers_kept(const struct handlers *hs, unsigned threads);

/* "TYPE=KIND:SPEC"; exec (argv, shell-like quotes, no shell) and builtin. */
int handlers_add(struct handlers *hs, const char *spec, struct errbuf *eb);

/*
 * The same from its parts, "TYPE" and "KIND:SPEC", with limits of its own
 * unless they are NULL, and with keys, which it takes, unless they are NULL.
 */
int handlers_add_with(struct handlers *hs, const char *type, const char *what,
                      const struct handler_limits *limits,
                      struct handler_keys *keys, struct errbuf *eb);

/*
 * Gives the table a policy: handlers that are added later have it if their
 * keys name it, and if it is "default" if they name none. A second one of that
 * name replaces it for those.
 */
void handlers_add_retry(struct handlers *hs, const char *name,
                        const struct retry_policy *policy);

/* Name of the i-th kind, "exec"; NULL behind the last. */
const char *handlers_kind(unsigned i);

/*
 * What is added from now on replaces handlers of the same type or glob that
 * were added before. Without it a second one is an error.
 */
void handlers_override(struct handlers *hs);

/*
 * Every regular file of DIR (links followed) whose name is a job type becomes
 * an exec handler; hidden files, and names that end in ~, are passed over.
 * A file that is not executable is still a handler: its jobs are put off.
 */
int handlers_add_dir(struct handlers *hs, const char *dir, struct errbuf *eb);

size_t handlers_count(const struct handlers *hs);
/* The type or glob of the i-th, in the order in which they are asked; lent. */
const char *handlers_pattern(const struct handlers *hs, size_t i);

/* Lends the handler of a type until handlers_free; NULL: none here. */
const struct handler *handlers_find(const struct handlers *hs,
                                    const char *type);
const char *handler_pattern(const struct handler *h);

/*
 * Gives d the handler of its type, of this table instead of an earlier one, and
 * lends it the table until delivery_free; false: none here. The table's owner
 * frees it when nothing is lent of it. Any thread that owns d; lent: any.
 */
bool handlers_lend(struct handlers *hs, struct delivery *d);
bool handlers_lent(const struct handlers *hs);
void handlers_give_back(struct handlers *hs); /* for delivery.c */

/*
 * After how many attempts d's job is dead, and how long it waits between them:
 * as its envelope says, else its handler's policy, else as for any job. Any
 * thread that owns d.
 */
int64_t handler_max_attempts(const struct delivery *d);
void handler_backoff(const struct delivery *d, struct backoff *ret);

/*
 * Runs d->handler for d->job and fills d->outcome, times excepted (verdict,
 * never NONE). cancel_fd is a non-blocking eventfd that becomes readable when
 * d->cancel was set; a second wake means KILL now. Pool thread, SIGPIPE
 * blocked or ignored; returns when the process and its group are gone. It does
 * not return if delivery_take_away took d from it.
 */
void handler_run(struct delivery *d, int cancel_fd) MAY_BLOCK;

/* now + ms, or INT64_MAX if that is later than time can be. */
int64_t handler_instant(int64_t now, int64_t ms);

/* How long a run of d may go on that was told to stop. */
int64_t handler_kill_after_ms(const struct delivery *d);

/* The outcome of a run that was taken away. Loop thread. */
void handler_given_up(struct delivery *d);

#endif
