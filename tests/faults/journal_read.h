#ifndef TESTS_FAULTS_JOURNAL_READ_H
#define TESTS_FAULTS_JOURNAL_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads Redis' append-only file: what was written, one transaction after the
 * other. All texts point into the mapped files and are lent until read_close.
 *
 * Whatever fails ends the program with a message. Thread: the test's.
 */
struct text {
    const char *p;
    size_t len;
};

bool text_is(struct text t, const char *s);    /* the same bytes */
bool text_same(struct text a, struct text b);  /* the same bytes */
bool text_named(struct text t, const char *s); /* but for the case */

/* A decimal number and nothing else. */
bool text_number(struct text t, int64_t *ret_n);

/* For people: quotes, escapes, and cuts what is long. Returns out. */
enum { SHOWN_MAX = 120 };
const char *text_shown(struct text t, char out[SHOWN_MAX]);

struct command {
    const struct text *words; /* at least one */
    size_t count;
};

/* What ran between MULTI and EXEC, or one command of its own. */
struct transaction {
    uint64_t number; /* from 1 */
    const struct command *commands;
    size_t count;
};

struct journal_files;

/*
 * Opens dir/appendonlydir. A base file of a snapshot must be empty: what it
 * holds has no history. Returns owned.
 */
struct journal_files *read_open(const char *dir);

/*
 * The next transaction, lent until the next call, or NULL at the end. A last
 * command or transaction that is not whole was never acknowledged, and Redis
 * cuts it off when it starts; so it is the end.
 */
const struct transaction *read_next(struct journal_files *f);

void read_close(struct journal_files *f); /* NULL is a no-op */

#endif
