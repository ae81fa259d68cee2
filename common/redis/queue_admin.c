/*
 * The verbs of people: requests and answers of the scripts that move jobs
 * which no lane holds. See queue.c.
 *
 * Thread: event loop only.
 */
#include "common/redis/queue_admin.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/queue_priv.h"
#include "common/redis/sha1.h"

/* The keys of a job that has what they name; they live until the call. */
struct job_keys {
    char unique[KEY_MAX], news[KEY_MAX], log[KEY_MAX];
};

const char *queue_set_key(const struct keys *k, enum queue_set set)
{
    switch (set) {
    case QUEUE_DEAD:
        return k->dead;
    case QUEUE_RETRY:
        return k->retry;
    default:
        return k->scheduled;
    }
}

/* Appends them, or spare, which the script does not touch then. */
static void args_job_keys(struct args *a, const struct keys *k,
                          struct job_keys *jk, const char *unique,
                          const char *id, const char *spare)
{
    bool locked = unique && keys_unique(k, unique, jk->unique);
    bool told = id && keys_job(k, id, jk->news);

    args_str(a, locked ? jk->unique : spare);
    args_str(a, told ? jk->news : spare);
    args_str(a, told && keys_log(k, id, jk->log) ? jk->log : spare);
}

/* ---- requeue ---- */

static void requeue_args(struct args *a, const struct requeue_job *jobs,
                         unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct requeue_job *j = &jobs[i];
        args_mem(a, j->member.p, j->member.len);
        args_mem(a, j->envelope.p, j->envelope.len);
        args_str(a, j->unique ? j->id : "");
        if (j->lock_ttl_ms > 0)
            args_int(a, j->lock_ttl_ms);
        else
            args_str(a, "until");
        args_str(a, j->keep ? "1" : "0");
    }
}

int queue_requeue(struct conn *c, const struct keys *k, enum queue_set from,
                  bool outbox, const struct requeue_job *jobs, unsigned n,
                  conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char minute[KEY_MAX];
    struct job_keys *jk = mem_new((n + 1) * sizeof(*jk));

    keys_stats_minute(k, clock_wall_ms(), minute);
    script_args(&a, SCRIPT_requeue, 4 + 3 * (int)n);
    args_str(&a, queue_set_key(k, from));
    args_str(&a, outbox ? k->outbox : k->ready);
    args_str(&a, k->stats);
    args_str(&a, minute);
    for (unsigned i = 0; i < n; i++)
        args_job_keys(&a, k, &jk[i], jobs[i].unique,
                      jobs[i].keep ? jobs[i].id : NULL, k->stats);
    args_str(&a, outbox ? "outbox" : "ready");
    requeue_args(&a, jobs, n);
    int rc = queue_send(c, SCRIPT_requeue, &a, cb, arg);
    free(jk);
    return rc;
}

int queue_requeue_result(int err, const struct reply *r, int64_t *ret_moved,
                         size_t *ret_refused, struct errbuf *eb)
{
    int64_t moved;
    int rc = queue_check_ok(err, r, "requeue", eb);

    if (rc == 0 && (!queue_count_at(r, 1, &moved) || reply_len(r) % 2 != 0))
        rc = queue_unexpected("requeue", eb);
    if (rc == 0) {
        *ret_moved = moved;
        *ret_refused = reply_len(r) / 2 - 1;
    }
    return rc;
}

bool queue_requeue_refused(const struct reply *r, size_t i, int64_t *ret_place,
                           struct bytes *ret_holder)
{
    struct bytes holder;

    if (!queue_count_at(r, 2 + 2 * i, ret_place) ||
        !queue_bytes_at(r, 3 + 2 * i, &holder))
        return false;
    if (reply_str_is(reply_at(r, 3 + 2 * i), "GONE"))
        holder = (struct bytes){0};
    *ret_holder = holder;
    return true;
}

/* ---- remove ---- */

