/*
 * Writing envelopes: rewrites that keep every byte they do not change, new
 * envelopes, strangers' envelopes completed, and what becomes of junk.
 *
 * Thread: main.
 */
#include "common/job/job.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1700000000000

struct fixture {
    struct buf out;
    struct errbuf eb;
};

static int setup(void **state)
{
    *state = mem_new(sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    buf_done(&f->out);
    free(f);
    return 0;
}

static struct job *parse(const char *text, size_t len)
{
    struct job *job = NULL;
    struct errbuf eb = {""};

    if (job_parse(text, len, JOB_ENVELOPE_MAX_BYTES, &job, &eb) != 0)
        fail_msg("%.*s: %s", (int)len, text, eb.text);
    return job;
}

static const char *rewrite(struct fixture *f, const char *text,
                           const struct job_change *changes, size_t n,
                           int64_t since_ms)
{
    struct job *job = parse(text, strlen(text));

    buf_clear(&f->out);
    job_rewrite(job, changes, n, since_ms, &f->out);
    job_free(job);
    job_free(parse(f->out.data, f->out.len));
    return f->out.data;
}

static void rewrite_keeps_what_it_does_not_know(void **state)
{
    assert_string_equal(
        rewrite(*state,
                " { \"x\" : 1.0 , \"id\" : \"a\",\"type\":\"t\",\n\"x\":1,"
                "\"payload\" : { \"big\": 12345678901234567890,\"a\":1,"
                "\"a\" : 2 },\"\\u0079\":\"\\/\" } \n",
                NULL, 0, 0),
        "{\"id\":\"a\",\"x\":1.0,\"type\":\"t\",\"x\":1,"
        "\"payload\":{ \"big\": 12345678901234567890,\"a\":1,"
        "\"a\" : 2 },\"\\u0079\":\"\\/\"}");
}

static void rewrite_puts_changes_at_the_end(void **state)
{
    const struct job_change changes[] = {{"attempt", "2"},
                                         {"error", "{\"class\":\"x\"}"},
                                         {"put_offs", NULL},
                                         {"failures", NULL}};

    assert_string_equal(
        rewrite(*state,
                "{\"id\":\"a\",\"attempt\":1,\"put_offs\":4,\"type\":\"t\","
                "\"\\u0065rror\":null,\"z\":0}",
                changes, COUNT(changes), 0),
        "{\"id\":\"a\",\"type\":\"t\",\"z\":0,\"attempt\":2,"
        "\"error\":{\"class\":\"x\"}}");
}

static void rewrite_writes_young_recoveries_in_front(void **state)
{
    static const char text[] = "{\"type\":\"t\",\"recovered\":[30,20,10],"
                               "\"id\":\"a\",\"recovered\":[5],\"id\":\"b\"}";

    assert_string_equal(rewrite(*state, text, NULL, 0, 20),
                        "{\"recovered\":[30,20],\"id\":\"a\",\"type\":\"t\"}");
    assert_string_equal(rewrite(*state, text, NULL, 0, 31),
                        "{\"id\":\"a\",\"type\":\"t\"}");
    const struct job_change replaced = {"recovered", "[99]"};
    assert_string_equal(rewrite(*state, text, &replaced, 1, 0),
                        "{\"recovered\":[99],\"id\":\"a\",\"type\":\"t\"}");
    const struct job_change removed = {"recovered", NULL};
    assert_string_equal(rewrite(*state, text, &removed, 1, 0),
                        "{\"id\":\"a\",\"type\":\"t\"}");
}

static void rewrite_appends_to_the_buffer(void **state)
{
    struct fixture *f = *state;
    struct job *job = parse("{\"id\":\"a\",\"type\":\"t\"}", 21);

    buf_str(&f->out, "before ");
    job_rewrite(job, NULL, 0, 0, &f->out);
    assert_string_equal(f->out.data, "before {\"id\":\"a\",\"type\":\"t\"}");
    job_free(job);
}

static void build_writes_what_is_said(void **state)
{
    struct fixture *f = *state;
    const struct job_spec spec = {
        .id = "a.b",
        .type = "say \"\xc3\xa9\"",
        .payload = {.p = "{\"n\": 12345678901234567890}", .len = 27},
        .created_at_ms = NOW,
        .max_attempts = 3,
        .timeout_ms = 4,
        .keep_ms = 5,
    };

    assert_int_equal(job_build(&spec, 1000, &f->out, &f->eb), 0);
    assert_string_equal(
        f->out.data,
        "{\"id\":\"a.b\",\"type\":\"say \\\"\xc3\xa9\\\"\","
        "\"created_at\":1700000000000,\"max_attempts\":3,\"timeout\":4,"
        "\"keep\":5,\"payload\":{\"n\": 12345678901234567890}}");
    struct job *job = parse(f->out.data, f->out.len);
    assert_string_equal(job->type, spec.type);
    assert_int_equal(job->max_attempts, 3);
    assert_int_equal(job->timeout_ms, 4);
    assert_int_equal(job->keep_ms, 5);
    job_free(job);
}

#define SPAN(text)                                                             \
    {                                                                          \
        .p = (text), .len = sizeof(text) - 1                                   \
    }

static void build_writes_the_options_of_a_job(void **state)
{
    struct fixture *f = *state;
    const struct job_spec spec = {
        .id = "a",
        .type = "t",
        .in_ms = 7,
        .expires_at_ms = 8,
        .backoff = SPAN("[1,2]"),
        .unique = SPAN("{\"key\":\"k\",\"until\":\"started\"}"),
        .then = SPAN("{\"type\":\"u\"}"),
        .meta = SPAN("{\"traceparent\":\"00-1\"}"),
    };

    assert_int_equal(job_build(&spec, 1000, &f->out, &f->eb), 0);
    assert_string_equal(
        f->out.data,
        "{\"id\":\"a\",\"type\":\"t\",\"in\":7,\"expires_at\":8,"
        "\"backoff\":[1,2],\"unique\":{\"key\":\"k\",\"until\":\"started\"},"
        "\"then\":{\"type\":\"u\"},\"meta\":{\"traceparent\":\"00-1\"}}");
    struct job *job = parse(f->out.data, f->out.len);
    assert_int_equal(job->in_ms, 7);
    assert_int_equal(job->expires_at_ms, 8);
    assert_int_equal(job->unique.len, spec.unique.len);
    assert_int_equal(job->then.len, spec.then.len);
    assert_string_equal(job->traceparent, "00-1");
    job_free(job);
}

static void build_makes_a_fresh_id_each_time(void **state)
{
    struct fixture *f = *state;
    const struct job_spec spec = {.type = "t"};
    char first[ULID_LEN + 1];

    assert_int_equal(job_build(&spec, 1000, &f->out, &f->eb), 0);
    struct job *job = parse(f->out.data, f->out.len);
    assert_int_equal(strlen(job->id), ULID_LEN);
    memcpy(first, job->id, sizeof(first));
    job_free(job);
    buf_clear(&f->out);
    assert_int_equal(job_build(&spec, 1000, &f->out, &f->eb), 0);
    job = parse(f->out.data, f->out.len);
    assert_string_not_equal(job->id, first);
    job_free(job);
}

static void assert_build_refused(struct fixture *f, struct job_spec spec,
                                 size_t max_bytes, int err, const char *why)
{
    buf_clear(&f->out);
    buf_str(&f->out, "before");
    assert_int_equal(job_build(&spec, max_bytes, &f->out, &f->eb), err);
    assert_string_equal(f->out.data, "before");
    assert_int_equal(f->out.len, 6);
    if (strncmp(f->eb.text, why, strlen(why)) != 0)
        fail_msg("\"%s\", wanted \"%s\"", f->eb.text, why);
}

static void build_refuses_and_leaves_the_buffer_alone(void **state)
{
    char deep[2 * JSON_DEPTH_MAX];
    const struct json_span evil = {.p = "1,\"id\":\"b\"", .len = 10};

    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_build_refused(*state, (struct job_spec){.type = NULL}, 99,
                         ERR_INVALID, "type: missing");
    assert_build_refused(*state, (struct job_spec){.type = ""}, 99, ERR_INVALID,
                         "type: not a text");
    assert_build_refused(*state, (struct job_spec){.type = "\xff"}, 99,
                         ERR_INVALID, "type: byte 0: invalid UTF-8");
    assert_build_refused(*state, (struct job_spec){.type = "a\tb"}, 99,
                         ERR_INVALID, "type: byte 1: a control character");
    assert_build_refused(*state, (struct job_spec){.type = "t", .id = "a b"},
                         99, ERR_INVALID, "id: not a text");
    assert_build_refused(*state, (struct job_spec){.type = "t", .keep_ms = -1},
                         99, ERR_INVALID, "a time or number below 0");
    assert_build_refused(*state, (struct job_spec){.type = "t", .id = "a"}, 20,
                         ERR_TOO_BIG, "envelope of 21 bytes, the limit is 20");
    assert_build_refused(*state,
                         (struct job_spec){.type = "t", .payload = evil}, 99,
                         ERR_INVALID, "payload: byte 1: text behind");
    assert_build_refused(
        *state, (struct job_spec){.type = "t", .backoff = SPAN("\"linear\"")},
        99, ERR_INVALID, "backoff: not default");
    assert_build_refused(*state,
                         (struct job_spec){.type = "t", .unique = SPAN("\"\"")},
                         99, ERR_INVALID, "unique: the key");
    assert_build_refused(
        *state, (struct job_spec){.type = "t", .then = SPAN("{},\"id\":1")}, 99,
        ERR_INVALID, "then: byte 2: text behind");
    assert_build_refused(*state,
                         (struct job_spec){.type = "t", .meta = SPAN("1")}, 99,
                         ERR_INVALID, "meta: ");
    assert_build_refused(*state, (struct job_spec){.type = "t", .at_ms = -1},
                         99, ERR_INVALID, "a time or number below 0");
    assert_build_refused(
        *state,
        (struct job_spec){.type = "t",
                          .payload = {.p = deep, .len = sizeof(deep)}},
        9999, ERR_INVALID, "payload: byte 511: nested deeper");
}

static void a_payload_nests_as_deep_as_an_envelope_can_hold(void **state)
{
    struct fixture *f = *state;
    char deep[2 * (JSON_DEPTH_MAX - 1)];
    const struct job_spec spec = {.type = "t",
                                  .payload = {.p = deep, .len = sizeof(deep)}};

    memset(deep, '[', sizeof(deep) / 2);
    memset(deep + sizeof(deep) / 2, ']', sizeof(deep) / 2);
    buf_clear(&f->out);
    assert_int_equal(job_build(&spec, 9999, &f->out, &f->eb), 0);
    assert_int_equal(json_check(f->out.data, f->out.len, NULL), 0);
}

static int complete(struct fixture *f, const char *text, const char *type)
{
    buf_clear(&f->out);
    return job_complete(text, strlen(text), type, NOW, 1000, &f->out, NULL,
                        &f->eb);
}

static void complete_leaves_a_complete_envelope_alone(void **state)
{
    static const char *const lines[] = {
        "{\"id\":\"a\",\"type\":\"t\",\"created_at\":1}",
        "{\"id\":\"a\" , \"created_at\" : 1, \"x\" : 1.0,\"type\":\"t\" }",
        "{\"id\":\"a\",\"type\":\"t\",\"created_at\":1,\"payload\":\"}\"}"};
    struct fixture *f = *state;
    char line[128];

    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_int_equal(complete(f, lines[i], NULL), 0);
        assert_string_equal(f->out.data, lines[i]);
        /* The end of a line is not part of it. */
        snprintf(line, sizeof(line), " %s\r\n", lines[i]);
        assert_int_equal(complete(f, line, "d"), 0);
        assert_string_equal(f->out.data, lines[i]);
    }
}

