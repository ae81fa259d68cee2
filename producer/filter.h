#ifndef PRODUCER_FILTER_H
#define PRODUCER_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "producer/options.h"

/*
 * Which jobs of a queue are meant: by type, by error, by time. Globs are those
 * of fnmatch(3); that of an error is held against "class: message". Main
 * thread.
 */
struct filter {
    const char *type, *error;   /* borrowed from the options; NULL: any */
    int64_t since_ms, until_ms; /* instants, both included */
    bool timed;                 /* one of the two was said */
};

/*
 * Sets the instants to what since and until say (NULL: nothing): a span, which
 * is that long ago, or an instant. ERR_INVALID with a text that does not name
 * which, which *ret_wrong does.
 */
int filter_times(struct filter *f, const char *since, const char *until,
                 const char **ret_wrong, struct errbuf *eb);

/* Reads o. Returns 0, or the exit status of a mistake that was told. */
int filter_init(struct filter *f, const struct options *o);

/* Whether anything was said. */
bool filter_is_set(const struct filter *f);

/* at_ms: since when it is where it is; -1: unknown, never within times. */
bool filter_takes(const struct filter *f, const struct job *job, int64_t at_ms);

/* The instant of the last failure, error.at; -1 if there is none. */
int64_t filter_failed_at(const struct job *job);

#define FILTER_FLAGS                                                           \
    {"type",                                                                   \
     't',                                                                      \
     FLAG_TEXT,                                                                \
     "GLOB",                                                                   \
     offsetof(struct options, type),                                           \
     0,                                                                        \
     0,                                                                        \
     "only jobs of these types"},                                              \
        {"error",                                                              \
         'e',                                                                  \
         FLAG_TEXT,                                                            \
         "GLOB",                                                               \
         offsetof(struct options, error),                                      \
         0,                                                                    \
         0,                                                                    \
         "only those whose \"class: message\" is like that"},                  \
        {"since",                                                              \
         0,                                                                    \
         FLAG_TEXT,                                                            \
         "WHEN",                                                               \
         offsetof(struct options, since),                                      \
         0,                                                                    \
         0,                                                                    \
         "not older: 2h (ago), or an instant of RFC 3339"},                    \
    {                                                                          \
        "until", 0, FLAG_TEXT, "WHEN", offsetof(struct options, until), 0, 0,  \
            "not newer, in the same way"                                       \
    }

#endif
