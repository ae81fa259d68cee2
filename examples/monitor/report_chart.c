/*
 * Examples: of each rule the first finding, among the other values of that
 * patient, so that one sees why it was found.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "day.h"
#include "report.h"
#include "rules.h"
#include "text.h"

enum {
    WIDTH = 340,
    HEIGHT = 150,
    LEFT = 44, /* of the plot */
    RIGHT = 330,
    TOP = 8,
    BOTTOM = 126
};

struct example {
    int64_t measurement, patient;
    char rule[32], parameter[32], code[64], detail[FINDING_DETAIL], unit[32];
    int32_t enrolled, exported;
    /* the scales */
    double low, high;
    int32_t first, last;
};

static double x_of(const struct example *e, int32_t day)
{
    return LEFT + (RIGHT - LEFT) * (double)(day - e->first) /
                      (double)(e->last - e->first);
}

static double y_of(const struct example *e, double value)
{
    return BOTTOM - (BOTTOM - TOP) * (value - e->low) / (e->high - e->low);
}

/* Both blood pressures belong together. */
static bool is_beside(const struct example *e, const char *parameter)
{
    bool pressure = strcmp(e->parameter, "systolic") == 0 ||
                    strcmp(e->parameter, "diastolic") == 0;

    return pressure && strcmp(parameter, e->parameter) != 0;
}

static sqlite3_stmt *series(struct db *db, const struct example *e)
{
    return db_sql(db,
                  "SELECT m.id, v.day, m.parameter, m.value"
                  " FROM registry.visit v JOIN registry.measurement m"
                  " ON m.visit = v.id WHERE v.patient = ?1 AND (m.parameter ="
                  " ?2 OR ?2 IN ('systolic', 'diastolic')"
                  " AND m.parameter IN ('systolic', 'diastolic'))"
                  " ORDER BY v.day, m.id",
                  "it", e->patient, e->parameter);
}

static int scale(struct db *db, struct example *e)
{
    sqlite3_stmt *s = series(db, e);
    bool any = false;
    int32_t day;
    int rc;

    e->first = e->enrolled;
    e->last = e->exported;
    while ((rc = db_step(s)) == 1) {
        double value = sqlite3_column_double(s, 3);

        if (day_parse(db_text(s, 1), &day) != 0 || !isfinite(value))
            continue;
        e->low = any ? fmin(e->low, value) : value;
        e->high = any ? fmax(e->high, value) : value;
        e->first = day < e->first ? day : e->first;
        e->last = day > e->last ? day : e->last;
        any = true;
    }
    double room = e->high > e->low ? (e->high - e->low) / 12 : 1;
    e->low -= room;
    e->high += room;
    e->last += e->last == e->first;
    return rc;
}

static void axes(FILE *out, const struct example *e)
{
    char first[DAY_TEXT], last[DAY_TEXT];

    (void)fprintf(out,
                  "<path class=\"grid\" d=\"M%d %dV%dH%d\"/>"
                  "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"end\">"
                  "%.3g</text><text class=\"soft\" x=\"%d\" y=\"%d\" "
                  "text-anchor=\"end\">%.3g</text>\n",
                  LEFT, TOP, BOTTOM, RIGHT, LEFT - 5, TOP + 10, e->high,
                  LEFT - 5, BOTTOM, e->low);
    (void)fprintf(out,
                  "<text class=\"soft\" x=\"%d\" y=\"%d\">%s</text>"
                  "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"end\">"
                  "%s</text>\n",
                  LEFT, HEIGHT - 8, day_text(e->first, first), RIGHT,
                  HEIGHT - 8, day_text(e->last, last));
    for (int i = 0; i < 2; i++) {
        double x = x_of(e, i == 0 ? e->enrolled : e->exported);

        (void)fprintf(out,
                      "<path class=\"day\" d=\"M%.1f %dV%d\"><title>%s</title>"
                      "</path>\n",
                      x, TOP, BOTTOM, i == 0 ? "enrolment" : "export");
    }
}

