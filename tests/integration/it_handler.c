/*
 * Claims about handlers of a real worker: what Redis and the log say of every
 * way in which a program can end or misbehave.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

static struct worker *start(struct redis *r, const char *const *handler,
                            const char *flag, const char *value)
{
    const char *flags[16] = {"-q", "q", "--threads", "1"};
    unsigned n = 4;
    for (; *handler != NULL; handler++) {
        flags[n++] = "--handler";
        flags[n++] = *handler;
    }
    flags[n++] = flag;
    flags[n] = value;
    struct worker *w = worker_start(r, NULL, flags);
    assert_true(worker_is_up(w, 1));
    return w;
}

static struct worker *start_one(struct redis *r, const char *handler)
{
    return start(r, (const char *[]){handler, NULL}, NULL, NULL);
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

/* A kept job whose id is j and its payload. */
static void push(struct redis *r, int payload)
{
    char text[128];
    (void)snprintf(text, sizeof(text),
                   "{\"id\":\"j%d\",\"type\":\"x\",\"payload\":%d,"
                   "\"keep\":600000,\"backoff\":[3600000]}",
                   payload, payload);
    redis_do(r, "RPUSH belt:{q} %s", text);
}

/* The member of a sorted set that is the job with this id; owned, or NULL. */
static char *member(struct redis *r, const char *set, const char *id)
{
    redisReply *all = redis_cmd(r, "ZRANGE belt:{q}:%s 0 -1", set);
    char *head = mem_printf("{\"id\":\"%s\"", id), *found = NULL;
    for (size_t i = 0; i < all->elements; i++)
        if (strncmp(all->element[i]->str, head, strlen(head)) == 0)
            found = mem_strdup(all->element[i]->str);
    freeReplyObject(all);
    free(head);
    return found;
}

static void expect_in(struct redis *r, const char *set, const char *id,
                      const char *const *texts)
{
    char *job = member(r, set, id);
    if (job == NULL)
        fail_msg("%s is not in %s", id, set);
    for (; *texts != NULL; texts++)
        if (strstr(job, *texts) == NULL)
            fail_msg("no %s in %s", *texts, job);
    free(job);
}

static void expect_kept(struct redis *r, const char *id, const char *field,
                        const char *value)
{
    char text[4096];
    assert_string_equal(
        redis_str(r, text, sizeof(text), "HGET belt:{q}:job:%s %s", id, field),
        value);
}

static void every_exit_code_has_its_end(void **state)
{
    static const int codes[] = {0, 75, 111, 1, 65, 100, 99, 126, 127};
    struct redis *r = story_redis();
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        push(r, codes[i]);
    struct worker *w = start_one(
        r, story_script(r, "x", "x", "echo because >&2; exit $(cat)\n"));
    assert_true(worker_is_up(w, 1));
    story_stat(r, "q", "put_off", 2);
    story_stat(r, "q", "retried", 3);
    story_stat(r, "q", "dead", 2);
    story_stat(r, "q", "done", 1);
    story_stat(r, "q", "discarded", 1);
    expect_kept(r, "j0", "state", "done");
    expect_kept(r, "j99", "state", "cancelled");
    expect_kept(r, "j65", "state", "dead");
    expect_in(r, "dead", "j65",
              (const char *[]){"exit code 65: because", "\"attempt\":1",
                               "\"stderr\":\"because", NULL});
    expect_in(r, "dead", "j100", (const char *[]){"exit code 100", NULL});
    expect_in(r, "retry", "j75",
              (const char *[]){"exit code 75", "\"attempt\":1", NULL});
    expect_in(r, "retry", "j111", (const char *[]){"exit code 111", NULL});
    expect_in(r, "retry", "j1",
              (const char *[]){"exit code 1:", "\"class\":\"exit\"", NULL});
    expect_in(r, "retry", "j126",
              (const char *[]){"exit code 126", "\"put_offs\":1", NULL});
    expect_in(r, "retry", "j127", (const char *[]){"\"put_offs\":1", NULL});
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:retry"), 5);
    assert_int_equal(worker_count(w, "ev=dead "), 2);
    assert_int_equal(worker_count(w, "ev=retry "), 3);
    assert_int_equal(worker_count(w, "ev=stderr "), 9);
    char *job = member(r, "retry", "j126");
    assert_null(strstr(job, "\"attempt\":1,"));
    free(job);
    stop(w);
}

