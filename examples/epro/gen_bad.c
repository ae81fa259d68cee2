/*
 * Gen, the bad ones: each kind takes a good report, breaks one thing, and says
 * what is to come of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

#define SET(member, ...)                                                       \
    ((void)snprintf(d->member, sizeof(d->member), __VA_ARGS__))

/* A good report with one answer as it is written; returns which, from 1. */
static unsigned spoil_answer(struct gen *g, struct draft *d, const char *value)
{
    unsigned which = gen_random(g, d->items);
    size_t at = 0;

    for (unsigned i = 0; i < d->items; i++) {
        char good[16];
        (void)snprintf(good, sizeof(good), "%u", d->answer[i]);
        at += (size_t)snprintf(d->answers + at, sizeof(d->answers) - at, "%c%s",
                               i > 0 ? ',' : '[', i == which ? value : good);
    }
    (void)snprintf(d->answers + at, sizeof(d->answers) - at, "]");
    return which + 1;
}

/* It comes in, and ends dead. */
static void send_dead(struct gen *g, const struct draft *d)
{
    gen_send(g, d, d->id, false);
    g->truth.accepted++;
    g->truth.jobs++;
}

/* An answer that is shown in the reason as it was sent. */
static void bad_answer(struct gen *g, struct draft *d, const char *value)
{
    unsigned n = spoil_answer(g, d, value);

    gen_note_dead(g, "answer %u is %s: 0 to 3 is allowed", n, value);
    send_dead(g, d);
}

static void bad_range(struct gen *g, struct draft *d)
{
    char value[16];

    (void)snprintf(value, sizeof(value), "%u", 4 + gen_random(g, 6));
    bad_answer(g, d, value);
}

static void bad_negative(struct gen *g, struct draft *d)
{
    bad_answer(g, d, "-1");
}

static void bad_fraction(struct gen *g, struct draft *d)
{
    bad_answer(g, d, "1.5");
}

static void bad_word(struct gen *g, struct draft *d)
{
    bad_answer(g, d, "\"often\"");
}

static void bad_truth(struct gen *g, struct draft *d)
{
    bad_answer(g, d, "true");
}

static void bad_gap(struct gen *g, struct draft *d)
{
    gen_note_dead(g, "answer %u is missing", spoil_answer(g, d, "null"));
    send_dead(g, d);
}

static void bad_count(struct gen *g, struct draft *d)
{
    /* The answers to one instrument under the name of the other. */
    SET(instrument, "\"%s\"", d->is_phq9 ? "GAD-7" : "PHQ-9");
    gen_note_dead(g, "%u answers: %s needs %u", d->items,
                  d->is_phq9 ? "GAD-7" : "PHQ-9", d->is_phq9 ? 7 : 9);
    send_dead(g, d);
}

static void bad_instrument(struct gen *g, struct draft *d)
{
    SET(instrument, "\"PHQ-8\"");
    gen_note_dead(g, "instrument \"PHQ-8\" is not known: PHQ-9 or GAD-7");
    send_dead(g, d);
}

static void bad_patient(struct gen *g, struct draft *d)
{
    unsigned n = PATIENTS + 1 + gen_random(g, 9000);

    SET(patient, "\"P-%04u\"", n);
    gen_note_dead(g, "patient P-%04u is not known", n);
    send_dead(g, d);
}

static void bad_no_patient(struct gen *g, struct draft *d)
{
    SET(patient, "%s", "");
    gen_note_dead(g, "patient is missing");
    send_dead(g, d);
}

static void bad_number(struct gen *g, struct draft *d)
{
    SET(patient, "%u", 1 + gen_random(g, PATIENTS));
    gen_note_dead(g, "patient is a number: a text is needed");
    send_dead(g, d);
}

static void bad_future(struct gen *g, struct draft *d)
{
    SET(completed_at, "\"2099-01-01T00:00:00Z\"");
    gen_note_dead(g, "completed_at is \"2099-01-01T00:00:00Z\": that is in "
                     "the future");
    send_dead(g, d);
}

