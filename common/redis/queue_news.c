/*
 * The verb that tells news: requests and answers of note. See queue.c.
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

#define NEWS_TTL_MS (90LL * 24 * 3600 * 1000)

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
        args_int(&a, nk[i].keep ? NEWS_TTL_MS : 0);
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
