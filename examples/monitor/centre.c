/*
 * monitor.centre: the heavy job. Emits a sub-task for each patient of a centre,
 * and keeps what they find.
 *
 * Bounded: at most AHEAD sub-tasks are not taken yet, and BATCH results not
 * written, however many patients there are.
 *
 * Once: the centre is claimed with the fencing token of this delivery, which is
 * higher than that of any before. From then on an earlier delivery, of a worker
 * that was thought to be dead, can write nothing; what it has written is
 * removed. Each write asks whether the claim still holds, in its transaction.
 * A centre that is complete stays as it is.
 *
 * The report: a delivery that sees no centre left pushes it. The last centre
 * to be complete is seen complete by each delivery of its job that settles,
 * since each looks after its own centre was; so it is pushed, by the last one
 * if by nobody else. Those that were killed between look again and may push it
 * too: it has one id, and Belt takes an id once.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "monitor.h"

enum { AHEAD = 64, BATCH = 32 };

struct centre {
    struct belt_run *run;
    struct db *db;
    char name[RUN_NAME]; /* of the run of all centres */
    int64_t id, total, emitted, taken;
    bool ours;
    sqlite3_str *batch; /* of results, a JSON array that is open */
    int batched;
};

enum claim { CLAIM_OURS, CLAIM_COMPLETE, CLAIM_STALE, CLAIM_UNKNOWN };

static int claim(struct centre *c, enum claim *ret)
{
    int64_t standing;

    /* The names of the results are the numbers of enum claim. */
    if (db_exec(c->db, "BEGIN IMMEDIATE", "") != 0 ||
        db_exec(c->db,
                "UPDATE run_centre SET fence = ?3, patients = 0,"
                " measurements = 0 WHERE run = ?1 AND centre = ?2"
                " AND NOT complete AND fence < ?3",
                "tii", c->name, c->id, c->run->fence) != 0 ||
        db_exec(c->db,
                "DELETE FROM finding WHERE run = ?1 AND centre = ?2 AND EXISTS"
                " (SELECT 1 FROM run_centre WHERE run = ?1 AND centre = ?2"
                " AND NOT complete AND fence = ?3)",
                "tii", c->name, c->id, c->run->fence) != 0 ||
        db_number(c->db, &standing,
                  "SELECT coalesce(max(CASE WHEN complete THEN 1"
                  " WHEN fence <> ?3 THEN 2 ELSE 0 END), 3) FROM run_centre"
                  " WHERE run = ?1 AND centre = ?2",
                  "tii", c->name, c->id, c->run->fence) != 0 ||
        db_exec(c->db, "COMMIT", "") != 0)
        return -1;
    *ret = (enum claim)standing;
    return 0;
}

/* Writes the batch, if the claim holds; else ours is false. */
static int write_batch(struct centre *c, bool last)
{
    int64_t ours;

    sqlite3_str_appendall(c->batch, "]");
    char *batch = sqlite3_str_finish(c->batch);
    c->batch = sqlite3_str_new(NULL);
    c->batched = 0;
    if (batch == NULL)
        return -1;
    int rc = db_exec(c->db, "BEGIN IMMEDIATE", "");
    if (rc == 0)
        rc = db_exec(c->db,
                     "UPDATE run_centre SET complete = ?4, (patients, "
                     "measurements) = (SELECT patients + count(*), measurements"
                     " + coalesce(sum(value ->> 'checked'), 0)"
                     " FROM json_each(?5)) WHERE run = ?1 AND centre = ?2"
                     " AND fence = ?3 AND NOT complete",
                     "tiiit", c->name, c->id, c->run->fence, (int64_t)last,
                     batch);
    if (rc == 0)
        rc = db_number(c->db, &ours, "SELECT changes()", "");
    if (rc == 0 && ours != 0)
        rc = db_exec(
            c->db,
            "INSERT OR IGNORE INTO finding SELECT ?1, f.value ->> 0,"
            " f.value ->> 1, ?2, p.value ->> 'patient', p.value ->> 'code',"
            " f.value ->> 2, f.value ->> 3, f.value ->> 4, f.value ->> 5,"
            " f.value ->> 6 FROM json_each(?3) p,"
            " json_each(p.value, '$.findings') f",
            "tit", c->name, c->id, batch);
    sqlite3_free(batch);
    if (rc != 0)
        return -1;
    c->ours = ours != 0;
    return db_exec(c->db, "COMMIT", "");
}

static int tell_progress(struct centre *c)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%lld of %lld patients",
                   (long long)c->taken, (long long)c->total);
    return belt_progress(c->run, 100.0 * (double)c->taken / (double)c->total,
                         text);
}

