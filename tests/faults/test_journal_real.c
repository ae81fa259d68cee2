/*
 * Claims about the accountant on what real workers do to a real Redis: with
 * lost connections, a death, a drain and all kinds of ends it finds nothing
 * wrong, and its books are those of Redis.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/journal.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"
#include "tests/unit/unit.h"

enum {
    JOBS = 2000,
    EQUAL = 200,
    LATE = 20,
    INVALID = 3,
    ALL = JOBS + EQUAL + LATE + INVALID,
    PATIENCE_MS = 60 * 1000
};

static int setup(void **state)
{
    *state = redis_start(&(struct redis_opts){
        .appendonly = true,
        .conf = "auto-aof-rewrite-percentage 0\naof-timestamp-enabled yes"});
    return 0;
}

static int teardown(void **state)
{
    redis_stop(*state);
    return 0;
}

static struct worker *start(struct redis *r, const char *host, const char *more)
{
    char drop[256];
    (void)snprintf(drop, sizeof(drop), "drop=exec:%s",
                   script_file(r, "drop", "#!/bin/sh\nexit 99\n"));
    struct worker *w = worker_start(
        r, host,
        (const char *[]){"-q", "q", "--lease", "3s", "--threads", "4",
                         "--handler", "slow=builtin:sleep 10ms", "--handler",
                         "fails=builtin:fail", "--handler", drop, "--handler",
                         more, NULL});
    assert_true(worker_is_up(w, 1));
    return w;
}

/* ---- jobs of all kinds ---- */

static void push(struct redis *r)
{
    static const char *const types[] = {"slow", "slow", "slow", "fails",
                                        "slow", "slow", "slow", "drop"};
    for (unsigned i = 1; i <= JOBS; i++) {
        const char *type = types[i % 8];
        char id[32] = "";
        if (i % 3 == 0) /* the others are stamped */
            (void)snprintf(id, sizeof(id), "\"id\":\"own-%u\",", i);
        char job[256];
        (void)snprintf(job, sizeof(job),
                       "{%s\"type\":\"%s\",\"max_attempts\":2,\"backoff\":[20],"
                       "\"payload\":{\"n\":%u,\"x\":1e400}}",
                       id, type, i);
        redis_do(r, "RPUSH belt:{q} %s", job);
    }
    for (unsigned i = 0; i < EQUAL; i++)
        redis_do(r, "RPUSH belt:{q} %s",
                 "{ \"type\":\"slow\",\"payload\":{\"n\":0}}");
    for (unsigned i = 1; i <= LATE; i++)
        redis_do(r, "RPUSH belt:{q} {\"type\":\"late\",\"payload\":{\"n\":%u}}",
                 JOBS + i);
    redis_do(r, "RPUSH belt:{q} %s %s %b", "no json", "{\"type\":7}", "a\0b",
             (size_t)3);
}

struct goal {
    struct redis *r;
    const char *field;
    long long n;
};

static bool is_reached(void *arg)
{
    struct goal *g = arg;
    return queue_stat(g->r, "q", g->field) >= g->n;
}

static void wait_for(struct redis *r, const char *field, long long n)
{
    struct goal g = {r, field, n};
    if (!wait_until(is_reached, &g, PATIENCE_MS))
        fail_msg("%s stays below %lld", field, n);
}

struct said {
    struct worker *w;
    const char *text;
};

static bool is_said(void *arg)
{
    struct said *s = arg;
    return worker_said(s->w, s->text);
}

static void wait_for_said(struct worker *w, const char *text)
{
    struct said s = {w, text};
    if (!wait_until(is_said, &s, PATIENCE_MS))
        fail_msg("not said: %s", text);
}

/* ---- books ---- */

/* The journal, whole, of a server that goes on; returns owned. */
static struct journal *replay(struct redis *r)
{
    redis_shutdown(r); /* writes out what it has answered */
    struct journal *j = journal_replay(redis_dir(r), "q", 0, stderr);
    assert_int_equal(journal_breach_count(j), 0);
    redis_restart(r);
    return j;
}

static void compare(struct redis *r, const struct journal *j)
{
    struct moves m = journal_moves(j);
    const struct {
        const char *field;
        uint64_t moved;
    } books[] = {{"done", m.done},         {"discarded", m.discarded},
                 {"retried", m.retried},   {"put_off", m.put_off},
                 {"dead", m.dead},         {"invalid", m.invalid},
                 {"released", m.released}, {"reaped", m.reaped},
                 {"promoted", m.promoted}, {"straggled", m.straggled}};
    for (size_t i = 0; i < sizeof(books) / sizeof(books[0]); i++) {
        long long stat = queue_stat(r, "q", books[i].field);
        print_message("%s %lld\n", books[i].field, stat);
        assert_int_equal(journal_stat(j, books[i].field), stat);
        assert_int_equal(books[i].moved, stat);
    }
    print_message("rebound %" PRIu64 "\n", m.rebound);
    assert_int_equal(m.pushed, ALL);
    assert_int_equal(m.done + m.discarded + m.dead + m.invalid, ALL);
    assert_int_equal(m.fetched, ALL + m.retried + m.put_off + m.released +
                                    m.reaped + m.straggled);
}

