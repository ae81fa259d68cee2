#ifndef EPRO_SCORE_H
#define EPRO_SCORE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The two questionnaires: how many items, how they are summed up, and what a
 * sum means. Each item is answered by 0 (not at all) to 3 (nearly every day).
 *
 * PHQ-9, depression, 0 to 27: Kroenke K, Spitzer RL, Williams JBW. The PHQ-9:
 * validity of a brief depression severity measure. J Gen Intern Med 2001;
 * 16:606-613.
 *
 * GAD-7, anxiety, 0 to 21: Spitzer RL, Kroenke K, Williams JBW, Loewe B. A
 * brief measure for assessing generalized anxiety disorder: the GAD-7. Arch
 * Intern Med 2006; 166:1092-1097.
 *
 * A sum is a screening result, not a diagnosis.
 */
enum { ITEMS_MAX = 9, ANSWER_MAX = 3 };

/* From this sum on it is called so; the last one is the most severe. */
struct band {
    unsigned from;
    const char *severity;
};

struct instrument {
    const char *name;
    unsigned items;
    unsigned safety_item; /* from 1; any answer but 0 is looked at; 0: none */
    const struct band *bands; /* ended by one without severity */
};

/*
 * By its name as people write it: letters and digits count, not their case nor
 * what is between them. NULL: none of the two.
 */
const struct instrument *instrument_find(const char *text, size_t size);

unsigned instrument_total(const struct instrument *i, const unsigned *answers);
const char *instrument_severity(const struct instrument *i, unsigned total);

/* Why somebody has to look at it at once: a text that stays; "": nobody. */
const char *instrument_alert(const struct instrument *i,
                             const unsigned *answers);

#endif
