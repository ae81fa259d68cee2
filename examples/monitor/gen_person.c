/*
 * Patients: levels, and what is measured around them.
 *
 * All noise is uniform, and small enough that the rules keep their distance:
 * whoever widens it here has to look at `fit` and `jump` in rules.c. The units
 * are spelled out again, not shared: a wrong factor there is to be found.
 */
#include "gen_person.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

struct about {
    const char *name, *unit, *other;
    double noise;    /* added, at most, on either side */
    double step;     /* as it is written down */
    bool in_america; /* which of the two units is usual there */
};

static const struct about about[P_COUNT] = {
    [P_SYSTOLIC] = {"systolic", "mmHg", NULL, 12, 1, false},
    [P_DIASTOLIC] = {"diastolic", "mmHg", NULL, 6, 1, false},
    [P_HEART_RATE] = {"heart_rate", "1/min", NULL, 12, 1, false},
    [P_WEIGHT] = {"weight", "kg", "lb", 0.8, 0.1, true},
    [P_TEMPERATURE] = {"temperature", "Cel", "degF", 0.4, 0.1, true},
    [P_HAEMOGLOBIN] = {"haemoglobin", "g/dL", "g/L", 0.6, 0.1, false},
    [P_CREATININE] = {"creatinine", "umol/L", "mg/dL", 5, 1, true},
    [P_GLUCOSE] = {"glucose", "mmol/L", "mg/dL", 0.5, 0.1, true},
    [P_PREGNANCY] = {"pregnancy_test", "0/1", NULL, 0, 1, false},
};

static const double two_years = 730, full_turn = 6.283185307179586;

const char *param_name(enum param p)
{
    return about[p].name;
}

const char *param_unit(enum param p, bool other)
{
    return other ? about[p].other : about[p].unit;
}

bool param_has_other(enum param p)
{
    return about[p].other != NULL;
}

double param_to_other(enum param p, double value)
{
    switch (p) {
    case P_WEIGHT:
        return value / 0.45359237;
    case P_TEMPERATURE:
        return value * 9 / 5 + 32;
    case P_HAEMOGLOBIN:
        return value * 10;
    case P_CREATININE:
        return value * 0.01131;
    case P_GLUCOSE:
        return value * 18.0156;
    default:
        return value;
    }
}

double param_round(enum param p, bool other, double value)
{
    double step = about[p].step;

    if (p == P_CREATININE && other)
        step = 0.01;
    if ((p == P_HAEMOGLOBIN || p == P_GLUCOSE) && other)
        step = 1;
    /* By division: 71.3 is the double that is written 71.3. */
    return round(value / step) / round(1 / step);
}

static void make_levels(struct person *p, struct rng *r)
{
    double *level = p->level;

    level[P_SYSTOLIC] = rng_real(r, 105, 150);
    level[P_DIASTOLIC] = level[P_SYSTOLIC] * rng_real(r, 0.58, 0.66);
    level[P_HEART_RATE] = rng_real(r, 55, 95);
    level[P_WEIGHT] = p->man ? rng_real(r, 62, 110) : rng_real(r, 48, 95);
    level[P_TEMPERATURE] = rng_real(r, 36.4, 36.9);
    level[P_HAEMOGLOBIN] =
        p->man ? rng_real(r, 13, 17) : rng_real(r, 11.5, 15.5);
    level[P_CREATININE] = rng_real(r, 50, 110);
    level[P_GLUCOSE] = rng_real(r, 4.6, 6.5);
}

void person_measure(const struct person *p, struct rng *r, bool american,
                    struct gen_visit *v)
{
    for (int i = 0; i < P_PREGNANCY; i++) {
        const struct about *a = &about[i];
        double value = p->level[i] + rng_real(r, -a->noise, a->noise);

        if (i == P_WEIGHT) /* it goes up and down over the years */
            value *= 1 + 0.04 * sin(v->day / two_years * full_turn);
        if (i == P_TEMPERATURE && rng_int(r, 1, 25) == 1)
            value += rng_real(r, 0.5, 2.2); /* fever happens */
        v->has[i] = true;
        v->other_unit[i] = american && a->in_america;
        if (v->other_unit[i])
            value = param_to_other((enum param)i, value);
        v->value[i] = param_round((enum param)i, v->other_unit[i], value);
    }
}

static bool may_be_pregnant(const struct person *p, int32_t day)
{
    int years = (day - p->born) / 365;

    return !p->man && years >= 18 && years < 50;
}

void person_make(struct person *p, struct rng *r, int32_t exported,
                 bool american)
{
    int n = rng_int(r, VISITS_LEAST, VISITS_MOST);

    memset(p, 0, sizeof(*p));
    p->man = rng_int(r, 0, 1) == 1;
    p->visit_count = n;
    p->enrolled = exported - 30 * n - rng_int(r, 20, 200);
    p->born = p->enrolled - rng_int(r, 18 * 366, 80 * 365);
    make_levels(p, r);
    for (int i = 0; i < n; i++) {
        struct gen_visit *v = &p->visits[i];

        v->day = p->enrolled + 30 * i + rng_int(r, 0, 20);
        person_measure(p, r, american, v);
        if (i % 4 == 0 && may_be_pregnant(p, v->day)) {
            v->has[P_PREGNANCY] = true;
            v->value[P_PREGNANCY] = rng_int(r, 1, 20) == 1;
        }
    }
}
