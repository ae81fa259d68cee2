/*
 * Claims about reading append-only files: what Redis leaves behind, what it
 * would not read either, elements that strangers push, and much of it all.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/journal.h"
#include "tests/faults/journal_write.h"
#include "tests/unit/unit.h"

#define LEASE "ZADD @leases 1 a\n"
#define READY LEASE "RPUSH @ $1 $2 $3\n"

/* ---- files ---- */

static void a_torn_tail_is_cut_where_redis_cuts_it(void **state)
{
    (void)state;
    struct buf bytes = {0};
    write_lines(&bytes, READY);
    size_t whole = bytes.len;
    write_lines(&bytes, "MULTI\nRPUSH @active:a #1\nLTRIM @ 1 -1\n"
                        "INCRBY @fence 1\nEXEC\n");
    size_t all = bytes.len;
    for (bytes.len = whole; bytes.len < all; bytes.len++) {
        struct journal *j = write_and_replay(&bytes);
        assert_int_equal(journal_moves(j).fetched, 0);
        assert_int_equal(journal_left(j), 3);
        journal_free(j);
    }
    bytes.len = all;
    struct journal *j = write_and_replay(&bytes);
    assert_int_equal(journal_moves(j).fetched, 1);
    journal_free(j);
    buf_done(&bytes);
}

static void notes_of_the_time_are_skipped(void **state)
{
    (void)state;
    struct buf bytes = {0};
    buf_str(&bytes, "#TS:1795630138\r\n");
    write_lines(&bytes, "RPUSH @ $1\n");
    buf_str(&bytes, "#TS:1795630139\r\n");
    write_lines(&bytes, "RPUSH @ $2\n");
    struct journal *j = write_and_replay(&bytes);
    assert_int_equal(journal_moves(j).pushed, 2);
    journal_free(j);
    buf_done(&bytes);
}

/* Whether a program that replays it ends with a message. */
static bool is_refused(const char *dir)
{
    int status;
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDERR_FILENO);
        journal_free(journal_replay(dir, "q", 0, stderr));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

/* Writes one of the files again. */
static void rewrite(const char *dir, const char *name, const char *p,
                    size_t len)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/appendonlydir/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void a_base_with_data_is_refused(void **state)
{
    (void)state;
    static const char rdb[] = "REDIS0010\xfa\x04name\x05value\xfe\x00\xff";
    char *dir = write_journal("", 0);
    assert_false(is_refused(dir));
    rewrite(dir, "appendonly.aof.1.base.rdb", rdb, sizeof(rdb) - 1);
    assert_true(is_refused(dir));
    rewrite(dir, "appendonly.aof.1.base.rdb", "REDIS0010\xfa\x40", 11);
    assert_true(is_refused(dir));
    write_remove(dir);
}

static void what_is_no_journal_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"GET x\r\n",
                                        "*1\r\n:4\r\nPING\r\n",
                                        "*x\r\n",
                                        "*-1\r\n",
                                        "*0\r\n",
                                        "*1\r\n$4\r\nPINGPING\r\n",
                                        "*1\n$4\r\nPING\r\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *dir = write_journal(texts[i], strlen(texts[i]));
        if (!is_refused(dir))
            fail_msg("read: %s", texts[i]);
        write_remove(dir);
    }
    assert_true(is_refused("/nonexistent"));
}

static void only_the_last_file_may_be_torn(void **state)
{
    (void)state;
    static const char name[] = "appendonly.aof.1.incr.aof";
    static const char one[] = "*3\r\n$5\r\nRPUSH\r\n$8\r\nbelt:{q}\r\n"
                              "$2\r\n{}\r\n";
    static const char manifest[] =
        "file appendonly.aof.1.base.rdb seq 1 type b\n"
        "file appendonly.aof.1.incr.aof seq 1 type i\n"
        "file appendonly.aof.2.incr.aof seq 2 type i\n";
    struct buf bytes = {0};
    write_lines(&bytes, READY);
    char *dir = write_journal(bytes.data, bytes.len - 1);
    assert_false(is_refused(dir));
    rewrite(dir, "appendonly.aof.manifest", manifest, sizeof(manifest) - 1);
    rewrite(dir, "appendonly.aof.2.incr.aof", bytes.data, bytes.len);
    assert_true(is_refused(dir));
    rewrite(dir, name, one, sizeof(one) - 1);
    struct journal *j = journal_replay(dir, "q", 0, stderr);
    assert_int_equal(journal_moves(j).pushed, 3 + 1);
    journal_free(j);
    char path[512];
    (void)snprintf(path, sizeof(path),
                   "%s/appendonlydir/appendonly.aof.2.incr.aof", dir);
    assert_int_equal(remove(path), 0);
    write_remove(dir);
    buf_done(&bytes);
}

/* ---- strange elements ---- */

