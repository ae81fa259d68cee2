/*
 * Claims about every cut of a push: what is said to be pushed is there once,
 * what is said not to be is not there, and "outcome unknown" is said when it
 * may be either. Redis forgets the script before each push, so that NOSCRIPT
 * and SCRIPT LOAD are in its way.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "tests/faults/journal.h"
#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { JOBS_MAX = 100 * 1000, PATIENCE_MS = 60 * 1000, RANGES_MAX = 32 };

static struct redis *redis;
static struct proxy *proxy;
static unsigned last_serial;      /* of the jobs of all cases */
static unsigned char *ever_there; /* by serial: came to Redis, so often */

static int start(void **state)
{
    static const struct redis_opts opts = {
        .appendonly = true, .conf = "auto-aof-rewrite-percentage 0"};
    (void)state;
    redis = redis_start(&opts);
    proxy = proxy_start(redis, 1);
    ever_there = mem_new(JOBS_MAX);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    proxy_stop(proxy);
    redis_stop(redis);
    free(ever_there);
    return 0;
}

/* ---- one push ---- */

struct range {
    unsigned first, last;
};

/* A cut, and what belt said about the lines, or the one job, from 1. */
struct push {
    const char *command, *point;
    unsigned nth, lines;

    unsigned before; /* serial of what comes before line 1 */
    int code;
    unsigned acknowledged;
    struct range unknown[RANGES_MAX];
    unsigned unknown_count;
};

static void fail_push(const struct push *p, const char *what)
{
    fail_msg("%s %s, number %u, %u lines: %s (exit code %d)", p->point,
             p->command, p->nth, p->lines, what, p->code);
}

static const char *write_lines(const struct push *p)
{
    char *text = mem_new((size_t)p->lines * 64);
    size_t n = 0;
    for (unsigned i = 1; i <= p->lines; i++)
        n += (size_t)sprintf(text + n, "{\"n\":%u}\n", p->before + i);
    char *name = mem_printf("lines-%u", p->before);
    const char *path = script_file(redis, name, text);
    free(name);
    free(text);
    return path;
}

static struct worker *run_belt(const struct push *p)
{
    char word[32];
    const char *one[] = {BELT_BIN, "push", "-u", proxy_url(proxy, 0), "-q", "q",
                         "x",      word,   NULL};
    (void)snprintf(word, sizeof(word), "n:=%u", p->before + 1);
    if (p->lines == 1)
        return worker_exec(redis, one, NULL);
    return worker_exec(
        redis,
        (const char *[]){BELT_BIN, "push", "-u", proxy_url(proxy, 0), "-q", "q",
                         "--ndjson", "--type", "x", write_lines(p), NULL},
        NULL);
}

static void read_line(struct push *p, const char *line)
{
    const char *unknown = strstr(line, "outcome unknown");
    const char *lines = strstr(line, "lines up to ");
    struct range r = {1, 1};
    if (lines != NULL)
        (void)sscanf(lines, "lines up to %u", &p->acknowledged);
    if (unknown == NULL)
        return;
    if (p->lines > 1 && sscanf(unknown, "outcome unknown: lines %u to %u",
                               &r.first, &r.last) != 2)
        fail_push(p, line);
    assert_true(p->unknown_count < RANGES_MAX);
    p->unknown[p->unknown_count++] = r;
}

