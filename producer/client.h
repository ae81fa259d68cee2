#ifndef PRODUCER_CLIENT_H
#define PRODUCER_CLIENT_H

#include <stdbool.h>

#include "common/redis/conn.h"

/*
 * One connection and its event loop, turned until the answers are there: a
 * command's for its length, or one of those that libbelt has. Unless it is
 * told to last it never connects a second time, so nothing is sent twice
 * behind its owner's back. One thread at a time, which has the loop role.
 *
 * Failures are statuses of sysexits.h and a text: belt prints the text and ends
 * with the status, libbelt makes both a struct belt_error.
 */
struct client;

struct client_config {
    const struct url *url; /* copied */
    int64_t connect_timeout_ms;
    int64_t call_timeout_ms; /* of client_call; 0: 30 s */
    /* Told of each failure, and, with status 0, of what only should be known.
     */
    void (*tell)(void *arg, int status, const char *text);
    void *arg;
};

/*
 * Connects, within connect_timeout_ms. Returns 0 with the client, owned, in
 * *ret, or the status of a failure that was told.
 */
int client_new(const struct client_config *cfg, struct client **ret);

/* NULL is a no-op. */
void client_close(struct client *c);

/* Tells something to whoever uses c. Returns status. */
int client_tell(const struct client *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Who is told from now on: a client may be lent for another call. */
void client_set_tell_arg(struct client *c, void *arg);

/*
 * From now on a lost connection is made again, with growing pauses, as often
 * as it is lost: for those who only look. on_change is told of each loss and
 * each return; client_call is for before.
 */
void client_last(struct client *c, void (*on_change)(void *arg, bool up),
                 void *arg);

struct event_base *client_base(struct client *c); /* lent */
struct conn *client_conn(struct client *c);       /* lent */

/* A new connection of the same loop to the same Redis; owned, closed. cfg has
 * its callbacks. */
struct conn *client_conn_new(const struct client *c,
                             const struct conn_config *cfg) ON_LOOP;

/* Where Redis is, without user and password; lent until client_close. */
const char *client_url(const struct client *c);

/*
 * Closes the connection at once: the callbacks of all that is under way run
 * before it returns, so that what they are about can go.
 */
void client_drop(struct client *c);

/* Whether it can be lent for another call: nothing is under way, or failed. */
bool client_is_idle(const struct client *c);

/* Runs what is ready, or with wait the next thing to become ready. */
void client_turn(struct client *c, bool wait);

bool client_is_down(const struct client *c);
/* Why it is down; lent until client_close. "" while it is up. */
const char *client_down_why(const struct client *c);

/* r is a reply without error, lent until it returns. */
typedef void (*client_reply_cb)(void *arg, const struct reply *r);

/*
 * Sends a command that only reads, or that does no harm when the whole is
 * done again. The first error, of Redis or of the connection, goes to
 * client_wait instead of cb.
 */
void client_call(struct client *c, const struct args *a, client_reply_cb cb,
                 void *arg);

/*
 * Turns the loop until every client_call is answered. Returns 0, or the status
 * of the first error, which was told.
 */
int client_wait(struct client *c);

/* An error inside a reply, of a transaction, for client_wait. */
void client_fail(struct client *c, const char *error);

/* Turns the loop for so long. */
void client_sleep(struct client *c, int64_t ms);

/*
 * Redis' clock, which all that lies in Redis is dated by. Returns as
 * client_wait, which it does.
 */
int client_now(struct client *c, int64_t *ret_ms);

/*
 * For calls that client_call does not make: turns the loop until the callback
 * of one that was sent with this rc has set *answered. Returns 0, or the
 * status of a failure to send, which was told.
 */
int client_await(struct client *c, int rc, const bool *answered);

/*
 * Tells why such a call, which may be made again, failed: err and eb of its
 * result, which is about n jobs (0: about none). Returns the status.
 */
int client_tell_failed(struct client *c, int err, const struct errbuf *eb,
                       unsigned n);

/* The status of a push that Redis answered: err and eb of its result. */
int client_push_status(int err, const struct errbuf *eb);

/* The status that an error text of Redis ("OOM …") stands for. */
int client_error_status(const char *text);

#endif
