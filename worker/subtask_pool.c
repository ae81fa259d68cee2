/*
 * The pool of sub-tasks: one channel and threads for all parents.
 *
 * It starts with the first sub-task, so that a worker that has none pays
 * nothing. The channel has room for a window of each parent; since no parent
 * exceeds its window, a send does not wait. Should there be more parents than
 * was said, it waits for a sub-task to be taken, which needs no parent.
 *
 * Thread: any.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/chan.h"
#include "common/base/mem.h"
#include "worker/pool.h"
#include "worker/subtask_priv.h"

struct subtask_pool {
    struct subtask_config cfg;
    _Atomic int64_t counts[SUBTASK_STATES];

    struct mutex mu;           /* guards the start of what follows */
    struct chan *tasks;        /* owned; NULL: not started */
    struct pool *_Atomic pool; /* owned */
};

struct subtask_pool *subtask_pool_new(const struct subtask_config *cfg)
{
    struct subtask_pool *p = mem_new(sizeof(*p));
    unsigned window = 4 * cfg->threads;

    assert(cfg->threads > 0 && cfg->parents > 0);
    if (window < SUBTASK_WINDOW_MIN)
        window = SUBTASK_WINDOW_MIN;
    p->cfg = *cfg;
    if (cfg->window == 0)
        p->cfg.window = window;
    mutex_init(&p->mu);
    return p;
}

void subtask_pool_free(struct subtask_pool *p)
{
    if (p == NULL)
        return;
    if (p->tasks != NULL) {
        chan_close(p->tasks);
        pool_join(p->pool);
        chan_free(p->tasks);
    }
    mutex_done(&p->mu);
    free(p);
}

static int start_locked(struct subtask_pool *p, struct errbuf *eb)
    REQUIRES(p->mu);

static int start_locked(struct subtask_pool *p, struct errbuf *eb)
{
    struct chan *tasks = chan_new(p->cfg.window * p->cfg.parents);
    struct pool_config pc = {.threads = p->cfg.threads,
                             .name = "belt-sub",
                             .jobs = tasks,
                             .wake_fd = -1,
                             .ended = subtasks_ended};
    struct pool *pool = pool_start(&pc, eb);

    if (pool == NULL) {
        chan_free(tasks);
        return errbuf_wrap(eb, ERR_SYSTEM, "sub-tasks");
    }
    p->tasks = tasks;
    atomic_store(&p->pool, pool);
    return 0;
}

int subtask_pool_start(struct subtask_pool *p, struct errbuf *eb)
{
    int rc = 0;

    if (atomic_load(&p->pool) != NULL)
        return 0;
    mutex_lock(&p->mu);
    if (p->tasks == NULL)
        rc = start_locked(p, eb);
    mutex_unlock(&p->mu);
    return rc;
}

void subtask_pool_send(struct subtask_pool *p, void *const *ds, unsigned n)
{
    unsigned sent = chan_try_send_many(p->tasks, ds, n);

    for (; sent < n; sent++) {
        int rc = chan_send(p->tasks, ds[sent], CHAN_FOREVER);

        assert(rc == 0);
        (void)rc;
    }
}

void subtask_pool_cancel(struct subtask_pool *p, _Atomic int *all,
                         enum cancel why)
{
    struct pool *pool = atomic_load(&p->pool);
    int none = CANCEL_NONE;

    if (pool != NULL)
        pool_cancel_all(pool, all, why);
    else
        atomic_compare_exchange_strong(all, &none, (int)why);
}

const struct subtask_config *subtask_pool_config(const struct subtask_pool *p)
{
    return &p->cfg;
}

void subtask_pool_counted(struct subtask_pool *p, enum subtask_state state)
{
    atomic_fetch_add_explicit(&p->counts[state], 1, memory_order_relaxed);
}

int64_t subtask_pool_count(const struct subtask_pool *p,
                           enum subtask_state state)
{
    return atomic_load_explicit(&p->counts[state], memory_order_relaxed);
}

unsigned subtask_pool_busy(struct subtask_pool *p)
{
    struct pool *pool = atomic_load(&p->pool);

    return pool != NULL ? pool_busy(pool) : 0;
}

unsigned subtask_pool_give_up_late(struct subtask_pool *p, int64_t now_ms,
                                   int64_t *ret_next_ms)
{
    struct pool *pool = atomic_load(&p->pool);

    *ret_next_ms = INT64_MAX;
    return pool != NULL ? pool_give_up_late(pool, now_ms, ret_next_ms) : 0;
}

unsigned subtask_pool_lost(struct subtask_pool *p)
{
    struct pool *pool = atomic_load(&p->pool);

    return pool != NULL ? pool_lost(pool) : 0;
}
