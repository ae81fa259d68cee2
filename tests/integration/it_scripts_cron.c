/*
 * Claims about the scripts of periodic jobs: tick and cron_put.
 */
#include "tests/integration/table.h"

#include "common/base/buf.h"
#include "tests/unit/unit.h"

#define E "{`spec`:`@daily`}"
#define ENTRY "HSET @cron n " E " other {}\nZADD @cron:due 5000 n 1 other\n"
#define AS_BEFORE                                                              \
    "HGETALL @cron => n " E " other {}\n"                                      \
    "ZRANGE @cron:due 0 -1 WITHSCORES => other 1 n 5000\n"
#define NOTHING AS_BEFORE "EXISTS @ready @stats @minute => 0\n"
#define A "{`id`:`a`}"
#define B "{`id`:`b`}"

static void a_tick_is_claimed_by_its_instant(void **state)
{
    static const struct row rows[] = {
        {"its job goes to the end of ready", ENTRY "RPUSH @ready r",
         SCRIPT_tick, "n " E " 5000 9000 '' 0 t 5 a " A, "OK 1",
         "LRANGE @ready 0 -1 => r " A "\n"
         "ZRANGE @cron:due 0 -1 WITHSCORES => other 1 n 9000\n"
         "HGET @cron n => " E "\nHGETALL @stats => ticked 1 pushed 1\n"
         "HGETALL @minute => ticked 1 pushed 1\nTTL @minute => 86#\n"
         "EXISTS @unique:cron:n => 0"},
        {"several that were missed, in their order", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5 a " A " b " B, "OK 2",
         "LRANGE @ready 0 -1 => " A " " B "\nHGET @stats ticked => 2"},
        {"none, if none is to be made up for", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5", "OK 0",
         "ZSCORE @cron:due n => 9000\nEXISTS @ready @stats => 0"},
        {"a score with a point is the same number",
         "HSET @cron n {}\nZADD @cron:due 5000.0 n", SCRIPT_tick,
         "n {} 5000 9000 '' 0 t 5 a " A, "OK 1", "LLEN @ready => 1"},
        {"the instant has moved on", ENTRY, SCRIPT_tick,
         "n " E " 4000 9000 '' 0 t 5 a " A, "STALE", NOTHING},
        {"the entry has changed", ENTRY, SCRIPT_tick,
         "n {} 5000 9000 '' 0 t 5 a " A, "STALE", NOTHING},
        {"the entry is gone", "ZADD @cron:due 5000 n", SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5 a " A, "STALE",
         "ZSCORE @cron:due n => 5000\nEXISTS @ready => 0"},
        {"the entry is not due at all", "HSET @cron n " E, SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5 a " A, "STALE", "EXISTS @ready => 0"},
        {"a paused queue gets its jobs", ENTRY "HSET @config paused 1",
         SCRIPT_tick, "n " E " 5000 9000 '' 0 t 5 a " A, "OK 1",
         "LLEN @ready => 1"},
        {"so does a full one", ENTRY "HSET @config max_length 0", SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5 a " A, "OK 1", "LLEN @ready => 1"},
        {"news of it, if they are kept", ENTRY "HSET @job:a result old",
         SCRIPT_tick, "@job:a @job:b | n " E " 5000 9000 '' 0 t 5 a " A " b " B,
         "OK 2",
         "HGETALL @job:a => state ready type t created_at 5\n"
         "HGET @job:b state => ready\nTTL @job:a => 7776000"},
        {"for each of them", ENTRY, SCRIPT_tick,
         "@job:a | n " E " 5000 9000 '' 0 t 5 a " A " b " B,
         "*at most 100 jobs*", NOTHING},
        {"half a job is refused", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5 a", "*at most 100 jobs*", NOTHING},
        {"ready of another type stops it", ENTRY "SET @ready x", SCRIPT_tick,
         "n " E " 5000 9000 '' 0 t 5 a " A, "*WRONGTYPE*", AS_BEFORE},
    };
    (void)state;
    ROWS(rows);
}

static void a_tick_counts_what_is_left(void **state)
{
    static const struct row rows[] = {
        {"the entry says how many are left", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 {`times`:2} 0 t 5 a " A, "OK 1",
         "HGET @cron n => {`times`:2}\nZSCORE @cron:due n => 9000"},
        {"with the last one it goes", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 - 0 t 5 a " A, "OK 1",
         "HGETALL @cron => other {}\nZRANGE @cron:due 0 -1 => other\n"
         "LLEN @ready => 1"},
        {"what is not pushed does not count", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 - 0 t 5", "OK 0",
         "HGET @cron n => " E "\nZSCORE @cron:due n => 9000"},
        {"nor what is skipped", ENTRY "SET @unique:cron:n x", SCRIPT_tick,
         "n " E " 5000 9000 - 1 t 5 a " A, "SKIPPED",
         "HGET @cron n => " E "\nZSCORE @cron:due n => 9000"},
        {"an entry that never comes again goes", ENTRY, SCRIPT_tick,
         "n " E " 5000 '' '' 0 t 5 a " A, "OK 1",
         "HGETALL @cron => other {}\nZRANGE @cron:due 0 -1 => other\n"
         "LLEN @ready => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void a_tick_is_skipped_while_its_lock_is_held(void **state)
{
    static const struct row rows[] = {
        {"the lock is free: the job takes it", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 '' 1 t 5 a " A, "OK 1",
         "GET @unique:cron:n => a\nTTL @unique:cron:n => -1\n"
         "LLEN @ready => 1"},
        {"it is held", ENTRY "SET @unique:cron:n x", SCRIPT_tick,
         "n " E " 5000 9000 '' 1 t 5 a " A, "SKIPPED",
         "GET @unique:cron:n => x\nZSCORE @cron:due n => 9000\n"
         "EXISTS @ready => 0\nHGETALL @stats => tick_skipped 1\n"
         "HGETALL @minute => tick_skipped 1\nTTL @minute => 86#"},
        {"it is held, and nobody asks", ENTRY "SET @unique:cron:n x",
         SCRIPT_tick, "n " E " 5000 9000 '' 0 t 5 a " A, "OK 1",
         "LLEN @ready => 1\nGET @unique:cron:n => x"},
        {"two with a lock are refused", ENTRY, SCRIPT_tick,
         "n " E " 5000 9000 '' 1 t 5 a " A " b " B, "*one with a lock*",
         NOTHING},
        {"a lock of another type stops it", ENTRY "LPUSH @unique:cron:n x",
         SCRIPT_tick, "n " E " 5000 9000 '' 1 t 5 a " A, "*WRONGTYPE*",
         NOTHING},
    };
    (void)state;
    ROWS(rows);
}

static void a_hundred_jobs_go_in_one_tick_and_no_more(void **state)
{
    struct buf args = {0};
    (void)state;
    table_do(ENTRY);
    buf_str(&args, "n " E " 5000 9000 '' 0 t 5");
    for (int i = 0; i < 100; i++)
        buf_str(&args, " a " A);
    table_call(SCRIPT_tick, args.data, "OK 100");
    table_check("LLEN @ready => 100");
    buf_str(&args, " a " A);
    table_call(SCRIPT_tick, args.data, "*at most 100 jobs*");
    buf_done(&args);
}

static void an_entry_is_put_if_it_is_what_was_read(void **state)
{
    static const struct row rows[] = {
        {"a new one", "", SCRIPT_cron_put, "n '' " E " 5000 @control", "OK",
         "HGETALL @cron => n " E "\nZSCORE @cron:due n => 5000"},
        {"in the place of another", ENTRY, SCRIPT_cron_put,
         "n " E " {} 7 @control", "OK",
         "HGET @cron n => {}\nZSCORE @cron:due n => 7"},
        {"due as it was", ENTRY, SCRIPT_cron_put, "n " E " {} = @control", "OK",
         "HGET @cron n => {}\nZSCORE @cron:due n => 5000"},
        {"not due any more", ENTRY, SCRIPT_cron_put, "n " E " {} '' @control",
         "OK", "HGET @cron n => {}\nZRANGE @cron:due 0 -1 => other"},
        {"removed", ENTRY, SCRIPT_cron_put, "n " E " '' '' @control", "OK",
         "HGETALL @cron => other {}\nZRANGE @cron:due 0 -1 => other"},
        {"an instant without entry is removed", "ZADD @cron:due 1 n",
         SCRIPT_cron_put, "n '' '' '' @control", "OK",
         "EXISTS @cron @cron:due => 0"},
        {"somebody else has changed it", ENTRY, SCRIPT_cron_put,
         "n {} {`a`:1} 7 @control", "STALE", AS_BEFORE},
        {"somebody else has put one", ENTRY, SCRIPT_cron_put,
         "n '' {} 7 @control", "STALE", AS_BEFORE},
        {"somebody else has removed it", "", SCRIPT_cron_put,
         "n " E " {} 7 @control", "STALE", "EXISTS @cron @cron:due => 0"},
        {"a key of another type stops it",
         "HSET @cron n " E "\nSET @cron:due x", SCRIPT_cron_put,
         "n " E " {} 7 @control", "*WRONGTYPE*", "HGET @cron n => " E},
    };
    (void)state;
    ROWS(rows);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tick_is_claimed_by_its_instant),
        TEST(a_tick_counts_what_is_left),
        TEST(a_tick_is_skipped_while_its_lock_is_held),
        TEST(a_hundred_jobs_go_in_one_tick_and_no_more),
        TEST(an_entry_is_put_if_it_is_what_was_read),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
