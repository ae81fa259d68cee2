/*
 * Claims about sections of queues and retry policies, limits, and
 * configurations of more than one file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/config_fixture.h"
#include "worker/config_cron.h"
#include "worker/handler_priv.h"
#include "worker/settings.h"

#define NOOP "handler x { builtin = noop }\n"

/* ---- retry ---- */

static struct delivery *delivery_of(const struct conf *c, const char *text)
{
    struct job *job;
    struct errbuf eb;
    if (job_parse(text, strlen(text), 4096, &job, &eb) != 0)
        fail_msg("%s", eb.text);
    struct delivery *d = delivery_new(job);
    d->handler = handlers_find(c->o.handlers, job->type);
    return d;
}

static void expect_policy(const struct conf *c, const char *envelope,
                          int64_t attempts, enum backoff_kind kind,
                          int64_t first_ms)
{
    struct delivery *d = delivery_of(c, envelope);
    struct backoff b;
    handler_backoff(d, &b);
    assert_int_equal(handler_max_attempts(d), attempts);
    assert_int_equal(b.kind, kind);
    assert_int_equal(backoff_delay(&b, 1, 0), first_ms);
    delivery_free(d);
}

static void a_policy_is_of_jobs_that_do_not_say(void **state)
{
    struct conf *c = *state;
    conf_read(c, (const char *const[]){"--handler", "f=builtin:noop", NULL},
              "handler a { builtin = noop retry = slow }\n"
              "retry slow { max-attempts = 5 backoff = 'fixed:60s' }\n"
              "retry default { backoff = '5s,1m,10m' }\n"
              "retry few { max-attempts = 2 }\n"
              "handler b { retry = few builtin = noop }\n"
              "handler c { builtin = noop }\n");
    expect_policy(c, "{\"type\":\"a\"}", 5, BACKOFF_FIXED, 60000);
    expect_policy(c, "{\"type\":\"a\",\"max_attempts\":7}", 7, BACKOFF_FIXED,
                  60000);
    expect_policy(c, "{\"type\":\"a\",\"backoff\":[1]}", 5, BACKOFF_LIST, 1);
    /* A policy that is named stands for itself. */
    expect_policy(c, "{\"type\":\"b\"}", 2, BACKOFF_DEFAULT, 16000);
    expect_policy(c, "{\"type\":\"c\"}", 20, BACKOFF_LIST, 5000);
    expect_policy(c, "{\"type\":\"f\"}", 20, BACKOFF_LIST, 5000);
    /* What an envelope says badly is as if it did not say. */
    expect_policy(c, "{\"type\":\"a\",\"backoff\":3}", 5, BACKOFF_DEFAULT,
                  16000);
    expect_policy(c, "{\"type\":\"z\"}", 20, BACKOFF_DEFAULT, 16000);
}

static void a_policy_is_written_as_for_push(void **state)
{
    struct conf *c = *state;
    conf_read(c, NO_FLAGS,
              "retry a { backoff = 'exponential:5s:2:6h' }\n"
              "retry b { backoff = '{\"kind\":\"fixed\",\"delay\":7}' }\n"
              "retry c { backoff = 10s }\n"
              "retry d { backoff = default }\n"
              "handler a { builtin = noop retry = a }\n"
              "handler b { builtin = noop retry = b }\n"
              "handler c { builtin = noop retry = c }\n"
              "handler d { builtin = noop retry = d }\n"
              "cron n { spec = '@daily' type = a backoff = '5s,1m' }\n");
    expect_policy(c, "{\"type\":\"a\"}", 20, BACKOFF_EXPONENTIAL, 2500);
    expect_policy(c, "{\"type\":\"b\"}", 20, BACKOFF_FIXED, 7);
    expect_policy(c, "{\"type\":\"c\"}", 20, BACKOFF_LIST, 10000);
    expect_policy(c, "{\"type\":\"d\"}", 20, BACKOFF_DEFAULT, 16000);
}

