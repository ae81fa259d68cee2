/*
 * Claims about fetches in bulk: long lists of jobs with ids come that way,
 * others do not; wherever the connection is cut, and whoever dies, every job is
 * settled exactly once, and the accountant finds nothing wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/faults/journal.h"
#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { JOBS = 3000, STEP = 1000, PATIENCE_MS = 60 * 1000 };

static struct redis *redis;
static struct proxy *proxy;
static struct worker *running; /* NULL if none; for a test that fails */

static int start(void **state)
{
    static const struct redis_opts opts = {
        .appendonly = true, .conf = "auto-aof-rewrite-percentage 0"};
    (void)state;
    redis = redis_start(&opts);
    proxy = proxy_start(redis, 1);
    return 0;
}

static void forget(struct worker *w)
{
    worker_free(w);
    running = NULL;
}

static int stop(void **state)
{
    (void)state;
    forget(running);
    proxy_stop(proxy);
    redis_stop(redis);
    return 0;
}

/* Puts n jobs on the queue. */
static void fill(unsigned n, bool ids, unsigned pad)
{
    static unsigned serial; /* of the last job of all tests */
    unsigned first = serial + 1;
    serial += n;
    for (unsigned i = 0; i < n; i += STEP) {
        const char *argv[2 + STEP] = {"RPUSH", "belt:{q}"};
        size_t lens[2 + STEP] = {5, 8};
        struct buf texts[STEP] = {{0}};
        unsigned k = 0;
        for (; k < STEP && i + k < n; k++) {
            struct buf *b = &texts[k];
            buf_char(b, '{');
            if (ids)
                buf_printf(b, "\"id\":\"bulk-%u\",", first + i + k);
            buf_printf(b,
                       "\"type\":\"x\",\"payload\":{\"n\":%u,\"p\":\"%0*d\"}}",
                       first + i + k, (int)pad, 0);
            argv[2 + k] = b->data;
            lens[2 + k] = b->len;
        }
        freeReplyObject(redis_argv(redis, (int)k + 2, argv, lens));
        for (unsigned j = 0; j < k; j++)
            buf_done(&texts[j]);
    }
}

static struct worker *worker(const char *url, const char *host)
{
    char env_host[64];
    (void)snprintf(env_host, sizeof(env_host), "BELT_HOST=%s", host);
    running = worker_exec(redis,
                          (const char *[]){BELT_WORKER_BIN, "-u", url, "-q",
                                           "q", "--lease", "3s", "--handler",
                                           "x=builtin:noop", NULL},
                          (const char *[]){env_host, NULL});
    return running;
}

static long long calls(const char *command)
{
    char before[64], *text;
    (void)snprintf(before, sizeof(before), "cmdstat_%s:calls=", command);
    redisReply *info = redis_cmd(redis, "INFO commandstats");
    text = strstr(info->str, before);
    long long n = text == NULL ? 0 : strtoll(text + strlen(before), NULL, 10);
    freeReplyObject(info);
    return n;
}

static void expect_all_done(long long n)
{
    assert_true(queue_at_rest(redis, "q", PATIENCE_MS));
    assert_int_equal(queue_stat(redis, "q", "done"), n);
    assert_int_equal(queue_stat(redis, "q", "retried"), 0);
    assert_int_equal(queue_stat(redis, "q", "dead"), 0);
}

static void expect_right_books(void)
{
    redis_shutdown(redis);
    struct journal *j = journal_replay(redis_dir(redis), "q", 0, stderr);
    assert_int_equal(journal_breach_count(j), 0);
    assert_int_equal(journal_left(j), 0);
    journal_free(j);
    redis_restart(redis);
}

/* ---- what comes in bulk ---- */

static void end(struct worker *w)
{
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    forget(w);
}

static void long_lists_come_in_bulk(void **state)
{
    (void)state;
    fill(20000, true, 50);
    struct worker *w = worker(redis_url(redis), "a");
    expect_all_done(20000);
    assert_true(calls("sort") >= 5);
    /* The last token is that of the last job: none was given twice. */
    char last[32];
    (void)redis_str(redis, last, sizeof(last), "GET belt:{q}:fence");
    assert_string_equal(last, "20000");
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    end(w);
    expect_right_books();
}

static void jobs_without_ids_are_stamped_by_fetch(void **state)
{
    (void)state;
    fill(20000, false, 50);
    struct worker *w = worker(redis_url(redis), "a");
    expect_all_done(20000);
    assert_int_equal(calls("sort"), 0);
    end(w);
    expect_right_books();
}

/* One look at them in bulk costs a stamp each, then no more. */
static void jobs_without_ids_that_come_later_are_stamped(void **state)
{
    (void)state;
    fill(5000, true, 50);
    fill(20000, false, 50);
    struct worker *w = worker(redis_url(redis), "a");
    expect_all_done(25000);
    assert_true(calls("sort") > 0);
    assert_true(calls("lset") <= 2000);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    end(w);
    expect_right_books();
}

