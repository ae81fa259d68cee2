/*
 * Claims about the member "then" of an envelope.
 */
#include "common/job/then.h"

#include <string.h>

#include "common/base/ulid.h"
#include "common/job/job.h"
#include "tests/unit/unit.h"

#define FULL "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5}"

static struct json_span span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static int count(void *arg, struct json_span element)
{
    unsigned *n = arg;

    (void)element;
    (*n)++;
    return 0;
}

static void expect_elements(const char *then, unsigned wanted)
{
    unsigned n = 0;

    assert_int_equal(then_each(span(then), count, &n, NULL), 0);
    assert_int_equal(n, wanted);
}

static void one_envelope_or_an_array_of_them(void **state)
{
    (void)state;
    expect_elements(FULL, 1);
    expect_elements("[]", 0);
    expect_elements("[" FULL ", 7, " FULL "]", 3);
}

static void anything_else_is_refused_before_the_first(void **state)
{
    struct errbuf eb;
    struct buf many = {0};
    unsigned n = 0;

    (void)state;
    assert_int_equal(then_each(span("7"), count, &n, &eb), ERR_INVALID);
    assert_string_equal(eb.text,
                        "then: neither an envelope nor an array of them");
    for (int i = 0; i <= THEN_MAX; i++)
        buf_str(&many, i == 0 ? "[" FULL : "," FULL);
    buf_char(&many, ']');
    assert_int_equal(then_each(span(many.data), count, &n, &eb), ERR_INVALID);
    assert_string_equal(eb.text, "then: more than 100 envelopes");
    assert_int_equal(n, 0);
    buf_done(&many);
}

/* Completes it for the queue q, at the instant 9. */
static void expect_completed(const char *element, const char *wanted,
                             bool ready)
{
    struct buf out = {0};
    struct errbuf eb = {"accepted"};
    bool is_ready = !ready;

    if (then_complete(span(element), "q", 9, &out, &is_ready, &eb) != 0)
        fail_msg("%s: %s", element, eb.text);
    assert_string_equal(out.data, wanted);
    assert_int_equal(is_ready, ready);
    buf_done(&out);
}

static void what_goes_to_the_same_queue_and_at_once_is_ready(void **state)
{
    (void)state;
    expect_completed(FULL, FULL, true);
    expect_completed("{\"type\":\"t\",\"id\":\"a\"}",
                     "{\"id\":\"a\",\"created_at\":9,\"type\":\"t\"}", true);
    expect_completed(
        "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,\"queue\":\"q\"}",
        "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,\"queue\":\"q\"}", true);
    expect_completed("{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,"
                     "\"queue\":null,\"expires_at\":7,\"keep\":0}",
                     "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,"
                     "\"queue\":null,\"expires_at\":7,\"keep\":0}",
                     true);
}

static void what_needs_more_names_its_queue(void **state)
{
    (void)state;
    expect_completed(
        "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,\"queue\":\"x\"}",
        "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,\"queue\":\"x\"}",
        false);
#define HERE "{\"id\":\"a\",\"created_at\":9,\"queue\":\"q\",\"type\":\"t\","
    expect_completed("{\"type\":\"t\",\"id\":\"a\",\"in\":60000}",
                     HERE "\"in\":60000}", false);
    expect_completed("{\"type\":\"t\",\"id\":\"a\",\"at\":7}", HERE "\"at\":7}",
                     false);
    expect_completed("{\"type\":\"t\",\"id\":\"a\",\"unique\":\"k\"}",
                     HERE "\"unique\":\"k\"}", false);
    expect_completed("{\"type\":\"t\",\"id\":\"a\",\"queue\":null,\"keep\":1}",
                     HERE "\"keep\":1}", false);
    expect_completed("{\"type\":\"t\",\"id\":\"a\",\"queue\":\"q\",\"keep\":1}",
                     "{\"id\":\"a\",\"created_at\":9,\"type\":\"t\","
                     "\"queue\":\"q\",\"keep\":1}",
                     false);
}

static void what_has_no_id_gets_one(void **state)
{
    struct buf out = {0};
    bool ready;

    (void)state;
    assert_int_equal(
        then_complete(span("{\"type\":\"t\"}"), "q", 9, &out, &ready, NULL), 0);
    assert_int_equal(strcspn(out.data + strlen("{\"id\":\""), "\""), ULID_LEN);
    assert_true(ready);
    buf_done(&out);
}

static void nested_ones_are_carried_unread(void **state)
{
    (void)state;
    expect_completed("{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,"
                     "\"then\":[ {\"then\" : 7} ]}",
                     "{\"id\":\"a\",\"type\":\"t\",\"created_at\":5,"
                     "\"then\":[ {\"then\" : 7} ]}",
                     true);
}

