/*
 * monitor.patient: a sub-task. Reads one patient, applies the rules, and has
 * what they found as its result, for the centre to keep:
 *
 *     {"patient":7,"code":"C01-00007","checked":280,"findings":
 *      [[MEASUREMENT,"RULE","DAY","PARAMETER",VALUE,"UNIT","DETAIL"]]}
 *
 * It writes nothing, so it may be run again, and beside any other.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "day.h"
#include "monitor.h"
#include "rules.h"

enum { WORDS = 64 }; /* names of parameters and units of one patient */

struct patient {
    struct belt_run *run;
    struct db *db;
    int64_t id;
    char code[64];
    struct record record;
    struct visit *visits;
    struct measurement *measurements;
    char *word[WORDS];
    size_t words;
    sqlite3_str *findings; /* JSON */
    size_t found;
    bool failed;
};

/* The same text for the same word, there until the end of the patient. */
static const char *word(struct patient *p, const char *text)
{
    for (size_t i = 0; i < p->words; i++)
        if (strcmp(p->word[i], text) == 0)
            return p->word[i];
    if (p->words == WORDS || (p->word[p->words] = strdup(text)) == NULL)
        return NULL;
    return p->word[p->words++];
}

/* Room for one more of count, which grows by doubling. */
static void *grow(void *array, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return array;
    return reallocarray(array, count == 0 ? 1 : 2 * count, size);
}

static int read_day(struct patient *p, const char *what, const char *text,
                    int32_t *ret_day)
{
    if (day_parse(text, ret_day) == 0)
        return 0;
    return belt_dead(p->run, "registry", "patient %lld, %s: \"%.32s\": no date",
                     (long long)p->id, what, text);
}

static int read_person(struct patient *p)
{
    struct record *r = &p->record;
    sqlite3_stmt *s = db_sql(p->db,
                             "SELECT sex, code, born, enrolled, (SELECT "
                             "max(day) FROM registry.export)"
                             " FROM registry.patient WHERE id = ?",
                             "i", p->id);
    int rc = db_step(s);

    if (rc < 0)
        return monitor_sql_failed(p->run, p->db);
    if (rc == 0)
        return belt_dead(p->run, "payload", "no patient %lld",
                         (long long)p->id);
    r->sex = db_text(s, 0)[0];
    (void)snprintf(p->code, sizeof(p->code), "%s", db_text(s, 1));
    rc = read_day(p, "birth", db_text(s, 2), &r->born);
    if (rc == 0)
        rc = read_day(p, "enrolment", db_text(s, 3), &r->enrolled);
    if (rc == 0)
        rc = read_day(p, "export", db_text(s, 4), &r->exported);
    (void)sqlite3_reset(s);
    return rc;
}

static int no_memory(struct patient *p)
{
    return belt_retry(p->run, "memory", "patient %lld: out of memory",
                      (long long)p->id);
}

static int add_visit(struct patient *p, int64_t id, const char *day)
{
    struct record *r = &p->record;
    struct visit *visits = grow(p->visits, r->visit_count, sizeof(*visits));

    if (visits == NULL)
        return no_memory(p);
    p->visits = visits;
    visits[r->visit_count] =
        (struct visit){.id = id, .first = r->measurement_count};
    return read_day(p, "visit", day, &visits[r->visit_count++].day);
}

static int add_measurement(struct patient *p, sqlite3_stmt *s)
{
    struct record *r = &p->record;
    struct measurement *all =
        grow(p->measurements, r->measurement_count, sizeof(*all));

    if (all == NULL)
        return no_memory(p);
    p->measurements = all;
    struct measurement m = {.id = sqlite3_column_int64(s, 2),
                            .parameter = word(p, db_text(s, 3)),
                            .value = sqlite3_column_double(s, 4),
                            .unit = word(p, db_text(s, 5))};
    if (m.parameter == NULL || m.unit == NULL)
        return belt_dead(p->run, "registry",
                         "patient %lld: more than %d parameters and units",
                         (long long)p->id, WORDS);
    all[r->measurement_count++] = m;
    p->visits[r->visit_count - 1].count++;
    return 0;
}

