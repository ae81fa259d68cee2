/*
 * Connections: opened when there is none to be had, kept until the worker ends.
 *
 * A connection is used by one thread at a time, so SQLite needs no locks of its
 * own for it. The findings are in WAL mode: the parts of one centre are read
 * while another one is written. What is committed there is on the disk, since
 * Redis is told next that the job is done.
 */
#include "db.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS = 20000, /* for other workers that write */
    TRY_MS = 10,
    URI = 3 * 4096 + 32
};

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS run (run TEXT PRIMARY KEY,"
    " exported TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    /* fence: of the latest delivery; what an earlier one writes is refused. */
    "CREATE TABLE IF NOT EXISTS run_centre (run TEXT NOT NULL REFERENCES run,"
    " centre INTEGER NOT NULL, name TEXT NOT NULL,"
    " fence INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0,"
    " patients INTEGER NOT NULL DEFAULT 0,"
    " measurements INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (run, centre)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS finding (run TEXT NOT NULL,"
    " measurement INTEGER NOT NULL, rule TEXT NOT NULL,"
    " centre INTEGER NOT NULL, patient INTEGER NOT NULL, code TEXT NOT NULL,"
    " day TEXT NOT NULL, parameter TEXT NOT NULL, value REAL NOT NULL,"
    " unit TEXT NOT NULL, detail TEXT NOT NULL,"
    " PRIMARY KEY (run, measurement, rule)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS finding_of_centre ON finding (run, centre);"
    "COMMIT";

struct statement {
    const char *sql;
    sqlite3_stmt *handle;
};

struct db {
    struct db_pool *pool;
    struct db *next; /* in the pool */
    sqlite3 *handle;
    struct statement *cache; /* one for each db_sql in the sources */
    size_t cached;
};

struct db_pool {
    char *registry, *findings;

    pthread_mutex_t mu; /* guards what follows */
    struct db *idle;
};

static void close_db(struct db *db)
{
    for (size_t i = 0; i < db->cached; i++)
        (void)sqlite3_finalize(db->cache[i].handle);
    (void)sqlite3_close(db->handle);
    free(db->cache);
    free(db);
}

/* As a URI, in which it can be said that it is only to be read. */
static void registry_uri(const char *path, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "file:");

    for (; *path != '\0' && n + 16 < size; path++) {
        bool plain =
            isalnum((unsigned char)*path) != 0 || strchr("/._-", *path) != NULL;

        n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "%%%02X",
                              (unsigned char)*path);
    }
    (void)snprintf(out + n, size - n, "?mode=ro");
}

/* Several open it at once, and SQLite waits for no lock in this one case. */
static int use_wal(struct db *db)
{
    int rc = SQLITE_BUSY;

    for (int ms = 0; rc == SQLITE_BUSY && ms < WAIT_MS; ms += TRY_MS) {
        rc = sqlite3_exec(db->handle, "PRAGMA journal_mode = WAL", NULL, NULL,
                          NULL);
        if (rc == SQLITE_BUSY)
            (void)sqlite3_sleep(TRY_MS);
    }
    return rc == SQLITE_OK ? 0 : -1;
}

static int set_up(struct db *db, const struct db_pool *p)
{
    char uri[URI];

    registry_uri(p->registry, uri, sizeof(uri));
    if (sqlite3_busy_timeout(db->handle, WAIT_MS) != SQLITE_OK ||
        use_wal(db) != 0 || db_exec(db, "PRAGMA synchronous = FULL", "") != 0 ||
        db_exec(db, "ATTACH ? AS registry", "t", uri) != 0)
        return -1;
    /* Attached is not looked at yet: whether it is a registry. */
    return db_exec(db, "SELECT day FROM registry.export", "");
}

/* err may be NULL. */
static struct db *open_db(struct db_pool *p, char *err, size_t err_size)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
    struct db *db = calloc(1, sizeof(*db));

    if (db == NULL)
        return NULL;
    db->pool = p;
    int rc = sqlite3_open_v2(p->findings, &db->handle, flags, NULL);
    if (rc == SQLITE_OK && set_up(db, p) == 0)
        return db;
    if (err != NULL)
        (void)snprintf(err, err_size, "%s, registry %s: %s", p->findings,
                       p->registry, db_error(db));
    close_db(db);
    return NULL;
}

