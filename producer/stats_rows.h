#ifndef PRODUCER_STATS_ROWS_H
#define PRODUCER_STATS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/out.h"

/*
 * What became of the jobs of a queue: what was counted, minute by minute. One
 * thread at a time, that of the client.
 */
#define STATS_MINUTE_MS 60000LL
enum { STATS_MINUTES_MAX = 1440, STATS_POWERS = 32 };

#define STATS_COUNTERS(X)                                                      \
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
#define STATS_ENUM(name) STATS_##name,
    STATS_COUNTERS(STATS_ENUM)
#undef STATS_ENUM
        STATS_COUNT
};

/* How many took less than 2^k ms and at least half of that. */
struct stats_times {
    int64_t counts[STATS_POWERS];
};

struct stats_row {
    int64_t at_ms; /* where it begins; -1: for ever */
    int64_t counts[STATS_COUNT];
    struct stats_times wait, run;
};

/* Start with {0}. */
struct stats {
    struct stats_row *rows; /* owned */
    size_t count;
};

/* All that was ever counted. Returns as client_wait; stats_done anyway. */
int stats_total(struct stats *s, struct client *c, const struct keys *k);

/* The last minutes, a row for each by_ms, which is whole minutes. */
int stats_minutes(struct stats *s, struct client *c, const struct keys *k,
                  int64_t minutes, int64_t by_ms);
void stats_done(struct stats *s);

/* As rows of a writer that was made with these columns; for people without
 * the minutes in which nothing was. */
extern const struct column stats_columns[];
void stats_out(struct out *out, const struct stats *s, bool people);

#endif
