/* The rules of examples/monitor, on both sides of each edge. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "examples/monitor/day.h"
#include "examples/monitor/rules.h"
#include "tests/unit/unit.h"

enum { MOST = 128, ENROLLED = 10000, EXPORTED = 20000, VISITS = 8, STEP = 30 };

struct fixture {
    struct record record;
    struct visit visits[MOST];
    struct measurement measurements[MOST];
    struct finding found[MOST];
    size_t count; /* found */
};

static void add_visit(struct fixture *f, int32_t day)
{
    struct record *r = &f->record;

    assert_true(r->visit_count < MOST);
    f->visits[r->visit_count] =
        (struct visit){.id = 1 + (int64_t)r->visit_count,
                       .day = day,
                       .first = r->measurement_count};
    r->visit_count++;
}

/* Returns its place. */
static size_t add(struct fixture *f, const char *parameter, double value,
                  const char *unit)
{
    struct record *r = &f->record;

    assert_true(r->measurement_count < MOST);
    f->measurements[r->measurement_count] =
        (struct measurement){.id = 100 + (int64_t)r->measurement_count,
                             .parameter = parameter,
                             .unit = unit,
                             .value = value};
    f->visits[r->visit_count - 1].count++;
    return r->measurement_count++;
}

static struct fixture patient(char sex)
{
    return (struct fixture){
        .record = {
            .sex = sex, .born = 0, .enrolled = ENROLLED, .exported = EXPORTED}};
}

/* Visits with one parameter, which is always the same. */
static struct fixture steady(const char *parameter, double value,
                             const char *unit)
{
    struct fixture f = patient('F');

    for (int i = 0; i < VISITS; i++) {
        add_visit(&f, ENROLLED + i * STEP);
        (void)add(&f, parameter, value, unit);
    }
    return f;
}

static void on_finding(void *arg, const struct finding *found)
{
    struct fixture *f = arg;

    assert_true(f->count < MOST);
    f->found[f->count++] = *found;
}

static void check(struct fixture *f)
{
    f->record.visits = f->visits;
    f->record.measurements = f->measurements;
    f->count = 0;
    assert_int_equal(rules_check(&f->record, on_finding, f), 0);
}

static void finds_nothing(struct fixture *f)
{
    check(f);
    if (f->count > 0)
        print_error("%s: %s\n", rule_name(f->found[0].rule),
                    f->found[0].detail);
    assert_int_equal(f->count, 0);
}

static void finds_one(struct fixture *f, enum rule rule, size_t measurement)
{
    check(f);
    assert_int_equal(f->count, 1);
    assert_string_equal(rule_name(f->found[0].rule), rule_name(rule));
    assert_int_equal(f->found[0].measurement, measurement);
    assert_in_range(strlen(f->found[0].detail), 1, FINDING_DETAIL - 1);
}

/* ---- range ---- */

static void what_is_possible_includes_its_ends(void **state)
{
    static const struct {
        const char *parameter, *unit;
        double low, high;
    } edges[] = {{"heart_rate", "1/min", 20, 300},
                 {"creatinine", "umol/L", 15, 2500},
                 {"glucose", "mmol/L", 0.5, 60},
                 {"haemoglobin", "g/dL", 2, 26}};
    (void)state;

    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        const double value[] = {edges[i].low, edges[i].high,
                                edges[i].low * 0.999, edges[i].high * 1.001};

        for (int k = 0; k < 4; k++) {
            struct fixture f = patient('M');

            add_visit(&f, ENROLLED);
            size_t at = add(&f, edges[i].parameter, value[k], edges[i].unit);
            if (k < 2)
                finds_nothing(&f);
            else
                finds_one(&f, RULE_RANGE, at);
        }
    }
}

static void what_is_no_number_is_out_of_range(void **state)
{
    const double odd[] = {INFINITY, -INFINITY, NAN, 1e308, -1e308};
    (void)state;

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct fixture f = steady("weight", 70, "kg");

        f.measurements[3].value = odd[i];
        finds_one(&f, RULE_RANGE, 3);
    }
}

static void many_impossible_values_condemn_no_other(void **state)
{
    struct fixture f = steady("weight", 70, "kg");
    (void)state;

    for (size_t i = 2; i < 5; i++)
        f.measurements[i].value = 1000;
    check(&f);
    assert_int_equal(f.count, 3);
    for (size_t i = 0; i < f.count; i++) {
        assert_int_equal(f.found[i].rule, RULE_RANGE);
        assert_int_equal(f.found[i].measurement, 2 + i);
    }
}

static void what_it_does_not_know_is_passed_over(void **state)
{
    struct fixture f = steady("shoe_size", 1e9, "EU");
    (void)state;

    finds_nothing(&f);
}

/* ---- unit ---- */

