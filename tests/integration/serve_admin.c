/*
 * Serve admin: what the tests of queues, dead jobs and cron have in common.
 *
 * Thread: the test's.
 */
#include "tests/integration/serve_admin.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct web web;
static struct web_reply last;
static json_t *value;

static void forget(void)
{
    json_decref(value);
    value = NULL;
    web_reply_done(&last);
    last = (struct web_reply){0};
}

int admin_begin(void **state)
{
    (void)state;
    web.r = redis_start(NULL);
    web_begin(&web, NULL);
    return 0;
}

int admin_end(void **state)
{
    (void)state;
    forget();
    worker_signal(web.w, SIGTERM); /* in order, so that leaks are told */
    assert_int_equal(worker_wait(web.w, WEB_MS), 0);
    worker_free(web.w);
    redis_stop(web.r);
    return 0;
}

int admin_clear(void **state)
{
    (void)state;
    redis_do(web.r, "FLUSHALL");
    return 0;
}

const json_t *ask(const char *method, const char *path, const char *body,
                  int status)
{
    json_error_t error;

    forget();
    web_ask(&web, method, path, body ? WEB_JSON : NULL, body, &last);
    if (last.status != status)
        fail_msg("%s %s: %d %s, not %d", method, path, last.status, last.body,
                 status);
    if (last.body_len == 0)
        return NULL;
    value =
        json_loadb(last.body, last.body_len, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        fail_msg("%s %s: %s: %s", method, path, last.body, error.text);
    return value;
}

const char *last_header(const char *name)
{
    return web_header(&last, name);
}

const json_t *at(const json_t *v, ...)
{
    va_list ap;
    const char *name;

    va_start(ap, v);
    while ((name = va_arg(ap, const char *)) != NULL) {
        const json_t *in = json_is_array(v)
                               ? json_array_get(v, (size_t)atoi(name))
                               : json_object_get(v, name);
        if (!in)
            fail_msg("there is no %s in %s", name, last.body);
        v = in;
    }
    va_end(ap);
    return v;
}

void expect_int(const json_t *v, json_int_t n)
{
    if (!json_is_integer(v) || json_integer_value(v) != n)
        fail_msg("not %lld: %s", (long long)n, last.body);
}

void expect_text(const json_t *v, const char *text)
{
    const char *is = json_string_value(v);

    if (text ? !is || strcmp(is, text) != 0 : !json_is_null(v))
        fail_msg("not %s: %s", text ? text : "null", last.body);
}

void expect_problem(const json_t *v, const char *kind, const char *pointer)
{
    const json_t *errors = json_object_get(v, "errors"), *e;
    const char *type = json_string_value(AT(v, "type"));
    size_t i;

    assert_string_equal(last_header("Content-Type"),
                        "application/problem+json");
    if (!type || strcmp(strrchr(type, ':') + 1, kind) != 0)
        fail_msg("not %s: %s", kind, last.body);
    if (!pointer)
        return;
    json_array_foreach(errors, i, e)
    {
        if (strcmp(json_string_value(AT(e, "pointer")), pointer) == 0)
            return;
    }
    fail_msg("no error at %s: %s", pointer, last.body);
}
