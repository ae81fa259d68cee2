/*
 * Claims about the reference loops of examples/handlers: each one whose
 * language is here works off jobs of a real worker. One worker runs them all.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

enum { JOBS = 200 };

static const struct loop {
    const char *name;    /* types are NAME.echo and NAME.fail */
    const char *program; /* is searched: without it the loop is passed over */
    const char *file;
    const char *class, *message; /* of the job that fails */
    bool rounds;                 /* numbers beyond 2^53, as the language does */
} loops[] = {
    {"sh", "sh", "loop.sh", "exit", "exit code 3", false},
    {"python", "python3", "loop.py", "ValueError",
     "asked to fail: gr\xc3\xbc\xc3\x9f", false},
    {"node", "node", "loop.mjs", "RangeError",
     "asked to fail: gr\xc3\xbc\xc3\x9f", true},
    {"perl", "perl", "loop.pl", "die", "asked to fail: gr\xc3\xbc\xc3\x9f",
     false},
    {"ruby", "ruby", "loop.rb", "ArgumentError",
     "asked to fail: gr\xc3\xbc\xc3\x9f", false},
    {"php", "php", "loop.php", "DomainException",
     "asked to fail: gr\xc3\xbc\xc3\x9f", false},
    {"go", "go", "loop.go", "*errors.errorString",
     "asked to fail: \"gr\xc3\xbc\xc3\x9f\"", false},
};
enum { LOOPS = sizeof(loops) / sizeof(loops[0]) };

/* U+1F680, quotes, line ends, a number of 64 bits, empty ones of both kinds. */
#define TEXT "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80 \\\"q\\\" \\\\ \\n"
#define ROUND                                                                  \
    "{\"text\":\"" TEXT "\",\"list\":[],\"object\":{},\"f\":1.5,\"no\":null"
#define ALL ROUND ",\"n\":9223372036854775807,\"m\":-9007199254740993}"

static bool here[LOOPS];
static struct redis *redis;
static struct worker *worker;

static bool is_here(const char *program)
{
    char *command = mem_printf("command -v %s >/dev/null 2>&1", program);
    bool found = system(command) == 0; /* NOLINT(cert-env33-c) */

    free(command);
    return found;
}

/* The loop as a handler; NULL when it cannot be built here. Owned. */
static char *handler_of(const struct loop *l)
{
    char *command, *spec = NULL;

    if (strcmp(l->program, "go") != 0)
        return mem_printf("%s.*=process:%s %s/%s", l->name, l->program,
                          EXAMPLES, l->file);
    command = mem_printf("cd %s && go build -o %s/loop-go %s/%s >&2",
                         redis_dir(redis), redis_dir(redis), EXAMPLES, l->file);
    if (system(command) == 0) /* NOLINT(cert-env33-c) */
        spec = mem_printf("%s.*=process:%s/loop-go", l->name, redis_dir(redis));
    free(command);
    return spec;
}

static int start_all(void **state)
{
    const char *flags[2 * LOOPS + 8] = {"-q", "q", "--threads", "2"};
    char *handlers[LOOPS] = {NULL};
    unsigned n = 4;

    (void)state;
    redis = story_redis();
    for (int i = 0; i < LOOPS; i++) {
        if (is_here(loops[i].program))
            handlers[i] = handler_of(&loops[i]);
        here[i] = handlers[i] != NULL;
        if (!here[i])
            continue;
        flags[n++] = "--handler";
        flags[n++] = handlers[i];
    }
    worker = worker_start(redis, NULL, flags);
    for (int i = 0; i < LOOPS; i++)
        free(handlers[i]);
    return worker_is_up(worker, 1) ? 0 : -1;
}

static void push(const struct loop *l, const char *id, const char *type,
                 const char *payload)
{
    redis_do(redis,
             "RPUSH belt:{q} {\"id\":\"%s-%s\",\"type\":\"%s.%s\","
             "\"payload\":%s,\"keep\":600000,\"backoff\":[3600000]}",
             l->name, id, l->name, type, payload);
}

