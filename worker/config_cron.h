#ifndef WORKER_CONFIG_CRON_H
#define WORKER_CONFIG_CRON_H

#include "worker/settings.h"

/*
 * The section cron of the configuration file: an entry as texts, key by key.
 * One thread at a time, which reads the configuration.
 */
enum { CONFIG_CRON_KEYS = 15 };
extern const char *const config_cron_keys[CONFIG_CRON_KEYS];

struct cron_draft {
    char *values[CONFIG_CRON_KEYS];   /* owned; NULL: not said */
    unsigned lines[CONFIG_CRON_KEYS]; /* where */
};

void cron_draft_done(struct cron_draft *d); /* and makes it empty again */

/* The place of a key, or -1. */
int config_cron_key(const char *key);

/*
 * Appends the entry of this name to those of s, read from that file and from
 * *ret_line on. ERR_INVALID says what is wrong, with the line of the key
 * through ret_line, which is left alone when no key is to be blamed.
 */
int cron_draft_add(const struct cron_draft *d, const char *name,
                   struct settings *s, unsigned file, unsigned *ret_line,
                   struct errbuf *eb);

#endif
