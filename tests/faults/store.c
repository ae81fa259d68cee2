/*
 * Store: an account in SQLite that takes each job once.
 *
 * Everything rests on one UPDATE, which marks a job as applied unless it is or
 * a later delivery is known; the effect is made in the same transaction, and
 * only if that marked it. The log of effects would take a second row of a job:
 * it is there to show it.
 *
 * The journal is SQLite's own, deleted at each commit: processes that open the
 * store, write twice and go would make and remove a write-ahead log as often.
 * Nothing is synced, since battles kill processes and not the machine, and it
 * costs more than all the rest. A store that has to outlive its machine leaves
 * `synchronous` as it is.
 *
 * Thread: see the header.
 */
#include "tests/faults/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/mem.h"

/* For another writer, who may have been stopped while it wrote. */
enum { BUSY_MS = 20 * 1000 };

struct store {
    sqlite3 *db; /* owned */
};

static const char schema[] =
    "CREATE TABLE account (name TEXT PRIMARY KEY, balance INTEGER NOT NULL);"
    "CREATE TABLE delivery (job TEXT PRIMARY KEY, fence INTEGER NOT NULL,"
    " applied INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE effect (job TEXT NOT NULL, serial INTEGER NOT NULL,"
    " fence INTEGER NOT NULL, amount INTEGER NOT NULL);"
    "INSERT INTO account VALUES ('battle', 0);"
    "PRAGMA user_version = 1;";

/* What statements may name, by these names. */
struct values {
    const char *job;
    uint64_t serial, fence;
    int64_t amount;
};

static void say(sqlite3 *db, const char *what)
{
    (void)fprintf(stderr, "store: %s: %s\n", what, sqlite3_errmsg(db));
}

static void bind_int(sqlite3_stmt *st, const char *name, int64_t n)
{
    int i = sqlite3_bind_parameter_index(st, name);

    if (i > 0)
        (void)sqlite3_bind_int64(st, i, n);
}

/*
 * Returns an owned statement for sqlite3_finalize, or NULL, said. Serials and
 * tokens are kept as the signed number of the same bits.
 */
static sqlite3_stmt *prepare(sqlite3 *db, const char *sql,
                             const struct values *v)
{
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) {
        say(db, sql);
        return NULL;
    }
    if (v == NULL)
        return st;
    int job = sqlite3_bind_parameter_index(st, ":job");
    if (job > 0)
        (void)sqlite3_bind_text(st, job, v->job, -1, SQLITE_STATIC);
    bind_int(st, ":serial", (int64_t)v->serial);
    bind_int(st, ":fence", (int64_t)v->fence);
    bind_int(st, ":amount", v->amount);
    return st;
}

/* Runs a statement without rows. Returns the rows it changed, or -1, said. */
static int change(sqlite3 *db, const char *sql, const struct values *v)
{
    sqlite3_stmt *st = prepare(db, sql, v);

    if (st == NULL)
        return -1;
    int rc = sqlite3_step(st);
    if (rc != SQLITE_DONE)
        say(db, sql);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? sqlite3_changes(db) : -1;
}

/* Runs a statement with one number as its answer. Returns 0, or -1, said. */
static int look(sqlite3 *db, const char *sql, int64_t *ret_n)
{
    sqlite3_stmt *st = prepare(db, sql, NULL);

    if (st == NULL)
        return -1;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret_n = sqlite3_column_int64(st, 0);
    else
        say(db, sql);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 0 : -1;
}

/* ---- open and close ---- */

/* Several may find it empty: the second of them looks again, alone. */
static int make_schema(sqlite3 *db)
{
    int64_t version = 0;

    if (change(db, "BEGIN IMMEDIATE", NULL) < 0 ||
        look(db, "PRAGMA user_version", &version) < 0)
        return -1;
    if (version == 0 &&
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        say(db, "schema");
        return -1;
    }
    return change(db, "COMMIT", NULL) < 0 ? -1 : 0;
}

struct store *store_open(const char *path)
{
    struct store *s = mem_new(sizeof(*s));
    int64_t version = 0;

    if (sqlite3_open(path, &s->db) != SQLITE_OK) {
        say(s->db, path);
        goto fail;
    }
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    if (change(s->db, "PRAGMA synchronous = OFF", NULL) < 0 ||
        look(s->db, "PRAGMA user_version", &version) < 0 ||
        (version == 0 && make_schema(s->db) < 0))
        goto fail;
    return s;
fail:
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    (void)sqlite3_close(s->db); /* rolls back what is open */
    free(s);
}

/* ---- deliveries ---- */