static void a_signal_is_a_crash(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    push(r, 1);
    struct worker *w =
        start_one(r, story_script(r, "x", "x", "kill -KILL $$\n"));
    story_stat(r, "q", "retried", 1);
    expect_in(r, "retry", "j1",
              (const char *[]){"\"class\":\"signal\"", "SIGKILL",
                               "\"crashes\":1", "\"attempt\":1", NULL});
    stop(w);
}

static void a_payload_that_nobody_reads_does_no_harm(void **state)
{
    enum { LEN = 900 * 1000 };
    struct redis *r = story_redis();
    char *text = mem_new(LEN + 64);
    (void)state;
    (void)snprintf(text, 64, "{\"type\":\"x\",\"payload\":\"");
    size_t head = strlen(text);
    memset(text + head, 'x', LEN);
    memcpy(text + head + LEN, "\"}", 3);
    redis_do(r, "RPUSH belt:{q} %s", text);
    free(text);
    struct worker *w = start_one(r, "x=exec:/bin/true");
    story_stat(r, "q", "done", 1);
    stop(w);
}

#define FLOOD(bytes)                                                           \
    "yes some line on stderr | head -c " bytes " >&2 &\n"                      \
    "head -c " bytes " /dev/zero\n"                                            \
    "wait\n"

static void floods_are_drained_and_cut(void **state)
{
    struct redis *r = story_redis();
    struct stat st;
    (void)state;
    struct worker *w =
        start_one(r, story_script(r, "x", "x",
                                  story_sanitized ? FLOOD("10000000")
                                                  : FLOOD("100000000")));
    push(r, 1);
    story_stat(r, "q", "done", 1);
    long before = story_status(worker_pid(w), "VmHWM:");
    for (int i = 2; i < 4; i++)
        push(r, i);
    story_stat(r, "q", "done", 3);
    if (!story_sanitized) {
        assert_in_range(before, 1, 12 * 1024);
        assert_in_range(story_status(worker_pid(w), "VmHWM:"), 1,
                        before + 1024);
    }
    assert_int_equal(redis_int(r, "HSTRLEN belt:{q}:job:j1 result"), 65536);
    assert_int_equal(worker_count(w, "ev=result_truncated"), 3);
    assert_int_equal(worker_count(w, "ev=stderr_not_logged"), 3);
    assert_int_equal(worker_count(w, "ev=stderr "), 3000);
    assert_int_equal(stat(worker_log(w), &st), 0);
    assert_in_range(st.st_size, 1, 1000 * 1000);
    stop(w);
}

static void who_ignores_term_is_killed(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    const char *x = story_script(r, "x", "stubborn",
                                 "trap 'echo term >> told' TERM\n"
                                 "echo began >> told\n"
                                 "while :; do sleep 0.02; done\n");
    (void)state;
    push(r, 1);
    struct worker *w = start(r, (const char *[]){"y=builtin:noop", x, NULL},
                             "--timeout=500ms", "--kill-after=300ms");
    story_lines(told, 1);
    pid_t child = story_child(worker_pid(w), "stubborn");
    story_stat(r, "q", "retried", 1);
    assert_int_equal(story_count(told, "term"), 1);
    assert_true(child > 0);
    assert_false(story_lives(child));
    expect_in(r, "retry", "j1",
              (const char *[]){"\"class\":\"timeout\"", "timed out after",
                               "\"attempt\":1", NULL});
    stop(w);
}

static pid_t pid_in(const char *path)
{
    char *text = story_read(path);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    assert_true(pid > 1);
    return pid;
}

static void grandchildren_end_with_the_run(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    (void)state;
    push(r, 1);
    struct worker *w = start_one(
        r, story_script(r, "x", "x",
                        "sleep 1000 &\necho $! > told\necho result\n"));
    story_stat(r, "q", "done", 1);
    assert_false(story_lives(pid_in(told)));
    expect_kept(r, "j1", "result", "result\n");
    stop(w);
}

