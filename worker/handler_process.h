#ifndef WORKER_HANDLER_PROCESS_H
#define WORKER_HANDLER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "worker/cell.h"
#include "worker/handler_control.h"
#include "worker/handler_priv.h"
#include "worker/spawn.h"

/*
 * Handlers of kind process: children that stay, one job each at a time.
 *
 * A child has one owner: the pool thread that took it, the stack of idle
 * ones of its set, or the set's keeper, which sees it off. docs/HANDLERS.md
 * has the protocol. For worker/handler_process*.c only.
 */
enum {
    PROCESS_LINE_MAX = 4 * 1024 * 1024, /* of stdout */
    PROCESS_LOG_LINE_MAX = 4096,        /* bytes of a line that are logged */
    PROCESS_LOG_LINES = 1000,           /* between two runs */
    PROCESS_LEAVING_MAX = 32,  /* that take their time; the oldest is killed */
    PROCESS_PART_SLOTS = 1000, /* in front of the slots for sub-tasks */
    PROCESS_SCRATCH = 32 * 1024,   /* half a pipe; fits on the stack */
    PROCESS_MESSAGE_LINE_MAX = 200 /* of stderr's last line, in a message */
};

/* ---- lines ---- */

/* Cuts what is read into lines. */
struct process_lines {
    struct buf part; /* owned: the beginning of a line that has not ended */
    bool cut;        /* it is longer than that; the rest is passed over */
};

/* cut: the line was longer than max, and this is how it began. */
typedef void (*process_line_cb)(void *arg, const char *line, size_t n,
                                bool cut);

void process_lines_feed(struct process_lines *l, const char *p, size_t n,
                        size_t max, process_line_cb cb, void *arg);
/* The same until *stop, which cb may set. Returns how much was taken. */
size_t process_lines_feed_until(struct process_lines *l, const char *p,
                                size_t n, size_t max, process_line_cb cb,
                                void *arg, const bool *stop);
/* After the last byte: a line without an end is one too. Frees. */
void process_lines_end(struct process_lines *l, process_line_cb cb, void *arg);

/* ---- what a line of stdout says ---- */

enum process_word {
    WORD_OUTPUT, /* nothing: it is output to be logged */
    WORD_READY,
    WORD_DONE,
    WORD_FAIL,
    WORD_DISCARD,
    WORD_BROKEN, /* meant as one of these three, and not understood: see eb */
    WORD_LOST_PUSH,    /* the same for a push, */
    WORD_LOST_SUBTASK, /* and a subtask */
    WORD_CONTROL /* an op of the control channel, or one that is not known */
};

struct process_message {
    enum process_word word;
    size_t before; /* bytes of output in front of it */
    struct json_span op, id, result, error, retry, retry_after;
    struct errbuf eb;
};

/*
 * The spans of ret are of p. cut: as process_line_cb has it. What a program
 * printed without ending its line stands in front of what it says next: a
 * message that begins with {"op" is found behind it.
 */
void process_message_read(const char *p, size_t n, bool cut,
                          struct process_message *ret);

/*
 * Fills the outcome of d from a message that is done, fail, discard or broken.
 * A delay that it asks for becomes one of w's wishes. ret_trace, empty before,
 * gets the trace that came with a failure.
 */
void process_message_judge(const struct process_message *m, struct delivery *d,
                           struct wishes *w, struct buf *ret_trace);

/* ---- one child ---- */

/* Pipes of a child, in the order of its descriptors. */
enum process_pipe { PROCESS_IN, PROCESS_OUT, PROCESS_ERR, PROCESS_CONTROL };
enum { PROCESS_PIPES = 4, PROCESS_POLLED = 4 };

struct process {
    const struct handler *h; /* borrowed */
    struct child child;
    struct cell cell;
    bool has_clock;
    clockid_t clock; /* of its CPU time */
    int64_t cpu_us;  /* what that said when it became idle; -1: not known */
    int fds[PROCESS_PIPES]; /* our ends, non-blocking; -1: closed */
    unsigned slot;          /* from 1: no other of its set has it */
    bool ready;
    int64_t jobs;             /* that it has answered */
    int64_t looked_ms;        /* when its size was looked at last */
    struct process_lines out; /* of stdout */
    struct buf to;            /* owned: what it is told, */
    size_t told;              /* and how much of that it has been */

