/*
 * Claims about every cut of a push with options: with an id and a unique key
 * that is held for a time, pushing it again is safe. Whatever the cut push was
 * said to have become, and if it runs as late as can be, the job is there once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/faults/journal.h"
#include "tests/faults/proxy.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 60 * 1000, ARGS_MAX = 24 };

static struct redis *redis;
static struct proxy *proxy;
static unsigned serial; /* of the key: another in each case */

static int start(void **state)
{
    static const struct redis_opts opts = {
        .appendonly = true, .conf = "auto-aof-rewrite-percentage 0"};
    (void)state;
    redis = redis_start(&opts);
    proxy = proxy_start(redis, 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    proxy_stop(proxy);
    redis_stop(redis);
    return 0;
}

static const char *const points[] = {"before", "after", "middle", "late"};
/* What a push meets on its way: the first call meets NOSCRIPT. */
static const struct {
    const char *command;
    unsigned nth;
} commands[] = {
    {"SADD", 1}, {"push_one", 1}, {"SCRIPT|LOAD", 1}, {"push_one", 2}};
enum { POINTS = 4, COMMANDS = 4 };

/* A way of pushing; %K in args is the key, %I the id. */
static const struct way {
    const char *name, *args[ARGS_MAX];
    const char *key; /* where the job is to be */
} ways[] = {
    {"now", {"t", "--id", "%I", "--unique", "%K:1h"}, "belt:{q}"},
    {"now, kept",
     {"t", "--id", "%I", "--unique", "%K:1h", "--keep", "1h"},
     "belt:{q}"},
    {"later",
     {"t", "--id", "%I", "--unique", "%K:1h", "--in", "1h"},
     "belt:{q}:scheduled"},
    {"until done", {"t", "--id", "%I", "--unique", "%K"}, "belt:{q}"},
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

/* Runs belt push with these arguments; *ret, unless NULL, is what it said. */
static int run_belt(const char *const *args, char **ret)
{
    const char *argv[ARGS_MAX + 8] = {
        BELT_BIN, "push", "-u", proxy_url(proxy, 0), "-q", "q"};
    char *owned[ARGS_MAX] = {NULL};
    for (int i = 0; args[i] != NULL; i++) {
        const char *colon = strchr(args[i], ':');
        if (args[i][0] != '%')
            owned[i] = mem_strdup(args[i]);
        else
            owned[i] = mem_printf("%c%u%s", args[i][1] == 'K' ? 'k' : 'i',
                                  serial, colon != NULL ? colon : "");
        argv[6 + i] = owned[i];
    }
    struct worker *w = worker_exec(redis, argv, NULL);
    int code = worker_wait(w, PATIENCE_MS);
    if (ret != NULL) {
        FILE *f = fopen(worker_log(w), "re");
        char text[4096];
        assert_non_null(f);
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
        text[n] = '\0';
        *ret = mem_strdup(text);
    }
    worker_free(w);
    for (int i = 0; i < ARGS_MAX; i++)
        free(owned[i]);
    return code;
}

/* How many jobs of this id are there. */
static int count_there(const char *key, const char *id)
{
    bool list = strcmp(key, "belt:{q}") == 0;
    char *part = mem_printf("{\"id\":\"%s\"", id);
    redisReply *all =
        redis_cmd(redis, list ? "LRANGE %s 0 -1" : "ZRANGE %s 0 -1", key);
    int n = 0;
    for (size_t i = 0; i < all->elements; i++)
        n += strncmp(all->element[i]->str, part, strlen(part)) == 0;
    freeReplyObject(all);
    free(part);
    return n;
}

static void expect_once(const struct way *way, const char *what)
{
    char id[32], key[64], holder[64];
    (void)snprintf(id, sizeof(id), "i%u", serial);
    (void)snprintf(key, sizeof(key), "GET belt:{q}:unique:k%u", serial);
    if (count_there(way->key, id) != 1)
        fail_msg("%s: %s is there %d times", what, id,
                 count_there(way->key, id));
    assert_string_equal(redis_str(redis, holder, sizeof(holder), key), id);
}

static void expect_said(const char *said, const char *point, bool may_be_there,
                        const char *what)
{
    bool unknown = strstr(said, "outcome unknown") != NULL;
    bool refused = strstr(said, "not pushed") != NULL;
    if (unknown == refused || (may_be_there && !unknown))
        fail_msg("%s %s: said %s", what, point, said);
}

static void cut(const struct way *way, const char *point, const char *command,
                unsigned nth)
{
    int64_t fired = proxy_ask(proxy, "fired");
    char *said,
        *what = mem_printf("%s, %s %u %s", way->name, point, nth, command);
    char id[32];
    serial++;
    (void)snprintf(id, sizeof(id), "i%u", serial);
    redis_do(redis, "SCRIPT FLUSH");
    proxy_do(proxy, "cut 0 %s %s %u", point, command, nth);
    int code = run_belt(way->args, &said);
    if (proxy_ask(proxy, "fired") != fired + 1)
        fail_msg("%s: the command never came", what);
    if (code != EX_TEMPFAIL)
        fail_msg("%s: exit %d: %s", what, code, said);
    bool there = count_there(way->key, id) > 0;
    expect_said(said, point, there, what);
    assert_int_equal(run_belt(way->args, NULL), 0);
    expect_once(way, what);
    (void)proxy_ask(proxy, "late");
    expect_once(way, what);
    print_message("%-45s %s\n", what, there ? "was there" : "came again");
    free(said);
    free(what);
}

static void a_push_with_a_key_can_be_done_again(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++) {
        for (int c = 0; c < COMMANDS; c++) {
            /* All ways are one as long as nothing has run. */
            for (int p = 0; p < POINTS && (w == 0 || c == 3); p++)
                cut(&ways[w], points[p], commands[c].command, commands[c].nth);
        }
    }
}

/* The one that waits is the same, or the new one under its id. */
static void a_replacement_can_be_done_again(void **state)
{
    static const char *const first[] = {"t",  "n:=1", "--id", "%I", "--unique",
                                        "%K", "--in", "1h",   NULL};
    static const char *const again[] = {
        "t",  "n:=2",          "--unique", "%K", "--in",
        "1h", "--on-conflict", "replace",  NULL};
    (void)state;
    for (int p = 0; p < POINTS; p++) {
        char id[32], *said;
        serial++;
        (void)snprintf(id, sizeof(id), "i%u", serial);
        redis_do(redis, "DEL belt:{q}:scheduled");
        assert_int_equal(run_belt(first, NULL), 0);
        proxy_do(proxy, "cut 0 %s push_one 1", points[p]);
        assert_int_equal(run_belt(again, &said), EX_TEMPFAIL);
        expect_said(said, points[p], strcmp(points[p], "before") != 0,
                    "replace");
        assert_int_equal(count_there("belt:{q}:scheduled", id), 1);
        assert_int_equal(run_belt(again, NULL), 0);
        (void)proxy_ask(proxy, "late");
        assert_int_equal(redis_int(redis, "ZCARD belt:{q}:scheduled"), 1);
        redisReply *all = redis_cmd(redis, "ZRANGE belt:{q}:scheduled 0 -1");
        assert_non_null(strstr(all->element[0]->str, "\"payload\":{\"n\":2}"));
        freeReplyObject(all);
        free(said);
    }
}

/* ---- lines ---- */

enum { LINES = 30 };

static const char *write_lines(void)
{
    struct buf b = {0};
    for (unsigned i = 1; i <= LINES; i++)
        buf_printf(&b,
                   "{\"id\":\"l%u-%u\",\"type\":\"t\",\"unique\":{\"key\":"
                   "\"l%u-%u\",\"until\":\"time\",\"ttl\":600000}}\n",
                   serial, i, serial, i);
    char *name = mem_printf("lines-%u", serial);
    const char *path = script_file(redis, name, b.data);
    free(name);
    buf_done(&b);
    return path;
}

/* Where to resume is what was said; what is behind it may be there. */
static void lines_with_keys_come_once(void **state)
{
    (void)state;
    for (int p = 0; p < POINTS; p++) {
        char skip[16], *said;
        unsigned acked = 0;
        serial++;
        redis_do(redis, "DEL belt:{q}");
        const char *path = write_lines();
        proxy_do(proxy, "cut 0 %s push_one 17", points[p]);
        assert_int_equal(
            run_belt((const char *const[]){"--ndjson", path, NULL}, &said),
            EX_TEMPFAIL);
        const char *at = strstr(said, "--skip ");
        while (at != NULL && strstr(at + 1, "--skip ") != NULL)
            at = strstr(at + 1, "--skip ");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "--skip %u", &acked), 1);
        assert_in_range(acked, 1, 16); /* answers on their way were lost */
        (void)snprintf(skip, sizeof(skip), "%u", acked);
        assert_int_equal(run_belt((const char *const[]){"--ndjson", path,
                                                        "--skip", skip, NULL},
                                  NULL),
                         0);
        (void)proxy_ask(proxy, "late");
        assert_int_equal(redis_int(redis, "LLEN belt:{q}"), LINES);
        for (unsigned i = 1; i <= LINES; i++) {
            char id[32];
            (void)snprintf(id, sizeof(id), "l%u-%u", serial, i);
            assert_int_equal(count_there("belt:{q}", id), 1);
        }
        free(said);
    }
}

