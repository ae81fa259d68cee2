/*
 * Claims about scripts that meet a key of another type, planted by a stranger
 * in the place of any key that they name: a job may be there twice, never
 * nowhere, and trying again does not make it more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/calls.h"
#include "tests/unit/unit.h"

enum { TRIES = 5 };

static const struct plant {
    const char *command, *value;
} plants[] = {{"SET", "planted"},    {"RPUSH", "planted"},
              {"SADD", "planted"},   {"ZADD", "1 planted"},
              {"HSET", "f planted"}, {"XADD", "* f planted"}};
enum { PLANTS = sizeof(plants) / sizeof(plants[0]) };

static struct marks marks_now(void)
{
    char *jobs = calls_jobs(table_redis(), false);
    struct marks m = calls_marks(jobs);
    free(jobs);
    return m;
}

static bool is_ok(const char *answer)
{
    return strncmp(answer, "OK", 2) == 0;
}

static void plant(const char *key, const struct plant *p)
{
    char *commands =
        mem_printf("DEL %s\n%s %s %s", key, p->command, key, p->value);
    table_do(commands);
    free(commands);
}

static void call_with(const struct call *c, const char *key,
                      const struct plant *p)
{
    char what[128];
    (void)table_clear(NULL);
    table_do(c->before);
    plant(key, p);
    (void)snprintf(what, sizeof(what), "%s planted by %s", key, p->command);
    struct marks was = marks_now();
    bool ended = false;
    for (int i = 0; i < TRIES; i++) {
        char *answer = table_run_script(c->script, c->args);
        ended = ended || is_ok(answer);
        calls_none_is_missing(c, was, marks_now(), ended, what);
        /* A push that is answered is a job more each time. */
        if (c->script != SCRIPT_push && c->script != SCRIPT_push_one)
            calls_none_is_beyond(c, marks_now(), 2, what);
        free(answer);
    }
}

static void a_planted_key_loses_and_multiplies_no_job(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_count; i++) {
        print_message("  %s\n", calls[i].name);
        char *keys = calls_keys(&calls[i]), *rest = NULL;
        for (char *key = strtok_r(keys, " ", &rest); key != NULL;
             key = strtok_r(NULL, " ", &rest)) {
            for (int p = 0; p < PLANTS; p++)
                call_with(&calls[i], key, &plants[p]);
        }
        free(keys);
    }
}

/* The name, type and content of every key, as one digest. */
static char *digest(void)
{
    return table_run("EVAL 'local k = redis.call(`KEYS`, `*`) table.sort(k) "
                     "local t = {} for i = 1, #k do "
                     "t[i] = k[i] .. redis.call(`DUMP`, k[i]) end "
                     "return redis.sha1hex(table.concat(t))' 0");
}

static void expect_unchanged(const struct call *c, const char *key,
                             const struct plant *p)
{
    (void)table_clear(NULL);
    table_do(c->before);
    plant(key, p);
    char *was = digest();
    char *answer = table_run_script(c->script, c->args);
    char *is = digest();
    if (strstr(answer, "WRONGTYPE") != NULL && strcmp(was, is) != 0)
        fail_msg("%s changed something before it met %s, planted by %s",
                 c->name, key, p->command);
    free(was);
    free(answer);
    free(is);
}

/* Promote has two sets, one after the other; renew looks behind its work. */
static void a_key_of_another_type_is_met_before_a_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_count; i++) {
        const struct call *c = &calls[i];
        if (c->script == SCRIPT_promote || c->script == SCRIPT_renew)
            continue;
        print_message("  %s\n", c->name);
        char *keys = calls_keys(c), *rest = NULL;
        for (char *key = strtok_r(keys, " ", &rest); key != NULL;
             key = strtok_r(NULL, " ", &rest)) {
            for (int p = 0; p < PLANTS; p++)
                expect_unchanged(c, key, &plants[p]);
        }
        free(keys);
    }
}

/* Or the other claims would be about calls that do nothing. */
static void the_calls_do_what_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_count; i++) {
        const struct call *c = &calls[i];
        print_message("  %s\n", c->name);
        (void)table_clear(NULL);
        table_do(c->before);
        struct marks was = marks_now();
        table_call(c->script, c->args, c->reply);
        calls_none_is_missing(c, was, marks_now(), true, "nothing planted");
        calls_none_is_beyond(c, marks_now(), 1 + (was.n[1] > 1),
                             "nothing planted");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_calls_do_what_they_should),
        cmocka_unit_test(a_planted_key_loses_and_multiplies_no_job),
        cmocka_unit_test(a_key_of_another_type_is_met_before_a_change),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
