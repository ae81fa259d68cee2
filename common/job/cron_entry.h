#ifndef COMMON_JOB_CRON_ENTRY_H
#define COMMON_JOB_CRON_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/job/cron.h"
#include "common/job/job.h"

/*
 * A periodic job, as it lies in the hash cron of a queue (docs/PROTOCOL.md,
 * "Cron"): a JSON object under its name. One thread at a time.
 */
#define CRON_NAME_MAX_LEN 40 /* so that ids of its jobs have room */
#define CRON_ENTRY_MAX_BYTES (64 * 1024)
#define CRON_TICKS_MAX 100 /* that are made up for at once */
#define CRON_LIMIT_DEFAULT_MS (3600 * 1000LL)
#define CRON_LIMIT_MAX_MS (31 * 86400000LL)
#define CRON_JITTER_MAX_MS (86400000LL)
#define CRON_LATE_MS 60000 /* a tick that is no later was not missed */

enum cron_overlap { CRON_ALLOW, CRON_SKIP };
enum cron_catch_up { CRON_LAST, CRON_NONE, CRON_ALL };

struct cron_entry {
    char *raw; /* owned: the object exactly as it is in Redis */
    size_t raw_len;
    struct cron cron;
    char name[CRON_NAME_MAX_LEN + 1], spec[CRON_SPEC_MAX_LEN + 1];
    char zone[ZONE_NAME_MAX_LEN + 1], type[JOB_TYPE_MAX_LEN + 1];
    char source[16];             /* "cli", "config", "crontab", … or "" */
    struct json_span payload;    /* into raw; absent: null */
    struct json_span backoff;    /* into raw; absent: the default */
    enum cron_overlap overlap;   /* one still there: CRON_SKIP this one */
    enum cron_catch_up catch_up; /* which of those that were missed */
    int64_t catch_up_limit_ms;   /* and how late they may be */
    int64_t jitter_ms;           /* at most so much later */
    int64_t times;               /* left; -1: for ever */
    int64_t expires_ms;          /* 0: never; after the tick */
    int64_t max_attempts, timeout_ms; /* of its jobs; 0: not given */
    int64_t keep_ms, updated_at_ms;
    bool paused;
};

/* [A-Za-z0-9][A-Za-z0-9._-]{0,39} */
bool cron_is_name(const char *s, size_t n);

/*
 * Reads an entry, which is copied, and returns it, owned, through ret.
 * ERR_INVALID names what is wrong. The zone is not looked up.
 */
int cron_entry_parse(const char *name, const char *text, size_t len,
                     struct cron_entry **ret, struct errbuf *eb);
void cron_entry_free(struct cron_entry *e); /* NULL is a no-op */

/* What people say of an entry. All texts borrowed. */
struct cron_wish {
    const char *spec, *zone, *type;   /* zone NULL: UTC */
    const char *overlap, *catch_up;   /* NULL: the default */
    const char *source;               /* NULL: none */
    struct json_span payload;         /* absent: null */
    const char *backoff;              /* JSON, or NULL */
    int64_t jitter_ms, times;         /* 0: none, for ever */
    int64_t catch_up_limit_ms;        /* -1: the default */
    int64_t max_attempts, timeout_ms; /* 0: not given */
    int64_t keep_ms, expires_ms;
    int64_t updated_at_ms;
    bool paused;
};

/*
 * Makes an entry of it, owned, checked in all ways that cron_entry_parse
 * knows, and its zone as well.
 */
int cron_entry_make(const char *name, const struct cron_wish *w,
                    struct cron_entry **ret, struct errbuf *eb);

/*
 * Appends the entry with other values for members ("paused" "true"), the rest
 * byte for byte.
 */
void cron_entry_rewrite(const struct cron_entry *e,
                        const struct job_change *changes, size_t n,
                        struct buf *out);

/*
 * Whether both mean the same, but for pause, times and updated_at; whether
 * both come at the same instants.
 */
bool cron_entry_same(const struct cron_entry *a, const struct cron_entry *b);
bool cron_entry_same_ticks(const struct cron_entry *a,
                           const struct cron_entry *b);

/* ---- ticks: cron_plan.c ---- */

/* Which jobs are to be pushed now, and when it is due next. */
struct cron_plan {
    unsigned count;                /* of ticks */
    int64_t ticks[CRON_TICKS_MAX]; /* earliest first */
    int64_t missed;                /* ticks that are not made up for */
    int64_t next_ms;               /* the tick after them; -1: none comes */
    int64_t claim_ms;              /* when that one is to be claimed */
};

/*
 * Plans what follows from the entry being due at due_ms. Nothing is to be
 * done before claim_ms if next_ms is still due_ms.
 */
void cron_plan(const struct cron_entry *e, const struct zone *z, int64_t due_ms,
               int64_t now_ms, struct cron_plan *ret);

/* When a tick is claimed: jitter after it, the same for whoever asks. */
int64_t cron_claim_ms(const struct cron_entry *e, int64_t tick_ms);

/* cron:<name>:<tick>: the same job for whoever pushes it. */
void cron_job_id(const struct cron_entry *e, int64_t tick_ms,
                 char out[ID_MAX_LEN + 1]);
/* cron:<name>:run:<random>: of a job out of turn. */
void cron_run_id(const struct cron_entry *e, char out[ID_MAX_LEN + 1]);

/* Its lock, for CRON_SKIP: the key of "unique". */
void cron_lock(const char *name, char out[CRON_NAME_MAX_LEN + 8]);

/* Appends the envelope of a job with that id. */
void cron_job(const struct cron_entry *e, const char *id, int64_t tick_ms,
              int64_t now_ms, struct buf *out);

#endif
