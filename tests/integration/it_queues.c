/*
 * Claims about a worker of several queues: strict order, weights, and that a
 * busy worker does not hold what another one could run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/story.h"
#include "tests/unit/unit.h"

/* Tells queue and payload; a job of a queue with jobs takes a while. */
static const char tells[] = "echo \"$BELT_QUEUE $(cat)\" >> told\n";
static const char takes[] = "echo \"$BELT_QUEUE $(cat)\" >> told\n"
                            "while [ ! -e go ]; do sleep 0.02; done\n";

static struct worker *start(struct redis *r, const char *queues,
                            const char *handler, const char *window,
                            unsigned lanes)
{
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", queues, "--threads", "1", "--max-window", window,
                         "--handler", handler, "--handler", "noop=builtin:noop",
                         NULL});
    assert_true(worker_is_up(w, lanes));
    return w;
}

static void touch(const char *path)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fclose(f);
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

/* Lines among the first n of the file that begin so. */
static unsigned among_first(const char *path, unsigned n, const char *beginning)
{
    char *text = story_read(path), *p = text;
    unsigned found = 0;
    for (; n > 0 && *p != '\0'; n--) {
        char *end = strchr(p, '\n');
        found += strncmp(p, beginning, strlen(beginning)) == 0;
        assert_non_null(end);
        p = end + 1;
    }
    assert_int_equal(n, 0);
    free(text);
    return found;
}

/* Both lanes are up and the only thread is busy until there is a go. */
static struct worker *start_busy(struct redis *r, const char *queues,
                                 const char *window)
{
    const char *told = story_path(r, "told");
    const char *gate = story_script(r, "gate", "takes", takes);
    struct worker *w = worker_start(
        r, NULL,
        (const char *[]){"-q", queues, "--threads", "1", "--max-window", window,
                         "--handler", gate, "--handler",
                         story_script(r, "x", "tells", tells), "--handler",
                         "noop=builtin:noop", NULL});
    story_blocked(r, 2);
    queue_fill(r, "b", "gate", 9999, 1);
    story_lines(told, 1);
    story_blocked(r, 0);
    return w;
}

static void strict_order_empties_the_first_queue_first(void **state)
{
    enum { JOBS = 150 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    (void)state;
    struct worker *w = start_busy(r, "a,b", "1000");
    queue_fill(r, "b", "x", 0, JOBS);
    queue_fill(r, "a", "x", 0, JOBS);
    touch(go);
    story_lines(told, 2 * JOBS + 1);
    assert_int_equal(among_first(told, JOBS + 1, "a "), JOBS);
    assert_int_equal(file_distinct_lines(told), 2 * JOBS + 1);
    stop(w);
}

/* Runs of a among the first n, with three times the weight of b. */
static void expect_three_to_one(const char *told, unsigned n)
{
    unsigned a = among_first(told, n, "a ");
    if (a < n * 3 / 4 - n / 20 || a > n * 3 / 4 + n / 20)
        fail_msg("%u of %u runs are of a, not three of four", a, n);
}

static void share(const char *window)
{
    enum { JOBS = 160 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    queue_fill(r, "a", "x", 0, JOBS);
    queue_fill(r, "b", "x", 0, JOBS);
    struct worker *w =
        start(r, "a:3,b:1", story_script(r, "x", "tells", tells), window, 2);
    story_lines(told, 2 * JOBS);
    expect_three_to_one(told, JOBS);
    stop(w);
}

static void weights_share_the_runs(void **state)
{
    (void)state;
    share("1000");
}

static void weights_share_the_runs_of_a_window_of_one(void **state)
{
    (void)state;
    share("1");
}

/* What one did not want while it was empty is not owed to it. */
static void an_idle_queue_saves_no_turns(void **state)
{
    enum { JOBS = 120 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    (void)state;
    queue_fill(r, "a", "noop", 0, 5000);
    struct worker *w = start_busy(r, "a:3,b:1", "1");
    story_stat(r, "a", "done", 5000);
    queue_fill(r, "a", "x", 0, JOBS);
    queue_fill(r, "b", "x", 0, JOBS);
    touch(go);
    story_lines(told, 2 * JOBS + 1);
    expect_three_to_one(told, JOBS);
    stop(w);
}

static void a_job_of_a_higher_queue_is_run_next(void **state)
{
    enum { ROUNDS = 5 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    /* Each run waits for a go of its own. */
    const char *step =
        story_script(r, "x", "step",
                     "echo \"$BELT_QUEUE $(cat)\" >> told\n"
                     "while ! mv go gone 2>/dev/null; do sleep 0.02; done\n");
    (void)state;
    queue_fill(r, "low", "x", 0, 4 * ROUNDS);
    struct worker *w = start(r, "high,low", step, "1", 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        story_lines(told, 3 * i + 1);
        /* The full worker has taken its BLMOVE of high back. */
        story_blocked(r, 0);
        queue_fill(r, "high", "x", i, 1);
        assert_int_equal(redis_int(r, "LLEN belt:{high}"), 1);
        touch(go);
        story_lines(told, 3 * i + 2);
        assert_int_equal(story_count(told, "high "), i + 1);
        touch(go);
        story_lines(told, 3 * i + 3);
        touch(go);
    }
    assert_int_equal(story_count(told, "low "), 2 * ROUNDS);
    worker_signal(w, SIGKILL);
    story_ends(w, -SIGKILL);
}

static void an_idle_worker_waits_on_all_its_queues(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    struct worker *w =
        start(r, "a,b,c", story_script(r, "x", "tells", tells), "1000", 3);
    static const char *const queues[] = {"c", "a", "b", "c"};
    for (unsigned i = 0; i < 4; i++) {
        story_blocked(r, 3);
        queue_fill(r, queues[i], "x", i, 1);
        story_lines(told, i + 1);
    }
    stop(w);
}

static void a_full_worker_does_not_hold_what_another_could_run(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    const char *slow = story_script(r, "long", "takes", takes);
    const char *quick = story_script(r, "short", "tells", tells);
    const char *const flags[] = {"-q",        "a,b",       "--threads",
                                 "1",         "--handler", slow,
                                 "--handler", quick,       NULL};
    (void)state;
    struct worker *w = worker_start(r, NULL, flags);
    assert_true(worker_is_up(w, 2));
    story_blocked(r, 2);
    queue_fill(r, "a", "long", 1, 1);
    story_lines(told, 1);
    story_blocked(r, 0);
    queue_fill(r, "b", "short", 2, 1);
    struct worker *other = worker_start(r, NULL, flags);
    story_lines(told, 2);
    assert_int_equal(story_count(told, "b 2"), 1);
    assert_int_equal(queue_active(r, "a"), 1);
    touch(go);
    story_stat(r, "a", "done", 1);
    stop(w);
    stop(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_order_empties_the_first_queue_first),
        cmocka_unit_test(weights_share_the_runs),
        cmocka_unit_test(weights_share_the_runs_of_a_window_of_one),
        cmocka_unit_test(an_idle_queue_saves_no_turns),
        cmocka_unit_test(a_job_of_a_higher_queue_is_run_next),
        cmocka_unit_test(an_idle_worker_waits_on_all_its_queues),
        cmocka_unit_test(a_full_worker_does_not_hold_what_another_could_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
