/*
 * Settle and release: how jobs leave a lane.
 *
 * A call has the keys and arguments of its script in their order, and borrows
 * every text: what is made for it is kept until it is written.
 *
 * Thread: event loop only.
 */
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/queue_priv.h"
#include "common/redis/sha1.h"

enum { REF_TEXT_MAX = 96 }; /* "s", an index, ":", 40 digits */

/*
 * Appends references to one buffer. The arguments point into it, so it is
 * given its full size first.
 */
struct ref_texts {
    struct buf buf;
};

static size_t ref_size(const struct ref *r)
{
    return r->job.len > REF_BYTES_MAX ? REF_TEXT_MAX : r->job.len + 2;
}

static void args_ref(struct args *a, struct ref_texts *t, const struct ref *r)
{
    size_t start = t->buf.len;
    if (r->job.len <= REF_BYTES_MAX) {
        buf_char(&t->buf, 'v');
        buf_append(&t->buf, r->job.p, r->job.len);
    } else {
        char sha[41];
        sha1_hex(r->job.p, r->job.len, sha);
        buf_printf(&t->buf, "s%zu:%s", r->index, sha);
    }
    args_mem(a, t->buf.data + start, t->buf.len - start);
}

static const char *const places[] = {[SETTLE_RETRY] = "retry",
                                     [SETTLE_DEAD] = "dead",
                                     [SETTLE_SCHEDULED] = "scheduled",
                                     [SETTLE_READY] = "ready",
                                     [SETTLE_OUTBOX] = "outbox"};

static void settle_keys(struct args *a, const struct keys *k,
                        const struct settle *s, char (*names)[KEY_MAX])
{
    args_str(a, k->leases);
    args_str(a, k->retry);
    args_str(a, k->dead);
    args_str(a, k->config);
    args_str(a, k->stats);
    keys_stats_minute(k, clock_wall_ms(), *names);
    args_str(a, *names++);
    args_str(a, k->lanes);
    args_str(a, k->ready);
    args_str(a, k->scheduled);
    args_str(a, k->outbox);
    args_str(a, k->cancelled);
    for (unsigned i = 0; i < s->keep_count; i++) {
        if (s->keeps[i].log)
            keys_log(k, s->keeps[i].id, *names);
        else
            keys_job(k, s->keeps[i].id, *names);
        args_str(a, *names++);
    }
    for (unsigned i = 0; i < s->unlock_count; i++) {
        keys_unique(k, s->unlocks[i].key, *names);
        args_str(a, *names++);
    }
}

static void settle_lists(struct args *a, struct ref_texts *t,
                         const struct settle *s)
{
    for (unsigned i = 0; i < s->selective_count; i++)
        args_ref(a, t, &s->selective[i]);
    for (unsigned i = 0; i < s->add_count; i++) {
        args_str(a, places[s->adds[i].where]);
        args_int(a, s->adds[i].delay_ms);
        args_mem(a, s->adds[i].envelope.p, s->adds[i].envelope.len);
    }
    for (unsigned i = 0; i < s->keep_count; i++) {
        const struct settle_keep *keep = &s->keeps[i];
        args_int(a, keep->ttl_ms);
        args_str(a, keep->publish != NULL ? keep->publish : "");
        args_int(a, keep->field_count);
        for (unsigned f = 0; f < keep->field_count; f++)
            args_mem(a, keep->fields[f].p, keep->fields[f].len);
    }
    for (unsigned i = 0; i < s->unlock_count; i++)
        args_str(a, s->unlocks[i].id);
    for (unsigned i = 0; i < s->mark_count; i++)
        args_str(a, s->marks[i]);
    for (unsigned i = 0; i < s->count_count; i++) {
        args_str(a, s->counts[i].name);
        args_int(a, s->counts[i].n);
    }
}

int queue_settle(struct conn *c, const struct keys *k, const char *lane,
                 const struct settle *s, conn_reply_cb cb, void *arg)
{
    struct args a = {0};
    struct ref_texts t = {0};
    char active[KEY_MAX], minute[1][KEY_MAX];
    char(*names)[KEY_MAX] = minute, (*made)[KEY_MAX] = NULL;
    const size_t own = s->keep_count + s->unlock_count;
    keys_active(k, lane, active);
    if (own > 0)
        names = made = mem_new((1 + own) * sizeof(*made));

    size_t size = s->cumulative > 0 ? ref_size(&s->last) : 0;
    for (unsigned i = 0; i < s->selective_count; i++)
        size += ref_size(&s->selective[i]);
    buf_reserve(&t.buf, size);

    script_args(&a, SCRIPT_settle, 12 + (int)own);
    args_str(&a, active);
    settle_keys(&a, k, s, names);
    args_str(&a, lane);
    args_int(&a, s->cumulative);
    if (s->cumulative > 0)
        args_ref(&a, &t, &s->last);
    else
        args_str(&a, "");
    args_int(&a, s->selective_count);
    args_int(&a, s->add_count);
    args_int(&a, s->keep_count);
    args_int(&a, s->count_count);
    args_int(&a, s->unlock_count);
    args_int(&a, s->mark_count);
    settle_lists(&a, &t, s);
    int rc = queue_send(c, SCRIPT_settle, &a, cb, arg);
    buf_done(&t.buf);
    free(made);
    return rc;
}

int queue_settle_result(int err, const struct reply *r, struct errbuf *eb)
{
    return queue_check_ok(err, r, "settle", eb);
}

int queue_release(struct conn *c, const struct keys *k, const char *lane,
                  const struct ref *refs, unsigned n, conn_reply_cb cb,
                  void *arg)
{
    struct args a = {0};
    struct ref_texts t = {0};
    char active[KEY_MAX], minute[KEY_MAX];
    size_t size = 0;
    keys_active(k, lane, active);
    keys_stats_minute(k, clock_wall_ms(), minute);
    for (unsigned i = 0; i < n; i++)
        size += ref_size(&refs[i]);
    buf_reserve(&t.buf, size);
    script_args(&a, SCRIPT_release, 5);
    args_str(&a, active);
    args_str(&a, k->leases);
    args_str(&a, k->ready);
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_str(&a, lane);
    for (unsigned i = 0; i < n; i++)
        args_ref(&a, &t, &refs[i]);
    int rc = queue_send(c, SCRIPT_release, &a, cb, arg);
    buf_done(&t.buf);
    return rc;
}

int queue_release_result(int err, const struct reply *r, struct errbuf *eb)
{
    return queue_check_ok(err, r, "release", eb);
}