static void complete_puts_what_is_missing_in_front(void **state)
{
    static const char *const cases[][2] = {
        {"{\"id\":\"a\",\"type\":\"t\"}",
         "{\"id\":\"a\",\"created_at\":1700000000000,\"type\":\"t\"}"},
        {"{\"id\":\"a\",\"created_at\":7,\"x\":1.0}",
         "{\"id\":\"a\",\"type\":\"d\",\"created_at\":7,\"x\":1.0}"},
        {"{\"type\":\"t\",\"payload\":[ 1 ],\"id\":\"a\",\"created_at\":7}",
         "{\"id\":\"a\",\"type\":\"t\",\"payload\":[ 1 ],\"created_at\":7}"},
        {"{\"id\":\"\\u0061\",\"type\":\"t\",\"created_at\":7}",
         "{\"id\":\"a\",\"type\":\"t\",\"created_at\":7}"},
        {"{\"\\u0069d\":\"a\",\"type\":\"t\",\"created_at\":7}",
         "{\"id\":\"a\",\"type\":\"t\",\"created_at\":7}"},
        {"{\"id\": \"a\",\"type\":null,\"created_at\":null,\"id\":\"b\"}",
         "{\"id\":\"a\",\"type\":\"d\",\"created_at\":1700000000000}"},
        {"{\"recovered\":[9],\"id\":\"a\",\"type\":\"t\",\"created_at\":7}",
         "{\"id\":\"a\",\"recovered\":[9],\"type\":\"t\",\"created_at\":7}"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(complete(f, cases[i][0], "d"), 0);
        assert_string_equal(f->out.data, cases[i][1]);
        job_free(parse(f->out.data, f->out.len));
    }
}

static void complete_gives_a_fresh_id(void **state)
{
    static const char *const cases[][2] = {
        {"{\"type\":\"t\", \"x\":1}", ",\"type\":\"t\", \"x\":1}"},
        {" { \"id\":null,\"type\":\"t\"} ", ",\"type\":\"t\"}"},
        {"{\n}", "}"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(complete(f, cases[i][0], "d"), 0);
        struct job *job = parse(f->out.data, f->out.len);
        assert_int_equal(strlen(job->id), ULID_LEN);
        assert_int_equal(job->created_at_ms, NOW);
        assert_memory_equal(f->out.data, "{\"id\":\"", 7);
        const size_t rest = strlen(cases[i][1]);
        assert_string_equal(f->out.data + f->out.len - rest, cases[i][1]);
        job_free(job);
    }
}

static void complete_checks_what_a_worker_would(void **state)
{
    static const char *const cases[][2] = {
        {"{\"payload\":1}", "type: missing"},
        {"{\"type\":\"\"}", "type: not a text"},
        {"{\"type\":\"t\",\"id\":\"a b\"}", "id: not a text"},
        {"{\"type\":\"t\",\"attempt\":1.0}", "attempt: not"},
        {"{\"type\":\"t\",\"backoff\":\"linear\"}", "backoff: not"},
        {"{\"type\":\"t\",\"unique\":{\"key\":\"k\",\"ttl\":5}}", "unique: "},
        {"{\"type\":\"t\",\"type\":\"t\"}", "type: twice"},
        {"{\"type\":\"t\"", "byte 11: "},
        {"{\"type\":\"t\"} {}", "byte 13: text behind"},
        {"", "byte 0: "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(complete(f, cases[i][0], NULL), ERR_INVALID);
        assert_int_equal(f->out.len, 0);
        if (strncmp(f->eb.text, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: \"%s\"", cases[i][0], f->eb.text);
    }
    assert_int_equal(complete(f, "{}", "a\nb"), ERR_INVALID);
    assert_int_equal(complete(f, "{\"type\":\"t\"}", "a\nb"), 0);
}

static void complete_returns_what_it_has_read(void **state)
{
    static const char text[] =
        "{\"type\":\"t\",\"in\":5,\"keep\":6,\"unique\":\"k\"}";
    struct fixture *f = *state;
    struct job job;

    assert_int_equal(job_complete(text, sizeof(text) - 1, NULL, NOW, 999,
                                  &f->out, &job, &f->eb),
                     0);
    assert_string_equal(job.id, "");
    assert_string_equal(job.type, "t");
    assert_int_equal(job.in_ms, 5);
    assert_int_equal(job.keep_ms, 6);
    assert_int_equal(job.unique.len, 3);
    assert_true(job.unique.p > text && job.unique.p < text + sizeof(text));
}

static void complete_counts_what_it_adds_against_the_limit(void **state)
{
    static const char text[] = "{\"id\":\"a\",\"type\":\"t\"}";
    static const char want[] =
        "before{\"id\":\"a\",\"created_at\":1700000000000,\"type\":\"t\"}";
    struct fixture *f = *state;
    const size_t len = strlen(want) - 6;

    buf_str(&f->out, "before");
    assert_int_equal(
        job_complete(text, 21, NULL, NOW, len - 1, &f->out, NULL, &f->eb),
        ERR_TOO_BIG);
    assert_string_equal(f->out.data, "before");
    assert_int_equal(
        job_complete(text, 21, NULL, NOW, len, &f->out, NULL, &f->eb), 0);
    assert_string_equal(f->out.data, want);
}

static void assert_junk_is_kept(struct fixture *f, const char *junk, size_t len)
{
    buf_clear(&f->out);
    job_build_invalid(junk, len, len, "byte 0: \"\xff\"\n", NOW, &f->out);
    const char *raw = strstr(f->out.data, ",\"raw\":\"");
    assert_non_null(raw);
    raw += 8;
    const int chars = (int)strcspn(raw, "\"");
    assert_int_equal(chars, (len + 2) / 3 * 4);
    unsigned char *decoded = mem_new((size_t)chars + 1);
    EVP_DecodeBlock(decoded, (const unsigned char *)raw, chars);
    assert_memory_equal(decoded, junk, len);
    free(decoded);
}

/* RFC 4648, section 10, and the last two digits. */
static void junk_is_written_as_base64(void **state)
{
    static const struct {
        const char *junk, *raw;
    } cases[] = {
        {"", "\"\""},
        {"f", "\"Zg==\""},
        {"fo", "\"Zm8=\""},
        {"foo", "\"Zm9v\""},
        {"foob", "\"Zm9vYg==\""},
        {"fooba", "\"Zm9vYmE=\""},
        {"foobar", "\"Zm9vYmFy\""},
        {"\xff\xef\xfe", "\"/+/+\""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&f->out);
        job_build_invalid(cases[i].junk, strlen(cases[i].junk), 99, "why", NOW,
                          &f->out);
        const char *raw = strstr(f->out.data, ",\"raw\":");
        assert_non_null(raw);
        assert_memory_equal(raw + 7, cases[i].raw, strlen(cases[i].raw));
    }
}

static void the_end_of_too_much_junk_is_cut(void **state)
{
    struct fixture *f = *state;

    job_build_invalid("abcdef", 6, 3, "why", NOW, &f->out);
    assert_non_null(strstr(f->out.data, ",\"raw\":\"YWJj\",\"raw_bytes\":6}"));
    buf_clear(&f->out);
    job_build_invalid("abc", 3, 3, "why", NOW, &f->out);
    assert_non_null(strstr(f->out.data, ",\"raw\":\"YWJj\"}"));
}

static void junk_becomes_an_envelope_that_holds_it(void **state)
{
    struct fixture *f = *state;

    assert_junk_is_kept(f, "junk\0\xff\n", 7);
    assert_non_null(strstr(f->out.data,
                           "\"error\":{\"class\":\"invalid\",\"message\":"
                           "\"byte 0: \\\"\xef\xbf\xbd\\\""));
    assert_non_null(strstr(f->out.data, ",\"at\":1700000000000},"));
    struct job *job = parse(f->out.data, f->out.len);
    assert_string_equal(job->type, "belt.invalid");
    assert_int_equal(strlen(job->id), ULID_LEN);
    assert_int_equal(job->created_at_ms, NOW);
    job_free(job);
    for (size_t n = 0; n < 7; n++)
        assert_junk_is_kept(f, "junk\0\xff\n", n);
}

static void junk_of_any_size_is_held(void **state)
{
    /* Around the piece that is encoded at once. */
    const size_t len = (3 << 20) + 1;
    char *junk = mem_new(len);

    for (size_t i = 0; i < len; i++)
        junk[i] = (char)(i * 7 + i / 251);
    assert_junk_is_kept(*state, junk, len - 1);
    assert_junk_is_kept(*state, junk, len);
    free(junk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rewrite_keeps_what_it_does_not_know),
        TEST(rewrite_puts_changes_at_the_end),
        TEST(rewrite_writes_young_recoveries_in_front),
        TEST(rewrite_appends_to_the_buffer),
        TEST(build_writes_what_is_said),
        TEST(build_writes_the_options_of_a_job),
        TEST(build_makes_a_fresh_id_each_time),
        TEST(build_refuses_and_leaves_the_buffer_alone),
        TEST(a_payload_nests_as_deep_as_an_envelope_can_hold),
        TEST(complete_leaves_a_complete_envelope_alone),
        TEST(complete_puts_what_is_missing_in_front),
        TEST(complete_gives_a_fresh_id),
        TEST(complete_checks_what_a_worker_would),
        TEST(complete_returns_what_it_has_read),
        TEST(complete_counts_what_it_adds_against_the_limit),
        TEST(junk_becomes_an_envelope_that_holds_it),
        TEST(junk_is_written_as_base64),
        TEST(the_end_of_too_much_junk_is_cut),
        TEST(junk_of_any_size_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
