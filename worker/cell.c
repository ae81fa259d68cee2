/*
 * Cell: private directory, cgroup and rights of one process of a handler.
 *
 * A private directory is locked (flock) by the worker as long as it is used.
 * What a worker left that was killed has no lock: the next worker of this host
 * with such a handler removes it, before its first run. A lock and not a pid
 * in the name: a pid says nothing across containers that share /tmp.
 *
 * Thread: whichever runs the process.
 */
#include "worker/cell.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/tree.h"

#define PREFIX "belt-run."

enum { TRIES = 100 }; /* directories that a sweeper took from us */

/* ---- the private directory ---- */

static int tmp_fail(const char *root, struct errbuf *eb)
{
    return errbuf_set(eb, ERR_SYSTEM, "private-tmp in %s: %s", root,
                      strerror(errno));
}

static int tmp_open(struct cell *c, struct errbuf *eb)
{
    const struct isolation *iso = c->iso;

    for (int i = 0; i < TRIES; i++) {
        char *path = mem_printf("%s/" PREFIX "XXXXXX", iso->tmp_root);

        if (mkdtemp(path) == NULL) {
            free(path);
            return tmp_fail(iso->tmp_root, eb);
        }
        c->tmp_fd = tree_lock(path);
        c->tmp = path;
        if (c->tmp_fd >= 0)
            break;
        (void)rmdir(path);
        free(path);
        c->tmp = NULL;
    }
    if (c->tmp == NULL)
        return tmp_fail(iso->tmp_root, eb);
    if (iso->setup.has_user &&
        fchown(c->tmp_fd, iso->setup.uid, iso->setup.gid) != 0)
        return tmp_fail(iso->tmp_root, eb);
    return 0;
}

static void tmp_remove(const char *path, int fd)
{
    struct errbuf eb;
    int rc = tree_empty(fd, &eb);

    if (rc == 0 && (rmdir(path) == 0 || errno == ENOENT))
        return;
    if (rc == 0)
        (void)errbuf_set(&eb, ERR_SYSTEM, "%s", strerror(errno));
    LOG_WARN("private_tmp_left", F_STR("path", path), F_STR("error", eb.text));
}

/* Of us, or of the user of this handler: others are none of our business. */
static bool is_ours(const struct isolation *iso, int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 &&
           (st.st_uid == geteuid() ||
            (iso->setup.has_user && st.st_uid == iso->setup.uid));
}

static void tmp_sweep(const struct isolation *iso)
{
    DIR *d = opendir(iso->tmp_root);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        char *path = mem_printf("%s/%s", iso->tmp_root, e->d_name);
        int fd = tree_lock(path);

        if (fd >= 0 && is_ours(iso, fd)) {
            LOG_INFO("private_tmp_swept", F_STR("path", path));
            tmp_remove(path, fd);
        }
        if (fd >= 0)
            close(fd);
        free(path);
    }
    if (d != NULL)
        closedir(d);
}

/* ---- all of it ---- */

/* Before the first run of this handler. */
static void sweep(struct isolation *iso)
{
    if (atomic_exchange(&iso->swept, true))
        return;
    if (iso->private_tmp)
        tmp_sweep(iso);
    if (iso->cgroup != NULL)
        cgroup_sweep(iso->cgroup);
}

int cell_open(struct cell *c, struct isolation *iso, struct errbuf *eb)
{
    int rc = 0;

    c->iso = iso;
    c->tmp = NULL;
    c->tmp_fd = -1;
    c->cgroup = (struct cgroup){.fd = -1, .procs = -1};
    if (iso == NULL)
        return 0;
    if (iso->private_tmp || iso->cgroup != NULL)
        sweep(iso);
    c->setup = iso->setup;
    if (iso->private_tmp)
        rc = tmp_open(c, eb);
    if (rc == 0 && iso->cgroup != NULL)
        rc = cgroup_open(&c->cgroup, iso, eb);
    c->setup.cgroup_procs = c->cgroup.procs;
    if (rc != 0)
        cell_close(c);
    return rc;
}

const char *cell_tmp(const struct cell *c)
{
    return c->iso != NULL && !c->iso->says_tmpdir ? c->tmp : NULL;
}

/* A pipe that root made may be opened by root alone. Nothing but pipes: other
 * descriptors are of devices or files, which are not ours to give away. */
static void give_pipe(int fd, const struct spawn_setup *u)
{
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) &&
        fchown(fd, u->uid, u->gid) != 0)
        LOG_DEBUG("pipe_owner", F_STR("error", strerror(errno)));
}

static void give_pipes(const struct spawn *s, const struct spawn_setup *u)
{
    for (int i = 0; i < SPAWN_FDS; i++)
        give_pipe(s->fds[i], u);
    if (s->fd4 > 0)
        give_pipe(s->fd4, u);
}

void cell_equip(const struct cell *c, struct spawn *s)
{
    if (c->iso == NULL)
        return;
    s->dir = c->iso->dir != NULL ? c->iso->dir : c->tmp;
    s->setup = &c->setup;
    if (c->setup.has_user)
        give_pipes(s, &c->setup);
}

int cell_path(const struct cell *c, char *path, size_t size)
{
    char dir[PATH_MAX], name[PATH_MAX];

    if (c->iso == NULL || (c->iso->dir == NULL && c->tmp == NULL) ||
        path[0] == '/')
        return 0;
    (void)snprintf(name, sizeof(name), "%s", path);
    if (getcwd(dir, sizeof(dir)) == NULL ||
        snprintf(path, size, "%s/%s", dir, name) >= (int)size)
        return ERR_TOO_BIG;
    return 0;
}

void cell_close(struct cell *c)
{
    cgroup_close(&c->cgroup);
    if (c->tmp != NULL) {
        tmp_remove(c->tmp, c->tmp_fd);
        close(c->tmp_fd);
        free(c->tmp);
        c->tmp = NULL;
        c->tmp_fd = -1;
    }
    c->iso = NULL;
}
