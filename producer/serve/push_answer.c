/*
 * Push answer: what became of a push, in the words of HTTP.
 *
 *     done, came before, replaced            202
 *     held                                   202 if that is to be skipped, 409
 *     the key came with another request      422
 *     full                                   429
 *     refused, unknown                       503
 *
 * Thread: any.
 */
#include "producer/serve/push.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "producer/client.h"

void push_said_take(struct push_said *said, const struct push_one *one,
                    bool keyed)
{
    (void)snprintf(said->id, sizeof(said->id), "%s", one->id);
    said->scheduled = one->at_ms || one->in_ms;
    said->keyed = keyed;
    said->on_conflict = one->unique ? one->unique->on_conflict : UNIQUE_SKIP;
}

/* The job that is there: another one's id, or that of the push. "": unknown. */
static const char *id_there(const struct push_said *said,
                            const struct push_fate *fate)
{
    if (fate->result.holder[0] != '\0' || fate->result.state == PUSH_HELD)
        return fate->result.holder;
    return said->id;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    buf_str(out, "\"");
    buf_str(out, name);
    buf_str(out, "\":\"");
    buf_str(out, text); /* of names and ids, which need no escapes */
    buf_str(out, "\"");
}

/* ---- problems ---- */

static void tell_unknown(struct answer *a, const char *queue,
                         const struct push_said *said)
{
    answer_problem(a, 503, "outcome-unknown",
                   "the connection to Redis was lost before it answered; job "
                   "%s may be in %s or not. %s",
                   said->id, queue,
                   said->keyed ? "To send the request again is safe: it comes "
                                 "once"
                               : "With an Idempotency-Key it could be sent "
                                 "again safely");
    answer_add_text(a, "id", said->id);
    if (said->keyed)
        answer_header(a, "Retry-After", "1");
}

static void tell_held(struct answer *a, const char *queue,
                      const struct push_fate *fate)
{
    const char *holder = fate->result.holder;

    answer_problem(a, 409, "held", "job %s of %s holds the unique key",
                   holder[0] ? holder : "?", queue);
    if (holder[0] != '\0')
        answer_add_text(a, "holder", holder);
}

/* What Redis answered by an error; which is no fault of the request. */
static void tell_refused(struct answer *a, const struct push_fate *fate)
{
    struct errbuf eb;

    (void)errbuf_set(&eb, fate->err, "%s", fate->why);
    if (client_push_status(fate->err, &eb) != EX_TEMPFAIL) {
        answer_problem(a, 500, "internal", "not pushed: %s", fate->why);
        return;
    }
    answer_problem(a, 503, "try-again", "not pushed: %s", fate->why);
    answer_header(a, "Retry-After", "1");
}

static void tell_failed(struct answer *a, const char *queue,
                        const struct push_said *said,
                        const struct push_fate *fate)
{
    switch (fate->err) {
    case ERR_FULL:
        answer_problem(a, 429, "queue-full", "%s is full: %lld jobs wait",
                       queue, (long long)fate->result.depth);
        answer_add_int(a, "depth", fate->result.depth);
        if (fate->result.limit >= 0)
            answer_add_int(a, "limit", fate->result.limit);
        answer_header(a, "Retry-After", "1");
        return;
    case ERR_HELD:
        answer_problem(a, 422, "key-reused",
                       "the Idempotency-Key has come before with another "
                       "request");
        if (fate->result.holder[0] != '\0')
            answer_add_text(a, "id", fate->result.holder);
        return;
    case ERR_UNKNOWN:
        tell_unknown(a, queue, said);
        return;
    case ERR_REFUSED:
        answer_problem(a, 503, "redis-away",
                       "not pushed: the connection to Redis was lost");
        answer_header(a, "Retry-After", "1");
        return;
    default:
        tell_refused(a, fate);
    }
}

/* Whether it is a problem; then a is that. */
static bool is_problem(struct answer *a, const char *queue,
                       const struct push_said *said,
                       const struct push_fate *fate)
{
    if (fate->err != 0)
        tell_failed(a, queue, said, fate);
    else if (fate->result.state == PUSH_HELD &&
             said->on_conflict != UNIQUE_SKIP)
        tell_held(a, queue, fate);
    else
        return false;
    return true;
}

/* ---- 202 ---- */

static void put_id(struct buf *out, const char *id)
{
    if (id[0] != '\0')
        put_text(out, "id", id);
    else
        buf_str(out, "\"id\":null");
}

/* Members about what is otherwise than a plain push. */
static void put_state(struct buf *out, const struct push_said *said,
                      const struct push_fate *fate)
{
    switch (fate->result.state) {
    case PUSH_SAME:
        buf_str(out, ",\"replayed\":true");
        return;
    case PUSH_HELD:
        buf_str(out, ",\"held\":true");
        return;
    case PUSH_REPLACED:
        buf_str(out, ",\"state\":\"scheduled\",\"replaced\":true");
        return;
    case PUSH_DONE:
        buf_str(out, said->scheduled ? ",\"state\":\"scheduled\""
                                     : ",\"state\":\"ready\"");
    }
}

void push_answer(struct answer *a, const char *queue,
                 const struct push_said *said, const struct push_fate *fate)
{
    const char *id = id_there(said, fate);
    struct buf *b = &a->body;

    if (is_problem(a, queue, said, fate))
        return;
    a->status = 202;
    buf_reserve(b, 192);
    buf_char(b, '{');
    put_id(b, id);
    buf_char(b, ',');
    put_text(b, "queue", queue);
    put_state(b, said, fate);
    if (fate->result.state == PUSH_DONE) {
        buf_str(b, ",\"depth\":");
        buf_int(b, fate->result.depth);
    }
    buf_str(b, "}\n");
    if (id[0] != '\0')
        answer_header(a, "Location", "/v1/queues/%s/jobs/%s", queue, id);
    if (fate->result.state == PUSH_SAME && said->keyed)
        answer_header(a, "Idempotency-Replayed", "true");
}

/* ---- lines ---- */

static void put_line(struct buf *out, uint64_t line)
{
    buf_str(out, "{\"line\":");
    buf_int(out, (int64_t)line);
    buf_char(out, ',');
}

void push_problem_line(struct buf *out, uint64_t line, const struct answer *a)
{
    size_t n = a->body.len;

    while (n > 0 && a->body.data[n - 1] != '}')
        n--;
    put_line(out, line);
    buf_append(out, a->body.data + 1, n - 1);
    buf_char(out, '\n');
}

void push_answer_line(struct buf *out, uint64_t line, const char *queue,
                      const struct push_said *said,
                      const struct push_fate *fate)
{
    struct answer a = {0};

    if (is_problem(&a, queue, said, fate)) {
        push_problem_line(out, line, &a);
        answer_done(&a);
        return;
    }
    put_line(out, line);
    put_id(out, id_there(said, fate));
    if (fate->result.state != PUSH_DONE || said->scheduled)
        put_state(out, said, fate);
    buf_str(out, ",\"status\":202}\n");
}
