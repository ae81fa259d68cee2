#ifndef EXAMPLES_MONITOR_GEN_PERSON_H
#define EXAMPLES_MONITOR_GEN_PERSON_H

#include <stdbool.h>
#include <stdint.h>

#include "gen_random.h"

/*
 * Made-up patients: each has levels of its own, around which what is measured
 * stays, bounded on both sides, so that no value is an anomaly by chance.
 */
enum param {
    P_SYSTOLIC,
    P_DIASTOLIC,
    P_HEART_RATE,
    P_WEIGHT,
    P_TEMPERATURE,
    P_HAEMOGLOBIN,
    P_CREATININE,
    P_GLUCOSE,
    P_PREGNANCY,
    P_COUNT
};

enum { VISITS_LEAST = 20, VISITS_MOST = 50 };

struct gen_visit {
    int32_t day;
    bool has[P_COUNT];
    bool other_unit[P_COUNT]; /* as it is labelled */
    double value[P_COUNT];    /* the number that is written down */
};

struct person {
    bool man;
    int32_t born, enrolled;
    double level[P_COUNT];
    int visit_count;
    struct gen_visit visits[2 * VISITS_MOST]; /* duplicates are added */
};

const char *param_name(enum param p);
const char *param_unit(enum param p, bool other);
bool param_has_other(enum param p);
double param_to_other(enum param p, double value);

/* Rounds a number as the parameter is written down. */
double param_round(enum param p, bool other, double value);

/* Made until the day of the export; american: labels in lb, degF, mg/dL. */
void person_make(struct person *p, struct rng *r, int32_t exported,
                 bool american);

/* What is measured in a visit by day, without a pregnancy test. */
void person_measure(const struct person *p, struct rng *r, bool american,
                    struct gen_visit *v);

#endif
