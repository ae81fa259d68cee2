/*
 * monitor.report: writes what was found in a run, once all its centres are
 * complete: REPORTS/RUN/findings.csv and report.html. Running it again writes
 * the same again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "monitor.h"
#include "report.h"

typedef int (*write_fn)(FILE *out, struct db *db, const char *run);

static int write_file(struct belt_run *run, struct db *db, const char *dir,
                      const char *file, const char *name, write_fn write)
{
    struct file *f = file_new(dir, file);

    if (f == NULL)
        return belt_retry(run, "io", "%s/%s: %s", dir, file, strerror(errno));
    if (write(file_stream(f), db, name) != 0) {
        file_drop(f);
        return monitor_sql_failed(run, db);
    }
    if (file_keep(f) != 0)
        return belt_retry(run, "io", "%s/%s: %s", dir, file, strerror(errno));
    return 0;
}

/* Whoever pushes it by hand may be too early. */
static int refuse_unless_complete(struct belt_run *run, struct db *db,
                                  const char *name)
{
    int64_t centres, left;

    if (db_number(db, &centres, "SELECT count(*) FROM run_centre WHERE run = ?",
                  "t", name) != 0 ||
        db_number(db, &left,
                  "SELECT count(*) FROM run_centre WHERE run = ?"
                  " AND NOT complete",
                  "t", name) != 0)
        return monitor_sql_failed(run, db);
    if (centres == 0)
        return belt_dead(run, "payload", "there was no run %s", name);
    if (left > 0)
        return belt_dead(run, "early", "run %s: %lld of %lld centres are left",
                         name, (long long)left, (long long)centres);
    return 0;
}

static int write_both(struct belt_run *run, struct db *db, const char *dir,
                      const char *name)
{
    /* One state of the database for both. */
    if (db_exec(db, "BEGIN", "") != 0)
        return monitor_sql_failed(run, db);
    int verdict = write_file(run, db, dir, "findings.csv", name, report_csv);
    if (verdict == 0)
        verdict = write_file(run, db, dir, "report.html", name, report_page);
    return verdict;
}

static int give_result(struct belt_run *run, struct db *db, const char *dir,
                       const char *name)
{
    sqlite3_stmt *s =
        db_sql(db,
               "SELECT json_object('report', ? || '/report.html', 'findings',"
               " (SELECT count(*) FROM finding WHERE run = ?))",
               "tt", dir, name);

    if (db_step(s) != 1)
        return monitor_sql_failed(run, db);
    (void)belt_result(run, db_text(s, 0), strlen(db_text(s, 0)));
    return BELT_DONE;
}

int report_run(struct belt_run *run, const struct monitor *m, struct db *db)
{
    char name[RUN_NAME];
    char *dir = NULL;

    if (monitor_payload(run, db, name, NULL, NULL) != 0)
        return BELT_DEAD;
    int verdict = refuse_unless_complete(run, db, name);
    if (verdict != 0)
        return verdict;
    if (asprintf(&dir, "%s/%s", m->reports, name) < 0)
        return belt_retry(run, "memory", "out of memory");
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        verdict = belt_retry(run, "io", "%s: %s", dir, strerror(errno));
    if (verdict == 0)
        verdict = write_both(run, db, dir, name);
    if (verdict == 0)
        verdict = give_result(run, db, dir, name);
    free(dir);
    return verdict;
}
