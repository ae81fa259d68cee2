/*
 * Follow: the log of a job, read from where we are to its end.
 *
 *     subscribed ──► read the last lines ──► published: m ──► read m - n more
 *                         ▲ lost and made again;                   │
 *                         └ now and then                           ▼
 *     the job has ended ──► read what is left ──► told         n is the last
 *
 * Numbers of lines tell which are new, so it does no harm to read too many.
 * All lines of a run are in Redis before its end is; so what is read behind
 * the end is all.
 *
 * Thread: that of the client.
 */
#include "producer/follow.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/waiting.h"

enum { CALL_TIMEOUT_MS = 30000, AWAY_MAX_MS = 60000, RETRY_MS = 50 };

/* What has been told of a log. */
struct position {
    const struct follow_events *events; /* borrowed */
    struct log_line line;               /* owned: memory of the last one */
    int64_t last;                       /* its number; -1: none yet */
    bool stopped;                       /* nobody takes more */
};

struct follow {
    struct client *client;   /* borrowed */
    struct waiting *waiting; /* owned */
    struct follow_events events;
    struct position at;
    char log[KEY_MAX];
    int64_t lines;         /* of the first read */
    int64_t known;         /* the number of the last line that we heard of */
    struct reading *asked; /* borrowed; the read under way, or NULL */
    bool due;              /* another one is to follow */
    bool all, failed;      /* the next one is of all; the last was lost */
    struct kept end;       /* owned: how it ended, once it has */
    bool ended;
};

/* A call outlives whoever made it. */
struct reading {
    struct follow *f; /* borrowed; NULL: gone */
    int64_t n;        /* lines from the end */
};

static void on_lines(void *arg, int err, const struct reply *r);
static void on_first_lines(void *arg, const struct reply *r);

/* ---- lines ---- */

static void tell(struct position *at, const char *p, size_t n)
{
    struct log_line *line = &at->line;

    if (at->stopped || !log_line_read(p, n, line) || line->n <= at->last)
        return;
    if (at->last >= 0 && line->n > at->last + 1 && at->events->on_missing)
        at->events->on_missing(at->events->arg, line->n - at->last - 1);
    at->last = line->n;
    at->stopped = !at->events->on_line(at->events->arg, line);
}

static void tell_all(struct position *at, const struct reply *r)
{
    const char *p;
    size_t n;

    for (size_t i = 0; i < reply_len(r); i++) {
        if (reply_str(reply_at(r, i), &p, &n))
            tell(at, p, n);
    }
}

static void read_args(struct args *a, const char *log, int64_t lines)
{
    args_str(a, "LRANGE");
    args_str(a, log);
    args_int(a, -lines);
    args_int(a, -1);
}

/* With all lines asked for, those that are gone already are missing. */
static void begin(struct position *at, const struct follow_events *events,
                  int64_t lines)
{
    *at = (struct position){.events = events,
                            .last = lines >= FOLLOW_ALL ? 0 : -1};
}

static void on_first_lines(void *arg, const struct reply *r)
{
    tell_all(arg, r);
}

int follow_read(struct client *client, const char *ns,
                const struct job_name *name, int64_t lines,
                const struct follow_events *events)
{
    struct args a = {0};
    struct kept k = {0};
    struct keys keys;
    struct position at;
    char log[KEY_MAX];

    keys_init(&keys, ns, name->queue);
    kept_ask(client, &keys, name->id, &k);
    int status = client_wait(client);
    if (status == 0 && !k.values[KEPT_state]) {
        events->on_absent(events->arg, false);
        status = 1;
    }
    kept_done(&k);
    if (status != 0)
        return status;
    begin(&at, events, lines);
    (void)keys_log(&keys, name->id, log);
    read_args(&a, log, lines < FOLLOW_ALL ? lines : FOLLOW_ALL);
    client_call(client, &a, on_first_lines, &at);
    status = client_wait(client);
    args_done(&a);
    log_line_done(&at.line);
    return status == 0 && at.stopped ? EX_IOERR : status;
}

/* ---- reads ---- */

/* How many lines from the end are to be read, 0: none. */
static int64_t wanted(const struct follow *f)
{
    int64_t n = f->known - f->at.last;

    if (f->at.last < 0)
        return f->lines;
    if (f->all || f->at.last == 0 || n > FOLLOW_ALL)
        return FOLLOW_ALL;
    return n > 0 ? n : 0;
}

static void read_more(struct follow *f) ON_LOOP;

static void read_more(struct follow *f)
{
    struct args a = {0};
    int64_t n = wanted(f);

    f->due = f->asked != NULL;
    if (f->asked || n == 0)
        return;
    struct reading *reading = mem_new(sizeof(*reading));
    reading->f = f;
    reading->n = n;
    f->all = false;
    read_args(&a, f->log, n);
    f->failed =
        conn_call(client_conn(f->client), &a, clock_ms() + CALL_TIMEOUT_MS,
                  false, on_lines, reading) != 0;
    f->asked = reading;
    if (f->failed) { /* waiting makes us look when it is back */
        f->asked = NULL;
        free(reading);
    }
    args_done(&a);
}

