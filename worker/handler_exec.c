/*
 * Exec: one process per job, fed and drained until it and its group are gone.
 *
 * One poll(2) watches everything that can happen: the payload pipe takes more,
 * stdout, stderr or the control channel has some, the process ended (pidfd),
 * we are to stop it (cancel_fd), a time limit passed. None of these waits for
 * another, so no order in which a handler reads and writes can lock us both up.
 * The end of the first process is the end of the run: what it left in its group
 * is killed, and what the pipes still hold is read without waiting, since a
 * process that left the group may hold them open for ever.
 *
 *     running ─ limits, cancel ───► TERM sent ─ kill_after, hurry ─► KILL sent
 *        └───────────── process ended ─────┴──────────────────────────┘
 *                                          ▼
 *        kill the group ► guard forgets it ► reap ► drain ► verdict ► clean up
 *
 * The group is killed and forgotten by the guard before its leader is reaped:
 * until then its number cannot belong to anybody else.
 *
 * Thread: pool; one run at a time. SIGPIPE is blocked or ignored there.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/cell.h"
#include "worker/handler_control.h"
#include "worker/handler_output.h"
#include "worker/handler_priv.h"
#include "worker/spawn.h"
#include "worker/subtask_lines.h"
#include "worker/usage.h"

enum {
    SCRATCH = 32 * 1024,     /* half a pipe; small enough for the stack */
    DRAIN_MAX = 1024 * 1024, /* the largest pipe of an unprivileged process */
    HANGUP_MS = 2,           /* between closing a pipe and the end */
    EXIT_NOT_STARTED = 126,  /* as shells have it */
    EXIT_NOT_FOUND = 127
};

/* Pipes of a run, in the order of the child's descriptors. */
enum pipe_index { IN, OUT, ERR, CONTROL, RESULTS, PIPES };

enum stop { STOP_NONE, STOP_TIMEOUT, STOP_SILENT, STOP_SUBTASK, STOP_CANCEL };

struct run {
    struct delivery *d; /* borrowed */
    const struct exec_what *what;
    struct child child;
    int fds[PIPES]; /* our ends, non-blocking; -1: closed */
    int cancel_fd;  /* borrowed */
    size_t sent;    /* of the payload */

    enum stop stop;  /* why TERM was sent */
    bool hurry;      /* a wake for cancel was seen */
    bool hangup;     /* the other end of a pipe was closed just now */
    int64_t next_ms; /* the timeout, then the KILL; then never */

    struct cell cell;
    struct exec_end end; /* once it was reaped */

    struct run_output output;
    struct wishes wishes;
    struct subtask_lines results;
    bool results_wait; /* for room in their pipe */
    char scratch[SCRATCH];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Ours are non-blocking, theirs block as programs expect. */
static int open_pipes(struct run *r, int theirs[PIPES])
{
    for (int i = 0; i < PIPES; i++)
        r->fds[i] = theirs[i] = -1;
    for (int i = 0; i < PIPES; i++) {
        int p[2], mine = i == IN || i == RESULTS ? 1 : 0;

        if (pipe2(p, O_CLOEXEC) < 0)
            return -1;
        r->fds[i] = p[mine];
        theirs[i] = p[1 - mine];
        if (fcntl(p[mine], F_SETFL, O_NONBLOCK) < 0)
            return -1;
    }
    return 0;
}

static void close_pipes(int fds[PIPES])
{
    for (int i = 0; i < PIPES; i++)
        close_fd(&fds[i]);
}

static void feed(struct run *r)
{
    struct json_span p = r->what->input;
    ssize_t n;

    do
        n = write(r->fds[IN], p.p + r->sent, p.len - r->sent);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        r->sent += (size_t)n;
    /* A handler that does not want to read its payload may: EPIPE. */
    if (r->sent == p.len || (n < 0 && errno != EAGAIN))
        close_fd(&r->fds[IN]);
}

/* Reads once. Returns 0 when there is nothing more, now or at all. */
static size_t take(struct run *r, int *fd)
{
    ssize_t n;

    do
        n = read(*fd, r->scratch, sizeof(r->scratch));
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        close_fd(fd);
        r->hangup = true;
    }
    return n > 0 ? (size_t)n : 0;
}

