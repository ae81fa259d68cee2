/*
 * The children of a process handler: who may have one, and who sees them off.
 *
 * Who wants a child needs a permit, of which there are as many as there may be
 * children; with one it takes an idle child, the last that became idle, or
 * starts one. So an idle child is without a permit, and there never are more of
 * both than permits. Where none is free one waits for a token in an eventfd
 * that stands for the permit of one who has ended; permits are counted, and
 * tokens written and taken back, under the lock, so none is lost with a waiter
 * that is cancelled.
 *
 * A child that does not get ready blames no job: jobs are put off, and after
 * such a start there is none for a while, which doubles from 100 ms to 30 s.
 * The first one is forgiven, and started again at once: it may have been
 * killed. Children that crash on a job slow down nobody: it is the job that is
 * blamed and that has a policy, and the next child got ready.
 *
 * Thread: pool.
 */
#include "worker/handler_process_set.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 30 * 1000,
    RSS_LOOK_MS = 100, /* between two looks at the size of a child */
    IDLE_LOOK_MS = 2   /* idle for so long: look at it before it gets a job */
};

struct process_set *process_set_new(const struct handler *h, unsigned base)
{
    struct process_set *s = mem_new(sizeof(*s));

    s->h = h;
    s->base = base;
    s->most = (unsigned)h->keys.processes;
    s->token_fd = s->keeper_fd = -1;
    mutex_init(&s->mu);
    TAILQ_INIT(&s->idle);
    TAILQ_INIT(&s->leaving);
    return s;
}

/* ---- slots ---- */

static unsigned slot_take(struct process_set *s)
{
    unsigned i;

    mutex_lock(&s->mu);
    for (i = 0; i < s->slot_count && s->slots[i]; i++)
        continue;
    if (i == s->slot_count) {
        s->slot_count++;
        s->slots = mem_resize(s->slots, s->slot_count * sizeof(*s->slots));
    }
    s->slots[i] = true;
    mutex_unlock(&s->mu);
    return s->base + i + 1;
}

static void slot_drop_locked(struct process_set *s, unsigned slot)
    REQUIRES(s->mu)
{
    s->slots[slot - s->base - 1] = false;
}

/* ---- permits ---- */

/* Passes it on to one who waits. */
void process_permit_drop_locked(struct process_set *s)
{
    uint64_t one = 1;

    if (s->waiting == 0) {
        s->permits--;
        return;
    }
    s->waiting--;
    if (write(s->token_fd, &one, sizeof(one)) < 0)
        abort(); /* a counter of 64 bits is not full */
}

static bool token_take(struct process_set *s)
{
    uint64_t one;

    return read(s->token_fd, &one, sizeof(one)) == sizeof(one);
}

/* Waits for a token; false if d is cancelled meanwhile. */
static bool permit_wait(struct process_set *s, const struct delivery *d,
                        int cancel_fd)
{
    for (;;) {
        struct pollfd f[] = {{.fd = s->token_fd, .events = POLLIN},
                             {.fd = cancel_fd, .events = POLLIN}};
        uint64_t wakes;

        if (poll(f, 2, -1) < 0)
            continue;
        if (f[1].revents != 0 &&
            read(cancel_fd, &wakes, sizeof(wakes)) == sizeof(wakes) &&
            atomic_load(&d->cancel) != CANCEL_NONE)
            break;
        if (f[0].revents != 0 && token_take(s))
            return true;
    }
    mutex_lock(&s->mu);
    if (token_take(s))
        process_permit_drop_locked(s);
    else
        s->waiting--;
    mutex_unlock(&s->mu);
    return false;
}

static bool permit_take(struct process_set *s, const struct delivery *d,
                        int cancel_fd)
{
    bool waits;

    mutex_lock(&s->mu);
    waits = s->most > 0 && s->permits >= s->most;
    if (waits)
        s->waiting++;
    else
        s->permits++;
    mutex_unlock(&s->mu);
    return !waits || permit_wait(s, d, cancel_fd);
}

void process_permit_drop(struct process_set *s)
{
    mutex_lock(&s->mu);
    process_permit_drop_locked(s);
    mutex_unlock(&s->mu);
}

/* ---- starts that fail ---- */

bool process_set_forgive(struct process_set *s)
{
    bool forgives;

    mutex_lock(&s->mu);
    forgives = s->pause_ms == 0 && !s->forgave;
    s->forgave = true;
    mutex_unlock(&s->mu);
    return forgives;
}

