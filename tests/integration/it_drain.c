/*
 * Claims about stopping: what has not begun goes back to the head in its
 * order, what runs may finish, and each signal more hurries.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/story.h"
#include "tests/unit/unit.h"

enum { QUICK = 3000, SLOW = 400 };

static struct worker *start(struct redis *r, const char *const *flags)
{
    struct worker *w = worker_start(r, NULL, flags);
    assert_true(worker_is_up(w, 1));
    return w;
}

static void touch(const char *path)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fclose(f);
}

/* Tells its payload, and ends when there is a file. */
static const char waits[] = "echo \"$(cat)\" >> told\n"
                            "while [ ! -e go ]; do sleep 0.02; done\n";

/*
 * Quick jobs make the window wide, so that many slow ones are held when the
 * last of the quick ones is done.
 */
static void fill(struct redis *r)
{
    queue_fill(r, "q", "quick", 0, QUICK);
    queue_fill(r, "q", "slow", 0, SLOW);
}

/* From payload first on, none missing, none run and none recovered. */
static void expect_untouched(struct redis *r, long long first)
{
    char text[4096];
    for (long long i = 0; i < SLOW - first; i++) {
        assert_int_equal(story_payload(r, "q", i), first + i);
        (void)redis_str(r, text, sizeof(text), "LINDEX belt:{q} %lld", i);
        assert_null(strstr(text, "\"attempt\""));
        assert_null(strstr(text, "\"recovered\""));
    }
}

static void unstarted_jobs_are_back_at_the_head_in_order(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    const char *slow = story_script(r, "slow", "slow", waits);
    (void)state;
    fill(r);
    struct worker *w = start(
        r, (const char *[]){"-q", "q", "--threads", "2", "--handler",
                            "quick=builtin:noop", "--handler", slow, NULL});
    story_lines(told, 2);
    worker_signal(w, SIGTERM);
    story_int(r, SLOW - 2, "LLEN belt:{q}");
    story_said(w, "ev=drain", 1);
    expect_untouched(r, 2);
    assert_true(story_lives(worker_pid(w)));
    assert_int_equal(queue_active(r, "q"), 2);
    touch(go);
    story_ends(w, 0);
    assert_int_equal(queue_stat(r, "q", "done"), QUICK + 2);
    expect_untouched(r, 2);
    assert_int_equal(file_lines(told), 2);
    story_no_lanes(r, "q");
}

static void several_workers_lose_and_double_nothing(void **state)
{
    enum { WORKERS = 3 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    const char *slow = story_script(r, "slow", "slow", waits);
    struct worker *w[WORKERS];
    bool seen[SLOW] = {false};
    (void)state;
    fill(r);
    for (int i = 0; i < WORKERS; i++)
        w[i] = worker_start(r, NULL,
                            (const char *[]){"-q", "q", "--threads", "2",
                                             "--handler", "quick=builtin:noop",
                                             "--handler", slow, NULL});
    story_lines(told, 2 * WORKERS);
    for (int i = 0; i < WORKERS; i++)
        worker_signal(w[i], SIGTERM);
    story_int(r, SLOW - 2 * WORKERS, "LLEN belt:{q}");
    touch(go);
    for (int i = 0; i < WORKERS; i++)
        story_ends(w[i], 0);
    assert_int_equal(file_distinct_lines(told), 2 * WORKERS);
    assert_int_equal(queue_stat(r, "q", "done"), QUICK + 2 * WORKERS);
    for (int i = 0; i < SLOW - 2 * WORKERS; i++) {
        long long n = story_payload(r, "q", i);
        assert_false(seen[n]);
        seen[n] = true;
    }
    story_no_lanes(r, "q");
}

/* Each run tells the attempt and the recoveries that it was told. */
static const char stubborn[] = "trap '' TERM\n"
                               "echo $BELT_ATTEMPT $BELT_RECOVERED >> told\n"
                               "while [ ! -e go ]; do sleep 0.02; done\n";

static void drain_timeout_gives_back_uncounted(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    const char *slow = story_script(r, "slow", "stubborn", stubborn);
    const char *const flags[] = {"-q",
                                 "q",
                                 "--drain-timeout",
                                 "300ms",
                                 "--kill-after",
                                 "100ms",
                                 "--threads",
                                 "1",
                                 "--handler",
                                 slow,
                                 NULL};
    (void)state;
    redis_do(r, "RPUSH belt:{q} %s",
             "{\"recovered\":[1000],\"id\":\"a\",\"type\":\"slow\","
             "\"payload\":1,\"attempt\":2}");
    struct worker *w = start(r, flags);
    story_lines(told, 1);
    pid_t child = story_child(worker_pid(w), "stubborn");
    assert_true(child > 0);
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
    assert_false(story_lives(child));
    assert_int_equal(redis_int(r, "LLEN belt:{q}"), 1);
    assert_int_equal(queue_stat(r, "q", "retried"), 0);
    story_no_lanes(r, "q");

    touch(go);
    w = start(r, flags);
    story_stat(r, "q", "done", 1);
    assert_int_equal(story_count(told, "3 1\n"), 2);
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

static void second_signal_hurries(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)story_path(r, "go");
    const char *slow = story_script(r, "slow", "polite", waits);
    (void)state;
    queue_fill(r, "q", "slow", 7, 1);
    struct worker *w = start(r, (const char *[]){"-q", "q", "--drain-timeout",
                                                 "1h", "--kill-after", "1h",
                                                 "--handler", slow, NULL});
    story_lines(told, 1);
    worker_signal(w, SIGTERM);
    story_said(w, "ev=drain", 1);
    story_renewals(r, "q", 1);
    assert_int_equal(queue_active(r, "q"), 1);
    worker_signal(w, SIGINT);
    story_ends(w, 0);
    assert_int_equal(story_payload(r, "q", 0), 7);
    assert_int_equal(queue_stat(r, "q", "released"), 1);
}

static void third_signal_kills_who_ignores_term(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)story_path(r, "go");
    const char *slow = story_script(r, "slow", "stubborn", stubborn);
    (void)state;
    queue_fill(r, "q", "slow", 7, 1);
    struct worker *w = start(r, (const char *[]){"-q", "q", "--drain-timeout",
                                                 "1h", "--kill-after", "1h",
                                                 "--handler", slow, NULL});
    story_lines(told, 1);
    pid_t child = story_child(worker_pid(w), "stubborn");
    worker_signal(w, SIGTERM);
    story_said(w, "ev=drain", 1);
    worker_signal(w, SIGTERM);
    story_said(w, "ev=stop", 1);
    story_renewals(r, "q", 1);
    assert_true(story_lives(child));
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
    assert_false(story_lives(child));
    assert_int_equal(story_payload(r, "q", 0), 7);
}

