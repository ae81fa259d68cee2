/*
 * Builtin handlers: noop, echo, sleep and fail, for benchmarks and tests.
 *
 * noop must cost next to nothing, since what is measured with it is the belt.
 *
 * Thread: init in main, run in a pool thread.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/handler_control.h"
#include "worker/handler_priv.h"

#define SLEEP_DEFAULT_MS 1000

static void run_noop(struct delivery *d, int cancel_fd);
static void run_echo(struct delivery *d, int cancel_fd);
static void run_sleep(struct delivery *d, int cancel_fd);
static void run_fail(struct delivery *d, int cancel_fd);

static const char *const names[] = {"noop", "echo", "sleep", "fail"};
static const handler_run_fn runs[] = {run_noop, run_echo, run_sleep, run_fail};
enum { BUILTINS = sizeof(names) / sizeof(names[0]) };

static int init(struct handler *h, const char *spec, struct errbuf *eb)
{
    size_t n = strcspn(spec, " ");
    char *name = mem_dup(spec, n);
    const char *near;
    int rc = 0;

    for (size_t i = 0; i < BUILTINS; i++)
        if (strcmp(name, names[i]) == 0)
            h->run = runs[i];
    h->arg = mem_strdup(spec + n + strspn(spec + n, " "));
    near = text_nearest(name, names, BUILTINS);
    if (h->run == NULL)
        rc = errbuf_set(eb, ERR_INVALID, "no such builtin: %s%s%s%s", name,
                        near != NULL ? " (did you mean " : "",
                        near != NULL ? near : "", near != NULL ? "?)" : "");
    else if ((h->run == run_noop || h->run == run_echo) && h->arg[0] != '\0')
        rc = errbuf_set(eb, ERR_INVALID, "builtin %s takes no argument", name);
    h->sleep_ms = SLEEP_DEFAULT_MS;
    if (rc == 0 && h->run == run_sleep && h->arg[0] != '\0')
        rc = text_parse_duration(h->arg, &h->sleep_ms, eb);
    free(name);
    return rc;
}

const struct handler_kind handler_builtin_kind = {.name = "builtin",
                                                  .init = init};

/* As a process that ends well. */
static void finish(struct delivery *d)
{
    d->outcome.verdict = VERDICT_DONE;
    d->outcome.exit_status = 0;
}

static void run_noop(struct delivery *d, int cancel_fd)
{
    (void)cancel_fd;
    finish(d);
}

static void run_echo(struct delivery *d, int cancel_fd)
{
    size_t n = d->job->payload.len, max = d->handler->limits.result_max;

    (void)cancel_fd;
    d->outcome.result_truncated = n > max;
    buf_append(&d->outcome.result, d->job->payload.p, n > max ? max : n);
    finish(d);
}

/* What the payload of a fail asks for; -1: nothing. */
struct wish {
    int64_t retry_ms, snooze_ms;
};

static int on_wish(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb)
{
    struct wish *w = arg;

    (void)eb;
    if (json_string_is(key, "retry_after"))
        (void)wishes_duration(value, &w->retry_ms);
    else if (json_string_is(key, "snooze"))
        (void)wishes_duration(value, &w->snooze_ms);
    return 0;
}

static void run_fail(struct delivery *d, int cancel_fd)
{
    const char *arg = d->handler->arg;
    struct wish w = {-1, -1};
    struct errbuf eb;

    (void)cancel_fd;
    if (json_kind(d->job->payload) == JSON_IS_OBJECT)
        json_scan_object(d->job->payload.p, d->job->payload.len, on_wish, &w,
                         &eb);
    if (w.snooze_ms >= 0) {
        d->outcome.verdict = VERDICT_SNOOZE;
        d->outcome.delay_ms = w.snooze_ms;
        return;
    }
    handler_fail(d, VERDICT_RETRY, "builtin", "%s",
                 arg[0] != '\0' ? arg : "failed on request");
    d->outcome.exit_status = 1;
    d->outcome.delay_ms = w.retry_ms;
}

/* The member "ms" of the payload. */
static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    int64_t *ms = arg, n;

    (void)eb;
    if (key.len == 4 && memcmp(key.p, "\"ms\"", 4) == 0 &&
        json_int_value(value, &n) == 0)
        *ms = n;
    return 0;
}

static int64_t sleep_time_ms(const struct delivery *d)
{
    struct json_span p = d->job->payload;
    struct errbuf eb;
    int64_t ms = -1;

    if (json_kind(p) == JSON_IS_OBJECT)
        json_scan_object(p.p, p.len, on_member, &ms, &eb);
    else if (json_kind(p) == JSON_IS_NUMBER && json_int_value(p, &ms) != 0)
        ms = -1;
    return ms >= 0 ? ms : d->handler->sleep_ms;
}

static void run_sleep(struct delivery *d, int cancel_fd)
{
    int64_t now = clock_ms(), sleep_ms = sleep_time_ms(d);
    int64_t timeout_ms = handler_timeout_ms(d);
    bool too_long = sleep_ms > timeout_ms;
    int64_t end = handler_instant(now, too_long ? timeout_ms : sleep_ms);

    for (; now < end; now = clock_ms()) {
        struct pollfd p = {.fd = cancel_fd, .events = POLLIN};
        int64_t left = end - now;
        uint64_t wakes;

        if (atomic_load(&d->cancel) != CANCEL_NONE) {
            handler_stopped(d);
            return;
        }
        /* A wake that is left over from an earlier delivery is read away. */
        if (poll(&p, 1, left < INT_MAX ? (int)left : INT_MAX) > 0 &&
            read(cancel_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
            cancel_fd = -1;
    }
    if (too_long)
        handler_fail_timeout(d);
    else
        finish(d);
}
