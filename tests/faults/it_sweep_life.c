/*
 * Claims about cuts and deaths at the step that ends a job: what follows it
 * comes once, and only then, and its lock goes with it and not before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/faults/journal_read.h"
#include "tests/faults/sweep.h"
#include "tests/unit/unit.h"

enum { JOBS = 2 };

static struct sweep current;

static void chains_come(struct pair *p)
{
    sweep_push(p, "chain", JOBS);
}
static void locked_jobs_come(struct pair *p)
{
    sweep_push(p, "locked", JOBS);
}

#define SETTLE(what, jobs)                                                     \
    .command = "settle", .name = (what), .again = true, .provoke = (jobs)
static const struct scene chain = {SETTLE("then", chains_come), .fenced = true};
static const struct scene chain_killed = {SETTLE("then, killed", chains_come),
                                          .killed = true, .repeats = 3 * JOBS};
static const struct scene lock = {SETTLE("lock", locked_jobs_come),
                                  .fenced = true};
static const struct scene lock_killed = {
    SETTLE("lock, killed", locked_jobs_come), .killed = true, .repeats = JOBS};

/* ---- locks ---- */

static bool begins(struct text t, const char *with)
{
    return t.len >= strlen(with) && memcmp(t.p, with, strlen(with)) == 0;
}

static bool names_key(const struct command *c, const char *verb,
                      const char *prefix)
{
    return c->count > 1 && text_named(c->words[0], verb) &&
           begins(c->words[1], prefix);
}

static unsigned count(const struct transaction *t, const char *verb,
                      const char *prefix)
{
    unsigned n = 0;
    for (size_t i = 0; i < t->count; i++)
        n += names_key(&t->commands[i], verb, prefix);
    return n;
}

/*
 * Every lock that was taken was let go, once, in a transaction that took a job
 * off an active list; none is left. (LTRIM takes several with one command.)
 */
static unsigned check_locks(const struct pair *p)
{
    char *locks = mem_printf("belt:{%s}:unique:", p->queue);
    char *active = mem_printf("belt:{%s}:active:", p->queue);
    unsigned taken = 0, ended = 0, alone = 0;
    struct journal_files *f = read_open(redis_dir(p->sweep->redis));
    const struct transaction *t;
    while ((t = read_next(f)) != NULL) {
        unsigned n = count(t, "DEL", locks);
        taken += count(t, "SET", locks);
        ended += n;
        if (n > 0 && count(t, "LTRIM", active) + count(t, "LREM", active) == 0)
            alone += n;
    }
    read_close(f);
    free(locks);
    free(active);
    if (taken == ended && alone == 0)
        return 0;
    (void)fprintf(stderr, "%s: %u locks taken, %u let go, %u without a job\n",
                  p->queue, taken, ended, alone);
    return 1;
}

/* ---- claims ---- */

/* At the first such call and the second; BELT_TEST_LONG=1: up to the fifth. */
static void a_chain_and_a_lock_end_once_whatever_is_cut(void **state)
{
    const struct scene *const scenes[] = {&chain, &lock, &chain_killed,
                                          &lock_killed};
    unsigned most = getenv("BELT_TEST_LONG") != NULL ? 5 : 2;
    (void)state;
    for (unsigned nth = 1; nth <= most; nth++) {
        unsigned bad = 0;
        sweep_begin(&current, scenes, sizeof(scenes) / sizeof(scenes[0]), nth);
        sweep_run(&current);
        for (unsigned i = 0; i < current.count; i++)
            bad += check_locks(&current.pairs[i]);
        assert_int_equal(bad + sweep_audit(&current), 0);
        sweep_end(&current);
    }
}

/* However the test went. */
static int end(void **state)
{
    (void)state;
    sweep_end(&current);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_chain_and_a_lock_end_once_whatever_is_cut,
                                  end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
