#ifndef EXAMPLES_MONITOR_REPORT_H
#define EXAMPLES_MONITOR_REPORT_H

#include <stdio.h>

#include "db.h"

/*
 * The parts of a report on a complete run. They write the same for the same
 * findings. Each returns 0, or -1 when the database failed; whether the stream
 * has failed is for the caller to ask.
 */
int report_csv(FILE *out, struct db *db, const char *run);
int report_page(FILE *out, struct db *db, const char *run);

/* A chart for each rule: a patient in whom it was found, as inline SVG. */
int report_examples(FILE *out, struct db *db, const char *run);

/* The style of the page, and what its parts share. */
extern const char report_style[];

#endif
