/*
 * Claims about belt wait: it ends when the jobs do, without asking meanwhile,
 * and whatever becomes of the connection.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

static void hash(const char *id, const char *fields)
{
    char *command = mem_printf("HSET belt:{q}:job:%s %s", id, fields);

    redis_do(runs_redis, command);
    free(command);
}

/* Writes the last news, and tells of it, in one step. */
static void tell(const char *id, const char *state, const char *fields)
{
    redis_do(runs_redis, "MULTI");
    hash(id, fields);
    redis_do(runs_redis, "PUBLISH belt:{q}:job:%s %s", id, state);
    redis_do(runs_redis, "EXEC");
}

struct subscribers {
    const char *id;
    long long n;
};

static bool are_there(void *arg)
{
    const struct subscribers *s = arg;
    redisReply *r =
        redis_cmd(runs_redis, "PUBSUB NUMSUB belt:{q}:job:%s", s->id);
    bool found = r->elements == 2 && r->element[1]->integer == s->n;

    freeReplyObject(r);
    return found;
}

static void await_subscriber(const char *id)
{
    struct subscribers s = {id, 1};

    if (!wait_until(are_there, &s, RUN_MS))
        fail_msg("nobody waits for %s", id);
}

/* Starts belt wait with these arguments; it waits for the job of this id. */
static void start(struct cli *c, const char *id, const char *const *args)
{
    cli_start(c, runs_redis, -1, args);
    await_subscriber(id);
}

#define START(c, id, ...)                                                      \
    start((c), (id), (const char *const[]){"wait", __VA_ARGS__, NULL})

static void finish(struct cli *c, int status, const char *in_out,
                   const char *in_err)
{
    struct cli_result r;

    cli_finish(c, &r);
    if (r.status != status || !strstr(r.out, in_out) || !strstr(r.err, in_err))
        fail_msg("status %d instead of %d\n%s%s", r.status, status, r.out,
                 r.err);
    cli_result_done(&r);
}

