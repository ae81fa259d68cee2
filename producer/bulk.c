/*
 * Bulk: lines in, push calls out, several of them under way.
 *
 *     lines -> open batch -> sent batches, oldest first -> acknowledged
 *
 * A batch is acknowledged when its own push succeeded and all before it are:
 * so "N lines" is a promise that --skip can use. After the first failure
 * nothing more is sent, answers are only collected. A push whose outcome is
 * unknown is never repeated here.
 *
 * The first batch travels alone: it makes Redis know the script, and answers
 * come in the order of the calls only for scripts that it knows.
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
#include <sys/queue.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/job.h"
#include "common/redis/queue.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/lines.h"
#include "producer/progress.h"

enum {
    BATCH_JOBS = QUEUE_BATCH_MAX,
    BATCH_BYTES = 1024 * 1024,
    ADDED_BYTES = 256,      /* what completing adds to a line, at most */
    FLIGHT_BATCHES = 16,    /* enough that Redis never waits for us */
    FLIGHT_BYTES = 8 << 20, /* bounds our memory, and Redis' buffer for us */
    BAD_SHOWN = 20,
};

enum batch_state { BATCH_SENT, BATCH_DONE, BATCH_REFUSED, BATCH_UNKNOWN };

struct batch {
    STAILQ_ENTRY(batch) link;
    struct bulk *bulk; /* borrowed */
    enum batch_state state;
    struct buf text; /* the envelopes, one behind the other */
    size_t ends[BATCH_JOBS];
    unsigned count;
    uint64_t first_line, last_line;
};

STAILQ_HEAD(batches, batch);

struct bulk {
    const struct options *o; /* borrowed */
    const char *name;        /* of the input; borrowed */
    struct client *client;   /* owned */
    struct keys keys;
    struct lines lines;
    struct event *input;      /* owned; NULL: reading never waits */
    struct event *ticker;     /* owned; NULL: nobody watches */
    struct event *signals[2]; /* owned */
    struct progress progress;

    struct batch *open;   /* owned; NULL: none */
    struct batches sent;  /* owned, oldest first */
    struct batches spare; /* owned */
    unsigned flight;
    size_t flight_bytes;
    bool known; /* the first batch came through */

    bool readable, ended, stopped;
    int signal;
    int status;
    char error[512];

    uint64_t jobs;       /* acknowledged */
    uint64_t acked_line; /* all lines up to this one are settled */
    uint64_t bad;
};

static void on_input(evutil_socket_t fd, short what, void *arg);
static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_signal(evutil_socket_t sig, short what, void *arg);
static void on_pushed(void *arg, int err, const struct reply *r);
static void on_listed(void *arg, int err, const struct reply *r);

/* The first failure counts; from then on nothing is sent. */
static void stop(struct bulk *b, int status, const char *why)
{
    b->stopped = true;
    if (b->status != 0)
        return;
    b->status = status;
    snprintf(b->error, sizeof(b->error), "%s", why);
}

/* ---- sending ---- */

static struct batch *new_batch(struct bulk *b)
{
    struct batch *batch = STAILQ_FIRST(&b->spare);

    if (batch)
        STAILQ_REMOVE_HEAD(&b->spare, link);
    else
        batch = mem_new(sizeof(*batch));
    batch->bulk = b;
    batch->count = 0;
    buf_clear(&batch->text);
    batch->first_line = b->lines.number;
    return batch;
}

static void send_open(struct bulk *b)
{
    struct bytes envelopes[BATCH_JOBS];
    struct batch *batch = b->open;
    size_t start = 0;

    loop_role_assert();
    if (!batch)
        return;
    for (unsigned i = 0; i < batch->count; i++) {
        envelopes[i].p = batch->text.data + start;
        envelopes[i].len = batch->ends[i] - start;
        start = batch->ends[i];
    }
    b->open = NULL;
    batch->state = BATCH_SENT;
    STAILQ_INSERT_TAIL(&b->sent, batch, link);
    int rc = queue_push(client_conn(b->client), &b->keys, false, envelopes,
                        batch->count, on_pushed, batch);
    if (rc == 0) {
        b->flight++;
        b->flight_bytes += batch->text.len;
        return;
    }
    batch->state = BATCH_REFUSED;
    stop(b, EX_TEMPFAIL, "connection lost");
}

/* {"queue":…,"id":…} for each job; envelopes begin with {"id":"…". */
static void print_ids(const struct bulk *b, const struct batch *batch)
{
    static const char front[] = "{\"id\":\"";
    size_t start = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        const char *id = batch->text.data + start + sizeof(front) - 1;
        assert(memcmp(batch->text.data + start, front, sizeof(front) - 1) == 0);
        printf("{\"queue\":\"%s\",\"id\":\"%.*s\"}\n", b->keys.queue,
               (int)strcspn(id, "\""), id);
        start = batch->ends[i];
    }
}

static void recycle(struct bulk *b, struct batch *batch)
{
    if (batch->text.cap > 2 * BATCH_BYTES)
        buf_done(&batch->text); /* one huge job: do not hold its memory */
    STAILQ_INSERT_HEAD(&b->spare, batch, link);
}

