/*
 * Claims about handlers of kind command: which command lines may run, what a
 * payload may say, and how a run of one ends.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler.h"
#include "worker/handler_keys.h"

static void set_key(struct handler_keys *keys, const char *name,
                    const char *value)
{
    struct errbuf eb = {""};
    unsigned i = 0;

    while (strcmp(handler_keys_name(i), name) != 0)
        i++;
    if (handler_keys_set(keys, i, value, &eb) != 0)
        fail_msg("%s: %s", name, eb.text);
}

/* Type c, with the two keys unless they are NULL. */
static void allow(struct runner_fixture *f, const char *spec, const char *env,
                  const char *dir)
{
    struct handler_keys keys;
    struct errbuf eb = {""};
    char *what = mem_printf("command:%s", spec);

    handler_keys_init(&keys);
    if (env != NULL)
        set_key(&keys, "allow-env", env);
    if (dir != NULL)
        set_key(&keys, "allow-dir", dir);
    handlers_free(f->hs);
    f->hs = handlers_new(&f->limits);
    if (handlers_add_with(f->hs, "c", what, &f->limits, &keys, &eb) != 0)
        fail_msg("%s", eb.text);
    handler_keys_done(&keys);
    free(what);
}

static struct delivery *run(struct runner_fixture *f, const char *payload)
{
    struct delivery *d = runner_delivery(f, "c", payload, NULL);

    handler_run(d, f->cancel_fd);
    return d;
}

static void expect_fail(struct runner_fixture *f, const char *payload,
                        enum verdict v, const char *class, const char *message)
{
    struct delivery *d = run(f, payload);

    expect_verdict(d, v, class);
    expect_contains(&d->outcome.message, message);
    delivery_free(d);
}

static void what_is_allowed_runs(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    allow(f, "echo *", NULL, NULL);
    d = run(f, "[\"echo\",\"a  b; $HOME `x`\"]");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "a  b; $HOME `x`\n");
    assert_int_equal(d->outcome.exit_status, 0);
    delivery_free(d);
    d = run(f, "{\"argv\":[\"echo\",\"\"]}");
    expect_result(d, "\n");
    delivery_free(d);
}

static void patterns_are_matched_word_by_word(void **state)
{
    static const struct {
        const char *spec, *payload;
        bool runs;
    } rows[] = {
        {"true", "[\"true\"]", true},
        {"true", "[\"true\",\"x\"]", false},
        {"true x", "[\"true\"]", false},
        {"true ; echo a", "[\"echo\",\"a\"]", true},
        {"true ; echo a", "[\"echo\",\"b\"]", false},
        {"true ...", "[\"true\"]", true},
        {"true ...", "[\"true\",\"-x\",\"/y\"]", true},
        {"true a ...", "[\"true\"]", false},
        {"true a ...", "[\"true\",\"a\",\"b\"]", true},
        {"true *", "[\"true\",\"a/b\"]", true},
        {"true *", "[\"true\",\"../../x\"]", true},
        {"true *", "[\"true\",\"\"]", true},
        {"true /data/*", "[\"true\",\"/data/a/.b\"]", true},
        {"true /data/*", "[\"true\",\"/data/../etc\"]", false},
        {"true /data/*", "[\"true\",\"/data/a/..\"]", false},
        {"true /data/*", "[\"true\",\"/data/a..b\"]", true},
        {"true --to=*", "[\"true\",\"--to=../x\"]", false},
        {"true ../*", "[\"true\",\"../x\"]", true},
        {"true [!-]*", "[\"true\",\"-x\"]", false},
        {"true '[;]'", "[\"true\",\";\"]", true},
        {"'true' 'a b'", "[\"true\",\"a b\"]", true},
        {"t*", "[\"true\"]", true},
        {"*", "[\"/bin/true\"]", false},
        {"/bin/*", "[\"true\"]", false},
        {"/bin/*", "[\"/bin/true\"]", true},
        {"/bin/*", "[\"/bin/../bin/true\"]", false},
        {"/*/true", "[\"/bin/../bin/true\"]", false},
        {"true", "[\"TRUE\"]", false},
        {"true", "[\"true \"]", false},
    };
    struct runner_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct delivery *d;

        allow(f, rows[i].spec, NULL, NULL);
        d = run(f, rows[i].payload);
        if ((d->outcome.verdict == VERDICT_DONE) != rows[i].runs ||
            (!rows[i].runs && d->outcome.verdict != VERDICT_DEAD))
            fail_msg("%s: %s: verdict %d", rows[i].spec, rows[i].payload,
                     (int)d->outcome.verdict);
        if (!rows[i].runs)
            expect_verdict(d, VERDICT_DEAD, "forbidden");
        delivery_free(d);
    }
}

