/*
 * Claims about text that somebody made to drive a terminal or to forge lines:
 * wherever Belt shows it or logs it, it is harmless.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/base/text.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/listen_fixture.h"
#include "tests/unit/unit.h"

/* ESC, CSI and OSC, BEL, a C1 control, bidi marks, no UTF-8, a new line. */
#define EVIL                                                                   \
    "a\x1b[2J\x1b]0;o\x07\xc2\x9b"                                             \
    "2J\xe2\x80\xae\xe2\x80\xac\xe2\x81\xa6\xe2\x81\xa9\xd8\x9c\x7f\r\nz\xff"  \
    "\t"
/* The same as JSON can say it. */
#define EVIL_JSON                                                              \
    "a\\u001b[2J\\u0007\\u009b2J\\u202e\\u2066\\u061c\\u007f\\r\\nz\\t"
#define TYPE "t\\u202e\\u2066" /* a valid type */

static const char *const formats[] = {"table", "json", "ndjson", "tsv"};
enum { FORMATS = 4 };

/* Lines of UTF-8 that a terminal may see. tabs: between values. */
static void expect_harmless(const char *what, const char *text, bool tabs)
{
    size_t n = strlen(text), bad = text_utf8_error(text, n);
    if (bad < n)
        fail_msg("%s: no UTF-8 at byte %zu", what, bad);
    for (size_t i = 0; i < n; i++) {
        uint32_t code;
        if (text[i] != '\n' && !(tabs && text[i] == '\t') &&
            safe_unsafe(text + i, n - i, &code) > 0)
            fail_msg("%s: U+%04X at byte %zu", what, (unsigned)code, i);
    }
}

static void expect_json(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    if (j == NULL)
        fail_msg("no JSON: %s", text);
    json_decref(j);
}

static void expect_json_lines(char *text)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        expect_json(line);
}

static unsigned count(const char *text, char c)
{
    unsigned n = 0;
    for (; (text = strchr(text, c)) != NULL; text++)
        n++;
    return n;
}

/* One line for each row, of as many values as the first one. */
static void expect_rows(char *text)
{
    char *rest = NULL, *line = strtok_r(text, "\n", &rest);
    unsigned tabs = count(line, '\t');
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL)
        assert_int_equal(count(line, '\t'), tabs);
}

/* ---- what belt shows ---- */

static void plant_jobs(struct redis *r)
{
    static const char *const jobs[] = {
        EVIL,
        "{\"type\":\"" TYPE "\",\"payload\":\"" EVIL_JSON "\"}",
        "{\"type\":\"t\",\"id\":\"" EVIL_JSON "\"}",
        "{\"type\":\"" EVIL_JSON "\"}",
        "{\"type\":\"t\",\"error\":{\"class\":\"" EVIL_JSON
        "\",\"message\":\"" EVIL_JSON "\",\"stderr\":\"" EVIL_JSON "\"}}",
        "{\"type\":\"t\",\n\t\"" EVIL_JSON "\"\r:\n1}"};
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        redis_do(r, "RPUSH belt:{q} %s", jobs[i]);
        redis_do(r, "RPUSH belt:{q}:active:%s %s", EVIL, jobs[i]);
        redis_do(r, "ZADD belt:{q}:scheduled 1 %s", jobs[i]);
        redis_do(r, "ZADD belt:{q}:retry 1 %s", jobs[i]);
        redis_do(r, "ZADD belt:{q}:dead 1 %s", jobs[i]);
    }
    redis_do(r, "ZADD belt:{q}:leases 99999999999999 %s", EVIL);
    redis_do(r, "HSET belt:{q}:lanes %s %s", EVIL, EVIL);
    redis_do(r, "HSET belt:{q}:config paused 1 paused_by %s paused_reason %s",
             EVIL, EVIL);
    redis_do(r, "LPUSH belt:{q} %s", "{\"id\":\"r\",\"type\":\"t\"}");
}

