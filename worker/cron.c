/*
 * Cron: pushes the jobs of entries that are due.
 *
 * A look reads the entries that are due first, plans each from Redis' clock,
 * and calls tick. Of two lanes that do so in one moment one is told STALE. A
 * lane that dies between two calls leaves no trace: what it had not pushed is
 * still due.
 *
 * An entry that waits for its jitter, or for a zone that is not known here,
 * stays in front of the others: a look goes on behind it, and a renewal that
 * says "due now" is believed only now and then, or after a message.
 *
 * Thread: event loop only.
 */
#include "worker/cron.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "common/job/cron_entry.h"
#include "common/redis/queue_cron.h"
#include "worker/lane.h"

enum {
    PAGE = 50,          /* entries of one look */
    SPREAD_MS = 20,     /* so that a fleet does not look in one moment */
    BELIEVE_MS = 10000, /* between looks that only a renewal asks for */
    FAILED_MS = 5000,   /* until a tick that Redis refused is tried again */
    ZONE_MS = 60000,    /* the same of a zone that is not known here */
    SAID_MAX = 16,      /* complaints that are not repeated */
    SENT_MAX = 8 << 20  /* bytes of jobs of one look */
};

struct cron_watch {
    struct lane *lane;   /* borrowed */
    struct event *timer; /* owned */
    int64_t at_ms;       /* clock_ms() of the next look; 0: none is set */
    int64_t looked_ms;   /* of the last one; 0: believe the next renewal */
    struct look *look;   /* under way, or NULL; frees itself */
    bool again;          /* when the look under way has ended */
    unsigned skip;       /* entries in front that wait */
    int64_t skipped_ms;  /* when to look at those again; 0: there are none */
    uint64_t said[SAID_MAX];
    unsigned said_count;
};

/* A look that is under way. */
struct look {
    struct cron_watch *watch; /* NULL: it was freed meanwhile */
    unsigned calls;           /* that are not answered */
    unsigned count;           /* of entries */
    unsigned waiting;         /* of them, those that stay in front */
    bool full;                /* there may be more behind them */
    int64_t next_ms;          /* Redis' clock: when to look again */
    size_t sent;
    struct {
        char name[CRON_NAME_MAX_LEN + 1];
        int64_t due_ms; /* -1: no instant */
    } entries[PAGE];
};

