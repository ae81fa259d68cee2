/*
 * Judging ends: what leaves without coming anywhere was done, cancelled,
 * removed or purged, and is counted so; and its lock, and its mark, go with it.
 *
 * Thread: the test's.
 */
#include <string.h>

#include "tests/faults/journal_account.h"

/* ---- what was counted ---- */

bool judge_is_left(const struct account *a, const char *field, uint64_t now)
{
    return now < (uint64_t)world_delta(&a->world, field);
}

bool judge_is_waiting(enum role role)
{
    return role == ROLE_RETRY || role == ROLE_SCHEDULED || role == ROLE_DEAD;
}

bool judge_counts(const struct account *a)
{
    bool stopped =
        a->allowed & JOURNAL_TWICE && (a->doubled || a->world.delta_count == 0);
    return world_counts(&a->world) && !stopped;
}

/* ---- departures ---- */

static void lose(struct account *a, const struct change *c)
{
    char name[SHOWN_MAX];
    BREACH(a, lost, "%s left %s and is nowhere",
           job_shown(c->element->job, name), role_name(c->role));
}

enum end { END_NOWHERE, END_DONE, END_DISCARDED, END_CANCELLED };

/*
 * Which of those that left an active list were done, discarded or cancelled
 * the journal does not say. Those whose mark went were cancelled; those that
 * others follow were done; those that others should have followed are taken to
 * be the last.
 */
static enum end end_of(const struct account *a, const struct change *c)
{
    const char *id = c->element->job->h.id;
    bool alone = c->followers == 0;
    bool others = alone && follow_expected(c) > 0 && judge_counts(a);
    bool cancelled = judge_is_left(a, "cancelled", a->now.cancelled);
    bool discarded = judge_is_left(a, "discarded", a->now.discarded);
    enum end undone = discarded   ? END_DISCARDED
                      : cancelled ? END_CANCELLED
                                  : END_NOWHERE;
    if (alone && cancelled &&
        world_unmarked(&a->world, (struct text){id, strlen(id)}))
        return END_CANCELLED;
    if (!others || undone == END_NOWHERE) {
        if (!judge_counts(a) || judge_is_left(a, "done", a->now.done))
            return END_DONE;
    }
    return undone;
}

static void judge_end(struct account *a, const struct change *c)
{
    struct job *j = c->element->job;
    char name[SHOWN_MAX];
    unsigned expected = follow_expected(c);
    judge_need_lease(a, c, "settled");
    j->ended = true;
    switch (end_of(a, c)) {
    case END_DONE:
        COUNT(a, j, done);
        if (c->followers < expected)
            BREACH(a, lost, "of %u jobs that follow %s %u came", expected,
                   job_shown(j, name), c->followers);
        break;
    case END_DISCARDED:
        COUNT(a, j, discarded);
        break;
    case END_CANCELLED:
        COUNT(a, j, cancelled);
        break;
    case END_NOWHERE:
        lose(a, c);
        return;
    }
    j->h.settled = j->alive == 0;
}

static void end_for_good(struct job *j)
{
    j->ended = true;
    j->h.settled = j->alive == 0;
}

/* Returns false if nothing was counted for it. */
static bool remove_job(struct account *a, const struct change *c)
{
    struct job *j = c->element->job;
    if (judge_is_left(a, "cancelled", a->now.cancelled))
        COUNT(a, j, cancelled);
    else if (judge_is_left(a, "removed", a->now.removed))
        COUNT(a, j, removed);
    else
        return false;
    j->alive -= c->role != ROLE_DEAD;
    end_for_good(j);
    return true;
}

static void judge_departure(struct account *a, const struct change *c)
{
    struct job *j = c->element->job;
    if (judge_is_waiting(c->role) && c->how == HOW_REMOVED && remove_job(a, c))
        return;
    if (c->role == ROLE_DEAD) {
        if (c->how == HOW_REMOVED && a->world.delta_count > 0 &&
            !judge_is_left(a, "dead_evicted", a->evicted))
            lose(a, c);
        else
            a->evicted += c->how == HOW_REMOVED;
        return;
    }
    j->alive--;
    if (c->role == ROLE_READY && c->how == HOW_REMOVED &&
        judge_is_left(a, "purged", a->now.purged)) {
        judge_leave_ready(a, j);
        COUNT(a, j, purged);
        end_for_good(j);
    } else if (c->role == ROLE_ACTIVE && c->how == HOW_REMOVED) {
        judge_end(a, c);
    } else if (c->role == ROLE_OUTBOX && c->how == HOW_REMOVED) {
        j->outbox--;
        COUNT(a, j, leaves);
        end_for_good(j);
    } else if (c->role == ROLE_READY && c->how == HOW_POPPED) {
        judge_leave_ready(a, j);
        COUNT(a, j, popped);
        j->popped++;
        a->popped++;
    } else {
        lose(a, c);
    }
}

/* In which order they are looked at: what is sure of them comes first. */
static unsigned turn_of(const struct account *a, const struct change *c)
{
    const char *id = c->element->job->h.id;
    if (c->followers > 0)
        return 0;
    if (world_unmarked(&a->world, (struct text){id, strlen(id)}))
        return 1;
    return follow_expected(c) > 0 ? 3 : 2;
}

void judge_departures(struct account *a)
{
    for (unsigned turn = 0; turn <= 3; turn++) {
        for (size_t i = 0; i < a->world.change_count; i++) {
            const struct change *c = &a->world.changes[i];
            if (!c->came && !c->matched && c->element->job != NULL &&
                turn_of(a, c) == turn)
                judge_departure(a, c);
        }
    }
}

/* ---- locks and marks ---- */

/* A mark may come too late for a job that is done all the same. */
static void judge_lock(struct account *a, struct job *j)
{
    struct text id = {j->h.id, strlen(j->h.id)};
    char name[SHOWN_MAX];
    if (!j->ended)
        return;
    j->ended = false;
    if (j->alive > 0 || id.len == 0)
        return;
    if (world_locks(&a->world, id))
        BREACH(a, outlived, "%s has ended, and holds a lock",
               job_shown(j, name));
    if (a->now.cancelled > 0 && j->h.moves.cancelled > 0 &&
        world_marks(&a->world, id))
        BREACH(a, outlived, "%s was cancelled, and is marked still",
               job_shown(j, name));
}

void judge_outlived(struct account *a)
{
    for (size_t i = 0; i < a->world.change_count; i++) {
        const struct change *c = &a->world.changes[i];
        if (c->element != NULL && c->element->job != NULL)
            judge_lock(a, c->element->job);
    }
}
