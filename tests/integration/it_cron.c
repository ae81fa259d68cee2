/*
 * Claims about periodic jobs that workers push.
 *
 * Where a tick is to come at once, the entry is a yearly one, and the test
 * says when it is due.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/job/cron_entry.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/integration/story.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define YEARLY "\"spec\":\"0 0 1 1 *\",\"type\":\"t\""
#define SECONDLY "\"spec\":\"@every 1s\",\"type\":\"t\",\"catch_up\":\"all\""

enum { ENTRIES = 20, KILLS = 4, WORKERS = 3, BIG_MAX_KB = 48 * 1024 };

static void put(const char *name, const char *json, int64_t due_ms)
{
    redis_do(runs_redis, "HSET belt:{q}:cron %s %s", name, json);
    redis_do(runs_redis, "ZADD belt:{q}:cron:due %lld %s", (long long)due_ms,
             name);
    redis_do(runs_redis, "PUBLISH belt:{q}:control cron");
}

/* Lets an entry be due now; returns the instant. */
static int64_t due_now(const char *name)
{
    int64_t now_ms = clock_wall_ms();
    redis_do(runs_redis, "ZADD belt:{q}:cron:due %lld %s", (long long)now_ms,
             name);
    redis_do(runs_redis, "PUBLISH belt:{q}:control cron");
    return now_ms;
}

/* When it is due; -1: never. */
static long long due_of(const char *name)
{
    char text[32];
    (void)redis_str(runs_redis, text, sizeof(text),
                    "ZSCORE belt:{q}:cron:due %s", name);
    return text[0] == '(' ? -1 : strtoll(text, NULL, 10);
}

static bool is_due_otherwise(void *arg)
{
    return due_of("n") != *(long long *)arg;
}

static bool are_two_due(void *arg)
{
    (void)arg;
    return redis_int(runs_redis, "ZCARD belt:{q}:cron:due") == 2;
}

static bool has_begun(void *arg)
{
    (void)arg;
    return file_lines(runs_out()) > 0;
}

static void pause_queue(void)
{
    redis_do(runs_redis, "HSET belt:{q}:config paused 1 version 1");
}

/* ---- each once ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Ids in ready, sorted: those of an entry stand together, in order. */
static unsigned expect_no_gap_and_no_twin(void)
{
    redisReply *r = redis_cmd(runs_redis, "LRANGE belt:{q} 0 -1");
    char **ids = calloc(r->elements + 1, sizeof(*ids));
    unsigned gaps = 0;
    for (size_t i = 0; i < r->elements; i++)
        ids[i] = r->element[i]->str + strlen("{\"id\":\"cron:");
    qsort((void *)ids, r->elements, sizeof(*ids), by_text);
    for (size_t i = 1; i < r->elements; i++) {
        long long a, b;
        char name[2][8];
        assert_int_equal(sscanf(ids[i - 1], "%7[^:]:%lld", name[0], &a), 2);
        assert_int_equal(sscanf(ids[i], "%7[^:]:%lld", name[1], &b), 2);
        if (strcmp(name[0], name[1]) == 0 && b - a != 1000) {
            print_error("%.30s, then %.30s\n", ids[i - 1], ids[i]);
            gaps++;
        }
    }
    unsigned n = (unsigned)r->elements;
    free((void *)ids);
    freeReplyObject(r);
    assert_int_equal(gaps, 0);
    return n;
}

static void each_tick_comes_once_whoever_dies(void **state)
{
    struct worker *w[WORKERS];
    char name[8];
    unsigned random = 3;
    (void)state;
    pause_queue();
    int64_t begin_ms = clock_wall_ms() / 1000 * 1000 - 30000;
    for (int i = 0; i < ENTRIES; i++) {
        (void)snprintf(name, sizeof(name), "e%02d", i);
        put(name, "{" SECONDLY "}", begin_ms + 50LL * i);
    }
    for (int i = 0; i < WORKERS; i++)
        w[i] = worker_start(runs_redis, NULL,
                            (const char *[]){"-q", "q", "--handler",
                                             "t=builtin:noop", "--lease", "3s",
                                             NULL});
    for (int i = 0; i < KILLS; i++) {
        long long n = queue_stat(runs_redis, "q", "ticked");
        runs_await_stat("ticked", n + 1 + (random = random * 5 % 7));
        worker_signal(w[i % WORKERS], SIGKILL);
        worker_free(w[i % WORKERS]);
        w[i % WORKERS] = worker_start(runs_redis, NULL,
                                      (const char *[]){"-q", "q", "--handler",
                                                       "t=builtin:noop",
                                                       "--lease", "3s", NULL});
    }
    runs_await_stat("ticked", ENTRIES * 31);
    for (int i = 0; i < WORKERS; i++)
        worker_free(w[i]);
    unsigned n = expect_no_gap_and_no_twin();
    assert_int_equal(n, queue_stat(runs_redis, "q", "ticked"));
    assert_int_equal(n, queue_stat(runs_redis, "q", "pushed"));
    /* What is due next is right behind the last that was pushed. */
    assert_int_equal(redis_int(runs_redis, "ZCARD belt:{q}:cron:due"), ENTRIES);
}

