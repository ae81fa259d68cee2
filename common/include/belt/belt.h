#ifndef BELT_BELT_H
#define BELT_BELT_H

/*
 * libbelt: pushing jobs to Belt, a job queue on Redis, and asking what became
 * of them.
 *
 *     struct belt_error error;
 *     struct belt_client *belt = belt_client_open(NULL, &error);
 *     struct belt_job *job = belt_job_new("mail.welcome");
 *     struct belt_pushed pushed;
 *
 *     belt_job_set_payload(job, "{\"user\":42}", 11, &error);
 *     belt_job_set(job, "keep", "1h", &error);
 *     if (belt_client_push(belt, job, &pushed, &error) == 0)
 *         printf("%s\n", pushed.job);
 *     belt_job_free(job);
 *     belt_client_close(belt);
 *
 * pkg-config: belt. CMake: find_package(belt), target belt::belt. A guide is
 * docs/guides/c-library.md; what the words mean, docs/PROTOCOL.md.
 *
 * Threads. There is no state but in what is opened. A client may be used by any
 * number of threads at the same time: each call has a connection to itself for
 * as long as it lasts, so one that waits holds up no other. A job belongs to
 * one thread at a time. What belt_client_status and the like return does not
 * change any more and may be read by all.
 *
 * Waiting. Each call returns when it is answered. Connecting ends within
 * connect_timeout_ms, a push 5 seconds after it was sent, a question after 30;
 * belt_client_wait has a time of its own.
 *
 * Errors. Functions return 0 or a code below 0 (those that return a pointer:
 * NULL), and say more in *error, which the caller owns, is only written then,
 * and may be NULL. Nothing is printed, no signal is raised or handled, no
 * environment, locale or file-descriptor limit is changed. As in GLib a program
 * that has no memory left for things of bounded size is aborted. Pointers must
 * not be NULL unless it is said that they may.
 *
 * Fork. A client belongs to the process that opened it. In a child its calls
 * fail with BELT_ERR_INVALID, and closing it only leaves it behind: open
 * another.
 *
 * Names. A job is called as belt push prints it, "queue/id"; where it is said,
 * a bare "id" is looked for in all queues, as cheaply as belt status does.
 * Times are milliseconds, instants such since 1970 (UTC). Texts that come
 * out of Redis may be anything: they are no safe input for a terminal.
 *
 * It can be included together with belt/plugin.h.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BELT_CLIENT_API __attribute__((visibility("default")))
#else
#define BELT_CLIENT_API
#endif

/* The version of the library that runs, "0.1.0"; constant. Any thread. */
BELT_CLIENT_API const char *belt_client_version(void);

/* ---- errors ---- */

enum belt_err {
    BELT_ERR_INVALID = -1, /* bad argument, option or job: nothing was sent */
    BELT_ERR_TOO_BIG = -2, /* of bytes or jobs: nothing was sent */
    BELT_ERR_UNREACHABLE = -3, /* no connection: nothing was done */
    BELT_ERR_DENIED = -4,      /* password, or what its ACL allows */
    BELT_ERR_AGAIN = -5,       /* Redis cannot just now (memory, loading, no
                                  primary), or the connection was lost before
                                  anything was sent: nothing was done */
    BELT_ERR_FULL = -6,        /* the queue has as many jobs as it may */
    BELT_ERR_UNKNOWN = -7,     /* sent, but no answer came: done or not */
    BELT_ERR_HELD = -8,        /* another job has the unique key, and
                                  on_conflict is error */
    BELT_ERR_NOT_FOUND = -9,   /* no such job, or nothing is kept of it */
    BELT_ERR_TIMEOUT = -10,    /* the time to wait is over */
    BELT_ERR_TOO_NEW = -11, /* the queue's format is newer than this library */
    BELT_ERR_REDIS = -12,   /* another error of Redis */
    BELT_ERR_SYSTEM = -13   /* a file that cannot be read, and the like */
};

struct belt_error {
    int code;       /* what the function has returned, or would have */
    char text[508]; /* for people; what was wrong with what */
};

