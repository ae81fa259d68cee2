/*
 * What a worker says over HTTP about itself: that it lives, whether it is
 * ready, and its numbers.
 */
#include <ctype.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/listen_fixture.h"
#include "tests/support/metrics.h"
#include "tests/unit/unit.h"

#define NOOP "--handler", "x=builtin:noop"

static struct response answer;

static void each_path_has_its_answer(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, NULL};
    listen_begin(f, flags);
    http_until(f, "/readyz", 200, "ready\n");
    http_ask(f, "GET", "/livez?verbose=1", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "alive\n");
    assert_true(
        http_header_is(&answer, "Content-Type", "text/plain; charset=utf-8"));
    assert_true(http_header_is(&answer, "X-Content-Type-Options", "nosniff"));
    assert_true(http_header_is(&answer, "Content-Length", "6"));
    http_ask(f, "GET", "/metrics", &answer);
    assert_int_equal(answer.status, 200);
    assert_true(http_header_is(&answer, "Content-Type",
                               "text/plain; version=0.0.4; charset=utf-8"));
    static const char *const others[] = {"/", "/livez/", "/LIVEZ", "/..",
                                         "/metrics%00"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        http_ask(f, "GET", others[i], &answer);
        assert_int_equal(answer.status, 404);
        assert_true(
            http_header_is(&answer, "X-Content-Type-Options", "nosniff"));
    }
}

static void head_has_the_headers_and_no_body(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, NULL};
    listen_begin(f, flags);
    http_ask(f, "HEAD", "/livez", &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body_len, 0);
    assert_true(http_header_is(&answer, "Content-Length", "6"));
}

static void only_get_and_head_are_allowed(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, NULL};
    static const char *const methods[] = {"PUT", "DELETE", "OPTIONS", "TRACE",
                                          "PATCH"};
    static const char post[] = "POST /metrics HTTP/1.1\r\nHost: x\r\n"
                               "Content-Length: 5\r\n\r\nhello";
    listen_begin(f, flags);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        http_ask(f, methods[i], "/livez", &answer);
        assert_int_equal(answer.status, 405);
        assert_true(http_header_is(&answer, "Allow", "GET, HEAD"));
    }
    http_ask_raw(f, post, sizeof(post) - 1, &answer);
    assert_int_equal(answer.status, 405);
    assert_true(http_header_is(&answer, "Allow", "GET, HEAD"));
}

static void it_is_ready_while_redis_is_there(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {"-q", "a,b", NOOP, NULL};
    listen_begin(f, flags);
    http_until(f, "/readyz", 200, NULL);
    metric_until(f, "belt_lane_up{queue=\"b\"}", 1);
    redis_shutdown(f->r);
    http_until(f, "/readyz", 503, "queue a: Redis is away\n");
    http_until(f, "/readyz", 503, "queue b: Redis is away\n");
    metric_until(f, "belt_lane_up{queue=\"b\"}", 0);
    http_ask(f, "GET", "/livez", &answer);
    assert_int_equal(answer.status, 200);
    redis_restart(f->r);
    http_until(f, "/readyz", 200, NULL);
    metric_until(f, "belt_lane_up{queue=\"b\"}", 1);
}

static bool nobody_is_blocked(void *arg)
{
    redisReply *info = redis_cmd(arg, "INFO clients");
    bool none = strstr(info->str, "blocked_clients:0\r\n") != NULL;
    freeReplyObject(info);
    return none;
}

static bool somebody_is_blocked(void *arg)
{
    return !nobody_is_blocked(arg);
}

static void a_paused_queue_is_ready(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, "--lease", "3s", NULL};
    listen_begin(f, flags);
    assert_true(wait_until(somebody_is_blocked, f->r, LISTEN_MS));
    redis_do(f->r, "HSET belt:{default}:config paused 1");
    /* It has seen that when it has taken its BLMOVE back. */
    assert_true(wait_until(nobody_is_blocked, f->r, LISTEN_MS));
    http_ask(f, "GET", "/readyz", &answer);
    assert_int_equal(answer.status, 200);
}

