#ifndef PRODUCER_LOG_ROWS_H
#define PRODUCER_LOG_ROWS_H

#include "producer/log_line.h"
#include "producer/out.h"

/* Lines of a log as rows, as belt logs -o json shows them. Threads as out.h. */
extern const struct column log_columns[];

/* A row. Returns as out_row. */
bool log_row_put(struct out *out, const struct log_line *line);

#endif