static void bad_date(struct gen *g, struct draft *d)
{
    static const char *const dates[] = {"20.11.2024 08:15",
                                        "2024-02-30T08:15:00Z", "yesterday",
                                        "2024-11-20T08:15:00"};
    const char *date = dates[gen_random(g, 4)];

    SET(completed_at, "\"%s\"", date);
    gen_note_dead(g,
                  "completed_at is \"%s\": an instant as "
                  "2026-11-20T08:15:00Z is needed",
                  date);
    send_dead(g, d);
}

static void bad_id(struct gen *g, struct draft *d)
{
    SET(report, "\"../%s\"", d->id);
    gen_note_dead(
        g, "report is \"../%s\": letters, digits and ._:- are allowed", d->id);
    send_dead(g, d);
}

/* count characters of two bytes each. */
static void make_long(struct draft *d, unsigned count)
{
    d->comment[0] = '"';
    for (unsigned i = 0; i < count; i++)
        memcpy(d->comment + 1 + (size_t)i * 2, "ü", 2);
    memcpy(d->comment + 1 + (size_t)count * 2, "\"", 2);
}

static void bad_long(struct gen *g, struct draft *d)
{
    unsigned count = 2001 + gen_random(g, 1000);

    make_long(d, count);
    gen_note_dead(g, "comment has %u characters: 2000 are allowed", count);
    send_dead(g, d);
}

static void bad_shape(struct gen *g, struct draft *d)
{
    gen_send_raw(g, d->id, "{\"type\":\"epro.report\",\"payload\":[1,2,3]}");
    gen_note_dead(g, "the report is an array: an object is needed");
    g->truth.accepted++;
    g->truth.jobs++;
}

/* ---- what the door refuses ---- */

static void door_cut(struct gen *g, struct draft *d)
{
    char *body = gen_body(d);

    body[strlen(body) / 2] = '\0';
    gen_send_raw(g, d->id, body);
    g->truth.refused++;
    free(body);
}

static void door_type(struct gen *g, struct draft *d)
{
    gen_send_raw(g, d->id, "{\"payload\":{\"report\":\"R-0\"}}");
    g->truth.unfit++;
}

static void door_big(struct gen *g, struct draft *d)
{
    make_long(d, LONG_COMMENT);
    gen_send(g, d, d->id, false);
    g->truth.too_big++;
}

/* ---- what comes twice ---- */

/* The phone heard no answer, and sends the request again: one job. */
static void twice_sent(struct gen *g, struct draft *d)
{
    gen_note_stored(g, d);
    gen_send(g, d, d->id, true);
    gen_send(g, d, d->id, true);
    g->truth.accepted += 2;
    g->truth.jobs++;
}

/* Its owner does so from another device: two jobs, one report. */
static void twice_pushed(struct gen *g, struct draft *d)
{
    char key[48];

    (void)snprintf(key, sizeof(key), "%s-tablet", d->id);
    gen_note_stored(g, d);
    gen_send(g, d, d->id, true);
    gen_send(g, d, key, true);
    g->truth.accepted += 2;
    g->truth.jobs += 2;
}

/* Two reports under one id: one is stored, whichever comes first. */
static void twice_unlike(struct gen *g, struct draft *d)
{
    char key[48];

    (void)snprintf(key, sizeof(key), "%s-clone", d->id);
    gen_note_stored(g, d);
    gen_send(g, d, d->id, true);
    SET(completed_at, "\"2023-01-01T00:00:00Z\"");
    gen_send(g, d, key, true);
    gen_note_dead(g, "report %s is stored already and says something else",
                  d->id);
    g->truth.accepted += 2;
    g->truth.jobs += 2;
}

void gen_bad(struct gen *g, unsigned n)
{
    static void (*const kinds[])(struct gen * g, struct draft * d) = {
        bad_range,      bad_word,     bad_gap,      bad_count,
        bad_instrument, bad_patient,  bad_future,   bad_date,
        bad_id,         bad_long,     bad_shape,    door_cut,
        door_type,      door_big,     twice_sent,   twice_pushed,
        twice_unlike,   bad_negative, bad_fraction, bad_truth,
        bad_no_patient, bad_number,
    };
    struct draft d;

    gen_draft(g, &d);
    kinds[n % (sizeof(kinds) / sizeof(kinds[0]))](g, &d);
}
