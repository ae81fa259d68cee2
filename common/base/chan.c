/*
 * Channels: a ring of items, a queue of waiting senders, one of receivers.
 *
 * Whoever can go on with a waiting partner hands the item over directly and
 * wakes it; a woken thread never has to try again, so nothing is overtaken
 * and no wake-up is lost. A thread waits in one queue (send, receive) or in
 * several (select), but is served once: a partner must first move the
 * waiting thread's ticket from WAITING to CLAIMED, and a deadline must move
 * it to GONE. One of them wins. Entries of a ticket that is taken are stale;
 * who meets one drops it, and the owner removes the others when it wakes.
 *
 *     WAITING --partner or close--> CLAIMED --item in place--> DONE
 *        `-----deadline-----> GONE
 *
 * Live receivers wait only while the ring is empty, live senders only while
 * it is full.
 *
 * Select is the one place that holds several locks, taken in the order of
 * the channels' addresses. It has to find all its cases not ready and join
 * all their queues as one step: two selects that joined queue by queue could
 * each claim the other at once, and without locks that is settled only by
 * spinning. A select that looks for partners is in no queue, so it needs to
 * claim one ticket, never two, and cannot meet itself.
 *
 * Thread: any.
 */
#include "common/base/chan.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"

enum { SELECT_INLINE = 8 }; /* cases that need no allocation */

/* The analysis cannot follow a set of locks known only at run time. */
#define LOCKS_SET TS_ATTR(no_thread_safety_analysis)

enum ticket_state { WAITING, CLAIMED, GONE, DONE };

/* One wait of one thread, on its stack. */
struct ticket {
    _Atomic uint32_t state; /* enum ticket_state; a futex */
    struct waiter *served;  /* written by the claimer before DONE */
};

/* A ticket's place in one queue, on the same stack. */
struct waiter {
    TAILQ_ENTRY(waiter) link;
    struct ticket *ticket;
    void *item; /* the sender's, or for the receiver once DONE */
    int err;    /* valid once DONE */
    bool queued;
};
TAILQ_HEAD(waiters, waiter);

struct chan {
    unsigned cap; /* fixed at birth */

    struct mutex mu; /* guards what follows, and queued and link of waiters */
    unsigned head, len;
    bool closed;
    struct waiters queues[2]; /* by enum chan_op */
    void *ring[];
};

/* What a select needs for each case. */
struct slot {
    struct waiter waiter;
    struct chan *lock; /* distinct channels, ascending; NULL behind the last */
    unsigned turn;     /* index of the case to try */
};

static int op_locked(struct chan *c, enum chan_op op, void **item,
                     struct waiter **ret_partner) REQUIRES(c->mu);
static int send_locked(struct chan *c, void *item, struct waiter **ret_partner)
    REQUIRES(c->mu);
static int recv_locked(struct chan *c, void **ret_item,
                       struct waiter **ret_partner) REQUIRES(c->mu);
static void serve(struct waiter *w);
static int await(struct ticket *t, int64_t deadline_ms);

struct chan *chan_new(unsigned cap)
{
    struct chan *c =
        mem_new(sizeof(struct chan) + (size_t)cap * sizeof(void *));
    c->cap = cap;
    mutex_init(&c->mu);
    TAILQ_INIT(&c->queues[CHAN_SEND]);
    TAILQ_INIT(&c->queues[CHAN_RECV]);
    return c;
}

void chan_free(struct chan *c)
{
    if (c == NULL)
        return;
    assert(c->len == 0);
    assert(TAILQ_EMPTY(&c->queues[CHAN_SEND]));
    assert(TAILQ_EMPTY(&c->queues[CHAN_RECV]));
    mutex_done(&c->mu);
    free(c);
}

static void join_locked(struct chan *c, enum chan_op op, struct waiter *w)
    REQUIRES(c->mu);

static void join_locked(struct chan *c, enum chan_op op, struct waiter *w)
{
    TAILQ_INSERT_TAIL(&c->queues[op], w, link);
    w->queued = true;
}

static void leave(struct chan *c, enum chan_op op, struct waiter *w)
{
    mutex_lock(&c->mu);
    if (w->queued)
        TAILQ_REMOVE(&c->queues[op], w, link);
    mutex_unlock(&c->mu);
}

