/*
 * libbelt: what became of a job.
 *
 * Thread: any; each call is one thread's.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "producer/cancel.h"
#include "producer/failure.h"
#include "producer/lib.h"
#include "producer/standing.h"
#include "producer/waiting.h"

struct belt_status {
    char job[JOB_NAME_TEXT_MAX];
    struct kept kept; /* owned; of a job that is not kept: what is known */
    struct buf error_text;
};

struct wait {
    struct lib_call call;
    struct job_name *names;   /* owned */
    struct belt_status **ret; /* borrowed, room for each */
    size_t n, left;           /* left: not ended, or not kept */
    size_t absent;
    char first_absent[JOB_NAME_TEXT_MAX];
};

static bool on_end(void *arg, size_t i, const struct kept *k);
static void on_absent(void *arg, size_t i, bool seen);

/* ---- what is told ---- */

static void set(struct kept *k, enum kept_field f, const char *p, size_t n)
{
    free(k->values[f]);
    k->values[f] = mem_dup(p, n);
    k->lens[f] = n;
}

static void set_int(struct kept *k, enum kept_field f, int64_t n)
{
    char text[INT_TEXT_MAX];

    if (n != 0)
        set(k, f, text, text_format_int(n, text));
}

/* Takes what is in k. */
static struct belt_status *new_status(const struct job_name *name,
                                      struct kept *k)
{
    struct belt_status *s = mem_new(sizeof(*s));

    job_name_format(name, s->job);
    s->kept = *k;
    *k = (struct kept){0};
    if (s->kept.values[KEPT_error])
        failure_append_text(s->kept.values[KEPT_error],
                            s->kept.lens[KEPT_error], &s->error_text);
    return s;
}

void belt_status_free(struct belt_status *status)
{
    if (!status)
        return;
    kept_done(&status->kept);
    buf_done(&status->error_text);
    free(status);
}

const char *belt_status_job(const struct belt_status *status)
{
    return status->job;
}

const char *belt_status_state(const struct belt_status *status)
{
    return status->kept.values[KEPT_state];
}

int belt_status_is_over(const struct belt_status *status)
{
    return kept_is_over(&status->kept);
}

const char *belt_status_get(const struct belt_status *status, const char *name,
                            size_t *ret_size)
{
    enum kept_field f;

    if (strcmp(name, "error_text") == 0) {
        if (ret_size && status->error_text.len > 0)
            *ret_size = status->error_text.len;
        return status->error_text.len > 0 ? status->error_text.data : NULL;
    }
    if (!kept_field_find(name, &f) || !status->kept.values[f])
        return NULL;
    if (ret_size)
        *ret_size = status->kept.lens[f];
    return status->kept.values[f];
}

int64_t belt_status_get_int(const struct belt_status *status, const char *name,
                            int64_t none)
{
    enum kept_field f;

    return kept_field_find(name, &f) ? kept_int(&status->kept, f, none) : none;
}

/* ---- one round trip ---- */

static struct belt_status *
not_kept(struct lib_call *call, const struct job_name *name, const char *what)
{
    char text[JOB_NAME_TEXT_MAX];

    (void)lib_error(&call->error, BELT_ERR_NOT_FOUND, "%s: %s",
                    job_name_format(name, text), what);
    return NULL;
}

static struct belt_status *ask_result(struct lib_call *call, const char *job)
{
    struct job_name name;
    struct keys keys;
    struct kept kept = {0};
    struct belt_status *s = NULL;

    if (lib_read_name(call, job, &name) != 0)
        return NULL;
    keys_init(&keys, call->owner->ns, name.queue);
    kept_ask(call->client, &keys, name.id, &kept);
    if (client_wait(call->client) == 0)
        s = kept.values[KEPT_state] ? new_status(&name, &kept)
                                    : not_kept(call, &name, "not kept");
    kept_done(&kept);
    return s;
}

/* ---- standing ---- */

/* Of a job that is not kept: what its envelope and its place say. */
static void describe(const struct standing *s, struct kept *k)
{
    const struct found *f = &s->found;
    struct buf error = {0};
    size_t n;
    const char *worker = standing_worker(s, &n);

    set(k, KEPT_type, f->job->type, strlen(f->job->type));
    set(k, KEPT_attempt, "0", 1);
    set_int(k, KEPT_attempt, f->job->attempt);
    set_int(k, KEPT_created_at, f->job->created_at_ms);
    set_int(k, f->place == PLACE_DEAD ? KEPT_ended_at : KEPT_due_at, f->at_ms);
    if (worker) {
        set(k, KEPT_worker, worker, n);
        set(k, KEPT_lane, f->lane, strlen(f->lane));
    }
    failure_append(f->job, &error);
    if (error.len > 0)
        set(k, KEPT_error, error.data, error.len);
    buf_done(&error);
}

static struct belt_status *ask_standing(struct lib_call *call, const char *job)
{
    struct standing s = {0};
    struct belt_status *ret = NULL;
    int64_t now_ms;

    if (lib_read_name(call, job, &s.name) != 0)
        return NULL;
    struct job_name name = s.name;
    if (standing_ask(call->client, call->owner->ns, &s, 1, &now_ms) == 0) {
        const char *state = standing_state(&s, now_ms);
        if (state && !standing_is_kept(&s))
            describe(&s, &s.kept);
        if (state) {
            char *own = mem_strdup(state); /* it may be what set frees */
            set(&s.kept, KEPT_state, own, strlen(own));
            free(own);
            ret = new_status(&name, &s.kept);
        } else {
            ret = not_kept(call, &name, "not found: not kept, or gone");
        }
    }
    standing_done(&s);
    return ret;
}

/* ---- both, as calls ---- */

