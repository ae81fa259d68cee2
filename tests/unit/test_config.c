/*
 * Claims about what a configuration file means, and what wins over it.
 */
#include "worker/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/config_fixture.h"
#include "worker/handler_priv.h"
#include "worker/settings.h"

#define NOOP "handler \"x\" { builtin = \"noop\" }\n"

/* A value other than the default for each key. */
static const struct {
    const char *key, *value;
} values[] = {
    {"queues", "a:6,b:1"},
    {"threads", "8"},
    {"url", "redis://u:p@example.org:7000/3"},
    {"namespace", "other"},
    {"name", "w1"},
    {"lease", "20s"},
    {"timeout", "7m"},
    {"kill-after", "3s"},
    {"cancel-kill-after", "70ms"},
    {"drain-timeout", "1h30m"},
    {"max-window", "77"},
    {"max-window-bytes", "3m"},
    {"max-bytes", "2k"},
    {"max-result", "5k"},
    {"subtask-threads", "3"},
    {"subtask-window", "17"},
    {"subtask-results", "9m"},
    {"max-recoveries", "5"},
    {"delivery", "at-most-once"},
    {"fence", "true"},
    {"burst", "yes"},
    {"log-level", "debug"},
    {"log-format", "json"},
    {"listen", "127.0.0.1:0"},
};

static const char *value_of(const char *key)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        if (strcmp(values[i].key, key) == 0)
            return values[i].value;
    return NULL;
}

static bool same_queues(const struct worker_config *a,
                        const struct worker_config *b)
{
    bool same = a->queue_count == b->queue_count && a->weighted == b->weighted;
    for (unsigned i = 0; same && i < a->queue_count; i++)
        same = strcmp(a->queues[i].name, b->queues[i].name) == 0 &&
               a->queues[i].weight == b->queues[i].weight;
    return same;
}

static bool same_url(const struct url *a, const struct url *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->user, b->user) == 0 &&
           strcmp(a->password, b->password) == 0 && a->port == b->port &&
           a->db == b->db;
}

static bool same_limits(const struct handler_limits *a,
                        const struct handler_limits *b)
{
    return a->timeout_ms == b->timeout_ms &&
           a->kill_after_ms == b->kill_after_ms &&
           a->cancel_kill_after_ms == b->cancel_kill_after_ms &&
           a->result_max == b->result_max && a->stderr_max == b->stderr_max;
}

static bool same(const struct options *x, const struct options *y)
{
    const struct worker_config *a = &x->config, *b = &y->config;
    return same_queues(a, b) && same_url(&a->url, &b->url) &&
           same_limits(&x->limits, &y->limits) && strcmp(a->ns, b->ns) == 0 &&
           strcmp(a->name, b->name) == 0 && strcmp(a->listen, b->listen) == 0 &&
           a->threads == b->threads && a->max_window == b->max_window &&
           a->max_window_bytes == b->max_window_bytes &&
           a->max_job_bytes == b->max_job_bytes && a->lease_ms == b->lease_ms &&
           a->drain_timeout_ms == b->drain_timeout_ms &&
           a->subtask_threads == b->subtask_threads &&
           a->subtask_window == b->subtask_window &&
           a->subtask_results == b->subtask_results &&
           a->max_recoveries == b->max_recoveries &&
           a->at_most_once == b->at_most_once && a->burst == b->burst &&
           a->fence == b->fence && x->log_level == y->log_level &&
           x->log_format == y->log_format;
}

/* Reads a file that says key = value, in its section or outside. */
static void read_key(struct conf *c, const struct setting *row,
                     const char *value, bool in_section)
{
    char *text = mem_printf(
        NOOP "%s %s\n%s = \"%s\"\n%s", in_section ? row->section : "",
        in_section ? "{" : "", setting_key(row), value, in_section ? "}" : "");
    conf_read(c, NO_FLAGS, text);
    free(text);
}

static void expect_key(struct conf *c, struct conf *other,
                       const struct setting *row)
{
    const char *const flags[] = {"--handler", "x=builtin:noop", row->flag, NULL,
                                 NULL};
    const char *value = value_of(setting_key(row)), *with[5];
    if (value == NULL)
        fail_msg("no value for %s to try", setting_key(row));
    conf_read(other, NO_FLAGS, NOOP);
    read_key(c, row, value, true);
    if (same(&c->o, &other->o))
        fail_msg("%s changes nothing", setting_key(row));
    memcpy(with, flags, sizeof(with));
    with[3] = row->arg != NULL ? value : NULL;
    conf_read(other, with, NULL);
    if (!same(&c->o, &other->o))
        fail_msg("%s is not as by flag", setting_key(row));
    read_key(c, row, value, false);
    assert_true(same(&c->o, &other->o));
}

static void file_says_what_flags_say(void **state)
{
    struct conf *c = *state, other = *c;
    const struct setting *row;
    unsigned tried = 0;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        if (row->section == NULL || strcmp(row->flag, "--handlers") == 0 ||
            strcmp(row->flag, "--password-file") == 0)
            continue;
        expect_key(c, &other, row);
        tried++;
    }
    assert_true(tried >= 18);
    options_done(&other.o);
}

