/*
 * A worker of a test's own for the jobs of examples/monitor.
 *
 * Thread: that of the test.
 */
#include "tests/examples/monitor_host.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/tmp.h"
#include "tests/unit/unit.h"

enum { PARTS = 1024 };

static struct host *host_of(struct belt_run *run)
{
    return (struct host *)run;
}

static int should_stop(struct belt_run *run)
{
    (void)run;
    return BELT_GO_ON;
}

static int wait_ms(struct belt_run *run, int64_t ms)
{
    (void)run;
    (void)ms;
    return BELT_GO_ON;
}

static int progress(struct belt_run *run, double percent, const char *message)
{
    struct host *h = host_of(run);

    (void)message;
    assert_true(percent >= h->percent && percent <= 100);
    h->percent = percent;
    h->progress++;
    return BELT_OK;
}

static int say(struct belt_run *run, int level, const char *text)
{
    (void)run;
    (void)level;
    (void)text;
    return BELT_OK;
}

static int set_result(struct belt_run *run, const void *data, size_t size)
{
    struct host *h = host_of(run);

    if (size > run->max_result)
        return BELT_E_TOO_BIG;
    memcpy(h->result, data, size);
    h->result[size] = '\0';
    h->result_size = size;
    return BELT_OK;
}

static int set_failure(struct belt_run *run, const char *error_class,
                       const char *message)
{
    struct host *h = host_of(run);

    (void)snprintf(h->error_class, HOST_TEXT, "%s", error_class);
    (void)snprintf(h->message, HOST_TEXT, "%s", message);
    return BELT_OK;
}

static int later(struct belt_run *run, int64_t ms)
{
    (void)run;
    (void)ms;
    return BELT_OK;
}

static int push(struct belt_run *run, const char *envelope, size_t size,
                char *err, size_t err_size)
{
    struct host *h = host_of(run);

    if (h->pushes == HOST_PUSHES) {
        (void)snprintf(err, err_size, "more than %d pushes", HOST_PUSHES);
        return BELT_E_TOO_BIG;
    }
    assert_true(size < HOST_TEXT);
    (void)snprintf(h->pushed[h->pushes++], HOST_TEXT, "%.*s", (int)size,
                   envelope);
    return BELT_OK;
}

static int subtasks(struct belt_run *run, unsigned flags)
{
    (void)run;
    (void)flags;
    return BELT_OK;
}

static int subtask(struct belt_run *run, const struct belt_subtask *t)
{
    struct host *h = host_of(run);

    assert_string_equal(t->type, "monitor.patient");
    assert_true(h->emitted < PARTS && t->payload_size < sizeof(h->parts[0]));
    (void)snprintf(h->parts[h->emitted++], sizeof(h->parts[0]), "%.*s",
                   (int)t->payload_size, t->payload);
    if (h->emitted - h->taken > h->most_ahead)
        h->most_ahead = h->emitted - h->taken;
    return BELT_OK;
}

static int subtask_result(struct belt_run *run, struct belt_subtask_result *ret)
{
    struct host *h = host_of(run);
    struct host *part = calloc(1, sizeof(*part));

    if (h->taken == h->interrupt_at)
        h->interrupt(h->interrupt_arg);
    assert_non_null(part);
    assert_true(h->taken < h->emitted);
    host_job(part, h->monitor, "monitor.patient", run->id, h->parts[h->taken],
             run->fence);
    part->run.max_result = run->max_result;
    int verdict = host_run(part);
    if (h->taken++ == h->fail_at)
        verdict = BELT_RETRY;
    memcpy(h->part_result, part->result, part->result_size + 1);
    if (verdict != BELT_DONE)
        (void)set_failure(run, part->error_class, part->message);
    *ret = (struct belt_subtask_result){.size = sizeof(*ret),
                                        .number = h->taken,
                                        .result = h->part_result,
                                        .result_size = part->result_size};
    free(part->parts);
    free(part);
    return verdict == BELT_DONE ? BELT_OK : BELT_E_STOP;
}

