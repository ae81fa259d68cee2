/*
 * Running belt for tests.
 *
 * Its outputs are anonymous files: it can never wait for us to read them.
 *
 * Thread: the test's main thread.
 */
#include "tests/integration/cli_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum { ARGS_MAX = 32 };

static const char *stdout_path;

void cli_set_stdout(const char *path)
{
    stdout_path = path;
}

static void set_environment(const char *url)
{
    static const char *const unset[] = {"BELT_REDIS_URL", "REDIS_URL",
                                        "REDISCLI_AUTH", "BELT_NAMESPACE",
                                        "NO_COLOR"};

    for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
        unsetenv(unset[i]);
    if (url)
        setenv("BELT_REDIS_URL", url, 1);
}

static void become(const struct cli *c, const char *url, int in_fd,
                   char *const *argv, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    set_environment(url);
    signal(SIGPIPE, SIG_DFL);
    int out = stdout_path ? open(stdout_path, O_WRONLY | O_CLOEXEC) : c->out;
    if (dup2(in_fd, 0) < 0 || dup2(out, 1) < 0 || dup2(c->err, 2) < 0)
        _exit(126);
    execv(BELT_BIN, argv);
    _exit(127);
}

void cli_start(struct cli *c, struct redis *server, int in_fd,
               const char *const *args)
{
    char *argv[ARGS_MAX] = {mem_strdup("belt")};
    int pipe_fds[2] = {-1, -1};
    pid_t parent = getpid();

    for (size_t i = 0; args[i]; i++) {
        assert_true(i + 2 < ARGS_MAX);
        argv[i + 1] = mem_strdup(args[i]);
    }
    if (in_fd < 0)
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    c->in = pipe_fds[1];
    c->out = memfd_create("out", MFD_CLOEXEC);
    c->err = memfd_create("err", MFD_CLOEXEC);
    assert_true(c->out >= 0 && c->err >= 0);
    fflush(NULL);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0)
        become(c, server ? redis_url(server) : NULL,
               in_fd < 0 ? pipe_fds[0] : in_fd, argv, parent);
    if (pipe_fds[0] >= 0)
        close(pipe_fds[0]);
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
}

bool cli_write(struct cli *c, const char *p, size_t n)
{
    signal(SIGPIPE, SIG_IGN);
    while (n > 0) {
        ssize_t done = write(c->in, p, n);
        if (done < 0 && errno == EPIPE)
            return false;
        assert_true(done > 0);
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static char *read_file(int fd, size_t *ret_len)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    char *text = mem_new((size_t)st.st_size + 1);
    ssize_t n = pread(fd, text, (size_t)st.st_size, 0);
    assert_int_equal(n, st.st_size);
    if (ret_len)
        *ret_len = (size_t)n;
    return text;
}

char *cli_output(const struct cli *c)
{
    return read_file(c->out, NULL);
}

void cli_finish(struct cli *c, struct cli_result *ret)
{
    struct rusage usage;
    int status;

    if (c->in >= 0)
        close(c->in);
    while (wait4(c->pid, &status, 0, &usage) < 0)
        assert_int_equal(errno, EINTR);
    ret->status =
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ret->rss_kb = usage.ru_maxrss;
    ret->out = read_file(c->out, &ret->out_len);
    ret->err = read_file(c->err, NULL);
    close(c->out);
    close(c->err);
}

int cli_file(const char *text, size_t n)
{
    int fd = memfd_create("in", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, n, 0), (ssize_t)n);
    return fd;
}

struct cli_result cli_run(struct redis *server, const char *input,
                          const char *const *argv)
{
    int fd = input ? cli_file(input, strlen(input))
                   : open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct cli_result r;
    struct cli c;

    cli_start(&c, server, fd, argv);
    close(fd);
    cli_finish(&c, &r);
    return r;
}

void cli_result_done(struct cli_result *r)
{
    free(r->out);
    free(r->err);
}

void cli_expect(struct redis *server, const char *input, int status,
                const char *in_out, const char *in_err, const char *const *argv)
{
    struct cli_result r = cli_run(server, input, argv);

    if (r.status != status || (in_out && !strstr(r.out, in_out)) ||
        (in_err && !strstr(r.err, in_err)))
        fail_msg("belt %s %s: status %d instead of %d\nstdout: %s\n"
                 "stderr: %s",
                 argv[0], argv[0] && argv[1] ? argv[1] : "", r.status, status,
                 r.out, r.err);
    cli_result_done(&r);
}
