/*
 * Claims about the scripts that make up the life of a lane: register, renew,
 * leave, rebind and reap.
 */
#include "tests/integration/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

#define ALIVE "ZADD @leases NOW+60000 L\nHSET @lanes L {`was`:``}\n"
#define COMPLIED "HSET @lanes L:version 5\n"
#define EXPIRED                                                                \
    "ZADD @leases NOW-5 L\nHSET @lanes L {`was`:``} L:settles 7 "              \
    "L:version 5\n"
#define NO_LANE "ZCARD @leases => 0\nHLEN @lanes => 0\nEXISTS @config => 0\n"

static void register_takes_an_id_once(void **state)
{
    static const struct row rows[] = {
        {"a fresh id gets a lease",
         "HSET @config version 3 cancelled_version 4 lanes_version 5",
         SCRIPT_register, "L 15000 {`was`:``} 1", "OK NOW 3 4 6",
         "ZRANGE @leases 0 -1 WITHSCORES => L NOW+15000\n"
         "HGET @lanes L => {`was`:``}\nHGET @config format => 1\n"
         "HGET @config lanes_version => 6"},
        {"versions are 0 at first", "", SCRIPT_register, "L 15000 {} 1",
         "OK NOW 0 0 1", ""},
        {"an id that was reaped is taken", "ZADD @reaped 1 L", SCRIPT_register,
         "L 15000 {} 1", "TAKEN", NO_LANE},
        {"an id that holds a lease is taken", "ZADD @leases 7 L",
         SCRIPT_register, "L 15000 {} 1", "TAKEN",
         "ZSCORE @leases L => 7\nHLEN @lanes => 0\nEXISTS @config => 0"},
        {"an id with a list is taken", "RPUSH @active:L {`id`:`a`}",
         SCRIPT_register, "L 15000 {} 1", "TAKEN", NO_LANE},
        {"an id of 128 bytes is refused", "", SCRIPT_register,
         "0123456789012345678901234567890123456789012345678901234567890123"
         "4567890123456789012345678901234567890123456789012345678901234567"
         " 15000 {} 1",
         "*127 bytes, not 128*", NO_LANE},
        {"a newer format is refused", "HSET @config format 2", SCRIPT_register,
         "L 15000 {} 1", "FORMAT 2",
         "ZCARD @leases => 0\nHLEN @lanes => 0\nHGET @config format => 2"},
        {"an older format stays", "HSET @config format 1", SCRIPT_register,
         "L 15000 {} 2", "OK NOW 0 0 1", "HGET @config format => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void renew_prolongs_and_tells(void **state)
{
    static const struct row rows[] = {
        {"the lease is prolonged", "ZADD @leases NOW+1000 L", SCRIPT_renew,
         "L 15000 -1", "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0",
         "ZRANGE @leases 0 -1 WITHSCORES => L NOW+15000"},
        {"one that ran out is held until it is ended", EXPIRED, SCRIPT_renew,
         "L 15000 -1", "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0",
         "ZSCORE @leases L => NOW+15000"},
        {"lengths, versions and pause",
         ALIVE "RPUSH @active:L a b\nRPUSH @ready c d e\nHSET @config "
               "version 1 cancelled_version 2 lanes_version 3 paused 1",
         SCRIPT_renew, "L 15000 -1", "OK NOW 2 1 2 3 1 3 -1 L 15000 -1 -1 0",
         ""},
        {"a pause that has an end",
         ALIVE "HSET @config paused NOW+50000 version 7", SCRIPT_renew,
         "L 15000 -1", "OK NOW 0 7 0 0 1 0 -1 L 15000 # -1 0", ""},
        {"which has come", ALIVE "HSET @config paused NOW-1", SCRIPT_renew,
         "L 15000 -1", "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0", ""},
        {"what is no number does not pause",
         ALIVE "HSET @config paused yes version x", SCRIPT_renew, "L 15000 -1",
         "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0", ""},
        {"nor does one that only Lua takes for one",
         ALIVE "HSET @config paused 1.0", SCRIPT_renew, "L 15000 -1",
         "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0", ""},
        {"the version that the lane complies with", ALIVE, SCRIPT_renew,
         "L 15000 12", "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0",
         "HGETALL @lanes => L {`was`:``} L:version 12"},
        {"or none", ALIVE "HSET @lanes L:version 12", SCRIPT_renew,
         "L 15000 -1", "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 -1 0",
         "HGET @lanes L:version => 12"},
        {"a cron entry that is due, and what waits in outbox",
         ALIVE "ZADD @cron:due 5 a NOW+60000 b\nRPUSH @outbox x y z",
         SCRIPT_renew, "L 15000 -1", "OK NOW 0 0 0 0 0 0 -1 L 15000 -1 0 3",
         ""},
        {"a job that is due already",
         ALIVE "ZADD @scheduled NOW+60000 a\nZADD @retry 1 b", SCRIPT_renew,
         "L 15000 -1", "OK NOW 0 0 0 0 0 0 0 L 15000 -1 -1 0", ""},
        {"the lane whose lease ends first", ALIVE "ZADD @leases 1 M",
         SCRIPT_renew, "L 15000 -1", "OK NOW 0 0 0 0 0 0 -1 M -* -1 -1 0",
         "ZSCORE @leases M => 1"},
        {"without a lease there is none to prolong", "RPUSH @active:L a",
         SCRIPT_renew, "L 15000 5", "FENCED",
         "ZCARD @leases => 0\nEXISTS @lanes => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void renew_tells_the_next_due_of_both_sets(void **state)
{
    (void)state;
    table_do(ALIVE "ZADD @scheduled NOW+90000000 a");
    char *far = table_run_script(SCRIPT_renew, "L 15000 -1");
    table_do("ZADD @retry NOW+50000 b");
    char *near = table_run_script(SCRIPT_renew, "L 15000 -1");
    long long ms = 0;
    assert_int_equal(sscanf(far, "OK %*d 0 0 0 0 0 0 %lld", &ms), 1);
    assert_in_range(ms, 89000000, 90000000);
    assert_int_equal(sscanf(near, "OK %*d 0 0 0 0 0 0 %lld", &ms), 1);
    assert_in_range(ms, 1, 50000);
    free(far);
    free(near);
}

static void leave_ends_a_lease(void **state)
{
    static const struct row rows[] = {
        {"the id is never used again", ALIVE COMPLIED, SCRIPT_leave, "L",
         "OK 0",
         "ZCARD @leases => 0\nHLEN @lanes => 0\n"
         "ZRANGE @reaped 0 -1 WITHSCORES => L NOW\n"
         "HGET @config lanes_version => 1"},
        {"what is left is told and stays for reap", ALIVE "RPUSH @active:L a b",
         SCRIPT_leave, "L", "OK 2", "LRANGE @active:L 0 -1 => a b"},
        {"without a lease nothing is ended", "RPUSH @active:L a", SCRIPT_leave,
         "L", "FENCED", "EXISTS @reaped => 0\nEXISTS @config => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void rebind_moves_everything_to_the_new_id(void **state)
{
    static const struct row rows[] = {
        {"list, lease and description move",
         ALIVE COMPLIED "RPUSH @active:L a b", SCRIPT_rebind,
         "L M 15000 {`was`:`L`}", "OK NOW 0 a b",
         "LRANGE @active:M 0 -1 => a b\nEXISTS @active:L => 0\n"
         "ZRANGE @leases 0 -1 WITHSCORES => M NOW+15000\n"
         "HGETALL @lanes => M {`was`:`L`}\n"
         "ZRANGE @reaped 0 -1 WITHSCORES => L NOW\n"
         "HGET @config lanes_version => 1"},
        {"a missing list is an empty one", ALIVE, SCRIPT_rebind, "L M 15000 {}",
         "OK NOW 0", "ZRANGE @leases 0 -1 => M\nZRANGE @reaped 0 -1 => L"},
        {"a new id that was reaped is taken", ALIVE "ZADD @reaped 1 M",
         SCRIPT_rebind, "L M 15000 {}", "TAKEN",
         "ZRANGE @leases 0 -1 => L\nZSCORE @reaped L => (nil)"},
        {"a new id that holds a lease is taken", ALIVE "ZADD @leases 7 M",
         SCRIPT_rebind, "L M 15000 {}", "TAKEN",
         "ZSCORE @leases L => NOW+60000\nZSCORE @leases M => 7"},
        {"a new id with a list is taken",
         ALIVE "RPUSH @active:L a\nRPUSH @active:M x", SCRIPT_rebind,
         "L M 15000 {}", "TAKEN",
         "LRANGE @active:L 0 -1 => a\nLRANGE @active:M 0 -1 => x\n"
         "ZRANGE @leases 0 -1 => L"},
        {"who holds no lease moves nothing", "RPUSH @active:L a", SCRIPT_rebind,
         "L M 15000 {}", "FENCED",
         "LRANGE @active:L 0 -1 => a\nEXISTS @active:M => 0\n" NO_LANE},
        {"nor does a stranger to the new id",
         "ZADD @leases NOW+60000 M\nHSET @lanes M {`was`:`K`}\n"
         "RPUSH @active:M a",
         SCRIPT_rebind, "L M 15000 {`was`:`L`}", "FENCED",
         "LRANGE @active:M 0 -1 => a"},
    };
    (void)state;
    ROWS(rows);
}

static void rebind_may_be_sent_again(void **state)
{
    (void)state;
    table_do(ALIVE "RPUSH @active:L a b");
    table_call(SCRIPT_rebind, "L M 15000 {`was`:`L`}", "OK NOW 0 a b");
    table_do("ZADD @leases 7 M");
    table_call(SCRIPT_rebind, "L M 15000 {`was`:`L`}", "OK NOW 0 a b");
    table_check("LRANGE @active:M 0 -1 => a b\nZSCORE @leases M => 7\n"
                "ZCARD @reaped => 1\nHGET @config lanes_version => 1");
}

/* Lua unpacks no more than 8000 at once. */
static void rebind_returns_a_list_of_any_length(void **state)
{
    (void)state;
    table_do(ALIVE);
    free(table_run("EVAL 'for i = 1, 12000 do redis.call(`RPUSH`, KEYS[1], "
                   "`job`) end' 1 @active:L"));
    char *answer = table_run_script(SCRIPT_rebind, "L M 15000 {}");
    assert_int_equal(strlen(answer),
                     strlen("OK 1700000000000 0") + 12000 * strlen(" job"));
    free(answer);
}

/* The lane has rebound from M to N when a copy of L → M runs at last. */
static void a_late_second_rebind_is_harmless(void **state)
{
    (void)state;
    table_do(ALIVE "RPUSH @active:L a b");
    table_call(SCRIPT_rebind, "L M 15000 {`was`:`L`}", "OK NOW 0 a b");
    table_call(SCRIPT_rebind, "M N 15000 {`was`:`M`}", "OK NOW 0 a b");
    table_call(SCRIPT_rebind, "L M 15000 {`was`:`L`}", "FENCED");
    table_check("LRANGE @active:N 0 -1 => a b\nZRANGE @leases 0 -1 => N\n"
                "HGETALL @lanes => N {`was`:`M`}\nEXISTS @active:M => 0");
}

/* Of all ids of the lane, until its lease is ended. */
static void rebind_tells_how_many_settles_ran(void **state)
{
    (void)state;
    table_do(ALIVE "RPUSH @active:L a b c d");
    table_call(SCRIPT_settle, "L 1 va 0 0 0 0 0 0", "OK NOW");
    table_call(SCRIPT_settle, "L 1 va 0 0 0 0 0 0", "REFUSED");
    table_call(SCRIPT_settle, "L 0 '' 1 0 0 0 0 0 vx", "REFUSED *");
    table_call(SCRIPT_rebind, "L M 15000 {`was`:`L`}", "OK NOW 2 b c d");
    table_call(SCRIPT_settle, "L 1 vb 0 0 0 0 0 0", "FENCED");
    table_call(SCRIPT_rebind, "L M 15000 {`was`:`L`}", "OK NOW 2 b c d");
    table_call(SCRIPT_settle, "M 2 vc 0 0 0 0 0 0", "OK NOW");
    table_call(SCRIPT_rebind, "M N 15000 {`was`:`M`}", "OK NOW 3 d");
    table_check("HGETALL @lanes => N {`was`:`M`} N:settles 3");
    table_call(SCRIPT_leave, "N", "OK 1");
    table_check("HLEN @lanes => 0");
}

static void a_count_of_settles_that_is_none_is_nought(void **state)
{
    static const struct row rows[] = {
        {"a word", ALIVE "HSET @lanes L:settles x", SCRIPT_rebind,
         "L M 15000 {}", "OK NOW 0", ""},
        {"less than nothing", ALIVE "HSET @lanes L:settles -1", SCRIPT_rebind,
         "L M 15000 {}", "OK NOW 0", ""},
        {"endless", ALIVE "HSET @lanes L:settles 1234567890123456",
         SCRIPT_rebind, "L M 15000 {}", "OK NOW 0", ""},
    };
    (void)state;
    ROWS(rows);
}

static void old_ids_are_refused_after_a_rebind(void **state)
{
    (void)state;
    table_do(ALIVE "RPUSH @active:L a\nRPUSH @ready b");
    table_call(SCRIPT_rebind, "L M 15000 {}", "OK NOW 0 a");
    table_call(SCRIPT_fetch, "L 10 1000 01ABCDEFGHJKMNPQRSTVWXY", "FENCED");
    table_call(SCRIPT_settle, "L 1 va 0 0 0 0 0 0", "FENCED");
    table_call(SCRIPT_release, "L va", "FENCED");
    table_call(SCRIPT_stamp, "L 0 a b", "FENCED");
    table_call(SCRIPT_renew, "L 15000 -1", "FENCED");
    table_call(SCRIPT_leave, "L", "FENCED");
    table_call(SCRIPT_register, "L 15000 {} 1", "TAKEN");
    table_check("LRANGE @active:M 0 -1 => a\nLRANGE @ready 0 -1 => b");
}

static void reap_gives_back_in_order_and_notes_the_time(void **state)
{
    static const struct row rows[] = {
        {"to the head, in the old order",
         EXPIRED "RPUSH @active:L {`id`:`a`} {`id`:`b`}\nRPUSH @ready c",
         SCRIPT_reap, "L expired 1000", "OK 2 0",
         "LRANGE @ready 0 -1 => {`recovered`:[NOW],`id`:`a`} "
         "{`recovered`:[NOW],`id`:`b`} c\nEXISTS @active:L => 0\n"
         "ZCARD @leases => 0\nHLEN @lanes => 0\n"
         "ZRANGE @reaped 0 -1 WITHSCORES => L NOW\n"
         "HGET @config lanes_version => 1\nHGET @stats reaped => 2\n"
         "HGET @minute reaped => 2\nTTL @minute => 86#"},
        {"a lane with nothing ends all the same", EXPIRED, SCRIPT_reap,
         "L expired 1000", "OK 0 0",
         "ZRANGE @reaped 0 -1 => L\nEXISTS @stats => 0"},
        {"one that lives is left alone", ALIVE "RPUSH @active:L {`id`:`a`}",
         SCRIPT_reap, "L expired 1000", "ALIVE #",
         "LRANGE @active:L 0 -1 => {`id`:`a`}\nZRANGE @leases 0 -1 => L\n"
         "EXISTS @reaped => 0"},
        {"unless its process is gone", ALIVE "RPUSH @active:L {`id`:`a`}",
         SCRIPT_reap, "L gone 1000", "OK 1 0", "ZCARD @leases => 0"},
        {"who has no lease is nobody", "RPUSH @active:L {`id`:`a`}",
         SCRIPT_reap, "L expired 1000", "NONE",
         "LLEN @active:L => 1\nEXISTS @reaped => 0"},
        {"nor is its process looked for", "RPUSH @active:L {`id`:`a`}",
         SCRIPT_reap, "L gone 1000", "NONE", "LLEN @active:L => 1"},
        {"bytes bound a call, but one job goes",
         EXPIRED "RPUSH @active:L {`id`:`a`} {`id`:`b`} {`id`:`c`}",
         SCRIPT_reap, "L expired 1", "OK 1 2",
         "LRANGE @active:L 0 -1 => {`id`:`a`} {`id`:`b`}"},
        {"white space goes with the note",
         EXPIRED "RPUSH @active:L ' { `a`:1}'", SCRIPT_reap, "L expired 1000",
         "OK 1 0", "LINDEX @ready 0 => {`recovered`:[NOW],`a`:1}"},
        {"an earlier note stays behind",
         EXPIRED "RPUSH @active:L {`recovered`:[77],`id`:`a`} "
                 "{`recovered`:[],`id`:`b`}",
         SCRIPT_reap, "L expired 1000", "OK 2 0",
         "LRANGE @ready 0 -1 => {`recovered`:[NOW,77],`id`:`a`} "
         "{`recovered`:[NOW],`id`:`b`}"},
        {"what is no object cannot be noted in",
         EXPIRED "RPUSH @active:L garbage {} '{ }' [1] ''", SCRIPT_reap,
         "L expired 1000", "OK 5 0",
         "LRANGE @ready 0 -1 => garbage {} { } [1] ''"},
    };
    (void)state;
    ROWS(rows);
}

static void reap_keeps_a_dozen_times(void **state)
{
    char *times, *first;
    (void)state;
    table_do("RPUSH @ready {`id`:`a`}");
    for (int i = 1; i <= 15; i++) {
        table_do("DEL @reaped\n" ALIVE "LMOVE @ready @active:L LEFT RIGHT");
        table_call(SCRIPT_reap, "L gone 1000", "OK 1 0");
        times = table_run("LINDEX @ready 0");
        first = strstr(times, "],\"id\":\"a\"}");
        assert_non_null(first);
        int count = 1;
        for (const char *p = times; p < first; p++)
            count += *p == ',';
        assert_int_equal(count, i < 12 ? i : 12);
        free(times);
    }
}

static void a_thousand_go_in_one_call(void **state)
{
    struct buf b = {0};
    (void)state;
    buf_str(&b, "RPUSH @active:L");
    for (int i = 0; i < 1200; i++)
        buf_printf(&b, " {`id`:`%d`}", i);
    table_do(EXPIRED);
    table_do(b.data);
    buf_done(&b);
    table_call(SCRIPT_reap, "L expired 10000000", "OK 1000 200");
    table_call(SCRIPT_reap, "L rest 10000000", "OK 200 0");
    table_check("LINDEX @ready 0 => {`recovered`:[NOW],`id`:`0`}\n"
                "LINDEX @ready 199 => {`recovered`:[NOW],`id`:`199`}\n"
                "LINDEX @ready 200 => {`recovered`:[NOW],`id`:`200`}\n"
                "LINDEX @ready 1199 => {`recovered`:[NOW],`id`:`1199`}\n"
                "HGET @stats reaped => 1200\nHGET @stats straggled => (nil)");
}

static void stragglers_are_found_and_not_noted(void **state)
{
    static const struct row rows[] = {
        {"what landed late goes back as it is",
         "ZADD @reaped NOW L\nRPUSH @active:L {`id`:`a`} {`id`:`b`}\n"
         "RPUSH @ready c",
         SCRIPT_reap, "L straggler 1000", "OK 2 0",
         "LRANGE @ready 0 -1 => {`id`:`a`} {`id`:`b`} c\n"
         "ZRANGE @reaped 0 -1 => L\nHGET @stats straggled => 2\n"
         "HGET @stats reaped => (nil)"},
        {"nothing there, kept for a day", "ZADD @reaped NOW-86300000 L",
         SCRIPT_reap, "L straggler 1000", "OK 0 0", "ZRANGE @reaped 0 -1 => L"},
        {"then forgotten", "ZADD @reaped NOW-86500000 L", SCRIPT_reap,
         "L straggler 1000", "FORGOTTEN", "EXISTS @reaped => 0"},
        {"but never while its list holds something",
         "ZADD @reaped NOW-86500000 L\nRPUSH @active:L {`id`:`a`}", SCRIPT_reap,
         "L straggler 1000", "OK 1 0",
         "ZRANGE @reaped 0 -1 => L\nLRANGE @ready 0 -1 => {`id`:`a`}"},
        {"an id that was not ended", "RPUSH @active:L a", SCRIPT_reap,
         "L straggler 1000", "NONE", "LLEN @active:L => 1"},
        {"an id that holds a lease", ALIVE "RPUSH @active:L a", SCRIPT_reap,
         "L straggler 1000", "ALIVE 0", "LLEN @active:L => 1"},
    };
    (void)state;
    ROWS(rows);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(register_takes_an_id_once),
        TEST(renew_prolongs_and_tells),
        TEST(renew_tells_the_next_due_of_both_sets),
        TEST(leave_ends_a_lease),
        TEST(rebind_moves_everything_to_the_new_id),
        TEST(rebind_may_be_sent_again),
        TEST(rebind_returns_a_list_of_any_length),
        TEST(a_late_second_rebind_is_harmless),
        TEST(rebind_tells_how_many_settles_ran),
        TEST(a_count_of_settles_that_is_none_is_nought),
        TEST(old_ids_are_refused_after_a_rebind),
        TEST(reap_gives_back_in_order_and_notes_the_time),
        TEST(reap_keeps_a_dozen_times),
        TEST(a_thousand_go_in_one_call),
        TEST(stragglers_are_found_and_not_noted),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
