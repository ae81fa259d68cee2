/*
 * Cancel: marks, and what can be ended without a lane.
 *
 * Thread: that of the client.
 */
#include "producer/cancel.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/job/unique.h"
#include "common/redis/queue_admin.h"
#include "common/redis/queue_news.h"
#include "producer/element.h"
#include "producer/find.h"
#include "producer/walk.h"

enum {
    AT_ONCE = 100,
    FEW = 3, /* of one queue, which are looked for one by one */
    MORE_SEEN = 10000
};

/* A call of a script, and what became of it. */
struct call {
    struct cancel *c; /* borrowed */
    bool answered;
    int status;
    int64_t n;
    int (*result)(int err, const struct reply *r, int64_t *ret,
                  struct errbuf *eb);
};

static void on_answer(void *arg, int err, const struct reply *r);
static void on_nothing(void *arg, const struct reply *r);

/* ---- calls ---- */

static void on_answer(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct call *call = arg;
    struct errbuf eb = {""};
    int rc = call->result(err, r, &call->n, &eb);

    call->answered = true;
    if (rc != 0)
        call->status = client_tell_failed(call->c->client, rc, &eb, 0);
}

static int wait_answer(struct call *call, int rc)
{
    int status = client_await(call->c->client, rc, &call->answered);

    return status != 0 ? status : call->status;
}

/* Marks those from i on that are of one queue; *i is then behind them. */
static int mark_some(struct cancel *c, size_t *i)
{
    struct call call = {.c = c, .result = queue_cancel_result};
    const char *ids[AT_ONCE];
    struct cancel_entry *first = &c->all[*i];
    struct keys keys;
    unsigned n = 0;

    for (; *i < c->count && n < AT_ONCE; ++*i) {
        struct cancel_entry *e = &c->all[*i];
        if (strcmp(e->name.queue, first->name.queue) != 0)
            break;
        if (e->outcome != MARKED)
            continue;
        e->marked = true;
        ids[n++] = e->name.id;
    }
    loop_role_assert();
    keys_init(&keys, c->ns, first->name.queue);
    return wait_answer(&call, queue_cancel(client_conn(c->client), &keys, ids,
                                           n, on_answer, &call));
}

static void on_nothing(void *arg, const struct reply *r)
{
    (void)arg;
    (void)r;
}

int cancel_unmark(struct cancel *c, struct cancel_entry *e)
{
    struct keys keys;
    struct args a = {0};

    keys_init(&keys, c->ns, e->name.queue);
    args_str(&a, "ZREM");
    args_str(&a, keys.cancelled);
    args_str(&a, e->name.id);
    client_call(c->client, &a, on_nothing, NULL);
    args_clear(&a);
    args_str(&a, "HINCRBY"); /* lanes are to read the marks anew */
    args_str(&a, keys.config);
    args_str(&a, "cancelled_version");
    args_int(&a, 1);
    client_call(c->client, &a, on_nothing, NULL);
    args_done(&a);
    e->marked = false;
    return client_wait(c->client);
}

/* Takes a job that was found out of its set, if it still is there. */
static int take_out(struct cancel *c, struct cancel_entry *e,
                    const struct found *f)
{
    struct call call = {.c = c, .result = queue_remove_result};
    struct remove_job one = {.member = {f->job->raw, f->job->raw_len},
                             .id = f->job->id,
                             .keep_ms = f->job->keep_ms};
    struct unique unique;
    struct keys keys;

    if (unique_ends_with_job(f->job->unique, &unique))
        one.unique = unique.key;
    loop_role_assert();
    keys_init(&keys, c->ns, e->name.queue);
    int status = wait_answer(
        &call,
        queue_remove(client_conn(c->client), &keys,
                     f->place == PLACE_RETRY ? QUEUE_RETRY : QUEUE_SCHEDULED,
                     true, &one, 1, on_answer, &call));
    if (status == 0 && call.n > 0) {
        e->outcome = CANCELLED;
        e->marked = false; /* the script did that */
    }
    return status;
}

/* ---- looking for them ---- */

int cancel_conclude(struct cancel *c, struct cancel_entry *e)
{
    if (kept_is(&e->kept, "cancelled"))
        e->outcome = CANCELLED;
    else if (kept_is_over(&e->kept))
        e->outcome = ENDED;
    else if (!e->marked)
        e->outcome = OVER;
    return e->marked && e->outcome != MARKED ? cancel_unmark(c, e) : 0;
}

int cancel_look(struct cancel *c, struct cancel_entry *e, unsigned places)
{
    enum place first = kept_is(&e->kept, "scheduled") ? PLACE_SCHEDULED
                       : kept_is(&e->kept, "retry")   ? PLACE_RETRY
                                                      : PLACE_NONE;
    struct found f;
    struct keys keys;

    keys_init(&keys, c->ns, e->name.queue);
    int status = find_job(c->client, &keys, e->name.id, places, first, &f);
    bool dead = f.job && f.place == PLACE_DEAD;
    e->misses = f.job || f.cut ? 0 : e->misses + 1;
    if (status == 0 && f.job &&
        (f.place == PLACE_SCHEDULED || f.place == PLACE_RETRY))
        status = take_out(c, e, &f);
    found_done(&f);
    if (status == 0 && dead) {
        e->outcome = ENDED;
        status = cancel_unmark(c, e);
    }
    return status;
}

static int ask_kept(struct cancel *c, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++) {
        struct cancel_entry *e = &c->all[i];
        struct keys keys;
        kept_done(&e->kept);
        if (e->outcome != MARKED)
            continue;
        keys_init(&keys, c->ns, e->name.queue);
        kept_ask(c->client, &keys, e->name.id, &e->kept);
    }
    return client_wait(c->client);
}

