#ifndef TESTS_UNIT_RUNNER_H
#define TESTS_UNIT_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "worker/delivery.h"
#include "worker/handler.h"

/*
 * Runs handlers for tests: a temporary directory with scripts, a table of
 * handlers, deliveries, and what was logged meanwhile. All of it fails the
 * test when something goes wrong.
 */
struct runner_fixture {
    char dir[64];
    struct handler_limits limits; /* of handlers added from then on */
    struct handlers *hs;
    int cancel_fd;
    int log_fd, stderr_fd;
    FILE *stderr_file; /* cmocka goes on to write to the terminal */
};

/* For cmocka: *state becomes a struct runner_fixture. */
int runner_setup(void **state);
int runner_teardown(void **state);

/* Writes an executable file of the directory. Returns its path. */
const char *runner_file(struct runner_fixture *f, const char *name,
                        const char *text);

/* Adds "TYPE=KIND:SPEC" to a table of its own, with the limits of now. */
void runner_handler(struct runner_fixture *f, const char *spec);

/* Adds type "sh": a script of /bin/sh, in which $D is the directory. */
void runner_script(struct runner_fixture *f, const char *body);

/*
 * Adds type "p": a process handler, whose program is a script with the first
 * line "#!LANGUAGE" ("/bin/sh", in which $D is the directory, or
 * "/usr/bin/python3 -S"). keys: names and values of its section in turn, NULL
 * at the end.
 */
void runner_process(struct runner_fixture *f, const char *language,
                    const char *body, const char *const *keys);

/* A delivery for the handler of type; more: members, ",\"timeout\":5". */
struct delivery *runner_delivery(struct runner_fixture *f, const char *type,
                                 const char *payload, const char *more);

/* The script, one run of it; the delivery is the caller's. */
struct delivery *runner_run(struct runner_fixture *f, const char *body,
                            const char *payload);

void expect_verdict(const struct delivery *d, enum verdict v,
                    const char *class);
void expect_result(const struct delivery *d, const char *text);
void expect_contains(const struct buf *b, const char *text);

/* Everything that was logged since setup, for buf_done. */
struct buf runner_log(struct runner_fixture *f);

/* Whether dir/name exists. */
bool runner_has(struct runner_fixture *f, const char *name);

/* Waits until the process is gone or a zombie; false after 20 s. */
bool process_ends(pid_t pid);

/* What poll says of one descriptor within 20 s. */
bool fd_becomes_readable(int fd);

#endif
