#ifndef PRODUCER_CRON_ROWS_H
#define PRODUCER_CRON_ROWS_H

#include <stdint.h>

#include "common/job/cron_entry.h"
#include "common/redis/keys.h"
#include "producer/client.h"
#include "producer/out.h"

/*
 * The periodic jobs of a queue, a page at a time: memory is bounded by a page.
 * What is there all the while comes, perhaps twice. One thread at a time, that
 * of the client.
 */
struct cron_row {
    char *name, *text; /* owned */
    size_t name_len, text_len;
    int64_t due_ms; /* -1: it is not due */
};

/* Start with {.client, .keys}. */
struct cron_page {
    struct client *client; /* borrowed */
    struct keys keys;
    struct cron_row *rows; /* owned, sorted by name */
    size_t count, cap;
    uint64_t cursor; /* where the next page begins; 0: the beginning, or end */
};

/*
 * Reads the page at the cursor, about size entries of which there may be none.
 * Returns 0, or the status of a failure that was told.
 */
int cron_page_read(struct cron_page *p, int64_t size);
void cron_page_done(struct cron_page *p);

/* An entry as a row of a writer that was made with these columns. */
extern const struct column cron_columns[];
void cron_row_out(struct out *out, const struct keys *k,
                  const struct cron_row *row, int64_t now_ms);

/* The same of the entry that c has read. */
struct cron_client;
void cron_client_out(const struct cron_client *c, const char *name,
                     struct out *out, int64_t now_ms);

/*
 * When an entry, or an expression, comes: up to count instants after from_ms,
 * as rows. Fails as zone_open.
 */
extern const struct column cron_next_columns[];
int cron_next_out(struct out *out, const struct cron *cron, const char *zone,
                  int64_t from_ms, int64_t count, struct errbuf *eb);

#endif
