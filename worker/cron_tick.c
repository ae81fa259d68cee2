/*
 * Cron tick: what one entry that is due asks for, and what becomes of that.
 *
 * Thread: event loop only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/redis/queue_cron.h"
#include "worker/cron_priv.h"

struct call {
    struct look *look;
    char name[CRON_NAME_MAX_LEN + 1];
    int64_t due_ms, next_ms, missed;
};

static void on_ticked(void *arg, int err, const struct reply *r);
static void on_put(void *arg, int err, const struct reply *r);

/* ---- one entry ---- */

static struct call *new_call(struct look *look, const char *name)
{
    struct call *call = mem_new(sizeof(*call));
    call->look = look;
    memcpy(call->name, name, sizeof(call->name));
    return call;
}

/* Writes when it is due, if it is still the entry that was read. */
static void put_due(struct look *look, const char *name, struct bytes entry,
                    int64_t due_ms) ON_LOOP;

static void put_due(struct look *look, const char *name, struct bytes entry,
                    int64_t due_ms)
{
    struct lane *lane = look_lane(look);
    struct call *call = new_call(look, name);
    look->sent += 2 * entry.len; /* as it was read, and as it is to be */
    look->calls++;
    if (queue_cron_put(lane->cmd, &lane->keys, name, entry, entry, due_ms,
                       on_put, call) != 0) {
        look->calls--;
        free(call);
    }
}

static void send_tick(struct look *look, const struct cron_entry *e,
                      int64_t due_ms, const struct cron_plan *p) ON_LOOP;

static void send_tick(struct look *look, const struct cron_entry *e,
                      int64_t due_ms, const struct cron_plan *p)
{
    struct lane *lane = look_lane(look);
    int64_t now_ms = lane_now_ms(lane);
    char ids[CRON_TICKS_MAX][ID_MAX_LEN + 1];
    char lock[CRON_NAME_MAX_LEN + 8], times[24];
    size_t ends[CRON_TICKS_MAX + 1] = {0};
    struct tick_job jobs[CRON_TICKS_MAX];
    struct buf all = {0}, after = {0};
    struct call *call = new_call(look, e->name);

    for (unsigned i = 0; i < p->count; i++) {
        cron_job_id(e, p->ticks[i], ids[i]);
        cron_job(e, ids[i], p->ticks[i], now_ms, &all);
        ends[i + 1] = all.len;
    }
    for (unsigned i = 0; i < p->count; i++)
        jobs[i] = (struct tick_job){
            ids[i], {all.data + ends[i], ends[i + 1] - ends[i]}};
    cron_lock(e->name, lock);
    struct tick t = {.name = e->name,
                     .entry = {e->raw, e->raw_len},
                     .due_ms = due_ms,
                     .next_ms = p->next_ms,
                     .last = e->times >= 0 && e->times <= p->count,
                     .lock = e->overlap == CRON_SKIP ? lock : NULL,
                     .keep = e->keep_ms > 0,
                     .type = e->type,
                     .created_at_ms = now_ms,
                     .jobs = jobs,
                     .count = p->count};
    if (e->times >= 0 && !t.last) {
        (void)snprintf(times, sizeof(times), "%lld",
                       (long long)(e->times - p->count));
        struct job_change change = {"times", times};
        cron_entry_rewrite(e, &change, 1, &after);
        t.after = (struct bytes){after.data, after.len};
    }
    call->due_ms = due_ms;
    call->next_ms = p->claim_ms;
    call->missed = p->missed;
    look->sent += all.len + after.len + e->raw_len;
    look->calls++;
    if (queue_tick(lane->cmd, &lane->keys, &t, on_ticked, call) != 0) {
        look->calls--;
        free(call);
    }
    buf_done(&all);
    buf_done(&after);
}

/* Plans it; e and z are right. */
static void attend(struct look *look, const struct cron_entry *e,
                   const struct zone *z, int64_t due_ms) ON_LOOP;

