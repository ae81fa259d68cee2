/*
 * Reload: another configuration for a worker that runs.
 *
 *     SIGHUP ──► thread: options_parse ──eventfd──► loop: compare, apply
 *
 * Files, directories and the start of a plugin may take their time, so they
 * are read beside the loop; nothing of the old configuration is touched
 * meanwhile. What holds is replaced in one step of the loop. Deliveries keep
 * the table of handlers that they were given: it is stopped, on a thread of its
 * own since that may take as long as its processes do, when the last of them is
 * freed.
 *
 * Thread: event loop but for read_again and end_table.
 */
#include "worker/reload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/agent_priv.h"
#include "worker/cron.h"
#include "worker/descriptors.h"
#include "worker/lane.h"
#include "worker/listen.h"
#include "worker/queue_file.h"
#include "worker/watchdog.h"

/* A table that another one has replaced. */
struct retired {
    struct retired *next;
    struct handlers *handlers; /* owned; NULL when ended is set */
    pthread_t thread;
    bool ending; /* the thread was started */
    _Atomic bool ended;
};

struct reload {
    int argc;
    char **argv;             /* borrowed */
    struct options *current; /* owned */
    struct retired *retired; /* owned */
    struct agent *agent;     /* borrowed */
    bool went_well;
    int64_t at_ms;

    int fd; /* owned eventfd: next is there; -1: none */
    struct event *on_read;
    pthread_t thread;
    bool reading, again;

    /* The thread's, until fd says that it is done. */
    struct options *next; /* owned */
    int rc;
    struct errbuf eb;
};

static void on_read(evutil_socket_t fd, short what, void *arg);

struct reload *reload_new(int argc, char **argv, struct options *o)
{
    struct reload *r = mem_new(sizeof(*r));
    r->argc = argc;
    r->argv = argv;
    r->current = mem_new(sizeof(*r->current));
    *r->current = *o;
    *o = (struct options){0};
    r->fd = -1;
    r->went_well = true;
    r->at_ms = clock_wall_ms();
    return r;
}

static void free_options(struct options *o)
{
    if (o == NULL)
        return;
    options_done(o);
    free(o);
}

void reload_free(struct reload *r)
{
    if (r == NULL)
        return;
    while (r->retired != NULL) {
        struct retired *t = r->retired;
        r->retired = t->next;
        handlers_free(t->handlers);
        free(t);
    }
    free_options(r->next);
    free_options(r->current);
    free(r);
}

const struct worker_config *reload_config(const struct reload *r)
{
    return &r->current->config;
}

bool reload_went_well(const struct reload *r)
{
    return r->went_well;
}

int64_t reload_at_ms(const struct reload *r)
{
    return r->at_ms;
}

static void retire(struct reload *r, struct handlers *hs)
{
    struct retired *t = mem_new(sizeof(*t));
    t->handlers = hs;
    t->next = r->retired;
    r->retired = t;
}

/* It is not to hold: what its handlers have begun is to be ended. */
static void retire_unused(struct reload *r)
{
    retire(r, r->next->handlers);
    r->next->handlers = NULL;
}

bool reload_start(struct reload *r, struct agent *a, struct errbuf *eb)
{
    sigset_t hup;
    r->agent = a;
    r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->fd < 0) {
        (void)errbuf_set(eb, ERR_SYSTEM, "eventfd: %s", strerror(errno));
        return false;
    }
    r->on_read = event_new(a->base, r->fd, EV_READ | EV_PERSIST, on_read, r);
    (void)event_add(r->on_read, NULL);
    (void)sigemptyset(&hup); /* main has held it until somebody listens */
    (void)sigaddset(&hup, SIGHUP);
    (void)pthread_sigmask(SIG_UNBLOCK, &hup, NULL);
    return true;
}

void reload_end(struct reload *r)
{
    if (r->on_read != NULL)
        event_free(r->on_read);
    r->on_read = NULL;
    if (r->reading) {
        (void)pthread_join(r->thread, NULL);
        if (r->rc == 0)
            retire_unused(r);
    }
    r->reading = false;
    if (r->fd >= 0)
        (void)close(r->fd);
    r->fd = -1;
}

/* ---- reading ---- */

