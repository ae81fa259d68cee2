/*
 * Claims about scripts in a Redis that is full, or whose counters are none.
 */
#include "tests/integration/table.h"

#include "tests/unit/unit.h"

#define LANE "ZADD @leases NOW+60000 L\nHSET @lanes L {}\n"
#define FAILS "retry 5 {`id`:`j1`} dead 0 {`id`:`j2`} retry 5 {`id`:`j3`}"

/* One call for each script that moves every job it can, marked j1 and so on. */
static const struct row good[SCRIPT_COUNT] = {
    [SCRIPT_push] = {"push", "RPUSH @ready {`id`:`j1`}", SCRIPT_push,
                     "0 1 {`id`:`k`}", "OK 2", "LLEN @ready => 2"},
    [SCRIPT_push_one] =
        {"push one", "RPUSH @ready {`id`:`j1`}", SCRIPT_push_one,
         "0 1 {`id`:`j2`} j2 0 60000 until skip 60000 1 t 5 @control", "OK 1",
         "LLEN @ready => 1\nZCARD @scheduled => 1\nGET @unique:k => j2\n"
         "GET @pending:k => {`id`:`j2`}\nGET @once:j2 => j2\n"
         "HGET @job:j2 state => scheduled"},
    [SCRIPT_register] = {"register", "RPUSH @ready {`id`:`j1`}",
                         SCRIPT_register, "L 15000 {} 1", "OK NOW 0 0 1",
                         "ZCARD @leases => 1\nHLEN @lanes => 1"},
    [SCRIPT_fetch] = {"fetch",
                      LANE "RPUSH @ready {`id`:`j1`} {`type`:`j2`}\n"
                           "RPUSH @active:L {`id`:`j3`}",
                      SCRIPT_fetch, "L 10 1000 01ABCDEFGHJKMNPQRSTVWXY",
                      "EMPTY 1 0 {`id`:`j1`} {`id`:`ULID`,`type`:`j2`}",
                      "LLEN @active:L => 3\nEXISTS @ready => 0"},
    [SCRIPT_fetch_bulk] = {"fetch in bulk",
                           LANE "RPUSH @ready {`id`:`j1`} {`id`:`j2`}\n"
                                "RPUSH @active:L {`id`:`j3`}",
                           SCRIPT_fetch_bulk, "L 10 100000 1", "EMPTY 1 2 0 0",
                           "LRANGE @active:L 0 -1 => {`id`:`j3`} {`id`:`j1`} "
                           "{`id`:`j2`}\nEXISTS @ready => 0"},
    [SCRIPT_stamp] = {"stamp", LANE "RPUSH @active:L {`type`:`j1`}",
                      SCRIPT_stamp,
                      "L 0 {`type`:`j1`} {`id`:`abcdefgh`,`type`:`j1`}", "OK 1",
                      "LINDEX @active:L 0 => {`id`:`abcdefgh`,`type`:`j1`}"},
    [SCRIPT_settle] =
        {"settle",
         LANE "RPUSH @active:L {`id`:`j1`} {`id`:`j2`} "
              "{`id`:`j4`} {`id`:`j3`}\n"
              "RPUSH @ready {`id`:`j5`}",
         SCRIPT_settle,
         "@job:a | L 2 v{`id`:`j2`} 1 3 1 1 0 0 v{`id`:`j3`} " FAILS
         " 60000 '' 2 state dead retried 2",
         "OK NOW",
         "LRANGE @active:L 0 -1 => {`id`:`j4`}\n"
         "ZCARD @retry => 2\nZCARD @dead => 1\n"
         "HGET @job:a state => dead"},
    [SCRIPT_release] = {"release",
                        LANE "RPUSH @active:L {`id`:`j1`} {`id`:`j2`}\n"
                             "RPUSH @ready {`id`:`j3`}",
                        SCRIPT_release, "L v{`id`:`j1`} v{`id`:`j2`}", "OK 2",
                        "LLEN @ready => 3\nEXISTS @active:L => 0"},
    [SCRIPT_promote] = {"promote",
                        "ZADD @scheduled 1 {`id`:`j1`}\n"
                        "ZADD @retry 1 {`id`:`j2`}\nRPUSH @ready {`id`:`j3`}",
                        SCRIPT_promote, "10 1000", "2 -1 NOW",
                        "LLEN @ready => 3\nEXISTS @scheduled @retry => 0"},
    [SCRIPT_note] = {"note",
                     LANE "RPUSH @active:L {`id`:`j1`}\nSET @unique:a j1\n"
                          "HSET @job:a state ready",
                     SCRIPT_note,
                     "@job:a @unique:a | L j1 60000 5 2 state active", "OK",
                     "EXISTS @unique:a => 0\nHGET @job:a state => active"},
    [SCRIPT_log] = {"log",
                    LANE "RPUSH @active:L {`id`:`j1`}\n"
                         "HSET @job:a state active",
                    SCRIPT_log,
                    "@log:a @job:a | L 1000 9000 r.1 60000 1 1 `m`:1}", "OK",
                    "LRANGE @log:a 0 -1 => {`n`:1,`m`:1}"},
    [SCRIPT_renew] = {"renew",
                      LANE "RPUSH @active:L {`id`:`j1`}\n"
                           "RPUSH @ready {`id`:`j2`}",
                      SCRIPT_renew, "L 15000 -1",
                      "OK NOW 1 0 0 0 0 1 -1 L 15000 -1 -1 0",
                      "ZSCORE @leases L => NOW+15000"},
    [SCRIPT_rebind] = {"rebind", LANE "RPUSH @active:L {`id`:`j1`} {`id`:`j2`}",
                       SCRIPT_rebind, "L M 15000 {}",
                       "OK NOW 0 {`id`:`j1`} {`id`:`j2`}",
                       "LLEN @active:M => 2\nZRANGE @leases 0 -1 => M\n"
                       "ZRANGE @reaped 0 -1 => L"},
    [SCRIPT_leave] = {"leave", LANE "RPUSH @active:L {`id`:`j1`}", SCRIPT_leave,
                      "L", "OK 1",
                      "ZCARD @leases => 0\nZRANGE @reaped 0 -1 => L"},
    [SCRIPT_reap] = {"reap",
                     LANE "RPUSH @active:L {`id`:`j1`} {`id`:`j2`}\n"
                          "RPUSH @ready {`id`:`j3`}",
                     SCRIPT_reap, "L gone 1000", "OK 2 0",
                     "LLEN @ready => 3\nZRANGE @reaped 0 -1 => L"},
    [SCRIPT_requeue] =
        {"requeue",
         "ZADD @dead 1 {`id`:`j1`} 2 {`id`:`j2`}\n"
         "HSET @job:a state dead",
         SCRIPT_requeue,
         "@dead @ready @stats @minute @unique:a @job:a @log:a | ready "
         "{`id`:`j1`} {`id`:`j1`} j1 until 1",
         "OK 1",
         "LRANGE @ready 0 -1 => {`id`:`j1`}\n"
         "ZRANGE @dead 0 -1 => {`id`:`j2`}\n"
         "GET @unique:a => j1\nHGET @job:a state => ready"},
    [SCRIPT_purge] =
        {"purge",
         "RPUSH @ready {`id`:`j1`} {`id`:`j2`} {`id`:`j3`}\n"
         "SET @unique:a j1\nHSET @job:a state ready",
         SCRIPT_purge,
         "@ready @stats @minute @unique:a @job:a @log:a @stats @stats @stats "
         "| 43639a61058fce1973493433377954dc5a69ad1b j1 1 '' 0",
         "OK 2",
         "LRANGE @ready 0 -1 => {`id`:`j3`}\n"
         "EXISTS @unique:a @job:a @log:a => 0"},
    [SCRIPT_import] = {"import", "ZADD @dead 1 {`id`:`j1`}", SCRIPT_import,
                       "9 {`id`:`j2`} 7 {`id`:`j1`}", "OK 1",
                       "ZRANGE @dead 0 -1 WITHSCORES => {`id`:`j1`} 1 "
                       "{`id`:`j2`} 9"},
    [SCRIPT_cancel] = {"cancel", "RPUSH @ready {`id`:`j1`}", SCRIPT_cancel,
                       "@control j1", "OK 1",
                       "ZRANGE @cancelled 0 -1 => j1\n"
                       "HGET @config cancelled_version => 1"},
    [SCRIPT_remove] =
        {"remove",
         "ZADD @dead 1 {`id`:`j1`} 2 {`id`:`j2`}\n"
         "HSET @job:a state dead\nSET @unique:a j1",
         SCRIPT_remove,
         "@dead @stats @minute @cancelled @unique:a @job:a @log:a | "
         "cancelled {`id`:`j1`} j1 60000",
         "OK 1",
         "ZRANGE @dead 0 -1 => {`id`:`j2`}\n"
         "EXISTS @unique:a => 0\nHGET @job:a state => "
         "cancelled"},
    [SCRIPT_tick] = {"tick",
                     "HSET @cron n {}\nZADD @cron:due 5 n\n"
                     "RPUSH @ready {`id`:`j1`}",
                     SCRIPT_tick, "n {} 5 9 '' 1 t 5 j2 {`id`:`j2`}", "OK 1",
                     "LLEN @ready => 2\nZSCORE @cron:due n => 9\n"
                     "GET @unique:cron:n => j2"},
    [SCRIPT_cron_put] = {"cron_put", "HSET @cron n {}\nZADD @cron:due 5 n",
                         SCRIPT_cron_put, "n {} '' '' @control", "OK",
                         "EXISTS @cron @cron:due => 0"},
};