static size_t take_out(struct run *r)
{
    size_t n = take(r, &r->fds[OUT]);

    run_output_out(&r->output, r->scratch, n);
    return n;
}

static size_t take_err(struct run *r)
{
    size_t n = take(r, &r->fds[ERR]);

    run_output_err(&r->output, r->scratch, n);
    return n;
}

static size_t take_control(struct run *r)
{
    size_t n = take(r, &r->fds[CONTROL]);

    wishes_feed(&r->wishes, r->scratch, n);
    return n;
}

/* The same when the process has ended, and its last line may have to wait. */
static size_t take_last_control(struct run *r)
{
    wishes_settle(&r->wishes, r->cancel_fd);
    return take_control(r);
}

static void kill_group(struct run *r, int sig)
{
    kill(-r->child.pid, sig);
}

static int64_t kill_at_ms(const struct run *r)
{
    return handler_instant(clock_ms(), handler_kill_after_ms(r->d));
}

/* TERM now, KILL later. A stopped process must go on to see the TERM. */
static void terminate(struct run *r, enum stop why)
{
    assert(r->stop == STOP_NONE);
    r->stop = why;
    kill_group(r, SIGTERM);
    kill_group(r, SIGCONT);
    r->next_ms = kill_at_ms(r);
    subtasks_stop(r->d);
}

static void kill_now(struct run *r)
{
    kill_group(r, SIGKILL);
    r->next_ms = INT64_MAX;
}

/* The first wake stops the run, every later one kills it. */
static void on_wake(struct run *r)
{
    uint64_t wakes;

    if (read(r->cancel_fd, &wakes, sizeof(wakes)) != sizeof(wakes) ||
        atomic_load(&r->d->cancel) == CANCEL_NONE)
        return;
    if (r->stop == STOP_NONE)
        terminate(r, STOP_CANCEL);
    else if (r->next_ms > kill_at_ms(r)) /* it timed out: no longer so long */
        r->next_ms = kill_at_ms(r);
    if (r->hurry || wakes > 1) {
        kill_now(r);
        if (r->d->subtasks != NULL)
            subtasks_hurry(r->d->subtasks);
    }
    r->hurry = true;
}

/* What has come of sub-tasks, and what now has room. */
static void serve_subtasks(struct run *r)
{
    struct subtasks *s = r->d->subtasks;

    subtasks_look(s);
    if (subtasks_failed(s) && r->stop == STOP_NONE)
        terminate(r, STOP_SUBTASK);
    r->results_wait = subtask_lines_write(&r->results, s, &r->fds[RESULTS]);
    (void)wishes_resume(&r->wishes);
    subtasks_flush(s);
}

static void on_time(struct run *r)
{
    if (r->stop == STOP_NONE)
        terminate(r, r->next_ms <= clock_ms() ? STOP_TIMEOUT : STOP_SILENT);
    else
        kill_now(r);
}

