/*
 * Select: which jobs are meant, and what is done to them, batch by batch.
 *
 * Sets are walked by score and member (walk.h), so nothing is skipped though
 * what is done takes members out. Ids have no index: one walk looks for
 * thousands of them at once. Jobs that come while it goes on are left, or a
 * job that fails at once would be requeued for ever.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/select_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum { MORE_SEEN = 10000 };

static void on_late(evutil_socket_t fd, short what, void *arg);

const char *select_set_name(enum queue_set set)
{
    static const char *const names[] = {"dead", "retry", "scheduled"};

    return names[set];
}

/* ---- what is told ---- */

void select_done(struct select *s, const struct selected *job, bool gone)
{
    s->done++;
    if (gone)
        select_gone(s, job);
}

void select_gone(struct select *s, const struct selected *job)
{
    if (s->walk)
        walk_gone(s->walk, job->place);
}

void select_leave(struct select *s, const struct selected *job, const char *why)
{
    const char *id = job->job && job->job->id[0] != '\0' ? job->job->id : "?";

    s->left++;
    if (s->plan->on_left)
        s->plan->on_left(s, job, why);
    else if (s->left <= SELECT_TOLD_MAX)
        client_tell(s->client, 0, "%s/%s: %s", s->keys.queue, id, why);
}

static int tell_missing(struct select *s, const char *id)
{
    if (s->plan->on_missing && !s->o->state && !s->o->dry_run)
        return s->plan->on_missing(s, id);
    if (++s->missing > SELECT_TOLD_MAX)
        return 0;
    if (s->o->state)
        client_tell(s->client, 0, "%s/%s: not in %s", s->keys.queue, id,
                    s->o->state);
    else
        client_tell(s->client, 0,
                    "%s/%s: neither dead nor waiting for a retry or its time",
                    s->keys.queue, id);
    return 0;
}

/* ---- a batch ---- */

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

/* Lets the time pass that n jobs may take, the loop turning. */
static void keep_rate(struct select *s, unsigned n)
{
    int64_t now_ms = clock_ms();
    bool late = false;

    if (s->per_second == 0)
        return;
    if (s->next_at_ms < now_ms)
        s->next_at_ms = now_ms;
    s->next_at_ms += (int64_t)n * 1000 / s->per_second;
    int64_t ms = s->next_at_ms - now_ms;
    if (ms <= 0)
        return;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    struct event *timer = evtimer_new(client_base(s->client), on_late, &late);
    evtimer_add(timer, &tv);
    while (!late && !client_is_down(s->client))
        client_turn(s->client, true);
    event_free(timer);
}

bool select_show(struct select *s, const struct selected *job)
{
    const struct job_row row = {.queue = s->keys.queue,
                                .state = select_set_name(s->set),
                                .element = job->element,
                                .job = job->job,
                                .at_ms = job->at_ms,
                                .why = job->why};

    select_done(s, job, false);
    return job_rows_print(s->rows, &row);
}

static int show(struct select *s, const struct selected *jobs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!select_show(s, &jobs[i]))
            return EX_IOERR; /* told in the end */
    }
    return 0;
}

static int act(struct select *s, struct selected *jobs, unsigned n)
{
    int status = 0;

    if (n > 0)
        status = s->o->dry_run || !s->plan->act ? show(s, jobs, n)
                                                : s->plan->act(s, jobs, n);
    for (unsigned i = 0; i < n; i++)
        job_free(jobs[i].job);
    if (n > 0 && status == 0 && !s->rows)
        keep_rate(s, n);
    return status;
}

/* A tenth of a second's worth, so that a rate is one. */
static unsigned batch_size(const struct select *s)
{
    int64_t n = s->per_second / 10;

    if (s->per_second == 0 || n > WALK_PAGE_MAX)
        return WALK_PAGE_MAX;
    return n < 1 ? 1 : (unsigned)n;
}

/* ---- which ones ---- */

static int compare(const void *a, const void *b)
{
    const struct wanted *one = a, *other = b;
    int order = strcmp(one->name.queue, other->name.queue);

    return order != 0 ? order : strcmp(one->name.id, other->name.id);
}

static bool is_wanted(const struct select *s, struct wanted_list *list,
                      const char *id)
{
    struct wanted key = {0};

    memcpy(key.name.queue, s->keys.queue, sizeof(key.name.queue));
    memcpy(key.name.id, id, strlen(id) + 1);
    struct wanted *w =
        bsearch(&key, list->all, list->count, sizeof(key), compare);
    if (w && !w->found) {
        w->found = true;
        list->unfound--;
    }
    return w != NULL;
}

int64_t select_came_at(enum queue_set set, const struct job *job, int64_t at_ms)
{
    if (set == QUEUE_DEAD)
        return at_ms;
    if (!job)
        return -1;
    if (set == QUEUE_RETRY)
        return filter_failed_at(job);
    return job->created_at_ms > 0 ? job->created_at_ms : -1;
}

static bool takes(const struct select *s, struct wanted_list *list,
                  const struct selected *job)
{
    int64_t at_ms = select_came_at(s->set, job->job, job->at_ms);

    if (list)
        return job->job && is_wanted(s, list, job->job->id);
    if (s->set != QUEUE_DEAD && at_ms > s->started_ms)
        return false; /* it came back */
    if (job->job)
        return filter_takes(&s->filter, job->job, at_ms);
    return !s->filter.type && !s->filter.error &&
           (!s->filter.timed || s->set == QUEUE_DEAD);
}

