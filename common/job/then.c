/*
 * Then: from the elements of "then" to envelopes.
 *
 * What the step that settles the parent can do by itself is an append to the
 * parent's queue. Whatever needs more, another queue, a time, a lock or news,
 * needs push_one, and waits in the outbox for whoever calls that.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/then.h"

#include <string.h>

#include "common/base/text.h"
#include "common/job/job_read.h"

struct each {
    then_cb cb; /* NULL: only counted */
    void *arg;
    unsigned n;
};

struct check {
    unsigned depth, n;
    struct errbuf *eb; /* borrowed */
};

static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);
static int on_checked(void *arg, struct json_span element);

static int scan(struct json_span then, struct each *each, struct errbuf *eb)
{
    return json_scan_array(then.p, then.len, on_element, each, eb);
}

static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct each *each = arg;

    (void)key;
    (void)eb;
    each->n++;
    return each->cb != NULL ? each->cb(each->arg, value) : 0;
}

int then_each(struct json_span then, then_cb cb, void *arg, struct errbuf *eb)
{
    struct each count = {0}, each = {.cb = cb, .arg = arg};
    const enum json_kind kind = json_kind(then);

    if (kind == JSON_IS_OBJECT)
        return cb(arg, then);
    if (kind != JSON_IS_ARRAY)
        return errbuf_set(eb, ERR_INVALID,
                          "then: neither an envelope nor an array of them");
    int rc = scan(then, &count, eb);
    if (rc != 0)
        return rc;
    if (count.n > THEN_MAX)
        return errbuf_set(eb, ERR_INVALID, "then: more than %d envelopes",
                          THEN_MAX);
    return scan(then, &each, eb);
}

/* Of a job that was read; raw is not set, and the id may be missing. */
static int read_queue(const struct job *job, char queue[NAME_MAX_LEN + 1],
                      struct errbuf *eb)
{
    size_t len;

    queue[0] = '\0';
    if (job->queue.p == NULL)
        return 0;
    if (json_string_copy(job->queue, queue, NAME_MAX_LEN + 1, &len) != 0 ||
        !text_is_name(queue, len))
        return errbuf_set(eb, ERR_INVALID,
                          "queue: not a name of 1 to %d characters from A-Z "
                          "a-z 0-9 . _ -, a letter or digit first",
                          NAME_MAX_LEN);
    return 0;
}

static int read_element(struct json_span element, struct job *job,
                        char queue[NAME_MAX_LEN + 1], struct errbuf *eb)
{
    if (json_kind(element) != JSON_IS_OBJECT) {
        (void)errbuf_set(eb, ERR_INVALID, "not an object");
        return ERR_INVALID;
    }
    int rc = job_read(element.p, element.len, job, NULL, eb);
    return rc != 0 ? rc : read_queue(job, queue, eb);
}

static int check_element(struct json_span element, unsigned depth,
                         struct errbuf *eb)
{
    char queue[NAME_MAX_LEN + 1];
    struct job job;

    int rc = read_element(element, &job, queue, eb);
    return rc != 0 ? rc : job_check_pushed(&job, NULL, depth, eb);
}

static int on_checked(void *arg, struct json_span element)
{
    struct check *c = arg;

    c->n++;
    return check_element(element, c->depth + 1, c->eb);
}

int then_check_one(struct json_span element, struct errbuf *eb)
{
    return check_element(element, 0, eb);
}

int then_check(struct json_span then, unsigned depth, struct errbuf *eb)
{
    struct check c = {.depth = depth, .eb = eb};

    if (then.p == NULL || depth >= THEN_CHECK_DEPTH)
        return 0;
    int rc = then_each(then, on_checked, &c, eb);
    return rc == 0 || c.n == 0 ? rc : errbuf_wrap(eb, rc, "then %u", c.n);
}

int then_complete(struct json_span element, const char *queue, int64_t now_ms,
                  struct buf *out, bool *ret_ready, struct errbuf *eb)
{
    char to[NAME_MAX_LEN + 1];
    struct job job;

    int rc = read_element(element, &job, to, eb);
    if (rc != 0)
        return rc;
    const bool here = to[0] == '\0' || strcmp(to, queue) == 0;
    *ret_ready = here && job.at_ms == 0 && job.in_ms == 0 &&
                 job.unique.p == NULL && job.keep_ms == 0;
    return job_complete_follower(element.p, element.len,
                                 *ret_ready || to[0] != '\0' ? NULL : queue,
                                 now_ms, out, eb);
}
