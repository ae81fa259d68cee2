/*
 * Process: a job on a child that stays.
 *
 * One poll(2) watches everything that can happen, as in exec: the child takes
 * more of its job, says something on one of three pipes, ends (pidfd), we are
 * to stop it (cancel_fd), a time limit passes. So neither of us waits for the
 * other, however large a job is and whatever a child says before it reads it.
 *
 * Who is to blame when a child ends without an answer: the job, if the child
 * has read a byte of it. What it has not read is still in the pipe, and
 * FIONREAD tells how much that is. If it has read nothing, another child gets
 * the job. An answer that it wrote before it ended counts.
 *
 * Thread: pool; one run at a time. SIGPIPE is blocked or ignored there.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/handler_process_run.h"
#include "worker/subtask_lines.h"
#include "worker/usage.h"

enum {
    DRAIN_MAX = 1024 * 1024, /* the largest pipe of an unprivileged process */
    IDLE_SHORT_MS = 2,
    PEAK_LOOK_MS = 10 /* that a look at its peak is worth it */
};

/* Children of jobs, and of sub-tasks: a job that waits for its sub-tasks keeps
 * its child, and would keep the child that they wait for. */
enum { JOBS, PARTS, TIERS };
struct process_sets {
    struct process_set *of[TIERS]; /* owned */
};

static void run_process(struct delivery *d, int cancel_fd);

static struct process_set **sets_of(const struct handler *h)
{
    return ((struct process_sets *)h->state)->of;
}

static int init(struct handler *h, const char *spec, struct errbuf *eb)
{
    h->run = run_process;
    h->state = mem_new(sizeof(struct process_sets));
    for (int i = 0; i < TIERS; i++)
        sets_of(h)[i] = process_set_new(h, i * PROCESS_PART_SLOTS);
    return argv_split(spec, &h->argv, eb);
}

static void dismiss(struct handler *h)
{
    for (int i = 0; i < TIERS; i++)
        process_set_dismiss(sets_of(h)[i]);
}

static void stop(struct handler *h)
{
    for (int i = 0; i < TIERS; i++)
        process_set_stop(sets_of(h)[i]);
}

static void free_sets(struct handler *h)
{
    for (int i = 0; i < TIERS; i++)
        process_set_free(sets_of(h)[i]);
    free(h->state);
}

static unsigned kept(const struct handler *h, unsigned threads)
{
    unsigned most = (unsigned)h->keys.processes;

    return TIERS * ((most > 0 && most < threads ? most : threads) +
                    PROCESS_LEAVING_MAX);
}

const struct handler_kind handler_process_kind = {.name = "process",
                                                  .init = init,
                                                  .dismiss = dismiss,
                                                  .stop = stop,
                                                  .free = free_sets,
                                                  .kept = kept};

/* ---- what it says ---- */

static void warn(struct process_run *r, const char *what, struct json_span id)
{
    if (r->warned)
        return;
    r->warned = true;
    LOG_WARN("process", F_STR("job", r->d->job->id),
             F_STR("type", r->d->job->type), F_STR("queue", r->d->queue),
             F_STR("error", what), F_MEM("id", id.p, id.len < 64 ? id.len : 64),
             F_STR("so", "passed over, and so are others of this run, unsaid"));
}

static bool is_ours(const struct process_run *r, struct json_span id)
{
    char text[ID_MAX_LEN + 1];
    size_t n;

    return id.p == NULL || (json_string_copy(id, text, sizeof(text), &n) == 0 &&
                            strcmp(text, r->d->job->id) == 0);
}

static void on_line(void *arg, const char *line, size_t n, bool cut)
{
    struct process_run *r = arg;
    struct process_message m;

    process_message_read(line, n, cut, &m);
    if (m.before > 0) {
        run_lines_feed(&r->output, line, m.before);
        run_lines_feed(&r->output, "\n", 1);
        line += m.before;
        n -= m.before;
    }
    if (m.word == WORD_OUTPUT) {
        run_lines_feed(&r->output, line, n);
        run_lines_feed(&r->output, "\n", 1);
    } else if (m.word == WORD_READY) {
        return; /* once more: it does no harm */
    } else if (m.word == WORD_LOST_PUSH) {
        (void)delivery_push_refuse(r->d, ERR_INVALID, m.eb.text, NULL);
    } else if (m.word == WORD_LOST_SUBTASK) {
        wishes_lost_subtask(&r->wishes, m.eb.text);
    } else if (!is_ours(r, m.id)) {
        warn(r, "a line is about another job", m.id);
    } else if (m.word == WORD_CONTROL) {
        (void)wishes_line(&r->wishes, line, n);
    } else if (r->answered) {
        warn(r, "it answers once more", m.id);
    } else {
        r->answered = true;
        process_message_judge(&m, r->d, &r->wishes, &r->trace);
    }
}

