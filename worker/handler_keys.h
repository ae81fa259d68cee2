#ifndef WORKER_HANDLER_KEYS_H
#define WORKER_HANDLER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/*
 * What the section of a handler says beside its limits, a row for each key
 * (docs/HANDLERS.md tells what they mean). Of one thread while it is
 * read, constant afterwards.
 */
enum { HANDLER_KEYS_MAX = 40 };

struct handler_keys {
    int64_t heartbeat_ms; /* 0: none */
    char *retry;          /* name of a policy, or NULL: that of the job */

    /* Of processes. */
    char **env;     /* "A=1", NULL at the end; or NULL */
    char *pass_env; /* names with blanks between, or NULL */
    char *dir, *user;
    bool private_tmp;
    int64_t nice;                              /* 0: as the worker */
    int64_t max_memory, max_files, max_cpu_ms; /* 0: as the worker */
    char *cgroup;
    int64_t cgroup_memory, cgroup_cpu, cgroup_pids; /* 0: no limit */

    char *allow_env, *allow_dir; /* of kind command: globs, or NULL */

    /* Of kind process. */
    int64_t processes;         /* 0: as many as threads */
    int64_t max_jobs, max_rss; /* 0: no limit */
    int64_t start_timeout_ms;

    /* Of kind http. */
    char *secret_file, *ca_file; /* or NULL */
    int64_t connect_timeout_ms;
    char **headers; /* "Name: value", NULL at the end; or NULL */
    char *dead_status, *retry_status;

    unsigned lines[HANDLER_KEYS_MAX]; /* by row: where it was said; 0: not */
    unsigned wrong_line; /* of the key that the kind refused; 0: none, or all */
};

void handler_keys_init(struct handler_keys *k);
void handler_keys_done(struct handler_keys *k);

/* Name of the i-th row; NULL behind the last. */
const char *handler_keys_name(unsigned i);

/* Line of the key of that name; 0: it was not said. */
unsigned handler_keys_line(const struct handler_keys *k, const char *name);

/* Whether it may be given more than once. */
bool handler_keys_is_list(unsigned i);

/* Whether the i-th row means something to handlers of that kind, "exec". */
bool handler_keys_fits(unsigned i, const char *kind);

/* ERR_INVALID with a text that does not name the key. */
int handler_keys_set(struct handler_keys *k, unsigned i, const char *value,
                     struct errbuf *eb);

/*
 * For what its kind finds wrong with a key: puts the name of the key in front
 * of the text, notes its line, and returns rc.
 */
int handler_keys_wrong(struct handler_keys *k, const char *name, int rc,
                       struct errbuf *eb);

#endif