static void wrong_policies_are_said(void **state)
{
    conf_expect_wrong(
        *state,
        "retry slow { max-attempts = 0\n"
        "             backoff = 'fixed' }\n"
        "retry 'a b' { }\n"
        "retry slow { }\n"
        "retry other { max-attempts = 1\n"
        "  max-attempts = 2 backoff = '[1' tries = 3 }\n"
        "retry exp { backoff = 'exponential:1s:0.5' }\n"
        "handler a { builtin = noop\n"
        "            retry = 'slwo' }\n"
        "handler b { builtin = noop retry = 'nothing' }\n",
        "FILE:1: max-attempts: 0 is not from 1 to 1000000000\n"
        "FILE:2: backoff: \"fixed\" is no duration like 500ms, 10s, 1h30m or "
        "7d\n"
        "FILE:3: retry \"a b\": no valid name\n"
        "FILE:4: retry \"slow\": line 2 says it already\n"
        "FILE:6: max-attempts: line 5 says it already\n"
        "FILE:6: backoff: byte 2: the text ends, expected ',' or ']'\n"
        "FILE:6: unknown key \"tries\" in retry\n"
        "FILE:7: backoff: backoff: factor is not a plain decimal number from 1 "
        "to 1000\n"
        "FILE:9: retry: no policy \"slwo\", did you mean slow?\n"
        "FILE:10: retry: no policy \"nothing\"\n");
}

/* ---- queues ---- */

/* What is served, as -q would say it. */
static void expect_queues(const struct conf *c, const char *list)
{
    struct buf b = {0};
    const struct worker_config *cfg = &c->o.config;
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        buf_printf(&b, "%s%s", i > 0 ? "," : "", cfg->queues[i].name);
        if (cfg->weighted)
            buf_printf(&b, ":%u", cfg->queues[i].weight);
    }
    assert_string_equal(b.data, list);
    buf_done(&b);
}

static void sections_of_queues_are_served(void **state)
{
    struct conf *c = *state;
    conf_read(c, NO_FLAGS, NOOP "queue b { }\nqueue a { }\n");
    expect_queues(c, "b,a");
    conf_read(c, NO_FLAGS, NOOP "queue b { weight = 3 }\nqueue 'a.*' { }\n");
    expect_queues(c, "b:3,a.*:1");
    assert_true(c->o.config.queues[1].pattern);
    /* Those of the list come first, wherever it stands. */
    conf_read(c, NO_FLAGS,
              NOOP "queue c { weight = 4 }\nqueue b { weight = 3 }\n"
                   "worker { queues = 'a,b' }\n");
    expect_queues(c, "a:1,b:3,c:4");
    conf_read(c, NO_FLAGS, NOOP "queue b { max-length = 3 } queues = 'a:2'\n");
    expect_queues(c, "a:2,b:1");
}

static void flags_and_environment_say_all_queues(void **state)
{
    static const char text[] =
        NOOP "queue a { weight = 3 max-length = 10 }\nqueue b { }\n";
    struct conf *c = *state;
    conf_read(c, (const char *const[]){"-q", "a", NULL}, text);
    expect_queues(c, "a");
    assert_int_equal(c->o.config.bound_count, 1);
    (void)setenv("BELT_QUEUES", "z:2", 1);
    conf_read(c, NO_FLAGS, text);
    expect_queues(c, "z:2");
}

static void bounds_are_as_queues_set_has_them(void **state)
{
    struct conf *c = *state;
    conf_read(c, NO_FLAGS,
              NOOP "queue a { max-length = 10 max-bytes = 1m dead-max = none "
                   "dead-max-age = 7d }\nqueue b { weight = 2 }\n");
    assert_int_equal(c->o.config.bound_count, 1);
    const struct queue_config *q = &c->o.config.bounds[0];
    assert_string_equal(q->name, "a");
    assert_int_equal(q->bounds[0], 10);
    assert_int_equal(q->bounds[1], 1 << 20);
    assert_int_equal(q->bounds[2], QUEUE_BOUND_NONE);
    assert_int_equal(q->bounds[3], 7 * 86400000);
    assert_int_equal(q->bounds[4], QUEUE_BOUND_UNSAID);
}

static void wrong_queues_are_said(void **state)
{
    conf_expect_wrong(
        *state,
        NOOP "queue 'a b' { }\n"
             "queue a { weight = 0 max-length = -1\n"
             "  dead-max-age = 1 }\n"
             "queue a { max-lenght = 4 }\n"
             "queue 'm.*' { weight = 2 max-length = 4 }\n"
             "queue c { weight = 2\n"
             "weight = 3 }\n"
             "queues = 'c:4'\n",
        "FILE:2: queue \"a b\": \"a b\" is no name of a queue: letters, "
        "digits, \".\", \"_\", \"-\", at most 64, not a sign first\n"
        "FILE:3: weight: 0 is not from 1 to 1000\n"
        "FILE:3: max-length: -1 is not from 0 to 1000000000\n"
        "FILE:4: dead-max-age: \"1\" is no duration like 500ms, 10s, 1h30m or "
        "7d\n"
        "FILE:5: unknown key \"max-lenght\" in queue, did you mean "
        "max-length?\n"
        "FILE:5: queue \"a\": line 4 says it already\n"
        "FILE:6: queue \"m.*\": a pattern has no max-length\n"
        "FILE:8: weight: line 7 says it already\n"
        "FILE:8: queue \"c\": weight: line 9 says it already\n");
}