static void it_ends_as_the_job_does(void **state)
{
    static const struct {
        const char *state, *fields;
        int status;
    } ends[] = {
        {"done", "state done result yes", 0},
        {"dead", "state dead exit 7 error no", 7},
        {"dead", "state dead exit 137 error killed", 137},
        {"dead", "state dead error poison", 1},
        {"dead", "state dead exit 0", 1},
        {"dead", "state dead exit 999", 1},
        {"cancelled", "state cancelled", 1},
        {"expired", "state expired", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct cli c;
        redis_do(runs_redis, "DEL belt:{q}:job:a");
        hash("a", "state active");
        START(&c, "a", "q/a");
        tell("a", ends[i].state, ends[i].fields);
        finish(&c, ends[i].status, ends[i].state, "");
        EXPECT(runs_redis, NULL, ends[i].status, ends[i].state, "", "wait",
               "q/a");
    }
}

/* What ends a text: one newline less for people, all for programs. */
static void a_table_leaves_out_the_newline_at_the_end(void **state)
{
    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:a state done result %s", "yes\n\n");
    EXPECT(runs_redis, NULL, 0, "  yes\\n\n", "", "wait", "q/a");
    EXPECT(runs_redis, NULL, 0, "\"yes\\n\\n\"", "", "wait", "q/a", "--json");
    EXPECT(runs_redis, NULL, 0, "yes\\n\\n", "", "wait", "q/a", "-o", "tsv");
    EXPECT(runs_redis, NULL, 0, /* places that programs count on */
           "queue\tid\tstate\tattempt\tworker\tstarted_at\tended_at\tresult\t"
           "error\texit\n",
           "", "result", "q/a", "-o", "tsv");
    struct cli_result r = CLI(runs_redis, NULL, "wait", "q/a", "--raw");
    assert_string_equal(r.out, "yes\n\n");
    cli_result_done(&r);
    redis_do(runs_redis, "HSET belt:{q}:job:a result %s", "\n");
    EXPECT(runs_redis, NULL, 0, "done", "", "wait", "q/a");
}

static void other_news_do_not_end_it(void **state)
{
    struct cli c;

    (void)state;
    hash("a", "state active");
    START(&c, "a", "q/a", "--raw");
    redis_do(runs_redis, "PUBLISH belt:{q}:job:a done"); /* but it is not */
    tell("a", "ready", "state ready");
    tell("a", "done", "state done result x");
    finish(&c, 0, "x", "");
}

static void several_are_waited_for(void **state)
{
    struct cli c;

    (void)state;
    redis_do(runs_redis, "SADD belt:queues q");
    hash("a", "state done");
    hash("b", "state active");
    START(&c, "b", "q/a", "q/b", "q/b");
    tell("b", "done", "state done");
    finish(&c, 0, "q/b", "");
    hash("b", "state active");
    START(&c, "b", "q/a", "b", "q/gone");
    tell("b", "done", "state done");
    finish(&c, 1, "q/b", "q/gone: not kept");
    hash("b", "state active");
    START(&c, "b", "q/a", "q/b");
    tell("b", "dead", "state dead exit 9");
    finish(&c, 1, "q/b", "");
}

static void the_first_of_several_is_enough(void **state)
{
    struct cli c;

    (void)state;
    redis_do(runs_redis, "SADD belt:queues q");
    hash("a", "state active");
    hash("b", "state active");
    START(&c, "b", "q/a", "b", "--any", "-o", "ndjson");
    tell("b", "dead", "state dead exit 9");
    finish(&c, 9, "\"id\":\"b\"", "");
}

static bool has_read(void *arg)
{
    const long long *before = arg;

    return runs_info("commandstats", "cmdstat_hmget:calls=") > *before;
}

/* It subscribes, and then it looks at what was so before. */
static void await_look(long long before)
{
    if (!wait_until(has_read, &before, RUN_MS))
        fail_msg("nobody looks");
}

static void what_is_not_kept_is_not_waited_for(void **state)
{
    long long looks;
    struct cli c;

    (void)state;
    EXPECT(runs_redis, NULL, 1, "", "q/a: not kept", "wait", "q/a");
    EXPECT(runs_redis, NULL, 1, "", "a: in no queue", "wait", "a");
    hash("a", "state active");
    looks = runs_info("commandstats", "cmdstat_hmget:calls=");
    START(&c, "a", "q/a");
    await_look(looks);
    redis_do(runs_redis, "MULTI");
    redis_do(runs_redis, "DEL belt:{q}:job:a");
    redis_do(runs_redis, "PUBLISH belt:{q}:job:a removed");
    redis_do(runs_redis, "EXEC");
    finish(&c, 1, "", "q/a: removed, or not kept any longer");
    /* Kept for so short a time that only the message tells. */
    hash("a", "state active");
    looks = runs_info("commandstats", "cmdstat_hmget:calls=");
    START(&c, "a", "q/a");
    await_look(looks);
    redis_do(runs_redis, "MULTI");
    redis_do(runs_redis, "DEL belt:{q}:job:a");
    redis_do(runs_redis, "PUBLISH belt:{q}:job:a done");
    redis_do(runs_redis, "EXEC");
    finish(&c, 0, "done", "");
}

static void names_come_from_stdin_too(void **state)
{
    (void)state;
    hash("a", "state done");
    EXPECT(runs_redis, "q/a\n", 0, "q/a", "", "wait", "-");
    EXPECT(runs_redis, "q/a\n?\n", 65, "", "line 2: not QUEUE/ID", "wait", "-");
    EXPECT(runs_redis, "", 0, "", "", "wait", "-");
    EXPECT(runs_redis, NULL, 64, "", "--raw is for one job", "wait", "--raw",
           "q/a", "q/b");
}

static void an_interrupt_ends_it(void **state)
{
    struct cli c;

    (void)state;
    hash("a", "state active");
    START(&c, "a", "q/a");
    kill(c.pid, SIGINT);
    finish(&c, 130, "", "");
}

static void lost_connections_are_made_again(void **state)
{
    struct subscribers none = {"a", 0};
    struct cli c;

    (void)state;
    hash("a", "state active");
    START(&c, "a", "q/a");
    redis_do(runs_redis, "CLIENT KILL TYPE pubsub");
    assert_true(wait_until(are_there, &none, RUN_MS));
    hash("a", "state done"); /* nobody hears of it */
    finish(&c, 0, "done", "connection lost");
    hash("a", "state active");
    START(&c, "a", "q/a");
    redis_do(runs_redis, "CLIENT KILL TYPE normal SKIPME yes");
    tell("a", "done", "state done");
    finish(&c, 0, "done", "connection lost");
}

/* So the help says: it waits for a Redis that was there, and for no other. */
static void a_redis_that_is_away_at_the_start_is_not_waited_for(void **state)
{
    (void)state;
    EXPECT(NULL, NULL, 69, "", "/no/where", "wait", "q/a", "-u",
           "unix:///no/where.sock", "--timeout", "1m");
    EXPECT(NULL, NULL, 0, "away at the start, that is 69 at once.\n", "",
           "wait", "--help");
}

static bool has_looked(void *arg)
{
    char text[4096];

    (void)redis_str(arg, text, sizeof(text), "INFO commandstats");
    return strstr(text, "cmdstat_hmget:calls=1,") != NULL;
}

/* Starts one that waits where it may not subscribe, and has looked once. */
static struct redis *start_without_channels(struct cli *c)
{
    struct redis *r = redis_start(&(struct redis_opts){.tcp = true});
    char *url =
        mem_printf("redis://u:p@%s", redis_tcp_url(r) + strlen("redis://"));

    redis_do(r, "ACL SETUSER u on >p ~* +@all resetchannels");
    redis_do(r, "HSET belt:{q}:job:a state active");
    cli_start(c, NULL, -1,
              (const char *const[]){"-u", url, "wait", "q/a", NULL});
    free(url);
    assert_true(wait_until(has_looked, r, RUN_MS));
    return r;
}

/* Those who wait this way and that at the same time, since both take time. */
static void only_who_may_not_subscribe_asks_again(void **state)
{
    struct cli c;

    (void)state;
    struct redis *r = start_without_channels(&c);
    redis_do(r, "HSET belt:{q}:job:a state done");
    hash("a", "state ready");
    EXPECT(runs_redis, NULL, 124, "", "q/a: timed out", "wait", "q/a",
           "--timeout", "1200ms");
    assert_int_equal(runs_info("commandstats", "cmdstat_hmget:calls="), 1);
    assert_int_equal(runs_info("commandstats", "cmdstat_subscribe:calls="), 1);
    finish(&c, 0, "done", "every second");
    redis_stop(r);
}

static void a_restart_of_redis_does_not_end_it(void **state)
{
    struct redis *usual = runs_redis;
    struct cli c;

    (void)state;
    runs_redis = redis_start(&(struct redis_opts){.appendonly = true});
    hash("a", "state active");
    START(&c, "a", "q/a");
    redis_kill9(runs_redis);
    redis_restart(runs_redis);
    await_subscriber("a");
    tell("a", "dead", "state dead exit 3");
    finish(&c, 3, "dead", "connection lost");
    redis_stop(runs_redis);
    runs_redis = usual;
}

/* ---- the whole way: real workers ---- */

static const char lasts[] = "echo begun >> $out\n"
                            "while [ ! -e $out.go ]; do sleep 0.02; done\n"
                            "echo yes\n";

static void go(const char *name)
{
    char *path = mem_printf("%s.%s", runs_out(), name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    (void)fclose(f);
    free(path);
}

static bool has_begun(void *arg)
{
    return file_lines(runs_out()) >= *(const unsigned *)arg;
}

static void the_death_of_a_worker_does_not_end_it(void **state)
{
    unsigned first = 1, second = 2;
    struct cli c;

    (void)state;
    const char *handler = runs_handler("t", lasts);
    struct worker *w = runs_worker("--handler", handler, NULL);
    hash("a", "state ready");
    runs_push("{\"id\":\"a\",\"type\":\"t\",\"keep\":60000}");
    START(&c, "a", "q/a");
    assert_true(wait_until(has_begun, &first, RUN_MS));
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, RUN_MS), -SIGKILL);
    struct worker *other = runs_worker("--handler", handler, NULL);
    assert_true(wait_until(has_begun, &second, RUN_MS));
    go("go");
    finish(&c, 0, "yes", "");
    runs_end(other);
}