/* ---- a full Redis ---- */

static int full_over(void **state)
{
    (void)state;
    redis_do(table_redis(), "CONFIG SET maxmemory 0");
    return 0;
}

static int full_begin(void **state)
{
    redis_do(table_redis(), "CONFIG SET maxmemory-policy noeviction");
    return table_clear(state);
}

static void a_full_redis_works_off_its_jobs(void **state)
{
    (void)state;
    for (int s = 0; s < SCRIPT_COUNT; s++) {
        if (s == SCRIPT_push || s == SCRIPT_push_one || s == SCRIPT_import ||
            s == SCRIPT_tick || s == SCRIPT_log)
            continue;
        print_message("  %s\n", good[s].name);
        (void)table_clear(NULL);
        table_do(good[s].before);
        table_do("CONFIG SET maxmemory 1");
        table_call(good[s].script, good[s].args, good[s].reply);
        table_do("CONFIG SET maxmemory 0");
        table_check(good[s].after);
    }
}

static void a_full_redis_refuses_a_push(void **state)
{
    (void)state;
    table_do("RPUSH @ready x\nCONFIG SET maxmemory 1");
    table_call(SCRIPT_push, "0 1 a", "OOM *");
    table_call(SCRIPT_push, "1 1 a", "OOM *");
    table_call(SCRIPT_push_one,
               "0 1 {`id`:`a`} a 0 0 until skip 9000 1 t 5 @control", "OOM *");
    table_call(SCRIPT_push_one,
               "0 1 {`id`:`a`} a 0 9000 until skip 9000 1 t 5 @control",
               "OOM *");
    table_call(SCRIPT_import, "1 {`id`:`a`}", "OOM *");
    table_do("CONFIG SET maxmemory 0");
    table_check("LRANGE @ready 0 -1 => x\nDBSIZE => 1");
    table_do("HSET @cron n {}\nZADD @cron:due 5 n\nCONFIG SET maxmemory 1");
    table_call(SCRIPT_tick, "n {} 5 9 '' 0 t 5 a {`id`:`a`}", "OOM *");
    table_call(SCRIPT_cron_put, "n {} {`a`:1} 9 @control", "OOM *");
    table_do("CONFIG SET maxmemory 0");
    table_check("LRANGE @ready 0 -1 => x\nZSCORE @cron:due n => 5\n"
                "HGET @cron n => {}");
}

