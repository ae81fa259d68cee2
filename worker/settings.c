/*
 * Settings: the rows, and what each does with its value.
 *
 * Defaults are set through the same functions as all other values, so that
 * what --help shows is what holds.
 *
 * Thread: one at a time, which reads the configuration.
 */
#include "worker/settings.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "worker/listen.h"
#include "worker/options.h"
#include "worker/queue_list.h"

static int set_queues(struct settings *s, const char *value, struct errbuf *eb)
{
    if (s->first) {
        s->o->config.queue_count = 0;
        s->o->config.weighted = false;
    }
    return queue_list_add(&s->o->config, value, eb);
}

static void drop_dirs(struct settings *s)
{
    for (size_t i = 0; i < s->dir_count; i++)
        free(s->dirs[i]);
    s->dir_count = 0;
}

static int set_handlers(struct settings *s, const char *value,
                        struct errbuf *eb)
{
    if (value[0] == '\0')
        return errbuf_set(eb, ERR_INVALID, "it names no directory");
    if (s->first)
        drop_dirs(s);
    s->dirs = mem_resize(s->dirs, (s->dir_count + 1) * sizeof(*s->dirs));
    s->dirs[s->dir_count++] = mem_strdup(value);
    return 0;
}

static int set_handler(struct settings *s, const char *value, struct errbuf *eb)
{
    (void)eb;
    struct handler_wish w = {.what = mem_strdup(value),
                             .limits = LIMITS_UNSET,
                             .from.layer = LAYER_FLAG};
    handler_keys_init(&w.keys);
    settings_wish(s, w);
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

static int set_namespace(struct settings *s, const char *value,
                         struct errbuf *eb)
{
    return set_name_text(value, s->o->config.ns, "namespace", eb);
}

static int set_name(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_name_text(value, s->o->config.name, "name of a worker", eb);
}

static int set_unsigned(const char *value, int64_t min, int64_t max,
                        unsigned *out, struct errbuf *eb)
{
    int64_t n;
    int rc = text_parse_int(value, min, max, NULL, &n, eb);
    if (rc == 0)
        *out = (unsigned)n;
    return rc;
}

static int set_threads(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_unsigned(value, 1, 1000, &s->o->config.threads, eb);
}

static int set_subtask_threads(struct settings *s, const char *value,
                               struct errbuf *eb)
{
    return set_unsigned(value, 1, 1000, &s->o->config.subtask_threads, eb);
}

static int set_subtask_window(struct settings *s, const char *value,
                              struct errbuf *eb)
{
    return set_unsigned(value, 1, 10000, &s->o->config.subtask_window, eb);
}

static int set_max_window(struct settings *s, const char *value,
                          struct errbuf *eb)
{
    return set_unsigned(value, 1, 10000, &s->o->config.max_window, eb);
}

static int set_max_recoveries(struct settings *s, const char *value,
                              struct errbuf *eb)
{
    return set_unsigned(value, 0, 12, &s->o->config.max_recoveries, eb);
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

static int set_max_window_bytes(struct settings *s, const char *value,
                                struct errbuf *eb)
{
    return set_size(value, 1024, 1LL << 32, &s->o->config.max_window_bytes, eb);
}

static int set_subtask_results(struct settings *s, const char *value,
                               struct errbuf *eb)
{
    return set_size(value, 1024, 1LL << 32, &s->o->config.subtask_results, eb);
}

static int set_max_job_bytes(struct settings *s, const char *value,
                             struct errbuf *eb)
{
    return set_size(value, 256, 256LL << 20, &s->o->config.max_job_bytes, eb);
}

static int set_result_max(struct settings *s, const char *value,
                          struct errbuf *eb)
{
    return set_size(value, 0, 16LL << 20, &s->limits->result_max, eb);
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

static int set_lease(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_duration(value, 3000, 3600000, &s->o->config.lease_ms, eb);
}

static int set_drain_timeout(struct settings *s, const char *value,
                             struct errbuf *eb)
{
    return set_duration(value, 0, 7LL * 86400000,
                        &s->o->config.drain_timeout_ms, eb);
}

static int set_timeout(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_duration(value, 1, 7LL * 86400000, &s->limits->timeout_ms, eb);
}

static int set_kill_after(struct settings *s, const char *value,
                          struct errbuf *eb)
{
    return set_duration(value, 0, 3600000, &s->limits->kill_after_ms, eb);
}

static int set_cancel_kill_after(struct settings *s, const char *value,
                                 struct errbuf *eb)
{
    return set_duration(value, 0, 3600000, &s->limits->cancel_kill_after_ms,
                        eb);
}

static int set_delivery(struct settings *s, const char *value,
                        struct errbuf *eb)
{
    if (strcmp(value, "at-most-once") != 0 &&
        strcmp(value, "at-least-once") != 0)
        return errbuf_set(eb, ERR_INVALID,
                          "\"%s\" is neither at-least-once nor at-most-once",
                          value);
    s->o->config.at_most_once = strcmp(value, "at-most-once") == 0;
    return 0;
}

/* value is NULL for the flag of a switch. */
static int set_switch(const char *value, bool *out, struct errbuf *eb)
{
    if (value != NULL)
        return text_parse_switch(value, out, eb);
    *out = true;
    return 0;
}

static int set_burst(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_switch(value, &s->o->config.burst, eb);
}

static int set_fence(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_switch(value, &s->o->config.fence, eb);
}

static void replace_text(char **text, const char *value)
{
    if (*text != NULL)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = value != NULL ? mem_strdup(value) : NULL;
}

static int set_url(struct settings *s, const char *value, struct errbuf *eb)
{
    struct url url;
    int rc = url_parse(value, &url, eb);
    if (rc != 0)
        return rc;
    explicit_bzero(&url, sizeof(url));
    replace_text(&s->url, value);
    return 0;
}

static int set_password_file(struct settings *s, const char *value,
                             struct errbuf *eb)
{
    (void)eb;
    replace_text(&s->password_file, value);
    return 0;
}

static int set_listen(struct settings *s, const char *value, struct errbuf *eb)
{
    char *out = s->o->config.listen;
    struct address at;
    int rc = listen_parse(value, &at, eb);
    if (rc == 0)
        (void)snprintf(out, LISTEN_MAX_LEN + 1, "%s", value);
    return rc;
}

static int set_log_level(struct settings *s, const char *value,
                         struct errbuf *eb)
{
    return log_level_parse(value, &s->o->log_level, eb);
}

static int set_log_format(struct settings *s, const char *value,
                          struct errbuf *eb)
{
    return log_format_parse(value, &s->o->log_format, eb);
}

static int set_config(struct settings *s, const char *value, struct errbuf *eb)
{
    if (s->config != NULL)
        return errbuf_set(eb, ERR_INVALID, "there can be only one");
    replace_text(&s->config, value);
    return 0;
}

static int set_check(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_switch(value, &s->o->check, eb);
}

static int set_help(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_switch(value, &s->o->help, eb);
}

static int set_version(struct settings *s, const char *value, struct errbuf *eb)
{
    return set_switch(value, &s->o->version, eb);
}

/* Flag, its argument, what sets it, help, section of the file, and more. */
#define ROW(f, a, fn, text, ...)                                               \
    {                                                                          \
        .flag = (f), .arg = (a), .set = (fn), .help = (text), __VA_ARGS__      \
    }
#define IN_NO_FILE .section = NULL
#define IN_WORKER .section = "worker"
#define IN_LIMITS .section = "limits"
#define IN_REDIS .section = "redis"

static const struct setting rows[] = {
    ROW("--queues", "A,B", set_queues,
        "queues in strict order, with weights a:6,b:1, or patterns x.*",
        IN_WORKER, .brief = "-q", .env = "BELT_QUEUES", .def = "default"),
    ROW("--handlers", "DIR", set_handlers,
        "each file of DIR handles the jobs of the type it is named after",
        IN_WORKER),
    ROW("--handler", "TYPE=KIND:SPEC", set_handler,
        "'thumb=exec:/usr/bin/convert - -resize 64 -', 'x.*=builtin:noop'",
        IN_NO_FILE),
    ROW("--threads", "N", set_threads, "jobs that run at once", IN_WORKER,
        .def = "4"),
    ROW("--redis", "URL", set_url,
        "else BELT_REDIS_URL, REDIS_URL, redis://127.0.0.1:6379", IN_REDIS,
        .key = "url", .brief = "-u"),
    ROW("--password-file", "FILE", set_password_file,
        "password of Redis, in the first line; else REDISCLI_AUTH", IN_REDIS),
    ROW("--namespace", "NS", set_namespace, "first part of all keys", IN_WORKER,
        .env = "BELT_NAMESPACE", .def = "belt"),
    ROW("--name", "NAME", set_name, "in the ids of its lanes (host name)",
        IN_WORKER),
    ROW("--lease", "D", set_lease,
        "how long it may be silent before its jobs are given to others",
        IN_WORKER, .def = "15s"),
    ROW("--timeout", "D", set_timeout, "of one attempt", IN_LIMITS,
        .def = "30m", .per_handler = true),
    ROW("--kill-after", "D", set_kill_after, "from TERM to KILL of a handler",
        IN_LIMITS, .def = "10s", .per_handler = true),
    ROW("--cancel-kill-after", "D", set_cancel_kill_after,
        "the same, of a job that was cancelled", IN_LIMITS, .def = "500ms",
        .per_handler = true),
    ROW("--drain-timeout", "D", set_drain_timeout,
        "how long running jobs may go on after TERM", IN_LIMITS, .def = "30s"),
    ROW("--max-window", "N", set_max_window, "jobs held, running and waiting",
        IN_LIMITS, .def = "10000"),
    ROW("--max-window-bytes", "SIZE", set_max_window_bytes,
        "bytes of jobs held", IN_LIMITS, .def = "64m"),
    ROW("--max-bytes", "SIZE", set_max_job_bytes, "of one envelope", IN_LIMITS,
        .def = "1m"),
    ROW("--max-result", "SIZE", set_result_max, "of one result", IN_LIMITS,
        .def = "64k", .per_handler = true),
    ROW("--subtask-threads", "N", set_subtask_threads,
        "sub-tasks that run at once (as many as threads)", IN_WORKER),
    ROW("--subtask-window", "N", set_subtask_window,
        "unfinished sub-tasks of one job (four times their threads, 64)",
        IN_LIMITS),
    ROW("--subtask-results", "SIZE", set_subtask_results,
        "bytes of results that wait for one job", IN_LIMITS, .def = "64m"),
    ROW("--max-recoveries", "N", set_max_recoveries,
        "dead workers within three days that make a job dead, 0: never",
        IN_LIMITS, .def = "3"),
    ROW("--delivery", "MODE", set_delivery, "at-least-once or at-most-once",
        IN_WORKER, .def = "at-least-once"),
    ROW("--fence", NULL, set_fence, "every job has a BELT_FENCE", IN_WORKER),
    ROW("--burst", NULL, set_burst, "end when its queues are empty", IN_WORKER),
    ROW("--listen", "ADDR", set_listen,
        "/livez, /readyz and /metrics; :9090 is 127.0.0.1", IN_WORKER),
    ROW("--log-level", "LEVEL", set_log_level, "debug, info, warn or error",
        IN_WORKER, .env = "BELT_LOG_LEVEL", .def = "info"),
    ROW("--log-format", "FORMAT", set_log_format, "logfmt or json", IN_WORKER,
        .env = "BELT_LOG_FORMAT", .def = "logfmt"),
    ROW("--config", "FILE", set_config,
        "read what no flag and no variable says from FILE", IN_NO_FILE,
        .brief = "-c", .early = true),
    ROW("--check", NULL, set_check,
        "say what is wrong with all of this, or ok, and end", IN_NO_FILE,
        .early = true),
    ROW("--help", NULL, set_help, "this text", IN_NO_FILE, .brief = "-h",
        .early = true),
    ROW("--version", NULL, set_version, "the version", IN_NO_FILE,
        .early = true),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert((int)ROWS <= (int)SETTINGS_MAX, "settings.from is too short");

void settings_init(struct settings *s, struct options *o)
{
    *s = (struct settings){.o = o, .limits = &o->limits};
    o->config.queues = mem_new(QUEUES_MAX * sizeof(*o->config.queues));
    o->limits.stderr_max = 8 * 1024;
    for (unsigned i = 0; i < ROWS; i++) {
        struct source def = {.layer = LAYER_DEFAULT};
        struct errbuf eb;
        int rc = rows[i].def != NULL
                     ? settings_set(s, &rows[i], rows[i].def, def, &eb)
                     : 0;
        assert(rc == 0);
        (void)rc;
    }
}

void settings_done(struct settings *s)
{
    drop_dirs(s);
    free(s->dirs);
    for (size_t i = 0; i < s->handler_count; i++) {
        free(s->handlers[i].type);
        free(s->handlers[i].what);
        handler_keys_done(&s->handlers[i].keys);
    }
    free(s->handlers);
    for (size_t i = 0; i < s->retry_count; i++)
        free(s->retries[i].name);
    free(s->retries);
    for (size_t i = 0; i < s->queue_count; i++)
        free(s->queues[i].name);
    free(s->queues);
    for (unsigned i = 0; i < s->file_count; i++)
        free(s->files[i]);
    free(s->files);
    replace_text(&s->config, NULL);
    replace_text(&s->url, NULL);
    replace_text(&s->password_file, NULL);
    for (unsigned i = 0; i < s->wrong_count && i < WRONG_MAX; i++)
        free(s->wrong[i].text);
}

const struct setting *settings_row(unsigned i)
{
    return i < ROWS ? &rows[i] : NULL;
}

unsigned setting_index(const struct setting *row)
{
    return (unsigned)(row - rows);
}

const char *setting_key(const struct setting *row)
{
    return row->key != NULL ? row->key : row->flag + strlen("--");
}

int settings_set(struct settings *s, const struct setting *row,
                 const char *value, struct source from, struct errbuf *eb)
{
    struct source *last = &s->from[setting_index(row)];
    s->first = last->layer != from.layer;
    *last = from;
    return row->set(s, value, eb);
}

void settings_wish(struct settings *s, struct handler_wish wish)
{
    s->handlers =
        mem_resize(s->handlers, (s->handler_count + 1) * sizeof(wish));
    s->handlers[s->handler_count++] = wish;
}

void settings_retry(struct settings *s, struct retry_wish wish)
{
    s->retries = mem_resize(s->retries, (s->retry_count + 1) * sizeof(wish));
    s->retries[s->retry_count++] = wish;
}

void settings_queue(struct settings *s, struct queue_wish wish)
{
    s->queues = mem_resize(s->queues, (s->queue_count + 1) * sizeof(wish));
    s->queues[s->queue_count++] = wish;
}

unsigned settings_file(struct settings *s, const char *name)
{
    s->files = mem_resize(s->files, (s->file_count + 1) * sizeof(char *));
    s->files[s->file_count] = mem_strdup(name);
    return s->file_count++;
}

const char *settings_place(const struct settings *s, struct source at,
                           unsigned file, char out[PLACE_MAX])
{
    if (at.file == file)
        (void)snprintf(out, PLACE_MAX, "line %u", at.line);
    else
        (void)snprintf(out, PLACE_MAX, "%s:%u", s->files[at.file], at.line);
    return out;
}

/* Whether the i-th thing that is wrong stands behind that place. */
static bool is_behind(const struct settings *s, unsigned i, unsigned file,
                      unsigned line)
{
    return s->wrong[i].file != file ? s->wrong[i].file > file
                                    : s->wrong[i].line > line;
}

void settings_wrong(struct settings *s, struct source from,
                    const struct errbuf *eb)
{
    bool of_file = from.layer == LAYER_FILE;
    unsigned file = of_file ? from.file : UINT_MAX, line = from.line;
    unsigned at = s->wrong_count++;
    struct buf text = {0};
    if (at >= WRONG_MAX)
        return;
    /* One line each, whatever the values hold. */
    if (of_file)
        safe_append(&text, s->files[file], strlen(s->files[file]));
    if (of_file && line > 0)
        buf_printf(&text, ":%u", line);
    if (of_file)
        buf_str(&text, ": ");
    safe_append(&text, eb->text, strlen(eb->text));
    for (; at > 0 && is_behind(s, at - 1, file, line); at--)
        s->wrong[at] = s->wrong[at - 1];
    s->wrong[at].file = file;
    s->wrong[at].line = line;
    s->wrong[at].text = buf_take(&text);
}

char *settings_wrong_text(const struct settings *s)
{
    struct buf b = {0};
    for (unsigned i = 0; i < s->wrong_count && i < WRONG_MAX; i++)
        buf_printf(&b, "%s\n", s->wrong[i].text);
    if (s->wrong_count > WRONG_MAX)
        buf_printf(&b, "and %u more\n", s->wrong_count - WRONG_MAX);
    return buf_take(&b);
}
