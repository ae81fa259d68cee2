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

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "worker/cron_priv.h"

enum {
    SPREAD_MS = 20,     /* so that a fleet does not look in one moment */
    BELIEVE_MS = 10000, /* between looks that only a renewal asks for */
    SAID_MAX = 16,      /* complaints that are not repeated */
    SENT_MAX = 8 << 20  /* bytes of jobs and entries of one look */
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
    char lacking[ZONE_NAME_MAX_LEN +
                 1];    /* the last zone not known here, or "" */
    int64_t lacking_ms; /* when it was looked for */
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_due(void *arg, int err, const struct reply *r);
static void on_entry(void *arg, int err, const struct reply *r);

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

/* Goes on with what is due: nobody else is waited for. */
static void look_now(struct cron_watch *w)
{
    w->at_ms = clock_ms();
    timer_in(w->timer, 0);
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

void cron_complain(struct look *look, const char *name, const char *text,
                   const char *so)
{
    struct cron_watch *w = look->watch;
    if (is_new(w, name, text))
        LOG_WARN("cron", F_STR("queue", w->lane->keys.queue),
                 F_STR("cron", name), F_STR("error", text), F_STR("so", so));
}

bool cron_lacks_zone(const struct look *look, const char *zone)
{
    const struct cron_watch *w = look->watch;
    return w->lacking[0] != '\0' && strcmp(w->lacking, zone) == 0 &&
           clock_ms() - w->lacking_ms < CRON_ZONE_MS;
}

void cron_note_lack(struct look *look, const char *name, const char *zone,
                    const char *why)
{
    struct cron_watch *w = look->watch;
    w->lacking_ms = clock_ms();
    (void)snprintf(w->lacking, sizeof(w->lacking), "%s", zone);
    if (is_new(w, "", why))
        LOG_WARN("cron", F_STR("queue", w->lane->keys.queue),
                 F_STR("cron", name), F_STR("error", why),
                 F_STR("so", "left to others, looking again"));
}

/* ---- a look ---- */

bool look_is_up(const struct look *look)
{
    return look->watch != NULL && look->watch->lane->state == LANE_UP;
}

struct lane *look_lane(const struct look *look)
{
    return look->watch->lane;
}

void look_again_at(struct look *look, int64_t redis_ms)
{
    if (redis_ms < look->next_ms)
        look->next_ms = redis_ms;
}

void look_again_in(struct look *look, int64_t ms)
{
    if (look_is_up(look))
        look_again_at(look, lane_now_ms(look->watch->lane) + ms);
}

void look_end(struct look *look)
{
    struct cron_watch *w = look->watch;
    assert(look->calls > 0);
    if (--look->calls > 0)
        return;
    if (w != NULL) {
        w->look = NULL;
        if (w->skipped_ms != 0)
            look_again_at(look, w->skipped_ms);
        w->skipped_ms =
            look->full && look->next_ms < INT64_MAX ? look->next_ms : 0;
        w->skip = look->full ? w->skip + look->waiting : 0;
    }
    if (look_is_up(look)) {
        w->looked_ms = w->again ? 0 : clock_ms();
        if (look->full || w->again)
            look_now(w);
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
    args_int(&a, (int64_t)w->skip + CRON_PAGE - 1);
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

/* An instant, which people may have written; -1 if it is none. */
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
    for (size_t i = 0; i < n && look->count < CRON_PAGE; i++) {
        struct bytes name, score;
        if (!reply_str(reply_at(r, 2 * i), &name.p, &name.len) ||
            !reply_str(reply_at(r, 2 * i + 1), &score.p, &score.len))
            continue;
        int64_t due_ms = read_score(score);
        if (due_ms > now_ms) { /* they are in order */
            look_again_at(look, due_ms);
            return 0;
        }
        if (!cron_is_name(name.p, name.len)) {
            drop_member(lane, name);
            continue;
        }
        struct look_entry *e = &look->entries[look->count++];
        e->look = look;
        memcpy(e->name, name.p, name.len);
        e->due_ms = due_ms;
    }
    return n;
}

/* One by one: it is not known how big they are, and each goes when read. */
static void read_entry(struct look_entry *e) ON_LOOP;

static void read_entry(struct look_entry *e)
{
    struct lane *lane = e->look->watch->lane;
    struct args a = {0};
    args_str(&a, "HGET");
    args_str(&a, lane->keys.cron);
    args_str(&a, e->name);
    e->look->calls += conn_call(lane->cmd, &a, clock_ms() + QUEUE_DEADLINE_MS,
                                false, on_entry, e) == 0;
    args_done(&a);
}

static void on_due(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct look *look = arg;
    if (err == 0 && reply_is_error(r) && look_is_up(look)) {
        cron_complain(look, "", reply_error(r), "looking again in a minute");
        look_again_in(look, CRON_ZONE_MS);
    } else if (err == 0 && look_is_up(look)) {
        look->full = read_page(look, r) == CRON_PAGE;
    }
    for (unsigned i = 0; i < look->count && look_is_up(look); i++)
        read_entry(&look->entries[i]);
    look_end(look);
}

static void on_entry(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    const struct look_entry *e = arg;
    struct look *look = e->look;
    unsigned i = (unsigned)(e - look->entries);
    struct bytes text;
    if (err == 0 && look_is_up(look)) {
        if (reply_is_error(r)) {
            cron_complain(look, "", reply_error(r),
                          "looking again in a minute");
            look->full = false;
            look_again_in(look, CRON_ZONE_MS);
        } else if (look->sent > SENT_MAX) {
            look->full = false;
            look_again_in(look, 0);
        } else if (reply_str(r, &text.p, &text.len)) {
            cron_attend(look, i, text);
        } else if (reply_is_nil(r)) {
            cron_drop_due(look, i);
        }
    }
    look_end(look);
}