int queue_remove(struct conn *c, const struct keys *k, enum queue_set from,
                 bool cancelled, const struct remove_job *jobs, unsigned n,
                 conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char minute[KEY_MAX];
    struct job_keys *jk = mem_new((n + 1) * sizeof(*jk));

    keys_stats_minute(k, clock_wall_ms(), minute);
    script_args(&a, SCRIPT_remove, 4 + 3 * (int)n);
    args_str(&a, queue_set_key(k, from));
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_str(&a, k->cancelled);
    for (unsigned i = 0; i < n; i++)
        args_job_keys(&a, k, &jk[i], jobs[i].unique,
                      jobs[i].keep_ms > 0 ? jobs[i].id : NULL, k->stats);
    args_str(&a, cancelled ? "cancelled" : "removed");
    for (unsigned i = 0; i < n; i++) {
        args_mem(&a, jobs[i].member.p, jobs[i].member.len);
        args_str(&a, jobs[i].id);
        args_int(&a, jobs[i].keep_ms);
    }
    int rc = queue_send(c, SCRIPT_remove, &a, cb, arg);
    free(jk);
    return rc;
}

int queue_remove_result(int err, const struct reply *r, int64_t *ret_removed,
                        struct errbuf *eb)
{
    int rc = queue_check_ok(err, r, "remove", eb);

    if (rc == 0 && !queue_count_at(r, 1, ret_removed))
        return queue_unexpected("remove", eb);
    return rc;
}

/* ---- purge ---- */

static void digest(const struct purge_job *jobs, unsigned n, char out[41])
{
    struct buf all = {0};
    size_t size = 0;

    for (unsigned i = 0; i < n; i++)
        size += jobs[i].job.len + 1;
    buf_reserve(&all, size);
    for (unsigned i = 0; i < n; i++) {
        buf_append(&all, jobs[i].job.p, jobs[i].job.len);
        buf_char(&all, '\n');
    }
    sha1_hex_plain(all.data, all.len, out);
    buf_done(&all);
}

int queue_purge(struct conn *c, const struct keys *k,
                const struct purge_job *jobs, unsigned n, conn_reply_cb cb,
                void *arg)
{
    struct args a = {0};
    char minute[KEY_MAX], sha[41];
    struct job_keys *jk = mem_new((n + 1) * sizeof(*jk));

    keys_stats_minute(k, clock_wall_ms(), minute);
    digest(jobs, n, sha);
    script_args(&a, SCRIPT_purge, 3 + 3 * (int)n);
    args_str(&a, k->ready);
    args_str(&a, k->stats);
    args_str(&a, minute);
    for (unsigned i = 0; i < n; i++)
        args_job_keys(&a, k, &jk[i], jobs[i].unique,
                      jobs[i].keep ? jobs[i].id : NULL, k->stats);
    args_str(&a, sha);
    for (unsigned i = 0; i < n; i++) {
        args_str(&a, jobs[i].unique ? jobs[i].id : "");
        args_str(&a, jobs[i].keep ? "1" : "0");
    }
    int rc = queue_send(c, SCRIPT_purge, &a, cb, arg);
    free(jk);
    return rc;
}

int queue_purge_result(int err, const struct reply *r, int64_t *ret_purged,
                       struct errbuf *eb)
{
    if (err == 0 && reply_str_is(reply_at(r, 0), "CHANGED"))
        return errbuf_set(eb, ERR_MISSING, "purge: the queue has changed");
    int rc = queue_check_ok(err, r, "purge", eb);

    if (rc == 0 && !queue_count_at(r, 1, ret_purged))
        return queue_unexpected("purge", eb);
    return rc;
}

/* ---- import ---- */

int queue_import(struct conn *c, const struct keys *k,
                 const struct import_job *jobs, unsigned n, conn_reply_cb cb,
                 void *arg)
{
    struct args a = {0};

    script_args(&a, SCRIPT_import, 2);
    args_str(&a, k->dead);
    args_str(&a, k->stats);
    for (unsigned i = 0; i < n; i++) {
        args_int(&a, jobs[i].died_ms);
        args_mem(&a, jobs[i].envelope.p, jobs[i].envelope.len);
    }
    return queue_send(c, SCRIPT_import, &a, cb, arg);
}

int queue_import_result(int err, const struct reply *r, int64_t *ret_added,
                        struct errbuf *eb)
{
    int rc = queue_check_ok(err, r, "import", eb);

    if (rc == 0 && !queue_count_at(r, 1, ret_added))
        return queue_unexpected("import", eb);
    return rc;
}
