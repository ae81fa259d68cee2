#ifndef WORKER_SETTINGS_H
#define WORKER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/redis/queue_bounds.h"
#include "worker/handler.h"
#include "worker/handler_keys.h"

/*
 * Settings: what belt-worker can be told, one row each.
 *
 * A row is a flag and, where that makes sense, a variable of the environment
 * and a key of the configuration file. Values are texts. They are set layer
 * by layer, so that the later layer wins. One thread at a time, which reads
 * the configuration: main before all others, later that of a reload.
 */
struct options;
struct settings;

enum layer { LAYER_DEFAULT, LAYER_FILE, LAYER_ENV, LAYER_FLAG };

struct source {
    enum layer layer;
    unsigned line; /* of the file; 0: none in particular */
    unsigned file; /* its place in settings.files */
};

struct setting {
    const char *flag;    /* "--threads" */
    const char *brief;   /* "-q", or NULL */
    const char *arg;     /* "N", or NULL for a switch */
    const char *env;     /* or NULL */
    const char *section; /* of the file, or NULL: it has no key there */
    const char *key;     /* NULL: the flag without its dashes */
    const char *def;     /* set before all layers, or NULL */
    const char *help;
    bool early;       /* a flag that decides what is read at all */
    bool per_handler; /* a limit: also a key of a handler in the file */
    /* value is NULL for the flag of a switch. */
    int (*set)(struct settings *s, const char *value, struct errbuf *eb);
};

enum {
    SETTINGS_MAX = 64,
    WRONG_MAX = 100, /* nobody reads more */
    PLACE_MAX = 300, /* "line 7", "FILE:7" */
};

/* A handler that was asked for; the table of them is built at the end. */
struct handler_wish {
    char *type;                   /* owned; NULL: what is "TYPE=KIND:SPEC" */
    char *what;                   /* owned: "KIND:SPEC" */
    struct handler_limits limits; /* LIMITS_UNSET's where nothing was said */
    struct handler_keys keys;     /* owned */
    struct source from;
};

/* A retry policy that was asked for. */
struct retry_wish {
    char *name; /* owned */
    struct retry_policy policy;
    struct source from;
};

/* A section queue. */
struct queue_wish {
    char *name; /* owned */
    bool pattern;
    int64_t weight; /* 0: not said */
    int64_t bounds[QUEUE_BOUNDS];
    struct source from;
};

#define LIMITS_UNSET                                                           \
    {                                                                          \
        .timeout_ms = -1, .kill_after_ms = -1, .cancel_kill_after_ms = -1,     \
        .result_max = SIZE_MAX, .stderr_max = SIZE_MAX                         \
    }

struct settings {
    struct options *o;             /* borrowed: where values go */
    struct handler_limits *limits; /* borrowed: where limits go just now */
    bool first; /* set for the first time in its layer: a list begins anew */
    struct source from[SETTINGS_MAX]; /* by row: who set it last */

    char *config, *url, *password_file; /* owned */
    char **files;                       /* owned: what was read, by name */
    char **dirs;                        /* owned */
    struct handler_wish *handlers;      /* owned */
    struct retry_wish *retries;         /* owned */
    struct queue_wish *queues;          /* owned */
    size_t dir_count, handler_count, retry_count, queue_count;
    unsigned file_count;

    /* What is wrong with files and environment, by file and line. */
    struct {
        unsigned file, line;
        char *text; /* owned */
    } wrong[WRONG_MAX];
    unsigned wrong_count; /* may be more than were kept */
};

void settings_init(struct settings *s, struct options *o);
void settings_done(struct settings *s);

const struct setting *settings_row(unsigned i); /* NULL behind the last */
const char *setting_key(const struct setting *row);
unsigned setting_index(const struct setting *row);

/* ERR_INVALID with a text that does not name the setting. */
int settings_set(struct settings *s, const struct setting *row,
                 const char *value, struct source from, struct errbuf *eb);

/* Takes the type, which may be NULL, what, and the keys. */
void settings_wish(struct settings *s, struct handler_wish wish);

/* The same for the other kinds of sections; the name is taken. */
void settings_retry(struct settings *s, struct retry_wish wish);
void settings_queue(struct settings *s, struct queue_wish wish);

/* Adds a file that is about to be read. Returns its place. */
unsigned settings_file(struct settings *s, const char *name);

/* Names a place in a text about something in that file. Returns out. */
const char *settings_place(const struct settings *s, struct source at,
                           unsigned file, char out[PLACE_MAX]);

/* Notes that eb is wrong; with "FILE:LINE: " in front if the file said it. */
void settings_wrong(struct settings *s, struct source from,
                    const struct errbuf *eb);

/* Returns what was noted, owned: a line each, in the order of the files. */
char *settings_wrong_text(const struct settings *s);

#endif