struct call {
    struct look *look;
    char name[CRON_NAME_MAX_LEN + 1];
    int64_t due_ms, next_ms, missed;
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_due(void *arg, int err, const struct reply *r);
static void on_entries(void *arg, int err, const struct reply *r);
static void on_ticked(void *arg, int err, const struct reply *r);
static void on_put(void *arg, int err, const struct reply *r);

struct cron_watch *cron_watch_new(struct lane *lane)
{
    struct cron_watch *w = mem_new(sizeof(*w));
    w->lane = lane;
    w->timer = event_new(lane->agent->base, -1, 0, on_timer, w);
    return w;
}

void cron_watch_free(struct cron_watch *w)
{
    if (w == NULL)
        return;
    if (w->look != NULL)
        w->look->watch = NULL;
    event_free(w->timer);
    free(w);
}

static void look_in(struct cron_watch *w, int64_t wait_ms)
{
    int64_t at = clock_ms() + (wait_ms > 0 ? wait_ms : 0);
    if (w->at_ms != 0 && w->at_ms <= at)
        return;
    w->at_ms = at;
    timer_in(w->timer, (wait_ms > 0 ? wait_ms : 0) + 1 +
                           (int64_t)random_below(SPREAD_MS));
}

void cron_watch_due(struct cron_watch *w, int64_t wait_ms)
{
    bool seen = w->looked_ms != 0 && clock_ms() - w->looked_ms < BELIEVE_MS;
    if (wait_ms > 0)
        look_in(w, wait_ms);
    else if (wait_ms == 0 && !seen && w->look != NULL)
        w->again = true;
    else if (wait_ms == 0 && !seen)
        look_in(w, 0);
}

void cron_watch_changed(struct cron_watch *w)
{
    w->looked_ms = 0;
}

void cron_watch_stop(struct cron_watch *w)
{
    (void)event_del(w->timer);
    w->at_ms = w->looked_ms = 0;
    w->again = false;
    w->skip = 0;
    w->skipped_ms = 0;
}

/* ---- complaints ---- */

/* Whether that was not said yet, lately. */
static bool is_new(struct cron_watch *w, const char *name, const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (const char *p = name; *p != '\0'; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
    for (const char *p = text; *p != '\0'; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
    for (unsigned i = 0; i < SAID_MAX; i++) {
        if (w->said[i] == h)
            return false;
    }
    w->said[w->said_count++ % SAID_MAX] = h;
    return true;
}

static void complain(struct cron_watch *w, const char *name, const char *text,
                     const char *so)
{
    if (is_new(w, name, text))
        LOG_WARN("cron", F_STR("queue", w->lane->keys.queue),
                 F_STR("cron", name), F_STR("error", text), F_STR("so", so));
}

/* ---- a look ---- */

static bool is_up(const struct look *look)
{
    return look->watch != NULL && look->watch->lane->state == LANE_UP;
}

static void again_at(struct look *look, int64_t redis_ms)
{
    if (redis_ms < look->next_ms)
        look->next_ms = redis_ms;
}

static void again_in(struct look *look, int64_t ms)
{
    if (is_up(look))
        again_at(look, lane_now_ms(look->watch->lane) + ms);
}

/* Ends the look if nothing of it is under way. */
static void look_end(struct look *look) ON_LOOP;

static void look_end(struct look *look)
{
    struct cron_watch *w = look->watch;
    if (look->calls > 0)
        return;
    if (w != NULL) {
        w->look = NULL;
        if (w->skipped_ms != 0)
            again_at(look, w->skipped_ms);
        w->skipped_ms =
            look->full && look->next_ms < INT64_MAX ? look->next_ms : 0;
        w->skip = look->full ? w->skip + look->waiting : 0;
    }
    if (is_up(look)) {
        w->looked_ms = w->again ? 0 : clock_ms();
        if (look->full || w->again)
            look_in(w, 0);
        else if (look->next_ms < INT64_MAX)
            look_in(w, look->next_ms - lane_now_ms(w->lane));
        w->again = false;
    }
    free(look);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct cron_watch *w = arg;
    struct lane *lane = w->lane;
    struct args a = {0};
    (void)fd;
    (void)what;
    w->at_ms = 0;
    w->again = w->look != NULL;
    if (lane->state != LANE_UP || w->look != NULL ||
        lane->agent->stage >= AGENT_DRAINING)
        return;
    args_str(&a, "ZRANGE");
    args_str(&a, lane->keys.cron_due);
    args_int(&a, w->skip);
    args_int(&a, (int64_t)w->skip + PAGE - 1);
    args_str(&a, "WITHSCORES");
    w->look = mem_new(sizeof(*w->look));
    *w->look = (struct look){.watch = w, .calls = 1, .next_ms = INT64_MAX};
    if (conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false, on_due,
                  w->look) != 0) {
        free(w->look);
        w->look = NULL;
    }
    args_done(&a);
}

/* What can be no entry, since it has no name of one. */
static void drop_member(struct lane *lane, struct bytes member) ON_LOOP;

static void drop_member(struct lane *lane, struct bytes member)
{
    struct args a = {0};
    LOG_WARN("cron", F_STR("queue", lane->keys.queue),
             F_MEM("cron", member.p, member.len < 64 ? member.len : 64),
             F_STR("error", "no name of an entry"),
             F_STR("so", "not due any more"));
    args_str(&a, "ZREM");
    args_str(&a, lane->keys.cron_due);
    args_mem(&a, member.p, member.len);
    (void)conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS, false, NULL,
                    NULL);
    args_done(&a);
}

/* An instant that a people may have written; -1 if it is none. */
static int64_t read_score(struct bytes score)
{
    double d = strtod(score.p, NULL);
    if (!(d >= 0 && d <= (double)QUEUE_COUNT_MAX) || (double)(int64_t)d != d)
        return -1;
    return (int64_t)d;
}

/* Takes in what is due by now. Returns how many elements there were. */
static size_t read_page(struct look *look, const struct reply *r) ON_LOOP;

static size_t read_page(struct look *look, const struct reply *r)
{
    struct lane *lane = look->watch->lane;
    int64_t now_ms = lane_now_ms(lane);
    size_t n = reply_len(r) / 2;
    for (size_t i = 0; i < n && look->count < PAGE; i++) {
        struct bytes name, score;
        if (!reply_str(reply_at(r, 2 * i), &name.p, &name.len) ||
            !reply_str(reply_at(r, 2 * i + 1), &score.p, &score.len))
            continue;
        int64_t due_ms = read_score(score);
        if (due_ms > now_ms) { /* they are in order */
            again_at(look, due_ms);
            return 0;
        }
        if (!cron_is_name(name.p, name.len)) {
            drop_member(lane, name);
            continue;
        }
        memcpy(look->entries[look->count].name, name.p, name.len);
        look->entries[look->count++].due_ms = due_ms;
    }
    return n;
}

static void on_due(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct look *look = arg;
    look->calls--;
    if (err == 0 && reply_is_error(r) && is_up(look)) {
        complain(look->watch, "", reply_error(r), "looking again in a minute");
        again_in(look, ZONE_MS);
    } else if (err == 0 && is_up(look)) {
        look->full = read_page(look, r) == PAGE;
    }
    if (is_up(look) && look->count > 0) {
        struct lane *lane = look->watch->lane;
        struct args a = {0};
        args_str(&a, "HMGET");
        args_str(&a, lane->keys.cron);
        for (unsigned i = 0; i < look->count; i++)
            args_str(&a, look->entries[i].name);
        look->calls += conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS,
                                 false, on_entries, look) == 0;
        args_done(&a);
    }
    look_end(look);
}

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
    struct lane *lane = look->watch->lane;
    struct call *call = new_call(look, name);
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
    struct lane *lane = look->watch->lane;
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
    int64_t now_ms = lane_now_ms(look->watch->lane);
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
        again_at(look, p.claim_ms);
        return;
    }
    send_tick(look, e, due_ms, &p);
}