    /* While no job runs on it. */
    int64_t idle_since_ms;
    struct process_lines err;
    int64_t loose_lines;
    char last_line[PROCESS_MESSAGE_LINE_MAX + 1]; /* of stderr */

    /* Of one that was reaped. */
    bool end_known;
    struct exec_end end;

    /* Of one that leaves. */
    bool termed;
    int64_t term_at_ms, kill_at_ms;

    TAILQ_ENTRY(process) by;
};
TAILQ_HEAD(process_list, process);

/*
 * Starts one, and waits until it is ready, which is its owner's then. NULL if
 * d is cancelled meanwhile, and why stays empty, or if it does not get ready,
 * and why says so in one line.
 */
struct process *process_start(const struct handler *h, unsigned slot,
                              struct delivery *d, int cancel_fd,
                              struct buf *why) MAY_BLOCK;

/* Adds text to what it is told, and writes what goes without waiting. */
void process_say(struct process *p, const char *text, size_t n);
/* Tells it the job of d, with the time limit from now on. */
void process_say_job(struct process *p, const struct delivery *d);
/* Goes on with that; ERR_CLOSED when it cannot be told any more. */
int process_feed(struct process *p);

/* Reads once. Returns 0 when there is nothing more, now or at all. */
size_t process_take(struct process *p, enum process_pipe i, char *scratch);

/* Fills PROCESS_POLLED entries, that of its end first. */
struct pollfd;
void process_poll(const struct process *p, struct pollfd *f);

/* Reads and logs what it has written while no job runs on it. */
void process_listen(struct process *p);

/* No more jobs will come: drain, and the end of stdin. Does not wait. */
void process_dismiss(struct process *p);

void process_kill(const struct process *p, int sig);

/*
 * Kills its group and waits for the end of it, which may be now or have been
 * before. Returns false when someone else has taken the status. The pipes are
 * still open, for what is in them.
 */
bool process_reap(struct process *p) MAY_BLOCK;

/* Appends "exit code 3", or "killed by signal 9 (SIGKILL)", of one reaped. */
void process_describe_end(const struct process *p, struct buf *out);

/* Of one that was reaped. */
void process_free(struct process *p);

/* Bytes of its resident memory; -1: not known. */
int64_t process_rss(const struct process *p);

/* ---- the children of a handler ---- */

struct process_set;

/* base: what is added to the numbers of its slots. */
struct process_set *process_set_new(const struct handler *h, unsigned base);

/*
 * Tells the idle ones that no more jobs will come; process_set_stop waits for
 * the end of all of them. No run is under way, and none will come.
 */
void process_set_dismiss(struct process_set *s);
void process_set_stop(struct process_set *s) MAY_BLOCK;

/* Kills those that are left. */
void process_set_free(struct process_set *s) MAY_BLOCK;

/*
 * Returns an idle child or a new one, lent until it is given back in one of the
 * three ways below. Waits while there are as many as there may be. NULL when
 * none can be had, or d is cancelled; the outcome of d says so then.
 */
struct process *process_set_take(struct process_set *s, struct delivery *d,
                                 int cancel_fd) MAY_BLOCK;

/* It answered: it becomes idle, or leaves if it is too old or too large. */
void process_set_give(struct process_set *s, struct process *p);

/* It is to leave. Does not wait. */
void process_set_retire(struct process_set *s, struct process *p);

/*
 * Whether one that did not get ready is to be taken for an accident: the first
 * since a job was done.
 */
bool process_set_forgive(struct process_set *s);

/*
 * It was reaped; frees it. why, unless NULL: it got ready, but is not to be
 * called that, for it ended before it read anything of its first job.
 */
void process_set_bury(struct process_set *s, struct process *p,
                      const char *why);

#endif
