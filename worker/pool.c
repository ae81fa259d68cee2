/*
 * Pool: threads that run handlers.
 *
 * Each thread waits on the jobs channel only. To stop a run that is under way
 * the loop sets d->cancel and then looks, slot by slot, for the thread whose
 * current delivery it is; the thread sets current and then looks at d->cancel.
 * Both do so under the slot's mutex, so one of them sees the other, and a wake
 * never reaches the delivery that comes after.
 *
 * A thread outlives each child that it starts (spawn.c needs that): it ends
 * only between two deliveries.
 *
 * Thread: as the header says; thread_main and below in the pool's threads.
 */
#include "worker/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/handler.h"

/* A run's scratch space and a child's stack lie on it; only touched pages
 * cost memory. */
#define STACK_BYTES (1024 * 1024)

struct runner {
    struct pool *pool; /* borrowed */
    unsigned number;
    pthread_t thread;
    int cancel_fd; /* owned eventfd, non-blocking */

    struct mutex mu;          /* guards what follows */
    struct delivery *current; /* what it runs now; only what never changes and
                               * cancel and hold are used through it */
    int64_t since_ms;         /* of current */
    unsigned wakes;           /* of current: cancel_fd was written */
    int64_t cancelled_ms;     /* clock_ms() of the first of them */
    bool lost;                /* it never comes back */
};

struct pool {
    struct chan *jobs, *outcomes; /* borrowed */
    int wake_fd;                  /* borrowed */
    void (*ended)(struct delivery *d);
    struct subtask_pool *subtasks; /* borrowed */
    const char *name;
    atomic_bool wake_pending;
    atomic_uint busy, begun;
    unsigned threads; /* started */
    unsigned lost;    /* of those */
    struct runner *runners;
};

static void *thread_main(void *arg);

static void free_pool(struct pool *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(p->runners[i].cancel_fd);
        mutex_done(&p->runners[i].mu);
    }
    free(p->runners);
    free(p);
}

static int start_thread(struct runner *r)
{
    pthread_attr_t attr;
    sigset_t all, old;
    char name[16];
    int err;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&r->thread, &attr, thread_main, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (err == 0) {
        snprintf(name, sizeof(name), "%.9s-%u", r->pool->name,
                 r->number % 10000);
        pthread_setname_np(r->thread, name);
    }
    return err;
}

struct pool *pool_start(const struct pool_config *cfg, struct errbuf *eb)
{
    struct pool *p = mem_new(sizeof(*p));
    unsigned made;

    assert(cfg->threads > 0);
    p->jobs = cfg->jobs;
    p->outcomes = cfg->outcomes;
    p->wake_fd = cfg->wake_fd;
    p->ended = cfg->ended;
    p->subtasks = cfg->subtasks;
    p->name = cfg->name != NULL ? cfg->name : "belt-pool";
    p->runners = mem_new(cfg->threads * sizeof(*p->runners));
    for (made = 0; made < cfg->threads; made++) {
        struct runner *r = &p->runners[made];

        r->pool = p;
        r->number = made;
        r->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (r->cancel_fd < 0) {
            errbuf_set(eb, ERR_SYSTEM, "pool: eventfd: %s", strerror(errno));
            free_pool(p, made);
            return NULL;
        }
        mutex_init(&r->mu);
    }
    while (p->threads < made) {
        int err = start_thread(&p->runners[p->threads]);

        if (err != 0) {
            errbuf_set(eb, ERR_SYSTEM, "pool: thread %u of %u: %s",
                       p->threads + 1, made, strerror(err));
            chan_close(p->jobs);
            for (unsigned i = 0; i < p->threads; i++)
                pthread_join(p->runners[i].thread, NULL);
            free_pool(p, made);
            return NULL;
        }
        p->threads++;
    }
    return p;
}

/*
 * A wake cannot be lost. A thread sends its outcome and then exchanges
 * wake_pending; the loop reads the eventfd, exchanges wake_pending and then
 * empties outcomes. If the thread's exchange is the later one it reads false
 * and writes the eventfd, behind our read. If it is the earlier one, ours
 * reads from it (or from one behind it), which makes the send happen before
 * our look at outcomes; a plain store here would not.
 */
