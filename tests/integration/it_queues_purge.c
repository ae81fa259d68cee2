/*
 * Claims about purging and deleting queues, while workers take jobs from
 * them, and though the command is killed.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { MANY = 10000, PATIENCE_MS = 10000 };

static struct redis *server;
static char *path; /* of the export */

static int setup(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    free(path);
    path = mem_printf("%s/export.ndjson", redis_dir(server));
    (void)unlink(path);
    return 0;
}

static void fill(int n)
{
    redis_do(
        server, "EVAL %s 0 %d",
        "for i = 0, tonumber(ARGV[1]) - 1 do redis.call('RPUSH', "
        "'belt:{q}', string.format('{\"id\":\"%08d\",\"type\":\"t\"}', i)) "
        "end",
        n);
}

static char *file_text(void)
{
    struct buf b = {0};
    FILE *f = fopen(path, "r");
    char block[65536];
    size_t n;

    assert_non_null(f);
    buf_str(&b, "");
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        buf_append(&b, block, n);
    (void)fclose(f);
    return buf_take(&b);
}

/* How often each of them is in the text. */
static void count(const char *text, unsigned char *seen)
{
    for (const char *p = text; (p = strstr(p, "{\"id\":\"")) != NULL; p++) {
        long i = strtol(p + 7, NULL, 10);
        assert_true(i >= 0 && i < MANY);
        seen[i]++;
    }
}

static void count_list(const char *key, unsigned char *seen)
{
    redisReply *all = redis_cmd(server, "LRANGE %s 0 -1", key);

    for (size_t i = 0; i < all->elements; i++)
        count(all->element[i]->str, seen);
    freeReplyObject(all);
}

/* ---- purge ---- */

static void purge_takes_jobs_with_what_they_hold(void **state)
{
    (void)state;
    redis_do(server, "RPUSH belt:{q} %s %s rubbish",
             "{\"id\":\"a\",\"type\":\"t\",\"unique\":\"k\",\"keep\":1000}",
             "{\"type\":\"t\"}");
    redis_do(server, "SET belt:{q}:unique:k a");
    redis_do(server, "HSET belt:{q}:job:a state ready");
    EXPECT(server, NULL, 0, "3 purged\n", NULL, "queues", "purge", "q",
           "--yes");
    assert_int_equal(redis_int(server, "EXISTS belt:{q} belt:{q}:unique:k "
                                       "belt:{q}:job:a"),
                     0);
    assert_int_equal(redis_int(server, "HINCRBY belt:{q}:stats purged 0"), 3);
    EXPECT(server, NULL, 0, "{\"purged\":0}", NULL, "queues", "purge", "q",
           "--yes", "-o", "ndjson");
}

static void purge_is_not_done_by_a_slip(void **state)
{
    (void)state;
    fill(3);
    EXPECT(server, "q\n", 64, "", "needs --yes", "queues", "purge", "q");
    EXPECT(server, NULL, 64, "", "--state: gone", "queues", "purge", "q",
           "--yes", "--state", "gone");
    EXPECT(server, NULL, 73, "", "No such file", "queues", "purge", "q",
           "--yes", "--export", "/none/there");
    EXPECT(server, NULL, 0, "3 purged\n", NULL, "queues", "purge", "q", "--yes",
           "--export", path);
    fill(3);
    EXPECT(server, NULL, 73, "", "exists", "queues", "purge", "q", "--yes",
           "--export", path);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 3);
}

static void purge_exports_every_state(void **state)
{
    (void)state;
    fill(2);
    redis_do(server, "ZADD belt:{q}:scheduled 99999999999999 %s",
             "{\"id\":\"s\",\"type\":\"t\"}");
    redis_do(server, "ZADD belt:{q}:retry 99999999999999 %s",
             "{\"id\":\"r\",\"type\":\"t\"}");
    redis_do(server, "ZADD belt:{q}:dead 1 %s 2 nonsense",
             "{\"id\":\"d\",\"type\":\"t\"}");
    EXPECT(server, NULL, 0, "6 purged\n", NULL, "queues", "purge", "q", "--yes",
           "--state", "all", "--export", path);
    char *text = file_text();
    static const char first[] = "{\"id\":\"00000000\",\"type\":\"t\"}\n"
                                "{\"id\":\"00000001\",\"type\":\"t\"}\n"
                                "{\"id\":\"s\",\"type\":\"t\"}\n"
                                "{\"id\":\"r\",\"type\":\"t\"}\n"
                                "{\"id\":\"d\",\"type\":\"t\"}\n";
    assert_memory_equal(text, first, sizeof(first) - 1);
    assert_non_null(strstr(text, "belt.invalid"));
    free(text);
    assert_int_equal(redis_int(server, "EXISTS belt:{q} belt:{q}:scheduled "
                                       "belt:{q}:retry belt:{q}:dead"),
                     0);
}

static bool has_written(void *arg)
{
    struct stat st;

    (void)arg;
    return stat(path, &st) == 0 && st.st_size > 20000;
}

/* A worker takes some from the head between any two steps. */
static void what_workers_take_is_not_purged(void **state)
{
    unsigned char *purged = mem_new(MANY), *taken = mem_new(MANY);
    struct cli c;
    struct cli_result r;
    const char *args[] = {"queues",   "purge", "q", "--yes",
                          "--export", path,    NULL};
    (void)state;
    fill(MANY);
    cli_start(&c, server, -1, args);
    while (redis_int(server, "LLEN belt:{q}") > 0)
        redis_do(server, "LMOVE belt:{q} belt:{q}:taken LEFT RIGHT");
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    cli_result_done(&r);
    char *text = file_text();
    count(text, purged);
    free(text);
    count_list("belt:{q}:taken", taken);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(purged[i] + taken[i], 1);
    free(purged);
    free(taken);
}

