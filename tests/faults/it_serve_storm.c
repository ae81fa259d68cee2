/*
 * Claim about many pushes over HTTP while everything goes wrong: the
 * server is killed, and Redis; connections to Redis are cut, its scripts
 * forgotten, its clients held up; and strangers send halves of requests,
 * garbage, or nothing, more of them than there may be connections. Clients send
 * again, with their Idempotency-Key, what was not answered by 202. In the end
 * each job is there once, under the id that its client was told.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

enum {
    JOBS = 1500,
    CLIENTS = 8,
    STRANGERS = 16,
    ROUNDS_MAX = 20 * JOBS,
    FAULT_EVERY = 15,
    FAULTS = 6
};

struct client {
    int fd;  /* -1: not connected */
    int job; /* that it wants to have there; -1: none is left */
};

struct storm {
    struct web web;
    struct client clients[CLIENTS];
    int strangers[STRANGERS];
    int begun, done, again, replayed;
    unsigned faults;
    char told[JOBS][32]; /* ids */
};

/* With 20 connections at most there is no room for all strangers. */
static void start_server(struct storm *s)
{
    web_begin(&s->web,
              (const char *[]){"--request-timeout", "300ms",
                               "--max-connections", "20", NULL}); /* kills */
}

static int setup(void **state)
{
    struct storm *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->web.r = redis_start(
        &(struct redis_opts){.appendonly = true, .conf = "appendfsync always"});
    for (int i = 0; i < CLIENTS; i++)
        s->clients[i] = (struct client){.fd = -1, .job = -1};
    for (int i = 0; i < STRANGERS; i++)
        s->strangers[i] = -1;
    *state = s;
    start_server(s);
    return 0;
}

static void let_go(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static int teardown(void **state)
{
    struct storm *s = *state;
    for (int i = 0; i < CLIENTS; i++)
        let_go(&s->clients[i].fd);
    for (int i = 0; i < STRANGERS; i++)
        let_go(&s->strangers[i]);
    worker_free(s->web.w);
    redis_stop(s->web.r);
    free(s);
    return 0;
}

static void send_strangers(struct storm *s)
{
    static const char *const all[] = {
        "",
        "GET /livez HTTP/1.1\r\nHost: loc",
        "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\n" WEB_JSON
        "Content-Length: 100\r\n\r\n{\"type\":",
        "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\n" WEB_JSON
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\x16\x03\x01\x02garbage\r\n\r\n",
    };
    for (int i = 0; i < STRANGERS; i++) {
        let_go(&s->strangers[i]);
        s->strangers[i] = web_connect(&s->web);
        if (s->strangers[i] >= 0)
            (void)web_say(s->strangers[i],
                          all[(size_t)i % (sizeof(all) / sizeof(all[0]))]);
    }
}

/* While requests are under way. */
static void strike(struct storm *s, unsigned fault)
{
    switch (fault) {
    case 0:
        redis_do(s->web.r, "CLIENT KILL TYPE normal SKIPME yes");
        break;
    case 1:
        worker_signal(s->web.w, SIGKILL);
        break;
    case 2:
        send_strangers(s);
        break;
    case 3:
        redis_do(s->web.r, "SCRIPT FLUSH");
        break;
    case 4:
        redis_kill9(s->web.r);
        break;
    default:
        redis_do(s->web.r, "CLIENT PAUSE 20 WRITE");
        break;
    }
    s->faults |= 1U << fault;
}

static void mend(struct storm *s, unsigned fault)
{
    if (fault == 1)
        start_server(s);
    if (fault == 4)
        redis_restart(s->web.r);
    if (fault == 0 || fault == 4)
        web_until(&s->web, "/readyz", 200, NULL);
}

static void ask(struct storm *s, struct client *c)
{
    char text[512], body[64];
    if (c->job < 0 && s->begun < JOBS)
        c->job = s->begun++;
    if (c->job < 0)
        return;
    if (c->fd < 0)
        c->fd = web_connect(&s->web);
    (void)snprintf(body, sizeof(body), "{\"type\":\"t\",\"payload\":%d}",
                   c->job);
    (void)snprintf(text, sizeof(text),
                   "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\n"
                   "Idempotency-Key: key-%d\r\n" WEB_JSON
                   "Content-Length: %zu\r\n\r\n%s",
                   c->job, strlen(body), body);
    if (c->fd >= 0 && !web_say(c->fd, text))
        let_go(&c->fd);
}

static void note(struct storm *s, struct client *c, const struct web_reply *a)
{
    static const char before[] = "/v1/queues/q/jobs/";
    const char *location = web_header(a, "Location");
    if (a->status != 202) {
        if (a->status != 503)
            fail_msg("job %d: %d %s", c->job, a->status, a->body);
        s->again++;
        return;
    }
    assert_memory_equal(location, before, sizeof(before) - 1);
    (void)snprintf(s->told[c->job], sizeof(s->told[0]), "%s",
                   location + sizeof(before) - 1);
    s->replayed += strstr(a->body, "\"replayed\":true") != NULL;
    s->done++;
    c->job = -1;
}

static void take(struct storm *s, struct client *c)
{
    struct web_reply a;
    if (c->job < 0)
        return;
    if (c->fd < 0 || !web_take(c->fd, false, &a)) {
        s->again++;
        let_go(&c->fd);
        return;
    }
    note(s, c, &a);
    if (strcmp(web_header(&a, "Connection"), "close") == 0)
        let_go(&c->fd);
    web_reply_done(&a);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The list has what clients were told, each once. */
static void compare(struct storm *s)
{
    static const char before[] = "{\"id\":\"";
    static char there[JOBS][32];
    redisReply *list = redis_cmd(s->web.r, "LRANGE belt:{q} 0 -1");
    assert_int_equal(list->elements, JOBS);
    for (int i = 0; i < JOBS; i++) {
        const char *at = list->element[i]->str;
        assert_memory_equal(at, before, sizeof(before) - 1);
        at += sizeof(before) - 1;
        (void)snprintf(there[i], sizeof(there[i]), "%.*s",
                       (int)strcspn(at, "\""), at);
    }
    freeReplyObject(list);
    qsort(there, JOBS, sizeof(there[0]), by_text);
    qsort(s->told, JOBS, sizeof(s->told[0]), by_text);
    for (int i = 0; i < JOBS; i++) {
        assert_string_equal(there[i], s->told[i]);
        assert_true(i == 0 || strcmp(there[i - 1], there[i]) != 0);
    }
}

static void each_job_is_there_once(void **state)
{
    struct storm *s = *state;
    for (int round = 1; s->done < JOBS; round++) {
        bool bad = round % FAULT_EVERY == 0;
        unsigned fault = (unsigned)(round / FAULT_EVERY) % FAULTS;
        assert_true(round < ROUNDS_MAX);
        for (int i = 0; i < CLIENTS; i++)
            ask(s, &s->clients[i]);
        if (bad)
            strike(s, fault);
        for (int i = 0; i < CLIENTS; i++)
            take(s, &s->clients[i]);
        if (bad)
            mend(s, fault);
    }
    print_message("%d jobs, %d sent again, %d of them were there\n", JOBS,
                  s->again, s->replayed);
    assert_int_equal(s->faults, (1U << FAULTS) - 1);
    assert_true(s->again > 0);
    compare(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_job_is_there_once, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
