/*
 * Cron plan: from an instant at which an entry was due to the jobs that are to
 * be pushed and the instant at which it is due next.
 *
 * All of it follows from the entry and Redis' clock, so that any number of
 * workers come to the same ids; tick.lua lets one of them push.
 *
 * Thread: any; nothing here has state.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/ulid.h"
#include "common/job/cron_entry.h"

enum { FIRST_SPAN_MS = 64000, SPAN_GROWS = 4 };

/* FNV-1a: the same on every host. */
static uint64_t hash(uint64_t h, const void *p, size_t n)
{
    const unsigned char *s = p;

    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * UINT64_C(1099511628211);
    return h;
}

int64_t cron_claim_ms(const struct cron_entry *e, int64_t tick_ms)
{
    char id[ID_MAX_LEN + 1];

    if (e->jitter_ms == 0)
        return tick_ms;
    cron_job_id(e, tick_ms, id);
    uint64_t h = hash(UINT64_C(14695981039346656037), id, strlen(id));
    h ^= h >> 32; /* its low bits alone are poor */
    return tick_ms + (int64_t)(h % ((uint64_t)e->jitter_ms + 1));
}

void cron_job_id(const struct cron_entry *e, int64_t tick_ms,
                 char out[ID_MAX_LEN + 1])
{
    (void)snprintf(out, ID_MAX_LEN + 1, "cron:%s:%" PRId64, e->name, tick_ms);
}

void cron_run_id(const struct cron_entry *e, char out[ID_MAX_LEN + 1])
{
    char ulid[ULID_LEN + 1];

    /* Of its ten digits of time the first two do not change before 2059. */
    ulid_make(ulid);
    (void)snprintf(out, ID_MAX_LEN + 1, "cron:%s:run:%.8s%.6s", e->name,
                   ulid + 2, ulid + ULID_LEN - 6);
}

void cron_lock(const char *name, char out[CRON_NAME_MAX_LEN + 8])
{
    (void)snprintf(out, CRON_NAME_MAX_LEN + 8, "cron:%s", name);
}

static void put_int(struct buf *out, const char *name, int64_t n)
{
    if (n > 0)
        buf_printf(out, ",\"%s\":%" PRId64, name, n);
}

void cron_job(const struct cron_entry *e, const char *id, int64_t tick_ms,
              int64_t now_ms, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%s\",\"type\":", id);
    buf_json_string(out, e->type, strlen(e->type));
    if (e->payload.p != NULL) {
        buf_str(out, ",\"payload\":");
        buf_append(out, e->payload.p, e->payload.len);
    }
    put_int(out, "created_at", now_ms);
    put_int(out, "max_attempts", e->max_attempts);
    put_int(out, "timeout", e->timeout_ms);
    if (e->backoff.p != NULL) {
        buf_str(out, ",\"backoff\":");
        buf_append(out, e->backoff.p, e->backoff.len);
    }
    put_int(out, "keep", e->keep_ms);
    if (e->expires_ms > 0)
        put_int(out, "expires_at", tick_ms + e->expires_ms);
    if (e->overlap == CRON_SKIP)
        buf_printf(out, ",\"unique\":\"cron:%s\"", e->name);
    buf_printf(out, ",\"meta\":{\"cron\":\"%s\",\"due\":%" PRId64 "}}", e->name,
               tick_ms);
}

/*
 * Collects ticks from at on that are to be claimed by now_ms, the last
 * CRON_TICKS_MAX of them in a ring, at most max. Returns how many there were.
 */
static int64_t collect(const struct cron_entry *e, const struct zone *z,
                       int64_t at, int64_t now_ms, int64_t max,
                       struct cron_plan *p)
{
    int64_t n = 0;

    while (at >= 0 && n < max && cron_claim_ms(e, at) <= now_ms) {
        p->ticks[n++ % CRON_TICKS_MAX] = at;
        at = cron_next(&e->cron, z, at);
    }
    p->next_ms = at;
    return n;
}

/* A tick behind which there are as many as can be made up for, or few. */
static int64_t jump(const struct cron_entry *e, const struct zone *z,
                    int64_t due_ms, int64_t now_ms, int64_t limit_ms,
                    struct cron_plan *p)
{
    int64_t end_ms = now_ms - e->jitter_ms;
    int64_t every_ms = e->cron.every_ms;

    if (every_ms > 0) {
        int64_t n = (end_ms - due_ms) / every_ms - CRON_TICKS_MAX;
        return n > 0 ? due_ms + n * every_ms : due_ms;
    }
    for (int64_t span_ms = FIRST_SPAN_MS;; span_ms *= SPAN_GROWS) {
        bool whole = span_ms >= limit_ms;
        int64_t at = end_ms - (whole ? limit_ms : span_ms);
        if (at <= due_ms)
            return due_ms;
        at = cron_next(&e->cron, z, at - 1);
        if (whole ||
            collect(e, z, at, now_ms, CRON_TICKS_MAX, p) == CRON_TICKS_MAX)
            return at;
    }
}

/* Puts n ticks of the ring into their order. */
static void unroll(struct cron_plan *p, int64_t n)
{
    int64_t ticks[CRON_TICKS_MAX];

    p->count = n < CRON_TICKS_MAX ? (unsigned)n : CRON_TICKS_MAX;
    for (unsigned i = 0; i < p->count; i++)
        ticks[i] = p->ticks[(n - p->count + i) % CRON_TICKS_MAX];
    memcpy(p->ticks, ticks, p->count * sizeof(*ticks));
}

static void drop_first(struct cron_plan *p, unsigned n)
{
    p->count -= n;
    memmove(p->ticks, p->ticks + n, p->count * sizeof(*p->ticks));
}

/* Too late to be made up for, or its job would not be started any more. */
static bool is_late(const struct cron_entry *e, int64_t tick_ms, int64_t now_ms,
                    int64_t limit_ms)
{
    return now_ms - cron_claim_ms(e, tick_ms) > limit_ms ||
           (e->expires_ms > 0 && now_ms >= tick_ms + e->expires_ms);
}

void cron_plan(const struct cron_entry *e, const struct zone *z, int64_t due_ms,
               int64_t now_ms, struct cron_plan *ret)
{
    int64_t limit_ms = e->catch_up == CRON_NONE ? 0 : e->catch_up_limit_ms;
    unsigned most = CRON_TICKS_MAX, late = 0;

    if (limit_ms < CRON_LATE_MS)
        limit_ms = CRON_LATE_MS;
    int64_t n = collect(e, z, due_ms, now_ms, CRON_TICKS_MAX + 1, ret);
    if (n > CRON_TICKS_MAX) {
        int64_t from = jump(e, z, due_ms, now_ms, limit_ms, ret);
        n = collect(e, z, from, now_ms, INT64_MAX, ret);
    }
    unroll(ret, n);
    while (late < ret->count && is_late(e, ret->ticks[late], now_ms, limit_ms))
        late++;
    drop_first(ret, late);
    if (e->catch_up != CRON_ALL || e->overlap == CRON_SKIP)
        most = 1;
    if (e->times >= 0 && e->times < most)
        most = (unsigned)e->times;
    if (ret->count > most)
        drop_first(ret, ret->count - most);
    ret->missed = n - ret->count;
    ret->claim_ms = ret->next_ms < 0 ? -1 : cron_claim_ms(e, ret->next_ms);
}
