/*
 * Fuzzer: the configuration of belt-worker: a file, the environment, flags.
 *
 * Whatever they say, all settings stay within their limits, and what is wrong
 * is said in lines that can be shown, those about the file in the order of its
 * lines. What does not end is wrong. Nothing of a broken file is left in the
 * parser: a good one is read behind each. Directories, password files, plugins
 * and what is included are not opened.
 *
 * Input: the file; behind the first SEPARATOR flags, one a line; behind the
 * second the variables of variables[], one a line.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "worker/config.h"
#include "worker/options.h"
#include "worker/queue_list.h"

enum { SEPARATOR = 0x01, FLAGS_MAX = 12 };

#define WEEK_MS (7LL * 86400000)

static const char *const variables[] = {"BELT_QUEUES",    "BELT_NAMESPACE",
                                        "BELT_LOG_LEVEL", "BELT_LOG_FORMAT",
                                        "BELT_REDIS_URL", "BELT_FUZZ"};
enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };

static const char good[] = "worker { threads = 7 queues = \"a:2,b\" }\n"
                           "handler 'x.*' { exec = 'true' timeout = 1m }\n";

static bool is_within(int64_t n, int64_t min, int64_t max)
{
    return n >= min && n <= max;
}

static void check_config(const struct worker_config *c)
{
    assert(is_within(c->threads, 1, 1000) &&
           is_within(c->max_window, 1, 10000));
    assert(is_within((int64_t)c->max_window_bytes, 1024, 1LL << 32));
    assert(is_within((int64_t)c->max_job_bytes, 256, 256LL << 20));
    assert(is_within(c->lease_ms, 3000, 3600000));
    assert(is_within(c->drain_timeout_ms, 0, WEEK_MS));
    assert(c->max_recoveries <= 12 && c->queue_count <= QUEUES_MAX);
    assert(text_is_name(c->ns, strnlen(c->ns, sizeof(c->ns))));
    assert(c->name[0] == '\0' ||
           text_is_name(c->name, strnlen(c->name, sizeof(c->name))));
    assert(memchr(c->listen, '\0', sizeof(c->listen)) != NULL);
    for (unsigned i = 0; i < c->queue_count; i++)
        assert(is_within(c->queues[i].weight, 1, 1000));
}

/* Of a handler: limits that nobody set are not there. */
static void check_limits(const struct handler_limits *l, bool set)
{
    assert((!set && l->timeout_ms == -1) ||
           is_within(l->timeout_ms, 1, WEEK_MS));
    assert((!set && l->kill_after_ms == -1) ||
           is_within(l->kill_after_ms, 0, 3600000));
    assert((!set && l->cancel_kill_after_ms == -1) ||
           is_within(l->cancel_kill_after_ms, 0, 3600000));
    assert((!set && l->result_max == SIZE_MAX) ||
           is_within((int64_t)l->result_max, 0, 16LL << 20));
}

static void check_policy(const struct retry_wish *w)
{
    const struct retry_policy *p = &w->policy;

    assert(text_is_name(w->name, strlen(w->name)));
    assert(is_within(p->max_attempts, 0, 1000000000));
    for (int64_t n = 1; p->has_backoff && n < 100; n += 9)
        assert(
            is_within(backoff_delay(&p->backoff, n, 0.5), 0, 366 * 86400000LL));
}

static void check_queue(const struct queue_wish *w)
{
    assert(is_within(w->weight, 0, QUEUE_WEIGHT_MAX));
    assert(w->pattern != text_is_name(w->name, strlen(w->name)));
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        const struct queue_bound *b = &queue_bounds[i];
        assert(w->bounds[i] == QUEUE_BOUND_UNSAID ||
               (!w->pattern && (w->bounds[i] == QUEUE_BOUND_NONE ||
                                is_within(w->bounds[i], b->min, b->max))));
    }
}

static void check_settings(const struct settings *s)
{
    struct url url;

    check_config(&s->o->config);
    check_limits(&s->o->limits, true);
    assert(s->limits == &s->o->limits);
    assert(s->url == NULL || url_parse(s->url, &url, NULL) == 0);
    for (size_t i = 0; i < s->retry_count; i++)
        check_policy(&s->retries[i]);
    for (size_t i = 0; i < s->queue_count; i++)
        check_queue(&s->queues[i]);
    for (size_t i = 0; i < s->handler_count; i++) {
        assert(s->handlers[i].type != NULL && s->handlers[i].what != NULL);
        check_limits(&s->handlers[i].limits, false);
    }
}

/*
 * Builds the table of handlers, as far as that needs no file: a plugin would
 * be loaded, whatever it is.
 */
static void build_handlers(const struct settings *s)
{
    struct handlers *hs = handlers_new(&s->o->limits);
    size_t added = 0;

    for (size_t i = 0; i < s->handler_count; i++) {
        const struct handler_wish *w = &s->handlers[i];
        struct errbuf eb = {""};
        if (strncmp(w->what, "plugin:", 7) == 0)
            continue;
        int rc = handlers_add_with(hs, w->type, w->what, NULL, NULL, &eb);
        assert(rc == 0 || eb.text[0] != '\0');
        added += rc == 0;
    }
    assert(handlers_count(hs) == added);
    handlers_free(hs);
}

