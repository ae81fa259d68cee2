/*
 * Claims about removing a tree that a stranger made: all of it goes, and
 * nothing that is not in it.
 */
#include "worker/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

struct fixture {
    char dir[64];
    int fd;      /* of dir */
    int outside; /* a directory beside it, with a file "precious" */
    char outside_path[80];
};

static void touch(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static int setup(void **state)
{
    static struct fixture f;

    /* In memory where that can be: thousands of directories on a disk. */
    strcpy(f.dir, "/dev/shm/belt-unit-XXXXXX");
    if (mkdtemp(f.dir) == NULL) {
        strcpy(f.dir, "/tmp/belt-unit-XXXXXX");
        assert_non_null(mkdtemp(f.dir));
    }
    (void)snprintf(f.outside_path, sizeof(f.outside_path), "%s.out", f.dir);
    assert_int_equal(mkdir(f.outside_path, 0700), 0);
    f.fd = open(f.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f.outside = open(f.outside_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f.fd >= 0 && f.outside >= 0);
    touch(f.outside, "precious");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(faccessat(f->outside, "precious", F_OK, 0), 0);
    assert_int_equal(unlinkat(f->outside, "precious", 0), 0);
    assert_int_equal(rmdir(f->outside_path), 0);
    assert_int_equal(rmdir(f->dir), 0); /* so it is empty */
    close(f->fd);
    close(f->outside);
    return 0;
}

static void expect_emptied(const struct fixture *f)
{
    struct errbuf eb = {""};

    if (tree_empty(f->fd, &eb) != 0)
        fail_msg("%s", eb.text);
}

/* As user nobody if we are root, to whom modes mean nothing. */
static void expect_emptied_unprivileged(const struct fixture *f)
{
    int status;
    pid_t pid;

    if (geteuid() != 0) {
        expect_emptied(f);
        return;
    }
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct errbuf eb;

        if (setresgid(65534, 65534, 65534) != 0 ||
            setresuid(65534, 65534, 65534) != 0)
            _exit(2);
        _exit(tree_empty(f->fd, &eb) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void give(const struct fixture *f, const char *name)
{
    if (geteuid() == 0)
        assert_int_equal(
            fchownat(f->fd, name, 65534, 65534, AT_SYMLINK_NOFOLLOW), 0);
}

static void an_empty_one_stays_empty(void **state)
{
    expect_emptied(*state);
}

static void links_are_removed_and_not_followed(void **state)
{
    struct fixture *f = *state;
    char file[128];

    (void)snprintf(file, sizeof(file), "%s/precious", f->outside_path);
    assert_int_equal(symlinkat(f->outside_path, f->fd, "dir"), 0);
    assert_int_equal(symlinkat(file, f->fd, "file"), 0);
    assert_int_equal(symlinkat("..", f->fd, "up"), 0);
    assert_int_equal(symlinkat("/nowhere", f->fd, "dangling"), 0);
    assert_int_equal(mkdirat(f->fd, "d", 0700), 0);
    assert_int_equal(symlinkat(f->outside_path, f->fd, "d/dir"), 0);
    assert_int_equal(linkat(f->outside, "precious", f->fd, "d/hard", 0), 0);
    expect_emptied(f);
}

static void names_of_any_kind_go(void **state)
{
    struct fixture *f = *state;
    char longest[256];

    memset(longest, 'x', 255);
    longest[255] = '\0';
    touch(f->fd, longest);
    touch(f->fd, " ");
    touch(f->fd, "-rf");
    touch(f->fd, "...");
    touch(f->fd, "\n\xff");
    assert_int_equal(mkdirat(f->fd, "* ", 0700), 0);
    assert_int_equal(mkfifoat(f->fd, "* /fifo", 0600), 0);
    expect_emptied(f);
}

static void closed_directories_are_opened(void **state)
{
    static const char *const names[] = {"a", "a/b", "a/b/c", "d", "d/e"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(mkdirat(f->fd, names[i], 0700), 0);
        give(f, names[i]);
    }
    touch(f->fd, "a/b/c/file");
    touch(f->fd, "d/e/file");
    assert_int_equal(fchmodat(f->fd, "a/b/c", 0500, 0), 0);
    assert_int_equal(fchmodat(f->fd, "a/b", 0, 0), 0);
    assert_int_equal(fchmodat(f->fd, "a", 0500, 0), 0);
    assert_int_equal(fchmodat(f->fd, "d/e", 0, 0), 0);
    assert_int_equal(fchmodat(f->fd, "d", 0100, 0), 0);
    give(f, ".");
    assert_int_equal(fchmod(f->fd, 0500), 0);
    expect_emptied_unprivileged(f);
}

static void depth_does_not_matter(void **state)
{
    enum { DEPTH = 3000 };
    struct fixture *f = *state;
    int at = dup(f->fd);

    for (int i = 0; i < DEPTH; i++) {
        int next;

        assert_int_equal(mkdirat(at, "deeper", 0700), 0);
        touch(at, "file");
        next = openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    expect_emptied(f);
}

static void many_files_and_directories_go(void **state)
{
    enum { EACH = 1000 };
    struct fixture *f = *state;
    char name[32];

    for (int i = 0; i < EACH; i++) {
        (void)snprintf(name, sizeof(name), "file-%d", i);
        touch(f->fd, name);
        (void)snprintf(name, sizeof(name), "dir-%d", i);
        assert_int_equal(mkdirat(f->fd, name, 0700), 0);
        (void)snprintf(name, sizeof(name), "dir-%d/in", i);
        assert_int_equal(mkdirat(f->fd, name, 0700), 0);
        (void)snprintf(name, sizeof(name), "dir-%d/in/file", i);
        touch(f->fd, name);
    }
    expect_emptied(f);
}

/* The numbers under which directories are moved up. */
static void names_of_ours_may_be_taken(void **state)
{
    struct fixture *f = *state;

    touch(f->fd, ".belt-0");
    assert_int_equal(mkdirat(f->fd, ".belt-1", 0700), 0);
    touch(f->fd, ".belt-1/file");
    assert_int_equal(mkdirat(f->fd, ".belt-2", 0700), 0);
    assert_int_equal(mkdirat(f->fd, ".belt-2/.belt-1", 0700), 0);
    touch(f->fd, ".belt-2/.belt-1/file");
    assert_int_equal(mkdirat(f->fd, ".belt-2/.belt-3", 0700), 0);
    touch(f->fd, ".belt-2/.belt-3/file");
    expect_emptied(f);
}

/* In a mount namespace of its own: 0 if the mount was left alone. */
static int try_mounted(const struct fixture *f)
{
    struct errbuf eb = {""};
    char at[96];

    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdirat(f->fd, "d", 0700) != 0 || mkdirat(f->fd, "d/m", 0700) != 0)
        return 77;
    touch(f->fd, "d/file");
    (void)snprintf(at, sizeof(at), "%s/d/m", f->dir);
    if (mount(f->outside_path, at, NULL, MS_BIND, NULL) != 0)
        return 77;
    if (tree_empty(f->fd, &eb) == 0)
        return 1;
    if (faccessat(f->outside, "precious", F_OK, 0) != 0)
        return 2;
    if (faccessat(f->fd, "d/file", F_OK, 0) == 0)
        return 3;
    return eb.text[0] != '\0' ? 0 : 4;
}

static void what_is_mounted_is_left_alone(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(try_mounted(f));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    expect_emptied(f); /* the mount went with its namespace */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: no right to mount\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void what_is_in_use_is_not_locked_twice(void **state)
{
    struct fixture *f = *state;
    int first = tree_lock(f->dir);

    assert_true(first >= 0);
    assert_int_equal(tree_lock(f->dir), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    close(first);
    first = tree_lock(f->dir);
    assert_true(first >= 0);
    close(first);
    assert_int_equal(tree_lock("/nowhere"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(symlinkat(f->outside_path, f->fd, "link"), 0);
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/link", f->dir);
    assert_int_equal(tree_lock(path), -1);
    expect_emptied(f);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(an_empty_one_stays_empty),
        CLAIM(links_are_removed_and_not_followed),
        CLAIM(names_of_any_kind_go),
        CLAIM(closed_directories_are_opened),
        CLAIM(depth_does_not_matter),
        CLAIM(many_files_and_directories_go),
        CLAIM(names_of_ours_may_be_taken),
        CLAIM(what_is_mounted_is_left_alone),
        CLAIM(what_is_in_use_is_not_locked_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
