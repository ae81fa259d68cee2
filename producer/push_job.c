/*
 * Push job: one job, one round trip.
 *
 * The name of the queue travels in front of the push. A plain job goes as many
 * do. A push is never sent twice: a connection that is lost before the answer
 * makes its outcome unknown.
 *
 * Thread: that of the client.
 */
#include "producer/push_job.h"

#include <sysexits.h>

#include "common/base/clock.h"

struct pushing {
    struct client *client;      /* borrowed */
    const struct keys *keys;    /* borrowed */
    const struct push_one *one; /* borrowed */
    struct push_outcome *ret;   /* borrowed */
    bool answered;
    int status; /* once answered */
};

static void on_pushed(void *arg, int err, const struct reply *r);
static void on_pushed_one(void *arg, int err, const struct reply *r);
static void on_news(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, int err, const struct reply *r);

int push_job_build(struct job_spec *spec, const struct push_options *options,
                   size_t max_bytes, struct buf *out, struct push_one *ret,
                   struct errbuf *eb)
{
    size_t start = out->len;

    push_options_apply(options, spec->created_at_ms, spec);
    int rc = job_build(spec, max_bytes, out, eb);
    if (rc != 0)
        return rc;
    *ret = (struct push_one){
        .envelope = {out->data + start, out->len - start},
        .at_ms = spec->at_ms,
        .in_ms = spec->in_ms,
        .unique = spec->unique.p ? &options->unique : NULL,
        .keep = spec->keep_ms > 0,
        .type = spec->type,
        .created_at_ms = spec->created_at_ms,
    };
    return 0;
}

bool push_job_is_one(const struct push_one *p)
{
    return p->at_ms || p->in_ms || p->keep || p->unique;
}

static int send_job(struct pushing *p) ON_LOOP
{
    const struct push_one *one = p->one;
    struct conn *conn = client_conn(p->client);

    if (push_job_is_one(one))
        return queue_push_one(conn, p->keys, one, on_pushed_one, p);
    return queue_push(conn, p->keys, one->front, &one->envelope, 1, on_pushed,
                      p);
}

int push_job(struct client *c, const struct keys *k, const struct push_one *one,
             struct push_outcome *ret)
{
    struct pushing p = {.client = c, .keys = k, .one = one, .ret = ret};
    struct args a = {0};

    loop_role_assert();
    *ret = (struct push_outcome){0};
    args_str(&a, "SADD");
    args_str(&a, k->queues);
    args_str(&a, k->queue);
    int rc = conn_call(client_conn(c), &a, clock_ms() + QUEUE_DEADLINE_MS,
                       false, on_listed, &p);
    args_done(&a);
    if (rc == 0)
        rc = send_job(&p);
    if (rc != 0) {
        ret->err = rc;
        return client_tell(c, EX_UNAVAILABLE, "%s: not sent: %s", client_url(c),
                           client_down_why(c));
    }
    while (!p.answered)
        client_turn(c, true);
    return p.status;
}

/* The set of queues is for people; a push does not depend on it. */
static void on_listed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    const struct pushing *p = arg;

    if (err == 0 && reply_is_error(r))
        (void)client_tell(p->client, 0, "%s: %s", p->keys->queues,
                          reply_error(r));
}

static void end(struct pushing *p, int rc, const struct errbuf *eb)
{
    const char *queue = p->keys->queue;

    p->answered = true;
    p->ret->err = rc;
    if (rc == ERR_UNKNOWN)
        p->status =
            client_tell(p->client, EX_TEMPFAIL,
                        "outcome unknown: the connection was lost before "
                        "Redis answered; the job may be in %s or not",
                        queue);
    else if (rc == ERR_REFUSED)
        p->status =
            client_tell(p->client, EX_TEMPFAIL, "not pushed: connection lost");
    else if (rc == ERR_FULL)
        p->status = client_tell(p->client, EX_TEMPFAIL,
                                "not pushed: %s is full: %lld jobs wait", queue,
                                (long long)p->ret->result.depth);
    else if (rc != 0)
        p->status = client_tell(p->client, client_push_status(rc, eb),
                                "not pushed: %s", eb->text);
}

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct pushing *p = arg;
    struct push_result pushed = {0};
    struct errbuf eb;
    int rc = queue_push_result(err, r, &pushed, &eb);

    p->ret->result.depth = pushed.depth;
    end(p, rc, &eb);
}

static void on_pushed_one(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct pushing *p = arg;
    struct push_one_result *result = &p->ret->result;
    struct errbuf eb;
    int rc = queue_push_one_result(err, r, result, &eb);

    if (rc == 0 && result->state == PUSH_REPLACED &&
        result->holder[0] != '\0' &&
        queue_push_replaced(client_conn(p->client), p->keys, p->one,
                            result->holder, on_news, p) == 0)
        return;
    end(p, rc, &eb);
}

/* The job is what it is to be, whatever becomes of its news. */
static void on_news(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct pushing *p = arg;
    struct errbuf eb;

    if (queue_push_replaced_result(err, r, &eb) != 0)
        (void)client_tell(p->client, 0,
                          "what is kept of %s may be out of date: %s",
                          p->ret->result.holder, eb.text);
    end(p, 0, NULL);
}
