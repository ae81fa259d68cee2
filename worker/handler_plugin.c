/*
 * Plugin: a function of a shared object, called in the thread of the pool.
 *
 * The object is loaded when the table of handlers is built, so that one that
 * is missing or made for another worker is an error of the configuration; its
 * init runs when the table is about to be used. Objects are never unloaded:
 * threads of theirs, or their thread-local data, may be there still.
 *
 * Such a run cannot be killed. Until it returns the loop may take the delivery
 * away from it (pool_give_up_late): then nothing that it does counts, and the
 * thread sleeps for ever instead of coming back.
 *
 *     run ──► returned: hold LOOSE → FIRM ──► outcome, as any other
 *      └────► late: the loop makes it LOST ──► outcome by the loop
 *
 * Thread: run in the pool; the others in main or in one of a reload.
 */
#include "worker/handler_plugin.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/subtask.h"

static const char symbol[] = "belt_plugin_v1";

struct plugin {
    char *path, *args;             /* owned */
    const struct belt_plugin *abi; /* of the object, which stays */
    void *state;                   /* of the plugin */
    bool started;
    atomic_bool lost; /* a run was given up: it may use state for ever */
};

static void run_plugin(struct delivery *d, int cancel_fd);

/* Whether the object is one for us. */
static int check(const struct belt_plugin *abi, struct errbuf *eb)
{
    if (abi->abi != BELT_PLUGIN_ABI)
        return errbuf_set(eb, ERR_INVALID,
                          "made for plugin ABI %u, this worker has %u",
                          abi->abi, (unsigned)BELT_PLUGIN_ABI);
    if (abi->size < sizeof(struct belt_plugin))
        return errbuf_set(eb, ERR_INVALID,
                          "its struct belt_plugin has %u bytes, not %zu",
                          abi->size, sizeof(struct belt_plugin));
    if (abi->run == NULL || abi->name == NULL)
        return errbuf_set(eb, ERR_INVALID, "%s has no %s", symbol,
                          abi->run == NULL ? "run" : "name");
    return 0;
}

static int load(struct plugin *p, struct errbuf *eb)
{
    void *object = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);

    if (object == NULL)
        return errbuf_set(eb, ERR_INVALID, "%s", dlerror());
    p->abi = dlsym(object, symbol);
    if (p->abi == NULL)
        return errbuf_set(eb, ERR_INVALID,
                          "%s: it is no plugin: no symbol %s in it", p->path,
                          symbol);
    int rc = check(p->abi, eb);

    return rc != 0 ? errbuf_wrap(eb, rc, "%s", p->path) : 0;
}

static int init(struct handler *h, const char *spec, struct errbuf *eb)
{
    size_t skip = strspn(spec, " \t"), n = strcspn(spec + skip, " \t");
    const char *rest = spec + skip + n;
    struct plugin *p = mem_new(sizeof(*p));

    h->run = run_plugin;
    h->state = p;
    p->path = mem_dup(spec + skip, n);
    p->args = mem_strdup(rest + strspn(rest, " \t"));
    /* Without one the loader would look in places of its own. */
    if (strchr(p->path, '/') == NULL)
        return errbuf_set(eb, ERR_INVALID,
                          "\"%s\": expected the path of a shared object, with "
                          "a slash in it",
                          p->path);
    return load(p, eb);
}

static int start(struct handler *h, struct errbuf *eb)
{
    struct plugin *p = h->state;
    char text[256] = "";

    if (p->abi->init != NULL && p->abi->init(&plugin_host, p->args, &p->state,
                                             text, sizeof(text)) != 0) {
        text[sizeof(text) - 1] = '\0';
        return errbuf_set(eb, ERR_INVALID, "%s: init: %s", p->path,
                          text[0] != '\0' ? text : "failed, and says not why");
    }
    p->started = true;
    LOG_INFO("plugin", F_STR("type", h->pattern), F_STR("path", p->path),
             F_STR("name", p->abi->name),
             F_STR("version", p->abi->version != NULL ? p->abi->version : ""));
    return 0;
}

static void stop(struct handler *h)
{
    struct plugin *p = h->state;

    if (p->started && p->abi->fini != NULL && !atomic_load(&p->lost))
        p->abi->fini(p->state);
    p->started = false;
}

static void free_state(struct handler *h)
{
    struct plugin *p = h->state;

    if (p == NULL)
        return;
    free(p->path);
    free(p->args);
    free(p);
}

static void give_up(const struct handler *h)
{
    struct plugin *p = h->state;

    atomic_store(&p->lost, true);
}

const struct handler_kind handler_plugin_kind = {.name = "plugin",
                                                 .init = init,
                                                 .start = start,
                                                 .stop = stop,
                                                 .free = free_state,
                                                 .give_up = give_up};

