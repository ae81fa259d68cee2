/*
 * Scripts: EVALSHA, and once more behind SCRIPT LOAD when Redis forgot it.
 *
 * NOSCRIPT means that nothing ran, so the same bytes may be sent again; they
 * are kept until the answer. When many calls of one script are in the
 * pipeline, all of them come back: the first sends the load, and the others
 * go behind it. If the load fails, its error is the better answer.
 *
 * Thread: event loop only; the table any.
 */
#include "common/redis/script.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/conn_priv.h"

static const char *const names[SCRIPT_COUNT] = {
#define SCRIPT_NAME(name) [SCRIPT_##name] = #name,
    SCRIPT_LIST(SCRIPT_NAME)
#undef SCRIPT_NAME
};

/* Digests made at build: waking OpenSSL for them would take a millisecond. */
static const struct {
    const char *sha, *source;
} scripts[SCRIPT_COUNT] = {
#include "scripts.inc"
};

struct script_call {
    struct conn *conn; /* borrowed: outlives its calls */
    enum script script;
    struct wire *wire; /* owned reference */
    int64_t deadline_ms;
    conn_reply_cb cb;
    void *arg;
    bool again;        /* this is the second time */
    struct load *load; /* borrowed; NULL if none is under way for us */
    char *load_error;  /* owned; NULL if none */
};

struct load {
    struct conn *conn; /* borrowed */
    enum script script;
    struct script_call *call; /* borrowed; NULL once it is finished */
};

_Static_assert(SCRIPT_COUNT <= 32, "conn_scripts_loading has a bit for each");

static void on_reply(void *arg, int err, const struct reply *r);
static void on_loaded(void *arg, int err, const struct reply *r);

const char *script_name(enum script s)
{
    assert(s < SCRIPT_COUNT);
    return names[s];
}

const char *script_source(enum script s)
{
    assert(s < SCRIPT_COUNT);
    return scripts[s].source;
}

const char *script_sha(enum script s)
{
    assert(s < SCRIPT_COUNT);
    return scripts[s].sha;
}

void script_args(struct args *a, enum script s, int keys)
{
    args_clear(a);
    args_str(a, "EVALSHA");
    args_str(a, script_sha(s));
    args_int(a, keys);
}

int script_call(struct conn *c, enum script s, const struct args *a,
                int64_t deadline_ms, conn_reply_cb cb, void *arg)
{
    if (!conn_is_up(c))
        return ERR_REFUSED;
    struct wire *w = wire_new(a);
    if (!w)
        return ERR_REFUSED;
    struct script_call *sc = mem_new(sizeof(*sc));
    *sc = (struct script_call){.conn = c,
                               .script = s,
                               .wire = w,
                               .deadline_ms = deadline_ms,
                               .cb = cb,
                               .arg = arg};
    int rc = conn_send(c, w, deadline_ms, false, on_reply, sc);
    if (rc != 0) {
        wire_unref(w);
        free(sc);
    }
    return rc;
}

void script_load_all(struct conn *c)
{
    for (int s = 0; s < SCRIPT_COUNT; s++) {
        struct args a = {0};
        args_str(&a, "SCRIPT");
        args_str(&a, "LOAD");
        args_str(&a, scripts[s].source);
        (void)conn_call(c, &a, clock_ms() + CONN_TIMEOUT_DEFAULT_MS, false,
                        NULL, NULL);
        args_done(&a);
    }
}

static void finish(struct script_call *sc, int err, const struct reply *r)
{
    struct script_call done = *sc;

    if (sc->load)
        sc->load->call = NULL;
    wire_unref(sc->wire);
    free(sc);
    if (r && done.load_error && reply_error_is(r, "NOSCRIPT")) {
        redisReply instead = {.type = REDIS_REPLY_ERROR,
                              .str = done.load_error,
                              .len = strlen(done.load_error)};
        done.cb(done.arg, err, (const struct reply *)(const void *)&instead);
    } else {
        done.cb(done.arg, err, r);
    }
    free(done.load_error);
}

/* Sends SCRIPT LOAD unless one is under way. */
static int load(struct script_call *sc) ON_LOOP
{
    uint32_t *loading = conn_scripts_loading(sc->conn);
    uint32_t bit = UINT32_C(1) << sc->script;
    struct args a = {0};

    if (*loading & bit)
        return 0;
    struct load *l = mem_new(sizeof(*l));
    *l = (struct load){.conn = sc->conn, .script = sc->script, .call = sc};
    args_str(&a, "SCRIPT");
    args_str(&a, "LOAD");
    args_str(&a, script_source(sc->script));
    int rc = conn_call(sc->conn, &a, sc->deadline_ms, false, on_loaded, l);
    args_done(&a);
    if (rc == 0) {
        *loading |= bit;
        sc->load = l;
    } else {
        free(l);
    }
    return rc;
}

static void on_reply(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct script_call *sc = arg;

    if (err != 0 || sc->again || !reply_error_is(r, "NOSCRIPT")) {
        finish(sc, err, r);
        return;
    }
    sc->again = true;
    int rc = load(sc);
    if (rc == 0)
        rc =
            conn_send(sc->conn, sc->wire, sc->deadline_ms, false, on_reply, sc);
    if (rc != 0)
        finish(sc, ERR_REFUSED, NULL);
}

static void on_loaded(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct load *l = arg;

    *conn_scripts_loading(l->conn) &= ~(UINT32_C(1) << l->script);
    if (l->call) {
        l->call->load = NULL;
        if (err == 0 && reply_is_error(r))
            l->call->load_error = mem_strdup(reply_error(r));
    }
    free(l);
}
