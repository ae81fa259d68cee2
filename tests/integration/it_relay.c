/*
 * Claims about the relay, which brings what is in an outbox to other queues:
 * each arrives once, in order, whoever else is at it, and nothing is lost.
 */
#include "common/redis/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/mem.h"
#include "tests/integration/conn_fixture.h"
#include "tests/integration/table.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define TO_R(id) "{`id`:`" id "`,`type`:`t`,`queue`:`r`}"
#define TO_S(id) "{`id`:`" id "`,`type`:`t`,`queue`:`s`}"
#define PUSHED(id) "{`id`:`" id "`,`type`:`t`}"

struct run {
    struct fixture *f;
    struct keys keys;
    struct relay *relay;
    struct relay_result res;
    bool ended;
};

static void on_end(void *arg, const struct relay_result *res)
{
    struct run *run = arg;

    assert_false(run->ended);
    run->ended = true;
    run->res = *res;
}

static bool has_ended(void *arg)
{
    return ((struct run *)arg)->ended;
}

static void begin(struct run *run)
{
    loop_role_assert();
    *run = (struct run){.f = fixture_new(redis_url(table_redis()))};
    fixture_up(run->f);
    keys_init(&run->keys, "belt", "q");
    run->relay = relay_new(run->f->c, &run->keys, on_end, run);
}

static void start(struct run *run)
{
    loop_role_assert();
    run->ended = false;
    assert_int_equal(relay_start(run->relay), 0);
    assert_false(run->ended);
    assert_true(relay_runs(run->relay));
}

static void finish(struct run *run)
{
    loop_role_assert();
    assert_true(loop_until(run->f->base, has_ended, run, PATIENCE_MS));
    assert_false(relay_runs(run->relay));
    fixture_free(run->f);
    relay_free(run->relay);
}

/* One relay from begin to end; what it came to must be as expected. */
static struct relay_result relay_all(int64_t sent, int64_t held, int64_t buried,
                                     int64_t left)
{
    struct run run;

    begin(&run);
    start(&run);
    finish(&run);
    if (run.res.err != 0 || run.res.sent != sent || run.res.held != held ||
        run.res.buried != buried || run.res.left != left)
        fail_msg("error %d, %lld sent, %lld held, %lld buried, %lld left: %s",
                 run.res.err, (long long)run.res.sent, (long long)run.res.held,
                 (long long)run.res.buried, (long long)run.res.left,
                 run.res.why.text);
    return run.res;
}

