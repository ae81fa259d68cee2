/*
 * The program of battles; tests/faults/run builds and starts it.
 *
 * Thread: main only.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/text.h"
#include "tests/faults/battle.h"

struct wish {
    const char *name, *keep;
    int64_t seed, jobs, minutes; /* 0: not said */
    bool brief, quiet;
};

static int usage(FILE *out)
{
    const struct scenario *s;
    (void)fprintf(out, "Usage: battle NAME|all [--seed N] [--jobs N] [--short] "
                       "[--minutes N | --hours N] [--quiet] "
                       "[--keep DIR]\n\n");
    for (unsigned i = 0; (s = scenario_at(i)) != NULL; i++)
        (void)fprintf(out, "  %-17s %6u jobs  %s\n", s->name, s->jobs, s->what);
    return out == stdout ? 0 : EX_USAGE;
}

/*
 * In a process of its own, so that a battle that cannot go on does not end a
 * long run. Returns whether a promise was broken.
 */
static bool fight(const struct scenario *s, const struct wish *w, int64_t seed)
{
    unsigned jobs = w->brief ? s->short_jobs : s->jobs;
    int status = 0;
    printf("# %s --seed %" PRId64 ": %s\n", s->name, seed, s->what);
    (void)fflush(stdout);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        exit(battle_run(s, (uint64_t)seed,
                        w->jobs > 0 ? (unsigned)w->jobs : jobs, w->quiet,
                        w->keep) > 0);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return child < 0 || status != 0;
}

/* One scenario or all, again with other seeds while there is time. */
static int fight_all(const struct wish *w)
{
    int64_t end_ms = clock_ms() + w->minutes * 60000;
    unsigned lost = 0;
    int64_t seed = w->seed > 0 ? w->seed : clock_wall_ms() % 1000000;
    do {
        const struct scenario *s;
        for (unsigned i = 0; (s = scenario_at(i)) != NULL; i++) {
            if (strcmp(w->name, "all") == 0 || strcmp(w->name, s->name) == 0)
                lost += fight(s, w, seed);
        }
        seed++;
    } while (clock_ms() < end_ms);
    if (lost > 0)
        printf("%u battles in which a promise was broken\n", lost);
    return lost > 0 ? EXIT_FAILURE : 0;
}

static int64_t number(const char *flag, const char *text)
{
    struct errbuf eb;
    int64_t n = 0;
    if (text == NULL)
        (void)errbuf_set(&eb, ERR_INVALID, "%s: needs a number", flag);
    else if (text_parse_int(text, 1, INT32_MAX, flag, &n, &eb) == 0)
        return n;
    (void)fprintf(stderr, "battle: %s\n", eb.text);
    exit(EX_USAGE);
}

int main(int argc, char **argv)
{
    struct wish w = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* with tests/faults/run */
    (void)signal(SIGINT, SIG_DFL);  /* ignored for what a script starts */
    (void)signal(SIGPIPE, SIG_IGN); /* a Redis that was killed */
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0)
            w.seed = number("--seed", argv[++i]);
        else if (strcmp(argv[i], "--jobs") == 0)
            w.jobs = number("--jobs", argv[++i]);
        else if (strcmp(argv[i], "--minutes") == 0)
            w.minutes = number("--minutes", argv[++i]);
        else if (strcmp(argv[i], "--hours") == 0)
            w.minutes = 60 * number("--hours", argv[++i]);
        else if (strcmp(argv[i], "--keep") == 0 && i + 1 < argc)
            w.keep = argv[++i];
        else if (strcmp(argv[i], "--short") == 0)
            w.brief = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            w.quiet = true;
        else if (strcmp(argv[i], "--list") == 0)
            return usage(stdout);
        else if (argv[i][0] != '-' && w.name == NULL)
            w.name = argv[i];
        else
            return usage(stderr);
    }
    if (w.name == NULL)
        return usage(stderr);
    if (strcmp(w.name, "all") != 0 && scenario_find(w.name) == NULL) {
        (void)fprintf(stderr,
                      "battle: no scenario is called \"%s\"; see --list\n",
                      w.name);
        return EX_USAGE;
    }
    return fight_all(&w);
}
