/*
 * Push follow: may a request push what its job is to push when it is done, and
 * have it wait for the job that it is to run after?
 *
 * A token that is limited to some queues would otherwise reach all of them by
 * "then", and learn by "after" how jobs of any queue end. Only what such a
 * token sends is looked at, as deep as a push judges follow-ups at all; what
 * lies deeper is refused to it.
 *
 * Thread: any.
 */
#include "producer/serve/push.h"

#include <string.h>

#include "common/base/text.h"
#include "common/job/then.h"

struct follow {
    const struct request *request;
    unsigned depth;
    struct errbuf *eb;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);

static int check(struct follow *f, struct json_span then);

static int check_queue(const struct follow *f, struct json_span value)
{
    char queue[NAME_MAX_LEN + 1];
    size_t n;

    /* What is no name at all is judged with the rest. */
    if (json_string_copy(value, queue, sizeof(queue), &n) != 0 ||
        request_may_use(f->request, queue))
        return 0;
    return errbuf_set(f->eb, ERR_REFUSED,
                      "then: the token does not allow pushes to queue %s",
                      queue);
}

/* Each of those that have the same name: one of them counts. */
/* QUEUE/ID, or the ID of a job in the queue of the push itself. */
static int check_after(const struct follow *f, const char *after)
{
    char queue[NAME_MAX_LEN + 1];
    size_t n = strcspn(after, "/");

    if (after[n] == '\0' || n >= sizeof(queue))
        return 0;
    memcpy(queue, after, n);
    queue[n] = '\0';
    if (request_may_use(f->request, queue))
        return 0;
    return errbuf_set(f->eb, ERR_REFUSED,
                      "after: the token does not allow jobs of queue %s",
                      queue);
}

static int check_after_json(const struct follow *f, struct json_span value)
{
    char after[NAME_MAX_LEN + 1 + ID_MAX_LEN + 1];
    size_t n;

    if (json_string_copy(value, after, sizeof(after), &n) != 0)
        return 0;
    return check_after(f, after);
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct follow *f = arg;

    (void)eb;
    if (json_string_is(key, "queue"))
        return check_queue(f, value);
    if (json_string_is(key, "then"))
        return check(f, value);
    if (json_string_is(key, "after"))
        return check_after_json(f, value);
    return 0;
}

static int on_element(void *arg, struct json_span element)
{
    struct follow *f = arg;
    int rc = json_scan_object(element.p, element.len, on_member, f, NULL);

    return rc == ERR_REFUSED ? rc : 0;
}

static int check(struct follow *f, struct json_span then)
{
    if (f->depth == THEN_CHECK_DEPTH)
        return errbuf_set(f->eb, ERR_REFUSED,
                          "then: more than %d in each other, which a token "
                          "for some queues may not push",
                          THEN_CHECK_DEPTH);
    f->depth++;
    int rc = then_each(then, on_element, f, NULL);
    f->depth--;
    return rc == ERR_REFUSED ? rc : 0;
}

int push_follow_check(const struct request *r, const struct push_read *p,
                      struct errbuf *eb)
{
    struct follow f = {.request = r, .eb = eb};
    struct json_span then = {p->options.then.data, p->options.then.len};

    if (request_may_use_all(r))
        return 0;
    int rc = check_after(&f, p->after);
    return rc == 0 && then.len > 0 ? check(&f, then) : rc;
}