static void each_job_has_its_history(const struct journal *j)
{
    static bool seen[JOBS + LATE + 1];
    unsigned equal = 0, without_id = 0;
    memset(seen, 0, sizeof(seen));
    for (size_t i = 0; i < journal_jobs(j); i++) {
        const struct job_history *h = journal_job(j, i);
        const struct moves *m = &h->moves;
        assert_true(h->settled);
        assert_int_equal(m->done + m->discarded + m->dead + m->invalid, 1);
        assert_int_equal(m->pushed, 1);
        assert_true(h->first_fence <= h->last_fence);
        equal += h->serial == 0 && h->id[0] != '\0';
        without_id += h->id[0] == '\0';
        if (h->serial != 0) {
            assert_in_range(h->serial, 1, JOBS + LATE);
            assert_false(seen[h->serial]);
            seen[h->serial] = true;
        }
    }
    assert_int_equal(journal_jobs(j), ALL);
    /* {"type":7} was stamped before it was found to be no envelope. */
    assert_int_equal(equal, EQUAL + 1);
    assert_int_equal(without_id, INVALID - 1);
}

static void what_workers_do_is_right(void **state)
{
    struct redis *r = *state;
    struct worker *a = start(r, "a", "x=builtin:noop");
    struct worker *b = start(r, "b", "x=builtin:noop");
    struct worker *c = start(r, "c", "x=builtin:noop");
    push(r);
    wait_for(r, "done", 200);
    redis_do(r, "CLIENT KILL TYPE normal SKIPME yes");
    wait_for(r, "done", 500);
    worker_signal(b, SIGKILL);
    wait_for(r, "done", 800);
    worker_signal(c, SIGTERM);
    assert_int_equal(worker_wait(c, PATIENCE_MS), 0);
    wait_for(r, "put_off", LATE);
    wait_for(r, "reaped", 1);
    struct worker *d = start(r, "d", "late=builtin:noop");
    worker_free(a); /* would put the late ones off for longer and longer */
    assert_true(queue_at_rest(r, "q", PATIENCE_MS));
    worker_signal(d, SIGTERM);
    assert_int_equal(worker_wait(d, PATIENCE_MS), 0);

    struct journal *j = replay(r);
    assert_int_equal(journal_left(j), 0);
    compare(r, j);
    each_job_has_its_history(j);
    assert_true(journal_moves(j).rebound > 0);
    assert_true(journal_moves(j).released > 0);
    journal_free(j);
    worker_free(b);
    worker_free(c);
    worker_free(d);
}

static void at_most_once_is_popped(void **state)
{
    struct redis *r = *state;
    push(r);
    struct worker *w = worker_start(
        r, "a",
        (const char *[]){"-q", "q", "--delivery", "at-most-once", "--threads",
                         "4", "--handler", "slow=builtin:sleep 1ms",
                         "--handler", "fails=builtin:fail", "--handler",
                         "drop=builtin:noop", "--handler", "late=builtin:noop",
                         NULL});
    wait_for(r, "done", 300);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    struct journal *j = replay(r);
    struct moves m = journal_moves(j);
    assert_true(m.popped >= 300);
    assert_int_equal(m.fetched, 0);
    assert_int_equal(m.done, queue_stat(r, "q", "done"));
    assert_int_equal(journal_left(j), redis_int(r, "LLEN belt:{q}") +
                                          redis_int(r, "ZCARD belt:{q}:retry"));
    journal_free(j);
    worker_free(w);
}

/* Puts a text where the workers want a set, a hash and a number. */
static void plant(struct redis *r)
{
    redis_do(r, "EVAL %s 3 belt:{q}:stats belt:{q}:retry belt:{q}:fence",
             "for _, key in ipairs(KEYS) do\n"
             "  if redis.call('EXISTS', key) == 1 then\n"
             "    redis.call('RENAME', key, key .. '-aside')\n"
             "  end\n"
             "  redis.call('SET', key, 'x')\n"
             "end\n");
}

static void heal(struct redis *r)
{
    redis_do(r, "EVAL %s 2 belt:{q}:stats belt:{q}:retry",
             "for _, key in ipairs(KEYS) do\n"
             "  redis.call('DEL', key)\n"
             "  if redis.call('EXISTS', key .. '-aside') == 1 then\n"
             "    redis.call('RENAME', key .. '-aside', key)\n"
             "  end\n"
             "end\n");
}

static void scripts_that_stop_half_way_may_double(void **state)
{
    struct redis *r = *state;
    struct worker *w = start(r, "a", "late=builtin:noop");
    push(r);
    wait_for(r, "retried", 10);
    plant(r);
    wait_for_said(w, "WRONGTYPE");
    heal(r);
    assert_true(queue_at_rest(r, "q", PATIENCE_MS));
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    redis_shutdown(r);
    struct journal *j =
        journal_replay(redis_dir(r), "q", JOURNAL_TWICE, stderr);
    assert_int_equal(journal_breach_count(j), 0);
    assert_int_equal(journal_left(j), 0);
    assert_int_equal(journal_jobs(j), ALL);
    for (size_t i = 0; i < journal_jobs(j); i++)
        assert_true(journal_job(j, i)->settled);
    journal_free(j);
    worker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_workers_do_is_right, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(at_most_once_is_popped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(scripts_that_stop_half_way_may_double,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