/* Performs op, waiting until the deadline. *item is sent or received. */
static int transfer(struct chan *c, enum chan_op op, void **item,
                    int64_t deadline_ms)
{
    struct ticket ticket = {.state = WAITING};
    struct waiter self = {.ticket = &ticket, .item = *item};
    struct waiter *partner = NULL;

    mutex_lock(&c->mu);
    int rc = op_locked(c, op, item, &partner);
    bool wait = rc == ERR_TIMEOUT && deadline_ms != CHAN_NOWAIT;
    if (wait)
        join_locked(c, op, &self);
    mutex_unlock(&c->mu);

    if (!wait) {
        serve(partner);
        return rc;
    }
    if (await(&ticket, deadline_ms) != 0) {
        leave(c, op, &self);
        return ERR_TIMEOUT;
    }
    *item = self.item;
    return self.err;
}

int chan_send(struct chan *c, void *item, int64_t deadline_ms)
{
    return transfer(c, CHAN_SEND, &item, deadline_ms);
}

int chan_recv(struct chan *c, void **ret_item, int64_t deadline_ms)
{
    void *item = NULL;
    int rc = transfer(c, CHAN_RECV, &item, deadline_ms);
    if (rc == 0)
        *ret_item = item;
    return rc;
}

int chan_try_send(struct chan *c, void *item)
{
    return transfer(c, CHAN_SEND, &item, CHAN_NOWAIT);
}

int chan_try_recv(struct chan *c, void **ret_item)
{
    void *item = NULL;
    int rc = transfer(c, CHAN_RECV, &item, CHAN_NOWAIT);
    if (rc == 0)
        *ret_item = item;
    return rc;
}

/* Takes the longest waiting partner out of a queue, or returns NULL. */
static struct waiter *claim_locked(struct chan *c, enum chan_op op)
    REQUIRES(c->mu);

static struct waiter *claim_locked(struct chan *c, enum chan_op op)
{
    struct waiter *w;
    while ((w = TAILQ_FIRST(&c->queues[op])) != NULL) {
        uint32_t expected = WAITING;
        TAILQ_REMOVE(&c->queues[op], w, link);
        w->queued = false;
        if (atomic_compare_exchange_strong(&w->ticket->state, &expected,
                                           CLAIMED)) {
            w->ticket->served = w;
            w->err = 0;
            return w;
        }
    }
    return NULL;
}

/* A claimed thread cannot go before DONE, so a list of them outlives the lock.
 */
static void serve_all(struct waiters *claimed)
{
    struct waiter *w;
    while ((w = TAILQ_FIRST(claimed)) != NULL) {
        TAILQ_REMOVE(claimed, w, link);
        serve(w);
    }
}

static void note_partner(struct waiters *claimed, struct waiter *partner)
{
    if (partner != NULL)
        TAILQ_INSERT_TAIL(claimed, partner, link);
}

unsigned chan_try_send_many(struct chan *c, void *const *items, unsigned n)
{
    struct waiters claimed = TAILQ_HEAD_INITIALIZER(claimed);
    struct waiter *partner;
    unsigned i;
    mutex_lock(&c->mu);
    for (i = 0; i < n; i++) {
        partner = NULL;
        if (send_locked(c, items[i], &partner) != 0)
            break;
        note_partner(&claimed, partner);
    }
    mutex_unlock(&c->mu);
    serve_all(&claimed);
    return i;
}

unsigned chan_try_recv_many(struct chan *c, void **ret_items, unsigned n)
{
    struct waiters claimed = TAILQ_HEAD_INITIALIZER(claimed);
    struct waiter *partner;
    unsigned i;
    mutex_lock(&c->mu);
    for (i = 0; i < n; i++) {
        partner = NULL;
        if (recv_locked(c, &ret_items[i], &partner) != 0)
            break;
        note_partner(&claimed, partner);
    }
    mutex_unlock(&c->mu);
    serve_all(&claimed);
    return i;
}

/* Claims every waiter under the lock and serves them after it. */
void chan_close(struct chan *c)
{
    struct waiters claimed = TAILQ_HEAD_INITIALIZER(claimed);
    struct waiter *w;
    mutex_lock(&c->mu);
    c->closed = true;
    for (int op = CHAN_SEND; op <= CHAN_RECV; op++)
        while ((w = claim_locked(c, (enum chan_op)op)) != NULL) {
            w->err = ERR_CLOSED;
            TAILQ_INSERT_TAIL(&claimed, w, link);
        }
    mutex_unlock(&c->mu);
    serve_all(&claimed);
}

