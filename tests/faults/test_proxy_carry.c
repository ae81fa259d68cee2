/*
 * Claims about how the fault proxy carries bytes: what is not to be hurt
 * passes unchanged, and what is, slow, torn or not at all, as was said.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/faults/proxy_fixture.h"
#include "tests/support/tmp.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

/* ---- what is not hurt ---- */

static void replies_of_all_kinds_pass_unchanged(void **state)
{
    redisContext *c = client(0);
    (void)state;
    redisReply *r = redisCommand(
        c, "EVAL %s 0",
        "return {1, 'x', {}, {false, {'', redis.status_reply('S')}}, "
        "redis.error_reply('E')}");
    assert_int_equal(r->elements, 5);
    assert_string_equal(r->element[1]->str, "x");
    assert_int_equal(r->element[2]->elements, 0);
    assert_int_equal(r->element[3]->element[0]->type, REDIS_REPLY_NIL);
    assert_int_equal(r->element[3]->element[1]->element[0]->len, 0);
    assert_string_equal(r->element[3]->element[1]->element[1]->str, "S");
    assert_int_equal(r->element[4]->type, REDIS_REPLY_ERROR);
    freeReplyObject(r);
    expect_int(c, 1, "INCR a");
    redisFree(c);
}

/* SET and GET of so many bytes that differ. */
static void expect_intact(unsigned link, size_t n)
{
    redisContext *c = client(link);
    char *value = mem_new(n);
    for (size_t i = 0; i < n; i++)
        value[i] = (char)(i * 31 + i / 251);
    redisReply *r = redisCommand(c, "SET v %b", value, n);
    assert_string_equal(r->str, "OK");
    freeReplyObject(r);
    r = redisCommand(c, "GET v");
    assert_int_equal(r->len, n);
    assert_memory_equal(r->str, value, n);
    freeReplyObject(r);
    free(value);
    redisFree(c);
}

static void big_values_pass_unchanged(void **state)
{
    (void)state;
    expect_intact(0, 32 << 20);
}

/* A blocking command answers late, and the ones behind it after it. */
static void blocking_commands_keep_their_order(void **state)
{
    redisContext *c = client(0), *other = client(1);
    redisReply *r = NULL;
    (void)state;
    send_command(c, "BLPOP list 0");
    send_command(c, "INCR a");
    expect_int(other, 1, "RPUSH list x");
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_string_equal(r->element[1]->str, "x");
    freeReplyObject(r);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->integer, 1);
    freeReplyObject(r);
    redisFree(other);
    redisFree(c);
}

/* ---- slow, torn and half-open ---- */

static void delay_takes_its_time_each_way(void **state)
{
    enum { DELAY_MS = 30 };
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "delay %d", DELAY_MS);
    int64_t began_ms = clock_ms();
    expect_int(c, 1, "INCR a");
    assert_true(clock_ms() - began_ms >= 2 * DELAY_MS);
    redisFree(c);
}

/* What is said last holds for both: the minute back is not waited for. */
static void delay_may_be_of_one_way(void **state)
{
    enum { DELAY_MS = 30 };
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "delay 60000 s2c");
    proxy_do(proxy, "delay %d c2s", DELAY_MS);
    int64_t began_ms = clock_ms();
    expect_int(c, 1, "INCR a");
    assert_true(clock_ms() - began_ms >= DELAY_MS);
    redisFree(c);
}

static long long writes_of_the_proxy(void)
{
    char path[64], line[128];
    long long n = -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/io", (int)proxy_pid(proxy));
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        (void)sscanf(line, "syscw: %lld", &n);
    (void)fclose(f);
    return n;
}

static void split_into_single_bytes_passes_all(void **state)
{
    enum { BYTES = 128 << 10 }; /* each is a write, and a turn of Redis */
    long long before = writes_of_the_proxy();
    (void)state;
    proxy_do(proxy, "split 1");
    expect_intact(0, BYTES);
    assert_true(writes_of_the_proxy() - before > 2 * BYTES);
}

