/*
 * report.html: one file that needs no other, without a script. What comes from
 * the registry is escaped, wherever it goes.
 */
#include <stdbool.h>

#include "report.h"
#include "rules.h"
#include "text.h"

enum {
    TABLE_MOST = 5000, /* findings in the page; all are in the CSV */
    BAR_LEFT = 150,    /* of a chart of 480: room for names */
    BAR_ROOM = 280,
    BAR_STEP = 26
};

static void tile(FILE *out, int64_t n, const char *what)
{
    char text[32];

    /* 1,000,344 */
    (void)sqlite3_snprintf(sizeof(text), text, "%,lld", n);
    (void)fprintf(out, "<div class=\"tile\"><b>%s</b>%s</div>\n", text, what);
}

static int head(FILE *out, struct db *db, const char *run, int64_t *findings)
{
    sqlite3_stmt *s =
        db_sql(db,
               "SELECT (SELECT exported FROM run WHERE run = ?1), count(*),"
               " sum(patients), sum(measurements),"
               " (SELECT count(*) FROM finding WHERE run = ?1)"
               " FROM run_centre WHERE run = ?1",
               "t", run);

    if (db_step(s) != 1)
        return -1;
    *findings = sqlite3_column_int64(s, 4);
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\"/>"
                "\n<meta name=\"viewport\" content=\"width=device-width\"/>\n"
                "<title>Nightly check ",
                out);
    text_html(out, run);
    (void)fprintf(out,
                  "</title>\n<style>%s</style>\n<main>\n<h1>Nightly check ",
                  report_style);
    text_html(out, run);
    (void)fputs("</h1>\n<p>Registry as exported on ", out);
    text_html(out, db_text(s, 0));
    (void)fputs("</p>\n<div class=\"tiles\">\n", out);
    tile(out, sqlite3_column_int64(s, 1), "centres");
    tile(out, sqlite3_column_int64(s, 2), "patients");
    tile(out, sqlite3_column_int64(s, 3), "measurements");
    tile(out, *findings, "findings");
    (void)sqlite3_reset(s);
    (void)fputs("</div>\n", out);
    return 0;
}

/*
 * A chart of bars: of each row a name, a number, and perhaps a text. s is asked
 * twice: for the most, and for the bars.
 */
static int bars(FILE *out, sqlite3_stmt *s, const char *title, bool is_rule)
{
    int64_t most = 1;
    int rows = 0, rc, y = 0;

    for (; (rc = db_step(s)) == 1; rows++)
        if (sqlite3_column_int64(s, 1) > most)
            most = sqlite3_column_int64(s, 1);
    (void)fprintf(out,
                  "<div class=\"card\"><h2>%s</h2>\n<svg viewBox=\"0 0 480 %d\""
                  " role=\"img\"><title>%s</title>\n",
                  title, rows * BAR_STEP, title);
    for (; rc == 0 && (rc = db_step(s)) == 1; rc = 0, y += BAR_STEP) {
        int64_t n = sqlite3_column_int64(s, 1);
        double width = (double)n * BAR_ROOM / (double)most;

        (void)fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                      BAR_LEFT - 8, y + 17);
        text_html(out, db_text(s, 0));
        (void)fprintf(out,
                      "</text><rect class=\"bar\" x=\"%d\" y=\"%d\" "
                      "width=\"%.1f\" height=\"18\" rx=\"2\"><title>",
                      BAR_LEFT, y + 4, width);
        text_html(out, is_rule ? rule_title(rule_by_name(db_text(s, 0)))
                               : db_text(s, 2));
        (void)fprintf(out,
                      "</title></rect><text x=\"%.1f\" y=\"%d\">%lld</text>\n",
                      BAR_LEFT + width + 6, y + 17, (long long)n);
    }
    (void)fputs("</svg></div>\n", out);
    return rc;
}

static int charts(FILE *out, struct db *db, const char *run)
{
    (void)fputs("<div class=\"two\">\n", out);
    if (bars(out,
             db_sql(db,
                    "SELECT c.centre || ' ' || c.name, (SELECT count(*) FROM"
                    " finding f WHERE f.run = c.run AND f.centre = c.centre)"
                    " AS n, format('%d patients, %d measurements', patients,"
                    " measurements) FROM run_centre c"
                    " WHERE run = ? ORDER BY centre",
                    "t", run),
             "Findings of each centre", false) != 0 ||
        bars(out,
             db_sql(db,
                    "SELECT rule, count(*) AS n FROM finding WHERE run = ?"
                    " GROUP BY rule ORDER BY n DESC, rule",
                    "t", run),
             "Findings of each rule", true) != 0)
        return -1;
    (void)fputs("</div>\n", out);
    return 0;
}