/* ---- overlap, times ---- */

static void a_tick_is_skipped_until_the_last_one_has_ended(void **state)
{
    (void)state;
    struct worker *w = runs_worker(
        "--handler",
        runs_handler("t", "echo begun >>$out\nwhile [ ! -e $out.gate ]; do "
                          "sleep 0.02; done"),
        NULL);
    put("n", "{" YEARLY ",\"overlap\":\"skip\",\"tz\":\"Asia/Kathmandu\"}",
        clock_wall_ms());
    runs_await_stat("ticked", 1);
    /* Midnight there. */
    assert_int_equal(due_of("n") / 1000 % 86400, 86400 - (5 * 60 + 45) * 60);
    due_now("n");
    runs_await_stat("tick_skipped", 1);
    assert_int_equal(queue_stat(runs_redis, "q", "ticked"), 1);
    (void)script_file(runs_redis, "out.gate", "");
    runs_await_stat("done", 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:unique:cron:n"), 0);
    due_now("n");
    runs_await_stat("done", 2);
    runs_end(w);
}

/* The lock is the job's: whoever has it next lets it go. */
static void the_death_of_a_worker_does_not_end_the_lock(void **state)
{
    (void)state;
    struct worker *w = worker_start(
        runs_redis, NULL,
        (const char *[]){"-q", "q", "--lease", "3s", "--handler",
                         runs_handler("t", "echo x >>$out\nsleep 60"), NULL});
    put("n", "{" YEARLY ",\"overlap\":\"skip\"}", clock_wall_ms());
    runs_await("EXISTS belt:{q}:unique:cron:n", 1);
    runs_await_stat("ticked", 1);
    assert_true(wait_until(has_begun, NULL, RUN_MS));
    worker_free(w); /* KILL */
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:unique:cron:n"), 1);
    w = runs_worker("--handler", "t=builtin:noop", "--lease", "3s", NULL);
    runs_await_stat("done", 1);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:unique:cron:n"), 0);
    runs_end(w);
}

static void an_entry_comes_as_often_as_it_says(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    int64_t due_ms = clock_wall_ms();
    put("n", "{" YEARLY ",\"times\":2,\"mine\":{\"a\":1},\"keep\":60000}",
        due_ms);
    runs_await_stat("done", 1);
    char text[256];
    assert_string_equal(redis_str(runs_redis, text, sizeof(text),
                                  "HGET belt:{q}:job:cron:n:%lld type",
                                  (long long)due_ms),
                        "t");
    assert_string_equal(
        redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:cron n"),
        "{" YEARLY ",\"mine\":{\"a\":1},\"keep\":60000,\"times\":1}");
    due_now("n");
    runs_await_stat("done", 2);
    assert_int_equal(
        redis_int(runs_redis, "EXISTS belt:{q}:cron belt:{q}:cron:due"), 0);
    runs_end(w);
}

/* ---- what was missed ---- */

static void ticks_that_were_missed_are_made_up_for_as_it_says(void **state)
{
    int64_t now_ms = clock_wall_ms(), hour_ms = 3600 * 1000;
    (void)state;
    pause_queue();
    /* Every minute, by elapsed time; ten of them were missed. */
    static const char *const catch_ups[] = {"none", "last", "all"};
    for (int i = 0; i < 3; i++) {
        char json[128];
        (void)snprintf(json, sizeof(json),
                       "{\"spec\":\"@every 1m\",\"type\":\"t\",\"catch_up\":"
                       "\"%s\"}",
                       catch_ups[i]);
        put(catch_ups[i], json, now_ms - 10 * 60000 - 30000);
    }
    /* Once an hour, half an hour late; and a day late. */
    put("hourly", "{\"spec\":\"@every 1h\",\"type\":\"t\"}",
        now_ms - hour_ms / 2);
    put("strict",
        "{\"spec\":\"@every 1h\",\"type\":\"t\",\"catch_up\":\"none\"}",
        now_ms - hour_ms / 2);
    put("old", "{" YEARLY "}", now_ms - 24 * hour_ms);
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    runs_await_stat("ticked", 11 + 1 + 1 + 1);
    runs_await("ZCOUNT belt:{q}:cron:due -inf +inf", 6);
    char count[96];
    (void)snprintf(count, sizeof(count), "ZCOUNT belt:{q}:cron:due %lld +inf",
                   (long long)now_ms);
    runs_await(count, 6);
    assert_int_equal(queue_stat(runs_redis, "q", "ticked"), 11 + 1 + 1 + 1);
    runs_end(w);
}

static void jitter_comes_before_the_tick(void **state)
{
    struct cron_entry *e;
    struct errbuf eb;
    const char *json = "{" YEARLY ",\"jitter\":1000}";
    (void)state;
    assert_int_equal(cron_entry_parse("n", json, strlen(json), &e, &eb), 0);
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    int64_t due_ms = clock_wall_ms();
    while (cron_claim_ms(e, due_ms) - due_ms < 200 ||
           cron_claim_ms(e, due_ms) - due_ms > 500)
        due_ms--;
    put("other", "{" YEARLY "}", due_ms + 1); /* behind it, and before it */
    put("n", json, due_ms);
    runs_await_stat("ticked", 1);
    assert_int_equal(due_of("n"), due_ms);
    runs_await_stat("ticked", 2);
    assert_true(clock_wall_ms() >= cron_claim_ms(e, due_ms));
    cron_entry_free(e);
    runs_end(w);
}

/* ---- what strangers put there ---- */

static void what_is_no_entry_is_said_once_and_stops_nobody(void **state)
{
    int64_t old_ms = clock_wall_ms() - 1000;
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    put("bad", "{\"spec\":\"* * * *\"}", old_ms);
    put("worse", "nonsense", old_ms);
    put("mars", "{" YEARLY ",\"tz\":\"Mars/Olympus\"}", old_ms);
    put("paused", "{" YEARLY ",\"paused\":true}", old_ms);
    redis_do(runs_redis, "ZADD belt:{q}:cron:due -5 a:b -inf nobody 1 never");
    put("n", "{" YEARLY "}", old_ms);
    runs_await_stat("done", 1);
    /* The zone may be known elsewhere; the others are not due any more. */
    struct cli_result r;
    runs_await("ZCOUNT belt:{q}:cron:due (1 +inf", 2);
    assert_true(wait_until(are_two_due, NULL, RUN_MS));
    assert_true(redis_int(runs_redis, "HEXISTS belt:{q}:cron bad"));
    assert_int_equal(worker_count(w, "cron=bad"), 1);
    assert_int_equal(worker_count(w, "cron=worse"), 1);
    assert_int_equal(worker_count(w, "cron=mars"), 1);
    r = CLI(runs_redis, NULL, "cron", "list", "-q", "q");
    assert_non_null(strstr(r.out, "invalid"));
    cli_result_done(&r);
    runs_end(w);
}

/* A worker may have no zones at all. */
static void a_zone_that_is_missing_is_said_once(void **state)
{
    int64_t old_ms = clock_wall_ms() - 1000;
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    for (int i = 0; i < 60; i++) { /* more than a page */
        char name[16];
        (void)snprintf(name, sizeof(name), "mars-%d", i);
        put(name, "{" YEARLY ",\"tz\":\"Mars/Olympus\"}", old_ms);
    }
    put("n", "{" YEARLY "}", clock_wall_ms());
    runs_await_stat("done", 1);
    assert_int_equal(worker_count(w, "Mars/Olympus"), 1);
    runs_end(w);
}

/* Sixteen entries of four megabytes, of which none may be more than 64 KiB. */
static void big_ones_do_not_need_their_memory_at_once(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    redis_do(runs_redis, "EVAL %s 2 belt:{q}:cron belt:{q}:cron:due",
             "for i = 1, 16 do redis.call('HSET', KEYS[1], 'e' .. i, "
             "string.rep('x', 4194304)) "
             "redis.call('ZADD', KEYS[2], i, 'e' .. i) end");
    put("n", "{" YEARLY "}", clock_wall_ms());
    runs_await_stat("done", 1);
    runs_await("ZCARD belt:{q}:cron:due", 1);
    if (!story_sanitized)
        assert_in_range(story_status(worker_pid(w), "VmHWM:"), 1, BIG_MAX_KB);
    runs_end(w);
}

/* ---- the configuration ---- */

static struct worker *with_file(const char *text)
{
    const char *path = script_file(runs_redis, "belt.conf", text);
    return runs_worker("-c", path, NULL);
}

#define HANDLER "handler \"t\" { builtin = noop }\n"

static void entries_of_the_file_are_written_if_they_differ(void **state)
{
    char first[512], text[512];
    (void)state;
    struct worker *w = with_file(
        HANDLER "cron \"n\" { queue = q spec = \"0 0 1 1 *\" type = t }\n"
                "cron \"o\" { queue = other spec = \"@daily\" type = t }\n");
    runs_await("EXISTS belt:{other}:cron:due", 1);
    runs_end(w);
    (void)redis_str(runs_redis, first, sizeof(first), "HGET belt:{q}:cron n");
    long long due = due_of("n");

    /* The same file leaves it alone, pause and all. */
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cron", "pause", "n", "-q", "q");
    redis_do(runs_redis, "HDEL belt:{other}:cron o");
    w = with_file(HANDLER
                  "cron \"n\" { queue = q spec = \"0 0 1 1 *\" type = t }\n"
                  "cron \"o\" { queue = other spec = \"@daily\" type = t }\n");
    runs_await("HLEN belt:{other}:cron", 1);
    runs_end(w);
    assert_int_equal(redis_int(runs_redis, "EXISTS belt:{q}:cron:due"), 0);
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cron", "resume", "n", "-q", "q");
    assert_int_equal(due_of("n"), due);

    /* Another payload keeps the instant, another spec does not. */
    w = with_file(HANDLER "cron \"n\" { queue = q spec = \"0 0 1 1 *\" type = "
                          "t payload = '[7]' }\n");
    runs_await("HSTRLEN belt:{q}:cron n", (long long)strlen(first) + 5);
    runs_end(w);
    assert_int_equal(due_of("n"), due);
    w = with_file(HANDLER "cron \"n\" { queue = q spec = \"0 0 2 1 *\" type = "
                          "t }\n");
    assert_true(wait_until(is_due_otherwise, &due, RUN_MS));
    assert_int_equal(due_of("n"), due + 86400000);
    runs_end(w);
    /* What is gone from the file stays. */
    assert_int_equal(redis_int(runs_redis, "HEXISTS belt:{other}:cron o"), 1);
    (void)redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:cron n");
    assert_non_null(strstr(text, "\"source\":\"config\""));
}

/* ---- by hand ---- */

static void people_add_pause_resume_and_run(void **state)
{
    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cron", "add", "n", "* * * * * *",
           "t", "-q", "q", "--catch-up", "all");
    runs_await_stat("done", 1); /* within a second: lanes hear of it */
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cron", "pause", "n", "-q", "q");
    long long n = queue_stat(runs_redis, "q", "ticked");
    EXPECT(runs_redis, NULL, 0, "q/cron:n:run:", NULL, "cron", "run", "n", "-q",
           "q");
    runs_await_stat("done", n + 1);
    assert_int_equal(queue_stat(runs_redis, "q", "ticked"), n);
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cron", "resume", "n", "-q", "q");
    runs_await_stat("ticked", n + 1);
    EXPECT(runs_redis, NULL, 0, NULL, NULL, "cron", "remove", "n", "-q", "q");
    runs_end(w);
    assert_int_equal(
        redis_int(runs_redis, "EXISTS belt:{q}:cron belt:{q}:cron:due"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_tick_comes_once_whoever_dies),
        T(a_tick_is_skipped_until_the_last_one_has_ended),
        T(the_death_of_a_worker_does_not_end_the_lock),
        T(an_entry_comes_as_often_as_it_says),
        T(ticks_that_were_missed_are_made_up_for_as_it_says),
        T(jitter_comes_before_the_tick),
        T(what_is_no_entry_is_said_once_and_stops_nobody),
        T(a_zone_that_is_missing_is_said_once),
        T(big_ones_do_not_need_their_memory_at_once),
        T(entries_of_the_file_are_written_if_they_differ),
        T(people_add_pause_resume_and_run),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
