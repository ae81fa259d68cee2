/*
 * Requests and answers of note and cancel. See queue.c.
 *
 * Thread: event loop only.
 */
#include "common/redis/queue_news.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/queue_priv.h"
#include "common/redis/script.h"

struct note_keys {
    char news[KEY_MAX], unique[KEY_MAX];
    bool keep, unlock;
};

int queue_note(struct conn *c, const struct keys *k, const char *lane,
               const struct note_job *notes, unsigned n, conn_reply_cb cb,
               void *arg)
{
    struct args a = {0};
    struct note_keys *nk = mem_new((n + 1) * sizeof(*nk));

    assert(n <= QUEUE_BATCH_MAX);
    script_args(&a, SCRIPT_note, 1 + 2 * (int)n);
    args_str(&a, k->leases);
    for (unsigned i = 0; i < n; i++) {
        nk[i].keep = notes[i].keep && keys_job(k, notes[i].id, nk[i].news);
        nk[i].unlock = notes[i].unlock != NULL &&
                       keys_unique(k, notes[i].unlock, nk[i].unique);
        args_str(&a, nk[i].keep ? nk[i].news : k->leases);
        args_str(&a, nk[i].unlock ? nk[i].unique : k->leases);
    }
    args_str(&a, lane);
    for (unsigned i = 0; i < n; i++) {
        args_str(&a, nk[i].unlock ? notes[i].id : "");
        args_int(&a, nk[i].keep ? QUEUE_NEWS_TTL_MS : 0);
        if (notes[i].age_ms >= 0)
            args_int(&a, notes[i].age_ms);
        else
            args_str(&a, "");
        args_int(&a, notes[i].field_count);
        for (unsigned f = 0; f < notes[i].field_count; f++)
            args_mem(&a, notes[i].fields[f].p, notes[i].fields[f].len);
    }
    int rc = conn_call(c, &a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);
    args_done(&a);
    free(nk);
    return rc;
}

int queue_note_result(int err, const struct reply *r, struct errbuf *eb)
{
    if (err == 0 && reply_error_is(r, "NOSCRIPT"))
        return errbuf_set(eb, ERR_MISSING, "note: %s", reply_error(r));
    return queue_check_ok(err, r, "note", eb);
}

/* ---- log ---- */

struct log_keys {
    char log[KEY_MAX], news[KEY_MAX];
};

int queue_log(struct conn *c, const struct keys *k, const char *lane,
              const struct log_job *jobs, unsigned n, conn_reply_cb cb,
              void *arg)
{
    struct args a = {0};
    struct log_keys *lk = mem_new((n + 1) * sizeof(*lk));

    assert(n <= QUEUE_BATCH_MAX);
    script_args(&a, SCRIPT_log, 1 + 2 * (int)n);
    args_str(&a, k->leases);
    for (unsigned i = 0; i < n; i++) {
        (void)keys_log(k, jobs[i].id, lk[i].log); /* a valid id fits */
        (void)keys_job(k, jobs[i].id, lk[i].news);
        args_str(&a, lk[i].log);
        args_str(&a, lk[i].news);
    }
    args_str(&a, lane);
    args_int(&a, LOG_LINES_MAX);
    args_int(&a, LOG_BYTES_MAX);
    for (unsigned i = 0; i < n; i++) {
        args_str(&a, jobs[i].run);
        args_int(&a, QUEUE_NEWS_TTL_MS);
        args_int(&a, jobs[i].first);
        args_int(&a, jobs[i].count);
        for (unsigned l = 0; l < jobs[i].count; l++)
            args_mem(&a, jobs[i].lines[l].p, jobs[i].lines[l].len);
    }
    int rc = queue_send(c, SCRIPT_log, &a, cb, arg);
    free(lk);
    return rc;
}

int queue_log_result(int err, const struct reply *r, struct errbuf *eb)
{
    return queue_check_ok(err, r, "log", eb);
}

/* ---- cancel ---- */

int queue_cancel(struct conn *c, const struct keys *k, const char *const *ids,
                 unsigned n, conn_reply_cb cb, void *arg)
{
    struct args a = {0};

    assert(n <= QUEUE_BATCH_MAX);
    script_args(&a, SCRIPT_cancel, 2);
    args_str(&a, k->cancelled);
    args_str(&a, k->config);
    args_str(&a, k->control);
    for (unsigned i = 0; i < n; i++)
        args_str(&a, ids[i]);
    return queue_send(c, SCRIPT_cancel, &a, cb, arg);
}

int queue_cancel_result(int err, const struct reply *r, int64_t *ret_marks,
                        struct errbuf *eb)
{
    if (err == 0 && reply_str_is(reply_at(r, 0), "FULL"))
        return errbuf_set(
            eb, ERR_FULL,
            "cancel: as many marks as there can be stand already");
    int rc = queue_check_ok(err, r, "cancel", eb);
    if (rc == 0 && !queue_count_at(r, 1, ret_marks))
        return queue_unexpected("cancel", eb);
    return rc;
}

int queue_job_state(struct conn *c, const struct keys *k, const char *id,
                    conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    char key[KEY_MAX];

    (void)keys_job(k, id, key); /* a valid id fits */
    args_str(&a, "HGET");
    args_str(&a, key);
    args_str(&a, "state");
    int rc = conn_call(c, &a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);
    args_done(&a);
    return rc;
}

int queue_marks(struct conn *c, const struct keys *k, unsigned max,
                conn_reply_cb cb, void *arg)
{
    struct args a = {0};

    args_str(&a, "ZRANGE");
    args_str(&a, k->cancelled);
    args_int(&a, 0);
    args_int(&a, (int64_t)max - 1);
    args_str(&a, "WITHSCORES");
    int rc = conn_call(c, &a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);
    args_done(&a);
    return rc;
}

int queue_marks_result(int err, const struct reply *r, struct errbuf *eb)
{
    if (err != 0)
        return errbuf_set(eb, err, "marks: %s", err_str(err));
    if (reply_is_error(r))
        return errbuf_set(eb, ERR_REDIS, "marks: %s", reply_error(r));
    return 0;
}

bool queue_marks_id(const struct reply *r, size_t i, struct bytes *ret,
                    int64_t *ret_at_ms)
{
    return queue_bytes_at(r, i, ret) &&
           reply_int(reply_at(r, i + 1), ret_at_ms);
}
