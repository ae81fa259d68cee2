/*
 * Claims about belt push --ndjson.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "tests/integration/cli_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define READY "belt:{default}"

enum { PATIENCE_MS = 30 * 1000, LONG_LINE = 100 << 20, HUGE_LINE = 8 << 20 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static struct redis *server;

static int setup(void **state)
{
    (void)state;
    redis_do(server, "ACL SETUSER default +@all");
    redis_do(server, "CONFIG SET maxmemory 0");
    redis_do(server, "CONFIG RESETSTAT");
    redis_do(server, "FLUSHALL");
    return 0;
}

/* The envelope at index of the default queue, owned. */
static char *envelope_at(int index)
{
    redisReply *r = redis_cmd(server, "LINDEX %s %d", READY, index);

    assert_int_equal(r->type, REDIS_REPLY_STRING);
    char *text = strdup(r->str);
    freeReplyObject(r);
    return text;
}

/* Lines {"type":"t","payload":N} for N in [from, to). */
static void append_lines(struct buf *b, int from, int to)
{
    for (int i = from; i < to; i++)
        buf_printf(b, "{\"type\":\"t\",\"payload\":%d}\n", i);
}

/* Checks that elements [at, at + n) of the queue have payloads from, from+1… */
static void expect_run(int at, int n, int from)
{
    for (int done = 0; done < n;) {
        int page = n - done < 5000 ? n - done : 5000;
        redisReply *r = redis_cmd(server, "LRANGE %s %d %d", READY, at + done,
                                  at + done + page - 1);
        assert_int_equal(r->elements, page);
        for (size_t i = 0; i < r->elements; i++, done++) {
            const char *p = strstr(r->element[i]->str, "\"payload\":");
            assert_non_null(p);
            assert_int_equal(atoi(p + 10), from + done);
        }
        freeReplyObject(r);
    }
}

static struct cli_result push_buf(const struct buf *b, const char *const *argv)
{
    int fd = cli_file(b->data, b->len);
    struct cli_result r;
    struct cli c;

    cli_start(&c, server, fd, argv);
    close(fd);
    cli_finish(&c, &r);
    return r;
}

static void two_hundred_thousand_lines_arrive_in_order(void **state)
{
    struct buf b = {0};

    (void)state;
    append_lines(&b, 0, 200000);
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "");
    assert_non_null(strstr(r.err, "200 000 jobs pushed to default"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 200000);
    expect_run(0, 200000, 0);
    cli_result_done(&r);
    buf_done(&b);
}

static void bad_lines_are_told_by_number_and_skipped(void **state)
{
    static const char input[] = "{\"type\":\"a\"}\r\n"
                                "\n"
                                "nonsense\n"
                                "  \t \r\n"
                                " {\"type\":\"b\"} \n"
                                "{\"type\":\"\"}\n"
                                "{\"type\":\"c\",\"id\":\"no/id\"}\n"
                                "{\"type\":\"d\"}";
    struct cli_result r = CLI(server, input, "push", "--ndjson", "-");

    (void)state;
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "belt push: line 3: "));
    assert_non_null(strstr(r.err, "belt push: line 6: "));
    assert_non_null(strstr(r.err, "belt push: line 7: id"));
    assert_null(strstr(r.err, "line 2: "));
    assert_non_null(strstr(r.err, "3 jobs pushed"));
    assert_non_null(strstr(r.err, "3 bad lines skipped"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 3);
    cli_result_done(&r);
}