static void a_broken_handler_makes_it_unready(void **state)
{
    struct fixture *f = *state;
    char *ends = mem_printf("ends=exec:%s",
                            script_file(f->r, "ends", "#!/bin/sh\nexit 127\n"));
    char *gone = mem_printf("gone=exec:%s/gone", redis_dir(f->r));
    const char *flags[] = {NOOP, "--handler", ends, "--handler", gone, NULL};
    listen_begin(f, flags);
    http_until(f, "/readyz", 200, NULL);
    queue_fill(f->r, "default", "gone", 0, 2);
    http_until(f, "/readyz", 503, "handler gone: cannot be started since 2");
    queue_fill(f->r, "default", "ends", 0, 1);
    http_until(f, "/readyz", 503, "handler ends: cannot be started since 2");
    metric_until(f, "belt_handlers_broken", 2);
    /* That others work does not mend it; that it works does. */
    queue_fill(f->r, "default", "x", 0, 1);
    metric_until(f,
                 "belt_jobs_processed_total{queue=\"default\","
                 "outcome=\"done\"}",
                 1);
    http_until(f, "/readyz", 503, "handler ends:");
    (void)script_file(f->r, "ends", "#!/bin/sh\nexit 1\n");
    queue_fill(f->r, "default", "ends", 0, 1);
    metric_until(f, "belt_handlers_broken", 1);
    (void)script_file(f->r, "gone", "#!/bin/sh\nexit 0\n");
    queue_fill(f->r, "default", "gone", 0, 1);
    http_until(f, "/readyz", 200, NULL);
    free(ends);
    free(gone);
}

static void a_quiet_worker_is_not_ready(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, NULL};
    listen_begin(f, flags);
    http_until(f, "/readyz", 200, NULL);
    worker_signal(f->w, SIGUSR1);
    http_until(f, "/readyz", 503, "quiet");
    http_ask(f, "GET", "/livez", &answer);
    assert_int_equal(answer.status, 200);
}

/* Without a payload: builtin:sleep takes a number there as its time. */
static void push_plain(struct fixture *f, const char *queue, unsigned n)
{
    while (n-- > 0)
        redis_do(f->r, "RPUSH belt:{%s} %s", queue, "{\"type\":\"x\"}");
}

static void a_draining_worker_says_so_until_its_end(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {"--handler", "x=builtin:sleep 2s", NULL};
    listen_begin(f, flags);
    push_plain(f, "default", 1);
    metric_until(f, "belt_worker_threads_busy", 1);
    worker_signal(f->w, SIGTERM);
    http_until(f, "/readyz", 503, "draining");
    metric_until(f, "belt_worker_draining", 1);
    http_ask(f, "GET", "/livez", &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(worker_wait(f->w, LISTEN_MS), 0);
    assert_int_equal(http_connect(f->port), -1);
    assert_int_equal(queue_stat(f->r, "default", "done"), 1);
}

/* ---- metrics ---- */

static size_t name_length(const char *s)
{
    size_t n = 0;
    if (!isalpha((unsigned char)s[0]) && s[0] != '_')
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == ':')
        n++;
    return n;
}

/* {name="value",…}: returns what is behind, or NULL. */
static const char *skip_labels(const char *s)
{
    if (*s != '{')
        return s;
    do {
        size_t n = name_length(++s);
        static const char names[] =
            " queue outcome version handler class le state result entry "
            "route method code ";
        char name[64] = "";
        bool known = n > 0 && n < sizeof(name) - 2 &&
                     snprintf(name, sizeof(name), " %.*s ", (int)n, s) > 0 &&
                     strstr(names, name) != NULL;
        s += n;
        if (!known || *s++ != '=' || *s++ != '"')
            return NULL;
        s += strcspn(s, "\"\\");
        if (*s++ != '"')
            return NULL;
    } while (*s == ',');
    return *s == '}' ? s + 1 : NULL;
}