static void flags_win_over_environment_over_file_over_defaults(void **state)
{
    static const char text[] =
        NOOP "worker { queues = 'f1,f2:3' namespace = 'f' threads = 9 }\n";
    struct conf *c = *state;
    conf_read(c, NO_FLAGS, text);
    assert_string_equal(c->o.config.ns, "f");
    assert_int_equal(c->o.config.threads, 9);
    assert_int_equal(c->o.config.max_window, 10000);
    assert_int_equal(c->o.config.queue_count, 2);
    assert_true(c->o.config.weighted);
    (void)setenv("BELT_NAMESPACE", "e", 1);
    (void)setenv("BELT_QUEUES", "e1", 1);
    conf_read(c, NO_FLAGS, text);
    assert_string_equal(c->o.config.ns, "e");
    assert_int_equal(c->o.config.queue_count, 1);
    assert_string_equal(c->o.config.queues[0].name, "e1");
    assert_false(c->o.config.weighted);
    /* These stand in front of -c. */
    conf_read(c,
              (const char *const[]){"--namespace=g", "-q", "g1", "-q", "g2",
                                    "--threads", "2", NULL},
              text);
    assert_string_equal(c->o.config.ns, "g");
    assert_int_equal(c->o.config.threads, 2);
    assert_int_equal(c->o.config.queue_count, 2);
    assert_string_equal(c->o.config.queues[1].name, "g2");
}

static const struct handler *find(const struct conf *c, const char *type)
{
    const struct handler *h = handlers_find(c->o.handlers, type);
    if (h == NULL)
        fail_msg("no handler for %s", type);
    return h;
}

static void handlers_have_limits_of_their_own(void **state)
{
    struct conf *c = *state;
    conf_read(c, (const char *const[]){"--max-result=9k", NULL},
              "handler 'img.*' { exec = 'cat -' timeout = 5m "
              "kill-after = 0 cancel-kill-after = 20ms max-result = 1k }\n"
              "handler plain { builtin = 'sleep 1s' }\n"
              "handler 'a=b' { timeout = 1s builtin = echo }\n"
              "worker { timeout = 7m }\n");
    assert_int_equal(handlers_count(c->o.handlers), 3);
    const struct handler *h = find(c, "img.png");
    assert_string_equal(h->argv[1], "-");
    assert_true(same_limits(
        &h->limits, &(struct handler_limits){300000, 0, 20, 1024, 8192}));
    h = find(c, "plain");
    assert_int_equal(h->sleep_ms, 1000);
    assert_true(same_limits(
        &h->limits, &(struct handler_limits){420000, 10000, 500, 9216, 8192}));
    h = find(c, "a=b");
    assert_int_equal(h->limits.timeout_ms, 1000);
    assert_int_equal(h->limits.result_max, 9216);
}

static void handler_flags_replace_those_of_the_same_type(void **state)
{
    struct conf *c = *state;
    conf_read(c,
              (const char *const[]){"--handler", "b=builtin:echo", "--handler",
                                    "d=builtin:noop", NULL},
              "handler a { exec = one } handler b { exec = two }\n"
              "handler 'c*' { exec = three }\n");
    assert_int_equal(handlers_count(c->o.handlers), 4);
    assert_string_equal(find(c, "a")->argv[0], "one");
    assert_null(find(c, "b")->argv);
    assert_string_equal(find(c, "cc")->argv[0], "three");
    assert_null(find(c, "d")->argv);
}

static void directory_of_the_flag_replaces_that_of_the_file(void **state)
{
    struct conf *c = *state;
    (void)conf_file(c, "mail", "");
    char *text = mem_printf("worker { handlers = '%s' }", c->dir);
    conf_read(c, NO_FLAGS, text);
    assert_non_null(strstr(find(c, "mail")->argv[0], c->dir));
    char *empty = mem_printf("%s/none", c->dir);
    assert_int_equal(mkdir(empty, 0700), 0);
    conf_read(c,
              (const char *const[]){"--handlers", empty, "--handler",
                                    "x=builtin:noop", NULL},
              text);
    assert_null(handlers_find(c->o.handlers, "mail"));
    assert_int_equal(handlers_count(c->o.handlers), 1);
    assert_int_equal(rmdir(empty), 0);
    free(empty);
    free(text);
}

static void url_of_the_environment_wins_over_that_of_the_file(void **state)
{
    static const char text[] = NOOP "redis { url = 'redis://file:1' }\n";
    static const char *const flag[] = {"-u", "redis://flag", NULL};
    struct conf *c = *state;
    conf_read(c, NO_FLAGS, text);
    assert_string_equal(c->o.config.url.host, "file");
    (void)setenv("REDIS_URL", "redis://env", 1);
    conf_read(c, NO_FLAGS, text);
    assert_string_equal(c->o.config.url.host, "env");
    conf_read(c, flag, text);
    assert_string_equal(c->o.config.url.host, "flag");
}

