/*
 * Options: what belt-worker is told to do.
 *
 * One row a flag; the parser and --help read the same table. Flags that add
 * handlers are kept until the limits are known, which may come behind them.
 *
 * Thread: main, before all others.
 */
#include "worker/options.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum { QUEUES_MAX = 256, HANDLER_FLAGS_MAX = 1024 };

struct parsed {
    struct options *o;
    const char *url, *password_file;
    const char *handlers[HANDLER_FLAGS_MAX]; /* --handler, in order */
    const char *dirs[HANDLER_FLAGS_MAX];
    unsigned handler_count, dir_count;
};

typedef int (*set_fn)(struct parsed *p, const char *value, struct errbuf *eb);

struct flag {
    const char *name;  /* "--threads" */
    const char *brief; /* "-q", or NULL */
    const char *arg;   /* "N", or NULL for a switch */
    const char *env;   /* read if the flag is not given, or NULL */
    const char *help;
    set_fn set;
};

static int add_queue(struct options *o, const char *p, size_t len,
                     struct errbuf *eb)
{
    struct worker_config *cfg = &o->config;
    const char *colon = memchr(p, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - p) : len;
    struct queue_spec q = {.weight = 1};
    if (!text_is_name(p, name_len))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.*s\" is no name of a queue: letters, digits, "
                          "\".\", \"_\", \"-\", at most %d, not a sign first",
                          (int)name_len, p, NAME_MAX_LEN);
    memcpy(q.name, p, name_len);
    if (colon != NULL) {
        char text[16] = "";
        int64_t weight;
        size_t n = len - name_len - 1;
        memcpy(text, colon + 1, n < sizeof(text) ? n : sizeof(text) - 1);
        int rc = text_parse_int(text, 1, 1000, "weight", &weight, eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "queue %s", q.name);
        q.weight = (unsigned)weight;
        cfg->weighted = true;
    }
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        if (strcmp(cfg->queues[i].name, q.name) == 0)
            return errbuf_set(eb, ERR_INVALID, "queue %s is named twice",
                              q.name);
    }
    if (cfg->queue_count == QUEUES_MAX)
        return errbuf_set(eb, ERR_INVALID, "more than %d queues", QUEUES_MAX);
    cfg->queues[cfg->queue_count++] = q;
    return 0;
}

static int set_queues(struct parsed *p, const char *value, struct errbuf *eb)
{
    const char *s = value;
    for (;;) {
        size_t n = strcspn(s, ",");
        int rc = add_queue(p->o, s, n, eb);
        if (rc != 0)
            return rc;
        if (s[n] == '\0')
            return 0;
        s += n + 1;
    }
}

static int set_handlers(struct parsed *p, const char *value, struct errbuf *eb)
{
    if (p->dir_count == HANDLER_FLAGS_MAX)
        return errbuf_set(eb, ERR_INVALID, "too many directories");
    p->dirs[p->dir_count++] = value;
    return 0;
}

static int set_handler(struct parsed *p, const char *value, struct errbuf *eb)
{
    if (p->handler_count == HANDLER_FLAGS_MAX)
        return errbuf_set(eb, ERR_INVALID, "too many handlers");
    p->handlers[p->handler_count++] = value;
    return 0;
}

static int set_name_text(const char *value, char *out, const char *what,
                         struct errbuf *eb)
{
    if (!text_is_name(value, strlen(value)))
        return errbuf_set(eb, ERR_INVALID, "\"%s\" is no valid %s", value,
                          what);
    (void)snprintf(out, NAME_MAX_LEN + 1, "%s", value);
    return 0;
}

static int set_namespace(struct parsed *p, const char *value, struct errbuf *eb)
{
    return set_name_text(value, p->o->config.ns, "namespace", eb);
}

static int set_name(struct parsed *p, const char *value, struct errbuf *eb)
{
    return set_name_text(value, p->o->config.name, "name of a worker", eb);
}

static int set_unsigned(const char *value, int64_t min, int64_t max,
                        const char *what, unsigned *out, struct errbuf *eb)
{
    int64_t n;
    int rc = text_parse_int(value, min, max, what, &n, eb);
    if (rc == 0)
        *out = (unsigned)n;
    return rc;
}

static int set_threads(struct parsed *p, const char *value, struct errbuf *eb)
{
    return set_unsigned(value, 1, 1000, "threads", &p->o->config.threads, eb);
}