/* A constant text for a code; never NULL. Any thread. */
BELT_CLIENT_API const char *belt_err_text(int code);

/* ---- a client ---- */

struct belt_client;

/*
 * What may be said about a client; 0 or NULL stands for what is in brackets.
 * size is what makes programs go on working with later versions, which know
 * more members:
 *
 *     struct belt_client_options options = {sizeof(options)};
 */
struct belt_client_options {
    size_t size;     /* sizeof(struct belt_client_options) */
    const char *url; /* of Redis, redis:// or unix:// [BELT_REDIS_URL or
                        REDIS_URL of the environment, else
                        redis://127.0.0.1:6379] */
    const char *password_file; /* its first line is the password, if the URL has
                                  none [REDISCLI_AUTH of the environment] */
    const char *key_namespace; /* [BELT_NAMESPACE, else "belt"] */
    int64_t connect_timeout_ms; /* [5000] */
    size_t max_bytes;           /* of a job as it lies in Redis, up to 64 MiB
                                   [1 MiB] */
    unsigned idle_max;          /* connections kept between calls [8] */
    int lazy; /* not 0: connect with the first call, not now */
};

/*
 * Opens a client, and connects once to see whether that works. options may be
 * NULL, and is copied. The environment is read here and at no other time.
 * Returns it, owned (belt_client_close), or NULL: BELT_ERR_INVALID,
 * BELT_ERR_SYSTEM (password_file), BELT_ERR_UNREACHABLE, BELT_ERR_DENIED,
 * BELT_ERR_AGAIN. Any thread.
 *
 * A connection that is lost is made anew by the next call; to push again what
 * was under way is left to the caller.
 */
BELT_CLIENT_API struct belt_client *
belt_client_open(const struct belt_client_options *options,
                 struct belt_error *error);

/* Closes its connections and frees it. No call of it may be under way. NULL is
 * a no-op. */
BELT_CLIENT_API void belt_client_close(struct belt_client *client);

/* Where its Redis is, without user and password; lent until it is closed. */
BELT_CLIENT_API const char *belt_client_url(const struct belt_client *client);

/* ---- jobs to be pushed ---- */

struct belt_job;

/*
 * Makes a job of this type, which names its handler, with the payload null,
 * for the queue "default". It is checked when it is pushed, and may be pushed
 * often, with other values in between. Owned: belt_job_free.
 */
BELT_CLIENT_API struct belt_job *belt_job_new(const char *type);
BELT_CLIENT_API void belt_job_free(struct belt_job *job); /* NULL: a no-op */

/*
 * Sets the payload: a JSON value of size bytes, which is checked, copied, and
 * carried byte for byte. BELT_ERR_INVALID names the byte that is wrong,
 * BELT_ERR_TOO_BIG: more than 64 MiB.
 */
BELT_CLIENT_API int belt_job_set_payload(struct belt_job *job, const char *json,
                                         size_t size, struct belt_error *error);

/* The same for a text in UTF-8, which becomes a JSON string. */
BELT_CLIENT_API int belt_job_set_payload_text(struct belt_job *job,
                                              const char *text, size_t size,
                                              struct belt_error *error);

/* clang-format off: there is a table. */
/*
 * Sets an option, by the name that it has as a flag of belt push and as a
 * member of an envelope (max-attempts or max_attempts). value is written as for
 * the flag, and copied; NULL takes the option back.
 *
 *     queue         a name [default]
 *     id            up to 64 of A-Z a-z 0-9 . _ : - [a fresh ULID each time]
 *     front         1: to the head of the queue
 *     in, at        not to be run before: a duration "90s", "5m", "12h", or an
 *                   instant "2026-11-26T08:30:00Z"; one of them
 *     after         "queue/id" or "id" of a kept job: not to be run before that
 *                   is done; dead if it ends otherwise
 *     expires       not to be begun later than that: a duration after it is
 *                   due, or an instant
 *     timeout       of an attempt, a duration [that of the handler]
 *     max_attempts  then it is dead [20]
 *     backoff       between attempts: "default", "exponential:1s:2:1h",
 *                   "fixed:30s", "10s,1m,5m", or JSON
 *     keep          how long its end and result are kept, a duration [not]
 *     unique        "KEY" or "KEY:TTL": one job at a time has this key
 *     until         "done" or "started": when KEY is free [done]
 *     on_conflict   "skip", "replace" or "error", if another has KEY [skip]
 *     then          to be pushed when it is done: an envelope in JSON, or an
 *                   array of them
 *     meta          an object in JSON that is carried along
 *
 * Returns 0, or BELT_ERR_INVALID with a text that names the option; what is
 * wrong only together with other options is told by the push.
 */
