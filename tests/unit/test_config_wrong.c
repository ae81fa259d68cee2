/*
 * Claims about configuration files that are wrong, and how that is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/config_fixture.h"

#define NOOP "handler x { builtin = noop }\n"

static void all_that_is_wrong_is_said_with_its_line(void **state)
{
    conf_expect_wrong(
        *state,
        "worker {\n"
        "    threads = 0\n"
        "    lease = 1y  # a comment\n"
        "    thread = 4\n"
        "    zzzzzz = 'x'\n"
        "    timeout = /* another\n"
        "        one */ 0ms\n"
        "}\n"
        "redis { password-file = '/none/such'\n"
        "        url = 'http://x' }\n"
        "handler a { builtin = nop }\n"
        "handler b { exec = \"x 'y\" max-result = 1t }\n"
        "burst = perhaps\n"
        "que-es = b\n",
        "FILE:2: threads: 0 is not from 1 to 1000\n"
        "FILE:3: lease: \"1y\" is no duration like 500ms, 10s, 1h30m or 7d\n"
        "FILE:4: unknown key \"thread\" in worker, did you mean threads?\n"
        "FILE:5: unknown key \"zzzzzz\" in worker\n"
        "FILE:7: timeout: 0ms is not within 1ms and 7d\n"
        "FILE:9: password file: /none/such: No such file or directory\n"
        "FILE:10: url: neither redis://host:port/db nor unix:///path\n"
        "FILE:11: handler a=builtin:nop: no such builtin: nop (did you mean "
        "noop?)\n"
        "FILE:12: max-result: \"1t\" is no size like 4096, 64k, 10m or 1g\n"
        "FILE:12: handler b=exec:x 'y: ' is not closed\n"
        "FILE:13: burst: \"perhaps\" is neither true nor false\n"
        "FILE:14: unknown key \"que-es\", did you mean queues?\n");
}

static void a_key_is_said_once(void **state)
{
    conf_expect_wrong(
        *state,
        NOOP "worker { threads = 1 }\n"
             "worker { threads = 2 fence = on }\n"
             "threads = 3\nfence = on\n"
             "handler y { exec = a timeout = 1s\n"
             "  builtin = noop timeout = 2s }\n"
             "handler y { exec = b }\n",
        "FILE:3: threads: line 2 says it already\n"
        "FILE:4: threads: line 2 says it already\n"
        "FILE:5: fence: line 3 says it already\n"
        "FILE:7: builtin: line 6 says it already\n"
        "FILE:7: timeout: line 6 says it already\n"
        "FILE:8: handler y: there is one for it already, line 6\n");
}

/* What the kind of a handler finds is said of the line of its key. */
static void isolation_is_checked_by_line(void **state)
{
    conf_expect_wrong(
        *state,
        "handler x {\n"
        " exec = true\n"
        " nice = 3\n"
        " pass-env = \"HOME REDIS_URL\"\n"
        "}\n"
        "handler y {\n"
        " exec = true\n"
        " user = \"no-such-user:no-such-group\"\n"
        "}\n"
        "handler z { exec = true\n"
        " cgroup-memory = 1g }\n",
        geteuid() == 0
            ? "FILE:4: handler x=exec:true: pass-env: REDIS_URL is "
              "what the worker knows of Redis, and is not passed on\n"
              "FILE:8: handler y=exec:true: user: no such user: "
              "no-such-user\n"
              "FILE:11: handler z=exec:true: cgroup-memory: without "
              "the key cgroup there is none to be limited\n"
            : "FILE:4: handler x=exec:true: pass-env: REDIS_URL is "
              "what the worker knows of Redis, and is not passed on\n"
              "FILE:8: handler y=exec:true: user: only a worker of "
              "root can run handlers as no-such-user\n"
              "FILE:11: handler z=exec:true: cgroup-memory: without "
              "the key cgroup there is none to be limited\n");
}

static void handler_says_what_it_does(void **state)
{
    conf_expect_wrong(*state, NOOP "handler y {\n timeout = 1s\n}\n",
                      "FILE:4: this handler has no kind, as exec or builtin\n");
    conf_expect_wrong(*state, NOOP "handler { exec = a }\n",
                      "FILE:2: missing title for section 'handler'\n"
                      "FILE:2: nothing behind this was read\n");
    conf_expect_wrong(*state, NOOP "handler '' { exec = a }\n",
                      "FILE:2: handler : not a type or a glob of types\n");
    conf_expect_wrong(*state, NOOP "'handler=x|exec' = a\n",
                      "FILE:2: exec: a key of handler only\n");
    conf_expect_wrong(*state, "threads = 1\n",
                      "FILE: no handlers: give --handlers DIR or --handler "
                      "TYPE=KIND:SPEC, or name them here\n");
}

