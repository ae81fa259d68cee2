/*
 * monitor.night: notes the run and its centres, and pushes a job for each.
 *
 * The jobs are pushed in the step that settles this one, so there are all of
 * them or none, and their ids are made of the run and the centre: however often
 * this is delivered, each centre is checked once. The run is named in the
 * payload, {"run":"2026-11-26"}, or after the tick of cron that this is.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monitor.h"

/* Of the id cron:NAME:1764547200000 the time; of any other one its end. */
static void name_by_id(const char *id, char *name)
{
    const char *at = strrchr(id, ':');
    size_t n = strlen(id);
    struct tm tm;

    if (strncmp(id, "cron:", 5) == 0 && strlen(at + 1) == 13 &&
        strspn(at + 1, "0123456789") == 13) {
        time_t seconds = (time_t)(strtoll(at + 1, NULL, 10) / 1000);

        (void)gmtime_r(&seconds, &tm);
        (void)strftime(name, RUN_NAME, "%Y-%m-%dT%H%M%SZ", &tm);
        return;
    }
    (void)snprintf(name, RUN_NAME, "%s",
                   n < RUN_NAME ? id : id + n + 1 - RUN_NAME);
    for (char *c = name; *c != '\0'; c++)
        if (*c == ':' || (c == name && *c == '.'))
            *c = '-';
}

static int name_run(struct belt_run *run, struct db *db, char *name)
{
    int64_t has_name;

    if (db_number(db, &has_name, "SELECT json_type(?, '$.run') IS NOT NULL",
                  "b", run->payload, run->payload_size) != 0)
        return belt_dead(run, "payload", "%s", db_error(db)), -1;
    if (has_name != 0)
        return monitor_payload(run, db, name, NULL, NULL);
    name_by_id(run->id, name);
    return 0;
}

static int note_run(struct db *db, const char *name)
{
    if (db_exec(db, "BEGIN IMMEDIATE", "") != 0 ||
        db_exec(db,
                "INSERT OR IGNORE INTO run SELECT ?, max(day) "
                "FROM registry.export",
                "t", name) != 0 ||
        db_exec(db,
                "INSERT OR IGNORE INTO run_centre (run, centre, name) "
                "SELECT ?, id, name FROM registry.centre",
                "t", name) != 0)
        return -1;
    return db_exec(db, "COMMIT", "");
}

int night_run(struct belt_run *run, const struct monitor *m, struct db *db)
{
    char name[RUN_NAME], text[64 + RUN_NAME];
    int pushed = 0, rc;

    (void)m;
    if (name_run(run, db, name) != 0)
        return BELT_DEAD;
    if (note_run(db, name) != 0)
        return monitor_sql_failed(run, db);
    sqlite3_stmt *s =
        db_sql(db,
               "SELECT json_object('type', 'monitor.centre',"
               " 'id', format('%s.centre-%02d', run, centre), 'keep', 86400000,"
               " 'payload', json_object('run', run, 'centre', centre))"
               " FROM run_centre WHERE run = ? ORDER BY centre",
               "t", name);
    for (; (rc = db_step(s)) == 1; pushed++)
        if (monitor_push(run, s) != 0)
            return BELT_DEAD; /* too many centres for one job */
    if (rc < 0)
        return monitor_sql_failed(run, db);
    if (pushed == 0)
        return belt_dead(run, "registry", "it has no centres");
    int n = snprintf(text, sizeof(text), "{\"run\":\"%s\",\"centres\":%d}",
                     name, pushed);
    (void)belt_result(run, text, (size_t)n);
    return BELT_DONE;
}
