/*
 * Claims about settle: how jobs leave a lane, and all that ends with them.
 */
#include "tests/integration/table.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/redis/sha1.h"
#include "tests/unit/unit.h"

#define LEASE "ZADD @leases NOW+60000 L\n"
#define HELD LEASE "RPUSH @active:L a b c d e\n"
#define UNCHANGED                                                              \
    "LRANGE @active:L 0 -1 => a b c d e\nEXISTS @retry @dead @job:a @stats "   \
    "=> 0"

/* Arguments: lane, c, last, s, a, k, x, then references, adds, keeps, counts */
static void settle_takes_jobs_off_the_list(void **state)
{
    static const struct row rows[] = {
        {"from the front, by count", HELD, SCRIPT_settle, "L 2 vb 0 0 0 0 0 0",
         "OK NOW", "LRANGE @active:L 0 -1 => c d e"},
        {"by value", HELD, SCRIPT_settle, "L 0 '' 2 0 0 0 0 0 vd vb", "OK NOW",
         "LRANGE @active:L 0 -1 => a c e"},
        {"both", HELD, SCRIPT_settle, "L 2 vb 1 0 0 0 0 0 vd", "OK NOW",
         "LRANGE @active:L 0 -1 => c e"},
        {"all", HELD, SCRIPT_settle, "L 5 ve 0 0 0 0 0 0", "OK NOW",
         "EXISTS @active:L => 0"},
        {"bytes may be anything", LEASE "RPUSH @active:L 'v 1' 's0:0' ''",
         SCRIPT_settle, "L 1 'vv 1' 2 0 0 0 0 0 vs0:0 v", "OK NOW",
         "EXISTS @active:L => 0"},
        {"without a lease nothing", "RPUSH @active:L a b c d e", SCRIPT_settle,
         "L 1 va 0 1 0 1 0 0 retry 5 a done 1", "FENCED", UNCHANGED},
        {"a lease that ran out and was not ended will do",
         "ZADD @leases 1 L\nRPUSH @active:L a", SCRIPT_settle,
         "L 1 va 0 0 0 0 0 0", "OK NOW", "EXISTS @active:L => 0"},
    };
    (void)state;
    ROWS(rows);
}

static void a_list_that_is_not_as_believed_is_not_touched(void **state)
{
    static const struct row rows[] = {
        {"another job is the last", HELD, SCRIPT_settle,
         "@job:a | L 2 vc 1 1 1 1 0 0 vd retry 5 a 60000 '' 2 state done done "
         "1",
         "REFUSED", UNCHANGED},
        {"the list is shorter", HELD, SCRIPT_settle, "L 6 ve 0 0 0 0 0 0",
         "REFUSED", UNCHANGED},
        {"one to be changed is not there", HELD, SCRIPT_settle,
         "L 0 '' 2 2 0 1 0 0 vx va retry 5 x dead 0 a retried 1", "REFUSED",
         UNCHANGED},
        {"one to be kept is not there", HELD, SCRIPT_settle,
         "@job:a | L 0 '' 1 0 1 1 0 0 vx 60000 done 2 state done done 1",
         "REFUSED", UNCHANGED},
        {"a digest at another index", HELD, SCRIPT_settle,
         "L 0 '' 1 0 0 0 0 0 s0:e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98",
         "REFUSED", UNCHANGED},
        {"a digest beyond the list", HELD, SCRIPT_settle,
         "L 0 '' 1 0 0 0 0 0 s9:e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98",
         "REFUSED", UNCHANGED},
        {"a digest that is none", HELD, SCRIPT_settle, "L 1 s0:xyz 0 0 0 0 0 0",
         "REFUSED", UNCHANGED},
        {"one by value is not there", HELD, SCRIPT_settle,
         "L 0 '' 1 0 0 0 0 0 vx", "REFUSED *", UNCHANGED},
    };
    (void)state;
    ROWS(rows);
}

