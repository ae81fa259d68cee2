/*
 * Claims about reports of examples/epro: what is cleaned, what is refused and
 * why, and what the store keeps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/epro/report.h"
#include "examples/epro/store.h"
#include "tests/support/tmp.h"
#include "tests/unit/unit.h"

/* 2025-01-01T00:00:00Z */
enum { NOW = 1735689600 };

struct fixture {
    char dir[TMP_DIR_MAX], path[TMP_DIR_MAX + 16];
    struct store *store;
    struct connection *c;
    struct report r;
    char why[WHY_MAX];
};

static void execute(const struct fixture *f, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    static char schema[8192];
    FILE *file = fopen(EPRO_SCHEMA, "re");

    assert_non_null(file);
    schema[fread(schema, 1, sizeof(schema) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    tmp_dir(f->dir, sizeof(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/epro.db", f->dir);
    execute(f, schema);
    execute(f, "INSERT INTO patient VALUES ('P-1')");
    f->store = store_open(f->path, 0, f->why, sizeof(f->why));
    assert_non_null(f->store);
    f->c = store_connection(f->store, f->why, sizeof(f->why));
    assert_non_null(f->c);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const files[] = {"", "-wal", "-shm"};
    char path[sizeof(f->path) + 8];

    store_close(f->store);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", f->path, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static enum reading read_it(struct fixture *f, const char *json)
{
    return report_read(f->c, json, strlen(json), NOW, &f->r, f->why,
                       sizeof(f->why));
}

/* A good report with the members of another put in place of its own. */
#define WITH(report, patient, instrument, at, answers, rest)                   \
    "{\"report\":" report ",\"patient\":" patient                              \
    ",\"instrument\":" instrument ",\"completed_at\":" at                      \
    ",\"answers\":" answers rest "}"
#define ID "\"R-1\""
#define PATIENT "\"P-1\""
#define PHQ "\"PHQ-9\""
#define AT "\"2024-11-20T08:15:00+01:00\""
#define ANSWERS "[1,0,2,3,0,1,0,0,0]"
#define GOOD WITH(ID, PATIENT, PHQ, AT, ANSWERS, "")

static void a_good_report_is_read_and_scored(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(read_it(f, GOOD), READ_OK);
    assert_string_equal(f->r.id, "R-1");
    assert_string_equal(f->r.patient, "P-1");
    assert_string_equal(f->r.completed_at, "2024-11-20T07:15:00Z");
    assert_int_equal(f->r.total, 7);
    assert_string_equal(f->r.severity, "mild");
    assert_string_equal(f->r.alert, "");
    assert_string_equal(f->r.comment, "");
}

static void what_is_only_untidy_is_cleaned(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        read_it(f, " {\"more\":[{}],\"comment\":\" a\\u0007\\n \",\"patient\":"
                   "\" p-1\\u00a0\",\"instrument\":\"gad 7\",\"answers\":"
                   "[\"3\",3,\" 2 \",3,3,3,3],\"report\":\"R-1\\n\","
                   "\"completed_at\":" AT "}\n"),
        READ_OK);
    assert_string_equal(f->r.id, "R-1");
    assert_string_equal(f->r.patient, "P-1");
    assert_string_equal(f->r.comment, "a");
    assert_int_equal(f->r.total, 20);
    assert_string_equal(f->r.severity, "severe");
    assert_string_equal(f->r.alert, "severe");
}

static void what_is_wrong_has_a_reason(void **state)
{
    static const struct {
        const char *json, *why;
    } wrong[] = {
        {"", "the report is no JSON"},
        {"{", "the report is no JSON"},
        {"null", "the report is null: an object is needed"},
        {"[1]", "the report is an array: an object is needed"},
        {"true", "the report is true: an object is needed"},
        {"\"R-1\"", "the report is a text: an object is needed"},
        {"{}", "report is missing"},
        {WITH("17", PATIENT, PHQ, AT, ANSWERS, ""),
         "report is a number: a text is needed"},
        {WITH("\" \"", PATIENT, PHQ, AT, ANSWERS, ""), "report is empty"},
        {WITH("\"a/b\"", PATIENT, PHQ, AT, ANSWERS, ""),
         "report is \"a/b\": letters, digits and ._:- are allowed"},
        {WITH("\"1234567890123456789012345678901234567890123456789\"", PATIENT,
              PHQ, AT, ANSWERS, ""),
         "report has 49 characters: 48 are allowed"},
        {WITH(ID, "null", PHQ, AT, ANSWERS, ""), "patient is missing"},
        {WITH(ID, "{}", PHQ, AT, ANSWERS, ""),
         "patient is an object: a text is needed"},
        {WITH(ID, PATIENT, "\"PHQ-8\"", AT, ANSWERS, ""),
         "instrument \"PHQ-8\" is not known: PHQ-9 or GAD-7"},
        {WITH(ID, PATIENT, PHQ, "\"20.11.2024\"", ANSWERS, ""),
         "completed_at is \"20.11.2024\": an instant as 2026-11-20T08:15:00Z "
         "is needed"},
        {WITH(ID, PATIENT, PHQ, "1735689600", ANSWERS, ""),
         "completed_at is a number: a text is needed"},
        {WITH(ID, PATIENT, PHQ, "\"2025-01-01T00:05:01Z\"", ANSWERS, ""),
         "completed_at is \"2025-01-01T00:05:01Z\": that is in the future"},
        {WITH(ID, PATIENT, PHQ, AT, "null", ""), "answers are missing"},
        {WITH(ID, PATIENT, PHQ, AT, "\"1\"", ""),
         "answers are a text: an array is needed"},
        {WITH(ID, PATIENT, PHQ, AT, "[]", ""), "0 answers: PHQ-9 needs 9"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,0,2,3,0,1,0,0]", ""),
         "8 answers: PHQ-9 needs 9"},
        {WITH(ID, PATIENT, "\"GAD-7\"", AT, ANSWERS, ""),
         "9 answers: GAD-7 needs 7"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,0,2,7,0,1,0,0,0]", ""),
         "answer 4 is 7: 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,0,2,3,0,1,0,0,-1]", ""),
         "answer 9 is -1: 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1.0,0,2,3,0,1,0,0,0]", ""),
         "answer 1 is 1.0: 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,0,2,3,null,1,0,0,0]", ""),
         "answer 5 is missing"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,false,2,3,0,1,0,0,0]", ""),
         "answer 2 is false: 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,[0],2,3,0,1,0,0,0]", ""),
         "answer 2 is an array: 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,\"often\",2,3,0,1,0,0,0]", ""),
         "answer 2 is \"often\": 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,\"\",2,3,0,1,0,0,0]", ""),
         "answer 2 is \"\": 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, "[1,\"12\",2,3,0,1,0,0,0]", ""),
         "answer 2 is \"12\": 0 to 3 is allowed"},
        {WITH(ID, PATIENT, PHQ, AT, ANSWERS, ",\"comment\":7"),
         "comment is a number: a text is needed"},
        {WITH(ID, PATIENT, PHQ, AT, ANSWERS, ",\"comment\":\"\xff\""),
         "comment is no UTF-8"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(read_it(f, wrong[i].json), READ_REFUSED);
        assert_string_equal(f->why, wrong[i].why);
    }
    /* A clock may be fast by five minutes. */
    assert_int_equal(read_it(f, WITH(ID, PATIENT, PHQ,
                                     "\"2025-01-01T00:05:00Z\"", ANSWERS, "")),
                     READ_OK);
}

