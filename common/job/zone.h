#ifndef COMMON_JOB_ZONE_H
#define COMMON_JOB_ZONE_H

#include <stdint.h>

#include "common/base/err.h"

/*
 * IANA time zones, as in "Europe/Berlin".
 *
 * The rules are the system's (/usr/share/zoneinfo, or TZDIR), read by GLib,
 * which is loaded when the first zone other than UTC is asked for: a program
 * that never does starts without it. Instants are seconds since 1970. Any
 * thread; a zone itself belongs to one at a time.
 */
#define ZONE_NAME_MAX_LEN 63

struct zone;

/*
 * Returns a zone, owned, through ret. ERR_INVALID: no name of a zone;
 * ERR_MISSING: there is none of this name here; ERR_SYSTEM: GLib, or all
 * zones, are missing here. Texts name the zone and what to do.
 */
int zone_open(const char *name, struct zone **ret, struct errbuf *eb);

/* NULL is a no-op. */
void zone_free(struct zone *z);

/* Seconds that the local clock is ahead of UTC, less than a day. */
int64_t zone_offset(const struct zone *z, int64_t at);

/*
 * The first instant after at, and before limit, from which on another rule
 * holds, perhaps with the same offset; limit if there is none.
 */
int64_t zone_next_change(const struct zone *z, int64_t at, int64_t limit);

/* "CEST"; lent until zone_free. */
const char *zone_abbreviation(const struct zone *z, int64_t at);

#endif