struct db_pool *db_pool_new(const char *registry, const char *findings,
                            char *err, size_t err_size)
{
    struct db_pool *p = calloc(1, sizeof(*p));

    (void)snprintf(err, err_size, "out of memory");
    if (p == NULL)
        return NULL;
    (void)pthread_mutex_init(&p->mu, NULL);
    p->registry = strdup(registry);
    p->findings = strdup(findings);
    if (p->registry != NULL && p->findings != NULL)
        p->idle = open_db(p, err, err_size);
    if (p->idle != NULL &&
        sqlite3_exec(p->idle->handle, schema, NULL, NULL, NULL) == SQLITE_OK)
        return p;
    if (p->idle != NULL)
        (void)snprintf(err, err_size, "%s: %s", findings, db_error(p->idle));
    db_pool_free(p);
    return NULL;
}

void db_pool_free(struct db_pool *p)
{
    if (p == NULL)
        return;
    while (p->idle != NULL) {
        struct db *db = p->idle;

        p->idle = db->next;
        close_db(db);
    }
    (void)pthread_mutex_destroy(&p->mu);
    free(p->registry);
    free(p->findings);
    free(p);
}

struct db *db_take(struct db_pool *p)
{
    (void)pthread_mutex_lock(&p->mu);
    struct db *db = p->idle;
    if (db != NULL)
        p->idle = db->next;
    (void)pthread_mutex_unlock(&p->mu);
    return db != NULL ? db : open_db(p, NULL, 0);
}

void db_give(struct db *db)
{
    struct db_pool *p = db->pool;

    for (size_t i = 0; i < db->cached; i++)
        (void)sqlite3_reset(db->cache[i].handle);
    if (sqlite3_get_autocommit(db->handle) == 0)
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    (void)pthread_mutex_lock(&p->mu);
    db->next = p->idle;
    p->idle = db;
    (void)pthread_mutex_unlock(&p->mu);
}

static sqlite3_stmt *prepared(struct db *db, const char *sql)
{
    sqlite3_stmt *s = NULL;

    for (size_t i = 0; i < db->cached; i++)
        if (db->cache[i].sql == sql) {
            (void)sqlite3_reset(db->cache[i].handle);
            return db->cache[i].handle;
        }
    struct statement *cache =
        reallocarray(db->cache, db->cached + 1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    db->cache = cache;
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s,
                           NULL) != SQLITE_OK)
        return NULL;
    cache[db->cached++] = (struct statement){.sql = sql, .handle = s};
    return s;
}

/* Copies texts: a row may outlive what it was asked with. */
static sqlite3_stmt *bind(struct db *db, const char *sql, const char *types,
                          va_list *ap)
{
    sqlite3_stmt *s = prepared(db, sql);
    int rc = SQLITE_OK;

    for (int i = 1; s != NULL && types[i - 1] != '\0' && rc == SQLITE_OK; i++) {
        if (types[i - 1] == 'i') {
            rc = sqlite3_bind_int64(s, i, va_arg(*ap, int64_t));
        } else if (types[i - 1] == 'd') {
            rc = sqlite3_bind_double(s, i, va_arg(*ap, double));
        } else {
            const char *text = va_arg(*ap, const char *);
            int n = types[i - 1] == 'b' ? (int)va_arg(*ap, size_t) : -1;

            rc = sqlite3_bind_text(s, i, text, n, SQLITE_TRANSIENT);
        }
    }
    return rc == SQLITE_OK ? s : NULL;
}

sqlite3_stmt *db_sql(struct db *db, const char *sql, const char *types, ...)
{
    va_list ap;

    va_start(ap, types);
    sqlite3_stmt *s = bind(db, sql, types, &ap);
    va_end(ap);
    return s;
}

int db_step(sqlite3_stmt *s)
{
    int rc = s != NULL ? sqlite3_step(s) : SQLITE_ERROR;

    if (rc == SQLITE_ROW)
        return 1;
    /* The message of the error stays until the next call. */
    if (rc == SQLITE_DONE)
        (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

int db_exec(struct db *db, const char *sql, const char *types, ...)
{
    va_list ap;
    int rc;

    va_start(ap, types);
    sqlite3_stmt *s = bind(db, sql, types, &ap);
    va_end(ap);
    while ((rc = db_step(s)) == 1)
        ;
    return rc;
}

int db_number(struct db *db, int64_t *ret, const char *sql, const char *types,
              ...)
{
    va_list ap;

    va_start(ap, types);
    sqlite3_stmt *s = bind(db, sql, types, &ap);
    va_end(ap);
    int rc = db_step(s);
    if (rc < 0)
        return -1;
    *ret = rc == 1 ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return 0;
}

const char *db_text(sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);

    return text != NULL ? (const char *)text : "";
}

const char *db_error(struct db *db)
{
    return sqlite3_errmsg(db->handle);
}
