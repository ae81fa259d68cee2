#ifndef PRODUCER_KEPT_H
#define PRODUCER_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/conn.h"
#include "common/redis/keys.h"
#include "producer/client.h"

/*
 * The hash of a kept job, belt:{q}:job:<id> (docs/PROTOCOL.md): its last news,
 * for as long as they are kept. Every field is optional and only text.
 */
#define KEPT_FIELDS(X)                                                         \
    X(state)                                                                   \
    X(type)                                                                    \
    X(created_at)                                                              \
    X(due_at)                                                                  \
    X(attempt)                                                                 \
    X(worker)                                                                  \
    X(lane)                                                                    \
    X(started_at)                                                              \
    X(ended_at)                                                                \
    X(progress)                                                                \
    X(message)                                                                 \
    X(result)                                                                  \
    X(error)                                                                   \
    X(exit)                                                                    \
    X(cpu_ms)                                                                  \
    X(peak_rss)                                                                \
    X(log_lines)

enum kept_field {
#define KEPT_ENUM(name) KEPT_##name,
    KEPT_FIELDS(KEPT_ENUM)
#undef KEPT_ENUM
        KEPT_FIELD_COUNT
};

/* The field of this name. */
bool kept_field_find(const char *name, enum kept_field *ret);

struct kept {
    char *values[KEPT_FIELD_COUNT]; /* owned; NULL: not there */
    size_t lens[KEPT_FIELD_COUNT];
};

/* The request; key is borrowed until it is sent. Its answer, into an empty k.
 */
void kept_args(const char *key, struct args *a);
void kept_read(struct kept *k, const struct reply *r);

/* Both: asks; the answer is there after client_wait. */
void kept_ask(struct client *c, const struct keys *keys, const char *id,
              struct kept *k);

void kept_copy(struct kept *to,
               const struct kept *from); /* into an empty one */
void kept_done(struct kept *k);          /* frees and makes it empty again */

bool kept_is(const struct kept *k, const char *state);
/* Whether the job has come to its end: done, dead, cancelled or expired. */
bool kept_is_over(const struct kept *k);
/* An integer, or none if the field is not there or something else. */
int64_t kept_int(const struct kept *k, enum kept_field f, int64_t none);

/*
 * What a command ends with that waited for this job: its exit code, 1 if it
 * has none and is not done.
 */
int kept_exit_status(const struct kept *k);

#endif