static void hostile_lines_are_told_and_the_others_pushed(void **state)
{
    static const char input[] = "{\"type\":\"a\"}\n"
                                "{\"type\":\"\0\"}\n"
                                "\0\n"
                                "{\"type\":\"b\",\"payload\":\"\xff\xfe\"}\n"
                                "{\"type\":\"c\",\"id\":\"\x1b[2J\"}\n"
                                "\x1b]0;owned\x07\r\n"
                                "{\"type\":\"d\"}\0\n"
                                "{\"type\":\"e\"}\n"
                                "{\"type\":\"f\"";
    struct buf b = {0};

    (void)state;
    buf_append(&b, input, sizeof(input) - 1);
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 65);
    for (int line = 2; line <= 9; line++) {
        char text[32];
        snprintf(text, sizeof(text), "belt push: line %d: ", line);
        assert_true((strstr(r.err, text) != NULL) == (line != 8));
    }
    assert_non_null(strstr(r.err, "2 jobs pushed"));
    assert_non_null(strstr(r.err, "7 bad lines skipped"));
    assert_null(strpbrk(r.err, "\x1b\x07\r\xff"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 2);
    cli_result_done(&r);
    buf_done(&b);
}

static void after_twenty_bad_lines_they_are_only_counted(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_str(&b, "bad\n");
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "line 20: "));
    assert_null(strstr(r.err, "line 21: "));
    assert_non_null(strstr(r.err, "980 more bad lines"));
    cli_result_done(&r);
    buf_done(&b);
}

static void with_a_type_the_lines_are_payloads(void **state)
{
    (void)state;
    EXPECT(server, "{\"a\": 1}\n 12345678901234567890 \n[\n", 65, NULL,
           "line 3: ", "push", "--ndjson", "--type", "img", "--keep", "1h");
    assert_int_equal(redis_int(server, "LLEN %s", READY), 2);
    char *envelope = envelope_at(-1);
    assert_non_null(strstr(envelope, ",\"payload\":12345678901234567890}"));
    free(envelope);
    envelope = envelope_at(0);
    assert_non_null(strstr(envelope, "\"type\":\"img\","));
    assert_non_null(strstr(envelope, "\"keep\":3600000,"
                                     "\"payload\":{\"a\": 1}}"));
    free(envelope);
}

static void the_printed_ids_are_those_in_redis_in_order(void **state)
{
    struct buf b = {0};

    (void)state;
    append_lines(&b, 0, 2500);
    struct cli_result r = push_buf(
        &b, (const char *const[]){"push", "--ndjson", "-o", "ndjson", NULL});
    assert_int_equal(r.status, 0);
    redisReply *all = redis_cmd(server, "LRANGE %s 0 -1", READY);
    assert_int_equal(all->elements, 2500);
    const char *line = r.out;
    for (size_t i = 0; i < all->elements; i++) {
        char want[128];
        snprintf(want, sizeof(want), "{\"queue\":\"default\",\"id\":\"%.26s\"}",
                 all->element[i]->str + 7);
        assert_memory_equal(line, want, strlen(want));
        line += strlen(want) + 1;
    }
    assert_ptr_equal(line, r.out + r.out_len);
    freeReplyObject(all);
    cli_result_done(&r);
    buf_done(&b);
}

static bool queue_has(void *arg)
{
    const int *n = arg;

    return redis_int(server, "LLEN %s", READY) >= *n;
}

static void slow_input_is_pushed_as_it_comes(void **state)
{
    struct cli_result r;
    struct cli c;

    (void)state;
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    for (int n = 1; n <= 3; n++) {
        static const char line[] = "{\"type\":\"t\"}\n";
        assert_true(cli_write(&c, line, sizeof(line) - 1));
        assert_true(wait_until(queue_has, &n, PATIENCE_MS));
    }
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(redis_int(server, "LLEN %s", READY), 3);
    cli_result_done(&r);
}

static bool has_loaded(pid_t pid, const char *library)
{
    char path[64], line[512];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        found = found || strstr(line, library) != NULL;
    fclose(f);
    return found;
}

/* To load it would take longer than all else that a push of one job does. */
static void belt_does_without_openssl(void **state)
{
    static const char line[] = "{\"type\":\"t\"}\n";
    struct cli_result r;
    struct cli c;
    int one = 1;

    (void)state;
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    assert_true(cli_write(&c, line, sizeof(line) - 1));
    assert_true(wait_until(queue_has, &one, PATIENCE_MS));
    assert_true(has_loaded(c.pid, "/libevent"));
    assert_false(has_loaded(c.pid, "/libcrypto"));
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    cli_result_done(&r);
}

