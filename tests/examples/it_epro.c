/*
 * Claims about examples/epro under real workers: what is stored is stored
 * once, and its alert is raised once, wherever a worker is killed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/mem.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

/* A severe report with an answer to item 9. */
static const char severe[] =
    "{\"report\":\"R-1\",\"patient\":\"P-1\",\"instrument\":\"PHQ-9\","
    "\"completed_at\":\"2024-11-20T08:15:00Z\","
    "\"answers\":[3,3,3,3,3,3,3,3,1]}";

struct fixture {
    struct redis *r;
    char *db; /* owned: the path */
};

static sqlite3 *open_db(const struct fixture *f)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, STORY_MS);
    return db;
}

static void execute(sqlite3 *db, const char *sql)
{
    char *err = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &err) != SQLITE_OK)
        fail_msg("%s: %s", sql, err);
}

/* A number that the database answers. */
static long long ask(const struct fixture *f, const char *sql)
{
    sqlite3 *db = open_db(f);
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    long long n = sqlite3_column_int64(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    char *schema = story_read(EPRO_SCHEMA);

    f->r = story_redis();
    f->db = mem_printf("%s/epro.db", redis_dir(f->r));
    sqlite3 *db = open_db(f);
    execute(db, schema);
    execute(db, "INSERT INTO patient VALUES ('P-1')");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    free(schema);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    free(f->db);
    free(f);
    return 0;
}

/* Workers of one host: each notices at once when another is gone. */
static struct worker *start(const struct fixture *f, const char *plugin)
{
    char *handler = mem_printf("epro.*=plugin:%s", plugin);
    struct worker *w =
        worker_exec(f->r,
                    (const char *[]){BELT_WORKER_BIN, "-u", redis_url(f->r),
                                     "-q", "alerts,reports", "--threads", "2",
                                     "--handler", handler, NULL},
                    (const char *[]){"BELT_HOST=clinic", NULL});

    free(handler);
    return w;
}

/* Is killed the first time that a run comes to that point, at once perhaps. */
static struct worker *start_to_die(const struct fixture *f, const char *point)
{
    char *plugin = mem_printf("%s %s %s/died %s %s", EPRO_CRASH, point,
                              redis_dir(f->r), EPRO, f->db);
    struct worker *w = start(f, plugin);

    free(plugin);
    return w;
}

static struct worker *start_well(const struct fixture *f, const char *more)
{
    char *plugin = mem_printf("%s %s%s", EPRO, f->db, more);
    struct worker *w = start(f, plugin);

    assert_true(worker_is_up(w, 2));
    free(plugin);
    return w;
}

static void push(const struct fixture *f, const char *id, const char *payload)
{
    redis_do(f->r,
             "RPUSH belt:{reports} {\"id\":\"%s\",\"type\":\"epro.report\","
             "\"payload\":%s}",
             id, payload);
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

/* In the books of both: one report, one alert, nothing left over. */
static void expect_once(const struct fixture *f)
{
    story_stat(f->r, "reports", "done", 1);
    story_stat(f->r, "alerts", "done", 1);
    assert_true(queue_at_rest(f->r, "reports", STORY_MS));
    assert_true(queue_at_rest(f->r, "alerts", STORY_MS));
    story_int(f->r, 0, "LLEN belt:{reports}:outbox");
    assert_int_equal(ask(f, "SELECT count(*) FROM report WHERE id = 'R-1' AND"
                            " total = 25 AND severity = 'severe'"),
                     1);
    assert_int_equal(ask(f, "SELECT count(*) FROM alert WHERE report = 'R-1'"
                            " AND text LIKE '%25 (severe)%item 9'"),
                     1);
    assert_int_equal(queue_stat(f->r, "reports", "retried"), 0);
    assert_int_equal(queue_stat(f->r, "alerts", "dead"), 0);
}

static void it_is_stored_and_raises_an_alert(void **state)
{
    struct fixture *f = *state;

    push(f, "j", severe);
    struct worker *w = start_well(f, "");
    expect_once(f);
    stop(w);
}

/*
 * Killed there, what is stored is that many reports and no alert; then another
 * worker has to bring it to its end.
 */
static void die_at(const struct fixture *f, const char *point, int stored)
{
    push(f, "j", severe);
    struct worker *a = start_to_die(f, point);
    story_ends(a, -SIGKILL);
    assert_int_equal(ask(f, "SELECT count(*) FROM report"), stored);
    assert_int_equal(queue_stat(f->r, "reports", "done"), 0);
    story_int(f->r, 0, "LLEN belt:{alerts}");
    story_int(f->r, 0, "LLEN belt:{reports}:outbox");
    struct worker *b = start_well(f, "");
    expect_once(f);
    assert_int_equal(queue_stat(f->r, "reports", "reaped"), 1);
    stop(b);
}

static void killed_before_it_is_stored_it_is_stored_once(void **state)
{
    die_at(*state, "begin", 0);
}

static void killed_between_commit_and_push_there_is_one_alert(void **state)
{
    die_at(*state, "push", 1);
}

static void killed_between_commit_and_settle_there_is_one_alert(void **state)
{
    die_at(*state, "end", 1);
}

/* The alert's own run: recorded, and killed before Redis knows. */
static void killed_when_the_alert_is_recorded_there_is_one(void **state)
{
    struct fixture *f = *state;

    push(f, "j", severe);
    struct worker *w = start_well(f, "");
    expect_once(f);
    stop(w);
    redis_do(f->r,
             "RPUSH belt:{alerts} {\"id\":\"again\",\"type\":\"epro.alert\","
             "\"payload\":{\"report\":\"R-1\"}}");
    struct worker *a = start_to_die(f, "end");
    story_ends(a, -SIGKILL);
    struct worker *b = start_well(f, "");
    story_stat(f->r, "alerts", "done", 2);
    assert_int_equal(ask(f, "SELECT count(*) FROM alert"), 1);
    assert_int_equal(ask(f, "SELECT count(*) FROM alert WHERE job ="
                            " 'alert-R-1'"),
                     1);
    stop(b);
}

/* The phone does not know whether it arrived, and sends it under new names. */
static void sent_often_it_is_stored_once_and_raises_one_alert(void **state)
{
    enum { TIMES = 20 };
    struct fixture *f = *state;

    for (unsigned i = 0; i < TIMES; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "j-%u", i);
        push(f, id, severe);
    }
    struct worker *a = start_well(f, ""), *b = start_well(f, "");
    story_stat(f->r, "reports", "done", TIMES);
    story_int(f->r, 0, "LLEN belt:{reports}:outbox");
    assert_true(queue_at_rest(f->r, "alerts", STORY_MS));
    assert_int_equal(ask(f, "SELECT count(*) FROM report"), 1);
    assert_int_equal(ask(f, "SELECT count(*) FROM alert"), 1);
    stop(a);
    stop(b);
}

static void what_is_wrong_is_dead_with_a_reason(void **state)
{
    struct fixture *f = *state;

    push(f, "j",
         "{\"report\":\"R-1\",\"patient\":\"P-1\",\"instrument\":\"GAD-7\","
         "\"completed_at\":\"2024-11-20T08:15:00Z\","
         "\"answers\":[3,3,3,7,3,3,3]}");
    struct worker *w = start_well(f, "");
    story_stat(f->r, "reports", "dead", 1);
    redisReply *dead = redis_cmd(f->r, "ZRANGE belt:{reports}:dead 0 0");
    assert_non_null(strstr(dead->element[0]->str,
                           "\"class\":\"input\",\"message\":"
                           "\"answer 4 is 7: 0 to 3 is allowed\""));
    freeReplyObject(dead);
    assert_int_equal(ask(f, "SELECT count(*) FROM report"), 0);
    stop(w);
}

static void while_others_write_it_is_tried_again(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_db(f);

    execute(db, "BEGIN IMMEDIATE");
    push(f, "j", severe);
    struct worker *w = start_well(f, " 0");
    story_stat(f->r, "reports", "retried", 1);
    redisReply *retry = redis_cmd(f->r, "ZRANGE belt:{reports}:retry 0 0");
    assert_non_null(strstr(retry->element[0]->str,
                           "\"class\":\"io\",\"message\":"
                           "\"database is locked\""));
    freeReplyObject(retry);
    execute(db, "ROLLBACK");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    story_stat(f->r, "alerts", "done", 1);
    assert_int_equal(ask(f, "SELECT count(*) FROM report"), 1);
    stop(w);
}

/* Not one job is taken by a worker that could not store it. */
static void without_its_tables_no_worker_starts(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = open_db(f);

    execute(db, "DROP TABLE alert");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    char *handler = mem_printf("epro.*=plugin:%s %s", EPRO, f->db);
    struct worker *w = worker_start(
        f->r, NULL,
        (const char *[]){"-q", "reports", "--handler", handler, NULL});
    story_said(w, "no such table: alert", 1);
    story_ends(w, 78);
    free(handler);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(it_is_stored_and_raises_an_alert),
        CLAIM(killed_before_it_is_stored_it_is_stored_once),
        CLAIM(killed_between_commit_and_push_there_is_one_alert),
        CLAIM(killed_between_commit_and_settle_there_is_one_alert),
        CLAIM(killed_when_the_alert_is_recorded_there_is_one),
        CLAIM(sent_often_it_is_stored_once_and_raises_one_alert),
        CLAIM(what_is_wrong_is_dead_with_a_reason),
        CLAIM(while_others_write_it_is_tried_again),
        CLAIM(without_its_tables_no_worker_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
