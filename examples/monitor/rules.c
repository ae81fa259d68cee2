/*
 * Rules: what a measurement may be, by itself and beside the others.
 *
 * A number is judged in one unit for each parameter, whatever the centre
 * records in. Where a number is odd, the person's own values around it decide
 * what it is: in another unit than it says, impossible, or a jump; one finding
 * of the three. A finding says what a person needs to correct it.
 */
#include "rules.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "day.h"

enum {
    AROUND = 4,       /* values that one is compared with */
    AROUND_LEAST = 3, /* with fewer nothing is known of the person */
    AROUND_FAR = 16   /* no farther away, however many are impossible */
};

static const double pregnant_until_years = 60, days_of_year = 365.2425;

/* canonical = (other - offset) / factor */
struct parameter {
    const char *name, *unit;
    double low, high; /* what is possible in a living person */
    const char *other_unit;
    double factor, offset;
    double fit;  /* share by which the values of a person may differ */
    double jump; /* more than this share is a jump; 0: is not looked at */
};

static const struct parameter parameters[] = {
    {.name = "systolic", .unit = "mmHg", .low = 40, .high = 300},
    {.name = "diastolic", .unit = "mmHg", .low = 20, .high = 200},
    {.name = "heart_rate", .unit = "1/min", .low = 20, .high = 300},
    {.name = "weight",
     .unit = "kg",
     .low = 20,
     .high = 350,
     .other_unit = "lb",
     .factor = 2.20462,
     .fit = 0.15,
     .jump = 0.2},
    {.name = "temperature",
     .unit = "Cel",
     .low = 25,
     .high = 44,
     .other_unit = "degF",
     .factor = 1.8,
     .offset = 32,
     .fit = 0.12},
    {.name = "haemoglobin",
     .unit = "g/dL",
     .low = 2,
     .high = 26,
     .other_unit = "g/L",
     .factor = 10,
     .fit = 0.3},
    {.name = "creatinine",
     .unit = "umol/L",
     .low = 15,
     .high = 2500,
     .other_unit = "mg/dL",
     .factor = 1 / 88.42,
     .fit = 0.3},
    {.name = "glucose",
     .unit = "mmol/L",
     .low = 0.5,
     .high = 60,
     .other_unit = "mg/dL",
     .factor = 18.016,
     .fit = 0.35},
    {.name = "pregnancy_test", .unit = "0/1", .low = 0, .high = 1},
};

enum { PARAMETERS = sizeof(parameters) / sizeof(parameters[0]) };

/* A measurement as it is judged. */
struct judged {
    const struct parameter *parameter; /* NULL: not one of ours */
    double value, as_other; /* in the unit of the parameter; if it is of the
                               other unit than it says, else NAN */
    bool known;             /* its unit is one of the two */
    bool possible;
};

struct check {
    const struct record *r;
    struct judged *judged; /* of each measurement */
    size_t *visit_of;      /* of each measurement */
    size_t *series;        /* measurements of one parameter, in time */
    finding_cb on_finding;
    void *arg;
};

static const char *const names[] = {
#define X(id, name, title) name,
    RULE_LIST(X)
#undef X
};

static const char *const titles[] = {
#define X(id, name, title) title,
    RULE_LIST(X)
#undef X
};

const char *rule_name(enum rule rule)
{
    return names[rule];
}

const char *rule_title(enum rule rule)
{
    return titles[rule];
}

enum rule rule_by_name(const char *name)
{
    int i = 0;

    while (i < RULE_COUNT && strcmp(names[i], name) != 0)
        i++;
    return (enum rule)i;
}

/* SQLite's printf: the same in every locale, and cut where it is full. */
static void report(struct check *c, enum rule rule, size_t measurement,
                   const char *fmt, ...)
{
    struct finding f = {.rule = rule,
                        .visit = c->visit_of[measurement],
                        .measurement = measurement};
    va_list ap;

    va_start(ap, fmt);
    sqlite3_vsnprintf(sizeof(f.detail), f.detail, fmt, ap);
    va_end(ap);
    c->on_finding(c->arg, &f);
}

