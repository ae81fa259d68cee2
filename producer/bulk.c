/*
 * Bulk: lines in, envelopes to the sender, one loop around both.
 *
 * Input is read only while the sender has room, so memory is bounded however
 * fast the input and slow Redis. Slow input is waited for in the event loop,
 * and what it brought so far is sent as soon as no answer is awaited.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/bulk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/job/job.h"
#include "common/job/unique.h"
#include "producer/bulk_tell.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/lines.h"
#include "producer/progress.h"
#include "producer/push_job.h"
#include "producer/sender.h"

enum { BAD_SHOWN = 20, CONFLICTS_SHOWN = 20, TICK_US = 100 * 1000 };

struct bulk {
    const struct options *o;            /* borrowed */
    const struct push_options *for_all; /* borrowed */
    const char *name;                   /* of the input; borrowed */
    int fd;                             /* owned, unless it is stdin */
    struct client *client;              /* owned */
    struct sender *sender;              /* owned */
    struct lines lines;
    struct progress progress;
    struct event *input;      /* owned; NULL: reading never waits */
    struct event *ticker;     /* owned; NULL: nobody watches */
    struct event *signals[2]; /* owned */
    struct job job;           /* of the line */
    struct unique unique;     /* the same */
    int64_t now_ms;           /* of this turn: one clock for many lines */
    bool readable;            /* input says so */
    bool ended;               /* no more lines */
    uint64_t bad;
};

static void on_acked(void *arg, const struct batch *batch);
static void on_note(void *arg, const char *text);
static void on_input(evutil_socket_t fd, short what, void *arg);
static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_signal(evutil_socket_t sig, short what, void *arg);

static void tell_bad(struct bulk *b, const char *why)
{
    if (++b->bad > BAD_SHOWN)
        return;
    progress_clear(&b->progress);
    complain(b->o, "line %" PRIu64 ": %s", b->lines.number, why);
}

/* Leaves out blanks around a line: they are no part of its value. */
static void trim(const char **p, size_t *n)
{
    while (*n > 0 && (**p == ' ' || **p == '\t')) {
        ++*p;
        --*n;
    }
    while (*n > 0 && ((*p)[*n - 1] == ' ' || (*p)[*n - 1] == '\t'))
        --*n;
}

static int append_payload(const struct bulk *b, const char *p, size_t n,
                          struct buf *out, struct push_one *one,
                          struct errbuf *eb)
{
    const struct options *o = b->o;
    struct job_spec spec = {
        .type = o->type,
        .payload = {p, n},
        .created_at_ms = b->now_ms,
        .max_attempts = o->max_attempts,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms,
    };

    return push_job_build(&spec, b->for_all, (size_t)o->max_bytes, out, one,
                          eb);
}

static int append_envelope(struct bulk *b, const char *p, size_t n,
                           struct buf *out, struct push_one *one,
                           struct errbuf *eb)
{
    struct job *job = &b->job;
    int rc = job_complete(p, n, NULL, b->now_ms, (size_t)b->o->max_bytes, out,
                          job, eb);

    if (rc != 0)
        return rc;
    *one = (struct push_one){
        .at_ms = job->at_ms,
        .in_ms = job->in_ms,
        .keep = job->keep_ms > 0,
        .type = job->type,
        .created_at_ms = job->created_at_ms ? job->created_at_ms : b->now_ms,
    };
    if (!job->unique.p)
        return 0;
    one->unique = &b->unique;
    rc = unique_parse(job->unique, &b->unique, eb);
    assert(rc == 0); /* job_complete has read it */
    return rc;
}

static void take_line(struct bulk *b, const char *p, size_t n)
{
    uint64_t number = b->lines.number;
    struct push_one one;
    struct errbuf eb;

    trim(&p, &n);
    if (n == 0 || number <= (uint64_t)b->o->skip)
        return;
    struct buf *out = sender_begin(b->sender, n);
    if (sender_has_stopped(b->sender))
        return;
    int rc = b->o->type ? append_payload(b, p, n, out, &one, &eb)
                        : append_envelope(b, p, n, out, &one, &eb);
    if (rc != 0)
        tell_bad(b, eb.text);
    else if (push_job_is_one(&one))
        sender_add_one(b->sender, number, &one);
    else
        sender_add(b->sender, number);
}