static void read_entry(struct look *look, unsigned i,
                       struct bytes text) ON_LOOP;

static void read_entry(struct look *look, unsigned i, struct bytes text)
{
    struct cron_watch *w = look->watch;
    const char *name = look->entries[i].name;
    struct cron_entry *e = NULL;
    struct zone *z = NULL;
    struct errbuf eb;
    int rc = cron_entry_parse(name, text.p, text.len, &e, &eb);
    if (rc != 0) {
        complain(w, name, eb.text, "invalid, not due any more");
        put_due(look, name, text, CRON_DUE_NEVER);
        return;
    }
    rc = zone_open(e->zone, &z, &eb);
    if (rc != 0) { /* another worker may know it */
        complain(w, name, eb.text, "left to others, looking again");
        look->waiting++;
        again_in(look, ZONE_MS);
    } else {
        attend(look, e, z, look->entries[i].due_ms);
    }
    zone_free(z);
    cron_entry_free(e);
}

static void on_entries(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct look *look = arg;
    look->calls--;
    if (err == 0 && reply_is_error(r) && is_up(look)) {
        complain(look->watch, "", reply_error(r), "looking again in a minute");
        look->full = false;
        again_in(look, ZONE_MS);
    }
    for (unsigned i = 0; err == 0 && i < look->count && is_up(look); i++) {
        struct bytes text = {NULL, 0};
        if (look->sent > SENT_MAX) {
            look->full = false;
            again_in(look, 0);
            break;
        }
        if (reply_str(reply_at(r, i), &text.p, &text.len))
            read_entry(look, i, text);
        else if (reply_is_nil(reply_at(r, i)))
            put_due(look, look->entries[i].name, text, CRON_DUE_NEVER);
    }
    look_end(look);
}

/* ---- answers ---- */

static void on_put(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct call *call = arg;
    struct look *look = call->look;
    struct errbuf eb;
    int rc = queue_cron_put_result(err, r, &eb);
    look->calls--;
    if (rc == ERR_REDIS && is_up(look)) {
        complain(look->watch, call->name, eb.text, "trying again");
        look->waiting++;
        again_in(look, FAILED_MS);
    } else {
        again_in(look, 0);
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
    look->calls--;
    if (rc == ERR_REDIS && is_up(look)) { /* full, or a key is not ours */
        complain(look->watch, call->name, eb.text, "trying again");
        look->waiting++;
        again_in(look, FAILED_MS);
    } else if (rc == 0 && is_up(look)) {
        if (state == TICK_STALE)
            again_in(look, 0);
        else if (call->next_ms >= 0)
            again_at(look, call->next_ms);
        note_ticked(look->watch->lane, call, state, pushed);
    }
    free(call);
    look_end(look);
}
