/*
 * Claims about jobs that kill their workers: they end dead, and take nobody
 * with them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

#define DAY_MS (24 * 3600 * 1000LL)

static const char tells[] = "echo \"$(cat)\" >> told\n";

/* A job as reap leaves it behind, after workers died with it at that time. */
static void push_recovered(struct redis *r, unsigned payload, unsigned times,
                           int64_t at_ms)
{
    char text[512], list[256] = "";
    for (unsigned i = 0; i < times; i++) {
        size_t len = strlen(list);
        (void)snprintf(list + len, sizeof(list) - len, "%s%lld",
                       i > 0 ? "," : "", (long long)at_ms - i);
    }
    (void)snprintf(text, sizeof(text),
                   "{\"recovered\":[%s],\"id\":\"j%u\",\"type\":\"x\","
                   "\"payload\":%u}",
                   list, payload, payload);
    redis_do(r, "RPUSH belt:{q} %s", text);
}

static struct worker *start(struct redis *r, const char *handler,
                            const char *max_recoveries)
{
    return worker_start(r, NULL,
                        (const char *[]){"-q", "q", "--threads", "4",
                                         "--max-recoveries", max_recoveries,
                                         "--handler", handler, NULL});
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

/* The only dead job has all these texts. */
static void expect_dead(struct redis *r, const char *const *texts)
{
    redisReply *dead = redis_cmd(r, "ZRANGE belt:{q}:dead 0 -1");
    assert_int_equal(dead->elements, 1);
    for (; *texts != NULL; texts++) {
        if (strstr(dead->element[0]->str, *texts) == NULL)
            fail_msg("no %s in %s", *texts, dead->element[0]->str);
    }
    freeReplyObject(dead);
}

static void three_recoveries_end_it_unrun(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    int64_t now = clock_wall_ms();
    (void)state;
    push_recovered(r, 1, 3, now);
    push_recovered(r, 2, 5, now - 4 * DAY_MS);
    push_recovered(r, 3, 1, now);
    struct worker *w = start(r, story_script(r, "x", "tells", tells), "3");
    story_stat(r, "q", "done", 2);
    stop(w);
    expect_dead(r,
                (const char *[]){"\"id\":\"j1\"", "\"class\":\"poison\"",
                                 "recovered 3 times", "\"attempt\":0", NULL});
    assert_int_equal(story_count(told, "1"), 0);
    assert_int_equal(file_lines(told), 2);
    assert_int_equal(queue_stat(r, "q", "dead"), 1);
}

static void limit_zero_gives_none_up(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    push_recovered(r, 1, 9, clock_wall_ms());
    struct worker *w = start(r, story_script(r, "x", "tells", tells), "0");
    story_lines(told, 1);
    story_stat(r, "q", "done", 1);
    stop(w);
}

static void at_most_one_that_is_near_is_held(void **state)
{
    enum { JOBS = 9 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    /* A run that meets another says so. */
    const char *x = story_script(r, "x", "alone",
                                 "mkdir busy || echo clash >> told\n"
                                 "echo \"$(cat)\" >> told\n"
                                 "while [ ! -e go ]; do sleep 0.02; done\n"
                                 "sleep 0.05\n"
                                 "rmdir busy\n");
    (void)state;
    for (unsigned i = 0; i < JOBS; i++)
        push_recovered(r, i, 2, clock_wall_ms());
    struct worker *w = start(r, x, "3");
    story_lines(told, 1);
    story_int(r, JOBS - 1, "LLEN belt:{q}");
    assert_int_equal(queue_active(r, "q"), 1);
    story_renewals(r, "q", 2);
    assert_int_equal(file_lines(told), 1);
    for (int i = 0; i < JOBS - 1; i++)
        assert_int_equal(story_payload(r, "q", i), i + 1);
    FILE *f = fopen(story_path(r, "go"), "we");
    assert_non_null(f);
    (void)fclose(f);
    story_stat(r, "q", "done", JOBS);
    stop(w);
    assert_int_equal(story_count(told, "clash"), 0);
    assert_int_equal(file_lines(told), JOBS);
}

/* A worker of short jobs takes hundreds at a time, recovered ones among them.
 */
static void what_came_with_recovered_jobs_is_given_back(void **state)
{
    enum { PARTS = 20, PART = 300 };
    struct redis *r = story_redis();
    (void)state;
    for (unsigned i = 0; i < PARTS; i++) {
        queue_fill(r, "q", "x", i * PART, PART);
        push_recovered(r, i, 1, clock_wall_ms());
    }
    struct worker *w = start(r, "x=builtin:noop", "3");
    story_stat(r, "q", "done", PARTS * (PART + 1));
    assert_true(queue_stat(r, "q", "released") >= PART);
    stop(w);
}

enum { WORKERS = 2, INNOCENT = 30 };

/* Restarts workers as a service manager does. */
struct fleet {
    struct redis *r;
    const char *handler;
    struct worker *w[WORKERS];
    unsigned died;
};

static bool is_judged(void *arg)
{
    struct fleet *f = arg;
    for (int i = 0; i < WORKERS; i++) {
        if (story_lives(worker_pid(f->w[i])))
            continue;
        story_ends(f->w[i], -SIGKILL);
        f->died++;
        f->w[i] = start(f->r, f->handler, "3");
    }
    return queue_stat(f->r, "q", "dead") > 0 &&
           queue_stat(f->r, "q", "done") == INNOCENT;
}

static void one_trial(void)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    struct fleet f = {.r = r,
                      .handler = story_script(r, "x", "x",
                                              "n=$(cat)\n"
                                              "[ $n = 13 ] && kill -9 $PPID &&"
                                              " exec sleep 1000\n"
                                              "sleep 0.03\n"
                                              "echo $n >> told\n")};
    queue_fill(r, "q", "x", 0, INNOCENT + 1);
    for (int i = 0; i < WORKERS; i++)
        f.w[i] = start(r, f.handler, "3");
    story_until("the innocent done and the guilty dead", is_judged, &f);
    for (int i = 0; i < WORKERS; i++)
        stop(f.w[i]);
    expect_dead(r, (const char *[]){"\"payload\":13", "\"class\":\"poison\"",
                                    "recovered 3 times", NULL});
    assert_int_equal(f.died, 3);
    assert_int_equal(file_distinct_lines(told), INNOCENT);
    assert_int_equal(story_count(told, "13"), 0);
    assert_true(queue_at_rest(r, "q", STORY_MS));
}

static void the_guilty_dies_and_the_innocent_live(void **state)
{
    (void)state;
    for (int i = 0; i < (story_sanitized ? 2 : 5); i++)
        one_trial();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_recoveries_end_it_unrun),
        cmocka_unit_test(limit_zero_gives_none_up),
        cmocka_unit_test(at_most_one_that_is_near_is_held),
        cmocka_unit_test(what_came_with_recovered_jobs_is_given_back),
        cmocka_unit_test(the_guilty_dies_and_the_innocent_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
