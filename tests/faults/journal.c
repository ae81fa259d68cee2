/*
 * Replaying the journal: the files, the world and the accountant together.
 *
 *     journal_read ──transactions──► journal_world ──changes──► journal_account
 *      (files)                        (journal_verbs) (journal_judge)
 *
 * Thread: the test's.
 */
#include "tests/faults/journal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/faults/journal_account.h"

struct journal {
    struct journal_files *files; /* owned: all texts point into them */
    struct account account;
};

struct journal *journal_replay(const char *dir, const char *queue,
                               unsigned allowed, FILE *out)
{
    struct journal *j = mem_new(sizeof(*j));
    const struct transaction *t;
    j->files = read_open(dir);
    account_init(&j->account, queue, allowed, out);
    while ((t = read_next(j->files)) != NULL) {
        j->account.report.transaction = t->number;
        for (size_t i = 0; i < t->count; i++)
            world_apply(&j->account.world, &t->commands[i]);
        account_transaction(&j->account);
    }
    return j;
}

void journal_free(struct journal *j)
{
    if (j == NULL)
        return;
    account_done(&j->account);
    read_close(j->files);
    free(j);
}

struct breaches journal_breaches(const struct journal *j)
{
    return j->account.report.breaches;
}

uint64_t journal_breach_count(const struct journal *j)
{
    const struct breaches *b = &j->account.report.breaches;
    return b->lost + b->twice + b->settled_twice + b->unleased + b->miscounted +
           b->order + b->altered + b->fences + b->outlived + b->unknown;
}

uint64_t journal_left(const struct journal *j)
{
    const struct key *k;
    uint64_t n = 0;
    size_t at = 0;
    while ((k = index_next(&j->account.world.keys, &at)) != NULL) {
        if (key_holds_jobs(k) && k->role != ROLE_DEAD)
            n += k->len + k->members.count;
    }
    return n;
}

struct moves journal_moves(const struct journal *j)
{
    return j->account.total;
}

size_t journal_jobs(const struct journal *j)
{
    return j->account.job_count;
}

const struct job_history *journal_job(const struct journal *j, size_t i)
{
    return &j->account.jobs[i]->h;
}

const struct job_history *journal_find(const struct journal *j, const char *id)
{
    const struct job *job =
        index_get(&j->account.by_id, (struct text){id, strlen(id)});
    return job != NULL ? &job->h : NULL;
}

int64_t journal_stat(const struct journal *j, const char *field)
{
    const struct key *stats = j->account.world.stats_key;
    for (size_t i = 0; i < stats->field_count; i++) {
        if (text_is(stats->fields[i].field, field))
            return stats->fields[i].n;
    }
    return 0;
}
