/*
 * Claims about channels: order, bound, rendezvous, close, deadlines. Select
 * has its own program.
 */
#include "common/base/chan.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/ulid.h"
#include "tests/unit/actor.h"
#include "tests/unit/unit.h"

static int items[8];

static struct chan *full_channel(unsigned cap)
{
    struct chan *c = chan_new(cap);
    for (unsigned i = 0; i < cap; i++)
        assert_int_equal(chan_try_send(c, &items[i]), 0);
    return c;
}

static void expect_item(struct chan *c, const int *item)
{
    void *got = NULL;
    assert_int_equal(chan_try_recv(c, &got), 0);
    assert_ptr_equal(got, item);
}

static void expect_none(struct chan *c, int err)
{
    void *got = &items[7];
    assert_int_equal(chan_try_recv(c, &got), err);
    assert_ptr_equal(got, &items[7]);
}

static void items_come_out_in_the_order_sent(void **state)
{
    (void)state;
    struct chan *c = chan_new(3);
    for (int round = 0; round < 5; round++) { /* the ring wraps */
        assert_int_equal(chan_send(c, &items[0], CHAN_FOREVER), 0);
        assert_int_equal(chan_send(c, &items[1], CHAN_FOREVER), 0);
        expect_item(c, &items[0]);
        expect_item(c, &items[1]);
    }
    chan_free(c);
}

static void full_channel_takes_no_more(void **state)
{
    (void)state;
    struct chan *c = full_channel(2);
    assert_int_equal(chan_try_send(c, &items[2]), ERR_TIMEOUT);
    assert_int_equal(chan_len(c), 2);
    assert_int_equal(chan_cap(c), 2);
    expect_item(c, &items[0]);
    assert_int_equal(chan_try_send(c, &items[2]), 0);
    expect_item(c, &items[1]);
    expect_item(c, &items[2]);
    assert_int_equal(chan_len(c), 0);
    chan_free(c);
}

static void empty_channel_gives_nothing(void **state)
{
    (void)state;
    struct chan *c = chan_new(2);
    expect_none(c, ERR_TIMEOUT);
    chan_free(c);
}

static void null_is_an_item(void **state)
{
    (void)state;
    struct chan *c = chan_new(1);
    assert_int_equal(chan_try_send(c, NULL), 0);
    assert_int_equal(chan_len(c), 1);
    expect_item(c, NULL);
    chan_free(c);
    chan_free(NULL);
}

static void rendezvous_send_needs_a_receiver(void **state)
{
    (void)state;
    struct chan *c = chan_new(0);
    struct actor receiver;
    assert_int_equal(chan_try_send(c, &items[0]), ERR_TIMEOUT);
    actor_recv(&receiver, c);
    actor_wait_blocked(&receiver);
    assert_int_equal(chan_try_send(c, &items[0]), 0);
    assert_int_equal(chan_try_send(c, &items[1]), ERR_TIMEOUT);
    actor_join(&receiver);
    assert_int_equal(receiver.rc, 0);
    assert_ptr_equal(receiver.cases[0].item, &items[0]);
    chan_free(c);
}

static void rendezvous_receive_needs_a_sender(void **state)
{
    (void)state;
    struct chan *c = chan_new(0);
    struct actor sender;
    expect_none(c, ERR_TIMEOUT);
    actor_send(&sender, c, &items[0]);
    actor_wait_blocked(&sender);
    assert_int_equal(chan_len(c), 0);
    assert_int_equal(chan_cap(c), 0);
    expect_item(c, &items[0]);
    actor_join(&sender);
    assert_int_equal(sender.rc, 0);
    chan_free(c);
}

static void freed_place_goes_to_the_first_blocked_sender(void **state)
{
    (void)state;
    struct chan *c = full_channel(1);
    struct actor senders[3];
    for (int i = 0; i < 3; i++) {
        actor_send(&senders[i], c, &items[i + 1]);
        actor_wait_blocked(&senders[i]);
    }
    for (int i = 0; i < 4; i++) {
        expect_item(c, &items[i]);
        assert_int_equal(chan_len(c), i < 3);
    }
    for (int i = 0; i < 3; i++) {
        actor_join(&senders[i]);
        assert_int_equal(senders[i].rc, 0);
    }
    chan_free(c);
}