/* How often Redis ran a command since setup. */
static int runs_of(const char *command)
{
    redisReply *r = redis_cmd(server, "INFO commandstats");
    char name[64];

    snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
    const char *at = strstr(r->str, name);
    int n = at ? atoi(at + strlen(name)) : 0;
    freeReplyObject(r);
    return n;
}

static void push_2500(void)
{
    struct buf b = {0};

    append_lines(&b, 0, 2500);
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 0);
    assert_int_equal(redis_int(server, "LLEN %s", READY), 2500);
    expect_run(0, 2500, 0);
    assert_int_equal(redis_int(server, "HINCRBY %s:stats pushed 0", READY),
                     2500);
    cli_result_done(&r);
    buf_done(&b);
}

/* Of three batches the first goes by script; a probe comes before it. */
static void batches_are_transactions(void **state)
{
    (void)state;
    push_2500();
    assert_int_equal(runs_of("exec"), 1 + 2);
}

static void who_may_not_multi_pushes_by_script(void **state)
{
    (void)state;
    redis_do(server, "ACL SETUSER default -multi");
    push_2500();
    redis_do(server, "ACL SETUSER default +multi -eval");
    redis_do(server, "DEL %s %s:stats", READY, READY);
    push_2500();
}

static int skip_of(const char *err)
{
    const char *p = strstr(err, "to resume behind them: --skip ");

    if (!p)
        fail_msg("no --skip in: %s", err);
    return atoi(strstr(p, "--skip ") + 7);
}

/*
 * Two lines with a change between them, so that the second meets it in a
 * transaction. Expects an end with this status and word, and that Redis has so
 * many jobs.
 */
static void change_meets(const char *change, int status, const char *word,
                         int there)
{
    static const char line[] = "{\"type\":\"t\"}\n";
    struct cli_result r;
    struct cli c;
    int one = 1;

    redis_do(server, "FLUSHALL");
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    assert_true(cli_write(&c, line, sizeof(line) - 1));
    assert_true(wait_until(queue_has, &one, PATIENCE_MS));
    redis_do(server, change);
    assert_true(cli_write(&c, line, sizeof(line) - 1));
    cli_finish(&c, &r);
    assert_int_equal(r.status, status);
    if (strstr(r.err, word) == NULL)
        fail_msg("no %s in: %s", word, r.err);
    assert_int_equal(skip_of(r.err), 1);
    bool unknown = strstr(r.err, "outcome unknown: lines 2 to 2") != NULL;
    assert_true(unknown == (there == 2));
    assert_int_equal(redis_int(server, "LLEN %s", READY), there);
    cli_result_done(&r);
}

static void what_a_transaction_meets_is_told(void **state)
{
    (void)state;
    change_meets("HSET " READY ":config format 2", 78, "has format 2", 1);
    change_meets("CONFIG SET maxmemory 1", 75, "OOM", 1);
    redis_do(server, "CONFIG SET maxmemory 0");
    change_meets("ACL SETUSER default -rpush", 77, "NOPERM", 1);
    redis_do(server, "ACL SETUSER default +rpush");
    change_meets("ACL SETUSER default -eval", 77, "NOPERM", 1);
    redis_do(server, "ACL SETUSER default +eval");
    /* The RPUSH then runs by itself. */
    change_meets("ACL SETUSER default -multi", 75, "NOPERM", 2);
}

/* Lets a process have so many bytes more than it has. */
static void limit_memory(pid_t pid, size_t more)
{
    const struct rlimit no_core = {0, 0};
    char path[64], text[64] = "";

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    size_t has = strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
    const struct rlimit limit = {has + more, has + more};
    assert_int_equal(prlimit(pid, RLIMIT_CORE, &no_core, NULL), 0);
    assert_int_equal(prlimit(pid, RLIMIT_AS, &limit, NULL), 0);
}