static void expect_why(const struct relay_result *res, const char *text)
{
    if (strstr(res->why.text, text) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", res->why.text, text);
}

static void empty_outbox_is_no_work(void **state)
{
    (void)state;
    relay_all(0, 0, 0, 0);
    table_check("DBSIZE => 0");
}

static void each_goes_to_its_queue_in_order(void **state)
{
    (void)state;
    table_do("RPUSH @outbox " TO_R("a") " " TO_S("b") " " TO_R("c"));
    relay_all(3, 0, 0, 0);
    table_check("LRANGE belt:{r} 0 -1 => " PUSHED("a") " " PUSHED(
        "c") "\n"
             "LRANGE belt:{s} 0 -1 => " PUSHED(
                 "b") "\n"
                      "EXISTS @outbox => 0\nHGET belt:{r}:stats pushed => 2\n"
                      "SMISMEMBER belt:queues r s => 1 1\nSCARD belt:queues => "
                      "2");
}

static void options_are_heeded_there(void **state)
{
    (void)state;
    table_do(
        "HSET belt:{r}:config max_length 0\n"
        "RPUSH @outbox '{`id`:`a`,`type`:`t`,`queue`:`r`,`keep`:9000,"
        "`created_at`:7}' '{`recovered`:[5],`id`:`b`,`type`:`t`,`unique`:`k`,"
        "`queue`:`r`,`in`:90000}' '{`queue`:`r`,`type`:`t`,`payload`:1.0}'");
    relay_all(3, 0, 0, 0);
    table_check("LRANGE belt:{r} 0 -1 => {`id`:`a`,`type`:`t`,`keep`:9000,"
                "`created_at`:7} {`id`:`ULID`,*`type`:`t`,`payload`:1.0*}\n"
                "HGET belt:{r}:job:a created_at => 7\n"
                "GET belt:{r}:unique:k => b\n"
                "ZRANGE belt:{r}:scheduled 0 -1 WITHSCORES => {`id`:`b`,"
                "`type`:`t`,`unique`:`k`,`in`:90000} NOW+90000");
}

static void same_bytes_arrive_once(void **state)
{
    (void)state;
    table_do("RPUSH @outbox " TO_R("a"));
    relay_all(1, 0, 0, 0);
    table_do("RPUSH @outbox " TO_R("a"));
    relay_all(1, 0, 0, 0);
    table_check("LRANGE belt:{r} 0 -1 => " PUSHED("a") "\nEXISTS @outbox => 0");
}

/* A dead job that was moved, died there, came back, and is moved again. */
static void a_job_may_come_this_way_again(void **state)
{
    (void)state;
    table_do("RPUSH @outbox {`id`:`a`,`type`:`t`,`unique`:`k`,`queue`:`r`}");
    relay_all(1, 0, 0, 0);
    table_do("LPOP belt:{r}\n" /* its lock may be one for a time */
             "RPUSH @outbox {`id`:`a`,`type`:`t`,`unique`:`k`,`failures`:[],"
             "`queue`:`r`}");
    relay_all(1, 0, 0, 0);
    table_check("LLEN belt:{r} => 1\nEXISTS @outbox => 0");
}

static void what_cannot_be_delivered_is_buried(void **state)
{
    struct relay_result res;

    (void)state;
    table_do("RPUSH @outbox nonsense " PUSHED(
        "a") " "
             "{`id`:`b`,`type`:`t`,`queue`:`-x`} "
             "{`id`:`c`,`type`:`t`,`queue`:7} " TO_R("d"));
    res = relay_all(1, 0, 4, 0);
    expect_why(&res, "queue: not the name of one");
    table_check("LRANGE belt:{r} 0 -1 => " PUSHED(
        "d") "\n"
             "EXISTS @outbox => 0\nZCARD @dead => 4\n"
             "HGET @stats invalid => 4\n"
             "EVAL 'local n = 0 for _, m in ipairs(redis.call(`ZRANGE`, "
             "KEYS[1], 0, -1)) do n = n + #m end return n - redis.call("
             "`HGET`, KEYS[2], `dead_bytes`)' 2 @dead @stats => 0\n"
             "EVAL 'return #redis.call(`ZRANGEBYSCORE`, KEYS[1], "
             "redis.call(`TIME`)[1] * 1000 - 5000, `+inf`)' 1 @dead => 4\n"
             "ZRANGE @dead 0 0 => {`id`:`ULID`,`type`:`belt.invalid`*");
}

static void held_keys_stop_what_is_new(void **state)
{
    struct relay_result res;

    (void)state;
    table_do("SET belt:{r}:unique:k z\n"
             "RPUSH @outbox {`id`:`a`,`type`:`t`,`unique`:`k`,`queue`:`r`}");
    res = relay_all(0, 1, 0, 0);
    expect_why(&res, "r: \"k\" is held by z");
    table_check("EXISTS @outbox @dead belt:{r} => 0");
}

/* Its news go, or begin, as they do behind any push. */
static void what_is_replaced_is_told_of_it(void **state)
{
    (void)state;
    table_do("SET belt:{r}:unique:k z\nSET belt:{r}:pending:k {`id`:`z`}\n"
             "ZADD belt:{r}:scheduled NOW+90000 {`id`:`z`}\n"
             "HSET belt:{r}:job:z state scheduled\n"
             "RPUSH @outbox {`id`:`a`,`type`:`t`,`unique`:{`key`:`k`,"
             "`on_conflict`:`replace`},`in`:60000,`queue`:`r`}");
    relay_all(1, 0, 0, 0);
    table_check("EXISTS @outbox belt:{r}:job:z => 0");
    table_do("RPUSH @outbox {`id`:`b`,`type`:`u`,`unique`:{`key`:`k`,"
             "`on_conflict`:`replace`},`in`:60000,`keep`:9,`queue`:`r`}");
    relay_all(1, 0, 0, 0);
    table_check("HMGET belt:{r}:job:z state type => scheduled u\n"
                "EXISTS @outbox belt:{r}:job:b => 0");
}

static void held_keys_end_no_job_that_was_there(void **state)
{
    (void)state;
    table_do("SET belt:{r}:unique:k z\n"
             "RPUSH @outbox {`id`:`a`,`type`:`t`,`unique`:`k`,`attempt`:3,"
             "`queue`:`r`} {`id`:`b`,`type`:`t`,`unique`:{`key`:`k`,"
             "`on_conflict`:`error`},`queue`:`r`}");
    relay_all(0, 0, 2, 0);
    table_check("EXISTS @outbox belt:{r} => 0\nHGET @stats dead => 2\n"
                "ZRANGE @dead 0 0 => {`id`:`a`,`type`:`t`,`unique`:`k`,"
                "`attempt`:3,`error`:{`class`:`held`,`message`:*held by z*}}");
}

static void a_queue_that_refuses_holds_up_its_own_only(void **state)
{
    struct relay_result res;

    (void)state;
    table_do("HSET belt:{r}:config format 2\nSET belt:{s} planted\n"
             "RPUSH @outbox " TO_R("a") " " TO_S("b") " " TO_R(
                 "c") " "
                      "{`id`:`d`,`type`:`t`,`queue`:`u`} " TO_R("e"));
    res = relay_all(1, 0, 0, 4);
    table_check("LRANGE @outbox 0 -1 => " TO_R("a") " " TO_S("b") " " TO_R(
        "c") " " TO_R("e") "\nLLEN belt:{u} => 1");
    expect_why(&res, "s: push_one: WRONGTYPE");
    table_do("DEL belt:{r}:config belt:{s}");
    relay_all(4, 0, 0, 0);
    table_check("LRANGE belt:{r} 0 -1 => " PUSHED("a") " " PUSHED(
        "c") " " PUSHED("e") "\nLLEN belt:{s} => 1\nEXISTS @outbox => 0");
}

static void what_cannot_be_buried_stays(void **state)
{
    (void)state;
    table_do("SET @dead planted\nRPUSH @outbox nonsense " TO_R("a"));
    relay_all(1, 0, 0, 1);
    table_check("LRANGE @outbox 0 -1 => nonsense\nLLEN belt:{r} => 1");
}

static void outbox_of_another_type_is_an_error(void **state)
{
    struct run run;

    (void)state;
    table_do("SET @outbox planted");
    begin(&run);
    start(&run);
    finish(&run);
    assert_int_equal(run.res.err, ERR_REDIS);
    expect_why(&run.res, "WRONGTYPE");
}

static void many(unsigned n)
{
    char command[128];

    for (unsigned i = 0; i < n; i++) {
        snprintf(command, sizeof(command),
                 "RPUSH @outbox {`id`:`%u`,`type`:`t`,`queue`:`r`}", i);
        table_do(command);
    }
}

static void expect_all_once_in_order(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char check[128];

        snprintf(check, sizeof(check),
                 "LINDEX belt:{r} %u => {`id`:`%u`,`type`:`t`}", i, i);
        table_check(check);
    }
    table_check("EXISTS @outbox => 0");
}