static void expect_sent_many(struct chan *c, unsigned first, unsigned n,
                             unsigned taken)
{
    void *out[8];
    for (unsigned i = 0; i < n; i++)
        out[i] = &items[first + i];
    assert_int_equal(chan_try_send_many(c, out, n), taken);
}

static void expect_many(struct chan *c, unsigned first, unsigned want,
                        unsigned n)
{
    void *got[8] = {NULL};
    assert_int_equal(chan_try_recv_many(c, got, want), n);
    for (unsigned i = 0; i < want; i++)
        assert_ptr_equal(got[i], i < n ? (void *)&items[first + i] : NULL);
}

static void many_are_sent_and_received_up_to_the_bound(void **state)
{
    (void)state;
    struct chan *c = chan_new(3);
    for (int round = 0; round < 4; round++) { /* the ring wraps */
        expect_sent_many(c, 0, 2, 2);
        expect_sent_many(c, 2, 2, 1);
        expect_sent_many(c, 3, 2, 0);
        expect_many(c, 0, 2, 2);
        expect_many(c, 2, 4, 1);
        expect_many(c, 0, 4, 0);
    }
    expect_sent_many(c, 0, 0, 0);
    chan_close(c);
    expect_sent_many(c, 0, 2, 0);
    expect_many(c, 0, 2, 0);
    chan_free(c);
}

static void many_serve_the_receivers_first(void **state)
{
    (void)state;
    struct chan *c = chan_new(2);
    struct actor receivers[2];
    for (int i = 0; i < 2; i++) {
        actor_recv(&receivers[i], c);
        actor_wait_blocked(&receivers[i]);
    }
    expect_sent_many(c, 0, 5, 4); /* two are waited for, two fit in */
    for (int i = 0; i < 2; i++) {
        actor_join(&receivers[i]);
        assert_int_equal(receivers[i].rc, 0);
        assert_ptr_equal(receivers[i].cases[0].item, &items[i]);
    }
    expect_many(c, 2, 3, 2);
    chan_free(c);
}

static void many_are_received_from_blocked_senders_too(void **state)
{
    (void)state;
    struct chan *c = full_channel(2);
    struct actor senders[3];
    for (int i = 0; i < 3; i++) {
        actor_send(&senders[i], c, &items[i + 2]);
        actor_wait_blocked(&senders[i]);
    }
    expect_many(c, 0, 3, 3);
    assert_int_equal(chan_len(c), 2);
    expect_many(c, 3, 8, 2);
    for (int i = 0; i < 3; i++) {
        actor_join(&senders[i]);
        assert_int_equal(senders[i].rc, 0);
    }
    chan_free(c);
}

