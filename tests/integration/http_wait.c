/*
 * HTTP wait: requests that wait, and what is done to their jobs.
 *
 * Thread: the test's.
 */
#include "tests/integration/http_wait.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

int wait_start_with(void **state, const char *const *flags)
{
    const struct redis_opts opts = {.appendonly = true};
    struct web *f = mem_new(sizeof(*f));

    f->r = redis_start(&opts);
    *state = f;
    web_begin(f, flags);
    return 0;
}

int wait_start(void **state)
{
    return wait_start_with(state, NULL);
}

/* ---- the job ---- */

void wait_hash(struct web *f, const char *id, const char *fields)
{
    char *command = mem_printf("HSET belt:{q}:job:%s %s", id, fields);

    redis_do(f->r, command);
    free(command);
}

/* Writes the last news, and tells of it, in one step. */
void wait_tell(struct web *f, const char *id, const char *state,
               const char *fields)
{
    redis_do(f->r, "MULTI");
    wait_hash(f, id, fields);
    redis_do(f->r, "PUBLISH belt:{q}:job:%s %s", id, state);
    redis_do(f->r, "EXEC");
}

struct wanted {
    struct web *f;
    const char *what;
    long long n;
};

long long wait_calls(struct web *f, const char *command)
{
    redisReply *r = redis_cmd(f->r, "INFO commandstats");
    char *line = mem_printf("cmdstat_%s:calls=", command);
    const char *at = strstr(r->str, line);
    long long n = at ? strtoll(at + strlen(line), NULL, 10) : 0;

    freeReplyObject(r);
    free(line);
    return n;
}

long long wait_subscribers(struct web *f, const char *id)
{
    redisReply *r = redis_cmd(f->r, "PUBSUB NUMSUB belt:{q}:job:%s", id);
    long long n = r->elements == 2 ? r->element[1]->integer : -1;

    freeReplyObject(r);
    return n;
}

static bool is_heard(void *arg)
{
    const struct wanted *s = arg;

    return wait_subscribers(s->f, s->what) == s->n;
}

static bool are_calls(void *arg)
{
    const struct wanted *s = arg;

    return wait_calls(s->f, s->what) >= s->n;
}

void wait_for_subscribers(struct web *f, const char *id, long long n)
{
    struct wanted s = {f, id, n};

    if (!wait_until(is_heard, &s, WEB_MS))
        fail_msg("%lld are subscribed to %s, not %lld", wait_subscribers(f, id),
                 id, n);
}

void wait_for_calls(struct web *f, const char *command, long long n)
{
    struct wanted s = {f, command, n};

    if (!wait_until(are_calls, &s, WEB_MS))
        fail_msg("%s: %lld calls, not %lld", command, wait_calls(f, command),
                 n);
}

/* ---- the request ---- */

int wait_ask(struct web *f, const char *id, const char *query,
             const char *headers)
{
    int fd = web_connect(f);
    char *text = mem_printf("GET /v1/queues/q/jobs/%s%s HTTP/1.1\r\n"
                            "Host: localhost\r\n%s\r\n",
                            id, query, headers);

    assert_true(fd >= 0);
    assert_true(web_say(fd, text));
    free(text);
    return fd;
}

/* Asks, and returns when the server is subscribed. */
int wait_ask_and_await(struct web *f, const char *id)
{
    int fd = wait_ask(f, id, "?wait=60", "");

    wait_for_subscribers(f, id, 1);
    return fd;
}

/* Takes the answer: its status, and a text that is in its body. */
void wait_answered(int fd, int status, const char *text)
{
    struct web_reply a;

    if (!web_take(fd, false, &a))
        fail_msg("no answer");
    if (a.status != status || !strstr(a.body, text))
        fail_msg("%d %s, not %d %s", a.status, a.body, status, text);
    web_reply_done(&a);
    close(fd);
}
