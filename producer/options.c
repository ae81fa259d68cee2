/*
 * Options: the command line, read by the tables of the commands.
 *
 * Flags may stand before or behind the command and between its arguments; a
 * flag of the command hides a global one of the same name. "-5" is a number,
 * since payloads may be numbers and no flag is a digit. After "--" nothing is
 * a flag.
 *
 * Thread: main.
 */
#include "producer/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/job.h"

enum {
    FLAGS_MAX = 64,
    CONNECT_TIMEOUT_MS = 5000,
    JOBS_SHOWN = 20,
    STATS_MINUTES = 60,
    STATS_BY_MS = 60000,
    CRON_NEXT_SHOWN = 5
};

struct parser {
    struct options *o;
    char **next; /* the argument to look at, NULL at the end */
    const char **args;
    struct errbuf *eb;
};

static void *member_at(struct options *o, const struct flag *f)
{
    return (char *)o + f->offset;
}

/* Finds a flag by its name of n bytes, or by its letter if name is NULL. */
static const struct flag *find_in(const struct flag *flags, const char *name,
                                  size_t n, char letter)
{
    for (const struct flag *f = flags; f && f->name; f++) {
        if (name ? strlen(f->name) == n && memcmp(f->name, name, n) == 0
                 : f->letter == letter)
            return f;
    }
    return NULL;
}

static const struct flag *find_flag(const struct parser *p, const char *name,
                                    size_t n, char letter)
{
    const struct command *c = p->o->command;
    const struct flag *f = c ? find_in(c->flags, name, n, letter) : NULL;

    return f ? f : find_in(global_flags, name, n, letter);
}

static const char *nearest_flag(const struct parser *p, const char *name)
{
    const struct command *c = p->o->command;
    const char *words[FLAGS_MAX];
    size_t n = 0;

    for (const struct flag *f = c ? c->flags : NULL; f && f->name; f++)
        words[n++] = f->name;
    for (const struct flag *f = global_flags; f->name; f++)
        words[n++] = f->name;
    assert(n <= FLAGS_MAX);
    return text_nearest(name, words, n);
}

static int parse_format(const char *text, enum out_format *ret,
                        struct errbuf *eb)
{
    static const char *const names[] = {"table", "json", "ndjson", "tsv"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum out_format)i;
            return 0;
        }
    }
    return errbuf_set(eb, ERR_INVALID, "%s: not table, json, ndjson or tsv",
                      text);
}

static int check_range(const struct flag *f, const char *text, int64_t n,
                       struct errbuf *eb)
{
    if (n >= f->min && n <= f->max)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "%s: too %s", text,
                      n < f->min ? "small" : "big");
}

static void add_text(struct text_list *list, const char *text)
{
    size_t n = (size_t)list->count + 1;

    list->texts = mem_resize((void *)list->texts, n * sizeof(*list->texts));
    list->texts[list->count++] = text;
}

static int set_value(struct parser *p, const struct flag *f, const char *text)
{
    void *member = member_at(p->o, f);
    int64_t n = 0;
    int rc = 0;

    switch (f->kind) {
    case FLAG_BOOL:
        *(bool *)member = true;
        return 0;
    case FLAG_TEXT:
        *(const char **)member = text;
        return 0;
    case FLAG_LIST:
        add_text(member, text);
        return 0;
    case FLAG_FORMAT:
        rc = parse_format(text, member, p->eb);
        break;
    case FLAG_INT:
        rc = text_parse_int(text, f->min, f->max, f->value, &n, p->eb);
        break;
    case FLAG_DURATION:
        rc = text_parse_duration(text, &n, p->eb);
        break;
    case FLAG_SIZE:
        rc = text_parse_size(text, &n, p->eb);
        break;
    }
    if (rc == 0 && f->kind != FLAG_FORMAT) {
        rc = check_range(f, text, n, p->eb);
        if (rc == 0)
            *(int64_t *)member = n;
    }
    return rc == 0 ? 0 : errbuf_wrap(p->eb, rc, "--%s", f->name);
}

/* Takes the next argument as the value of f, unless text is there. */
static int take_value(struct parser *p, const struct flag *f, const char *text)
{
    if (!text && f->kind != FLAG_BOOL) {
        text = *p->next;
        if (!text)
            return errbuf_set(p->eb, ERR_INVALID, "--%s: needs %s", f->name,
                              f->value);
        p->next++;
    }
    return set_value(p, f, text);
}

static int take_long(struct parser *p, const char *arg)
{
    const char *name = arg + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct flag *f = find_flag(p, name, n, 0);

    if (!f) {
        char *word = mem_dup(name, n);
        const char *near = nearest_flag(p, word);
        free(word);
        if (near)
            return errbuf_set(p->eb, ERR_INVALID,
                              "%s: no such flag; did you mean --%s?", arg,
                              near);
        return errbuf_set(p->eb, ERR_INVALID, "%s: no such flag", arg);
    }
    if (equals && f->kind == FLAG_BOOL)
        return errbuf_set(p->eb, ERR_INVALID, "--%s: takes no value", f->name);
    return take_value(p, f, equals ? equals + 1 : NULL);
}

static int take_short(struct parser *p, const char *arg)
{
    const struct flag *f = find_flag(p, NULL, 0, arg[1]);

    if (!f)
        return errbuf_set(p->eb, ERR_INVALID, "%s: no such flag", arg);
    if (f->kind == FLAG_BOOL && arg[2] != '\0')
        return errbuf_set(p->eb, ERR_INVALID, "%s: -%c takes no value", arg,
                          arg[1]);
    return take_value(p, f, arg[2] != '\0' ? arg + 2 : NULL);
}

