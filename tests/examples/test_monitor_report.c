/*
 * The report of examples/monitor: names that would break out of their place,
 * and files that are there whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/monitor/file.h"
#include "examples/monitor/report.h"
#include "examples/monitor/text.h"
#include "tests/examples/monitor_host.h"
#include "tests/unit/unit.h"

struct fixture {
    struct stage stage;
    struct host host;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    stage_set_up(&f->stage, "2", "6000");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stage_tear_down(&f->stage);
    free(f->host.parts);
    free(f);
    return 0;
}

static void job(struct fixture *f, const char *type, const char *payload)
{
    static int64_t fence;

    host_job(&f->host, &f->stage.monitor, type, "x", payload, ++fence);
    assert_int_equal(host_run(&f->host), BELT_DONE);
}

static void check_all(struct fixture *f)
{
    job(f, "monitor.night", "{\"run\":\"r\"}");
    job(f, "monitor.centre", "{\"run\":\"r\",\"centre\":1}");
    job(f, "monitor.centre", "{\"run\":\"r\",\"centre\":2}");
}

static char *written(int (*write)(FILE *, struct db *, const char *),
                     struct fixture *f)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(write(out, f->stage.db, "r"), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *escaped(void (*write)(FILE *, const char *), const char *text)
{
    char *ret = NULL;
    size_t size;
    FILE *out = open_memstream(&ret, &size);

    assert_non_null(out);
    write(out, text);
    assert_int_equal(fclose(out), 0);
    return ret;
}

static void texts_stay_texts(void **state)
{
    static const struct {
        void (*write)(FILE *, const char *);
        const char *text, *want;
    } tests[] = {
        {text_html, "<b>&amp;", "&lt;b&gt;&amp;amp;"},
        {text_html, "\"'", "&quot;&#39;"},
        {text_html, "\x01\x1b[0m\x7f\tä", "��[0m\x7f\tä"},
        {text_html, "", ""},
        {text_csv, "plain text", "plain text"},
        {text_csv, "a,b", "\"a,b\""},
        {text_csv, "say \"a\"", "\"say \"\"a\"\"\""},
        {text_csv, "two\nlines", "\"two\nlines\""},
        {text_csv, "\r", "\"\r\""},
        {text_csv, "", ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        char *got = escaped(tests[i].write, tests[i].text);

        assert_string_equal(got, tests[i].want);
        free(got);
    }
}

/* Texts of the registry in each place where the page has them. */
static void nothing_breaks_out_of_the_page(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->stage.registry, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "UPDATE centre SET name = '</text><script>1</script>\"';"
                     "UPDATE patient SET code = '<script>''\"&';"
                     "UPDATE measurement SET unit = '</td><script>,\"' WHERE"
                     " parameter = 'weight'",
                     NULL, NULL, NULL),
        SQLITE_OK);
    (void)sqlite3_close(db);
    check_all(f);
    char *page = written(report_page, f);
    assert_null(strstr(page, "<script"));
    assert_non_null(strstr(page, "&lt;script&gt;1&lt;/script&gt;&quot;"));
    assert_non_null(strstr(page, "&lt;script&gt;&#39;&quot;&amp;"));
    assert_non_null(strstr(page, "&lt;/td&gt;&lt;script&gt;"));
    free(page);
    char *csv = written(report_csv, f);
    assert_non_null(strstr(csv, ",\"<script>'\"\"&\","));
    assert_non_null(strstr(csv, ",\"</td><script>,\"\"\","));
    free(csv);
}

static void the_same_findings_make_the_same_report(void **state)
{
    struct fixture *f = *state;

    check_all(f);
    char *first = written(report_page, f), *csv = written(report_csv, f);
    int64_t count = stage_number(&f->stage, "SELECT count(*) FROM finding");
    /* Once more, in another order of delivery. */
    assert_int_equal(db_exec(f->stage.db, "DELETE FROM finding", ""), 0);
    assert_int_equal(
        db_exec(f->stage.db, "UPDATE run_centre SET complete = 0", ""), 0);
    job(f, "monitor.centre", "{\"run\":\"r\",\"centre\":2}");
    job(f, "monitor.centre", "{\"run\":\"r\",\"centre\":1}");
    char *second = written(report_page, f), *csv2 = written(report_csv, f);
    assert_string_equal(first, second);
    assert_string_equal(csv, csv2);
    int64_t rows = 0;
    for (const char *at = first; (at = strstr(at, "<tr id=\"f-")) != NULL; at++)
        rows++;
    assert_true(count > 20);
    assert_int_equal(rows, count);
    free(first);
    free(second);
    free(csv);
    free(csv2);
}