static void a_number_of_the_other_unit_is_found(void **state)
{
    static const struct {
        const char *parameter, *unit, *other;
        double value, as_other;
    } mix_ups[] = {{"weight", "kg", "lb", 70, 154.3},
                   {"temperature", "Cel", "degF", 36.8, 98.2},
                   {"haemoglobin", "g/dL", "g/L", 13.5, 135},
                   {"creatinine", "umol/L", "mg/dL", 80, 0.9},
                   {"glucose", "mmol/L", "mg/dL", 5.2, 94}};
    (void)state;

    for (size_t i = 0; i < sizeof(mix_ups) / sizeof(mix_ups[0]); i++) {
        for (size_t at = 0; at < VISITS; at++) {
            struct fixture f =
                steady(mix_ups[i].parameter, mix_ups[i].value, mix_ups[i].unit);

            f.measurements[at].value = mix_ups[i].as_other;
            finds_one(&f, RULE_UNIT, at);
            /* Labelled as what it is, it is right. */
            f.measurements[at].unit = mix_ups[i].other;
            finds_nothing(&f);
            /* The other way round. */
            f.measurements[at].value = mix_ups[i].value;
            finds_one(&f, RULE_UNIT, at);
        }
    }
}

static void a_unit_that_is_none_is_found(void **state)
{
    struct fixture f = steady("weight", 70, "kg");
    (void)state;

    f.measurements[2].unit = "stone";
    finds_one(&f, RULE_UNIT, 2);
    f.measurements[2].unit = "KG";
    finds_one(&f, RULE_UNIT, 2);
}

static void of_whom_little_is_known_nothing_is_said(void **state)
{
    struct fixture f = steady("weight", 70, "kg");
    (void)state;

    f.record.visit_count = f.record.measurement_count = 3;
    f.measurements[1].value = 154.3; /* two others are too few */
    finds_nothing(&f);
    f.record.visit_count = f.record.measurement_count = 4;
    finds_one(&f, RULE_UNIT, 1);
}

/* ---- jump ---- */

static void a_jump_is_more_than_a_fifth(void **state)
{
    const double share[] = {1.19, 0.81, 1.21, 0.79};
    (void)state;

    for (size_t i = 0; i < sizeof(share) / sizeof(share[0]); i++)
        for (size_t at = 0; at < VISITS; at++) {
            struct fixture f = steady("weight", 100, "kg");

            f.measurements[at].value = 100 * share[i];
            if (i < 2)
                finds_nothing(&f);
            else
                finds_one(&f, RULE_JUMP, at);
        }
}

static void a_change_that_lasts_is_no_jump(void **state)
{
    struct fixture f = steady("weight", 70, "kg");
    (void)state;

    for (size_t i = VISITS / 2; i < VISITS; i++)
        f.measurements[i].value = 95;
    finds_nothing(&f);
}

static void other_parameters_may_jump(void **state)
{
    struct fixture f = steady("glucose", 5, "mmol/L");
    (void)state;

    f.measurements[4].value = 22;
    finds_nothing(&f);
}

/* ---- pressure and pair ---- */

static void diastolic_has_to_be_below_systolic(void **state)
{
    const double diastolic[] = {119, 120, 121};
    (void)state;

    for (int i = 0; i < 3; i++) {
        struct fixture f = patient('F');

        add_visit(&f, ENROLLED);
        (void)add(&f, "systolic", 120, "mmHg");
        size_t at = add(&f, "diastolic", diastolic[i], "mmHg");
        if (i == 0)
            finds_nothing(&f);
        else
            finds_one(&f, RULE_PRESSURE, at);
    }
}

static void an_impossible_pressure_is_told_once(void **state)
{
    struct fixture f = patient('F');
    (void)state;

    add_visit(&f, ENROLLED);
    size_t at = add(&f, "systolic", 12, "mmHg");
    (void)add(&f, "diastolic", 80, "mmHg");
    finds_one(&f, RULE_RANGE, at);
}

static void one_pressure_needs_the_other(void **state)
{
    const char *const names[] = {"systolic", "diastolic"};
    (void)state;

    for (int i = 0; i < 2; i++) {
        struct fixture f = patient('M');

        add_visit(&f, ENROLLED);
        (void)add(&f, "heart_rate", 70, "1/min");
        finds_nothing(&f); /* neither is fine */
        size_t at = add(&f, names[i], 100, "mmHg");
        finds_one(&f, RULE_PAIR, at);
        add_visit(&f, ENROLLED + 1); /* not that of another visit */
        (void)add(&f, "heart_rate", 70, "1/min");
        finds_one(&f, RULE_PAIR, at);
    }
}

/* ---- visits ---- */

