/*
 * Claims about the scripts by which lanes tell what their jobs do, and by which
 * people stop them: note, log and cancel.
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

#define LOG                                                                    \
    "HSET @job:a state active log_run r:4 log_lines 6 log_bytes 18\n"          \
    "RPUSH @log:a {`n`:5,b} {`n`:6,c}\n"

static void log_appends_lines_with_their_numbers(void **state)
{
    static const struct row rows[] = {
        {"the first of a job, which expire with its news",
         LANE "HSET @job:a state active\nPEXPIRE @job:a 90000", SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 1 2 a} b}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:1,a} {`n`:2,b}\n"
         "HGETALL @job:a => state active log_run r:0 log_lines 2 log_bytes 18\n"
         "TTL @log:a => 90"},
        {"of a job without news, which begin with it", LANE, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 1 1 a}", "OK",
         "LLEN @log:a => 1\nTTL @log:a => 60\nTTL @job:a => 60"},
        {"more of the same run", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 3 1 d}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:5,b} {`n`:6,c} {`n`:7,d}\n"
         "HMGET @job:a log_run log_lines log_bytes => r:4 7 27"},
        {"of the next run", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 s 60000 1 1 d}", "OK",
         "LINDEX @log:a -1 => {`n`:7,d}\nHGET @job:a log_run => s:6"},
        {"lines that are missing leave out their numbers", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 103 1 d}", "OK",
         "LINDEX @log:a -1 => {`n`:107,d}\nHGET @job:a log_lines => 107"},
        {"of several jobs", LANE, SCRIPT_log,
         "@log:a @job:a @log:b @job:b | L 1000 9000 r 60000 1 1 a} s 60000 1 2 "
         "b} c}",
         "OK", "LLEN @log:a => 1\nLLEN @log:b => 2"},
        {"without a lease", LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 3 1 d}", "FENCED",
         "LLEN @log:a => 2"},
        {"keys that do not fit", LANE, SCRIPT_log, "@log:a | L 1000 9000",
         "ERR log *", "EXISTS @log:a => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void log_appends_no_line_twice(void **state)
{
    static const struct row rows[] = {
        {"all were there", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 1 2 b} c}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:5,b} {`n`:6,c}"},
        {"some were there", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 9000 r 60000 2 2 c} d}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:5,b} {`n`:6,c} {`n`:7,d}"},
        {"some had fallen out of it", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 2 9000 r 60000 1 3 b} c} d}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:6,c} {`n`:7,d}"},
    };
    (void)state;
    ROWS(rows);
}

static void log_is_bounded(void **state)
{
    static const struct row rows[] = {
        {"in lines, the oldest go", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 3 9000 r 60000 3 2 d} e}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:6,c} {`n`:7,d} {`n`:8,e}\n"
         "HGET @job:a log_bytes => 27"},
        {"in bytes", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 18 r 60000 3 1 d}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:6,c} {`n`:7,d}"},
        {"in one call: all that was there goes", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 2 9000 r 60000 3 3 d} e} f}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:8,e} {`n`:9,f}\n"
         "HMGET @job:a log_lines log_bytes => 9 18"},
        {"a line that is longer is there alone", LANE LOG, SCRIPT_log,
         "@log:a @job:a | L 1000 12 r 60000 3 2 d} 0123456789}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:8,0123456789}"},
    };
    (void)state;
    ROWS(rows);
}

static void log_passes_over_what_is_none(void **state)
{
    static const struct row rows[] = {
        {"news of another type", LANE "SET @job:a x", SCRIPT_log,
         "@log:a @job:a @log:b @job:b | L 1000 9000 r 60000 1 1 a} r 60000 1 1 "
         "b}",
         "OK", "EXISTS @log:a => 0\nLLEN @log:b => 1"},
        {"a log of another type", LANE "SET @log:a x", SCRIPT_log,
         "@log:a @job:a @log:b @job:b | L 1000 9000 r 60000 1 1 a} r 60000 1 1 "
         "b}",
         "OK", "EXISTS @job:a => 0\nLLEN @log:b => 1"},
        {"the log of an older job",
         LANE "HSET @job:a state ready\n"
              "RPUSH @log:a {`n`:9,x}",
         SCRIPT_log, "@log:a @job:a | L 1000 9000 r 60000 1 1 a}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:1,a}"},
        {"numbers that are none", LANE LOG "HSET @job:a log_lines x",
         SCRIPT_log, "@log:a @job:a | L 1000 9000 r 60000 1 1 a}", "OK",
         "LRANGE @log:a 0 -1 => {`n`:1,a}"},
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
        TEST(log_appends_lines_with_their_numbers),
        TEST(log_appends_no_line_twice),
        TEST(log_is_bounded),
        TEST(log_passes_over_what_is_none),
        TEST(cancel_marks_ids),
        TEST(cancel_is_refused_when_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