static void fill(struct bulk *b)
{
    b->readable = false;
    if (lines_fill(&b->lines) != 0) {
        struct errbuf eb;
        errbuf_set(&eb, ERR_SYSTEM, "%s: %s", b->name, strerror(errno));
        sender_stop(b->sender, EX_IOERR, eb.text);
    }
    client_turn(b->client, false);
    b->now_ms = clock_wall_ms();
}

/* Takes lines until there is no room, or no line without waiting. */
static void take_lines(struct bulk *b)
{
    b->now_ms = clock_wall_ms();
    while (!b->ended && !sender_has_stopped(b->sender) &&
           sender_has_room(b->sender)) {
        const char *p;
        size_t n;
        switch (lines_next(&b->lines, &p, &n)) {
        case LINES_LINE:
            take_line(b, p, n);
            break;
        case LINES_TOO_LONG:
            if (b->lines.number > (uint64_t)b->o->skip)
                tell_bad(b, "longer than --max-bytes");
            break;
        case LINES_MORE:
            if (b->input && !b->readable)
                return;
            fill(b);
            break;
        case LINES_END:
            b->ended = true;
            break;
        }
    }
}

/* One turn: takes and sends what it can, waits. Returns false at the end. */
static bool turn(struct bulk *b)
{
    struct sender *s = b->sender;

    take_lines(b);
    if (client_is_down(b->client))
        sender_stop(s, EX_TEMPFAIL, "connection lost");
    if (b->ended && sender_has_room(s))
        sender_flush(s);
    bool stopped = sender_has_stopped(s);
    if (!stopped && !b->ended && sender_has_room(s)) {
        if (!sender_awaits(s))
            sender_flush(s); /* the input is slower than we */
        event_add(b->input, NULL);
    }
    if (!sender_awaits(s) && (stopped || (b->ended && !sender_holds(s))))
        return false;
    client_turn(b->client, sender_awaits(s) || !sender_has_stopped(s));
    return true;
}

static void on_acked(void *arg, const struct batch *batch)
{
    struct bulk *b = arg;
    bool held = batch->is_one && batch->result.state == PUSH_HELD;

    if (held && batch->unique.on_conflict != UNIQUE_SKIP &&
        sender_get_sum(b->sender)->conflicts <= CONFLICTS_SHOWN) {
        progress_clear(&b->progress);
        bulk_tell_conflict(b->o, batch);
    }
    if (b->o->format == OUT_NDJSON)
        bulk_print_ids(b->o, batch);
    if (ferror(stdout))
        sender_stop(b->sender, EX_IOERR, "standard output cannot be written");
}

static void on_note(void *arg, const char *text)
{
    struct bulk *b = arg;

    progress_clear(&b->progress);
    complain(b->o, "%s", text);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct bulk *b = arg;

    (void)fd;
    (void)what;
    b->readable = true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct bulk *b = arg;

    (void)fd;
    (void)what;
    progress_show(&b->progress, sender_get_sum(b->sender)->pushed,
                  b->lines.read_bytes);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    loop_role_assert();
    const struct bulk *b = arg;

    (void)what;
    sender_stop(b->sender, 128 + (int)sig, strsignal((int)sig));
}

/* ---- beginning and end ---- */

