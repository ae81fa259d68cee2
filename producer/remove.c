/*
 * Remove: jobs out of a set for good, deleted or cancelled.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/remove.h"

#include <sysexits.h>

#include "common/job/unique.h"
#include "common/redis/queue_news.h"

struct batch {
    struct select *s; /* borrowed */
    const struct selected *jobs;
    unsigned n;
    bool answered;
    int status;
};

static void on_removed(void *arg, int err, const struct reply *r);
static void on_marked(void *arg, int err, const struct reply *r);

static void on_removed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct errbuf eb = {""};
    int64_t removed;
    int rc = queue_remove_result(err, r, &removed, &eb);

    b->answered = true;
    if (rc != 0) {
        b->status = client_tell_failed(b->s->client, rc, &eb, b->n);
        return;
    }
    /* Those that were gone already are no less gone. */
    b->s->done += removed;
    for (unsigned i = 0; i < b->n; i++)
        select_gone(b->s, &b->jobs[i]);
}

static int take_out(struct select *s, bool cancelled,
                    const struct selected *jobs, unsigned n)
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
        if (unique_ends_with_job(job->unique, &uniques[i]))
            removes[i].unique = uniques[i].key;
    }
    loop_role_assert();
    int rc = queue_remove(client_conn(s->client), &s->keys, s->set, cancelled,
                          removes, n, on_removed, &b);
    int status = client_await(s->client, rc, &b.answered);
    return status != 0 ? status : b.status;
}

int remove_jobs(struct select *s, const struct selected *jobs, unsigned n)
{
    return take_out(s, false, jobs, n);
}

/* ---- cancelling ---- */

static void on_marked(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct errbuf eb = {""};
    int64_t marks;
    int rc = queue_cancel_result(err, r, &marks, &eb);

    b->answered = true;
    if (rc != 0)
        b->status = client_tell_failed(b->s->client, rc, &eb, b->n);
}

int remove_mark(struct select *s, const char *const *ids, unsigned n)
{
    loop_role_assert();
    struct batch b = {.s = s, .n = n};
    int rc =
        queue_cancel(client_conn(s->client), &s->keys, ids, n, on_marked, &b);
    int status = client_await(s->client, rc, &b.answered);

    return status != 0 ? status : b.status;
}

int remove_cancelled(struct select *s, const struct selected *jobs, unsigned n)
{
    struct selected some[WALK_PAGE_MAX];
    const char *ids[WALK_PAGE_MAX];
    unsigned count = 0, marks = 0;
    int64_t before = s->done;
    int status = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct job *job = jobs[i].job;
        if (!job) {
            select_leave(s, &jobs[i], "no envelope");
            continue;
        }
        some[count++] = jobs[i];
        if (job->id[0] != '\0')
            ids[marks++] = job->id;
    }
    if (marks > 0)
        status = remove_mark(s, ids, marks);
    if (count > 0 && status == 0)
        status = take_out(s, true, some, count);
    if (status == 0 && s->done - before < count)
        client_tell(
            s->client, 0,
            "%s: %lld more were due meanwhile: marked, to be cancelled by "
            "the worker that has or gets them",
            s->keys.queue, (long long)(count - (s->done - before)));
    return status;
}