/* Of those that began before another one failed only the first counts. */
static void note_failed(struct process_set *s, int64_t began_ms,
                        const char *why)
{
    char text[32];
    int64_t pause_ms;

    mutex_lock(&s->mu);
    if (s->pause_ms == 0 || began_ms >= s->failed_ms) {
        s->pause_ms = s->pause_ms == 0 ? PAUSE_MIN_MS : 2 * s->pause_ms;
        if (s->pause_ms > PAUSE_MAX_MS)
            s->pause_ms = PAUSE_MAX_MS;
        s->failed_ms = clock_ms();
        s->again_ms = s->failed_ms + s->pause_ms;
    }
    (void)snprintf(s->why, sizeof(s->why), "%s", why);
    pause_ms = s->pause_ms;
    mutex_unlock(&s->mu);
    LOG_WARN("process_start", F_STR("handler", s->h->pattern),
             F_STR("error", why),
             F_STR("again_in", text_format_duration(pause_ms, text)));
}

/*
 * Whether none is to be started now; the outcome of d says so then. After one
 * that failed they are tried one by one.
 */
static bool is_broken(struct process_set *s, struct delivery *d)
{
    bool broken;

    mutex_lock(&s->mu);
    broken = s->pause_ms > 0 && (s->trying || clock_ms() < s->again_ms);
    if (broken)
        handler_fail(d, VERDICT_PUT_OFF, "start", "%s", s->why);
    else
        s->trying = s->pause_ms > 0;
    mutex_unlock(&s->mu);
    return broken;
}

/* ---- a child for a job ---- */

/* Before anything else: permits need its descriptors. */
static bool want_keeper(struct process_set *s, struct delivery *d)
{
    int err = 0;

    mutex_lock(&s->mu);
    assert(!s->stopping);
    if (!s->has_keeper) {
        err = process_keeper_start(s);
        s->has_keeper = err == 0;
    }
    mutex_unlock(&s->mu);
    if (err != 0)
        handler_fail(d, VERDICT_PUT_OFF, "start", "no thread for it: %s",
                     strerror(err));
    return err == 0;
}

static struct process *pop_idle(struct process_set *s)
{
    struct process *p;

    mutex_lock(&s->mu);
    p = TAILQ_FIRST(&s->idle);
    if (p != NULL)
        TAILQ_REMOVE(&s->idle, p, by);
    mutex_unlock(&s->mu);
    return p;
}

/* Frees one that has ended, whoever had a permit for it. */
void process_forget(struct process_set *s, struct process *p)
{
    mutex_lock(&s->mu);
    slot_drop_locked(s, p->slot);
    mutex_unlock(&s->mu);
    process_free(p);
}

/* One that ended by itself while no job ran on it. */
void process_lament(struct process_set *s, struct process *p)
{
    struct buf how = {0};

    (void)process_reap(p);
    process_describe_end(p, &how);
    process_listen(p);
    LOG_WARN("process_ended", F_STR("handler", s->h->pattern),
             F_INT("pid", p->child.pid), F_INT("jobs", p->jobs),
             F_STR("how", how.data),
             F_STR("so", "another one gets its next job"));
    buf_done(&how);
}

/* What it said since its last job is not the next one's. */
bool process_has_ended(struct process *p)
{
    struct pollfd f[PROCESS_POLLED];

    process_poll(p, f);
    if (poll(f, PROCESS_POLLED, 0) <= 0)
        return false;
    process_listen(p);
    return f[0].revents != 0;
}

static struct process *take_idle(struct process_set *s)
{
    struct process *p;

    while ((p = pop_idle(s)) != NULL) {
        if (clock_ms() - p->idle_since_ms < IDLE_LOOK_MS ||
            !process_has_ended(p))
            return p;
        process_lament(s, p);
        process_forget(s, p);
    }
    return NULL;
}

static struct process *start_one(struct process_set *s, struct delivery *d,
                                 int cancel_fd)
{
    unsigned slot = slot_take(s);
    int64_t began_ms = clock_ms();
    struct buf why = {0};
    struct process *p = process_start(s->h, slot, d, cancel_fd, &why);

    if (why.len > 0 && clock_ms() - began_ms < s->h->keys.start_timeout_ms &&
        process_set_forgive(s)) {
        LOG_WARN("process_start", F_STR("handler", s->h->pattern),
                 F_STR("error", why.data), F_STR("again_in", "0s"));
        buf_clear(&why);
        p = process_start(s->h, slot, d, cancel_fd, &why);
    }
    if (why.len > 0) {
        note_failed(s, began_ms, why.data);
        handler_fail(d, VERDICT_PUT_OFF, "start", "%s", why.data);
    } else if (p == NULL) {
        handler_stopped(d);
    }
    buf_done(&why);
    mutex_lock(&s->mu);
    s->trying = false;
    if (p == NULL)
        slot_drop_locked(s, slot);
    mutex_unlock(&s->mu);
    return p;
}