static void put_word(struct buf *out, const char *p, size_t len)
{
    buf_printf(out, "$%zu\r\n", len);
    buf_append(out, p, len);
    buf_str(out, "\r\n");
}

static void elements_may_be_anything(void **state)
{
    (void)state;
    enum { BIG = 8 * 1024 * 1024 };
    char *deep = malloc(BIG);
    assert_non_null(deep);
    memset(deep, '[', BIG);
    memcpy(deep, "{\"payload\":", 11);
#define TEXT(s)                                                                \
    {                                                                          \
        s, sizeof(s) - 1                                                       \
    }
    const struct {
        const char *p;
        size_t len;
    } elements[] = {TEXT(""),
                    TEXT("\0\0"),
                    TEXT("{"),
                    TEXT("{\""),
                    TEXT("{\"id\":\"\\"),
                    TEXT("{\"payload\":{\"n\":"),
                    TEXT("{}"),
                    TEXT("\"\\\""),
                    TEXT("{\"id\":\"a\nb\",\"type\":\"\x1b[2J\"}"),
                    {deep, BIG}};
    enum { N = sizeof(elements) / sizeof(elements[0]) };
    struct buf bytes = {0};
    write_lines(&bytes, LEASE);
    for (size_t i = 0; i < N; i++) {
        buf_str(&bytes, "*3\r\n");
        put_word(&bytes, "RPUSH", 5);
        put_word(&bytes, "belt:{q}", 8);
        put_word(&bytes, elements[i].p, elements[i].len);
    }
    for (size_t i = 0; i < N; i++) {
        write_lines(&bytes, "LMOVE @ @active:a LEFT RIGHT\nMULTI\n");
        buf_str(&bytes, "*3\r\n");
        put_word(&bytes, "LPUSH", 5);
        put_word(&bytes, "belt:{q}", 8);
        put_word(&bytes, elements[i].p, elements[i].len);
        buf_str(&bytes, "*4\r\n");
        put_word(&bytes, "LREM", 4);
        put_word(&bytes, "belt:{q}:active:a", 17);
        put_word(&bytes, "1", 1);
        put_word(&bytes, elements[i].p, elements[i].len);
        write_lines(&bytes, "HINCRBY @stats released 1\nEXEC\n"
                            "LMOVE @ @active:a LEFT RIGHT\n");
    }
    struct journal *j = write_and_replay(&bytes);
    assert_int_equal(journal_jobs(j), N);
    assert_int_equal(journal_moves(j).released, N);
    assert_int_equal(journal_left(j), N);
    journal_free(j);
    buf_done(&bytes);
    free(deep);
}

/* ---- much of it ---- */

static void a_set_may_be_large(void **state)
{
    (void)state;
    enum { MEMBERS = 300 };
    struct buf bytes = {0};
    char lines[128];
    for (unsigned i = 1; i <= MEMBERS; i++) {
        (void)snprintf(lines, sizeof(lines), "ZADD @scheduled 5 #%u\n", i);
        write_lines(&bytes, lines);
    }
    for (unsigned i = 1; i <= MEMBERS; i++) {
        (void)snprintf(lines, sizeof(lines),
                       "MULTI\nRPUSH @ #%u\nZREM @scheduled #%u\n"
                       "HINCRBY @stats promoted 1\nEXEC\n",
                       i, i);
        write_lines(&bytes, lines);
    }
    struct journal *j = write_and_replay(&bytes);
    assert_int_equal(journal_moves(j).promoted, MEMBERS);
    assert_int_equal(journal_left(j), MEMBERS);
    journal_free(j);
    buf_done(&bytes);
}

static void at_most_a_hundred_breaches_are_said(void **state)
{
    (void)state;
    enum { LOST = 150 };
    struct buf bytes = {0};
    char *said = NULL, line[64];
    size_t said_len;
    for (unsigned i = 1; i <= LOST; i++) {
        (void)snprintf(line, sizeof(line), "RPUSH @ $%u\n", i);
        write_lines(&bytes, line);
    }
    write_lines(&bytes, "DEL @\n");
    char *dir = write_journal(bytes.data, bytes.len);
    FILE *out = open_memstream(&said, &said_len);
    struct journal *j = journal_replay(dir, "q", 0, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(journal_breaches(j).lost, LOST);
    unsigned lines = 0;
    for (const char *p = said; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 100 + 1); /* "(and more)" */
    journal_free(j);
    write_remove(dir);
    buf_done(&bytes);
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_tail_is_cut_where_redis_cuts_it),
        cmocka_unit_test(notes_of_the_time_are_skipped),
        cmocka_unit_test(a_base_with_data_is_refused),
        cmocka_unit_test(what_is_no_journal_is_refused),
        cmocka_unit_test(only_the_last_file_may_be_torn),
        cmocka_unit_test(elements_may_be_anything),
        cmocka_unit_test(a_set_may_be_large),
        cmocka_unit_test(at_most_a_hundred_breaches_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
