/*
 * Reading envelopes: every member, what is refused and in which words, and
 * which of two equal names counts.
 *
 * Thread: main.
 */
#include "common/job/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct job *parse(const char *text)
{
    struct job *job = NULL;
    struct errbuf eb = {""};

    if (job_parse(text, strlen(text), JOB_ENVELOPE_MAX_BYTES, &job, &eb) != 0)
        fail_msg("%s: %s", text, eb.text);
    return job;
}

static void assert_refused(const char *text, size_t len, const char *why)
{
    struct job *job = NULL;
    struct errbuf eb = {""};

    assert_int_equal(job_parse(text, len, JOB_ENVELOPE_MAX_BYTES, &job, &eb),
                     ERR_INVALID);
    assert_null(job);
    if (strncmp(eb.text, why, strlen(why)) != 0)
        fail_msg("%.*s: \"%s\", wanted \"%s\"", (int)len, text, eb.text, why);
}

static void assert_span(struct json_span span, const char *want)
{
    assert_int_equal(span.len, strlen(want));
    assert_memory_equal(span.p, want, span.len);
}

static void type_alone_is_an_envelope(void **state)
{
    static const char text[] = "{\"type\":\"email.welcome\"}";
    struct job *job = parse(text);

    (void)state;
    assert_string_equal(job->raw, text);
    assert_int_equal(job->raw_len, strlen(text));
    assert_string_equal(job->id, "");
    assert_string_equal(job->type, "email.welcome");
    assert_span(job->payload, "null");
    assert_null(job->backoff.p);
    assert_string_equal(job->traceparent, "");
    assert_int_equal(job->max_attempts, JOB_MAX_ATTEMPTS_DEFAULT);
    assert_int_equal(job->attempt, 0);
    assert_int_equal(job->created_at_ms, 0);
    assert_int_equal(job->recovered_count, 0);
    job_free(job);
    job_free(NULL);
}

static void every_member_is_read(void **state)
{
    struct job *job =
        parse("{\"id\":\"a-1\",\"type\":\"t\",\"payload\":{\"n\":[1 , 2]},"
              "\"created_at\":1,\"attempt\":2,\"max_attempts\":3,\"timeout\":4,"
              "\"expires_at\":5,\"keep\":6,\"crashes\":7,\"put_offs\":8,"
              "\"put_off_since\":9,\"backoff\":[1, 2],\"recovered\":[30,20,10],"
              "\"meta\":{\"x\":1,\"traceparent\":\"00-ab-cd-01\"},\"unique\":1,"
              "\"group\":2,\"batch\":3,\"then\":4,\"error\":5,\"failures\":6,"
              "\"snoozes\":7,\"mine\":8}");

    (void)state;
    assert_string_equal(job->id, "a-1");
    assert_string_equal(job->type, "t");
    assert_span(job->payload, "{\"n\":[1 , 2]}");
    assert_int_equal(job->created_at_ms, 1);
    assert_int_equal(job->attempt, 2);
    assert_int_equal(job->max_attempts, 3);
    assert_int_equal(job->timeout_ms, 4);
    assert_int_equal(job->expires_at_ms, 5);
    assert_int_equal(job->keep_ms, 6);
    assert_int_equal(job->crashes, 7);
    assert_int_equal(job->put_offs, 8);
    assert_int_equal(job->put_off_since_ms, 9);
    assert_span(job->backoff, "[1, 2]");
    assert_int_equal(job->recovered_count, 3);
    assert_int_equal(job->recovered_ms[0], 30);
    assert_int_equal(job->recovered_ms[2], 10);
    assert_string_equal(job->traceparent, "00-ab-cd-01");
    job_free(job);
}

static void null_is_the_same_as_absent(void **state)
{
    struct job *job = parse(
        "{\"id\":null,\"type\":\"t\",\"payload\":null,\"created_at\":null,"
        "\"attempt\":null,\"max_attempts\":null,\"backoff\":null,"
        "\"recovered\":null,\"meta\":null,\"timeout\":null}");

    (void)state;
    assert_string_equal(job->id, "");
    assert_span(job->payload, "null");
    assert_null(job->backoff.p);
    assert_int_equal(job->max_attempts, JOB_MAX_ATTEMPTS_DEFAULT);
    assert_int_equal(job->recovered_count, 0);
    job_free(job);
    assert_refused("{\"type\":null}", 13, "type: missing");
    assert_refused("{}", 2, "type: missing");
}

