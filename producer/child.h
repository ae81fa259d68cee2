#ifndef PRODUCER_CHILD_H
#define PRODUCER_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Long-running child processes of belt dev. Each is in a process group of its
 * own, so that a Ctrl-C on the terminal reaches only us and we can stop them
 * in order; should we be killed, the kernel sends them death_signal.
 */
struct child {
    pid_t pid;  /* 0: not running */
    int status; /* of waitpid, once it has ended */
};

/*
 * Starts path with stdin from /dev/null; it inherits inherit_fd unless that
 * is -1. Returns false with errno set.
 */
bool child_start(struct child *c, const char *path, char *const *argv,
                 int death_signal, int inherit_fd);

/* Returns true once it has ended; does not wait. */
bool child_has_ended(struct child *c);

/* Waits for its end. */
void child_wait(struct child *c);

/* Sends a signal if it runs. */
void child_signal(const struct child *c, int sig);

/* The exit status as a shell says it: 128 + number of a signal. */
int child_exit_status(const struct child *c);

#endif
