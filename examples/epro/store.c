/*
 * Store: SQLite, from several threads of several workers.
 *
 * A commit is on the disk when it returns (synchronous = FULL): Redis is told
 * that a report is done only then. One transaction writes at a time; threads
 * of a worker queue up at a mutex, workers at SQLite's own lock.
 */
#include "store.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct store {
    char *path;
    int busy_ms;
    pthread_key_t key;    /* the connection of a thread */
    pthread_mutex_t lock; /* of connections */
    pthread_mutex_t writing;
    struct connection *connections;
};

/* The member of a report, with its type: what a phone sends may be anything. */
#define FIELD(name)                                                            \
    "json_type(j, '$." name "'), json_extract(j, '$." name "'), "

static const char *const texts[] = {
    [ST_FIELDS] = "SELECT " FIELD("report") FIELD("patient") FIELD("instrument")
        FIELD("completed_at")
            FIELD("comment") "json_type(j), json_type(j, '$.answers'),"
                             " json_array_length(j, '$.answers')"
                             " FROM (SELECT ?1 AS j WHERE json_valid(?1))",
    [ST_ANSWERS] = "SELECT type, value FROM json_each(?1, '$.answers')"
                   " ORDER BY key",
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_PATIENT] = "SELECT 1 FROM patient WHERE id = ?1",
    [ST_REPORT] = "INSERT INTO report (id, patient, instrument, completed_at,"
                  " answers, total, severity, alert, comment, job,"
                  " stored_at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
                  " ?10, ?11) ON CONFLICT (id) DO NOTHING",
    [ST_IS_SAME] = "SELECT (patient, instrument, completed_at, answers,"
                   " comment) = (?2, ?3, ?4, ?5, ?9)"
                   " FROM report WHERE id = ?1",
    [ST_ALERT_JOB] = "SELECT json_object('id', 'alert-' || id,"
                     " 'type', 'epro.alert', 'queue', 'alerts',"
                     " 'unique', 'alert-' || id,"
                     " 'payload', json_object('report', id,"
                     "  'patient', patient, 'why', alert))"
                     " FROM report WHERE id = ?1 AND alert <> ''",
    [ST_ALERT] = "INSERT INTO alert (report, patient, text, job, raised_at_us)"
                 " SELECT id, patient, patient || ': ' || instrument || ' of '"
                 "  || completed_at || ' has ' || total || ' (' || severity"
                 "  || '), answers ' || answers || ': ' || alert, ?2, ?3"
                 " FROM report WHERE id = ?1 AND alert <> ''"
                 " ON CONFLICT (report) DO NOTHING",
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/*
 * SQLite's own way to wait for a lock sleeps for up to 100 ms at a time. Those
 * who have it here are gone within one or two.
 */
enum { POLL_US = 500 };

static int on_busy(void *arg, int tries)
{
    const struct store *s = arg;

    if ((int64_t)tries * POLL_US >= (int64_t)s->busy_ms * 1000)
        return 0;
    (void)usleep(POLL_US);
    return 1;
}

static void connection_free(struct connection *c)
{
    if (c == NULL)
        return;
    for (int i = 0; i < ST_COUNT; i++)
        (void)sqlite3_finalize(c->statements[i]);
    (void)sqlite3_close(c->db);
    free(c);
}

static struct connection *connection_new(struct store *s, char *err,
                                         size_t err_size)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        (void)snprintf(err, err_size, "out of memory");
        return NULL;
    }
    int rc = sqlite3_open_v2(s->path, &c->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_handler(c->db, on_busy, s);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db,
                          "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
                          NULL, NULL, NULL);
    for (int i = 0; rc == SQLITE_OK && i < ST_COUNT; i++)
        rc = sqlite3_prepare_v3(c->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &c->statements[i], NULL);
    if (rc == SQLITE_OK)
        return c;
    (void)snprintf(err, err_size, "%s: %s", s->path, store_why(c));
    connection_free(c);
    return NULL;
}

