#ifndef EXAMPLES_MONITOR_GEN_PLANT_H
#define EXAMPLES_MONITOR_GEN_PLANT_H

#include "gen_person.h"

/* Anomalies, put into a patient where they can be told from each other. */
struct planted {
    const char *rule; /* NULL: none */
    int visit;        /* of the person */
    enum param param; /* the measurement that is to be found */
};

enum { PLANT_RULES = 9 };

const char *plant_rule_name(int rule);

/*
 * Puts an anomaly of the rule into a visit. Returns what is to be found;
 * without a rule if the patient does not fit. serial, which differs for each
 * of a patient, keeps its dates apart.
 */
struct planted plant(struct person *p, struct rng *r, int rule, int visit,
                     int serial, int32_t exported, bool american);

#endif
