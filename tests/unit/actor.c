/*
 * Threads that block on a channel while a test looks on.
 *
 * Whether a thread sleeps is asked of the kernel, so that tests arrange
 * "already blocked" without guessing a time.
 *
 * Thread: the test's.
 */
#include "tests/unit/actor.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/unit.h"

enum { BLOCKED_LIMIT_MS = 10000 };

static void start(struct actor *a, void *(*run)(void *))
{
    atomic_store(&a->tid, 0);
    assert_int_equal(pthread_create(&a->thread, NULL, run, a), 0);
}

static void *run_plain(void *arg)
{
    struct actor *a = arg;
    struct chan_case *k = &a->cases[0];
    atomic_store(&a->tid, gettid());
    if (k->op == CHAN_SEND)
        a->rc = chan_send(k->chan, k->item, a->deadline_ms);
    else
        a->rc = chan_recv(k->chan, &k->item, a->deadline_ms);
    return NULL;
}

static void *run_select(void *arg)
{
    struct actor *a = arg;
    atomic_store(&a->tid, gettid());
    a->rc = chan_select(a->cases, a->n, a->deadline_ms);
    return NULL;
}

void actor_send(struct actor *a, struct chan *c, void *item)
{
    a->cases[0] = (struct chan_case){.chan = c, .op = CHAN_SEND, .item = item};
    a->deadline_ms = CHAN_FOREVER;
    start(a, run_plain);
}

void actor_recv(struct actor *a, struct chan *c)
{
    a->cases[0] = (struct chan_case){.chan = c, .op = CHAN_RECV};
    a->deadline_ms = CHAN_FOREVER;
    start(a, run_plain);
}

void actor_select(struct actor *a)
{
    start(a, run_select);
}

static bool sleeps(int tid)
{
    char path[64], stat[512] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    size_t n = fread(stat, 1, sizeof(stat) - 1, f);
    fclose(f);
    stat[n] = '\0';
    /* "tid (name) S ...": the name may hold anything, so look from behind. */
    const char *end = strrchr(stat, ')');
    return end != NULL && strncmp(end, ") S ", 4) == 0;
}

void actor_wait_blocked(struct actor *a)
{
    int64_t limit_ms = clock_ms() + BLOCKED_LIMIT_MS;
    int tid;
    while ((tid = atomic_load(&a->tid)) == 0 || !sleeps(tid)) {
        assert_true(clock_ms() < limit_ms);
        sched_yield();
    }
}

void actor_join(struct actor *a)
{
    assert_int_equal(pthread_join(a->thread, NULL), 0);
}
