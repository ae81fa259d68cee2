#ifndef BELT_PLUGIN_H
#define BELT_PLUGIN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Plugins: job handlers that are C functions of a shared object, called in the
 * threads of belt-worker. This header is all that a plugin needs; C11 or C++.
 *
 *     #include <belt/plugin.h>
 *
 *     static int run(struct belt_run *run, void *state)
 *     {
 *         (void)state;
 *         belt_result(run, run->payload, run->payload_size);
 *         return BELT_DONE;
 *     }
 *
 *     BELT_PLUGIN("echo", "1.0", NULL, run, NULL)
 *
 *     cc -shared -fPIC -O2 -o echo.so echo.c
 *     belt-worker -q q --handler 'echo=plugin:/path/to/echo.so'
 *
 * A plugin is a part of the worker: if it crashes, or calls exit, the worker
 * and all that it runs are gone (their jobs run again). A run cannot be killed:
 * it has to ask whether it should stop. One that has not ended when its time
 * limit and kill-after are over is given up: its job fails, its thread is left
 * alone, and the worker replaces itself in an orderly way.
 *
 * Threads: run is called by many threads at a time, with the same state. A
 * signal reaches none of them. The functions for a run may be called by any
 * thread of the plugin until run returns; of a run that was given up they do
 * nothing.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* Which layout this header is about. A worker refuses others. */
#define BELT_PLUGIN_ABI 1

/* What becomes of the job: the value of run. Any other one means BELT_RETRY. */
enum belt_verdict {
    BELT_DONE = 0,
    BELT_RETRY = 1,   /* failed: again by its policy, or see belt_retry_after */
    BELT_DEAD = 2,    /* failed: it can never work */
    BELT_DISCARD = 3, /* forget it: no error, no result */
    BELT_SNOOZE = 4   /* again later, not counted: see belt_snooze */
};

/*
 * Why a run should end. It ends as it would have, or, if it can do no more,
 * with BELT_RETRY, which then means what the worker is about: the job is
 * cancelled, timed out, or given back uncounted.
 */
enum belt_stop {
    BELT_GO_ON = 0,
    BELT_STOP_CANCELLED = 1, /* somebody cancelled the job */
    BELT_STOP_TIMEOUT = 2,   /* its time limit is over */
    BELT_STOP_STOPPING = 3   /* the worker ends, or lost the job */
};

enum belt_level { BELT_DEBUG, BELT_INFO, BELT_WARN, BELT_ERROR };

/* What functions return that can fail. (A program that uses libbelt too has a
 * struct belt_error.) */
enum belt_run_error {
    BELT_OK = 0,
    BELT_E_INVALID = -1,
    BELT_E_TOO_BIG = -2,
    BELT_E_OVER = -3,     /* the run was given up: nothing more counts */
    BELT_E_STOP = -5,     /* the run, or its sub-tasks, are to stop */
    BELT_E_FULL = -6,     /* results wait that nobody takes */
    BELT_E_END = -7,      /* no result will come any more */
    BELT_E_NOT_THERE = -4 /* this worker is older than the function */
};

struct belt_host;

/*
 * One run of one job. Everything here is only to be read, and there until run
 * returns. Members are added at the end: one that is younger than the worker
 * must not be read, see size.
 */
struct belt_run {
    const struct belt_host *host;
    size_t size; /* of this struct, as the worker has it */

    const char *id, *type, *queue;
    const char *payload; /* JSON; no NUL at its end */
    size_t payload_size;
    int64_t attempt, max_attempts; /* attempt: from 1 */
    int64_t recovered;       /* times that a worker died with it, of late */
    int64_t fence;           /* fencing token; 0: none */
    int64_t deadline_ms;     /* Unix time: when its time limit is over */
    size_t max_result;       /* bytes of a result that are kept */
    const char *traceparent; /* W3C trace context, "" if there is none */
};

/* How the sub-tasks of a run are to be treated, added up. */
enum belt_subtasks_flag {
    BELT_SUBTASKS_IN_ORDER = 1,  /* results as emitted, not as they end */
    BELT_SUBTASKS_COLLECT = 2,   /* a failure is a result, and no more */
    BELT_SUBTASKS_NO_RESULTS = 4 /* none is wanted */
};

/* A part of the job, for the handler of its type; copied. */
struct belt_subtask {
    size_t size; /* of this struct */
    const char *type;
    const char *payload; /* JSON; NULL: null */
    size_t payload_size;
    const char *key;    /* comes back with the result, 256 bytes; or NULL */
    int64_t timeout_ms; /* 0: that of its handler */
};

enum belt_subtask_state {
    BELT_SUBTASK_DONE = 0,
    BELT_SUBTASK_FAILED = 1,
    BELT_SUBTASK_CANCELLED = 2
};

