/*
 * Claims about delivery at most once: a job may be lost with its worker, and
 * is never run twice.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/story.h"
#include "tests/unit/unit.h"

static const char tells[] = "echo \"$(cat)\" >> told\n";
static const char waits[] = "echo \"$(cat)\" >> told\n"
                            "while [ ! -e go ]; do sleep 0.02; done\n";

static struct worker *once(struct redis *r, const char *handler,
                           const char *more)
{
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", "q", "--delivery", "at-most-once", "--threads",
                         "2", "--handler", "quick=builtin:noop", "--handler",
                         "fails=builtin:fail", "--handler", handler, more,
                         NULL});
    assert_true(worker_is_up(w, 1));
    return w;
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

static void expect_no_list(struct redis *r)
{
    redisReply *lists = redis_cmd(r, "KEYS belt:{q}:active:*");
    assert_int_equal(lists->elements, 0);
    freeReplyObject(lists);
}

struct progress {
    struct redis *r;
    long long done;
};

static bool is_done_without_lists(void *arg)
{
    struct progress *p = arg;
    expect_no_list(p->r);
    return queue_stat(p->r, "q", "done") == p->done;
}

static void it_works_without_active_lists(void **state)
{
    struct redis *r = story_redis();
    struct progress p = {r, 3000};
    (void)state;
    queue_fill(r, "q", "quick", 0, 3000);
    struct worker *w = once(r, "x=builtin:sleep 20ms", NULL);
    story_until("3000 quick jobs", is_done_without_lists, &p);
    for (p.done = 3001; p.done < 3010; p.done++) {
        story_blocked(r, 1);
        queue_fill(r, "q", "x", 0, 1);
        story_until("a job that came to an idle worker", is_done_without_lists,
                    &p);
    }
    stop(w);
    story_no_lanes(r, "q");
}

static void sigkill_loses_at_most_what_was_held(void **state)
{
    enum { JOBS = 300 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    const char *x = story_script(r, "x", "tells", tells);
    (void)state;
    queue_fill(r, "q", "x", 0, JOBS);
    struct worker *w = once(r, x, NULL);
    story_lines(told, JOBS / 4);
    worker_signal(w, SIGKILL);
    story_ends(w, -SIGKILL);
    long long taken = JOBS - redis_int(r, "LLEN belt:{q}");
    long long held = taken - queue_stat(r, "q", "done");
    assert_true(taken < JOBS);
    story_ends(once(r, x, "--burst"), 0);
    unsigned runs = file_lines(told);
    assert_int_equal(file_distinct_lines(told), runs);
    assert_in_range(runs, JOBS - held, JOBS);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:dead"), 0);
}

static void drain_gives_the_unstarted_back_in_order(void **state)
{
    enum { QUICK = 3000, SLOW = 200 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    queue_fill(r, "q", "quick", 0, QUICK);
    queue_fill(r, "q", "x", 0, SLOW);
    struct worker *w = once(r, story_script(r, "x", "waits", waits), NULL);
    story_lines(told, 2);
    worker_signal(w, SIGTERM);
    story_int(r, SLOW - 2, "LLEN belt:{q}");
    for (long long i = 0; i < SLOW - 2; i++)
        assert_int_equal(story_payload(r, "q", i), i + 2);
    FILE *f = fopen(story_path(r, "go"), "we");
    assert_non_null(f);
    (void)fclose(f);
    story_ends(w, 0);
    assert_int_equal(queue_stat(r, "q", "done"), QUICK + 2);
    assert_int_equal(redis_int(r, "LLEN belt:{q}"), SLOW - 2);
    assert_int_equal(file_lines(told), 2);
}

static void failing_jobs_are_retried(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    for (int i = 0; i < 3; i++)
        redis_do(r, "RPUSH belt:{q} %s",
                 "{\"type\":\"fails\",\"max_attempts\":3,\"backoff\":[50]}");
    struct worker *w = once(r, "x=builtin:noop", NULL);
    story_stat(r, "q", "dead", 3);
    assert_int_equal(queue_stat(r, "q", "retried"), 6);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:dead"), 3);
    assert_true(queue_at_rest(r, "q", STORY_MS));
    stop(w);
}

static bool has_last(void *arg)
{
    return story_count(*(const char **)arg, "1000000") > 0;
}

/* Nothing tells whether a cut settle or push ran: it is not sent again. */
static void cut_connections_run_nothing_twice(void **state)
{
    enum { CUTS = 30, JOBS = 20 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    struct worker *w = once(r, story_script(r, "x", "tells", tells), NULL);
    for (unsigned i = 0; i < CUTS; i++) {
        unsigned before = file_lines(told);
        queue_fill(r, "q", "quick", 0, 300);
        queue_fill(r, "q", "x", i * JOBS, JOBS);
        if (i % 3 != 0)
            story_lines(told, before + i % 3);
        (void)redis_int(r, "CLIENT KILL TYPE normal SKIPME yes");
    }
    queue_fill(r, "q", "x", 1000000, 1);
    story_until("the last job", has_last, &told);
    stop(w);
    assert_int_equal(file_distinct_lines(told), file_lines(told));
}

static bool is_unlocked(void *arg)
{
    return redis_int(arg, "EXISTS belt:{q}:unique:k") == 0;
}

/* The end of a job may never come: the worker is killed while it runs. */
static void a_lock_ends_when_its_job_starts(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    redis_do(r, "SET belt:{q}:unique:k j1");
    redis_do(r, "SET belt:{q}:unique:t j2");
    redis_do(r, "RPUSH belt:{q} %s %s",
             "{\"id\":\"j1\",\"type\":\"x\",\"unique\":\"k\"}",
             "{\"id\":\"j2\",\"type\":\"quick\",\"unique\":{\"key\":\"t\","
             "\"until\":\"time\",\"ttl\":60000}}");
    struct worker *w = once(r, story_script(r, "x", "waits", waits), NULL);
    story_until("the lock has gone though its job runs", is_unlocked, r);
    story_stat(r, "q", "done", 1);
    worker_signal(w, SIGKILL);
    story_ends(w, -SIGKILL);
    assert_int_equal(redis_int(r, "EXISTS belt:{q}:unique:t"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_works_without_active_lists),
        cmocka_unit_test(sigkill_loses_at_most_what_was_held),
        cmocka_unit_test(drain_gives_the_unstarted_back_in_order),
        cmocka_unit_test(failing_jobs_are_retried),
        cmocka_unit_test(cut_connections_run_nothing_twice),
        cmocka_unit_test(a_lock_ends_when_its_job_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
