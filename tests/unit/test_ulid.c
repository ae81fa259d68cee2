/*
 * Claims about ids and random numbers.
 */
#include "common/base/ulid.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "tests/unit/unit.h"

enum { THREADS = 4, IDS = 20000 };

struct id {
    char text[ULID_LEN + 1];
};

static int64_t time_of(const char *id)
{
    static const char base32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    int64_t ms = 0;
    for (int i = 0; i < 10; i++)
        ms = ms << 5 | (strchr(base32, id[i]) - base32);
    return ms;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void an_id_is_26_base32_characters(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char id[ULID_LEN + 1];
        ulid_make(id);
        assert_int_equal(strlen(id), ULID_LEN);
        assert_int_equal(strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"),
                         ULID_LEN);
        assert_true(text_is_id(id, ULID_LEN));
    }
}

static void an_id_tells_its_millisecond(void **state)
{
    (void)state;
    char id[ULID_LEN + 1];
    int64_t before_ms = clock_wall_ms();
    ulid_make(id);
    assert_in_range(time_of(id), before_ms, clock_wall_ms());
}

static void ids_of_one_millisecond_ascend(void **state)
{
    (void)state;
    char last[ULID_LEN + 1], id[ULID_LEN + 1];
    int same = 0;
    ulid_make(last);
    for (int64_t end_ms = clock_ms() + 10000; same < IDS;) {
        ulid_make(id);
        assert_string_not_equal(id, last);
        if (time_of(id) == time_of(last)) {
            assert_true(strcmp(id, last) > 0);
            same++;
        }
        memcpy(last, id, sizeof(id));
        assert_true(clock_ms() < end_ms);
    }
}

/* Made in one millisecond, together with single ids. */
static void no_two_batches_share_a_prefix(void **state)
{
    enum { BATCHES = 1000 };
    static char prefixes[2 * BATCHES][ULID_LEN + 1];
    (void)state;
    for (unsigned i = 0; i < BATCHES; i++) {
        ulid_make_prefix(prefixes[2 * i]);
        assert_int_equal(strlen(prefixes[2 * i]), ULID_PREFIX_LEN);
        ulid_make(prefixes[2 * i + 1]);
        prefixes[2 * i + 1][ULID_PREFIX_LEN] = '\0';
    }
    qsort(prefixes, 2 * BATCHES, sizeof(prefixes[0]), by_text);
    for (unsigned i = 1; i < 2 * BATCHES; i++)
        assert_string_not_equal(prefixes[i - 1], prefixes[i]);
}

static void *make_many(void *arg)
{
    struct id *ids = arg;
    for (int i = 0; i < IDS; i++)
        ulid_make(ids[i].text);
    return NULL;
}

static void threads_never_make_the_same_id(void **state)
{
    (void)state;
    struct id *ids = calloc((size_t)THREADS * IDS, sizeof(*ids));
    pthread_t threads[THREADS];
    assert_non_null(ids);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, make_many, ids + i * IDS), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(ids, (size_t)THREADS * IDS, sizeof(*ids), by_text);
    for (int i = 1; i < THREADS * IDS; i++)
        assert_string_not_equal(ids[i].text, ids[i - 1].text);
    free(ids);
}

/* Both sides go on from one state, and mostly within one millisecond. */
static void a_forked_child_makes_other_ids(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        char mine[ULID_LEN + 1], childs[ULID_LEN + 1] = "";
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        ulid_make(mine);
        pid_t pid = fork();
        assert_true(pid >= 0);
        ulid_make(mine);
        if (pid == 0)
            _exit(write(fds[1], mine, ULID_LEN) != ULID_LEN);
        assert_int_equal(read(fds[0], childs, ULID_LEN), ULID_LEN);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_string_not_equal(mine, childs);
        assert_string_not_equal(mine + 10, childs + 10);
        close(fds[0]);
        close(fds[1]);
    }
}

static void random_bytes_fill_everything(void **state)
{
    (void)state;
    unsigned char sum[64] = {0}, p[66];
    for (int round = 0; round < 32; round++) {
        memset(p, 0, sizeof(p));
        random_bytes(p + 1, 64);
        assert_int_equal(p[0] | p[65], 0);
        for (int i = 0; i < 64; i++)
            sum[i] |= p[i + 1];
    }
    for (int i = 0; i < 64; i++)
        assert_int_not_equal(sum[i], 0);
}

static void random_numbers_spread_evenly_below_the_bound(void **state)
{
    (void)state;
    int seen[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t n = random_below(7);
        assert_in_range(n, 0, 6);
        seen[n]++;
    }
    for (int i = 0; i < 7; i++) /* mean 10000, deviation 93 */
        assert_in_range(seen[i], 9200, 10800);
    assert_int_equal(random_below(1), 0);
}

/* Below 3 * 2^62 a plain remainder would fall into the first third twice. */
static void a_large_bound_is_not_skewed(void **state)
{
    (void)state;
    const uint64_t third = UINT64_C(1) << 62;
    int first = 0;
    for (int i = 0; i < 30000; i++)
        first += random_below(3 * third) < third;
    assert_in_range(first, 9300, 10700); /* mean 10000, deviation 82 */
}

static void *draw(void *arg)
{
    uint64_t *ret = arg;
    *ret = random_below(UINT64_MAX);
    return NULL;
}

static void threads_draw_different_numbers(void **state)
{
    (void)state;
    uint64_t drawn[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, draw, &drawn[i]), 0);
        pthread_join(thread, NULL);
        for (int j = 0; j < i; j++)
            assert_true(drawn[i] != drawn[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_26_base32_characters),
        cmocka_unit_test(an_id_tells_its_millisecond),
        cmocka_unit_test(ids_of_one_millisecond_ascend),
        cmocka_unit_test(no_two_batches_share_a_prefix),
        cmocka_unit_test(threads_never_make_the_same_id),
        cmocka_unit_test(a_forked_child_makes_other_ids),
        cmocka_unit_test(random_bytes_fill_everything),
        cmocka_unit_test(random_numbers_spread_evenly_below_the_bound),
        cmocka_unit_test(a_large_bound_is_not_skewed),
        cmocka_unit_test(threads_draw_different_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