static void more_than_a_thousand_are_refused(void **state)
{
    static const struct row rows[] = {
        {"by count", HELD, SCRIPT_settle, "L 1001 va 0 0 0 0 0 0",
         "ERR settle takes at most 1000 jobs*", UNCHANGED},
        {"by value", HELD, SCRIPT_settle, "L 0 '' 1001 0 0 0 0 0",
         "ERR settle takes at most 1000 jobs*", UNCHANGED},
        {"kept", HELD, SCRIPT_settle, "L 0 '' 0 0 2001 0 0 0",
         "ERR settle takes at most 1000 jobs*", UNCHANGED},
        {"unlocked", HELD, SCRIPT_settle, "L 0 '' 0 0 0 0 1001 0",
         "ERR settle takes at most 1000 jobs*", UNCHANGED},
        {"marked", HELD, SCRIPT_settle, "L 0 '' 0 0 0 0 0 1001",
         "ERR settle takes at most 1000 jobs*", UNCHANGED},
        {"added", HELD, SCRIPT_settle, "L 0 '' 0 1001 0 0 0 0",
         "ERR settle takes at most 1000 jobs*", UNCHANGED},
    };
    (void)state;
    ROWS(rows);
}

/* An envelope above 1 KiB, owned; its digest. */
static char *big(char mark, char sha[41])
{
    char *text = mem_new(2001);
    memset(text, mark, 2000);
    sha1_hex(text, 2000, sha);
    return text;
}

static void digests_name_jobs_by_their_index_before_the_call(void **state)
{
    char sha[3][41], *jobs[3], *text;
    (void)state;
    for (int i = 0; i < 3; i++)
        jobs[i] = big((char)('p' + i), sha[i]);
    table_do(LEASE);
    text = mem_printf("RPUSH @active:L a %s b %s c %s d", jobs[0], jobs[1],
                      jobs[2]);
    table_do(text);
    free(text);
    /* a, p by count; q and c by value, whose indexes move meanwhile */
    text =
        mem_printf("L 2 s1:%s 2 1 0 0 0 0 s3:%s vc retry 5 q2", sha[0], sha[1]);
    table_call(SCRIPT_settle, text, "OK NOW");
    free(text);
    text = mem_printf("LRANGE @active:L 0 -1 => b %s d\n"
                      "ZRANGE @retry 0 -1 => q2",
                      jobs[2]);
    table_check(text);
    free(text);
    for (int i = 0; i < 3; i++)
        free(jobs[i]);
}

static void the_first_of_equal_twins_goes(void **state)
{
    static const struct row rows[] = {
        {"one", LEASE "RPUSH @active:L x a x b x", SCRIPT_settle,
         "L 0 '' 1 0 0 0 0 0 vx", "OK NOW", "LRANGE @active:L 0 -1 => a x b x"},
        {"two", LEASE "RPUSH @active:L x a x b x", SCRIPT_settle,
         "L 0 '' 2 0 0 0 0 0 vx vx", "OK NOW",
         "LRANGE @active:L 0 -1 => a b x"},
        {"those settled by count come first", LEASE "RPUSH @active:L x a x b x",
         SCRIPT_settle, "L 2 va 1 0 0 0 0 0 vx", "OK NOW",
         "LRANGE @active:L 0 -1 => b x"},
        {"more than there are", LEASE "RPUSH @active:L x a x", SCRIPT_settle,
         "L 0 '' 3 0 0 0 0 0 vx vx vx", "REFUSED *",
         "LRANGE @active:L 0 -1 => a"},
    };
    (void)state;
    ROWS(rows);
}