/* Two system calls: for those whose figure somebody may look at. */
static int64_t thread_cpu_us(const struct delivery *d)
{
    struct timespec t;

    if (d->job->keep_ms <= 0 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
        return -1;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void run_begin(struct plugin_run *r, struct delivery *d, int cancel_fd)
{
    const struct job *job = d->job;
    int64_t timeout_ms = handler_timeout_ms(d);

    r->face = (struct belt_run){
        .host = &plugin_host,
        .size = sizeof(r->face),
        .id = job->id,
        .type = job->type,
        .queue = d->queue,
        .payload = job->payload.p,
        .payload_size = job->payload.len,
        .attempt = handler_instant(job->attempt, 1),
        .max_attempts = handler_max_attempts(d),
        .recovered = job->recovered_count,
        .fence = d->fence,
        .deadline_ms = handler_instant(clock_wall_ms(), timeout_ms),
        .max_result = d->handler->limits.result_max,
        .traceparent = job->traceparent};
    r->d = d;
    r->cancel_fd = cancel_fd;
    r->deadline_ms = handler_instant(clock_ms(), timeout_ms);
    r->result_max = d->handler->limits.result_max;
    mutex_init(&r->mu);
    r->result = r->message = (struct buf){0};
    r->result_bytes = 0;
    r->error_class[0] = '\0';
    r->retry_ms = r->snooze_ms = -1;
    r->logged = 0;
    r->part = NULL;
    delivery_loosen(d, r->deadline_ms);
}

/* The loop has made an outcome: we are never heard of again. */
static void sleep_for_ever(void) __attribute__((noreturn));

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

static void judge_failure(struct plugin_run *r, enum verdict v, bool said)
{
    struct outcome *o = &r->d->outcome;
    const char *class = r->error_class[0] != '\0' ? r->error_class : "plugin";

    handler_fail(r->d, v, class, "%s", said ? "" : "failed, and says not why");
    if (said) {
        buf_done(&o->message);
        o->message = r->message;
        r->message = (struct buf){0};
    }
    if (v == VERDICT_RETRY)
        o->delay_ms = r->retry_ms;
}

/* Ended without success: why, if it was told to stop. */
static void judge_retry(struct plugin_run *r, int value)
{
    bool said = r->message.len > 0 || r->error_class[0] != '\0';

    switch (plugin_run_stop(r)) {
    case BELT_STOP_CANCELLED:
    case BELT_STOP_STOPPING:
        handler_stopped(r->d);
        return;
    case BELT_STOP_TIMEOUT:
        if (!said) {
            handler_fail_timeout(r->d);
            r->d->outcome.delay_ms = r->retry_ms;
            return;
        }
        break;
    case BELT_GO_ON:
        break;
    }
    judge_failure(r, VERDICT_RETRY, said);
    if (value != BELT_RETRY && !said) {
        buf_clear(&r->d->outcome.message);
        buf_printf(&r->d->outcome.message, "its run returned %d, no verdict",
                   value);
    }
}

static void judge_done(struct plugin_run *r)
{
    struct outcome *o = &r->d->outcome;

    o->verdict = VERDICT_DONE;
    o->result = r->result;
    r->result = (struct buf){0};
    o->result_truncated = r->result_bytes > o->result.len;
    if (o->result_truncated)
        LOG_WARN("result_truncated", F_STR("job", r->d->job->id),
                 F_INT("bytes", (int64_t)r->result_bytes),
                 F_INT("kept", (int64_t)o->result.len));
}

static void judge(struct plugin_run *r, int value)
{
    switch (value) {
    case BELT_DONE:
        judge_done(r);
        break;
    case BELT_DEAD:
        judge_failure(r, VERDICT_DEAD,
                      r->message.len > 0 || r->error_class[0] != '\0');
        break;
    case BELT_DISCARD:
        handler_fail(r->d, VERDICT_DISCARD, "plugin", "discarded");
        break;
    case BELT_SNOOZE:
        r->d->outcome.verdict = VERDICT_SNOOZE;
        r->d->outcome.delay_ms = r->snooze_ms;
        break;
    default:
        judge_retry(r, value);
    }
    if (r->logged > PLUGIN_LINES_LOGGED)
        LOG_WARN("log_not_logged", F_STR("job", r->d->job->id),
                 F_STR("type", r->d->job->type), F_STR("queue", r->d->queue),
                 F_INT("lines", r->logged - PLUGIN_LINES_LOGGED));
}

static void run_plugin(struct delivery *d, int cancel_fd)
{
    const struct plugin *p = d->handler->state;
    int64_t cpu_us = thread_cpu_us(d);
    struct plugin_run r;

    if (atomic_load(&d->cancel) != CANCEL_NONE) {
        handler_stopped(d);
        return;
    }
    run_begin(&r, d, cancel_fd);
    int value = p->abi->run(&r.face, p->state);
    mutex_lock(&r.mu);
    bool ours = delivery_fasten(d);
    mutex_unlock(&r.mu);
    if (!ours)
        sleep_for_ever();
    judge(&r, value);
    if (cpu_us >= 0)
        d->outcome.cpu_us = thread_cpu_us(d) - cpu_us;
    buf_done(&r.result);
    buf_done(&r.message);
    subtask_free(r.part);
    mutex_done(&r.mu);
}
