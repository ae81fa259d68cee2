/*
 * A plugin around another one, which kills its worker once, at a point of a
 * run that no signal from outside would hit:
 *
 *     plugin:epro_crash.so POINT FILE /path/of/plugin.so its text
 *
 * POINT: begin   before the run
 *        push    when it pushes a job
 *        end     when it has returned, before the worker knows
 *
 * FILE is made at that moment; once it is there, nothing is killed any more.
 */
#include <belt/plugin.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct crash {
    char point[16], file[256];
    const struct belt_plugin *inner;
    void *inner_state;
};

/* The run of a thread goes on in the crash of its state. */
static _Thread_local struct crash *current;
static _Thread_local const struct belt_host *worker;

static void reach(const struct crash *c, const char *point)
{
    if (strcmp(c->point, point) != 0)
        return;
    int fd = open(c->file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)raise(SIGKILL);
}

static int push(struct belt_run *run, const char *envelope, size_t size,
                char *err, size_t err_size)
{
    reach(current, "push");
    return worker->push(run, envelope, size, err, err_size);
}

static int init(const struct belt_host *host, const char *args, void **state,
                char *err, size_t err_size)
{
    struct crash *c = calloc(1, sizeof(*c));
    char path[512];
    int at = 0;

    if (sscanf(args, "%15s %255s %511s %n", c->point, c->file, path, &at) < 3) {
        (void)snprintf(err, err_size, "POINT FILE PLUGIN");
        return -1;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    c->inner = object != NULL ? dlsym(object, "belt_plugin_v1") : NULL;
    if (c->inner == NULL) {
        (void)snprintf(err, err_size, "%s", dlerror());
        return -1;
    }
    *state = c;
    return c->inner->init(host, args + at, &c->inner_state, err, err_size);
}

static int run_job(struct belt_run *run, void *state)
{
    struct crash *c = state;
    struct belt_host mine = *run->host;

    current = c;
    worker = run->host;
    mine.push = push;
    reach(c, "begin");
    run->host = &mine;
    int verdict = c->inner->run(run, c->inner_state);
    run->host = worker;
    reach(c, "end");
    return verdict;
}

static void fini(void *state)
{
    struct crash *c = state;

    c->inner->fini(c->inner_state);
    free(c);
}

BELT_PLUGIN("epro-crash", "1.0", init, run_job, fini)
