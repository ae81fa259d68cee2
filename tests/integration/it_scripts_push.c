/*
 * Claims about the scripts that put jobs into a queue: the limits of push, and
 * each branch of push_one.
 */
#include "tests/integration/table.h"

#include <string.h>

#include "tests/unit/unit.h"

#define A "{`id`:`a`,`v`:1}"
#define B "{`id`:`b`,`v`:2}"
#define B_AS_A "{`id`:`a`,`v`:2}"
#define NOTHING "EXISTS @stats @minute => 0\n"
/* What comes before the last arguments, and those. */
#define PLAIN " '' skip 0 0 t 5 @control"
#define LOCKED " until skip 0 0 t 5 @control"
#define REPLACES " until replace 0 0 t 5 @control"
#define HELD_BY_A                                                              \
    "SET @unique:k a\nZADD @scheduled NOW+90000 " A "\nSET @pending:k " A "\n"

static void push_takes_what_there_is_room_for(void **state)
{
    static const struct row rows[] = {
        {"the first that fit by number",
         "HSET @config max_length 3\nRPUSH @ready x", SCRIPT_push,
         "0 1 a b c d", "FULL 3 2 3",
         "LRANGE @ready 0 -1 => x a b\nHGET @stats pushed => 2\n"
         "HGET @stats refused => 2\nHGET @minute refused => 2"},
        {"none if none fits", "HSET @config max_length 1\nRPUSH @ready x y",
         SCRIPT_push, "0 1 a", "FULL 2 0 1",
         "LRANGE @ready 0 -1 => x y\nHGET @stats pushed => (nil)\n"
         "HGET @stats refused => 1"},
        {"all if they fit", "HSET @config max_length 3\nRPUSH @ready x",
         SCRIPT_push, "0 1 a b", "OK 3", "HGET @stats refused => (nil)"},
        {"the first ones to the head",
         "HSET @config max_length 3\nRPUSH @ready x", SCRIPT_push, "1 1 a b c",
         "FULL 3 2 3", "LRANGE @ready 0 -1 => a b x"},
        {"an RPUSH is taken back by its end",
         "HSET @config max_length 3\nRPUSH @ready x a b c d", SCRIPT_push,
         "2 1 4 d", "FULL 3 2 3",
         "LRANGE @ready 0 -1 => x a b\nHGET @stats pushed => 2\n"
         "HGET @stats refused => 2"},
        {"or whole", "HSET @config max_length 1\nRPUSH @ready x y a b",
         SCRIPT_push, "2 1 2 b", "FULL 2 0 1",
         "LRANGE @ready 0 -1 => x y\nHGET @stats pushed => (nil)"},
        {"but only from the caller's end",
         "HSET @config max_length 1\nRPUSH @ready x y a b", SCRIPT_push,
         "2 1 2 c", "*the RPUSH has not run*", "LRANGE @ready 0 -1 => x y a b"},
        {"a limit of nothing", "HSET @config max_length 0", SCRIPT_push,
         "0 1 a", "FULL 0 0 0", "EXISTS @ready => 0"},
        {"limits that are none",
         "HSET @config max_length many max_bytes -1\nRPUSH @ready x",
         SCRIPT_push, "0 1 a", "OK 2", ""},
        {"a limit that was planted", "HSET @config max_length nan", SCRIPT_push,
         "0 1 a", "OK 1", ""},
    };
    (void)state;
    ROWS(rows);
}

