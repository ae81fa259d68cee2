/*
 * Claims about the ledger: that it stays equal to the Redis list it mirrors,
 * whatever happens to both, above all when many elements are equal.
 */
#include "worker/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum { LIST_MAX = 64, STEPS = 20000, KINDS = 5 };

/* A Redis list of short texts, as plainly as it can be. */
struct list {
    const char *at[LIST_MAX];
    size_t len;
};

static void list_rpush(struct list *l, const char *text)
{
    assert_true(l->len < LIST_MAX);
    l->at[l->len++] = text;
}

static void list_take(struct list *l, size_t from, size_t n)
{
    l->len -= n;
    memmove(&l->at[from], &l->at[from + n], (l->len - from) * sizeof(l->at[0]));
}

/* LTRIM key n -1 */
static void list_ltrim(struct list *l, size_t n)
{
    list_take(l, 0, n);
}

/* LREM key 1 text, or -1: from the end */
static void list_lrem(struct list *l, bool from_end, const char *text)
{
    for (size_t n = 0; n < l->len; n++) {
        size_t i = from_end ? l->len - 1 - n : n;
        if (strcmp(l->at[i], text) == 0) {
            list_take(l, i, 1);
            return;
        }
    }
    fail_msg("LREM finds no %s", text);
}

/* Numbers that are the same in every run. */
static unsigned next_random(unsigned bound)
{
    static uint64_t x = 88172645463325252ULL;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned)(x % bound);
}

/* Without an id, and what stamp makes of it: texts live as long as the run. */
static const char *bare(unsigned kind)
{
    static const char *const texts[KINDS] = {
        "{\"type\":\"a\"}", "{\"type\":\"b\"}",
        "{\"type\":\"c\",\"payload\":1}", "{\"type\":\"c\",\"payload\":2}",
        "{\"type\":\"a\" }"};
    return texts[kind];
}

static const char *with_id(unsigned kind)
{
    static const char *const texts[KINDS] = {
        "{\"id\":\"1\",\"type\":\"a\"}", "{\"id\":\"2\",\"type\":\"a\"}",
        "{\"id\":\"3\",\"type\":\"a\"}", "{\"id\":\"4\",\"type\":\"a\"}",
        "{\"id\":\"1\",\"type\":\"a\"}"};
    return texts[kind];
}

static struct slot *new_slot(const char *raw, enum slot_state state)
{
    struct slot *s = slot_new(raw, strlen(raw));
    s->state = state;
    return s;
}

static struct delivery *new_delivery(const char *raw)
{
    struct job *job;
    assert_int_equal(job_parse(raw, strlen(raw), 4096, &job, NULL), 0);
    return delivery_new(job);
}

static struct slot *random_slot(const struct ledger *l, enum slot_state state)
{
    size_t n = l->count[state];
    if (n == 0)
        return NULL;
    n = next_random((unsigned)n);
    struct slot *s = l->first;
    while (s->state != state || n-- > 0)
        s = s->next;
    return s;
}

static void they_agree(const struct ledger *l, const struct list *r)
{
    size_t i = 0, bytes = 0, count[SLOT_STATES] = {0}, recovered = 0, near = 0;
    const struct slot *before = NULL;
    assert_int_equal(l->len, r->len);
    for (const struct slot *s = l->first; s != NULL; s = s->next, i++) {
        assert_int_equal(s->raw_len, strlen(r->at[i]));
        assert_memory_equal(s->raw, r->at[i], s->raw_len);
        assert_ptr_equal(s->prev, before);
        assert_int_equal(ledger_index(l, s), i);
        bytes += s->raw_len;
        count[s->state]++;
        bool open = s->state != SLOT_FINISHED && s->state != SLOT_GIVE_BACK;
        recovered += open && s->recovered;
        near += open && s->near;
        before = s;
    }
    assert_ptr_equal(l->last, before);
    assert_int_equal(l->bytes, bytes);
    assert_memory_equal(l->count, count, sizeof(count));
    assert_int_equal(l->recovered, recovered);
    assert_int_equal(l->near, near);
    assert_int_equal(ledger_unfinished(l),
                     count[SLOT_STAMPING] + count[SLOT_HELD] + count[SLOT_OUT]);
}