static int set_max_window(struct parsed *p, const char *value,
                          struct errbuf *eb)
{
    return set_unsigned(value, 1, 1000, "window", &p->o->config.max_window, eb);
}

static int set_max_recoveries(struct parsed *p, const char *value,
                              struct errbuf *eb)
{
    return set_unsigned(value, 0, 12, "recoveries",
                        &p->o->config.max_recoveries, eb);
}

static int set_size(const char *value, int64_t min, int64_t max, size_t *out,
                    struct errbuf *eb)
{
    int64_t n;
    int rc = text_parse_size(value, &n, eb);
    if (rc == 0 && (n < min || n > max))
        return errbuf_set(eb, ERR_INVALID, "%s is not within %lld and %lld",
                          value, (long long)min, (long long)max);
    if (rc == 0)
        *out = (size_t)n;
    return rc;
}

static int set_max_window_bytes(struct parsed *p, const char *value,
                                struct errbuf *eb)
{
    return set_size(value, 1024, 1LL << 32, &p->o->config.max_window_bytes, eb);
}

static int set_max_job_bytes(struct parsed *p, const char *value,
                             struct errbuf *eb)
{
    return set_size(value, 256, 256LL << 20, &p->o->config.max_job_bytes, eb);
}

static int set_result_max(struct parsed *p, const char *value,
                          struct errbuf *eb)
{
    return set_size(value, 0, 16LL << 20, &p->o->limits.result_max, eb);
}

static int set_duration(const char *value, int64_t min, int64_t max,
                        int64_t *out, struct errbuf *eb)
{
    int64_t ms;
    char a[32], b[32];
    int rc = text_parse_duration(value, &ms, eb);
    if (rc == 0 && (ms < min || ms > max))
        return errbuf_set(eb, ERR_INVALID, "%s is not within %s and %s", value,
                          text_format_duration(min, a),
                          text_format_duration(max, b));
    if (rc == 0)
        *out = ms;
    return rc;
}

static int set_lease(struct parsed *p, const char *value, struct errbuf *eb)
{
    return set_duration(value, 3000, 3600000, &p->o->config.lease_ms, eb);
}

static int set_drain_timeout(struct parsed *p, const char *value,
                             struct errbuf *eb)
{
    return set_duration(value, 0, 7LL * 86400000,
                        &p->o->config.drain_timeout_ms, eb);
}

static int set_timeout(struct parsed *p, const char *value, struct errbuf *eb)
{
    return set_duration(value, 1, 7LL * 86400000, &p->o->limits.timeout_ms, eb);
}

static int set_kill_after(struct parsed *p, const char *value,
                          struct errbuf *eb)
{
    return set_duration(value, 0, 3600000, &p->o->limits.kill_after_ms, eb);
}

static int set_delivery(struct parsed *p, const char *value, struct errbuf *eb)
{
    if (strcmp(value, "at-most-once") != 0 &&
        strcmp(value, "at-least-once") != 0)
        return errbuf_set(eb, ERR_INVALID,
                          "\"%s\" is neither at-least-once nor at-most-once",
                          value);
    p->o->config.at_most_once = strcmp(value, "at-most-once") == 0;
    return 0;
}

static int set_burst(struct parsed *p, const char *value, struct errbuf *eb)
{
    (void)value;
    (void)eb;
    p->o->config.burst = true;
    return 0;
}

static int set_fence(struct parsed *p, const char *value, struct errbuf *eb)
{
    (void)value;
    (void)eb;
    p->o->config.fence = true;
    return 0;
}

static int set_url(struct parsed *p, const char *value, struct errbuf *eb)
{
    (void)eb;
    p->url = value;
    return 0;
}

static int set_password_file(struct parsed *p, const char *value,
                             struct errbuf *eb)
{
    (void)eb;
    p->password_file = value;
    return 0;
}

static int set_log_level(struct parsed *p, const char *value, struct errbuf *eb)
{
    return log_level_parse(value, &p->o->log_level, eb);
}

static int set_log_format(struct parsed *p, const char *value,
                          struct errbuf *eb)
{
    return log_format_parse(value, &p->o->log_format, eb);
}

static int set_help(struct parsed *p, const char *value, struct errbuf *eb)
{
    (void)value;
    (void)eb;
    p->o->help = true;
    return 0;
}