static void expect_refused(const char *element, const char *why)
{
    struct buf out = {0};
    struct errbuf eb = {"accepted"};
    bool ready;

    buf_str(&out, "before");
    assert_int_equal(then_complete(span(element), "q", 9, &out, &ready, &eb),
                     ERR_INVALID);
    assert_string_equal(eb.text, why);
    assert_string_equal(out.data, "before");
    buf_done(&out);
}

static void an_element_that_is_no_envelope_is_refused(void **state)
{
    (void)state;
    expect_refused("7", "not an object");
    expect_refused("{}", "type: missing");
    expect_refused("{\"type\":\"t\",\"queue\":\"a b\"}",
                   "queue: not a name of 1 to 64 characters from A-Z a-z 0-9 . "
                   "_ -, a letter or digit first");
    expect_refused("{\"type\":\"t\",\"queue\":7}",
                   "queue: not a name of 1 to 64 characters from A-Z a-z 0-9 . "
                   "_ -, a letter or digit first");
    expect_refused("{\"type\":\"t\",\"queue\":\"x\",\"queue\":\"y\"}",
                   "queue: twice");
    expect_refused("{\"type\":\"t\",\"at\":1,\"in\":1}",
                   "at and in: only one can be heeded");
    expect_refused("{\"type\":\"t\",\"unique\":\"\"}",
                   "unique: the key is not a text of 1 to 128 bytes without "
                   "control characters");
}

/* What a push says to an envelope whose then is this. */
static void expect_push(const char *then, const char *why)
{
    struct buf line = {0}, out = {0};
    struct errbuf eb = {"accepted"};

    buf_printf(&line, "{\"type\":\"t\",\"then\":%s}", then);
    (void)job_complete(line.data, line.len, NULL, 9, 1 << 20, &out, NULL, &eb);
    assert_string_equal(eb.text, why);
    buf_done(&line);
    buf_done(&out);
}

static void a_push_checks_the_whole_chain(void **state)
{
    struct buf deep = {0};

    (void)state;
    expect_push("null", "accepted");
    expect_push("{\"type\":\"a\",\"then\":[{\"type\":\"b\"}]}", "accepted");
    expect_push("7", "then: neither an envelope nor an array of them");
    expect_push("[{\"type\":\"a\"},{\"type\":\"\"}]",
                "then 2: type: not a text of 1 to 128 bytes");
    expect_push("{\"type\":\"a\",\"then\":[{\"type\":\"b\"},{\"then\":{}}]}",
                "then 1: then 2: type: missing");
    expect_push("{\"type\":\"a\",\"backoff\":7}",
                "then 1: backoff: not a string, object or array");

    /* Beyond that depth it is somebody else's turn. */
    for (int i = 0; i < THEN_CHECK_DEPTH; i++)
        buf_str(&deep, "{\"type\":\"a\",\"then\":");
    buf_str(&deep, "{}");
    for (int i = 0; i < THEN_CHECK_DEPTH; i++)
        buf_char(&deep, '}');
    expect_push(deep.data, "accepted");
    buf_done(&deep);
}

static void a_push_refuses_a_bad_lock_and_two_times(void **state)
{
    struct buf out = {0};
    struct errbuf eb;
    const char *bad = "{\"type\":\"t\",\"unique\":{\"key\":7}}",
               *both = "{\"type\":\"t\",\"at\":1,\"in\":1}";

    (void)state;
    assert_int_equal(
        job_complete(bad, strlen(bad), NULL, 9, 999, &out, NULL, &eb),
        ERR_INVALID);
    assert_non_null(strstr(eb.text, "unique: "));
    assert_int_equal(
        job_complete(both, strlen(both), NULL, 9, 999, &out, NULL, &eb),
        ERR_INVALID);
    assert_non_null(strstr(eb.text, "at and in: "));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_envelope_or_an_array_of_them),
        cmocka_unit_test(anything_else_is_refused_before_the_first),
        cmocka_unit_test(what_goes_to_the_same_queue_and_at_once_is_ready),
        cmocka_unit_test(what_needs_more_names_its_queue),
        cmocka_unit_test(what_has_no_id_gets_one),
        cmocka_unit_test(nested_ones_are_carried_unread),
        cmocka_unit_test(an_element_that_is_no_envelope_is_refused),
        cmocka_unit_test(a_push_checks_the_whole_chain),
        cmocka_unit_test(a_push_refuses_a_bad_lock_and_two_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
