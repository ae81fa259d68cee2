/*
 * Fuzzer: the JSON scanner, with jansson as the judge.
 *
 * Both accept and refuse the same texts but for known differences, and see
 * the same kinds, members, elements, numbers and strings in them. Strings
 * decode into exactly the memory that they are given. What buf_json_string
 * writes is read back as the same text.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/json.h"

enum { COMPARED_LEVELS = 6 }; /* each scans again what is below it */

struct outer {
    const json_t *value; /* borrowed: what jansson made of it */
    unsigned level;
    size_t count;
};

static void compare(struct json_span span, const json_t *value, unsigned level);
static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);
static int on_counted(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);

/* jansson: no numbers beyond its types, no \u0000 in names. We: 512 levels. */
static bool known_difference(const json_error_t *e, const char *ours)
{
    enum json_error_code code = json_error_code(e);

    return code == json_error_numeric_overflow ||
           code == json_error_null_byte_in_key ||
           strstr(ours, "nested deeper than") != NULL;
}

/* Copies into each interesting size; the sanitizer sees a byte too many. */
static void check_copies(struct json_span span, const char *text, size_t len)
{
    size_t caps[] = {1, len / 2 + 1, len, len + 1};

    for (size_t i = 0; i < 4; i++) {
        char *out = malloc(caps[i]);
        size_t n;
        int rc = json_string_copy(span, out, caps[i], &n);
        assert(rc == (caps[i] > len ? 0 : ERR_TOO_BIG));
        assert(rc != 0 || (n == len && memcmp(out, text, n + 1) == 0));
        free(out);
    }
}

static void compare_string(struct json_span span, const json_t *value)
{
    size_t len, n = json_string_length(value);
    const char *want = json_string_value(value);
    char *text = json_string_dup(span, &len);

    if (memchr(want, '\0', n) != NULL) {
        assert(text == NULL);
        return;
    }
    assert(text != NULL && len == n && memcmp(text, want, n + 1) == 0);
    if (n > 0)
        check_copies(span, text, len);
    if (n < 64)
        assert(json_string_is(span, want));
    assert(json_string_is(span, "type") == (strcmp(want, "type") == 0));
    free(text);
}

static void compare_number(struct json_span span, const json_t *value)
{
    int64_t n;
    int rc = json_int_value(span, &n);

    assert(json_kind(span) == JSON_IS_NUMBER);
    assert((rc == 0) == json_is_integer(value));
    assert(rc != 0 || n == json_integer_value(value));
}

static void compare_outer(struct json_span span, const json_t *value,
                          unsigned level)
{
    bool is_object = json_is_object(value);
    struct outer o = {.value = value, .level = level + 1};
    size_t size = is_object ? json_object_size(value) : json_array_size(value);
    int rc;

    assert(json_kind(span) == (is_object ? JSON_IS_OBJECT : JSON_IS_ARRAY));
    if (is_object)
        rc = json_scan_object(span.p, span.len, on_counted, &o, NULL);
    else
        rc = json_scan_array(span.p, span.len, on_element, &o, NULL);
    assert(rc == 0);
    assert(is_object ? o.count >= size : o.count == size);
    /* jansson has only the last of two members of one name. */
    if (is_object && o.count == size) {
        rc = json_scan_object(span.p, span.len, on_member, &o, NULL);
        assert(rc == 0);
    }
}

static void compare(struct json_span span, const json_t *value, unsigned level)
{
    assert(span.p != NULL && span.len > 0);
    assert(json_check(span.p, span.len, NULL) == 0);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (level < COMPARED_LEVELS)
            compare_outer(span, value, level);
        break;
    case JSON_STRING:
        assert(json_kind(span) == JSON_IS_STRING);
        compare_string(span, value);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        compare_number(span, value);
        break;
    case JSON_TRUE:
        assert(json_kind(span) == JSON_IS_TRUE && span.len == 4);
        break;
    case JSON_FALSE:
        assert(json_kind(span) == JSON_IS_FALSE && span.len == 5);
        break;
    case JSON_NULL:
        assert(json_kind(span) == JSON_IS_NULL && span.len == 4);
        break;
    }
}

static int on_counted(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct outer *o = arg;

    (void)eb;
    assert(key.p != NULL && value.p > key.p + key.len);
    o->count++;
    return 0;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct outer *o = arg;
    size_t len;
    char *name = json_string_dup(key, &len);

    (void)eb;
    assert(name != NULL && strlen(name) == len);
    const json_t *member = json_object_get(o->value, name);
    assert(member != NULL);
    compare(value, member, o->level);
    free(name);
    return 0;
}

static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct outer *o = arg;

    (void)eb;
    assert(key.p == NULL);
    const json_t *element = json_array_get(o->value, o->count++);
    assert(element != NULL);
    compare(value, element, o->level);
    return 0;
}

static struct json_span trim(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[0]) != NULL) {
        text++;
        len--;
    }
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    return (struct json_span){text, len};
}

/* Any text can be stored; what is UTF-8 without NUL comes back. */
static void check_write(const char *text, size_t len)
{
    struct buf out = {0};
    size_t n;

    buf_json_string(&out, text, len);
    assert(json_check(out.data, out.len, NULL) == 0);
    char *again = json_string_dup((struct json_span){out.data, out.len}, &n);
    if (memchr(text, '\0', len) == NULL && text_utf8_error(text, len) == len)
        assert(again != NULL && n == len && memcmp(again, text, len) == 0);
    free(again);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct errbuf eb = {""};
    json_error_t e;
    json_t *tree = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    int rc = json_check(text, size, &eb);

    if (memchr(text, '\0', size) != NULL)
        assert(rc != 0); /* jansson passes over one behind a number */
    else if (tree == NULL || rc != 0)
        assert((tree == NULL && rc != 0) || known_difference(&e, eb.text));
    else
        compare(trim(text, size), tree, 0);
    json_decref(tree);
    check_write(text, size);
    return 0;
}