/*
 * Whether lines between the last one and these may be in Redis: more came
 * after we were told how many there are.
 */
static bool falls_short(struct follow *f, int64_t n, const struct reply *r)
{
    const char *p;
    size_t len;

    return f->at.last > 0 && n < FOLLOW_ALL && (int64_t)reply_len(r) == n &&
           reply_str(reply_at(r, 0), &p, &len) &&
           log_line_read(p, len, &f->at.line) && f->at.line.n > f->at.last + 1;
}

static void on_lines(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct reading *reading = arg;
    struct follow *f = reading->f;
    int64_t n = reading->n;

    free(reading);
    if (!f)
        return;
    f->asked = NULL;
    f->failed = err != 0;
    if (err != 0)
        return;
    if (falls_short(f, n, r)) {
        f->all = true;
    } else {
        tell_all(&f->at, r);
        if (f->at.last < 0) /* none yet: from now on all of them */
            f->at.last = 0;
    }
    if (f->at.stopped)
        waiting_stop(f->waiting, EX_IOERR);
    else if (f->due || f->all)
        read_more(f);
}

/* ---- what makes us read ---- */

static void on_log(void *arg, size_t i, const char *text, size_t len)
{
    loop_role_assert();
    struct follow *f = arg;
    char number[INT_TEXT_MAX];
    int64_t n;

    (void)i;
    if (text && len < sizeof(number)) {
        memcpy(number, text, len);
        number[len] = '\0';
        if (text_parse_int(number, 1, INT64_MAX, "number", &n, NULL) == 0 &&
            n > f->known)
            f->known = n;
    }
    f->all |= !text; /* a message may have been missed */
    read_more(f);
}

static bool on_end(void *arg, size_t i, const struct kept *k)
{
    struct follow *f = arg;

    (void)i;
    f->ended = true;
    kept_copy(&f->end, k);
    return true;
}

static void on_absent(void *arg, size_t i, bool seen)
{
    const struct follow *f = arg;

    (void)i;
    f->events.on_absent(f->events.arg, seen);
}

/* ---- from the beginning to the end ---- */

int follow_new(struct client *client, const char *ns,
               const struct job_name *name, int64_t lines, int64_t timeout_ms,
               const struct follow_events *events, struct follow **ret)
{
    struct follow *f = mem_new(sizeof(*f));
    struct keys keys;
    struct waiting_events own = {
        .on_end = on_end, .on_absent = on_absent, .on_log = on_log, .arg = f};

    f->client = client;
    f->events = *events;
    f->lines = lines < FOLLOW_ALL ? lines : FOLLOW_ALL;
    begin(&f->at, &f->events, lines);
    keys_init(&keys, ns, name->queue);
    (void)keys_log(&keys, name->id, f->log);
    int status =
        waiting_new(client, ns, name, 1, timeout_ms, &own, &f->waiting);
    if (status == 0)
        *ret = f;
    else
        free(f);
    return status;
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    waiting_free(f->waiting);
    if (f->asked)
        f->asked->f = NULL;
    log_line_done(&f->at.line);
    kept_done(&f->end);
    free(f);
}

void follow_expect(struct follow *f)
{
    waiting_expect(f->waiting);
}

static bool is_behind(const struct follow *f)
{
    return f->at.last < f->known && !f->at.stopped;
}

/* Reads on behind the end. Redis may go away even now. */
static int read_rest(struct follow *f) ON_LOOP;

static int read_rest(struct follow *f)
{
    int64_t give_up_ms = clock_ms() + AWAY_MAX_MS;
    bool once = false; /* if lines are left behind that, somebody took them */

    f->known = kept_int(&f->end, KEPT_log_lines, 0);
    f->due = false;
    while (f->asked || (is_behind(f) && (!once || f->failed))) {
        if (clock_ms() > give_up_ms)
            return client_tell(f->client, EX_UNAVAILABLE, "%s: %s",
                               client_url(f->client),
                               client_down_why(f->client));
        if (f->asked) {
            client_turn(f->client, true);
            continue;
        }
        if (client_is_down(f->client) || f->failed)
            client_sleep(f->client, RETRY_MS);
        once = true;
        read_more(f);
    }
    return f->at.stopped ? EX_IOERR : 0;
}

int follow_run(struct follow *f)
{
    loop_role_assert();
    int status = waiting_run(f->waiting, false);

    if (!f->ended)
        return status;
    int rest = read_rest(f);
    if (rest != 0)
        return rest;
    if (f->events.on_end)
        f->events.on_end(f->events.arg, &f->end);
    return status;
}
