/*
 * Push gather: many requests, few calls.
 *
 *     begin, add ─► open load of the queue ─end of turn─► sent ─answer─► told
 *     begin, add, with options ───── at once ──────────► sent ─answer─► told
 *
 * An envelope is written where it will be sent from. The event at the end of a
 * turn is activated by the first job of it, so it runs behind all that the
 * turn had to do, and the connection writes behind that: one write for all.
 *
 * A push is never sent twice. One that has replaced another tells so first, as
 * every push does (queue_push_replaced).
 *
 * Thread: event loop only.
 */
#include "producer/serve/push.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum {
    LOAD_BYTES = 1024 * 1024, /* bounds one script's time inside Redis */
    KEPT_BYTES = 256 * 1024,  /* a spare load may hold so much */
    SPARE_MAX = 64,
    TARGETS_MAX = 1024, /* idle ones beyond are forgotten */
    BUCKETS = 256,
    LIST_EVERY_MS = 60 * 1000,
    FIRST_SLOTS = 16
};

struct slot {
    size_t end; /* of its envelope in the text */
    push_fate_cb cb;
    void *arg;
    unsigned tag;
};

/* Plain jobs of one call. */
struct load {
    STAILQ_ENTRY(load) link;
    struct push_target *target; /* borrowed */
    bool front;
    struct buf text;    /* the envelopes, one behind the other */
    struct slot *slots; /* owned */
    unsigned count, cap;
};

STAILQ_HEAD(loads, load);

/* One job with options. */
struct lone {
    struct push_target *target; /* borrowed */
    push_fate_cb cb;
    void *arg;
    unsigned tag;
    size_t bytes;
    struct push_one one; /* of it what queue_push_replaced needs */
    struct push_one_result result;
    char type[JOB_TYPE_MAX_LEN + 1];
};

struct push_target {
    SLIST_ENTRY(push_target) bucket;
    STAILQ_ENTRY(push_target) dirty;
    struct pushes *pushes; /* borrowed */
    struct keys keys;
    struct load *open, *open_front; /* owned */
    bool is_dirty;
    bool in_order;   /* what is added goes behind what was added before */
    unsigned flight; /* calls under way */
    int64_t listed_ms;
};

SLIST_HEAD(bucket, push_target);
STAILQ_HEAD(dirty, push_target);

struct pushes {
    struct serve *serve; /* borrowed */
    struct event *flush; /* owned: the end of a turn */
    struct bucket buckets[BUCKETS];
    unsigned targets;
    struct dirty dirty; /* targets with an open load */
    struct loads spare; /* owned */
    unsigned spares;
    struct buf scratch; /* one with options is written here */
    struct manys manys;
    size_t bytes; /* of envelopes under way */
};

static void on_flush(evutil_socket_t fd, short what, void *arg);
static void on_pushed(void *arg, int err, const struct reply *r);
static void on_pushed_one(void *arg, int err, const struct reply *r);
static void on_news(void *arg, int err, const struct reply *r);

/* ---- targets ---- */

static unsigned bucket_of(const char *queue)
{
    uint32_t h = 2166136261U; /* FNV-1a */

    for (; *queue; queue++)
        h = (h ^ (unsigned char)*queue) * 16777619U;
    return h % BUCKETS;
}

static void load_done(struct load *l);

/* Of one that is not dirty an open load is empty. */
static void target_free(struct push_target *t)
{
    assert(t->flight == 0 && !t->is_dirty && !t->open_front);
    load_done(t->open);
    free(t);
}

static void forget_idle_of(struct pushes *ps, struct bucket *b)
{
    struct push_target *t, *next;

    for (t = SLIST_FIRST(b); t; t = next) {
        next = SLIST_NEXT(t, bucket);
        if (t->flight > 0 || t->is_dirty)
            continue;
        SLIST_REMOVE(b, t, push_target, bucket);
        target_free(t);
        ps->targets--;
    }
}

struct push_target *pushes_target(struct pushes *ps, const char *queue)
{
    struct bucket *b = &ps->buckets[bucket_of(queue)];
    struct push_target *t;

    SLIST_FOREACH(t, b, bucket)
    {
        if (strcmp(t->keys.queue, queue) == 0)
            return t;
    }
    for (unsigned i = 0; i < BUCKETS && ps->targets >= TARGETS_MAX; i++)
        forget_idle_of(ps, &ps->buckets[i]);
    t = mem_new(sizeof(*t));
    t->pushes = ps;
    keys_init(&t->keys, ps->serve->ns, queue);
    t->listed_ms = -LIST_EVERY_MS;
    SLIST_INSERT_HEAD(b, t, bucket);
    ps->targets++;
    return t;
}