struct connection *store_connection(struct store *s, char *err, size_t err_size)
{
    struct connection *c = pthread_getspecific(s->key);

    if (c != NULL)
        return c;
    c = connection_new(s, err, err_size);
    if (c == NULL)
        return NULL;
    if (pthread_setspecific(s->key, c) != 0) {
        (void)snprintf(err, err_size, "out of memory");
        connection_free(c);
        return NULL;
    }
    (void)pthread_mutex_lock(&s->lock);
    c->next = s->connections;
    s->connections = c;
    (void)pthread_mutex_unlock(&s->lock);
    return c;
}

struct store *store_open(const char *path, int busy_ms, char *err,
                         size_t err_size)
{
    struct store *s = calloc(1, sizeof(*s));

    if (s == NULL || (s->path = strdup(path)) == NULL ||
        pthread_key_create(&s->key, NULL) != 0) {
        (void)snprintf(err, err_size, "out of memory");
        if (s != NULL)
            free(s->path);
        free(s);
        return NULL;
    }
    s->busy_ms = busy_ms;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->writing, NULL);
    /* Opened once to see that the tables are there. */
    struct connection *c = connection_new(s, err, err_size);
    if (c == NULL) {
        store_close(s);
        return NULL;
    }
    connection_free(c);
    return s;
}

void store_close(struct store *s)
{
    while (s->connections != NULL) {
        struct connection *c = s->connections;
        s->connections = c->next;
        connection_free(c);
    }
    (void)pthread_key_delete(s->key);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_destroy(&s->writing);
    free(s->path);
    free(s);
}

/* Runs a statement for its effect; SQLITE_ROW counts as well. */
static bool run(struct connection *c, enum statement which)
{
    sqlite3_stmt *st = c->statements[which];
    int rc = sqlite3_step(st);

    /* The error of a reset is that of the step. */
    return sqlite3_reset(st) == SQLITE_OK &&
           (rc == SQLITE_DONE || rc == SQLITE_ROW);
}

/* The first column of the only row; -1: no row; -2: an error. */
static int ask(struct connection *c, enum statement which)
{
    sqlite3_stmt *st = c->statements[which];
    int rc = sqlite3_step(st);
    int value = rc == SQLITE_ROW    ? sqlite3_column_int(st, 0)
                : rc == SQLITE_DONE ? -1
                                    : -2;

    (void)sqlite3_reset(st);
    return value;
}

static bool bind(struct connection *c, enum statement which, int n,
                 const char *text)
{
    return sqlite3_bind_text(c->statements[which], n, text, -1,
                             SQLITE_TRANSIENT) == SQLITE_OK;
}

/* The answers as they are stored: [1,0,2]. */
static const char *answers_text(const struct report *r, char *out, size_t size)
{
    size_t at = 0;

    for (unsigned i = 0; i < r->instrument->items; i++)
        at += (size_t)snprintf(out + at, size - at, "%c%u", i > 0 ? ',' : '[',
                               r->answers[i]);
    (void)snprintf(out + at, size - at, "]");
    return out;
}

/* What ST_REPORT inserts and ST_IS_SAME compares have the same numbers. */
static bool bind_report(struct connection *c, enum statement which,
                        const struct report *r)
{
    char answers[2 * ITEMS_MAX + 2];

    return bind(c, which, 1, r->id) && bind(c, which, 2, r->patient) &&
           bind(c, which, 3, r->instrument->name) &&
           bind(c, which, 4, r->completed_at) &&
           bind(c, which, 5, answers_text(r, answers, sizeof(answers))) &&
           bind(c, which, 9, r->comment);
}

/* The rest of a new row. */
static bool bind_new(struct connection *c, const struct report *r,
                     const char *job)
{
    sqlite3_stmt *st = c->statements[ST_REPORT];

    return bind_report(c, ST_REPORT, r) &&
           sqlite3_bind_int64(st, 6, r->total) == SQLITE_OK &&
           bind(c, ST_REPORT, 7, r->severity) &&
           bind(c, ST_REPORT, 8, r->alert) && bind(c, ST_REPORT, 10, job) &&
           sqlite3_bind_int64(st, 11, now_us()) == SQLITE_OK;
}

