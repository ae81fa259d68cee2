#ifndef EPRO_STORE_H
#define EPRO_STORE_H

#include <stddef.h>

#include <sqlite3.h>

#include "report.h"

/*
 * The store: one SQLite file in WAL mode, one connection for each thread that
 * uses it, all closed together.
 */
struct store;

/* The statements that a connection has prepared: store.c has their text. */
enum statement {
    ST_FIELDS,  /* of a report that is JSON */
    ST_ANSWERS, /* the same: its answers, a row each */
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_PATIENT,
    ST_REPORT,
    ST_IS_SAME,
    ST_ALERT_JOB,
    ST_ALERT,
    ST_COUNT
};

struct connection {
    struct connection *next; /* of the store */
    sqlite3 *db;
    sqlite3_stmt *statements[ST_COUNT];
    int code; /* of the last STORED_NOT_NOW */
    char why[WHY_MAX];
};

/*
 * Opens the file, which has to be there, with the tables of schema.sql.
 * busy_ms: how long a connection waits for a lock that another process has.
 * Returns owned, or NULL with why in err.
 */
struct store *store_open(const char *path, int busy_ms, char *err,
                         size_t err_size);
void store_close(struct store *s); /* when no thread uses it any more */

/* Lends the connection of this thread; NULL with why in err. */
struct connection *store_connection(struct store *s, char *err,
                                    size_t err_size);

/* What became of something that was to be stored. */
enum stored {
    STORED_NEW,
    STORED_ALREADY,   /* the same is there */
    STORED_OTHERWISE, /* something else is there under its id */
    STORED_NO_PATIENT,
    STORED_NOT_NOW, /* SQLite says no, see code and why; nothing was changed */
};

/*
 * Stores a report, in a transaction of its own: it is on the disk, or nothing
 * is. The first of two with one id counts.
 */
enum stored store_report(struct store *s, struct connection *c,
                         const struct report *r, const char *job);

enum { ALERT_JOB_MAX = 1024 };

/*
 * The job that the stored report needs: an envelope for a queue called alerts,
 * the same whenever it is asked for; "": it needs none. Returns 0, or -1 with
 * why in the connection.
 */
int store_alert_job(struct connection *c, const char *report,
                    char out[ALERT_JOB_MAX]);

/* Records the alert of a stored report. STORED_OTHERWISE: there is none. */
enum stored store_alert(struct store *s, struct connection *c,
                        const char *report, const char *job);

/* SQLite's last error on this connection. */
const char *store_why(const struct connection *c);

#endif
