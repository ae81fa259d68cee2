/*
 * One child of a process handler: its start, its pipes, its end.
 *
 *     start ─ hello ─► ready ─ jobs … ─► dismissed ─► ended ─► reaped ─► free
 *                └── ended, silent for too long: killed ──┘
 *
 * As in exec its group is killed and forgotten by the guard before its leader
 * is reaped. The death signal belongs to the thread that started it, and pool
 * threads live until their handlers were stopped.
 *
 * Thread: the owner of the child.
 */
#include "worker/handler_process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/usage.h"

enum {
    KEPT_MEMORY = 64 * 1024,  /* of what it is told */
    LISTEN_MAX = 1024 * 1024, /* bytes that are taken in one go */
    HANGUP_MS = 200           /* between closing its stdout and its end */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_all(int fds[PROCESS_PIPES])
{
    for (int i = 0; i < PROCESS_PIPES; i++)
        close_fd(&fds[i]);
}

/* Ours are non-blocking, theirs block as programs expect. */
static int open_pipes(int ours[PROCESS_PIPES], int theirs[PROCESS_PIPES])
{
    for (int i = 0; i < PROCESS_PIPES; i++)
        ours[i] = theirs[i] = -1;
    for (int i = 0; i < PROCESS_PIPES; i++) {
        int p[2], mine = i == PROCESS_IN ? 1 : 0;

        if (pipe2(p, O_CLOEXEC) < 0)
            return -1;
        ours[i] = p[mine];
        theirs[i] = p[1 - mine];
        if (fcntl(p[mine], F_SETFL, O_NONBLOCK) < 0)
            return -1;
    }
    return 0;
}

/* In a cell that is open, with pipes that are. */
static int spawn_in(struct process *p, int theirs[PROCESS_PIPES],
                    struct errbuf *eb)
{
    const struct handler *h = p->h;
    char path[PATH_MAX];
    int rc;

    if (spawn_find(h->argv[0], env_find(h->carry, "PATH"), path, sizeof(path)) <
            0 ||
        cell_path(&p->cell, path, sizeof(path)) < 0)
        return errbuf_set(eb, ERR_SYSTEM, "%s", strerror(ENOENT));
    char **env = env_make(h->carry, cell_tmp(&p->cell), NULL, 0);
    struct spawn s = {.path = path, .argv = h->argv, .envp = env};