static void a_missing_program_puts_jobs_off(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    for (int i = 0; i < 4; i++)
        push(r, i);
    struct worker *w = start_one(r, "x=exec:/nowhere/to-be-found --flag");
    story_stat(r, "q", "put_off", 4);
    expect_in(r, "retry", "j3",
              (const char *[]){"\"class\":\"spawn\"",
                               "/nowhere/to-be-found: No such file",
                               "\"put_offs\":1", NULL});
    assert_int_equal(queue_stat(r, "q", "retried"), 0);
    assert_int_equal(worker_count(w, "ev=put_off"), 1); /* said once */
    assert_true(worker_said(w, "No such file"));
    stop(w);
}

static void files_of_a_directory_are_handlers(void **state)
{
    struct redis *r = story_redis();
    const char *told = story_path(r, "told"), *dir = story_path(r, "handlers");
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    char *body =
        mem_printf("#!/bin/sh\necho \"${0##*/} $(cat)\" >> %s\n", told);
    (void)script_file(r, "handlers/mail.send", body);
    (void)script_file(r, "handlers/two words", body);
    (void)script_file(r, "handlers/.hidden", body);
    (void)script_file(r, "handlers/old~", body);
    assert_int_equal(chmod(script_file(r, "handlers/plain", body), 0644), 0);
    free(body);
    static const char *const types[] = {"mail.send", "two words", ".hidden",
                                        "old~", "plain"};
    char text[128];
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof(text),
                       "{\"id\":\"j%u\",\"type\":\"%s\",\"payload\":%u}", i,
                       types[i], i);
        redis_do(r, "RPUSH belt:{q} %s", text);
    }
    struct worker *w = worker_start(
        r, NULL, (const char *[]){"-q", "q", "--handlers", dir, NULL});
    story_stat(r, "q", "put_off", 3);
    story_stat(r, "q", "done", 2);
    assert_int_equal(story_count(told, "mail.send 0"), 1);
    assert_int_equal(story_count(told, "two words 1"), 1);
    expect_in(r, "retry", "j2",
              (const char *[]){"\"class\":\"no_handler\"", NULL});
    expect_in(r, "retry", "j3",
              (const char *[]){"\"class\":\"no_handler\"", NULL});
    expect_in(
        r, "retry", "j4",
        (const char *[]){"\"class\":\"spawn\"", "Permission denied", NULL});
    stop(w);
}

static void expect_five_fds(pid_t pid)
{
    char path[64];
    unsigned seen = 0;
    struct dirent *e;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        if (strlen(e->d_name) != 1 || e->d_name[0] > '4')
            fail_msg("fd %s is open", e->d_name);
        seen++;
    }
    (void)closedir(d);
    assert_int_equal(seen, 5);
}

/* Every variable is one that was promised. */
static void expect_clean(pid_t pid)
{
    static const char *const names[] = {"PATH=",
                                        "HOME=",
                                        "USER=",
                                        "LOGNAME=",
                                        "LANG=",
                                        "LC_",
                                        "TZ=",
                                        "TMPDIR=",
                                        "BELT_JOB_ID=",
                                        "BELT_JOB_TYPE=",
                                        "BELT_QUEUE=",
                                        "BELT_ATTEMPT=",
                                        "BELT_MAX_ATTEMPTS=",
                                        "BELT_RECOVERED=",
                                        "BELT_DEADLINE=",
                                        "BELT_CONTROL_FD=3",
                                        "BELT_RESULTS_FD=4",
                                        "BELT_FENCE=",
                                        "TRACEPARENT="};
    char path[64], text[16384];
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    for (const char *p = text; p < text + n; p += strlen(p) + 1) {
        bool known = false;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            known = known || strncmp(p, names[i], strlen(names[i])) == 0;
        if (!known || strstr(p, "s3cret") != NULL)
            fail_msg("%s is in the environment", p);
    }
}

struct search {
    pid_t parent, child;
};

static bool has_sleeper(void *arg)
{
    struct search *s = arg;
    s->child = story_child(s->parent, "sleep");
    return s->child > 0;
}

