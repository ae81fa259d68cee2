#ifndef WORKER_HANDLER_PRIV_H
#define WORKER_HANDLER_PRIV_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/thread.h"
#include "worker/delivery.h"
#include "worker/handler.h"
#include "worker/handler_keys.h"
#include "worker/isolation.h"

/* What the kinds of handlers share. For worker/handler* only. */

typedef void (*handler_run_fn)(struct delivery *d, int cancel_fd);

/* A kind of handlers, "exec". What it has no need of is NULL. */
struct handler_kind {
    const char *name;
    /* Sets h->run and what it needs from the text behind "exec:". */
    int (*init)(struct handler *h, const char *spec, struct errbuf *eb);
    /* The worker is about to run jobs, or to go on with a new table. */
    int (*start)(struct handler *h, struct errbuf *eb);
    /* No run is under way, and none will come: ends what is left of them.
     * dismiss, of all handlers before, begins with that and does not wait. */
    void (*dismiss)(struct handler *h);
    void (*stop)(struct handler *h);
    /* A run was taken away from its thread, which may go on for ever. */
    void (*give_up)(const struct handler *h);
    void (*free)(struct handler *h); /* frees state */
    /* Most processes that it keeps between runs of so many threads. */
    unsigned (*kept)(const struct handler *h, unsigned threads);
};

extern const struct handler_kind handler_command_kind;
extern const struct handler_kind handler_exec_kind, handler_builtin_kind,
    handler_http_kind, handler_process_kind, handler_plugin_kind;

struct handler {
    char *pattern; /* owned: a job type, or a glob */
    bool is_glob;
    size_t plain_len; /* text before the first wildcard */
    unsigned layer;   /* later ones replace earlier ones */
    handler_run_fn run;
    const struct handler_kind *kind;
    struct handler_limits limits;
    struct handler_keys keys;         /* owned */
    const struct retry_policy *retry; /* lent by the table, or NULL */
    void *state;                      /* owned by the kind */

    /* Of kinds that are processes. */
    struct isolation *isolation; /* owned; NULL: no key asks for any */
    char *const *carry;          /* lent: environment of all its processes */

    char **argv; /* exec, process: owned words, NULL at the end */

    char *arg;        /* builtin: owned text behind the name, "" if none */
    int64_t sleep_ms; /* builtin:sleep: when the payload does not say */
};

/* Makes h an exec handler of one word, taken as it is. */
void handler_exec_init_path(struct handler *h, const char *path);

/* What a run of one process is about; all of it borrowed. */
struct exec_what {
    char *const *argv;      /* NULL at the end */
    struct json_span input; /* for its stdin */
    char *const *carry;     /* instead of that of the handler; or NULL */
    const char *dir;        /* the same */
    /*
     * It knows nothing of us: any exit code but 0, or that it cannot be
     * started, is a plain failure; its stdout is logged too, and of a long one
     * the end is kept.
     */
    bool is_command;
};

/* Runs one process for d, with the keys and limits of its handler. */
void exec_run(struct delivery *d, int cancel_fd, const struct exec_what *what);

/* How such a process has ended. */
struct exec_end {
    siginfo_t info; /* as waitid(2) has it */
    struct rusage used;
    bool oom;   /* its cgroup had too little memory */
    bool plain; /* exit codes other than 0 mean nothing but a failure */
};

/* As a shell has it: the exit code, or 128 and the signal. */
int exec_end_status(const struct exec_end *end);

/* Fills verdict, class and message of d->outcome by that. */
void exec_end_judge(struct delivery *d, const struct exec_end *end);

/* Time limit of this attempt: the job's own, else the handler's. */
int64_t handler_timeout_ms(const struct delivery *d);

/* Fills verdict, class and message of d->outcome. */
void handler_fail(struct delivery *d, enum verdict v, const char *class,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same for a run that d->cancel has ended. */
void handler_stopped(struct delivery *d);

/* The same for a run that took longer than handler_timeout_ms. */
void handler_fail_timeout(struct delivery *d);

/* The same for one that was silent for longer than its heartbeat. */
void handler_fail_silent(struct delivery *d);

/*
 * Splits a command line as a shell does: blanks part words; '…' is literal;
 * in "…" a backslash escapes " \ $ and `; elsewhere it escapes anything.
 * Nothing is expanded. Returns owned words, NULL at the end, for argv_free.
 */
int argv_split(const char *line, char ***ret_argv, struct errbuf *eb);
void argv_free(char **argv);

/*
 * The environment of handlers. env_carry returns what is taken over from
 * ours, owned, for argv_free. env_make returns that, TMPDIR unless tmp is NULL,
 * and the variables of one delivery, unless that is NULL, in one owned block,
 * for free(); carry and tmp must outlive it.
 */
char **env_carry(void);
char **env_make(char *const *carry, const char *tmp, const struct delivery *d,
                int64_t deadline_wall_ms);

/* Value of a variable, or "". */
const char *env_find(char *const *env, const char *name);

#endif
