/*
 * Claims about the fault proxy: each control line does what it says, and what
 * is not to be hurt passes unchanged.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/redis/script.h"
#include "tests/faults/proxy.h"
#include "tests/faults/proxy_sock.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { LINKS = 3, PATIENCE_MS = 30000 };

static struct redis *redis;
static struct proxy *proxy;

static int start(void **state)
{
    (void)state;
    redis = redis_start(NULL);
    proxy = proxy_start(redis, LINKS);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    proxy_stop(proxy);
    redis_stop(redis);
    return 0;
}

static int heal(void **state)
{
    (void)state;
    proxy_do(proxy, "heal");
    for (unsigned i = 0; i < LINKS; i++)
        proxy_do(proxy, "drop %u", i);
    (void)proxy_ask(proxy, "late");
    redis_do(redis, "FLUSHALL");
    return 0;
}

/* ---- clients ---- */

static redisContext *client(unsigned link)
{
    redisContext *c =
        redisConnectUnix(proxy_url(proxy, link) + strlen("unix://"));
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    return c;
}

static void expect_int(redisContext *c, long long n, const char *command)
{
    redisReply *r = redisCommand(c, command);
    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_INTEGER);
    assert_int_equal(r->integer, n);
    freeReplyObject(r);
}

static void expect_cut(redisContext *c, const char *command)
{
    assert_null(redisCommand(c, command));
    /* Writing may find it out first. */
    assert_true(
        c->err == REDIS_ERR_EOF ||
        (c->err == REDIS_ERR_IO && (errno == EPIPE || errno == ECONNRESET)));
    redisFree(c);
}

/* Sends, and reads to the end: how many bytes come before that. */
static size_t bytes_before_the_end(unsigned link, const char *command,
                                   char *out, size_t size)
{
    int fd = sock_connect(proxy_url(proxy, link) + strlen("unix://"), 0);
    size_t n = 0;
    ssize_t got;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, command, strlen(command)), strlen(command));
    while ((got = read(fd, out + n, size - n)) > 0)
        n += (size_t)got;
    assert_int_equal(got, 0);
    (void)close(fd);
    return n;
}

#define GET_V "*2\r\n$3\r\nGET\r\n$1\r\nv\r\n"
#define INCR_A "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"

static const char *value_of(const char *key)
{
    static char out[64];
    return redis_str(redis, out, sizeof(out), "GET %s", key);
}

static bool is_one(void *arg)
{
    return strcmp(value_of(arg), "1") == 0;
}

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
    (void)redisAppendCommand(c, "BLPOP list 0");
    (void)redisAppendCommand(c, "INCR a");
    int done = 0;
    while (done == 0)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
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

/* ---- the points ---- */

static void before_keeps_the_command_from_redis(void **state)
{
    int64_t fired = proxy_ask(proxy, "fired");
    redisContext *c = client(0), *other = client(1);
    (void)state;
    proxy_do(proxy, "cut 0 before INCR 2");
    expect_int(other, 1, "INCR a");
    expect_int(other, 2, "INCR a");
    expect_int(c, 3, "INCR a");
    expect_cut(c, "INCR a");
    assert_string_equal(value_of("a"), "3");
    assert_int_equal(proxy_ask(proxy, "fired"), fired + 1);
    redisFree(other);
}

static void after_runs_it_and_gives_no_byte(void **state)
{
    char out[64];
    (void)state;
    proxy_do(proxy, "cut 0 after INCR 1");
    assert_int_equal(bytes_before_the_end(0, INCR_A, out, sizeof(out)), 0);
    assert_string_equal(value_of("a"), "1");
    /* Once, and not those that went before it. */
    proxy_do(proxy, "cut 0 after INCR 2");
    assert_int_equal(bytes_before_the_end(0, INCR_A INCR_A, out, sizeof(out)),
                     strlen(":2\r\n"));
    assert_string_equal(value_of("a"), "3");
}

static void after_a_blocking_command_takes_what_it_brought(void **state)
{
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "cut 0 after BLMOVE 1");
    expect_int(c, 1, "INCR a");
    (void)redisAppendCommand(c, "BLMOVE from to LEFT RIGHT 0");
    int done = 0;
    while (done == 0)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    redis_do(redis, "RPUSH from x");
    redisReply *r = NULL;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_ERR);
    assert_int_equal(redis_int(redis, "LLEN to"), 1);
    redisFree(c);
}

