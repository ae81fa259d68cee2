/*
 * Job, moved: one job is cancelled, put into ready, or deleted.
 *
 * What the commands of the same names do to many jobs, of which the sets are
 * walked, is done here to one, which is looked for by its id.
 *
 * Thread: side threads.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "producer/cancel.h"
#include "producer/find.h"
#include "producer/remove.h"
#include "producer/requeue.h"
#include "producer/serve/job_answer.h"

enum { LOOKS = 2 }; /* jobs move: one look may miss one */

static const char *const no_names[] = {NULL};

/* ---- cancel ---- */

/* What is marked and nowhere to be seen will not come. */
static int look_everywhere(struct cancel *c)
{
    struct cancel_entry *e = &c->all[0];
    int status = 0;

    for (int i = 0; i < LOOKS && status == 0 && e->outcome == MARKED; i++) {
        status = cancel_look(c, e, PLACES_ALL);
        if (e->misses == 0)
            break;
    }
    if (status == 0 && e->outcome == MARKED && e->misses >= LOOKS) {
        e->outcome = NOT_FOUND;
        status = cancel_unmark(c, e);
    }
    return status;
}

/* What has ended needs no mark, so cancel_run does not ask for it again. */
static int ask_end(struct cancel *c)
{
    struct cancel_entry *e = &c->all[0];
    struct keys keys;

    keys_init(&keys, c->ns, e->name.queue);
    kept_done(&e->kept);
    kept_ask(c->client, &keys, e->name.id, &e->kept);
    return client_wait(c->client);
}

static void answer_cancel(struct answer *a, const struct request *r,
                          const struct cancel_entry *e)
{
    const char *state = e->kept.values[KEPT_state];

    switch (e->outcome) {
    case MARKED:
        answer_job_state(a, 202, r, "marked");
        break;
    case CANCELLED:
        answer_job_state(a, 200, r, "cancelled");
        break;
    case ENDED:
    case OVER:
        if (kept_is(&e->kept, "cancelled")) /* by another, or before */
            answer_job_state(a, 200, r, "cancelled");
        else
            answer_problem(a, 409, "conflict",
                           "%s/%s: it has ended already: %s", e->name.queue,
                           e->name.id,
                           state && kept_is_over(&e->kept) ? state : "dead");
        break;
    case NOT_FOUND:
        answer_no_job(a, r);
        break;
    }
}

void look_cancel(struct client *client, const struct request *r,
                 struct answer *a)
{
    struct cancel_entry e = {.outcome = MARKED};
    struct cancel c = {
        .ns = request_serve(r)->ns, .client = client, .all = &e, .count = 1};

    if (!request_check_query(r, no_names, a))
        return;
    request_job_name(r, &e.name);
    int status = cancel_run(&c);
    if (status == 0 && e.outcome == MARKED && !e.kept.values[KEPT_state])
        status = look_everywhere(&c);
    if (status == 0 && e.outcome == ENDED)
        status = ask_end(&c);
    if (status == 0)
        answer_cancel(a, r, &e);
    kept_done(&e.kept);
}

/* ---- requeue, delete ---- */

struct move {
    struct client *client; /* borrowed */
    const struct request *request;
    struct answer *answer;
    struct job_name name;
    struct keys keys;
    struct kept kept;
};

static const unsigned sets = PLACE_DEAD | PLACE_RETRY | PLACE_SCHEDULED;

static void on_left(struct select *s, const struct selected *job,
                    const char *why)
{
    const struct move *m = s->arg;
    bool locked = job->job != NULL && strstr(why, "unique key") != NULL;

    answer_problem(m->answer, 409, locked ? "held" : "conflict", "%s/%s: %s",
                   m->name.queue, m->name.id, why);
}

static enum queue_set set_of(enum place place)
{
    return place == PLACE_DEAD    ? QUEUE_DEAD
           : place == PLACE_RETRY ? QUEUE_RETRY
                                  : QUEUE_SCHEDULED;
}

/* Does it to a job that was found. Returns a status; *ret_done: it was there
 * still, or why it was left is the answer. */
static int act_on(struct move *m, const struct found *f, select_act act,
                  bool *ret_done)
{
    const struct select_plan plan = {.on_left = on_left};
    const struct selected job = {
        .element = {f->job->raw, f->job->raw_len},
        .job = f->job,
        .at_ms = f->at_ms,
    };
    struct select s = {.o = request_serve(m->request)->o,
                       .plan = &plan,
                       .client = m->client,
                       .keys = m->keys,
                       .set = set_of(f->place),
                       .arg = m};
    int status = act(&s, &job, 1);

    *ret_done = s.done > 0 || s.left > 0;
    return status;
}

static void tell_place(struct move *m, const char *place)
{
    answer_problem(m->answer, 409, "conflict",
                   "%s/%s: it is %s, neither dead nor waiting for a retry or "
                   "its time; POST .../cancel ends a job that is ready or "
                   "active",
                   m->name.queue, m->name.id, place);
}

/* It is in none of the sets. Where is it? */
static int answer_elsewhere(struct move *m)
{
    const char *state = m->kept.values[KEPT_state];
    struct found f = {0};
    int status = 0;

    if (state && kept_is_over(&m->kept)) {
        answer_problem(m->answer, 409, "conflict",
                       "%s/%s: it has ended already: %s", m->name.queue,
                       m->name.id, state);
        return 0;
    }
    if (state) { /* what was due has become ready, which nobody told */
        tell_place(m, kept_is(&m->kept, "active") ? state : "ready");
        return 0;
    }
    status = find_job(m->client, &m->keys, m->name.id,
                      PLACE_ACTIVE | PLACE_READY, PLACE_NONE, &f);
    if (status == 0 && f.job)
        tell_place(m, place_name(f.place));
    else if (status == 0)
        answer_no_job(m->answer, m->request);
    found_done(&f);
    return status;
}

static enum place likely(const struct kept *k)
{
    return kept_is(k, "scheduled") ? PLACE_SCHEDULED
           : kept_is(k, "retry")   ? PLACE_RETRY
           : kept_is(k, "dead")    ? PLACE_DEAD
                                   : PLACE_NONE;
}

/* Returns whether act was done to the job; else the answer says why not. */
static bool move(struct client *c, const struct request *r, struct answer *a,
                 select_act act)
{
    struct move m = {.client = c, .request = r, .answer = a};
    bool done = false;

    if (!request_check_query(r, no_names, a))
        return false;
    request_job_name(r, &m.name);
    keys_init(&m.keys, request_serve(r)->ns, m.name.queue);
    kept_ask(c, &m.keys, m.name.id, &m.kept);
    int status = client_wait(c);
    for (int i = 0; i < LOOKS && status == 0 && !done; i++) {
        struct found f;
        status = find_job(c, &m.keys, m.name.id, sets | PLACES_WHOLE,
                          likely(&m.kept), &f);
        bool found = f.job != NULL;
        if (status == 0 && found)
            status = act_on(&m, &f, act, &done);
        found_done(&f);
        if (!found)
            break;
    }
    if (status == 0 && !done)
        status = answer_elsewhere(&m);
    kept_done(&m.kept);
    return status == 0 && done && a->status == 0;
}

static int requeue(struct select *s, const struct selected *jobs, unsigned n)
{
    return requeue_jobs(s, jobs, n, NULL);
}

void look_requeue(struct client *c, const struct request *r, struct answer *a)
{
    if (move(c, r, a, requeue))
        answer_job_state(a, 200, r, "ready");
}

void look_delete(struct client *c, const struct request *r, struct answer *a)
{
    if (move(c, r, a, remove_jobs))
        a->status = 204;
}
