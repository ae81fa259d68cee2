#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "common/base/log.h"
#include "worker/agent.h"

/*
 * The command line of belt-worker, as a table: name, argument, default, help.
 */
struct options {
    struct worker_config config; /* queues and handlers are owned here */
    struct handler_limits limits;
    struct handlers *handlers; /* owned */
    enum log_level log_level;
    enum log_format log_format;
    bool help, version;
};

/*
 * Reads flags over environment over defaults. Returns 0, or ERR_INVALID with
 * a text that names the argument. options_done copes with half-read ones.
 */
int options_parse(int argc, char **argv, struct options *ret,
                  struct errbuf *eb);
void options_done(struct options *o);
void options_help(FILE *out);

#endif
