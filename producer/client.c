/*
 * Client: asking Redis as if it were a function call.
 *
 * The connection is closed by the first on_down, so that it never comes back
 * by itself: a command that lost its connection ends and says so. Statuses
 * follow the class of the error, its first word in capitals.
 *
 * Thread: one at a time, in the loop role.
 */
#include "producer/client.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum { CALL_TIMEOUT_MS = 30000, TEXT_MAX = 2048 };

struct client {
    int64_t connect_timeout_ms, call_timeout_ms;
    void (*tell)(void *arg, int status, const char *text);
    void *tell_arg;
    struct url url;
    struct event_base *base; /* owned */
    struct conn *conn;       /* owned */
    struct event *timer;     /* owned: the time to connect is over */
    char shown[384];

    void (*on_change)(void *arg, bool up); /* NULL: it does not last */
    void *change_arg;
    bool up, down;
    char why[512];
    int pending; /* of client_call */
    int failed;  /* exit status of the first error; 0: none */
    char error[512];
};

struct request {
    struct client *client; /* borrowed */
    client_reply_cb cb;
    void *arg;
};

static void on_up(void *arg);
static void on_down(void *arg, int err, const char *why);
static void on_too_late(evutil_socket_t fd, short what, void *arg);
static void on_reply(void *arg, int err, const struct reply *r);
static void on_time(void *arg, const struct reply *r);

int client_tell(const struct client *c, int status, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->tell(c->tell_arg, status, text);
    return status;
}

void client_set_tell_arg(struct client *c, void *arg)
{
    c->tell_arg = arg;
}

struct conn *client_conn_new(const struct client *c,
                             const struct conn_config *cfg)
{
    struct conn_config own = *cfg;

    own.url = c->url;
    own.name = "belt";
    own.connect_timeout_ms = c->connect_timeout_ms;
    struct conn *conn = conn_new(c->base, &own);
    explicit_bzero(&own.url, sizeof(own.url));
    return conn;
}

static void new_conn(struct client *c) ON_LOOP
{
    struct conn_config cfg = {.on_up = on_up, .on_down = on_down, .arg = c};
    int64_t ms = c->connect_timeout_ms;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    c->conn = client_conn_new(c, &cfg);
    c->timer = evtimer_new(c->base, on_too_late, c);
    evtimer_add(c->timer, &tv);
    conn_open(c->conn);
}

static struct event_base *new_base(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base;

    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    assert(base);
    return base;
}

int client_new(const struct client_config *cfg, struct client **ret)
{
    struct client *c = mem_new(sizeof(*c));

    loop_role_assert();
    c->connect_timeout_ms = cfg->connect_timeout_ms;
    c->call_timeout_ms =
        cfg->call_timeout_ms > 0 ? cfg->call_timeout_ms : CALL_TIMEOUT_MS;
    c->tell = cfg->tell;
    c->tell_arg = cfg->arg;
    c->url = *cfg->url;
    c->base = new_base();
    url_display(&c->url, c->shown);
    new_conn(c);
    while (!c->up && !c->down)
        client_turn(c, true);
    event_del(c->timer);
    if (c->up) {
        *ret = c;
        return 0;
    }
    int status = client_error_status(c->why);
    if (status == EX_SOFTWARE)
        status = EX_UNAVAILABLE;
    (void)client_tell(c, status, "%s: %s", c->shown, c->why);
    client_close(c);
    return status;
}

void client_close(struct client *c)
{
    loop_role_assert();
    if (!c)
        return;
    conn_free(c->conn);
    event_free(c->timer);
    event_base_free(c->base);
    explicit_bzero(&c->url, sizeof(c->url));
    free(c);
}

struct event_base *client_base(struct client *c)
{
    return c->base;
}

struct conn *client_conn(struct client *c)
{
    return c->conn;
}

const char *client_url(const struct client *c)
{
    return c->shown;
}