    _Static_assert((int)PROCESS_PIPES == (int)SPAWN_FDS, "the same");
    memcpy(s.fds, theirs, sizeof(s.fds));
    cell_equip(&p->cell, &s);
    rc = spawn_start(&s, &p->child, eb);
    free(env);
    return rc;
}

static int spawn_child(struct process *p, struct errbuf *eb)
{
    int theirs[PROCESS_PIPES], rc;

    if (open_pipes(p->fds, theirs) < 0)
        rc = errbuf_set(eb, ERR_SYSTEM, "%s", strerror(errno));
    else
        rc = spawn_in(p, theirs, eb);
    close_all(theirs);
    return rc;
}

int process_feed(struct process *p)
{
    ssize_t n;

    if (p->told == p->to.len)
        return 0;
    do
        n = write(p->fds[PROCESS_IN], p->to.data + p->told,
                  p->to.len - p->told);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 0 : ERR_CLOSED;
    p->told += (size_t)n;
    return 0;
}

void process_say(struct process *p, const char *text, size_t n)
{
    if (p->told == p->to.len) {
        if (p->to.cap > KEPT_MEMORY)
            buf_done(&p->to);
        buf_clear(&p->to);
        p->told = 0;
    }
    buf_append(&p->to, text, n);
    (void)process_feed(p); /* its end is seen by who polls */
}

size_t process_take(struct process *p, enum process_pipe i, char *scratch)
{
    ssize_t n;

    if (p->fds[i] < 0)
        return 0;
    do
        n = read(p->fds[i], scratch, PROCESS_SCRATCH);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        close_fd(&p->fds[i]);
    return n > 0 ? (size_t)n : 0;
}

void process_poll(const struct process *p, struct pollfd *f)
{
    f[0] = (struct pollfd){.fd = p->child.pidfd, .events = POLLIN};
    f[1] = (struct pollfd){.fd = p->fds[PROCESS_OUT], .events = POLLIN};
    f[2] = (struct pollfd){.fd = p->fds[PROCESS_ERR], .events = POLLIN};
    f[3] = (struct pollfd){.fd = p->fds[PROCESS_CONTROL], .events = POLLIN};
}

static void log_loose(struct process *p, const char *source, const char *line,
                      size_t n)
{
    if (n == 0 || ++p->loose_lines > PROCESS_LOG_LINES)
        return;
    LOG_INFO(source, F_STR("handler", p->h->pattern),
             F_INT("pid", p->child.pid),
             F_MEM("message", line,
                   n < PROCESS_LOG_LINE_MAX ? n : PROCESS_LOG_LINE_MAX));
}

static void on_out_line(void *arg, const char *line, size_t n, bool cut)
{
    struct process *p = arg;
    struct process_message m;

    process_message_read(line, n, cut, &m);
    if (m.word == WORD_READY)
        p->ready = true;
    else if (m.word == WORD_OUTPUT || m.word == WORD_BROKEN)
        log_loose(p, "stdout", line, n);
    if (m.before > 0)
        log_loose(p, "stdout", line, m.before);
}

static void on_err_line(void *arg, const char *line, size_t n, bool cut)
{
    struct process *p = arg;

    (void)cut;
    log_loose(p, "stderr", line, n);
    while (n > 0 && strchr(" \t\r", line[n - 1]) != NULL)
        n--;
    if (n == 0)
        return;
    if (n > PROCESS_MESSAGE_LINE_MAX)
        n = PROCESS_MESSAGE_LINE_MAX;
    memcpy(p->last_line, line, n);
    p->last_line[n] = '\0';
}

void process_listen(struct process *p)
{
    char scratch[PROCESS_SCRATCH];
    size_t n, total;

    for (total = 0; total < LISTEN_MAX; total += n) {
        if ((n = process_take(p, PROCESS_ERR, scratch)) == 0)
            break;
        process_lines_feed(&p->err, scratch, n, PROCESS_LOG_LINE_MAX,
                           on_err_line, p);
    }
    /* Of no job: there is nothing that it could be about. */
    for (total = 0; total < LISTEN_MAX; total += n)
        if ((n = process_take(p, PROCESS_CONTROL, scratch)) == 0)
            break;
    for (total = 0; total < LISTEN_MAX; total += n) {
        if ((n = process_take(p, PROCESS_OUT, scratch)) == 0)
            break;
        process_lines_feed(&p->out, scratch, n, PROCESS_LINE_MAX, on_out_line,
                           p);
    }
}

/* ---- its start ---- */

static void say_hello(struct process *p)
{
    struct buf b = {0};

    buf_str(&b, "{\"op\":\"hello\",\"v\":1,\"handler\":");
    buf_json_string(&b, p->h->pattern, strlen(p->h->pattern));
    buf_printf(&b, ",\"slot\":%u}\n", p->slot);
    process_say(p, b.data, b.len);
    buf_done(&b);
}

static bool is_cancelled(const struct delivery *d, int cancel_fd)
{
    uint64_t wakes;

    return read(cancel_fd, &wakes, sizeof(wakes)) == sizeof(wakes) &&
           atomic_load(&d->cancel) != CANCEL_NONE;
}

static void add_last_line(struct process *p, struct buf *why)
{
    process_lines_end(&p->err, on_err_line, p);
    if (p->last_line[0] != '\0')
        buf_printf(why, ": %s", p->last_line);
}

/* Not ready, and will not be: why says so; empty if d was cancelled. */
static void wait_ready(struct process *p, struct delivery *d, int cancel_fd,
                       struct buf *why)
{
    int64_t until_ms = handler_instant(clock_ms(), p->h->keys.start_timeout_ms);
    char text[32];
    bool hung_up = false;