static void payloads_are_kept_byte_for_byte(void **state)
{
    static const char *const payloads[] = {
        "12345678901234567890",
        "1.0",
        "1",
        "-0",
        "1e400",
        "\"\\u0041\\/\\ud83d\\ude00\\u0000\"",
        "{\"a\":1,\"a\":1.0,\"id\":7,\"type\":[],\"a\":2}",
        "[ 1,\t2 ,\n3 ]",
        "\"\xc3\xa9\"",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(payloads); i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"type\":\"t\",\"payload\": %s }",
                 payloads[i]);
        struct job *job = parse(text);
        assert_span(job->payload, payloads[i]);
        job_free(job);
    }
}

static void integers_are_integers_of_64_bits(void **state)
{
    static const char *const names[] = {"created_at", "attempt",      "timeout",
                                        "expires_at", "keep",         "crashes",
                                        "put_offs",   "put_off_since"};
    static const char *const bad[] = {"1.0",
                                      "1e3",
                                      "-1",
                                      "\"1\"",
                                      "true",
                                      "[]",
                                      "{}",
                                      "9223372036854775808",
                                      "12345678901234567890"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char text[80], why[64];
        snprintf(why, sizeof(why), "%s: not a whole number", names[i]);
        for (size_t j = 0; j < COUNT(bad); j++) {
            snprintf(text, sizeof(text), "{\"type\":\"t\",\"%s\":%s}", names[i],
                     bad[j]);
            assert_refused(text, strlen(text), why);
        }
    }
}

static void numbers_that_sums_would_overflow_are_refused(void **state)
{
    static const struct {
        const char *name;
        int64_t most;
    } cases[] = {{"attempt", 1000000000},
                 {"max_attempts", 1000000000},
                 {"crashes", 1000000000},
                 {"put_offs", 1000000000},
                 {"timeout", JOB_DURATION_MAX_MS},
                 {"keep", JOB_DURATION_MAX_MS},
                 {"created_at", INT64_C(1) << 53},
                 {"expires_at", INT64_C(1) << 53},
                 {"put_off_since", INT64_C(1) << 53}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[80];
        snprintf(text, sizeof(text), "{\"type\":\"t\",\"%s\":%lld}",
                 cases[i].name, (long long)cases[i].most);
        job_free(parse(text));
        snprintf(text, sizeof(text), "{\"type\":\"t\",\"%s\":%lld}",
                 cases[i].name, (long long)cases[i].most + 1);
        assert_refused(text, strlen(text), cases[i].name);
    }
}

