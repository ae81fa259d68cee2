/*
 * Claims about belt doctor: what is right is said to be, what is wrong is found
 * and named, and nothing is changed by looking.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/unit/unit.h"

static struct redis *redis;

static int start(void **state)
{
    static const struct redis_opts opts = {.appendonly = true};
    (void)state;
    redis = redis_start(&opts);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    redis_stop(redis);
    return 0;
}

static void clean(void)
{
    redis_do(redis, "FLUSHALL");
    redis_do(redis, "SADD belt:queues q");
}

/* A row of this verdict and check whose finding has this text. */
static void expect(int status, const char *verdict, const char *check,
                   const char *finding)
{
    struct cli_result r = CLI(redis, NULL, "doctor", "-o", "tsv");
    char *head = mem_printf("\n%s\t%s\t", verdict, check);
    bool found = false;
    for (const char *p = r.out; !found && (p = strstr(p, head)) != NULL; p++) {
        char *line = mem_dup(p + 1, strcspn(p + 1, "\n"));
        found = strstr(line, finding) != NULL;
        free(line);
    }
    if (!found || r.status != status)
        fail_msg("no %s %s: %s; status %d:\n%s%s", verdict, check, finding,
                 r.status, r.out, r.err);
    free(head);
    cli_result_done(&r);
}

static void a_server_as_it_should_be_is_well(void **state)
{
    (void)state;
    clean();
    struct cli_result r = CLI(redis, NULL, "doctor", "--strict", "-o", "tsv");
    if (r.status != 0 || strstr(r.out, "\nwrong") || strstr(r.out, "\nwarning"))
        fail_msg("status %d:\n%s%s", r.status, r.out, r.err);
    cli_result_done(&r);
    expect(0, "ok", "version", "Redis ");
    expect(0, "ok", "role", "primary");
    expect(0, "ok", "persistence", "append-only file, appendfsync everysec");
    expect(0, "ok", "memory", "noeviction");
    expect(0, "ok", "permissions", "all that Belt needs");
    expect(0, "ok", "latency", "a round trip takes");
    expect(0, "ok", "clock", "as this host's");
    expect(0, "ok", "workers", "0 for 0 jobs");
}

static void a_server_that_loses_jobs_is_wrong(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "CONFIG SET appendonly no");
    expect(1, "wrong", "persistence", "appendonly is off");
    redis_do(redis, "CONFIG SET appendonly yes");
    redis_do(redis, "CONFIG SET appendfsync no");
    expect(0, "warning", "persistence", "appendfsync no");
    redis_do(redis, "CONFIG SET appendfsync everysec");
    redis_do(redis, "CONFIG SET maxmemory-policy allkeys-lru");
    expect(0, "warning", "memory", "allkeys-lru throws jobs away once");
    redis_do(redis, "CONFIG SET maxmemory 1gb");
    expect(1, "wrong", "memory", "allkeys-lru throws jobs away; set");
    redis_do(redis, "CONFIG SET maxmemory-policy noeviction");
    redis_do(redis, "CONFIG SET maxmemory 1100000");
    expect(0, "warning", "memory", "pushes will be refused");
    redis_do(redis, "CONFIG SET maxmemory 0");
    redis_do(redis, "CONFIG SET timeout 60");
    expect(0, "warning", "connections", "timeout 60");
    redis_do(redis, "CONFIG SET timeout 0");
    redis_do(redis, "CONFIG SET client-output-buffer-limit %s",
             "normal 1048576 0 0");
    expect(0, "warning", "connections", "client-output-buffer-limit");
    redis_do(redis, "CONFIG SET client-output-buffer-limit %s", "normal 0 0 0");
}

static void warnings_count_where_they_are_to(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "CONFIG SET timeout 60");
    EXPECT(redis, NULL, 0, "timeout 60", NULL, "doctor");
    EXPECT(redis, NULL, 1, "timeout 60", NULL, "doctor", "--strict");
    redis_do(redis, "CONFIG SET timeout 0");
}

static void what_may_not_be_done_is_named(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "ACL SETUSER default -eval -lmove");
    expect(1, "wrong", "permissions", "refused, but needed: LMOVE, EVAL");
    redis_do(redis, "ACL SETUSER default +@all -sort -config -info");
    expect(0, "note", "permissions", "refused: SORT; without SORT");
    expect(0, "note", "version", "not known, nor persistence and memory");
    redis_do(redis, "ACL SETUSER default +@all");
}