static void wake_loop(struct pool *p)
{
    uint64_t one = 1;

    if (atomic_exchange(&p->wake_pending, true))
        return;
    /* EAGAIN: the counter is full, so the loop is awake for long. */
    if (write(p->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

void pool_woken(struct pool *p)
{
    uint64_t wakes;

    if (read(p->wake_fd, &wakes, sizeof(wakes)) < 0)
        assert(errno == EAGAIN);
    atomic_exchange(&p->wake_pending, false);
}

unsigned pool_busy(const struct pool *p)
{
    return atomic_load_explicit(&p->busy, memory_order_relaxed);
}

unsigned pool_running(const struct pool *p, struct pool_run *ret, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->threads && n < max; i++) {
        struct runner *r = &p->runners[i];

        mutex_lock(&r->mu);
        if (r->current != NULL) {
            const struct job *job = r->current->job;

            snprintf(ret[n].id, sizeof(ret[n].id), "%s", job->id);
            snprintf(ret[n].type, sizeof(ret[n].type), "%s", job->type);
            ret[n++].since_ms = r->since_ms;
        }
        mutex_unlock(&r->mu);
    }
    return n;
}

unsigned pool_begun(const struct pool *p)
{
    return atomic_load(&p->begun);
}

static void set_cancel(_Atomic int *cancel, int why)
{
    int none = CANCEL_NONE;

    assert(why != CANCEL_NONE);
    atomic_compare_exchange_strong(cancel, &none, why);
}

static void wake_locked(struct runner *r) REQUIRES(r->mu);

static void wake_locked(struct runner *r)
{
    uint64_t one = 1;

    if (r->wakes++ == 0)
        r->cancelled_ms = clock_ms();
    if (write(r->cancel_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

void pool_cancel(struct pool *p, struct delivery *d, enum cancel why)
{
    set_cancel(&d->cancel, (int)why);
    for (unsigned i = 0; i < p->threads; i++) {
        struct runner *r = &p->runners[i];
        bool found;

        mutex_lock(&r->mu);
        found = r->current == d;
        if (found)
            wake_locked(r);
        mutex_unlock(&r->mu);
        if (found)
            return;
    }
}

void pool_cancel_all(struct pool *p, _Atomic int *all, enum cancel why)
{
    set_cancel(all, (int)why);
    for (unsigned i = 0; i < p->threads; i++) {
        struct runner *r = &p->runners[i];

        mutex_lock(&r->mu);
        if (r->current != NULL && r->current->cancel_all == all) {
            set_cancel(&r->current->cancel, atomic_load(all));
            wake_locked(r);
        }
        mutex_unlock(&r->mu);
    }
}

struct subtask_pool *pool_subtasks(const struct delivery *d)
{
    return d->pool != NULL ? d->pool->subtasks : NULL;
}

/* The channel has room for it, so this does not wait. */
static void send_note(struct pool *p, struct delivery *d, enum note_kind kind)
{
    struct note *n = &d->notes[kind];

    *n = (struct note){.kind = kind, .d = d};
    int rc = chan_try_send(p->outcomes, n);
    assert(rc == 0);
    (void)rc;
    wake_loop(p);
}

/* The end of a text of at most max bytes, between two characters. */
static size_t cut(const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);

    if (n <= max)
        return n;
    n = max;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

bool pool_keeps(const struct delivery *d)
{
    return d->pool != NULL && d->job->keep_ms > 0;
}

void pool_progress(struct delivery *d, double percent, const char *message)
{
    struct progress *g = d->progress;

    if (!pool_keeps(d))
        return;
    if (g == NULL) {
        g = d->progress = mem_new(sizeof(*g));
        mutex_init(&g->mu);
    }
    mutex_lock(&g->mu);
    bool noted = g->noted;
    size_t n = message != NULL ? cut(message, PROGRESS_MESSAGE_MAX) : 0;
    g->noted = true;
    g->percent = percent;
    if (n > 0)
        memcpy(g->message, message, n);
    g->message[n] = '\0';
    mutex_unlock(&g->mu);
    if (!noted)
        send_note(d->pool, d, NOTE_PROGRESS);
}

void pool_take_progress(struct delivery *d, double *ret_percent,
                        char ret_message[PROGRESS_MESSAGE_MAX + 1])
{
    struct progress *g = d->progress;

    mutex_lock(&g->mu);
    g->noted = false;
    *ret_percent = g->percent;
    memcpy(ret_message, g->message, sizeof(g->message));
    mutex_unlock(&g->mu);
}

void pool_keep(struct delivery *d, enum log_level level, const char *source,
               const char *text, size_t n, bool more)
{
    if (!pool_keeps(d))
        return;
    if (d->log == NULL)
        d->log = run_log_new(d->job->attempt + 1, d->ahead_ms);
    if (run_log_add(d->log, level, source, text, n, more))
        send_note(d->pool, d, NOTE_LOG);
}

void pool_log(struct delivery *d, enum log_level level, const char *source,
              const char *text, size_t n)
{
    pool_log_own(d, level, source, text, n);
    pool_keep(d, level, source, text, n, false);
}

void pool_log_own(const struct delivery *d, enum log_level level,
                  const char *source, const char *text, size_t n)
{
    LOG_AT(level, source, F_STR("job", d->job->id), F_STR("type", d->job->type),
           F_STR("queue", d->queue), F_MEM("message", text, n));
}

static bool is_good(const struct delivery *d, int64_t boot_ms)
{
    return d->good_until_ms == NULL ||
           boot_ms <=
               atomic_load_explicit(d->good_until_ms, memory_order_relaxed);
}

/*
 * Returns false when it was cancelled before, has expired, or is too late to
 * begin. Both times are now, and wall_ms was read first: it was good then.
 */
static bool begin(struct runner *r, struct delivery *d, int64_t wall_ms,
                  int64_t boot_ms)
{
    bool cancelled;

    if (!is_good(d, boot_ms))
        return false;
    d->begun_boot_ms = boot_ms;
    if (d->expires_boot_ms != 0 && boot_ms >= d->expires_boot_ms &&
        atomic_load(&d->cancel) == CANCEL_NONE) {
        delivery_expire(d);
        return false;
    }
    mutex_lock(&r->mu);
    if (d->cancel_all != NULL && atomic_load(d->cancel_all) != CANCEL_NONE)
        set_cancel(&d->cancel, atomic_load(d->cancel_all));
    cancelled = atomic_load(&d->cancel) != CANCEL_NONE;
    if (!cancelled) {
        r->since_ms = d->outcome.started_at_ms = wall_ms;
        r->current = d;
    }
    mutex_unlock(&r->mu);
    return !cancelled;
}

/* After this no wake for the delivery comes, and none is left over. */
static void end(struct runner *r)
{
    uint64_t wakes;

    mutex_lock(&r->mu);
    r->current = NULL;
    if (r->wakes > 0 && read(r->cancel_fd, &wakes, sizeof(wakes)) < 0)
        assert(errno == EAGAIN);
    r->wakes = 0;
    mutex_unlock(&r->mu);
}

static void run_one(struct runner *r, struct delivery *d)
{
    struct pool *p = r->pool;
    int64_t wall_ms = clock_wall_ms();
    int64_t start_us = clock_boot_us();

    bool runs = begin(r, d, wall_ms, start_us / 1000);
    atomic_fetch_add(&p->begun, 1);
    if (!runs)
        return;
    atomic_fetch_add_explicit(&p->busy, 1, memory_order_relaxed);
    d->pool = p;
    if (d->tell_start)
        send_note(p, d, NOTE_STARTED);
    handler_run(d, r->cancel_fd);
    d->outcome.run_us = clock_boot_us() - start_us;
    atomic_fetch_sub_explicit(&p->busy, 1, memory_order_relaxed);
    end(r);
}

static void hand_back(struct pool *p, struct delivery *d)
{
    if (p->ended != NULL)
        p->ended(d);
    else
        send_note(p, d, NOTE_ENDED);
}

static void *thread_main(void *arg)
{
    struct runner *r = arg;
    struct pool *p = r->pool;
    void *item;

    while (chan_recv(p->jobs, &item, CHAN_FOREVER) == 0) {
        run_one(r, item);
        hand_back(p, item);
    }
    return NULL;
}

/* clock_ms() from which its run is late; INT64_MAX: it never is. */
static int64_t late_at(const struct runner *r) REQUIRES(r->mu);

static int64_t late_at(const struct runner *r)
{
    const struct delivery *d = r->current;
    int hold = d != NULL ? atomic_load(&d->hold) : HOLD_FIRM;
    int64_t from;

    if (hold == HOLD_FIRM || hold == HOLD_LOST)
        return INT64_MAX;
    if (r->wakes > 1)
        return 0;
    from = d->limit_ms;
    if (r->wakes > 0 && r->cancelled_ms < from)
        from = r->cancelled_ms;
    return handler_instant(from, handler_kill_after_ms(d));
}

/* Returns what was taken away from r, or NULL. */
static struct delivery *take_late(struct runner *r, int64_t now_ms,
                                  int64_t *next_ms)
{
    struct delivery *d = NULL;
    int64_t at;

    mutex_lock(&r->mu);
    at = late_at(r);
    if (at == INT64_MAX || at > now_ms) {
        *next_ms = at < *next_ms ? at : *next_ms;
    } else if (delivery_take_away(r->current)) {
        d = r->current;
        d->outcome.run_us = clock_boot_us() - d->begun_boot_ms * 1000;
        r->current = NULL;
        r->lost = true;
    } else { /* in a call of ours, or it returns just now */
        *next_ms = now_ms;
    }
    mutex_unlock(&r->mu);
    return d;
}

unsigned pool_give_up_late(struct pool *p, int64_t now_ms, int64_t *ret_next_ms)
{
    unsigned n = 0;

    *ret_next_ms = INT64_MAX;
    for (unsigned i = 0; i < p->threads; i++) {
        struct delivery *d = take_late(&p->runners[i], now_ms, ret_next_ms);

        if (d == NULL)
            continue;
        handler_given_up(d);
        LOG_ERROR("given_up", F_STR("job", d->job->id),
                  F_STR("type", d->job->type), F_STR("queue", d->queue),
                  F_INT("seconds", d->outcome.run_us / 1000000),
                  F_STR("error", "it does not stop"),
                  F_STR("so", "its thread is lost to this worker"));
        atomic_fetch_sub_explicit(&p->busy, 1, memory_order_relaxed);
        p->lost++;
        n++;
        hand_back(p, d);
    }
    return n;
}

unsigned pool_lost(const struct pool *p)
{
    return p->lost;
}

void pool_join(struct pool *p)
{
    for (unsigned i = 0; i < p->threads; i++) {
        if (!p->runners[i].lost)
            pthread_join(p->runners[i].thread, NULL);
    }
    if (p->lost == 0)
        free_pool(p, p->threads);
}
