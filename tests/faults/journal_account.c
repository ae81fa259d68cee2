/*
 * Who is who: finds for each element that came the job that it is, and for
 * each that left where it went.
 *
 * A job is known by its serial, or by its id. Before it is stamped it has
 * none, and is followed by what stands behind the stamp: the k-th that left
 * with these bytes is the k-th that came with them.
 *
 * Thread: the test's.
 */
#include "tests/faults/journal_account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

void account_init(struct account *a, const char *queue, unsigned allowed,
                  FILE *out)
{
    *a = (struct account){.report = {.out = out}, .allowed = allowed};
    world_init(&a->world, queue, &a->report);
}

void account_done(struct account *a)
{
    world_done(&a->world);
    index_done(&a->by_serial);
    index_done(&a->by_id);
    for (size_t i = 0; i < a->job_count; i++)
        free(a->jobs[i]);
    free(a->jobs);
    free(a->numbered);
}

const char *job_shown(const struct job *j, char out[SHOWN_MAX])
{
    if (j->h.serial != 0)
        (void)snprintf(out, SHOWN_MAX, "job %llu",
                       (unsigned long long)j->h.serial);
    else if (j->h.id[0] != '\0')
        (void)snprintf(out, SHOWN_MAX, "job %s", j->h.id);
    else
        (void)snprintf(out, SHOWN_MAX, "a job without id");
    return out;
}

/* ---- identity ---- */

static struct text serial_key(const uint64_t *serial)
{
    return (struct text){(const char *)serial, sizeof(*serial)};
}

static struct job *known(const struct account *a, const struct envelope *e)
{
    if (e->serial != 0)
        return index_get(&a->by_serial, serial_key(&e->serial));
    return e->id.p != NULL ? index_get(&a->by_id, e->id) : NULL;
}

/* The job has such an envelope now. */
static void learn(struct account *a, struct job *j, const struct envelope *e)
{
    if (e->id.p == NULL || e->invalid)
        return;
    if (j->h.id[0] == '\0')
        memcpy(j->h.id, e->id.p, e->id.len);
    struct job *named = index_get(&a->by_id, e->id);
    char name[SHOWN_MAX];
    if (named == NULL)
        index_put(&a->by_id, e->id, j);
    else if (named != j && named->alive > 0 && j->h.moves.pushed == 0)
        report_breach(&a->report, &a->report.breaches.twice,
                      "twice: %s has the id of another", job_shown(j, name));
}

static struct job *job_new(struct account *a, const struct envelope *e)
{
    struct job *j = mem_new(sizeof(*j));
    j->h.serial = e->serial;
    if (e->serial != 0)
        index_put(&a->by_serial, serial_key(&j->h.serial), j);
    if (a->job_count == a->job_cap) {
        a->job_cap = a->job_cap > 0 ? 2 * a->job_cap : 1024;
        a->jobs = mem_resize(a->jobs, a->job_cap * sizeof(struct job *));
    }
    a->jobs[a->job_count++] = j;
    return j;
}

/* ---- matching ---- */

static bool is_departure(const struct change *c)
{
    return !c->came && c->element->job != NULL;
}

static bool is_arrival(const struct change *c)
{
    return c->came && c->how != HOW_RENAMED;
}

static void queue_departures(struct account *a)
{
    for (size_t i = 0; i < a->world.change_count; i++) {
        struct change *c = &a->world.changes[i];
        if (!is_departure(c))
            continue;
        struct job *j = c->element->job;
        *(j->gone != NULL ? &j->gone_last->next : &j->gone) = c;
        j->gone_last = c;
        j->gone_count++;
    }
}

static void match(struct change *from, struct change *to)
{
    from->matched = to->matched = true;
    to->other = from;
    from->other = to;
    to->element->job = from->element->job;
}

/* The first place that the job left and that has no match yet. */
static struct change *departure_of(struct job *j)
{
    while (j->gone != NULL && j->gone->matched)
        j->gone = j->gone->next;
    return j->gone;
}

static bool could_be(const struct change *from, const struct change *to)
{
    const struct envelope *e = &to->element->envelope;
    if (from->matched || !is_departure(from))
        return false;
    if (e->invalid)
        return envelope_is_raw(e->raw, from->element->bytes);
    return envelope_same_core(from->element->bytes, to->element->bytes);
}