/* ---- what a lane does, to both ---- */

static void do_fetch(struct ledger *l, struct list *r)
{
    if (l->len == LIST_MAX)
        return;
    unsigned kind = next_random(KINDS);
    bool stamped = next_random(2) == 0;
    const char *raw = stamped ? with_id(kind) : bare(kind);
    struct slot *s = new_slot(raw, stamped ? SLOT_HELD : SLOT_STAMPING);
    s->recovered = next_random(4) == 0;
    s->near = s->recovered && next_random(2) == 0;
    ledger_append(l, s);
    list_rpush(r, raw);
}

static void do_stamp(struct ledger *l, struct list *r)
{
    struct slot *s = random_slot(l, SLOT_STAMPING);
    if (s == NULL)
        return;
    const char *raw = with_id(next_random(KINDS));
    r->at[ledger_index(l, s)] = raw; /* LSET */
    ledger_replace(l, s, new_delivery(raw));
    ledger_set_state(l, s, SLOT_HELD);
}

static void do_change(struct ledger *l, enum slot_state from,
                      enum slot_state to)
{
    struct slot *s = random_slot(l, from);
    if (s != NULL)
        ledger_set_state(l, s, to);
}

static void do_settle_front(struct ledger *l, struct list *r)
{
    size_t n = ledger_front_finished(l, 1 + next_random(8), NULL);
    for (size_t i = 0; i < n; i++) {
        struct slot *s = ledger_shift(l);
        assert_int_equal(s->state, SLOT_FINISHED);
        assert_string_equal(r->at[i], s->raw);
        slot_free(s);
    }
    list_ltrim(r, n);
}

static void do_remove(struct ledger *l, struct list *r, enum slot_state state)
{
    struct slot *s = random_slot(l, state);
    if (s == NULL)
        return;
    if (state == SLOT_GIVE_BACK)
        ledger_remove_last(l, s);
    else
        ledger_remove(l, s);
    list_lrem(r, state == SLOT_GIVE_BACK, s->raw);
    slot_free(s);
}

static void a_step(struct ledger *l, struct list *r)
{
    switch (next_random(10)) {
    case 0:
    case 1:
    case 2:
        do_fetch(l, r);
        break;
    case 3:
        do_stamp(l, r);
        break;
    case 4:
        do_change(l, SLOT_HELD, SLOT_OUT);
        break;
    case 5:
    case 6:
        do_change(l, SLOT_OUT, SLOT_FINISHED);
        break;
    case 7:
        do_change(l, SLOT_HELD, SLOT_GIVE_BACK);
        do_remove(l, r, SLOT_GIVE_BACK);
        break;
    case 8:
        do_settle_front(l, r);
        break;
    default:
        do_remove(l, r, SLOT_FINISHED);
    }
}

static void empty(struct ledger *l)
{
    while (l->len > 0) {
        struct slot *s = ledger_shift(l);
        /* Nobody else holds what this test says is out. */
        s->state = SLOT_FINISHED;
        slot_free(s);
    }
    ledger_done(l);
}

static void it_mirrors_a_redis_list(void **state)
{
    struct ledger l;
    struct list r = {0};
    size_t longest = 0;
    (void)state;
    ledger_init(&l);
    for (int i = 0; i < STEPS; i++) {
        a_step(&l, &r);
        they_agree(&l, &r);
        longest = l.len > longest ? l.len : longest;
    }
    assert_true(longest > 20);
    empty(&l);
}

/* ---- single claims ---- */

static struct slot *append(struct ledger *l, const char *raw,
                           enum slot_state state)
{
    struct slot *s = new_slot(raw, state);
    ledger_append(l, s);
    return s;
}