/* How a delivery stands with what is known of its job. */
static enum store_answer standing(struct store *s, const struct values *v)
{
    static const char sql[] =
        "SELECT applied, fence FROM delivery WHERE job = :job";
    enum store_answer answer = STORE_ERROR;
    sqlite3_stmt *st = prepare(s->db, sql, v);

    if (st == NULL)
        return STORE_ERROR;
    if (sqlite3_step(st) != SQLITE_ROW)
        say(s->db, "no such delivery");
    else if (sqlite3_column_int(st, 0) != 0)
        answer = STORE_ALREADY;
    else if (sqlite3_column_int64(st, 1) != (int64_t)v->fence)
        answer = STORE_STALE;
    else
        answer = STORE_OK;
    (void)sqlite3_finalize(st);
    return answer;
}

enum store_answer store_begin(struct store *s, const char *job, uint64_t fence)
{
    static const char sql[] =
        "INSERT INTO delivery (job, fence) VALUES (:job, :fence)"
        " ON CONFLICT (job) DO UPDATE SET fence = excluded.fence"
        " WHERE excluded.fence > fence";
    struct values v = {.job = job, .fence = fence};

    return change(s->db, sql, &v) < 0 ? STORE_ERROR : standing(s, &v);
}

/* Inside the transaction. */
static enum store_answer apply(struct store *s, const struct values *v)
{
    int marked = change(s->db,
                        "UPDATE delivery SET applied = 1 WHERE job = :job"
                        " AND fence = :fence AND applied = 0",
                        v);

    if (marked < 0)
        return STORE_ERROR;
    if (marked == 0)
        return standing(s, v);
    if (change(s->db,
               "INSERT INTO effect (job, serial, fence, amount)"
               " VALUES (:job, :serial, :fence, :amount)",
               v) != 1 ||
        change(s->db,
               "UPDATE account SET balance = balance + :amount"
               " WHERE name = 'battle'",
               v) != 1)
        return STORE_ERROR;
    return STORE_OK;
}

enum store_answer store_commit(struct store *s, const char *job,
                               uint64_t serial, uint64_t fence, int64_t amount)
{
    struct values v = {job, serial, fence, amount};

    if (change(s->db, "BEGIN IMMEDIATE", NULL) < 0)
        return STORE_ERROR;
    enum store_answer answer = apply(s, &v);
    if (answer == STORE_OK && change(s->db, "COMMIT", NULL) < 0)
        answer = STORE_ERROR;
    if (answer != STORE_OK)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return answer;
}

/* ---- audit ---- */

static void die(const char *path)
{
    (void)fprintf(stderr, "store: %s cannot be audited\n", path);
    exit(1);
}

static int count_serials(sqlite3 *db, unsigned *by_serial, size_t size)
{
    static const char sql[] =
        "SELECT serial, count(*) FROM effect GROUP BY serial";
    sqlite3_stmt *st = prepare(db, sql, NULL);
    int rc = SQLITE_ERROR;

    while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        uint64_t serial = (uint64_t)sqlite3_column_int64(st, 0);

        if (serial < size)
            by_serial[serial] = (unsigned)sqlite3_column_int64(st, 1);
    }
    if (rc != SQLITE_DONE)
        say(db, sql);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int sum_up(sqlite3 *db, struct store_sums *sums)
{
    int64_t effects = 0, jobs = 0, unlogged = 0, unmarked = 0;

    if (look(db, "SELECT count(*) FROM effect", &effects) < 0 ||
        look(db, "SELECT count(DISTINCT job) FROM effect", &jobs) < 0 ||
        look(db,
             "SELECT count(*) FROM (SELECT job FROM delivery WHERE applied"
             " EXCEPT SELECT job FROM effect)",
             &unlogged) < 0 ||
        look(db,
             "SELECT count(*) FROM (SELECT job FROM effect"
             " EXCEPT SELECT job FROM delivery WHERE applied)",
             &unmarked) < 0 ||
        look(db, "SELECT balance FROM account WHERE name = 'battle'",
             &sums->balance) < 0 ||
        look(db, "SELECT coalesce(sum(amount), 0) FROM effect",
             &sums->log_balance) < 0)
        return -1;
    sums->effects = (uint64_t)effects;
    sums->jobs = (uint64_t)jobs;
    sums->unrecorded = (uint64_t)(unlogged + unmarked);
    return 0;
}

struct store_sums store_audit(const char *path, unsigned *by_serial,
                              size_t size)
{
    struct store_sums sums = {0};

    if (size > 0)
        memset(by_serial, 0, size * sizeof(*by_serial));
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return sums;
    struct store *s = store_open(path);
    if (s == NULL || change(s->db, "BEGIN", NULL) < 0 ||
        count_serials(s->db, by_serial, size) < 0 || sum_up(s->db, &sums) < 0)
        die(path);
    store_close(s);
    return sums;
}
