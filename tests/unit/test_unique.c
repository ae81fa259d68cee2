/*
 * Claims about the member "unique" of an envelope.
 */
#include "common/job/unique.h"

#include <string.h>

#include "tests/unit/unit.h"

static int parse(const char *text, struct unique *ret, struct errbuf *eb)
{
    return unique_parse((struct json_span){text, strlen(text)}, ret, eb);
}

static void a_text_is_the_key(void **state)
{
    struct unique u;

    (void)state;
    assert_int_equal(parse("\"user:\\u00e9\"", &u, NULL), 0);
    assert_string_equal(u.key, "user:\xc3\xa9");
    assert_int_equal(u.until, UNIQUE_DONE);
    assert_int_equal(u.on_conflict, UNIQUE_SKIP);
    assert_int_equal(u.ttl_ms, 0);
}

static void an_object_says_more(void **state)
{
    struct unique u;

    (void)state;
    assert_int_equal(parse("{\"key\":\"k\",\"until\":\"time\",\"ttl\":5000,"
                           "\"on_conflict\":\"replace\"}",
                           &u, NULL),
                     0);
    assert_string_equal(u.key, "k");
    assert_int_equal(u.until, UNIQUE_TIME);
    assert_int_equal(u.on_conflict, UNIQUE_REPLACE);
    assert_int_equal(u.ttl_ms, 5000);
    assert_int_equal(parse("{\"until\":\"started\",\"key\":\"k\","
                           "\"on_conflict\":\"error\"}",
                           &u, NULL),
                     0);
    assert_int_equal(u.until, UNIQUE_STARTED);
    assert_int_equal(u.on_conflict, UNIQUE_ERROR);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"7", "the key is not a text"},
        {"\"\"", "the key is not a text"},
        {"\"a\\nb\"", "the key is not a text"},
        {"\"a\\u0000b\"", "the key is not a text"},
        {"{}", "key: missing"},
        {"{\"key\":\"k\",\"until\":\"never\"}", "\"until\": \"never\""},
        {"{\"key\":\"k\",\"on_conflict\":1}", "\"on_conflict\": 1"},
        {"{\"key\":\"k\",\"ttl\":0}", "\"ttl\": 0"},
        {"{\"key\":\"k\",\"ttl\":5}", "ttl belongs to until time"},
        {"{\"key\":\"k\",\"until\":\"time\"}", "ttl belongs to until time"},
        {"{\"key\":\"k\",\"untli\":\"time\"}", "\"untli\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct unique u = {.key = "untouched"};
        struct errbuf eb = {""};
        assert_int_equal(parse(rows[i].text, &u, &eb), ERR_INVALID);
        if (strstr(eb.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].text, eb.text);
        assert_string_equal(u.key, "untouched");
    }
}

static void a_key_has_at_most_128_bytes(void **state)
{
    char text[UNIQUE_KEY_MAX_LEN + 8] = "\"";
    struct unique u;

    (void)state;
    memset(text + 1, 'x', UNIQUE_KEY_MAX_LEN);
    strcat(text, "\"");
    assert_int_equal(parse(text, &u, NULL), 0);
    memset(text + 1, 'x', UNIQUE_KEY_MAX_LEN + 1);
    text[UNIQUE_KEY_MAX_LEN + 2] = '"';
    text[UNIQUE_KEY_MAX_LEN + 3] = '\0';
    assert_int_equal(parse(text, &u, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_the_key),
        cmocka_unit_test(an_object_says_more),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_key_has_at_most_128_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
