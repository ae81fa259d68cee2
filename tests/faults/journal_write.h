#ifndef TESTS_FAULTS_JOURNAL_WRITE_H
#define TESTS_FAULTS_JOURNAL_WRITE_H

#include <stddef.h>

#include "common/base/buf.h"

/*
 * Append-only files written by hand, for tests of the accountant.
 *
 * A journal is lines, each a command, its words between single blanks:
 *
 *   @ @retry …   a key of queue q: belt:{q}, belt:{q}:retry
 *   $1           job 1 as it was pushed, without an id; $0 is no. 0
 *   #1           stamped: {"id":"J1","type":"x","payload":{"n":1}}
 *   ^1           reaped: {"recovered":[1700000000000],"id":"J1",…
 *   ~1           failed: …,"attempt":1}
 *   %1           put off: …,"put_offs":1}
 *   !1           expired: …,"error":{"class":"expired"}}
 *   >1           stamped, and job 11 follows it: …,"then":[{…"n":11}}]}
 *
 * Whatever fails ends the program. Thread: the test's.
 */
void write_lines(struct buf *out, const char *lines); /* as Redis writes */

/* Appends the words that a token stands for. */
void write_word(struct buf *out, const char *token, size_t len);

/* A new directory with an empty base and this file; returns owned. */
char *write_journal(const char *bytes, size_t len);
void write_remove(char *dir); /* takes it, and what write_journal made */

/* Replays such a journal of queue q, which has no breach; returns owned. */
struct journal;
struct journal *write_and_replay(const struct buf *bytes);

#endif