unsigned chan_len(struct chan *c)
{
    mutex_lock(&c->mu);
    unsigned len = c->len;
    mutex_unlock(&c->mu);
    return len;
}

unsigned chan_cap(const struct chan *c)
{
    return c->cap;
}

static void push_locked(struct chan *c, void *item) REQUIRES(c->mu);

static void push_locked(struct chan *c, void *item)
{
    assert(c->len < c->cap);
    /* Without overflow or division: head and len are both within cap. */
    unsigned room = c->cap - c->head;
    c->ring[c->len < room ? c->head + c->len : c->len - room] = item;
    c->len++;
}

static int send_locked(struct chan *c, void *item, struct waiter **ret_partner)
{
    if (c->closed)
        return ERR_CLOSED;
    struct waiter *receiver = claim_locked(c, CHAN_RECV);
    if (receiver != NULL) {
        assert(c->len == 0);
        receiver->item = item;
        *ret_partner = receiver;
        return 0;
    }
    if (c->len == c->cap)
        return ERR_TIMEOUT;
    push_locked(c, item);
    return 0;
}

static int recv_locked(struct chan *c, void **ret_item,
                       struct waiter **ret_partner)
{
    struct waiter *sender;
    if (c->len > 0) {
        *ret_item = c->ring[c->head];
        c->head = c->head + 1 < c->cap ? c->head + 1 : 0;
        c->len--;
        /* A sender waits only for room: the place just freed is its own. */
        sender = claim_locked(c, CHAN_SEND);
        if (sender != NULL)
            push_locked(c, sender->item);
        *ret_partner = sender;
        return 0;
    }
    sender = claim_locked(c, CHAN_SEND);
    if (sender != NULL) {
        *ret_item = sender->item;
        *ret_partner = sender;
        return 0;
    }
    return c->closed ? ERR_CLOSED : ERR_TIMEOUT;
}

/*
 * Performs op if it can go on at once; ERR_TIMEOUT says that it would have to
 * wait. The partner, if any, must be served after the lock is released.
 */
static int op_locked(struct chan *c, enum chan_op op, void **item,
                     struct waiter **ret_partner)
{
    if (op == CHAN_SEND)
        return send_locked(c, *item, ret_partner);
    return recv_locked(c, item, ret_partner);
}

/*
 * Lets a claimed thread go. After DONE its stack may be anything, so only the
 * address is used: at worst somebody else wakes for nothing.
 */