static void failed_jobs_wait_in_retry_or_lie_in_dead(void **state)
{
    static const struct row rows[] = {
        {"with their new envelopes", HELD, SCRIPT_settle,
         "L 2 vb 1 3 0 2 0 0 vd retry 5000 a2 dead 0 b2 retry 0 d2 retried 2 "
         "dead 1",
         "OK NOW",
         "LRANGE @active:L 0 -1 => c e\n"
         "ZSCORE @retry a2 => NOW+5000\nZSCORE @retry d2 => NOW\n"
         "ZRANGE @dead 0 -1 WITHSCORES => b2 NOW\n"
         "HGET @stats retried => 2\nHGET @stats dead => 1\n"
         "HGET @stats dead_bytes => 2\nHGET @minute retried => 2\n"
         "TTL @minute => 86#"},
        {"equal envelopes never fall together", HELD, SCRIPT_settle,
         "L 3 vc 0 3 0 0 0 0 retry 5 x retry 5 x retry 9 x", "OK NOW",
         "ZCARD @retry => 3\nZRANGE @retry 0 -1 => x x*x*"},
        {"nor with one that waits already", HELD "ZADD @retry 77 x",
         SCRIPT_settle, "L 1 va 0 1 0 0 0 0 retry 5 x", "OK NOW",
         "ZSCORE @retry x => 77\nZCARD @retry => 2"},
        {"nor in dead", HELD "ZADD @dead NOW-5 x\nHSET @stats dead_bytes 1",
         SCRIPT_settle, "L 2 vb 0 2 0 0 0 0 dead 0 x dead 0 x", "OK NOW",
         "ZCARD @dead => 3\n"
         "EVAL 'local n = 0 for _, e in ipairs(redis.call(`ZRANGE`, KEYS[1], "
         "0, -1)) do n = n + #e end return n - redis.call(`HGET`, KEYS[2], "
         "`dead_bytes`)' 2 @dead @stats => 0"},
    };
    (void)state;
    ROWS(rows);
}

static long long calls_of_zadd(void)
{
    char *info = table_run("INFO commandstats"), *p;
    long long n;
    p = strstr(info, "cmdstat_zadd:calls=");
    n = p != NULL ? strtoll(strchr(p, '=') + 1, NULL, 10) : 0;
    free(info);
    return n;
}

/* Each must still be there, and none takes long to find its place. */
static void a_thousand_equal_failures_stay_a_thousand(void **state)
{
    struct buf held = {0}, call = {0};
    (void)state;
    buf_str(&held, "RPUSH @active:L");
    buf_str(&call, "L 1000 v{`type`:`x`} 0 1000 0 0 0 0");
    for (int i = 0; i < 1000; i++) {
        buf_str(&held, " {`type`:`x`}");
        buf_str(&call, " retry 5 {`type`:`x`}");
    }
    table_do(LEASE);
    table_do(held.data);
    table_do("CONFIG RESETSTAT");
    table_call(SCRIPT_settle, call.data, "OK NOW");
    assert_in_range(calls_of_zadd(), 1000, 2100);
    table_check("ZCARD @retry => 1000\nEXISTS @active:L => 0");
    buf_done(&held);
    buf_done(&call);
}

#define DEAD3 "ZADD @dead NOW-3000 x1 NOW-2000 x2 NOW-1000 x3\n"
#define DIES "L 1 va 0 1 0 0 0 0 dead 0 new"

static void dead_is_bounded_and_keeps_the_newest(void **state)
{
    static const struct row rows[] = {
        {"by count",
         HELD DEAD3 "HSET @config dead_max 2\n"
                    "HSET @stats dead_bytes 6",
         SCRIPT_settle, DIES, "OK NOW",
         "ZRANGE @dead 0 -1 => x3 new\nHGET @stats dead_bytes => 5\n"
         "HGET @stats dead_evicted => 2"},
        {"by age",
         HELD DEAD3 "ZADD @dead NOW-90000000 old\n"
                    "HSET @config dead_max_age 80000000\n"
                    "HSET @stats dead_bytes 9",
         SCRIPT_settle, DIES, "OK NOW",
         "ZRANGE @dead 0 -1 => x1 x2 x3 new\nHGET @stats dead_bytes => 9"},
        {"by age, 90 days unless told otherwise",
         HELD "ZADD @dead NOW-7777000000 older NOW-7775000000 younger",
         SCRIPT_settle, DIES, "OK NOW", "ZRANGE @dead 0 -1 => younger new"},
        {"by bytes",
         HELD DEAD3 "HSET @config dead_max_bytes 5\n"
                    "HSET @stats dead_bytes 6",
         SCRIPT_settle, DIES, "OK NOW",
         "ZRANGE @dead 0 -1 => x3 new\nHGET @stats dead_bytes => 5"},
        {"the newest stays whatever its size",
         HELD DEAD3 "HSET @config dead_max_bytes 1\nHSET @stats dead_bytes 6",
         SCRIPT_settle, DIES, "OK NOW",
         "ZRANGE @dead 0 -1 => new\nHGET @stats dead_bytes => 3"},
        {"and whatever the count", HELD DEAD3 "HSET @config dead_max 0",
         SCRIPT_settle, DIES, "OK NOW", "ZRANGE @dead 0 -1 => new"},
        {"bytes are counted anew where these are all",
         HELD "HSET @stats dead_bytes 300000000", SCRIPT_settle, DIES, "OK NOW",
         "HGET @stats dead_bytes => 3\nHEXISTS @stats dead_evicted => 0"},
        {"nothing goes within the bounds", HELD DEAD3, SCRIPT_settle, DIES,
         "OK NOW",
         "ZRANGE @dead 0 -1 => x1 x2 x3 new\n"
         "HGET @stats dead_evicted => (nil)"},
    };
    (void)state;
    ROWS(rows);
}

