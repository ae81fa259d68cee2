#ifndef COMMON_REDIS_CONN_PRIV_H
#define COMMON_REDIS_CONN_PRIV_H

#include "common/redis/conn.h"

/*
 * What scripts and transactions need of a connection and other callers do not:
 * the bytes of a command, kept so that they can be sent again, or made before
 * another is sent. Loop thread only.
 */
struct wire {
    int refs;
    size_t len;
    char bytes[];
};

/* Returns an owned reference, or NULL when the command is too big to send. */
struct wire *wire_new(const struct args *a);
struct wire *wire_ref(struct wire *w); /* returns w with one more reference */
void wire_unref(struct wire *w);       /* NULL is a no-op */

/* conn_call with bytes that exist; the connection takes its own reference. */
int conn_send(struct conn *c, struct wire *w, int64_t deadline_ms,
              bool blocking, conn_reply_cb cb, void *arg) ON_LOOP;

/*
 * Scripts whose SCRIPT LOAD is under way on this connection, a bit each, kept
 * by script.c: of the calls that one SCRIPT FLUSH hits, the first loads.
 */
uint32_t *conn_scripts_loading(struct conn *c) ON_LOOP;

#endif
