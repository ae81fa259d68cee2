/*
 * Calls of fuzz_reply: sends each verb, and reads an answer as all of them.
 *
 * A verb ends with one of its codes and a text, or with outputs that are
 * within their bounds and whose bytes can be read. Which verb an answer was
 * meant for does not matter: a hostile server chooses.
 *
 * Thread: the fuzzer's only one, which is the loop thread.
 */
#include "tests/fuzz/reply_calls.h"

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/redis/queue_admin.h"
#include "common/redis/queue_cron.h"
#include "common/redis/queue_news.h"
#include "common/redis/script.h"

enum { LEASE_MS = 15000, WAIT_MS = 1000, DEPTH_MAX = 16 };

static const char lane[] = "host-1-abc.1";
static const struct bytes job = {"{\"id\":\"1\",\"type\":\"t\"}", 21};

static const struct keys *keys(void)
{
    static struct keys k;

    if (k.queue[0] == '\0')
        keys_init(&k, "belt", "q");
    return &k;
}

static int send_get(struct conn *c, const char *marker, conn_reply_cb cb,
                    void *arg) ON_LOOP
{
    struct args a = {0};

    args_str(&a, "GET");
    args_str(&a, marker);
    int rc =
        conn_call(c, &a, clock_ms() + CONN_TIMEOUT_DEFAULT_MS, false, cb, arg);
    args_done(&a);
    return rc;
}

static int send_settle(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct ref ref = {job, 0};
    struct settle_add add = {.where = SETTLE_DEAD, .envelope = job};
    struct settle s = {.cumulative = 1,
                       .last = ref,
                       .selective = &ref,
                       .selective_count = 1,
                       .adds = &add,
                       .add_count = 1};

    return queue_settle(c, keys(), lane, &s, cb, arg);
}

static int send_requeue(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct requeue_job one = {.member = job,
                              .envelope = job,
                              .id = "1",
                              .unique = "key",
                              .keep = true};

    return queue_requeue(c, keys(), QUEUE_DEAD, false, &one, 1, cb, arg);
}

static int send_remove(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct remove_job one = {
        .member = job, .id = "1", .unique = "key", .keep_ms = 1};

    return queue_remove(c, keys(), QUEUE_RETRY, true, &one, 1, cb, arg);
}

static int send_one(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    static const struct unique unique = {.key = "k"};
    struct push_one p = {.envelope = job, .id = "1", .unique = &unique};

    return queue_push_one(c, keys(), &p, cb, arg);
}

static int send_note(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    static const struct bytes fields[] = {{"state", 5}, {"active", 6}};
    struct note_job note = {.id = "1",
                            .unlock = "key",
                            .keep = true,
                            .fields = fields,
                            .field_count = 2};

    return queue_note(c, keys(), lane, &note, 1, cb, arg);
}

static int send_log(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct log_job one = {
        .id = "1", .run = "r", .first = 1, .lines = &job, .count = 1};

    return queue_log(c, keys(), lane, &one, 1, cb, arg);
}

static int send_tick(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct tick_job one = {.id = "1", .envelope = job};
    struct tick t = {.name = "n",
                     .entry = job,
                     .due_ms = 1,
                     .next_ms = 2,
                     .keep = true,
                     .type = "t",
                     .jobs = &one,
                     .count = 1};

    return queue_tick(c, keys(), &t, cb, arg);
}

static int send_purge(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct purge_job one = {
        .job = job, .id = "1", .unique = "key", .keep = true};

    return queue_purge(c, keys(), &one, 1, cb, arg);
}

static int send_import(struct conn *c, conn_reply_cb cb, void *arg) ON_LOOP
{
    struct import_job one = {.died_ms = 1, .envelope = job};

    return queue_import(c, keys(), &one, 1, cb, arg);
}

int call_send(struct conn *c, unsigned kind, const char *marker,
              conn_reply_cb cb, void *arg)
{
    const struct keys *k = keys();
    struct ref ref = {job, 0};
    const char *ids = "1";

    switch (kind % CALL_KINDS) {
    case 1:
        return queue_push(c, k, false, &job, 1, cb, arg);
    case 2:
        return queue_register(c, k, lane, LEASE_MS, "{}", cb, arg);
    case 3:
        return queue_fetch(c, k, lane, 100, 1 << 20, "01ABCDEFGHJKMNPQRSTVWXY",
                           cb, arg);
    case 4:
        return queue_block(c, k, lane, WAIT_MS, cb, arg);
    case 5:
        return queue_block_pop(c, k, WAIT_MS, cb, arg);
    case 6:
        return queue_pop(c, k, 10, cb, arg);
    case 7:
        return queue_stamp(c, k, lane, 0, job, job, cb, arg);
    case 8:
        return send_settle(c, cb, arg);
    case 9:
        return queue_release(c, k, lane, &ref, 1, cb, arg);
    case 10:
        return queue_promote(c, k, cb, arg);
    case 11:
        return queue_renew(c, k, lane, LEASE_MS, 7, cb, arg);
    case 12:
        return queue_rebind(c, k, lane, "host-1-abc.2", LEASE_MS, "{}", cb,
                            arg);
    case 13:
        return queue_leave(c, k, lane, cb, arg);
    case 14:
        return queue_reap(c, k, lane, REAP_EXPIRED, cb, arg);
    case 15:
        return queue_fetch_bulk(c, k, lane, 100, 1 << 20, 1, cb, arg);
    case 16:
        return queue_list_active(c, k, lane, 1, -1, cb, arg);
    case 17:
        return send_requeue(c, cb, arg);
    case 18:
        return send_remove(c, cb, arg);
    case 19:
        return send_one(c, cb, arg);
    case 20:
        return send_note(c, cb, arg);
    case 21:
        return send_tick(c, cb, arg);
    case 22:
        return queue_cron_put(c, k, "n", job, job, 1, cb, arg);
    case 23:
        return send_purge(c, cb, arg);
    case 24:
        return send_import(c, cb, arg);
    case 25:
        return queue_cancel(c, k, &ids, 1, cb, arg);
    case 26:
        return queue_marks(c, k, 10, cb, arg);
    case 27:
        return send_log(c, cb, arg);
    default:
        return send_get(c, marker, cb, arg);
    }
}