static void plant_names(struct redis *r)
{
    char *big = mem_new(1 << 20);
    memset(big, 'x', (1 << 20) - 1);
    redis_do(r, "SADD belt:queues q found %s %s %s %s %s %b", EVIL, "{x}", "q}",
             "a b", big, "q\0x", (size_t)3);
    free(big);
    redis_do(r, "ZADD belt:workers 99999999999999 %s 1 w", EVIL);
    redis_do(r, "HSET belt:worker:%s host %s pid %s queues %s stage %s", EVIL,
             EVIL, EVIL, EVIL, EVIL);
    redis_do(r, "HSET belt:worker:w host %s version %s started_at %s", EVIL,
             EVIL, EVIL);
    redis_do(r, "HSET belt:{q}:job:a state %s result %s worker %s attempt %s",
             EVIL, EVIL, EVIL, EVIL);
    redis_do(r, "HSET belt:{q}:job:b state dead error %s result %s", EVIL,
             "\"" EVIL_JSON "\"");
    redis_do(r, "HSET belt:{q}:job:c state active lane %s message %s type %s",
             EVIL, EVIL, EVIL);
}

static void expect_output(struct redis *r, const char *format,
                          const char *const *words)
{
    const char *argv[12];
    unsigned n = 0;
    for (; words[n] != NULL; n++)
        argv[n] = words[n];
    argv[n++] = "-o";
    argv[n++] = format;
    argv[n] = NULL;
    struct cli_result c = cli_run(r, NULL, argv);
    bool tsv = strcmp(format, "tsv") == 0;
    assert_in_range(c.status, 0, 1);
    assert_true(c.out_len == strlen(c.out) && c.out_len > 0);
    expect_harmless(words[0], c.out, tsv);
    expect_harmless(words[0], c.err, false);
    if (tsv)
        expect_rows(c.out);
    else if (strcmp(format, "ndjson") == 0)
        expect_json_lines(c.out);
    else if (strcmp(format, "json") == 0)
        expect_json(c.out);
    cli_result_done(&c);
}

static void what_belt_shows_is_harmless(void **state)
{
    static const char *const commands[][6] = {
        {"jobs", "q"},
        {"jobs", "q", "--state", "active"},
        {"jobs", "q", "--state", "scheduled"},
        {"jobs", "q", "--state", "retry"},
        {"jobs", "q", "--state", "dead"},
        {"queues"},
        {"workers"},
        {"result", "q/a", "q/b"},
        {"status", "q/a", "q/b", "q/c", "q/r"},
        {"explain", "q/a"},
        {"explain", "q/b"},
        {"explain", "q/c"},
        {"explain", "q/r"},
        {"wait", "q/b", "--timeout", "1m"}};
    struct fixture *f = *state;
    plant_jobs(f->r);
    plant_names(f->r);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        for (int o = 0; o < FORMATS; o++)
            expect_output(f->r, formats[o], commands[i]);
    }
}

/* ---- what belt and belt-worker complain of ---- */

static void expect_complaint(struct redis *r, const char *const *argv)
{
    struct cli_result c = cli_run(r, "", argv);
    assert_in_range(c.status, 64, 78);
    assert_true(strlen(c.err) > 0);
    expect_harmless(argv[0], c.out, false);
    expect_harmless(argv[0], c.err, false);
    cli_result_done(&c);
}

