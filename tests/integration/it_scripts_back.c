/*
 * Claims about the scripts by which jobs come back to ready: release and
 * promote.
 */
#include "tests/integration/table.h"

#include "common/base/buf.h"
#include "tests/unit/unit.h"

#define LEASE "ZADD @leases NOW+60000 L\n"
#define HELD LEASE "RPUSH @active:L a b c d e\n"
#define UNCHANGED                                                              \
    "LRANGE @active:L 0 -1 => a b c d e\nEXISTS @retry @dead @job:a @stats "   \
    "=> 0"

static void release_puts_jobs_back_in_order(void **state)
{
    static const struct row rows[] = {
        {"at the head", HELD "RPUSH @ready x", SCRIPT_release, "L vb vc ve",
         "OK 3",
         "LRANGE @ready 0 -1 => b c e x\nLRANGE @active:L 0 -1 => a d\n"
         "HGET @stats released => 3\nHGET @minute released => 3"},
        {"by digest, at the index before the call", HELD, SCRIPT_release,
         "L s0:86f7e437faa5a7fce15d1ddcb9eaeaea377667b8 "
         "s1:e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98",
         "OK 2", "LRANGE @ready 0 -1 => a b\nLRANGE @active:L 0 -1 => c d e"},
        {"equal ones too", LEASE "RPUSH @active:L x a x b", SCRIPT_release,
         "L vx vx", "OK 2",
         "LRANGE @ready 0 -1 => x x\nLRANGE @active:L 0 -1 => a b"},
        {"of equal ones the last", LEASE "RPUSH @active:L x a x b",
         SCRIPT_release, "L vx", "OK 1",
         "LRANGE @ready 0 -1 => x\nLRANGE @active:L 0 -1 => x a b"},
        {"all or none", HELD, SCRIPT_release, "L va vx", "REFUSED",
         "EXISTS @ready => 0\n" UNCHANGED},
        {"nor at another index", HELD, SCRIPT_release,
         "L va s0:e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98", "REFUSED",
         "EXISTS @ready => 0\n" UNCHANGED},
        {"without a lease nothing", "RPUSH @active:L a b c d e", SCRIPT_release,
         "L va", "FENCED", "EXISTS @ready => 0\n" UNCHANGED},
        {"at least one", HELD, SCRIPT_release, "L",
         "ERR release takes 1 to 1000 jobs*", UNCHANGED},
    };
    (void)state;
    ROWS(rows);
}

static void release_takes_at_most_a_thousand(void **state)
{
    struct buf b = {0};
    (void)state;
    buf_str(&b, "L");
    for (int i = 0; i < 1001; i++)
        buf_str(&b, " va");
    table_do(HELD);
    table_call(SCRIPT_release, b.data, "ERR release takes 1 to 1000 jobs*");
    table_check("EXISTS @ready => 0\n" UNCHANGED);
    buf_done(&b);
}

static void promote_moves_what_is_due_to_the_tail(void **state)
{
    static const struct row rows[] = {
        {"earliest first, scheduled before retry",
         "ZADD @scheduled 3 c 1 a 2 b\nZADD @retry 5 f 4 e\nRPUSH @ready x",
         SCRIPT_promote, "100 100000", "5 -1 NOW",
         "LRANGE @ready 0 -1 => x a b c e f\nEXISTS @scheduled @retry => 0\n"
         "HGET @stats promoted => 5\nHGET @minute promoted => 5"},
        {"what is not due stays", "ZADD @scheduled 1 a NOW+89999999 b",
         SCRIPT_promote, "100 100000", "1 8# NOW",
         "LRANGE @ready 0 -1 => a\nZRANGE @scheduled 0 -1 => b"},
        {"nothing", "", SCRIPT_promote, "100 100000", "0 -1 NOW",
         "EXISTS @stats => 0"},
        {"at most n of each, and more is due",
         "ZADD @scheduled 1 a 2 b 3 c\nZADD @retry 1 d 2 e 3 f", SCRIPT_promote,
         "2 100000", "4 0 NOW",
         "LRANGE @ready 0 -1 => a b d e\nZRANGE @scheduled 0 -1 => c\n"
         "ZRANGE @retry 0 -1 => f"},
    };
    (void)state;
    ROWS(rows);
}

static void promote_tells_the_earliest_of_both_sets(void **state)
{
    static const struct row rows[] = {
        {"retry is next", "ZADD @scheduled NOW+89999999 a\nZADD @retry 9e15 b",
         SCRIPT_promote, "100 100000", "0 8# NOW", "EXISTS @ready => 0"},
        {"scheduled is next",
         "ZADD @scheduled 9e15 a\nZADD @retry NOW+89999999 b", SCRIPT_promote,
         "100 100000", "0 8# NOW", "EXISTS @ready => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void promote_is_bounded_by_count_and_bytes(void **state)
{
    struct buf b = {0};
    (void)state;
    buf_str(&b, "ZADD @retry");
    for (int i = 0; i < 1100; i++)
        buf_printf(&b, " %d %04d-abcde", i, i);
    table_do(b.data);
    buf_done(&b);
    table_call(SCRIPT_promote, "5000 10000000", "1000 0 NOW");
    /* In steps of 16 of 10 bytes each: 350 bytes are passed in the third. */
    table_call(SCRIPT_promote, "5000 350", "48 0 NOW");
    table_check("LINDEX @ready 0 => 0000-abcde\nLINDEX @ready -1 => "
                "1047-abcde\nZRANGE @retry 0 0 => 1048-abcde");
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(release_puts_jobs_back_in_order),
        TEST(release_takes_at_most_a_thousand),
        TEST(promote_moves_what_is_due_to_the_tail),
        TEST(promote_tells_the_earliest_of_both_sets),
        TEST(promote_is_bounded_by_count_and_bytes),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
