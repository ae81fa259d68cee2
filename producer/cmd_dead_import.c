/*
 * belt dead import: lines of envelopes back among the dead.
 *
 * Thread: main, which is also the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/job.h"
#include "common/redis/queue_admin.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/filter.h"
#include "producer/lines.h"
#include "producer/out.h"

enum { BATCH_MAX = 500, TOLD_MAX = 20 };
#define BATCH_BYTES ((size_t)1 << 20)

struct batch_job {
    size_t start, len; /* in bytes */
    int64_t died_ms;
};

struct import {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct keys keys;
    struct lines lines;
    struct buf bytes;
    struct batch_job jobs[BATCH_MAX];
    unsigned count;
    int64_t added, there, bad;
    bool answered;
    int status;
};

static void on_imported(void *arg, int err, const struct reply *r);

static void on_imported(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct import *im = arg;
    struct errbuf eb = {""};
    int64_t added = 0;
    int rc = queue_import_result(err, r, &added, &eb);

    im->answered = true;
    if (rc != 0)
        im->status = client_tell_failed(im->client, rc, &eb, im->count);
    im->added += added;
    im->there += rc == 0 ? im->count - added : 0;
}

static int flush(struct import *im)
{
    struct import_job jobs[BATCH_MAX];

    if (im->count == 0)
        return 0;
    for (unsigned i = 0; i < im->count; i++)
        jobs[i] = (struct import_job){
            .died_ms = im->jobs[i].died_ms,
            .envelope = {im->bytes.data + im->jobs[i].start, im->jobs[i].len}};
    loop_role_assert();
    im->answered = false;
    int status = client_await(im->client,
                              queue_import(client_conn(im->client), &im->keys,
                                           jobs, im->count, on_imported, im),
                              &im->answered);
    if (status != 0)
        return status;
    im->count = 0;
    buf_clear(&im->bytes);
    return im->status;
}

static void tell_bad(struct import *im, const char *why)
{
    if (++im->bad <= TOLD_MAX)
        complain(im->o, "line %" PRIu64 ": %s", im->lines.number, why);
}

/* When it died, as its error says, or now. */
static int64_t died_at(const struct job *job)
{
    int64_t at_ms = filter_failed_at(job);

    return at_ms > 0 && at_ms <= QUEUE_COUNT_MAX ? at_ms : clock_wall_ms();
}

/*
 * Appends the envelope, of which nothing is changed if it has an id: white
 * space behind it keeps it apart from another one of the same bytes.
 */
static int append(struct import *im, const char *p, size_t n, int64_t *ret_ms,
                  struct errbuf *eb)
{
    struct job *job = NULL;
    int rc = job_parse(p, n, (size_t)im->o->max_bytes, &job, eb);

    if (rc != 0)
        return rc;
    *ret_ms = died_at(job);
    if (job->type[0] == '\0')
        rc = errbuf_set(eb, ERR_INVALID, "type: missing");
    else if (job->id[0] != '\0')
        buf_append(&im->bytes, p, n);
    else
        rc = job_complete(p, n, NULL, clock_wall_ms(), SIZE_MAX, &im->bytes,
                          NULL, eb);
    job_free(job);
    return rc;
}

static bool is_blank(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && strchr(" \t", p[i]))
        i++;
    return i == n;
}

static int take_line(struct import *im, const char *p, size_t n)
{
    struct batch_job *job = &im->jobs[im->count];
    struct errbuf eb = {""};

    if (is_blank(p, n))
        return 0;
    job->start = im->bytes.len;
    if (append(im, p, n, &job->died_ms, &eb) != 0) {
        tell_bad(im, eb.text);
        return 0;
    }
    job->len = im->bytes.len - job->start;
    im->count++;
    return im->count == BATCH_MAX || im->bytes.len >= BATCH_BYTES ? flush(im)
                                                                  : 0;
}

static int take_all(struct import *im)
{
    const char *p;
    size_t n;
    int status = 0;

    while (status == 0) {
        switch (lines_next(&im->lines, &p, &n)) {
        case LINES_LINE:
            status = take_line(im, p, n);
            break;
        case LINES_TOO_LONG:
            tell_bad(im, "longer than --max-bytes");
            break;
        case LINES_MORE:
            if (lines_fill(&im->lines) != 0)
                status = fail(im->o, EX_IOERR, "%s", strerror(errno));
            break;
        case LINES_END:
            return flush(im);
        }
    }
    return status;
}

static void tell_sum(const struct import *im)
{
    static const struct column columns[] = {{"imported", FOR_ALL, true},
                                            {"there", FOR_ALL, true},
                                            {"bad", FOR_ALL, true},
                                            {0}};

    if (im->o->format == OUT_TABLE) {
        printf("%lld imported", (long long)im->added);
        if (im->there > 0)
            printf(", %lld were there", (long long)im->there);
        if (im->bad > 0)
            printf(", %lld bad lines", (long long)im->bad);
        putchar('\n');
        return;
    }
    struct out *out = out_new(im->o, columns);
    out_int(out, im->added);
    out_int(out, im->there);
    out_int(out, im->bad);
    out_row(out);
    out_end(out);
}

static int run(const struct options *o, int fd)
{
    struct import *im = mem_new(sizeof(*im));

    im->o = o;
    int status = client_open(o, &im->client);
    if (status == 0) {
        keys_init(&im->keys, o->ns, o->args[0]);
        lines_init(&im->lines, fd, (size_t)o->max_bytes);
        status = take_all(im);
        tell_sum(im);
        if (status == 0 && im->bad > 0)
            status = EX_DATAERR;
        lines_done(&im->lines);
        buf_done(&im->bytes);
        client_close(im->client);
    }
    free(im);
    return status;
}

static int run_import(const struct options *o)
{
    const char *path = o->arg_count > 1 ? o->args[1] : "-";
    bool is_stdin = strcmp(path, "-") == 0;

    if (!text_is_name(o->args[0], strlen(o->args[0])))
        return fail(o, EX_USAGE, "%s: not the name of a queue", o->args[0]);
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(o, EX_NOINPUT, "%s: %s", path, strerror(errno));
    int status = run(o, fd);
    if (!is_stdin)
        close(fd);
    return status;
}

static const struct flag flags[] = {
    {"max-bytes", 0, FLAG_SIZE, "SIZE", offsetof(struct options, max_bytes), 1,
     (INT64_C(1) << 29) - 4096, "the longest envelope that is taken (1m)"},
    {0},
};

const struct command cmd_dead_import = {
    .name = "dead import",
    .usage = "QUEUE [FILE]",
    .summary = "Read envelopes, one a line, into the dead jobs of a queue",
    .details = "As belt dead export writes them; from stdin without FILE. "
               "They died when their error\nsays, else now. What is there "
               "already is not added again, so it may be run twice.\nBad "
               "lines are told by number and passed over (status 65).\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 2,
    .run = run_import,
};
