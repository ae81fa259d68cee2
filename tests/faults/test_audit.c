/*
 * Claims about the audit of a battle: each of its books is read. Somebody
 * changes one of them when all is done, and a breach must come of it. And
 * about a strike that comes when all is done.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/faults/scenarios.h"
#include "tests/unit/unit.h"

enum { JOBS = 60 };

static const struct kind kinds[] = {{"ok", 80}, {"fail:1", 20}, {NULL, 0}};

static unsigned breaches_after(void (*tamper)(struct battle *))
{
    const struct scenario s = {.name = "audit",
                               .workers = 2,
                               .kinds = kinds,
                               .no_reruns = true,
                               .judge = tamper};
    return battle_run(&s, 1, JOBS, true, NULL);
}

static void sql(const struct battle *b, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(b->store, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    (void)sqlite3_close(db);
}

/* Writes all runs but the last again, or all and one more. */
static void rewrite(const struct battle *b, int more, const struct run *extra)
{
    size_t n;
    struct run *runs = record_read(b->record, &n);
    assert_int_equal(unlink(b->record), 0);
    for (size_t i = 0; i < n - (more < 0); i++) {
        record_start(b->record, &runs[i]);
        record_end(b->record, &runs[i]);
    }
    if (more > 0) {
        record_start(b->record, extra);
        record_end(b->record, extra);
    }
    free(runs);
}

static void no_run_of_one(struct battle *b)
{
    rewrite(b, -1, NULL);
}

static struct run last_run(const struct battle *b)
{
    size_t n;
    struct run *runs = record_read(b->record, &n);
    struct run last = runs[n - 1];
    free(runs);
    return last;
}

static void one_token_twice(struct battle *b)
{
    struct run again = last_run(b);
    rewrite(b, 1, &again);
}

static void one_run_too_many(struct battle *b)
{
    struct run again = last_run(b);
    again.fence += 1000;
    rewrite(b, 1, &again);
}

static void a_run_of_no_job(struct battle *b)
{
    struct run strange = last_run(b);
    strange.serial = 777777;
    strange.fence += 1000;
    rewrite(b, 1, &strange);
}

static void an_effect_twice(struct battle *b)
{
    sql(b, "INSERT INTO effect SELECT * FROM effect LIMIT 1");
}

static void an_effect_missing(struct battle *b)
{
    sql(b, "DELETE FROM effect WHERE rowid = "
           "(SELECT min(rowid) FROM effect)");
}

static void a_counter_too_high(struct battle *b)
{
    redis_do(b->redis, "HINCRBY belt:{q}:stats done 1");
}

/* It is paused, so that no worker can take what we take. */
static void an_acknowledged_job_taken_away(struct battle *b)
{
    redis_do(b->redis, "HSET belt:{q}:config paused 1 version 99");
    battle_let_pass(b, 2500); /* a renewal, at which lanes hear of it */
    feed_one(&b->feed, "ok");
    redis_do(b->redis, "LPOP belt:{q}");
}

static void a_list_left_behind(struct battle *b)
{
    redis_do(b->redis, "RPUSH belt:{q}:active:nobody {\"id\":\"x\"}");
}

static void untouched_books_agree(void **state)
{
    (void)state;
    assert_int_equal(breaches_after(NULL), 0);
}

static void each_book_is_read(void **state)
{
    static const struct {
        const char *name;
        void (*tamper)(struct battle *);
    } rows[] = {
        {"no run of one", no_run_of_one},
        {"one token twice", one_token_twice},
        {"one run too many", one_run_too_many},
        {"a run of no job", a_run_of_no_job},
        {"an effect twice", an_effect_twice},
        {"an effect missing", an_effect_missing},
        {"a counter too high", a_counter_too_high},
        {"an acknowledged job taken away", an_acknowledged_job_taken_away},
        {"a list left behind", a_list_left_behind},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# %s\n", rows[i].name);
        if (breaches_after(rows[i].tamper) == 0)
            fail_msg("%s: nothing was found", rows[i].name);
    }
}

static void kill_when_all_is_done(struct battle *b)
{
    assert_true(queue_at_rest(b->redis, "q", BATTLE_PATIENCE_MS));
    strike_kill_handler(b);
}

static void one_was_killed(struct battle *b)
{
    size_t n, killed = 0;
    struct run *runs = record_read(b->record, &n);
    for (size_t i = 0; i < n; i++)
        killed += runs[i].exit < 0;
    free(runs);
    assert_int_equal(killed, 1);
}

static void a_handler_is_killed_though_none_ran(void **state)
{
    const struct scenario s = {.name = "late strike",
                               .workers = 2,
                               .kinds = kinds,
                               .no_reruns = true,
                               .heal = kill_when_all_is_done,
                               .judge = one_was_killed};
    (void)state;
    assert_int_equal(battle_run(&s, 1, JOBS, true, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untouched_books_agree),
        cmocka_unit_test(each_book_is_read),
        cmocka_unit_test(a_handler_is_killed_though_none_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
