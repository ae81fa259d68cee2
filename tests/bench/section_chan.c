/*
 * Chan: what an operation on a channel costs.
 *
 * One operation is one item from its sender to its receiver. Each round also
 * hands the items over through a one-place box of a mutex and two conditions,
 * the least that does the same work.
 *
 * Thread: main starts and joins all others.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/chan.h"
#include "common/base/clock.h"
#include "tests/bench/bench.h"

enum {
    CAP = 128,        /* as deep as a busy worker's window */
    SIDE_MAX = 4,     /* threads on each side of n:m */
    SELECT_CHANS = 4, /* what one select looks at */
    ITEMS = 100 * 1000
};

/* The yardstick. */
struct box {
    struct mutex mu; /* guards full and item */
    struct cond filled, emptied;
    bool full;
    void *item;
};

struct run {
    struct chan *chans[SELECT_CHANS];
    struct box box;
    long items; /* for each sender */
};

struct side {
    struct run *run;
    pthread_t thread;
};

static void *box_send(void *arg)
{
    struct run *run = arg;
    struct box *box = &run->box;
    for (long i = 0; i < run->items; i++) {
        mutex_lock(&box->mu);
        while (box->full)
            cond_wait(&box->emptied, &box->mu, INT64_MAX);
        box->item = run;
        box->full = true;
        cond_signal(&box->filled);
        mutex_unlock(&box->mu);
    }
    return NULL;
}

static void *box_recv(void *arg)
{
    struct run *run = arg;
    struct box *box = &run->box;
    for (long i = 0; i < run->items; i++) {
        mutex_lock(&box->mu);
        while (!box->full)
            cond_wait(&box->filled, &box->mu, INT64_MAX);
        box->full = false;
        cond_signal(&box->emptied);
        mutex_unlock(&box->mu);
    }
    return NULL;
}

static void *chan_sender(void *arg)
{
    struct run *run = arg;
    for (long i = 0; i < run->items; i++)
        chan_send(run->chans[0], run, CHAN_FOREVER);
    return NULL;
}

static void *chan_receiver(void *arg)
{
    struct run *run = arg;
    void *item;
    while (chan_recv(run->chans[0], &item, CHAN_FOREVER) == 0)
        continue;
    return NULL;
}

static void select_all(struct chan_case *cases, const struct run *run,
                       enum chan_op op, void *item)
{
    for (int i = 0; i < SELECT_CHANS; i++)
        cases[i] =
            (struct chan_case){.chan = run->chans[i], .op = op, .item = item};
}

static void *select_sender(void *arg)
{
    struct run *run = arg;
    struct chan_case cases[SELECT_CHANS];
    select_all(cases, run, CHAN_SEND, run);
    for (long i = 0; i < run->items; i++)
        chan_select(cases, SELECT_CHANS, CHAN_FOREVER);
    return NULL;
}

static void *select_receiver(void *arg)
{
    struct run *run = arg;
    struct chan_case cases[SELECT_CHANS];
    select_all(cases, run, CHAN_RECV, NULL);
    for (long i = 0; i < run->items; i++)
        chan_select(cases, SELECT_CHANS, CHAN_FOREVER);
    return NULL;
}

static void start(struct side *side, struct run *run, void *(*body)(void *))
{
    side->run = run;
    if (pthread_create(&side->thread, NULL, body, run) != 0)
        bench_fail("no thread");
}

/* Returns nanoseconds an item for n senders and n receivers. */
static double between(struct run *run, int n, void *(*sender)(void *),
                      void *(*receiver)(void *), bool ends_by_close)
{
    struct side senders[SIDE_MAX], receivers[SIDE_MAX];
    int64_t begin_us = clock_us();
    for (int i = 0; i < n; i++) {
        start(&receivers[i], run, receiver);
        start(&senders[i], run, sender);
    }
    for (int i = 0; i < n; i++)
        pthread_join(senders[i].thread, NULL);
    if (ends_by_close)
        chan_close(run->chans[0]);
    for (int i = 0; i < n; i++)
        pthread_join(receivers[i].thread, NULL);
    return (double)(clock_us() - begin_us) * 1000 /
           ((double)n * (double)run->items);
}