/* ---- books ---- */

/* The accountant understands a push of each kind, and what replaces. */
static void the_books_of_all_kinds_are_right(void **state)
{
    static const char *const pushes[][ARGS_MAX] = {
        {"-q", "b", "t", "--keep", "1h"},
        {"-q", "b", "t", "--front", "--unique", "a:1h"},
        {"-q", "b", "t", "--in", "1h"},
        {"-q", "b", "t", "--unique", "b", "--in", "1h", "n:=1"},
        {"-q", "b", "t", "--unique", "b", "--in", "2h", "n:=1", "m:=2",
         "--on-conflict", "replace"},
        {"-q", "b", "t", "--unique", "b", "--in", "3h", "--keep", "1h",
         "--on-conflict", "replace"},
        {"-q", "b", "t", "--unique", "b"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pushes) / sizeof(pushes[0]); i++)
        assert_int_equal(run_belt(pushes[i], NULL), 0);
    struct journal *j = journal_replay(redis_dir(redis), "b", 0, stderr);
    assert_int_equal(journal_breach_count(j), 0);
    assert_int_equal(journal_moves(j).pushed, 4);
    assert_int_equal(journal_left(j), 4);
    journal_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_with_a_key_can_be_done_again),
        cmocka_unit_test(a_replacement_can_be_done_again),
        cmocka_unit_test(lines_with_keys_come_once),
        cmocka_unit_test(the_books_of_all_kinds_are_right),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