static int set_version(struct parsed *p, const char *value, struct errbuf *eb)
{
    (void)value;
    (void)eb;
    p->o->version = true;
    return 0;
}

static const struct flag flags[] = {
    {"--queues", "-q", "A,B", "BELT_QUEUES",
     "queues in strict order, or with weights: a:6,b:1 (default)", set_queues},
    {"--handlers", NULL, "DIR", NULL,
     "each file of DIR handles the jobs of the type it is named after",
     set_handlers},
    {"--handler", NULL, "TYPE=KIND:SPEC", NULL,
     "'thumb=exec:/usr/bin/convert - -resize 64 -', 'x.*=builtin:noop'",
     set_handler},
    {"--threads", NULL, "N", NULL, "jobs that run at once (4)", set_threads},
    {"--redis", "-u", "URL", NULL,
     "else BELT_REDIS_URL, REDIS_URL, redis://127.0.0.1:6379", set_url},
    {"--password-file", NULL, "FILE", NULL,
     "password of Redis, in the first line; else REDISCLI_AUTH",
     set_password_file},
    {"--namespace", NULL, "NS", "BELT_NAMESPACE",
     "first part of all keys (belt)", set_namespace},
    {"--name", NULL, "NAME", NULL, "in the ids of its lanes (host name)",
     set_name},
    {"--lease", NULL, "D", NULL,
     "how long it may be silent before its jobs are given to others (15s)",
     set_lease},
    {"--timeout", NULL, "D", NULL, "of one attempt (30m)", set_timeout},
    {"--kill-after", NULL, "D", NULL, "from TERM to KILL of a handler (10s)",
     set_kill_after},
    {"--drain-timeout", NULL, "D", NULL,
     "how long running jobs may go on after TERM (30s)", set_drain_timeout},
    {"--max-window", NULL, "N", NULL, "jobs held, running and waiting (1000)",
     set_max_window},
    {"--max-window-bytes", NULL, "SIZE", NULL, "bytes of jobs held (64m)",
     set_max_window_bytes},
    {"--max-bytes", NULL, "SIZE", NULL, "of one envelope (1m)",
     set_max_job_bytes},
    {"--max-result", NULL, "SIZE", NULL, "of one result (64k)", set_result_max},
    {"--max-recoveries", NULL, "N", NULL,
     "dead workers within three days that make a job dead, 0: never (3)",
     set_max_recoveries},
    {"--delivery", NULL, "MODE", NULL,
     "at-least-once or at-most-once (at-least-once)", set_delivery},
    {"--fence", NULL, NULL, NULL, "every job has a BELT_FENCE", set_fence},
    {"--burst", NULL, NULL, NULL, "end when its queues are empty", set_burst},
    {"--log-level", NULL, "LEVEL", "BELT_LOG_LEVEL",
     "debug, info, warn or error (info)", set_log_level},
    {"--log-format", NULL, "FORMAT", "BELT_LOG_FORMAT",
     "logfmt or json (logfmt)", set_log_format},
    {"--help", "-h", NULL, NULL, "this text", set_help},
    {"--version", NULL, NULL, NULL, "the version", set_version},
};
enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };

void options_help(FILE *out)
{
    (void)fprintf(out,
                  "Usage: belt-worker [-q A,B] [--handlers DIR] "
                  "[--handler TYPE=KIND:SPEC]... [FLAG]...\n"
                  "Takes jobs from queues in Redis and runs their handlers.\n"
                  "\n");
    for (unsigned i = 0; i < FLAGS; i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "%s%s%s%s%s",
                       flags[i].brief != NULL ? flags[i].brief : "",
                       flags[i].brief != NULL ? ", " : "", flags[i].name,
                       flags[i].arg != NULL ? " " : "",
                       flags[i].arg != NULL ? flags[i].arg : "");
        (void)fprintf(out, "  %-26s %s\n", left, flags[i].help);
    }
    (void)fprintf(
        out, "\nDurations: 500ms 10s 5m 2h 7d. Sizes: 64k 10m 1g.\n"
             "Signals: TERM and INT give back what has not begun and end; "
             "once more: at once.\n"
             "USR1: fetch nothing more.\n"
             "Exit: 0 ended as told, 64 usage, 69 Redis away at the end, 78 "
             "configuration.\n");
}

