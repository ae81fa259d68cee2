/*
 * Claims about a queue at work in which a stranger puts a key of another type
 * in the place of one of Belt's, for a moment: all jobs end, none is lost.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { STEP = 60, FIFTH = STEP / 5 };

/* Of five jobs one fails once, one for ever; the others take a moment. */
#define BODY                                                                   \
    "[ $(($p % 5)) != 1 ] || [ $BELT_ATTEMPT != 1 ] || exit 1\n"               \
    "[ $(($p % 5)) != 2 ] || exit 65\n"                                        \
    "exec sleep 0.005\n"

struct scene {
    struct redis *r;
    struct worker *w;
    unsigned pushed, was_noted, was_resync;
};

static void push_step(struct scene *s)
{
    for (unsigned i = 0; i < STEP; i++)
        redis_do(
            s->r, "RPUSH belt:{q} %s%u}",
            "{\"type\":\"note\",\"backoff\":[1],\"payload\":", s->pushed++);
}

/* Something of the worker met the key, or went on in spite of it. */
static bool is_felt(void *arg)
{
    struct scene *s = arg;
    return worker_count(s->w, "ev=resync") > s->was_resync ||
           noted(s->r, "jobs") >= s->was_noted + FIFTH;
}

static void plant(struct scene *s, const char *key, bool string)
{
    s->was_resync = worker_count(s->w, "ev=resync");
    s->was_noted = noted(s->r, "jobs");
    redis_do(s->r, "EVAL %s 1 %s %s",
             "if redis.call('EXISTS', KEYS[1]) == 1 then "
             "redis.call('RENAME', KEYS[1], KEYS[1] .. ':aside') end "
             "if ARGV[1] == 'string' then redis.call('SET', KEYS[1], 'x') "
             "else redis.call('SADD', KEYS[1], 'x') end",
             key, string ? "string" : "set");
}

static void unplant(struct scene *s, const char *key)
{
    redis_do(s->r, "EVAL %s 1 %s",
             "redis.call('DEL', KEYS[1]) "
             "if redis.call('EXISTS', KEYS[1] .. ':aside') == 1 then "
             "redis.call('RENAME', KEYS[1] .. ':aside', KEYS[1]) end",
             key);
}

/* Retried jobs are noted twice, as their first attempt and their second. */
static bool all_are_noted(void *arg)
{
    struct scene *s = arg;
    return noted_distinct(s->r, "jobs") == s->pushed &&
           redis_int(s->r, "ZCARD belt:{q}:dead") == s->pushed / 5;
}

static void with_planted(struct scene *s, const char *key, bool string)
{
    print_message("  %s\n", key);
    push_step(s);
    plant(s, key, string);
    assert_true(wait_until(is_felt, s, PATIENCE_MS));
    unplant(s, key);
    if (!wait_until(all_are_noted, s, PATIENCE_MS))
        fail_msg("%s: %u of %u jobs ran, %lld are dead", key,
                 noted_distinct(s->r, "jobs"), s->pushed,
                 redis_int(s->r, "ZCARD belt:{q}:dead"));
}

static void active_list(struct redis *r, char *out, size_t size)
{
    char lane[128];
    redisReply *lanes = redis_cmd(r, "ZRANGE belt:{q}:leases -1 -1");
    assert_int_equal(lanes->elements, 1);
    (void)snprintf(lane, sizeof(lane), "%s", lanes->element[0]->str);
    freeReplyObject(lanes);
    (void)snprintf(out, size, "belt:{q}:active:%s", lane);
}

static void planted_for_a_moment(void **state, bool string)
{
    static const char *const keys[] = {
        "belt:{q}",       "belt:{q}:leases",    "belt:{q}:lanes",
        "belt:{q}:dead",  "belt:{q}:scheduled", "belt:{q}:retry",
        "belt:{q}:stats", "belt:{q}:reaped",    "belt:{q}:config"};
    char active[192];
    struct scene s = {.r = *state};
    s.w = worker_up(s.r, NULL,
                    (const char *[]){"--threads", "2", "--handler",
                                     note_handler(s.r, BODY), NULL});
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        with_planted(&s, keys[i], string);
        active_list(s.r, active, sizeof(active));
        with_planted(&s, active, string);
    }
    assert_true(queue_at_rest(s.r, "q", PATIENCE_MS));
    assert_int_equal(redis_int(s.r, "ZCARD belt:{q}:dead"), s.pushed / 5);
    worker_signal(s.w, SIGTERM);
    assert_int_equal(worker_wait(s.w, PATIENCE_MS), 0);
    worker_free(s.w);
}

static void a_string_for_a_moment_loses_no_job(void **state)
{
    planted_for_a_moment(state, true);
}

static void a_set_for_a_moment_loses_no_job(void **state)
{
    planted_for_a_moment(state, false);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_string_for_a_moment_loses_no_job),
        CLAIM(a_set_for_a_moment_loses_no_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