static void big_ones_come_too(void **state)
{
    (void)state;
    fill(400, true, 40000);
    fill(2000, true, 50);
    struct worker *w = worker(redis_url(redis), "a");
    expect_all_done(2400);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    end(w);
    expect_right_books();
}

static void without_a_right_to_sort_all_is_done_by_fetch(void **state)
{
    (void)state;
    redis_do(redis, "ACL SETUSER default -sort");
    fill(20000, true, 50);
    struct worker *w = worker(redis_url(redis), "a");
    expect_all_done(20000);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    end(w);
    redis_do(redis, "ACL SETUSER default +sort");
}

/* The last ones are fewer than those held, and are left to fetch. */
static void a_burst_ends_when_all_is_done_and_not_before(void **state)
{
    (void)state;
    for (int i = 1; i <= 20; i++) {
        fill(2000, true, 50);
        running = worker_exec(
            redis,
            (const char *[]){BELT_WORKER_BIN, "-u", redis_url(redis), "-q", "q",
                             "--handler", "x=builtin:noop", "--burst",
                             "--threads", i % 2 == 0 ? "4" : "1", NULL},
            NULL);
        assert_int_equal(worker_wait(running, PATIENCE_MS), 0);
        forget(running);
        assert_int_equal(redis_int(redis, "LLEN belt:{q}"), 0);
        assert_int_equal(queue_stat(redis, "q", "done"), 2000LL * i);
    }
    assert_true(calls("sort") > 0);
}

/* Then the list is looked at before the script has run. */
static void a_forgotten_script_is_loaded_again(void **state)
{
    (void)state;
    struct worker *w = worker(redis_url(redis), "a");
    assert_true(worker_is_up(w, 1));
    redis_do(redis, "SCRIPT FLUSH");
    fill(20000, true, 50);
    expect_all_done(20000);
    assert_true(calls("sort") > 0);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    end(w);
    expect_right_books();
}

/* ---- what goes wrong ---- */

static const struct cut {
    const char *command, *point;
} cuts[] = {{"fetch_bulk", "before"}, {"fetch_bulk", "after"},
            {"fetch_bulk", "middle"}, {"fetch_bulk", "late"},
            {"LRANGE", "before"},     {"LRANGE", "after"},
            {"LRANGE", "middle"},     {"LRANGE", "late"}};

static void wherever_it_is_cut_all_is_done_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        print_message("  %s %s\n", cuts[i].point, cuts[i].command);
        int64_t fired = proxy_ask(proxy, "fired 0");
        proxy_do(proxy, "cut 0 %s %s 1", cuts[i].point, cuts[i].command);
        fill(JOBS, true, 50);
        struct worker *w = worker(proxy_url(proxy, 0), "a");
        expect_all_done((long long)(i + 1) * JOBS);
        assert_int_equal(proxy_ask(proxy, "fired 0"), fired + 1);
        (void)proxy_ask(proxy, "late");
        expect_all_done((long long)(i + 1) * JOBS);
        assert_int_equal(worker_count(w, "ev=job_gone"), 0);
        end(w);
        expect_right_books();
    }
}

struct progress {
    long long done;
};

static bool is_done(void *arg)
{
    const struct progress *p = arg;
    return queue_stat(redis, "q", "done") >= p->done;
}

static void what_a_dead_worker_held_is_done_by_others(void **state)
{
    enum { MANY = 60000 };
    (void)state;
    fill(MANY, true, 50);
    for (int i = 1; i <= 5; i++) {
        struct progress p = {i * 8000};
        struct worker *w = worker(redis_url(redis), "a");
        assert_true(wait_until(is_done, &p, PATIENCE_MS));
        worker_signal(w, SIGKILL);
        (void)worker_wait(w, PATIENCE_MS);
        forget(w);
    }
    struct worker *w = worker(redis_url(redis), "a");
    assert_true(queue_at_rest(redis, "q", PATIENCE_MS));
    assert_int_equal(queue_stat(redis, "q", "done"), MANY);
    assert_true(calls("sort") > 0);
    end(w);
    expect_right_books();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(long_lists_come_in_bulk),
        TEST(jobs_without_ids_are_stamped_by_fetch),
        TEST(jobs_without_ids_that_come_later_are_stamped),
        TEST(big_ones_come_too),
        TEST(without_a_right_to_sort_all_is_done_by_fetch),
        TEST(a_burst_ends_when_all_is_done_and_not_before),
        TEST(a_forgotten_script_is_loaded_again),
        TEST(wherever_it_is_cut_all_is_done_once),
        TEST(what_a_dead_worker_held_is_done_by_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
