/*
 * Claims about --burst, which ends with the work, and about paused queues.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/story.h"
#include "tests/unit/unit.h"

static const char tells[] = "echo \"$BELT_QUEUE $(cat)\" >> told\n";

/* Pushes a smaller job to the queue after this one, down to zero. */
static const char pushes[] =
    "n=$(cat)\n"
    "echo \"$BELT_QUEUE $n\" >> told\n"
    "[ $n -gt 0 ] || exit 0\n"
    "case $BELT_QUEUE in a) to=b;; b) to=c;; *) to=a;; esac\n"
    "redis-cli -s redis.sock RPUSH \"belt:{$to}\" "
    "\"{\\\"type\\\":\\\"x\\\",\\\"payload\\\":$((n - 1))}\" >/dev/null\n";

static struct worker *burst(struct redis *r, const char *queues,
                            const char *handler)
{
    return worker_start(
        r, NULL,
        (const char *[]){"-q", queues, "--burst", "--handler", handler, NULL});
}

static void empty_queues_end_it_at_once(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    story_ends(burst(r, "a,b,c", "x=builtin:noop"), 0);
    story_no_lanes(r, "a");
    story_no_lanes(r, "c");
}

static void it_ends_when_all_is_done(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    queue_fill(r, "a", "x", 0, 3000);
    queue_fill(r, "b", "x", 0, 50);
    story_ends(burst(r, "a,b", "x=builtin:noop"), 0);
    assert_int_equal(queue_stat(r, "a", "done"), 3000);
    assert_int_equal(queue_stat(r, "b", "done"), 50);
    story_no_lanes(r, "a");
}

/* Each job pushes the next to another queue, also to one found empty. */
static void chain(const char *queues)
{
    enum { LINKS = 12 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    queue_fill(r, "a", "x", LINKS, 1);
    story_ends(burst(r, queues, story_script(r, "x", "pushes", pushes)), 0);
    assert_int_equal(file_distinct_lines(told), LINKS + 1);
    assert_int_equal(redis_int(r, "EXISTS belt:{a} belt:{b} belt:{c}"), 0);
}

static void jobs_that_push_jobs_keep_it_going(void **state)
{
    (void)state;
    chain("a,b,c");
    chain("c,b,a");
    chain("b:2,a:1,c:5");
}

static void what_waits_for_its_retry_does_not_keep_it(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    queue_fill(r, "a", "x", 0, 5);
    story_ends(burst(r, "a", "x=builtin:fail"), 0);
    assert_int_equal(redis_int(r, "ZCARD belt:{a}:retry"), 5);
    assert_int_equal(queue_stat(r, "a", "retried"), 5);
}

static void a_running_job_keeps_it(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    queue_fill(r, "a", "x", 1, 1);
    struct worker *w =
        burst(r, "a",
              story_script(r, "x", "waits",
                           "echo began >> told\n"
                           "while [ ! -e go ]; do sleep 0.02; done\n"));
    story_lines(told, 1);
    story_renewals(r, "a", 2);
    assert_true(story_lives(worker_pid(w)));
    queue_fill(r, "a", "x", 2, 1);
    FILE *f = fopen(story_path(r, "go"), "we");
    assert_non_null(f);
    (void)fclose(f);
    story_ends(w, 0);
    assert_int_equal(queue_stat(r, "a", "done"), 2);
}

static void a_paused_queue_has_nothing_ready(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    redis_do(r, "HSET belt:{a}:config paused 1");
    queue_fill(r, "a", "x", 0, 10);
    queue_fill(r, "b", "x", 0, 10);
    story_ends(burst(r, "a,b", "x=builtin:noop"), 0);
    assert_int_equal(redis_int(r, "LLEN belt:{a}"), 10);
    assert_int_equal(queue_stat(r, "b", "done"), 10);
    story_no_lanes(r, "a");
}

static void no_job_of_a_paused_queue_starts(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", "a,b", "--handler",
                         story_script(r, "x", "tells", tells), NULL});
    story_blocked(r, 2);
    redis_do(r, "HSET belt:{a}:config paused 1");
    story_blocked(r, 1); /* it has taken its BLMOVE back */
    queue_fill(r, "a", "x", 0, 5);
    queue_fill(r, "b", "x", 0, 1);
    story_lines(told, 1);
    story_renewals(r, "a", 3);
    assert_int_equal(file_lines(told), 1);
    assert_int_equal(redis_int(r, "LLEN belt:{a}"), 5);
    redis_do(r, "HDEL belt:{a}:config paused");
    story_lines(told, 6);
    assert_int_equal(file_distinct_lines(told), 6);
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
    assert_int_equal(queue_stat(r, "a", "done"), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_queues_end_it_at_once),
        cmocka_unit_test(it_ends_when_all_is_done),
        cmocka_unit_test(jobs_that_push_jobs_keep_it_going),
        cmocka_unit_test(what_waits_for_its_retry_does_not_keep_it),
        cmocka_unit_test(a_running_job_keeps_it),
        cmocka_unit_test(a_paused_queue_has_nothing_ready),
        cmocka_unit_test(no_job_of_a_paused_queue_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
