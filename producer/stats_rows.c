/*
 * Stats rows: each minute has a hash, kept for a day.
 *
 * Its fields are asked for by name, a hundred minutes in one pipelined round,
 * and added up into rows. Times that jobs waited and ran are counted by powers
 * of two, so percentiles are interpolated between these.
 *
 * Thread: that of the client, which is also the loop.
 */
#include "producer/stats_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/mem.h"
#include "producer/age.h"

enum { MINUTES_AT_ONCE = 100, FIELD_NAME_MAX = 12 };

static const char *const counter_names[] = {
#define COUNTER_NAME(name) #name,
    STATS_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

/* Names of fields of times: "wait:3". */
struct time_names {
    char wait[STATS_POWERS][FIELD_NAME_MAX], run[STATS_POWERS][FIELD_NAME_MAX];
};

static void on_counts(void *arg, const struct reply *r);

const struct column stats_columns[] = {
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
    struct stats_row *row = arg;

    for (size_t i = 0; i < reply_len(r); i++) {
        int64_t n;
        if (!reply_int(reply_at(r, i), &n) || n < 0)
            continue;
        int64_t *to = i < STATS_COUNT ? &row->counts[i]
                      : i < STATS_COUNT + STATS_POWERS
                          ? &row->wait.counts[i - STATS_COUNT]
                      : i < STATS_COUNT + 2 * STATS_POWERS
                          ? &row->run.counts[i - STATS_COUNT - STATS_POWERS]
                          : NULL;
        if (to)
            *to = add(*to, n);
    }
}

static void name_times(struct time_names *names)
{
    for (int k = 0; k < STATS_POWERS; k++) {
        snprintf(names->wait[k], FIELD_NAME_MAX, "wait:%d", k);
        snprintf(names->run[k], FIELD_NAME_MAX, "run:%d", k);
    }
}

static void ask(struct client *c, const struct time_names *names,
                const char *key, struct stats_row *row)
{
    struct args a = {0};

    args_str(&a, "HMGET");
    args_str(&a, key);
    for (size_t i = 0; i < STATS_COUNT; i++)
        args_str(&a, counter_names[i]);
    for (size_t k = 0; k < STATS_POWERS; k++)
        args_str(&a, names->wait[k]);
    for (size_t k = 0; k < STATS_POWERS; k++)
        args_str(&a, names->run[k]);
    client_call(c, &a, on_counts, row);
    args_done(&a);
}

int stats_total(struct stats *s, struct client *c, const struct keys *k)
{
    struct time_names names;

    name_times(&names);
    s->rows = mem_new(sizeof(*s->rows));
    s->count = 1;
    s->rows[0].at_ms = -1;
    ask(c, &names, k->stats, s->rows);
    return client_wait(c);
}

/* Rows begin at multiples of by; the last one holds the minute of now. */
int stats_minutes(struct stats *s, struct client *c, const struct keys *k,
                  int64_t minutes, int64_t by_ms)
{
    struct time_names names;
    int64_t now_ms, asked = 0;
    int status = client_now(c, &now_ms);

    if (status != 0)
        return status;
    name_times(&names);
    int64_t last_ms = now_ms - now_ms % STATS_MINUTE_MS;
    int64_t first_ms = last_ms - (minutes - 1) * STATS_MINUTE_MS;
    int64_t base_ms = first_ms - first_ms % by_ms;
    s->count = (size_t)((last_ms - base_ms) / by_ms) + 1;
    s->rows = mem_new(s->count * sizeof(*s->rows));
    for (size_t i = 0; i < s->count; i++)
        s->rows[i].at_ms = base_ms + (int64_t)i * by_ms;
    for (int64_t at_ms = first_ms; at_ms <= last_ms && status == 0;
         at_ms += STATS_MINUTE_MS) {
        char key[KEY_MAX];
        keys_stats_minute(k, at_ms, key);
        ask(c, &names, key, &s->rows[(at_ms - base_ms) / by_ms]);
        if (++asked % MINUTES_AT_ONCE == 0)
            status = client_wait(c);
    }
    return status ? status : client_wait(c);
}

void stats_done(struct stats *s)
{
    free(s->rows);
    *s = (struct stats){0};
}

/* ---- rows ---- */

/*
 * The time within which part of the jobs were, in ms, -1 if there were none:
 * within a power of two they are taken to lie evenly.
 */
static int64_t percentile(const struct stats_times *h, double part)
{
    double all = 0, below = 0;

    for (int k = 0; k < STATS_POWERS; k++)
        all += (double)h->counts[k];
    if (all == 0)
        return -1;
    for (int k = 0; k < STATS_POWERS; k++) {
        double n = (double)h->counts[k];
        double to = (double)(1LL << k), from = k == 0 ? 0 : to / 2;
        if (n > 0 && below + n >= part * all)
            return (int64_t)(from + (to - from) * (part * all - below) / n +
                             0.5);
        below += n;
    }
    return 1LL << (STATS_POWERS - 1);
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
    else if (ms < STATS_MINUTE_MS)
        snprintf(text, sizeof(text), "%.1fs", (double)ms / 1000);
    else
        age_format(ms, text);
    out_str(out, text);
}

static void out_percentiles(struct out *out, bool people,
                            const struct stats_times *h)
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

static bool is_quiet(const struct stats_row *row)
{
    for (size_t i = 0; i < STATS_COUNT; i++) {
        if (row->counts[i] != 0)
            return false;
    }
    return true;
}

void stats_out(struct out *out, const struct stats *s, bool people)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct stats_row *row = &s->rows[i];
        if (people && row->at_ms >= 0 && is_quiet(row))
            continue;
        out_time(out, row->at_ms);
        for (size_t k = 0; k < STATS_COUNT; k++)
            out_int(out, row->counts[k]);
        out_percentiles(out, people, &row->wait);
        out_percentiles(out, people, &row->run);
        out_row(out);
    }
}