static void attend(struct look *look, const struct cron_entry *e,
                   const struct zone *z, int64_t due_ms)
{
    int64_t now_ms = lane_now_ms(look_lane(look));
    struct cron_plan p;
    if (e->paused || due_ms < 0) {
        int64_t next_ms =
            e->paused ? CRON_DUE_NEVER : cron_next(&e->cron, z, now_ms);
        put_due(look, e->name, (struct bytes){e->raw, e->raw_len}, next_ms);
        return;
    }
    cron_plan(e, z, due_ms, now_ms, &p);
    if (p.count == 0 && p.next_ms == due_ms) {
        look->waiting++;
        look_again_at(look, p.claim_ms);
        return;
    }
    send_tick(look, e, due_ms, &p);
}

void cron_attend(struct look *look, unsigned i, struct bytes text)
{
    const char *name = look->entries[i].name;
    struct cron_entry *e = NULL;
    struct zone *z = NULL;
    struct errbuf eb;
    int rc = cron_entry_parse(name, text.p, text.len, &e, &eb);
    if (rc != 0) {
        cron_complain(look, name, eb.text, "invalid, not due any more");
        put_due(look, name, text, CRON_DUE_NEVER);
        return;
    }
    bool lacks = cron_lacks_zone(look, e->zone);
    if (!lacks && zone_open(e->zone, &z, &eb) != 0) {
        lacks = true;
        cron_note_lack(look, name, e->zone, eb.text);
    }
    if (lacks) { /* another worker may know it */
        look->waiting++;
        look_again_in(look, CRON_ZONE_MS);
    } else {
        attend(look, e, z, look->entries[i].due_ms);
    }
    zone_free(z);
    cron_entry_free(e);
}

void cron_drop_due(struct look *look, unsigned i)
{
    put_due(look, look->entries[i].name, (struct bytes){NULL, 0},
            CRON_DUE_NEVER);
}

/* ---- answers ---- */

static void on_put(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct call *call = arg;
    struct look *look = call->look;
    struct errbuf eb;
    int rc = queue_cron_put_result(err, r, &eb);
    if (rc == ERR_REDIS && look_is_up(look)) {
        cron_complain(look, call->name, eb.text, "trying again");
        look->waiting++;
        look_again_in(look, CRON_FAILED_MS);
    } else {
        look_again_in(look, 0);
    }
    free(call);
    look_end(look);
}

static void note_ticked(struct lane *lane, const struct call *call,
                        enum tick_state state, int64_t pushed) ON_LOOP;

static void note_ticked(struct lane *lane, const struct call *call,
                        enum tick_state state, int64_t pushed)
{
    const char *queue = lane->keys.queue;
    if (state == TICK_SKIPPED)
        LOG_INFO("tick_skipped", F_STR("queue", queue),
                 F_STR("cron", call->name), F_INT("due", call->due_ms),
                 F_STR("why", "the one before has not ended"));
    if (state == TICK_PUSHED && call->missed > 0)
        LOG_WARN("tick_missed", F_STR("queue", queue),
                 F_STR("cron", call->name), F_INT("due", call->due_ms),
                 F_INT("pushed", pushed), F_INT("missed", call->missed));
    if (state != TICK_PUSHED || pushed == 0)
        return;
    LOG_DEBUG("tick", F_STR("queue", queue), F_STR("cron", call->name),
              F_INT("due", call->due_ms), F_INT("pushed", pushed));
    if (!lane->blocked) {
        lane->empty = false;
        lane_pump(lane);
    }
}

static void on_ticked(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct call *call = arg;
    struct look *look = call->look;
    enum tick_state state = TICK_STALE;
    int64_t pushed = 0;
    struct errbuf eb;
    int rc = queue_tick_result(err, r, &state, &pushed, &eb);
    if (rc == ERR_REDIS && look_is_up(look)) { /* full, or a key is not ours */
        cron_complain(look, call->name, eb.text, "trying again");
        look->waiting++;
        look_again_in(look, CRON_FAILED_MS);
    } else if (rc == 0 && look_is_up(look)) {
        if (state == TICK_STALE)
            look_again_in(look, 0);
        else if (call->next_ms >= 0)
            look_again_at(look, call->next_ms);
        note_ticked(look_lane(look), call, state, pushed);
    }
    free(call);
    look_end(look);
}