/* ---- limits ---- */

static void limits_are_in_a_section_of_their_own_or_in_worker(void **state)
{
    struct conf *c = *state;
    conf_read(c, NO_FLAGS,
              NOOP "limits { max-bytes = 2k max-window = 7 timeout = 1m }\n"
                   "worker { max-window-bytes = 3m max-result = 1k }\n");
    assert_int_equal(c->o.config.max_job_bytes, 2048);
    assert_int_equal(c->o.config.max_window, 7);
    assert_int_equal(c->o.limits.timeout_ms, 60000);
    assert_int_equal(c->o.config.max_window_bytes, 3 << 20);
    assert_int_equal(c->o.limits.result_max, 1024);
    conf_expect_wrong(c,
                      NOOP "limits { max-window = 7 threads = 3 }\n"
                           "worker { max-window = 8 }\n",
                      "FILE:2: unknown key \"threads\" in limits\n"
                      "FILE:3: max-window: line 2 says it already\n");
}

/* ---- files ---- */

/* Parses -c PATH; wrong is what is said, with the directory as DIR. */
static void parse_path(struct conf *c, const char *path, const char *wrong)
{
    struct buf b = {0};
    conf_parse(c, (const char *const[]){"-c", path, NULL}, NULL);
    const char *p = c->o.wrong != NULL ? c->o.wrong
                    : c->rc != 0       ? c->eb.text
                                       : "";
    size_t n = strlen(c->dir);
    while (*p != '\0') {
        bool is_dir = strncmp(p, c->dir, n) == 0;
        buf_append(&b, is_dir ? "DIR" : p, is_dir ? 3 : 1);
        p += is_dir ? n : 1;
    }
    assert_string_equal(b.data != NULL ? b.data : "", wrong);
    buf_done(&b);
}

static void a_directory_is_all_its_files_by_name(void **state)
{
    struct conf *c = *state;
    (void)conf_file(c, "20-b.conf", "handler b { builtin = noop }\nqueue z {}");
    (void)conf_file(c, "10-a.conf", "handler a { builtin = noop }\nqueue y {}");
    (void)conf_file(c, "30-c.conf~", "nonsense");
    (void)conf_file(c, "40-d.conf.old", "nonsense");
    char *hidden = mem_strdup(conf_file(c, ".50-e.conf", "nonsense"));
    parse_path(c, c->dir, "");
    expect_queues(c, "y,z");
    assert_int_equal(handlers_count(c->o.handlers), 2);
    (void)unlink(hidden);
    free(hidden);
}

static void errors_name_their_own_file_and_both_places(void **state)
{
    struct conf *c = *state;
    (void)conf_file(c, "10-a.conf",
                    "threads = 0\nhandler a { builtin = noop }\n"
                    "lease = 20s\nretry r { }\nqueue q { }\n"
                    "cron n { spec = '@daily' type = t }\n");
    (void)conf_file(c, "20-b.conf",
                    "handler a { builtin = noop }\nlease = 30s\n"
                    "retry r { }\nqueue q { }\n"
                    "cron n { spec = '@daily' type = t }\nzz = 1\n");
    (void)conf_file(c, "15-c.conf", "worker { } }\n");
    parse_path(c, c->dir,
               "DIR/10-a.conf:1: threads: 0 is not from 1 to 1000\n"
               "DIR/15-c.conf:1: unexpected closing brace\n"
               "DIR/15-c.conf:1: nothing behind this was read\n"
               "DIR/20-b.conf:1: handler a: there is one for it already, "
               "DIR/10-a.conf:2\n"
               "DIR/20-b.conf:2: lease: DIR/10-a.conf:3 says it already\n"
               "DIR/20-b.conf:3: retry \"r\": DIR/10-a.conf:4 says it "
               "already\n"
               "DIR/20-b.conf:4: queue \"q\": DIR/10-a.conf:5 says it "
               "already\n"
               "DIR/20-b.conf:5: cron \"n\": there is one of this name "
               "already, DIR/10-a.conf:6\n"
               "DIR/20-b.conf:6: unknown key \"zz\"\n");
}

static void a_directory_without_files_is_an_error(void **state)
{
    struct conf *c = *state;
    parse_path(c, c->dir, "DIR: no *.conf is in it\n");
}