/* How one has ended; its texts stay until the next result is asked for. */
struct belt_subtask_result {
    size_t size;             /* of this struct */
    int64_t number;          /* from 1, as they were emitted */
    int state;               /* an enum belt_subtask_state */
    const char *key;         /* NULL: none */
    const char *error_class; /* "" if done, as the message */
    const char *message;
    const char *result; /* with a NUL behind it */
    size_t result_size;
};

/* What the worker does for a run: use the functions below instead. */
struct belt_host {
    size_t size;
    int (*should_stop)(struct belt_run *run);
    int (*wait)(struct belt_run *run, int64_t ms);
    int (*progress)(struct belt_run *run, double percent, const char *message);
    int (*log)(struct belt_run *run, int level, const char *text);
    int (*result)(struct belt_run *run, const void *data, size_t size);
    int (*fail)(struct belt_run *run, const char *error_class,
                const char *message);
    int (*retry_after)(struct belt_run *run, int64_t ms);
    int (*snooze)(struct belt_run *run, int64_t ms);
    int (*push)(struct belt_run *run, const char *envelope, size_t size,
                char *err, size_t err_size);
    int (*subtasks)(struct belt_run *run, unsigned flags);
    int (*subtask)(struct belt_run *run, const struct belt_subtask *t);
    int (*subtask_result)(struct belt_run *run,
                          struct belt_subtask_result *ret);
    int (*subtasks_end)(struct belt_run *run);
    int (*subtasks_cancel)(struct belt_run *run);
};

/* What a shared object exports, by the name belt_plugin_v1. */
struct belt_plugin {
    uint32_t abi;     /* BELT_PLUGIN_ABI */
    uint32_t size;    /* of this struct */
    const char *name; /* for the log */
    const char *version;

    /*
     * Once for each handler of the plugin, when the worker is about to start
     * (not for --check), in the main thread, or has read its configuration
     * anew, in another one.
     * args is what stands behind the path, "" if nothing; it stays there. What
     * is put into *state goes to run and fini. Another value than 0: why, in
     * err, and the configuration is refused. NULL: nothing to be done.
     */
    int (*init)(const struct belt_host *host, const char *args, void **state,
                char *err, size_t err_size);

    /* A job. See above for threads. Returns an enum belt_verdict. */
    int (*run)(struct belt_run *run, void *state);

    /*
     * When no run will come any more; any thread. Not if a run of this handler
     * was given up. The object stays loaded. NULL: nothing to be done.
     */
    void (*fini)(void *state);
};

#if defined(__GNUC__)
#define BELT_EXPORT __attribute__((visibility("default")))
#define BELT_PRINTF(at, args) __attribute__((format(printf, at, args)))
#else
#define BELT_EXPORT
#define BELT_PRINTF(at, args)
#endif

extern BELT_EXPORT const struct belt_plugin belt_plugin_v1;

/* Defines what is exported; INIT and FINI may be NULL. */
#ifdef __cplusplus
#define BELT_PLUGIN(NAME, VERSION, INIT, RUN, FINI)                            \
    extern "C" BELT_EXPORT const struct belt_plugin belt_plugin_v1 = {         \
        BELT_PLUGIN_ABI,                                                       \
        sizeof(struct belt_plugin),                                            \
        NAME,                                                                  \
        VERSION,                                                               \
        INIT,                                                                  \
        RUN,                                                                   \
        FINI};
#else
#define BELT_PLUGIN(NAME, VERSION, INIT, RUN, FINI)                            \
    BELT_EXPORT const struct belt_plugin belt_plugin_v1 = {                    \
        BELT_PLUGIN_ABI,                                                       \
        sizeof(struct belt_plugin),                                            \
        NAME,                                                                  \
        VERSION,                                                               \
        INIT,                                                                  \
        RUN,                                                                   \
        FINI};
#endif

/* Whether the worker has a function of the table, and a member of the run. */
#define BELT_HOST_HAS(host, function)                                          \
    ((host)->size >=                                                           \
     offsetof(struct belt_host, function) + sizeof(void (*)(void)))
#define BELT_RUN_HAS(run, member)                                              \
    ((run)->size > offsetof(struct belt_run, member))

/*
 * An enum belt_stop. To be asked often: it costs some ten nanoseconds, and a
 * run that does not heed it is given up in the end.
 */
static inline int belt_should_stop(struct belt_run *run)
{
    return run->host->should_stop(run);
}

/* Sleeps so long, or until the run should stop: BELT_GO_ON, or why. */
static inline int belt_wait(struct belt_run *run, int64_t ms)
{
    return run->host->wait(run, ms);
}

/*
 * Says how far it is, 0 to 100, and perhaps what it does, for whoever asks for
 * a kept job; at most 256 bytes. message may be NULL. BELT_E_INVALID: percent
 * is none.
 */
static inline int belt_progress(struct belt_run *run, double percent,
                                const char *message)
{
    return run->host->progress(run, percent, message);
}

/* A log line with the job's id; the first 1000 of a run, 4096 bytes of each. */
static inline int belt_log(struct belt_run *run, enum belt_level level,
                           const char *text)
{
    return run->host->log(run, (int)level, text);
}