static size_t take_lines(struct process_run *r, const char *p, size_t n)
{
    return process_lines_feed_until(&r->p->out, p, n, PROCESS_LINE_MAX, on_line,
                                    r, &r->wishes.held);
}

static size_t take_out(struct process_run *r)
{
    size_t n = process_take(r->p, PROCESS_OUT, r->scratch);
    size_t taken = take_lines(r, r->scratch, n);

    if (taken < n)
        buf_append(&r->rest, r->scratch + taken, n - taken);
    return n;
}

static size_t take_err(struct process_run *r)
{
    size_t n = process_take(r->p, PROCESS_ERR, r->scratch);

    if (n > 0)
        stderr_log_feed(&r->stderr_log, r->scratch, n);
    return n;
}

static size_t take_control(struct process_run *r)
{
    size_t n = process_take(r->p, PROCESS_CONTROL, r->scratch);

    if (n > 0)
        wishes_feed(&r->wishes, r->scratch, n);
    return n;
}

/* ---- sub-tasks ---- */

/* Goes on with what came behind a line that was held. */
static void take_rest(struct process_run *r)
{
    if (!wishes_resume(&r->wishes))
        return;
    r->rest_at +=
        take_lines(r, r->rest.data + r->rest_at, r->rest.len - r->rest_at);
    if (r->rest_at == r->rest.len) {
        buf_done(&r->rest);
        r->rest_at = 0;
    }
}

/* Waits until nothing is held: once the child has answered, or ended. */
static void settle(struct process_run *r)
{
    do {
        wishes_settle(&r->wishes, r->cancel_fd);
        take_rest(r);
    } while (r->wishes.held);
}

/* Reads what is left, to be taken by take_rest. */
static size_t read_out(struct process_run *r)
{
    size_t n = process_take(r->p, PROCESS_OUT, r->scratch);

    buf_append(&r->rest, r->scratch, n);
    return n;
}

struct answer {
    const struct process_run *r;
    bool known, done;
};

static void on_line_ahead(void *arg, const char *line, size_t n, bool cut)
{
    struct answer *a = arg;
    struct process_message m;

    process_message_read(line, n, cut, &m);
    if (a->known || m.word < WORD_DONE || m.word > WORD_BROKEN ||
        !is_ours(a->r, m.id))
        return;
    a->known = true;
    a->done = m.word == WORD_DONE;
}

/* Whether what is left of its lines says that it is done: it has ended. */
static bool is_done_ahead(const struct process_run *r)
{
    const struct process_lines *out = &r->p->out;
    struct answer a = {.r = r};
    struct process_lines l = {0};

    buf_append(&l.part, out->part.data, out->part.len);
    l.cut = out->cut;
    process_lines_feed(&l, r->rest.data + r->rest_at, r->rest.len - r->rest_at,
                       PROCESS_LINE_MAX, on_line_ahead, &a);
    process_lines_end(&l, on_line_ahead, &a);
    return a.done;
}

static size_t take_last_control(struct process_run *r)
{
    settle(r);
    return take_control(r);
}

/* As many as it reads; the rest waits with its sub-tasks. */
static void tell_results(struct process_run *r)
{
    struct process *p = r->p;
    struct buf b = {0};
    int rc = 0;

    while (!r->deaf && p->told == p->to.len) {
        for (buf_clear(&b); rc == 0 && b.len < PROCESS_SCRATCH;)
            rc = subtask_line_next(r->d->subtasks, r->d->job->id, &b);
        if (b.len == 0)
            break;
        process_say(p, b.data, b.len);
    }
    buf_done(&b);
    if (r->deaf)
        subtasks_drop_results(r->d->subtasks);
}

static void drain(struct process_run *r,
                  size_t (*take_some)(struct process_run *r))
{
    size_t n, total;

    for (total = 0; total < DRAIN_MAX; total += n)
        if ((n = take_some(r)) == 0)
            return;
}