static void kept_jobs_are_hashes_that_expire(void **state)
{
    static const struct row rows[] = {
        {"each with its time", HELD, SCRIPT_settle,
         "@job:a @job:b | L 2 vb 0 0 2 1 0 0 65555 '' 4 state done result 42 "
         "3599999 '' 2 state 'a b' done 2",
         "OK NOW",
         "HGETALL @job:a => state done result 42\nPTTL @job:a => 6#\n"
         "HGETALL @job:b => state a b\nPTTL @job:b => 35#\n"
         "HGET @stats done => 2\nLRANGE @active:L 0 -1 => c d e"},
        {"an earlier state is written over",
         HELD "HSET @job:a state dead error x progress 3", SCRIPT_settle,
         "@job:a | L 1 va 0 0 1 0 0 0 60000 '' 2 state done", "OK NOW",
         "HGETALL @job:a => state done"},
        {"all that was of another time",
         HELD
         "HSET @job:a due_at 1 ended_at 2 message m result r exit 3 type t",
         SCRIPT_settle,
         "@job:a | L 1 va 0 0 1 0 0 0 60000 '' 4 state retry due_at 9",
         "OK NOW", "HGETALL @job:a => type t state retry due_at 9"},
        {"a log expires with them",
         HELD "RPUSH @log:a x\nPEXPIRE @log:a 90000000", SCRIPT_settle,
         "@job:a @log:a @log:b | L 1 va 0 0 3 0 0 0 60000 done 2 state done "
         "60000 '' 0 60000 '' 0",
         "OK NOW",
         "HGETALL @job:a => state done\nTTL @log:a => 60\n"
         "LRANGE @log:a 0 -1 => x\nEXISTS @log:b => 0"},
        {"what is no hash is passed over: the others go on",
         HELD "SET @job:a strange", SCRIPT_settle,
         "@job:a @job:b | L 2 vb 0 0 2 1 0 0 60000 done 2 state done 60000 '' "
         "2 state retry done 2",
         "OK NOW",
         "GET @job:a => strange\nPTTL @job:a => -1\n"
         "HGETALL @job:b => state retry\nLRANGE @active:L 0 -1 => c d e"},
    };
    (void)state;
    ROWS(rows);
}

/* A connection of its own that listens. */
static redisContext *subscribe(const char *channel)
{
    redisContext *c =
        redisConnectUnix(redis_url(table_redis()) + strlen("unix://"));
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    redisReply *r = redisCommand(c, "SUBSCRIBE %s", channel);
    assert_non_null(r);
    freeReplyObject(r);
    return c;
}

/* The next message; what was published has been written when we ask. */
static void expect_heard(redisContext *c, const char *text)
{
    redisReply *r = NULL;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->elements, 3);
    assert_string_equal(r->element[2]->str, text);
    freeReplyObject(r);
}

static void ends_are_published_on_the_channel_of_the_job(void **state)
{
    (void)state;
    redisContext *c = subscribe("belt:{q}:job:a");
    table_do(HELD "ACL SETUSER default resetchannels &belt:{q}:job:a");
    table_call(SCRIPT_settle,
               "@job:a @job:b | L 2 vb 0 0 2 0 0 0 60000 done 2 state done "
               "60000 dead 2 state dead",
               "OK NOW"); /* on the other channel we may not speak */
    table_do("ACL SETUSER default allchannels");
    table_do("PUBLISH @job:a last");
    expect_heard(c, "done");
    expect_heard(c, "last");
    redisFree(c);
    table_check("HGET @job:b state => dead");
}

