/*
 * Claims about the script by which lanes tell what their jobs do: note.
 */
#include "tests/integration/table.h"

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

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(note_tells_how_a_job_stands),
        TEST(note_lets_go_of_the_lock_of_a_started_job),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
