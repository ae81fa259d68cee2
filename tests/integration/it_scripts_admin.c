/*
 * Claims about the scripts by which people move jobs that no lane holds:
 * requeue, remove, purge, import.
 */
#include "tests/integration/table.h"

#include "common/base/buf.h"
#include "tests/unit/unit.h"

#define A "{`id`:`a`,`v`:1}"
#define B "{`id`:`b`}"
#define NEW_A "{`id`:`a`,`v`:2}"
#define DEAD_AB "ZADD @dead 1 " A " 2 " B "\nHSET @stats dead_bytes 26\n"
#define KEYS "@dead @ready @stats @minute "
#define OUT "@dead @outbox @stats @minute "
#define NEWS                                                                   \
    "HSET @job:a state dead attempt 3 error x exit 1 type t created_at 7\n"    \
    "RPUSH @log:a x\n"

/* Arguments: target, then member, envelope, id, span, news of each. */
static void requeue_puts_jobs_at_the_end_of_ready(void **state)
{
    static const struct row rows[] = {
        {"a new envelope in the place of the member", DEAD_AB "RPUSH @ready r",
         SCRIPT_requeue,
         KEYS "@stats @stats @stats | ready " A " " NEW_A " '' until 0", "OK 1",
         "LRANGE @ready 0 -1 => r " NEW_A "\nZRANGE @dead 0 -1 => " B
         "\nHGETALL @stats => dead_bytes 10 requeued 1\n"
         "HGETALL @minute => requeued 1\nTTL @minute => 86#"},
        {"many, in their order", DEAD_AB, SCRIPT_requeue,
         KEYS "@stats @stats @stats @stats @stats @stats | ready " B " " B
              " '' until 0 " A " " A " '' until 0",
         "OK 2",
         "LRANGE @ready 0 -1 => " B " " A "\nEXISTS @dead => 0\n"
         "HGET @stats dead_bytes => 0\nHGET @stats requeued => 2"},
        {"one that is not there, and one twice", DEAD_AB, SCRIPT_requeue,
         KEYS "@stats @stats @stats @stats @stats @stats @stats @stats @stats "
              "| ready x x '' until "
              "0 " A " " A " '' until 0 " A " " A " '' until 0",
         "OK 1 0 GONE 2 GONE",
         "LRANGE @ready 0 -1 => " A "\nHGET @stats dead_bytes => 10"},
        {"none", DEAD_AB, SCRIPT_requeue,
         KEYS "@stats @stats @stats | ready x x '' until 0", "OK 0 0 GONE",
         "EXISTS @ready @minute => 0\nHGET @stats requeued => (nil)"},
        {"of another set no bytes are counted",
         "ZADD @retry 1 " A "\nHSET @stats dead_bytes 5", SCRIPT_requeue,
         "@retry @ready @stats @minute @stats @stats @stats | ready " A " " A
         " '' until 0",
         "OK 1", "EXISTS @retry => 0\nHGET @stats dead_bytes => 5"},
        {"max_length is not asked", DEAD_AB "HSET @config max_length 0",
         SCRIPT_requeue,
         KEYS "@stats @stats @stats | ready " A " " A " '' until 0", "OK 1",
         "LLEN @ready => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void requeue_takes_the_lock_or_leaves_the_job(void **state)
{
    static const struct row rows[] = {
        {"a free one", DEAD_AB, SCRIPT_requeue,
         KEYS "@unique:k @stats @stats | ready " A " " A " a until 0", "OK 1",
         "GET @unique:k => a\nPTTL @unique:k => -1"},
        {"for a time", DEAD_AB, SCRIPT_requeue,
         KEYS "@unique:k @stats @stats | ready " A " " A " a 60000 0", "OK 1",
         "GET @unique:k => a\nPTTL @unique:k => #"},
        {"its own", DEAD_AB "SET @unique:k a PX 60000", SCRIPT_requeue,
         KEYS "@unique:k @stats @stats | ready " A " " A " a until 0", "OK 1",
         "GET @unique:k => a\nPTTL @unique:k => #"},
        {"that of another", DEAD_AB "SET @unique:k other", SCRIPT_requeue,
         KEYS "@unique:k @stats @stats @stats @stats @stats | ready " A " " A
              " a until 0 " B " " B " '' until 0",
         "OK 1 0 other",
         "LRANGE @ready 0 -1 => " B "\nZRANGE @dead 0 -1 => " A
         "\nGET @unique:k => other\nHGET @stats dead_bytes => 16"},
        {"that of one in the same call", DEAD_AB, SCRIPT_requeue,
         KEYS "@unique:k @stats @stats @unique:k @stats @stats | ready " A " " A
              " a until 0 " B " " B " b until 0",
         "OK 1 1 a", "LRANGE @ready 0 -1 => " A "\nGET @unique:k => a"},
        {"none for one that is not there", DEAD_AB, SCRIPT_requeue,
         KEYS "@unique:k @stats @stats | ready x x x until 0", "OK 0 0 GONE",
         "EXISTS @unique:k => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void requeue_begins_the_news_anew(void **state)
{
    static const struct row rows[] = {
        {"in ready", DEAD_AB NEWS, SCRIPT_requeue,
         KEYS "@stats @job:a @log:a | ready " A " " A " '' until 1", "OK 1",
         "HGETALL @job:a => state ready attempt 0 type t created_at 7\n"
         "PTTL @job:a => 77#\nPTTL @log:a => 77#"},
        {"of one that is tried again the attempts count on",
         "ZADD @retry 1 " A "\nHSET @job:a state retry attempt 3 due_at 5",
         SCRIPT_requeue,
         "@retry @ready @stats @minute @stats @job:a @log:a | ready " A " " A
         " '' until 1",
         "OK 1", "HGETALL @job:a => state ready attempt 3"},
        {"none where none are kept", DEAD_AB NEWS, SCRIPT_requeue,
         KEYS "@stats @job:a @log:a | ready " A " " A " '' until 0", "OK 1",
         "HGET @job:a state => dead"},
        {"on the way to another queue they end, as the lock does",
         DEAD_AB NEWS "SET @unique:k a", SCRIPT_requeue,
         OUT "@unique:k @job:a @log:a | outbox " A " " NEW_A " a until 1",
         "OK 1",
         "EXISTS @job:a @unique:k @ready => 0\nLRANGE @outbox 0 -1 => " NEW_A
         "\nHGETALL @stats => dead_bytes 10 sent 1\n"
         "HGETALL @minute => sent 1"},
        {"but not that of another", DEAD_AB "SET @unique:k b", SCRIPT_requeue,
         OUT "@unique:k @stats @stats | outbox " A " " A " a until 0", "OK 1",
         "GET @unique:k => b"},
    };
    (void)state;
    ROWS(rows);
}

#define REMOVE "@dead @stats @minute @cancelled "

/* Arguments: verb, then member, id, keep of each. */
static void remove_leaves_nothing_of_a_job(void **state)
{
    static const struct row rows[] = {
        {"neither lock nor mark nor news",
         DEAD_AB NEWS "SET @unique:k a\nZADD @cancelled 1 a 1 b", SCRIPT_remove,
         REMOVE "@unique:k @job:a @log:a | removed " A " a 60000", "OK 1",
         "ZRANGE @dead 0 -1 => " B "\nEXISTS @unique:k @job:a @log:a => 0\n"
         "ZRANGE @cancelled 0 -1 => b\n"
         "HGETALL @stats => dead_bytes 10 removed 1\n"
         "HGETALL @minute => removed 1\nTTL @minute => 86#"},
        {"what is another's stays", DEAD_AB NEWS "SET @unique:k b",
         SCRIPT_remove, REMOVE "@unique:k @job:a @log:a | removed " A " a 0",
         "OK 1", "GET @unique:k => b\nHGET @job:a state => dead"},
        {"one that is not there keeps all",
         DEAD_AB NEWS "SET @unique:k a\nZADD @cancelled 1 a", SCRIPT_remove,
         REMOVE "@unique:k @job:a @log:a | removed x a 60000", "OK 0",
         "GET @unique:k => a\nZCARD @cancelled => 1\n"
         "HGET @job:a state => dead\nHGET @stats removed => (nil)\n"
         "EXISTS @minute => 0"},
        {"many, and one twice", DEAD_AB, SCRIPT_remove,
         REMOVE "@stats @stats @stats @stats @stats @stats @stats @stats "
                "@stats | removed " A " '' 0 " B " b 0 " A " '' 0",
         "OK 2", "EXISTS @dead => 0\nHGET @stats dead_bytes => 0"},
        {"of another set no bytes are counted",
         "ZADD @scheduled 1 " A "\nHSET @stats dead_bytes 5", SCRIPT_remove,
         "@scheduled @stats @minute @cancelled @stats @stats @stats | "
         "removed " A " a 0",
         "OK 1", "EXISTS @scheduled => 0\nHGET @stats dead_bytes => 5"},
    };
    (void)state;
    ROWS(rows);
}

static void remove_tells_that_a_kept_job_was_cancelled(void **state)
{
    static const struct row rows[] = {
        {"for as long as it is kept", DEAD_AB NEWS, SCRIPT_remove,
         REMOVE "@stats @job:a @log:a | cancelled " A " a 60000", "OK 1",
         "HMGET @job:a state ended_at type => cancelled NOW t\n"
         "HEXISTS @job:a error => 0\nPTTL @job:a => #\nPTTL @log:a => #\n"
         "HGETALL @stats => dead_bytes 10 cancelled 1"},
        {"and nothing of others", DEAD_AB NEWS, SCRIPT_remove,
         REMOVE "@stats @job:a @log:a | cancelled " A " a 0", "OK 1",
         "HGET @job:a state => dead"},
    };
    (void)state;
    ROWS(rows);
}

#define READY_AB "RPUSH @ready " A " " B " c\n"
#define PURGE "@ready @stats @minute "
/* SHA-1 of A, and of A and B, each with a newline. */
#define SHA_A "3e7addfe4d96f2629a42ec8bab1950579be5cf9d"
#define SHA_AB "1ce891705be51a5fbc807a9e5f11b2d6855cdc5f"

static void purge_takes_what_was_read_and_no_other(void **state)
{
    static const struct row rows[] = {
        {"from the head", READY_AB, SCRIPT_purge,
         PURGE "@stats @stats @stats @stats @stats @stats | " SHA_AB
               " '' 0 b 0",
         "OK 2",
         "LRANGE @ready 0 -1 => c\nHGETALL @stats => purged 2\n"
         "HGETALL @minute => purged 2\nTTL @minute => 86#"},
        {"with lock and news", READY_AB NEWS "SET @unique:k a", SCRIPT_purge,
         PURGE "@unique:k @job:a @log:a | " SHA_A " a 1", "OK 1",
         "LRANGE @ready 0 -1 => " B " c\nEXISTS @unique:k @job:a @log:a => 0"},
        {"not the lock of another", READY_AB "SET @unique:k b", SCRIPT_purge,
         PURGE "@unique:k @stats @stats | " SHA_A " a 0", "OK 1",
         "GET @unique:k => b"},
        {"a worker was faster", "RPUSH @ready " B " c d", SCRIPT_purge,
         PURGE "@stats @stats @stats @stats @stats @stats | " SHA_AB
               " '' 0 b 0",
         "CHANGED", "LLEN @ready => 3\nEXISTS @stats => 0"},
        {"there are fewer", "RPUSH @ready " A, SCRIPT_purge,
         PURGE "@stats @stats @stats @stats @stats @stats | " SHA_AB
               " '' 0 b 0",
         "CHANGED", "LLEN @ready => 1"},
        {"there are none", "", SCRIPT_purge,
         PURGE "@stats @stats @stats | " SHA_A " a 0", "CHANGED",
         "EXISTS @stats => 0"},
        {"no job", READY_AB, SCRIPT_purge, PURGE "| " SHA_A, "*1 to 1000*",
         "LLEN @ready => 3"},
    };
    (void)state;
    ROWS(rows);
}

static void import_adds_what_is_not_there(void **state)
{
    static const struct row rows[] = {
        {"with their times", DEAD_AB, SCRIPT_import, "5 c 1.5 d 9 " A, "OK 2",
         "ZRANGE @dead 0 -1 WITHSCORES => " A " 1 d 1.5 " B " 2 c 5\n"
         "HGETALL @stats => dead_bytes 28"},
        {"none", DEAD_AB, SCRIPT_import, "", "*1 to 1000*", "ZCARD @dead => 2"},
        {"no envelope", DEAD_AB, SCRIPT_import, "5", "*1 to 1000*",
         "ZCARD @dead => 2"},
    };
    (void)state;
    ROWS(rows);
}

/* What went makes room: a settle evicts by what dead holds then. */
static void the_bytes_of_dead_are_those_that_are_there(void **state)
{
    (void)state;
    table_do(
        "ZADD @leases NOW+60000 L\nRPUSH @active:L c\n"
        "HSET @config dead_max_bytes 11 dead_max_age 99999999999999\n" DEAD_AB);
    table_call(SCRIPT_requeue,
               KEYS "@stats @stats @stats | ready " A " " A " '' until 0",
               "OK 1");
    table_call(SCRIPT_settle, "L 1 vc 0 1 0 0 0 0 dead 0 c", "OK NOW");
    table_check("ZRANGE @dead 0 -1 => " B " c\nHGET @stats dead_bytes => 11\n"
                "HGET @stats dead_evicted => (nil)");
    table_do("RPUSH @active:L dd");
    table_call(SCRIPT_settle, "L 1 vdd 0 1 0 0 0 0 dead 0 dd", "OK NOW");
    table_check("ZRANGE @dead 0 -1 => c dd\nHGET @stats dead_bytes => 3\n"
                "HGET @stats dead_evicted => 1");
    table_call(SCRIPT_remove, REMOVE "@stats @stats @stats | removed c '' 0",
               "OK 1");
    table_check("HGET @stats dead_bytes => 2");
}

/* The caller's counts, and the bound of a call. */
static void calls_of_another_shape_change_nothing(void **state)
{
    static const struct row rows[] = {
        {"no job", DEAD_AB, SCRIPT_requeue, KEYS "| ready", "*1 to 1000*",
         "ZCARD @dead => 2"},
        {"a word is missing", DEAD_AB, SCRIPT_requeue,
         KEYS "@stats @stats @stats | ready " A " " A " '' until",
         "*1 to 1000*", "ZCARD @dead => 2"},
        {"a key is missing", DEAD_AB, SCRIPT_remove,
         REMOVE "@stats @stats | removed " A " '' 0", "*1 to 1000*",
         "ZCARD @dead => 2"},
        {"no job to be removed", DEAD_AB, SCRIPT_remove, REMOVE "| removed",
         "*1 to 1000*", "ZCARD @dead => 2"},
    };
    (void)state;
    ROWS(rows);
}

static void a_thousand_go_in_one_call(void **state)
{
    struct buf add = {0}, keys = {0}, args = {0}, call = {0};
    (void)state;
    buf_str(&add, "ZADD @dead");
    for (int i = 0; i < 1000; i++) {
        buf_printf(&add, " %d %d", i, i);
        buf_str(&keys, "@stats @stats @stats ");
        buf_printf(&args, " %d %d '' until 0", i, i);
    }
    table_do(add.data);
    buf_printf(&call, KEYS "%s| ready%s", keys.data, args.data);
    table_call(SCRIPT_requeue, call.data, "OK 1000");
    table_check("EXISTS @dead => 0\nLLEN @ready => 1000\n"
                "LINDEX @ready 0 => 0\nLINDEX @ready -1 => 999");
    buf_done(&add);
    buf_done(&keys);
    buf_done(&args);
    buf_done(&call);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requeue_puts_jobs_at_the_end_of_ready),
        TEST(requeue_takes_the_lock_or_leaves_the_job),
        TEST(requeue_begins_the_news_anew),
        TEST(remove_leaves_nothing_of_a_job),
        TEST(remove_tells_that_a_kept_job_was_cancelled),
        TEST(purge_takes_what_was_read_and_no_other),
        TEST(import_adds_what_is_not_there),
        TEST(the_bytes_of_dead_are_those_that_are_there),
        TEST(calls_of_another_shape_change_nothing),
        TEST(a_thousand_go_in_one_call),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
