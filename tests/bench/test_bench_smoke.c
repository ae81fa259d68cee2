/*
 * Sees that the benchmark runs, and that its JSON has what it should: for
 * every section its figures, for every figure its values. No time is judged.
 *
 * Thread: main.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/support/tmp.h"

/* How many figures each section has, and one of them. */
static const struct {
    const char *section, *figure;
    size_t figures;
} wanted[] = {
    {"chan", "rendezvous, 1:1", 7},
    {"textbook", "LMOVE+LREM rate", 6},
    {"push", "one job p99", 6},
    {"settle", "20 KB 3q 16t rate", 145},
    {"window", "sleep 1ms, 10 ms away: rate", 16},
    {"mixed", "3 long: rate of short ones", 5},
    {"latency", "push to handler start p99", 3},
    {"promote", "due at once: longest call", 8},
    {"exec", "5 pipes made and closed", 8},
    {"process", "process handler, 1 process", 4},
    {"subtask", "sub-tasks, results read", 3},
    {"memory", "commands of an idle worker, 1 queue", 9},
    {"serve", "POST of a job: p99", 5}, /* the last: not without wrk */
};
enum { WANTED = sizeof(wanted) / sizeof(wanted[0]) };

/* How many of them are there. */
static size_t wanted_here(void)
{
    /* NOLINTNEXTLINE(cert-env33-c) */
    bool wrk = system("command -v wrk >/dev/null 2>&1") == 0;

    return wrk ? WANTED : WANTED - 1;
}

static void run_bench(const char *json)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        execl(BENCH_BIN, BENCH_BIN, "--smoke", "--json", json, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static json_t *named(const json_t *list, const char *name)
{
    size_t i;
    json_t *o;

    json_array_foreach(
        list, i, o) if (strcmp(json_string_value(json_object_get(o, "name")),
                               name) == 0) return o;
    print_error("there is no %s\n", name);
    return NULL;
}

static void check_values(const json_t *figure, const char *values)
{
    const json_t *list = json_object_get(figure, values);
    double x = json_real_value(json_array_get(list, 0));

    assert_int_equal(json_array_size(list), 1);
    assert_true(isfinite(x) && x >= 0);
}

static void check_figure(const json_t *figure)
{
    assert_true(json_is_string(json_object_get(figure, "unit")));
    check_values(figure, "values");
    if (json_object_get(figure, "against") != NULL)
        check_values(figure, "references");
}

/* A goal is said for each, met or not. */
static void check_goals_of_window(const json_t *sections)
{
    const json_t *window = named(sections, "window");
    const json_t *figure, *figures = json_object_get(window, "figures");
    size_t i, goals = 0;

    json_array_foreach(figures, i, figure)
    {
        const char *name = json_string_value(json_object_get(figure, "name"));
        if (strstr(name, "away: rate") == NULL)
            continue;
        assert_non_null(json_object_get(figure, "goal"));
        goals++;
    }
    assert_int_equal(goals, 6);
}

static void every_section_reports_its_figures(void **state)
{
    char dir[TMP_DIR_MAX], path[TMP_DIR_MAX + 16];
    json_t *all, *sections, *figure;
    json_error_t error;
    size_t i;

    (void)state;
    tmp_dir(dir, sizeof(dir));
    snprintf(path, sizeof(path), "%s/bench.json", dir);
    run_bench(path);
    all = json_load_file(path, 0, &error);
    assert_non_null(all);
    assert_true(json_is_string(
        json_object_get(json_object_get(all, "machine"), "cpu")));
    sections = json_object_get(all, "sections");
    assert_int_equal(json_array_size(sections), wanted_here());
    for (size_t s = 0; s < wanted_here(); s++) {
        const json_t *section = named(sections, wanted[s].section);
        const json_t *figures = json_object_get(section, "figures");
        assert_int_equal(json_array_size(figures), wanted[s].figures);
        assert_non_null(named(figures, wanted[s].figure));
        json_array_foreach(figures, i, figure) check_figure(figure);
    }
    check_goals_of_window(sections);
    json_decref(all);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_section_reports_its_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
