#ifndef PRODUCER_CRONTAB_H
#define PRODUCER_CRONTAB_H

#include "common/base/err.h"

/*
 * Files of crontab(5): lines "MINUTE HOUR DAY MONTH WEEKDAY COMMAND" or
 * "@daily COMMAND", variables, comments. A comment in front of a line,
 * "# belt: name=NAME queue=QUEUE type=TYPE", names what is not said there.
 * Any thread.
 */
struct crontab_line {
    unsigned line;
    const char *spec, *command;
    const char *input;               /* behind the first %; NULL: none */
    const char *zone;                /* of CRON_TZ or TZ; NULL: none */
    const char *name, *queue, *type; /* NULL: not said */
};

struct crontab_calls {
    /* All borrowed for the call. */
    void (*entry)(void *arg, const struct crontab_line *l);
    void (*ignored)(void *arg, unsigned line, const char *variable);
    void (*wrong)(void *arg, unsigned line, const char *why);
    void *arg;
};

/* Reads text, which it spoils. */
void crontab_read(char *text, const struct crontab_calls *calls);

#endif
