/*
 * Push: the routes by which jobs come in, one job each but for NDJSON.
 *
 *     body, query, headers ─push_read─► envelope ─pushes_add─► Redis
 *                                                      │
 *     202, or a problem ◄──────── push_answer ◄── its fate
 *
 * No request is answered 202 before Redis has said that it has the job.
 *
 * Thread: event loop only.
 */
#include "producer/serve/push.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "producer/serve/push_event.h"
#include "producer/serve/query.h"

#define QUEUE_DEFAULT "default" /* of belt push too */

enum {
    ADDED_BYTES = 256, /* what an envelope has more than the body */
    /* Of a mark: five, and each name of a query with its value. */
    MARK_PARTS_MAX = 5 + 2 * PUSH_READ_NAMES
};

/* A request that waits for the fate of its job. */
struct single {
    struct request *request; /* owned */
    struct push_said said;
    char queue[NAME_MAX_LEN + 1];
};

/* A request that is read. */
struct reading {
    struct request *r;
    struct pushes *pushes;
    const char *queue;
    struct push_read p;
    struct push_event event;
    struct push_key key;
    bool is_event;
};

static void on_fate(void *arg, unsigned tag, const struct push_fate *fate);
static void on_header(void *arg, const char *name, const char *value);

/* ---- keys ---- */

bool push_key_read(const struct request *r, struct push_key *key,
                   struct answer *a)
{
    const char *header = request_header(r, "Idempotency-Key");

    key->given = header != NULL;
    if (!header || idempotency_key(header, key->text))
        return true;
    answer_problem(a, 400, "invalid-header",
                   "Idempotency-Key: not 1 to %d visible characters, in "
                   "quotes or without",
                   IDEMPOTENCY_KEY_MAX);
    return false;
}

static struct idempotency_part part(const char *text)
{
    return (struct idempotency_part){text, strlen(text)};
}

static struct idempotency_part part_buf(const struct buf *b)
{
    return (struct idempotency_part){b->data, b->len};
}

/* What makes a request another one under the same key. */
static void make_mark(const struct reading *g,
                      char out[IDEMPOTENCY_HEX_LEN + 1])
{
    struct idempotency_part parts[MARK_PARTS_MAX];
    struct bytes body = request_body(g->r);
    const char *type = request_header(g->r, "Content-Type");
    size_t n = 0;

    parts[n++] = part(request_route(g->r)->path);
    parts[n++] = part(type ? type : "");
    parts[n++] = (struct idempotency_part){body.p, body.len};
    parts[n++] = part_buf(&g->event.attributes);
    if (request_route(g->r)->handle == serve_push_raw)
        parts[n++] = part(request_param(g->r, "type"));
    for (const char *const *name = push_read_names; *name; name++) {
        const char *value = request_query(g->r, *name);
        if (!value)
            continue;
        parts[n++] = part(*name);
        parts[n++] = part(value);
    }
    idempotency_digest(parts, n, out);
}

/* Under what name it comes once: its key, or what names the event. */
static void make_once_id(const struct reading *g,
                         char out[IDEMPOTENCY_HEX_LEN + 1])
{
    const char *token = request_token_name(g->r);
    const struct idempotency_part key[] = {part("key"), part(token),
                                           part(g->key.text)};
    const struct idempotency_part event[] = {part("event"), part(token),
                                             part_buf(&g->event.source),
                                             part_buf(&g->event.id)};

    if (g->key.given)
        idempotency_digest(key, 3, out);
    else
        idempotency_digest(event, 4, out);
}

/* ---- from a request to its job ---- */

static bool read_queue(struct reading *g, struct answer *a)
{
    g->queue = request_param(g->r, "queue");
    if (g->queue)
        return true; /* of the path: checked */
    g->queue = request_query(g->r, "queue");
    if (!g->queue)
        g->queue = QUEUE_DEFAULT;
    if (!text_is_name(g->queue, strlen(g->queue)))
        return query_is_wrong(a, "queue", "\"%.100s\" is no name of a queue",
                              g->queue);
    if (request_may_use(g->r, g->queue))
        return true;
    answer_problem(a, 403, "forbidden",
                   "the token does not allow pushes to queue %s", g->queue);
    return false;
}

/* The options of a query; unique is the last, since it needs its companions. */
static bool read_query(struct reading *g, struct answer *a)
{
    for (const char *const *name = push_read_names; *name; name++) {
        const char *value = request_query(g->r, *name);
        if (value)
            push_read_text(&g->p, *name, value);
    }
    return !body_query_is_wrong(&g->p.bad, a);
}

/* Before what an event itself says of its trace. */
static void read_trace(struct reading *g)
{
    push_read_trace(&g->p, request_header(g->r, "traceparent"),
                    request_header(g->r, "tracestate"));
}

static void on_header(void *arg, const char *name, const char *value)
{
    struct reading *g = arg;

    push_event_header(&g->event, &g->p, name, value);
}

/* A CloudEvent in headers: its data is the body, as of a raw push. */
static void read_binary_event(struct reading *g) ON_LOOP
{
    g->is_event = true;
    request_each_header(g->r, on_header, g);
    read_trace(g);
    push_event_end(&g->event, &g->p);
    push_read_raw(&g->p, request_header(g->r, "Content-Type"),
                  request_body(g->r));
}

