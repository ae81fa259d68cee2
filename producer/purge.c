/*
 * Purge: the jobs of a queue away, for good.
 *
 *     read the head ──► export, to the disk ──► purge, if it is still the head
 *
 * A job is on the disk before it goes, and goes only if it is one of those
 * that were read. What workers took meanwhile is found out by the script: the
 * lines are taken back and the head is read again. Whatever dies on the way,
 * at worst a job is in the file and in the queue.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/purge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/job/unique.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/export.h"
#include "producer/remove.h"

enum {
    BATCH_FIRST = 20,
    BATCH_MAX = 200,   /* bounds one script's time inside Redis */
    CHANGED_MAX = 1000 /* in a row: then workers are faster */
};
#define BATCH_BYTES ((size_t)1 << 20)

struct head {
    struct buf bytes;
    struct {
        size_t start, len;
    } jobs[BATCH_MAX];
    unsigned n;
};

struct purge {
    const struct options *o; /* borrowed */
    FILE *file;              /* owned: of --export; else NULL */
    int file_errno;          /* of the first write that failed; 0: none */
    struct client *client;   /* owned */
    struct keys keys;
    struct head head;
    int64_t length; /* of ready when it began: later ones are left */
    int64_t done;
    bool answered, changed;
    int status;
};

static void on_length(void *arg, const struct reply *r);
static void on_head(void *arg, const struct reply *r);
static void on_purged(void *arg, int err, const struct reply *r);

/* ---- the file ---- */

static int open_file(struct purge *p)
{
    const char *path = p->o->export_to;

    if (!path)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    p->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (p->file)
        return 0;
    return fail(p->o, EX_CANTCREAT, "--export: %s: %s", path, strerror(errno));
}

/* That it failed is told by sync_file: a later flush may well succeed. */
static void write_job(struct purge *p, struct bytes element,
                      const struct job *job, const char *why)
{
    if (p->file && p->file_errno == 0 &&
        !export_job(p->file, element, job, why))
        p->file_errno = errno != 0 ? errno : EIO;
}

/* What was written is on the disk, all of it. */
static int sync_file(struct purge *p)
{
    errno = p->file_errno;
    if (!p->file ||
        (errno == 0 && fflush(p->file) == 0 && fsync(fileno(p->file)) == 0))
        return 0;
    return fail(p->o, EX_IOERR, "--export: %s: %s", p->o->export_to,
                strerror(errno));
}

/* Takes back the lines behind this place: their jobs are in the queue. */
static int cut_file(struct purge *p, long place)
{
    if (!p->file || (fseek(p->file, place, SEEK_SET) == 0 &&
                     ftruncate(fileno(p->file), place) == 0))
        return 0;
    return fail(p->o, EX_IOERR, "--export: %s: %s", p->o->export_to,
                strerror(errno));
}

static int close_file(struct purge *p, int status)
{
    if (p->file && fclose(p->file) != 0 && status == 0)
        status = fail(p->o, EX_IOERR, "--export: %s: %s", p->o->export_to,
                      strerror(errno));
    return status;
}

/* ---- sets ---- */

static int act(struct select *s, const struct selected *jobs, unsigned n)
{
    struct purge *p = s->arg;
    int64_t before = s->done;

    for (unsigned i = 0; i < n; i++)
        write_job(p, jobs[i].element, jobs[i].job, jobs[i].why);
    int status = sync_file(p);
    if (status == 0)
        status = remove_jobs(s, jobs, n);
    p->done += s->done - before;
    return status;
}

static int purge_set(struct purge *p, const char *state)
{
    static const struct select_plan plan = {
        .verb = "purge", .past = "purged", .quiet = true, .act = act};
    struct options o = *p->o;

    o.state = state;
    o.all = true;
    return select_run(&o, &plan, p);
}

/* ---- ready ---- */

static void on_length(void *arg, const struct reply *r)
{
    (void)reply_int(r, arg);
}

static void on_head(void *arg, const struct reply *r)
{
    struct head *h = arg;

    h->n = 0;
    buf_clear(&h->bytes);
    for (size_t i = 0; i < reply_len(r) && h->n < BATCH_MAX; i++) {
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, i), &p, &n))
            break;
        h->jobs[h->n].start = h->bytes.len;
        h->jobs[h->n++].len = n;
        buf_append(&h->bytes, p, n);
    }
}

static int read_head(struct purge *p, int64_t n)
{
    struct args a = {0};

    args_str(&a, "LRANGE");
    args_str(&a, p->keys.ready);
    args_int(&a, 0);
    args_int(&a, n - 1);
    client_call(p->client, &a, on_head, &p->head);
    args_done(&a);
    return client_wait(p->client);
}

