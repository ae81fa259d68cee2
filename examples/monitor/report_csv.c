/*
 * findings.csv: a line for each finding; numbers in front, so that the texts
 * of others can be cut away.
 */
#include "report.h"
#include "text.h"

int report_csv(FILE *out, struct db *db, const char *run)
{
    int rc;
    sqlite3_stmt *s = db_sql(
        db,
        "SELECT f.centre, f.patient, f.measurement, f.rule, f.day, f.code,"
        " f.parameter, format('%.10g', f.value), f.unit, f.detail, c.name"
        " FROM finding f JOIN run_centre c USING (run, centre) WHERE run = ?"
        " ORDER BY f.centre, f.patient, f.measurement, f.rule",
        "t", run);

    (void)fputs("centre,patient,measurement,rule,day,code,parameter,value,unit,"
                "detail,centre_name\n",
                out);
    while ((rc = db_step(s)) == 1) {
        for (int i = 0; i < sqlite3_column_count(s); i++) {
            if (i > 0)
                (void)fputc(',', out);
            text_csv(out, db_text(s, i));
        }
        (void)fputc('\n', out);
    }
    return rc;
}