/* Takes the acknowledged ones off the front. */
static void advance(struct bulk *b)
{
    struct batch *batch;

    while ((batch = STAILQ_FIRST(&b->sent)) && batch->state == BATCH_DONE) {
        STAILQ_REMOVE_HEAD(&b->sent, link);
        b->jobs += batch->count;
        b->acked_line = batch->last_line;
        if (b->o->format == OUT_NDJSON)
            print_ids(b, batch);
        recycle(b, batch);
    }
    if (ferror(stdout))
        stop(b, EX_IOERR, "standard output cannot be written");
}

static void on_pushed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *batch = arg;
    struct bulk *b = batch->bulk;
    struct errbuf eb;
    int64_t depth;
    int rc = queue_push_result(err, r, &depth, &eb);

    b->flight--;
    b->flight_bytes -= batch->text.len;
    if (rc == 0) {
        b->known = true;
        batch->state = BATCH_DONE;
        advance(b);
        return;
    }
    batch->state = rc == ERR_UNKNOWN ? BATCH_UNKNOWN : BATCH_REFUSED;
    if (err != 0)
        stop(b, EX_TEMPFAIL, "connection lost");
    else
        stop(b, client_error_status(eb.text), eb.text);
}

/* The set of queues is for people; a push does not depend on it. */
static void on_listed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    const struct bulk *b = arg;

    if (err == 0 && reply_is_error(r))
        complain(b->o, "%s: %s", b->keys.queues, reply_error(r));
}

static void list_queue(struct bulk *b)
{
    struct args a = {0};

    loop_role_assert();
    args_str(&a, "SADD");
    args_str(&a, b->keys.queues);
    args_str(&a, b->keys.queue);
    /* A refusal means that the connection is gone, as the push will say. */
    (void)conn_call(client_conn(b->client), &a, clock_ms() + QUEUE_DEADLINE_MS,
                    false, on_listed, b);
    args_done(&a);
}

/* ---- reading ---- */

static void tell_bad(struct bulk *b, const char *why)
{
    if (++b->bad > BAD_SHOWN)
        return;
    progress_clear(&b->progress);
    complain(b->o, "line %" PRIu64 ": %s", b->lines.number, why);
}

static int append_job(struct bulk *b, const char *p, size_t n, struct buf *out,
                      struct errbuf *eb)
{
    const struct options *o = b->o;
    size_t max_bytes = (size_t)o->max_bytes;

    if (!o->type)
        return job_complete(p, n, NULL, clock_wall_ms(), max_bytes, out, eb);
    while (n > 0 && strchr(" \t", *p)) {
        p++;
        n--;
    }
    while (n > 0 && strchr(" \t", p[n - 1]))
        n--;
    struct job_spec spec = {
        .type = o->type,
        .payload = {p, n},
        .created_at_ms = clock_wall_ms(),
        .max_attempts = o->max_attempts,
        .timeout_ms = o->timeout_ms,
        .keep_ms = o->keep_ms,
    };
    return job_build(&spec, max_bytes, out, eb);
}

static bool is_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != ' ' && p[i] != '\t')
            return false;
    }
    return true;
}

static void take_line(struct bulk *b, const char *p, size_t n)
{
    struct errbuf eb;

    if (b->lines.number <= (uint64_t)b->o->skip || is_blank(p, n))
        return;
    if (b->open && b->open->count > 0 &&
        b->open->text.len + n + ADDED_BYTES > BATCH_BYTES)
        send_open(b);
    if (!b->open)
        b->open = new_batch(b);
    struct batch *batch = b->open;
    if (append_job(b, p, n, &batch->text, &eb) != 0) {
        tell_bad(b, eb.text);
        return;
    }
    batch->ends[batch->count++] = batch->text.len;
    batch->last_line = b->lines.number;
    if (batch->count == BATCH_JOBS)
        send_open(b);
}

static bool has_room(const struct bulk *b)
{
    if (!b->known)
        return b->flight == 0;
    return b->flight < FLIGHT_BATCHES && b->flight_bytes < FLIGHT_BYTES;
}

static void fill(struct bulk *b)
{
    b->readable = false;
    if (lines_fill(&b->lines) != 0) {
        char why[256];
        snprintf(why, sizeof(why), "%s: %s", b->name, strerror(errno));
        stop(b, EX_IOERR, why);
    }
}

/* Takes lines until there is no room, or no line without waiting. */
static void take_lines(struct bulk *b)
{
    while (!b->stopped && !b->ended && has_room(b)) {
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
            client_turn(b->client, false);
            break;
        case LINES_END:
            b->ended = true;
            break;
        }
    }
}

static void drop_empty_open(struct bulk *b)
{
    if (!b->open || b->open->count > 0)
        return;
    STAILQ_INSERT_HEAD(&b->spare, b->open, link);
    b->open = NULL;
}

