/*
 * Claims about chan_select: default, deadline, fairness, close, rendezvous of
 * two selects, and a crowd of them.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/chan.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/ulid.h"
#include "tests/unit/actor.h"
#include "tests/unit/unit.h"

static int items[8];

struct fixture {
    struct chan *a, *b;       /* rendezvous */
    struct chan *full, *free; /* of one place */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->a = chan_new(0);
    f->b = chan_new(0);
    f->full = chan_new(1);
    f->free = chan_new(1);
    *state = f;
    return chan_try_send(f->full, &items[0]);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct chan *chans[] = {f->a, f->b, f->full, f->free};
    for (size_t i = 0; i < 4; i++) {
        void *item;
        while (chan_try_recv(chans[i], &item) == 0)
            continue;
        chan_free(chans[i]);
    }
    free(f);
    return 0;
}

static struct chan_case sending(struct chan *c, void *item)
{
    return (struct chan_case){.chan = c, .op = CHAN_SEND, .item = item};
}

static struct chan_case receiving(struct chan *c)
{
    return (struct chan_case){.chan = c, .op = CHAN_RECV};
}

static void default_is_taken_when_no_case_is_ready(void **state)
{
    struct fixture *f = *state;
    struct chan_case cases[] = {sending(f->a, &items[1]), receiving(f->b),
                                sending(f->full, &items[1]),
                                receiving(f->free)};
    assert_int_equal(chan_select(cases, 4, CHAN_NOWAIT), ERR_TIMEOUT);
    assert_int_equal(chan_len(f->full), 1);
    assert_int_equal(chan_len(f->free), 0);
}

static void the_ready_case_alone_is_performed(void **state)
{
    struct fixture *f = *state;
    struct chan_case cases[] = {sending(f->a, &items[1]), receiving(f->full),
                                receiving(f->b)};
    assert_int_equal(chan_select(cases, 3, CHAN_FOREVER), 1);
    assert_int_equal(cases[1].err, 0);
    assert_ptr_equal(cases[1].item, &items[0]);

    struct chan_case more[] = {receiving(f->a), sending(f->free, &items[2])};
    assert_int_equal(chan_select(more, 2, CHAN_NOWAIT), 1);
    assert_int_equal(more[1].err, 0);
    assert_int_equal(chan_len(f->free), 1);
}

static void deadline_ends_the_wait_and_leaves_the_queues(void **state)
{
    struct fixture *f = *state;
    struct chan_case cases[] = {receiving(f->a), sending(f->b, &items[1])};
    int64_t deadline_ms = clock_ms() + 30;
    void *got;
    assert_int_equal(chan_select(cases, 2, deadline_ms), ERR_TIMEOUT);
    assert_true(clock_ms() >= deadline_ms);
    assert_int_equal(chan_try_send(f->a, &items[2]), ERR_TIMEOUT);
    assert_int_equal(chan_try_recv(f->b, &got), ERR_TIMEOUT);
}

static void a_case_without_channel_is_never_ready(void **state)
{
    struct fixture *f = *state;
    struct chan_case cases[] = {receiving(NULL), sending(NULL, &items[1]),
                                receiving(f->full)};
    assert_int_equal(chan_select(cases, 2, CHAN_NOWAIT), ERR_TIMEOUT);
    assert_int_equal(chan_select(cases, 2, clock_ms() + 5), ERR_TIMEOUT);
    assert_int_equal(chan_select(cases, 3, CHAN_FOREVER), 2);
    assert_int_equal(chan_select(NULL, 0, clock_ms() + 5), ERR_TIMEOUT);
}

static void ready_cases_are_chosen_evenly(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 6000 };
    struct chan *open = chan_new(ROUNDS);
    int chosen[5] = {0};
    chan_close(f->free);
    for (int i = 0; i < ROUNDS; i++) {
        /* Gaps on purpose: a random start alone would favour case 3. */
        struct chan_case cases[] = {receiving(f->free), receiving(f->a),
                                    receiving(f->b), sending(open, &items[1]),
                                    sending(open, &items[2])};
        int i_chosen = chan_select(cases, 5, CHAN_FOREVER);
        assert_in_range(i_chosen, 0, 4);
        chosen[i_chosen]++;
    }
    /* Mean 2000, deviation 37: the bounds are eight deviations away. */
    assert_in_range(chosen[0], 1700, 2300);
    assert_int_equal(chosen[1] + chosen[2], 0);
    assert_in_range(chosen[3], 1700, 2300);
    assert_in_range(chosen[4], 1700, 2300);
    assert_int_equal(chan_len(open), chosen[3] + chosen[4]);
    for (void *item; chan_try_recv(open, &item) == 0;)
        continue;
    chan_free(open);
}