/* clang-format on */
BELT_CLIENT_API int belt_job_set(struct belt_job *job, const char *name,
                                 const char *value, struct belt_error *error);

/*
 * The same for numbers: max_attempts, front (0 or 1), and in milliseconds in,
 * timeout, keep, at (an instant) and expires_at (an instant). 0 takes it back.
 */
BELT_CLIENT_API int belt_job_set_int(struct belt_job *job, const char *name,
                                     int64_t value, struct belt_error *error);

/* ---- pushing ---- */

enum belt_push_state {
    BELT_PUSH_DONE,     /* Redis has the job */
    BELT_PUSH_SAME,     /* it has come before: pushed again by its id and key */
    BELT_PUSH_HELD,     /* not pushed: another job has its unique key */
    BELT_PUSH_REPLACED, /* another job, not due yet, has become this one */
    BELT_PUSH_REFUSED,  /* it is certainly not there */
    BELT_PUSH_UNKNOWN   /* the connection was lost: it may be there, or come */
};

/* "queue/id" with its NUL. */
#define BELT_JOB_NAME_SIZE 130

struct belt_pushed {
    int state;                    /* an enum belt_push_state */
    int code;                     /* 0, or the error of this job */
    char job[BELT_JOB_NAME_SIZE]; /* its name; that of the job in whose place it
                                     is, or which has its key (of HELD and
                                     REPLACED); "" if it never got one */
};

/*
 * Pushes a job. Returns 0 when Redis has it, or has another one that stands for
 * it: ret says which. Else
 *     BELT_ERR_UNKNOWN  it may be there or not. To push it again may run it
 *                       twice, unless it has an id and a unique key with a time
 *                       (options "id" and "unique" KEY:TTL)
 *     BELT_ERR_HELD     another job has its key, and on_conflict is error
 *     another error     it is not there
 * and ret says so too. ret may be NULL. Any thread.
 */
BELT_CLIENT_API int belt_client_push(struct belt_client *client,
                                     const struct belt_job *job,
                                     struct belt_pushed *ret,
                                     struct belt_error *error);

/*
 * Pushes jobs[0] to jobs[n - 1], in this order, pipelined: many times as fast
 * as one by one, with memory bounded by what is under way (some 16 MiB) apart
 * from the jobs themselves. The same job may be there twice. ret has room for n
 * and says what became of each; NULL: not wanted.
 *
 * Jobs that are bad do not keep the others back: their state is
 * BELT_PUSH_REFUSED, their code says why. A queue that is full, an error of
 * Redis and a lost connection do: behind it nothing is sent. Returns 0 when all
 * were pushed or stand to be (as belt_client_push), else the code of the first
 * job that was not, which the text of error names by its number from 0.
 * Any thread.
 */
BELT_CLIENT_API int belt_client_push_many(struct belt_client *client,
                                          struct belt_job *const *jobs,
                                          size_t n, struct belt_pushed *ret,
                                          struct belt_error *error);

/* ---- what became of a job ---- */

/* How a job stood when it was asked for. Owned: belt_status_free. */
struct belt_status;

BELT_CLIENT_API void belt_status_free(struct belt_status *status); /* or NULL */

/* "queue/id"; its state, a word: scheduled, ready, active, recovering, retry,
 * done, dead, cancelled or expired. Lent until it is freed. */