/* The set of queues is for people; a push does not depend on it. */
static void list_queue(struct push_target *t) ON_LOOP
{
    struct args a = {0};
    int64_t now_ms = clock_ms();

    if (now_ms - t->listed_ms < LIST_EVERY_MS)
        return;
    t->listed_ms = now_ms;
    args_str(&a, "SADD");
    args_str(&a, t->keys.queues);
    args_str(&a, t->keys.queue);
    (void)conn_call(t->pushes->serve->conn, &a, now_ms + QUEUE_DEADLINE_MS,
                    false, NULL, NULL);
    args_done(&a);
}

/* ---- loads ---- */

static struct load *load_new(struct pushes *ps, struct push_target *t,
                             bool front)
{
    struct load *l = STAILQ_FIRST(&ps->spare);

    if (l) {
        STAILQ_REMOVE_HEAD(&ps->spare, link);
        ps->spares--;
    } else {
        l = mem_new(sizeof(*l));
    }
    l->target = t;
    l->front = front;
    l->count = 0;
    buf_clear(&l->text);
    return l;
}

static void load_done(struct load *l)
{
    if (!l)
        return;
    buf_done(&l->text);
    free(l->slots);
    free(l);
}

static void load_recycle(struct pushes *ps, struct load *l)
{
    if (ps->spares == SPARE_MAX || l->text.cap > KEPT_BYTES) {
        load_done(l);
        return;
    }
    STAILQ_INSERT_HEAD(&ps->spare, l, link);
    ps->spares++;
}

static void load_add(struct load *l, size_t end, push_fate_cb cb, void *arg,
                     unsigned tag)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : FIRST_SLOTS;
        l->slots = mem_resize(l->slots, l->cap * sizeof(*l->slots));
    }
    l->slots[l->count++] =
        (struct slot){.end = end, .cb = cb, .arg = arg, .tag = tag};
}

static void load_tell(struct pushes *ps, struct load *l, int err,
                      const struct push_result *res, const char *why) ON_LOOP
{
    struct push_fate fate = {.why = why};

    fate.result.depth = res->depth;
    fate.result.limit = res->limit;
    ps->bytes -= l->text.len;
    for (unsigned i = 0; i < l->count; i++) {
        const struct slot *s = &l->slots[i];
        fate.err = err == ERR_FULL && i < res->accepted ? 0 : err;
        s->cb(s->arg, s->tag, &fate);
    }
    load_recycle(ps, l);
}

static void send_load(struct pushes *ps, struct load *l) ON_LOOP
{
    struct bytes envelopes[QUEUE_BATCH_MAX];
    struct push_target *t = l->target;
    size_t start = 0;

    for (unsigned i = 0; i < l->count; i++) {
        envelopes[i] =
            (struct bytes){l->text.data + start, l->slots[i].end - start};
        start = l->slots[i].end;
    }
    list_queue(t);
    if (queue_push(ps->serve->conn, &t->keys, l->front, envelopes, l->count,
                   on_pushed, l) == 0) {
        t->flight++;
        return;
    }
    struct push_result none = {0};
    load_tell(ps, l, ERR_REFUSED, &none, err_str(ERR_REFUSED));
}

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct load *l = arg;
    struct pushes *ps = l->target->pushes;
    struct push_result res = {0};
    struct errbuf eb = {""};
    int rc = queue_push_result(err, r, &res, &eb);

    l->target->flight--;
    load_tell(ps, l, rc, &res, eb.text);
}

static void flush_open(struct pushes *ps, struct load **open) ON_LOOP
{
    struct load *l = *open;

    *open = NULL;
    if (!l)
        return;
    if (l->count > 0)
        send_load(ps, l);
    else
        load_recycle(ps, l);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct pushes *ps = arg;
    struct push_target *t;

    (void)fd;
    (void)what;
    while ((t = STAILQ_FIRST(&ps->dirty))) {
        STAILQ_REMOVE_HEAD(&ps->dirty, dirty);
        t->is_dirty = false;
        flush_open(ps, &t->open_front);
        flush_open(ps, &t->open);
    }
}

/* ---- one with options ---- */

static void lone_tell(struct lone *l, int err, const char *why) ON_LOOP
{
    struct push_fate fate = {.err = err, .why = why, .result = l->result};

    l->target->pushes->bytes -= l->bytes;
    l->target->flight--;
    l->cb(l->arg, l->tag, &fate);
    free(l);
}

static int send_lone(struct pushes *ps, struct push_target *t,
                     const struct push_one *one, push_fate_cb cb, void *arg,
                     unsigned tag) ON_LOOP
{
    struct lone *l = mem_new(sizeof(*l));

    *l = (struct lone){.target = t,
                       .cb = cb,
                       .arg = arg,
                       .tag = tag,
                       .bytes = one->envelope.len,
                       .one = {.at_ms = one->at_ms,
                               .in_ms = one->in_ms,
                               .keep = one->keep,
                               .created_at_ms = one->created_at_ms}};
    (void)snprintf(l->type, sizeof(l->type), "%s", one->type);
    l->one.type = l->type;
    list_queue(t);
    int rc = queue_push_one(ps->serve->conn, &t->keys, one, on_pushed_one, l);
    if (rc != 0) {
        free(l);
        return ERR_REFUSED;
    }
    t->flight++;
    ps->bytes += l->bytes;
    return 0;
}