/* Centres down, rules across; the more, the stronger. */
static int heat(FILE *out, struct db *db, const char *run)
{
    int64_t most = 1, row = -1;
    int rc;

    if (db_number(db, &most,
                  "SELECT max(n) FROM (SELECT count(*) AS n FROM finding"
                  " WHERE run = ? GROUP BY centre, rule)",
                  "t", run) != 0)
        return -1;
    (void)fputs("<h2>Which centre, which rule</h2>\n<div class=\"card\"><table>"
                "\n<tr><th>Centre</th>",
                out);
    for (int rule = 0; rule < RULE_COUNT; rule++)
        (void)fprintf(out, "<th title=\"%s\">%s</th>",
                      rule_title((enum rule)rule), rule_name((enum rule)rule));
    sqlite3_stmt *s =
        db_sql(db,
               "SELECT c.centre, c.name, (SELECT count(*) FROM finding f WHERE"
               " f.run = c.run AND f.centre = c.centre AND f.rule = r.value)"
               " FROM run_centre c, json_each(?2) r WHERE c.run = ?1"
               " ORDER BY c.centre, r.key",
               "tt", run,
               "[\"range\",\"unit\",\"jump\",\"pressure\",\"pair\",\"before\","
               "\"future\",\"duplicate\",\"pregnancy\"]");
    while ((rc = db_step(s)) == 1) {
        int64_t n = sqlite3_column_int64(s, 2);

        if (row != sqlite3_column_int64(s, 0)) {
            row = sqlite3_column_int64(s, 0);
            (void)fprintf(out, "</tr>\n<tr><th>%lld ", (long long)row);
            text_html(out, db_text(s, 1));
            (void)fputs("</th>", out);
        }
        (void)fprintf(out, "<td class=\"heat\" style=\"--of:%.2f\">%lld</td>",
                      (double)n / (double)(most > 0 ? most : 1), (long long)n);
    }
    (void)fputs("</tr>\n</table></div>\n", out);
    return rc;
}

static void finding_row(FILE *out, sqlite3_stmt *s)
{
    (void)fprintf(out, "<tr id=\"f-%s-%s\"><td>", db_text(s, 2), db_text(s, 3));
    for (int i = 3; i < 10; i++) {
        text_html(out, db_text(s, i));
        (void)fputs(i == 6   ? "</td><td class=\"n\">"
                    : i == 7 ? " "
                    : i == 9 ? ""
                             : "</td><td>",
                    out);
    }
    (void)fprintf(out, "</td><td class=\"n\">%s</td></tr>\n", db_text(s, 2));
}

static int table(FILE *out, struct db *db, const char *run, int64_t findings)
{
    int64_t centre = -1;
    int rc;
    sqlite3_stmt *s = db_sql(
        db,
        "SELECT f.centre, c.name, f.measurement, f.rule, f.day, f.code,"
        " f.parameter, format('%.10g', f.value), f.unit, f.detail,"
        " count(*) OVER (PARTITION BY f.centre)"
        " FROM finding f JOIN run_centre c USING (run, centre)"
        " WHERE run = ? ORDER BY f.centre, f.patient, f.measurement, f.rule"
        " LIMIT ?",
        "ti", run, (int64_t)TABLE_MOST);

    (void)fputs("<h2>All findings</h2>\n", out);
    if (findings > TABLE_MOST)
        (void)fprintf(out, "<p>The first %d; all are in findings.csv.</p>\n",
                      TABLE_MOST);
    while ((rc = db_step(s)) == 1) {
        if (centre != sqlite3_column_int64(s, 0)) {
            (void)fputs(centre < 0 ? "" : "</table></details>\n", out);
            centre = sqlite3_column_int64(s, 0);
            (void)fprintf(out, "<details><summary>%lld ", (long long)centre);
            text_html(out, db_text(s, 1));
            (void)fprintf(out,
                          ": %lld</summary>\n<table><tr><th>Rule</th><th>Day"
                          "</th><th>Patient</th><th>Parameter</th>"
                          "<th class=\"n\">Value</th><th>What is wrong</th>"
                          "<th class=\"n\">Measurement</th></tr>\n",
                          sqlite3_column_int64(s, 10));
        }
        finding_row(out, s);
    }
    (void)fputs(centre < 0 ? "<p>None.</p>\n" : "</table></details>\n", out);
    return rc;
}

int report_page(FILE *out, struct db *db, const char *run)
{
    int64_t findings = 0;

    if (head(out, db, run, &findings) != 0 || charts(out, db, run) != 0 ||
        heat(out, db, run) != 0 || report_examples(out, db, run) != 0 ||
        table(out, db, run, findings) != 0)
        return -1;
    (void)fputs("</main>\n</html>\n", out);
    return 0;
}