static void long_outbox_goes_whole(void **state)
{
    char check[64];

    (void)state;
    many(350);
    relay_all(350, 0, 0, 0);
    expect_all_once_in_order(350);
    snprintf(check, sizeof(check), "LLEN belt:{r} => %d", 350);
    table_check(check);
}

static void long_envelopes_go_one_by_one(void **state)
{
    char *big = mem_new(3 << 20);

    (void)state;
    for (int i = 0; i < 4; i++) {
        int n = snprintf(big, 128,
                         "{\"id\":\"%d\",\"type\":\"t\",\"queue\":\"r\","
                         "\"payload\":\"",
                         i);
        memset(big + n, 'x', (2 << 20));
        strcpy(big + n + (2 << 20), "\"}");
        redis_do(table_redis(), "RPUSH belt:{q}:outbox %s", big);
    }
    relay_all(4, 0, 0, 0);
    table_check("LLEN belt:{r} => 4\nEXISTS @outbox => 0");
    free(big);
}

static bool both_ended(void *arg)
{
    struct run *runs = arg;

    return runs[0].ended && runs[1].ended;
}

/* Two relays, step by step beside each other on connections of their own. */
static void two_at_once_do_no_harm(void **state)
{
    struct run runs[2];

    (void)state;
    many(300);
    for (int i = 0; i < 2; i++) {
        begin(&runs[i]);
        start(&runs[i]);
    }
    while (!both_ended(runs)) {
        for (int i = 0; i < 2; i++)
            (void)event_base_loop(runs[i].f->base, EVLOOP_NONBLOCK);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(runs[i].res.err, 0);
        finish(&runs[i]);
    }
    expect_all_once_in_order(300);
    table_check("LLEN belt:{r} => 300");
}