/* Returns the number of lines. */
static unsigned check_shown(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
        assert(*text == '\n' || ((unsigned char)*text >= ' ' && *text != 0x7f));
    }
    assert(text[-1] == '\n');
    return lines;
}

static void check_wrong(const struct settings *s, unsigned lines_of_file)
{
    char *text = settings_wrong_text(s), *rest = text, *line;
    unsigned last = 0;

    assert(check_shown(text) ==
           (s->wrong_count > WRONG_MAX ? WRONG_MAX + 1 : s->wrong_count));
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        unsigned n = 0;
        if (rest != NULL && *rest == '\0' && s->wrong_count > WRONG_MAX)
            break; /* "and n more" */
        assert(strncmp(line, "FILE:", 5) == 0);
        assert(strncmp(line, "FILE: ", 6) == 0 ||
               sscanf(line, "FILE:%u: ", &n) == 1);
        assert(n >= last && n <= lines_of_file + 1);
        last = n;
    }
    free(text);
}

/* A file in no directory, written anew for each text. */
static const char *write_file(const char *text, size_t size)
{
    static int fd = -1;
    static char path[32];

    if (fd < 0) {
        fd = memfd_create("belt.conf", MFD_CLOEXEC);
        assert(fd >= 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    int rc = ftruncate(fd, 0);
    ssize_t n = pwrite(fd, text, size, 0);
    assert(rc == 0 && n == (ssize_t)size);
    return path;
}

static void read_text(struct settings *s, struct options *o, const char *text,
                      size_t size)
{
    *o = (struct options){0};
    settings_init(s, o);
    s->config = mem_strdup("FILE");
    config_read_file(s, write_file(text, size), "FILE");
}

/* A good file with something behind it that does not end is not good. */
static void check_cut_off(const char *text, size_t size)
{
    static const char *const begun[] = {"\n/* a", "\nname = 'a", "\nname = \"a",
                                        "\nworker {"};

    for (size_t i = 0; i < 4; i++) {
        char *cut = mem_printf("%.*s%s", (int)size, text, begun[i]);
        struct options o;
        struct settings s;
        read_text(&s, &o, cut, strlen(cut));
        assert(s.wrong_count > 0);
        settings_done(&s);
        options_done(&o);
        free(cut);
    }
}

static void check_file(const char *text, size_t size)
{
    struct options o;
    struct settings s;
    unsigned lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    read_text(&s, &o, text, size);
    check_settings(&s);
    build_handlers(&s);
    bool is_good = s.wrong_count == 0;
    if (!is_good)
        check_wrong(&s, lines);
    settings_done(&s);
    options_done(&o);
    if (is_good)
        check_cut_off(text, size);
}

static void check_good(void)
{
    struct options o;
    struct settings s;

    read_text(&s, &o, good, sizeof(good) - 1);
    assert(s.wrong_count == 0);
    assert(o.config.threads == 7 && o.config.queue_count == 2);
    assert(s.handler_count == 1 && s.handlers[0].limits.timeout_ms == 60000);
    settings_done(&s);
    options_done(&o);
}

/* Flags that open files are not what this is about. */
static bool opens(const char *flag)
{
    return strstr(flag, "-c") != NULL || strstr(flag, "file") != NULL ||
           strstr(flag, "handlers") != NULL || strstr(flag, "plugin") != NULL;
}

static void check_flags(char *flags)
{
    char name[] = "belt-worker", *argv[FLAGS_MAX + 2] = {name}, *flag;
    struct options o;
    struct errbuf eb = {""};
    int argc = 1;

    while (argc <= FLAGS_MAX && (flag = strsep(&flags, "\n")) != NULL) {
        if (opens(flag))
            return;
        argv[argc++] = flag;
    }
    if (options_parse(argc, argv, &o, &eb) == 0) {
        if (!o.help && !o.version)
            check_config(&o.config);
    } else {
        assert(eb.text[0] != '\0');
        if (o.wrong != NULL)
            assert(check_shown(o.wrong) >= 1);
    }
    options_done(&o);
}

static void set_variables(char *values)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        const char *value = strsep(&values, "\n");
        (void)setenv(variables[i], value != NULL ? value : "", 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, SEPARATOR, size);
    size_t file = end != NULL ? (size_t)(end - data) : size;
    char *rest = end != NULL ? mem_dup(end + 1, size - file - 1) : NULL;
    char *flags = rest, *values = rest;

    if (values != NULL)
        (void)strsep(&values, "\x01");
    set_variables(values);
    check_file((const char *)data, file);
    if (flags != NULL)
        check_flags(flags);
    check_good();
    free(rest);
    return 0;
}