static void a_blocked_select_takes_one_item_from_one_channel(void **state)
{
    struct fixture *f = *state;
    struct actor a = {.cases = {receiving(f->a), receiving(f->b)},
                      .n = 2,
                      .deadline_ms = CHAN_FOREVER};
    actor_select(&a);
    actor_wait_blocked(&a);
    assert_int_equal(chan_try_send(f->b, &items[3]), 0);
    /* Its other entry is stale from now on, whether it woke yet or not. */
    assert_int_equal(chan_try_send(f->a, &items[4]), ERR_TIMEOUT);
    assert_int_equal(chan_try_send(f->b, &items[4]), ERR_TIMEOUT);
    actor_join(&a);
    assert_int_equal(a.rc, 1);
    assert_int_equal(a.cases[1].err, 0);
    assert_ptr_equal(a.cases[1].item, &items[3]);
}

static void a_blocked_select_gives_its_item_once(void **state)
{
    struct fixture *f = *state;
    struct actor a = {
        .cases = {sending(f->full, &items[1]), sending(f->a, &items[2])},
        .n = 2,
        .deadline_ms = CHAN_FOREVER};
    void *got = NULL;
    actor_select(&a);
    actor_wait_blocked(&a);
    assert_int_equal(chan_try_recv(f->full, &got), 0);
    assert_ptr_equal(got, &items[0]);
    assert_int_equal(chan_len(f->full), 1); /* moved up into the place */
    assert_int_equal(chan_try_recv(f->a, &got), ERR_TIMEOUT);
    actor_join(&a);
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.cases[0].err, 0);
}

static void close_wakes_a_blocked_select(void **state)
{
    struct fixture *f = *state;
    for (int op = CHAN_SEND; op <= CHAN_RECV; op++) {
        struct chan *c = chan_new(0);
        struct actor a = {
            .cases = {receiving(f->a), {.chan = c, .op = (enum chan_op)op}},
            .n = 2,
            .deadline_ms = CHAN_FOREVER};
        actor_select(&a);
        actor_wait_blocked(&a);
        chan_close(c);
        actor_join(&a);
        assert_int_equal(a.rc, 1);
        assert_int_equal(a.cases[1].err, ERR_CLOSED);
        chan_free(c);
    }
}

static void cases_of_a_closed_channel_are_ready(void **state)
{
    struct fixture *f = *state;
    struct chan_case send[] = {receiving(f->a), sending(f->full, &items[1])};
    struct chan_case recv[] = {receiving(f->full), receiving(f->a)};
    chan_close(f->full);
    assert_int_equal(chan_select(send, 2, CHAN_FOREVER), 1);
    assert_int_equal(send[1].err, ERR_CLOSED);
    assert_ptr_equal(send[1].item, &items[1]);
    assert_int_equal(chan_select(recv, 2, CHAN_FOREVER), 0);
    assert_int_equal(recv[0].err, 0);
    assert_ptr_equal(recv[0].item, &items[0]);
    assert_int_equal(chan_select(recv, 2, CHAN_FOREVER), 0);
    assert_int_equal(recv[0].err, ERR_CLOSED);
}

static void a_select_never_meets_itself(void **state)
{
    struct fixture *f = *state;
    struct chan_case cases[] = {sending(f->a, &items[1]), receiving(f->a)};
    assert_int_equal(chan_select(cases, 2, CHAN_NOWAIT), ERR_TIMEOUT);
    assert_int_equal(chan_select(cases, 2, clock_ms() + 10), ERR_TIMEOUT);
    assert_ptr_equal(cases[1].item, NULL);
}

static void two_selects_of_both_ends_meet_each_other(void **state)
{
    struct fixture *f = *state;
    struct actor a = {.cases = {sending(f->a, &items[1]), receiving(f->a)},
                      .n = 2,
                      .deadline_ms = CHAN_FOREVER};
    struct chan_case mine[] = {sending(f->a, &items[2]), receiving(f->a)};
    actor_select(&a);
    int chosen = chan_select(mine, 2, CHAN_FOREVER);
    actor_join(&a);
    assert_int_equal(chosen + a.rc, 1); /* one sent, the other received */
    if (chosen == 1)
        assert_ptr_equal(mine[1].item, &items[1]);
    else
        assert_ptr_equal(a.cases[1].item, &items[2]);
}

static void a_channel_may_occur_in_many_cases(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 50 }; /* beyond what fits on the stack */
    struct chan_case cases[MANY];
    for (int i = 0; i < MANY; i++)
        cases[i] = i % 2 ? receiving(f->a) : receiving(f->b);
    assert_int_equal(chan_select(cases, MANY, clock_ms() + 5), ERR_TIMEOUT);
    cases[33] = receiving(f->full);
    assert_int_equal(chan_select(cases, MANY, CHAN_FOREVER), 33);
    assert_ptr_equal(cases[33].item, &items[0]);
}

