#ifndef PRODUCER_OPTIONS_H
#define PRODUCER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/redis/queue_bounds.h"
#include "producer/command.h"

/* What a command line says. Texts are borrowed from argv and environ. */
enum out_format { OUT_TABLE, OUT_JSON, OUT_NDJSON, OUT_TSV };

/* The values of a flag that may be given often, in their order. */
struct text_list {
    const char **texts; /* owned array */
    int count;
};

struct options {
    const struct command *command; /* NULL: none was named */
    const char *group; /* of commands, named without one of them; or NULL */

    const char **args; /* owned array, NULL behind the last */
    int arg_count;
    int plain_count; /* of them, those before a "--" */

    bool help, version;
    const char *redis_url, *password_file, *ns;
    enum out_format format;
    bool json, no_color;
    int64_t connect_timeout_ms;

    const char *queue, *id, *type;
    bool front, ndjson, raw;
    int64_t max_attempts, timeout_ms, keep_ms; /* 0: not given */
    int64_t skip, max_bytes;
    int64_t in_ms; /* 0: not given */
    const char *at, *expires, *unique, *until, *on_conflict, *backoff;
    struct text_list then, meta;
    const char *bounds[QUEUE_BOUNDS]; /* of queues set; NULL: not given */

    const char *state; /* NULL: not given */
    int64_t count;

    int64_t minutes, by_ms; /* of stats */
    bool total;
    const char *error, *since, *rate, *to, *export_to;
    bool all, dry_run, yes, force;
    int64_t limit; /* 0: not given */

    bool any;                /* of wait */
    bool wait;               /* of push and cancel */
    int64_t wait_timeout_ms; /* of wait too; 0: none */

    const char *reason; /* of a pause */
    int64_t for_ms;     /* 0: without end */
    bool no_wait;

    const char *tz, *overlap, *catch_up;        /* of cron; NULL: not given */
    const char *only_queue;                     /* NULL: all */
    int64_t jitter_ms, times, expires_after_ms; /* 0: not given */
    int64_t catch_up_limit_ms;                  /* -1: not given */
    int64_t next_count;
    bool paused;

    const char *after;    /* of push and run; NULL: not given */
    struct text_list env; /* of run */
    const char *run_dir;  /* NULL: not given */
    bool with_stdin;
    const char *level, *key; /* of log and emit; NULL: not given */
    bool subtask, subtasks, end, cancel;

    bool follow;   /* of logs */
    int64_t lines; /* 0: not given */

    const char *dir, *handlers;
    int64_t port, http_port; /* -1: a free one, 0: none */

    bool strict; /* of doctor */

    /* of serve */
    const char *listen, *tokens, *add_token, *roles; /* NULL: not given */
    bool insecure, access_log;
    int64_t max_connections, max_headers, max_bulk, max_pending;
    int64_t max_lines, max_waits;
    int64_t request_timeout_ms, idle_timeout_ms, drain_timeout_ms;
    int64_t redis_timeout_ms;
    int64_t idempotency_ms, longest_wait_ms, side_threads, metrics_queues;

    char **argv; /* all of it, borrowed */
};

/*
 * Parses argv, the program's name in front. ERR_INVALID says what is wrong;
 * ret->command is set even then if it was known. Done with options_done in
 * either case.
 */
int options_parse(int argc, char **argv, struct options *ret,
                  struct errbuf *eb);

void options_done(struct options *o);

#endif