/* Goes on where the last match was, since they are in the same order. */
static struct change *departure_like(struct account *a, const struct change *to)
{
    struct world *w = &a->world;
    size_t n = w->change_count;
    size_t at = a->matched != NULL ? (size_t)(a->matched - w->changes) + 1 : 0;
    for (size_t i = 0; i < n; i++) {
        struct change *from = &w->changes[(at + i) % n];
        if (could_be(from, to)) {
            a->matched = from;
            return from;
        }
    }
    return NULL;
}

/* Whether a departure is left for those that cannot be told by a name. */
static bool has_unmatched(const struct account *a)
{
    for (size_t i = 0; i < a->world.change_count; i++) {
        const struct change *c = &a->world.changes[i];
        if (is_departure(c) && !c->matched)
            return true;
    }
    return false;
}

/* Whose payload in scheduled this is from now on, or NULL. */
static struct job *replaced(struct account *a, const struct change *to)
{
    const struct envelope *e = &to->element->envelope;
    struct job *j = NULL;
    if (to->role == ROLE_SCHEDULED && e->id.p != NULL)
        j = index_get(&a->by_id, e->id);
    const struct change *from = j != NULL ? departure_of(j) : NULL;
    if (from == NULL || from->role != ROLE_SCHEDULED)
        return NULL;
    if (j->h.serial != 0)
        (void)index_remove(&a->by_serial, serial_key(&j->h.serial));
    j->h.serial = e->serial;
    if (j->h.serial != 0)
        index_put(&a->by_serial, serial_key(&j->h.serial), j);
    return j;
}

static void match_by_name(struct account *a)
{
    for (size_t i = 0; i < a->world.change_count; i++) {
        struct change *c = &a->world.changes[i];
        if (!is_arrival(c))
            continue;
        struct job *j = c->element->job;
        struct job *named = known(a, &c->element->envelope);
        char name[SHOWN_MAX];
        if (j == NULL && named == NULL)
            named = replaced(a, c);
        if (j == NULL)
            c->element->job = j = named;
        else if (named != NULL && named != j)
            report_breach(&a->report, &a->report.breaches.altered,
                          "altered: %s got the bytes of another",
                          job_shown(j, name));
        struct change *from = j != NULL ? departure_of(j) : NULL;
        if (from != NULL)
            match(from, c);
    }
}

/* Those whose names nobody knew, in the order in which they came. */
static void match_by_bytes(struct account *a)
{
    bool some = has_unmatched(a);
    a->matched = NULL;
    for (size_t i = 0; some && i < a->world.change_count; i++) {
        struct change *c = &a->world.changes[i];
        if (!is_arrival(c) || c->element->job != NULL)
            continue;
        struct change *from = departure_like(a, c);
        if (from != NULL) {
            match(from, c);
            from->element->job->gone_count = 0; /* one of equal ones */
        }
    }
}

/* ---- a transaction ---- */

static void judge(struct account *a, struct change *c)
{
    struct element *e = c->element;
    if (c->how == HOW_RENAMED) {
        judge_rename(a, c);
        return;
    }
    if (e->job == NULL) /* it may have come twice now */
        e->job = known(a, &e->envelope);
    bool fresh = e->job == NULL;
    if (fresh)
        e->job = job_new(a, &e->envelope);
    learn(a, e->job, &e->envelope);
    if (c->matched)
        judge_move(a, c->other, c);
    else
        judge_arrival(a, c, fresh);
}

static void forget_departures(struct account *a)
{
    for (size_t i = 0; i < a->world.change_count; i++) {
        const struct change *c = &a->world.changes[i];
        if (!is_departure(c))
            continue;
        struct job *j = c->element->job;
        j->gone = j->gone_last = NULL;
        j->gone_count = 0;
    }
}

void account_transaction(struct account *a)
{
    struct world *w = &a->world;
    world_settle(w);
    a->now = (struct moves){0};
    a->evicted = 0;
    a->doubled = false;
    a->back = NULL;
    a->numbered_count = 0;
    a->push = judge_is_push(a);
    queue_departures(a);
    match_by_name(a);
    match_by_bytes(a);
    for (size_t i = 0; i < w->change_count; i++) {
        if (w->changes[i].came)
            judge(a, &w->changes[i]);
    }
    judge_departures(a);
    judge_outlived(a);
    judge_fences(a);
    judge_counters(a);
    forget_departures(a);
    world_forget(w);
}