static struct belt_status *
ask(struct belt_client *client, const char *job, struct belt_error *error,
    struct belt_status *(*how)(struct lib_call *call, const char *job))
{
    struct lib_call call;

    if (lib_begin(client, &call, error) != 0)
        return NULL;
    struct belt_status *s = how(&call, job);
    (void)lib_end(client, &call, error);
    return s;
}

struct belt_status *belt_client_result(struct belt_client *client,
                                       const char *job,
                                       struct belt_error *error)
{
    return ask(client, job, error, ask_result);
}

struct belt_status *belt_client_status(struct belt_client *client,
                                       const char *job,
                                       struct belt_error *error)
{
    return ask(client, job, error, ask_standing);
}

/* ---- waiting ---- */

static void take(struct wait *w, size_t i, const struct kept *k)
{
    struct kept copy = {0};

    for (size_t f = 0; f < KEPT_FIELD_COUNT; f++) {
        if (k->values[f])
            set(&copy, (enum kept_field)f, k->values[f], k->lens[f]);
    }
    w->ret[i] = new_status(&w->names[i], &copy);
    w->left--;
}

static bool on_end(void *arg, size_t i, const struct kept *k)
{
    struct wait *w = arg;

    if (!w->ret[i]) /* else the first look has seen it */
        take(w, i, k);
    return true;
}

static void on_absent(void *arg, size_t i, bool seen)
{
    struct wait *w = arg;

    (void)seen;
    if (w->absent++ == 0)
        job_name_format(&w->names[i], w->first_absent);
    w->left--;
}

/* Most have ended when they are asked for: then nobody has to subscribe. */
static int look(struct wait *w)
{
    struct kept *all = mem_new(w->n * sizeof(*all));
    struct keys keys;

    for (size_t i = 0; i < w->n; i++) {
        keys_init(&keys, w->call.owner->ns, w->names[i].queue);
        kept_ask(w->call.client, &keys, w->names[i].id, &all[i]);
    }
    int status = client_wait(w->call.client);
    for (size_t i = 0; i < w->n; i++) {
        if (status == 0 && kept_is_over(&all[i]))
            take(w, i, &all[i]);
        kept_done(&all[i]);
    }
    free(all);
    return status;
}

static bool is_over(const struct wait *w, bool any)
{
    return w->left == 0 || (any && w->left < w->n);
}

static void wait_for(struct wait *w, bool any, int64_t timeout_ms)
{
    struct waiting_events events = {
        .on_end = on_end, .on_absent = on_absent, .arg = w};
    struct waiting *waiting = NULL;

    if (look(w) != 0 || is_over(w, any))
        return;
    if (timeout_ms == 0) {
        (void)lib_error(&w->call.error, BELT_ERR_TIMEOUT,
                        "%zu of %zu jobs have not ended", w->left, w->n);
        return;
    }
    /* It looks at all anew: what has ended meanwhile is among them. */
    if (waiting_new(w->call.client, w->call.owner->ns, w->names, w->n,
                    timeout_ms < 0 ? 0 : timeout_ms, &events, &waiting) == 0)
        (void)waiting_run(waiting, any);
    waiting_free(waiting);
}

static int read_names(struct wait *w, const char *const *jobs)
{
    for (size_t i = 0; i < w->n; i++) {
        if (lib_read_name(&w->call, jobs[i], &w->names[i]) != 0)
            return w->call.error.code;
    }
    return 0;
}

int belt_client_wait_many(struct belt_client *client, const char *const *jobs,
                          size_t n, int any, int64_t timeout_ms,
                          struct belt_status **ret, struct belt_error *error)
{
    struct wait w = {.ret = ret, .n = n, .left = n};

    for (size_t i = 0; i < n; i++)
        ret[i] = NULL;
    if (n == 0)
        return 0;
    if (n > WAITING_MAX)
        return lib_error(error, BELT_ERR_TOO_BIG, "more than %d jobs",
                         WAITING_MAX);
    int rc = lib_begin(client, &w.call, error);
    if (rc != 0)
        return rc;
    w.names = mem_new(n * sizeof(*w.names));
    if (read_names(&w, jobs) == 0)
        wait_for(&w, any != 0, timeout_ms);
    bool enough = any && w.left + w.absent < n;
    if (w.call.error.code == 0 && w.absent > 0 && !enough)
        (void)lib_error(&w.call.error, BELT_ERR_NOT_FOUND,
                        "%s: not kept, or not any longer", w.first_absent);
    free(w.names);
    return lib_end(client, &w.call, error);
}

struct belt_status *belt_client_wait(struct belt_client *client,
                                     const char *job, int64_t timeout_ms,
                                     struct belt_error *error)
{
    struct belt_status *s = NULL;

    (void)belt_client_wait_many(client, &job, 1, 0, timeout_ms, &s, error);
    return s;
}

/* ---- cancelling ---- */

int belt_client_cancel(struct belt_client *client, const char *job,
                       int *ret_state, struct belt_error *error)
{
    static const int states[] = {[MARKED] = BELT_CANCEL_MARKED,
                                 [CANCELLED] = BELT_CANCEL_CANCELLED,
                                 [ENDED] = BELT_CANCEL_ENDED,
                                 [OVER] = BELT_CANCEL_ENDED};
    struct lib_call call;
    struct cancel_entry one = {.outcome = MARKED};
    int rc = lib_begin(client, &call, error);

    if (rc != 0)
        return rc;
    struct cancel c = {.ns = client->ns,
                       .client = call.client,
                       .all = &one,
                       .count = 1,
                       .cap = 1};
    if (lib_read_name(&call, job, &one.name) == 0 && cancel_run(&c) == 0 &&
        ret_state)
        *ret_state = states[one.outcome];
    kept_done(&one.kept);
    return lib_end(client, &call, error);
}
