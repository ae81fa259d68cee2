/*
 * Claims about what belt serve reads of a push: the envelope is the one that
 * belt push makes of the same, and what is wrong is told by its pointer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "producer/options.h"
#include "producer/push_flags.h"
#include "producer/push_job.h"
#include "producer/serve/idempotency.h"
#include "producer/serve/push_event.h"
#include "producer/serve/push_read.h"
#include "tests/unit/unit.h"

#define NOW 1795680000000LL
#define ID "01ID"
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

enum { ARGS_MAX = 24 };

/* The envelope that belt push makes of these arguments, in out. */
static bool build_by_flags(const char *const *args, struct buf *out)
{
    char *argv[ARGS_MAX] = {mem_strdup("belt"), mem_strdup("push")};
    struct push_options options;
    struct options o;
    struct push_one one;
    struct errbuf eb;
    int argc = 2;
    for (; args[argc - 2] != NULL; argc++)
        argv[argc] = mem_strdup(args[argc - 2]);
    if (options_parse(argc, argv, &o, &eb) != 0 ||
        push_flags_read(&o, &options, &eb) != 0)
        fail_msg("%s: %s", args[0], eb.text);
    const char *payload = o.arg_count > 1 ? o.args[1] : "null";
    struct job_spec spec = {.id = ID,
                            .type = o.args[0],
                            .payload = {payload, strlen(payload)},
                            .created_at_ms = NOW,
                            .max_attempts = o.max_attempts,
                            .timeout_ms = o.timeout_ms,
                            .keep_ms = o.keep_ms,
                            .after = o.after};
    if (push_job_build(&spec, &options, 4096, out, &one, &eb) != 0)
        fail_msg("%s: %s", args[0], eb.text);
    bool front = o.front;
    push_options_done(&options);
    options_done(&o);
    while (argc > 0)
        free(argv[--argc]);
    return front;
}

/* The envelope of what was read; what is wrong fails the test. */
static void expect_built(struct push_read *p, const char *envelope, bool front)
{
    struct push_one one;
    struct errbuf eb;
    struct buf out = {0};
    if (push_read_build(p, ID, 4096, &out, &one, &eb) != 0)
        fail_msg("%s: %s %s", envelope, eb.text,
                 p->bad.errors.data ? p->bad.errors.data : "");
    assert_string_equal(out.data, envelope);
    assert_int_equal(one.front, front);
    assert_string_equal(one.id, ID);
    buf_done(&out);
    push_read_done(p);
}

