/*
 * Claims about every cut: whichever command of a worker the connection is lost
 * at, before it reaches Redis, after it ran, in the middle of its reply, or so
 * that it runs only after the worker went on without it: every job is settled
 * exactly once and runs exactly once. (A worker that is killed runs its jobs
 * again elsewhere; at most once, they are lost.)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/sweep.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

/* ---- while a worker starts ---- */

static void jobs_wait(struct pair *p)
{
    sweep_push(p, "quick", 3);
}

#define EARLY(what)                                                            \
    {                                                                          \
        .command = (what), .name = (what), .early = true, .prepare = jobs_wait \
    }
static const struct scene ping = EARLY("PING");
static const struct scene setname = EARLY("CLIENT|SETNAME");
static const struct scene client_id = EARLY("CLIENT|ID");
static const struct scene script_load = EARLY("SCRIPT|LOAD");
static const struct scene registers = EARLY("register");
static const struct scene sadd = EARLY("SADD");

/* ---- looking around ---- */

static const struct scene hgetall = EARLY("HGETALL");
static const struct scene zrandmember = EARLY("ZRANDMEMBER");

/* An id that was ended lately, at whose list the worker looks. */
static void a_lane_left(struct pair *p)
{
    struct worker *w = sweep_worker(p, "sweep", true);
    assert_true(worker_is_up(w, 1));
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, SWEEP_MS), 0);
    worker_free(w);
    sweep_push(p, "quick", 3);
}
static const struct scene exists = {.command = "EXISTS",
                                    .name = "EXISTS",
                                    .early = true,
                                    .prepare = a_lane_left};

/* A worker was killed while it held jobs. */
static void kill_a_worker(struct pair *p, const char *host)
{
    sweep_push(p, "waits", 2);
    struct worker *w = sweep_worker(p, host, true);
    sweep_wait_runs(p, 2);
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, SWEEP_MS), -SIGKILL);
    worker_free(w);
    sweep_push(p, "quick", 2);
}
static void a_worker_elsewhere_was_killed(struct pair *p)
{
    kill_a_worker(p, "elsewhere");
}
static void a_neighbour_was_killed(struct pair *p)
{
    kill_a_worker(p, "sweep");
}
static const struct scene reap_expired = {.command = "reap",
                                          .name = "reap (expired)",
                                          .early = true,
                                          .prepare =
                                              a_worker_elsewhere_was_killed,
                                          .repeats = 2};
static const struct scene reap_gone = {.command = "reap",
                                       .name = "reap (gone)",
                                       .early = true,
                                       .prepare = a_neighbour_was_killed,
                                       .repeats = 2};

static void jobs_come(struct pair *p)
{
    sweep_push(p, "quick", 4);
}
static const struct scene renew = {
    .command = "renew", .name = "renew", .provoke = jobs_come, .fenced = true};

/* It holds running jobs; then its connections are cut, and once more. */
static void jobs_run(struct pair *p)
{
    sweep_push(p, "waits", 2);
    sweep_wait_runs(p, 2);
}
static void connections_drop(struct pair *p)
{
    proxy_do(p->sweep->proxy, "drop %u", p->link);
    sweep_push(p, "quick", 3);
}
static const struct scene rebind = {.command = "rebind",
                                    .name = "rebind",
                                    .prepare = jobs_run,
                                    .provoke = connections_drop};

/* ---- working ---- */

static void failing_jobs_come(struct pair *p)
{
    sweep_push(p, "fails", 3);
}
static void dying_jobs_come(struct pair *p)
{
    sweep_push(p, "dies", 3);
}
static const struct scene fetch = {
    .command = "fetch", .name = "fetch", .provoke = jobs_come, .fenced = true};
static const struct scene stamp = {.command = "stamp",
                                   .again = true,
                                   .name = "stamp",
                                   .provoke = jobs_come,
                                   .flag = "--fence",
                                   .fenced = true};
static const struct scene settle_done = {.command = "settle",
                                         .again = true,
                                         .name = "settle (done)",
                                         .provoke = jobs_come,
                                         .fenced = true};
static const struct scene settle_retry = {.command = "settle",
                                          .again = true,
                                          .name = "settle (retry)",
                                          .provoke = failing_jobs_come,
                                          .fenced = true};