static void a_removed_twin_leaves_the_later_place_to_the_other(void **state)
{
    struct ledger l;
    (void)state;
    ledger_init(&l);
    struct slot *running = append(&l, "x", SLOT_OUT);
    struct slot *between = append(&l, "y", SLOT_OUT);
    struct slot *done = append(&l, "x", SLOT_FINISHED);
    ledger_remove(&l, done);
    assert_ptr_equal(l.first, between);
    assert_ptr_equal(l.last, running);
    assert_int_equal(ledger_index(&l, running), 1);
    assert_int_equal(running->state, SLOT_OUT);
    slot_free(done);
    empty(&l);
}

static void the_finished_run_at_the_front_is_counted(void **state)
{
    struct ledger l;
    (void)state;
    ledger_init(&l);
    assert_int_equal(ledger_front_finished(&l, 10, NULL), 0);
    append(&l, "a", SLOT_FINISHED);
    append(&l, "b", SLOT_FINISHED);
    append(&l, "c", SLOT_FINISHED);
    struct slot *open = append(&l, "d", SLOT_OUT);
    append(&l, "e", SLOT_FINISHED);
    assert_int_equal(ledger_front_finished(&l, 10, NULL), 3);
    assert_int_equal(ledger_front_finished(&l, 2, NULL), 2);
    ledger_set_state(&l, open, SLOT_FINISHED);
    assert_int_equal(ledger_front_finished(&l, 10, NULL), 5);
    empty(&l);
}

/* The hash reads the beginning and the length: the rest is compared. */
static void equal_means_every_byte(void **state)
{
    char text[2][200];
    struct ledger l;
    (void)state;
    memset(text, 'x', sizeof(text));
    text[0][199] = text[1][199] = '\0';
    text[1][150] = 'y';
    ledger_init(&l);
    struct slot *a = append(&l, text[0], SLOT_OUT);
    struct slot *b = append(&l, text[1], SLOT_FINISHED);
    assert_int_equal(a->hash, b->hash);
    assert_false(slot_equal(a, b));
    ledger_remove(&l, b);
    assert_ptr_equal(l.first, a);
    slot_free(b);
    empty(&l);
}

static void different_lengths_hash_differently(void **state)
{
    (void)state;
    assert_true(slot_hash("aaaaaaaa", 8) != slot_hash("aaaaaaaa", 7));
    assert_true(slot_hash("", 0) != slot_hash("a", 1));
    assert_int_equal(slot_hash("abcdefghij", 10), slot_hash("abcdefghij", 10));
}

static void a_delivery_that_is_out_outlives_its_slot(void **state)
{
    struct delivery *d = new_delivery(with_id(0));
    struct slot *s = new_slot(with_id(0), SLOT_OUT);
    (void)state;
    slot_set_delivery(s, d);
    assert_ptr_equal(d->slot, s);
    slot_free(s);
    assert_null(d->slot);
    assert_string_equal(d->job->id, "1");
    delivery_free(d);
}

static void the_job_lends_its_bytes_to_the_slot(void **state)
{
    struct ledger l;
    (void)state;
    ledger_init(&l);
    struct slot *twin = append(&l, with_id(1), SLOT_HELD);
    struct slot *s = append(&l, bare(0), SLOT_STAMPING);
    struct delivery *d = new_delivery(with_id(1));
    assert_false(slot_equal(s, twin));
    ledger_replace(&l, s, d);
    assert_ptr_equal(s->raw, d->job->raw);
    assert_null(s->own_raw);
    assert_true(slot_equal(s, twin));
    assert_int_equal(l.bytes, 2 * strlen(with_id(1)));
    empty(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_mirrors_a_redis_list),
        cmocka_unit_test(a_removed_twin_leaves_the_later_place_to_the_other),
        cmocka_unit_test(the_finished_run_at_the_front_is_counted),
        cmocka_unit_test(equal_means_every_byte),
        cmocka_unit_test(different_lengths_hash_differently),
        cmocka_unit_test(a_delivery_that_is_out_outlives_its_slot),
        cmocka_unit_test(the_job_lends_its_bytes_to_the_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
