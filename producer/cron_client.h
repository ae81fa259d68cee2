#ifndef PRODUCER_CRON_CLIENT_H
#define PRODUCER_CRON_CLIENT_H

#include "common/job/cron_entry.h"
#include "common/redis/queue_cron.h"
#include "producer/client.h"

/*
 * One periodic job of a queue: reading its entry, writing it over the one that
 * was read, and running it. One thread at a time, that of the client.
 */
struct cron_client {
    struct client *client; /* borrowed */
    struct keys keys;
    char *was; /* owned: the entry that was read; NULL: none */
    size_t was_len;
    int64_t due_ms;              /* of that; -1: it is not due */
    char holder[ID_MAX_LEN + 1]; /* the job that has its lock; "": none */

    bool stale;    /* others changed it all the time: so the change failed */
    bool answered; /* of the call that writes */
    int rc;
    struct errbuf eb;
};

/* What may be said of an entry, beside what cron_entry.h bounds. */
#define CRON_TIMES_MAX 1000000000
#define CRON_SPAN_MAX_MS (366 * 86400000LL)

void cron_client_init(struct cron_client *c, struct client *client,
                      const char *ns, const char *queue);
void cron_client_done(struct cron_client *c);

/*
 * Reads the entry of that name. Like those below it returns 0, or the status
 * of a failure that was told.
 */
int cron_client_read(struct cron_client *c, const char *name);

/* What was read as an entry, owned; told if there is none, or no valid one. */
int cron_client_parse(struct cron_client *c, const char *name,
                      struct cron_entry **ret);

/*
 * Writes entry (p NULL: removes it) over what was read. *ret_stale: somebody
 * has changed it meanwhile, so read again; else the same returns.
 */
int cron_client_put(struct cron_client *c, const char *name, struct bytes entry,
                    int64_t due_ms, bool *ret_stale);

/* The next instant of an entry after Redis' now; told if its zone is none. */
int cron_client_next(struct cron_client *c, const struct cron_entry *e,
                     int64_t *ret_ms);

/* From when on its instants are to be told: from the one that is due. */
int64_t cron_client_from(const struct cron_client *c,
                         const struct cron_entry *e, int64_t now_ms);

/*
 * What becomes of the entry that was read. Returns 0 with the new one appended
 * to out (nothing: it goes), or an exit status that was told.
 */
typedef int (*cron_decide_fn)(struct cron_client *c, const char *name,
                              void *arg, struct buf *out, int64_t *ret_due_ms);

/* Reads, decides and writes, again if somebody else was faster. */
int cron_client_change(struct cron_client *c, const char *name,
                       cron_decide_fn decide, void *arg);

/* Puts the entry there, due when it was if it comes at the same instants. */
int cron_client_add(struct cron_client *c, const struct cron_entry *e);

/* Removes it; told if there is none. */
int cron_client_remove(struct cron_client *c, const char *name);

/* Pauses it, or lets it go on from now; told if there is none. */
int cron_client_pause(struct cron_client *c, const char *name, bool pause);

/* Pushes one job of the entry, out of turn. */
struct cron_run {
    char id[ID_MAX_LEN + 1];
    int err; /* as of queue_push_one_result; 0 though it was held */
    bool held;
    char holder[ID_MAX_LEN + 1]; /* then: who has not ended */
    struct errbuf eb;            /* of err */
};
int cron_client_run(struct cron_client *c, const struct cron_entry *e,
                    struct cron_run *ret);

/* "2026-03-29 03:00:00 CEST". */
#define CRON_LOCAL_MAX 64
void cron_format_local(const struct zone *z, int64_t at_ms,
                       char out[CRON_LOCAL_MAX]);

#endif