/* All signals are for the loop. */
static int start_thread(pthread_t *t, void *(*run)(void *), void *arg)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(t, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static void *read_again(void *arg)
{
    struct reload *r = arg;
    uint64_t one = 1;
    r->rc = options_parse(r->argc, r->argv, r->next, &r->eb);
    if (r->rc == 0)
        r->rc = handlers_start(r->next->handlers, &r->eb);
    (void)!write(r->fd, &one, sizeof(one));
    return NULL;
}

static void failed(struct reload *r, const char *error)
{
    LOG_ERROR("reload", F_STR("error", error),
              F_STR("so", "the old configuration stays"));
    r->went_well = false;
    r->at_ms = clock_wall_ms();
}

void reload_begin(struct reload *r)
{
    if (r->agent->stage >= AGENT_DRAINING) {
        LOG_WARN("reload", F_STR("so", "not read: the worker is ending"));
        return;
    }
    if (r->reading) {
        r->again = true;
        return;
    }
    r->again = false;
    watchdog_reloading(r->agent->watchdog);
    r->next = mem_new(sizeof(*r->next));
    r->eb.text[0] = '\0';
    int err = start_thread(&r->thread, read_again, r);
    r->reading = err == 0;
    if (err == 0)
        return;
    free_options(r->next);
    r->next = NULL;
    failed(r, strerror(err));
    watchdog_reloaded(r->agent->watchdog);
}

static void say_wrong(struct reload *r)
{
    char *rest = r->next->wrong, *line;
    if (rest == NULL) {
        failed(r, r->eb.text);
        return;
    }
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0')
            failed(r, line);
}

/* ---- applying ---- */

/* What a worker is until it ends. */
#define FIXED(k, member, text)                                                 \
    {                                                                          \
        .key = (k), .offset = offsetof(struct worker_config, member),          \
        .size = sizeof(((struct worker_config *)NULL)->member),                \
        .is_text = (text)                                                      \
    }
static const struct {
    const char *key;
    size_t offset, size;
    bool is_text;
} fixed[] = {
    FIXED("threads", threads, false),
    FIXED("max-window", max_window, false),
    FIXED("subtask-threads", subtask_threads, false),
    FIXED("subtask-window", subtask_window, false),
    FIXED("subtask-results", subtask_results, false),
    FIXED("lease", lease_ms, false),
    FIXED("delivery", at_most_once, false),
    FIXED("fence", fence, false),
    FIXED("burst", burst, false),
    FIXED("namespace", ns, true),
    FIXED("name", name, true),
    FIXED("listen", listen, true),
};

static void say_fixed(const char *key)
{
    LOG_WARN("reload_needs_restart", F_STR("key", key),
             F_STR("so", "it stays as it is until then"));
}

static bool same_url(const struct url *a, const struct url *b)
{
    return a->is_unix == b->is_unix && a->port == b->port && a->db == b->db &&
           strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0 &&
           strcmp(a->user, b->user) == 0 &&
           strcmp(a->password, b->password) == 0;
}

/* Texts are the members that are arrays of char: what follows NUL is noise. */
static bool is_same(const void *a, const void *b, size_t size, bool is_text)
{
    return is_text ? strncmp(a, b, size) == 0 : memcmp(a, b, size) == 0;
}

/* Names what cannot change, and lets it be as it was. */
static void keep_fixed(const struct worker_config *old,
                       struct worker_config *new)
{
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        const char *a = (const char *)old + fixed[i].offset;
        char *b = (char *)new + fixed[i].offset;
        if (!is_same(a, b, fixed[i].size, fixed[i].is_text))
            say_fixed(fixed[i].key);
        memcpy(b, a, fixed[i].size);
    }
    if (!same_url(&old->url, &new->url))
        say_fixed("redis");
    new->url = old->url;
}

static void apply(struct reload *r) ON_LOOP;

static void apply(struct reload *r)
{
    struct agent *a = r->agent;
    struct options *old = r->current;
    keep_fixed(&old->config, &r->next->config);
    if (r->next->log_format != old->log_format)
        say_fixed("log-format");
    r->next->log_format = old->log_format;
    r->current = r->next;
    r->next = NULL;
    a->cfg = &r->current->config;
    log_set_level(r->current->log_level);
    listen_forget_handlers(a->listen);
    agent_lend_again(a);
    retire(r, old->handlers);
    old->handlers = NULL;
    lanes_follow(a);
    discover_follow(a);
    struct lane *lane = agent_lane_up(a);
    cron_file_renew(a->cron_file, a->cfg->crons, a->cfg->cron_count, lane);
    queue_file_renew(a->queue_file, a->cfg->bounds, a->cfg->bound_count, lane);
    free_options(old);
    r->went_well = true;
    r->at_ms = clock_wall_ms();
    LOG_INFO("reload",
             F_INT("handlers", (int64_t)handlers_count(a->cfg->handlers)),
             F_INT("queues", a->cfg->queue_count),
             F_INT("crons", a->cfg->cron_count));
    fleet_update(a);
    agent_turn(a);
    timer_in(a->tick, 0); /* which ends the old table if nothing runs */
}

/* With the threads that there are. */
static int want_descriptors(struct reload *r)
{
    struct worker_config cfg = r->next->config;
    cfg.threads = r->current->config.threads;
    cfg.subtask_threads = r->current->config.subtask_threads;
    return descriptors_want(&cfg, &r->eb);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct reload *r = arg;
    uint64_t n;
    (void)what;
    (void)!read(fd, &n, sizeof(n));
    if (!r->reading)
        return;
    (void)pthread_join(r->thread, NULL); /* it has nothing left to do */
    r->reading = false;
    if (r->rc != 0) {
        say_wrong(r);
    } else if (want_descriptors(r) != 0) {
        failed(r, r->eb.text);
        retire_unused(r);
    } else if (r->agent->stage < AGENT_DRAINING) {
        apply(r);
    } else {
        retire_unused(r);
    }
    free_options(r->next);
    r->next = NULL;
    if (r->again)
        reload_begin(r);
    if (!r->reading)
        watchdog_reloaded(r->agent->watchdog);
}

/* ---- old tables ---- */

static void *end_table(void *arg)
{
    struct retired *t = arg;
    handlers_stop(t->handlers);
    handlers_free(t->handlers);
    t->handlers = NULL;
    atomic_store(&t->ended, true);
    return NULL;
}

void reload_tick(struct reload *r)
{
    struct retired **p = &r->retired;
    while (*p != NULL) {
        struct retired *t = *p;
        if (!t->ending && !handlers_lent(t->handlers))
            t->ending = start_thread(&t->thread, end_table, t) == 0;
        if (t->ending && atomic_load(&t->ended)) {
            (void)pthread_join(t->thread, NULL);
            *p = t->next;
            free(t);
        } else {
            p = &t->next;
        }
    }
}

void reload_stop_handlers(struct reload *r)
{
    for (struct retired *t = r->retired; t != NULL; t = t->next) {
        if (t->ending)
            (void)pthread_join(t->thread, NULL);
        else
            handlers_stop(t->handlers);
    }
    handlers_stop(r->current->handlers);
}