static int read_visits(struct patient *p)
{
    int64_t visit = 0;
    int rc, verdict = 0;
    sqlite3_stmt *s =
        db_sql(p->db,
               "SELECT v.id, v.day, m.id, m.parameter, m.value, m.unit"
               " FROM registry.visit v JOIN registry.measurement m"
               " ON m.visit = v.id WHERE v.patient = ?"
               " ORDER BY v.day, v.id, m.id",
               "i", p->id);

    while ((rc = db_step(s)) == 1 && verdict == 0) {
        if (visit != sqlite3_column_int64(s, 0) || p->visits == NULL)
            verdict = add_visit(p, sqlite3_column_int64(s, 0), db_text(s, 1));
        visit = sqlite3_column_int64(s, 0);
        if (verdict == 0)
            verdict = add_measurement(p, s);
    }
    p->record.visits = p->visits;
    p->record.measurements = p->measurements;
    return rc < 0 ? monitor_sql_failed(p->run, p->db) : verdict;
}

static void on_finding(void *arg, const struct finding *f)
{
    struct patient *p = arg;
    const struct measurement *m = &p->measurements[f->measurement];
    char day[DAY_TEXT];
    sqlite3_stmt *s = db_sql(p->db, "SELECT json_array(?, ?, ?, ?, ?, ?, ?)",
                             "itttdtt", m->id, rule_name(f->rule),
                             day_text(p->visits[f->visit].day, day),
                             m->parameter, m->value, m->unit, f->detail);

    if (db_step(s) != 1) {
        p->failed = true;
        return;
    }
    if (p->found++ > 0)
        sqlite3_str_appendall(p->findings, ",");
    sqlite3_str_appendall(p->findings, db_text(s, 0));
}

/* The centre could not read a result that was cut. */
static int give_result(struct patient *p)
{
    char *findings = sqlite3_str_finish(p->findings);

    p->findings = NULL;
    sqlite3_stmt *s =
        db_sql(p->db,
               "SELECT json_object('patient', ?, 'code', ?, 'checked', ?,"
               " 'findings', json('[' || ? || ']'))",
               "itit", p->id, p->code, (int64_t)p->record.measurement_count,
               findings != NULL ? findings : "");
    sqlite3_free(findings);
    if (db_step(s) != 1)
        return monitor_sql_failed(p->run, p->db);
    const char *text = db_text(s, 0);
    if (belt_result(p->run, text, strlen(text)) != BELT_OK)
        return belt_dead(p->run, "result",
                         "patient %lld: %zu findings are more than "
                         "--max-result %zu",
                         (long long)p->id, p->found, p->run->max_result);
    return BELT_DONE;
}

static int check(struct patient *p)
{
    int verdict = read_person(p);

    if (verdict == 0)
        verdict = read_visits(p);
    if (verdict != 0)
        return verdict;
    if (rules_check(&p->record, on_finding, p) != 0)
        return no_memory(p);
    return p->failed ? monitor_sql_failed(p->run, p->db) : give_result(p);
}

int patient_run(struct belt_run *run, const struct monitor *m, struct db *db)
{
    struct patient p = {.run = run, .db = db};

    if (monitor_payload(run, db, NULL, "$.patient", &p.id) != 0)
        return BELT_DEAD;
    p.findings = sqlite3_str_new(NULL);
    int verdict = check(&p);
    sqlite3_free(sqlite3_str_finish(p.findings));
    for (size_t i = 0; i < p.words; i++)
        free(p.word[i]);
    free(p.visits);
    free(p.measurements);
    if (verdict == BELT_DONE && m->pace_ms > 0)
        (void)belt_wait(run, m->pace_ms);
    return verdict;
}