static const struct parameter *find_parameter(const char *name)
{
    for (size_t i = 0; i < PARAMETERS; i++)
        if (strcmp(parameters[i].name, name) == 0)
            return &parameters[i];
    return NULL;
}

static struct judged judge(const struct measurement *m)
{
    struct judged j = {.parameter = find_parameter(m->parameter),
                       .value = m->value,
                       .as_other = NAN};
    const struct parameter *p = j.parameter;

    if (p == NULL)
        return j;
    j.known = strcmp(m->unit, p->unit) == 0;
    if (p->other_unit != NULL) {
        double from_other = (m->value - p->offset) / p->factor;

        if (j.known) {
            j.as_other = from_other;
        } else if (strcmp(m->unit, p->other_unit) == 0) {
            j.known = true;
            j.value = from_other;
            j.as_other = m->value;
        }
    }
    j.possible = j.known && j.value >= p->low && j.value <= p->high;
    return j;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/*
 * The middle of the values around place i of a series of n, the nearest first.
 * NAN if they are too few.
 */
static double middle_around(const struct check *c, size_t n, size_t i)
{
    double value[AROUND];
    size_t count = 0;

    for (size_t far = 1; far <= AROUND_FAR && count < AROUND; far++) {
        const size_t at[] = {far <= i ? i - far : n, i + far};

        for (int side = 0; side < 2 && count < AROUND; side++)
            if (at[side] < n && c->judged[c->series[at[side]]].possible)
                value[count++] = c->judged[c->series[at[side]]].value;
    }
    if (count < AROUND_LEAST)
        return NAN;
    qsort(value, count, sizeof(value[0]), compare);
    return count % 2 == 1 ? value[count / 2]
                          : (value[count / 2 - 1] + value[count / 2]) / 2;
}

static double share_off(double value, double middle)
{
    return fabs(value - middle) / middle;
}

static void check_value(struct check *c, size_t n, size_t i)
{
    size_t at = c->series[i];
    const struct measurement *m = &c->r->measurements[at];
    const struct judged *j = &c->judged[at];
    const struct parameter *p = j->parameter;

    if (!j->known) {
        report(c, RULE_UNIT, at, "%.6g, and \"%.20s\" is no unit of it",
               m->value, m->unit);
        return;
    }
    /* The comparisons are false for NAN: where nothing is known. */
    double middle = p->fit > 0 ? middle_around(c, n, i) : NAN;
    if (share_off(j->value, middle) > p->fit &&
        share_off(j->as_other, middle) <= p->fit)
        report(c, RULE_UNIT, at,
               "%.6g is %.4g %s if it is in %s, and others are %.4g", m->value,
               j->as_other, p->unit,
               strcmp(m->unit, p->unit) == 0 ? p->other_unit : p->unit, middle);
    else if (!j->possible)
        report(c, RULE_RANGE, at, "%.6g %s, possible are %.6g to %.6g",
               j->value, p->unit, p->low, p->high);
    else if (p->jump > 0 && share_off(j->value, middle) > p->jump)
        report(c, RULE_JUMP, at, "%.4g %s, and %.4g before and after", j->value,
               p->unit, middle);
}

static void check_values(struct check *c)
{
    for (size_t p = 0; p < PARAMETERS; p++) {
        size_t n = 0;

        for (size_t i = 0; i < c->r->measurement_count; i++)
            if (c->judged[i].parameter == &parameters[p])
                c->series[n++] = i;
        for (size_t i = 0; i < n; i++)
            check_value(c, n, i);
    }
}

/* The first measurement of that name in a visit, or SIZE_MAX. */
static size_t find_in(const struct check *c, const struct visit *v,
                      const char *name)
{
    for (size_t i = v->first; i < v->first + v->count; i++)
        if (strcmp(c->r->measurements[i].parameter, name) == 0)
            return i;
    return SIZE_MAX;
}

static void check_pressure(struct check *c, const struct visit *v)
{
    size_t high = find_in(c, v, "systolic"), low = find_in(c, v, "diastolic");

    if (high == SIZE_MAX && low == SIZE_MAX)
        return;
    if (low == SIZE_MAX)
        report(c, RULE_PAIR, high, "no diastolic pressure beside it");
    else if (high == SIZE_MAX)
        report(c, RULE_PAIR, low, "no systolic pressure beside it");
    else if (c->judged[high].possible && c->judged[low].possible &&
             c->judged[low].value >= c->judged[high].value)
        report(c, RULE_PRESSURE, low, "diastolic %.6g, systolic %.6g",
               c->judged[low].value, c->judged[high].value);
}

static void check_day(struct check *c, const struct visit *v)
{
    char text[DAY_TEXT];

    if (v->day < c->r->enrolled)
        report(c, RULE_BEFORE, v->first, "%d days before enrolment on %s",
               c->r->enrolled - v->day, day_text(c->r->enrolled, text));
    if (v->day > c->r->exported)
        report(c, RULE_FUTURE, v->first, "%d days after the export of %s",
               v->day - c->r->exported, day_text(c->r->exported, text));
}

static void check_duplicate(struct check *c, const struct visit *earlier,
                            const struct visit *v)
{
    for (size_t i = v->first; i < v->first + v->count; i++) {
        size_t k = find_in(c, earlier, c->r->measurements[i].parameter);

        if (k == SIZE_MAX || c->judged[k].value == c->judged[i].value)
            continue;
        report(c, RULE_DUPLICATE, i, "%.6g, and %.6g in visit %lld that day",
               c->r->measurements[i].value, c->r->measurements[k].value,
               (long long)earlier->id);
        return;
    }
}

static void check_pregnancy(struct check *c, const struct visit *v)
{
    size_t i = find_in(c, v, "pregnancy_test");
    double years = (v->day - c->r->born) / days_of_year;

    if (i == SIZE_MAX || c->r->measurements[i].value != 1)
        return;
    if (c->r->sex == 'M')
        report(c, RULE_PREGNANCY, i, "positive, and the patient is a man");
    else if (years >= pregnant_until_years)
        report(c, RULE_PREGNANCY, i, "positive at the age of %d", (int)years);
}

static void check_visits(struct check *c)
{
    const struct visit *visits = c->r->visits;

    for (size_t i = 0; i < c->r->visit_count; i++) {
        check_day(c, &visits[i]);
        check_pressure(c, &visits[i]);
        check_pregnancy(c, &visits[i]);
        if (i > 0 && visits[i - 1].day == visits[i].day)
            check_duplicate(c, &visits[i - 1], &visits[i]);
    }
}

int rules_check(const struct record *r, finding_cb on_finding, void *arg)
{
    size_t n = r->measurement_count;
    struct check c = {.r = r,
                      .judged = calloc(n + 1, sizeof(*c.judged)),
                      .visit_of = calloc(n + 1, sizeof(*c.visit_of)),
                      .series = calloc(n + 1, sizeof(*c.series)),
                      .on_finding = on_finding,
                      .arg = arg};
    bool made = c.judged != NULL && c.visit_of != NULL && c.series != NULL;

    if (made) {
        for (size_t i = 0; i < n; i++)
            c.judged[i] = judge(&r->measurements[i]);
        for (size_t v = 0; v < r->visit_count; v++)
            for (size_t i = 0; i < r->visits[v].count; i++)
                c.visit_of[r->visits[v].first + i] = v;
        check_values(&c);
        check_visits(&c);
    }
    free(c.judged);
    free(c.visit_of);
    free(c.series);
    return made ? 0 : -1;
}
