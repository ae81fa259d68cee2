/*
 * epro: patients' self-reports, scored and stored, and alerts where somebody
 * has to look at once. A plugin for jobs of two types:
 *
 *     belt-worker -q alerts,reports \
 *         --handler 'epro.*=plugin:/…/epro.so epro.db'
 *
 * epro.report  payload as in report.h: clean, check, score, store; a report
 *              that needs it pushes an alert, in the step that settles it.
 * epro.alert   payload {"report":ID}: record what a clinician is to see.
 *
 * The text behind the path: the database, made from schema.sql, and perhaps
 * for how many ms to wait for a lock on it (5000).
 *
 * Both may run again for the same report at any moment, in this worker or
 * another: each stores under the id of the report, once, and the second run
 * finds what the first has stored and goes on from there.
 */
#include <belt/plugin.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store.h"

enum { BUSY_MS = 5000, BUSY_MAX_MS = 600000, AGAIN_MS = 1000 };

static int init(const struct belt_host *host, const char *args, void **state,
                char *err, size_t err_size)
{
    size_t n = strcspn(args, " ");
    char path[4096];
    long busy_ms = BUSY_MS;

    (void)host;
    if (n == 0 || n >= sizeof(path)) {
        (void)snprintf(err, err_size, "the path of a database is needed");
        return -1;
    }
    memcpy(path, args, n);
    path[n] = '\0';
    if (args[n] == ' ') {
        char *end;
        busy_ms = strtol(args + n + 1, &end, 10);
        if (end == args + n + 1 || *end != '\0' || busy_ms < 0 ||
            busy_ms > BUSY_MAX_MS) {
            (void)snprintf(err, err_size, "'%s': 0 to %d ms are allowed",
                           args + n + 1, BUSY_MAX_MS);
            return -1;
        }
    }
    *state = store_open(path, (int)busy_ms, err, err_size);
    return *state != NULL ? 0 : -1;
}

static void fini(void *state)
{
    store_close(state);
}

/* What SQLite cannot do now it can do later: a lock is soon gone. */
static int not_now(struct belt_run *run, const struct connection *c)
{
    if (c->code == SQLITE_BUSY)
        (void)belt_retry_after(run, AGAIN_MS);
    return belt_retry(run, "io", "%s", c->why);
}

static int not_read(struct belt_run *run, enum reading reading, const char *why)
{
    return reading == READ_REFUSED ? belt_dead(run, "input", "%s", why)
                                   : belt_retry(run, "io", "%s", why);
}

/*
 * The report is stored, by this run or an earlier one that did not come to its
 * end. The alert is enqueued if and when the job is settled as done; should
 * two jobs have brought the report, the second alert finds the first by its
 * key, or by what that has recorded.
 */
static int finish_report(struct belt_run *run, struct connection *c,
                         const struct report *r, bool is_new)
{
    char alert[ALERT_JOB_MAX], result[256], err[256];

    if (store_alert_job(c, r->id, alert) != 0)
        return not_now(run, c);
    if (alert[0] != '\0' &&
        belt_push(run, alert, strlen(alert), err, sizeof(err)) != BELT_OK)
        return belt_retry(run, "push", "%s", err);
    int n = snprintf(result, sizeof(result),
                     "{\"report\":\"%s\",\"total\":%u,\"severity\":\"%s\","
                     "\"alert\":\"%s\",\"stored\":\"%s\"}",
                     r->id, r->total, r->severity, r->alert,
                     is_new ? "now" : "before");
    (void)belt_result(run, result, (size_t)n);
    return BELT_DONE;
}

static int run_report(struct belt_run *run, struct store *s,
                      struct connection *c)
{
    struct report r;
    char why[WHY_MAX];
    enum reading reading =
        report_read(c, run->payload, run->payload_size, (int64_t)time(NULL), &r,
                    why, sizeof(why));

    if (reading != READ_OK)
        return not_read(run, reading, why);
    switch (store_report(s, c, &r, run->id)) {
    case STORED_NEW:
        return finish_report(run, c, &r, true);
    case STORED_ALREADY:
        return finish_report(run, c, &r, false);
    case STORED_OTHERWISE:
        return belt_dead(run, "input",
                         "report %s is stored already and says something else",
                         r.id);
    case STORED_NO_PATIENT:
        return belt_dead(run, "input", "patient %s is not known", r.patient);
    default:
        return not_now(run, c);
    }
}

static int run_alert(struct belt_run *run, struct store *s,
                     struct connection *c)
{
    char report[REPORT_ID_MAX + 1], why[WHY_MAX];
    enum reading reading = report_read_id(c, run->payload, run->payload_size,
                                          report, why, sizeof(why));

    if (reading != READ_OK)
        return not_read(run, reading, why);
    switch (store_alert(s, c, report, run->id)) {
    case STORED_NEW:
    case STORED_ALREADY:
        return BELT_DONE;
    case STORED_OTHERWISE:
        return belt_dead(run, "input", "no report %s needs an alert", report);
    default:
        return not_now(run, c);
    }
}

static int run_job(struct belt_run *run, void *state)
{
    char err[WHY_MAX];
    struct connection *c = store_connection(state, err, sizeof(err));

    if (c == NULL)
        return belt_retry(run, "io", "%s", err);
    if (strcmp(run->type, "epro.report") == 0)
        return run_report(run, state, c);
    if (strcmp(run->type, "epro.alert") == 0)
        return run_alert(run, state, c);
    return belt_dead(run, "input", "type %s: epro.report and epro.alert it is",
                     run->type);
}

BELT_PLUGIN("epro", "1.0", init, run_job, fini)
