#ifndef EPRO_REPORT_H
#define EPRO_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "score.h"

/*
 * A report as a patient's phone sends it, in JSON:
 *
 *     {"report":"R-000017","patient":"P-0042","instrument":"PHQ-9",
 *      "completed_at":"2026-11-20T08:15:00+01:00",
 *      "answers":[1,0,2,3,0,1,0,0,0],"comment":"slept badly"}
 *
 * comment may be left out, and what else is there is passed over. Cleaned:
 * blanks around a text go, ids of patients become capitals, instruments are
 * known by any spelling ("phq 9"), answers may be texts ("2"), times become
 * UTC, control characters of a comment go.
 *
 * Refused, with a reason that a person understands: everything else. A report
 * with an answer missing too: some score up to two missing items of the PHQ-9
 * as the mean of the others (Arrieta et al., J Clin Psychol 2017), but the
 * cut-offs were validated on complete ones, and a guess must not decide
 * whether somebody is called.
 */
enum {
    REPORT_ID_MAX = 48, /* "alert-ID" is the id of a job: 64 at most */
    PATIENT_MAX = 32,
    COMMENT_MAX = 2000,     /* characters */
    CLOCK_AHEAD_S = 5 * 60, /* a phone's clock may be fast by so much */
    WHY_MAX = 256
};

struct report {
    char id[REPORT_ID_MAX + 1];
    char patient[PATIENT_MAX + 1];
    const struct instrument *instrument;
    char completed_at[32];
    unsigned answers[ITEMS_MAX];
    unsigned total;
    const char *severity;
    const char *alert;
    char comment[4 * COMMENT_MAX + 1];
};

enum reading {
    READ_OK,
    READ_REFUSED, /* it can never be read: why says what is wrong */
    READ_FAILED   /* SQLite could not: why has its text */
};

struct connection;

/* Reads, cleans, checks and scores it; now is seconds since 1970. */
enum reading report_read(struct connection *c, const char *json, size_t size,
                         int64_t now, struct report *ret, char *why,
                         size_t why_size);

/* The member "report" of a JSON object; ret has REPORT_ID_MAX + 1 bytes. */
enum reading report_read_id(struct connection *c, const char *json, size_t size,
                            char *ret, char *why, size_t why_size);

/*
 * An instant of RFC 3339, "2026-11-20T08:15:00.5+01:00", as seconds since
 * 1970. Returns 0, or -1: it is none.
 */
int instant_read(const char *text, int64_t *ret);

#endif
