#ifndef EXAMPLES_MONITOR_DB_H
#define EXAMPLES_MONITOR_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

/*
 * Connections to the two databases: the findings, which are ours, as "main",
 * and the registry of patients, only to be read, as "registry". A run takes a
 * connection, which no other uses meanwhile, and gives it back.
 */
struct db;
struct db_pool;

/*
 * Opens a first connection, and makes the tables of the findings. Returns
 * owned; NULL: why, in err.
 */
struct db_pool *db_pool_new(const char *registry, const char *findings,
                            char *err, size_t err_size);
void db_pool_free(struct db_pool *p); /* when all are back; NULL is a no-op */

/* Lends one until db_give, which ends what is under way. NULL: cannot. */
struct db *db_take(struct db_pool *p);
void db_give(struct db *db);

/*
 * A statement with its parameters bound, lent until the next db_sql with the
 * same sql, which must be a constant: it is prepared once. types has a letter
 * for each argument: t text, i int64_t, d double, b text and then its size_t.
 * NULL: see db_error.
 */
sqlite3_stmt *db_sql(struct db *db, const char *sql, const char *types, ...);

/* The same, run to its end. Returns 0 or -1. */
int db_exec(struct db *db, const char *sql, const char *types, ...);

/* The first column of the first row, or 0 if there is none. Returns 0 or -1. */
int db_number(struct db *db, int64_t *ret, const char *sql, const char *types,
              ...);

/*
 * Steps: 1 a row, 0 the end, -1 an error. At the end it is reset. Who stops
 * before holds the state of the database until sqlite3_reset, or db_give.
 */
int db_step(sqlite3_stmt *s);

/* A text of a row, "" for NULL. */
const char *db_text(sqlite3_stmt *s, int column);

const char *db_error(struct db *db); /* lent until the next call */

#endif