/* ---- the run ---- */

/* Bytes of what it was told that it has not read. */
static size_t unread(const struct process_run *r)
{
    int n;

    return ioctl(r->p->fds[PROCESS_IN], FIONREAD, &n) == 0 && n > 0 ? (size_t)n
                                                                    : 0;
}

/* One that has closed its stdin may still answer, if it knows the job. */
static void feed(struct process_run *r, short revents)
{
    struct process *p = r->p;

    if (process_feed(p) == 0 && (revents & POLLERR) == 0)
        return;
    r->deaf = true;
    if (p->told < p->to.len || unread(r) > 0)
        process_run_hang_up(r);
}

static void serve_subtasks(struct process_run *r)
{
    struct subtasks *s = r->d->subtasks;

    subtasks_look(s);
    if (subtasks_failed(s) && r->state == RUN_RUNNING)
        process_run_ask(r, STOP_SUBTASK);
    tell_results(r);
    take_rest(r);
    subtasks_flush(s);
}

/* Returns when it has answered, or ended. */
static void watch(struct process_run *r)
{
    enum { END, OUT, ERR, CONTROL, CANCEL, SUBTASKS, IN, POLLED };
    struct process *p = r->p;

    _Static_assert((int)CANCEL == (int)PROCESS_POLLED, "behind those");
    while (!r->answered && !r->ended) {
        struct pollfd f[POLLED];
        struct subtasks *s = r->d->subtasks;
        bool more = p->told < p->to.len;
        int n;

        process_poll(p, f);
        if (r->wishes.held) /* it waits in its write */
            f[OUT].fd = f[CONTROL].fd = -1;
        f[SUBTASKS] = (struct pollfd){.fd = s != NULL ? subtasks_fd(s) : -1,
                                      .events = POLLIN};
        f[CANCEL] = (struct pollfd){.fd = r->cancel_fd, .events = POLLIN};
        /* Without events: tells when it has closed its stdin. */
        f[IN] = (struct pollfd){.fd = p->fds[PROCESS_IN],
                                .events = more ? POLLOUT : 0};
        n = poll(f, r->deaf ? IN : POLLED, process_run_left_ms(r));
        if (n > 0) {
            if (!r->deaf && f[IN].revents != 0)
                feed(r, f[IN].revents);
            if (f[ERR].revents != 0)
                take_err(r);
            if (f[CONTROL].revents != 0)
                take_control(r);
            if (f[OUT].revents != 0 && !r->wishes.held)
                take_out(r);
            if (r->answered)
                return;
            r->ended = f[END].revents != 0;
            if (f[CANCEL].revents != 0 && !r->ended)
                process_run_wake(r);
        }
        if (r->d->subtasks != NULL)
            serve_subtasks(r);
        if (r->wishes.refused && r->state == RUN_RUNNING && !r->answered)
            process_run_ask(r, STOP_SUBTASK); /* it would wait for results */
        if (p->fds[PROCESS_OUT] < 0 && !r->wishes.held)
            process_run_hang_up(r);
        if (!r->ended && !r->answered && process_run_left_ms(r) == 0)
            process_run_time(r);
    }
}

/* ---- how it ended ---- */

static int64_t cpu_us(const struct process *p)
{
    return p->has_clock ? usage_cpu_us(p->clock) : -1;
}

/* Of a child that is not reaped. */
static void account(struct process_run *r)
{
    struct outcome *o = &r->d->outcome;
    struct process *p = r->p;

    p->cpu_us = cpu_us(p);
    if (p->cpu_us >= 0 && r->cpu_us >= 0)
        o->cpu_us = p->cpu_us - r->cpu_us;
    if (clock_ms() - r->began_ms >= PEAK_LOOK_MS)
        o->peak_rss = usage_peak_rss(p->child.pid);
}

/* The job is over: what is in the pipes belongs to it, pushes above all. */
static void conclude(struct process_run *r)
{
    /* What it has emitted last is wanted only if it is done. */
    if (r->d->outcome.verdict != VERDICT_DONE)
        wishes_failed(&r->wishes);
    if (r->d->subtasks != NULL)
        subtasks_drop_results(r->d->subtasks);
    drain(r, take_last_control);
    settle(r);
    wishes_last(&r->wishes);
    settle(r);
    drain(r, take_err);
    stderr_log_end(&r->stderr_log);
    run_lines_end(&r->output);
    wishes_end(&r->wishes);
    process_run_judge(r);
    wishes_judge(&r->wishes);
    process_run_keep(r);
}