/* A small line, and when it is there a huge one with this much memory. */
static struct cli_result push_with_memory(size_t more)
{
    static const char line[] = "{\"type\":\"t\"}\n";
    struct cli_result r;
    struct cli c;
    int one = 1;
    char *huge = malloc(HUGE_LINE);

    assert_non_null(huge);
    memset(huge, '1', HUGE_LINE);
    redis_do(server, "FLUSHALL");
    cli_start(&c, server, -1,
              (const char *const[]){"push", "--ndjson", "--type", "t",
                                    "--max-bytes", "64M", NULL});
    assert_true(cli_write(&c, line, sizeof(line) - 1));
    assert_true(wait_until(queue_has, &one, PATIENCE_MS));
    limit_memory(c.pid, more);
    (void)cli_write(&c, huge, HUGE_LINE);
    cli_finish(&c, &r);
    free(huge);
    return r;
}

/*
 * With ever more memory: it ends where it cannot even read the line, then
 * where it cannot send it, and then the line is pushed.
 */
static void a_job_that_finds_no_memory_to_be_sent_is_refused(void **state)
{
    int refused = 0, status = -1;

    (void)state;
    if (SANITIZED)
        skip(); /* its allocator does not work in so little */
    for (size_t more = 0; status != 0; more += HUGE_LINE / 4) {
        assert_true(more < (size_t)16 * HUGE_LINE);
        struct cli_result r = push_with_memory(more);
        status = r.status;
        assert_int_equal(redis_int(server, "LLEN %s", READY),
                         status == 0 ? 2 : 1);
        if (status == 75) {
            assert_non_null(strstr(r.err, "no memory to send the next job"));
            assert_int_equal(skip_of(r.err), 1);
            refused++;
        }
        cli_result_done(&r);
    }
    assert_true(refused > 0);
}

static void a_line_of_100_mb_is_skipped_in_constant_memory(void **state)
{
    char *block = malloc(1 << 20);
    struct cli_result small =
        CLI(server, "{\"type\":\"a\"}\n", "push", "--ndjson");
    struct cli_result r;
    struct cli c;

    (void)state;
    assert_non_null(block);
    memset(block, 'x', 1 << 20);
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    for (int i = 0; i < LONG_LINE >> 20; i++)
        assert_true(cli_write(&c, block, 1 << 20));
    assert_true(cli_write(&c, "\n{\"type\":\"b\"}\n", 14));
    cli_finish(&c, &r);
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "line 1: longer than --max-bytes"));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 2);
    assert_in_range(r.rss_kb, 1, small.rss_kb + 16 * 1024);
    cli_result_done(&small);
    cli_result_done(&r);
    free(block);
}

static void big_jobs_up_to_the_limit_arrive(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 5; i++) {
        buf_str(&b, "{\"id\":\"x\",\"type\":\"t\",\"created_at\":1,\"p\":\"");
        size_t tail = i < 4 ? 1024 * 1024 - 45 - 2 : 1024 * 1024;
        buf_reserve(&b, tail);
        memset(b.data + b.len, 'x', tail);
        b.len += tail;
        buf_str(&b, "\"}\n");
    }
    struct cli_result r =
        push_buf(&b, (const char *const[]){"push", "--ndjson", NULL});
    assert_int_equal(r.status, 65);
    assert_non_null(strstr(r.err, "line 5: "));
    assert_int_equal(redis_int(server, "LLEN %s", READY), 4);
    cli_result_done(&r);
    buf_done(&b);
}

