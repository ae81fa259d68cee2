#ifndef WORKER_ISOLATION_H
#define WORKER_ISOLATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "worker/handler_keys.h"
#include "worker/spawn.h"

/*
 * What the keys of a handler ask for its processes, looked up once: who they
 * are, what they may use, where and in which environment they run. One for
 * each handler that has such keys; constant, but for swept, while threads run.
 * The place that a single process gets is a cell (cell.h).
 */
struct isolation {
    struct spawn_setup setup; /* of all its processes, the cgroup excepted */
    gid_t *groups;            /* owned; in setup */
    char **env;               /* owned, NULL at the end */
    const char *dir;          /* lent by the keys, or NULL */
    bool private_tmp;
    bool says_tmpdir;   /* its env key does: the private one is not told */
    char *tmp_root;     /* owned: where private directories are made */
    const char *cgroup; /* lent by the keys, or NULL */
    int64_t cgroup_memory, cgroup_cpu, cgroup_pids; /* 0: no limit */
    atomic_bool swept; /* what dead workers left was removed */
};

/*
 * Reads keys, which must outlive it, and looks up the names in them. carry is
 * the environment without them. Returns owned, NULL if no key asks for any of
 * it. ERR_INVALID with a text that names the key, its line noted in keys. One
 * thread at a time, which reads the configuration.
 */
int isolation_new(struct handler_keys *keys, char *const *carry,
                  struct isolation **ret, struct errbuf *eb);
void isolation_free(struct isolation *iso);

/* Lends the environment of all its processes until isolation_free. */
char *const *isolation_env(const struct isolation *iso);

#endif