size_t cancel_chunk(const struct cancel *c, size_t from)
{
    return c->count - from < AT_ONCE ? c->count - from : AT_ONCE;
}

static int compare(const void *a, const void *b)
{
    const struct job_name *one = &(*(struct cancel_entry *const *)a)->name;
    const struct job_name *other = &(*(struct cancel_entry *const *)b)->name;
    int order = strcmp(one->queue, other->queue);

    return order != 0 ? order : strcmp(one->id, other->id);
}

/* Ends the job of a set that is one of these n, which are sorted. */
static int end_if_wanted(struct cancel *c, struct cancel_entry **all, size_t n,
                         enum place place, struct job *job, bool *gone)
{
    struct cancel_entry one = {.name = all[0]->name}, *key = &one;
    struct found f = {.place = place};

    memcpy(one.name.id, job->id, sizeof(one.name.id));
    struct cancel_entry **e = (struct cancel_entry **)bsearch(
        (const void *)&key, (const void *)all, n, sizeof(*all), compare);
    if (!e || (*e)->outcome != MARKED)
        return 0;
    f.job = job;
    if (place != PLACE_DEAD) {
        int status = take_out(c, *e, &f);
        *gone = status == 0 && (*e)->outcome == CANCELLED;
        return status;
    }
    (*e)->outcome = ENDED;
    return cancel_unmark(c, *e);
}

/* The same as cancel_look for many of one queue: each set is read once. */
static int walk_set(struct cancel *c, struct cancel_entry **all, size_t n,
                    enum place place, const char *key)
{
    struct walk *w = walk_new(c->client, key, false, INT64_MIN, INT64_MAX);
    unsigned page = 1;
    int status = 0;

    for (int64_t seen = 0; status == 0 && page > 0; seen += page) {
        if (seen > 0 && seen >= 2 * walk_total(w) + MORE_SEEN)
            break; /* what was snoozed comes back and back */
        status = walk_next(w, &page);
        for (unsigned i = 0; i < page && status == 0; i++) {
            struct errbuf eb;
            struct job *job = job_of(walk_at(w, i)->member, &eb);
            bool gone = false;
            if (job)
                status = end_if_wanted(c, all, n, place, job, &gone);
            if (gone)
                walk_gone(w, i);
            job_free(job);
        }
    }
    walk_free(w);
    return status;
}

/* Some of one queue, sorted. */
static int look_for_some(struct cancel *c, struct cancel_entry **all, size_t n)
{
    struct keys keys;
    int status = 0;

    if (n > FEW) {
        keys_init(&keys, c->ns, all[0]->name.queue);
        status = walk_set(c, all, n, PLACE_SCHEDULED, keys.scheduled);
        if (status == 0)
            status = walk_set(c, all, n, PLACE_RETRY, keys.retry);
        return status != 0 ? status
                           : walk_set(c, all, n, PLACE_DEAD, keys.dead);
    }
    for (size_t i = 0; i < n && status == 0; i++)
        status = cancel_look(c, all[i],
                             PLACE_SCHEDULED | PLACE_RETRY | PLACE_DEAD |
                                 PLACES_WHOLE);
    return status;
}

/* Their sets to the end: a mark runs out before many a job is due. */
static int look_for_all(struct cancel *c)
{
    struct cancel_entry **all = mem_new((c->count + 1) * sizeof(*all));
    size_t count = 0, n;
    int status = 0;

    for (size_t i = 0; i < c->count && status == 0; i += AT_ONCE) {
        status = ask_kept(c, i, cancel_chunk(c, i));
        for (size_t j = i; j < i + cancel_chunk(c, i) && status == 0; j++) {
            struct cancel_entry *e = &c->all[j];
            if (e->outcome == MARKED && kept_is_over(&e->kept))
                status = cancel_conclude(c, e);
            else if (e->outcome == MARKED)
                all[count++] = e;
        }
    }
    qsort((void *)all, count, sizeof(*all), compare);
    for (size_t i = 0; i < count && status == 0; i += n) {
        for (n = 1; i + n < count; n++) {
            if (strcmp(all[i + n]->name.queue, all[i]->name.queue) != 0)
                break;
        }
        status = look_for_some(c, all + i, n);
    }
    free((void *)all);
    return status;
}

/* The queues of those of which only the id was said. */
static int find_queues(struct cancel *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct cancel_entry *e = &c->all[i];
        if (e->name.queue[0] != '\0')
            continue;
        int status = find_queue(c->client, c->ns, &e->name);
        if (status != 0)
            return status;
        if (e->name.queue[0] == '\0')
            e->outcome = NOT_FOUND;
    }
    return 0;
}

/* What has ended already needs no mark, which would outlive the command. */
static int find_ended(struct cancel *c)
{
    int status = 0;

    for (size_t i = 0; i < c->count && status == 0; i += AT_ONCE) {
        size_t n = cancel_chunk(c, i);
        status = ask_kept(c, i, n);
        for (size_t j = i; j < i + n && status == 0; j++) {
            if (kept_is_over(&c->all[j].kept))
                c->all[j].outcome = ENDED;
        }
    }
    return status;
}

static int mark_all(struct cancel *c)
{
    int status = 0;

    for (size_t i = 0; i < c->count && status == 0;) {
        if (c->all[i].outcome != MARKED)
            i++;
        else
            status = mark_some(c, &i);
    }
    return status;
}

int cancel_run(struct cancel *c)
{
    int status = find_queues(c);

    if (status == 0)
        status = find_ended(c);
    if (status == 0)
        status = mark_all(c);
    if (status == 0)
        status = look_for_all(c);
    return status;
}
