/*
 * Options: puts together what flags, environment and file say.
 *
 * Early flags (-c, --check, --help, --version) are read first, wherever they
 * stand. Then each layer is set on top of the one below, the flags last. A
 * wrong flag ends it, since whoever typed it is there; what is wrong with
 * file and environment is collected, so that it can be mended in one go.
 * Handlers come last of all: they start from limits that may come behind.
 *
 * Thread: one at a time: main before all others, later that of a reload.
 */
#include "worker/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/cron_entry.h"
#include "worker/config.h"
#include "worker/queue_list.h"
#include "worker/settings.h"

enum { RETRIES_SHOWN = 64 }; /* policies among which one may be meant */

void options_help(FILE *out)
{
    const struct setting *row;
    (void)fprintf(out,
                  "Usage: belt-worker [-q A,B] [-c FILE] [--handlers DIR] "
                  "[--handler TYPE=KIND:SPEC]... [FLAG]...\n"
                  "Takes jobs from queues in Redis and runs their handlers.\n"
                  "\n");
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "%s%s%s%s%s",
                       row->brief != NULL ? row->brief : "",
                       row->brief != NULL ? ", " : "", row->flag,
                       row->arg != NULL ? " " : "",
                       row->arg != NULL ? row->arg : "");
        (void)fprintf(out, "  %-26s %s%s%s%s\n", left, row->help,
                      row->def != NULL ? " (" : "",
                      row->def != NULL ? row->def : "",
                      row->def != NULL ? ")" : "");
    }
    (void)fprintf(out,
                  "\nDurations: 500ms 10s 5m 2h 7d. Sizes: 64k 10m 1g.\n"
                  "A file says the same without dashes: worker { threads = 8 } "
                  "redis { url = \"...\" }\n"
                  "handler \"img.*\" { exec = \"/usr/bin/convert - -\" "
                  "timeout = \"5m\" }. Flags win, then the\n"
                  "environment (BELT_QUEUES BELT_NAMESPACE BELT_LOG_LEVEL "
                  "BELT_LOG_FORMAT), then the file.\n"
                  "Signals: TERM and INT give back what has not begun and end; "
                  "once more: at once.\n"
                  "USR1: fetch nothing more. HUP: read all of this again.\n"
                  "Exit: 0 ended as told, 64 usage, 69 Redis away at the end, "
                  "71 system, 78 "
                  "configuration.\n");
}

static const struct setting *find_flag(const char *arg, size_t len,
                                       struct errbuf *eb)
{
    const char *names[SETTINGS_MAX];
    const struct setting *row;
    unsigned count = 0;
    char word[64];
    for (; (row = settings_row(count)) != NULL; count++) {
        names[count] = row->flag;
        if ((strlen(row->flag) == len && memcmp(row->flag, arg, len) == 0) ||
            (row->brief != NULL && len == 2 &&
             memcmp(row->brief, arg, len) == 0))
            return row;
    }
    (void)snprintf(word, sizeof(word), "%.*s", (int)len, arg);
    const char *near = text_nearest(word, names, count);
    (void)errbuf_set(eb, ERR_INVALID, "unknown argument \"%s\"%s%s%s", word,
                     near != NULL ? ", did you mean " : "",
                     near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

/* Sets the early flags, or the others; checks the form of all. */
static int read_flags(int argc, char **argv, struct settings *s, bool early,
                      bool *given, struct errbuf *eb)
{
    struct source from = {.layer = LAYER_FLAG};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;
        const char *eq = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
        size_t len = eq != NULL ? (size_t)(eq - arg) : strlen(arg);
        const struct setting *row = find_flag(arg, len, eb);
        if (row == NULL)
            return ERR_INVALID;
        if (row->arg == NULL && eq != NULL)
            return errbuf_set(eb, ERR_INVALID, "%s takes no value", row->flag);
        if (row->arg != NULL) {
            value = eq != NULL ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
            if (value == NULL)
                return errbuf_set(eb, ERR_INVALID, "%s needs a value: %s",
                                  row->flag, row->arg);
        }
        given[setting_index(row)] = true;
        int rc =
            row->early == early ? settings_set(s, row, value, from, eb) : 0;
        if (rc != 0)
            return errbuf_wrap(eb, rc, "%s", row->flag);
    }
    return 0;
}

/* What a flag says already is not looked at. */
static void read_environment(struct settings *s, const bool *given)
{
    struct source from = {.layer = LAYER_ENV};
    const struct setting *row;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        const char *value = NULL;
        struct errbuf eb;
        if (row->env != NULL && !given[i])
            value = getenv(row->env);
        if (value == NULL || value[0] == '\0')
            continue;
        int rc = settings_set(s, row, value, from, &eb);
        if (rc != 0) {
            (void)errbuf_wrap(&eb, rc, "%s", row->env);
            settings_wrong(s, from, &eb);
        }
    }
}