static void work(struct bulk *b)
{
    for (;;) {
        take_lines(b);
        if (client_is_down(b->client))
            stop(b, EX_TEMPFAIL, "connection lost");
        drop_empty_open(b);
        if (b->stopped || b->ended) {
            if (!b->stopped && has_room(b))
                send_open(b);
            if (b->flight == 0 && (b->stopped || !b->open))
                return;
        } else if (has_room(b)) {
            /* The input is slower than we: what is there may go. */
            if (b->flight == 0)
                send_open(b);
            event_add(b->input, NULL);
        }
        client_turn(b->client, !b->stopped || b->flight > 0);
    }
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
    progress_show(&b->progress, b->jobs, b->lines.read_bytes);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    loop_role_assert();
    struct bulk *b = arg;

    (void)what;
    stop(b, 128 + (int)sig, strsignal((int)sig));
}

/* ---- beginning and end ---- */

/* A pipe or terminal is read only when it has something; a file always has. */
static void watch_input(struct bulk *b, int fd)
{
    struct event_base *base = client_base(b->client);
    struct stat st = {0};
    uint64_t total = 0;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        total = at >= 0 && st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
    } else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
               isatty(fd) == 1) {
        b->input = event_new(base, fd, EV_READ, on_input, b);
    }
    progress_init(&b->progress, total);
    if (b->progress.on) {
        struct timeval tv = {.tv_usec = 100 * 1000};
        b->ticker = event_new(base, -1, EV_PERSIST, on_tick, b);
        event_add(b->ticker, &tv);
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

static void tell_sum(struct bulk *b)
{
    char count[32], rate[32], bad[32];
    int64_t ms = clock_ms() - b->progress.started_ms;

    progress_clear(&b->progress);
    if (b->bad > BAD_SHOWN)
        complain(b->o, "%s more bad lines",
                 progress_count(b->bad - BAD_SHOWN, bad));
    progress_count(b->jobs, count);
    progress_count(b->jobs * 1000 / (uint64_t)(ms > 0 ? ms : 1), rate);
    complain(b->o, "%s jobs pushed to %s in %.2f s (%s/s)%s%s%s", count,
             b->keys.queue, (double)ms / 1000, rate, b->bad ? ", " : "",
             b->bad ? progress_count(b->bad, bad) : "",
             b->bad ? " bad lines skipped" : "");
}

/*
 * Which lines are in Redis, which are not, which nobody knows. Later batches
 * than the one that failed may have come through: to resume repeats them.
 */
static void tell_stop(struct bulk *b)
{
    const struct batch *batch;

    complain(b->o, "%s: stopped: %s%s%s", client_url(b->client), b->error,
             client_is_down(b->client) ? ": " : "", client_down_why(b->client));
    STAILQ_FOREACH(batch, &b->sent, link)
    {
        const char *what = batch->state == BATCH_UNKNOWN ? "outcome unknown"
                           : batch->state == BATCH_DONE  ? "pushed"
                                                         : NULL;
        if (what)
            complain(b->o,
                     "%s: lines %" PRIu64 " to %" PRIu64
                     ", which --skip %" PRIu64 " would push again",
                     what, batch->first_line, batch->last_line, b->acked_line);
    }
    complain(b->o,
             "all lines up to %" PRIu64
             " are acknowledged; to resume behind them: --skip %" PRIu64,
             b->acked_line, b->acked_line);
}

static void free_batches(struct batches *list)
{
    struct batch *batch;

    while ((batch = STAILQ_FIRST(list))) {
        STAILQ_REMOVE_HEAD(list, link);
        buf_done(&batch->text);
        free(batch);
    }
}

static void done(struct bulk *b)
{
    if (b->input)
        event_free(b->input);
    if (b->ticker)
        event_free(b->ticker);
    for (size_t i = 0; i < 2; i++)
        event_free(b->signals[i]);
    if (b->open)
        STAILQ_INSERT_HEAD(&b->spare, b->open, link);
    free_batches(&b->sent);
    free_batches(&b->spare);
    lines_done(&b->lines);
    client_close(b->client);
}

static int run(struct bulk *b, int fd)
{
    watch_input(b, fd);
    watch_signals(b);
    lines_init(&b->lines, fd, (size_t)b->o->max_bytes);
    list_queue(b);
    work(b);
    tell_sum(b);
    if (b->status != 0)
        tell_stop(b);
    int status = b->status ? b->status : b->bad ? EX_DATAERR : EX_OK;
    done(b);
    return status;
}

int bulk_push(const struct options *o, const char *path)
{
    struct bulk b = {.o = o,
                     .name = strcmp(path, "-") == 0 ? "standard input" : path,
                     .acked_line = (uint64_t)o->skip};
    int fd = STDIN_FILENO;

    if (strcmp(path, "-") != 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(o, EX_NOINPUT, "%s: %s", path, strerror(errno));
    STAILQ_INIT(&b.sent);
    STAILQ_INIT(&b.spare);
    keys_init(&b.keys, o->ns, o->queue);
    int status = client_open(o, &b.client);
    if (status == 0)
        status = run(&b, fd);
    if (fd != STDIN_FILENO)
        close(fd);
    return status;
}