/* A pipe or terminal is read only when it has something; a file always has. */
static void watch_input(struct bulk *b)
{
    struct event_base *base = client_base(b->client);
    struct timeval tick = {.tv_usec = TICK_US};
    struct stat st = {0};
    off_t total = 0;

    if (fstat(b->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t at = lseek(b->fd, 0, SEEK_CUR);
        total = at >= 0 && st.st_size > at ? st.st_size - at : 0;
        (void)posix_fadvise(b->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    } else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
               isatty(b->fd) == 1) {
        b->input = event_new(base, b->fd, EV_READ, on_input, b);
    }
    progress_init(&b->progress, (uint64_t)total);
    if (b->progress.on) {
        b->ticker = event_new(base, -1, EV_PERSIST, on_tick, b);
        event_add(b->ticker, &tick);
    }
}

static void watch_signals(struct bulk *b)
{
    static const int signals[] = {SIGINT, SIGTERM};

    for (size_t i = 0; i < 2; i++) {
        b->signals[i] =
            evsignal_new(client_base(b->client), signals[i], on_signal, b);
        event_add(b->signals[i], NULL);
    }
}

/* The lines that are no jobs of their own now. */
static void tell_others(const struct bulk *b, const struct sender_sum *sum)
{
    const struct {
        uint64_t n;
        const char *what;
    } others[] = {
        {sum->held, "skipped: another job holds their key"},
        {sum->same, "skipped: they were there already"},
        {sum->replaced, "have replaced one that was not due yet"},
    };
    char count[32];

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i].n > 0)
            complain(b->o, "%s %s", progress_count(others[i].n, count),
                     others[i].what);
    }
}

static void tell_sum(struct bulk *b)
{
    char count[32], rate[32], bad[32];
    int64_t ms = clock_ms() - b->progress.started_ms;
    const struct sender_sum *sum = sender_get_sum(b->sender);
    uint64_t jobs = sum->pushed;

    progress_clear(&b->progress);
    if (b->bad > BAD_SHOWN)
        complain(b->o, "%s more bad lines",
                 progress_count(b->bad - BAD_SHOWN, bad));
    if (b->lines.number < (uint64_t)b->o->skip)
        complain(b->o, "the input ended in line %llu, before --skip %lld",
                 (unsigned long long)b->lines.number, (long long)b->o->skip);
    progress_count(jobs, count);
    progress_count(jobs * 1000 / (uint64_t)(ms > 0 ? ms : 1), rate);
    complain(b->o, "%s jobs pushed to %s in %.2f s (%s/s)%s%s%s", count,
             b->o->queue, (double)ms / 1000, rate, b->bad ? ", " : "",
             b->bad ? progress_count(b->bad, bad) : "",
             b->bad ? " bad lines skipped" : "");
    tell_others(b, sum);
}

static void done(struct bulk *b)
{
    if (b->input)
        event_free(b->input);
    if (b->ticker)
        event_free(b->ticker);
    for (size_t i = 0; i < 2; i++)
        event_free(b->signals[i]);
    lines_done(&b->lines);
    client_close(b->client); /* its last callbacks are for the sender */
    sender_free(b->sender);
}

static int run(struct bulk *b)
{
    struct sender_events events = {
        .on_acked = on_acked, .on_note = on_note, .arg = b};

    b->sender = sender_new(b->client, b->o->ns, b->o->queue,
                           (uint64_t)b->o->skip, &events);
    lines_init(&b->lines, b->fd, (size_t)b->o->max_bytes);
    watch_input(b);
    watch_signals(b);
    while (turn(b))
        continue;
    tell_sum(b);
    int status = bulk_tell_stop(b->o, b->client, b->sender);
    if (status == 0 && b->bad > 0)
        status = EX_DATAERR;
    if (status == 0 && sender_get_sum(b->sender)->conflicts > 0)
        status = EXIT_FAILURE;
    done(b);
    return status;
}

int bulk_push(const struct options *o, const struct push_options *p,
              const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct bulk b = {
        .o = o,
        .for_all = p,
        .name = is_stdin ? "standard input" : path,
        .fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC),
    };

    if (b.fd < 0)
        return fail(o, EX_NOINPUT, "%s: %s", path, strerror(errno));
    int status = client_open(o, &b.client);
    if (status == 0)
        status = run(&b);
    if (!is_stdin)
        close(b.fd);
    return status;
}
