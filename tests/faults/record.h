#ifndef TESTS_FAULTS_RECORD_H
#define TESTS_FAULTS_RECORD_H

#include <stddef.h>
#include <stdint.h>

/*
 * What handlers write down about their own runs: an append-only file, one
 * line when a run starts and one when it ends, each synced to the disk before
 * the handler goes on. It knows nothing of Belt's books, so it can be held
 * against them.
 *
 *   S <serial> <id> <attempt> <recovered> <fence> <pid> <at_ms>
 *   E <serial> <id> <attempt> <recovered> <fence> <pid> <at_ms> <exit>
 *
 * serial is the number in the payload, 0 for jobs that are all equal; at_ms
 * is CLOCK_BOOTTIME. A run that was killed has no E. A line that was torn
 * (no end of line, or not of this form) fails the reading. Lines are filled up
 * with spaces to a multiple of RECORD_LINE bytes: see record.c.
 */
enum { RECORD_ID_MAX = 65, RECORD_LINE = 128 };

struct run {
    uint64_t serial;
    char id[RECORD_ID_MAX];
    unsigned attempt, recovered;
    uint64_t fence;
    int pid;
    int64_t started_at_ms, ended_at_ms; /* ended: -1 if it was killed */
    int exit;                           /* -1 if it was killed */
};

/*
 * Appends such a line to the file and syncs it: of the start with
 * started_at_ms, of the end with ended_at_ms and exit. Ends the program on
 * failure.
 */
void record_start(const char *path, const struct run *r);
void record_end(const char *path, const struct run *r);

/*
 * Reads a record: all runs in the order of their starts; none without a file.
 * Returns an owned array for free(), and their number through ret_n. Ends the
 * program with a message on a file that no handler wrote so.
 */
struct run *record_read(const char *path, size_t *ret_n);

/* Lines that begin with S so far; 0 without a file. Cheap: reads what is new.
 */
struct record_tail {
    const char *path;
    long offset;
    size_t starts, ends;
};
void record_follow(struct record_tail *t);

#endif