/* ---- push --wait ---- */

static void a_push_may_wait_for_the_end(void **state)
{
    (void)state;
    struct worker *w =
        runs_worker("--handler", runs_handler("echo", "cat"), "--handler",
                    runs_handler("fail", "echo no >&2; exit 7"), "--handler",
                    runs_handler("die", "kill -9 $$"), NULL);
    EXPECT(runs_redis, NULL, 0, "done", "", "push", "-q", "q", "--wait", "echo",
           "1");
    struct cli_result r = CLI(runs_redis, NULL, "push", "-q", "q", "--wait",
                              "--raw", "echo", "{\"a\":1}");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "{\"a\":1}");
    cli_result_done(&r);
    EXPECT(runs_redis, NULL, 7, "dead", "", "push", "-q", "q", "--wait", "fail",
           "--max-attempts", "1");
    EXPECT(runs_redis, NULL, 7, "", "dead: ", "push", "-q", "q", "--wait",
           "fail", "--max-attempts", "1", "--raw");
    EXPECT(runs_redis, NULL, 137, "dead", "", "push", "-q", "q", "--wait",
           "die", "--max-attempts", "1");
    EXPECT(runs_redis, NULL, 0, "\"result\":2", "", "push", "-q", "q", "--wait",
           "echo", "2", "--in", "20ms", "-o", "json");
    runs_end(w);
}