/* Takes one result. Returns 0, or a verdict. */
static int take(struct centre *c)
{
    struct belt_subtask_result r;

    if (belt_subtask_result(c->run, &r) != BELT_OK)
        return BELT_RETRY; /* it is to stop, or one has failed */
    sqlite3_str_appendf(c->batch, "%c%.*s", c->batched == 0 ? '[' : ',',
                        (int)r.result_size, r.result);
    c->taken++;
    if (c->taken * 20 / c->total != (c->taken - 1) * 20 / c->total)
        (void)tell_progress(c);
    if (++c->batched < BATCH || c->taken == c->total)
        return 0;
    if (write_batch(c, false) != 0)
        return monitor_sql_failed(c->run, c->db);
    return c->ours ? 0
                   : belt_retry(c->run, "stale", "another delivery has it now");
}

/* One at a time, so that the registry is not locked in between. */
static int next_patient(struct centre *c, int64_t *id)
{
    return db_number(c->db, id,
                     "SELECT id FROM registry.patient WHERE centre = ?"
                     " AND id > ? ORDER BY id LIMIT 1",
                     "ii", c->id, *id);
}

static int emit(struct centre *c, int64_t patient)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "{\"patient\":%lld}",
                     (long long)patient);

    c->emitted++;
    return belt_subtask(c->run, "monitor.patient", payload, (size_t)n, NULL) ==
                   BELT_OK
               ? 0
               : BELT_RETRY;
}

/* Patients that come or go meanwhile are in the next run. */
static int check_patients(struct centre *c)
{
    int64_t patient = 0;
    int verdict = 0;

    while (verdict == 0 && c->emitted < c->total) {
        if (next_patient(c, &patient) != 0)
            return monitor_sql_failed(c->run, c->db);
        if (patient == 0)
            break;
        verdict = emit(c, patient);
        if (verdict == 0 && c->emitted - c->taken >= AHEAD)
            verdict = take(c);
    }
    c->total = c->emitted;
    while (verdict == 0 && c->taken < c->total)
        verdict = take(c);
    return verdict;
}

static int push_report(struct centre *c)
{
    int64_t left;

    if (db_number(c->db, &left,
                  "SELECT count(*) FROM run_centre WHERE run = ?"
                  " AND NOT complete",
                  "t", c->name) != 0)
        return monitor_sql_failed(c->run, c->db);
    if (left > 0)
        return BELT_DONE;
    sqlite3_stmt *s = db_sql(c->db,
                             "SELECT json_object('type', 'monitor.report',"
                             " 'id', ?1 || '.report', 'keep', 86400000,"
                             " 'payload', json_object('run', ?1))",
                             "t", c->name);
    if (db_step(s) != 1)
        return monitor_sql_failed(c->run, c->db);
    return monitor_push(c->run, s) == 0 ? BELT_DONE : BELT_RETRY;
}

static int check(struct centre *c)
{
    if (db_number(c->db, &c->total,
                  "SELECT count(*) FROM registry.patient WHERE centre = ?", "i",
                  c->id) != 0)
        return monitor_sql_failed(c->run, c->db);
    int verdict = check_patients(c);
    if (verdict != 0)
        return verdict;
    if (c->batched == 0)
        sqlite3_str_appendall(c->batch, "[");
    if (write_batch(c, true) != 0)
        return monitor_sql_failed(c->run, c->db);
    return c->ours ? push_report(c)
                   : belt_retry(c->run, "stale", "another delivery has it now");
}

int centre_run(struct belt_run *run, const struct monitor *m, struct db *db)
{
    struct centre c = {.run = run, .db = db};
    enum claim standing;

    (void)m;
    if (run->fence == 0)
        return belt_retry(run, "fence", "start belt-worker with --fence");
    if (monitor_payload(run, db, c.name, "$.centre", &c.id) != 0)
        return BELT_DEAD;
    if (claim(&c, &standing) != 0)
        return monitor_sql_failed(run, db);
    switch (standing) {
    case CLAIM_COMPLETE: /* and this was not told to Redis */
        return push_report(&c);
    case CLAIM_STALE:
        return belt_retry(run, "stale", "a later delivery has it");
    case CLAIM_UNKNOWN:
        return belt_dead(run, "payload", "run %s has no centre %lld", c.name,
                         (long long)c.id);
    case CLAIM_OURS:
        break;
    }
    c.batch = sqlite3_str_new(NULL);
    int verdict = check(&c);
    sqlite3_free(sqlite3_str_finish(c.batch));
    return verdict;
}
