#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "common/base/log.h"
#include "worker/agent.h"

/*
 * What belt-worker is told: by flags, over the environment, over a file (-c),
 * over defaults. settings.h has them as a table.
 */
struct options {
    struct worker_config config; /* owned: queues, handlers, crons */
    struct handler_limits limits;
    struct handlers *handlers; /* owned */
    enum log_level log_level;
    enum log_format log_format;
    bool help, version, check;
    char *wrong; /* owned: lines that say all that is wrong, or NULL */
};

/*
 * Reads it all. Returns 0, or ERR_INVALID with a text that names the argument
 * or, when the environment or the file is wrong, the first line of wrong,
 * which is NULL otherwise. options_done copes with half-read ones.
 */
int options_parse(int argc, char **argv, struct options *ret,
                  struct errbuf *eb);
void options_done(struct options *o);
void options_help(FILE *out);

#endif