static const struct scene settle_dead = {.command = "settle",
                                         .again = true,
                                         .name = "settle (dead)",
                                         .provoke = dying_jobs_come,
                                         .fenced = true};
static const struct scene promote = {
    .command = "promote", .name = "promote", .provoke = failing_jobs_come};

/* ---- waiting and stopping ---- */

/* The one that is out comes back with a job; the next one meets the rule. */
static void a_job_comes_and_others(struct pair *p)
{
    const char *command = p->scene->command;
    struct proxy *proxy = p->sweep->proxy;
    int64_t seen = proxy_ask(proxy, "seen %s %u", command, p->link);
    sweep_push(p, "quick", 1);
    if (strcmp(p->point, "after") == 0 || strcmp(p->point, "middle") == 0)
        sweep_wait_seen(p, command, seen + 1);
    sweep_push(p, "quick", 2);
}

/* More than it may hold: what runs late takes one of those that wait. */
static void it_is_full_and_jobs_wait(struct pair *p)
{
    sweep_push(p, "waits", 32);
    sweep_wait_runs(p, 3 + 2);
}
static const struct scene blmove = {.command = "BLMOVE",
                                    .name = "BLMOVE",
                                    .provoke = a_job_comes_and_others,
                                    .before_late = it_is_full_and_jobs_wait,
                                    .flag = "--max-window=4",
                                    .strands = true};

static void jobs_were_run(struct pair *p)
{
    sweep_push(p, "quick", 3);
    sweep_wait_runs(p, 3);
}
#define AT_THE_END(what, is_fenced)                                            \
    {                                                                          \
        .command = (what), .name = (what), .prepare = jobs_were_run,           \
        .provoke = sweep_stop, .fenced = (is_fenced)                           \
    }
static const struct scene unblock = AT_THE_END("CLIENT|UNBLOCK", false);
static const struct scene leave = AT_THE_END("leave", true);
static const struct scene del = AT_THE_END("DEL", false);
static const struct scene zrem = AT_THE_END("ZREM", false);

/* Very short jobs open the window; then it takes more than it can run. */
static void short_jobs_were_run(struct pair *p)
{
    sweep_push(p, "noop", 30);
    sweep_wait_rest(p);
}
static void long_jobs_come(struct pair *p)
{
    sweep_push(p, "waits", 10);
    sweep_wait_runs(p, 2);
    sweep_stop(p);
}
static const struct scene release = {.command = "release",
                                     .name = "release",
                                     .prepare = short_jobs_were_run,
                                     .provoke = long_jobs_come,
                                     .leaves_jobs = true,
                                     .fenced = true};

/* ---- at most once ---- */

static const struct scene lpop = {.command = "LPOP",
                                  .again = true,
                                  .name = "LPOP",
                                  .provoke = jobs_come,
                                  .at_most_once = true};
static const struct scene blpop = {.command = "BLPOP",
                                   .name = "BLPOP",
                                   .provoke = a_job_comes_and_others,
                                   .at_most_once = true};
static const struct scene settle_once = {.command = "settle",
                                         .again = true,
                                         .name = "settle (at most once)",
                                         .provoke = jobs_come,
                                         .at_most_once = true,
                                         .fenced = true};

/* Without an active list, jobs are given back to the head, by LPUSH. */
static const struct scene give_back_once = {.command = "LPUSH",
                                            .name = "LPUSH (at most once)",
                                            .prepare = short_jobs_were_run,
                                            .provoke = long_jobs_come,
                                            .at_most_once = true,
                                            .leaves_jobs = true};

/* ---- claims ---- */

static struct sweep current;

static bool is_long(void)
{
    return getenv("BELT_TEST_LONG") != NULL;
}

static void sweep(const struct scene *const *scenes, unsigned count)
{
    for (unsigned nth = 1; nth <= (is_long() ? 5 : 1); nth++) {
        sweep_begin(&current, scenes, count, nth);
        if (current.count > 0) {
            sweep_run(&current);
            assert_int_equal(sweep_audit(&current), 0);
        }
        sweep_end(&current);
    }
}

