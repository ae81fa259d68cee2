/*
 * What the four have in common: payloads in, failures and pushes out. JSON is
 * SQLite's business.
 */
#include <string.h>

#include "monitor.h"

int monitor_name_is_good(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n < RUN_NAME && name[0] != '.' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._-") == n;
}

int monitor_payload(struct belt_run *run, struct db *db, char *name,
                    const char *path, int64_t *ret_number)
{
    sqlite3_stmt *s = db_sql(
        db, "SELECT json_extract(?1, '$.run'), json_extract(?1, ?2)", "bt",
        run->payload, run->payload_size, path != NULL ? path : "$.none");

    if (db_step(s) != 1)
        return belt_dead(run, "payload", "%s", db_error(db)), -1;
    if (name != NULL && !monitor_name_is_good(db_text(s, 0)))
        return belt_dead(run, "payload",
                         "\"run\" is no name of up to %d letters, digits, "
                         ". _ and -",
                         RUN_NAME - 1),
               -1;
    if (path != NULL && sqlite3_column_type(s, 1) != SQLITE_INTEGER)
        return belt_dead(run, "payload", "%s is no number", path), -1;
    if (name != NULL)
        (void)snprintf(name, RUN_NAME, "%s", db_text(s, 0));
    if (path != NULL)
        *ret_number = sqlite3_column_int64(s, 1);
    return 0;
}

int monitor_sql_failed(struct belt_run *run, struct db *db)
{
    return belt_retry(run, "sqlite", "%s", db_error(db));
}

int monitor_push(struct belt_run *run, sqlite3_stmt *envelope)
{
    char err[256];
    const char *text = db_text(envelope, 0);

    if (belt_push(run, text, strlen(text), err, sizeof(err)) == BELT_OK)
        return 0;
    (void)belt_fail(run, "push", err);
    return -1;
}