static void what_is_forbidden_is_dead_and_named(void **state)
{
    struct runner_fixture *f = *state;

    allow(f, "make all", NULL, NULL);
    expect_fail(f, "[\"sh\",\"-c\",\"rm -r /\"]", VERDICT_DEAD, "forbidden",
                "not allowed here: sh -c \"rm -r /\"");
    expect_fail(f, "{\"argv\":[\"make\",\"all\"],\"env\":{\"A\":\"1\"}}",
                VERDICT_DEAD, "forbidden", "not allowed here: variable A");
    expect_fail(f, "{\"argv\":[\"make\",\"all\"],\"dir\":\"/tmp\"}",
                VERDICT_DEAD, "forbidden", "not allowed here: directory /tmp");
}

static void a_variable_is_given_if_a_pattern_allows_it(void **state)
{
    static const char *const never[] = {"PATH", "LD_PRELOAD", "BELT_JOB_ID"};
    struct runner_fixture *f = *state;
    struct delivery *d;
    char payload[128];

    allow(f, "sh -c *", "A B_* HOME", NULL);
    d = run(f, "{\"argv\":[\"sh\",\"-c\",\"echo $A $B_X $HOME $BELT_JOB_ID\"],"
               "\"env\":{\"A\":\"1 2\",\"B_X\":\"=\",\"HOME\":\"h\"}}");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "1 2 = h job-1\n");
    delivery_free(d);
    expect_fail(f, "{\"argv\":[\"sh\",\"-c\",\"x\"],\"env\":{\"C\":\"\"}}",
                VERDICT_DEAD, "forbidden", "variable C");
    expect_fail(f, "{\"argv\":[\"sh\",\"-c\",\"x\"],\"env\":{\"A=\":\"\"}}",
                VERDICT_DEAD, "payload", "not a name");
    allow(f, "sh -c *", "*", NULL);
    for (size_t i = 0; i < 3; i++) {
        snprintf(payload, sizeof(payload),
                 "{\"argv\":[\"sh\",\"-c\",\"x\"],\"env\":{\"%s\":\"x\"}}",
                 never[i]);
        expect_fail(f, payload, VERDICT_DEAD, "forbidden", never[i]);
    }
}

static void a_directory_is_given_if_a_pattern_allows_it(void **state)
{
    struct runner_fixture *f = *state;
    char *payload = mem_printf("{\"argv\":[\"pwd\"],\"dir\":\"%s\"}", f->dir);
    char *line = mem_printf("%s\n", f->dir), *up, *gone;
    struct delivery *d;

    allow(f, "pwd", NULL, "/tmp/* /var/*");
    if (strncmp(f->dir, "/tmp/", 5) == 0) {
        d = run(f, payload);
        expect_verdict(d, VERDICT_DONE, "");
        expect_result(d, line);
        delivery_free(d);
    }
    up = mem_printf("{\"argv\":[\"pwd\"],\"dir\":\"%s/../..\"}", f->dir);
    expect_fail(f, up, VERDICT_DEAD, "forbidden", "directory");
    gone = mem_printf("{\"argv\":[\"pwd\"],\"dir\":\"/tmp/none-of-it\"}");
    expect_fail(f, gone, VERDICT_RETRY, "spawn", "No such file");
    free(gone);
    free(up);
    free(line);
    free(payload);
}

static void input_is_its_stdin(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    allow(f, "cat", NULL, NULL);
    d = run(f, "{\"argv\":[\"cat\"],\"input\":\"a\\n\\u00e4\"}");
    expect_result(d, "a\n\xc3\xa4");
    delivery_free(d);
    d = run(f, "[\"cat\"]");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "");
    delivery_free(d);
}

static void a_payload_that_is_none_is_dead(void **state)
{
    static const struct {
        const char *payload, *message;
    } rows[] = {
        {"null", "payload: neither an object nor an array"},
        {"\"make\"", "payload: neither"},
        {"[]", "names no program"},
        {"[\"\"]", "names no program"},
        {"{}", "names no program"},
        {"[\"make\",1]", "payload: word 2 is no text"},
        {"[\"make\",\"\\u0000\"]", "word 2 is no text"},
        {"{\"argv\":\"make\"}", "\"argv\": not an array of texts"},
        {"{\"argv\":[\"make\"],\"argv\":[\"all\"]}",
         "\"argv\": it is there twice"},
        {"{\"argv\":[\"make\"],\"evn\":{}}", "\"evn\": argv, env, dir and"},
        {"{\"argv\":[\"make\"],\"env\":{\"A\":1}}", "\"env\": A: no text"},
        {"{\"argv\":[\"make\"],\"dir\":7}", "\"dir\": no text"},
    };
    struct runner_fixture *f = *state;
    char *word = mem_new(200 * 1000);

    allow(f, "make ...", "*", "*");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_fail(f, rows[i].payload, VERDICT_DEAD, "payload",
                    rows[i].message);
    memset(word, 'x', 140 * 1000);
    char *payload = mem_printf("[\"make\",\"%s\"]", word);
    expect_fail(f, payload, VERDICT_DEAD, "payload", "too long to be run");
    free(payload);
    free(word);
}

