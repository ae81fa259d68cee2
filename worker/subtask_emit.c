/*
 * Sub-tasks: emitting them.
 *
 * One is made as if it had been pushed and fetched, so that handlers of every
 * kind run it as they run a job. It gets what is its parent's: queue, attempt,
 * fence, trace, and at most the time that is left.
 *
 * Thread: that of the parent's run.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/handler_priv.h"
#include "worker/subtask_priv.h"

static bool has_room_locked(const struct subtasks *s) REQUIRES(s->mu);

static bool has_room_locked(const struct subtasks *s)
{
    return s->unfinished < s->cfg->window && s->bytes < SUBTASK_BYTES_MAX &&
           s->waiting_bytes < s->cfg->results_max;
}

int subtasks_set_options(struct subtasks *s, const struct subtasks_options *o,
                         struct errbuf *eb)
{
    if (s->emitted > 0)
        return errbuf_set(eb, ERR_INVALID,
                          "options come before the first sub-task");
    s->opt = *o;
    return 0;
}

/* The parent's id, cut if it is very long: no two of a parent are the same. */
static void make_id(char out[ID_MAX_LEN + 1], const char *parent,
                    int64_t number)
{
    char tail[24];
    int n = snprintf(tail, sizeof(tail), ".%" PRId64, number);

    (void)snprintf(out, ID_MAX_LEN + 1, "%.*s%s", ID_MAX_LEN - n, parent, tail);
}

int64_t subtasks_left_ms(const struct subtasks *s)
{
    int64_t left = s->end_boot_ms - clock_boot_ms();

    return left > 0 ? left : 0;
}

/* As if it had been pushed, with what it has from its parent. */
static int make_job(const struct subtasks *s, const struct subtask_spec *spec,
                    struct job **ret, struct errbuf *eb)
{
    const struct job *parent = s->d->job;
    char id[ID_MAX_LEN + 1], meta[128];
    struct job_spec js = {.id = id,
                          .type = spec->type,
                          .payload = spec->payload,
                          .timeout_ms = spec->timeout_ms};
    struct buf raw = {0};
    int rc;

    make_id(id, parent->id, s->emitted + 1);
    if (parent->traceparent[0] != '\0') {
        int n = snprintf(meta, sizeof(meta), "{\"traceparent\":\"%s\"}",
                         parent->traceparent);

        js.meta = (struct json_span){meta, (size_t)n};
    }
    rc = job_build(&js, s->d->envelope_max, &raw, eb);
    if (rc == 0)
        rc = job_parse(raw.data, raw.len, s->d->envelope_max, ret, eb);
    buf_done(&raw);
    if (rc != 0)
        return rc;
    (*ret)->created_at_ms = parent->created_at_ms;
    (*ret)->attempt = parent->attempt;
    (*ret)->max_attempts = handler_max_attempts(s->d);
    (*ret)->says_attempts = true;
    (*ret)->recovered_count = parent->recovered_count;
    memcpy((*ret)->recovered_ms, parent->recovered_ms,
           sizeof(parent->recovered_ms));
    return 0;
}

static struct subtask_private *
make_part(struct subtasks *s, const struct subtask_spec *spec, size_t bytes)
{
    struct subtask_private *t = mem_new(sizeof(*t));

    t->of = s;
    t->t.number = s->emitted + 1;
    t->t.key = spec->key != NULL ? mem_strdup(spec->key) : NULL;
    t->type = mem_strdup(spec->type);
    t->bytes = bytes;
    t->wanted = !s->opt.no_results;
    t->exit_status = -1;
    t->delay_ms = t->cpu_us = -1;
    return t;
}

/* The delivery of one: as the parent's, but for what it runs. */
static struct delivery *make_delivery(struct subtasks *s,
                                      const struct subtask_spec *spec,
                                      struct job *job)
{
    struct delivery *d = delivery_new(job);
    int64_t most = subtasks_left_ms(s);