/* One thread, nobody waits: the price of the locks alone. */
static double alone(struct run *run, bool by_select)
{
    struct chan_case in[SELECT_CHANS], out[SELECT_CHANS];
    void *item;
    int64_t begin_us = clock_us();
    select_all(in, run, CHAN_SEND, run);
    select_all(out, run, CHAN_RECV, NULL);
    for (long i = 0; i < run->items; i++)
        if (by_select) {
            chan_select(in, SELECT_CHANS, CHAN_NOWAIT);
            chan_select(out, SELECT_CHANS, CHAN_NOWAIT);
        } else {
            chan_try_send(run->chans[0], run);
            chan_try_recv(run->chans[0], &item);
        }
    return (double)(clock_us() - begin_us) * 1000 / (double)run->items;
}

enum measure {
    BOX,
    ALONE,
    ONE_ONE,
    MANY_MANY,
    RENDEZVOUS,
    SELECT_ALONE,
    SELECT,
    SELECT_RENDEZVOUS,
    MEASURES
};

static const struct {
    const char *name;
    unsigned cap;
} measures[MEASURES] = {
    [BOX] = {"mutex+cond box, 1:1", 0},
    [ALONE] = {"uncontended", CAP},
    [ONE_ONE] = {"1:1", CAP},
    [MANY_MANY] = {"4:4", CAP},
    [RENDEZVOUS] = {"rendezvous, 1:1", 0},
    [SELECT_ALONE] = {"select of 4, uncontended", CAP},
    [SELECT] = {"select of 4, 1:1", CAP},
    [SELECT_RENDEZVOUS] = {"select of 4, rendezvous", 0},
};

static double measure(enum measure m, long items)
{
    struct run run = {.items = items};
    double ns = 0;
    mutex_init(&run.box.mu);
    cond_init(&run.box.filled);
    cond_init(&run.box.emptied);
    for (int i = 0; i < SELECT_CHANS; i++)
        run.chans[i] = chan_new(measures[m].cap);
    switch (m) {
    case BOX:
        ns = between(&run, 1, box_send, box_recv, false);
        break;
    case ALONE:
    case SELECT_ALONE:
        ns = alone(&run, m == SELECT_ALONE);
        break;
    case ONE_ONE:
    case RENDEZVOUS:
        ns = between(&run, 1, chan_sender, chan_receiver, true);
        break;
    case MANY_MANY:
        run.items /= SIDE_MAX;
        ns = between(&run, SIDE_MAX, chan_sender, chan_receiver, true);
        break;
    case SELECT:
    case SELECT_RENDEZVOUS:
        ns = between(&run, 1, select_sender, select_receiver, false);
        break;
    case MEASURES:
        abort();
    }
    for (int i = 0; i < SELECT_CHANS; i++)
        chan_free(run.chans[i]);
    cond_done(&run.box.emptied);
    cond_done(&run.box.filled);
    mutex_done(&run.box.mu);
    return ns;
}

/* Whoever is measured first is not so the next time. */
static void run_round(struct bench *b)
{
    int64_t items = bench_jobs(b, ITEMS);
    bool box_first = b->round % 2 == 0;
    double ns[MEASURES];

    items += SIDE_MAX - items % SIDE_MAX;
    for (int i = 0; i < MEASURES; i++) {
        int m = box_first ? i : MEASURES - 1 - i;
        ns[m] = measure((enum measure)m, (long)items);
    }
    for (int m = BOX + 1; m < MEASURES; m++) {
        struct figure f = {
            .name = measures[m].name, .unit = "ns/item", .against = "a box"};
        bench_record(b, &f, ns[m], ns[BOX]);
    }
}

const struct section section_chan = {
    .name = "chan",
    .about = "channels, against a box of mutex and conditions with one place",
    .round = run_round,
};