static void what_belt_complains_of_is_harmless(void **state)
{
    static const char *const commands[][7] = {
        {EVIL},
        {"push", EVIL},
        {"push", "t", EVIL},
        {"push", "t", "{\"" EVIL},
        {"push", "t", EVIL "=1", EVIL "=2"},
        {"push", "t", "@" EVIL},
        {"push", "-q", EVIL, "t"},
        {"push", "--id", EVIL, "t"},
        {"push", "--timeout", EVIL, "t"},
        {"push", "--ndjson", EVIL},
        {"push", "--" EVIL},
        {"push", "t", "--namespace", EVIL},
        {"push", "t", "--password-file", EVIL},
        {"push", "t", "-u", "redis://" EVIL},
        {"push", "t", "-u", "unix:///" EVIL},
        {"push", "t", "-o", EVIL},
        {"jobs", EVIL},
        {"jobs", "q", "--state", EVIL},
        {"queues", EVIL},
        {"result", EVIL},
        {"status", EVIL},
        {"explain", EVIL},
        {"wait", EVIL},
        {"stats", EVIL},
        {"help", EVIL},
        {"push", "-q", "odd", "t"}};
    struct fixture *f = *state;
    redis_do(f->r, "HSET belt:{odd}:config format %s", EVIL);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        expect_complaint(f->r, commands[i]);
}

static char *read_file(const char *path)
{
    size_t cap = 1 << 20;
    char *text = mem_new(cap);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(text, 1, cap - 1, f);
    (void)fclose(f);
    assert_int_equal(strlen(text), n);
    return text;
}

static void what_a_worker_complains_of_is_harmless(void **state)
{
    static const char *const flags[][4] = {
        {"-q", EVIL},      {"--handler", EVIL},
        {"--name", EVIL},  {"--handler", "t=exec:/x '" EVIL},
        {"--lease", EVIL}, {"--handler", "t=builtin:" EVIL},
        {"--" EVIL},       {"--listen", EVIL},
        {"-u", EVIL},      {EVIL}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct worker *w =
            worker_exec(f->r,
                        (const char *[]){BELT_WORKER_BIN, flags[i][0],
                                         flags[i][1], flags[i][2], NULL},
                        NULL);
        assert_in_range(worker_wait(w, LISTEN_MS), 64, 78);
        char *text = read_file(worker_log(w));
        assert_true(strlen(text) > 0);
        expect_harmless(flags[i][0], text, false);
        free(text);
        worker_free(w);
    }
}

static void what_a_file_has_wrong_is_harmless(void **state)
{
    struct fixture *f = *state;
    const char *conf =
        script_file(f->r, "conf",
                    "worker { queues = \"" EVIL "\"\n }\n\"" EVIL "\" = 1\n"
                    "handler \"" EVIL "\" { exec = \"\" }\n");
    struct worker *w = worker_exec(
        f->r, (const char *[]){BELT_WORKER_BIN, "--check", "-c", conf, NULL},
        NULL);
    assert_int_equal(worker_wait(w, LISTEN_MS), 78);
    char *text = read_file(worker_log(w));
    expect_harmless("a file", text, false);
    free(text);
    worker_free(w);
}

/* ---- what a worker logs and answers ---- */

#define BROKEN "u\xe2\x80\xae\xe2\x80\xac" /* a handler's, and a type */

static const char broken[] = BROKEN "=exec:/none";
static const char evil_script[] =
    "#!/bin/sh\n"
    "printf 'a\\033[2J\\007\\302\\2332J\\342\\200\\256\\r\\177\\377z\\n' >&2\n"
    "exit 65\n";

static void push_for_a_worker(struct redis *r)
{
    redis_do(r, "RPUSH belt:{q} %s %s %s", "{\"type\":\"" BROKEN "\"}",
             "{\"type\":\"t\",\"id\":\"" EVIL_JSON "\"}",
             "{\"type\":\"" TYPE "\",\"payload\":\"" EVIL_JSON "\"}");
    redis_do(r, "HSET belt:{odd}:config format %s", EVIL);
}

static void expect_harmless_log(struct fixture *f, bool json)
{
    worker_signal(f->w, SIGTERM);
    (void)worker_wait(f->w, LISTEN_MS); /* of odd nothing can be left */
    char *text = read_file(worker_log(f->w));
    assert_non_null(strstr(text, "u009b"));
    assert_non_null(strstr(text, "u202e"));
    assert_non_null(strstr(text, "is no number"));
    expect_harmless("the log", text, false);
    if (json)
        expect_json_lines(text);
    free(text);
}