static void serve(struct waiter *w)
{
    if (w == NULL)
        return;
    _Atomic uint32_t *state = &w->ticket->state;
    atomic_store(state, DONE);
    syscall(SYS_futex, state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleeps while *state is value. Returns false when the deadline has passed. */
static bool sleep_while(_Atomic uint32_t *state, uint32_t value,
                        int64_t deadline_ms)
{
    if (deadline_ms < 0)
        deadline_ms = 0;
    struct timespec ts = {.tv_sec = deadline_ms / 1000,
                          .tv_nsec = (deadline_ms % 1000) * 1000000};
    /* The bit-set form takes an absolute time of clock_ms()'s clock. */
    long rc = syscall(SYS_futex, state, FUTEX_WAIT_BITSET_PRIVATE, value,
                      deadline_ms == CHAN_FOREVER ? NULL : &ts, NULL,
                      FUTEX_BITSET_MATCH_ANY);
    return rc == 0 || errno != ETIMEDOUT;
}

/* Returns 0 once a partner has served the ticket, or ERR_TIMEOUT: none will. */
static int await(struct ticket *t, int64_t deadline_ms)
{
    uint32_t state;
    while ((state = atomic_load(&t->state)) != DONE) {
        /* Who claimed the ticket is about to serve it, deadline or not. */
        int64_t until_ms = state == WAITING ? deadline_ms : CHAN_FOREVER;
        if (sleep_while(&t->state, state, until_ms))
            continue;
        state = WAITING;
        if (atomic_compare_exchange_strong(&t->state, &state, GONE))
            return ERR_TIMEOUT;
    }
    return 0;
}

/*
 * Fills turn with a random order of the cases, so that each ready one is
 * equally likely to be met first, and lock with the channels to be locked.
 * Both grow by insertion: cases are few.
 */
static void prepare(struct slot *slots, const struct chan_case *cases,
                    unsigned n)
{
    unsigned locks = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned j = (unsigned)random_below(i + 1);
        slots[i].turn = slots[j].turn;
        slots[j].turn = i;

        struct chan *c = cases[i].chan;
        if (c == NULL)
            continue;
        unsigned at = locks;
        while (at > 0 && (uintptr_t)slots[at - 1].lock > (uintptr_t)c)
            at--;
        if (at > 0 && slots[at - 1].lock == c)
            continue;
        for (unsigned k = locks++; k > at; k--)
            slots[k].lock = slots[k - 1].lock;
        slots[at].lock = c;
    }
}

LOCKS_SET static void lock_all(struct slot *slots, unsigned n)
{
    for (unsigned i = 0; i < n && slots[i].lock != NULL; i++)
        mutex_lock(&slots[i].lock->mu);
}

LOCKS_SET static void unlock_all(struct slot *slots, unsigned n)
{
    for (unsigned i = 0; i < n && slots[i].lock != NULL; i++)
        mutex_unlock(&slots[i].lock->mu);
}

/* Performs the first case that can go on. Returns its index or ERR_TIMEOUT. */
LOCKS_SET static int try_all_locked(struct slot *slots, struct chan_case *cases,
                                    unsigned n, struct waiter **ret_partner)
{
    for (unsigned i = 0; i < n; i++) {
        struct chan_case *k = &cases[slots[i].turn];
        if (k->chan == NULL)
            continue;
        k->err = op_locked(k->chan, k->op, &k->item, ret_partner);
        if (k->err != ERR_TIMEOUT)
            return (int)slots[i].turn;
    }
    return ERR_TIMEOUT;
}

LOCKS_SET static void join_all_locked(struct slot *slots,
                                      const struct chan_case *cases, unsigned n,
                                      struct ticket *ticket)
{
    for (unsigned i = 0; i < n; i++) {
        slots[i].waiter.ticket = ticket;
        slots[i].waiter.item = cases[i].item;
        if (cases[i].chan != NULL)
            join_locked(cases[i].chan, cases[i].op, &slots[i].waiter);
    }
}

/* Sleeps with all cases queued. Returns the served one or ERR_TIMEOUT. */
static int wait_for_one(struct slot *slots, struct chan_case *cases, unsigned n,
                        struct ticket *ticket, int64_t deadline_ms)
{
    int chosen = await(ticket, deadline_ms);
    for (unsigned i = 0; i < n; i++) {
        struct waiter *w = &slots[i].waiter;
        if (chosen == 0 && w == ticket->served)
            continue;
        if (cases[i].chan != NULL)
            leave(cases[i].chan, cases[i].op, w);
    }
    if (chosen != 0)
        return ERR_TIMEOUT;
    struct slot *slot =
        (struct slot *)((char *)ticket->served - offsetof(struct slot, waiter));
    chosen = (int)(slot - slots);
    cases[chosen].err = slot->waiter.err;
    cases[chosen].item = slot->waiter.item;
    return chosen;
}

int chan_select(struct chan_case *cases, unsigned n, int64_t deadline_ms)
{
    struct slot few[SELECT_INLINE];
    struct slot *slots = n <= SELECT_INLINE ? few : mem_new(n * sizeof(*slots));
    struct ticket ticket = {.state = WAITING};
    struct waiter *partner = NULL;
    for (unsigned i = 0; i < n; i++)
        slots[i] = (struct slot){0};

    prepare(slots, cases, n);
    lock_all(slots, n);
    int chosen = try_all_locked(slots, cases, n, &partner);
    bool wait = chosen == ERR_TIMEOUT && deadline_ms != CHAN_NOWAIT;
    if (wait)
        join_all_locked(slots, cases, n, &ticket);
    unlock_all(slots, n);

    serve(partner);
    if (wait)
        chosen = wait_for_one(slots, cases, n, &ticket, deadline_ms);
    if (slots != few)
        free(slots);
    return chosen;
}