void client_turn(struct client *c, bool wait)
{
    event_base_loop(c->base, wait ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
}

bool client_is_down(const struct client *c)
{
    return c->down;
}

const char *client_down_why(const struct client *c)
{
    return c->why;
}

static void on_up(void *arg)
{
    loop_role_assert();
    struct client *c = arg;

    c->up = true;
    c->down = false;
    if (c->on_change)
        c->on_change(c->change_arg, true);
}

void client_last(struct client *c, void (*on_change)(void *arg, bool up),
                 void *arg)
{
    c->on_change = on_change;
    c->change_arg = arg;
}

void client_drop(struct client *c)
{
    loop_role_assert();
    c->down = true;
    c->up = false;
    conn_close(c->conn);
}

bool client_is_idle(const struct client *c)
{
    return c->up && !c->on_change && c->pending == 0 && c->failed == 0;
}

static void set_down(struct client *c, const char *why) ON_LOOP
{
    if (c->down)
        return;
    c->down = true;
    c->up = false;
    size_t n = strlen(why);
    n = n < sizeof(c->why) ? n : sizeof(c->why) - 1;
    memcpy(c->why, why, n);
    c->why[n] = '\0';
    if (c->on_change)
        c->on_change(c->change_arg, false); /* it comes back by itself */
    else
        conn_close(c->conn);
}

static void on_down(void *arg, int err, const char *why)
{
    loop_role_assert();
    (void)err;
    set_down(arg, why);
}

static void on_too_late(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct client *c = arg;
    char text[32], why[64];

    (void)fd;
    (void)what;
    text_format_duration(c->connect_timeout_ms, text);
    snprintf(why, sizeof(why), "no answer within %s", text);
    set_down(c, why);
}

void client_call(struct client *c, const struct args *a, client_reply_cb cb,
                 void *arg)
{
    loop_role_assert();
    struct request *req = mem_new(sizeof(*req));

    *req = (struct request){.client = c, .cb = cb, .arg = arg};
    int rc = conn_call(c->conn, a, clock_ms() + c->call_timeout_ms, false,
                       on_reply, req);
    if (rc == 0) {
        c->pending++;
        return;
    }
    free(req);
    if (c->failed == 0)
        c->failed = EX_UNAVAILABLE;
}

static void on_reply(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct request req = *(struct request *)arg;
    struct client *c = req.client;

    free(arg);
    c->pending--;
    if (err == 0 && !reply_is_error(r)) {
        req.cb(req.arg, r);
        return;
    }
    if (err == 0)
        client_fail(c, reply_error(r));
    else if (c->failed == 0)
        c->failed = EX_UNAVAILABLE;
}

void client_fail(struct client *c, const char *error)
{
    if (c->failed != 0)
        return;
    c->failed = client_error_status(error);
    snprintf(c->error, sizeof(c->error), "%s", error);
}

int client_wait(struct client *c)
{
    while (c->pending > 0)
        client_turn(c, true);
    if (c->failed == 0)
        return 0;
    if (c->error[0] != '\0')
        return client_tell(c, c->failed, "%s: %s", c->shown, c->error);
    return client_tell(c, c->failed, "%s: connection lost: %s", c->shown,
                       c->why);
}

static void on_awake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

void client_sleep(struct client *c, int64_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    bool awake = false;

    event_base_once(c->base, -1, EV_TIMEOUT, on_awake, &awake, &tv);
    while (!awake)
        client_turn(c, true);
}

static void on_time(void *arg, const struct reply *r)
{
    int64_t s = 0, us = 0;

    if (reply_int(reply_at(r, 0), &s) && reply_int(reply_at(r, 1), &us))
        *(int64_t *)arg = s * 1000 + us / 1000;
}

int client_now(struct client *c, int64_t *ret_ms)
{
    struct args a = {0};

    *ret_ms = 0;
    args_str(&a, "TIME");
    client_call(c, &a, on_time, ret_ms);
    args_done(&a);
    return client_wait(c);
}

int client_await(struct client *c, int rc, const bool *answered)
{
    if (rc != 0)
        return client_tell(c, EX_UNAVAILABLE, "%s: connection lost: %s",
                           c->shown, c->why);
    while (!*answered)
        client_turn(c, true);
    return 0;
}

int client_tell_failed(struct client *c, int err, const struct errbuf *eb,
                       unsigned n)
{
    char what[32] = "";

    if (n > 0)
        snprintf(what, sizeof(what), " of %u jobs", n);
    if (err == ERR_UNKNOWN)
        return client_tell(
            c, EX_TEMPFAIL,
            "connection lost: outcome unknown%s; the same again does "
            "no harm",
            what);
    return client_tell(c,
                       err == ERR_REFUSED || err == ERR_FULL
                           ? EX_TEMPFAIL
                           : client_error_status(eb->text),
                       "%s", eb->text);
}

int client_error_status(const char *text)
{
    static const struct {
        const char *name;
        int status;
    } classes[] = {
        {"NOAUTH", EX_NOPERM},       {"WRONGPASS", EX_NOPERM},
        {"NOPERM", EX_NOPERM},       {"OOM", EX_TEMPFAIL},
        {"MISCONF", EX_TEMPFAIL},    {"NOREPLICAS", EX_TEMPFAIL},
        {"LOADING", EX_TEMPFAIL},    {"BUSY", EX_TEMPFAIL},
        {"READONLY", EX_TEMPFAIL},   {"MASTERDOWN", EX_TEMPFAIL},
        {"TRYAGAIN", EX_TEMPFAIL},   {"CLUSTERDOWN", EX_TEMPFAIL},
        {"UNKILLABLE", EX_TEMPFAIL},
    };

    for (const char *p = text; *p != '\0';) {
        size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
            if (strlen(classes[i].name) == n &&
                memcmp(classes[i].name, p, n) == 0)
                return classes[i].status;
        }
        p += n;
        p += *p != '\0';
    }
    return EX_SOFTWARE;
}

int client_push_status(int err, const struct errbuf *eb)
{
    if (err == ERR_FULL)
        return EX_TEMPFAIL;
    /* The queue's format is newer than this program. */
    return err == ERR_INVALID ? EX_CONFIG : client_error_status(eb->text);
}
