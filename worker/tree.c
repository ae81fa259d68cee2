/*
 * Tree: removes what a handler left in a directory of its own.
 *
 * The tree is a stranger's: deeper than paths can be long or than we have
 * descriptors, full of links, with directories closed to their owner. And a
 * process that escaped may still change it under our hands. So nothing goes by
 * a path, up (".."), or through a link; every step is relative to a directory
 * that is open. A directory that is not empty is first moved up to the top,
 * under a number, and emptied from there: two open directories are enough for
 * any depth, and none is visited that was not seen inside the tree.
 *
 * What is mounted in there (a bind mount of a handler of root) is no file of
 * the run. openat2 refuses to enter it; older systems tell by its device.
 *
 * Thread: any.
 */
#include "worker/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ROUNDS = 3, /* for entries that came, or that readdir passed over */
    NAME_SIZE = 32
};

struct tree {
    int top; /* borrowed */
    dev_t dev;
    unsigned moved; /* numbers that were used at the top */
    int err;        /* of the first entry that could not be removed */
    char name[NAME_MAX + 1];
};

static void wrong(struct tree *t, const char *name)
{
    if (t->err != 0 || errno == ENOENT)
        return;
    t->err = errno;
    (void)snprintf(t->name, sizeof(t->name), "%s", name);
}

/* As openat, but a mount point is EXDEV and a link ELOOP. */
static int open_inside(const struct tree *t, int dir, const char *name,
                       int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
    struct stat st;

    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;
    fd = openat(dir, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_dev == t->dev))
        return fd;
    close(fd);
    errno = EXDEV;
    return -1;
}

/* Opens a directory that even its owner may not read, and lets us. */
static int open_closed(const struct tree *t, int dir, const char *name)
{
    int path = open_inside(t, dir, name, O_PATH), fd = -1;
    char self[NAME_SIZE];

    if (path < 0)
        return -1;
    /* fchmod refuses such a descriptor; its name in /proc is no link that
     * anybody else could change. */
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
    if (chmod(self, S_IRWXU) == 0)
        fd = openat(path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = errno;
    close(path);
    errno = err;
    return fd;
}

/* Opens a directory of which we can read, move and remove the entries. */
static int open_dir(const struct tree *t, int dir, const char *name)
{
    int fd = open_inside(t, dir, name, O_RDONLY);
    struct stat st;

    if (fd < 0 && errno == EACCES)
        fd = open_closed(t, dir, name);
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IRWXU) != S_IRWXU)
        (void)fchmod(fd, S_IRWXU); /* what then fails tells */
    return fd;
}

static void number(char out[NAME_SIZE], unsigned n)
{
    (void)snprintf(out, NAME_SIZE, ".belt-%u", n);
}

/* Moves a directory, which open_dir has made movable, up to the top. */
static bool move_up(struct tree *t, int dir, const char *name)
{
    char to[NAME_SIZE];
    int fd = open_dir(t, dir, name), rc;

    if (fd < 0)
        return false;
    close(fd);
    do {
        number(to, t->moved++);
        rc = renameat(dir, name, t->top, to);
        /* A handler may have made entries of such a name. */
    } while (rc < 0 &&
             (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR));
    return rc == 0;
}

/* Whether it is gone, or not there any more. */
static bool unlink_entry(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) == 0)
        return true;
    /* Linux says EISDIR, POSIX EPERM. */
    if (errno == EISDIR || errno == EPERM) {
        int err = errno;

        if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
            return true;
        if (errno == ENOTDIR)
            errno = err;
    }
    return errno == ENOENT;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Takes fd. Each entry is removed, or given to other. */
static void each_entry(struct tree *t, int fd,
                       bool (*other)(struct tree *t, int dir, const char *name))
{
    DIR *d = fdopendir(fd);
    struct dirent *e;

    if (d == NULL) {
        wrong(t, ".");
        close(fd);
        return;
    }
    rewinddir(d);
    while ((errno = 0, e = readdir(d)) != NULL) {
        if (is_dot(e->d_name) || unlink_entry(fd, e->d_name))
            continue;
        if ((errno != ENOTEMPTY && errno != EEXIST) || !other(t, fd, e->d_name))
            wrong(t, e->d_name);
    }
    if (errno != 0)
        wrong(t, ".");
    closedir(d);
}

/* Removes a directory at the top; what is in it that is none empty, moves. */
static bool remove_dir(struct tree *t, int top, const char *name)
{
    for (int round = 0; round < ROUNDS; round++) {
        int fd = open_dir(t, top, name);

        if (fd < 0)
            return errno == ENOENT;
        each_entry(t, fd, move_up);
        if (unlinkat(top, name, AT_REMOVEDIR) == 0)
            return true;
        if (errno != ENOTEMPTY && errno != EEXIST)
            return errno == ENOENT;
    }
    errno = ENOTEMPTY;
    return false;
}

static void empty_once(struct tree *t)
{
    unsigned next = t->moved;
    int fd = openat(t->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        wrong(t, ".");
        return;
    }
    each_entry(t, fd, remove_dir);
    for (; next < t->moved; next++) {
        char name[NAME_SIZE];

        number(name, next);
        if (!remove_dir(t, t->top, name))
            wrong(t, name);
    }
}

static bool is_empty(int top)
{
    int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool empty = d != NULL;
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL)
        if (!is_dot(e->d_name))
            empty = false;
    if (d != NULL)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return empty;
}

int tree_empty(int fd, struct errbuf *eb)
{
    struct tree t = {.top = fd};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return errbuf_set(eb, ERR_SYSTEM, "%s", strerror(errno));
    t.dev = st.st_dev;
    if ((st.st_mode & S_IRWXU) != S_IRWXU)
        (void)fchmod(fd, S_IRWXU);
    for (int round = 0; round < ROUNDS; round++) {
        t.err = 0;
        empty_once(&t);
        if (is_empty(fd))
            return 0;
    }
    return errbuf_set(eb, ERR_SYSTEM, "%s: %s", t.err != 0 ? t.name : ".",
                      strerror(t.err != 0 ? t.err : ENOTEMPTY));
}

int tree_lock(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat there, ours;
    int err;

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
        lstat(path, &there) == 0) {
        if (there.st_dev == ours.st_dev && there.st_ino == ours.st_ino)
            return fd;
        errno = ENOENT; /* another one bears the name now */
    }
    err = errno;
    close(fd);
    errno = err;
    return -1;
}