static void the_days_of_enrolment_and_export_are_within(void **state)
{
    static const struct {
        int32_t day;
        int rule;
    } days[] = {{ENROLLED, -1},
                {EXPORTED, -1},
                {ENROLLED - 1, RULE_BEFORE},
                {EXPORTED + 1, RULE_FUTURE}};
    (void)state;

    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        struct fixture f = patient('F');

        add_visit(&f, days[i].day);
        (void)add(&f, "heart_rate", 70, "1/min");
        (void)add(&f, "weight", 70, "kg");
        if (days[i].rule < 0)
            finds_nothing(&f);
        else
            finds_one(&f, (enum rule)days[i].rule, 0);
    }
}

static void a_second_visit_of_a_day_may_say_the_same(void **state)
{
    struct fixture f = patient('F');
    (void)state;

    for (int i = 0; i < 2; i++) {
        add_visit(&f, ENROLLED);
        (void)add(&f, "heart_rate", 70, "1/min");
        (void)add(&f, "weight", 80, "kg");
    }
    (void)add(&f, "glucose", 5, "mmol/L"); /* there is nothing to compare */
    finds_nothing(&f);
    f.measurements[3].value = 81;
    finds_one(&f, RULE_DUPLICATE, 3);
    f.measurements[2].value = 71; /* the first that differs, and no more */
    finds_one(&f, RULE_DUPLICATE, 2);
    f.visits[1].day++;
    finds_nothing(&f);
}

static void pregnant_are_women_below_sixty(void **state)
{
    static const struct {
        char sex;
        double years, positive;
        bool found;
    } tests[] = {{'F', 59.9, 1, false},
                 {'F', 60.1, 1, true},
                 {'F', 75, 0, false},
                 {'M', 30, 0, false},
                 {'M', 30, 1, true}};
    (void)state;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        struct fixture f = patient(tests[i].sex);

        add_visit(&f, ENROLLED);
        f.record.born = ENROLLED - (int32_t)(tests[i].years * 365.2425);
        size_t at = add(&f, "pregnancy_test", tests[i].positive, "0/1");
        if (tests[i].found)
            finds_one(&f, RULE_PREGNANCY, at);
        else
            finds_nothing(&f);
    }
}

static void nobody_has_no_findings(void **state)
{
    struct fixture f = patient('F');
    (void)state;

    finds_nothing(&f);
}

/* ---- names and days ---- */

static void every_rule_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < RULE_COUNT; i++)
        assert_int_equal(rule_by_name(rule_name((enum rule)i)), i);
    assert_int_equal(rule_by_name("no such"), RULE_COUNT);
}

static void days_go_forth_and_back(void **state)
{
    static const struct {
        const char *text;
        int32_t day;
    } days[] = {{"1970-01-01", 0},
                {"1969-12-31", -1},
                {"2000-02-29", 11016},
                {"2026-06-30", 20634}};
    char text[DAY_TEXT];
    int32_t day, back;
    (void)state;

    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        assert_int_equal(day_parse(days[i].text, &day), 0);
        assert_int_equal(day, days[i].day);
    }
    for (day = -100000; day < 100000; day++) {
        assert_int_equal(day_parse(day_text(day, text), &back), 0);
        assert_int_equal(day, back);
    }
}

static void what_is_no_day_is_refused(void **state)
{
    const char *const wrong[] = {
        "",           "2025-02-30", "2025-13-01",  "2025-00-10", "2025-1-01",
        "2100-02-29", "2025-01-32", "2025-01-011", "2025/01/01", "abcd-ef-gh"};
    int32_t day = 7;
    (void)state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(day_parse(wrong[i], &day), -1);
    assert_int_equal(day_parse(NULL, &day), -1);
    assert_int_equal(day, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_possible_includes_its_ends),
        cmocka_unit_test(what_is_no_number_is_out_of_range),
        cmocka_unit_test(many_impossible_values_condemn_no_other),
        cmocka_unit_test(what_it_does_not_know_is_passed_over),
        cmocka_unit_test(a_number_of_the_other_unit_is_found),
        cmocka_unit_test(a_unit_that_is_none_is_found),
        cmocka_unit_test(of_whom_little_is_known_nothing_is_said),
        cmocka_unit_test(a_jump_is_more_than_a_fifth),
        cmocka_unit_test(a_change_that_lasts_is_no_jump),
        cmocka_unit_test(other_parameters_may_jump),
        cmocka_unit_test(diastolic_has_to_be_below_systolic),
        cmocka_unit_test(an_impossible_pressure_is_told_once),
        cmocka_unit_test(one_pressure_needs_the_other),
        cmocka_unit_test(the_days_of_enrolment_and_export_are_within),
        cmocka_unit_test(a_second_visit_of_a_day_may_say_the_same),
        cmocka_unit_test(pregnant_are_women_below_sixty),
        cmocka_unit_test(nobody_has_no_findings),
        cmocka_unit_test(every_rule_has_a_name_of_its_own),
        cmocka_unit_test(days_go_forth_and_back),
        cmocka_unit_test(what_is_no_day_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