/* Passes on what is wrong by a flag, notes what is wrong by another source. */
static int blame(struct settings *s, const char *flag, struct source from,
                 int rc, struct errbuf *eb)
{
    if (rc != 0 && from.layer == LAYER_FLAG)
        return errbuf_wrap(eb, rc, "%s", flag);
    if (rc != 0)
        settings_wrong(s, from, eb);
    return 0;
}

static struct source source_of(const struct settings *s, const char *flag)
{
    struct errbuf eb;
    const struct setting *row = find_flag(flag, strlen(flag), &eb);
    assert(row != NULL);
    return s->from[setting_index(row)];
}

static bool has_variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

static int find_redis(struct settings *s, struct errbuf *eb)
{
    struct url *url = &s->o->config.url;
    const char *text = s->url;
    struct source from = source_of(s, "--redis");
    if (from.layer == LAYER_FILE &&
        (has_variable("BELT_REDIS_URL") || has_variable("REDIS_URL")))
        text = NULL;
    /* The texts were parsed when they were set: it is a variable. */
    int rc = url_resolve(text, NULL, url, eb);
    if (rc != 0) {
        settings_wrong(s, (struct source){.layer = LAYER_ENV}, eb);
        return 0;
    }
    if (s->password_file == NULL)
        return 0;
    rc = url_resolve(text, s->password_file, url, eb);
    return blame(s, "--password-file", source_of(s, "--password-file"), rc, eb);
}

/* ---- queues ---- */

static struct queue_spec *find_queue(struct worker_config *cfg,
                                     const char *name)
{
    for (unsigned i = 0; i < cfg->queue_count; i++)
        if (strcmp(cfg->queues[i].name, name) == 0)
            return &cfg->queues[i];
    return NULL;
}

/* Serves the queue of a section, or gives its weight to one of the list. */
static int serve(struct settings *s, const struct queue_wish *w,
                 struct errbuf *eb)
{
    struct worker_config *cfg = &s->o->config;
    struct queue_spec *q = find_queue(cfg, w->name);
    char text[PLACE_MAX];
    if (q == NULL)
        return queue_list_put(cfg, w->name, w->pattern, w->weight, eb);
    if (w->weight == 0)
        return 0;
    if (q->weighed)
        return errbuf_set(
            eb, ERR_INVALID, "weight: %s says it already",
            settings_place(s, source_of(s, "--queues"), w->from.file, text));
    q->weight = (unsigned)w->weight;
    q->weighed = cfg->weighted = true;
    return 0;
}

static void keep_bounds(struct worker_config *cfg, const struct queue_wish *w)
{
    struct queue_config q = {.said = false};
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        q.bounds[i] = w->bounds[i];
        q.said = q.said || q.bounds[i] != QUEUE_BOUND_UNSAID;
    }
    if (!q.said)
        return;
    memcpy(q.name, w->name, strlen(w->name) + 1);
    cfg->bounds =
        mem_resize(cfg->bounds, (cfg->bound_count + 1) * sizeof(*cfg->bounds));
    cfg->bounds[cfg->bound_count++] = q;
}

/*
 * What the sections of queues say. Whom flags or the environment tell its
 * queues serves those; else those of the list come first, if the file has one.
 */
static void read_queues(struct settings *s)
{
    enum layer list = source_of(s, "--queues").layer;
    if (list == LAYER_DEFAULT && s->queue_count > 0)
        s->o->config.queue_count = 0;
    for (size_t i = 0; i < s->queue_count; i++) {
        const struct queue_wish *w = &s->queues[i];
        struct errbuf eb;
        int rc = list <= LAYER_FILE ? serve(s, w, &eb) : 0;
        keep_bounds(&s->o->config, w);
        if (rc != 0) {
            (void)errbuf_wrap(&eb, rc, "queue \"%s\"", w->name);
            settings_wrong(s, w->from, &eb);
        }
    }
}

/* ---- handlers ---- */

