#ifndef TESTS_FAULTS_PROXY_HUB_H
#define TESTS_FAULTS_PROXY_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tests/faults/proxy_rules.h"

struct event;
struct event_base;

/*
 * The links of the fault proxy, and what holds for all connections: rules,
 * delay, splitting, stalls. proxy_session.c carries the bytes.
 *
 * Thread: the proxy's, like all of it.
 */
struct session;
LIST_HEAD(sessions, session);

struct link {
    struct hub *hub;
    unsigned number;
    const char *path; /* borrowed */
    int fd;
    struct event *on_client; /* owned */
    bool stalled[2];         /* by direction: C2S, S2C */
    int64_t fenced;          /* of what ran late */
};

typedef void (*late_done_cb)(void *arg, int64_t n);

struct hub {
    struct event_base *base; /* borrowed */
    const char *upstream;    /* borrowed */
    struct rules *rules;     /* owned */
    struct link *links;      /* owned */
    unsigned link_count;
    struct sessions sessions; /* owned */
    int64_t delay_ms[2];      /* by direction */
    size_t split;             /* 0: off */

    /* While what was held back runs. */
    late_done_cb late_done;
    void *late_arg;
    int64_t late_running, late_ran;
};

/* Returns owned, or NULL with a message on stderr. paths are borrowed. */
struct hub *hub_new(struct event_base *base, const char *upstream,
                    unsigned links, const char *const *paths);

/* Closes all, and removes the sockets. NULL is a no-op. */
void hub_free(struct hub *h);

void hub_stall(struct hub *h, unsigned link, bool c2s, bool s2c);
void hub_drop(struct hub *h, unsigned link);
void hub_heal(struct hub *h);
int64_t hub_connections(const struct hub *h);
int64_t hub_fenced(const struct hub *h, unsigned link); /* or ALL_LINKS */

/*
 * Runs what is held back; done is called, perhaps at once, when Redis has
 * answered and closed all of it. Not while an earlier one is at that, which
 * is while late_running is not 0.
 */
void hub_late(struct hub *h, late_done_cb done, void *arg);
void hub_late_ran(struct hub *h); /* by the session: one more */

/* ---- proxy_session.c ---- */

/* Takes the client's socket; connects it to Redis, or closes it. */
void session_begin(struct link *l, int client);

/* What a session does next, after link or hub changed. It may free it. */
void session_turn(struct session *s);
void session_free(struct session *s);

/* Forgets what rules want of it. */
void session_forget(struct session *s);

const struct link *session_link(const struct session *s);
struct session *session_next(struct session *s);
bool session_is_held(const struct session *s);
void session_run_late(struct session *s);

#endif
