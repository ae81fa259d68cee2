/*
 * Claims about envelopes that somebody made to do harm, among thousands of
 * good ones: all good ones are done, each of the others ends in dead as
 * belt.invalid, nothing is blocked and the worker's memory comes back.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum {
    GOOD = 1000, /* in front of each hostile one, and behind the last */
    HUGE_MS = 300 * 1000,
    HUGE_BYTES = 100 * 1000 * 1000 / (SLOWNESS * SLOWNESS),
    DEEP = 10000,
    /* worker/DESIGN.md names the multiple; the rest is the worker itself. */
    PEAK_KB = 6 * (HUGE_BYTES / 1024) + 32 * 1024,
    AFTER_KB = 32 * 1024
};

static void push(struct redis *r, const char *p, size_t n)
{
    redisReply *reply = redis_cmd(r, "RPUSH belt:{q} %b", p, n);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
}

static long status_kb(pid_t pid, const char *name)
{
    char path[64], line[256];
    long kb = -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtol(line + strlen(name), NULL, 10);
    }
    if (f != NULL)
        (void)fclose(f);
    return kb;
}

/* All members of dead are what became of junk: none other is there. */
static void expect_dead(struct redis *r, long long n)
{
    assert_int_equal(redis_int(r, "ZCARD belt:{q}:dead"), n);
    assert_int_equal(queue_stat(r, "q", "invalid"), n);
    redisReply *dead = redis_cmd(r, "ZRANGE belt:{q}:dead 0 -1");
    for (size_t i = 0; i < dead->elements; i++)
        assert_non_null(
            strstr(dead->element[i]->str, "\"type\":\"belt.invalid\""));
    freeReplyObject(dead);
}

/* ---- a hundred megabytes (fewer under a sanitizer) ---- */

struct hundred {
    struct redis *r;
    unsigned huge, pushed;
};

static void push_huge(struct hundred *h, const char *front, char fill,
                      const char *back)
{
    struct buf b = {0};
    buf_reserve(&b, HUGE_BYTES);
    buf_str(&b, front);
    memset(b.data + b.len, fill, HUGE_BYTES - b.len - strlen(back));
    b.len = HUGE_BYTES - strlen(back);
    buf_str(&b, back);
    queue_fill(h->r, "q", "noop", h->pushed, GOOD);
    push(h->r, b.data, b.len);
    h->pushed += GOOD;
    h->huge++;
    buf_done(&b);
}

static bool all_have_ended(void *arg)
{
    const struct hundred *h = arg;
    return queue_stat(h->r, "q", "done") + queue_stat(h->r, "q", "invalid") >=
           h->pushed + h->huge;
}

static bool is_small_again(void *arg)
{
    return status_kb(worker_pid(arg), "VmRSS:") < AFTER_KB;
}

static void a_hundred_megabytes_block_nothing(void **state)
{
    struct hundred h = {.r = *state};
    struct worker *w[2];
    redis_do(h.r, "HSET belt:{q}:config dead_max_bytes 1000000000");
    push_huge(&h, "", 'x', "");
    push_huge(&h, "{\"type\":\"noop\",\"payload\":\"", 'y', "\"}");
    push_huge(&h, "", '[', "");
    queue_fill(h.r, "q", "noop", h.pushed, GOOD);
    h.pushed += GOOD;
    for (int i = 0; i < 2; i++)
        w[i] = worker_up(h.r, NULL,
                         (const char *[]){"--handler", "noop=builtin:noop",
                                          "--lease", "30s", NULL});
    if (!wait_until(all_have_ended, &h, HUGE_MS))
        fail_msg("%lld done, %lld invalid", queue_stat(h.r, "q", "done"),
                 queue_stat(h.r, "q", "invalid"));
    assert_int_equal(queue_stat(h.r, "q", "done"), h.pushed);
    expect_nobody_reaped(h.r);
    expect_dead(h.r, h.huge);
    for (int i = 0; i < 2; i++) {
        long peak = status_kb(worker_pid(w[i]), "VmHWM:");
        print_message("  worker %d: at most %ld MiB, now %ld MiB\n", i,
                      peak / 1024,
                      status_kb(worker_pid(w[i]), "VmRSS:") / 1024);
        if (SLOWNESS == 1) {
            assert_in_range(peak, 0, PEAK_KB);
            assert_true(wait_until(is_small_again, w[i], PATIENCE_MS));
        }
        worker_signal(w[i], SIGTERM);
        assert_int_equal(worker_wait(w[i], PATIENCE_MS), 0);
        worker_free(w[i]);
    }
}

/* ---- smaller ones ---- */

#define ESC "\x1b[2J\x1b]0;owned\x07"

