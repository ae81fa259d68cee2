/*
 * Anomalies: each is one that a person could make at a keyboard.
 *
 * What is planted is found for one reason only: an impossible value is none in
 * the other unit, a jump stays possible, and so on.
 */
#include "gen_plant.h"

#include <stddef.h>

static struct planted nothing(void)
{
    return (struct planted){.rule = NULL};
}

static struct planted found(const char *rule, int visit, enum param param)
{
    return (struct planted){.rule = rule, .visit = visit, .param = param};
}

static void write_down(struct gen_visit *v, enum param param, double value)
{
    if (v->other_unit[param])
        value = param_to_other(param, value);
    v->value[param] = param_round(param, v->other_unit[param], value);
}

static struct planted plant_range(struct person *p, struct rng *r, int visit)
{
    static const double low[] = {20, 4, 4, 9, 20, 0.9, 3, 0.05};
    static const double high[] = {360, 260, 350, 480, 46, 38, 2e4, 250};
    enum param param = (enum param)rng_int(r, P_SYSTOLIC, P_GLUCOSE);
    double share = rng_real(r, 1, 1.1);
    double value =
        rng_int(r, 0, 1) == 0 ? low[param] / share : high[param] * share;

    write_down(&p->visits[visit], param, value);
    return found("range", visit, param);
}

/* The number is of one unit, the label of the other. */
static struct planted plant_unit(struct person *p, struct rng *r, int visit)
{
    struct gen_visit *v = &p->visits[visit];
    enum param param;

    do
        param = (enum param)rng_int(r, P_WEIGHT, P_GLUCOSE);
    while (!param_has_other(param));
    v->other_unit[param] = !v->other_unit[param];
    write_down(v, param, p->level[param]);
    v->other_unit[param] = !v->other_unit[param];
    return found("unit", visit, param);
}

static struct planted plant_jump(struct person *p, struct rng *r, int visit)
{
    double share =
        rng_int(r, 0, 1) == 0 ? rng_real(r, 0.6, 0.7) : rng_real(r, 1.35, 1.5);

    write_down(&p->visits[visit], P_WEIGHT, p->level[P_WEIGHT] * share);
    return found("jump", visit, P_WEIGHT);
}

/* The two are swapped, or the same. */
static struct planted plant_pressure(struct person *p, struct rng *r, int visit)
{
    double *value = p->visits[visit].value;
    double high = value[P_SYSTOLIC];

    if (rng_int(r, 0, 3) != 0)
        value[P_SYSTOLIC] = value[P_DIASTOLIC];
    value[P_DIASTOLIC] = high;
    return found("pressure", visit, P_DIASTOLIC);
}

static struct planted plant_pair(struct person *p, struct rng *r, int visit)
{
    bool low_is_gone = rng_int(r, 0, 1) == 0;

    p->visits[visit].has[low_is_gone ? P_DIASTOLIC : P_SYSTOLIC] = false;
    return found("pair", visit, low_is_gone ? P_SYSTOLIC : P_DIASTOLIC);
}

static struct planted plant_duplicate(struct person *p, struct rng *r,
                                      int visit, bool american)
{
    struct gen_visit *v = &p->visits[p->visit_count];

    v->day = p->visits[visit].day;
    person_measure(p, r, american, v);
    while (v->value[P_SYSTOLIC] == p->visits[visit].value[P_SYSTOLIC])
        v->value[P_SYSTOLIC] += v->value[P_SYSTOLIC] > 130 ? -3 : 3;
    return found("duplicate", p->visit_count++, P_SYSTOLIC);
}

static struct planted plant_pregnancy(struct person *p, int visit)
{
    struct gen_visit *v = &p->visits[visit];

    if (!p->man && v->day - p->born < 61 * 366)
        return nothing();
    v->has[P_PREGNANCY] = true;
    v->value[P_PREGNANCY] = 1;
    return found("pregnancy", visit, P_PREGNANCY);
}

const char *plant_rule_name(int rule)
{
    static const char *const names[PLANT_RULES] = {
        "range",  "unit",   "jump",      "pressure", "pair",
        "before", "future", "duplicate", "pregnancy"};

    return names[rule];
}

struct planted plant(struct person *p, struct rng *r, int rule, int visit,
                     int serial, int32_t exported, bool american)
{
    int days = 3 + 7 * serial + rng_int(r, 0, 4);

    switch (rule) {
    case 0:
        return plant_range(p, r, visit);
    case 1:
        return plant_unit(p, r, visit);
    case 2:
        return plant_jump(p, r, visit);
    case 3:
        return plant_pressure(p, r, visit);
    case 4:
        return plant_pair(p, r, visit);
    case 5:
        p->visits[visit].day = p->enrolled - days;
        return found("before", visit, P_SYSTOLIC);
    case 6:
        p->visits[visit].day = exported + days;
        return found("future", visit, P_SYSTOLIC);
    case 7:
        return plant_duplicate(p, r, visit, american);
    default:
        return plant_pregnancy(p, visit);
    }
}
