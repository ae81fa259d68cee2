#ifndef WORKER_CONFIG_PRIV_H
#define WORKER_CONFIG_PRIV_H

#include <confuse.h>

#include "worker/config_cron.h"
#include "worker/settings.h"

/*
 * What the files that read the configuration share. For worker/config*.c only.
 *
 * Callbacks of the library get no argument of ours, so there is one reader at
 * a time, as with the library's lexer: config_reading.
 */
enum { CONFIG_OPTS_MAX = SETTINGS_MAX + HANDLER_KEYS_MAX + 16 };

enum { RETRY_ATTEMPTS, RETRY_BACKOFF, RETRY_KEYS };
enum { QUEUE_WEIGHT, QUEUE_KEYS = 1 + QUEUE_BOUNDS };

struct reader {
    struct settings *s; /* borrowed */
    unsigned file;      /* that is read now: its place in s->files */
    bool may_include;
    unsigned last_line; /* of the last thing that was wrong */

    struct handler_wish wish;       /* the section handler that is read now */
    unsigned handler_line;          /* of its kind; 0: none yet */
    unsigned seen[CONFIG_OPTS_MAX]; /* lines of its limits, by row */

    struct cron_draft cron; /* the section cron that is read now */
    struct retry_policy retry;
    unsigned retry_lines[RETRY_KEYS];
    struct queue_wish queue; /* its name is set at its end */
    unsigned queue_lines[QUEUE_KEYS];

    char **includes; /* owned: patterns */
    unsigned *include_lines;
    unsigned include_count;
};

extern struct reader *config_reading;

/* Notes that something is wrong in a line of the file that is read. */
void config_wrong(struct reader *r, unsigned line, const struct errbuf *eb);

/* The same for a key, unless rc is 0. Returns 0: the parser is to go on. */
int config_blame(struct reader *r, const cfg_t *cfg, const char *key, int rc,
                 struct errbuf *eb);

/* ERR_INVALID if a line of this file says it already; 0: none does. */
int config_set_once(unsigned before, struct errbuf *eb);

/* The same for a place that may be in another file. */
int config_set_once_at(const struct reader *r, struct source before,
                       struct errbuf *eb);

const char *config_value(cfg_opt_t *opt);
const struct setting *config_find_row(const char *key);

/* An option that is a text; cb is called when it has been read. */
cfg_opt_t config_text_opt(const char *name, cfg_validate_callback_t cb);

/*
 * Title and line of the section that has just ended, of those of opt. The
 * library puts one whose title was there before into its old place.
 */
const cfg_t *config_last_section(cfg_opt_t *opt);

/* ---- config_sections.c, config_handler.c: keys of titled sections ---- */

/* Each fills opts, CONFIG_OPTS_MAX of them, zeroed, and ends a section. */
void config_handler_opts(cfg_opt_t *opts);
int config_handler_end(cfg_t *cfg, cfg_opt_t *opt);
void config_handler_begin(struct reader *r);

void config_cron_opts(cfg_opt_t *opts);
int config_cron_end(cfg_t *cfg, cfg_opt_t *opt);
void config_retry_opts(cfg_opt_t *opts);
int config_retry_end(cfg_t *cfg, cfg_opt_t *opt);
void config_queue_opts(cfg_opt_t *opts);
int config_queue_end(cfg_t *cfg, cfg_opt_t *opt);
void config_queue_begin(struct reader *r);

#endif