static bool is_flag(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0' && !(arg[1] >= '0' && arg[1] <= '9');
}

/* Only the name of a group: its help may be asked for, nothing else. */
static int take_group(struct parser *p, const char *name, const char *second)
{
    const char *near = second ? command_nearest_in(name, second) : NULL;

    p->o->group = name;
    if (!second || is_flag(second))
        return 0;
    if (near)
        return errbuf_set(p->eb, ERR_INVALID,
                          "%s %s: no such command; did you mean %s %s?", name,
                          second, name, near);
    return errbuf_set(p->eb, ERR_INVALID,
                      "%s %s: no such command; see belt help %s", name, second,
                      name);
}

/* A second word belongs to the name if that makes the name of a command. */
static int take_command(struct parser *p, const char *name)
{
    p->o->command = command_find_two(name, *p->next);
    if (p->o->command) {
        p->next++;
        return 0;
    }
    p->o->command = command_find(name);
    if (p->o->command)
        return 0;
    if (command_is_group(name))
        return take_group(p, name, *p->next);
    const char *near = command_nearest(name);
    if (near)
        return errbuf_set(p->eb, ERR_INVALID,
                          "%s: no such command; did you mean %s?", name, near);
    return errbuf_set(p->eb, ERR_INVALID, "%s: no such command; see belt help",
                      name);
}

static void take_rest(struct parser *p)
{
    while (*p->next)
        p->args[p->o->arg_count++] = *p->next++;
}

static int take_all(struct parser *p)
{
    struct options *o = p->o;
    bool dashes = false;
    int rc = 0;

    while (rc == 0 && !dashes && *p->next) {
        const char *arg = *p->next++;
        if (strcmp(arg, "--") == 0)
            dashes = true;
        else if (is_flag(arg))
            rc = arg[1] == '-' ? take_long(p, arg) : take_short(p, arg);
        else if (o->command || o->group)
            p->args[o->arg_count++] = arg;
        else
            rc = take_command(p, arg);
        if (o->command && o->command->raw)
            dashes = true; /* what follows is not ours */
    }
    o->plain_count = o->arg_count;
    if (rc == 0)
        take_rest(p);
    return rc;
}

static int check_args(const struct options *o, struct errbuf *eb)
{
    const struct command *c = o->command;

    if (!c || o->help || c->raw)
        return 0;
    if (c->dashes && o->plain_count > 0)
        return errbuf_set(eb, ERR_INVALID,
                          "%s: arguments for what is run stand behind --",
                          o->args[0]);
    if (o->arg_count >= c->min_args &&
        (c->max_args < 0 || o->arg_count <= c->max_args))
        return 0;
    return errbuf_set(eb, ERR_INVALID, "%s; usage: belt %s %s",
                      o->arg_count < c->min_args ? "an argument is missing"
                                                 : "too many arguments",
                      c->name, c->usage);
}

static int check_names(const struct options *o, struct errbuf *eb)
{
    if (!text_is_name(o->ns, strlen(o->ns)))
        return errbuf_set(eb, ERR_INVALID, "%s: not a namespace", o->ns);
    if (!text_is_name(o->queue, strlen(o->queue)))
        return errbuf_set(eb, ERR_INVALID, "%s: not the name of a queue",
                          o->queue);
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct errbuf *eb)
{
    const char *ns = getenv("BELT_NAMESPACE");
    struct parser p = {
        .o = ret,
        .next = argc > 0 ? argv + 1 : argv,
        .args = mem_new(((size_t)argc + 1) * sizeof(*p.args)),
        .eb = eb,
    };

    *ret = (struct options){
        .args = p.args,
        .ns = ns && ns[0] != '\0' ? ns : "belt",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .queue = "default",
        .max_bytes = JOB_ENVELOPE_MAX_BYTES,
        .count = JOBS_SHOWN,
        .minutes = STATS_MINUTES,
        .by_ms = STATS_BY_MS,
        .catch_up_limit_ms = -1,
        .next_count = CRON_NEXT_SHOWN,
        .dir = ".belt-dev",
        .port = -1,
        .http_port = -1,
        .listen = "127.0.0.1:8787",
        .max_connections = 1000,
        .max_headers = 16 * 1024,
        .max_bulk = 64LL * 1024 * 1024,
        .max_pending = 128LL * 1024 * 1024,
        .max_lines = 100000,
        .max_waits = 1000,
        .longest_wait_ms = 60000,
        .request_timeout_ms = 30 * 1000,
        .idle_timeout_ms = 60 * 1000,
        .drain_timeout_ms = 30 * 1000,
        .redis_timeout_ms = 5000,
        .idempotency_ms = 24LL * 3600 * 1000,
        .side_threads = 4,
        .metrics_queues = 500,
        .argv = argv,
    };
    int rc = take_all(&p);
    if (ret->json)
        ret->format = OUT_JSON;
    if (rc == 0)
        rc = check_args(ret, eb);
    if (rc == 0)
        rc = check_names(ret, eb);
    return rc;
}

void options_done(struct options *o)
{
    free((void *)o->args);
    free((void *)o->then.texts);
    free((void *)o->meta.texts);
    free((void *)o->env.texts);
    *o = (struct options){0};
}