static void middle_gives_exactly_these_bytes(void **state)
{
    static const char reply[] = "$20\r\n01234567890123456789\r\n";
    char out[64];
    (void)state;
    redis_do(redis, "SET v 01234567890123456789");
    for (unsigned n = 0; n < sizeof(reply) - 1; n++) {
        proxy_do(proxy, "cut 0 middle GET 1 %u", n);
        assert_int_equal(bytes_before_the_end(0, GET_V, out, sizeof(out)), n);
        assert_memory_equal(out, reply, n);
    }
    proxy_do(proxy, "cut 0 middle GET 1");
    assert_int_equal(bytes_before_the_end(0, GET_V, out, sizeof(out)),
                     (sizeof(reply) - 1) / 2);
}

static void middle_leaves_alone_what_is_not_longer(void **state)
{
    int64_t fired = proxy_ask(proxy, "fired");
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "cut 0 middle INCR 1 4");
    expect_int(c, 1, "INCR a");
    redis_do(redis, "SET a 1000000");
    expect_int(c, 1000001, "INCR a");
    assert_int_equal(proxy_ask(proxy, "fired"), fired);
    redisFree(c);
}

static bool has_no_client(void *arg)
{
    (void)arg;
    return proxy_ask(proxy, "connections") == 0;
}

static void late_runs_only_when_told(void **state)
{
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "cut 0 late INCR 2");
    expect_int(c, 1, "INCR a");
    (void)redisAppendCommand(c, "INCR a");
    expect_cut(c, "INCR a");
    assert_true(wait_until(has_no_client, NULL, PATIENCE_MS));
    proxy_do(proxy, "heal"); /* it stays held back */
    assert_string_equal(value_of("a"), "1");
    assert_int_equal(proxy_ask(proxy, "late"), 1);
    assert_string_equal(value_of("a"), "3"); /* and what was behind it */
    assert_int_equal(proxy_ask(proxy, "late"), 0);
}

static void late_tells_who_was_fenced(void **state)
{
    int64_t fenced = proxy_ask(proxy, "fenced");
    (void)state;
    proxy_do(proxy, "cut 0 late EVAL 1");
    proxy_do(proxy, "cut 1 late EVAL 1");
    expect_cut(client(0), "EVAL return{'FENCED'} 0");
    expect_cut(client(1), "EVAL return{'OK'} 0");
    assert_int_equal(proxy_ask(proxy, "late"), 2);
    assert_int_equal(proxy_ask(proxy, "fenced"), fenced + 1);
    assert_int_equal(proxy_ask(proxy, "fenced 1"), 0);
}

/* Redis reads the end of the connection behind it: it does not wait. */
static void late_blmove_moves_or_ends(void **state)
{
    (void)state;
    proxy_do(proxy, "cut 0 late BLMOVE 1");
    expect_cut(client(0), "BLMOVE from to LEFT RIGHT 0");
    proxy_do(proxy, "cut 0 late BLMOVE 1");
    expect_cut(client(0), "BLMOVE from to LEFT RIGHT 0");
    redis_do(redis, "RPUSH from x");
    assert_int_equal(proxy_ask(proxy, "late"), 2);
    assert_int_equal(redis_int(redis, "LLEN to"), 1);
}

/* ---- names, numbers, chance ---- */

static void scripts_are_known_by_their_verbs(void **state)
{
    redisContext *c = client(0);
    char call[128];
    int64_t seen = proxy_ask(proxy, "seen leave 0");
    (void)state;
    redisReply *r =
        redisCommand(c, "SCRIPT LOAD %s", script_source(SCRIPT_leave));
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    freeReplyObject(r);
    (void)snprintf(call, sizeof(call), "EVALSHA %s 5 a b c d e lane",
                   script_sha(SCRIPT_leave));
    proxy_do(proxy, "cut 0 before leave 2");
    r = redisCommand(c, call);
    assert_string_equal(r->element[0]->str, "FENCED");
    freeReplyObject(r);
    expect_cut(c, call);
    assert_int_equal(proxy_ask(proxy, "seen leave 0"), seen + 1);
    assert_int_equal(proxy_ask(proxy, "seen leave 1"), 0);
}

static void commands_have_second_words(void **state)
{
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "cut 0 before CLIENT|SETNAME 1");
    freeReplyObject(redisCommand(c, "client id"));
    expect_cut(c, "client setname x");
    proxy_do(proxy, "cut 0 before CLIENT 1");
    expect_cut(client(0), "client id");
}

