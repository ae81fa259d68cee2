#ifndef PRODUCER_SERVE_PUSH_H
#define PRODUCER_SERVE_PUSH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/base/thread.h"
#include "common/redis/queue.h"
#include "producer/serve/answer.h"
#include "producer/serve/idempotency.h"
#include "producer/serve/push_read.h"
#include "producer/serve/request.h"
#include "producer/serve/serve.h"

/*
 * All pushes that are under way. Plain jobs for one queue are gathered while a
 * turn of the loop lasts and leave in one script call at its end, as many as
 * have come; one with options is a call of its own in the same pipeline. Each
 * is told what became of it once Redis has answered for it, or certainly will
 * not. What is held is bounded by --max-pending. Loop thread only.
 */
struct pushes;
struct push_target; /* a queue that jobs go to */

struct pushes *pushes_new(struct serve *s) ON_LOOP;

/* The connection must have been closed. What is left is told ERR_REFUSED, and
 * answered. NULL is a no-op. */
void pushes_free(struct pushes *ps) ON_LOOP;

/* What became of a push; lent for the call. */
struct push_fate {
    int err;         /* of queue_push_result and queue_push_one_result */
    const char *why; /* of an error */
    struct push_one_result result; /* of 0, ERR_FULL and ERR_HELD */
};

/* Called once, later; may push more. tag is the caller's. */
typedef void (*push_fate_cb)(void *arg, unsigned tag,
                             const struct push_fate *fate);

/* Lends the queue's target until the fate of a push to it, or of this turn. */
struct push_target *pushes_target(struct pushes *ps, const char *queue) ON_LOOP;

/*
 * Pushes a job in two steps: lends the buffer to append its envelope to, of
 * about n bytes, and then takes what was appended, which one says. Nothing may
 * be pushed between them; a buffer that is as it was needs no second step.
 * pushes_add returns 0, or ERR_REFUSED: it is not pushed, cb is not called.
 */
struct buf *pushes_begin(struct pushes *ps, struct push_target *t,
                         size_t n) ON_LOOP;
int pushes_add(struct pushes *ps, struct push_target *t,
               const struct push_one *one, push_fate_cb cb, void *arg,
               unsigned tag) ON_LOOP;

/* Whether jobs reach the queue in the order in which they are added, which
 * costs calls where plain ones and others take turns. Off again, please. */
void pushes_keep_order(struct push_target *t, bool on) ON_LOOP;

/* Whether Redis is there and more may be held; if not a is a 503. */
bool pushes_may(const struct pushes *ps, struct answer *a) ON_LOOP;

/* Whether the token lets it use the queues that its follow-ups, and theirs,
 * are for. 0, or ERR_REFUSED with a text. */
int push_follow_check(const struct request *r, const struct push_read *p,
                      struct errbuf *eb);

/* ---- what is answered (push_answer.c) ---- */

/* What a push said that its answer needs. */
struct push_said {
    char id[ID_MAX_LEN + 1];
    bool scheduled;
    bool keyed; /* it had an Idempotency-Key, or is an event */
    enum unique_conflict on_conflict;
};
void push_said_take(struct push_said *said, const struct push_one *one,
                    bool keyed);

/* 202 and Location, or the problem. */
void push_answer(struct answer *a, const char *queue,
                 const struct push_said *said, const struct push_fate *fate);

/* The same as a line of NDJSON, which begins with the number of its line. */
void push_answer_line(struct buf *out, uint64_t line, const char *queue,
                      const struct push_said *said,
                      const struct push_fate *fate);

/* A problem as such a line. */
void push_problem_line(struct buf *out, uint64_t line, const struct answer *a);

/* ---- keys (push.c) ---- */

/* The Idempotency-Key of a request. */
struct push_key {
    bool given;
    char text[IDEMPOTENCY_KEY_MAX + 1];
};
/* Returns whether the header is right, or not there; if not a is a 400. */
bool push_key_read(const struct request *r, struct push_key *key,
                   struct answer *a);

/* ---- many (push_many.c) ---- */

/* Pushes the lines of the body; takes r. */
struct many;
LIST_HEAD(manys, many);
void push_many(struct pushes *ps, struct request *r) ON_LOOP;

/* Those that are under way; pushes_free ends them. */
struct manys *pushes_manys(struct pushes *ps);
struct serve *pushes_serve(const struct pushes *ps);
void push_many_end(struct many *m) ON_LOOP;

#endif
