/*
 * The jobs of examples/monitor: what becomes of the findings when a centre is
 * delivered twice, late, or in the middle of another delivery.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/examples/monitor_host.h"
#include "tests/unit/unit.h"

#define FINDINGS "SELECT count(*) FROM finding"
#define LEFT "SELECT count(*) FROM run_centre WHERE NOT complete"
#define CENTRE_1 "{\"run\":\"r\",\"centre\":1}"
#define CENTRE_2 "{\"run\":\"r\",\"centre\":2}"

struct fixture {
    struct stage stage;
    struct host first, second;
    int second_verdict;
};

/* The registry is only read, so one is enough. */
static int set_up_all(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    /* More patients than are emitted ahead. */
    stage_set_up(&f->stage, "2", "60000");
    *state = f;
    return 0;
}

static int tear_down_all(void **state)
{
    struct fixture *f = *state;

    stage_tear_down(&f->stage);
    free(f->first.parts);
    free(f->second.parts);
    free(f);
    return 0;
}

static int setup(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(db_exec(f->stage.db, "DELETE FROM finding", ""), 0);
    assert_int_equal(db_exec(f->stage.db, "DELETE FROM run_centre", ""), 0);
    assert_int_equal(db_exec(f->stage.db, "DELETE FROM run", ""), 0);
    host_job(&f->first, &f->stage.monitor, "monitor.night", "n",
             "{\"run\":\"r\"}", 1);
    assert_int_equal(host_run(&f->first), BELT_DONE);
    return 0;
}

static int run_centre(struct fixture *f, struct host *h, const char *payload,
                      int64_t fence)
{
    host_job(h, &f->stage.monitor, "monitor.centre", "c", payload, fence);
    return host_run(h);
}

/* Every planted anomaly is in the table, and nothing else. */
static void all_is_as_planted(struct fixture *f)
{
    char path[128], line[128], rule[32];
    long long centre, patient, measurement;
    int64_t there, lines = 0;

    (void)snprintf(path, sizeof(path), "%s/truth.csv", f->stage.dir);
    FILE *truth = fopen(path, "re");
    assert_non_null(truth);
    while (fgets(line, sizeof(line), truth) != NULL) {
        assert_int_equal(sscanf(line, "%lld,%lld,%lld,%31[a-z]", &centre,
                                &patient, &measurement, rule),
                         4);
        lines++;
        assert_int_equal(
            db_number(f->stage.db, &there,
                      "SELECT count(*) FROM finding WHERE run = 'r' AND"
                      " centre = ? AND patient = ? AND measurement = ?"
                      " AND rule = ?",
                      "iiit", (int64_t)centre, (int64_t)patient,
                      (int64_t)measurement, rule),
            0);
        assert_int_equal(there, 1);
    }
    (void)fclose(truth);
    assert_true(lines > 20);
    assert_int_equal(stage_number(&f->stage, FINDINGS), lines);
    assert_int_equal(
        stage_number(&f->stage, "SELECT sum(measurements) FROM run_centre"),
        stage_number(&f->stage, "SELECT count(*) FROM registry.measurement"));
    assert_int_equal(
        stage_number(&f->stage, "SELECT sum(patients) FROM run_centre"),
        stage_number(&f->stage, "SELECT count(*) FROM registry.patient"));
}

/* ---- night ---- */

static void a_night_is_one_job_for_each_centre(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->first.pushes, 2);
    assert_string_equal(f->first.pushed[1],
                        "{\"type\":\"monitor.centre\",\"id\":\"r.centre-02\","
                        "\"keep\":86400000,\"payload\":{\"run\":\"r\","
                        "\"centre\":2}}");
    assert_string_equal(f->first.result, "{\"run\":\"r\",\"centres\":2}");
}