/*
 * It ended and read nothing of the job. If that would have been its first one
 * it is as if it had not got ready: the job is put off, the second time.
 */
static void leave_unread(struct process_run *r, struct process_set *s)
{
    struct delivery *d = r->d;
    struct buf how = {0};

    drain(r, take_err);
    stderr_log_end(&r->stderr_log);
    run_lines_end(&r->output);
    wishes_end(&r->wishes);
    if (r->state == RUN_KILLED)
        buf_str(&how, "closed its stdin or stdout");
    else
        process_describe_end(r->p, &how);
    if (r->p->jobs == 0 && !process_set_forgive(s)) {
        handler_fail(d, VERDICT_PUT_OFF, "start", "%s before its first job",
                     how.data);
        process_run_add_last_line(r);
    } else {
        LOG_WARN("process_ended", F_STR("handler", d->handler->pattern),
                 F_INT("pid", r->p->child.pid), F_INT("jobs", r->p->jobs),
                 F_STR("how", how.data),
                 F_STR("so", "another one gets its next job"));
    }
    buf_done(&r->stderr_log.tail);
    buf_done(&how);
}

/* It has ended. Returns false when another one is to run the job. */
static bool finish_ended(struct process_run *r, struct process_set *s)
{
    struct process *p = r->p;
    /* One that has emitted sub-tasks has read what they are parts of. */
    bool none_read = r->d->subtasks == NULL && unread(r) >= p->told;
    bool broken;

    account(r);
    (void)process_reap(p);
    drain(r, read_out);
    /* What waits for room is wanted only if an answer stands behind it. */
    if (!is_done_ahead(r))
        wishes_failed(&r->wishes);
    take_rest(r);
    settle(r);
    process_lines_end(&p->out, on_line, r);
    if (!none_read || r->answered || r->stop != STOP_NONE) {
        conclude(r);
        process_set_bury(s, p, NULL);
        return true;
    }
    leave_unread(r, s);
    broken = r->d->outcome.verdict != VERDICT_NONE;
    process_set_bury(s, p, broken ? r->d->outcome.message.data : NULL);
    return broken;
}

static void finish_answered(struct process_run *r, struct process_set *s)
{
    struct process *p = r->p;

    account(r);
    conclude(r);
    p->jobs++;
    /* One that was told to end is about to; and one that answered before it
     * read its job would take the rest of it for a part of the next one. */
    if (r->state >= RUN_TERMED || r->deaf || p->told < p->to.len ||
        p->fds[PROCESS_OUT] < 0)
        process_set_retire(s, p);
    else
        process_set_give(s, p);
}

/* Returns false when another child is to run it. */
static bool run_on(struct process *p, struct process_set *s, struct delivery *d,
                   int cancel_fd)
{
    struct process_run r; /* not zeroed: most of it is scratch space */

    memset(&r, 0, offsetof(struct process_run, stderr_log));
    r.d = d;
    r.p = p;
    r.cancel_fd = cancel_fd;
    r.trace = (struct buf){0};
    r.began_ms = clock_ms();
    r.timeout_at_ms = handler_instant(r.began_ms, handler_timeout_ms(d));
    /* What it used in a short pause belongs to the job before or to this. */
    r.cpu_us = p->jobs > 0 && r.began_ms - p->idle_since_ms < IDLE_SHORT_MS
                   ? p->cpu_us
                   : cpu_us(p);
    stderr_log_init(&r.stderr_log, d, "stderr", d->handler->limits.stderr_max);
    run_lines_init(&r.output, d, "stdout");
    wishes_init(&r.wishes, d);
    process_say_job(p, d);
    watch(&r);
    if (!r.answered)
        return finish_ended(&r, s);
    finish_answered(&r, s);
    return true;
}

static void run_process(struct delivery *d, int cancel_fd)
{
    struct process_set *s = sets_of(d->handler)[d->part != NULL ? PARTS : JOBS];
    struct process *p;

    if (atomic_load(&d->cancel) != CANCEL_NONE) {
        handler_stopped(d);
        return;
    }
    do
        p = process_set_take(s, d, cancel_fd);
    while (p != NULL && !run_on(p, s, d, cancel_fd));
}
