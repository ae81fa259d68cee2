#ifndef COMMON_REDIS_SCRIPT_H
#define COMMON_REDIS_SCRIPT_H

#include "common/redis/conn.h"

/*
 * The Lua scripts of common/lua, embedded at build, called by their SHA-1.
 *
 * A NOSCRIPT answer means that nothing ran: the script is loaded on the same
 * connection and the same request sent once more, behind whatever was
 * pipelined meanwhile. Loop thread only.
 */
#define SCRIPT_LIST(X)                                                         \
    X(push)                                                                    \
    X(push_one)                                                                \
    X(register)                                                                \
    X(fetch)                                                                   \
    X(fetch_bulk)                                                              \
    X(stamp)                                                                   \
    X(settle)                                                                  \
    X(release)                                                                 \
    X(promote)                                                                 \
    X(note)                                                                    \
    X(log)                                                                     \
    X(renew)                                                                   \
    X(rebind)                                                                  \
    X(leave)                                                                   \
    X(reap)                                                                    \
    X(requeue)                                                                 \
    X(cancel)                                                                  \
    X(remove)                                                                  \
    X(purge)                                                                   \
    X(import)                                                                  \
    X(tick)                                                                    \
    X(cron_put)

enum script {
#define SCRIPT_ENUM(name) SCRIPT_##name,
    SCRIPT_LIST(SCRIPT_ENUM)
#undef SCRIPT_ENUM
        SCRIPT_COUNT
};

/*
 * Starts the arguments of a call: EVALSHA, the SHA, the number of keys. The
 * caller appends keys and then arguments.
 */
void script_args(struct args *a, enum script s, int keys);

/* Sends what script_args began. The contract is conn_call's. */
int script_call(struct conn *c, enum script s, const struct args *a,
                int64_t deadline_ms, conn_reply_cb cb, void *arg) ON_LOOP;

/*
 * Sends all scripts, without waiting: calls behind it on this connection find
 * them, and so run in the order in which they were sent (until somebody
 * flushes the scripts). What fails here fails again, and is told, there.
 */
void script_load_all(struct conn *c) ON_LOOP;

const char *script_name(enum script s);
const char *script_source(enum script s);
const char *script_sha(enum script s);

#endif