/* Reads all bytes, so that a sanitizer sees those that are not ours. */
static void touch(struct bytes b)
{
    unsigned sum = 0;

    for (size_t i = 0; i < b.len; i++)
        sum += (unsigned char)b.p[i];
    assert(sum <= b.len * 255);
}

/* Looks at all parts of a reply. Returns the bytes of its texts. */
static size_t walk(const struct reply *r, unsigned depth)
{
    struct bytes text = {"", 0};
    int64_t n;

    assert(depth < DEPTH_MAX);
    if (reply_str(r, &text.p, &text.len)) {
        touch(text);
        assert(text.p[text.len] == '\0');
        assert(!reply_is_error(r) && !reply_is_nil(r) && reply_len(r) == 0);
    }
    assert(reply_is_error(r) || reply_error(r)[0] == '\0');
    touch((struct bytes){reply_error(r), strlen(reply_error(r))});
    (void)reply_error_is(r, "NOSCRIPT");
    (void)reply_int(r, &n);
    size_t total = text.len + strlen(reply_error(r));
    for (size_t i = 0; i < reply_len(r); i++)
        total += walk(reply_at(r, i), depth + 1);
    assert(reply_at(r, reply_len(r)) == NULL);
    return total;
}

/* rc of a verb: one of its codes, with a text unless it is 0. */
static bool is_read(int rc, int err, const struct errbuf *eb)
{
    assert(err == 0 || rc == err);
    assert(rc == 0 || rc == ERR_FENCED || rc == ERR_REDIS ||
           rc == ERR_MISSING || rc == ERR_INVALID || rc == ERR_FULL ||
           (rc == err && (rc == ERR_REFUSED || rc == ERR_UNKNOWN)));
    assert(rc == 0 || eb->text[0] != '\0');
    return rc == 0;
}

static bool is_count(int64_t n)
{
    return n >= 0 && n <= QUEUE_COUNT_MAX;
}

static bool is_wait(int64_t ms)
{
    return ms >= -QUEUE_WAIT_MAX_MS && ms <= QUEUE_WAIT_MAX_MS;
}

static void read_jobs(int err, const struct reply *r)
{
    struct fetch_result fetched;
    struct bytes b = {"", 0};
    struct errbuf eb = {""};
    size_t count = 0;
    int64_t settles = 0;

    if (is_read(queue_fetch_result(err, r, &fetched, &eb), err, &eb)) {
        assert(fetched.count == (fetched.paused ? 0 : reply_len(r) - 3));
        assert(fetched.fence <= INT64_MAX - (int64_t)fetched.count);
        for (size_t i = 0; i < fetched.count; i++)
            if (queue_fetch_job(r, i, &b))
                touch(b);
        assert(!queue_fetch_job(r, reply_len(r), &b));
    }
    eb.text[0] = '\0';
    if (is_read(queue_rebind_result(err, r, &settles, &count, &eb), err, &eb)) {
        for (size_t i = 0; i < count; i++)
            if (queue_rebind_job(r, i, &b))
                touch(b);
        assert(!queue_rebind_job(r, count, &b));
    }
    eb.text[0] = '\0';
    if (is_read(queue_block_result(err, r, &b, &eb), err, &eb) && b.p != NULL)
        touch(b);
}

static void read_bulk(int err, const struct reply *r)
{
    struct fetch_result fetched;
    struct bytes b;
    struct errbuf eb = {""};
    size_t count = 0;

    if (is_read(queue_fetch_bulk_result(err, r, &fetched, &eb), err, &eb)) {
        assert(fetched.count <= QUEUE_BATCH_MAX);
        assert(fetched.fence <= INT64_MAX - (int64_t)fetched.count);
        assert(!(fetched.refused || fetched.paused) || fetched.count == 0);
        assert(!(fetched.refused && fetched.paused));
    }
    eb.text[0] = '\0';
    if (is_read(queue_list_active_result(err, r, &count, &eb), err, &eb)) {
        assert(count == reply_len(r));
        for (size_t i = 0; i < count; i++)
            if (queue_list_active_job(r, i, &b))
                touch(b);
        assert(!queue_list_active_job(r, count, &b));
    }
}

