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
    struct subtask *part; /* owned: the last one that the plugin was told of */
};

enum { PLUGIN_LINES_LOGGED = 1000 }; /* of one run, as of its stderr */

/* The functions that plugins are given; constant. */
extern const struct belt_host plugin_host;

/* The face is the first member. */
struct plugin_run *plugin_run_of(struct belt_run *face);

/* The table's part about sub-tasks. */
int plugin_subtasks(struct belt_run *face, unsigned flags);
int plugin_subtask(struct belt_run *face, const struct belt_subtask *t);
int plugin_subtask_result(struct belt_run *face,
                          struct belt_subtask_result *ret);
int plugin_subtasks_end(struct belt_run *face);
int plugin_subtasks_cancel(struct belt_run *face);

/* What plugins get for an error of ours. */
int plugin_error(int err);

/* Why it should stop. Any thread. */
enum belt_stop plugin_run_stop(const struct plugin_run *r);

#endif