    memcpy(d->queue, s->d->queue, sizeof(d->queue));
    d->fence = s->d->fence;
    d->envelope_max = s->d->envelope_max;
    d->cancel_all = &s->cancel;
    d->part = &make_part(s, spec, job->raw_len)->t;
    if (s->d->handlers != NULL)
        (void)handlers_lend(s->d->handlers, d); /* the parent's table, which
                                                 * may be an old one */
    else
        d->handler = handlers_find(s->cfg->handlers, job->type);
    if (d->handler != NULL && handler_timeout_ms(d) > most) {
        job->timeout_ms = most > 0 ? most : 1;
        subtask_private(d->part)->cut = true;
    }
    return d;
}

static int check(struct subtasks *s, const struct subtask_spec *spec,
                 struct errbuf *eb)
{
    int rc = 0;

    if (spec->type == NULL || spec->type[0] == '\0')
        return errbuf_set(eb, ERR_INVALID, "a sub-task wants a type");
    if (spec->key != NULL && strlen(spec->key) > SUBTASK_KEY_MAX)
        return errbuf_set(eb, ERR_INVALID, "its key has more than %d bytes",
                          SUBTASK_KEY_MAX);
    mutex_lock(&s->mu);
    if (s->closed)
        rc = errbuf_set(eb, ERR_INVALID, "there were to be no more sub-tasks");
    else if (atomic_load(&s->cancel) != CANCEL_NONE)
        rc = errbuf_set(eb, ERR_CLOSED, "its sub-tasks were cancelled");
    else if (!has_room_locked(s)) {
        s->wants |= WANT_ROOM;
        rc = errbuf_set(eb, ERR_AGAIN, "%u sub-tasks are unfinished",
                        s->unfinished);
    }
    mutex_unlock(&s->mu);
    return rc;
}

static void count_in(struct subtasks *s, size_t bytes)
{
    mutex_lock(&s->mu);
    s->unfinished++;
    s->bytes += bytes;
    mutex_unlock(&s->mu);
    s->emitted++;
}

static void fail_unrun(struct delivery *d, enum verdict v, const char *class,
                       const char *why)
{
    handler_fail(d, v, class, "%s", why);
    subtasks_ended(d);
}

void subtasks_refuse(struct subtasks *s, const char *key, const char *why)
{
    struct subtask_spec spec = {.type = "?", .key = key};
    struct delivery *d = delivery_new(NULL);

    if (key != NULL && strlen(key) > SUBTASK_KEY_MAX)
        spec.key = NULL;
    d->part = &make_part(s, &spec, 0)->t;
    count_in(s, 0);
    fail_unrun(d, VERDICT_RETRY, "refused", why);
}

void subtasks_gather(struct subtasks *s)
{
    s->gathers = true;
}

void subtasks_flush(struct subtasks *s)
{
    if (s->gathered_count > 0)
        subtask_pool_send(s->pool, s->gathered, s->gathered_count);
    s->gathered_count = 0;
}

static void send(struct subtasks *s, struct delivery *d)
{
    s->gathered[s->gathered_count++] = d;
    if (!s->gathers || s->gathered_count == SUBTASK_GATHERED)
        subtasks_flush(s);
}

int subtasks_try_emit(struct subtasks *s, const struct subtask_spec *spec,
                      struct errbuf *eb)
{
    struct delivery *d;
    struct job *job;
    int rc = check(s, spec, eb);

    if (rc == ERR_AGAIN)
        subtasks_flush(s); /* room comes of their ends */
    if (rc == ERR_AGAIN && s->opt.no_results)
        subtasks_drop_results(s); /* what they push stands in the way */
    if (rc != 0 || (rc = subtask_pool_start(s->pool, eb)) != 0 ||
        (rc = make_job(s, spec, &job, eb)) != 0)
        return rc;
    d = make_delivery(s, spec, job);
    count_in(s, job->raw_len);
    if (d->handler == NULL)
        fail_unrun(d, VERDICT_PUT_OFF, "handler",
                   "no handler for this type here");
    else
        send(s, d);
    return 0;
}

void subtasks_end(struct subtasks *s)
{
    mutex_lock(&s->mu);
    s->closed = true;
    mutex_unlock(&s->mu);
}
