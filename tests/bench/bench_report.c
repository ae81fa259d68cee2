/*
 * Report: the table and the JSON file.
 *
 * Thread: main.
 */
#include "tests/bench/bench_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "tests/bench/bench_figure.h"

enum { NAME_COLUMNS = 44, UNIT_COLUMNS = 8, NUMBER_COLUMNS = 9 };

/* Four digits that count, whatever the size. */
static void print_number(double x)
{
    double size = fabs(x);
    int decimals = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;

    printf(" %*.*f", NUMBER_COLUMNS, decimals, x);
}

static void print_spread(struct spread s)
{
    print_number(s.min);
    print_number(s.median);
    print_number(s.max);
}

static void print_goal(const struct series *s)
{
    const char *what[] = {[GOAL_RATIO_MIN] = "ratio >=",
                          [GOAL_RATIO_MAX] = "ratio <=",
                          [GOAL_VALUE_MAX] = "value <="};

    if (s->figure.goal != GOAL_NONE)
        printf("  %s %g %s", what[s->figure.goal], s->figure.limit,
               series_meets_goal(s) ? "met" : "MISSED");
}

static void print_series(const struct series *s)
{
    printf("%-*s %-*s", NAME_COLUMNS, s->figure.name, UNIT_COLUMNS,
           s->figure.unit);
    print_spread(series_values(s));
    if (s->figure.against != NULL) {
        printf("  x");
        print_spread(series_ratios(s));
        printf("  of %s", s->figure.against);
    }
    print_goal(s);
    putchar('\n');
}

void report_section(const struct section *s)
{
    const struct series *series;

    printf("\n%s: %s\n%-*s %*s %*s %*s    %*s %*s %*s\n", s->name, s->about,
           NAME_COLUMNS + 1 + UNIT_COLUMNS, "", NUMBER_COLUMNS, "min",
           NUMBER_COLUMNS, "median", NUMBER_COLUMNS, "max", NUMBER_COLUMNS,
           "ratio min", NUMBER_COLUMNS, "median", NUMBER_COLUMNS, "max");
    for (size_t i = 0; (series = figures_get(i)) != NULL; i++)
        if (series->section == s)
            print_series(series);
    fflush(stdout);
}

/* ---- JSON ---- */

static void cpu_model(char *out, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");

    snprintf(out, size, "unknown");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (f != NULL)
        fclose(f);
}

void report_machine(struct machine *m, struct redis *r)
{
    redisReply *reply = redis_cmd(r, "INFO server");
    const char *at = strstr(reply->str, "redis_version:");

    *m = (struct machine){.redis = "unknown"};
    if (at != NULL) {
        at += strlen("redis_version:");
        snprintf(m->redis, sizeof(m->redis), "%.*s", (int)strcspn(at, "\r\n"),
                 at);
    }
    freeReplyObject(reply);
    if (getloadavg(&m->load, 1) != 1)
        m->load = -1;
}

static json_t *machine_json(const struct machine *m)
{
    struct utsname u;
    char model[128];

    cpu_model(model, sizeof(model));
    if (uname(&u) != 0)
        bench_fail("uname");
    return json_pack("{s:I, s:s, s:s+++, s:s, s:f}", "cores",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "cpu", model,
                     "kernel", u.sysname, " ", u.release, "", "redis", m->redis,
                     "load", m->load);
}

static json_t *spread_json(struct spread s)
{
    return json_pack("{s:f, s:f, s:f}", "min", s.min, "median", s.median, "max",
                     s.max);
}

static json_t *list_json(const double *values, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_real(values[i]));
    return list;
}

static json_t *goal_json(const struct series *s)
{
    const char *of = s->figure.goal == GOAL_VALUE_MAX ? "value" : "ratio";
    const char *bound =
        s->figure.goal == GOAL_RATIO_MIN ? "at_least" : "at_most";

    return json_pack("{s:s, s:f, s:b}", "of", of, bound, s->figure.limit, "met",
                     series_meets_goal(s));
}

static json_t *series_json(const struct series *s)
{
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:o}", "name", s->figure.name, "unit",
                  s->figure.unit, "value", spread_json(series_values(s)),
                  "values", list_json(s->values, s->count));

    if (s->figure.against != NULL) {
        json_object_set_new(o, "against", json_string(s->figure.against));
        json_object_set_new(o, "ratio", spread_json(series_ratios(s)));
        json_object_set_new(o, "references",
                            list_json(s->references, s->count));
    }
    if (s->figure.goal != GOAL_NONE)
        json_object_set_new(o, "goal", goal_json(s));
    return o;
}

/* Figures of a section stand together, in the order in which they came. */
static json_t *sections_json(void)
{
    json_t *sections = json_array(), *figures = NULL;
    const struct section *last = NULL;
    const struct series *s;

    for (size_t i = 0; (s = figures_get(i)) != NULL; i++) {
        if (s->section != last) {
            last = s->section;
            figures = json_array();
            json_array_append_new(
                sections, json_pack("{s:s, s:s, s:o}", "name", last->name,
                                    "about", last->about, "figures", figures));
        }
        json_array_append_new(figures, series_json(s));
    }
    return sections;
}

int report_json(FILE *out, const struct bench *b, const struct machine *m,
                unsigned rounds)
{
    char now[25];

    clock_format(clock_wall_ms(), now);
    json_t *o = json_pack("{s:s, s:s, s:i, s:b, s:b, s:I, s:o, s:o}", "belt",
                          BELT_VERSION, "ended_at", now, "rounds", (int)rounds,
                          "quick", b->quick, "smoke", b->smoke, "jobs",
                          (json_int_t)b->jobs_wanted, "machine",
                          machine_json(m), "sections", sections_json());
    if (o == NULL)
        bench_fail("the figures make no JSON");
    int rc = json_dumpf(o, out, JSON_INDENT(1));
    json_decref(o);
    return rc;
}
