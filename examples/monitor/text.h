#ifndef EXAMPLES_MONITOR_TEXT_H
#define EXAMPLES_MONITOR_TEXT_H

#include <stdio.h>

/* Texts of others, written so that they stay texts. */

/* Into HTML, between tags or in an attribute with double quotes. */
void text_html(FILE *out, const char *text);

/* A field of CSV (RFC 4180), in quotes if it needs them. */
void text_csv(FILE *out, const char *text);

#endif