    for (;;) {
        struct pollfd f[PROCESS_POLLED + 1];
        int64_t left = until_ms - clock_ms();
        int n;

        process_poll(p, f);
        f[PROCESS_POLLED] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
        n = poll(f, PROCESS_POLLED + 1,
                 left <= 0 ? 0 : (int)(left < INT_MAX ? left : INT_MAX));
        if (n < 0)
            continue;
        process_listen(p);
        if (p->ready)
            return;
        if (f[0].revents != 0) {
            (void)process_reap(p);
            process_describe_end(p, why);
            process_listen(p);
            buf_str(why, " before it was ready");
            break;
        }
        if (f[PROCESS_POLLED].revents != 0 && is_cancelled(d, cancel_fd)) {
            (void)process_reap(p);
            return;
        }
        if (p->fds[PROCESS_OUT] < 0 && !hung_up) {
            hung_up = true;
            until_ms = handler_instant(clock_ms(), HANGUP_MS);
        } else if (left <= 0) {
            if (hung_up)
                buf_str(why, "closed its stdout before it was ready");
            else
                buf_printf(
                    why, "not ready within %s",
                    text_format_duration(p->h->keys.start_timeout_ms, text));
            (void)process_reap(p);
            break;
        }
    }
    add_last_line(p, why);
}

struct process *process_start(const struct handler *h, unsigned slot,
                              struct delivery *d, int cancel_fd,
                              struct buf *why)
{
    struct process *p = mem_new(sizeof(*p));
    struct errbuf eb;

    p->h = h;
    p->slot = slot;
    p->child.pidfd = -1;
    for (int i = 0; i < PROCESS_PIPES; i++)
        p->fds[i] = -1;
    if (cell_open(&p->cell, h->isolation, &eb) < 0 || spawn_child(p, &eb) < 0) {
        buf_printf(why, "%s: %s", h->argv[0], eb.text);
        process_free(p);
        return NULL;
    }
    p->has_clock = usage_cpu_clock(p->child.pid, &p->clock);
    LOG_DEBUG("process_start", F_STR("handler", h->pattern),
              F_INT("slot", slot), F_INT("pid", p->child.pid));
    say_hello(p);
    wait_ready(p, d, cancel_fd, why);
    if (p->ready)
        return p;
    process_free(p);
    return NULL;
}

/* ---- its end ---- */

void process_dismiss(struct process *p)
{
    static const char drain[] = "{\"op\":\"drain\"}\n";
    int64_t now = clock_ms(), ms = p->h->limits.kill_after_ms;

    /* Behind half a line it would be understood as a part of that. */
    if (p->told == p->to.len && p->fds[PROCESS_IN] >= 0)
        process_say(p, drain, sizeof(drain) - 1);
    close_fd(&p->fds[PROCESS_IN]);
    buf_done(&p->to);
    p->told = 0;
    p->loose_lines = 0;
    if (p->term_at_ms == 0)
        p->term_at_ms = handler_instant(now, ms / 2);
    if (p->kill_at_ms == 0)
        p->kill_at_ms = handler_instant(now, ms);
}

void process_kill(const struct process *p, int sig)
{
    kill(-p->child.pid, sig);
    if (sig == SIGTERM) /* a stopped one must go on to see it */
        kill(-p->child.pid, SIGCONT);
}

bool process_reap(struct process *p)
{
    assert(p->child.pidfd >= 0);
    p->end_known = spawn_reap(&p->child, &p->end.info, &p->end.used);
    if (p->cell.cgroup.path != NULL)
        p->end.oom = cgroup_oom(&p->cell.cgroup);
    return p->end_known;
}

void process_describe_end(const struct process *p, struct buf *out)
{
    const siginfo_t *si = &p->end.info;
    const char *abbrev;

    if (!p->end_known) {
        buf_str(out, "it ended");
        return;
    }
    if (si->si_code == CLD_EXITED) {
        buf_printf(out, "exit code %d", si->si_status);
        return;
    }
    abbrev = sigabbrev_np(si->si_status);
    buf_printf(out, "killed by signal %d (SIG%s)%s", si->si_status,
               abbrev != NULL ? abbrev : "?",
               si->si_code == CLD_DUMPED ? ", core dumped" : "");
}

void process_free(struct process *p)
{
    assert(p->child.pidfd < 0);
    cell_close(&p->cell);
    close_all(p->fds);
    buf_done(&p->out.part);
    buf_done(&p->err.part);
    buf_done(&p->to);
    free(p);
}

int64_t process_rss(const struct process *p)
{
    char path[64], text[128] = "", *end;
    int64_t pages;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)p->child.pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    /* "SIZE RESIDENT …" */
    (void)strtoll(text, &end, 10);
    if (n <= 0 || end == text)
        return -1;
    pages = strtoll(end, NULL, 10);
    return pages * (int64_t)sysconf(_SC_PAGESIZE);
}