static void what_a_worker_answers_and_logs_is_harmless(void **state)
{
    static struct response answer;
    struct fixture *f = *state;
    char *handler =
        mem_printf("t*=exec:%s", script_file(f->r, "evil", evil_script));
    plant_names(f->r);
    push_for_a_worker(f->r);
    listen_begin(f, (const char *[]){"-q", "q,*,odd", "--handler", handler,
                                     "--handler", broken, NULL});
    http_until(f, "/readyz", 503, "handler u\\u202e\\u202c: cannot be started");
    metric_until(f, "belt_jobs_processed_total{queue=\"q\",outcome=\"dead\"}",
                 1);
    /* Of all the names in belt:queues one more is a name. */
    metric_until(f, "belt_lane_up{queue=\"found\"}", 1);
    assert_int_equal(worker_count(f->w, "ev=discover "), 1);
    http_ask(f, "GET", "/readyz", &answer);
    expect_harmless("/readyz", answer.body, false);
    http_ask(f, "GET", "/metrics", &answer);
    expect_harmless("/metrics", answer.body, false);
    expect_harmless_log(f, false);
    free(handler);
}

static bool has_told_all(void *arg)
{
    return worker_said(arg, "\"ev\":\"dead\"") &&
           worker_said(arg, "\"ev\":\"put_off\"") &&
           worker_said(arg, "is no number");
}

static void a_log_of_json_is_harmless_too(void **state)
{
    struct fixture *f = *state;
    char *handler =
        mem_printf("t*=exec:%s", script_file(f->r, "evil", evil_script));
    push_for_a_worker(f->r);
    f->w = worker_start(f->r, NULL,
                        (const char *[]){"-q", "q,odd", "--handler", handler,
                                         "--handler", broken, "--log-format",
                                         "json", NULL});
    assert_true(wait_until(has_told_all, f->w, LISTEN_MS));
    expect_harmless_log(f, true);
    free(handler);
}

/* ---- names with braces ---- */

static void names_with_braces_are_refused(void **state)
{
    struct fixture *f = *state;
    EXPECT(f->r, NULL, 64, "", "{x}", "push", "-q", "{x}", "t");
    EXPECT(f->r, NULL, 64, "", "{x}: not the name", "queues", "{x}");
    EXPECT(f->r, NULL, 64, "", "{x}: not the name", "jobs", "{x}");
    EXPECT(f->r, NULL, 64, "", "{x}/a: neither QUEUE/ID nor ID", "result",
           "{x}/a");
    const char *conf =
        script_file(f->r, "conf", "worker { queues = \"{x}\" }\n");
    const char *const argv[][8] = {
        {BELT_WORKER_BIN, "-q", "{x}", "--handler", "t=builtin:noop"},
        {BELT_WORKER_BIN, "-c", conf, "--handler", "t=builtin:noop"}};
    static const int codes[] = {64, 78};
    for (int i = 0; i < 2; i++) {
        struct worker *w = worker_exec(f->r, argv[i], NULL);
        assert_int_equal(worker_wait(w, LISTEN_MS), codes[i]);
        assert_true(worker_said(w, "{x}"));
        worker_free(w);
    }
    assert_int_equal(redis_int(f->r, "DBSIZE"), 0);
}

int main(void)
{
#define CLAIM(f)                                                               \
    cmocka_unit_test_setup_teardown(f, listen_setup, listen_teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(what_belt_shows_is_harmless),
        CLAIM(what_belt_complains_of_is_harmless),
        CLAIM(what_a_worker_complains_of_is_harmless),
        CLAIM(what_a_file_has_wrong_is_harmless),
        CLAIM(what_a_worker_answers_and_logs_is_harmless),
        CLAIM(a_log_of_json_is_harmless_too),
        CLAIM(names_with_braces_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