static void a_night_is_named_after_its_tick(void **state)
{
    static const struct {
        const char *id, *result;
    } tests[] = {{"cron:nightly:1764547200000",
                  "{\"run\":\"2025-12-01T000000Z\",\"centres\":2}"},
                 {"cron:nightly:run:01ABC",
                  "{\"run\":\"cron-nightly-run-01ABC\",\"centres\":2}"},
                 {"0123456789012345678901234567890123456789-is-long",
                  "{\"run\":\"89012345678901234567890123456789-is-long\","
                  "\"centres\":2}"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        host_job(&f->first, &f->stage.monitor, "monitor.night", tests[i].id,
                 "null", 1);
        assert_int_equal(host_run(&f->first), BELT_DONE);
        assert_string_equal(f->first.result, tests[i].result);
    }
}

static void a_bad_payload_is_dead_at_once(void **state)
{
    static const struct {
        const char *type, *payload;
    } tests[] = {{"monitor.night", "{\"run\":\"../etc\"}"},
                 {"monitor.night", "{\"run\":\"..\"}"},
                 {"monitor.night", "{\"run\":\"\"}"},
                 {"monitor.night", "{\"run\":\"a b\"}"},
                 {"monitor.night", "{\"run\":7.5e300}"},
                 {"monitor.centre", "{\"run\":\"r\"}"},
                 {"monitor.centre", "{\"run\":\"r\",\"centre\":\"1\"}"},
                 {"monitor.centre", "{\"run\":\"r\",\"centre\":77}"},
                 {"monitor.centre", "{\"run\":\"s\",\"centre\":1}"},
                 {"monitor.centre", "[]"},
                 {"monitor.patient", "{}"},
                 {"monitor.patient", "{\"patient\":123456789}"},
                 {"monitor.report", "null"},
                 {"monitor.report", "{\"run\":\"s\"}"},
                 {"monitor.report", "{\"run\":\"r\"}"}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        host_job(&f->first, &f->stage.monitor, tests[i].type, "x",
                 tests[i].payload, 1);
        assert_int_equal(host_run(&f->first), BELT_DEAD);
        assert_in_range(strlen(f->first.message), 5, HOST_TEXT);
        assert_int_equal(f->first.pushes, 0);
    }
}

/* ---- centre ---- */

static void two_centres_find_all_that_was_planted(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run_centre(f, &f->first, CENTRE_1, 2), BELT_DONE);
    assert_int_equal(f->first.pushes, 0); /* there is one more */
    assert_in_range(f->first.progress, 15, 21);
    assert_int_equal((int)f->first.percent, 100);
    assert_int_equal(f->first.most_ahead, 64);
    assert_int_equal(run_centre(f, &f->first, CENTRE_2, 3), BELT_DONE);
    assert_int_equal(f->first.pushes, 1);
    assert_string_equal(f->first.pushed[0],
                        "{\"type\":\"monitor.report\",\"id\":\"r.report\","
                        "\"keep\":86400000,\"payload\":{\"run\":\"r\"}}");
    assert_int_equal(stage_number(&f->stage, LEFT), 0);
    all_is_as_planted(f);
}

static void without_a_fence_nothing_is_done(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run_centre(f, &f->first, CENTRE_1, 0), BELT_RETRY);
    assert_non_null(strstr(f->first.message, "--fence"));
    assert_int_equal(f->first.emitted, 0);
}

/* Killed before it told Redis: the last centre is the one that matters. */
static void a_centre_that_is_complete_is_not_done_again(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run_centre(f, &f->first, CENTRE_1, 2), BELT_DONE);
    assert_int_equal(run_centre(f, &f->first, CENTRE_2, 3), BELT_DONE);
    assert_int_equal(run_centre(f, &f->first, CENTRE_2, 4), BELT_DONE);
    assert_int_equal(f->first.emitted, 0);
    assert_int_equal(f->first.pushes, 1); /* as nobody knows of the first */
    all_is_as_planted(f);
}

static void the_other_delivery(void *arg)
{
    struct fixture *f = arg;

    f->second_verdict = run_centre(f, &f->second, CENTRE_1, 3);
}