static void on_purged(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct purge *p = arg;
    struct errbuf eb = {""};
    int64_t purged = 0;
    int rc = queue_purge_result(err, r, &purged, &eb);

    p->answered = true;
    p->changed = rc == ERR_MISSING;
    p->done += purged;
    if (rc != 0 && !p->changed)
        p->status = client_tell_failed(p->client, rc, &eb, p->head.n);
}

/* What the script needs to know of a job; unique lends its key. */
static void describe(struct purge_job *pj, struct bytes element,
                     const struct job *job, struct unique *unique)
{
    *pj = (struct purge_job){.job = element, .id = ""};
    if (!job || job->id[0] == '\0')
        return;
    pj->id = job->id;
    pj->keep = job->keep_ms > 0;
    if (unique_ends_with_job(job->unique, unique))
        pj->unique = unique->key;
}

/* Writes them, and takes them away if they are still the head. */
static int purge_head(struct purge *p)
{
    struct head *h = &p->head;
    struct purge_job *jobs = mem_new(h->n * sizeof(*jobs));
    struct unique *uniques = mem_new(h->n * sizeof(*uniques));
    struct job **parsed = mem_new(h->n * sizeof(struct job *));

    for (unsigned i = 0; i < h->n; i++) {
        struct bytes e = {h->bytes.data + h->jobs[i].start, h->jobs[i].len};
        struct errbuf eb = {""};
        parsed[i] = job_of(e, &eb);
        describe(&jobs[i], e, parsed[i], &uniques[i]);
        write_job(p, e, parsed[i], eb.text);
    }
    loop_role_assert();
    int status = sync_file(p);
    p->answered = p->changed = false;
    if (status == 0)
        status = client_await(p->client,
                              queue_purge(client_conn(p->client), &p->keys,
                                          jobs, h->n, on_purged, p),
                              &p->answered);
    for (unsigned i = 0; i < h->n; i++)
        job_free(parsed[i]);
    free((void *)parsed);
    free(uniques);
    free(jobs);
    return status != 0 ? status : p->status;
}

static int64_t next_size(const struct purge *p, int64_t size)
{
    if (p->changed || p->head.bytes.len > BATCH_BYTES)
        return size > 1 ? size / 2 : 1;
    if (p->head.bytes.len < BATCH_BYTES / 4)
        return size * 2 < BATCH_MAX ? size * 2 : BATCH_MAX;
    return size;
}

static int purge_ready(struct purge *p)
{
    int64_t size = BATCH_FIRST, start = p->done;
    unsigned changed = 0;
    int status = 0;

    while (status == 0 && p->done - start < p->length) {
        int64_t left = p->length - (p->done - start);
        long place = p->file ? ftell(p->file) : 0;
        status = read_head(p, size < left ? size : left);
        if (status != 0 || p->head.n == 0)
            break;
        status = purge_head(p);
        if (status == 0 && p->changed) {
            status = cut_file(p, place);
            if (status == 0 && ++changed == CHANGED_MAX)
                status = fail(p->o, EX_TEMPFAIL,
                              "%s: workers are faster; pause it first",
                              p->keys.queue);
        } else {
            changed = 0;
        }
        size = next_size(p, size);
    }
    return status;
}

static int purge_list(struct purge *p)
{
    struct args a = {0};
    int status = client_open(p->o, &p->client);

    if (status != 0)
        return status;
    args_str(&a, "LLEN");
    args_str(&a, p->keys.ready);
    client_call(p->client, &a, on_length, &p->length);
    args_done(&a);
    status = client_wait(p->client);
    if (status == 0)
        status = purge_ready(p);
    client_close(p->client);
    buf_done(&p->head.bytes);
    return status;
}

/* ---- all of it ---- */

static const char *const states[] = {"ready", "scheduled", "retry", "dead"};

bool purge_knows(const char *state)
{
    bool known = strcmp(state, "all") == 0;

    for (size_t i = 0; i < 4; i++)
        known = known || strcmp(state, states[i]) == 0;
    return known;
}

int purge_queue(const struct options *o, const char *state, int64_t *ret_done)
{
    struct purge *p = mem_new(sizeof(*p));

    p->o = o;
    keys_init(&p->keys, o->ns, o->args[0]);
    int status = open_file(p);
    for (size_t i = 0; i < 4 && status == 0; i++) {
        if (strcmp(state, "all") != 0 && strcmp(state, states[i]) != 0)
            continue;
        status = i == 0 ? purge_list(p) : purge_set(p, states[i]);
    }
    status = close_file(p, status);
    *ret_done = p->done;
    free(p);
    return status;
}