static unsigned cuts_by_chance(unsigned permille, unsigned seed)
{
    unsigned cuts = 0;
    proxy_do(proxy, "chance 0 before INCR %u %u", permille, seed);
    for (unsigned i = 0; i < 100; i++) {
        redisContext *c = client(0);
        redisReply *r = redisCommand(c, "INCR a");
        cuts += r == NULL;
        freeReplyObject(r);
        redisFree(c);
    }
    proxy_do(proxy, "heal");
    return cuts;
}

static void chance_is_a_seeded_one(void **state)
{
    (void)state;
    unsigned some = cuts_by_chance(300, 7);
    assert_true(some > 0 && some < 100);
    assert_int_equal(cuts_by_chance(300, 7), some);
    assert_int_equal(cuts_by_chance(0, 7), 0);
    assert_int_equal(cuts_by_chance(1000, 7), 100);
}

/* The reply that a rule waits for never comes: the rule is still there. */
static void a_rule_waits_for_a_cut_that_it_makes(void **state)
{
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "cut 0 after BLPOP 1");
    (void)redisAppendCommand(c, "BLPOP nothing 0");
    int done = 0;
    while (done == 0)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    redisFree(c);
    assert_true(wait_until(has_no_client, NULL, PATIENCE_MS));
    redis_do(redis, "RPUSH list x");
    expect_cut(client(0), "BLPOP list 0");
}

static void heal_forgets_rules(void **state)
{
    redisContext *c = client(0);
    (void)state;
    proxy_do(proxy, "cut 0 before * 2");
    proxy_do(proxy, "chance 0 after * 1000 1");
    (void)redisAppendCommand(c, "BLPOP list 0"); /* its reply is judged */
    int done = 0;
    while (done == 0)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    expect_int(client(1), 1, "INCR a");
    proxy_do(proxy, "heal");
    redis_do(redis, "RPUSH list x");
    redisReply *r = NULL;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    freeReplyObject(r);
    expect_int(c, 2, "INCR a");
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
    enum { BYTES = 256 << 10 }; /* each is a write, and a turn of Redis */
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

static void send_incr(redisContext *c)
{
    assert_int_equal(write(c->fd, INCR_A, strlen(INCR_A)), strlen(INCR_A));
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
    send_incr(old);
    send_incr(new);
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

static void a_stalled_reply_is_of_a_command_that_ran(void **state)
{
    redisContext *c = client(0);
    char key[] = "a";
    (void)state;
    proxy_do(proxy, "stall 0 s2c");
    send_incr(c);
    assert_true(wait_until(is_one, key, PATIENCE_MS));
    expect_int(client(1), 1, "INCR b");
    assert_false(is_readable(c));
    proxy_do(proxy, "heal");
    expect_cut(c, "INCR a");
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
#define CLAIM(f) cmocka_unit_test_teardown(f, heal)
    const struct CMUnitTest tests[] = {
        CLAIM(replies_of_all_kinds_pass_unchanged),
        CLAIM(big_values_pass_unchanged),
        CLAIM(blocking_commands_keep_their_order),
        CLAIM(before_keeps_the_command_from_redis),
        CLAIM(after_runs_it_and_gives_no_byte),
        CLAIM(after_a_blocking_command_takes_what_it_brought),
        CLAIM(middle_gives_exactly_these_bytes),
        CLAIM(middle_leaves_alone_what_is_not_longer),
        CLAIM(late_runs_only_when_told),
        CLAIM(late_tells_who_was_fenced),
        CLAIM(late_blmove_moves_or_ends),
        CLAIM(scripts_are_known_by_their_verbs),
        CLAIM(commands_have_second_words),
        CLAIM(chance_is_a_seeded_one),
        CLAIM(a_rule_waits_for_a_cut_that_it_makes),
        CLAIM(heal_forgets_rules),
        CLAIM(delay_takes_its_time_each_way),
        CLAIM(split_into_single_bytes_passes_all),
        CLAIM(a_stall_passes_nothing_and_closes_nothing),
        CLAIM(a_stalled_reply_is_of_a_command_that_ran),
        CLAIM(drop_cuts_one_link_now),
        CLAIM(ten_thousand_commands_are_answered_in_order),
        CLAIM(redis_may_go_and_come_back),
        CLAIM(it_leaves_no_socket_behind),
        CLAIM(it_ends_with_its_parent),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, stop);
}
