#ifndef COMMON_BASE_ROFF_H
#define COMMON_BASE_ROFF_H

#include <stdio.h>

/*
 * Manual pages in the language of man(7), written while Belt is built, from the
 * tables that the programs parse their command lines by. Any thread.
 */

/* The head: .TH, and the section NAME. Names in capitals are made here. */
void roff_head(FILE *f, const char *name, const char *summary);

/* A section, and one within it. */
void roff_section(FILE *f, const char *title);
void roff_subsection(FILE *f, const char *title);

/* Text in lines that are filled: escaped, so that none is a request. */
void roff_text(FILE *f, const char *text);

/* Text whose lines stay as they are. */
void roff_lines(FILE *f, const char *text);

/* A tagged paragraph: tag, in bold, and what it means. */
void roff_tagged(FILE *f, const char *tag, const char *text);

#endif