static void a_file_includes_others(void **state)
{
    struct conf *c = *state;
    char *dir = mem_printf("%s/conf.d", c->dir), *sub;
    assert_int_equal(mkdir(dir, 0700), 0);
    sub = mem_strdup(
        conf_file(c, "conf.d/a.conf", "handler b { builtin = noop }\n"));
    char *path = mem_strdup(
        conf_file(c, "belt.conf",
                  "include = 'conf.d/*.conf'\nhandler a { builtin = noop }\n"));
    parse_path(c, path, "");
    assert_int_equal(handlers_count(c->o.handlers), 2);
    (void)conf_file(c, "conf.d/a.conf", "handler a { builtin = nop }\n");
    (void)conf_file(c, "conf.d/b.conf", "include = 'x'\nthread = 3\n");
    parse_path(c, path,
               "DIR/conf.d/a.conf:1: handler a: there is one for it already, "
               "DIR/belt.conf:2\n"
               "DIR/conf.d/b.conf:1: include: only in the file that -c names, "
               "not in one of many\n"
               "DIR/conf.d/b.conf:2: unknown key \"thread\", did you mean "
               "threads?\n");
    (void)conf_file(c, "belt.conf",
                    NOOP "include = 'none.conf'\n"
                         "include = 'none/*'\n"
                         "worker { include = 'x' }\n");
    parse_path(c, path,
               "DIR/belt.conf:2: include: there is no DIR/none.conf\n"
               "DIR/belt.conf:4: unknown key \"include\" in worker\n");
    (void)unlink(sub);
    (void)conf_file(c, "conf.d/b.conf", "");
    (void)unlink(c->path);
    assert_int_equal(rmdir(dir), 0);
    free(sub);
    free(path);
    free(dir);
}

/* ---- documents ---- */

static char *read_text(const char *path)
{
    struct buf b = {0};
    char chunk[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(&b, chunk, n);
    assert_int_equal(fclose(f), 0);
    return buf_take(&b);
}

static void expect_named(const char *text, const char *key, const char *where)
{
    char *quoted = mem_printf("`%s`", key);
    if (strstr(text, quoted) == NULL)
        fail_msg("%s is not in %s", quoted, where);
    free(quoted);
}

static void documents_name_every_key(void **state)
{
    char *text = read_text(BELT_DOCS "/CONFIGURATION.md");
    char *handlers = read_text(BELT_DOCS "/HANDLERS.md");
    const struct setting *row;
    const char *name;
    (void)state;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        if (row->section != NULL)
            expect_named(text, setting_key(row), "CONFIGURATION.md");
        if (row->env != NULL)
            expect_named(text, row->env, "CONFIGURATION.md");
    }
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        expect_named(text, queue_bounds[i].name, "CONFIGURATION.md");
    for (int i = 0; i < CONFIG_CRON_KEYS; i++)
        expect_named(text, config_cron_keys[i], "CONFIGURATION.md");
    for (unsigned i = 0; (name = handlers_kind(i)) != NULL; i++)
        expect_named(text, name, "CONFIGURATION.md");
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++)
        expect_named(handlers, name, "HANDLERS.md");
    free(handlers);
    free(text);
}

/* ---- secrets ---- */

static void a_credential_of_systemd_is_a_password_file(void **state)
{
    struct conf *c = *state;
    (void)conf_file(c, "redis", "s3cret\n");
    (void)setenv("CREDENTIALS_DIRECTORY", c->dir, 1);
    conf_read(c, NO_FLAGS,
              NOOP "redis { password-file = "
                   "\"${CREDENTIALS_DIRECTORY}/redis\" }\n");
    assert_string_equal(c->o.config.url.password, "s3cret");
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    conf_expect_wrong(c,
                      NOOP "redis { password-file = "
                           "\"${CREDENTIALS_DIRECTORY}/redis\" }\n",
                      "FILE:2: the environment has no CREDENTIALS_DIRECTORY; "
                      "${CREDENTIALS_DIRECTORY:-} would stand for an empty "
                      "text then\n"
                      "FILE:2: password file: /redis: No such file or "
                      "directory\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
    const struct CMUnitTest tests[] = {
        T(a_policy_is_of_jobs_that_do_not_say),
        T(a_policy_is_written_as_for_push),
        T(wrong_policies_are_said),
        T(sections_of_queues_are_served),
        T(flags_and_environment_say_all_queues),
        T(bounds_are_as_queues_set_has_them),
        T(wrong_queues_are_said),
        T(limits_are_in_a_section_of_their_own_or_in_worker),
        T(a_directory_is_all_its_files_by_name),
        T(errors_name_their_own_file_and_both_places),
        T(a_directory_without_files_is_an_error),
        T(a_file_includes_others),
        T(documents_name_every_key),
        T(a_credential_of_systemd_is_a_password_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