static void quiet_fetches_nothing_more_and_stays(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *go = story_path(r, "go");
    const char *slow = story_script(r, "slow", "slow", waits);
    (void)state;
    queue_fill(r, "q", "slow", 1, 1);
    struct worker *w =
        start(r, (const char *[]){"-q", "q", "--handler", slow, NULL});
    story_lines(told, 1);
    story_blocked(r, 1);
    worker_signal(w, SIGUSR1);
    story_blocked(r, 0);
    queue_fill(r, "q", "slow", 2, 1);
    touch(go);
    story_stat(r, "q", "done", 1);
    story_renewals(r, "q", 3);
    assert_int_equal(redis_int(r, "LLEN belt:{q}"), 1);
    assert_int_equal(file_lines(told), 1);
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:leases"), 1);
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

/* A job that tells when it was settled, since it is kept. */
static void push_kept(struct redis *r, unsigned payload)
{
    char text[96];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"x\",\"payload\":%u,\"keep\":600000}", payload);
    redis_do(r, "RPUSH belt:{q} %s", text);
}

/* Done, or ready in the old order: each job is one of the two. */
static void expect_whole(struct redis *r, unsigned jobs)
{
    long long done = queue_stat(r, "q", "done"), last = -1;
    char text[4096], id[64];
    redisReply *kept = redis_cmd(r, "KEYS belt:{q}:job:*");
    assert_int_equal(kept->elements, done);
    freeReplyObject(kept);
    assert_int_equal(redis_int(r, "LLEN belt:{q}"), jobs - done);
    for (long long i = 0; i < jobs - done; i++) {
        assert_true(story_payload(r, "q", i) > last);
        last = story_payload(r, "q", i);
        (void)redis_str(r, text, sizeof(text), "LINDEX belt:{q} %lld", i);
        if (sscanf(text, "{\"id\":\"%63[^\"]", id) == 1)
            assert_int_equal(redis_int(r, "EXISTS belt:{q}:job:%s", id), 0);
    }
    story_no_lanes(r, "q");
}

/* The signal meets a worker that waits while a row of jobs comes. */
static void one_round(struct redis *r, unsigned round)
{
    enum { JOBS = 12 };
    struct worker *w =
        start(r, (const char *[]){"-q", "q", "--threads", "1", "--handler",
                                  "x=builtin:noop", NULL});
    story_blocked(r, 1);
    for (unsigned i = 0; i < JOBS; i++) {
        if (i == round % (JOBS + 1))
            worker_signal(w, SIGTERM);
        push_kept(r, i);
    }
    if (round % (JOBS + 1) == JOBS)
        worker_signal(w, SIGTERM);
    story_ends(w, 0);
    expect_whole(r, JOBS);
    redis_do(r, "FLUSHALL");
}

static void a_job_that_meets_the_signal_is_neither_lost_nor_moved(void **state)
{
    unsigned rounds = story_sanitized ? 26 : 130;
    struct redis *r = story_redis();
    (void)state;
    for (unsigned round = 0; round < rounds; round++)
        one_round(r, round);
}

static bool has_ended_under_fire(void *arg)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (worker_has_ended(arg))
            return true;
        worker_signal(arg, SIGTERM);
    }
    return false;
}

/* Up to its last instruction. */
static void signals_in_the_end_do_not_spoil_the_exit_code(void **state)
{
    enum { ROUNDS = 5 };
    struct redis *r = story_redis();
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct worker *w = start(r, (const char *[]){"-q", "q", "--handler",
                                                     "x=builtin:noop", NULL});
        story_until("the end", has_ended_under_fire, w);
        story_ends(w, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unstarted_jobs_are_back_at_the_head_in_order),
        cmocka_unit_test(several_workers_lose_and_double_nothing),
        cmocka_unit_test(drain_timeout_gives_back_uncounted),
        cmocka_unit_test(second_signal_hurries),
        cmocka_unit_test(third_signal_kills_who_ignores_term),
        cmocka_unit_test(quiet_fetches_nothing_more_and_stays),
        cmocka_unit_test(a_job_that_meets_the_signal_is_neither_lost_nor_moved),
        cmocka_unit_test(signals_in_the_end_do_not_spoil_the_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
