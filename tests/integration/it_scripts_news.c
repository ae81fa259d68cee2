/*
 * Claims about the scripts by which lanes tell what their jobs do, and by which
 * people stop them: note and cancel.
 */
#include "tests/integration/table.h"

#include "common/base/buf.h"
#include "tests/unit/unit.h"

#define LANE "ZADD @leases NOW+60000 L\n"
#define OLD                                                                    \
    "HSET @job:a state retry due_at 5 progress 7 message m error e exit 1\n"

static void note_tells_how_a_job_stands(void **state)
{
    static const struct row rows[] = {
        {"it started: what was said of earlier attempts goes", LANE OLD,
         SCRIPT_note,
         "@job:a @leases | L '' 60000 1000 4 state active attempt 2", "OK",
         "HGETALL @job:a => state active started_at NOW-1000 attempt 2\n"
         "TTL @job:a => #"},
        {"how far it is: the rest stays", LANE "HSET @job:a state active",
         SCRIPT_note,
         "@job:a @leases | L '' 60000 '' 4 progress 50 message 'half of it'",
         "OK", "HGETALL @job:a => state active progress 50 message half of it"},
        {"both, of several jobs", LANE OLD, SCRIPT_note,
         "@job:a @leases @job:b @leases | L '' 60000 0 2 state active "
         "'' 60000 '' 2 progress 9",
         "OK",
         "HGETALL @job:a => state active started_at NOW\n"
         "HGETALL @job:b => progress 9"},
        {"a job without news has none", LANE, SCRIPT_note,
         "@leases @leases | L '' 0 '' 0", "OK", "EXISTS @job:a => 0"},
        {"without a lease nothing is told", OLD "SET @unique:k a", SCRIPT_note,
         "@job:a @unique:k | L a 60000 0 2 state active", "FENCED",
         "HGET @job:a state => retry\nGET @unique:k => a"},
        {"a key of another type is passed over",
         LANE "RPUSH @job:a x\nRPUSH @unique:k x", SCRIPT_note,
         "@job:a @unique:k @job:b @leases | L a 60000 0 2 state active "
         "'' 60000 0 2 state active",
         "OK",
         "LLEN @job:a => 1\nLLEN @unique:k => 1\n"
         "HGET @job:b state => active"},
        {"keys and notes that do not fit", LANE, SCRIPT_note,
         "@job:a | L '' 60000 0 0", "ERR note *", "EXISTS @job:a => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void note_lets_go_of_the_lock_of_a_started_job(void **state)
{
    static const struct row rows[] = {
        {"its own", LANE "SET @unique:k a", SCRIPT_note,
         "@leases @unique:k | L a 0 '' 0", "OK", "EXISTS @unique:k => 0"},
        {"not that of another", LANE "SET @unique:k b", SCRIPT_note,
         "@leases @unique:k | L a 0 '' 0", "OK", "GET @unique:k => b"},
        {"nor none", LANE, SCRIPT_note, "@leases @unique:k | L a 0 '' 0", "OK",
         "EXISTS @unique:k => 0\nZCARD @leases => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void cancel_marks_ids(void **state)
{
    static const struct row rows[] = {
        {"some", "", SCRIPT_cancel, "@control a b:c.D_1-", "OK 2",
         "ZRANGE @cancelled 0 -1 => a b:c.D_1-\n"
         "ZSCORE @cancelled a => NOW\n"
         "HGETALL @config => cancelled_version 1\nEXISTS @stats => 0"},
        {"one again: it counts from now on",
         "ZADD @cancelled NOW-500000 a\n"
         "HSET @config cancelled_version 7",
         SCRIPT_cancel, "@control a", "OK 1",
         "ZSCORE @cancelled a => NOW\nHGET @config cancelled_version => 8"},
        {"old marks go", "ZADD @cancelled NOW-605000000 a NOW-604000000 b",
         SCRIPT_cancel, "@control c", "OK 2", "ZRANGE @cancelled 0 -1 => b c"},
        {"a version that is none begins anew",
         "HSET @config cancelled_version abc", SCRIPT_cancel, "@control a",
         "OK 1", "HGET @config cancelled_version => 1"},
        {"no ids", "", SCRIPT_cancel, "@control", "ERR cancel takes *",
         "DBSIZE => 0"},
        {"what is no id marks nothing", "", SCRIPT_cancel, "@control a 'b c'",
         "ERR cancel: no id *", "DBSIZE => 0"},
        {"a config of another type", "RPUSH @config x", SCRIPT_cancel,
         "@control a", "WRONGTYPE *", "EXISTS @cancelled => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void cancel_is_refused_when_there_are_too_many(void **state)
{
    struct buf add = {0};
    (void)state;
    for (int batch = 0; batch < 10; batch++) {
        buf_str(&add, "ZADD @cancelled");
        for (int i = 0; i < 1000; i++)
            buf_printf(&add, " NOW j%d", 1000 * batch + i);
        buf_char(&add, '\n');
    }
    buf_str(&add, "ZREM @cancelled j7");
    table_do(add.data);
    buf_done(&add);
    table_call(SCRIPT_cancel, "@control a b", "FULL 9999");
    table_check("ZCARD @cancelled => 9999\nEXISTS @config => 0");
    table_call(SCRIPT_cancel, "@control a j1", "OK 10000");
    table_call(SCRIPT_cancel, "@control b", "FULL 10000");
    table_call(SCRIPT_cancel, "@control j1 j2", "OK 10000");
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(note_tells_how_a_job_stands),
        TEST(note_lets_go_of_the_lock_of_a_started_job),
        TEST(cancel_marks_ids),
        TEST(cancel_is_refused_when_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