static const struct flag *find_flag(const char *arg, size_t len,
                                    struct errbuf *eb)
{
    const char *names[FLAGS];
    char word[64];
    for (unsigned i = 0; i < FLAGS; i++) {
        names[i] = flags[i].name;
        if ((strlen(flags[i].name) == len &&
             memcmp(flags[i].name, arg, len) == 0) ||
            (flags[i].brief != NULL && len == 2 &&
             memcmp(flags[i].brief, arg, len) == 0))
            return &flags[i];
    }
    (void)snprintf(word, sizeof(word), "%.*s", (int)len, arg);
    const char *near = text_nearest(word, names, FLAGS);
    (void)errbuf_set(eb, ERR_INVALID, "unknown argument \"%s\"%s%s%s", word,
                     near != NULL ? ", did you mean " : "",
                     near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

static int read_flags(int argc, char **argv, struct parsed *p, bool *seen,
                      struct errbuf *eb)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;
        const char *eq = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
        size_t len = eq != NULL ? (size_t)(eq - arg) : strlen(arg);
        const struct flag *f = find_flag(arg, len, eb);
        if (f == NULL)
            return ERR_INVALID;
        if (f->arg == NULL && eq != NULL)
            return errbuf_set(eb, ERR_INVALID, "%s takes no value", f->name);
        if (f->arg != NULL) {
            value = eq != NULL ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
            if (value == NULL)
                return errbuf_set(eb, ERR_INVALID, "%s needs a value: %s",
                                  f->name, f->arg);
        }
        seen[f - flags] = true;
        int rc = f->set(p, value, eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "%s", f->name);
    }
    return 0;
}

static int read_environment(struct parsed *p, const bool *seen,
                            struct errbuf *eb)
{
    for (unsigned i = 0; i < FLAGS; i++) {
        const char *value = NULL;
        if (flags[i].env != NULL && !seen[i])
            value = getenv(flags[i].env);
        if (value == NULL || value[0] == '\0')
            continue;
        int rc = flags[i].set(p, value, eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "%s", flags[i].env);
    }
    return 0;
}

static int build_handlers(struct parsed *p, struct errbuf *eb)
{
    struct options *o = p->o;
    o->handlers = handlers_new(&o->limits);
    o->config.handlers = o->handlers;
    for (unsigned i = 0; i < p->dir_count; i++) {
        int rc = handlers_add_dir(o->handlers, p->dirs[i], eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "--handlers");
    }
    for (unsigned i = 0; i < p->handler_count; i++) {
        int rc = handlers_add(o->handlers, p->handlers[i], eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "--handler");
    }
    if (handlers_count(o->handlers) == 0)
        return errbuf_set(eb, ERR_INVALID,
                          "no handlers: give --handlers DIR or --handler "
                          "TYPE=KIND:SPEC");
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct errbuf *eb)
{
    bool seen[FLAGS] = {false};
    struct parsed p = {.o = ret};
    *ret = (struct options){.config = {.ns = "belt",
                                       .threads = 4,
                                       .max_window = 1000,
                                       .max_window_bytes = 64U << 20,
                                       .max_job_bytes = JOB_ENVELOPE_MAX_BYTES,
                                       .lease_ms = 15000,
                                       .drain_timeout_ms = 30000,
                                       .max_recoveries = 3},
                            .limits = {.timeout_ms = 30 * 60 * 1000,
                                       .kill_after_ms = 10 * 1000,
                                       .result_max = 64 * 1024,
                                       .stderr_max = 8 * 1024},
                            .log_level = LOG_LVL_INFO};
    ret->config.queues = mem_new(QUEUES_MAX * sizeof(*ret->config.queues));
    int rc = read_flags(argc, argv, &p, seen, eb);
    if (rc == 0 && (ret->help || ret->version))
        return 0;
    if (rc == 0)
        rc = read_environment(&p, seen, eb);
    if (rc == 0 && ret->config.queue_count == 0)
        rc = add_queue(ret, "default", strlen("default"), eb);
    if (rc == 0)
        rc = url_resolve(p.url, p.password_file, &ret->config.url, eb);
    if (rc == 0)
        rc = build_handlers(&p, eb);
    return rc;
}

void options_done(struct options *o)
{
    free(o->config.queues);
    handlers_free(o->handlers);
    *o = (struct options){0};
}