static int dots(FILE *out, struct db *db, const struct example *e)
{
    sqlite3_stmt *s = series(db, e);
    int32_t day;
    int rc;

    while ((rc = db_step(s)) == 1) {
        bool found = sqlite3_column_int64(s, 0) == e->measurement;
        double value = sqlite3_column_double(s, 3);

        if (day_parse(db_text(s, 1), &day) != 0 || !isfinite(value))
            continue;
        double x = x_of(e, day), y = y_of(e, value);
        (void)fprintf(out,
                      "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\">"
                      "<title>%s: %.6g</title></circle>\n",
                      found                         ? "mark"
                      : is_beside(e, db_text(s, 2)) ? "pale"
                                                    : "dot",
                      x, y, found ? "4" : "2.5", db_text(s, 1), value);
        if (found)
            (void)fprintf(out,
                          "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" "
                          "r=\"8\"/>\n",
                          x, y);
    }
    return rc;
}

static int draw(FILE *out, struct db *db, struct example *e)
{
    if (scale(db, e) != 0)
        return -1;
    (void)fputs("<figure class=\"card\"><figcaption><b>", out);
    text_html(out, rule_title(rule_by_name(e->rule)));
    (void)fputs("</b><br/>", out);
    text_html(out, e->code);
    (void)fputs(", ", out);
    text_html(out, e->parameter);
    (void)fputs(" <span>", out);
    text_html(out, e->unit);
    (void)fputs("</span>: ", out);
    text_html(out, e->detail);
    (void)fprintf(out,
                  "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\">"
                  "<title>%s</title>\n",
                  WIDTH, HEIGHT, rule_title(rule_by_name(e->rule)));
    axes(out, e);
    int rc = dots(out, db, e);
    (void)fputs("</svg></figure>\n", out);
    return rc;
}

/* The example of a rule: 1, 0 if there is none, or -1. */
static int find(struct db *db, const char *run, enum rule rule,
                struct example *e)
{
    sqlite3_stmt *s = db_sql(
        db,
        "SELECT f.measurement, f.patient, f.parameter, f.code, f.detail,"
        " f.unit, p.enrolled, r.exported FROM finding f"
        " JOIN registry.patient p ON p.id = f.patient JOIN run r USING (run)"
        " WHERE f.run = ? AND f.rule = ? ORDER BY f.measurement LIMIT 1",
        "tt", run, rule_name(rule));
    int rc = db_step(s);

    if (rc != 1)
        return rc;
    e->measurement = sqlite3_column_int64(s, 0);
    e->patient = sqlite3_column_int64(s, 1);
    (void)snprintf(e->rule, sizeof(e->rule), "%s", rule_name(rule));
    (void)snprintf(e->parameter, sizeof(e->parameter), "%s", db_text(s, 2));
    (void)snprintf(e->code, sizeof(e->code), "%s", db_text(s, 3));
    (void)snprintf(e->detail, sizeof(e->detail), "%s", db_text(s, 4));
    (void)snprintf(e->unit, sizeof(e->unit), "%s", db_text(s, 5));
    if (day_parse(db_text(s, 6), &e->enrolled) != 0 ||
        day_parse(db_text(s, 7), &e->exported) != 0)
        rc = 0;
    (void)sqlite3_reset(s);
    return rc;
}

int report_examples(FILE *out, struct db *db, const char *run)
{
    int rc = 0;

    (void)fputs("<h2>An example of each</h2>\n<p>Dashed: enrolment and export."
                " Red: what was found.</p>\n<div class=\"two\">\n",
                out);
    for (int rule = 0; rule < RULE_COUNT && rc >= 0; rule++) {
        struct example e = {.measurement = 0};

        rc = find(db, run, (enum rule)rule, &e);
        if (rc == 1)
            rc = draw(out, db, &e);
    }
    (void)fputs("</div>\n", out);
    return rc < 0 ? -1 : 0;
}
