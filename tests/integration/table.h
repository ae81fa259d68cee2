#ifndef TESTS_INTEGRATION_TABLE_H
#define TESTS_INTEGRATION_TABLE_H

#include <stddef.h>

#include "common/redis/script.h"
#include "tests/support/redis.h"

/*
 * Tables of claims about one script each: before → call → after.
 *
 * Commands are lines of words. '…' holds a word with spaces, ` stands for a
 * double quote, so that JSON can be read. @ready is the ready list of the
 * queue q, @x another key of it (belt:{q}:x). NOW, NOW+n and NOW-n are
 * milliseconds of the wall clock.
 *
 * An answer is its elements with a space between them: nil as (nil), "" as '',
 * an error as its text. In what is expected * is any text, # a number, ULID
 * an id of that kind, NOW+n a number close to that instant.
 */
struct row {
    const char *name;
    const char *before; /* commands, one a line */
    enum script script;
    const char *args;  /* the arguments; KEYS are known */
    const char *reply; /* what is expected */
    const char *after; /* command => what is expected, one a line */
};

/* Of the whole program: a Redis of its own. For cmocka's group fixtures. */
int table_start(void **state);
int table_stop(void **state);
struct redis *table_redis(void);
/* Another Redis from now on; table_stop stops that one. */
void table_use(struct redis *r);

/* For each test: an empty Redis. */
int table_clear(void **state);

/* Runs each row on an empty Redis; a row that fails ends the test. */
void table_rows(const struct row *rows, size_t n);
#define ROWS(rows) table_rows(rows, sizeof(rows) / sizeof((rows)[0]))

/* The steps of a row, for tests that need more than one call. */
void table_do(const char *commands);
void table_call(enum script s, const char *args, const char *expected);
void table_check(const char *checks);

/*
 * The answer to one command, or to a call, as text; owned. KEYS of settle and
 * tick end with those of the kept jobs and the locks: "@job:a @unique:k | lane
 * 1 …"; of requeue, remove and purge all stand there.
 */
char *table_run(const char *command);
char *table_run_script(enum script s, const char *args);

/* The same; NULL if Redis died of it. */
char *table_try_script(enum script s, const char *args);

/* KEYS of a script for these arguments, as words of a command; owned. */
char *table_keys(enum script s, const char *args);

#endif