static void expect_field(const struct loop *l, const char *id,
                         const char *field, char *out, size_t size)
{
    redis_str(redis, out, size, "HGET belt:{q}:job:%s-%s %s", l->name, id,
              field);
}

static void expect_echo(const struct loop *l, const char *id,
                        const char *payload)
{
    char text[1024];
    json_t *expected = json_loads(payload, JSON_DECODE_ANY, NULL), *got;

    expect_field(l, id, "result", text, sizeof(text));
    got = json_loads(text, JSON_DECODE_ANY, NULL);
    if (got == NULL || !json_equal(expected, got))
        fail_msg("%s: %s came back as %s", l->name, payload, text);
    json_decref(expected);
    json_decref(got);
}

static void expect_failed(const struct loop *l)
{
    char *member = mem_printf("{\"id\":\"%s-f\"", l->name);
    redisReply *all = redis_cmd(redis, "ZRANGE belt:{q}:retry 0 -1");
    json_t *job = NULL, *error;

    for (size_t i = 0; i < all->elements; i++)
        if (strncmp(all->element[i]->str, member, strlen(member)) == 0)
            job = json_loads(all->element[i]->str, 0, NULL);
    if (job == NULL)
        fail_msg("%s: its job did not fail", l->name);
    error = json_array_get(json_object_get(job, "failures"), 0);
    if (error == NULL)
        error = json_object_get(job, "error");
    assert_string_equal(json_string_value(json_object_get(error, "class")),
                        l->class);
    assert_string_equal(json_string_value(json_object_get(error, "message")),
                        l->message);
    json_decref(job);
    freeReplyObject(all);
    free(member);
}

static void works_off_jobs(const struct loop *l)
{
    long long done = queue_stat(redis, "q", "done");
    long long failed = queue_stat(redis, "q", "retried");
    const char *object = l->rounds ? ROUND "}" : ALL;

    if (!here[l - loops]) {
        print_message("%s is not here: %s is passed over\n", l->program,
                      l->file);
        skip();
    }
    push(l, "o", "echo", object);
    push(l, "s", "echo", "\"" TEXT "\"");
    push(l, "n", "echo", "null");
    push(l, "f", "fail", "\"gr\xc3\xbc\xc3\x9f\"");
    for (int i = 0; i < JOBS; i++)
        redis_do(redis, "RPUSH belt:{q} {\"type\":\"%s.echo\",\"payload\":%d}",
                 l->name, i);
    story_stat(redis, "q", "done", done + JOBS + 3);
    story_stat(redis, "q", "retried", failed + 1);
    expect_echo(l, "o", object);
    expect_echo(l, "s", "\"" TEXT "\"");
    expect_echo(l, "n", "null");
    expect_failed(l);
}

#define LOOP(name, i)                                                          \
    static void name##_works_off_jobs(void **state)                            \
    {                                                                          \
        (void)state;                                                           \
        works_off_jobs(&loops[i]);                                             \
    }
LOOP(sh, 0)
LOOP(python, 1)
LOOP(node, 2)
LOOP(perl, 3)
LOOP(ruby, 4)
LOOP(php, 5)
LOOP(go, 6)

/* None is killed: each ends by itself when no more jobs come. */
static void all_end_when_they_are_told(void **state)
{
    (void)state;
    worker_signal(worker, SIGTERM);
    assert_int_equal(worker_wait(worker, STORY_MS), 0);
    assert_false(worker_said(worker, "ev=process_killed"));
    assert_false(worker_said(worker, "ev=process_ended"));
    worker_free(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sh_works_off_jobs),
        cmocka_unit_test(python_works_off_jobs),
        cmocka_unit_test(node_works_off_jobs),
        cmocka_unit_test(perl_works_off_jobs),
        cmocka_unit_test(ruby_works_off_jobs),
        cmocka_unit_test(php_works_off_jobs),
        cmocka_unit_test(go_works_off_jobs),
        cmocka_unit_test(all_end_when_they_are_told),
    };

    return cmocka_run_group_tests(tests, start_all, NULL);
}
