/*
 * Fuzzer: durations, sizes, numbers, names, and policies of back-off.
 *
 * What is accepted is within the documented limits and survives being written
 * and read again; strtoll is the judge of whole numbers. Whatever a policy
 * says, the delays it leads to are bounded.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/backoff.h"

#define YEAR_MS (366 * 86400000LL)

static void check_format(int64_t ms)
{
    char out[32];
    int64_t again;

    assert(text_format_duration(ms, out) == out);
    int rc = text_parse_duration(out, &again, NULL);
    assert(rc == 0 && again == ms);
}

static void check_duration(const char *text)
{
    struct errbuf eb = {""};
    int64_t ms;

    if (text_parse_duration(text, &ms, &eb) == 0) {
        assert(ms >= 0);
        check_format(ms);
    } else {
        assert(eb.text[0] != '\0');
    }
}

static void check_size(const char *text)
{
    struct errbuf eb = {""};
    int64_t n, again;
    char plain[24];

    if (text_parse_size(text, &n, &eb) == 0) {
        assert(n >= 0);
        (void)snprintf(plain, sizeof(plain), "%" PRId64, n);
        int rc = text_parse_size(plain, &again, NULL);
        assert(rc == 0 && again == n);
    } else {
        assert(eb.text[0] != '\0');
    }
}

/* Only digits, perhaps behind a minus: what is a whole number for us. */
static bool is_whole(const char *text)
{
    const char *digits = text + (text[0] == '-');

    return digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits);
}

static void check_int(const char *text, int64_t min, int64_t max)
{
    struct errbuf eb = {""};
    int64_t n;

    errno = 0;
    long long judged = strtoll(text, NULL, 10);
    bool good = is_whole(text) && errno == 0 && judged >= min && judged <= max;
    int rc = text_parse_int(text, min, max, "n", &n, &eb);
    assert((rc == 0) == good);
    assert(rc != 0 ? eb.text[0] != '\0' : n == judged);
}

static int64_t most_of(const struct backoff *b)
{
    int64_t most = 0;

    switch (b->kind) {
    case BACKOFF_DEFAULT:
        return BACKOFF_CAP_MS;
    case BACKOFF_EXPONENTIAL:
        return b->max_ms;
    case BACKOFF_FIXED:
        return b->base_ms;
    case BACKOFF_LIST:
        break;
    }
    assert(b->count >= 1 && b->count <= BACKOFF_LIST_MAX);
    for (unsigned i = 0; i < b->count; i++)
        most = b->list_ms[i] > most ? b->list_ms[i] : most;
    return most;
}

static void check_delays(const struct backoff *b)
{
    static const int64_t attempts[] = {
        1, 2, 3, 12, 13, 64, INT32_MAX, INT64_MAX - 1, INT64_MAX};
    static const double chances[] = {0, 0.5, 0x1.fffffffffffffp-1};
    int64_t most = most_of(b);

    assert(most >= 0 && most <= YEAR_MS);
    for (size_t c = 0; c < 3; c++) {
        int64_t last = 0;
        for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
            int64_t ms = backoff_delay(b, attempts[i], chances[c]);
            assert(ms >= 0 && ms <= most);
            assert(b->kind == BACKOFF_LIST || ms >= last);
            last = ms;
            ms = backoff_put_off(attempts[i], chances[c]);
            assert(ms >= 1000 && ms <= 60000);
        }
    }
}

static void check_backoff(const char *text, size_t len)
{
    struct errbuf eb = {""};
    struct backoff b;

    /* It gets what the scanner found: a value, without white space. */
    if (len == 0 || strchr(" \t\r\n", text[0]) != NULL ||
        strchr(" \t\r\n", text[len - 1]) != NULL ||
        json_check(text, len, NULL) != 0)
        return;
    if (backoff_parse((struct json_span){text, len}, &b, &eb) == 0)
        check_delays(&b);
    else
        assert(eb.text[0] != '\0');
}

static void check_words(const char *text, size_t len)
{
    static const char *const words[] = {"threads", "lease", "timeout",
                                        "max-window", "queues"};
    const char *near = text_nearest(text, words, 5);
    size_t bad = text_utf8_error(text, len);
    bool known = near == NULL;

    for (size_t i = 0; i < 5; i++)
        known = known || near == words[i];
    assert(known);
    assert(bad <= len && text_utf8_error(text, bad) == bad);
    /* Every name is an id, but for the length that both allow. */
    if (text_is_name(text, len))
        assert(len <= NAME_MAX_LEN && text_is_id(text, len));
}

/* The first eight bytes are a number, the others a text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t n = 0;
    size_t used = size < sizeof(n) ? size : sizeof(n);

    memcpy(&n, data, used);
    check_format(n == INT64_MIN ? 0 : n < 0 ? -n : n);
    size -= used;
    char *text = mem_dup(data + used, size);
    check_duration(text);
    check_size(text);
    check_int(text, INT64_MIN, INT64_MAX);
    check_int(text, n < 0 ? n : -n, n < 0 ? 0 : n);
    check_backoff(text, size);
    check_words(text, strlen(text));
    free(text);
    return 0;
}