/*
 * The crowd: every thread selects over all channels at once, senders against
 * receivers, each in another order of cases. The impatient end their calls
 * after 0 or 1 ms and try again.
 */
enum { CHANS = 3, THREADS = 2, CELLS = 10000 };

struct cell {
    atomic_int received;
    int sent;
};

struct crowd {
    struct chan *chans[CHANS];
    bool impatient;
    struct cell cells[THREADS][CELLS];
};

struct member {
    struct crowd *crowd;
    unsigned number;
    pthread_t thread;
};

/* Fills the cases in an order of the member's own; returns the deadline. */
static int64_t crowd_cases(const struct member *m, enum chan_op op, void *item,
                           struct chan_case *cases)
{
    for (unsigned i = 0; i < CHANS; i++)
        cases[i] =
            (struct chan_case){.chan = m->crowd->chans[(i + m->number) % CHANS],
                               .op = op,
                               .item = item};
    return m->crowd->impatient ? clock_ms() + (int64_t)random_below(2)
                               : CHAN_FOREVER;
}

static void *select_sender(void *arg)
{
    struct member *m = arg;
    struct chan_case cases[CHANS];
    for (int i = 0; i < CELLS; i++) {
        struct cell *cell = &m->crowd->cells[m->number][i];
        int rc;
        do
            rc = chan_select(cases, CHANS,
                             crowd_cases(m, CHAN_SEND, cell, cases));
        while (rc == ERR_TIMEOUT);
        if (cases[rc].err != 0)
            break;
        cell->sent = 1;
    }
    return NULL;
}

static void *select_receiver(void *arg)
{
    struct member *m = arg;
    struct chan_case cases[CHANS];
    for (;;) {
        int rc =
            chan_select(cases, CHANS, crowd_cases(m, CHAN_RECV, NULL, cases));
        if (rc == ERR_TIMEOUT)
            continue;
        if (cases[rc].err != 0)
            return NULL;
        struct cell *cell = cases[rc].item;
        atomic_fetch_add(&cell->received, 1);
    }
}

static void start_members(struct member *members, struct crowd *crowd,
                          void *(*run)(void *))
{
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (struct member){.crowd = crowd, .number = i};
        assert_int_equal(
            pthread_create(&members[i].thread, NULL, run, &members[i]), 0);
    }
}

static void run_crowd(const unsigned caps[CHANS], bool impatient)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    struct member senders[THREADS], receivers[THREADS];
    assert_non_null(crowd);
    crowd->impatient = impatient;
    for (int i = 0; i < CHANS; i++)
        crowd->chans[i] = chan_new(caps[i]);
    start_members(receivers, crowd, select_receiver);
    start_members(senders, crowd, select_sender);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    /* Drained first: a select may see the end of one before items of others. */
    for (int i = 0; i < CHANS; i++)
        while (chan_len(crowd->chans[i]) > 0)
            sched_yield();
    for (int i = 0; i < CHANS; i++)
        chan_close(crowd->chans[i]);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(receivers[i].thread, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < CELLS; j++) {
            assert_int_equal(crowd->cells[i][j].sent, 1);
            assert_int_equal(atomic_load(&crowd->cells[i][j].received), 1);
        }
    for (int i = 0; i < CHANS; i++)
        chan_free(crowd->chans[i]);
    free(crowd);
}

static void a_crowd_of_selects_meets_without_loss(void **state)
{
    (void)state;
    run_crowd((const unsigned[]){0, 0, 0}, false);
    run_crowd((const unsigned[]){0, 1, 4}, false);
}

static void select_deadline_race_loses_and_doubles_nothing(void **state)
{
    (void)state;
    run_crowd((const unsigned[]){0, 0, 0}, true);
    run_crowd((const unsigned[]){0, 1, 1}, true);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(default_is_taken_when_no_case_is_ready),
        CLAIM(the_ready_case_alone_is_performed),
        CLAIM(deadline_ends_the_wait_and_leaves_the_queues),
        CLAIM(a_case_without_channel_is_never_ready),
        CLAIM(ready_cases_are_chosen_evenly),
        CLAIM(a_blocked_select_takes_one_item_from_one_channel),
        CLAIM(a_blocked_select_gives_its_item_once),
        CLAIM(close_wakes_a_blocked_select),
        CLAIM(cases_of_a_closed_channel_are_ready),
        CLAIM(a_select_never_meets_itself),
        CLAIM(two_selects_of_both_ends_meet_each_other),
        CLAIM(a_channel_may_occur_in_many_cases),
        cmocka_unit_test(a_crowd_of_selects_meets_without_loss),
        cmocka_unit_test(select_deadline_race_loses_and_doubles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