/* Each is invalid: a part of the text for each reason. */
static const struct {
    const char *text;
    size_t len; /* 0: of the string */
} junk[] = {
    {"\0\0\0", 3},
    {"{\"type\":\"noop\"}\0", 16},
    {"{\"type\":\"no\0op\"}", 16},
    {"{\"type\":\"no\\u0000op\"}", 0},
    {"{\"type\":\"noop\",\"id\":\"a\\nb\"}", 0},
    {"{\"type\":\"noop\",\"id\":\"a\nb\"}", 0},
    {"{\"type\":\"noop\",\"id\":\"" ESC "\"}", 0},
    {"{\"type\":\"noop\",\"id\":\"\\u001b[2J\"}", 0},
    {"{\"type\":\"noop\",\"id\":\"\xc2\x9b"
     "2J\"}",
     0},
    {"{\"type\":\"noop\",\"id\":\"\xe2\x80\xae"
     "a\xe2\x80\xac\"}",
     0},
    {"{\"type\":\"noop\",\"id\":\"\xff\xfe\"}", 0},
    {"{\"type\":\"\\u001b[2J\"}", 0},
    {"{\"type\":\"\\u009b2J\"}", 0},
    {"{\"type\":\"\xc0\xaf\"}", 0},
    {"{\"type\":\"noop\",\"attempt\":1e999}", 0},
    {"{\"type\":\"noop\",\"attempt\":99999999999999999999999999999999}", 0},
    {"{\"type\":\"noop\",\"timeout\":-1}", 0},
    {"{\"type\":\"noop\",\"keep\":0.5}", 0},
    {"{\"type\":\"noop\",\"type\":\"noop\"}", 0},
    {"{\"type\":\"noop\",\"payload\":1,\"payload\":2}", 0},
    {"{\"type\":\"noop\",\"p\\u0061yload\":1,\"payload\":2}", 0},
    {"{\"recovered\":[\"x\"],\"type\":\"noop\"}", 0},
    {ESC, 0},
    {"", 0},
};
enum { JUNK = sizeof(junk) / sizeof(junk[0]) };

/* Front, n times the middle, back. */
static void push_repeated(struct redis *r, const char *front,
                          const char *middle, unsigned n, const char *back)
{
    struct buf b = {0};
    buf_str(&b, front);
    for (unsigned i = 0; i < n; i++)
        buf_str(&b, middle);
    buf_str(&b, back);
    push(r, b.data, b.len);
    buf_done(&b);
}

static unsigned push_repetitive(struct redis *r)
{
    push_repeated(r, "{\"type\":\"noop\",\"payload\":", "[", DEEP, "");
    push_repeated(r, "{\"type\":\"noop\",\"payload\":", "{\"a\":", DEEP, "");
    push_repeated(r, "", "[", DEEP, "");
    push_repeated(r, "{\"type\":\"", "x", 1 << 20, "\"}");
    push_repeated(r, "{\"type\":\"noop\",\"id\":\"", "i", 1 << 20, "\"}");
    push_repeated(r, "{\"type\":\"noop\",\"recovered\":[", "9,", 100000, "x]}");
    return 6;
}

/* Valid, if strange; noop does not mind. */
static unsigned push_strange(struct redis *r)
{
    push_repeated(r, "{\"type\":\"noop\",\"payload\":", "9", 100000, "}");
    push_repeated(r, "{\"type\":\"noop\",\"payload\":\"", "\\u0000", 1000,
                  "\"}");
    push_repeated(r, "{\"type\":\"noop\",\"payload\":1e", "9", 100, "}");
    push_repeated(r, "{", "\"x\":1,", 10000, "\"type\":\"noop\"}");
    push_repeated(r, "{\"id\":\"a\",", "\"id\":\"b\",", 1000,
                  "\"type\":\"noop\"}");
    return 5;
}

static void hostile_envelopes_end_in_dead(void **state)
{
    struct redis *r = *state;
    unsigned good = 0, bad = 0;
    for (unsigned i = 0; i < JUNK; i++) {
        queue_fill(r, "q", "noop", good, 100);
        push(r, junk[i].text,
             junk[i].len > 0 ? junk[i].len : strlen(junk[i].text));
        good += 100;
        bad++;
    }
    bad += push_repetitive(r);
    queue_fill(r, "q", "noop", good, GOOD);
    good += GOOD;
    good += push_strange(r);
    struct worker *w = worker_up(
        r, NULL, (const char *[]){"--handler", "noop=builtin:noop", NULL});
    wait_stat(r, "done", good);
    wait_stat(r, "invalid", bad);
    /* And while it waits: those come by BLMOVE. */
    for (unsigned i = 0; i < JUNK; i++) {
        push(r, junk[i].text,
             junk[i].len > 0 ? junk[i].len : strlen(junk[i].text));
        bad++;
        wait_stat(r, "invalid", bad);
    }
    assert_true(queue_at_rest(r, "q", PATIENCE_MS));
    expect_dead(r, bad);
    assert_int_equal(queue_stat(r, "q", "done"), good);
    expect_nobody_reaped(r);
    assert_int_equal(worker_count(w, "ev=resync"), 0);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    worker_free(w);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, redis_setup, redis_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(hostile_envelopes_end_in_dead),
        CLAIM(a_hundred_megabytes_block_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
