/*
 * Sub-tasks of plugins: the calls of subtask.h, for a run that may be given up.
 *
 * A call that waits holds the delivery all the time. It ends when the run
 * should stop, so that it is in nobody's way when the run becomes late.
 *
 * Thread: that of the parent's run.
 */
#include <stddef.h>

#include "worker/handler_plugin.h"
#include "worker/subtask.h"

/* Members that this worker knows and the plugin does not. */
#define HAS(t, member)                                                         \
    ((t)->size >= offsetof(__typeof__(*(t)), member) + sizeof((t)->member))

typedef int (*part_fn)(struct plugin_run *r, struct subtasks *s, void *arg);

static int with_subtasks(struct belt_run *face, part_fn fn, void *arg)
{
    struct plugin_run *r = plugin_run_of(face);
    struct errbuf eb;
    int rc = BELT_E_OVER;

    mutex_lock(&r->mu);
    if (delivery_hold(r->d)) {
        struct subtasks *s = subtasks_of(r->d, &eb);

        rc = s != NULL ? fn(r, s, arg) : BELT_E_INVALID;
        delivery_let_go(r->d);
    }
    mutex_unlock(&r->mu);
    return rc;
}

static int set_options(struct plugin_run *r, struct subtasks *s, void *arg)
{
    const unsigned *flags = arg;
    const struct subtasks_options o = {
        .order = (*flags & BELT_SUBTASKS_IN_ORDER) != 0 ? SUBTASK_EMITTED
                                                        : SUBTASK_FINISHED,
        .on_error = (*flags & BELT_SUBTASKS_COLLECT) != 0 ? SUBTASK_COLLECT
                                                          : SUBTASK_FAIL,
        .no_results = (*flags & BELT_SUBTASKS_NO_RESULTS) != 0};

    (void)r;
    return plugin_error(subtasks_set_options(s, &o, NULL));
}

int plugin_subtasks(struct belt_run *face, unsigned flags)
{
    const unsigned known = BELT_SUBTASKS_IN_ORDER | BELT_SUBTASKS_COLLECT |
                           BELT_SUBTASKS_NO_RESULTS;

    if ((flags & ~known) != 0)
        return BELT_E_INVALID;
    return with_subtasks(face, set_options, &flags);
}

static int emit(struct plugin_run *r, struct subtasks *s, void *arg)
{
    const struct subtask_spec *spec = arg;

    return plugin_error(subtasks_emit(s, spec, r->cancel_fd, INT64_MAX, NULL));
}

int plugin_subtask(struct belt_run *face, const struct belt_subtask *t)
{
    struct subtask_spec spec;

    if (!HAS(t, timeout_ms) || t->timeout_ms < 0 ||
        t->timeout_ms > JOB_DURATION_MAX_MS)
        return BELT_E_INVALID;
    spec = (struct subtask_spec){.type = t->type,
                                 .payload = {t->payload, t->payload_size},
                                 .key = t->key,
                                 .timeout_ms = t->timeout_ms};
    /* It becomes a part of an envelope: nothing else may be smuggled in. */
    if (t->payload != NULL &&
        json_check(t->payload, t->payload_size, NULL) != 0)
        return BELT_E_INVALID;
    return with_subtasks(face, emit, &spec);
}

static int next(struct plugin_run *r, struct subtasks *s, void *arg)
{
    struct belt_subtask_result *ret = arg;
    struct subtask *t;
    int rc = subtasks_next(s, &t, r->cancel_fd, INT64_MAX);

    if (rc == ERR_CLOSED && plugin_run_stop(r) == BELT_GO_ON &&
        !subtasks_failed(s))
        return BELT_E_END;
    if (rc != 0)
        return plugin_error(rc);
    subtask_free(r->part);
    r->part = t;
    ret->number = t->number;
    ret->state = (int)t->state;
    ret->key = t->key;
    ret->error_class = t->error_class;
    ret->message = t->message.len > 0 ? t->message.data : "";
    ret->result = t->result.len > 0 ? t->result.data : "";
    ret->result_size = t->result.len;
    return BELT_OK;
}

int plugin_subtask_result(struct belt_run *face,
                          struct belt_subtask_result *ret)
{
    if (!HAS(ret, result_size))
        return BELT_E_INVALID;
    return with_subtasks(face, next, ret);
}

static int end(struct plugin_run *r, struct subtasks *s, void *arg)
{
    (void)r;
    (void)arg;
    subtasks_end(s);
    return BELT_OK;
}

int plugin_subtasks_end(struct belt_run *face)
{
    return with_subtasks(face, end, NULL);
}

static int cancel(struct plugin_run *r, struct subtasks *s, void *arg)
{
    (void)r;
    (void)arg;
    subtasks_cancel(s, CANCEL_JOB);
    return BELT_OK;
}

int plugin_subtasks_cancel(struct belt_run *face)
{
    return with_subtasks(face, cancel, NULL);
}