BELT_CLIENT_API const char *belt_status_job(const struct belt_status *status);
BELT_CLIENT_API const char *belt_status_state(const struct belt_status *status);

/* Whether it has ended (done, dead, cancelled or expired): 1 or 0. */
BELT_CLIENT_API int belt_status_is_over(const struct belt_status *status);

/*
 * A column of belt status or belt result, by its name: result (the bytes that
 * its handler wrote, exactly), error (as JSON, if it is that), error_text (the
 * same for people), type, worker, lane, message, attempt, progress, exit,
 * cpu_ms, peak_rss (of its last run), created_at, due_at, started_at, ended_at,
 * and what later versions keep.
 * Lent until status is freed, with a NUL behind it; *ret_size (or NULL) is its
 * size without that. NULL if it is not there.
 */
BELT_CLIENT_API const char *belt_status_get(const struct belt_status *status,
                                            const char *name, size_t *ret_size);

/* The same of those that are integers; none if it is not there or no integer.
 */
BELT_CLIENT_API int64_t belt_status_get_int(const struct belt_status *status,
                                            const char *name, int64_t none);

/*
 * Asks what is kept of a job that was pushed with keep: one round trip. job is
 * "queue/id" or "id". Returns owned, whatever its state, or NULL:
 * BELT_ERR_NOT_FOUND if nothing is kept, and the errors of a connection.
 * Any thread.
 */
BELT_CLIENT_API struct belt_status *
belt_client_result(struct belt_client *client, const char *job,
                   struct belt_error *error);

/*
 * Asks how any job stands, kept or not: those that are not kept are looked for
 * where that is cheap, among what is scheduled, to be retried, dead, or held by
 * a worker. The rest as belt_client_result.
 */
BELT_CLIENT_API struct belt_status *
belt_client_status(struct belt_client *client, const char *job,
                   struct belt_error *error);

/*
 * Waits until a job that was pushed with keep has ended, without asking again
 * and again: Redis tells. timeout_ms < 0: for ever; 0: only if it has ended. A
 * connection that is lost meanwhile is made again, for a minute. Returns how it
 * ended, owned, or NULL: BELT_ERR_TIMEOUT, BELT_ERR_NOT_FOUND (not kept, or not
 * any longer), and the errors of a connection. Any thread.
 */
BELT_CLIENT_API struct belt_status *belt_client_wait(struct belt_client *client,
                                                     const char *job,
                                                     int64_t timeout_ms,
                                                     struct belt_error *error);

/*
 * The same for up to 10000 jobs at once, until all, or with any (not 0) the
 * first of them, have ended. ret has room for n: how each has ended, owned, or
 * NULL, be it that this returns an error: then for those that had ended.
 * BELT_ERR_NOT_FOUND: all have ended or are not kept, and at least one is not.
 */
BELT_CLIENT_API int belt_client_wait_many(struct belt_client *client,
                                          const char *const *jobs, size_t n,
                                          int any, int64_t timeout_ms,
                                          struct belt_status **ret,
                                          struct belt_error *error);

/* ---- cancelling ---- */

enum belt_cancel_state {
    BELT_CANCEL_MARKED,    /* it is ready or runs: its worker will end it */
    BELT_CANCEL_CANCELLED, /* it waited for its time or a retry, and is gone */
    BELT_CANCEL_ENDED      /* it had ended before */
};

/*
 * Cancels a job, "queue/id" or "id". *ret_state, unless NULL, is an enum
 * belt_cancel_state. A mark counts for 7 days, also for a job of this name that
 * is yet to come; one that runs is stopped at once, and belt_client_wait tells
 * when that is done, if it was pushed with keep. Returns 0, or
 * BELT_ERR_NOT_FOUND (a bare id only), BELT_ERR_AGAIN (10000 marks stand), and
 * the errors of a connection: to cancel again does no harm. Any thread.
 */
BELT_CLIENT_API int belt_client_cancel(struct belt_client *client,
                                       const char *job, int *ret_state,
                                       struct belt_error *error);

#ifdef __cplusplus
}
#endif

#endif
