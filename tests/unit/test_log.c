/*
 * Claims about log lines. stderr is replaced by one end of a socket that keeps
 * message boundaries, so each recv() returns exactly what one write(2) wrote.
 */
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { TIME_LEN = 24 };

struct fixture {
    int saved_stderr, fd;
    char line[65536];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fds[2];
    assert_non_null(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds),
                     0);
    f->saved_stderr = dup(STDERR_FILENO);
    f->fd = fds[0];
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    log_setup(LOG_LVL_INFO, LOG_LOGFMT);
    /* Lines that the claim before this one lost are told of here. */
    LOG_INFO("setup", F_INT("n", 1));
    if (recv(f->fd, f->line, sizeof(f->line), MSG_DONTWAIT) <= 0)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dup2(f->saved_stderr, STDERR_FILENO);
    close(f->saved_stderr);
    close(f->fd);
    free(f);
    return 0;
}

/* Returns what the oldest write wrote, "" if there was none. */
static const char *written(struct fixture *f)
{
    ssize_t n = recv(f->fd, f->line, sizeof(f->line) - 1, MSG_DONTWAIT);
    if (n < 0)
        assert_int_equal(errno, EAGAIN);
    f->line[n < 0 ? 0 : n] = '\0';
    return f->line;
}

/* The line behind "t=<time> ". */
static void expect_line(struct fixture *f, const char *expected)
{
    const char *line = written(f);
    assert_true(strlen(line) > TIME_LEN + 3);
    assert_memory_equal(line, "t=", 2);
    assert_int_equal(line[2 + TIME_LEN - 1], 'Z');
    assert_string_equal(line + 2 + TIME_LEN + 1, expected);
    assert_string_equal(written(f), "");
}

static void a_line_is_one_write_of_fields(void **state)
{
    LOG_INFO("fetch", F_STR("queue", "mail"), F_INT("jobs", -12),
             F_MEM("part", "abcdef", 3));
    expect_line(*state, "lvl=info ev=fetch queue=mail jobs=-12 part=abc\n");
}

static void levels_below_the_least_are_not_written(void **state)
{
    struct fixture *f = *state;
    LOG_DEBUG("no", F_INT("n", 1));
    assert_string_equal(written(f), "");
    log_setup(LOG_LVL_ERROR, LOG_LOGFMT);
    LOG_WARN("no", F_INT("n", 1));
    assert_string_equal(written(f), "");
    LOG_ERROR("yes", F_INT("n", 1));
    expect_line(f, "lvl=error ev=yes n=1\n");
    log_setup(LOG_LVL_DEBUG, LOG_LOGFMT);
    LOG_DEBUG("yes", F_INT("n", 1));
    expect_line(f, "lvl=debug ev=yes n=1\n");
    LOG_WARN("yes", F_INT("n", 1));
    expect_line(f, "lvl=warn ev=yes n=1\n");
}

static void fields_of_a_line_not_written_are_not_evaluated(void **state)
{
    (void)state;
    int evaluated = 0;
    LOG_DEBUG("no", F_INT("n", ++evaluated));
    assert_int_equal(evaluated, 0);
}

