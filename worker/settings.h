#ifndef WORKER_SETTINGS_H
#define WORKER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "worker/handler.h"
#include "worker/handler_keys.h"

/*
 * Settings: what belt-worker can be told, one row each.
 *
 * A row is a flag and, where that makes sense, a variable of the environment
 * and a key of the configuration file. Values are texts. They are set layer
 * by layer, so that the later layer wins. Main thread, before all others.
 */
struct options;
struct settings;

enum layer { LAYER_DEFAULT, LAYER_FILE, LAYER_ENV, LAYER_FLAG };

struct source {
    enum layer layer;
    unsigned line; /* of the file; 0: none in particular */
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
};

/* A handler that was asked for; the table of them is built at the end. */
struct handler_wish {
    char *type;                   /* owned; NULL: what is "TYPE=KIND:SPEC" */
    char *what;                   /* owned: "KIND:SPEC" */
    struct handler_limits limits; /* LIMITS_UNSET's where nothing was said */
    struct handler_keys keys;     /* owned */
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
    char **dirs;                        /* owned */
    struct handler_wish *handlers;      /* owned */
    size_t dir_count, handler_count;

    /* What is wrong with file and environment, by line. */
    struct {
        unsigned line;
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

/* Notes that eb is wrong; with "FILE:LINE: " in front if the file said it. */
void settings_wrong(struct settings *s, struct source from,
                    const struct errbuf *eb);

/* Returns what was noted, owned: a line each, in the order of the file. */
char *settings_wrong_text(const struct settings *s);

#endif