static bool at_limit(const struct select *s)
{
    return s->enough || (s->o->limit > 0 && s->matched >= s->o->limit);
}

void select_enough(struct select *s, const struct selected *job)
{
    s->enough = true;
    s->last = job->place;
}

/* Where a part ends if no other page follows. */
static void note_place(struct select *s, unsigned last)
{
    struct select_part *part = s->part;

    if (!part)
        return;
    part->looked += last + 1;
    for (unsigned i = 0; i <= last; i++)
        part->bytes += walk_at(s->walk, i)->member.len;
    walk_place(s->walk, last, &part->place);
}

static int act_on_page(struct select *s, struct wanted_list *list, unsigned n)
{
    struct selected jobs[WALK_PAGE_MAX];
    unsigned count = 0, size = batch_size(s), i;
    int status = 0;

    for (i = 0; i < n && status == 0 && !at_limit(s); i++) {
        const struct walked *w = walk_at(s->walk, i);
        struct selected *job = &jobs[count];
        struct errbuf eb = {""};
        *job = (struct selected){
            .element = w->member, .at_ms = w->at_ms, .place = i};
        job->job = job_of(w->member, &eb);
        snprintf(job->why, sizeof(job->why), "%.100s", eb.text);
        if (!takes(s, list, job)) {
            job_free(job->job);
            continue;
        }
        s->matched++;
        if (++count == size) {
            status = act(s, jobs, count);
            count = 0;
        }
    }
    int rest = act(s, jobs, status == 0 ? count : 0);
    if (i > 0)
        note_place(s, s->enough ? s->last : i - 1);
    return status != 0 ? status : rest;
}

/* Whether a part has looked at what it may. */
static bool is_over(const struct select_part *part)
{
    return part &&
           (part->looked >= part->look_max || part->bytes >= part->bytes_max);
}

int select_walk_set(struct select *s, struct wanted_list *list,
                    enum queue_set set)
{
    bool timed = !list && set == QUEUE_DEAD;
    unsigned n = 1;
    int status = 0;

    s->set = set;
    s->walk = walk_new(s->client, queue_set_key(&s->keys, set), s->plan->down,
                       timed ? s->filter.since_ms : INT64_MIN,
                       timed ? s->filter.until_ms : INT64_MAX);
    if (s->part && s->part->go_on && !walk_go_on(s->walk, &s->part->place))
        n = 0;
    for (int64_t seen = 0; status == 0 && n > 0 && !at_limit(s); seen += n) {
        /* Snoozed jobs that come back and back do not look new. Not too near,
         * or what is new in front would take the places of the last ones. */
        if (seen > 0 && seen >= 2 * walk_total(s->walk) + MORE_SEEN)
            break;
        if ((list && list->unfound == 0) || is_over(s->part))
            break;
        status = walk_next(s->walk, &n);
        if (status == 0)
            status = act_on_page(s, list, n);
    }
    if (s->part)
        s->part->more = status == 0 && n > 0 && !(list && list->unfound == 0) &&
                        (at_limit(s) || is_over(s->part));
    walk_free(s->walk);
    s->walk = NULL;
    return status;
}

/* Those of one queue, which are n from the i-th. */
static int run_some(struct wanted_list *list, size_t i, size_t n)
{
    struct select *s = list->s;
    int status = 0, only = s->o->state ? select_find_set(s->o->state) : -1;

    keys_init(&s->keys, s->o->ns, list->all[i].name.queue);
    list->unfound = n;
    for (int set = 0; set < SELECT_SETS && status == 0; set++) {
        if ((only < 0 || only == set) && list->unfound > 0)
            status = select_walk_set(s, list, (enum queue_set)set);
    }
    if (s->part && s->part->more)
        return status; /* they may lie behind it */
    for (size_t j = i; j < i + n && status == 0; j++) {
        if (!list->all[j].found && !at_limit(s))
            status = tell_missing(s, list->all[j].name.id);
    }
    return status;
}

/* Sorted, and each of them once. */
static void tidy(struct wanted_list *list)
{
    size_t kept = 0;

    if (list->count > 0)
        qsort(list->all, list->count, sizeof(*list->all), compare);
    for (size_t i = 0; i < list->count; i++) {
        if (kept == 0 || compare(&list->all[kept - 1], &list->all[i]) != 0)
            list->all[kept++] = list->all[i];
    }
    list->count = kept;
}

int select_wanted(struct wanted_list *list)
{
    int status = 0;
    size_t n;

    tidy(list);
    for (size_t i = 0; i < list->count && status == 0; i += n) {
        const char *queue = list->all[i].name.queue;
        n = 1;
        while (i + n < list->count &&
               strcmp(list->all[i + n].name.queue, queue) == 0)
            n++;
        status = run_some(list, i, n);
    }
    list->count = 0;
    return status;
}

/* ---- a part of a set ---- */

int select_part(struct select *s, struct select_part *part)
{
    s->part = part;
    return select_walk_set(s, NULL, s->set);
}

int select_part_ids(struct select *s, const char *const *ids, size_t n,
                    struct select_part *part)
{
    struct wanted_list list = {.s = s,
                               .all = mem_new((n + 1) * sizeof(struct wanted))};

    s->part = part;
    for (size_t i = 0; i < n; i++) {
        struct job_name *name = &list.all[list.count++].name;
        memcpy(name->queue, s->keys.queue, sizeof(name->queue));
        snprintf(name->id, sizeof(name->id), "%s", ids[i]);
    }
    int status = select_wanted(&list);
    free(list.all);
    return status;
}