static void snoozed_jobs_and_followers_go_where_they_belong(void **state)
{
    static const struct row rows[] = {
        {"each to its place", HELD "RPUSH @ready x\nRPUSH @outbox y",
         SCRIPT_settle,
         "L 2 vb 0 6 0 0 0 0 ready 0 p outbox 0 q scheduled 7000 b2 ready 0 r "
         "outbox 0 s retry 5 a2",
         "OK NOW",
         "LRANGE @active:L 0 -1 => c d e\nLRANGE @ready 0 -1 => x p r\n"
         "LRANGE @outbox 0 -1 => y q s\nZSCORE @scheduled b2 => NOW+7000\n"
         "ZSCORE @retry a2 => NOW+5"},
        {"equal ones never fall together", HELD "ZADD @scheduled 77 x",
         SCRIPT_settle,
         "L 2 vb 0 4 0 0 0 0 scheduled 5 x ready 0 y scheduled 5 x ready 0 y",
         "OK NOW", "ZCARD @scheduled => 3\nLRANGE @ready 0 -1 => y y"},
        {"to no other place", HELD, SCRIPT_settle,
         "L 1 va 0 2 0 0 0 0 retry 5 x gone 0 a",
         "ERR settle adds to no such place*", UNCHANGED},
        {"nothing if one place is none", HELD "SET @outbox x", SCRIPT_settle,
         "L 1 va 0 2 0 0 0 0 retry 5 x outbox 0 a", "WRONGTYPE *", UNCHANGED},
        {"nor if ready is none", HELD "SET @ready x", SCRIPT_settle,
         "L 1 va 0 2 0 0 0 0 retry 5 x ready 0 a", "WRONGTYPE *", UNCHANGED},
        {"nor if scheduled is none", HELD "SET @scheduled x", SCRIPT_settle,
         "L 1 va 0 2 0 0 0 0 retry 5 x scheduled 0 a", "WRONGTYPE *",
         UNCHANGED},
        {"a place that is not needed may be anything",
         HELD "SET @outbox x\nSET @scheduled x\nSET @dead x", SCRIPT_settle,
         "L 1 va 0 1 0 0 0 0 retry 5 a2", "OK NOW", "ZCARD @retry => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void locks_end_with_the_job_that_holds_them(void **state)
{
    static const struct row rows[] = {
        {"one", HELD "SET @unique:k a", SCRIPT_settle,
         "@unique:k | L 1 va 0 0 0 1 1 0 a done 1", "OK NOW",
         "EXISTS @unique:k => 0\nHGET @stats done => 1"},
        {"not those of others", HELD "SET @unique:k b\nSET @unique:l a",
         SCRIPT_settle,
         "@unique:k @unique:l @unique:m | L 1 va 0 0 0 0 3 0 a "
         "a a",
         "OK NOW", "GET @unique:k => b\nEXISTS @unique:l => 0"},
        {"behind kept news", HELD "SET @unique:k a", SCRIPT_settle,
         "@job:a @unique:k | L 1 va 0 1 1 1 1 0 dead 0 a2 60000 '' 2 state "
         "dead a dead 1",
         "OK NOW", "EXISTS @unique:k => 0\nHGET @job:a state => dead"},
        {"what is no lock stays", HELD "RPUSH @unique:k a", SCRIPT_settle,
         "@unique:k | L 1 va 0 0 0 0 1 0 a", "OK NOW",
         "LRANGE @unique:k 0 -1 => a\nLRANGE @active:L 0 -1 => b c d e"},
        {"none ends before its job", HELD "SET @unique:k a", SCRIPT_settle,
         "@unique:k | L 1 vb 0 0 0 0 1 0 a", "REFUSED", "GET @unique:k => a"},
        {"nor before one that is not there", HELD "SET @unique:k a",
         SCRIPT_settle, "@unique:k | L 0 '' 1 0 0 0 1 0 vx a", "REFUSED",
         "GET @unique:k => a"},
        {"nor without a lease", "RPUSH @active:L a\nSET @unique:k a",
         SCRIPT_settle, "@unique:k | L 1 va 0 0 0 0 1 0 a", "FENCED",
         "GET @unique:k => a"},
    };
    (void)state;
    ROWS(rows);
}

static void marks_go_with_the_jobs_that_honoured_them(void **state)
{
    static const struct row rows[] = {
        {"and the version says so",
         HELD "ZADD @cancelled 1 a 2 b 3 x\nHSET @config cancelled_version 7",
         SCRIPT_settle, "L 2 vb 0 0 0 1 0 2 a b cancelled 2", "OK NOW",
         "ZRANGE @cancelled 0 -1 => x\n"
         "HGET @config cancelled_version => 8\nHGET @stats cancelled => 2"},
        {"not before one that is not there", HELD "ZADD @cancelled 1 x",
         SCRIPT_settle, "L 0 '' 1 0 0 0 0 1 vx x", "REFUSED",
         "ZCARD @cancelled => 1"},
        {"but not when none went", HELD "ZADD @cancelled 3 x", SCRIPT_settle,
         "L 1 va 0 0 0 0 0 1 a", "OK NOW",
         "ZCARD @cancelled => 1\n"
         "EXISTS @config => 0"},
        {"a version that is none begins anew",
         HELD "ZADD @cancelled 1 a\nHSET @config cancelled_version x",
         SCRIPT_settle, "L 1 va 0 0 0 0 0 1 a", "OK NOW",
         "HGET @config cancelled_version => 1"},
        {"what is no set of marks stays", HELD "SET @cancelled x",
         SCRIPT_settle, "L 1 va 0 0 0 0 0 1 a", "OK NOW",
         "GET @cancelled => x\nLRANGE @active:L 0 -1 => b c d e"},
    };
    (void)state;
    ROWS(rows);
}

/* A plain settle is what most jobs take, many in each. */
static void plain_jobs_cost_no_more_commands_than_they_need(void **state)
{
    (void)state;
    table_do(HELD "CONFIG RESETSTAT");
    table_call(SCRIPT_settle, "L 3 vc 0 0 0 1 0 0 done 3", "OK NOW");
    /* TIME ZREM ZSCORE LINDEX LLEN HLEN LTRIM EXPIRE, 3 HINCRBY, and EVAL
     * and CONFIG themselves */
    table_check("EVAL 'local n = 0 for c in string.gmatch(redis.call(`INFO`, "
                "`commandstats`), `calls=(%d+)`) do n = n + c end return n' 0 "
                "=> 13");
}

static void counters_count_in_both_hashes(void **state)
{
    static const struct row rows[] = {
        {"from what is there", HELD "HSET @stats done 40\nHSET @minute done 1",
         SCRIPT_settle, "L 1 va 0 0 0 2 0 0 done 1 put_off 2", "OK NOW",
         "HGET @stats done => 41\nHGET @minute done => 2\n"
         "HGET @stats put_off => 2\nHGET @minute put_off => 2"},
        {"what cannot be counted does no harm",
         HELD "HSET @stats done x\nSET @minute x", SCRIPT_settle,
         "L 1 va 0 0 0 1 0 0 done 1", "OK NOW",
         "LRANGE @active:L 0 -1 => b c d e"},
    };
    (void)state;
    ROWS(rows);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settle_takes_jobs_off_the_list),
        TEST(a_list_that_is_not_as_believed_is_not_touched),
        TEST(more_than_a_thousand_are_refused),
        TEST(digests_name_jobs_by_their_index_before_the_call),
        TEST(the_first_of_equal_twins_goes),
        TEST(failed_jobs_wait_in_retry_or_lie_in_dead),
        TEST(a_thousand_equal_failures_stay_a_thousand),
        TEST(dead_is_bounded_and_keeps_the_newest),
        TEST(kept_jobs_are_hashes_that_expire),
        TEST(ends_are_published_on_the_channel_of_the_job),
        TEST(snoozed_jobs_and_followers_go_where_they_belong),
        TEST(locks_end_with_the_job_that_holds_them),
        TEST(marks_go_with_the_jobs_that_honoured_them),
        TEST(plain_jobs_cost_no_more_commands_than_they_need),
        TEST(counters_count_in_both_hashes),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
