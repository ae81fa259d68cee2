#ifndef PRODUCER_SENDER_H
#define PRODUCER_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/redis/queue.h"
#include "producer/batch.h"
#include "producer/client.h"

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

struct sender_events {
    /* The first batch->accepted of batch, lent, are acknowledged; counted. */
    void (*on_acked)(void *arg, const struct batch *batch);
    /* What is no failure, but should be known; a line of text. */
    void (*on_note)(void *arg, const char *text);
    void *arg;
};

/*
 * Returns an owned sender to this queue, which begins by listing it. acked:
 * the line behind which the first one comes.
 */
struct sender *sender_new(struct client *client, const char *ns,
                          const char *queue, uint64_t acked,
                          const struct sender_events *events);
/* Before its client is closed the last callbacks may come: after that. */
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

/* Ends the sending; the first reason counts. status: of sysexits.h. */
void sender_stop(struct sender *s, int status, const char *why);
bool sender_has_stopped(const struct sender *s);

const struct sender_sum *sender_get_sum(const struct sender *s); /* lent */

/* Why it stopped: its status, and a text, lent. 0: it has not. */
int sender_get_stop(const struct sender *s, const char **ret_why);
/* Whether a full queue stopped it. */
bool sender_found_full(const struct sender *s);

/* All lines up to this one are acknowledged. */
uint64_t sender_acked_line(const struct sender *s);

/* Calls cb for each batch that is not acknowledged as a whole, oldest first. */
void sender_each_left(const struct sender *s,
                      void (*cb)(void *arg, const struct batch *batch),
                      void *arg);

#endif