/* A sample of the family that the TYPE line before it announced. */
static bool is_sample(const char *line, const char *family)
{
    static const char *const tails[] = {"", "_bucket", "_sum", "_count"};
    size_t n = name_length(line), len = strlen(family);
    char *end = NULL;
    bool known = false;
    if (n < len || strncmp(line, family, len) != 0)
        return false;
    for (int i = 0; i < 4; i++)
        known = known || (strlen(tails[i]) == n - len &&
                          strncmp(line + len, tails[i], n - len) == 0);
    const char *s = known ? skip_labels(line + n) : NULL;
    if (s == NULL || *s != ' ' || s[1] == ' ')
        return false;
    return strtod(s + 1, &end) >= 0 && end != s + 1 && *end == '\0';
}

static void check_line(const char *line, char *family, size_t size)
{
    const char *word = line + 7;
    size_t n = strncmp(line, "# ", 2) == 0 ? name_length(word) : 0;
    if (strncmp(line, "# HELP ", 7) == 0 && n > 0 && n < size &&
        word[n] == ' ' && strchr(word, '\\') == NULL) {
        (void)snprintf(family, size, "%.*s", (int)n, word);
        return;
    }
    if (strncmp(line, "# TYPE ", 7) == 0 && n == strlen(family) &&
        strncmp(word, family, n) == 0) {
        bool total = n > 6 && strcmp(family + n - 6, "_total") == 0;
        if (total ? strcmp(word + n, " counter") == 0
                  : strcmp(word + n, " gauge") == 0 ||
                        strcmp(word + n, " histogram") == 0)
            return;
    }
    if (!is_sample(line, family))
        fail_msg("after HELP of %s: %s", family, line);
}

static void every_line_of_metrics_is_well_formed(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {"-q", "a-1,b.2", NOOP, NULL};
    char family[128] = "";
    unsigned lines = 0;
    listen_begin(f, flags);
    http_until(f, "/readyz", 200, NULL);
    http_ask(f, "GET", "/metrics", &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body[answer.body_len - 1], '\n');
    assert_int_equal(strlen(answer.body), answer.body_len);
    char *text = mem_strdup(answer.body), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest), lines++)
        check_line(line, family, sizeof(family));
    free(text);
    assert_true(lines > 40);
    assert_null(strstr(answer.body, "\n\n"));
    /* The same twice would be refused as a whole. */
    const char *one = strstr(answer.body, "\nbelt_jobs_held{queue=\"b.2\"} ");
    assert_non_null(one);
    assert_null(strstr(one + 1, "\nbelt_jobs_held{queue=\"b.2\"} "));
}

#define JOBS(outcome)                                                          \
    "belt_jobs_processed_total{queue=\"q\",outcome=\"" outcome "\"}"

#define FAILED(handler, class)                                                 \
    "belt_job_failures_total{handler=\"" handler "\",class=\"" class "\"}"

static void jobs_are_counted_by_outcome(void **state)
{
    struct fixture *f = *state;
    char *dead = mem_printf("dead=exec:%s",
                            script_file(f->r, "dead", "#!/bin/sh\nexit 65\n"));
    char *drop = mem_printf("drop=exec:%s",
                            script_file(f->r, "drop", "#!/bin/sh\nexit 99\n"));
    char *fail = mem_printf("fail=exec:%s",
                            script_file(f->r, "fail", "#!/bin/sh\nexit 1\n"));
    const char *flags[] = {"-q",        "q",  NOOP,        "--handler", dead,
                           "--handler", drop, "--handler", fail,        NULL};
    queue_fill(f->r, "q", "x", 0, 500);
    queue_fill(f->r, "q", "dead", 0, 3);
    queue_fill(f->r, "q", "drop", 0, 2);
    queue_fill(f->r, "q", "fail", 0, 4);
    redis_do(f->r, "RPUSH belt:{q} nonsense");
    listen_begin(f, flags);
    metric_until(f, JOBS("done"), 500);
    metric_until(f, JOBS("dead"), 3);
    metric_until(f, JOBS("discarded"), 2);
    metric_until(f, JOBS("retried"), 4);
    metric_until(f, JOBS("invalid"), 1);
    metric_until(f, JOBS("put_off"), 0);
    metric_until(f, JOBS("stale"), 0);
    metric_until(f, "belt_jobs_held{queue=\"q\"}", 0);
    redis_do(f->r, "RPUSH belt:{q} %s", "{\"type\":\"nobody\"}");
    metric_until(f, JOBS("put_off"), 1);
    metric_until(f, FAILED("dead", "exit"), 3);
    metric_until(f, FAILED("fail", "exit"), 4);
    metric_until(f, FAILED("fail", "timeout"), 0);
    metric_until(f, "belt_job_duration_seconds_count{handler=\"x\"}", 500);
    metric_until(f, "belt_job_wait_seconds_count{queue=\"q\"}", 0);
    redis_do(f->r, "RPUSH belt:{q} %s", "{\"type\":\"x\",\"created_at\":1}");
    metric_until(f, "belt_job_wait_seconds_count{queue=\"q\"}", 1);
    metric_until(f, "belt_job_wait_seconds_bucket{queue=\"q\",le=\"4194.304\"}",
                 0);
    http_ask(f, "GET", "/metrics", &answer);
    assert_ptr_equal(metrics_breach(answer.body), NULL);
    assert_int_equal(queue_stat(f->r, "q", "done"), 501);
    free(dead);
    free(drop);
    free(fail);
}