static void queues_in_trouble_are_named(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "RPUSH belt:{q} a b");
    expect(0, "warning", "workers", "2 jobs, and no worker: belt-worker -q q");
    redis_do(redis, "HSET belt:{q}:config max_length 2 paused 1");
    expect(0, "warning", "full", "2 ready of 2");
    expect(0, "note", "paused", "2 jobs while it is paused");
    redis_do(redis, "ZADD belt:{q}:leases 5 w.1");
    expect(0, "warning", "lost", "1 lane, w.1 first");
    redis_do(redis, "ZADD belt:{q}:leases 9999999999999 w.2");
    expect(0, "ok", "workers", "1 for 2 jobs");
    redis_do(redis, "ZADD belt:{q}:cron:due 1000 night");
    expect(0, "warning", "cron", "overdue");
    redis_do(redis, "ZADD belt:{q}:dead 5 x");
    expect(0, "note", "dead", "1 job: belt dead summary q");
    redis_do(redis, "HSET belt:{q}:config format 9");
    expect(1, "wrong", "format", "9, newer than 1");
    redis_do(redis, "DEL belt:{q}:leases");
    redis_do(redis, "RPUSH belt:{q}:outbox a");
    expect(1, "warning", "outbox", "1 job on the way");
}

static void a_list_that_nobody_knows_is_found(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "RPUSH belt:{q}:active:held.1 a");
    redis_do(redis, "ZADD belt:{q}:leases 9999999999999 held.1");
    redis_do(redis, "RPUSH belt:{q}:active:ended.1 a");
    redis_do(redis, "ZADD belt:{q}:reaped 5 ended.1");
    redis_do(redis, "RPUSH other:{q}:active:x a");
    EXPECT(redis, NULL, 0, NULL, NULL, "doctor", "--strict");
    redis_do(redis, "RPUSH belt:{q}:active:ghost.1 a b c");
    expect(0, "warning", "orphan", "3 jobs in belt:{q}:active:ghost.1");
}

static void a_key_of_another_type_hides_no_other_queue(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "SADD belt:queues a z");
    redis_do(redis, "SET belt:{a}:retry x");
    redis_do(redis, "RPUSH belt:{z} x");
    expect(1, "wrong", "type", "belt:{a}:retry is a string");
    expect(1, "warning", "workers", "belt-worker -q z");
}

static void what_all_queues_share_has_types_too(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "SET belt:workers x");
    expect(1, "wrong", "type", "belt:workers is a string");
    redis_do(redis, "FLUSHALL");
    redis_do(redis, "SET belt:queues x");
    expect(1, "wrong", "type", "belt:queues is a string");
}

static void nothing_is_changed(void **state)
{
    (void)state;
    clean();
    redis_do(redis, "RPUSH belt:{q} a");
    long long keys = redis_int(redis, "DBSIZE");
    EXPECT(redis, NULL, 0, NULL, NULL, "doctor");
    assert_int_equal(redis_int(redis, "DBSIZE"), keys);
    char list[64];
    (void)redis_str(redis, list, sizeof(list), "LINDEX belt:{q} 0");
    assert_string_equal(list, "a");
    assert_int_equal(redis_int(redis, "EXISTS belt:{belt.doctor}"), 0);
}

static void what_is_asked_for_is_checked(void **state)
{
    (void)state;
    EXPECT(redis, NULL, 64, NULL, "not the name of a queue", "doctor", "a b");
    EXPECT(NULL, NULL, 69, NULL, "/nowhere", "doctor", "-u", "unix:///nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_as_it_should_be_is_well),
        cmocka_unit_test(a_server_that_loses_jobs_is_wrong),
        cmocka_unit_test(warnings_count_where_they_are_to),
        cmocka_unit_test(what_may_not_be_done_is_named),
        cmocka_unit_test(queues_in_trouble_are_named),
        cmocka_unit_test(a_list_that_nobody_knows_is_found),
        cmocka_unit_test(a_key_of_another_type_hides_no_other_queue),
        cmocka_unit_test(what_all_queues_share_has_types_too),
        cmocka_unit_test(nothing_is_changed),
        cmocka_unit_test(what_is_asked_for_is_checked),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