/* Charts of nothing, and of a patient with one value. */
static void a_report_without_findings_is_one(void **state)
{
    struct fixture *f = *state;

    check_all(f);
    assert_int_equal(db_exec(f->stage.db, "DELETE FROM finding", ""), 0);
    char *page = written(report_page, f);
    assert_non_null(strstr(page, "<p>None.</p>"));
    assert_null(strstr(page, "\"nan"));
    free(page);
}

static void the_job_writes_both(void **state)
{
    struct fixture *f = *state;
    char path[192], text[16] = "";
    const char *const names[] = {"report.html", "findings.csv"};

    check_all(f);
    for (int twice = 0; twice < 2; twice++)
        job(f, "monitor.report", "{\"run\":\"r\"}");
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/r/%s", f->stage.reports,
                       names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, text, 15), 15);
        (void)close(fd);
        assert_string_equal(text,
                            i == 0 ? "<!DOCTYPE html>" : "centre,patient,");
    }
    (void)snprintf(path, sizeof(path), "%s/r/report.html", f->stage.reports);
    assert_non_null(strstr(f->host.result, path));
}

static void a_directory_that_cannot_be_is_told(void **state)
{
    struct fixture *f = *state;

    check_all(f);
    (void)snprintf(f->stage.reports, sizeof(f->stage.reports), "/dev/null");
    host_job(&f->host, &f->stage.monitor, "monitor.report", "x",
             "{\"run\":\"r\"}", 1);
    assert_int_equal(host_run(&f->host), BELT_RETRY);
    assert_string_equal(f->host.message, "/dev/null/r: Not a directory");
}

/* ---- files ---- */

static void a_file_is_there_whole_or_not(void **state)
{
    struct fixture *f = *state;
    char path[192], text[16] = "";

    (void)snprintf(path, sizeof(path), "%s/file", f->stage.dir);
    assert_null(file_new("/nowhere/at/all", "file"));
    assert_int_equal(errno, ENOENT);
    struct file *dropped = file_new(f->stage.dir, "file");
    assert_non_null(dropped);
    (void)fputs("dropped", file_stream(dropped));
    assert_int_equal(access(path, F_OK), -1);
    file_drop(dropped);
    /* Two at once: one of them, whole. */
    struct file *a = file_new(f->stage.dir, "file");
    struct file *b = file_new(f->stage.dir, "file");
    (void)fputs("aaaa", file_stream(a));
    (void)fputs("bb", file_stream(b));
    assert_int_equal(file_keep(a), 0);
    assert_int_equal(file_keep(b), 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 2);
    (void)close(fd);
    assert_string_equal(text, "bb");
    (void)snprintf(path, sizeof(path), "%s/.file.*", f->stage.dir);
    glob_t left;
    assert_int_equal(glob(path, 0, NULL, &left), GLOB_NOMATCH);
}

static void a_full_disk_is_told(void **state)
{
    struct fixture *f = *state;
    struct file *file = file_new(f->stage.dir, "full");
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    assert_non_null(file);
    assert_true(full >= 0);
    (void)fputs("x", file_stream(file));
    assert_int_equal(dup2(full, fileno(file_stream(file))),
                     fileno(file_stream(file)));
    assert_int_equal(file_keep(file), -1);
    assert_int_equal(errno, ENOSPC);
    (void)close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_stay_texts),
        cmocka_unit_test_setup_teardown(nothing_breaks_out_of_the_page, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_same_findings_make_the_same_report,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_report_without_findings_is_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_job_writes_both, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_is_told,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_there_whole_or_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
