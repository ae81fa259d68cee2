#ifndef PRODUCER_LIB_H
#define PRODUCER_LIB_H

#include <stdbool.h>
#include <sys/types.h>

#include <belt/belt.h>

#include "common/base/buf.h"
#include "common/base/thread.h"
#include "common/redis/queue.h"
#include "producer/client.h"
#include "producer/job_name.h"
#include "producer/push_options.h"

/*
 * What the files of libbelt share. The functions of belt/belt.h are thin: each
 * takes a client of its own for as long as it lasts, does with it what a
 * command of belt does, and makes a struct belt_error of what it is told.
 */
#define LIB_MAX_BYTES ((size_t)64 << 20) /* of an envelope, at most */

struct belt_client {
    pid_t pid; /* fixed at birth, as what follows */
    struct url url;
    char shown[384];
    char ns[NAME_MAX_LEN + 1];
    int64_t connect_timeout_ms;
    size_t max_bytes;
    unsigned idle_max;

    struct mutex mu;      /* guards what follows */
    struct client **idle; /* owned, each too */
    unsigned idle_count;
};

struct belt_job {
    char *type; /* owned, as what follows */
    char *queue, *id, *after, *unique, *until, *on_conflict; /* or NULL */
    bool front;
    struct buf payload;
    int64_t max_attempts, timeout_ms, keep_ms;
    struct push_options options; /* all but unique */
};

/* A call of the interface: the first failure that it was told of. */
struct lib_call {
    const struct belt_client *owner; /* borrowed */
    struct client *client; /* lent for its length, from lib_begin to lib_end */
    struct belt_error error;
};

/* Sets *error, unless it is NULL, and returns code. */
int lib_error(struct belt_error *error, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The code that an ERR_* before anything was sent stands for. */
int lib_code_of_err(int err);
/* The same for a status that a client tells. */
int lib_code_of_status(int status);

/*
 * Takes an idle client, or connects. Returns 0, or a code; then there is no
 * lib_end.
 */
int lib_begin(struct belt_client *b, struct lib_call *call,
              struct belt_error *error);

/* Gives the client back. Returns the code of call->error, and copies it. */
int lib_end(struct belt_client *b, struct lib_call *call,
            struct belt_error *error);

/*
 * Reads "queue/id" or "id" and, for the latter, finds the queue. Returns 0 or
 * the code of call->error.
 */
int lib_read_name(struct lib_call *call, const char *text,
                  struct job_name *ret);

#endif