static void read_event(struct reading *g)
{
    struct bytes body = request_body(g->r);

    g->is_event = true;
    push_event_json(&g->event, &g->p, body.p, body.len);
    read_trace(g);
    if (!g->p.bad.not_json)
        push_event_end(&g->event, &g->p);
}

/* A body in the language of envelopes. */
static bool read_job(struct reading *g, struct answer *a)
{
    static const char *const none[] = {NULL};
    struct bytes body = request_body(g->r);

    if (!request_check_query(g->r, none, a))
        return false;
    push_read_json(&g->p, body.p, body.len);
    return true;
}

static bool read_body(struct reading *g, struct answer *a) ON_LOOP
{
    const bool binary = request_header(g->r, "ce-specversion") != NULL;
    const bool event = request_body_kind(g->r) == BODY_CLOUDEVENT;

    if (!event && !binary)
        return read_job(g, a);
    if (!request_check_query(g->r, push_read_names, a) || !read_query(g, a))
        return false;
    if (event)
        read_event(g);
    else
        read_binary_event(g);
    return true;
}

static bool read_raw(struct reading *g, struct answer *a) ON_LOOP
{
    if (!request_check_query(g->r, push_read_names, a) || !read_query(g, a))
        return false;
    if (request_header(g->r, "ce-specversion")) {
        read_binary_event(g);
    } else {
        push_read_raw(&g->p, request_header(g->r, "Content-Type"),
                      request_body(g->r));
    }
    push_read_type(&g->p, request_param(g->r, "type"));
    return true;
}

/* ---- from a job to Redis ---- */

static void tell_not_built(const struct reading *g, int rc, struct answer *a,
                           const struct errbuf *eb)
{
    if (rc == ERR_TOO_BIG)
        answer_problem(a, 413, "body-too-large", "%s (--max-body)", eb->text);
    else if (rc == ERR_REFUSED)
        answer_problem(a, 403, "forbidden", "%s", eb->text);
    else if (!body_is_wrong(&g->p.bad, a))
        answer_problem(a, 422, "invalid-body", "%s", eb->text);
}

static bool push(struct reading *g, struct answer *a) ON_LOOP
{
    const struct options *o = request_serve(g->r)->o;
    struct push_target *t = pushes_target(g->pushes, g->queue);
    char fresh[ULID_LEN + 1], once[IDEMPOTENCY_HEX_LEN + 1],
        mark[IDEMPOTENCY_HEX_LEN + 1];
    struct push_one one;
    struct errbuf eb;
    size_t n = request_body(g->r).len + ADDED_BYTES;
    const char *id = g->p.id;

    if (id[0] == '\0') {
        ulid_make(fresh);
        id = fresh;
    }
    int rc = push_follow_check(g->r, &g->p, &eb);
    if (rc == 0)
        rc = push_read_build(&g->p, id, (size_t)o->max_bytes,
                             pushes_begin(g->pushes, t, n), &one, &eb);
    if (rc != 0) {
        tell_not_built(g, rc, a, &eb);
        return false;
    }
    if (g->key.given || g->is_event) {
        make_once_id(g, once);
        one.once_id = once;
        one.once_ms = o->idempotency_ms;
    }
    if (g->key.given) {
        make_mark(g, mark);
        one.once_mark = mark;
    }
    struct single *s = mem_new(sizeof(*s));
    s->request = g->r;
    memcpy(s->queue, g->queue, strlen(g->queue) + 1);
    push_said_take(&s->said, &one, one.once_ms > 0);
    if (pushes_add(g->pushes, t, &one, on_fate, s, 0) == 0)
        return true;
    free(s);
    answer_problem(a, 503, "redis-away", "not pushed: Redis is away");
    answer_header(a, "Retry-After", "1");
    return false;
}

static void on_fate(void *arg, unsigned tag, const struct push_fate *fate)
{
    loop_role_assert();
    struct single *s = arg;
    struct answer a = {0};

    (void)tag;
    push_answer(&a, s->queue, &s->said, fate);
    request_answer(s->request, &a);
    free(s);
}

/* Takes r; read fills in what it wants. */
static void push_request(struct request *r,
                         bool (*read)(struct reading *g,
                                      struct answer *a)) ON_LOOP
{
    const struct serve *serve = request_serve(r);
    struct reading g = {.r = r, .pushes = serve->pushes};
    struct answer a = {0};
    bool pushed = false;

    if (pushes_may(g.pushes, &a) && push_key_read(r, &g.key, &a) &&
        read_queue(&g, &a)) {
        push_read_init(&g.p, g.queue, serve->now_ms);
        if (read(&g, &a)) {
            read_trace(&g);
            pushed = push(&g, &a);
        }
        push_read_done(&g.p);
        push_event_done(&g.event);
    }
    if (!pushed)
        request_answer(r, &a);
}

void serve_push(struct request *r)
{
    if (request_body_kind(r) == BODY_NDJSON)
        push_many(request_serve(r)->pushes, r);
    else
        push_request(r, read_body);
}

void serve_push_raw(struct request *r)
{
    push_request(r, read_raw);
}
