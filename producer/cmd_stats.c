/*
 * belt stats: what became of the jobs of a queue, minute by minute.
 *
 * Each minute has a hash, kept for a day. Its fields are asked for by name, a
 * hundred minutes in one pipelined round, and added up into rows. Times that
 * jobs waited and ran are counted by powers of two, so percentiles are
 * interpolated between these.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/keys.h"
#include "producer/age.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/out.h"

#define AT(member) offsetof(struct options, member)
#define MINUTE_MS 60000LL

enum { MINUTES_MAX = 1440, MINUTES_AT_ONCE = 100, POWERS = 32 };

#define COUNTERS_SHOWN(X)                                                      \
    X(pushed)                                                                  \
    X(started)                                                                 \
    X(done)                                                                    \
    X(retried)                                                                 \
    X(dead)                                                                    \
    X(cancelled)                                                               \
    X(expired)                                                                 \
    X(reaped)                                                                  \
    X(discarded)                                                               \
    X(put_off)                                                                 \
    X(snoozed)                                                                 \
    X(invalid)                                                                 \
    X(refused)

enum {
#define COUNTER_ENUM(name) COUNTER_##name,
    COUNTERS_SHOWN(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

static const char *const counter_names[] = {
#define COUNTER_NAME(name) #name,
    COUNTERS_SHOWN(COUNTER_NAME)
#undef COUNTER_NAME
};

/* How many took less than 2^k ms and at least half of that. */
struct histogram {
    int64_t counts[POWERS];
};

struct row {
    int64_t at_ms; /* where it begins; -1: for ever */
    int64_t counts[COUNTER_COUNT];
    struct histogram wait, run;
};

struct stats {
    const struct options *o; /* borrowed */
    struct client *client;   /* borrowed */
    struct keys keys;
    struct row *rows; /* owned */
    size_t count;
};

static void on_counts(void *arg, const struct reply *r);

static const struct column columns[] = {
    {"time", FOR_PEOPLE, false},       {"at", FOR_PROGRAMS, true},
    {"pushed", FOR_ALL, true},         {"started", FOR_ALL, true},
    {"done", FOR_ALL, true},           {"retried", FOR_ALL, true},
    {"dead", FOR_ALL, true},           {"cancelled", FOR_ALL, true},
    {"expired", FOR_ALL, true},        {"reaped", FOR_ALL, true},
    {"discarded", FOR_PROGRAMS, true}, {"put_off", FOR_PROGRAMS, true},
    {"snoozed", FOR_PROGRAMS, true},   {"invalid", FOR_PROGRAMS, true},
    {"refused", FOR_PROGRAMS, true},   {"wait_p50", FOR_ALL, true},
    {"wait_p95", FOR_ALL, true},       {"wait_p99", FOR_ALL, true},
    {"run_p50", FOR_ALL, true},        {"run_p95", FOR_ALL, true},
    {"run_p99", FOR_ALL, true},        {0},
};

/* Strangers may write any number there: sums do not overflow. */
static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? a : sum;
}

static void on_counts(void *arg, const struct reply *r)
{
    struct row *row = arg;

    for (size_t i = 0; i < reply_len(r); i++) {
        int64_t n;
        if (!reply_int(reply_at(r, i), &n) || n < 0)
            continue;
        int64_t *to = i < COUNTER_COUNT ? &row->counts[i]
                      : i < COUNTER_COUNT + POWERS
                          ? &row->wait.counts[i - COUNTER_COUNT]
                      : i < COUNTER_COUNT + 2 * POWERS
                          ? &row->run.counts[i - COUNTER_COUNT - POWERS]
                          : NULL;
        if (to)
            *to = add(*to, n);
    }
}

static void ask(struct stats *s, const char *key, struct row *row)
{
    static char names[2][POWERS][12];
    struct args a = {0};

    for (int k = 0; k < POWERS && names[1][POWERS - 1][0] == '\0'; k++) {
        snprintf(names[0][k], sizeof(names[0][k]), "wait:%d", k);
        snprintf(names[1][k], sizeof(names[1][k]), "run:%d", k);
    }
    args_str(&a, "HMGET");
    args_str(&a, key);
    for (size_t i = 0; i < COUNTER_COUNT; i++)
        args_str(&a, counter_names[i]);
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < POWERS; k++)
            args_str(&a, names[i][k]);
    }
    client_call(s->client, &a, on_counts, row);
    args_done(&a);
}

static int ask_total(struct stats *s)
{
    s->rows = mem_new(sizeof(*s->rows));
    s->count = 1;
    s->rows[0].at_ms = -1;
    ask(s, s->keys.stats, s->rows);
    return client_wait(s->client);
}

/* Rows begin at multiples of by; the last one holds the minute of now. */
static int ask_minutes(struct stats *s)
{
    int64_t by_ms = s->o->by_ms, now_ms;
    int status = client_now(s->client, &now_ms);

    if (status != 0)
        return status;
    int64_t last_ms = now_ms - now_ms % MINUTE_MS;
    int64_t first_ms = last_ms - (s->o->minutes - 1) * MINUTE_MS;
    int64_t base_ms = first_ms - first_ms % by_ms;
    s->count = (size_t)((last_ms - base_ms) / by_ms) + 1;
    s->rows = mem_new(s->count * sizeof(*s->rows));
    for (size_t i = 0; i < s->count; i++)
        s->rows[i].at_ms = base_ms + (int64_t)i * by_ms;
    int64_t asked = 0;
    for (int64_t at_ms = first_ms; at_ms <= last_ms && status == 0;
         at_ms += MINUTE_MS) {
        char key[KEY_MAX];
        keys_stats_minute(&s->keys, at_ms, key);
        ask(s, key, &s->rows[(at_ms - base_ms) / by_ms]);
        if (++asked % MINUTES_AT_ONCE == 0)
            status = client_wait(s->client);
    }
    return status ? status : client_wait(s->client);
}