static void a_section_that_is_none_hides_nothing(void **state)
{
    conf_expect_wrong(*state, "\nworkers {\n threads = a\n}\nlease = x\n",
                      "FILE:2: unknown section \"workers\", did you mean "
                      "worker?\n"
                      "FILE:5: lease: \"x\" is no duration like 500ms, 10s, "
                      "1h30m or 7d\n");
    conf_expect_wrong(*state,
                      NOOP "burst = on\nbatch 'night{ly'\n{ every = \"}\"\n"
                           "  x { /* } */ y = 1 } } timeuot = 1s\n"
                           "hander 'x' { exec = true } handler z { }\n",
                      "FILE:3: unknown section \"batch\"\n"
                      "FILE:5: unknown key \"timeuot\", did you mean "
                      "timeout?\n"
                      "FILE:6: unknown section \"hander\", did you mean "
                      "handler?\n"
                      "FILE:6: this handler has no kind, as exec or builtin\n");
}

static void broken_syntax_is_said_where_it_is(void **state)
{
    static const struct {
        const char *text, *wrong;
    } rows[] = {
        {NOOP "threads 8\nlease = 1s\n",
         "FILE:2: threads: no = behind it\n"
         "FILE:2: nothing behind this was read\n"},
        {NOOP "}\n", "FILE:2: unexpected closing brace\n"
                     "FILE:2: nothing behind this was read\n"},
        {NOOP "threads = 8;\nlease = 20s;\n",
         "FILE:2: threads: \"8;\" is no number from 1 to 1000\n"
         "FILE:3: lease: \"20s;\" is no duration like 500ms, 10s, 1h30m or "
         "7d\n"},
        {NOOP "lease = 20s ;\n", "FILE:2: \";\": nothing ends a line here\n"
                                 "FILE:3: premature end of file\n"
                                 "FILE:3: nothing behind this was read\n"},
        {NOOP "threads += 8\n",
         "FILE:2: attempt to append to non-list option 'threads'\n"
         "FILE:2: nothing behind this was read\n"},
        {NOOP "queues = {a, b}\n", "FILE:2: unexpected token '{'\n"
                                   "FILE:2: nothing behind this was read\n"},
        {NOOP "worker {\n threads = 8\n\n",
         "FILE:2: the section that begins here does not end\n"},
        {NOOP "# a\nname = \"a\nburst = on\n\n",
         "FILE:3: the text that begins here does not end\n"},
        {NOOP "name = 'a\\'\n\n",
         "FILE:2: the text that begins here does not end\n"},
        {NOOP "\n/* a\n\n * b\n",
         "FILE:3: the comment that begins here does not end\n"},
        {NOOP "name = \"\\1\"\n",
         "FILE:2: \"\\1\" in a text: for a backslash write two\n"},
        {NOOP "name = \"${BELT\"\n}\n",
         "FILE:2: the ${ that begins here does not end\n"},
        {NOOP "name = ${BELT\n}\n",
         "FILE:2: the ${ that begins here does not end\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        conf_expect_wrong(*state, rows[i].text, rows[i].wrong);
    /* Nothing of that is left in the parser. */
    conf_read(*state, NO_FLAGS, NOOP "threads = 8\n");
}

static void what_the_parser_would_drop_is_refused(void **state)
{
    conf_expect_wrong(
        *state, "handler img.* { exec = a }\n",
        "FILE:1: \"*\" outside quotes: write the whole text in quotes\n");
    conf_expect_wrong(
        *state, NOOP "name = a|b\nname + = c\n",
        "FILE:2: \"|\" outside quotes: write the whole text in quotes\n"
        "FILE:2: name: \"a|b\" is no valid name of a worker\n"
        "FILE:3: \"+\" outside quotes: write the whole text in quotes\n"
        "FILE:3: name: line 2 says it already\n");
}

static void a_key_is_not_empty(void **state)
{
    conf_expect_wrong(*state, NOOP "'' = 1\n", "FILE: a key is empty\n");
    conf_expect_wrong(*state, NOOP "handler y { exec = a \"\" = 1 }\n",
                      "FILE: a key is empty\n");
}

static void comments_do_not_move_lines(void **state)
{
    conf_expect_wrong(*state,
                      "# one\n#two\n// three\n/* four\n * five **\n */\n"
                      "name = 'a # no comment // nor this /* nor this'\n"
                      "name = \"b\\\n\"\n" NOOP "x = 1 # last",
                      "FILE:7: name: \"a # no comment // nor this /* nor "
                      "this\" is no valid name of a worker\n"
                      "FILE:9: name: line 7 says it already\n"
                      "FILE:11: unknown key \"x\"\n");
}

static void variables_have_to_be_set(void **state)
{
    (void)unsetenv("BELT_TEST_NONE");
    conf_expect_wrong(
        *state,
        NOOP "\nname = \"a-${BELT_TEST_NONE}\"\n"
             "namespace = ${BELT_TEST_NONE}\n"
             "# ${BELT_TEST_NONE}\n"
             "queues = '${BELT_TEST_NONE}'\n",
        "FILE:3: the environment has no BELT_TEST_NONE; ${BELT_TEST_NONE:-} "
        "would stand for an empty text then\n"
        "FILE:4: the environment has no BELT_TEST_NONE; ${BELT_TEST_NONE:-} "
        "would stand for an empty text then\n"
        "FILE:4: namespace: \"\" is no valid namespace\n"
        "FILE:6: queues: \"${BELT_TEST_NONE}\" is no name of a queue: letters, "
        "digits, \".\", \"_\", \"-\", at most 64, not a sign first\n");
}

static void passwords_are_not_shown(void **state)
{
    struct conf *c = *state;
    (void)setenv("BELT_TEST_SECRET", "s3cret", 1);
    conf_parse(c, NO_FLAGS,
               NOOP "redis { url = \"redis://:${BELT_TEST_SECRET}@:x/y\"\n"
                    "url = \"redis://u:s3cret@h:1/2/3\" }\n"
                    "url = \"redis:/s3cret\"\n");
    (void)unsetenv("BELT_TEST_SECRET");
    assert_non_null(c->o.wrong);
    assert_non_null(strstr(c->o.wrong, ":2: url: "));
    assert_null(strstr(c->o.wrong, "s3cret"));
    assert_null(strstr(c->eb.text, "s3cret"));
}

/* Cut where there is no more room for it, it would be another port. */
static void an_address_is_not_cut(void **state)
{
    char zeros[LISTEN_MAX_LEN + 1], *text;
    memset(zeros, '0', sizeof(zeros) - 1);
    zeros[sizeof(zeros) - 1] = '\0';
    text = mem_printf(NOOP "listen = \":%s9090\"\n", zeros);
    conf_expect_wrong(*state, text,
                      "FILE:2: listen: an address of more than 63 bytes\n");
    free(text);
    text =
        mem_printf(NOOP "listen = \":%.*s9090\"\n", LISTEN_MAX_LEN - 5, zeros);
    struct conf *c = *state;
    conf_read(c, NO_FLAGS, text);
    assert_int_equal(strlen(c->o.config.listen), LISTEN_MAX_LEN);
    free(text);
}

static void a_hundred_errors_are_enough(void **state)
{
    struct conf *c = *state;
    struct buf b = {0};
    unsigned lines = 0;
    for (int i = 0; i < 250; i++)
        buf_printf(&b, "key%d = %d\n", i, i);
    conf_parse(c, NO_FLAGS, b.data);
    buf_done(&b);
    assert_non_null(c->o.wrong);
    for (const char *p = c->o.wrong; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 101);
    assert_non_null(strstr(c->o.wrong, ":100: unknown key \"key99\""));
    assert_non_null(strstr(c->o.wrong, "\nand 150 more\n"));
}

static void a_file_has_to_be_text(void **state)
{
    struct conf *c = *state;
    conf_expect_wrong(c, "\n\nname = '\xff'\n",
                      "FILE:3: not a text in UTF-8\n");
    char *big = mem_new((1 << 20) + 2);
    memset(big, '\n', (1 << 20) + 1);
    conf_expect_wrong(c, big, "FILE: longer than 1048576 bytes\n");
    free(big);
    conf_expect_wrong(c, "",
                      "FILE: no handlers: give --handlers DIR or "
                      "--handler TYPE=KIND:SPEC, or name them here\n");
    conf_parse(c, (const char *const[]){"-c", "/none/such", NULL}, NULL);
    assert_string_equal(c->o.wrong, "/none/such: No such file or directory\n");
}

static void nul_bytes_are_no_text(void **state)
{
    static const char text[] = NOOP "name = 'a\0b'\n";
    struct conf *c = *state;
    FILE *f = fopen(conf_file(c, "belt.conf", ""), "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, sizeof(text) - 1, f), sizeof(text) - 1);
    assert_int_equal(fclose(f), 0);
    conf_parse(c, (const char *const[]){"-c", c->path, NULL}, NULL);
    assert_non_null(strstr(c->o.wrong, ":2: not a text in UTF-8\n"));
}

static void what_is_wrong_has_a_source(void **state)
{
    struct conf *c = *state;
    /* A flag: that alone is said, to whoever typed it. */
    conf_parse(c, (const char *const[]){"--threads=0", NULL}, "lease = x\n");
    assert_int_equal(c->rc, ERR_INVALID);
    assert_null(c->o.wrong);
    assert_non_null(strstr(c->eb.text, "--threads: "));
    /* The environment and the file. */
    (void)setenv("BELT_QUEUES", "-", 1);
    (void)setenv("BELT_REDIS_URL", "nowhere", 1);
    conf_parse(c, NO_FLAGS, "threads = 0\n");
    (void)unsetenv("BELT_QUEUES");
    (void)unsetenv("BELT_REDIS_URL");
    assert_non_null(c->o.wrong);
    assert_non_null(strstr(c->o.wrong, ":1: threads: "));
    assert_non_null(strstr(c->o.wrong, "\nBELT_QUEUES: "));
    assert_non_null(strstr(c->o.wrong, "\nBELT_REDIS_URL: "));
    assert_non_null(strstr(c->eb.text, ":1: threads: "));
    assert_null(strchr(c->eb.text, '\n'));
    /* Only one file, named by a flag. */
    conf_parse(c, (const char *const[]){"-c", "/dev/null", NULL}, NOOP);
    assert_null(c->o.wrong);
    assert_non_null(strstr(c->eb.text, "--config: "));
}

static void bytes_for_terminals_are_not_passed_on(void **state)
{
    conf_expect_wrong(*state, NOOP "\"\\e[31m\nx\" = 1\n",
                      "FILE:3: unknown key \"\\x1b[31m\\nx\"\n");
}

/* Runs belt-worker with -c and these flags. Returns its exit code. */
static int run(const struct conf *c, const char *flags, char *out, size_t size)
{
    char *line =
        mem_printf("%s -c %s %s 2>&1", BELT_WORKER_BIN, c->path, flags);
    FILE *f = popen(line, "re"); /* NOLINT(cert-env33-c) paths are ours */
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    int status = pclose(f);
    free(line);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void exit_code_tells_which(void **state)
{
    struct conf *c = *state;
    char out[1024];
    (void)conf_file(c, "belt.conf", NOOP);
    assert_int_equal(run(c, "--check", out, sizeof(out)), EX_OK);
    assert_string_equal(out, "ok\n");
    assert_int_equal(run(c, "--check --lease 1s", out, sizeof(out)), EX_USAGE);
    assert_non_null(strstr(out, "--lease: "));
    (void)conf_file(c, "belt.conf", "a = 1\nb = 2\n");
    assert_int_equal(run(c, "--check", out, sizeof(out)), EX_CONFIG);
    assert_non_null(strstr(out, ":1: unknown key \"a\"\n"));
    assert_non_null(strstr(out, ":2: unknown key \"b\"\n"));
    assert_int_equal(run(c, "", out, sizeof(out)), EX_CONFIG);
    assert_non_null(strstr(out, ":2: unknown key \"b\"\n"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
    const struct CMUnitTest tests[] = {
        T(all_that_is_wrong_is_said_with_its_line),
        T(a_key_is_said_once),
        T(isolation_is_checked_by_line),
        T(handler_says_what_it_does),
        T(a_section_that_is_none_hides_nothing),
        T(broken_syntax_is_said_where_it_is),
        T(what_the_parser_would_drop_is_refused),
        T(a_key_is_not_empty),
        T(comments_do_not_move_lines),
        T(variables_have_to_be_set),
        T(passwords_are_not_shown),
        T(an_address_is_not_cut),
        T(a_hundred_errors_are_enough),
        T(a_file_has_to_be_text),
        T(nul_bytes_are_no_text),
        T(what_is_wrong_has_a_source),
        T(bytes_for_terminals_are_not_passed_on),
        T(exit_code_tells_which),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
