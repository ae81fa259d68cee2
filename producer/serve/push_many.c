/*
 * Push many: a job a line, an answer a line, in order.
 *
 *     lines ─► chunk ─► pushes ─fates─► chunk, complete ─► the answer
 *
 * The body is there as a whole, so a turn of the loop reads a piece of it and
 * leaves the rest to later turns: others get theirs. A few chunks are under
 * way at a time; their lines are answered in order, whatever came first.
 *
 * There is room for the answers before the first line is sent: what has come
 * has to be told. Each line is a push of its own, but once the queue was full
 * or Redis lost, no further line is sent: that is told, once it is known what
 * became of those before it. With an Idempotency-Key each line comes once, by
 * the key and its number, so a request whose end is unknown can be sent again
 * as it is.
 *
 * Thread: event loop only.
 */
#include "producer/serve/push.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/mem.h"
#include "common/base/ulid.h"

enum {
    CHUNK_LINES = 1000,
    CHUNK_BYTES = 512 * 1024, /* of lines */
    CHUNKS_MAX = 4,           /* under way: Redis never waits for us */
    ADDED_BYTES = 256,
    TOLD_BYTES = 320 /* about a line, if it is not wrong in many ways */
};

struct chunk_line {
    uint64_t number;
    struct push_said said;
    struct buf told; /* its answer */
};

struct chunk {
    STAILQ_ENTRY(chunk) link;
    struct many *many; /* borrowed */
    unsigned count, waiting;
    struct chunk_line lines[CHUNK_LINES];
};

STAILQ_HEAD(chunks, chunk);

struct many {
    LIST_ENTRY(many) entry;
    struct pushes *pushes;   /* borrowed */
    struct request *request; /* owned */
    const char *queue;       /* the request lends it, and what follows */
    const char *traceparent, *tracestate;
    const char *p, *end; /* what is left of the body */
    uint64_t number;     /* of the line read last */
    uint64_t accepted;
    struct push_key key;
    struct event *next;    /* owned: the next turn */
    struct chunks chunks;  /* owned, under way, oldest first */
    unsigned flight;       /* of them */
    struct push_fate stop; /* why no more is sent; err 0: it is */
    struct errbuf why;     /* of stop */
    struct answer answer;
};

static void on_next(evutil_socket_t fd, short what, void *arg);
static void on_fate(void *arg, unsigned tag, const struct push_fate *fate);
static void go_on(struct many *m) ON_LOOP;

static void later(struct many *m)
{
    struct timeval now = {0};

    /* Not event_active: this turn would not end before it has run. */
    (void)event_add(m->next, &now);
}

/* ---- lines ---- */

/* The next line that has something in it, without blanks around it. */
static bool next_line(struct many *m, struct bytes *ret)
{
    static const char blank[] = " \t\r";

    while (m->p < m->end) {
        const char *p = m->p;
        const char *lf = memchr(p, '\n', (size_t)(m->end - p));
        const char *end = lf ? lf : m->end;
        m->p = lf ? lf + 1 : m->end;
        m->number++;
        while (p < end && memchr(blank, *p, sizeof(blank) - 1))
            p++;
        while (p < end && memchr(blank, end[-1], sizeof(blank) - 1))
            end--;
        *ret = (struct bytes){p, (size_t)(end - p)};
        if (p < end)
            return true;
    }
    return false;
}

static size_t count_lines(struct bytes body)
{
    const char *p = body.p, *end = p + body.len;
    size_t n = 0;

    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        n++;
        p = lf ? lf + 1 : end;
    }
    return n;
}

static void tell_bad(struct chunk_line *l, int rc, const struct push_read *p,
                     const struct errbuf *eb)
{
    struct answer a = {0};

    if (rc == ERR_TOO_BIG)
        answer_problem(&a, 413, "body-too-large", "%s (--max-body)", eb->text);
    else if (rc == ERR_REFUSED)
        answer_problem(&a, 403, "forbidden", "%s", eb->text);
    else if (!body_is_wrong(&p->bad, &a))
        answer_problem(&a, 422, "invalid-body", "%s", eb->text);
    push_problem_line(&l->told, l->number, &a);
    answer_done(&a);
}

