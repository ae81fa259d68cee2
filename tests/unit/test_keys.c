/*
 * Claims about the names of keys, which other programs rely on.
 */
#include "common/redis/keys.h"

#include <string.h>

#include "common/base/text.h"
#include "tests/unit/unit.h"

static void keys_are_as_documented(void **state)
{
    struct keys k;

    (void)state;
    keys_init(&k, "belt", "emails");
    assert_string_equal(k.ns, "belt");
    assert_string_equal(k.queue, "emails");
    assert_string_equal(k.ready, "belt:{emails}");
    assert_string_equal(k.leases, "belt:{emails}:leases");
    assert_string_equal(k.lanes, "belt:{emails}:lanes");
    assert_string_equal(k.reaped, "belt:{emails}:reaped");
    assert_string_equal(k.scheduled, "belt:{emails}:scheduled");
    assert_string_equal(k.retry, "belt:{emails}:retry");
    assert_string_equal(k.dead, "belt:{emails}:dead");
    assert_string_equal(k.config, "belt:{emails}:config");
    assert_string_equal(k.fence, "belt:{emails}:fence");
    assert_string_equal(k.stats, "belt:{emails}:stats");
    assert_string_equal(k.cancelled, "belt:{emails}:cancelled");
    assert_string_equal(k.control, "belt:{emails}:control");
    assert_string_equal(k.outbox, "belt:{emails}:outbox");
    assert_string_equal(k.cron, "belt:{emails}:cron");
    assert_string_equal(k.cron_due, "belt:{emails}:cron:due");
    assert_string_equal(k.queues, "belt:queues");
    assert_string_equal(k.workers, "belt:workers");
}

static void keys_of_one_thing_are_as_documented(void **state)
{
    struct keys k;
    char out[KEY_MAX];

    (void)state;
    keys_init(&k, "belt", "emails");
    assert_true(keys_active(&k, "host-1-ab.2", out));
    assert_string_equal(out, "belt:{emails}:active:host-1-ab.2");
    assert_true(keys_job(&k, "01J", out));
    assert_string_equal(out, "belt:{emails}:job:01J");
    assert_true(keys_unique(&k, "user:7", out));
    assert_string_equal(out, "belt:{emails}:unique:user:7");
    assert_true(keys_pending(&k, "user:7", out));
    assert_string_equal(out, "belt:{emails}:pending:user:7");
    assert_true(keys_once(&k, "01J", out));
    assert_string_equal(out, "belt:{emails}:once:01J");
    assert_true(keys_worker(&k, "host-1-ab", out));
    assert_string_equal(out, "belt:worker:host-1-ab");
    keys_stats_minute(&k, 60 * 1000 - 1, out);
    assert_string_equal(out, "belt:{emails}:stats:0");
    keys_stats_minute(&k, INT64_C(1764547200000), out);
    assert_string_equal(out, "belt:{emails}:stats:29409120");
}

static void the_longest_names_fit(void **state)
{
    char name[NAME_MAX_LEN + 1] = "", lane[129] = "", out[KEY_MAX];
    struct keys k;

    (void)state;
    memset(name, 'x', NAME_MAX_LEN);
    memset(lane, 'y', sizeof(lane) - 1);
    keys_init(&k, name, name);
    assert_int_equal(strlen(k.ready), 2 * NAME_MAX_LEN + 3);
    assert_true(keys_active(&k, lane, out));
    assert_int_equal(strlen(out), 2 * NAME_MAX_LEN + 11 + 128);
}

static void an_id_that_does_not_fit_is_refused_not_cut(void **state)
{
    char id[KEY_MAX] = "", out[KEY_MAX];
    struct keys k;

    (void)state;
    memset(id, 'x', sizeof(id) - 1);
    keys_init(&k, "belt", "q");
    assert_false(keys_active(&k, id, out));
    assert_string_equal(out, "");
    assert_false(keys_job(&k, id, out));
    assert_false(keys_worker(&k, id, out));
    id[KEY_MAX - 1 - strlen("belt:worker:")] = '\0';
    assert_true(keys_worker(&k, id, out));
    assert_int_equal(strlen(out), KEY_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_documented),
        cmocka_unit_test(keys_of_one_thing_are_as_documented),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(an_id_that_does_not_fit_is_refused_not_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
