/*
 * Score: the published cut-offs, and what is done about them here.
 */
#include "score.h"

#include <ctype.h>
#include <string.h>

/* Kroenke 2001. */
static const struct band phq9[] = {
    {0, "minimal"},            /* "none-minimal" in later versions */
    {5, "mild"},               /**/
    {10, "moderate"},          /* the cut-off for a major depression */
    {15, "moderately severe"}, /**/
    {20, "severe"},            /**/
    {0, NULL},
};

/* Spitzer 2006. */
static const struct band gad7[] = {
    {0, "minimal"}, {5, "mild"}, {10, "moderate"}, {15, "severe"}, {0, NULL},
};

/* Item 9 of the PHQ-9 asks for thoughts of being better off dead. */
static const struct instrument instruments[] = {
    {"PHQ-9", 9, 9, phq9},
    {"GAD-7", 7, 0, gad7},
};

enum { INSTRUMENTS = sizeof(instruments) / sizeof(instruments[0]) };

/* The next letter or digit of a name, as a capital; 0: no more. */
static int next_of(const char **at, const char *end)
{
    while (*at < end) {
        unsigned char c = (unsigned char)*(*at)++;
        if (c < 0x80 && isalnum(c))
            return toupper(c);
    }
    return 0;
}

static bool is_called(const char *name, const char *text, size_t size)
{
    const char *name_end = name + strlen(name), *end = text + size;
    int a, b;

    do {
        a = next_of(&name, name_end);
        b = next_of(&text, end);
    } while (a == b && a != 0);
    return a == b;
}

const struct instrument *instrument_find(const char *text, size_t size)
{
    for (size_t i = 0; i < INSTRUMENTS; i++)
        if (is_called(instruments[i].name, text, size))
            return &instruments[i];
    return NULL;
}

unsigned instrument_total(const struct instrument *i, const unsigned *answers)
{
    unsigned total = 0;

    for (unsigned n = 0; n < i->items; n++)
        total += answers[n];
    return total;
}

/* The last band that begins at or below the sum. */
static const struct band *band_of(const struct instrument *i, unsigned total)
{
    const struct band *band = i->bands;

    while (band[1].severity != NULL && total >= band[1].from)
        band++;
    return band;
}

const char *instrument_severity(const struct instrument *i, unsigned total)
{
    return band_of(i, total)->severity;
}

const char *instrument_alert(const struct instrument *i,
                             const unsigned *answers)
{
    bool severe = band_of(i, instrument_total(i, answers))[1].severity == NULL;
    bool unsafe = i->safety_item != 0 && answers[i->safety_item - 1] > 0;

    if (severe)
        return unsafe ? "severe, item 9" : "severe";
    return unsafe ? "item 9" : "";
}