static void push_takes_what_there_is_memory_for(void **state)
{
    static const struct row rows[] = {
        {"nothing into a queue that is beyond it",
         "HSET @config max_bytes 1\nRPUSH @ready x", SCRIPT_push, "0 1 a b",
         "FULL 1 0", "LRANGE @ready 0 -1 => x"},
        {"one of any size into an empty queue", "HSET @config max_bytes 1",
         SCRIPT_push, "0 1 a b", "FULL 1 1", "LRANGE @ready 0 -1 => a"},
        {"the same at the head", "HSET @config max_bytes 1", SCRIPT_push,
         "1 1 a b", "FULL 1 1", "LRANGE @ready 0 -1 => a"},
        {"and of an RPUSH", "HSET @config max_bytes 1\nRPUSH @ready a b c",
         SCRIPT_push, "2 1 3 c", "FULL 1 1", "LRANGE @ready 0 -1 => a"},
        {"an RPUSH goes back whole behind others",
         "HSET @config max_bytes 1\nRPUSH @ready x a b", SCRIPT_push, "2 1 2 b",
         "FULL 1 0", "LRANGE @ready 0 -1 => x"},
        {"the first ones that fit, not the last small one",
         "HSET @config max_bytes 400\nRPUSH @ready x", SCRIPT_push,
         "0 1 a "
         "0123456789012345678901234567890123456789012345678901234567890123"
         "456789012345678901234567890123456789012345678901234567890123456789012"
         "3"
         "456789012345678901234567890123456789012345678901234567890123456789012"
         "3"
         "456789012345678901234567890123456789012345678901234567890123456789012"
         "3"
         "456789012345678901234567890123456789012345678901234567890123456789012"
         "3 c",
         "FULL 2 1", "LRANGE @ready 0 -1 => x a"},
        {"all of them if there is room", "HSET @config max_bytes 100000",
         SCRIPT_push, "0 1 a b", "OK 2", ""},
        {"both limits: the nearer one counts",
         "HSET @config max_bytes 100000 max_length 1", SCRIPT_push, "0 1 a b",
         "FULL 1 1 1", ""},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_appends(void **state)
{
    static const struct row rows[] = {
        {"at the end", "RPUSH @ready x", SCRIPT_push_one,
         "0 1 " A " a 0 0" PLAIN, "OK 2",
         "LRANGE @ready 0 -1 => x " A "\nHGET @stats pushed => 1\n"
         "HGET @minute pushed => 1\nTTL @minute => 86#\nDBSIZE => 3"},
        {"at the head", "RPUSH @ready x", SCRIPT_push_one,
         "1 1 " A " a 0 0" PLAIN, "OK 2", "LRANGE @ready 0 -1 => " A " x"},
        {"what was due already", "", SCRIPT_push_one, "0 1 " A " a 5 0" PLAIN,
         "OK 1", "EXISTS @scheduled => 0"},
        {"not what has another id in front", "", SCRIPT_push_one,
         "0 1 " B " a 0 0" PLAIN, "*does not begin with its id*",
         "DBSIZE => 0"},
        {"not in a newer format", "HSET @config format 2", SCRIPT_push_one,
         "0 1 " A " a 0 0" LOCKED, "FORMAT 2", "DBSIZE => 1"},
        {"nor in one that is no number", "HSET @config format x",
         SCRIPT_push_one, "0 1 " A " a 0 0" LOCKED, "*format is no number*",
         "DBSIZE => 1"},
        {"a full queue refuses it", "HSET @config max_length 1\nRPUSH @ready x",
         SCRIPT_push_one, "0 1 " A " a 0 0 until skip 9 1 t 5 @control",
         "FULL 1 0 1",
         "LRANGE @ready 0 -1 => x\nHGET @stats refused => 1\n"
         "EXISTS @unique:k @pending:k @once:a @job:a => 0"},
        {"so does one full of bytes",
         "HSET @config max_bytes 1\nRPUSH @ready x", SCRIPT_push_one,
         "0 1 " A " a 0 0" LOCKED, "FULL 1 0", "EXISTS @unique:k => 0"},
        {"unless it is empty", "HSET @config max_bytes 1", SCRIPT_push_one,
         "0 1 " A " a 0 0" LOCKED, "OK 1", ""},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_schedules(void **state)
{
    static const struct row rows[] = {
        {"after a delay", "", SCRIPT_push_one, "0 1 " A " a 0 60000" PLAIN,
         "OK 0",
         "ZRANGE @scheduled 0 -1 WITHSCORES => " A " NOW+60000\n"
         "EXISTS @ready => 0\nHGET @stats pushed => 1\nEXISTS @pending:k => 0"},
        {"at an instant", "", SCRIPT_push_one, "0 1 " A " a NOW+70000 0" PLAIN,
         "OK 0", "ZRANGE @scheduled 0 -1 WITHSCORES => " A " NOW+70000"},
        {"of both at the later one", "", SCRIPT_push_one,
         "0 1 " A " a NOW+60000 1000000" PLAIN, "OK 0",
         "ZSCORE @scheduled " A " => NOW+1000000"},
        {"as far away as instants go", "", SCRIPT_push_one,
         "0 1 " A " a 9007199254740992 0" LOCKED, "OK 0",
         "ZSCORE @scheduled " A " => 9007199254740992\nGET @pending:k => " A},
        {"apart from an equal one", "ZADD @scheduled 5 " A, SCRIPT_push_one,
         "0 1 " A " a 0 60000" PLAIN, "OK 0",
         "ZCARD @scheduled => 2\nZSCORE @scheduled " A " => 5"},
        {"though the queue is full", "HSET @config max_length 0",
         SCRIPT_push_one, "0 1 " A " a 0 60000" PLAIN, "OK 0",
         "ZCARD @scheduled => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_locks(void **state)
{
    static const struct row rows[] = {
        {"until it is let go", "SET @pending:k " B, SCRIPT_push_one,
         "0 1 " A " a 0 0" LOCKED, "OK 1",
         "GET @unique:k => a\nTTL @unique:k => -1\nEXISTS @pending:k => 0"},
        {"for a time", "", SCRIPT_push_one,
         "0 1 " A " a 0 0 60000 skip 0 0 t 5 @control", "OK 1",
         "GET @unique:k => a\nTTL @unique:k => 60"},
        {"and notes what may still be replaced", "", SCRIPT_push_one,
         "0 1 " A " a 0 60000" LOCKED, "OK 0",
         "GET @pending:k => " A "\nTTL @pending:k => 36#"},
        {"what is held by another is not pushed", "SET @unique:k b",
         SCRIPT_push_one, "0 1 " A " a 0 0" LOCKED, "HELD b",
         "EXISTS @ready => 0\n" NOTHING},
        {"nor later", "SET @unique:k b", SCRIPT_push_one,
         "0 1 " A " a 0 60000" LOCKED, "HELD b", "EXISTS @scheduled => 0"},
        {"what it holds itself has come before", "SET @unique:k a",
         SCRIPT_push_one, "0 1 " A " a 0 0" LOCKED, "SAME",
         "EXISTS @ready => 0\n" NOTHING},
        {"a full queue still tells the holder",
         "SET @unique:k b\nHSET @config max_length 0", SCRIPT_push_one,
         "0 1 " A " a 0 0" LOCKED, "HELD b", NOTHING},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_replaces(void **state)
{
    static const struct row rows[] = {
        {"what is not due yet, under its id", HELD_BY_A, SCRIPT_push_one,
         "0 1 " B " b 0 60000" REPLACES, "REPLACED a",
         "ZRANGE @scheduled 0 -1 WITHSCORES => " B_AS_A " NOW+60000\n"
         "GET @pending:k => " B_AS_A "\nTTL @pending:k => 36#\n"
         "GET @unique:k => a\n" NOTHING},
        {"at once if the new one is due", HELD_BY_A, SCRIPT_push_one,
         "0 1 " B " b 0 0" REPLACES, "REPLACED a",
         "ZRANGE @scheduled 0 -1 WITHSCORES => " B_AS_A " NOW\n"
         "EXISTS @ready => 0"},
        {"by equal bytes: only the time is new", HELD_BY_A, SCRIPT_push_one,
         "0 1 {`id`:`b`,`v`:1} b 0 60000" REPLACES, "REPLACED a",
         "ZRANGE @scheduled 0 -1 WITHSCORES => " A " NOW+60000"},
        {"in a full queue too", HELD_BY_A "HSET @config max_length 0",
         SCRIPT_push_one, "0 1 " B " b 0 0" REPLACES, "REPLACED a", ""},
        {"only if asked to", HELD_BY_A, SCRIPT_push_one,
         "0 1 " B " b 0 60000" LOCKED, "HELD a",
         "ZRANGE @scheduled 0 -1 => " A},
        {"not what is scheduled no more", "SET @unique:k a\nSET @pending:k " A,
         SCRIPT_push_one, "0 1 " B " b 0 60000" REPLACES, "HELD a",
         "EXISTS @scheduled => 0"},
        {"not what another has left there",
         "SET @unique:k c\nZADD @scheduled NOW+90000 " A "\nSET @pending:k " A,
         SCRIPT_push_one, "0 1 " B " b 0 60000" REPLACES, "HELD c",
         "ZRANGE @scheduled 0 -1 => " A},
        {"not what never was noted",
         "SET @unique:k a\nZADD @scheduled NOW+90000 " A, SCRIPT_push_one,
         "0 1 " B " b 0 60000" REPLACES, "HELD a", "ZCARD @scheduled => 1"},
        {"nothing by itself: it has come before", HELD_BY_A, SCRIPT_push_one,
         "0 1 {`id`:`a`,`v`:3} a 0 60000" REPLACES, "SAME",
         "ZRANGE @scheduled 0 -1 => " A},
        {"and takes the lock if it is free",
         "ZADD @scheduled NOW+90000 " A "\nSET @pending:k " A, SCRIPT_push_one,
         "0 1 " B " b 0 60000" REPLACES, "OK 0",
         "ZCARD @scheduled => 2\nGET @unique:k => b\nGET @pending:k => " B},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_comes_once(void **state)
{
    static const struct row rows[] = {
        {"and notes it", "", SCRIPT_push_one,
         "0 1 " A " a 0 0 '' skip 60000 0 t 5 @control", "OK 1",
         "GET @once:a => a\nTTL @once:a => 60\nDBSIZE => 4"},
        {"and never again", "SET @once:a a", SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 1 t 5 @control", "SAME a",
         "DBSIZE => 1"},
        {"what was held may come", "SET @unique:k b", SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 0 t 5 @control", "HELD b",
         "DBSIZE => 1"},
        {"what has replaced has come", HELD_BY_A, SCRIPT_push_one,
         "0 1 " B " b 0 60000 until replace 60000 0 t 5 @control", "REPLACED a",
         "GET @once:b => a"},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_comes_once_with_its_mark(void **state)
{
    static const struct row rows[] = {
        {"which is noted", "", SCRIPT_push_one,
         "0 1 " A " a 0 0 '' skip 60000 0 t 5 @control 0 m1", "OK 1",
         "GET @once:a => a m1\nTTL @once:a => 60"},
        {"and tells as which job it came", "SET @once:a 'b m1'",
         SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 1 t 5 @control 0 m1", "SAME b",
         "DBSIZE => 1"},
        {"not with another", "SET @once:a 'b m2'", SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 1 t 5 @control 0 m1", "OTHER b",
         "GET @once:a => b m2\nDBSIZE => 1"},
        {"nor where none was noted", "SET @once:a b", SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 1 t 5 @control 0 m1", "OTHER b",
         "DBSIZE => 1"},
        {"who has none does not ask", "SET @once:a 'b m2'", SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 1 t 5 @control 0", "SAME b",
         "DBSIZE => 1"},
        {"what has replaced has come", HELD_BY_A, SCRIPT_push_one,
         "0 1 " B " b 0 60000 until replace 60000 0 t 5 @control 0 m1",
         "REPLACED a", "GET @once:b => a m1"},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_takes_what_comes_out_of_an_outbox(void **state)
{
    static const struct row rows[] = {
        {"though the queue is full",
         "HSET @config max_length 0 max_bytes 1\nRPUSH @ready x",
         SCRIPT_push_one, "0 1 " A " a 0 0" PLAIN " 1", "OK 2",
         "LRANGE @ready 0 -1 => x " A "\nHGET @stats refused => (nil)"},
        {"though it has its lock from an earlier life", "SET @unique:k a",
         SCRIPT_push_one, "0 1 " A " a 0 0" LOCKED " 1", "OK 1",
         "LRANGE @ready 0 -1 => " A "\nGET @unique:k => a"},
        {"not if another has it", "SET @unique:k b", SCRIPT_push_one,
         "0 1 " A " a 0 0" LOCKED " 1", "HELD b", "EXISTS @ready => 0"},
        {"once", "SET @once:a a\nSET @unique:k a", SCRIPT_push_one,
         "0 1 " A " a 0 0 until skip 60000 0 t 5 @control 1", "SAME a",
         "EXISTS @ready => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void push_one_keeps_the_news(void **state)
{
    static const struct row rows[] = {
        {"of what is ready", "HSET @job:a result 5", SCRIPT_push_one,
         "0 1 " A " a 0 0 '' skip 0 1 mail 77 @control", "OK 1",
         "HGETALL @job:a => state ready type mail created_at 77\n"
         "TTL @job:a => 7776000"},
        {"of what waits", "", SCRIPT_push_one,
         "0 1 " A " a 0 60000 '' skip 0 1 mail 77 @control", "OK 0",
         "HGETALL @job:a => state scheduled type mail created_at 77 due_at "
         "NOW+60000"},
    };
    (void)state;
    ROWS(rows);
}

/* The next message on the control channel. */
static void expect_message(redisContext *c, const char *begins)
{
    redisReply *r = NULL;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->elements, 3);
    if (strncmp(r->element[2]->str, begins, strlen(begins)) != 0)
        fail_msg("%s, not %s", r->element[2]->str, begins);
    freeReplyObject(r);
}

/* What is due first wakes the lanes; what is behind it does not. */
static void push_one_tells_what_is_due_first(void **state)
{
    (void)state;
    redisContext *c =
        redisConnectUnix(redis_url(table_redis()) + strlen("unix://"));
    freeReplyObject(redisCommand(c, "SUBSCRIBE belt:{q}:control"));
    table_call(SCRIPT_push_one, "0 1 " A " a NOW+90000 0" PLAIN, "OK 0");
    expect_message(c, "due 17");
    table_call(SCRIPT_push_one, "0 1 " B " b NOW+95000 0" PLAIN, "OK 0");
    table_call(SCRIPT_push_one, "0 1 {`id`:`c`} c 0 0" PLAIN, "OK 1");
    table_do("PUBLISH @control marker");
    expect_message(c, "marker");
    table_call(SCRIPT_push_one, "0 1 {`id`:`d`} d NOW+10000 0" PLAIN, "OK 1");
    expect_message(c, "due 17");
    redisFree(c);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push_takes_what_there_is_room_for),
        TEST(push_takes_what_there_is_memory_for),
        TEST(push_one_appends),
        TEST(push_one_schedules),
        TEST(push_one_locks),
        TEST(push_one_replaces),
        TEST(push_one_comes_once),
        TEST(push_one_comes_once_with_its_mark),
        TEST(push_one_takes_what_comes_out_of_an_outbox),
        TEST(push_one_keeps_the_news),
        TEST(push_one_tells_what_is_due_first),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