static void a_push_waits_for_who_holds_its_key(void **state)
{
    struct cli c;

    (void)state;
    EXPECT(runs_redis, NULL, 124, "", "q/a: timed out", "push", "-q", "q",
           "--id", "a", "--wait", "--wait-timeout", "500ms", "t", "--unique",
           "k");
    assert_in_range(redis_int(runs_redis, "PTTL belt:{q}:job:a"), 1, INT64_MAX);
    cli_start(&c, runs_redis, -1,
              (const char *const[]){"push", "-q", "q", "--id", "b", "--unique",
                                    "k", "--wait", "t", NULL});
    await_subscriber("a");
    tell("a", "done", "state done");
    finish(&c, 0, "q/a", "held by a");
    EXPECT(runs_redis, NULL, 64, "", "need --wait", "push", "t", "--raw");
    EXPECT(runs_redis, NULL, 64, "", "for one job", "push", "--wait",
           "--ndjson");
}

/* The job that was scheduled is not kept: it will be, as what replaces it. */
static void a_push_waits_for_what_it_replaces(void **state)
{
    struct cli c;

    (void)state;
    EXPECT(runs_redis, NULL, 0, "q/a", "", "push", "-q", "q", "--id", "a", "t",
           "--unique", "k", "--in", "1h");
    cli_start(&c, runs_redis, -1,
              (const char *const[]){"push", "-q", "q", "--id", "b", "--unique",
                                    "k", "--on-conflict", "replace", "--in",
                                    "1h", "--wait", "t", NULL});
    await_subscriber("a");
    tell("a", "done", "state done");
    finish(&c, 0, "q/a", "is this job now");
}

static const char *const replaces[] = {
    "push",          "-q",      "q",    "u",  "--id", "b", "--unique", "k",
    "--on-conflict", "replace", "--in", "2h", NULL};
