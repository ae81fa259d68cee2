/*
 * Append: a transaction that pushes many envelopes.
 *
 * The script travels as text, because in a transaction NOSCRIPT would come
 * too late: the RPUSH has run by then. A command that Redis refuses to queue
 * makes EXEC answer EXECABORT, which means that nothing ran; the reason was
 * the answer of that command, so the first such answer is kept.
 *
 * All commands are made before the first is sent: there may be no memory for
 * the RPUSH, and a MULTI cannot be taken back.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/append.h"

#include <assert.h>

#include "common/base/clock.h"
#include "common/redis/conn_priv.h"
#include "common/redis/script.h"

enum { MULTI, RPUSH, SCRIPT, EXEC, COMMANDS };
enum { MARK_BYTES = 256 }; /* of an envelope; push.lua knows the number */

static void on_probed(void *arg, int err, const struct reply *r);
static void on_queued(void *arg, int err, const struct reply *r);

/* Sends what is in a, and empties it. */
static int call(struct conn *c, struct args *a, conn_reply_cb cb,
                void *arg) ON_LOOP
{
    int rc = conn_call(c, a, clock_ms() + QUEUE_DEADLINE_MS, false, cb, arg);

    args_clear(a);
    return rc;
}

void append_probe(struct conn *c, bool *ret)
{
    struct args a = {0};

    *ret = false;
    args_str(&a, "MULTI");
    (void)call(c, &a, NULL, NULL);
    args_str(&a, "EVAL");
    args_str(&a, "return 1");
    args_str(&a, "0");
    (void)call(c, &a, NULL, NULL);
    args_str(&a, "EXEC");
    (void)call(c, &a, on_probed, ret);
    args_done(&a);
}

static void on_probed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    bool *may = arg;
    int64_t one;

    *may = err == 0 && reply_int(reply_at(r, 0), &one);
}

static struct wire *word(const char *s)
{
    struct args a = {0};

    args_str(&a, s);
    struct wire *w = wire_new(&a);
    args_done(&a);
    return w;
}

static struct wire *rpush(const struct keys *k, const struct bytes *envelopes,
                          unsigned n)
{
    struct args a = {0};

    args_str(&a, "RPUSH");
    args_str(&a, k->ready);
    for (unsigned i = 0; i < n; i++)
        args_mem(&a, envelopes[i].p, envelopes[i].len);
    struct wire *w = wire_new(&a);
    args_done(&a);
    return w;
}

static struct wire *script(const struct keys *k, struct bytes last, unsigned n)
{
    struct args a = {0};
    char minute[KEY_MAX];

    keys_stats_minute(k, clock_wall_ms(), minute);
    args_str(&a, "EVAL");
    args_str(&a, script_source(SCRIPT_push));
    args_int(&a, 4);
    args_str(&a, k->ready);
    args_str(&a, k->config);
    args_str(&a, k->stats);
    args_str(&a, minute);
    args_str(&a, "2");
    args_int(&a, QUEUE_FORMAT);
    args_int(&a, n);
    args_mem(&a, last.p, last.len < MARK_BYTES ? last.len : MARK_BYTES);
    struct wire *w = wire_new(&a);
    args_done(&a);
    return w;
}

/* Without EXEC, which is the last, none of them runs. */
static int send_all(struct conn *c, struct wire *const *w,
                    struct errbuf *refusal, conn_reply_cb cb, void *arg) ON_LOOP
{
    int64_t deadline_ms = clock_ms() + QUEUE_DEADLINE_MS;
    int rc = 0;

    for (int i = 0; i < EXEC && rc == 0; i++)
        rc = conn_send(c, w[i], deadline_ms, false, on_queued, refusal);
    if (rc == 0)
        rc = conn_send(c, w[EXEC], deadline_ms, false, cb, arg);
    return rc;
}

int append_send(struct conn *c, const struct keys *k,
                const struct bytes *envelopes, unsigned n,
                struct errbuf *refusal, conn_reply_cb cb, void *arg)
{
    assert(n > 0 && n <= QUEUE_BATCH_MAX);
    refusal->text[0] = '\0';
    struct wire *w[COMMANDS] = {
        [MULTI] = word("MULTI"),
        [RPUSH] = rpush(k, envelopes, n),
        [SCRIPT] = script(k, envelopes[n - 1], n),
        [EXEC] = word("EXEC"),
    };
    int rc = 0;
    for (int i = 0; i < COMMANDS; i++) {
        if (!w[i])
            rc = ERR_NOMEM;
    }
    if (rc == 0)
        rc = send_all(c, w, refusal, cb, arg);
    for (int i = 0; i < COMMANDS; i++)
        wire_unref(w[i]);
    return rc;
}

static void on_queued(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct errbuf *refusal = arg;

    if (err == 0 && reply_is_error(r) && refusal->text[0] == '\0')
        errbuf_set(refusal, ERR_REDIS, "%s", reply_error(r));
}

int append_result(int err, const struct reply *r, const struct errbuf *refusal,
                  struct push_result *ret, struct errbuf *eb)
{
    const char *why = refusal->text;

    if (err == 0 && reply_is_error(r)) {
        int rc = reply_error_is(r, "EXECABORT") ? ERR_REDIS : ERR_UNKNOWN;
        return errbuf_set(eb, rc, "push: %s",
                          why[0] != '\0' ? why : reply_error(r));
    }
    if (err == 0 && reply_is_error(reply_at(r, 0)))
        return queue_push_result(0, reply_at(r, 0), ret, eb);
    int rc = queue_push_result(err, reply_at(r, 1), ret, eb);
    /* Without a clear word of the script the envelopes may be there. */
    return rc == ERR_REDIS ? ERR_UNKNOWN : rc;
}
