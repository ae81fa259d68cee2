#ifndef WORKER_CONFIG_TEXT_H
#define WORKER_CONFIG_TEXT_H

#include "common/base/err.h"

/* Told for each thing that is wrong, in the order of lines. */
typedef void (*config_text_cb)(void *arg, unsigned line,
                               const struct errbuf *eb);

/*
 * Makes text ready for libconfuse: overwrites comments with blanks, so that
 * lines are counted right, and so sections by other names than those of
 * sections (NULL at its end), which it reports; and finds what the library
 * would pass over in silence. Returns 0 if what is left can be parsed, though
 * some of it may be wrong; ERR_INVALID if not.
 */
int config_text_prepare(char *text, const char *const *sections,
                        config_text_cb wrong, void *arg);

#endif