static void on_pushed_one(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct lone *l = arg;
    struct push_target *t = l->target;
    struct errbuf eb = {""};
    int rc = queue_push_one_result(err, r, &l->result, &eb);

    if (rc == 0 && l->result.state == PUSH_REPLACED &&
        l->result.holder[0] != '\0' &&
        queue_push_replaced(t->pushes->serve->conn, &t->keys, &l->one,
                            l->result.holder, on_news, l) == 0)
        return;
    lone_tell(l, rc, eb.text);
}

/* The job is what it is to be, whatever becomes of its news. */
static void on_news(void *arg, int err, const struct reply *r)
{
    loop_role_assert();

    (void)err;
    (void)r;
    lone_tell(arg, 0, "");
}

/* ---- a push ---- */

static bool needs_one(const struct push_one *one)
{
    return one->at_ms || one->in_ms || one->keep || one->unique ||
           one->once_ms > 0;
}

struct buf *pushes_begin(struct pushes *ps, struct push_target *t, size_t n)
{
    struct load *l = t->open;

    if (l && (l->count == QUEUE_BATCH_MAX ||
              (l->count > 0 && l->text.len + n > LOAD_BYTES)))
        flush_open(ps, &t->open);
    if (!t->open)
        t->open = load_new(ps, t, false);
    return &t->open->text;
}

/* Takes what was appended behind the last envelope out of the open load. */
static void move_tail(struct load *from, struct buf *to)
{
    size_t start = from->count > 0 ? from->slots[from->count - 1].end : 0;

    buf_append(to, from->text.data + start, from->text.len - start);
    from->text.len = start;
}

void pushes_keep_order(struct push_target *t, bool on)
{
    t->in_order = on;
}

int pushes_add(struct pushes *ps, struct push_target *t,
               const struct push_one *one, push_fate_cb cb, void *arg,
               unsigned tag)
{
    struct push_one moved = *one;
    struct load *l = t->open;
    size_t n = one->envelope.len;

    assert(l && n <= l->text.len);
    if (needs_one(one)) {
        buf_clear(&ps->scratch);
        move_tail(l, &ps->scratch);
        moved.envelope = (struct bytes){ps->scratch.data, ps->scratch.len};
        if (t->in_order)
            flush_open(ps, &t->open);
        int rc = send_lone(ps, t, &moved, cb, arg, tag);
        if (ps->scratch.cap > KEPT_BYTES)
            buf_done(&ps->scratch);
        return rc;
    }
    if (one->front) {
        if (t->open_front && t->open_front->count == QUEUE_BATCH_MAX)
            flush_open(ps, &t->open_front);
        if (!t->open_front)
            t->open_front = load_new(ps, t, true);
        move_tail(l, &t->open_front->text);
        l = t->open_front;
    }
    load_add(l, l->text.len, cb, arg, tag);
    ps->bytes += n;
    if (!t->is_dirty) {
        t->is_dirty = true;
        STAILQ_INSERT_TAIL(&ps->dirty, t, dirty);
        event_active(ps->flush, EV_TIMEOUT, 0);
    }
    return 0;
}

bool pushes_may(const struct pushes *ps, struct answer *a)
{
    if (!serve_has_redis(ps->serve, a))
        return false;
    if (ps->bytes < (size_t)ps->serve->o->max_pending)
        return true;
    answer_problem(a, 503, "overloaded",
                   "%zu bytes of jobs wait for Redis (--max-pending)",
                   ps->bytes);
    answer_header(a, "Retry-After", "1");
    return false;
}

/* ---- all of them ---- */

struct pushes *pushes_new(struct serve *s)
{
    struct pushes *ps = mem_new(sizeof(*ps));

    ps->serve = s;
    ps->flush = event_new(s->base, -1, 0, on_flush, ps);
    STAILQ_INIT(&ps->dirty);
    STAILQ_INIT(&ps->spare);
    LIST_INIT(&ps->manys);
    return ps;
}

void pushes_free(struct pushes *ps)
{
    struct load *l;
    struct many *m;

    if (!ps)
        return;
    on_flush(-1, 0, ps); /* nothing can be sent any more */
    while ((m = LIST_FIRST(&ps->manys)))
        push_many_end(m);
    while ((l = STAILQ_FIRST(&ps->spare))) {
        STAILQ_REMOVE_HEAD(&ps->spare, link);
        load_done(l);
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        struct push_target *t;
        while ((t = SLIST_FIRST(&ps->buckets[i]))) {
            SLIST_REMOVE_HEAD(&ps->buckets[i], bucket);
            target_free(t);
        }
    }
    buf_done(&ps->scratch);
    event_free(ps->flush);
    free(ps);
}

struct manys *pushes_manys(struct pushes *ps)
{
    return &ps->manys;
}

struct serve *pushes_serve(const struct pushes *ps)
{
    return ps->serve;
}