/*
 * The result of a run that ends with BELT_DONE: JSON, or any other text;
 * copied. A later one takes its place. BELT_E_TOO_BIG: only the first
 * max_result bytes are kept.
 */
static inline int belt_result(struct belt_run *run, const void *data,
                              size_t size)
{
    return run->host->result(run, data, size);
}

/*
 * Why it fails: a class of a few letters ("io", at most 31 bytes) and a
 * message for people; copied. Either may be NULL: as if nothing had been said.
 */
static inline int belt_fail(struct belt_run *run, const char *error_class,
                            const char *message)
{
    return run->host->fail(run, error_class, message);
}

/* If it ends with BELT_RETRY, the next run comes after so long. */
static inline int belt_retry_after(struct belt_run *run, int64_t ms)
{
    return run->host->retry_after(run, ms);
}

/* return belt_snooze(run, 60000): later, by its own wish. */
static inline int belt_snooze(struct belt_run *run, int64_t ms)
{
    return run->host->snooze(run, ms) == BELT_OK ? BELT_SNOOZE : BELT_RETRY;
}

/*
 * A job that is enqueued in the step that settles this one as done, or not at
 * all: an envelope, {"type":"…","payload":…}, copied; into this job's queue or
 * the one that its "queue" names. BELT_E_INVALID and BELT_E_TOO_BIG (1000 jobs
 * or 4 MiB of a run): why is in err, which may be NULL, and the run fails even
 * if it ends with BELT_DONE, so that nothing is lost unsaid.
 */
static inline int belt_push(struct belt_run *run, const char *envelope,
                            size_t size, char *err, size_t err_size)
{
    return run->host->push(run, envelope, size, err, err_size);
}

/*
 * Sub-tasks: parts of the job that run beside each other, in a pool of their
 * own, by the handler of their type (docs/HANDLERS.md). For one thread at a
 * time; the other functions for the run wait for it meanwhile. When run returns
 * BELT_DONE the job is done once all of them have ended; when it returns
 * anything else they are cancelled. Unless BELT_SUBTASKS_COLLECT is set, the
 * first failure cancels the others and fails the job in its way.
 *
 * belt_subtasks, before the first: how; flags of enum belt_subtasks_flag.
 * BELT_E_INVALID behind it.
 */
static inline int belt_subtasks(struct belt_run *run, unsigned flags)
{
    return run->host->subtasks(run, flags);
}

/*
 * Emits one, and waits while too many are unfinished. BELT_E_STOP: the run is
 * to stop, or they were cancelled, by a failure perhaps. BELT_E_FULL: only
 * results that nobody took are in its way. BELT_E_INVALID, BELT_E_TOO_BIG: it
 * cannot be one; a run that is a sub-task itself has none.
 */
static inline int belt_subtask(struct belt_run *run, const char *type,
                               const char *payload, size_t payload_size,
                               const char *key)
{
    struct belt_subtask t;

    t.size = sizeof(t);
    t.type = type;
    t.payload = payload;
    t.payload_size = payload_size;
    t.key = key;
    t.timeout_ms = 0;
    return run->host->subtask(run, &t);
}

/*
 * Waits for the next one that has ended. BELT_E_END: none is unfinished.
 * BELT_E_STOP: as above.
 */
static inline int belt_subtask_result(struct belt_run *run,
                                      struct belt_subtask_result *ret)
{
    ret->size = sizeof(*ret);
    return run->host->subtask_result(run, ret);
}

/* No more will be emitted. */
static inline int belt_subtasks_end(struct belt_run *run)
{
    return run->host->subtasks_end(run);
}

/* Cancels what has not ended; nothing can be emitted then. */
static inline int belt_subtasks_cancel(struct belt_run *run)
{
    return run->host->subtasks_cancel(run);
}

static inline void belt_vfail_(struct belt_run *run, const char *error_class,
                               const char *fmt, va_list ap) BELT_PRINTF(3, 0);
static inline void belt_vfail_(struct belt_run *run, const char *error_class,
                               const char *fmt, va_list ap)
{
    char text[1024];

    text[0] = '\0';
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    (void)belt_fail(run, error_class, text);
}

/* return belt_retry(run, "io", "%s: %s", path, strerror(errno)); */
static inline int belt_retry(struct belt_run *run, const char *error_class,
                             const char *fmt, ...) BELT_PRINTF(3, 4);
static inline int belt_retry(struct belt_run *run, const char *error_class,
                             const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    belt_vfail_(run, error_class, fmt, ap);
    va_end(ap);
    return BELT_RETRY;
}

/* The same for what can never work. */
static inline int belt_dead(struct belt_run *run, const char *error_class,
                            const char *fmt, ...) BELT_PRINTF(3, 4);
static inline int belt_dead(struct belt_run *run, const char *error_class,
                            const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    belt_vfail_(run, error_class, fmt, ap);
    va_end(ap);
    return BELT_DEAD;
}

#ifdef __cplusplus
}
#endif

#endif
