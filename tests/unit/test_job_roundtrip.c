/*
 * Thousands of random envelopes, the same on every run: reading finds the
 * payload byte for byte, and a rewrite gives back every member as it was.
 *
 * Thread: main.
 */
#include "common/job/job.h"

#include <string.h>

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Small and good enough, and the same on every machine. */
static uint64_t rnd(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static struct job *parse(const char *text, size_t len)
{
    struct job *job = NULL;
    struct errbuf eb = {""};

    if (job_parse(text, len, JOB_ENVELOPE_MAX_BYTES, &job, &eb) != 0)
        fail_msg("%.*s: %s", (int)len, text, eb.text);
    return job;
}

static void put_space(struct buf *b, uint64_t *seed)
{
    static const char spaces[] = " \t\r\n";

    while (rnd(seed) % 4 == 0)
        buf_char(b, spaces[rnd(seed) % 4]);
}

static void put_random_string(struct buf *b, uint64_t *seed)
{
    static const char *const parts[] = {"a",         "id",
                                        " ",         "\\n",
                                        "\\\"",      "\\\\",
                                        "\\u00e9",   "\\uD83D\\uDE00",
                                        "\xc3\xa9",  "\xf0\x9f\x98\x80",
                                        "\\u0000",   "{",
                                        "]",         ",",
                                        "long plain"};

    buf_char(b, '"');
    for (uint64_t n = rnd(seed) % 6; n > 0; n--)
        buf_str(b, parts[rnd(seed) % COUNT(parts)]);
    buf_char(b, '"');
}

static void put_random_value(struct buf *b, uint64_t *seed, int levels)
{
    static const char *const scalars[] = {
        "null",      "true", "false", "0",
        "-0",        "1.0",  "1",     "12345678901234567890",
        "-1.5E+300", "1e-9", "{}",    "[]",
        "[ ]"};
    const uint64_t kind = rnd(seed) % (levels > 0 ? 4 : 2);
    const bool object = kind == 3;

    if (kind == 0) {
        buf_str(b, scalars[rnd(seed) % COUNT(scalars)]);
        return;
    }
    if (kind == 1) {
        put_random_string(b, seed);
        return;
    }
    buf_char(b, object ? '{' : '[');
    for (uint64_t n = rnd(seed) % 4 + 1; n > 0; n--) {
        put_space(b, seed);
        if (object) {
            put_random_string(b, seed);
            put_space(b, seed);
            buf_char(b, ':');
            put_space(b, seed);
        }
        put_random_value(b, seed, levels - 1);
        put_space(b, seed);
        if (n > 1)
            buf_char(b, ',');
    }
    buf_char(b, object ? '}' : ']');
}

/* The same member in an envelope with random space, and in what is expected. */
static void put_member(struct buf *text, struct buf *want, uint64_t *seed,
                       const char *name, const char *value)
{
    put_space(text, seed);
    buf_printf(text, "\"%s\"", name);
    put_space(text, seed);
    buf_char(text, ':');
    put_space(text, seed);
    buf_str(text, value);
    put_space(text, seed);
    buf_char(text, ',');
    buf_printf(want, ",\"%s\":%s", name, value);
}

/* Appends an envelope, what its rewrite must be, and its payload. */
static void make_envelope(uint64_t *seed, struct buf *text, struct buf *want,
                          struct buf *payload)
{
    static const char *const names[] = {"mine",   "x\\u0041", "payload2", "",
                                        "unique", "then",     "ty"};
    struct buf value = {0};
    unsigned used = 0;

    put_random_value(payload, seed, 4);
    put_space(text, seed);
    buf_char(text, '{');
    buf_str(want, "{\"id\":\"j:1\"");
    for (uint64_t n = rnd(seed) % 5; n > 0; n--) {
        const uint64_t i = rnd(seed) % COUNT(names);
        if ((used >> i & 1) != 0)
            continue;
        used |= 1U << i;
        buf_clear(&value);
        put_random_value(&value, seed, 2);
        put_member(text, want, seed, names[i], value.data);
    }
    put_member(text, want, seed, "payload", payload->data);
    if (rnd(seed) % 2 == 0)
        put_member(text, want, seed, "attempt", "3");
    put_member(text, want, seed, "type", "\"t\"");
    put_space(text, seed);
    buf_str(text, "\"id\" :\"j:1\"}");
    put_space(text, seed);
    buf_char(want, '}');
    buf_done(&value);
}

static void rewrite_keeps_the_bytes_of_random_envelopes(void **state)
{
    struct buf text = {0}, want = {0}, payload = {0}, out = {0};
    uint64_t seed = 20261130;

    (void)state;
    for (int round = 0; round < 5000; round++) {
        buf_clear(&text);
        buf_clear(&want);
        buf_clear(&payload);
        buf_clear(&out);
        make_envelope(&seed, &text, &want, &payload);
        struct job *job = parse(text.data, text.len);
        assert_int_equal(job->payload.len, payload.len);
        assert_memory_equal(job->payload.p, payload.data, payload.len);
        job_rewrite(job, NULL, 0, 0, &out);
        assert_string_equal(out.data, want.data);
        job_free(job);
    }
    buf_done(&text);
    buf_done(&want);
    buf_done(&payload);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewrite_keeps_the_bytes_of_random_envelopes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
