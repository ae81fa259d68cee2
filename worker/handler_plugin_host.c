/*
 * What a plugin may ask of its worker while it runs.
 *
 * Any thread of the plugin may call, and one whose run was given up may go on
 * to call for ever. So what a run says is kept beside the delivery, under its
 * own mutex, and what needs the delivery holds it first: if the loop has taken
 * it away, nothing happens.
 *
 * Thread: any of a plugin.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/handler_plugin.h"
#include "worker/pool.h"

enum { MESSAGE_LOGGED = 4096 /* bytes of a line */ };

static int should_stop(struct belt_run *face);
static int wait_for_stop(struct belt_run *face, int64_t ms);
static int progress(struct belt_run *face, double percent, const char *message);
static int log_line(struct belt_run *face, int level, const char *text);
static int result(struct belt_run *face, const void *data, size_t size);
static int fail(struct belt_run *face, const char *error_class,
                const char *message);
static int retry_after(struct belt_run *face, int64_t ms);
static int snooze(struct belt_run *face, int64_t ms);
static int push(struct belt_run *face, const char *envelope, size_t size,
                char *err, size_t err_size);

const struct belt_host plugin_host = {
    .size = sizeof(struct belt_host),
    .should_stop = should_stop,
    .wait = wait_for_stop,
    .progress = progress,
    .log = log_line,
    .result = result,
    .fail = fail,
    .retry_after = retry_after,
    .snooze = snooze,
    .push = push,
    .subtasks = plugin_subtasks,
    .subtask = plugin_subtask,
    .subtask_result = plugin_subtask_result,
    .subtasks_end = plugin_subtasks_end,
    .subtasks_cancel = plugin_subtasks_cancel,
};

struct plugin_run *plugin_run_of(struct belt_run *face)
{
    return (struct plugin_run *)(void *)face;
}

enum belt_stop plugin_run_stop(const struct plugin_run *r)
{
    switch (atomic_load_explicit(&r->d->cancel, memory_order_relaxed)) {
    case CANCEL_NONE:
        return clock_ms() >= r->deadline_ms ? BELT_STOP_TIMEOUT : BELT_GO_ON;
    case CANCEL_JOB:
        return BELT_STOP_CANCELLED;
    default:
        return BELT_STOP_STOPPING;
    }
}

/* Of a run that was given up too: its delivery stays for that. */
static int should_stop(struct belt_run *face)
{
    return (int)plugin_run_stop(plugin_run_of(face));
}

static int wait_for_stop(struct belt_run *face, int64_t ms)
{
    const struct plugin_run *r = plugin_run_of(face);
    int64_t end_ms = handler_instant(clock_ms(), ms > 0 ? ms : 0);
    int why;

    while ((why = (int)plugin_run_stop(r)) == BELT_GO_ON) {
        int64_t now = clock_ms();
        int64_t until = end_ms < r->deadline_ms ? end_ms : r->deadline_ms;
        struct pollfd p = {.fd = r->cancel_fd, .events = POLLIN};
        uint64_t wakes;

        if (now >= end_ms)
            break;
        /* A wake that is left over from an earlier delivery is read away. */
        if (poll(&p, 1, until - now < INT_MAX ? (int)(until - now) : INT_MAX) >
                0 &&
            atomic_load(&r->d->cancel) == CANCEL_NONE &&
            read(r->cancel_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
            break;
    }
    return why;
}

static int progress(struct belt_run *face, double percent, const char *message)
{
    struct plugin_run *r = plugin_run_of(face);
    int rc = BELT_E_OVER;

    if (!(percent >= 0 && percent <= 100))
        return BELT_E_INVALID;
    mutex_lock(&r->mu);
    if (delivery_hold(r->d)) {
        pool_progress(r->d, percent, message);
        delivery_let_go(r->d);
        rc = BELT_OK;
    }
    mutex_unlock(&r->mu);
    return rc;
}

static int log_line(struct belt_run *face, int level, const char *text)
{
    static const enum log_level levels[] = {
        [BELT_DEBUG] = LOG_LVL_DEBUG,
        [BELT_INFO] = LOG_LVL_INFO,
        [BELT_WARN] = LOG_LVL_WARN,
        [BELT_ERROR] = LOG_LVL_ERROR,
    };
    struct plugin_run *r = plugin_run_of(face);
    int rc = BELT_E_OVER;

    if (level < BELT_DEBUG || level > BELT_ERROR || text == NULL)
        return BELT_E_INVALID;
    mutex_lock(&r->mu);
    if (delivery_hold(r->d)) {
        if (++r->logged <= PLUGIN_LINES_LOGGED)
            pool_log(r->d, levels[level], "log", text,
                     strnlen(text, MESSAGE_LOGGED));
        delivery_let_go(r->d);
        rc = BELT_OK;
    }
    mutex_unlock(&r->mu);
    return rc;
}

static int result(struct belt_run *face, const void *data, size_t size)
{
    struct plugin_run *r = plugin_run_of(face);
    size_t n = size < r->result_max ? size : r->result_max;

    if (data == NULL && size > 0)
        return BELT_E_INVALID;
    mutex_lock(&r->mu);
    buf_clear(&r->result);
    if (n > 0)
        buf_append(&r->result, data, n);
    r->result_bytes = size;
    mutex_unlock(&r->mu);
    return n < size ? BELT_E_TOO_BIG : BELT_OK;
}

static int fail(struct belt_run *face, const char *error_class,
                const char *message)
{
    struct plugin_run *r = plugin_run_of(face);

    mutex_lock(&r->mu);
    (void)snprintf(r->error_class, sizeof(r->error_class), "%s",
                   error_class != NULL ? error_class : "");
    buf_clear(&r->message);
    if (message != NULL)
        buf_append(&r->message, message, strnlen(message, MESSAGE_LOGGED));
    mutex_unlock(&r->mu);
    return BELT_OK;
}

static int ask_later(struct plugin_run *r, int64_t *ret_ms, int64_t ms)
{
    if (ms < 0 || ms > JOB_DURATION_MAX_MS)
        return BELT_E_INVALID;
    mutex_lock(&r->mu);
    *ret_ms = ms;
    mutex_unlock(&r->mu);
    return BELT_OK;
}

static int retry_after(struct belt_run *face, int64_t ms)
{
    return ask_later(plugin_run_of(face), &plugin_run_of(face)->retry_ms, ms);
}

static int snooze(struct belt_run *face, int64_t ms)
{
    return ask_later(plugin_run_of(face), &plugin_run_of(face)->snooze_ms, ms);
}

int plugin_error(int err)
{
    switch (err) {
    case 0:
        return BELT_OK;
    case ERR_TOO_BIG:
        return BELT_E_TOO_BIG;
    case ERR_CLOSED:
        return BELT_E_STOP;
    case ERR_AGAIN:
        return BELT_E_FULL;
    default:
        return BELT_E_INVALID;
    }
}

static int push(struct belt_run *face, const char *envelope, size_t size,
                char *err, size_t err_size)
{
    struct plugin_run *r = plugin_run_of(face);
    struct errbuf eb = {"the run was given up"};
    int rc = BELT_E_OVER;

    mutex_lock(&r->mu);
    if (delivery_hold(r->d)) {
        rc = plugin_error(
            envelope != NULL
                ? delivery_push(r->d, envelope, size, &eb)
                : delivery_push_refuse(r->d, ERR_INVALID, "no envelope", &eb));
        delivery_let_go(r->d);
    }
    mutex_unlock(&r->mu);
    if (rc != BELT_OK && err != NULL && err_size > 0)
        (void)snprintf(err, err_size, "%s", eb.text);
    return rc;
}
