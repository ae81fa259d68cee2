/*
 * Notes: what is told of jobs while they run.
 *
 * Told on the connection of the settles and before them, so that the end of a
 * job is the last that is heard of it. What a lost connection swallowed is
 * told again after the rebind; a lease that is lost is found out by others.
 *
 * Thread: event loop only.
 */
#include "worker/notes.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/queue_news.h"
#include "common/redis/script.h"

enum {
    PROGRESS_MS = 200, /* between two of one job */
    NOTES_MAX = 64,    /* in one call: what they are made of is on the stack */
    FIELDS_MAX = 14
};

/* One note, and the texts that it is made of. */
struct making {
    struct bytes fields[FIELDS_MAX];
    unsigned count;
    struct unique unique;
    char attempt[24], percent[32];
    char message[PROGRESS_MESSAGE_MAX + 1];
};

static void on_noted(void *arg, int err, const struct reply *r);

void lane_note(struct lane *lane, struct delivery *d, enum note_kind kind)
{
    d->news[kind] = true;
    d->started = d->started || kind == NOTE_STARTED;
    if (d->noted)
        return;
    d->noted = true;
    LIST_INSERT_HEAD(&lane->noted, d, by);
}

bool lane_unlocks_at_start(const struct lane *lane, const struct unique *u)
{
    return u->until == UNIQUE_STARTED ||
           (u->until == UNIQUE_DONE && lane->agent->cfg->at_most_once);
}

static void forget(struct delivery *d)
{
    if (!d->noted)
        return;
    LIST_REMOVE(d, by);
    d->noted = false;
    memset(d->news, 0, sizeof(d->news));
}

void lane_forget_notes(struct lane *lane)
{
    while (!LIST_EMPTY(&lane->noted))
        forget(LIST_FIRST(&lane->noted));
    lane_forget_logs(lane);
    (void)event_del(lane->note_timer);
}

void lane_note_again(struct lane *lane)
{
    for (struct slot *s = lane->ledger.first; s != NULL; s = s->next) {
        if (s->state != SLOT_OUT)
            continue;
        if (s->d->started)
            lane_note(lane, s->d, NOTE_STARTED);
        if (s->d->told_ms > 0)
            lane_note(lane, s->d, NOTE_PROGRESS);
    }
}

static void add_field(struct making *m, const char *name, const char *value)
{
    m->fields[m->count++] = (struct bytes){name, strlen(name)};
    m->fields[m->count++] = (struct bytes){value, strlen(value)};
}

static void add_start(struct making *m, struct note_job *n,
                      const struct delivery *d)
{
    const struct job *job = d->job;
    int64_t age_ms = clock_wall_ms() - d->outcome.started_at_ms;
    n->age_ms = age_ms > 0 ? age_ms : 0;
    (void)snprintf(m->attempt, sizeof(m->attempt), "%lld",
                   (long long)job->attempt + 1);
    add_field(m, "state", "active");
    add_field(m, "type", job->type);
    add_field(m, "attempt", m->attempt);
    add_field(m, "worker", d->lane->agent->id);
    add_field(m, "lane", d->lane->id);
    if (job->unique.p != NULL &&
        unique_parse(job->unique, &m->unique, NULL) == 0 &&
        lane_unlocks_at_start(d->lane, &m->unique))
        n->unlock = m->unique.key;
}

static void add_progress(struct making *m, struct delivery *d)
{
    double percent;
    pool_take_progress(d, &percent, m->message);
    (void)snprintf(m->percent, sizeof(m->percent), "%.6g", percent);
    add_field(m, "progress", m->percent);
    add_field(m, "message", m->message);
    d->told_ms = clock_ms();
}

static void make(struct making *m, struct note_job *n, struct delivery *d)
{
    m->count = 0;
    *n = (struct note_job){
        .id = d->job->id, .keep = d->job->keep_ms > 0, .age_ms = -1};
    if (d->news[NOTE_STARTED])
        add_start(m, n, d);
    if (d->news[NOTE_PROGRESS])
        add_progress(m, d);
    n->fields = m->fields;
    n->field_count = m->count;
}

/* How long news of d are to wait; 0: tell them now. */
static int64_t wait_ms(const struct delivery *d, int64_t now_ms)
{
    if (d->news[NOTE_STARTED] || d->slot->state != SLOT_OUT || d->told_ms == 0)
        return 0;
    int64_t left = d->told_ms + PROGRESS_MS - now_ms;
    return left > 0 ? left : 0;
}

static bool send_some(struct lane *lane) ON_LOOP;

/* Returns whether there may be more to be told now. */
static bool send_some(struct lane *lane)
{
    struct making made[NOTES_MAX];
    struct note_job notes[NOTES_MAX];
    unsigned n = 0;
    int64_t now_ms = clock_ms(), later_ms = INT64_MAX;
    struct delivery *d, *next;
    for (d = LIST_FIRST(&lane->noted); d != NULL && n < NOTES_MAX; d = next) {
        next = LIST_NEXT(d, by);
        int64_t wait = d->slot != NULL ? wait_ms(d, now_ms) : 0;
        if (wait > 0) {
            later_ms = wait < later_ms ? wait : later_ms;
            continue;
        }
        if (d->slot != NULL) {
            make(&made[n], &notes[n], d);
            n++;
        }
        forget(d);
    }
    if (n > 0)
        (void)queue_note(lane->cmd, &lane->keys, lane->id, notes, n, on_noted,
                         lane);
    if (later_ms != INT64_MAX && !evtimer_pending(lane->note_timer, NULL))
        timer_in(lane->note_timer, later_ms);
    return d != NULL;
}

void lane_send_notes(struct lane *lane)
{
    while (!LIST_EMPTY(&lane->noted) && send_some(lane))
        continue;
    lane_send_logs(lane); /* behind the news that their jobs started */
}

void on_note_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    if (lane->state == LANE_UP)
        lane_send_notes(lane);
}

/* A lease that was lost is told by what matters: settle, renew. */
static void on_noted(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lane *lane = arg;
    struct errbuf eb;
    int rc = queue_note_result(err, r, &eb);
    if (rc == 0 || rc == ERR_FENCED || err != 0 || lane->state != LANE_UP)
        return;
    if (rc == ERR_MISSING) { /* somebody flushed the scripts */
        script_load_all(lane->cmd);
        lane_note_again(lane);
        lane_send_notes(lane);
        return;
    }
    LOG_WARN("note", F_STR("queue", lane->keys.queue), F_STR("error", eb.text),
             F_STR("so", "news of running jobs are missing"));
}