static void a_refusal_names_the_member(void **state)
{
    static const char *const cases[][2] = {
        {"\"max_attempts\":0",
         "max_attempts: not a whole number from 1 to 1000000000"},
        {"\"attempt\":-1", "attempt: not a whole number from 0 to 1000000000"},
        {"\"timeout\":1.5",
         "timeout: not a whole number of milliseconds from 0 to"},
        {"\"id\":\"\"", "id: not a text of 1 to 64"},
        {"\"id\":\"a b\"", "id: not a text of 1 to 64"},
        {"\"id\":\"\\u00e9\"", "id: not a text of 1 to 64"},
        {"\"id\":12", "id: not a text of 1 to 64"},
        {"\"id\":\"01234567890123456789012345678901234567890123456789"
         "012345678901234\"",
         "id: not a text of 1 to 64"},
        {"\"recovered\":7", "recovered: not an array"},
        {"\"recovered\":[1,-2]", "recovered: an element is not"},
        {"\"recovered\":[1,\"2\"]", "recovered: an element is not"},
        {"\"recovered\":[1.0]", "recovered: an element is not"},
        {"\"meta\":[]", "meta: not an object"},
        {"\"meta\":\"x\"", "meta: not an object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[160];
        snprintf(text, sizeof(text), "{\"type\":\"t\",%s}", cases[i][0]);
        assert_refused(text, strlen(text), cases[i][1]);
    }
}

static void a_type_is_text_without_control_characters(void **state)
{
    static const char *const bad[] = {
        "\"\"",        "5",           "\"a\\nb\"",    "\"\\u0000\"",
        "\"\\u007f\"", "\"\\u0085\"", "\"\xc2\x9f\"", "[\"t\"]"};
    char text[200], type[JOB_TYPE_MAX_LEN + 2];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(text, sizeof(text), "{\"type\":%s}", bad[i]);
        assert_refused(text, strlen(text), "type: ");
    }
    memset(type, 't', sizeof(type));
    type[JOB_TYPE_MAX_LEN + 1] = '\0';
    snprintf(text, sizeof(text), "{\"type\":\"%s\"}", type);
    assert_refused(text, strlen(text), "type: not a text of 1 to 128 bytes");
    snprintf(text, sizeof(text), "{\"type\":\"%s\"}", type + 1);
    struct job *job = parse(text);
    assert_int_equal(strlen(job->type), JOB_TYPE_MAX_LEN);
    job_free(job);
    job = parse("{\"type\":\"b\\u00fccher \xc2\xa0\xc3\x80\"}");
    assert_string_equal(job->type, "b\xc3\xbc"
                                   "cher \xc2\xa0\xc3\x80");
    job_free(job);
}

static void of_two_ids_or_recoveries_the_first_counts(void **state)
{
    struct job *job = parse("{\"id\":\"first\",\"recovered\":[2],\"type\":\"t\""
                            ",\"recovered\":\"junk\",\"id\":7,\"id\":\"x\"}");

    (void)state;
    assert_string_equal(job->id, "first");
    assert_int_equal(job->recovered_count, 1);
    assert_int_equal(job->recovered_ms[0], 2);
    job_free(job);
    /* A null in front is what an element without an id looks like. */
    job = parse("{\"id\":null,\"type\":\"t\",\"id\":\"x\"}");
    assert_string_equal(job->id, "");
    job_free(job);
}

static void any_other_known_name_twice_is_refused(void **state)
{
    static const char *const names[] = {
        "type",          "payload",  "created_at", "attempt", "timeout",
        "max_attempts",  "backoff",  "meta",       "keep",    "expires_at",
        "put_off_since", "put_offs", "crashes",    "error",   "failures",
        "snoozes",       "unique",   "group",      "batch",   "then"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char text[128], why[64];
        snprintf(why, sizeof(why), "%s: twice", names[i]);
        snprintf(text, sizeof(text), "{\"%s\":null,\"%s\":null}", names[i],
                 names[i]);
        assert_refused(text, strlen(text), why);
        snprintf(text, sizeof(text), "{\"%s\":null,\"\\u%04x%s\":null}",
                 names[i], (unsigned)names[i][0], names[i] + 1);
        assert_refused(text, strlen(text), why);
    }
    job_free(parse("{\"type\":\"t\",\"mine\":1,\"mine\":2}"));
}

static void names_are_compared_after_decoding(void **state)
{
    struct job *job = parse("{\"\\u0069d\":\"a\\u002d1\",\"typ\\u0065\":\"t\","
                            "\"p\\u0061yload\":3,\"ID\":5,\"idx\":{}}");

    (void)state;
    assert_string_equal(job->id, "a-1");
    assert_string_equal(job->type, "t");
    assert_span(job->payload, "3");
    job_free(job);
}

static void assert_no_traceparent(const char *meta)
{
    char text[160];

    snprintf(text, sizeof(text), "{\"type\":\"t\",\"meta\":%s}", meta);
    struct job *job = parse(text);
    assert_string_equal(job->traceparent, "");
    job_free(job);
}