/* At worst a job is in the file and in the queue. */
static void a_killed_purge_loses_nothing(void **state)
{
    unsigned char *seen = mem_new(MANY);
    struct cli c;
    struct cli_result r;
    const char *args[] = {"queues",   "purge", "q", "--yes",
                          "--export", path,    NULL};
    (void)state;
    fill(MANY);
    cli_start(&c, server, -1, args);
    assert_true(wait_until(has_written, NULL, PATIENCE_MS));
    kill(c.pid, SIGKILL);
    cli_finish(&c, &r);
    cli_result_done(&r);
    char *text = file_text();
    count(text, seen);
    free(text);
    count_list("belt:{q}", seen);
    for (int i = 0; i < MANY; i++)
        assert_true(seen[i] >= 1);
    free(seen);
}

/*
 * Lines that are longer than a buffer go to the file at once: the write fails,
 * and a flush behind it has nothing left to fail with.
 */
static void a_full_disk_loses_nothing(void **state)
{
    static const char *const sets[] = {"ready", "dead"};
    struct rlimit was, small;
    struct buf big = {0};

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){64 * 1024, was.rlim_max};
    buf_str(&big, "{\"id\":\"a\",\"type\":\"t\",\"payload\":\"");
    for (int i = 0; i < 100 * 1024; i++)
        buf_char(&big, 'x');
    buf_str(&big, "\"}");
    redis_do(server, "RPUSH belt:{q} %s", big.data);
    redis_do(server, "ZADD belt:{q}:dead 1 %s", big.data);
    buf_done(&big);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        (void)unlink(path);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        struct cli_result r = CLI(server, NULL, "queues", "purge", "q", "--yes",
                                  "--state", sets[i], "--export", path);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        assert_int_equal(r.status, 74);
        assert_non_null(strstr(r.err, "File too large"));
        cli_result_done(&r);
    }
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(redis_int(server, "LLEN belt:{q}"), 1);
    assert_int_equal(redis_int(server, "ZCARD belt:{q}:dead"), 1);
}

/* ---- delete ---- */

static void delete_refuses_a_queue_in_use(void **state)
{
    static const struct {
        const char *command, *why;
        bool forced; /* --force does it */
    } uses[] = {
        {"ZADD belt:{q}:leases 99999999999999 l", "at work on it", false},
        {"ZADD belt:{q}:leases 5 l", "ran out", true},
        {"RPUSH belt:{q} x", "1 jobs are ready", true},
        {"ZADD belt:{q}:dead 5 x", "1 jobs are dead", true},
        {"ZADD belt:{q}:retry 5 x", "to be retried", true},
        {"ZADD belt:{q}:scheduled 5 x", "scheduled", true},
        {"RPUSH belt:{q}:outbox x", "another queue", false},
        {"RPUSH belt:{q}:active:l x", "held by a worker", false},
        {"HSET belt:{q}:cron c {}", "periodic", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        redis_do(server, "FLUSHALL");
        redis_do(server, uses[i].command);
        redis_do(server, "SADD belt:queues q");
        EXPECT(server, NULL, 1, "", uses[i].why, "queues", "delete", "q",
               "--yes");
        assert_int_equal(redis_int(server, "DBSIZE"), 2);
        EXPECT(server, NULL, uses[i].forced ? 0 : 1, "", NULL, "queues",
               "delete", "q", "--yes", "--force");
        assert_int_equal(redis_int(server, "DBSIZE"), uses[i].forced ? 0 : 2);
    }
}

static void delete_takes_all_of_it_and_no_more(void **state)
{
    static const char *const kinds[] = {
        "job:1", "log:1", "unique:k", "pending:k", "once:1", "stats:29000000"};
    (void)state;
    redis_do(server, "SADD belt:queues q other");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        redis_do(server, "SET belt:{q}:%s x", kinds[i]);
        redis_do(server, "SET belt:{other}:%s x", kinds[i]);
    }
    redis_do(server, "EVAL %s 0",
             "for i = 1, 3000 do redis.call('SET', 'belt:{q}:job:' .. i, 1) "
             "end");
    redis_do(server, "HSET belt:{q}:stats done 1");
    redis_do(server, "HSET belt:{q}:config max_length 1");
    redis_do(server, "SET belt:{q}:fence 7");
    redis_do(server, "SET belt:{q}:stranger 1");
    EXPECT(server, NULL, 64, "", "needs --yes", "queues", "delete", "q");
    EXPECT(server, NULL, 0, "q deleted\n", NULL, "queues", "delete", "q",
           "--yes");
    assert_int_equal(redis_int(server, "DBSIZE"), 6 + 2);
    assert_int_equal(redis_int(server, "EXISTS belt:{q}:stranger"), 1);
    assert_int_equal(redis_int(server, "SISMEMBER belt:queues q"), 0);
    assert_int_equal(redis_int(server, "SISMEMBER belt:queues other"), 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

static int begin(void **state)
{
    (void)state;
    server = redis_start(NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    redis_stop(server);
    free(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(purge_takes_jobs_with_what_they_hold),
        TEST(purge_is_not_done_by_a_slip),
        TEST(purge_exports_every_state),
        TEST(what_workers_take_is_not_purged),
        TEST(a_killed_purge_loses_nothing),
        TEST(a_full_disk_loses_nothing),
        TEST(delete_refuses_a_queue_in_use),
        TEST(delete_takes_all_of_it_and_no_more),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
