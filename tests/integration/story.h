#ifndef TESTS_INTEGRATION_STORY_H
#define TESTS_INTEGRATION_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/redis.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

/*
 * What the stories about workers share: looking at files, queues and
 * processes until something is so. Those that wait end the test, with what
 * there is instead, when it does not come about in STORY_MS.
 */
enum { STORY_MS = 60 * 1000 };

/* Built with a sanitizer: slower, and its memory says nothing. */
extern const bool story_sanitized;

/* A Redis for the next test. That of the last one ends, and its files go. */
struct redis *story_redis(void);

/* Path of a file in the directory of r, not there yet; lent to the end. */
const char *story_path(struct redis *r, const char *name);

/*
 * The flag for a handler that is a script: sh, in the directory of r. Lent to
 * the end. Its process bears the name of the file.
 */
const char *story_script(struct redis *r, const char *type, const char *name,
                         const char *body);

/* The whole file as owned text, "" if there is none. */
char *story_read(const char *path);

/* The payload, a number, of the job at that index of the ready list. */
long long story_payload(struct redis *r, const char *queue, long long index);

/* No lane is left: no lease, no description, no active list. */
void story_no_lanes(struct redis *r, const char *queue);

/* Lines of a file that begin so; waits until there are n lines in all. */
unsigned story_count(const char *path, const char *beginning);
void story_lines(const char *path, unsigned n);

/* Waits for a counter of the queue's stats, a reply, a text in a log. */
void story_stat(struct redis *r, const char *queue, const char *name,
                long long n);
void story_int(struct redis *r, long long n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void story_said(struct worker *w, const char *text, unsigned times);

/* Waits until n clients are blocked (BLMOVE or BLPOP is out). */
void story_blocked(struct redis *r, long long n);

/* Waits until leases of the queue were prolonged n times more. */
void story_renewals(struct redis *r, const char *queue, unsigned n);

/* Waits for the end, and expects that exit code. Frees. */
void story_ends(struct worker *w, int code);

/* A number of /proc/PID/status ("VmRSS:"), in KiB; -1 if it is gone. */
long story_status(pid_t pid, const char *name);

/* A process whose parent is this and whose name is that; 0: none. */
pid_t story_child(pid_t parent, const char *name);

/* Whether the process is there, and no zombie. */
bool story_lives(pid_t pid);

/* Waits until cond(arg); what it is, for the message. */
void story_until(const char *what, wait_cond cond, void *arg);

#endif