static void handlers_see_no_credentials_and_five_fds(void **state)
{
    struct redis_opts opts = {.tcp = true, .conf = "requirepass s3cret"};
    struct redis *r = redis_start(&opts);
    const char *port = strrchr(redis_tcp_url(r), ':') + 1;
    char *url = mem_printf("BELT_REDIS_URL=redis://:s3cret@127.0.0.1:%s", port);
    (void)state;
    redis_do(r, "AUTH s3cret");
    push(r, 1);
    struct worker *w = worker_exec(
        r,
        (const char *[]){BELT_WORKER_BIN, "-q", "q", "--handler",
                         "x=exec:sleep 1000", NULL},
        (const char *[]){url, "REDISCLI_AUTH=s3cret", "REDIS_URL=s3cret",
                         "LC_REDIS=s3cret", NULL});
    struct search s = {.parent = worker_pid(w)};
    story_until("a handler", has_sleeper, &s);
    expect_five_fds(s.child);
    expect_clean(s.child);
    worker_signal(w, SIGTERM);
    story_said(w, "ev=drain", 1);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, STORY_MS), 0);
    assert_false(worker_said(w, "s3cret"));
    worker_free(w);
    free(url);
    redis_stop(r);
}

/* The first attempt of each job fails, so that it is delivered twice. */
static void every_delivery_has_a_greater_fence(void **state)
{
    enum { FETCHED = 6, WAITED = 5 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    const char *x = story_script(r, "x", "x",
                                 "echo $BELT_FENCE >> told\n"
                                 "[ $BELT_ATTEMPT -gt 1 ] || exit 75\n");
    static const char job[] = "{\"type\":\"x\",\"backoff\":[1]}";
    static const char with_id[] =
        "{\"id\":\"a\",\"type\":\"x\",\"backoff\":[1]}";
    (void)state;
    for (int i = 0; i < FETCHED; i++)
        redis_do(r, "RPUSH belt:{q} %s", job);
    struct worker *w = start(r, (const char *[]){x, NULL}, "--fence", NULL);
    for (int i = 0; i < WAITED; i++) {
        story_stat(r, "q", "done", FETCHED + i);
        story_blocked(r, 1);
        redis_do(r, "RPUSH belt:{q} %s", i % 2 == 0 ? job : with_id);
    }
    story_stat(r, "q", "done", FETCHED + WAITED);
    char *text = story_read(told), *p = text;
    long long last = 0;
    int n = 0;
    for (; *p != '\0'; n++) {
        long long fence = strtoll(p, &p, 10);
        assert_true(fence > last);
        last = fence;
        p++;
    }
    free(text);
    assert_int_equal(n, 2 * (FETCHED + WAITED));
    stop(w);
}

/* However it came: what is there by chance cannot be relied upon. */
static void without_fence_no_delivery_has_one(void **state)
{
    enum { FETCHED = 3, WAITED = 2 };
    struct redis *r = story_redis();
    const char *told = story_path(r, "told");
    const char *x =
        story_script(r, "x", "x", "echo fence=${BELT_FENCE-none} >> told\n");
    (void)state;
    for (int i = 0; i < FETCHED; i++)
        redis_do(r, "RPUSH belt:{q} %s", "{\"type\":\"x\"}");
    struct worker *w = start_one(r, x);
    for (int i = 0; i < WAITED; i++) {
        story_stat(r, "q", "done", FETCHED + i);
        story_blocked(r, 1);
        redis_do(r, "RPUSH belt:{q} %s",
                 i == 0 ? "{\"type\":\"x\"}" : "{\"id\":\"a\",\"type\":\"x\"}");
    }
    story_stat(r, "q", "done", FETCHED + WAITED);
    assert_int_equal(story_count(told, "fence=none"), FETCHED + WAITED);
    stop(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exit_code_has_its_end),
        cmocka_unit_test(a_signal_is_a_crash),
        cmocka_unit_test(a_payload_that_nobody_reads_does_no_harm),
        cmocka_unit_test(floods_are_drained_and_cut),
        cmocka_unit_test(who_ignores_term_is_killed),
        cmocka_unit_test(grandchildren_end_with_the_run),
        cmocka_unit_test(a_missing_program_puts_jobs_off),
        cmocka_unit_test(files_of_a_directory_are_handlers),
        cmocka_unit_test(handlers_see_no_credentials_and_five_fds),
        cmocka_unit_test(every_delivery_has_a_greater_fence),
        cmocka_unit_test(without_fence_no_delivery_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
