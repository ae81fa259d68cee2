/*
 * belt worker: belt-worker under another name.
 *
 * Thread: main.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/complain.h"
#include "producer/worker_path.h"

/* belt-worker [--password-file FILE] ARGUMENTS...; the URL is no argument,
 * since everybody may read those of a process. */
static char **build_argv(const struct options *o)
{
    char **argv = mem_new(((size_t)o->arg_count + 4) * sizeof(*argv));
    int n = 0;

    argv[n++] = mem_strdup("belt-worker");
    if (o->password_file) {
        argv[n++] = mem_strdup("--password-file");
        argv[n++] = mem_strdup(o->password_file);
    }
    for (int i = 0; i < o->arg_count; i++)
        argv[n++] = mem_strdup(o->args[i]);
    return argv;
}

static int run_worker(const struct options *o)
{
    char *path = sibling_path(o, "belt-worker");

    if (!path)
        return EX_UNAVAILABLE;
    char **argv = build_argv(o);
    worker_export(o);
    signal(SIGPIPE, SIG_DFL); /* ignored by us, which an exec would keep */
    execv(path, argv);
    int status = fail(o, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
    for (char **p = argv; *p; p++)
        free(*p);
    free((void *)argv);
    free(path);
    return status;
}

const struct command cmd_worker = {
    .name = "worker",
    .usage = "[FLAGS OF BELT-WORKER]",
    .summary = "Run a worker: the same as belt-worker",
    .max_args = -1,
    .raw = true,
    .run = run_worker,
};