static void blocked_receivers_are_served_in_order(void **state)
{
    (void)state;
    struct chan *c = chan_new(2);
    struct actor receivers[3];
    for (int i = 0; i < 3; i++) {
        actor_recv(&receivers[i], c);
        actor_wait_blocked(&receivers[i]);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(chan_try_send(c, &items[i]), 0);
    assert_int_equal(chan_len(c), 0);
    for (int i = 0; i < 3; i++) {
        actor_join(&receivers[i]);
        assert_ptr_equal(receivers[i].cases[0].item, &items[i]);
    }
    chan_free(c);
}

static void close_wakes_a_blocked_sender(void **state)
{
    (void)state;
    for (unsigned cap = 0; cap < 2; cap++) {
        struct chan *c = full_channel(cap);
        struct actor sender;
        actor_send(&sender, c, &items[5]);
        actor_wait_blocked(&sender);
        chan_close(c);
        actor_join(&sender);
        assert_int_equal(sender.rc, ERR_CLOSED);
        if (cap > 0)
            expect_item(c, &items[0]);
        expect_none(c, ERR_CLOSED);
        chan_free(c);
    }
}

static void close_wakes_every_blocked_receiver(void **state)
{
    (void)state;
    struct chan *c = chan_new(1);
    struct actor receivers[3];
    for (int i = 0; i < 3; i++) {
        actor_recv(&receivers[i], c);
        actor_wait_blocked(&receivers[i]);
    }
    chan_close(c);
    for (int i = 0; i < 3; i++) {
        actor_join(&receivers[i]);
        assert_int_equal(receivers[i].rc, ERR_CLOSED);
    }
    chan_free(c);
}

static void closed_channel_drains_then_ends(void **state)
{
    (void)state;
    struct chan *c = full_channel(2);
    void *got = &items[7];
    chan_close(c);
    chan_close(c);
    assert_int_equal(chan_try_send(c, &items[2]), ERR_CLOSED);
    assert_int_equal(chan_send(c, &items[2], CHAN_FOREVER), ERR_CLOSED);
    expect_item(c, &items[0]);
    expect_item(c, &items[1]);
    expect_none(c, ERR_CLOSED);
    assert_int_equal(chan_recv(c, &got, CHAN_FOREVER), ERR_CLOSED);
    assert_ptr_equal(got, &items[7]);
    chan_free(c);
}

static void deadline_ends_the_wait_and_not_before(void **state)
{
    (void)state;
    struct chan *c = full_channel(1);
    int64_t deadline_ms = clock_ms() + 30;
    void *got;
    assert_int_equal(chan_send(c, &items[1], deadline_ms), ERR_TIMEOUT);
    assert_true(clock_ms() >= deadline_ms);
    assert_int_equal(chan_len(c), 1);
    expect_item(c, &items[0]);
    deadline_ms = clock_ms() + 30;
    assert_int_equal(chan_recv(c, &got, deadline_ms), ERR_TIMEOUT);
    assert_true(clock_ms() >= deadline_ms);
    chan_free(c);
}

static void past_deadline_still_takes_what_is_ready(void **state)
{
    (void)state;
    struct chan *c = full_channel(1);
    void *got = NULL;
    assert_int_equal(chan_send(c, &items[1], -5), ERR_TIMEOUT);
    assert_int_equal(chan_recv(c, &got, 1), 0);
    assert_ptr_equal(got, &items[0]);
    assert_int_equal(chan_recv(c, &got, INT64_MIN), ERR_TIMEOUT);
    chan_free(c);
}

static void who_timed_out_is_no_partner_any_more(void **state)
{
    (void)state;
    struct chan *c = chan_new(0);
    void *got;
    assert_int_equal(chan_recv(c, &got, clock_ms()), ERR_TIMEOUT);
    assert_int_equal(chan_try_send(c, &items[0]), ERR_TIMEOUT);
    assert_int_equal(chan_send(c, &items[0], clock_ms()), ERR_TIMEOUT);
    expect_none(c, ERR_TIMEOUT);
    chan_free(c);
}

/*
 * The crowd: producers send each its own cells, consumers count in the cell
 * that they received. The impatient end their calls after 0 or 1 ms and try
 * again; all give up once the channel is closed.
 */
enum { PRODUCERS = 3, CONSUMERS = 3, CELLS = 10000 };

struct cell {
    atomic_int received;
    int sent; /* by its one producer */
};

struct crowd {
    struct chan *chan;
    bool impatient;
    atomic_long received;
    struct cell cells[PRODUCERS][CELLS];
};

struct member {
    struct crowd *crowd;
    struct cell *cells;
    pthread_t thread;
};

static int64_t crowd_deadline(const struct crowd *crowd)
{
    return crowd->impatient ? clock_ms() + (int64_t)random_below(2)
                            : CHAN_FOREVER;
}

static void *produce(void *arg)
{
    struct member *m = arg;
    for (int i = 0; i < CELLS; i++) {
        int rc;
        while ((rc = chan_send(m->crowd->chan, &m->cells[i],
                               crowd_deadline(m->crowd))) == ERR_TIMEOUT)
            continue;
        if (rc != 0)
            break;
        m->cells[i].sent = 1;
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct crowd *crowd = arg;
    void *got;
    int rc;
    while ((rc = chan_recv(crowd->chan, &got, crowd_deadline(crowd))) !=
           ERR_CLOSED) {
        if (rc == ERR_TIMEOUT)
            continue;
        atomic_fetch_add(&((struct cell *)got)->received, 1);
        atomic_fetch_add(&crowd->received, 1);
    }
    return NULL;
}

/* Closes after close_at items, or when all are sent. Returns how many were. */
static long run_crowd(unsigned cap, bool impatient, long close_at)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    struct member producers[PRODUCERS];
    pthread_t consumers[CONSUMERS];
    assert_non_null(crowd);
    crowd->chan = chan_new(cap);
    crowd->impatient = impatient;
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, crowd),
                         0);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] =
            (struct member){.crowd = crowd, .cells = crowd->cells[i]};
        assert_int_equal(
            pthread_create(&producers[i].thread, NULL, produce, &producers[i]),
            0);
    }
    while (close_at > 0 && atomic_load(&crowd->received) < close_at)
        sched_yield();
    if (close_at > 0)
        chan_close(crowd->chan);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_join(producers[i].thread, NULL), 0);
    chan_close(crowd->chan);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_join(consumers[i], NULL), 0);

    long sent = 0;
    for (int i = 0; i < PRODUCERS; i++)
        for (int j = 0; j < CELLS; j++) {
            struct cell *cell = &crowd->cells[i][j];
            assert_int_equal(atomic_load(&cell->received), cell->sent);
            sent += cell->sent;
        }
    assert_int_equal(sent, atomic_load(&crowd->received));
    chan_free(crowd->chan);
    free(crowd);
    return sent;
}