/*
 * The time within which part of the jobs were, in ms, -1 if there were none:
 * within a power of two they are taken to lie evenly.
 */
static int64_t percentile(const struct histogram *h, double part)
{
    double all = 0, below = 0;

    for (int k = 0; k < POWERS; k++)
        all += (double)h->counts[k];
    if (all == 0)
        return -1;
    for (int k = 0; k < POWERS; k++) {
        double n = (double)h->counts[k];
        double to = (double)(1LL << k), from = k == 0 ? 0 : to / 2;
        if (n > 0 && below + n >= part * all)
            return (int64_t)(from + (to - from) * (part * all - below) / n +
                             0.5);
        below += n;
    }
    return 1LL << (POWERS - 1);
}

static void out_span(struct out *out, bool people, int64_t ms)
{
    char text[32];

    if (ms < 0) {
        out_none(out);
        return;
    }
    if (!people) {
        out_int(out, ms);
        return;
    }
    if (ms < 1000)
        snprintf(text, sizeof(text), "%dms", (int)ms);
    else if (ms < MINUTE_MS)
        snprintf(text, sizeof(text), "%.1fs", (double)ms / 1000);
    else
        age_format(ms, text);
    out_str(out, text);
}

static void out_percentiles(struct out *out, bool people,
                            const struct histogram *h)
{
    static const double parts[] = {0.50, 0.95, 0.99};

    for (size_t i = 0; i < 3; i++)
        out_span(out, people, percentile(h, parts[i]));
}

static void out_time(struct out *out, int64_t at_ms)
{
    time_t s = (time_t)(at_ms / 1000);
    struct tm tm;
    char text[32];

    if (at_ms < 0) {
        out_str(out, "in all");
        out_none(out);
        return;
    }
    localtime_r(&s, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
    out_str(out, text);
    out_int(out, at_ms);
}

static bool is_quiet(const struct row *row)
{
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        if (row->counts[i] != 0)
            return false;
    }
    return true;
}

/* For people minutes in which nothing was are left out. */
static void print(const struct stats *s)
{
    struct out *out = out_new(s->o, columns);
    bool people = s->o->format == OUT_TABLE;

    for (size_t i = 0; i < s->count; i++) {
        const struct row *row = &s->rows[i];
        if (people && row->at_ms >= 0 && is_quiet(row))
            continue;
        out_time(out, row->at_ms);
        for (size_t k = 0; k < COUNTER_COUNT; k++)
            out_int(out, row->counts[k]);
        out_percentiles(out, people, &row->wait);
        out_percentiles(out, people, &row->run);
        out_row(out);
    }
    out_end(out);
}

static int check(const struct options *o)
{
    const char *queue = o->args[0];

    if (!text_is_name(queue, strlen(queue)))
        return fail(o, EX_USAGE, "%s: not the name of a queue", queue);
    if (o->by_ms % MINUTE_MS != 0)
        return fail(o, EX_USAGE, "--by: whole minutes");
    if (o->total && (o->minutes != 60 || o->by_ms != MINUTE_MS))
        return fail(o, EX_USAGE, "--total takes no --minutes and no --by");
    return 0;
}

static int run_stats(const struct options *o)
{
    struct stats s = {.o = o};
    int status = check(o);

    if (status == 0)
        status = client_open(o, &s.client);
    if (status != 0)
        return status;
    keys_init(&s.keys, o->ns, o->args[0]);
    status = o->total ? ask_total(&s) : ask_minutes(&s);
    if (status == 0)
        print(&s);
    free(s.rows);
    client_close(s.client);
    return status;
}

static const struct flag flags[] = {
    {"minutes", 0, FLAG_INT, "N", AT(minutes), 1, MINUTES_MAX,
     "the last N, up to a day (60)"},
    {"by", 0, FLAG_DURATION, "D", AT(by_ms), MINUTE_MS, MINUTES_MAX *MINUTE_MS,
     "a row for so long: 5m, 1h (1m)"},
    {"total", 0, FLAG_BOOL, NULL, AT(total), 0, 0,
     "one row: all that was ever counted"},
    {0},
};

const struct command cmd_stats = {
    .name = "stats",
    .usage = "QUEUE [--minutes N] [--by D] | QUEUE --total",
    .summary = "Show what became of a queue's jobs, minute by minute",
    .details =
        "Jobs are counted when they are settled; started counts runs that have "
        "ended.\nwait is the time from the push, or from when a job was due, "
        "to "
        "its start, run the\ntime of a run; half of them, 95 and 99 of a "
        "hundred took no longer, to the nearest\npower of two, interpolated. "
        "The table leaves out minutes in which nothing was;\nformats for "
        "programs have them all, times in milliseconds, and "
        "say how many jobs their\nhandler discarded (exit 99), were put off, "
        "snoozed, invalid, or refused.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_stats,
};