/* A worker that stood still goes on while, or after, another has its centre. */
static void what_a_late_delivery_writes_is_refused(void **state)
{
    const int places[] = {0, 1, 40, 70};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int64_t fence = stage_number(
            &f->stage, "UPDATE run_centre SET fence = 0, complete = 0"
                       " WHERE centre = 1 RETURNING fence");
        assert_int_equal(fence, 0);
        host_job(&f->first, &f->stage.monitor, "monitor.centre", "c", CENTRE_1,
                 2);
        f->first.interrupt_at = places[i];
        f->first.interrupt = the_other_delivery;
        f->first.interrupt_arg = f;
        assert_int_equal(host_run(&f->first), BELT_RETRY);
        assert_string_equal(f->first.error_class, "stale");
        assert_int_equal(f->second_verdict, BELT_DONE);
        assert_int_equal(f->first.pushes, 0);
    }
    assert_int_equal(run_centre(f, &f->first, CENTRE_2, 4), BELT_DONE);
    all_is_as_planted(f);
}

static void a_late_delivery_does_not_begin(void **state)
{
    struct fixture *f = *state;

    host_job(&f->first, &f->stage.monitor, "monitor.centre", "c", CENTRE_1, 9);
    f->first.fail_at = 50; /* it has written, and will not end */
    assert_int_equal(host_run(&f->first), BELT_RETRY);
    assert_int_equal(run_centre(f, &f->first, CENTRE_1, 8), BELT_RETRY);
    assert_string_equal(f->first.error_class, "stale");
    assert_int_equal(f->first.emitted, 0);
}

/* As a kill in the middle: some batches are written. */
static void a_second_delivery_begins_anew(void **state)
{
    struct fixture *f = *state;

    host_job(&f->first, &f->stage.monitor, "monitor.centre", "c", CENTRE_1, 2);
    f->first.fail_at = 70;
    assert_int_equal(host_run(&f->first), BELT_RETRY);
    assert_int_not_equal(
        stage_number(&f->stage, "SELECT patients FROM run_centre"), 0);
    /* What was written may be wrong: say the rules were others. */
    assert_int_equal(
        stage_number(&f->stage,
                     "INSERT INTO finding VALUES ('r', 1, 'x', 1, 1, '', '',"
                     " '', 0, '', '') RETURNING 7"),
        7);
    assert_int_equal(run_centre(f, &f->first, CENTRE_1, 3), BELT_DONE);
    assert_int_equal(run_centre(f, &f->first, CENTRE_2, 4), BELT_DONE);
    all_is_as_planted(f);
}

static void a_result_that_does_not_fit_is_no_silent_loss(void **state)
{
    struct fixture *f = *state;

    host_job(&f->first, &f->stage.monitor, "monitor.centre", "c", CENTRE_1, 2);
    f->first.run.max_result = 60;
    assert_int_equal(host_run(&f->first), BELT_RETRY);
    assert_non_null(strstr(f->first.message, "--max-result 60"));
    assert_int_equal(stage_number(&f->stage, LEFT), 2);
}

static void a_centre_without_patients_is_complete(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        stage_number(&f->stage,
                     "INSERT INTO run_centre (run, centre, name) VALUES"
                     " ('r', 3, 'empty') RETURNING 3"),
        3);
    assert_int_equal(
        run_centre(f, &f->first, "{\"run\":\"r\",\"centre\":3}", 2), BELT_DONE);
    assert_int_equal(f->first.emitted, 0);
    assert_int_equal(stage_number(&f->stage, LEFT), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_night_is_one_job_for_each_centre, setup),
        cmocka_unit_test_setup(a_night_is_named_after_its_tick, setup),
        cmocka_unit_test_setup(a_bad_payload_is_dead_at_once, setup),
        cmocka_unit_test_setup(two_centres_find_all_that_was_planted, setup),
        cmocka_unit_test_setup(without_a_fence_nothing_is_done, setup),
        cmocka_unit_test_setup(a_centre_that_is_complete_is_not_done_again,
                               setup),
        cmocka_unit_test_setup(what_a_late_delivery_writes_is_refused, setup),
        cmocka_unit_test_setup(a_late_delivery_does_not_begin, setup),
        cmocka_unit_test_setup(a_second_delivery_begins_anew, setup),
        cmocka_unit_test_setup(a_result_that_does_not_fit_is_no_silent_loss,
                               setup),
        cmocka_unit_test_setup(a_centre_without_patients_is_complete, setup),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
