/*
 * Claims about the command line: the tables, and what is read by them.
 */
#include "producer/options.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { ARGS_MAX = 16 };

static struct options o;
static struct errbuf eb;

static int setup(void **state)
{
    (void)state;
    unsetenv("BELT_NAMESPACE");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    options_done(&o);
    return 0;
}

/* The options borrow the texts of argv, so this one stays. */
static int parse(const char *const *args)
{
    static char *argv[ARGS_MAX + 1];
    int argc = 1;

    options_done(&o);
    for (int i = 0; i < ARGS_MAX; i++) {
        free(argv[i]);
        argv[i] = NULL;
    }
    argv[0] = strdup("belt");
    for (; args[argc - 1]; argc++)
        argv[argc] = strdup(args[argc - 1]);
    return options_parse(argc, argv, &o, &eb);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void defaults_are_those_of_the_help(void **state)
{
    (void)state;
    assert_int_equal(PARSE("push", "t"), 0);
    assert_ptr_equal(o.command, &cmd_push);
    assert_string_equal(o.ns, "belt");
    assert_string_equal(o.queue, "default");
    assert_int_equal(o.format, OUT_TABLE);
    assert_int_equal(o.connect_timeout_ms, 5000);
    assert_int_equal(o.max_bytes, 1024 * 1024);
    assert_int_equal(o.arg_count, 1);
    assert_string_equal(o.args[0], "t");
    assert_null(o.args[1]);
}

static void global_flags_stand_before_or_behind_the_command(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-u", "U", "--namespace=n", "queues"), 0);
    assert_string_equal(o.redis_url, "U");
    assert_string_equal(o.ns, "n");
    assert_int_equal(PARSE("queues", "a", "-uU", "b", "--namespace", "n"), 0);
    assert_string_equal(o.redis_url, "U");
    assert_string_equal(o.ns, "n");
    assert_int_equal(o.arg_count, 2);
    assert_string_equal(o.args[1], "b");
}

static void a_flag_of_the_command_hides_the_global_one(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--timeout", "1s", "push", "t", "--timeout=2m"), 0);
    assert_int_equal(o.connect_timeout_ms, 1000);
    assert_int_equal(o.timeout_ms, 120000);
    assert_int_equal(PARSE("queues", "--timeout=2m"), 0);
    assert_int_equal(o.connect_timeout_ms, 120000);
    assert_int_equal(PARSE("push", "t", "--connect-timeout=2m"), 0);
    assert_int_equal(o.connect_timeout_ms, 120000);
}

static void numbers_and_what_follows_dashes_are_arguments(void **state)
{
    (void)state;
    assert_int_equal(PARSE("push", "t", "-5"), 0);
    assert_string_equal(o.args[1], "-5");
    assert_int_equal(PARSE("push", "t", "-"), 0);
    assert_string_equal(o.args[1], "-");
    assert_int_equal(PARSE("push", "--", "--front", "--"), 0);
    assert_false(o.front);
    assert_int_equal(o.arg_count, 2);
    assert_string_equal(o.args[1], "--");
}

static void a_raw_command_takes_everything_behind_it(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-uU", "worker", "--help", "-u", "V", "--"), 0);
    assert_false(o.help);
    assert_string_equal(o.redis_url, "U");
    assert_int_equal(o.arg_count, 4);
    assert_string_equal(o.args[3], "--");
}

static void the_last_of_two_equal_flags_counts(void **state)
{
    (void)state;
    assert_int_equal(PARSE("jobs", "q", "-n", "1", "--count=7"), 0);
    assert_int_equal(o.count, 7);
    assert_int_equal(PARSE("jobs", "q", "-o", "tsv", "--json"), 0);
    assert_int_equal(o.format, OUT_JSON);
}

static void the_namespace_comes_from_the_environment(void **state)
{
    (void)state;
    setenv("BELT_NAMESPACE", "env", 1);
    assert_int_equal(PARSE("queues"), 0);
    assert_string_equal(o.ns, "env");
    assert_int_equal(PARSE("queues", "--namespace", "flag"), 0);
    assert_string_equal(o.ns, "flag");
    setenv("BELT_NAMESPACE", "not a name", 1);
    assert_int_equal(PARSE("queues"), ERR_INVALID);
}

static void errors_name_what_is_wrong(void **state)
{
    static const struct {
        const char *args[4], *text;
    } cases[] = {
        {{"pus"}, "pus: no such command; did you mean push?"},
        {{"zzzzzz"}, "zzzzzz: no such command; see belt help"},
        {{"push", "t", "--frnt"}, "--frnt: no such flag; did you mean --front"},
        {{"push", "t", "-Z"}, "-Z: no such flag"},
        {{"push", "t", "-q"}, "--queue: needs QUEUE"},
        {{"push", "t", "--front=1"}, "--front: takes no value"},
        {{"push", "t", "--timeout=5"}, "--timeout: "},
        {{"push", "t", "--keep=0"}, "--keep: 0: too small"},
        {{"push", "t", "--max-bytes=1g"}, "--max-bytes: 1g: too big"},
        {{"jobs", "q", "-nx"}, "--count: "},
        {{"jobs"}, "an argument is missing; usage: belt jobs QUEUE"},
        {{"jobs", "a", "b"}, "too many arguments"},
        {{"queues", "-o", "xml"}, "--output: xml: not table, json"},
        {{"dev", "x"}, "x: arguments for what is run stand behind --"},
        {{"queues", "--no-color", "-hx"}, "-hx: -h takes no value"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        assert_int_equal(parse(cases[i].args), ERR_INVALID);
        if (strncmp(eb.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s instead of %s", eb.text, cases[i].text);
    }
}

static void help_needs_no_arguments(void **state)
{
    (void)state;
    assert_int_equal(PARSE("jobs", "--help"), 0);
    assert_true(o.help);
    assert_int_equal(PARSE("-h"), 0);
    assert_true(o.help);
    assert_null(o.command);
}

static void check_flags(const struct flag *flags)
{
    for (const struct flag *f = flags; f && f->name; f++) {
        assert_true((f->kind == FLAG_BOOL) == (f->value == NULL));
        assert_true(f->offset < sizeof(struct options));
        assert_non_null(f->help);
        assert_true(f->min <= f->max);
        for (const struct flag *g = flags; g != f; g++) {
            assert_string_not_equal(f->name, g->name);
            assert_true(f->letter == 0 || f->letter != g->letter);
        }
    }
}

static void every_table_is_in_order(void **state)
{
    (void)state;
    check_flags(global_flags);
    for (size_t i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        assert_non_null(c->usage);
        assert_non_null(c->summary);
        assert_non_null(c->run);
        assert_true(c->max_args < 0 || c->min_args <= c->max_args);
        assert_ptr_equal(command_find(c->name), c);
        check_flags(c->flags);
    }
}

static void a_name_of_two_words_is_one_command(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-uU", "dead", "list", "q", "-n", "3"), 0);
    assert_ptr_equal(o.command, &cmd_dead_list);
    assert_int_equal(o.arg_count, 1);
    assert_string_equal(o.args[0], "q");
    assert_int_equal(PARSE("queues", "set", "q"), 0);
    assert_ptr_equal(o.command, &cmd_queues_set);
    assert_int_equal(PARSE("queues", "q"), 0);
    assert_ptr_equal(o.command, &cmd_queues);
    assert_int_equal(PARSE("queues", "--", "set"), 0);
    assert_ptr_equal(o.command, &cmd_queues);
    assert_string_equal(o.args[0], "set");
}

static void a_group_alone_can_only_be_asked_for_help(void **state)
{
    (void)state;
    assert_int_equal(PARSE("dead", "--help"), 0);
    assert_null(o.command);
    assert_string_equal(o.group, "dead");
    assert_true(o.help);
    assert_int_equal(PARSE("dead"), 0);
    assert_string_equal(o.group, "dead");
    assert_int_equal(PARSE("dead", "lsit"), ERR_INVALID);
    assert_non_null(strstr(eb.text, "did you mean dead list?"));
    assert_int_equal(PARSE("dead", "everything"), ERR_INVALID);
    assert_non_null(strstr(eb.text, "see belt help dead"));
}

static void no_command_is_there_twice(void **state)
{
    (void)state;
    for (size_t i = 0; commands[i]; i++) {
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(commands[k]->name, commands[i]->name);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_help),
        cmocka_unit_test(global_flags_stand_before_or_behind_the_command),
        cmocka_unit_test(a_flag_of_the_command_hides_the_global_one),
        cmocka_unit_test(numbers_and_what_follows_dashes_are_arguments),
        cmocka_unit_test(a_raw_command_takes_everything_behind_it),
        cmocka_unit_test(the_last_of_two_equal_flags_counts),
        cmocka_unit_test_setup(the_namespace_comes_from_the_environment, setup),
        cmocka_unit_test_setup(errors_name_what_is_wrong, setup),
        cmocka_unit_test(help_needs_no_arguments),
        cmocka_unit_test(every_table_is_in_order),
        cmocka_unit_test(a_name_of_two_words_is_one_command),
        cmocka_unit_test(a_group_alone_can_only_be_asked_for_help),
        cmocka_unit_test(no_command_is_there_twice),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