static void read_renew(int err, const struct reply *r)
{
    struct renew_result res;
    struct errbuf eb = {""};

    if (!is_read(queue_renew_result(err, r, &res, &eb), err, &eb))
        return;
    assert(is_count(res.now_ms) && is_count(res.active) && is_count(res.ready));
    assert(is_wait(res.next_due_ms) && is_wait(res.oldest_left_ms));
    assert(is_wait(res.paused_left_ms) && is_wait(res.cron_due_ms));
    assert(is_count(res.outbox));
    assert(memchr(res.oldest_lane, '\0', sizeof(res.oldest_lane)) != NULL);
}

static void read_pushes(int err, const struct reply *r)
{
    struct push_result pushed = {0};
    struct push_one_result one = {0};
    struct errbuf eb = {""};

    (void)is_read(queue_push_result(err, r, &pushed, &eb), err, &eb);
    assert(is_count(pushed.depth) && is_count(pushed.accepted));
    eb.text[0] = '\0';
    if (is_read(queue_push_one_result(err, r, &one, &eb), err, &eb))
        assert(one.state <= PUSH_REPLACED);
    assert(is_count(one.depth));
    assert(memchr(one.holder, '\0', sizeof(one.holder)) != NULL);
}

static void read_numbers(int err, const struct reply *r)
{
    struct reap_result reaped;
    struct errbuf eb = {""};
    int64_t n, next_ms;

    if (is_read(queue_register_result(err, r, &n, &eb), err, &eb))
        assert(is_count(n));
    if (is_read(queue_leave_result(err, r, &n, &eb), err, &eb))
        assert(is_count(n));
    (void)is_read(queue_stamp_result(err, r, &n, &eb), err, &eb);
    (void)is_read(queue_unpop_result(err, r, &eb), err, &eb);
    if (is_read(queue_promote_result(err, r, &n, &next_ms, &eb), err, &eb))
        assert(is_count(n) && is_wait(next_ms));
    if (is_read(queue_reap_result(err, r, &reaped, &eb), err, &eb))
        assert(is_count(reaped.moved) && is_count(reaped.left));
}

static void read_admin(int err, const struct reply *r)
{
    struct errbuf eb = {""};
    struct bytes holder = {"", 0};
    int64_t n, place;
    size_t refused = 0;

    if (is_read(queue_requeue_result(err, r, &n, &refused, &eb), err, &eb)) {
        assert(is_count(n) && 2 * refused + 2 == reply_len(r));
        for (size_t i = 0; i < refused; i++)
            if (queue_requeue_refused(r, i, &place, &holder) && holder.p)
                touch(holder);
        assert(!queue_requeue_refused(r, refused, &place, &holder));
    }
    eb.text[0] = '\0';
    if (is_read(queue_remove_result(err, r, &n, &eb), err, &eb))
        assert(is_count(n));
    eb.text[0] = '\0';
    if (is_read(queue_purge_result(err, r, &n, &eb), err, &eb))
        assert(is_count(n));
    eb.text[0] = '\0';
    if (is_read(queue_import_result(err, r, &n, &eb), err, &eb))
        assert(is_count(n));
}

static void read_cron(int err, const struct reply *r)
{
    struct errbuf eb = {""};
    enum tick_state state = TICK_PUSHED;
    int64_t n = 0;

    if (is_read(queue_tick_result(err, r, &state, &n, &eb), err, &eb))
        assert(state <= TICK_STALE && is_count(n));
    eb.text[0] = '\0';
    (void)is_read(queue_cron_put_result(err, r, &eb), err, &eb);
}

static void read_marks(int err, const struct reply *r)
{
    struct errbuf eb = {""};
    struct bytes id;
    int64_t n;

    if (is_read(queue_cancel_result(err, r, &n, &eb), err, &eb))
        assert(is_count(n));
    eb.text[0] = '\0';
    if (!is_read(queue_marks_result(err, r, &eb), err, &eb))
        return;
    for (size_t i = 0; i < reply_len(r); i++)
        if (queue_marks_id(r, i, &id, &n))
            touch(id);
}

size_t call_read(int err, const struct reply *r)
{
    struct errbuf eb = {""};
    size_t bytes = walk(r, 0);

    read_jobs(err, r);
    read_bulk(err, r);
    read_renew(err, r);
    read_pushes(err, r);
    read_numbers(err, r);
    read_admin(err, r);
    read_cron(err, r);
    (void)is_read(queue_settle_result(err, r, &eb), err, &eb);
    (void)is_read(queue_release_result(err, r, &eb), err, &eb);
    (void)is_read(queue_note_result(err, r, &eb), err, &eb);
    (void)is_read(queue_log_result(err, r, &eb), err, &eb);
    read_marks(err, r);
    return bytes;
}
