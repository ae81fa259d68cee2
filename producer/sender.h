#ifndef PRODUCER_SENDER_H
#define PRODUCER_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/redis/queue.h"
#include "producer/client.h"
#include "producer/progress.h"

/*
 * Envelopes on their way to one queue: gathered in batches, several of which
 * are under way at a time, acknowledged in order.
 *
 *     open batch -> sent batches, oldest first -> acknowledged
 *
 * A batch is acknowledged when its own push succeeded and all before it are:
 * so "all lines up to N" is a promise that --skip can use. After the first
 * failure, which may also be told with sender_stop, nothing more is sent. A
 * push whose outcome is unknown is never repeated. A queue that is full ends
 * the sending too, behind the last envelope that it took; where it has limits,
 * one batch is under way at a time, so that none gets in behind that.
 */
struct sender;

/* What became of the lines that were acknowledged. */
struct sender_sum {
    uint64_t pushed;
    uint64_t held;      /* another job holds their key */
    uint64_t same;      /* they were there already */
    uint64_t replaced;  /* they have taken the place of one not due yet */
    uint64_t conflicts; /* of held: those that asked for an error */
};

/*
 * Returns an owned sender, which begins by listing the queue of o. progress is
 * borrowed: cleared before a conflict is told.
 */
struct sender *sender_new(const struct options *o, struct client *client,
                          struct progress *progress);
void sender_free(struct sender *s);

/*
 * Lends the buffer to append the envelope of a line to, which will have about
 * n bytes. sender_add takes what was appended; without it nothing must be.
 */
struct buf *sender_begin(struct sender *s, size_t n);
void sender_add(struct sender *s, uint64_t line);
/* The same for an envelope with options; its id and bytes are known. */
void sender_add_one(struct sender *s, uint64_t line, const struct push_one *p);

/* Sends what is gathered. */
void sender_flush(struct sender *s);

/* Whether more may be sent without holding too much memory. */
bool sender_has_room(const struct sender *s);

/* Whether answers are awaited; whether something is gathered, not sent. */
bool sender_awaits(const struct sender *s);
bool sender_holds(const struct sender *s);

/* Ends the sending; the first reason counts. */
void sender_stop(struct sender *s, int status, const char *why);
bool sender_has_stopped(const struct sender *s);

const struct sender_sum *sender_get_sum(const struct sender *s); /* lent */

/* Tells why it stopped and where to resume; returns the exit status, or 0. */
int sender_tell_stop(const struct sender *s);

#endif
