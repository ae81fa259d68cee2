/*
 * Claims about the parts of examples/epro: the published cut-offs, what is
 * cleaned and what is refused, what the store keeps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/epro/clean.h"
#include "examples/epro/report.h"
#include "examples/epro/score.h"
#include "examples/epro/store.h"
#include "tests/support/tmp.h"
#include "tests/unit/unit.h"

/* 2025-01-01T00:00:00Z */
enum { NOW = 1735689600 };

/* ---- score ---- */

static const struct instrument *by_name(const char *name)
{
    return instrument_find(name, strlen(name));
}

/* Kroenke, Spitzer, Williams 2001: 0-4, 5-9, 10-14, 15-19, 20-27. */
static void phq9_has_its_published_cut_offs(void **state)
{
    static const char *const names[] = {"minimal", "mild", "moderate",
                                        "moderately severe", "severe"};
    const struct instrument *phq9 = by_name("PHQ-9");

    (void)state;
    for (unsigned total = 0; total <= 27; total++)
        assert_string_equal(instrument_severity(phq9, total),
                            names[total < 20 ? total / 5 : 4]);
    assert_int_equal(phq9->items, 9);
}

/* Spitzer, Kroenke, Williams, Loewe 2006: 0-4, 5-9, 10-14, 15-21. */
static void gad7_has_its_published_cut_offs(void **state)
{
    static const char *const names[] = {"minimal", "mild", "moderate",
                                        "severe"};
    const struct instrument *gad7 = by_name("GAD-7");

    (void)state;
    for (unsigned total = 0; total <= 21; total++)
        assert_string_equal(instrument_severity(gad7, total),
                            names[total < 15 ? total / 5 : 3]);
    assert_int_equal(gad7->items, 7);
}

static void item_9_of_phq9_needs_no_sum_to_raise_an_alert(void **state)
{
    const struct instrument *phq9 = by_name("PHQ-9"), *gad7 = by_name("GAD-7");
    const unsigned none[] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    const unsigned only9[] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    const unsigned at19[] = {3, 3, 3, 3, 3, 3, 1, 0, 0};
    const unsigned at20[] = {3, 3, 3, 3, 3, 3, 2, 0, 0};
    const unsigned both[] = {3, 3, 3, 3, 3, 3, 0, 0, 2};
    const unsigned at14[] = {2, 2, 2, 2, 2, 2, 2};
    const unsigned at15[] = {2, 2, 2, 2, 2, 2, 3};

    (void)state;
    assert_string_equal(instrument_alert(phq9, none), "");
    assert_string_equal(instrument_alert(phq9, only9), "item 9");
    assert_string_equal(instrument_alert(phq9, at19), "");
    assert_string_equal(instrument_alert(phq9, at20), "severe");
    assert_string_equal(instrument_alert(phq9, both), "severe, item 9");
    assert_int_equal(instrument_total(phq9, both), 20);
    assert_string_equal(instrument_alert(gad7, at14), "");
    assert_string_equal(instrument_alert(gad7, at15), "severe");
}

static void instruments_are_known_by_any_spelling(void **state)
{
    (void)state;
    assert_ptr_equal(by_name("phq9"), by_name("PHQ-9"));
    assert_ptr_equal(by_name(" PHQ 9 "), by_name("PHQ-9"));
    assert_ptr_equal(by_name("PHQ\u20119"), by_name("PHQ-9"));
    assert_ptr_equal(by_name("gad_7"), by_name("GAD-7"));
    assert_null(by_name("PHQ-8"));
    assert_null(by_name("PHQ-99"));
    assert_null(by_name("PHQ"));
    assert_null(by_name(""));
}

/* ---- times and texts ---- */

