#ifndef COMMON_JOB_BACKOFF_H
#define COMMON_JOB_BACKOFF_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/job/json.h"

/*
 * How long a failed job waits for its next attempt. Milliseconds.
 *
 * default      15 s + n^4 s, up to 10 % and 10 s of jitter more, cap 6 h
 * exponential  base * factor^(n-1), equal jitter (half fixed, half random),
 *              cap max
 * fixed        delay, no jitter
 * list         the n-th delay, the last one for ever
 *
 * n is the number of attempts made, from 1. In an envelope: "default",
 * "exponential", {"kind":"exponential","base":1000,"factor":2,"max":3600000},
 * {"kind":"fixed","delay":5000}, or [1000,5000,60000]. What an exponential
 * one leaves out is base 1 s, factor 2, max 6 h. Any thread.
 */
#define BACKOFF_CAP_MS (6 * 3600 * 1000LL)
#define BACKOFF_LIST_MAX 64

enum backoff_kind {
    BACKOFF_DEFAULT,
    BACKOFF_EXPONENTIAL,
    BACKOFF_FIXED,
    BACKOFF_LIST
};

struct backoff {
    enum backoff_kind kind;
    int64_t base_ms, max_ms; /* exponential; fixed: base_ms is the delay */
    double factor;
    unsigned count;
    int64_t list_ms[BACKOFF_LIST_MAX];
};

/* An absent span is the default policy. ERR_INVALID names what is wrong. */
int backoff_parse(struct json_span spec, struct backoff *ret,
                  struct errbuf *eb);

/* Delay after attempt n (>= 1). random01 in [0, 1) is the jitter. */
int64_t backoff_delay(const struct backoff *b, int64_t n, double random01);

/*
 * Delay of the n-th time in a row (>= 1) a job is put off, 1 s to 60 s: at
 * random between half and all of 2^n s, or of 60 s when that is less.
 */
int64_t backoff_put_off(int64_t n, double random01);

#endif
