/*
 * Failure: why a job failed, on one line.
 *
 * Thread: any.
 */
#include "producer/failure.h"

#include <stdlib.h>

#include "common/job/json.h"

struct failure {
    struct json_span error, class, message;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb);

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct failure *f = arg;

    (void)eb;
    if (json_string_is(key, "error"))
        f->error = value;
    return 0;
}

static int on_error_member(void *arg, struct json_span key,
                           struct json_span value, struct errbuf *eb)
{
    struct failure *f = arg;

    (void)eb;
    if (json_string_is(key, "class"))
        f->class = value;
    else if (json_string_is(key, "message"))
        f->message = value;
    return 0;
}

static void append_string(struct buf *b, size_t start, struct json_span value)
{
    size_t n;
    char *text = value.p ? json_string_dup(value, &n) : NULL;

    if (!text)
        return;
    if (b->len > start)
        buf_str(b, ": ");
    buf_append(b, text, n);
    free(text);
}

static void append(struct failure *f, struct buf *b)
{
    size_t start = b->len;

    if (json_kind(f->error) == JSON_IS_NULL)
        return;
    if (json_kind(f->error) == JSON_IS_OBJECT)
        (void)json_scan_object(f->error.p, f->error.len, on_error_member, f,
                               NULL);
    append_string(b, start, f->class);
    append_string(b, start, f->message);
    if (b->len == start)
        buf_append(b, f->error.p, f->error.len);
}

void failure_append(const struct job *job, struct buf *b)
{
    struct failure f = {0};

    (void)json_scan_object(job->raw, job->raw_len, on_member, &f, NULL);
    if (f.error.p)
        append(&f, b);
}

void failure_append_text(const char *text, size_t n, struct buf *b)
{
    struct failure f = {.error = {text, n}};

    if (n > 0 && text[0] == '{' && json_check(text, n, NULL) == 0)
        append(&f, b);
    else
        buf_append(b, text, n);
}