static void comments_have_a_longest(void **state)
{
    static char json[8192 + 256];
    struct fixture *f = *state;

    for (int more = 0; more < 2; more++) {
        size_t at = (size_t)snprintf(json, sizeof(json), "%.*s,\"comment\":\"",
                                     (int)(sizeof(GOOD) - 2), GOOD);
        for (int i = 0; i < COMMENT_MAX + more; i++)
            at += (size_t)snprintf(json + at, sizeof(json) - at, "😴");
        (void)snprintf(json + at, sizeof(json) - at, "\"}");
        assert_int_equal(read_it(f, json), more ? READ_REFUSED : READ_OK);
        if (!more)
            assert_int_equal(strlen(f->r.comment), 4 * COMMENT_MAX);
    }
    assert_string_equal(f->why, "comment has 2001 characters: 2000 are "
                                "allowed");
}

static void a_report_is_stored_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(read_it(f, GOOD), READ_OK);
    assert_int_equal(store_report(f->store, f->c, &f->r, "a"), STORED_NEW);
    assert_int_equal(store_report(f->store, f->c, &f->r, "b"), STORED_ALREADY);
    f->r.answers[0] = 2;
    assert_int_equal(store_report(f->store, f->c, &f->r, "c"),
                     STORED_OTHERWISE);
    (void)snprintf(f->r.id, sizeof(f->r.id), "R-2");
    assert_int_equal(store_report(f->store, f->c, &f->r, "d"), STORED_NEW);
    (void)snprintf(f->r.patient, sizeof(f->r.patient), "P-2");
    assert_int_equal(store_report(f->store, f->c, &f->r, "e"),
                     STORED_NO_PATIENT);
}

