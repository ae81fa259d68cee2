/*
 * The keeper of a process handler: a thread that sees its children off.
 *
 * It waits for the end of those that leave, so that no job does, and looks once
 * a second whether an idle one has something to say or has ended. It is there
 * from the first start to the stop.
 *
 * Thread: its own, but for the start and the wake.
 */
#include "worker/handler_process_set.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    SWEEP_MS = 1000,
    SWEEP_MOST = 1000, /* that are looked at in one sweep */
    KEEPER_STACK = 256 * 1024
};

static void *keeper_main(void *arg);

void process_keeper_wake(struct process_set *s)
{
    uint64_t one = 1;

    if (write(s->keeper_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

static int open_fds(struct process_set *s)
{
    if (s->token_fd < 0)
        s->token_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    if (s->keeper_fd < 0)
        s->keeper_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return s->token_fd < 0 || s->keeper_fd < 0 ? -1 : 0;
}

int process_keeper_start(struct process_set *s)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int err;

    if (open_fds(s) != 0)
        return errno;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, KEEPER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&s->keeper, &attr, keeper_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (err == 0)
        pthread_setname_np(s->keeper, "belt-process");
    return err;
}

struct keeper {
    struct process_set *s;
    struct process_list leaving;
    unsigned count;     /* of leaving */
    struct pollfd *fds; /* owned */
    int64_t sweep_ms;
};

/* Those that leave since last time; false when there is no more to do. */
static bool welcome(struct keeper *k)
{
    struct process_set *s = k->s;
    struct process *p;
    bool stopping, hurry;

    mutex_lock(&s->mu);
    while ((p = TAILQ_FIRST(&s->leaving)) != NULL) {
        TAILQ_REMOVE(&s->leaving, p, by);
        TAILQ_INSERT_TAIL(&k->leaving, p, by);
        k->count++;
    }
    stopping = s->stopping;
    hurry = s->hurry;
    mutex_unlock(&s->mu);
    if (hurry)
        for (p = TAILQ_FIRST(&k->leaving); p != NULL; p = TAILQ_NEXT(p, by))
            process_kill(p, SIGKILL);
    if (!stopping && k->count > PROCESS_LEAVING_MAX)
        TAILQ_FIRST(&k->leaving)->kill_at_ms = 1;
    return !stopping || k->count > 0;
}

static int64_t next_of(const struct process *p)
{
    return !p->termed && p->term_at_ms < p->kill_at_ms ? p->term_at_ms
                                                       : p->kill_at_ms;
}

static void wait_some(struct keeper *k)
{
    int64_t now = clock_ms(), next = k->sweep_ms;
    struct process *p;
    uint64_t wakes;
    unsigned n = 0;

    k->fds = mem_resize(k->fds, (1 + (size_t)k->count * PROCESS_POLLED) *
                                    sizeof(*k->fds));
    k->fds[n++] = (struct pollfd){.fd = k->s->keeper_fd, .events = POLLIN};
    for (p = TAILQ_FIRST(&k->leaving); p != NULL; p = TAILQ_NEXT(p, by)) {
        process_poll(p, &k->fds[n]);
        n += PROCESS_POLLED;
        if (next_of(p) < next)
            next = next_of(p);
    }
    if (poll(k->fds, n, next > now ? (int)(next - now) : 0) > 0 &&
        k->fds[0].revents != 0 &&
        read(k->s->keeper_fd, &wakes, sizeof(wakes)) < 0)
        assert(errno == EAGAIN);
}

/* Returns whether it has ended. f: what poll said. */
static bool see_off(struct process *p, const struct pollfd *f, int64_t now)
{
    bool stirs = false;

    for (int i = 0; i < PROCESS_POLLED; i++)
        stirs = stirs || f[i].revents != 0;
    if (stirs)
        process_listen(p);
    if (f[0].revents != 0)
        return true;
    if (now >= p->kill_at_ms) {
        LOG_WARN("process_killed", F_STR("handler", p->h->pattern),
                 F_INT("pid", p->child.pid),
                 F_STR("why", "it did not end when no more jobs came"));
        return true;
    }
    if (now >= p->term_at_ms && !p->termed) {
        p->termed = true;
        process_kill(p, SIGTERM);
    }
    return false;
}

static void see_off_all(struct keeper *k)
{
    struct process *p = TAILQ_FIRST(&k->leaving), *next;
    int64_t now = clock_ms();

    for (unsigned i = 0; p != NULL; i++, p = next) {
        next = TAILQ_NEXT(p, by);
        if (!see_off(p, &k->fds[1 + (size_t)i * PROCESS_POLLED], now))
            continue;
        TAILQ_REMOVE(&k->leaving, p, by);
        k->count--;
        (void)process_reap(p);
        process_listen(p);
        LOG_DEBUG("process_gone", F_STR("handler", p->h->pattern),
                  F_INT("pid", p->child.pid), F_INT("jobs", p->jobs));
        process_forget(k->s, p);
    }
}

/*
 * Takes out of the idle ones, with a permit, one that stirs; those in front of
 * it have been idle for less.
 */
static struct process *take_stirring(struct process_set *s)
{
    struct pollfd f[PROCESS_POLLED];
    struct process *p;

    mutex_lock(&s->mu);
    for (p = TAILQ_LAST(&s->idle, process_list); p != NULL;
         p = TAILQ_PREV(p, process_list, by)) {
        process_poll(p, f);
        if (poll(f, PROCESS_POLLED, 0) > 0)
            break;
    }
    /* Somebody may be about to take it with the last permit. */
    if (s->most > 0 && s->permits >= s->most)
        p = NULL;
    if (p != NULL) {
        TAILQ_REMOVE(&s->idle, p, by);
        s->permits++;
    }
    mutex_unlock(&s->mu);
    return p;
}

/* Idle again, unless all were dismissed while we had it in hand. */
static void put_back(struct process_set *s, struct process *p)
{
    bool stopping;

    mutex_lock(&s->mu);
    stopping = s->stopping;
    if (!stopping) {
        TAILQ_INSERT_HEAD(&s->idle, p, by);
        process_permit_drop_locked(s);
    }
    mutex_unlock(&s->mu);
    if (stopping)
        process_set_retire(s, p);
}

static void sweep(struct keeper *k)
{
    struct process_set *s = k->s;
    struct process *p, *first = NULL;
    bool again = false;

    /* One that never is silent is looked at again in a second. */
    for (int i = 0; i < SWEEP_MOST && !again; i++) {
        p = take_stirring(s);
        if (p == NULL)
            return;
        if (process_has_ended(p)) {
            process_lament(s, p);
            process_forget(s, p);
            process_permit_drop(s);
            continue;
        }
        again = p == first;
        first = first != NULL ? first : p;
        put_back(s, p);
    }
}

static void *keeper_main(void *arg)
{
    struct keeper k = {.s = arg, .sweep_ms = clock_ms() + SWEEP_MS};

    TAILQ_INIT(&k.leaving);
    while (welcome(&k)) {
        wait_some(&k);
        see_off_all(&k);
        if (clock_ms() >= k.sweep_ms) {
            sweep(&k);
            k.sweep_ms = clock_ms() + SWEEP_MS;
        }
    }
    free(k.fds);
    return NULL;
}