static void only_a_good_traceparent_is_taken(void **state)
{
    (void)state;
    assert_no_traceparent("{}");
    assert_no_traceparent("{\"tracestate\":\"x\"}");
    assert_no_traceparent("{\"traceparent\":5}");
    assert_no_traceparent("{\"traceparent\":\"a\\nb\"}");
    assert_no_traceparent("{\"traceparent\":\"\xc3\xa9\"}");
    assert_no_traceparent("{\"traceparent\":"
                          "\"0123456789012345678901234567890123456789"
                          "012345678901234567890123\"}");
}

static void the_sixteen_newest_recoveries_are_kept(void **state)
{
    struct job *job = parse("{\"type\":\"t\",\"recovered\":[20,19,18,17,16,15,"
                            "14,13,12,11,10,9,8,7,6,5,4,3]}");

    (void)state;
    assert_int_equal(job->recovered_count, JOB_RECOVERED_MAX);
    assert_int_equal(job->recovered_ms[0], 20);
    assert_int_equal(job->recovered_ms[15], 5);
    assert_int_equal(job_recoveries_since(job, 0), 16);
    assert_int_equal(job_recoveries_since(job, 20), 1);
    assert_int_equal(job_recoveries_since(job, 19), 2);
    assert_int_equal(job_recoveries_since(job, 21), 0);
    job_free(job);
    /* Those that are not kept are checked all the same. */
    static const char bad[] = "{\"type\":\"t\",\"recovered\":[1,1,1,1,1,1,1,1,"
                              "1,1,1,1,1,1,1,1,1,null]}";
    assert_refused(bad, strlen(bad), "recovered: an element");
}

static void broken_json_is_refused_with_its_offset(void **state)
{
    static const char bad_utf8[] = "{\"type\":\"t\",\"payload\":\"ab\xff\"}";

    (void)state;
    assert_refused("", 0, "byte 0: ");
    assert_refused("[]", 2, "byte 0: expected an object");
    assert_refused("junk", 4, "byte 0: expected an object");
    assert_refused("{\"type\":\"t\"}x", 13, "byte 12: text behind");
    assert_refused(bad_utf8, strlen(bad_utf8), "byte 25: invalid UTF-8");
    assert_refused("{\"type\":\"t\"\0}", 13, "byte 11: ");
}

static void an_envelope_above_the_limit_is_too_big(void **state)
{
    static const char text[] = "{\"type\":\"t\"}";
    struct job *job = NULL;
    struct errbuf eb = {""};

    (void)state;
    assert_int_equal(job_parse(text, 12, 11, &job, &eb), ERR_TOO_BIG);
    assert_string_equal(eb.text, "envelope of 12 bytes, the limit is 11");
    assert_null(job);
    assert_int_equal(job_parse(text, 12, 12, &job, &eb), 0);
    job_free(job);
}

static void every_truncation_is_refused(void **state)
{
    static const char text[] =
        "{\"id\":\"a\",\"type\":\"t\",\"payload\":{\"x\":[1.5,\"\\u00e9\"]},"
        "\"recovered\":[12,11],\"meta\":{\"traceparent\":\"00\"}}";

    (void)state;
    job_free(parse(text));
    for (size_t n = 0; n < strlen(text); n++) {
        char *cut = mem_new(n);
        memcpy(cut, text, n);
        assert_refused(cut, n, "byte ");
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(type_alone_is_an_envelope),
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(null_is_the_same_as_absent),
        cmocka_unit_test(payloads_are_kept_byte_for_byte),
        cmocka_unit_test(integers_are_integers_of_64_bits),
        cmocka_unit_test(numbers_that_sums_would_overflow_are_refused),
        cmocka_unit_test(a_refusal_names_the_member),
        cmocka_unit_test(a_type_is_text_without_control_characters),
        cmocka_unit_test(of_two_ids_or_recoveries_the_first_counts),
        cmocka_unit_test(any_other_known_name_twice_is_refused),
        cmocka_unit_test(names_are_compared_after_decoding),
        cmocka_unit_test(only_a_good_traceparent_is_taken),
        cmocka_unit_test(the_sixteen_newest_recoveries_are_kept),
        cmocka_unit_test(broken_json_is_refused_with_its_offset),
        cmocka_unit_test(an_envelope_above_the_limit_is_too_big),
        cmocka_unit_test(every_truncation_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
