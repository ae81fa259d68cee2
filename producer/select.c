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
#include "producer/connect.h"
#include "producer/select_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/ids.h"

enum {
    IDS_AT_ONCE = 10000,
    MORE_SEEN = 10000,
    TOLD_MAX = 20 /* jobs that are complained of one by one */
};

struct wanted {
    struct job_name name;
    bool found;
};

struct wanted_list {
    struct select *s;   /* borrowed */
    struct wanted *all; /* owned */
    size_t count;
    size_t unfound; /* of the queue that is under way */
};

static void on_time(void *arg, const struct reply *r);
static void on_late(evutil_socket_t fd, short what, void *arg);
static int on_name(void *arg, const struct job_name *name);

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
    else if (s->left <= TOLD_MAX)
        complain(s->o, "%s/%s: %s", s->keys.queue, id, why);
}

static int tell_missing(struct select *s, const char *id)
{
    if (s->plan->on_missing && !s->o->state && !s->o->dry_run)
        return s->plan->on_missing(s, id);
    if (++s->missing > TOLD_MAX)
        return 0;
    if (s->o->state)
        complain(s->o, "%s/%s: not in %s", s->keys.queue, id, s->o->state);
    else
        complain(s->o,
                 "%s/%s: neither dead nor waiting for a retry or its time",
                 s->keys.queue, id);
    return 0;
}

static const struct column *sum_columns(const char *past)
{
    static struct column columns[] = {{NULL, FOR_ALL, true},
                                      {"left", FOR_ALL, true},
                                      {"missing", FOR_ALL, true},
                                      {0}};

    columns[0].name = past;
    return columns;
}

static void tell_sum(const struct select *s)
{
    const char *past = s->plan->past;

    if (s->left > TOLD_MAX)
        complain(s->o, "%lld more like these", (long long)s->left - TOLD_MAX);
    if (s->missing > TOLD_MAX)
        complain(s->o, "%lld more were not found",
                 (long long)s->missing - TOLD_MAX);
    if (s->plan->quiet)
        return;
    if (s->o->dry_run) {
        complain(s->o, "%lld would be %s", (long long)s->done, past);
    } else if (s->o->format == OUT_TABLE) {
        printf("%lld %s", (long long)s->done, past);
        if (s->left > 0)
            printf(", %lld left", (long long)s->left);
        if (s->missing > 0)
            printf(", %lld not found", (long long)s->missing);
        putchar('\n');
    } else {
        struct out *out = out_new(s->o, sum_columns(past));
        out_int(out, s->done);
        out_int(out, s->left);
        out_int(out, s->missing);
        out_row(out);
        out_end(out);
    }
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

static int show(struct select *s, const struct selected *jobs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct selected *job = &jobs[i];
        const struct job_row row = {.queue = s->keys.queue,
                                    .state = select_set_name(s->set),
                                    .element = job->element,
                                    .job = job->job,
                                    .at_ms = job->at_ms,
                                    .why = job->why};
        if (!job_rows_print(s->rows, &row))
            return EX_IOERR; /* told in the end */
        select_done(s, job, false);
    }
    return 0;
}

static int act(struct select *s, struct selected *jobs, unsigned n)
{
    int status = 0;

    if (n > 0)
        status = s->rows ? show(s, jobs, n) : s->plan->act(s, jobs, n);
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
    return s->o->limit > 0 && s->matched >= s->o->limit;
}

static int act_on_page(struct select *s, struct wanted_list *list, unsigned n)
{
    struct selected jobs[WALK_PAGE_MAX];
    unsigned count = 0, size = batch_size(s);
    int status = 0;

    for (unsigned i = 0; i < n && status == 0 && !at_limit(s); i++) {
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
    return status != 0 ? status : rest;
}

/* One set of the queue. Of list, or by the filter. */
static int walk_set(struct select *s, struct wanted_list *list,
                    enum queue_set set)
{
    bool timed = !list && set == QUEUE_DEAD;
    unsigned n = 1;
    int status = 0;

    s->set = set;
    s->walk = walk_new(s->client, queue_set_key(&s->keys, set), s->plan->down,
                       timed ? s->filter.since_ms : INT64_MIN,
                       timed ? s->filter.until_ms : INT64_MAX);
    for (int64_t seen = 0; status == 0 && n > 0 && !at_limit(s); seen += n) {
        /* Snoozed jobs that come back and back do not look new. Not too near,
         * or what is new in front would take the places of the last ones. */
        if (seen > 0 && seen >= 2 * walk_total(s->walk) + MORE_SEEN)
            break;
        if (list && list->unfound == 0)
            break;
        status = walk_next(s->walk, &n);
        if (status == 0)
            status = act_on_page(s, list, n);
    }
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
            status = walk_set(s, list, (enum queue_set)set);
    }
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

static int run_list(struct wanted_list *list)
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

static int on_name(void *arg, const struct job_name *name)
{
    struct wanted_list *list = arg;

    list->all[list->count++] = (struct wanted){.name = *name};
    return list->count == IDS_AT_ONCE ? run_list(list) : 0;
}

static int run_ids(struct select *s)
{
    struct wanted_list list = {
        .s = s, .all = mem_new(IDS_AT_ONCE * sizeof(struct wanted))};
    int status = job_names_read(s->o, on_name, &list);

    if (status == 0 || status == EX_DATAERR) {
        int rest = run_list(&list);
        status = rest != 0 ? rest : status;
    }
    free(list.all);
    return status;
}

static int run_queues(struct select *s)
{
    int first = s->plan->waits ? QUEUE_RETRY : QUEUE_DEAD;
    int last = s->plan->waits ? QUEUE_SCHEDULED : QUEUE_DEAD;
    int status = 0;

    if (s->o->state)
        first = last = select_find_set(s->o->state);
    for (int i = 0; i < s->o->arg_count && status == 0; i++) {
        keys_init(&s->keys, s->o->ns, s->o->args[i]);
        for (int set = first; set <= last && status == 0; set++)
            status = walk_set(s, NULL, (enum queue_set)set);
    }
    return status;
}

/* ---- the command ---- */

static void on_time(void *arg, const struct reply *r)
{
    int64_t seconds, us;

    if (reply_int(reply_at(r, 0), &seconds) && reply_int(reply_at(r, 1), &us) &&
        seconds >= 0 && seconds <= QUEUE_COUNT_MAX / 1000)
        *(int64_t *)arg = seconds * 1000 + us / 1000;
}

static int ask_time(struct select *s)
{
    struct args a = {0};

    s->started_ms = clock_wall_ms();
    args_str(&a, "TIME");
    client_call(s->client, &a, on_time, &s->started_ms);
    args_done(&a);
    return client_wait(s->client);
}

int select_run(const struct options *o, const struct select_plan *plan,
               void *arg)
{
    struct select s = {.o = o, .plan = plan, .arg = arg};
    int status = select_check(&s);

    if (status == 0)
        status = client_open(o, &s.client);
    if (status != 0)
        return status;
    status = ask_time(&s);
    if (o->dry_run || !plan->act)
        s.rows = job_rows_new(o, o->arg_count > 1 || select_is_id(o->args[0]));
    if (status == 0)
        status = select_is_id(o->args[0]) ? run_ids(&s) : run_queues(&s);
    if (s.rows)
        job_rows_end(s.rows);
    tell_sum(&s);
    client_close(s.client);
    if (status == 0 && (s.left > 0 || s.missing > 0))
        status = 1;
    return status;
}
