/*
 * Cgroup: one for each run, made and removed by us.
 *
 * It is named for our pid and a number, which tells people whose it is; that
 * its worker lives is told by a lock on its directory, since a pid says
 * nothing in another namespace or after a reboot. Who sweeps takes the lock,
 * and then nobody else uses it; who makes one takes it too and looks whether
 * the directory is still there.
 *
 * A controller must be on in the parent (cgroup.subtree_control). If it is
 * not we try to turn it on, which a delegated cgroup allows.
 *
 * Thread: any.
 */
#include "worker/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/tree.h"

#define PREFIX "belt-run-"

enum {
    TRIES = 100,            /* names that somebody else has */
    END_WAIT_MS = 1000,     /* killed processes that are still there */
    CPU_PERIOD_US = 100000, /* the kernel's default */
    TEXT_MAX = 4096
};

static atomic_uint next_number;

static int write_file(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    int err = errno;
    close(fd);
    errno = err;
    return n < 0 ? -1 : 0;
}

/* Reads a short file as text; "" if it cannot be read. */
static void read_file(int dir, const char *name, char text[TEXT_MAX])
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, TEXT_MAX - 1) : -1;

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The number behind "NAME " at the beginning of a line; -1: there is none. */
static int64_t find_number(const char *text, const char *name)
{
    size_t n = strlen(name);

    while (*text != '\0') {
        if (strncmp(text, name, n) == 0 && text[n] == ' ')
            return strtoll(text + n, NULL, 10);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return -1;
}

/* ---- limits ---- */

static int set_limit(int fd, const char *key, const char *controller,
                     const char *file, const char *value, struct errbuf *eb)
{
    char turn_on[32];

    if (write_file(fd, file, value) == 0)
        return 0;
    (void)snprintf(turn_on, sizeof(turn_on), "+%s", controller);
    if (errno == ENOENT &&
        write_file(fd, "../cgroup.subtree_control", turn_on) == 0 &&
        write_file(fd, file, value) == 0)
        return 0;
    if (errno == ENOENT)
        return errbuf_set(eb, ERR_SYSTEM,
                          "%s: the controller %s is not on in that cgroup", key,
                          controller);
    return errbuf_set(eb, ERR_SYSTEM, "%s: %s: %s", key, file, strerror(errno));
}

int cgroup_limit(int fd, const struct isolation *iso, struct errbuf *eb)
{
    char text[64];
    int rc = 0;

    if (iso->cgroup_memory > 0) {
        (void)snprintf(text, sizeof(text), "%" PRId64, iso->cgroup_memory);
        rc = set_limit(fd, "cgroup-memory", "memory", "memory.max", text, eb);
        /* All of the run or none of it; Linux before 4.19 has no such file. */
        if (rc == 0)
            (void)write_file(fd, "memory.oom.group", "1");
    }
    if (rc == 0 && iso->cgroup_cpu > 0) {
        (void)snprintf(text, sizeof(text), "%" PRId64 " %d",
                       iso->cgroup_cpu * (CPU_PERIOD_US / 100), CPU_PERIOD_US);
        rc = set_limit(fd, "cgroup-cpu", "cpu", "cpu.max", text, eb);
    }
    if (rc == 0 && iso->cgroup_pids > 0) {
        (void)snprintf(text, sizeof(text), "%" PRId64, iso->cgroup_pids);
        rc = set_limit(fd, "cgroup-pids", "pids", "pids.max", text, eb);
    }
    return rc;
}

/* ---- making ---- */

/* Makes the directory under a name that nobody has. */
static int make(struct cgroup *cg, const char *parent, struct errbuf *eb)
{
    for (int i = 0; i < TRIES; i++) {
        cg->path = mem_printf("%s/" PREFIX "%d-%u", parent, (int)getpid(),
                              atomic_fetch_add(&next_number, 1));
        int err = mkdir(cg->path, 0755) == 0 ? 0 : errno;
        if (err == 0) {
            cg->fd = tree_lock(cg->path);
            if (cg->fd >= 0)
                return 0;
            err = errno;
            (void)rmdir(cg->path);
        }
        free(cg->path);
        cg->path = NULL;
        /* Somebody's name, or a sweeper who came in between. */
        if (err != EEXIST && err != EWOULDBLOCK &&
            (err != ENOENT || access(parent, F_OK) != 0))
            return errbuf_set(eb, ERR_SYSTEM, "cgroup %s: %s", parent,
                              strerror(err));
    }
    return errbuf_set(eb, ERR_SYSTEM, "cgroup %s: no name is free", parent);
}

int cgroup_open(struct cgroup *cg, const struct isolation *iso,
                struct errbuf *eb)
{
    int rc;

    *cg = (struct cgroup){.fd = -1, .procs = -1};
    rc = make(cg, iso->cgroup, eb);
    if (rc != 0)
        return rc;
    rc = cgroup_limit(cg->fd, iso, eb);
    if (rc == 0) {
        cg->procs = openat(cg->fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (cg->procs < 0)
            rc = errbuf_set(eb, ERR_SYSTEM, "cgroup %s: cgroup.procs: %s",
                            iso->cgroup, strerror(errno));
    }
    if (rc != 0)
        cgroup_close(cg);
    return rc;
}

int64_t cgroup_cpu_us(const struct cgroup *cg)
{
    char text[TEXT_MAX];

    read_file(cg->fd, "cpu.stat", text);
    return find_number(text, "usage_usec");
}

bool cgroup_oom(const struct cgroup *cg)
{
    char text[TEXT_MAX];

    read_file(cg->fd, "memory.events", text);
    return find_number(text, "oom_kill") > 0;
}

/* ---- the end ---- */

/* Once, of those that are there now; Linux before 5.14 has no cgroup.kill. */
static void kill_all(int fd)
{
    char text[TEXT_MAX], *at = text, *end;

    if (write_file(fd, "cgroup.kill", "1") == 0)
        return;
    read_file(fd, "cgroup.procs", text);
    for (;; at = end) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            return;
        if (pid > 1)
            kill((pid_t)pid, SIGKILL);
    }
}

static bool remove_cgroup(const char *path, int fd)
{
    int64_t give_up_ms = clock_ms() + END_WAIT_MS;

    while (kill_all(fd), rmdir(path) != 0) {
        if (errno == ENOENT)
            return true;
        if (errno != EBUSY || clock_ms() >= give_up_ms)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

void cgroup_close(struct cgroup *cg)
{
    if (cg->path == NULL)
        return;
    if (!remove_cgroup(cg->path, cg->fd))
        LOG_WARN("cgroup_left", F_STR("path", cg->path),
                 F_STR("error", strerror(errno)));
    close(cg->fd);
    if (cg->procs >= 0)
        close(cg->procs);
    free(cg->path);
    *cg = (struct cgroup){.fd = -1, .procs = -1};
}

void cgroup_sweep(const char *parent)
{
    DIR *d = opendir(parent);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        char *path = mem_printf("%s/%s", parent, e->d_name);
        int fd = tree_lock(path);
        bool removed = fd >= 0 && remove_cgroup(path, fd);

        if (fd >= 0) {
            LOG_INFO("cgroup_swept", F_STR("path", path),
                     F_STR("removed", removed ? "yes" : "no"));
            close(fd);
        }
        free(path);
    }
    if (d != NULL)
        closedir(d);
}