static int nothing(struct belt_run *run)
{
    (void)run;
    return BELT_OK;
}

static const struct belt_host functions = {.size = sizeof(functions),
                                           .should_stop = should_stop,
                                           .wait = wait_ms,
                                           .progress = progress,
                                           .log = say,
                                           .result = set_result,
                                           .fail = set_failure,
                                           .retry_after = later,
                                           .snooze = later,
                                           .push = push,
                                           .subtasks = subtasks,
                                           .subtask = subtask,
                                           .subtask_result = subtask_result,
                                           .subtasks_end = nothing,
                                           .subtasks_cancel = nothing};

void host_job(struct host *h, const struct monitor *m, const char *type,
              const char *id, const char *payload, int64_t fence)
{
    free(h->parts);
    memset(h, 0, sizeof(*h));
    h->run = (struct belt_run){.host = &functions,
                               .size = sizeof(h->run),
                               .id = id,
                               .type = type,
                               .queue = "q",
                               .payload = payload,
                               .payload_size = strlen(payload),
                               .attempt = 1,
                               .max_attempts = 20,
                               .fence = fence,
                               .max_result = sizeof(h->result) - 1,
                               .traceparent = ""};
    h->monitor = m;
    h->interrupt_at = h->fail_at = -1;
    h->parts = calloc(PARTS, sizeof(h->parts[0]));
    assert_non_null(h->parts);
}

int host_run(struct host *h)
{
    struct db *db = db_take(h->monitor->dbs);
    int verdict = -1;

    assert_non_null(db);
    if (strcmp(h->run.type, "monitor.night") == 0)
        verdict = night_run(&h->run, h->monitor, db);
    if (strcmp(h->run.type, "monitor.centre") == 0)
        verdict = centre_run(&h->run, h->monitor, db);
    if (strcmp(h->run.type, "monitor.patient") == 0)
        verdict = patient_run(&h->run, h->monitor, db);
    if (strcmp(h->run.type, "monitor.report") == 0)
        verdict = report_run(&h->run, h->monitor, db);
    db_give(db);
    return verdict;
}

void stage_exec(const char *const *argv)
{
    char *words[16];
    pid_t pid;
    int status, n = 0;

    for (; argv[n] != NULL; n++)
        words[n] = strdup(argv[n]);
    words[n] = NULL;
    assert_int_equal(posix_spawnp(&pid, words[0], NULL, NULL, words, environ),
                     0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < n; i++)
        free(words[i]);
}

void stage_set_up(struct stage *s, const char *centres,
                  const char *measurements)
{
    const char *const gen[] = {
        MONITOR_GEN,  "--centres", centres, "--measurements",
        measurements, s->dir,      NULL};
    char err[256];

    tmp_dir(s->dir, sizeof(s->dir));
    stage_exec(gen);
    (void)snprintf(s->registry, sizeof(s->registry), "%s/registry.db", s->dir);
    (void)snprintf(s->findings, sizeof(s->findings), "%s/findings.db", s->dir);
    (void)snprintf(s->reports, sizeof(s->reports), "%s", s->dir);
    s->monitor = (struct monitor){.reports = s->reports};
    s->monitor.dbs = db_pool_new(s->registry, s->findings, err, sizeof(err));
    assert_non_null(s->monitor.dbs);
    s->db = db_take(s->monitor.dbs);
    assert_non_null(s->db);
}

void stage_tear_down(struct stage *s)
{
    const char *const rm[] = {"rm", "-rf", s->dir, NULL};

    db_give(s->db);
    db_pool_free(s->monitor.dbs);
    stage_exec(rm);
}

int64_t stage_number(struct stage *s, const char *sql)
{
    int64_t n;

    if (db_number(s->db, &n, sql, "") != 0)
        fail_msg("%s: %s", sql, db_error(s->db));
    return n;
}