/* What a job says is not worth the memory that is left for jobs. */
static void a_full_redis_refuses_lines_of_a_log(void **state)
{
    const struct row *row = &good[SCRIPT_log];
    (void)state;
    table_do(row->before);
    table_do("CONFIG SET maxmemory 1");
    table_call(SCRIPT_log, row->args, "OOM *");
    table_do("CONFIG SET maxmemory 0");
    table_check("EXISTS @log:a => 0\nHGETALL @job:a => state active");
}

static void stragglers_are_given_back_in_a_full_redis(void **state)
{
    (void)state;
    table_do("ZADD @reaped NOW L\nRPUSH @active:L a\nCONFIG SET maxmemory 1");
    table_call(SCRIPT_reap, "L straggler 1000", "OK 1 0");
    table_do("CONFIG SET maxmemory 0");
    table_check("LRANGE @ready 0 -1 => a");
}

/* Counting is not worth a job, nor the answer that it was done. */
static void planted_counters_stop_nothing(void **state)
{
    static const enum script counting[] = {
        SCRIPT_push,    SCRIPT_push_one, SCRIPT_settle,  SCRIPT_release,
        SCRIPT_promote, SCRIPT_reap,     SCRIPT_requeue, SCRIPT_remove,
        SCRIPT_tick,    SCRIPT_purge,    SCRIPT_import};
    (void)state;
    for (size_t i = 0; i < sizeof(counting) / sizeof(counting[0]); i++) {
        const struct row *row = &good[counting[i]];
        (void)table_clear(NULL);
        table_do(row->before);
        table_do("SET @stats planted\nSET @minute planted");
        table_call(row->script, row->args, row->reply);
        table_check(row->after);
    }
}

/* What has ended has ended, even if nobody knows how many dead are too many. */
static void a_config_of_another_type_stops_no_settle(void **state)
{
    const struct row *row = &good[SCRIPT_settle];
    (void)state;
    table_do(row->before);
    table_do("SET @config planted");
    table_call(row->script, row->args, row->reply);
    table_check(row->after);
    table_check("HGET @stats retried => 2");
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)
#define FULL(name) cmocka_unit_test_setup_teardown(name, full_begin, full_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FULL(a_full_redis_works_off_its_jobs),
        FULL(a_full_redis_refuses_a_push),
        FULL(a_full_redis_refuses_lines_of_a_log),
        FULL(stragglers_are_given_back_in_a_full_redis),
        TEST(planted_counters_stop_nothing),
        TEST(a_config_of_another_type_stops_no_settle),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