static bool has_cpu_time(void *arg)
{
    http_ask(arg, "GET", "/metrics", &answer);
    const char *cpu =
        strstr(answer.body, "\nbelt_job_cpu_seconds_total{queue=\"q\"} ");
    assert_non_null(cpu);
    double s = strtod(strchr(cpu, ' '), NULL);
    assert_true(s < 60);
    return s >= 0.05;
}

static void cpu_time_of_processes_is_counted(void **state)
{
    struct fixture *f = *state;
    char *burn = mem_printf(
        "burn=exec:%s",
        script_file(f->r, "burn",
                    "#!/bin/sh\nwhile read -r a b c d e f g h i j k l m u s r "
                    "</proc/$$/stat; [ $((u + s)) -lt 10 ]; do :; done\n"));
    const char *flags[] = {"-q", "q", NOOP, "--handler", burn, NULL};
    listen_begin(f, flags);
    assert_false(has_cpu_time(f));
    queue_fill(f->r, "q", "burn", 0, 1);
    assert_true(wait_until(has_cpu_time, f, LISTEN_MS));
    free(burn);
}

static void what_is_running_shows(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {"--threads", "3", "--handler", "x=builtin:sleep 5m",
                           "-q",        "q", NULL};
    listen_begin(f, flags);
    metric_until(f, "belt_worker_threads", 3);
    metric_until(f, "belt_worker_threads_busy", 0);
    push_plain(f, "q", 9);
    metric_until(f, "belt_worker_threads_busy", 3);
    metric_until(f, "belt_jobs_held{queue=\"q\"}", 3);
    metric_until(f, "belt_worker_window_jobs", 3);
    http_ask(f, "GET", "/metrics", &answer);
    const char *rss = strstr(answer.body, "\nprocess_resident_memory_bytes ");
    assert_non_null(rss);
    assert_true(strtod(strchr(rss, ' '), NULL) > 1024 * 1024);
    const char *born = strstr(answer.body, "\nprocess_start_time_seconds ");
    assert_non_null(born);
    assert_true(strtod(strchr(born, ' '), NULL) > 1.6e9);
}

static void subtasks_are_counted(void **state)
{
    struct fixture *f = *state;
    char *parent = mem_printf(
        "x=exec:%s",
        script_file(f->r, "parent",
                    "#!/bin/sh\n"
                    "echo '{\"op\":\"subtask\",\"type\":\"n\"}' >&3\n"
                    "echo '{\"op\":\"subtask\",\"type\":\"s\"}' >&3\n"
                    "sleep 1000\n"));
    const char *flags[] = {"-q",        "q",
                           "--handler", parent,
                           "--handler", "n=builtin:noop",
                           "--handler", "s=builtin:sleep 5m",
                           NULL};
    listen_begin(f, flags);
    metric_until(f, "belt_subtasks_processed_total{outcome=\"done\"}", 0);
    push_plain(f, "q", 1);
    metric_until(f, "belt_subtasks_processed_total{outcome=\"done\"}", 1);
    metric_until(f, "belt_subtask_threads_busy", 1);
    free(parent);
}

