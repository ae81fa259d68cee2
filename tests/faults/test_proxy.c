/*
 * Claims about the rules of the fault proxy: a cut is made at the command and
 * the point that the rule names, and nowhere else.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/redis/script.h"
#include "tests/faults/proxy_fixture.h"
#include "tests/faults/proxy_sock.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define GET_V "*2\r\n$3\r\nGET\r\n$1\r\nv\r\n"
#define INCR_A "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"

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
    send_command(c, "BLMOVE from to LEFT RIGHT 0");
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
    redisContext *c = client(1);
    (void)redisAppendCommand(c, "EVAL return{'OK'} 0");
    expect_cut(c, "EVAL return{'FENCED'} 0"); /* is behind it */
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
    send_command(c, "BLPOP nothing 0");
    redisFree(c);
    assert_true(wait_until(has_no_client, NULL, PATIENCE_MS));
    redis_do(redis, "RPUSH list x");
    expect_cut(client(0), "BLPOP list 0");
}

static void heal_forgets_rules(void **state)
{
    redisContext *c = client(0), *other = client(1);
    (void)state;
    proxy_do(proxy, "cut 0 before * 2");
    proxy_do(proxy, "chance 0 after * 1000 1");
    send_command(c, "BLPOP list 0"); /* its reply is judged */
    expect_int(other, 1, "INCR a");
    proxy_do(proxy, "heal");
    redis_do(redis, "RPUSH list x");
    redisReply *r = NULL;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    freeReplyObject(r);
    expect_int(c, 2, "INCR a");
    redisFree(other);
    redisFree(c);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_teardown(f, proxy_heal)
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, proxy_setup, proxy_teardown);
}