/*
 * The first connection fails twice while the second one is up: the lane waits
 * for the first and still knows who the second one is.
 */
static void a_connection_that_stays_up_is_not_forgotten(void **state)
{
    enum { ROUNDS = 8 };
    const struct scene *const one[] = {&ping};
    (void)state;
    sweep_begin(&current, one, 1, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pair *p = &current.pairs[i];
        proxy_do(current.proxy, "cut %u before PING 1", p->link);
        proxy_do(current.proxy, "cut %u before PING 3", p->link);
        p->worker = sweep_worker(p, "sweep", false);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        assert_true(worker_is_up(current.pairs[i].worker, 1));
    assert_int_equal(proxy_ask(current.proxy, "fired"), 2 * ROUNDS);
}

/*
 * A worker comes, runs three jobs and ends: each byte of each reply that it
 * got is the last one in turn.
 */
static const struct scene session = {.command = "*",
                                     .name = "a session",
                                     .early = true,
                                     .prepare = jobs_wait,
                                     .flag = "--burst"};

/* Cuts at offsets from first on. Returns how many were within the reply. */
static unsigned cut_sessions(unsigned nth, unsigned first)
{
    unsigned fired = 0;
    sweep_begin_bytes(&current, &session, nth, first);
    sweep_run_sessions(&current);
    assert_int_equal(sweep_audit(&current), 0);
    for (unsigned i = 0; i < current.count; i++)
        fired += sweep_has_fired(&current.pairs[i]);
    sweep_end(&current);
    return fired;
}

static void every_byte_of_a_session_may_be_the_last(void **state)
{
    unsigned nth = 0, cuts = 0, last = 1;
    (void)state;
    if (!is_long())
        skip();
    while (last > 0) {
        unsigned first = 0, n;
        nth++;
        last = 0;
        do {
            n = cut_sessions(nth, first);
            first += PAIRS_MAX / 2;
            last += n;
        } while (n == PAIRS_MAX);
        cuts += last;
    }
    print_message("%u cuts in %u replies\n", cuts, nth - 1);
    assert_true(cuts > 500);
}

/* However the test went. */
static int end(void **state)
{
    (void)state;
    sweep_end(&current);
    return 0;
}

#define SWEEP(...)                                                             \
    do {                                                                       \
        const struct scene *const list[] = {__VA_ARGS__};                      \
        sweep(list, sizeof(list) / sizeof(list[0]));                           \
    } while (0)

static void a_worker_starts_whatever_is_cut(void **state)
{
    (void)state;
    SWEEP(&ping, &setname, &client_id, &script_load, &registers, &sadd);
}

static void looking_around_harms_nothing(void **state)
{
    (void)state;
    SWEEP(&hgetall, &zrandmember, &exists, &renew, &rebind);
}

static void no_cut_loses_or_doubles_a_job(void **state)
{
    (void)state;
    SWEEP(&fetch, &stamp, &settle_done, &settle_retry, &settle_dead, &promote);
}

static void nor_while_waiting_or_stopping(void **state)
{
    (void)state;
    SWEEP(&blmove, &unblock, &release, &leave, &del, &zrem);
}

static void the_jobs_of_the_dead_are_given_back_once(void **state)
{
    (void)state;
    SWEEP(&reap_expired, &reap_gone);
}

static void at_most_once_is_not_twice(void **state)
{
    (void)state;
    SWEEP(&lpop, &blpop, &settle_once, &give_back_once);
}

/* it_sweep [NAME]: all claims, or those that are named so; * is any text. */
int main(int argc, char **argv)
{
#define CLAIM(f) cmocka_unit_test_teardown(f, end)
    const struct CMUnitTest tests[] = {
        CLAIM(a_worker_starts_whatever_is_cut),
        CLAIM(a_connection_that_stays_up_is_not_forgotten),
        CLAIM(looking_around_harms_nothing),
        CLAIM(no_cut_loses_or_doubles_a_job),
        CLAIM(nor_while_waiting_or_stopping),
        CLAIM(the_jobs_of_the_dead_are_given_back_once),
        CLAIM(at_most_once_is_not_twice),
        CLAIM(every_byte_of_a_session_may_be_the_last),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