static void an_interrupted_push_tells_exactly_where_to_resume(void **state)
{
    struct buf b = {0};
    struct cli_result r;
    struct cli c;
    char skip[16];
    int some = 1500;

    (void)state;
    append_lines(&b, 0, 3000);
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    assert_true(cli_write(&c, b.data, b.len));
    assert_true(wait_until(queue_has, &some, PATIENCE_MS));
    kill(c.pid, SIGINT);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 128 + SIGINT);
    int done = skip_of(r.err);
    assert_int_equal(redis_int(server, "LLEN %s", READY), done);
    cli_result_done(&r);
    snprintf(skip, sizeof(skip), "%d", done);
    r = push_buf(
        &b, (const char *const[]){"push", "--ndjson", "--skip", skip, NULL});
    /* Nothing may be left to do, and then zero lines are pushed. */
    assert_int_equal(r.status, 0);
    assert_int_equal(redis_int(server, "LLEN %s", READY), 3000);
    expect_run(0, 3000, 0);
    cli_result_done(&r);
    buf_done(&b);
}

/*
 * Redis, which writes its log at once, is killed in the middle of a push.
 * What it has then begins with the lines that were acknowledged; more of them
 * may be there, and come a second time when the push is resumed.
 */
static void after_a_killed_redis_the_push_resumes_without_a_hole(void **state)
{
    enum { TOTAL = 400000 };
    struct redis_opts opts = {.appendonly = true, .conf = "appendfsync always"};
    struct redis *plain = server;
    struct buf b = {0};
    struct cli_result r;
    struct cli c;
    char skip[16];
    int some = 20000;

    (void)state;
    server = redis_start(&opts);
    append_lines(&b, 0, TOTAL);
    cli_start(&c, server, -1, (const char *const[]){"push", "--ndjson", NULL});
    assert_true(cli_write(&c, b.data, b.len / 4));
    assert_true(wait_until(queue_has, &some, PATIENCE_MS));
    redis_kill9(server);
    (void)cli_write(&c, b.data + b.len / 4, b.len - b.len / 4);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 75);
    int acked = skip_of(r.err);
    cli_result_done(&r);
    redis_restart(server);
    int there = (int)redis_int(server, "LLEN %s", READY);
    assert_in_range(acked, 1, TOTAL - 1);
    assert_in_range(there, acked, TOTAL);
    snprintf(skip, sizeof(skip), "%d", acked);
    /* Each answer waits for the disk, which may be busy with others. */
    r = push_buf(&b, (const char *const[]){"--timeout", "1m", "push",
                                           "--ndjson", "--skip", skip, NULL});
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    cli_result_done(&r);
    expect_run(0, there, 0);
    expect_run(there, TOTAL - acked, acked);
    assert_int_equal(redis_int(server, "LLEN %s", READY),
                     there + TOTAL - acked);
    buf_done(&b);
    redis_stop(server);
    server = plain;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_hundred_thousand_lines_arrive_in_order,
                               setup),
        cmocka_unit_test_setup(bad_lines_are_told_by_number_and_skipped, setup),
        cmocka_unit_test_setup(hostile_lines_are_told_and_the_others_pushed,
                               setup),
        cmocka_unit_test_setup(after_twenty_bad_lines_they_are_only_counted,
                               setup),
        cmocka_unit_test_setup(with_a_type_the_lines_are_payloads, setup),
        cmocka_unit_test_setup(the_printed_ids_are_those_in_redis_in_order,
                               setup),
        cmocka_unit_test_setup(slow_input_is_pushed_as_it_comes, setup),
        cmocka_unit_test_setup(belt_does_without_openssl, setup),
        cmocka_unit_test_setup(batches_are_transactions, setup),
        cmocka_unit_test_setup(who_may_not_multi_pushes_by_script, setup),
        cmocka_unit_test_setup(what_a_transaction_meets_is_told, setup),
        cmocka_unit_test_setup(a_job_that_finds_no_memory_to_be_sent_is_refused,
                               setup),
        cmocka_unit_test_setup(a_line_of_100_mb_is_skipped_in_constant_memory,
                               setup),
        cmocka_unit_test_setup(big_jobs_up_to_the_limit_arrive, setup),
        cmocka_unit_test_setup(
            an_interrupted_push_tells_exactly_where_to_resume, setup),
        cmocka_unit_test_setup(
            after_a_killed_redis_the_push_resumes_without_a_hole, setup),
    };

    server = redis_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_stop(server);
    return failed;
}