/* The names by which it comes once. */
struct once {
    char id[IDEMPOTENCY_HEX_LEN + 1], mark[IDEMPOTENCY_HEX_LEN + 1];
};

static void take_key(const struct many *m, struct bytes line, struct once *once,
                     struct push_one *one)
{
    const char *token = request_token_name(m->request);
    char number[INT_TEXT_MAX];
    size_t number_len = text_format_int((int64_t)m->number, number);
    const struct idempotency_part name[] = {{"line", 4},
                                            {token, strlen(token)},
                                            {m->key.text, strlen(m->key.text)},
                                            {number, number_len}};
    const struct idempotency_part mark[] = {{line.p, line.len}};

    idempotency_digest(name, 4, once->id);
    idempotency_digest(mark, 1, once->mark);
    one->once_id = once->id;
    one->once_mark = once->mark;
    one->once_ms = pushes_serve(m->pushes)->o->idempotency_ms;
}

static int build(struct many *m, struct push_read *p, struct bytes line,
                 struct push_target *t, struct push_one *one,
                 struct errbuf *eb) ON_LOOP
{
    const struct options *o = pushes_serve(m->pushes)->o;
    struct buf *out = pushes_begin(m->pushes, t, line.len + ADDED_BYTES);

    if (line.len > (size_t)o->max_bytes)
        return errbuf_set(eb, ERR_TOO_BIG,
                          "a line of %zu bytes, the limit is %lld", line.len,
                          (long long)o->max_bytes);
    push_read_json(p, line.p, line.len);
    push_read_trace(p, m->traceparent, m->tracestate);
    if (p->id[0] == '\0')
        ulid_make(p->id);
    int rc = push_follow_check(m->request, p, eb);
    if (rc != 0)
        return rc;
    return push_read_build(p, p->id, (size_t)o->max_bytes, out, one, eb);
}

static void take_line(struct many *m, struct chunk *c, struct bytes line,
                      struct push_target *t) ON_LOOP
{
    static const struct push_fate refused = {.err = ERR_REFUSED, .why = ""};
    unsigned i = c->count++;
    struct chunk_line *l = &c->lines[i];
    struct push_read p;
    struct push_one one;
    struct once once;
    struct errbuf eb;

    l->number = m->number;
    l->told = (struct buf){0};
    push_read_init(&p, m->queue, pushes_serve(m->pushes)->now_ms);
    int rc = build(m, &p, line, t, &one, &eb);
    if (rc != 0) {
        tell_bad(l, rc, &p, &eb);
    } else {
        if (m->key.given)
            take_key(m, line, &once, &one);
        push_said_take(&l->said, &one, m->key.given);
        if (pushes_add(m->pushes, t, &one, on_fate, c, i) == 0)
            c->waiting++;
        else
            push_answer_line(&l->told, l->number, m->queue, &l->said, &refused);
    }
    push_read_done(&p);
}

/* ---- chunks ---- */

/* Reads and sends what a turn may. */
static void take_chunk(struct many *m) ON_LOOP
{
    struct push_target *t = pushes_target(m->pushes, m->queue);
    struct chunk *c = mem_new(sizeof(*c));
    const char *start = m->p;
    struct bytes line;

    c->many = m;
    STAILQ_INSERT_TAIL(&m->chunks, c, link);
    m->flight++;
    pushes_keep_order(t, true);
    while (c->count < CHUNK_LINES && m->p - start < CHUNK_BYTES &&
           next_line(m, &line))
        take_line(m, c, line, t);
    pushes_keep_order(t, false);
}

/* Moves the answers of what is complete, in order, to the whole. */
static void collect(struct many *m)
{
    struct chunk *c;

    while ((c = STAILQ_FIRST(&m->chunks)) && c->waiting == 0) {
        STAILQ_REMOVE_HEAD(&m->chunks, link);
        m->flight--;
        for (unsigned i = 0; i < c->count; i++) {
            buf_append(&m->answer.body, c->lines[i].told.data,
                       c->lines[i].told.len);
            buf_done(&c->lines[i].told);
        }
        free(c);
    }
}

