/*
 * Child: starting, signalling and collecting a process.
 *
 * We have one thread, so fork is safe here, and the parent-death signal, which
 * follows the thread that forked, follows the process.
 *
 * Thread: main.
 */
#include "producer/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct birth {
    const char *path;
    char *const *argv;
    int death_signal, inherit_fd, error_fd;
    pid_t parent;
};

static void become(const struct birth *b)
{
    static const int reset[] = {SIGPIPE, SIGINT, SIGTERM, SIGCHLD, SIGHUP};
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, b->death_signal);
    if (getppid() != b->parent)
        _exit(1); /* it died before it could be asked for */
    setpgid(0, 0);
    for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
        signal(reset[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int in = open("/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0)
        _exit(1);
    if (in != STDIN_FILENO)
        close(in);
    if (b->inherit_fd >= 0)
        fcntl(b->inherit_fd, F_SETFD, 0);
    execv(b->path, b->argv);
    int error = errno;
    ssize_t n = write(b->error_fd, &error, sizeof(error));
    _exit(n == (ssize_t)sizeof(error) ? 127 : 126);
}

bool child_start(struct child *c, const char *path, char *const *argv,
                 int death_signal, int inherit_fd)
{
    int pipe_fds[2], error = 0;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return false;
    struct birth birth = {.path = path,
                          .argv = argv,
                          .death_signal = death_signal,
                          .inherit_fd = inherit_fd,
                          .error_fd = pipe_fds[1],
                          .parent = getpid()};
    c->pid = fork();
    if (c->pid == 0)
        become(&birth);
    int fork_errno = errno;
    close(pipe_fds[1]);
    /* Ends when the exec succeeds; else it brings the reason. */
    if (c->pid > 0 && read(pipe_fds[0], &error, sizeof(error)) > 0)
        child_wait(c);
    close(pipe_fds[0]);
    if (c->pid < 0) {
        c->pid = 0;
        error = fork_errno;
    }
    errno = error;
    return error == 0;
}

bool child_has_ended(struct child *c)
{
    if (c->pid > 0 && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
        c->pid = 0;
    return c->pid == 0;
}

void child_wait(struct child *c)
{
    while (c->pid > 0) {
        if (waitpid(c->pid, &c->status, 0) == c->pid || errno != EINTR)
            c->pid = 0;
    }
}

void child_signal(const struct child *c, int sig)
{
    if (c->pid > 0)
        kill(c->pid, sig);
}

int child_exit_status(const struct child *c)
{
    return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status)
                                  : WEXITSTATUS(c->status);
}