/* Any code but 0 is a failure: it knows nothing of ours. */
static void exit_codes_are_plain_failures(void **state)
{
    static const int codes[] = {1, 2, 65, 75, 99, 100, 126, 127, 255};
    struct runner_fixture *f = *state;
    struct delivery *d;
    char payload[64];

    allow(f, "sh -c *", NULL, NULL);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        snprintf(payload, sizeof(payload),
                 "[\"sh\",\"-c\",\"echo why >&2; exit %d\"]", codes[i]);
        d = run(f, payload);
        expect_verdict(d, VERDICT_RETRY, "exit");
        assert_int_equal(d->outcome.exit_status, codes[i]);
        expect_contains(&d->outcome.message, ": why");
        delivery_free(d);
    }
    d = run(f, "[\"sh\",\"-c\",\"kill -TERM $$\"]");
    expect_verdict(d, VERDICT_RETRY, "signal");
    assert_int_equal(d->outcome.exit_status, 128 + SIGTERM);
    delivery_free(d);
}

static void what_cannot_be_started_fails_as_in_a_shell(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;

    allow(f, "belt-no-such-program ; /tmp", NULL, NULL);
    d = run(f, "[\"belt-no-such-program\"]");
    expect_verdict(d, VERDICT_RETRY, "spawn");
    assert_int_equal(d->outcome.exit_status, 127);
    expect_contains(&d->outcome.message, "belt-no-such-program: No such file");
    delivery_free(d);
    d = run(f, "[\"/tmp\"]");
    expect_verdict(d, VERDICT_RETRY, "spawn");
    assert_int_equal(d->outcome.exit_status, 126);
    delivery_free(d);
}

static void the_end_of_its_output_is_kept_and_all_of_it_logged(void **state)
{
    struct runner_fixture *f = *state;
    struct delivery *d;
    struct buf log;

    f->limits.result_max = 20;
    allow(f, "seq ...", NULL, NULL);
    d = run(f, "[\"seq\",\"100\"]");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "\n95\n96\n97\n98\n99\n100\n");
    assert_true(d->outcome.result_truncated);
    delivery_free(d);
    log = runner_log(f);
    assert_non_null(strstr(log.data, "ev=stdout"));
    assert_non_null(strstr(log.data, "message=57"));
    buf_done(&log);
}

static void a_spec_that_is_wrong_is_named(void **state)
{
    static const struct {
        const char *spec, *message;
    } rows[] = {
        {"c=command:", "it names no program"},
        {"c=command:make ; ; x", "names no program"},
        {"c=command:make ;", "names no program"},
        {"c=command:...", "names no program"},
        {"c=command:make ... all", "... is the last word"},
        {"c=command:./make", "./make: a program is a name or an absolute path"},
        {"c=command:make all; ls", "all;: a blank goes before ;"},
        {"c=command:make 'all", "is not closed"},
    };
    struct handlers *hs = handlers_new(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct errbuf eb = {""};

        assert_int_equal(handlers_add(hs, rows[i].spec, &eb), ERR_INVALID);
        if (strstr(eb.text, rows[i].message) == NULL)
            fail_msg("%s: %s", rows[i].spec, eb.text);
    }
    handlers_free(hs);
}

#define IN_DIR(test)                                                           \
    cmocka_unit_test_setup_teardown(test, runner_setup, runner_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(what_is_allowed_runs),
        IN_DIR(patterns_are_matched_word_by_word),
        IN_DIR(what_is_forbidden_is_dead_and_named),
        IN_DIR(a_variable_is_given_if_a_pattern_allows_it),
        IN_DIR(a_directory_is_given_if_a_pattern_allows_it),
        IN_DIR(input_is_its_stdin),
        IN_DIR(a_payload_that_is_none_is_dead),
        IN_DIR(exit_codes_are_plain_failures),
        IN_DIR(what_cannot_be_started_fails_as_in_a_shell),
        IN_DIR(the_end_of_its_output_is_kept_and_all_of_it_logged),
        cmocka_unit_test(a_spec_that_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