static int time_left_ms(const struct run *r)
{
    int64_t silent_ms = wishes_silent_until(&r->wishes), next_ms = r->next_ms;

    if (r->stop == STOP_NONE && silent_ms < next_ms)
        next_ms = silent_ms;
    if (next_ms == INT64_MAX)
        return -1;
    int64_t left = next_ms - clock_ms();
    return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

/*
 * Returns when the process has ended. Most close their outputs by ending, and
 * the kernel wakes us for each: after the first of them we look for the end
 * alone, for a moment, so that the rest of them wakes nobody.
 */
static void watch(struct run *r)
{
    enum { END_ONLY = 2 };

    for (;;) {
        struct subtasks *s = r->d->subtasks;
        struct pollfd p[] = {
            {.fd = r->child.pidfd, .events = POLLIN},
            {.fd = r->cancel_fd, .events = POLLIN},
            {.fd = r->fds[IN], .events = POLLOUT},
            {.fd = r->fds[OUT], .events = POLLIN},
            {.fd = r->fds[ERR], .events = POLLIN},
            {.fd = r->wishes.held ? -1 : r->fds[CONTROL], .events = POLLIN},
            {.fd = r->results_wait ? r->fds[RESULTS] : -1, .events = POLLOUT},
            {.fd = s != NULL ? subtasks_fd(s) : -1, .events = POLLIN}};
        int left = time_left_ms(r);
        bool ending = r->hangup && (left < 0 || left > HANGUP_MS);
        int n = poll(p, ending ? END_ONLY : sizeof(p) / sizeof(p[0]),
                     ending ? HANGUP_MS : left);

        r->hangup = false;
        if (n > 0) {
            if (p[0].revents != 0)
                return;
            if (p[1].revents != 0)
                on_wake(r);
            if (p[2].revents != 0)
                feed(r);
            if (p[3].revents != 0)
                take_out(r);
            if (p[4].revents != 0)
                take_err(r);
            if (p[5].revents != 0)
                take_control(r);
        }
        if (r->d->subtasks != NULL)
            serve_subtasks(r);
        if (r->wishes.refused && r->stop == STOP_NONE)
            terminate(r, STOP_SUBTASK); /* it would wait for results */
        if (time_left_ms(r) == 0)
            on_time(r);
    }
}

static void account(struct run *r)
{
    struct outcome *o = &r->d->outcome;
    int64_t all_us = -1;

    o->cpu_us = usage_of_child_cpu_us(&r->end.used);
    o->peak_rss = usage_of_child_peak_rss(&r->end.used);
    if (r->cell.cgroup.path != NULL) {
        /* Also of what it did not wait for. */
        all_us = cgroup_cpu_us(&r->cell.cgroup);
        r->end.oom = cgroup_oom(&r->cell.cgroup);
    }
    if (all_us > o->cpu_us)
        o->cpu_us = all_us;
}

/* Returns false when someone else has taken the status. */
static bool reap(struct run *r)
{
    bool known = spawn_reap(&r->child, &r->end.info, &r->end.used);

    if (known)
        account(r);
    return known;
}

static void drain_pipe(struct run *r, enum pipe_index i,
                       size_t (*take_some)(struct run *r))
{
    size_t n, total;

    for (total = 0; total < DRAIN_MAX && r->fds[i] >= 0; total += n)
        if ((n = take_some(r)) == 0)
            break;
}

static void drain(struct run *r)
{
    drain_pipe(r, OUT, take_out);
    drain_pipe(r, ERR, take_err);
    /* What it has emitted last is wanted only if it is done. */
    if (r->d->outcome.verdict != VERDICT_DONE)
        wishes_failed(&r->wishes);
    if (r->d->subtasks != NULL)
        subtasks_drop_results(r->d->subtasks);
    drain_pipe(r, CONTROL, take_last_control);
    wishes_settle(&r->wishes, r->cancel_fd);
    wishes_last(&r->wishes);
    wishes_settle(&r->wishes, r->cancel_fd);
    close_pipes(r->fds);
    wishes_end(&r->wishes);
    subtask_lines_done(&r->results);
}

/* What we stopped is judged by why we did. */
static void judge(struct run *r, bool ended)
{
    if (ended)
        r->d->outcome.exit_status = exec_end_status(&r->end);
    if (r->stop == STOP_CANCEL)
        handler_stopped(r->d);
    else if (r->stop == STOP_TIMEOUT)
        handler_fail_timeout(r->d);
    else if (r->stop == STOP_SILENT)
        handler_fail_silent(r->d);
    else if (r->stop == STOP_SUBTASK) /* subtasks_finish says which */
        handler_fail(r->d, VERDICT_RETRY, "subtask", "a sub-task failed");
    else if (!ended)
        handler_fail(r->d, VERDICT_RETRY, "lost", "exit status is unknown");
    else
        exec_end_judge(r->d, &r->end);
}

static int system_fail(struct errbuf *eb, int err)
{
    return errbuf_set(eb, ERR_SYSTEM, "%s", strerror(err));
}

/* In a cell that is open, with pipes that are. */
static int start_in(struct run *r, int theirs[PIPES], struct errbuf *eb)
{
    const struct handler *h = r->d->handler;
    int64_t timeout_ms = handler_timeout_ms(r->d);
    char path[PATH_MAX];
    int rc;

    if (spawn_find(r->what->argv[0], env_find(h->carry, "PATH"), path,
                   sizeof(path)) < 0 ||
        cell_path(&r->cell, path, sizeof(path)) < 0) {
        r->d->outcome.exit_status = EXIT_NOT_FOUND;
        return system_fail(eb, ENOENT);
    }
    char **env = env_make(r->what->carry != NULL ? r->what->carry : h->carry,
                          cell_tmp(&r->cell), r->d,
                          handler_instant(clock_wall_ms(), timeout_ms));
    struct spawn s = {.path = path, .argv = r->what->argv, .envp = env};

    memcpy(s.fds, theirs, sizeof(s.fds));
    s.fd4 = theirs[RESULTS];
    cell_equip(&r->cell, &s);
    if (r->what->dir != NULL)
        s.dir = r->what->dir;
    /* Most payloads fit into the pipe: one wake less for both. */
    feed(r);
    rc = spawn_start(&s, &r->child, eb);
    if (rc < 0)
        r->d->outcome.exit_status = EXIT_NOT_STARTED;
    free(env);
    return rc;
}

static int start(struct run *r, struct errbuf *eb)
{
    int theirs[PIPES], rc;

    r->next_ms = handler_instant(clock_ms(), handler_timeout_ms(r->d));
    if (open_pipes(r, theirs) < 0)
        rc = system_fail(eb, errno);
    else
        rc = start_in(r, theirs, eb);
    close_pipes(theirs);
    return rc;
}

/* A handler is broken here then; a command just fails, as in a shell. */
static void not_started(struct run *r, const struct errbuf *eb)
{
    struct outcome *o = &r->d->outcome;

    if (!r->what->is_command)
        o->exit_status = -1;
    handler_fail(r->d, r->what->is_command ? VERDICT_RETRY : VERDICT_PUT_OFF,
                 "spawn", "%s: %s", r->what->argv[0], eb->text);
}

void exec_run(struct delivery *d, int cancel_fd, const struct exec_what *what)
{
    struct run r; /* not zeroed: most of it is scratch space */
    struct errbuf eb;

    if (atomic_load(&d->cancel) != CANCEL_NONE) {
        handler_stopped(d);
        return;
    }
    r.d = d;
    r.what = what;
    r.cancel_fd = cancel_fd;
    r.sent = 0;
    r.stop = STOP_NONE;
    r.hurry = r.hangup = r.end.oom = false;
    r.end.plain = what->is_command;
    run_output_init(&r.output, d, what->is_command);
    wishes_init(&r.wishes, d);
    r.results = (struct subtask_lines){0};
    r.results_wait = false;
    if (cell_open(&r.cell, d->handler->isolation, &eb) < 0) {
        handler_fail(d, VERDICT_PUT_OFF, "spawn", "%s: %s", what->argv[0],
                     eb.text);
        return;
    }
    if (start(&r, &eb) < 0) {
        close_pipes(r.fds);
        cell_close(&r.cell);
        not_started(&r, &eb);
        return;
    }
    watch(&r);
    bool ended = reap(&r);
    judge(&r, ended);
    drain(&r);
    wishes_judge(&r.wishes);
    run_output_keep(&r.output);
    cell_close(&r.cell);
}

static void run_exec(struct delivery *d, int cancel_fd)
{
    const struct exec_what what = {.argv = d->handler->argv,
                                   .input = d->job->payload};

    exec_run(d, cancel_fd, &what);
}

static int init(struct handler *h, const char *spec, struct errbuf *eb)
{
    h->run = run_exec;
    return argv_split(spec, &h->argv, eb);
}

const struct handler_kind handler_exec_kind = {.name = "exec", .init = init};

void handler_exec_init_path(struct handler *h, const char *path)
{
    h->run = run_exec;
    h->kind = &handler_exec_kind;
    h->argv = mem_new(2 * sizeof(*h->argv));
    /* A slash keeps spawn_find from searching PATH. */
    h->argv[0] =
        strchr(path, '/') != NULL ? mem_strdup(path) : mem_printf("./%s", path);
}