static void a_body_is_the_envelope_of_its_flags(void **state)
{
    static const struct {
        const char *json, *args[ARGS_MAX];
    } rows[] = {
        {"{\"type\":\"a\"}", {"a"}},
        {" {\"payload\" : {\"n\": 1.0, \"n\":12345678901234567890} ,"
         "\"type\":\"a\"} ",
         {"a", "{\"n\": 1.0, \"n\":12345678901234567890}"}},
        {"{\"t\\u0079pe\":\"\\u0061\",\"payload\":null,\"keep\":null}", {"a"}},
        {"{\"type\":\"a\",\"in\":\"5m\"}", {"a", "--in", "5m"}},
        {"{\"type\":\"a\",\"in\":300000,\"keep\":\"1h\",\"timeout\":5000,"
         "\"max_attempts\":3}",
         {"a", "--in", "5m", "--keep", "1h", "--timeout", "5s",
          "--max-attempts", "3"}},
        {"{\"type\":\"a\",\"at\":\"2026-11-26T09:30:00+01:00\"}",
         {"a", "--at", "2026-11-26T08:30:00Z"}},
        {"{\"type\":\"a\",\"at\":1795682400000}",
         {"a", "--at", "2026-11-26T08:40:00Z"}},
        {"{\"type\":\"a\",\"expires_in\":\"90s\",\"in\":\"10s\"}",
         {"a", "--expires", "90s", "--in", "10s"}},
        {"{\"type\":\"a\",\"expires_at\":\"2026-11-26T08:30:00Z\"}",
         {"a", "--expires", "2026-11-26T08:30:00Z"}},
        {"{\"type\":\"a\",\"backoff\":\"exponential:1s:2:1h\"}",
         {"a", "--backoff", "exponential:1s:2:1h"}},
        {"{\"type\":\"a\",\"backoff\":[1000,2000]}",
         {"a", "--backoff", "[1000,2000]"}},
        {"{\"type\":\"a\",\"unique\":\"k\"}", {"a", "--unique", "k"}},
        {"{\"type\":\"a\",\"unique\":\"k\",\"until\":\"started\","
         "\"on_conflict\":\"replace\"}",
         {"a", "--unique", "k", "--until", "started", "--on-conflict",
          "replace"}},
        {"{\"type\":\"a\",\"unique\":{\"key\":\"k\",\"until\":\"time\","
         "\"ttl\":3600000}}",
         {"a", "--unique", "k:1h"}},
        {"{\"type\":\"a\",\"then\":[{\"type\":\"b\"}],\"meta\":{\"x\":1},"
         "\"after\":\"q/1\"}",
         {"a", "--then", "[{\"type\":\"b\"}]", "--meta", "{\"x\":1}", "--after",
          "q/1"}},
        {"{\"type\":\"a\",\"front\":true,\"queue\":\"q\"}", {"a", "--front"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf expected = {0};
        struct push_read p;
        bool front = build_by_flags(rows[i].args, &expected);
        push_read_init(&p, "q", NOW);
        push_read_json(&p, rows[i].json, strlen(rows[i].json));
        expect_built(&p, expected.data, front);
        buf_done(&expected);
    }
}

static void a_query_is_the_envelope_of_its_flags(void **state)
{
    static const struct {
        const char *query[8], *args[ARGS_MAX];
    } rows[] = {
        {{"in", "5m", "keep", "3600000"}, {"a", "--in", "5m", "--keep", "1h"}},
        {{"until", "started", "unique", "k"},
         {"a", "--unique", "k", "--until", "started"}},
        {{"unique", "k:1h"}, {"a", "--unique", "k:1h"}},
        {{"backoff", "10s,1m", "max_attempts", "7", "front", ""},
         {"a", "--backoff", "10s,1m", "--max-attempts", "7", "--front"}},
        {{"at", "2026-11-26T08:40:00Z", "front", "no"},
         {"a", "--at", "2026-11-26T08:40:00Z"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf expected = {0};
        struct push_read p;
        bool front = build_by_flags(rows[i].args, &expected);
        push_read_init(&p, "q", NOW);
        for (int j = 0; j < 8 && rows[i].query[j] != NULL; j += 2)
            push_read_text(&p, rows[i].query[j], rows[i].query[j + 1]);
        push_read_type(&p, "a");
        expect_built(&p, expected.data, front);
        buf_done(&expected);
    }
}

static void what_is_wrong_is_told_by_its_pointer(void **state)
{
    static const struct {
        const char *json, *errors;
    } rows[] = {
        {"{}", "\"pointer\":\"/type\",\"message\":\"missing\""},
        {"[]", "\"pointer\":\"\",\"message\":\"not an object\""},
        {"{\"type\":5}", "\"/type\",\"message\":\"not a text"},
        {"{\"type\":\"\"}", "\"/type\",\"message\":\"not a text of 1 to 128"},
        {"{\"type\":\"a\\u0007\"}",
         "\"/type\",\"message\":\"byte 1: a control"},
        {"{\"type\":\"a\",\"id\":\"a b\"}", "\"/id\",\"message\":\"not a text"},
        {"{\"type\":\"a\",\"uniqe\":1}", "\"/uniqe\",\"message\":\"not known; "
                                         "unique was meant?"},
        {"{\"type\":\"a\",\"x/~y\":1}", "\"/x~1~0y\""},
        {"{\"type\":\"a\",\"type\":\"b\"}", "\"/type\",\"message\":\"twice"},
        {"{\"type\":\"a\",\"attempt\":1}",
         "\"/attempt\",\"message\":\"written by Belt"},
        {"{\"type\":\"a\",\"in\":-1}",
         "\"/in\",\"message\":\"not milliseconds"},
        {"{\"type\":\"a\",\"in\":\"5\\u0000m\"}", "\"/in\""},
        {"{\"type\":\"a\",\"in\":\"400d\"}", "\"/in\""},
        {"{\"type\":\"a\",\"in\":1.5}", "\"/in\""},
        {"{\"type\":\"a\",\"at\":\"tomorrow\"}", "\"/at\""},
        {"{\"type\":\"a\",\"at\":5,\"in\":5}",
         "\"/in\",\"message\":\"in and at"},
        {"{\"type\":\"a\",\"front\":1}", "\"/front\",\"message\":\"neither"},
        {"{\"type\":\"a\",\"front\":true,\"in\":5}", "\"/front\",\"message\""},
        {"{\"type\":\"a\",\"expires_at\":5,\"expires_in\":5}",
         "\"/expires_in\""},
        {"{\"type\":\"a\",\"max_attempts\":0}",
         "\"/max_attempts\",\"message\":\"not a whole number"},
        {"{\"type\":\"a\",\"backoff\":\"10\"}", "\"/backoff\""},
        {"{\"type\":\"a\",\"backoff\":{\"kind\":\"x\"}}", "\"/backoff\""},
        {"{\"type\":\"a\",\"unique\":\"\"}", "\"/unique\""},
        {"{\"type\":\"a\",\"unique\":{\"key\":\"\"}}", "\"/unique/key\""},
        {"{\"type\":\"a\",\"unique\":{}}", "\"/unique/key\""},
        {"{\"type\":\"a\",\"unique\":{\"key\":\"k\",\"ttl\":0}}",
         "\"/unique/ttl\""},
        {"{\"type\":\"a\",\"unique\":{\"key\":\"k\",\"ttl\":5}}",
         "\"/unique/ttl\""},
        {"{\"type\":\"a\",\"unique\":{\"key\":\"k\",\"x\":5}}",
         "\"/unique/x\""},
        {"{\"type\":\"a\",\"unique\":\"k\",\"until\":\"now\"}",
         "\"/until\",\"message\":\"\\\"until\\\": \\\"now\\\""},
        {"{\"type\":\"a\",\"until\":\"done\"}", "\"/until\""},
        {"{\"type\":\"a\",\"unique\":{\"key\":\"k\"},\"on_conflict\":"
         "\"skip\"}",
         "\"/on_conflict\""},
        {"{\"type\":\"a\",\"meta\":[]}", "\"/meta\",\"message\":\"not an obj"},
        {"{\"type\":\"a\",\"then\":5}", "\"/then\",\"message\":\"neither"},
        {"{\"type\":\"a\",\"then\":{}}",
         "\"/then/type\",\"message\":\"missing"},
        {"{\"type\":\"a\",\"then\":[{\"type\":\"b\"},{\"type\":\"b\","
         "\"in\":-1}]}",
         "\"/then/1/in\""},
        {"{\"type\":\"a\",\"after\":\"a b\"}", "\"/after\""},
        {"{\"type\":\"a\",\"queue\":\"r\"}", "\"/queue\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = {0};
        struct push_read p;
        struct push_one one;
        struct errbuf eb;
        push_read_init(&p, "q", NOW);
        push_read_json(&p, rows[i].json, strlen(rows[i].json));
        const char *id = p.id[0] != '\0' ? p.id : ID;
        assert_int_equal(push_read_build(&p, id, 4096, &out, &one, &eb),
                         ERR_INVALID);
        if (p.bad.errors.data == NULL ||
            strstr(p.bad.errors.data, rows[i].errors) == NULL)
            fail_msg("%s: %s", rows[i].json,
                     p.bad.errors.data ? p.bad.errors.data : "nothing");
        assert_int_equal(p.bad.count, 1);
        assert_int_equal(out.len, 0);
        buf_done(&out);
        push_read_done(&p);
    }
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
    static const char json[] = "{\"in\":\"x\",\"keep\":-1,\"nothing\":0}";
    struct push_read p;
    (void)state;
    push_read_init(&p, "q", NOW);
    push_read_json(&p, json, strlen(json));
    assert_int_equal(p.bad.count, 3);
    assert_null(p.bad.not_json);
    push_read_done(&p);
}

static void what_is_no_json_is_told_so(void **state)
{
    static const char *const texts[] = {"", "{", "{\"type\":\"a\"}x",
                                        "{\"type\":\"\xff\"}", "{'a':1}"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct push_read p;
        push_read_init(&p, "q", NOW);
        push_read_json(&p, texts[i], strlen(texts[i]));
        assert_non_null(p.bad.not_json);
        push_read_done(&p);
    }
}

static void an_envelope_that_is_too_big_is_refused(void **state)
{
    static const char json[] = "{\"type\":\"a\",\"payload\":\"0123456789\"}";
    struct buf out = {0};
    struct push_read p;
    struct push_one one;
    struct errbuf eb;
    (void)state;
    push_read_init(&p, "q", NOW);
    push_read_json(&p, json, strlen(json));
    assert_int_equal(push_read_build(&p, ID, 40, &out, &one, &eb), ERR_TOO_BIG);
    assert_int_equal(out.len, 0);
    buf_done(&out);
    push_read_done(&p);
}

/* ---- trace ---- */

static void the_trace_of_a_request_goes_into_meta(void **state)
{
    static const struct {
        const char *meta, *trace, *tracestate, *expected;
    } rows[] = {
        {"", TRACE, NULL, ",\"meta\":{\"traceparent\":\"" TRACE "\"}"},
        {"", TRACE, "a=1",
         ",\"meta\":{\"traceparent\":\"" TRACE "\",\"tracestate\":\"a=1\"}"},
        {",\"meta\":{ }", TRACE, NULL,
         ",\"meta\":{\"traceparent\":\"" TRACE "\"}"},
        {",\"meta\":{\"x\":{} }", TRACE, NULL,
         ",\"meta\":{\"x\":{},\"traceparent\":\"" TRACE "\"}"},
        {",\"meta\":{\"traceparent\":\"mine\"}", TRACE, "a=1",
         ",\"meta\":{\"traceparent\":\"mine\"}"},
        {"", "00-00000000000000000000000000000000-b7ad6b7169203331-01", NULL,
         ""},
        {"", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", NULL,
         ""},
        {"", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL,
         ""},
        {"", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL,
         ""},
        {"", TRACE "-x", NULL, ""},
        {"", "00", "a=1", ""},
        {"", NULL, "a=1", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[256], envelope[512];
        struct push_read p;
        (void)snprintf(json, sizeof(json), "{\"type\":\"a\"%s}", rows[i].meta);
        (void)snprintf(envelope, sizeof(envelope),
                       "{\"id\":\"" ID "\",\"type\":\"a\",\"created_at\":%lld%s"
                       ",\"payload\":null}",
                       NOW, rows[i].expected);
        push_read_init(&p, "q", NOW);
        push_read_json(&p, json, strlen(json));
        push_read_trace(&p, rows[i].trace, rows[i].tracestate);
        expect_built(&p, envelope, false);
    }
}

/* ---- raw bodies ---- */

#define META(type) ",\"meta\":{\"content_type\":\"" type "\"}"
#define META64(type)                                                           \
    ",\"meta\":{\"content_type\":\"" type "\",\"encoding\":\"base64\"}"

static void a_raw_body_is_the_payload(void **state)
{
    static const struct {
        const char *type, *body, *meta, *payload;
    } rows[] = {
        {"application/json", " {\"a\": 1.00} \n", "", "{\"a\": 1.00}"},
        {"Application/JSON; charset=utf-8", "5", "", "5"},
        {"application/vnd.x+json", "[]", "", "[]"},
        {"text/plain", "a \"b\"", META("text/plain"), "\"a \\\"b\\\"\""},
        {"text/plain", "5", META("text/plain"), "\"5\""},
        {"text/plain", "\xff", META64("text/plain"), "\"/w==\""},
        {"image/png", "abc", META64("image/png"), "\"YWJj\""},
        {"application/x-www-form-urlencoded", "{\"a\":1}", "", "{\"a\":1}"},
        {"application/x-www-form-urlencoded", "a=1&b=2",
         META("application/x-www-form-urlencoded"), "\"a=1&b=2\""},
        {NULL, "{\"a\":1}", "", "{\"a\":1}"},
        {NULL, "words", "", "\"words\""},
        {NULL, "\xff", ",\"meta\":{\"encoding\":\"base64\"}", "\"/w==\""},
        {"application/json", "", "", "null"},
        {"image/png", "", "", "null"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char envelope[512];
        struct push_read p;
        (void)snprintf(envelope, sizeof(envelope),
                       "{\"id\":\"" ID "\",\"type\":\"a\",\"created_at\":%lld%s"
                       ",\"payload\":%s}",
                       NOW, rows[i].meta, rows[i].payload);
        push_read_init(&p, "q", NOW);
        push_read_type(&p, "a");
        push_read_raw(&p, rows[i].type,
                      (struct bytes){rows[i].body, strlen(rows[i].body)});
        expect_built(&p, envelope, false);
    }
}

static void a_raw_body_that_should_be_json_is_checked(void **state)
{
    struct push_read p;
    (void)state;
    push_read_init(&p, "q", NOW);
    push_read_raw(&p, "application/json", (struct bytes){"{a", 2});
    assert_non_null(p.bad.not_json);
    push_read_done(&p);
}

/* ---- events ---- */

#define EVENT "\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/s\""
#define ATTRIBUTES ",\"meta\":{\"cloudevent\":{" EVENT

static void an_event_is_a_job(void **state)
{
    static const struct {
        const char *json, *rest;
    } rows[] = {
        {"{" EVENT ",\"type\":\"a\",\"data\":{\"n\":1.0}}",
         ATTRIBUTES "}},\"payload\":{\"n\":1.0}}"},
        {"{" EVENT ",\"type\":\"a\",\"subject\":\"x\",\"n\":5,\"none\":null}",
         ATTRIBUTES ",\"subject\":\"x\",\"n\":5}},\"payload\":null}"},
        {"{" EVENT ",\"type\":\"a\",\"data_base64\":\"YWJj\"}",
         ",\"meta\":{\"encoding\":\"base64\",\"cloudevent\":{" EVENT
         "}},\"payload\":\"YWJj\"}"},
        {"{" EVENT ",\"type\":\"a\",\"traceparent\":\"" TRACE "\"}",
         ATTRIBUTES ",\"traceparent\":\"" TRACE "\"},\"traceparent\":\"" TRACE
                    "\"},\"payload\":null}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char envelope[1024];
        struct push_event e = {0};
        struct push_read p;
        (void)snprintf(envelope, sizeof(envelope),
                       "{\"id\":\"" ID
                       "\",\"type\":\"a\",\"created_at\":%lld%s",
                       NOW, rows[i].rest);
        push_read_init(&p, "q", NOW);
        push_event_json(&e, &p, rows[i].json, strlen(rows[i].json));
        push_event_end(&e, &p);
        assert_string_equal(e.source.data, "/s");
        assert_string_equal(e.id.data, "7");
        expect_built(&p, envelope, false);
        push_event_done(&e);
    }
}

static void an_event_may_come_in_headers(void **state)
{
    static const char *const headers[][2] = {
        {"Host", "x"},           {"CE-SpecVersion", "1.0"},
        {"ce-id", "7"},          {"ce-source", "/s%20%C3%A9%%zz%00"},
        {"ce-type", "a"},        {"traceparent", "no attribute"},
        {"Content-Type", "x/y"}, {"ce-subject", "\"q\""}};
    char envelope[512];
    struct push_event e = {0};
    struct push_read p;
    (void)state;
    (void)snprintf(envelope, sizeof(envelope),
                   "{\"id\":\"" ID "\",\"type\":\"a\",\"created_at\":%lld,"
                   "\"meta\":{\"cloudevent\":{\"specversion\":\"1.0\","
                   "\"id\":\"7\",\"source\":\"/s \u00e9%%%%zz%%00\","
                   "\"subject\":\"\\\"q\\\"\"}},\"payload\":5}",
                   NOW);
    push_read_init(&p, "q", NOW);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        push_event_header(&e, &p, headers[i][0], headers[i][1]);
    push_event_end(&e, &p);
    push_read_raw(&p, "application/json", (struct bytes){"5", 1});
    expect_built(&p, envelope, false);
    push_event_done(&e);
}

static void an_event_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *json, *errors;
    } rows[] = {
        {"{" EVENT "}", "\"/type\""},
        {"{\"specversion\":\"1.0\",\"type\":\"a\",\"id\":\"7\"}",
         "\"/source\""},
        {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"7\"}",
         "\"/id\""},
        {"{\"id\":\"1\",\"type\":\"a\",\"source\":\"7\"}", "\"/specversion\""},
        {"{\"specversion\":\"0.3\",\"id\":\"1\",\"type\":\"a\",\"source\":"
         "\"7\"}",
         "\"/specversion\",\"message\":\"only 1.0"},
        {"{" EVENT ",\"type\":\"a\",\"Big\":1}", "names of attributes"},
        {"{" EVENT ",\"type\":\"a\",\"x\":{}}", "\"/x\""},
        {"{" EVENT ",\"type\":\"a\",\"data\":1,\"data_base64\":\"\"}",
         "\"/data_base64\""},
        {"{" EVENT ",\"type\":\"a\",\"data_base64\":\"*\"}",
         "\"/data_base64\",\"message\":\"not base64"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct push_event e = {0};
        struct push_read p;
        push_read_init(&p, "q", NOW);
        push_event_json(&e, &p, rows[i].json, strlen(rows[i].json));
        push_event_end(&e, &p);
        if (p.bad.count != 1 || !strstr(p.bad.errors.data, rows[i].errors))
            fail_msg("%s: %s", rows[i].json,
                     p.bad.errors.data ? p.bad.errors.data : "nothing");
        push_event_done(&e);
        push_read_done(&p);
    }
}

/* ---- keys ---- */

static void a_key_is_a_string_or_bare(void **state)
{
    static const struct {
        const char *header, *key;
    } rows[] = {
        {"abc", "abc"},     {"\"abc\"", "abc"}, {"\"a\\\"b\\\\\"", "a\"b\\"},
        {"a\"b", "a\"b"},   {"", NULL},         {"\"\"", NULL},
        {"\"abc", NULL},    {"\"a\"b", NULL},   {"\"a\\b\"", NULL},
        {"a b", NULL},      {"\"a b\"", NULL},  {"a\tb", NULL},
        {"\xc3\xa9", NULL}, {"\"\\", NULL},
    };
    char key[IDEMPOTENCY_KEY_MAX + 1], longest[IDEMPOTENCY_KEY_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(idempotency_key(rows[i].header, key),
                         rows[i].key != NULL);
        if (rows[i].key != NULL)
            assert_string_equal(key, rows[i].key);
    }
    memset(longest, 'k', sizeof(longest));
    longest[IDEMPOTENCY_KEY_MAX + 1] = '\0';
    assert_false(idempotency_key(longest, key));
    longest[IDEMPOTENCY_KEY_MAX] = '\0';
    assert_true(idempotency_key(longest, key));
}

static void digests_are_of_the_parts_and_their_borders(void **state)
{
    const struct idempotency_part one[] = {{"ab", 2}, {"c", 1}};
    const struct idempotency_part other[] = {{"a", 1}, {"bc", 2}};
    char a[IDEMPOTENCY_HEX_LEN + 1], b[IDEMPOTENCY_HEX_LEN + 1];
    (void)state;
    idempotency_digest(one, 2, a);
    idempotency_digest(one, 2, b);
    assert_string_equal(a, b);
    idempotency_digest(other, 2, b);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "0123456789abcdef"), IDEMPOTENCY_HEX_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_the_envelope_of_its_flags),
        cmocka_unit_test(a_query_is_the_envelope_of_its_flags),
        cmocka_unit_test(what_is_wrong_is_told_by_its_pointer),
        cmocka_unit_test(all_that_is_wrong_is_told_at_once),
        cmocka_unit_test(what_is_no_json_is_told_so),
        cmocka_unit_test(an_envelope_that_is_too_big_is_refused),
        cmocka_unit_test(the_trace_of_a_request_goes_into_meta),
        cmocka_unit_test(a_raw_body_is_the_payload),
        cmocka_unit_test(a_raw_body_that_should_be_json_is_checked),
        cmocka_unit_test(an_event_is_a_job),
        cmocka_unit_test(an_event_may_come_in_headers),
        cmocka_unit_test(an_event_that_is_none_is_refused),
        cmocka_unit_test(a_key_is_a_string_or_bare),
        cmocka_unit_test(digests_are_of_the_parts_and_their_borders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