static void every_item_of_a_crowd_arrives_once(void **state)
{
    (void)state;
    const unsigned caps[] = {0, 1, 64};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(run_crowd(caps[i], false, 0), PRODUCERS * CELLS);
}

static void deadline_race_loses_and_doubles_nothing(void **state)
{
    (void)state;
    const unsigned caps[] = {0, 1};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(run_crowd(caps[i], true, 0), PRODUCERS * CELLS);
}

static void close_under_load_loses_and_doubles_nothing(void **state)
{
    (void)state;
    const unsigned caps[] = {0, 1, 64};
    for (size_t i = 0; i < 3; i++) {
        long sent = run_crowd(caps[i], false, CELLS);
        assert_in_range(sent, CELLS, PRODUCERS * CELLS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_sent),
        cmocka_unit_test(full_channel_takes_no_more),
        cmocka_unit_test(empty_channel_gives_nothing),
        cmocka_unit_test(null_is_an_item),
        cmocka_unit_test(rendezvous_send_needs_a_receiver),
        cmocka_unit_test(rendezvous_receive_needs_a_sender),
        cmocka_unit_test(freed_place_goes_to_the_first_blocked_sender),
        cmocka_unit_test(many_are_sent_and_received_up_to_the_bound),
        cmocka_unit_test(many_serve_the_receivers_first),
        cmocka_unit_test(many_are_received_from_blocked_senders_too),
        cmocka_unit_test(blocked_receivers_are_served_in_order),
        cmocka_unit_test(close_wakes_a_blocked_sender),
        cmocka_unit_test(close_wakes_every_blocked_receiver),
        cmocka_unit_test(closed_channel_drains_then_ends),
        cmocka_unit_test(deadline_ends_the_wait_and_not_before),
        cmocka_unit_test(past_deadline_still_takes_what_is_ready),
        cmocka_unit_test(who_timed_out_is_no_partner_any_more),
        cmocka_unit_test(every_item_of_a_crowd_arrives_once),
        cmocka_unit_test(deadline_race_loses_and_doubles_nothing),
        cmocka_unit_test(close_under_load_loses_and_doubles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
