#ifndef EXAMPLES_MONITOR_RULES_H
#define EXAMPLES_MONITOR_RULES_H

#include <stddef.h>
#include <stdint.h>

/*
 * What is checked: the measurements of one patient, all of them at once. No
 * database and no job here: a record in, findings out.
 */
#define RULE_LIST(X)                                                           \
    X(RULE_RANGE, "range", "Value that no living person has")                  \
    X(RULE_UNIT, "unit", "Value in another unit than it says")                 \
    X(RULE_JUMP, "jump", "Weight far from those around it")                    \
    X(RULE_PRESSURE, "pressure", "Diastolic pressure not below systolic")      \
    X(RULE_PAIR, "pair", "One blood pressure without the other")               \
    X(RULE_BEFORE, "before", "Visit before enrolment")                         \
    X(RULE_FUTURE, "future", "Visit after the export")                         \
    X(RULE_DUPLICATE, "duplicate", "Second visit of a day, other values")      \
    X(RULE_PREGNANCY, "pregnancy", "Pregnancy of a man, or after sixty")

enum rule {
#define X(id, name, title) id,
    RULE_LIST(X)
#undef X
        RULE_COUNT
};

const char *rule_name(enum rule rule);
const char *rule_title(enum rule rule);

/* The rule of that name, or RULE_COUNT. */
enum rule rule_by_name(const char *name);

struct measurement {
    int64_t id;
    const char *parameter; /* "weight" */
    const char *unit;      /* as it was recorded */
    double value;
};

struct visit {
    int64_t id;
    int32_t day;
    size_t first, count; /* its measurements, by id; at least one */
};

/* Visits are in order of day, and of id within a day. */
struct record {
    char sex; /* 'F' or 'M' */
    int32_t born, enrolled, exported;
    const struct visit *visits;
    size_t visit_count;
    const struct measurement *measurements;
    size_t measurement_count;
};

enum { FINDING_DETAIL = 128 };

struct finding {
    enum rule rule;
    size_t visit, measurement; /* of the record */
    char detail[FINDING_DETAIL];
};

typedef void (*finding_cb)(void *arg, const struct finding *f);

/*
 * Calls on_finding for each: of a visit, for its first measurement (of a
 * duplicate, for the first that differs). Returns 0, or -1 without memory.
 */
int rules_check(const struct record *r, finding_cb on_finding, void *arg);

#endif