struct process *process_set_take(struct process_set *s, struct delivery *d,
                                 int cancel_fd)
{
    struct process *p;

    if (!want_keeper(s, d))
        return NULL;
    if (!permit_take(s, d, cancel_fd)) {
        handler_stopped(d);
        return NULL;
    }
    p = take_idle(s);
    if (p == NULL && !is_broken(s, d))
        p = start_one(s, d, cancel_fd);
    if (p == NULL)
        process_permit_drop(s);
    else
        p->loose_lines = 0;
    return p;
}

static bool is_spent(struct process *p)
{
    const struct handler_keys *k = &p->h->keys;
    int64_t now, rss;

    if (k->max_jobs > 0 && p->jobs >= k->max_jobs)
        return true;
    if (k->max_rss == 0)
        return false;
    now = clock_ms();
    if (p->looked_ms != 0 && now - p->looked_ms < RSS_LOOK_MS)
        return false;
    p->looked_ms = now;
    rss = process_rss(p);
    if (rss <= k->max_rss)
        return false;
    LOG_INFO("process_too_large", F_STR("handler", p->h->pattern),
             F_INT("pid", p->child.pid), F_INT("jobs", p->jobs),
             F_INT("rss", rss));
    return true;
}

void process_set_give(struct process_set *s, struct process *p)
{
    if (is_spent(p)) {
        process_set_retire(s, p);
        return;
    }
    p->idle_since_ms = clock_ms();
    mutex_lock(&s->mu);
    /* It did a job: whatever kept others from getting ready is over. */
    s->pause_ms = 0;
    s->forgave = false;
    TAILQ_INSERT_HEAD(&s->idle, p, by);
    process_permit_drop_locked(s);
    mutex_unlock(&s->mu);
}

void process_set_retire(struct process_set *s, struct process *p)
{
    process_dismiss(p);
    mutex_lock(&s->mu);
    TAILQ_INSERT_TAIL(&s->leaving, p, by);
    process_permit_drop_locked(s);
    mutex_unlock(&s->mu);
    process_keeper_wake(s);
}

void process_set_bury(struct process_set *s, struct process *p, const char *why)
{
    if (why != NULL)
        note_failed(s, clock_ms(), why);
    process_forget(s, p);
    process_permit_drop(s);
}

/* ---- the end ---- */

/* Lets all idle ones leave. */
static void leave_all(struct process_set *s, bool hurry)
{
    struct process_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
    struct process *p;

    mutex_lock(&s->mu);
    while ((p = TAILQ_FIRST(&s->idle)) != NULL) {
        TAILQ_REMOVE(&s->idle, p, by);
        TAILQ_INSERT_TAIL(&leaving, p, by);
    }
    mutex_unlock(&s->mu);
    for (p = TAILQ_FIRST(&leaving); p != NULL; p = TAILQ_NEXT(p, by)) {
        if (hurry)
            process_kill(p, SIGKILL);
        process_dismiss(p);
    }
    mutex_lock(&s->mu);
    TAILQ_CONCAT(&s->leaving, &leaving, by);
    s->stopping = true;
    s->hurry = hurry;
    mutex_unlock(&s->mu);
}

static void dismiss(struct process_set *s, bool hurry)
{
    bool has_keeper;

    mutex_lock(&s->mu);
    has_keeper = s->has_keeper;
    mutex_unlock(&s->mu);
    if (!has_keeper)
        return;
    leave_all(s, hurry);
    process_keeper_wake(s);
}

void process_set_dismiss(struct process_set *s)
{
    dismiss(s, false);
}

void process_set_stop(struct process_set *s)
{
    bool has_keeper;

    mutex_lock(&s->mu);
    has_keeper = s->has_keeper;
    s->has_keeper = false;
    mutex_unlock(&s->mu);
    if (has_keeper)
        pthread_join(s->keeper, NULL);
}

void process_set_free(struct process_set *s)
{
    if (s == NULL)
        return;
    dismiss(s, true);
    process_set_stop(s);
    assert(TAILQ_EMPTY(&s->idle) && TAILQ_EMPTY(&s->leaving));
    if (s->token_fd >= 0)
        close(s->token_fd);
    if (s->keeper_fd >= 0)
        close(s->keeper_fd);
    mutex_done(&s->mu);
    free(s->slots);
    free(s);
}
