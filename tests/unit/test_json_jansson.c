/*
 * The JSON scanner against jansson, an independent judge: on a corpus and on
 * thousands of mutations of it both accept and refuse the same texts, but for
 * the differences that are listed here.
 *
 * Thread: main.
 */
#include "common/job/json.h"

#include <jansson.h>
#include <string.h>

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Small and good enough, and the same on every machine. */
static uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/*
 * Whether jansson differs from us where it is known to: it has no numbers
 * beyond a long long or a double, and \u0000 only on request and never in a
 * name. (Its 2048 levels are out of reach of these texts.)
 */
static bool known_difference(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_numeric_overflow:
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return true;
    default:
        return false;
    }
}

/* Returns whether jansson judged the text, and checks that we agree. */
static bool assert_agree(const char *text, size_t len)
{
    json_error_t e;
    struct errbuf eb = {""};
    json_t *tree = json_loadb(text, len, JSON_DECODE_ANY, &e);
    const bool accepted = tree != NULL;
    const int rc = json_check(text, len, &eb);

    json_decref(tree);
    if (!accepted && known_difference(&e))
        return false;
    if (accepted != (rc == 0))
        fail_msg("jansson %s, we %s: %.*s", accepted ? "ok" : e.text,
                 rc == 0 ? "ok" : eb.text, (int)len, text);
    return true;
}

static const char *const corpus[] = {
    "{\"id\":\"01J\",\"type\":\"a.b\",\"payload\":{\"n\":1,\"f\":-0.5e-3}}",
    "[\"\\u00e9\\uD83D\\uDE00\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
    "{\"a\":[true,false,null,[[],{}]],\"b\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
    " [ 0 , -1 , 12345 , 1E5 , 0.25 ] ",
    "\"\\ud800\"",
    "{\"a\":1,\"a\":2}",
    "\"\\uDBFF\\uDFFF\"",
    "12",
    "-",
    "[1,]",
    "{,}",
    "\"\t\"",
    "nulll",
    "tru",
    "\xef\xbb\xbf[]",
    "[]]",
};

static void jansson_agrees_on_the_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(corpus); i++)
        assert_true(assert_agree(corpus[i], strlen(corpus[i])));
    /* The differences that there are, so that they stay known. */
    assert_false(assert_agree("\"\\u0000\"", 8));
    assert_false(assert_agree("12345678901234567890", 20));
    assert_false(assert_agree("1e999", 5));
    assert_int_equal(json_check("\"\\u0000\"", 8, NULL), 0);
    assert_int_equal(json_check("12345678901234567890", 20, NULL), 0);
    assert_int_equal(json_check("1e999", 5, NULL), 0);
}

static size_t mutate(uint64_t *seed, char *text, size_t len)
{
    static const char alphabet[] = "{}[]\",:\\/u0019-+.eEtrfalsn dDcCbB\n\x01"
                                   "\x80\xbf\xc2\xe0\xed\xa0\xf0\xf4\x90\xff";
    size_t at = rnd(seed) % len;

    switch (rnd(seed) % 3) {
    case 0:
        text[at] = alphabet[rnd(seed) % (sizeof(alphabet) - 1)];
        return len;
    case 1:
        memmove(text + at, text + at + 1, len - at - 1);
        return len > 1 ? len - 1 : len;
    default:
        memmove(text + at + 1, text + at, len - at);
        text[at] = alphabet[rnd(seed) % (sizeof(alphabet) - 1)];
        return len + 1;
    }
}

static void jansson_agrees_on_mutations(void **state)
{
    uint64_t seed = 20261201;
    size_t judged = 0;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        char text[128];
        const char *base = corpus[rnd(&seed) % COUNT(corpus)];
        size_t len = strlen(base);
        memcpy(text, base, len);
        for (uint64_t n = rnd(&seed) % 4 + 1; n > 0; n--)
            len = mutate(&seed, text, len);
        judged += assert_agree(text, len);
    }
    assert_true(judged > 39000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jansson_agrees_on_the_corpus),
        cmocka_unit_test(jansson_agrees_on_mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
