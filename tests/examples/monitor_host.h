#ifndef TESTS_EXAMPLES_MONITOR_HOST_H
#define TESTS_EXAMPLES_MONITOR_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "examples/monitor/monitor.h"

/*
 * A worker for one run at a time, without threads: sub-tasks run when their
 * result is asked for. So a test can have one delivery in the middle of
 * another, at a place of its choice.
 */
struct host;

enum { HOST_TEXT = 512, HOST_PUSHES = 32 };

struct host {
    struct belt_run run; /* the first member: the host is found by it */
    const struct monitor *monitor;

    /* Asked for a result when so many were taken, it calls this first. */
    int interrupt_at; /* -1: never */
    void (*interrupt)(void *arg);
    void *interrupt_arg;
    int fail_at; /* this sub-task fails; -1: none */

    char error_class[HOST_TEXT], message[HOST_TEXT];
    char result[64 * 1024];
    size_t result_size;
    char pushed[HOST_PUSHES][HOST_TEXT];
    int pushes;
    int progress; /* calls */
    double percent;

    char (*parts)[64]; /* payloads that wait */
    int emitted, taken, most_ahead;
    char part_result[64 * 1024];
};

/* A job of that type; the payload is borrowed until host_run returns. */
void host_job(struct host *h, const struct monitor *m, const char *type,
              const char *id, const char *payload, int64_t fence);

/* Runs it with a connection of the monitor. Returns its verdict. */
int host_run(struct host *h);

/*
 * A monitor on a registry that was made by monitor-gen in dir, with these
 * flags; and one more connection to look by.
 */
struct stage {
    char dir[64];
    char registry[128], findings[128], reports[128];
    struct monitor monitor;
    struct db *db;
};

void stage_set_up(struct stage *s, const char *centres,
                  const char *measurements);
void stage_tear_down(struct stage *s);

/* The number that an SQL text, a constant, has as its first column. */
int64_t stage_number(struct stage *s, const char *sql);

/* Runs a program, which has to end with 0. argv ends with NULL. */
void stage_exec(const char *const *argv);

#endif
