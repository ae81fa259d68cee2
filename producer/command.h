#ifndef PRODUCER_COMMAND_H
#define PRODUCER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * A command of the command line as data: its parsing, its help and its
 * dispatch all come from here. A new command is one file cmd_x.c that defines
 * a struct command, and one line in commands.c.
 */
struct options;

enum flag_kind {
    FLAG_BOOL,     /* bool; takes no value */
    FLAG_TEXT,     /* const char * */
    FLAG_LIST,     /* struct text_list: may be given often */
    FLAG_INT,      /* int64_t within [min, max] */
    FLAG_DURATION, /* int64_t, milliseconds within [min, max] */
    FLAG_SIZE,     /* int64_t, bytes within [min, max] */
    FLAG_FORMAT    /* enum out_format */
};

struct flag {
    const char *name; /* "redis" is --redis; NULL ends a list of flags */
    char letter;      /* 'u' is -u, 0 if there is none */
    enum flag_kind kind;
    const char *value; /* "URL" in the help; NULL for FLAG_BOOL */
    size_t offset;     /* of the member of struct options */
    int64_t min, max;
    const char *help;
};

struct command {
    const char *name;         /* a word, or two: "dead list" is of group dead */
    const char *usage;        /* what follows "belt NAME" */
    const char *summary;      /* one line */
    const char *details;      /* the rest of --help; NULL: none */
    const struct flag *flags; /* NULL: only the global ones */
    int min_args, max_args;   /* max_args -1: any number */
    bool raw;                 /* what follows belongs to another program */
    bool dashes;              /* takes arguments behind "--" only */

    /* Returns the exit status. Errors are told with complain(). */
    int (*run)(const struct options *o);
};

/* All commands, in the order of the help, ended by NULL. */
extern const struct command *const commands[];

/* The flags that every command takes, ended by one without name. */
extern const struct flag global_flags[];

extern const struct command cmd_queues_purge, cmd_queues_delete, cmd_dead_list,
    cmd_dead_show, cmd_dead_summary, cmd_dead_export, cmd_dead_import,
    cmd_dead_requeue, cmd_dead_delete, cmd_requeue, cmd_delete, cmd_move;
extern const struct command cmd_cron_add, cmd_cron_list, cmd_cron_show,
    cmd_cron_next, cmd_cron_run, cmd_cron_pause, cmd_cron_resume,
    cmd_cron_remove, cmd_cron_import;
extern const struct command cmd_logs, cmd_cancel, cmd_pause, cmd_resume,
    cmd_push, cmd_queues, cmd_queues_set, cmd_jobs, cmd_workers, cmd_result,
    cmd_status, cmd_stats, cmd_wait, cmd_explain, cmd_dev, cmd_worker, cmd_help;
extern const struct command cmd_run, cmd_progress, cmd_log, cmd_emit, cmd_serve,
    cmd_completion, cmd_doctor;

/* Returns the command of this name, or NULL. */
const struct command *command_find(const char *name);

/* The same for the name "WORD SECOND"; second may be NULL. */
const struct command *command_find_two(const char *word, const char *second);

/* Whether there are commands whose name begins with this word and a second. */
bool command_is_group(const char *word);

/* Returns the command of the group that was probably meant, or NULL. */
const char *command_nearest_in(const char *word, const char *second);

/* Returns the name that was probably meant, or NULL. */
const char *command_nearest(const char *name);

/* Prints the help of a command, or of all. */
void command_print_help(const struct command *c, FILE *f);
void group_print_help(const char *word, FILE *f);
void commands_print_help(FILE *f);

/* Runs a whole command line. Returns the exit status. */
int command_line_run(int argc, char **argv);

#endif
