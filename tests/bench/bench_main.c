/*
 * bench: runs sections and reports what they measured. tests/bench/run builds
 * and calls it.
 *
 * Thread: main.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/text.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_figure.h"
#include "tests/bench/bench_report.h"

#define DECLARE(name) extern const struct section section_##name;
BENCH_SECTIONS(DECLARE)
#undef DECLARE

static const struct section *const sections[] = {
#define ROW(name) &section_##name,
    BENCH_SECTIONS(ROW)
#undef ROW
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

enum {
    ROUNDS = 5,
    SMOKE_JOBS = 60,
    SMOKE_TIMES = 3,
    NUMBER_MAX = 99999999 /* that many envelopes are distinct */
};

struct plan {
    struct bench bench;
    unsigned rounds;
    const char *json_path; /* NULL: none */
    FILE *json;            /* open from the start, as the path may be wrong */
    bool list, chosen[SECTIONS], some_chosen;
};

static pid_t main_pid;

void bench_fail(const char *fmt, ...)
{
    va_list ap;

    fputs("bench: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (getpid() != main_pid)
        _exit(1); /* a fork: what there is to stop is not its own */
    exit(1);
}

int64_t bench_jobs(const struct bench *b, int64_t n)
{
    if (b->jobs_wanted > 0)
        return b->jobs_wanted;
    return b->smoke && n > SMOKE_JOBS ? SMOKE_JOBS : n;
}

int bench_times(const struct bench *b, int n)
{
    return b->smoke && n > SMOKE_TIMES ? SMOKE_TIMES : n;
}

void bench_pair(const struct bench *b, void (*reference)(void *arg),
                void (*belt)(void *arg), void *arg)
{
    bool reference_first = b->round % 2 == 0;

    if (reference_first)
        reference(arg);
    belt(arg);
    if (!reference_first)
        reference(arg);
}

__attribute__((noreturn)) static void usage(const char *why)
{
    fprintf(stderr,
            "bench: %s\nUsage: bench [--rounds N] [--jobs N] [--json FILE] "
            "[--list] [--quick] [--smoke] [SECTION...]\n",
            why);
    exit(EX_USAGE);
}

static int64_t number(const char *text, const char *what)
{
    struct errbuf eb;
    int64_t n;

    if (text_parse_int(text, 1, NUMBER_MAX, what, &n, &eb) != 0)
        usage(eb.text);
    return n;
}

static void choose(struct plan *p, const char *name)
{
    char why[128];

    for (int i = 0; i < SECTIONS; i++)
        if (strcmp(sections[i]->name, name) == 0) {
            p->chosen[i] = p->some_chosen = true;
            return;
        }
    snprintf(why, sizeof(why), "no such section: %s (see --list)", name);
    usage(why);
}

static void read_options(struct plan *p, int argc, char **argv)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},
        {"jobs", required_argument, NULL, 'j'},
        {"json", required_argument, NULL, 'o'},
        {"list", no_argument, NULL, 'l'},
        {"quick", no_argument, NULL, 'q'},
        {"smoke", no_argument, NULL, 's'},
        {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (c) {
        case 'r':
            p->rounds = (unsigned)number(optarg, "rounds");
            break;
        case 'j':
            p->bench.jobs_wanted = number(optarg, "jobs");
            break;
        case 'o':
            p->json_path = optarg;
            break;
        case 'l':
            p->list = true;
            break;
        case 'q':
            p->bench.quick = true;
            break;
        case 's':
            p->bench.smoke = true;
            p->rounds = 1;
            break;
        default:
            usage("not understood");
        }
    for (; optind < argc; optind++)
        choose(p, argv[optind]);
}

static void list_sections(void)
{
    for (int i = 0; i < SECTIONS; i++)
        printf("%-12s %s%s\n", sections[i]->name, sections[i]->about,
               sections[i]->when_named ? " (only when named)" : "");
}

static void open_json(struct plan *p)
{
    p->json = fopen(p->json_path, "we");
    if (p->json == NULL)
        bench_fail("cannot write %s: %s", p->json_path, strerror(errno));
}

static void close_json(struct plan *p, const struct machine *m)
{
    if (report_json(p->json, &p->bench, m, p->rounds) != 0 ||
        fclose(p->json) != 0)
        bench_fail("cannot write %s: %s", p->json_path, strerror(errno));
}

static void run_section(struct plan *p, const struct section *s,
                        struct machine *m)
{
    struct bench *b = &p->bench;
    unsigned rounds = s->once ? 1 : p->rounds;

    figures_begin(s);
    b->redis = redis_start(NULL);
    b->round = 0;
    if (m->redis[0] == '\0')
        report_machine(m, b->redis);
    if (s->setup != NULL)
        s->setup(b);
    for (; b->round < rounds; b->round++) {
        fprintf(stderr, "%s: round %u of %u\n", s->name, b->round + 1, rounds);
        bench_empty(b);
        s->round(b);
    }
    redis_stop(b->redis);
    figures_check(s, rounds);
    report_section(s);
}

int main(int argc, char **argv)
{
    struct plan p = {.rounds = ROUNDS};
    struct machine m = {.redis = ""};

    main_pid = getpid();
    read_options(&p, argc, argv);
    if (p.list) {
        list_sections();
        return 0;
    }
    if (p.json_path != NULL)
        open_json(&p);
    (void)signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SECTIONS; i++)
        if (p.some_chosen ? p.chosen[i] : !sections[i]->when_named)
            run_section(&p, sections[i], &m);
    if (p.json != NULL)
        close_json(&p, &m);
    figures_done();
    return 0;
}