static int add_dirs(struct settings *s, enum layer layer, struct errbuf *eb)
{
    struct source from = source_of(s, "--handlers");
    for (size_t i = 0; i < s->dir_count && from.layer == layer; i++) {
        int rc = handlers_add_dir(s->o->handlers, s->dirs[i], eb);
        rc = blame(s, "--handlers", from, rc, eb);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Two files may say the same. */
static int check_twice(const struct settings *s, const struct handler_wish *w,
                       struct errbuf *eb)
{
    char text[PLACE_MAX];
    for (const struct handler_wish *other = s->handlers;
         w->from.layer == LAYER_FILE && other < w; other++) {
        if (other->from.layer == LAYER_FILE &&
            strcmp(other->type, w->type) == 0)
            return errbuf_set(
                eb, ERR_INVALID, "handler %s: there is one for it already, %s",
                w->type, settings_place(s, other->from, w->from.file, text));
    }
    return 0;
}

/* Whether there is the policy that a handler names; blames its line if not. */
static bool has_policy(struct settings *s, struct handler_wish *w)
{
    const char *names[RETRIES_SHOWN], *name = w->keys.retry, *near;
    struct source from = w->from;
    struct errbuf eb;
    unsigned n = 0;
    if (name == NULL)
        return true;
    for (size_t i = 0; i < s->retry_count; i++) {
        if (strcmp(s->retries[i].name, name) == 0)
            return true;
        if (n < RETRIES_SHOWN)
            names[n++] = s->retries[i].name;
    }
    near = text_nearest(name, names, n);
    (void)errbuf_set(&eb, ERR_INVALID, "retry: no policy \"%s\"%s%s%s", name,
                     near != NULL ? ", did you mean " : "",
                     near != NULL ? near : "", near != NULL ? "?" : "");
    from.line = handler_keys_line(&w->keys, "retry");
    settings_wrong(s, from, &eb);
    return false;
}

static int add_wish(struct settings *s, struct handler_wish *w,
                    struct errbuf *eb)
{
    struct handler_limits limits = w->limits, all = s->o->limits;
    if (w->type == NULL)
        return handlers_add(s->o->handlers, w->what, eb);
    int rc = check_twice(s, w, eb);
    if (rc != 0)
        return rc;
    if (!has_policy(s, w))
        return 0;
    if (limits.timeout_ms < 0)
        limits.timeout_ms = all.timeout_ms;
    if (limits.kill_after_ms < 0)
        limits.kill_after_ms = all.kill_after_ms;
    if (limits.cancel_kill_after_ms < 0)
        limits.cancel_kill_after_ms = all.cancel_kill_after_ms;
    if (limits.result_max == SIZE_MAX)
        limits.result_max = all.result_max;
    if (limits.stderr_max == SIZE_MAX)
        limits.stderr_max = all.stderr_max;
    rc = handlers_add_with(s->o->handlers, w->type, w->what, &limits, &w->keys,
                           eb);
    if (rc != 0 && w->keys.wrong_line > 0)
        w->from.line = w->keys.wrong_line;
    return rc;
}

static int add_layer(struct settings *s, enum layer layer, struct errbuf *eb)
{
    int rc = add_dirs(s, layer, eb);
    for (size_t i = 0; i < s->handler_count && rc == 0; i++) {
        struct handler_wish *w = &s->handlers[i];
        if (w->from.layer != layer)
            continue;
        rc = add_wish(s, w, eb); /* which may say where in the file */
        rc = blame(s, "--handler", w->from, rc, eb);
    }
    return rc;
}

static int build_handlers(struct settings *s, struct errbuf *eb)
{
    struct options *o = s->o;
    o->handlers = handlers_new(&o->limits);
    o->config.handlers = o->handlers;
    for (size_t i = 0; i < s->retry_count; i++)
        handlers_add_retry(o->handlers, s->retries[i].name,
                           &s->retries[i].policy);
    int rc = add_layer(s, LAYER_FILE, eb);
    handlers_override(o->handlers);
    if (rc == 0)
        rc = add_layer(s, LAYER_FLAG, eb);
    if (rc != 0 || handlers_count(o->handlers) > 0 || s->wrong_count > 0)
        return rc;
    rc = errbuf_set(eb, ERR_INVALID,
                    "no handlers: give --handlers DIR or --handler "
                    "TYPE=KIND:SPEC%s",
                    s->config != NULL ? ", or name them here" : "");
    if (s->config == NULL)
        return rc;
    settings_wrong(s, (struct source){.layer = LAYER_FILE}, eb);
    return 0;
}

/* Hands over what is wrong, if the flags are right. */
static int conclude(struct settings *s, struct errbuf *eb)
{
    if (s->wrong_count == 0)
        return 0;
    s->o->wrong = settings_wrong_text(s);
    return errbuf_set(eb, ERR_INVALID, "%.*s", (int)strcspn(s->o->wrong, "\n"),
                      s->o->wrong);
}

int options_parse(int argc, char **argv, struct options *ret, struct errbuf *eb)
{
    bool given[SETTINGS_MAX] = {false};
    struct settings s;
    *ret = (struct options){0};
    settings_init(&s, ret);
    int rc = read_flags(argc, argv, &s, true, given, eb);
    if (rc == 0 && !ret->help && !ret->version) {
        if (s.config != NULL)
            config_read(&s);
        read_environment(&s, given);
        rc = read_flags(argc, argv, &s, false, given, eb);
        if (rc == 0)
            rc = find_redis(&s, eb);
        if (rc == 0)
            read_queues(&s);
        if (rc == 0)
            rc = build_handlers(&s, eb);
        if (rc == 0)
            rc = conclude(&s, eb);
    }
    settings_done(&s);
    return rc;
}

void options_done(struct options *o)
{
    free(o->config.queues);
    free(o->config.bounds);
    for (unsigned i = 0; i < o->config.cron_count; i++)
        cron_entry_free(o->config.crons[i].entry);
    free(o->config.crons);
    handlers_free(o->handlers);
    free(o->wrong);
    *o = (struct options){0};
}