static void a_lost_lease_is_counted(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {"-q",        "q", "--handler", "x=builtin:sleep 2s",
                           "--threads", "1", NULL};
    listen_begin(f, flags);
    push_plain(f, "q", 1);
    metric_until(f, "belt_worker_threads_busy", 1);
    redis_do(f->r, "DEL belt:{q}:leases");
    metric_until(f, "belt_lane_fenced_total{queue=\"q\"}", 1);
    metric_until(f, JOBS("stale"), 1);
    metric_until(f, "belt_lane_up{queue=\"q\"}", 1);
    redis_do(f->r, "CLIENT KILL TYPE normal SKIPME yes");
    metric_until(f, "belt_lane_rebinds_total{queue=\"q\"}", 1);
}

/* ---- addresses ---- */

static int run_with_address(struct fixture *f, const char *addr)
{
    const char *flags[] = {NOOP, "--listen", addr, NULL};
    f->w = worker_start(f->r, NULL, flags);
    return worker_wait(f->w, LISTEN_MS);
}

static void an_address_in_use_ends_the_start(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, NULL};
    listen_begin(f, flags);
    struct worker *first = f->w;
    char *addr = mem_printf("127.0.0.1:%d", f->port);
    assert_int_equal(run_with_address(f, addr), 78);
    char *text = mem_printf("listen at %s: Address already in use", addr);
    assert_true(worker_said(f->w, text));
    free(text);
    free(addr);
    worker_free(first);
}

static void a_wrong_address_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = {
        "9090",  "127.0.0.1", "example.org:80", "::1:9090",
        "[::1]", "[1:2:80",   ":65536",         ":-1",
        ":",     "127.1:80",  "[127.0.0.1]:80", "unix:/tmp/x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(run_with_address(f, wrong[i]), 64);
        assert_true(worker_said(f->w, wrong[i]));
        worker_free(f->w);
        f->w = NULL;
    }
}

static void without_a_host_it_is_the_loopback(void **state)
{
    struct fixture *f = *state;
    static const char *const here[] = {":0", "localhost:0"};
    for (size_t i = 0; i < 2; i++) {
        const char *flags[] = {NOOP, "--listen", here[i], NULL};
        f->w = worker_start(f->r, NULL, flags);
        f->port = listen_port(f->w, "addr=127.0.0.1:");
        http_until(f, "/livez", 200, NULL);
        worker_free(f->w);
        f->w = NULL;
    }
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sa.sin6_addr = in6addr_loopback;
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return has;
}

static void ipv6_is_written_in_brackets(void **state)
{
    struct fixture *f = *state;
    const char *flags[] = {NOOP, "--listen", "[::1]:0", NULL};
    if (!has_ipv6())
        skip();
    f->w = worker_start(f->r, NULL, flags);
    assert_true(listen_port(f->w, "addr=[::1]:") > 0);
}

#define STORY(name)                                                            \
    cmocka_unit_test_setup_teardown(name, listen_setup, listen_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(each_path_has_its_answer),
        STORY(head_has_the_headers_and_no_body),
        STORY(only_get_and_head_are_allowed),
        STORY(it_is_ready_while_redis_is_there),
        STORY(a_paused_queue_is_ready),
        STORY(a_broken_handler_makes_it_unready),
        STORY(a_quiet_worker_is_not_ready),
        STORY(a_draining_worker_says_so_until_its_end),
        STORY(every_line_of_metrics_is_well_formed),
        STORY(jobs_are_counted_by_outcome),
        STORY(cpu_time_of_processes_is_counted),
        STORY(what_is_running_shows),
        STORY(subtasks_are_counted),
        STORY(a_lost_lease_is_counted),
        STORY(an_address_in_use_ends_the_start),
        STORY(a_wrong_address_is_refused),
        STORY(without_a_host_it_is_the_loopback),
        STORY(ipv6_is_written_in_brackets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
