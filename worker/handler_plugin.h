#ifndef WORKER_HANDLER_PLUGIN_H
#define WORKER_HANDLER_PLUGIN_H

#include <belt/plugin.h>

#include "common/base/buf.h"
#include "common/base/thread.h"
#include "worker/handler_priv.h"

/*
 * A run of a plugin, on the stack of its thread: if it is given up, that
 * thread never returns, and so it stays. What touches the delivery does so
 * between delivery_hold and delivery_let_go.
 */
struct plugin_run {
    struct belt_run face; /* first: what the plugin sees */
    struct delivery *d;   /* borrowed; see above */
    int cancel_fd;        /* borrowed */
    int64_t deadline_ms;  /* clock_ms() */
    size_t result_max;

    struct mutex mu; /* guards what follows */
    struct buf result;
    size_t result_bytes; /* of what was given */
    char error_class[sizeof(((struct outcome *)0)->error_class)];
    struct buf message;
    int64_t retry_ms, snooze_ms; /* -1: not asked for */
    int64_t logged;
};

enum { PLUGIN_LINES_LOGGED = 1000 }; /* of one run, as of its stderr */

/* The functions that plugins are given; constant. */
extern const struct belt_host plugin_host;

/* Why it should stop. Any thread. */
enum belt_stop plugin_run_stop(const struct plugin_run *r);

#endif