static bool is_readable(redisContext *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

static long long clients_in_redis(void)
{
    long long n = 0;
    redisReply *r = redis_cmd(redis, "CLIENT LIST TYPE normal");
    for (const char *p = r->str; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    freeReplyObject(r);
    return n;
}

static void a_stall_passes_nothing_and_closes_nothing(void **state)
{
    redisContext *old = client(0), *other = client(1);
    (void)state;
    expect_int(old, 1, "INCR b");
    expect_int(other, 2, "INCR b");
    long long clients = clients_in_redis();
    proxy_do(proxy, "stall 0 c2s");
    redisContext *new = client(0);
    send_command(old, "INCR a");
    send_command(new, "INCR a");
    expect_int(other, 3, "INCR b"); /* goes on; the proxy has seen ours */
    assert_string_equal(value_of("a"), "(nil)");
    assert_false(is_readable(old) || is_readable(new));
    redisFree(new);
    assert_int_equal(clients_in_redis(), clients + 1); /* knows of no end */
    proxy_do(proxy, "heal");
    assert_true(wait_until(has_no_client, NULL, 0) ||
                proxy_ask(proxy, "connections") == 1);
    expect_cut(old, "INCR a");
    assert_string_equal(value_of("a"), "(nil)");
    redisFree(other);
}

static bool is_one(void *arg)
{
    return strcmp(value_of(arg), "1") == 0;
}

static void a_stalled_reply_is_of_a_command_that_ran(void **state)
{
    redisContext *c = client(0), *other = client(1);
    char key[] = "a";
    (void)state;
    proxy_do(proxy, "stall 0 s2c");
    send_command(c, "INCR a");
    assert_true(wait_until(is_one, key, PATIENCE_MS));
    expect_int(other, 1, "INCR b");
    assert_false(is_readable(c));
    proxy_do(proxy, "heal");
    expect_cut(c, "INCR a");
    redisFree(other);
}

/* Each side goes while the other one does not hear of it. */
static void a_stall_hides_that_a_side_is_gone(void **state)
{
    redisContext *stays = client(0), *goes = client(0), *other = client(1);
    (void)state;
    expect_int(stays, 1, "INCR a");
    expect_int(goes, 2, "INCR a");
    expect_int(other, 1, "INCR b");
    long long clients = clients_in_redis();
    proxy_do(proxy, "stall 0 s2c");
    redisFree(goes);
    for (int i = 2; i < 10; i++) /* by now the proxy knows */
        expect_int(other, i, "INCR b");
    assert_int_equal(clients_in_redis(), clients);
    redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    assert_false(is_readable(stays));
    proxy_do(proxy, "heal");
    expect_cut(stays, "INCR a");
    redisFree(other);
}

static void drop_cuts_one_link_now(void **state)
{
    redisContext *a = client(0), *b = client(0), *other = client(1);
    (void)state;
    expect_int(a, 1, "INCR a");
    expect_int(b, 2, "INCR a");
    expect_int(other, 3, "INCR a");
    proxy_do(proxy, "drop 0");
    expect_cut(a, "INCR a");
    expect_cut(b, "INCR a");
    expect_int(other, 4, "INCR a");
    assert_int_equal(proxy_ask(proxy, "connections"), 1);
    redisFree(other);
}

/* ---- much at a time ---- */

static unsigned random_state = 12345;

static unsigned random_up_to(unsigned n)
{
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 16) % n;
}

/* Appends one of three kinds; its expected answer is in its number. */
static void append_some(redisContext *c, unsigned i, const char *filler)
{
    unsigned n = random_up_to(i % 97 == 0 ? 20000 : 40);
    if (i % 3 == 0)
        (void)redisAppendCommand(c, "INCR counter");
    else if (i % 3 == 1)
        (void)redisAppendCommand(c, "ECHO %u:%b", i, filler, (size_t)n);
    else
        (void)redisAppendCommand(c, "EVAL %s 0 %u %b",
                                 "return {tonumber(ARGV[1]), {ARGV[2]}}", i,
                                 filler, (size_t)n);
}

static void expect_some(const redisReply *r, unsigned i)
{
    if (i % 3 == 0)
        assert_int_equal(r->integer, i / 3 + 1);
    else if (i % 3 == 1)
        assert_int_equal(strtoul(r->str, NULL, 10), i);
    else
        assert_int_equal(r->element[0]->integer, i);
}

static void ten_thousand_commands_are_answered_in_order(void **state)
{
    enum { COMMANDS = 10000, PIPELINE = 100 };
    redisContext *c = client(0);
    char *filler = mem_new(20000);
    (void)state;
    memset(filler, 'x', 20000);
    for (unsigned i = 0; i < COMMANDS; i += PIPELINE) {
        proxy_do(proxy, "split %u", random_up_to(2) * (1 + random_up_to(9)));
        proxy_do(proxy, "delay %u", random_up_to(4));
        for (unsigned k = i; k < i + PIPELINE; k++)
            append_some(c, k, filler);
        for (unsigned k = i; k < i + PIPELINE; k++) {
            redisReply *r = NULL;
            assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
            expect_some(r, k);
            freeReplyObject(r);
        }
    }
    assert_int_equal(redis_int(redis, "INCR counter"), (COMMANDS + 2) / 3 + 1);
    free(filler);
    redisFree(c);
}

/* ---- comings and goings ---- */

static void redis_may_go_and_come_back(void **state)
{
    redisContext *c = client(0);
    (void)state;
    expect_int(c, 1, "INCR a");
    redis_shutdown(redis);
    expect_cut(c, "INCR a");
    expect_cut(client(0), "INCR a");
    redis_restart(redis);
    c = client(0);
    expect_int(c, 1, "INCR a");
    redisFree(c);
}

static unsigned sockets(void)
{
    unsigned n = 0;
    DIR *dir = opendir(redis_dir(redis));
    for (const struct dirent *d; (d = readdir(dir)) != NULL;)
        n += strstr(d->d_name, ".sock") != NULL;
    (void)closedir(dir);
    return n;
}

static bool are_gone(void *arg)
{
    return sockets() == *(unsigned *)arg;
}

static void it_leaves_no_socket_behind(void **state)
{
    unsigned before = sockets();
    (void)state;
    struct proxy *p = proxy_start(redis, 2);
    assert_int_equal(sockets(), before + 3);
    proxy_stop(p);
    assert_int_equal(sockets(), before);
}

/* Looks without a pause: a handler that comes later is to come too late. */
static void a_signal_at_its_first_socket_ends_it_in_order(void **state)
{
    char control[TMP_DIR_MAX + 32], link[TMP_DIR_MAX + 32];
    const char *argv[] = {FAULT_PROXY_BIN, control,
                          redis_url(redis) + strlen("unix://"), link, NULL};
    unsigned before = sockets();
    (void)state;
    (void)snprintf(control, sizeof(control), "%s/c.sock", redis_dir(redis));
    (void)snprintf(link, sizeof(link), "%s/l.sock", redis_dir(redis));
    for (int i = 0; i < 10; i++) {
        struct worker *program = worker_exec(redis, argv, NULL);
        while (access(link, F_OK) != 0)
            assert_false(worker_has_ended(program));
        worker_signal(program, SIGTERM);
        assert_int_equal(worker_wait(program, PATIENCE_MS), 0);
        worker_free(program);
        assert_int_equal(sockets(), before);
    }
}

static void it_ends_with_its_parent(void **state)
{
    unsigned before = sockets();
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        (void)proxy_start(redis, 1);
        (void)kill(getpid(), sockets() == before + 2 ? SIGKILL : SIGTERM);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_true(wait_until(are_gone, &before, PATIENCE_MS));
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_teardown(f, proxy_heal)
    const struct CMUnitTest tests[] = {
        CLAIM(replies_of_all_kinds_pass_unchanged),
        CLAIM(big_values_pass_unchanged),
        CLAIM(blocking_commands_keep_their_order),
        CLAIM(delay_takes_its_time_each_way),
        CLAIM(delay_may_be_of_one_way),
        CLAIM(split_into_single_bytes_passes_all),
        CLAIM(a_stall_passes_nothing_and_closes_nothing),
        CLAIM(a_stalled_reply_is_of_a_command_that_ran),
        CLAIM(a_stall_hides_that_a_side_is_gone),
        CLAIM(drop_cuts_one_link_now),
        CLAIM(ten_thousand_commands_are_answered_in_order),
        CLAIM(redis_may_go_and_come_back),
        CLAIM(it_leaves_no_socket_behind),
        CLAIM(a_signal_at_its_first_socket_ends_it_in_order),
        CLAIM(it_ends_with_its_parent),
    };
    return cmocka_run_group_tests(tests, proxy_setup, proxy_teardown);
}
