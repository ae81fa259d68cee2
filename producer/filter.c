/*
 * Filter: which jobs are meant.
 *
 * Thread: main.
 */
#include "producer/filter.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/failure.h"

struct failed {
    struct json_span error;
    int64_t at_ms;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb);

static int read_when(const char *text, int64_t *ret_ms, struct errbuf *eb)
{
    int64_t ms;

    if (text_parse_duration(text, &ms, NULL) == 0) {
        *ret_ms = clock_wall_ms() - ms;
        return 0;
    }
    if (text_parse_instant(text, ret_ms, NULL) == 0)
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "%s: neither a span (2h) nor an instant "
                      "(2026-01-31T08:00:00Z)",
                      text);
}

int filter_times(struct filter *f, const char *since, const char *until,
                 const char **ret_wrong, struct errbuf *eb)
{
    int rc = 0;

    f->since_ms = INT64_MIN;
    f->until_ms = INT64_MAX;
    f->timed = since || until;
    *ret_wrong = "since";
    if (since)
        rc = read_when(since, &f->since_ms, eb);
    if (rc != 0 || !until)
        return rc;
    *ret_wrong = "until";
    return read_when(until, &f->until_ms, eb);
}

int filter_init(struct filter *f, const struct options *o)
{
    const char *wrong;
    struct errbuf eb;

    *f = (struct filter){.type = o->type, .error = o->error};
    if (filter_times(f, o->since, o->until, &wrong, &eb) == 0)
        return 0;
    return fail(o, EX_USAGE, "--%s: %s", wrong, eb.text);
}

bool filter_is_set(const struct filter *f)
{
    return f->type || f->error || f->timed;
}

static bool error_is_like(const struct job *job, const char *glob)
{
    struct buf text = {0};

    failure_append(job, &text);
    bool like = fnmatch(glob, text.data ? text.data : "", 0) == 0;
    buf_done(&text);
    return like;
}

bool filter_takes(const struct filter *f, const struct job *job, int64_t at_ms)
{
    if (f->timed && (at_ms < 0 || at_ms < f->since_ms || at_ms > f->until_ms))
        return false;
    if (f->type && fnmatch(f->type, job->type, 0) != 0)
        return false;
    return !f->error || error_is_like(job, f->error);
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct failed *f = arg;

    (void)eb;
    if (json_string_is(key, "error"))
        f->error = value;
    return 0;
}

static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb)
{
    struct failed *f = arg;

    (void)eb;
    if (json_string_is(key, "at") && json_int_value(value, &f->at_ms) != 0)
        f->at_ms = -1;
    return 0;
}

int64_t filter_failed_at(const struct job *job)
{
    struct failed f = {.at_ms = -1};

    (void)json_scan_object(job->raw, job->raw_len, on_member, &f, NULL);
    if (f.error.p && json_kind(f.error) == JSON_IS_OBJECT)
        (void)json_scan_object(f.error.p, f.error.len, on_error_member, &f,
                               NULL);
    return f.at_ms;
}
