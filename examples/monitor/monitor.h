#ifndef EXAMPLES_MONITOR_MONITOR_H
#define EXAMPLES_MONITOR_MONITOR_H

#include <belt/plugin.h>

#include "db.h"

/*
 * The four types of jobs. Each has a connection, and returns an enum
 * belt_verdict.
 *
 *     monitor.night    from cron: one monitor.centre for each centre
 *     monitor.centre   a heavy job: its patients are its sub-tasks
 *     monitor.patient  a sub-task: one patient, by rules.h
 *     monitor.report   when the last centre is complete: HTML and CSV
 */
struct monitor {
    struct db_pool *dbs;
    const char *reports; /* the directory */
    int64_t pace_ms;     /* rest after each patient */
};

enum { RUN_NAME = 41 }; /* with the NUL; letters, digits, . _ and - */

int night_run(struct belt_run *run, const struct monitor *m, struct db *db);
int centre_run(struct belt_run *run, const struct monitor *m, struct db *db);
int patient_run(struct belt_run *run, const struct monitor *m, struct db *db);
int report_run(struct belt_run *run, const struct monitor *m, struct db *db);

/*
 * The members of the payload: "run", if name is not NULL, and the number that
 * is called so, if there is one to be read. Returns 0, or -1 with a failure
 * told: the run is to end with BELT_DEAD.
 */
int monitor_payload(struct belt_run *run, struct db *db, char *name,
                    const char *path, int64_t *ret_number);

/* Whether it may be the name of a run, and of a directory. */
int monitor_name_is_good(const char *name);

/* return monitor_sql_failed(run, db): what SQLite cannot do it may do later. */
int monitor_sql_failed(struct belt_run *run, struct db *db);

/* Pushes the SQL's text, an envelope. Returns 0, or -1 with a failure told. */
int monitor_push(struct belt_run *run, sqlite3_stmt *envelope);

#endif