static void instants_are_those_of_rfc_3339(void **state)
{
    static const struct {
        const char *text;
        int64_t at;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2025-01-01T00:00:00Z", NOW},
        {"2025-01-01t00:00:00.123456z", NOW},
        {"2025-01-01 01:30:00+01:30", NOW},
        {"2024-12-31T18:00:00-06:00", NOW},
        {"2024-02-29T12:00:00Z", 1709208000},
    };
    static const char *const bad[] = {
        "",
        "now",
        "2025-01-01",
        "2025-01-01T00:00:00",
        "2025-01-01T00:00Z",
        "2025-1-1T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:61Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00+1:00",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00+01:60",
        "2025-01-01T00:00:00Z ",
        "-1-01-01T00:00:00Z",
        "-01-01T00:00:00Z",
        "20250101T000000Z",
        "1735689600",
    };
    int64_t at;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(instant_read(good[i].text, &at), 0);
        assert_int_equal(at, good[i].at);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (instant_read(bad[i], &at) == 0)
            fail_msg("'%s' was taken for an instant", bad[i]);
}

static void expect_clean(const char *in, size_t size, size_t max,
                         enum clean wanted, const char *text, size_t count)
{
    char out[256];
    size_t n;

    assert_int_equal(clean_text(in, size, max, out, &n), wanted);
    if (wanted == CLEAN_NO_UTF8)
        return;
    assert_int_equal(n, count);
    if (wanted == CLEAN_OK)
        assert_string_equal(out, text);
}

static void texts_are_cleaned_by_characters(void **state)
{
    static const char turned[] = {'a', '\xe2', '\x80', '\xae', 'b'};
#define CLEAN(in, ...) expect_clean(in, sizeof(in) - 1, __VA_ARGS__)
    (void)state;
    CLEAN("", 5, CLEAN_OK, "", 0);
    CLEAN(" \t\n ", 5, CLEAN_OK, "", 0);
    CLEAN("  a b  ", 3, CLEAN_OK, "a b", 3);
    CLEAN("a\nb", 3, CLEAN_OK, "a\nb", 3);
    CLEAN("\u00a0ü\u3000", 1, CLEAN_OK, "ü", 1);
    CLEAN("a\0b\a\x7f", 2, CLEAN_OK, "ab", 2);
    expect_clean(turned, sizeof(turned), 2, CLEAN_OK, "ab", 2);
    CLEAN("😴😴", 2, CLEAN_OK, "😴😴", 2);
    CLEAN("😴😴😴", 2, CLEAN_TOO_LONG, NULL, 3);
    CLEAN("a    ", 1, CLEAN_OK, "a", 1);
    CLEAN("a    b", 5, CLEAN_TOO_LONG, NULL, 6);
    CLEAN("\xff", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xc3", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xc0\x80", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xed\xa0\x80", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xf4\x90\x80\x80", 5, CLEAN_NO_UTF8, NULL, 0);
    CLEAN("\xe0\x80\x80", 5, CLEAN_NO_UTF8, NULL, 0);
#undef CLEAN
}

static void quotes_show_the_beginning(void **state)
{
    char out[QUOTED_MAX];

    (void)state;
    assert_string_equal(clean_quote("PHQ\n\a8", 6, out), "\"PHQ8\"");
    const char *forty = "1234567890123456789012345678901234567890";
    assert_string_equal(clean_quote(forty, 40, out),
                        "\"1234567890123456789012345678901234567890\"");
    const char *more = "12345678901234567890123456789012345678901";
    assert_string_equal(clean_quote(more, 41, out),
                        "\"1234567890123456789012345678901234567890…\"");
    char wide[4 * 50 + 1] = "";
    for (int i = 0; i < 50; i++)
        strcat(wide, "😴");
    assert_int_equal(strlen(clean_quote(wide, 200, out)), 160 + 2 + 3);
}

/* ---- reading and storing ---- */

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
        cmocka_unit_test(phq9_has_its_published_cut_offs),
        cmocka_unit_test(gad7_has_its_published_cut_offs),
        cmocka_unit_test(item_9_of_phq9_needs_no_sum_to_raise_an_alert),
        cmocka_unit_test(instruments_are_known_by_any_spelling),
        cmocka_unit_test(instants_are_those_of_rfc_3339),
        cmocka_unit_test(texts_are_cleaned_by_characters),
        cmocka_unit_test(quotes_show_the_beginning),
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