/* Inside a transaction. */
static enum stored insert_report(struct connection *c, const struct report *r,
                                 const char *job)
{
    if (!bind(c, ST_PATIENT, 1, r->patient))
        return STORED_NOT_NOW;
    int known = ask(c, ST_PATIENT);
    if (known != 1)
        return known == -1 ? STORED_NO_PATIENT : STORED_NOT_NOW;
    if (!bind_new(c, r, job) || !run(c, ST_REPORT))
        return STORED_NOT_NOW;
    if (sqlite3_changes(c->db) == 1)
        return STORED_NEW;
    if (!bind_report(c, ST_IS_SAME, r))
        return STORED_NOT_NOW;
    int same = ask(c, ST_IS_SAME);
    return same == 1   ? STORED_ALREADY
           : same == 0 ? STORED_OTHERWISE
                       : STORED_NOT_NOW;
}

/* Inside a transaction. */
static enum stored insert_alert(struct connection *c, const char *report,
                                const char *job)
{
    sqlite3_stmt *st = c->statements[ST_ALERT];

    if (!bind(c, ST_ALERT_JOB, 1, report))
        return STORED_NOT_NOW;
    int needed = ask(c, ST_ALERT_JOB); /* 0: its text is no number */
    if (needed < 0)
        return needed == -1 ? STORED_OTHERWISE : STORED_NOT_NOW;
    if (!bind(c, ST_ALERT, 1, report) || !bind(c, ST_ALERT, 2, job) ||
        sqlite3_bind_int64(st, 3, now_us()) != SQLITE_OK || !run(c, ST_ALERT))
        return STORED_NOT_NOW;
    return sqlite3_changes(c->db) == 1 ? STORED_NEW : STORED_ALREADY;
}

/* A rollback has an end of its own: what went wrong is kept. */
static void note_error(struct connection *c)
{
    c->code = sqlite3_errcode(c->db);
    (void)snprintf(c->why, sizeof(c->why), "%s", store_why(c));
}

/* Ends a transaction: what is not stored in full is not there at all. */
static enum stored finish(struct store *s, struct connection *c,
                          enum stored stored)
{
    if (stored == STORED_NEW && !run(c, ST_COMMIT))
        stored = STORED_NOT_NOW;
    if (stored == STORED_NOT_NOW)
        note_error(c);
    if (stored != STORED_NEW && sqlite3_get_autocommit(c->db) == 0)
        (void)run(c, ST_ROLLBACK);
    (void)pthread_mutex_unlock(&s->writing);
    return stored;
}

enum stored store_report(struct store *s, struct connection *c,
                         const struct report *r, const char *job)
{
    (void)pthread_mutex_lock(&s->writing);
    return finish(s, c,
                  run(c, ST_BEGIN) ? insert_report(c, r, job) : STORED_NOT_NOW);
}

enum stored store_alert(struct store *s, struct connection *c,
                        const char *report, const char *job)
{
    (void)pthread_mutex_lock(&s->writing);
    return finish(
        s, c, run(c, ST_BEGIN) ? insert_alert(c, report, job) : STORED_NOT_NOW);
}

int store_alert_job(struct connection *c, const char *report,
                    char out[ALERT_JOB_MAX])
{
    sqlite3_stmt *st = c->statements[ST_ALERT_JOB];
    int rc = bind(c, ST_ALERT_JOB, 1, report) ? sqlite3_step(st) : SQLITE_NOMEM;

    out[0] = '\0';
    if (rc == SQLITE_ROW)
        (void)snprintf(out, ALERT_JOB_MAX, "%s",
                       (const char *)sqlite3_column_text(st, 0));
    else if (rc != SQLITE_DONE)
        note_error(c);
    /* Or it would go on reading what was there at this moment. */
    (void)sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

const char *store_why(const struct connection *c)
{
    return c->db != NULL ? sqlite3_errmsg(c->db) : "out of memory";
}
