/*
 * Remove: jobs out of a set for good.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/remove.h"

#include <sysexits.h>

#include "common/job/unique.h"

struct batch {
    struct select *s; /* borrowed */
    const struct selected *jobs;
    unsigned n;
    bool answered;
    int status;
};

static void on_removed(void *arg, int err, const struct reply *r);

static void on_removed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct errbuf eb = {""};
    int64_t removed;
    int rc = queue_remove_result(err, r, &removed, &eb);

    b->answered = true;
    if (rc != 0) {
        b->status = select_fail(b->s, rc, &eb, b->n);
        return;
    }
    /* Those that were gone already are no less gone. */
    b->s->done += removed;
    for (unsigned i = 0; i < b->n; i++)
        walk_gone(b->s->walk, b->jobs[i].place);
}

int remove_jobs(struct select *s, const struct selected *jobs, unsigned n)
{
    struct remove_job removes[WALK_PAGE_MAX];
    struct unique uniques[WALK_PAGE_MAX];
    struct batch b = {.s = s, .jobs = jobs, .n = n};

    for (unsigned i = 0; i < n; i++) {
        const struct job *job = jobs[i].job;
        removes[i] = (struct remove_job){.member = jobs[i].element, .id = ""};
        if (!job || job->id[0] == '\0')
            continue;
        removes[i].id = job->id;
        removes[i].keep_ms = job->keep_ms;
        if (job->unique.p &&
            unique_parse(job->unique, &uniques[i], NULL) == 0 &&
            uniques[i].until != UNIQUE_TIME)
            removes[i].unique = uniques[i].key;
    }
    int rc = queue_remove(client_conn(s->client), &s->keys, s->set, false,
                          removes, n, on_removed, &b);
    int status = select_wait(s, rc, &b.answered);
    return status != 0 ? status : b.status;
}