static void password_is_in_a_file_of_its_own_or_in_a_variable(void **state)
{
    struct conf *c = *state;
    char *text = mem_printf(NOOP "redis { password-file = '%s' }",
                            conf_file(c, "secret", "from file\n"));
    conf_read(c, NO_FLAGS, text);
    assert_string_equal(c->o.config.url.password, "from file");
    free(text);
    (void)setenv("BELT_TEST_SECRET", "s3c", 1);
    conf_read(c, NO_FLAGS,
              NOOP "redis { url = \"redis://:${BELT_TEST_SECRET}@h\" }");
    assert_string_equal(c->o.config.url.password, "s3c");
    (void)unsetenv("BELT_TEST_SECRET");
    conf_read(c, NO_FLAGS, NOOP "name = \"${BELT_TEST_SECRET:-w}-1\"");
    assert_string_equal(c->o.config.name, "w-1");
}

static char *read_example(void)
{
    struct buf b = {0};
    char chunk[4096];
    size_t n;
    FILE *f = fopen(BELT_EXAMPLE, "re");
    assert_non_null(f);
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(&b, chunk, n);
    assert_int_equal(fclose(f), 0);
    assert_true(b.len > 0);
    return buf_take(&b);
}

static void example_says_the_defaults(void **state)
{
    struct conf *c = *state, plain = *c;
    char *text = read_example();
    conf_read(c, NO_FLAGS, text);
    conf_read(&plain, NO_FLAGS, NOOP);
    assert_true(same(&c->o, &plain.o));
    assert_int_equal(find(c, "img.png")->limits.timeout_ms, 300000);
    options_done(&plain.o);
    free(text);
}

/* With what is commented out, as far as it is no prose: "#key = value". */
static void example_has_every_key(void **state)
{
    struct conf *c = *state;
    struct options o = {0};
    struct settings s;
    char *text = read_example();
    const struct setting *row;
    for (char *p = text; (p = strstr(p, "    #")) != NULL; p++)
        if (p[5] >= 'a' && p[5] <= 'z')
            p[4] = ' ';
    settings_init(&s, &o);
    s.config = mem_strdup(conf_file(c, "belt.conf", text));
    config_read(&s);
    if (s.wrong_count > 0)
        fail_msg("%s", s.wrong[0].text);
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++)
        if (row->section != NULL && s.from[i].layer != LAYER_FILE)
            fail_msg("%s is not in the example", setting_key(row));
    settings_done(&s);
    options_done(&o);
    free(text);
}

/* The value behind "=", without its quotes; owned. */
static char *example_value(const char *line)
{
    const char *p = strchr(line, '=') + 1;
    p += strspn(p, " \"'");
    return mem_dup(p, strcspn(p, "\"'\n"));
}

/* Takes "#    key = value" of a section of that kind, which it may set. */
static void try_key(char **kind, const char *line, bool *seen)
{
    char *key = mem_dup(line, strcspn(line, " ="));
    char *value = example_value(line);
    const char *name;
    struct handler_keys k;
    struct errbuf eb = {""};
    unsigned i = 0;
    while ((name = handler_keys_name(i)) != NULL && strcmp(name, key) != 0)
        i++;
    if (name == NULL) {
        assert_null(*kind); /* the first line of each section */
        *kind = key;
        free(value);
        return;
    }
    handler_keys_init(&k);
    if (!handler_keys_fits(i, *kind))
        fail_msg("%s is no key of %s", key, *kind);
    if (handler_keys_set(&k, i, value, &eb) != 0)
        fail_msg("%s: %s", line, eb.text);
    handler_keys_done(&k);
    seen[i] = true;
    free(key);
    free(value);
}

static void example_has_every_key_of_handlers(void **state)
{
    bool seen[HANDLER_KEYS_MAX] = {false};
    char *text = read_example(), *rest = text, *line, *kind = NULL;
    const char *name;
    (void)state;
    seen[0] = false;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strncmp(line, "#}", 2) == 0) {
            free(kind);
            kind = NULL;
        } else if (strncmp(line, "#    ", 5) == 0 && line[5] >= 'a' &&
                   line[5] <= 'z' && strchr(line, '=') != NULL &&
                   strstr(line, " belt-worker ") == NULL) {
            try_key(&kind, line + 5, seen);
        }
    }
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++)
        if (!seen[i] && strcmp(name, "retry") != 0)
            fail_msg("%s is not in the example", name);
    free(text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
    const struct CMUnitTest tests[] = {
        T(file_says_what_flags_say),
        T(flags_win_over_environment_over_file_over_defaults),
        T(handlers_have_limits_of_their_own),
        T(handler_flags_replace_those_of_the_same_type),
        T(directory_of_the_flag_replaces_that_of_the_file),
        T(url_of_the_environment_wins_over_that_of_the_file),
        T(password_is_in_a_file_of_its_own_or_in_a_variable),
        T(example_says_the_defaults),
        T(example_has_every_key),
        T(example_has_every_key_of_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