static void lost_connection_ends_it_and_loses_nothing(void **state)
{
    struct run run;

    (void)state;
    many(5);
    begin(&run);
    start(&run);
    loop_role_assert();
    conn_close(run.f->c);
    finish(&run);
    assert_true(run.res.err == ERR_UNKNOWN || run.res.err == ERR_REFUSED);
    relay_all(5, 0, 0, 0);
    expect_all_once_in_order(5);
}

/* ---- a Cluster ---- */

static bool is_ok(void *arg)
{
    char info[4096];

    (void)redis_str(arg, info, sizeof(info), "CLUSTER INFO");
    return strstr(info, "cluster_state:ok") != NULL;
}

/* On one node, which tells when two slots are meant by one call. */
static void each_call_is_for_one_slot(void **state)
{
    const struct redis_opts opts = {.conf = "cluster-enabled yes"};
    struct redis *r = redis_start(&opts), *before = table_redis();

    (void)state;
    redis_do(r, "EVAL %s 0",
             "for s = 0, 16383 do redis.call('CLUSTER', 'ADDSLOTS', s) end");
    assert_true(wait_until(is_ok, r, PATIENCE_MS));
    table_use(r);
    table_do("RPUSH @outbox " TO_R("a") " " TO_S("b") " nonsense");
    relay_all(2, 0, 1, 0);
    table_check("LRANGE belt:{r} 0 -1 => " PUSHED(
        "a") "\n"
             "LRANGE belt:{s} 0 -1 => " PUSHED("b") "\nZCARD @dead => 1");
    table_use(before);
    redis_stop(r);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(empty_outbox_is_no_work),
        TEST(each_goes_to_its_queue_in_order),
        TEST(options_are_heeded_there),
        TEST(same_bytes_arrive_once),
        TEST(a_job_may_come_this_way_again),
        TEST(what_cannot_be_delivered_is_buried),
        TEST(held_keys_stop_what_is_new),
        TEST(what_is_replaced_is_told_of_it),
        TEST(held_keys_end_no_job_that_was_there),
        TEST(a_queue_that_refuses_holds_up_its_own_only),
        TEST(what_cannot_be_buried_stays),
        TEST(outbox_of_another_type_is_an_error),
        TEST(long_outbox_goes_whole),
        TEST(long_envelopes_go_one_by_one),
        TEST(two_at_once_do_no_harm),
        TEST(lost_connection_ends_it_and_loses_nothing),
        TEST(each_call_is_for_one_slot),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
