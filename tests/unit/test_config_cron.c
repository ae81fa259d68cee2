/*
 * Claims about the periodic jobs of a configuration file.
 */
#include <stdio.h>
#include <string.h>

#include "common/job/cron_entry.h"
#include "tests/unit/config_fixture.h"

#define NOOP "handler 'x' { builtin = 'noop' }\n"

static void an_entry_is_what_the_file_says(void **state)
{
    struct conf *c = *state;
    conf_read(c, NO_FLAGS,
              NOOP "cron 'nightly' {\n queue = 'reports'\n"
                   " spec = '30 2 * * *'\n tz = 'Europe/Berlin'\n"
                   " type = 'report'\n payload = '{\"a\": 1}'\n"
                   " jitter = 5m\n overlap = skip\n catch-up = all\n"
                   " catch-up-limit = 2h\n max-attempts = 3\n timeout = 10m\n"
                   " backoff = '[1000]'\n keep = 1d\n expires = 6h\n"
                   " paused = true\n}\n"
                   "cron \"other\" { spec = '@daily' type = 't' }\n");
    assert_int_equal(c->o.config.cron_count, 2);
    assert_string_equal(c->o.config.crons[0].queue, "reports");
    const struct cron_entry *e = c->o.config.crons[0].entry;
    assert_string_equal(e->name, "nightly");
    assert_string_equal(e->zone, "Europe/Berlin");
    assert_string_equal(e->source, "config");
    assert_int_equal(e->payload.len, strlen("{\"a\": 1}"));
    assert_int_equal(e->jitter_ms, 300000);
    assert_int_equal(e->overlap, CRON_SKIP);
    assert_int_equal(e->catch_up, CRON_ALL);
    assert_int_equal(e->catch_up_limit_ms, 7200000);
    assert_int_equal(e->max_attempts, 3);
    assert_int_equal(e->timeout_ms, 600000);
    assert_int_equal(e->backoff.len, strlen("[1000]"));
    assert_int_equal(e->keep_ms, 86400000);
    assert_int_equal(e->expires_ms, 21600000);
    assert_true(e->paused);
    assert_string_equal(c->o.config.crons[1].queue, "default");
    assert_string_equal(c->o.config.crons[1].entry->zone, "UTC");
}

static void what_is_wrong_is_said_by_line(void **state)
{
    static const struct {
        const char *section, *wrong;
    } rows[] = {
        {"cron 'n' { type = t }\n", "FILE:2: cron \"n\": it has no spec\n"},
        {"cron 'n' { spec = '@daily' }\n",
         "FILE:2: cron \"n\": it has no type\n"},
        {"cron 'n' {\n spec = '* * * *'\n type = t\n}\n",
         "FILE:3: cron \"n\": cron expression: \"* * * *\" has 4 fields, not "
         "five (minute hour day-of-month month day-of-week) or six (second in "
         "front)\n"},
        {"cron 'n' {\n spec = '@daily'\n type = t\n tz = 'Europe/Berln'\n}\n",
         "FILE:5: cron \"n\": time zone \"Europe/Berln\" is unknown, did you "
         "mean Europe/Berlin?\n"},
        {"cron 'n' {\n spec = '@daily'\n type = t\n payload = '{'\n}\n", NULL},
        {"cron 'n' {\n spec = '@daily'\n type = t\n keep = '7'\n}\n", NULL},
        {"cron 'n' {\n spec = '@daily'\n type = t\n overlap = 'x'\n}\n",
         "FILE:5: cron \"n\": overlap: \"x\": not understood\n"},
        {"cron 'a b' { spec = '@daily' type = t }\n", NULL},
        {"cron 'n' { spec = '@daily' type = t queue = 'a b' }\n",
         "FILE:2: cron \"n\": queue: \"a b\" is no name of a queue\n"},
        {"cron 'n' { spec = '@daily' type = t times = 3 }\n", NULL},
        {"cron 'n' {\n spec = '@daily'\n spec = '@weekly'\n type = t }\n",
         "FILE:4: spec: line 3 says it already\n"},
        {"cron 'n' { spec = '@daily' type = t }\n"
         "cron 'n' { spec = '@daily' type = t }\n",
         "FILE:3: cron \"n\": there is one of this name already, line 2\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf *c = *state;
        char text[512];
        (void)snprintf(text, sizeof(text), NOOP "%s", rows[i].section);
        if (rows[i].wrong != NULL) {
            conf_expect_wrong(c, text, rows[i].wrong);
            continue;
        }
        conf_parse(c, NO_FLAGS, text);
        assert_int_equal(c->rc, ERR_INVALID);
        assert_non_null(strstr(c->o.wrong, ".conf:"));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, conf_setup, conf_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_entry_is_what_the_file_says),
        T(what_is_wrong_is_said_by_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