static void read_words(struct push *p, struct worker *w)
{
    char line[1024];
    FILE *f = fopen(worker_log(w), "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        read_line(p, line);
    (void)fclose(f);
    if (p->code == 0)
        p->acknowledged = p->lines;
}

/* ---- what is there ---- */

/* Takes all jobs off the queue and notes them. */
static void look(void)
{
    redisReply *all = redis_cmd(redis, "LRANGE belt:{q} 0 -1");
    memset(ever_there, 0, JOBS_MAX);
    for (size_t i = 0; i < all->elements; i++) {
        unsigned n = 0;
        const char *payload = strstr(all->element[i]->str, "{\"n\":");
        assert_non_null(payload);
        assert_int_equal(sscanf(payload, "{\"n\":%u}", &n), 1);
        assert_true(n > 0 && n <= last_serial);
        ever_there[n]++;
    }
    freeReplyObject(all);
}

static bool is_unknown(const struct push *p, unsigned line)
{
    for (unsigned i = 0; i < p->unknown_count; i++) {
        if (line >= p->unknown[i].first && line <= p->unknown[i].last)
            return true;
    }
    return false;
}

/* Returns how many are there. */
static unsigned expect_honest(const struct push *p)
{
    unsigned there = 0;
    look();
    for (unsigned i = 1; i <= p->lines; i++) {
        unsigned n = ever_there[p->before + i];
        there += n;
        if (n > 1)
            fail_push(p, "a job is there twice");
        if (n == 0 && i <= p->acknowledged)
            fail_push(p, "an acknowledged job is not there");
        if (n == 1 && i > p->acknowledged && !is_unknown(p, i))
            fail_push(p, "a job is there that was not said to be");
    }
    return there;
}

/* Cuts a push there. Returns how many of its jobs are in Redis in the end. */
static unsigned cut_push(const char *point, const char *command, unsigned nth,
                         unsigned lines, int code)
{
    struct push p = {.command = command,
                     .point = point,
                     .nth = nth,
                     .lines = lines,
                     .before = last_serial};
    int64_t fired = proxy_ask(proxy, "fired");
    last_serial += lines;
    assert_true(last_serial < JOBS_MAX);
    redis_do(redis, "SCRIPT FLUSH");
    proxy_do(proxy, "cut 0 %s %s %u", point, command, nth);
    struct worker *w = run_belt(&p);
    p.code = worker_wait(w, PATIENCE_MS);
    if (proxy_ask(proxy, "fired") != fired + 1)
        fail_push(&p, "the command never came");
    read_words(&p, w);
    worker_free(w);
    (void)expect_honest(&p);
    assert_int_equal(proxy_ask(proxy, "late"), strcmp(point, "late") == 0);
    unsigned there = expect_honest(&p);
    print_message("%-15s %u %-7s %4u jobs: exit %d, %4u acknowledged, %s, "
                  "%4u there\n",
                  command, nth, point, lines, p.code, p.acknowledged,
                  p.unknown_count > 0 ? "unknown" : "not pushed", there);
    if (p.code != code)
        fail_push(&p, "the exit code is another");
    return there;
}

/* ---- claims ---- */

static const char *const points[] = {"before", "after", "middle", "late"};
enum { POINTS = 4 };

/* Whatever it is that is lost before the push could be sent. */
static void a_push_that_was_not_sent_is_not_there(void **state)
{
    static const char *const commands[] = {"PING", "CLIENT|SETNAME"};
    (void)state;
    for (unsigned i = 0; i < 2 * POINTS; i++) {
        const char *command = commands[i / POINTS];
        const char *point = points[i % POINTS];
        assert_int_equal(cut_push(point, command, 1, 1, EX_UNAVAILABLE), 0);
        assert_int_equal(cut_push(point, command, 1, 5, EX_UNAVAILABLE), 0);
    }
}

/*
 * The first call meets NOSCRIPT, and so none of these brings a job. MULTI,
 * EVAL and EXEC are the probe, which only many lines need.
 */
static void what_comes_before_the_push_brings_nothing(void **state)
{
    static const char *const commands[] = {"SADD", "push"};
    static const char *const probe[] = {"MULTI", "EVAL", "EXEC"};
    (void)state;
    for (unsigned i = 0; i < 3 * POINTS; i++)
        assert_int_equal(
            cut_push(points[i % POINTS], probe[i / POINTS], 1, 5, EX_TEMPFAIL),
            0);
    for (unsigned i = 0; i < 2 * POINTS; i++) {
        const char *command = commands[i / POINTS];
        const char *point = points[i % POINTS];
        assert_int_equal(cut_push(point, command, 1, 1, EX_TEMPFAIL), 0);
        assert_int_equal(cut_push(point, command, 1, 5, EX_TEMPFAIL), 0);
    }
}

/* SCRIPT LOAD travels with the second call, which runs if it arrives. */
static void a_push_whose_answer_is_lost_is_unknown(void **state)
{
    static const char *const commands[] = {"SCRIPT|LOAD", "push"};
    (void)state;
    for (unsigned i = 0; i < 2 * POINTS; i++) {
        const char *command = commands[i / POINTS];
        const char *point = points[i % POINTS];
        unsigned nth = i < POINTS ? 1 : 2;
        unsigned one = cut_push(point, command, nth, 1, EX_TEMPFAIL);
        unsigned five = cut_push(point, command, nth, 5, EX_TEMPFAIL);
        bool before = strcmp(point, "before") == 0;
        if (i >= POINTS || before) { /* else it may be on its way */
            assert_int_equal(one, before ? 0 : 1);
            assert_int_equal(five, before ? 0 : 5);
        }
    }
}

/*
 * Thousands of lines: the first batch is acknowledged, and of the others,
 * which are transactions, the second is there whole or not at all. The first
 * MULTI and EXEC are a probe.
 */
static void what_was_acknowledged_before_stays_so(void **state)
{
    static const struct {
        const char *command;
        unsigned nth;
    } commands[] = {{"MULTI", 2}, {"RPUSH", 1}, {"EVAL", 2}, {"EXEC", 2}};
    (void)state;
    for (unsigned i = 0; i < 4 * POINTS; i++) {
        const char *command = commands[i / POINTS].command;
        const char *point = points[i % POINTS];
        bool before = strcmp(point, "before") == 0;
        bool exec = strcmp(command, "EXEC") == 0;
        unsigned there = cut_push(point, command, commands[i / POINTS].nth,
                                  2500, EX_TEMPFAIL);
        assert_true(there == 1000 || there == 2000 || there == 2500);
        assert_true(!before || there == 1000);
        assert_true(!exec || before || there >= 2000);
    }
}

/* All that is there ends: nothing is pushed in half. */
static void all_that_is_there_is_done(void **state)
{
    (void)state;
    long long n = redis_int(redis, "LLEN belt:{q}");
    struct worker *w =
        worker_start(redis, NULL,
                     (const char *[]){"-q", "q", "--handler", "x=builtin:noop",
                                      "--burst", NULL});
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    worker_free(w);
    assert_int_equal(queue_stat(redis, "q", "pushed"), n);
    assert_int_equal(queue_stat(redis, "q", "done"), n);
    struct journal *j = journal_replay(redis_dir(redis), "q", 0, stderr);
    assert_int_equal(journal_breach_count(j), 0);
    assert_int_equal(journal_left(j), 0);
    assert_int_equal(journal_moves(j).pushed, n);
    journal_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_that_was_not_sent_is_not_there),
        cmocka_unit_test(what_comes_before_the_push_brings_nothing),
        cmocka_unit_test(a_push_whose_answer_is_lost_is_unknown),
        cmocka_unit_test(what_was_acknowledged_before_stays_so),
        cmocka_unit_test(all_that_is_there_is_done),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