static void a_stored_report_says_which_alert_it_needs(void **state)
{
    struct fixture *f = *state;
    char job[ALERT_JOB_MAX];

    assert_int_equal(
        read_it(f, WITH(ID, PATIENT, PHQ, AT, "[0,0,0,0,0,0,0,0,1]", "")),
        READ_OK);
    assert_int_equal(store_alert_job(f->c, "R-1", job), 0);
    assert_string_equal(job, "");
    assert_int_equal(store_alert(f->store, f->c, "R-1", "x"), STORED_OTHERWISE);
    assert_int_equal(store_report(f->store, f->c, &f->r, "a"), STORED_NEW);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_alert_job(f->c, "R-1", job), 0);
        assert_string_equal(
            job,
            "{\"id\":\"alert-R-1\",\"type\":\"epro.alert\","
            "\"queue\":\"alerts\",\"unique\":\"alert-R-1\",\"payload\":"
            "{\"report\":\"R-1\",\"patient\":\"P-1\",\"why\":\"item 9\"}}");
    }
    assert_int_equal(store_alert(f->store, f->c, "R-1", "x"), STORED_NEW);
    assert_int_equal(store_alert(f->store, f->c, "R-1", "y"), STORED_ALREADY);
}

static void a_lock_of_others_changes_nothing(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = NULL;

    assert_int_equal(read_it(f, GOOD), READ_OK);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(store_report(f->store, f->c, &f->r, "a"), STORED_NOT_NOW);
    assert_int_equal(f->c->code, SQLITE_BUSY);
    assert_string_equal(f->c->why, "database is locked");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(store_report(f->store, f->c, &f->r, "a"), STORED_NEW);
}

/* As on a disk that is full: no page more than there are. */
static void a_full_disk_is_told_and_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    enum stored stored;

    assert_int_equal(read_it(f, GOOD), READ_OK);
    memset(f->r.comment, 'x', COMMENT_MAX);
    assert_int_equal(
        sqlite3_exec(f->c->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL),
        SQLITE_OK);
    do {
        (void)snprintf(f->r.id, sizeof(f->r.id), "R-%u", n++);
        stored = store_report(f->store, f->c, &f->r, "a");
    } while (stored == STORED_NEW && n < 100);
    assert_int_equal(stored, STORED_NOT_NOW);
    assert_int_equal(f->c->code, SQLITE_FULL);
    assert_string_equal(f->c->why, "database or disk is full");
    assert_int_not_equal(sqlite3_get_autocommit(f->c->db), 0);
    assert_int_equal(sqlite3_exec(f->c->db, "PRAGMA max_page_count = 100000",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(store_report(f->store, f->c, &f->r, "a"), STORED_NEW);
}

static void a_file_without_tables_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[sizeof(f->path) + 8];

    (void)snprintf(path, sizeof(path), "%s.not", f->path);
    assert_null(store_open(path, 0, f->why, sizeof(f->why)));
    assert_non_null(strstr(f->why, "unable to open database file"));
    execute(f, "DROP TABLE alert");
    assert_null(store_open(f->path, 0, f->why, sizeof(f->why)));
    assert_non_null(strstr(f->why, "no such table: alert"));
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_good_report_is_read_and_scored),
        CLAIM(what_is_only_untidy_is_cleaned),
        CLAIM(what_is_wrong_has_a_reason),
        CLAIM(comments_have_a_longest),
        CLAIM(a_report_is_stored_once),
        CLAIM(a_stored_report_says_which_alert_it_needs),
        CLAIM(a_lock_of_others_changes_nothing),
        CLAIM(a_full_disk_is_told_and_leaves_nothing_behind),
        CLAIM(a_file_without_tables_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