#define REPLACING_LINE(rest)                                                   \
    "{\"type\":\"u\",\"in\":9000,\"unique\":{\"key\":\"k\","                   \
    "\"on_conflict\":\"replace\"}" rest "}\n"

/* What has become a job that nobody keeps tells of no end. */
static void who_waits_is_told_that_nothing_is_kept_any_more(void **state)
{
    struct cli c;

    (void)state;
    EXPECT(runs_redis, NULL, 0, "q/a", "", "push", "-q", "q", "--id", "a", "t",
           "--unique", "k", "--in", "1h", "--keep", "1h");
    START(&c, "a", "q/a");
    cli_expect(runs_redis, NULL, 0, "q/a", "is this job now", replaces);
    finish(&c, 1, "", "q/a: removed");
    hash("a", "state scheduled");
    START(&c, "a", "q/a");
    EXPECT(runs_redis, REPLACING_LINE(""), 0, "", "1 have replaced one", "push",
           "-q", "q", "--ndjson", "-");
    finish(&c, 1, "", "q/a: removed");
}

/* The news begin: it can be waited for by the id that the push tells. */
static void what_is_kept_from_now_on_can_be_waited_for(void **state)
{
    struct cli c;
    char text[32];

    (void)state;
    EXPECT(runs_redis, NULL, 0, "q/a", "", "push", "-q", "q", "--id", "a", "t",
           "--unique", "k", "--in", "1h");
    EXPECT(runs_redis, REPLACING_LINE(",\"keep\":9"), 0, "",
           "1 have replaced one", "push", "-q", "q", "--ndjson", "-");
    START(&c, "a", "q/a");
    assert_string_equal("u", redis_str(runs_redis, text, sizeof(text),
                                       "HGET belt:{q}:job:a type"));
    assert_in_range(redis_int(runs_redis, "PTTL belt:{q}:job:a"), 7700000000,
                    7776000000);
    EXPECT(runs_redis, NULL, 0, "state\tscheduled\ntype\tu\n", "", "explain",
           "q/a", "-o", "tsv");
    redis_do(runs_redis, "PEXPIRE belt:{q}:job:a 50000");
    tell("a", "done", "state done");
    finish(&c, 0, "done", "");
    /* Those that it has by now are not written over, nothing is left aside. */
    EXPECT(runs_redis, REPLACING_LINE(",\"keep\":9"), 0, "",
           "1 have replaced one", "push", "-q", "q", "--ndjson", "-");
    assert_string_equal("done", redis_str(runs_redis, text, sizeof(text),
                                          "HGET belt:{q}:job:a state"));
    assert_in_range(redis_int(runs_redis, "PTTL belt:{q}:job:a"), 1, 50000);
    redisReply *all = redis_cmd(runs_redis, "KEYS belt:{q}:job:*");
    assert_int_equal(all->elements, 1);
    freeReplyObject(all);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(it_ends_as_the_job_does),
        CLAIM(a_table_leaves_out_the_newline_at_the_end),
        CLAIM(other_news_do_not_end_it),
        CLAIM(several_are_waited_for),
        CLAIM(the_first_of_several_is_enough),
        CLAIM(what_is_not_kept_is_not_waited_for),
        CLAIM(names_come_from_stdin_too),
        CLAIM(an_interrupt_ends_it),
        CLAIM(lost_connections_are_made_again),
        CLAIM(a_redis_that_is_away_at_the_start_is_not_waited_for),
        CLAIM(a_restart_of_redis_does_not_end_it),
        CLAIM(only_who_may_not_subscribe_asks_again),
        CLAIM(a_push_may_wait_for_the_end),
        CLAIM(a_push_waits_for_who_holds_its_key),
        CLAIM(a_push_waits_for_what_it_replaces),
        CLAIM(who_waits_is_told_that_nothing_is_kept_any_more),
        CLAIM(what_is_kept_from_now_on_can_be_waited_for),
        CLAIM(the_death_of_a_worker_does_not_end_it),
    };
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