static void values_that_could_forge_a_field_are_quoted(void **state)
{
    static const struct {
        const char *value, *line;
    } rows[] = {
        {"plain/1:2,x", "lvl=info ev=x v=plain/1:2,x\n"},
        {"", "lvl=info ev=x v=\"\"\n"},
        {NULL, "lvl=info ev=x v=\"\"\n"},
        {"a b", "lvl=info ev=x v=\"a b\"\n"},
        {"a=b", "lvl=info ev=x v=\"a=b\"\n"},
        {"say \"hi\"", "lvl=info ev=x v=\"say \\\"hi\\\"\"\n"},
        {"a\\b", "lvl=info ev=x v=\"a\\\\b\"\n"},
        {"a\nt=0", "lvl=info ev=x v=\"a\\nt=0\"\n"},
        {"\x1b[31m", "lvl=info ev=x v=\"\\u001b[31m\"\n"},
        {"\x7f", "lvl=info ev=x v=\"\\u007f\"\n"},
        {"\xc2\x9b", "lvl=info ev=x v=\"\\u009b\"\n"},
        {"\xff", "lvl=info ev=x v=\"\xef\xbf\xbd\"\n"},
        {"caf\xc3\xa9", "lvl=info ev=x v=\"caf\xc3\xa9\"\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        LOG_INFO("x", F_STR("v", rows[i].value));
        expect_line(*state, rows[i].line);
    }
    LOG_INFO("x", F_MEM("v", NULL, 5), F_MEM("w", "a\0b", 3));
    expect_line(*state, "lvl=info ev=x v=\"\" w=\"a\\u0000b\"\n");
}

static void json_lines_are_valid_json(void **state)
{
    struct fixture *f = *state;
    log_setup(LOG_LVL_INFO, LOG_JSON);
    LOG_WARN("odd", F_STR("s", "a \"b\"\\\n\x01\x7f"), F_STR("bad", "\xff"),
             F_INT("n", INT64_MIN), F_STR("none", NULL));
    const char *line = written(f);
    assert_int_equal(line[strlen(line) - 1], '\n');
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *t, *lvl, *ev, *s, *bad, *none;
    json_int_t n;
    assert_non_null(root);
    assert_int_equal(json_unpack(root, "{s:s,s:s,s:s,s:s,s:s,s:I,s:s!}", "t",
                                 &t, "lvl", &lvl, "ev", &ev, "s", &s, "bad",
                                 &bad, "n", &n, "none", &none),
                     0);
    assert_int_equal(strlen(t), TIME_LEN);
    assert_string_equal(lvl, "warn");
    assert_string_equal(ev, "odd");
    assert_string_equal(s, "a \"b\"\\\n\x01\x7f");
    assert_string_equal(bad, "\xef\xbf\xbd");
    assert_true(n == INT64_MIN);
    assert_string_equal(none, "");
    json_decref(root);
    assert_string_equal(written(f), "");
}

static void a_log_call_keeps_errno(void **state)
{
    struct fixture *f = *state;
    shutdown(f->fd, SHUT_RD); /* the write fails with EPIPE */
    errno = ENOENT;
    LOG_INFO("x", F_INT("n", 1));
    assert_int_equal(errno, ENOENT);
}

enum { THREADS = 4, LINES = 500 };

static _Atomic int threads_done;

static void *log_lines(void *arg)
{
    const char *letter = arg;
    char value[512];
    memset(value, *letter, sizeof(value));
    for (int i = 0; i < LINES; i++)
        LOG_INFO("x", F_MEM("v", value, sizeof(value)));
    threads_done++;
    return NULL;
}

/* Lines that were lost before this one. */
static int lost_before(const char *line)
{
    const char *p = strstr(line, " lines_lost=");
    return p != NULL ? (int)strtol(p + strlen(" lines_lost="), NULL, 10) : 0;
}

/* Every line is whole, and those that found no room are counted. */
static void lines_of_several_threads_do_not_mix(void **state)
{
    struct fixture *f = *state;
    static char letters[THREADS] = {'a', 'b', 'c', 'd'};
    pthread_t threads[THREADS];
    threads_done = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, log_lines, &letters[i]), 0);
    int seen = 0;
    for (;;) {
        bool over = threads_done == THREADS;
        const char *line = written(f);
        if (line[0] == '\0' && over)
            break;
        if (line[0] == '\0')
            continue;
        const char *v = strstr(line, " v=");
        assert_non_null(v);
        v += 3;
        assert_in_range(v[0], 'a', 'd');
        assert_int_equal(strspn(v, (char[]){v[0], '\0'}), 512);
        assert_true(v[512] == '\n' || v[512] == ' ');
        seen += 1 + lost_before(line);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    LOG_INFO("end", F_INT("n", 1)); /* tells of those behind the last one */
    seen += lost_before(written(f));
    assert_int_equal(seen, THREADS * LINES);
}

static void level_and_format_names_are_parsed(void **state)
{
    (void)state;
    enum log_level level = LOG_LVL_INFO;
    enum log_format format = LOG_LOGFMT;
    struct errbuf eb = {""};
    assert_int_equal(log_level_parse("error", &level, &eb), 0);
    assert_int_equal(level, LOG_LVL_ERROR);
    assert_int_equal(log_level_parse("debug", &level, &eb), 0);
    assert_int_equal(level, LOG_LVL_DEBUG);
    assert_int_equal(log_level_parse("loud", &level, &eb), ERR_INVALID);
    assert_non_null(strstr(eb.text, "loud"));
    assert_int_equal(log_format_parse("json", &format, &eb), 0);
    assert_int_equal(format, LOG_JSON);
    assert_int_equal(log_format_parse("logfmt", &format, &eb), 0);
    assert_int_equal(format, LOG_LOGFMT);
    assert_int_equal(log_format_parse("xml", &format, &eb), ERR_INVALID);
    assert_non_null(strstr(eb.text, "xml"));
}

/* Without looking for room first this would wait for ever. */
static void a_log_that_nobody_reads_loses_lines_and_says_how_many(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    for (int i = 0; i < 1000; i++)
        LOG_INFO("flood", F_INT("i", i));
    ssize_t n = read(fds[0], f->line, sizeof(f->line) - 1);
    assert_in_range(n, 1, 4096);
    assert_int_equal(f->line[n - 1], '\n');
    f->line[n] = '\0';
    int written_lines = 0;
    for (const char *p = f->line; (p = strchr(p, '\n')) != NULL; p++)
        written_lines++;
    LOG_INFO("after", F_INT("i", 1));
    n = read(fds[0], f->line, sizeof(f->line) - 1);
    assert_true(n > 0);
    f->line[n] = '\0';
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "ev=after i=1 lines_lost=%d\n",
                   1000 - written_lines);
    if (strstr(f->line, expected) == NULL)
        fail_msg("%s is not in %s", expected, f->line);
    LOG_INFO("again", F_INT("i", 2));
    n = read(fds[0], f->line, sizeof(f->line) - 1);
    f->line[n] = '\0';
    assert_null(strstr(f->line, "lines_lost"));
    close(fds[0]);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_line_is_one_write_of_fields),
        CLAIM(levels_below_the_least_are_not_written),
        CLAIM(fields_of_a_line_not_written_are_not_evaluated),
        CLAIM(values_that_could_forge_a_field_are_quoted),
        CLAIM(json_lines_are_valid_json),
        CLAIM(a_log_call_keeps_errno),
        CLAIM(lines_of_several_threads_do_not_mix),
        CLAIM(a_log_that_nobody_reads_loses_lines_and_says_how_many),
        cmocka_unit_test(level_and_format_names_are_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