/*
 * Nothing more is sent, for the first such reason. What is unknown of others is
 * certain of those that are not sent.
 */
static void stop(struct many *m, const struct push_fate *fate)
{
    if (m->stop.err != 0)
        return;
    m->stop = *fate;
    if (fate->err == ERR_UNKNOWN)
        m->stop.err = ERR_REFUSED;
    (void)errbuf_set(&m->why, 0, "%s", fate->why);
    m->stop.why = m->why.text;
}

static void on_fate(void *arg, unsigned tag, const struct push_fate *fate)
{
    loop_role_assert();
    struct chunk *c = arg;
    struct many *m = c->many;
    struct chunk_line *l = &c->lines[tag];

    assert(tag < c->count && c->waiting > 0);
    if (fate->err == 0)
        m->accepted += fate->result.state != PUSH_HELD;
    else if (fate->err != ERR_HELD)
        stop(m, fate);
    push_answer_line(&l->told, l->number, m->queue, &l->said, fate);
    if (--c->waiting == 0)
        later(m);
}

/* The lines that are not sent, once all before them are answered. */
static void refuse_rest(struct many *m)
{
    static const struct push_said said = {0};
    struct answer a = {0};
    struct bytes line;

    if (m->p == m->end)
        return;
    push_answer(&a, m->queue, &said, &m->stop);
    answer_add_int(&a, "accepted", (int64_t)m->accepted);
    while (next_line(m, &line))
        push_problem_line(&m->answer.body, m->number, &a);
    answer_done(&a);
}

/* ---- from the first line to the last ---- */

static void finish(struct many *m) ON_LOOP
{
    LIST_REMOVE(m, entry);
    event_free(m->next);
    m->answer.status = 200;
    m->answer.content_type = "application/x-ndjson";
    request_answer(m->request, &m->answer);
    free(m);
}

static void go_on(struct many *m)
{
    collect(m);
    if (m->stop.err == 0 && m->p < m->end) {
        if (m->flight < CHUNKS_MAX) {
            take_chunk(m);
            later(m);
        }
        return;
    }
    if (m->flight > 0)
        return;
    refuse_rest(m);
    finish(m);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    go_on(arg);
}

/* The connection is closed, so every fate is known. */
void push_many_end(struct many *m)
{
    static const struct push_fate ended = {.err = ERR_REFUSED, .why = ""};

    stop(m, &ended);
    collect(m);
    assert(m->flight == 0);
    refuse_rest(m);
    finish(m);
}

/* Whether the request can be begun; if not a says why. */
static bool may_begin(struct pushes *ps, struct request *r,
                      struct push_key *key, struct answer *a) ON_LOOP
{
    static const char *const none[] = {NULL};
    const int64_t max = pushes_serve(ps)->o->max_lines;
    struct bytes body = request_body(r);

    if (!pushes_may(ps, a) || !push_key_read(r, key, a) ||
        !request_check_query(r, none, a))
        return false;
    size_t n = count_lines(body);
    if (n > (size_t)max)
        answer_problem(a, 413, "body-too-large",
                       "%zu lines, the limit is %lld (--max-lines)", n,
                       (long long)max);
    else if (n == 0)
        answer_problem(a, 400, "bad-request", "the body has no line");
    else
        (void)request_reserve(r, n * TOLD_BYTES, a);
    return a->status == 0;
}

void push_many(struct pushes *ps, struct request *r)
{
    struct answer a = {0};
    struct push_key key;

    if (!may_begin(ps, r, &key, &a)) {
        request_answer(r, &a);
        return;
    }
    struct bytes body = request_body(r);
    struct many *m = mem_new(sizeof(*m));
    *m = (struct many){.pushes = ps,
                       .request = r,
                       .queue = request_param(r, "queue"),
                       .traceparent = request_header(r, "traceparent"),
                       .tracestate = request_header(r, "tracestate"),
                       .p = body.p,
                       .end = body.p + body.len,
                       .key = key};
    STAILQ_INIT(&m->chunks);
    m->next = event_new(pushes_serve(ps)->base, -1, 0, on_next, m);
    LIST_INSERT_HEAD(pushes_manys(ps), m, entry);
    go_on(m);
}
