/*
 * The configuration files: what flags say, without dashes.
 *
 * libconfuse parses; every option is a text to it, and each is set as soon as
 * it is read, by the same function as the flag, since only then the line is
 * known. Callbacks note what is wrong and let the parser go on. Unknown keys
 * too: CFGF_KEYSTRVAL takes them as texts once it has reported them. Only
 * what breaks the syntax ends it early.
 *
 * Thread: one at a time: main before all others, later that of a reload.
 */
#include "worker/config.h"

#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/config_priv.h"
#include "worker/config_text.h"
#include "worker/options.h"

enum {
    FILE_MAX = 1 << 20,
    FILES_MAX = 1000, /* in all, so that a glob of everything ends */
};

#define INCLUDE "include"

struct reader *config_reading;

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static int on_key(cfg_t *cfg, cfg_opt_t *opt);
static int on_include(cfg_t *cfg, cfg_opt_t *opt);

void config_wrong(struct reader *r, unsigned line, const struct errbuf *eb)
{
    r->last_line = line;
    settings_wrong(r->s, (struct source){LAYER_FILE, line, r->file}, eb);
}

static void wrong_at(void *arg, unsigned line, const struct errbuf *eb)
{
    config_wrong(arg, line, eb);
}

int config_blame(struct reader *r, const cfg_t *cfg, const char *key, int rc,
                 struct errbuf *eb)
{
    if (rc != 0) {
        (void)errbuf_wrap(eb, rc, "%s", key);
        config_wrong(r, (unsigned)cfg->line, eb);
    }
    return 0;
}

int config_set_once(unsigned before, struct errbuf *eb)
{
    if (before == 0)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "line %u says it already", before);
}

int config_set_once_at(const struct reader *r, struct source before,
                       struct errbuf *eb)
{
    char text[PLACE_MAX];
    if (before.layer != LAYER_FILE)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "%s says it already",
                      settings_place(r->s, before, r->file, text));
}

static int read_file(const char *path, struct buf *ret, struct errbuf *eb)
{
    char chunk[16384];
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd >= 0 && ret->len <= FILE_MAX &&
           (n = read(fd, chunk, sizeof(chunk))) > 0)
        buf_append(ret, chunk, (size_t)n);
    if (fd < 0 || n < 0)
        (void)errbuf_set(eb, ERR_SYSTEM, "%s", strerror(errno));
    explicit_bzero(chunk, sizeof(chunk));
    if (fd >= 0)
        close(fd);
    if (fd < 0 || n < 0)
        return ERR_SYSTEM;
    if (ret->len > FILE_MAX)
        return errbuf_set(eb, ERR_TOO_BIG, "longer than %d bytes", FILE_MAX);
    /* fmemopen wants at least a byte. */
    if (ret->len == 0 || ret->data[ret->len - 1] != '\n')
        buf_char(ret, '\n');
    return 0;
}

/* Whether it is text at all; else notes the line where it is not. */
static bool is_text(struct reader *r, const struct buf *b)
{
    size_t bad = text_utf8_error(b->data, b->len), nul = strlen(b->data);
    unsigned line = 1;
    struct errbuf eb;
    if (nul < bad)
        bad = nul;
    if (bad == b->len)
        return true;
    for (size_t i = 0; i < bad; i++)
        line += b->data[i] == '\n';
    (void)errbuf_set(&eb, ERR_INVALID, "not a text in UTF-8");
    wrong_at(r, line, &eb);
    return false;
}

cfg_opt_t config_text_opt(const char *name, cfg_validate_callback_t cb)
{
    cfg_opt_t opt = CFG_STR(name, NULL, CFGF_NODEFAULT);
    opt.validcb = cb;
    return opt;
}

const cfg_t *config_last_section(cfg_opt_t *opt)
{
    const cfg_t *last = cfg_opt_getnsec(opt, 0);
    for (unsigned i = 1; i < cfg_opt_size(opt); i++) {
        const cfg_t *section = cfg_opt_getnsec(opt, i);
        if (section->line >= last->line)
            last = section;
    }
    return last;
}

/*
 * Rows of one section, or of all if it is NULL. worker takes those of limits
 * too, as it did before there was that section. Returns how many.
 */
static unsigned rows_of(const char *section, cfg_opt_t *opts)
{
    const struct setting *row;
    unsigned n = 0;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        if (row->section != NULL &&
            (section == NULL || strcmp(section, row->section) == 0 ||
             (strcmp(section, "worker") == 0 &&
              strcmp(row->section, "limits") == 0)))
            opts[n++] = config_text_opt(setting_key(row), on_key);
    }
    return n;
}

static const char *const section_names[] = {
    "worker", "limits", "redis", "handler", "cron", "retry", "queue", NULL};

static cfg_t *make_parser(void)
{
    cfg_opt_t root[CONFIG_OPTS_MAX] = {{0}}, worker[CONFIG_OPTS_MAX] = {{0}};
    cfg_opt_t redis[CONFIG_OPTS_MAX] = {{0}}, limits[CONFIG_OPTS_MAX] = {{0}};
    cfg_opt_t handler[CONFIG_OPTS_MAX] = {{0}}, cron[CONFIG_OPTS_MAX] = {{0}};
    cfg_opt_t retry[CONFIG_OPTS_MAX] = {{0}}, queue[CONFIG_OPTS_MAX] = {{0}};
    cfg_opt_t sections[] = {
        CFG_SEC("worker", worker, CFGF_NONE),
        CFG_SEC("limits", limits, CFGF_NONE),
        CFG_SEC("redis", redis, CFGF_NONE),
        CFG_SEC("handler", handler, CFGF_MULTI | CFGF_TITLE),
        CFG_SEC("cron", cron, CFGF_MULTI | CFGF_TITLE),
        CFG_SEC("retry", retry, CFGF_MULTI | CFGF_TITLE),
        CFG_SEC("queue", queue, CFGF_MULTI | CFGF_TITLE),
    };
    sections[3].validcb = config_handler_end;
    sections[4].validcb = config_cron_end;
    sections[5].validcb = config_retry_end;
    sections[6].validcb = config_queue_end;
    (void)rows_of("worker", worker);
    (void)rows_of("limits", limits);
    (void)rows_of("redis", redis);
    config_handler_opts(handler);
    config_cron_opts(cron);
    config_retry_opts(retry);
    config_queue_opts(queue);
    unsigned n = rows_of(NULL, root);
    root[n++] = config_text_opt(INCLUDE, on_include);
    memcpy(root + n, sections, sizeof(sections));
    cfg_t *cfg = cfg_init(root, CFGF_KEYSTRVAL);
    if (cfg != NULL)
        cfg_set_error_function(cfg, on_error);
    return cfg;
}

/* Reports the key, with what may have been meant. */
static void unknown_key(cfg_t *cfg, const char *key, struct errbuf *eb)
{
    const char *names[CONFIG_OPTS_MAX], *near;
    bool at_top = strcmp(cfg_name(cfg), "root") == 0;
    cfg_opt_t *opt;
    unsigned n = 0;
    /* Unknown ones are added at the end, without a callback. */
    while (n < CONFIG_OPTS_MAX && (opt = cfg_getnopt(cfg, n)) != NULL &&
           (opt->validcb != NULL || opt->type == CFGT_SEC))
        names[n++] = cfg_opt_name(opt);
    near = text_nearest(key, names, n);
    (void)errbuf_set(eb, ERR_INVALID, "unknown key \"%s\"%s%s%s%s%s", key,
                     at_top ? "" : " in ", at_top ? "" : cfg_name(cfg),
                     near != NULL ? ", did you mean " : "",
                     near != NULL ? near : "", near != NULL ? "?" : "");
    if (strcmp(key, ";") == 0)
        (void)errbuf_set(eb, ERR_INVALID, "\";\": nothing ends a line here");
}

/* Whether the key is one that was reported already. */
static bool is_unknown(cfg_t *cfg, const char *key)
{
    cfg_opt_t *opt;
    for (unsigned i = 0; (opt = cfg_getnopt(cfg, i)) != NULL; i++)
        if (strcmp(cfg_opt_name(opt), key) == 0)
            return opt->validcb == NULL && opt->type != CFGT_SEC;
    return true;
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    unsigned line = (unsigned)cfg->line;
    struct errbuf eb;
    if (strcmp(fmt, "no such option '%s'") == 0) {
        unknown_key(cfg, va_arg(ap, const char *), &eb);
    } else if (strcmp(fmt, "missing equal sign after option '%s'") == 0) {
        const char *key = va_arg(ap, const char *);
        if (is_unknown(cfg, key))
            return;
        (void)errbuf_set(&eb, ERR_INVALID, "%s: no = behind it", key);
    } else {
        (void)vsnprintf(eb.text, sizeof(eb.text), fmt, ap);
    }
    config_wrong(config_reading, line, &eb);
}

const struct setting *config_find_row(const char *key)
{
    const struct setting *row;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++)
        if (row->section != NULL && strcmp(setting_key(row), key) == 0)
            return row;
    return NULL;
}

const char *config_value(cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, 0);
    assert(value != NULL);
    return value;
}

/* A key of worker, limits or redis. */
static int on_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const char *key = cfg_opt_name(opt);
    const struct setting *row = config_find_row(key);
    assert(row != NULL);
    struct source from = {LAYER_FILE, (unsigned)cfg->line, r->file};
    struct errbuf eb;
    int rc = config_set_once_at(r, r->s->from[setting_index(row)], &eb);
    if (rc == 0)
        rc = settings_set(r->s, row, config_value(opt), from, &eb);
    return config_blame(r, cfg, key, rc, &eb);
}

/* More files: they are read when this one has been. */
static int on_include(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const char *value = config_value(opt);
    struct errbuf eb;
    int rc = 0;
    if (!r->may_include)
        rc = errbuf_set(&eb, ERR_INVALID,
                        "only in the file that -c names, not in one of many");
    else if (value[0] == '\0')
        rc = errbuf_set(&eb, ERR_INVALID, "it names no file");
    if (rc == 0) {
        unsigned n = r->include_count++;
        r->includes = mem_resize(r->includes, (n + 1) * sizeof(char *));
        r->include_lines =
            mem_resize(r->include_lines, (n + 1) * sizeof(unsigned));
        r->includes[n] = mem_strdup(value);
        r->include_lines[n] = (unsigned)cfg->line;
    }
    return config_blame(r, cfg, INCLUDE, rc, &eb);
}

/* The library takes "" = x without a word. */
static bool has_empty_key(cfg_t *cfg)
{
    cfg_opt_t *opt;
    bool found = false;
    for (unsigned i = 0; !found && (opt = cfg_getnopt(cfg, i)) != NULL; i++) {
        found = cfg_opt_name(opt)[0] == '\0';
        for (unsigned n = 0; opt->type == CFGT_SEC && n < cfg_opt_size(opt);
             n++)
            found = found || has_empty_key(cfg_opt_getnsec(opt, n));
    }
    return found;
}

/* text is what config_text_prepare made. */
static int parse(struct buf *text, struct errbuf *eb)
{
    cfg_t *cfg = make_parser();
    FILE *f = fmemopen(text->data, text->len, "r");
    int rc = 0;
    if (cfg == NULL || f == NULL)
        rc = errbuf_set(eb, ERR_NOMEM, "out of memory");
    else if (cfg_parse_fp(cfg, f) != CFG_SUCCESS)
        rc = errbuf_set(eb, ERR_INVALID, "nothing behind this was read");
    else if (has_empty_key(cfg))
        rc = errbuf_set(eb, ERR_INVALID, "a key is empty");
    if (f != NULL)
        (void)fclose(f);
    if (cfg != NULL)
        cfg_free(cfg);
    return rc;
}

/* Reads one file, which errors call shown. */
static void read_one(struct reader *r, const char *path, const char *shown)
{
    struct buf text = {0};
    struct errbuf eb;
    r->file = settings_file(r->s, shown);
    r->last_line = 0;
    config_handler_begin(r);
    config_queue_begin(r);
    config_reading = r;
    int rc = read_file(path, &text, &eb);
    if (rc == 0 && is_text(r, &text) &&
        config_text_prepare(text.data, section_names, wrong_at, r) == 0)
        rc = parse(&text, &eb);
    /* An error of the file as a whole, or one behind the last of a line. */
    if (rc != 0)
        config_wrong(r, r->last_line, &eb);
    free(r->wish.type); /* of a section that did not end */
    free(r->wish.what);
    handler_keys_done(&r->wish.keys);
    cron_draft_done(&r->cron);
    r->retry = (struct retry_policy){0};
    memset(r->retry_lines, 0, sizeof(r->retry_lines));
    config_reading = NULL;
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
}

/* ---- which files ---- */

static bool is_passed_over(const char *path)
{
    const char *slash = strrchr(path, '/'),
               *name = slash != NULL ? slash + 1 : path;
    size_t n = strlen(name);
    return n == 0 || name[0] == '.' || name[n - 1] == '~';
}

/*
 * Reads the files that a pattern matches, by their names in order. In errors
 * the pattern is in that line of the first file. Returns how many were read.
 */
static unsigned read_glob(struct reader *r, const char *pattern, unsigned line)
{
    struct errbuf eb;
    unsigned n = 0;
    glob_t g = {0};
    int rc = glob(pattern, 0, NULL, &g);
    if (rc != 0 && rc != GLOB_NOMATCH)
        rc =
            errbuf_set(&eb, ERR_SYSTEM, INCLUDE ": %s cannot be read", pattern);
    else if (rc == GLOB_NOMATCH && strpbrk(pattern, "*?[") == NULL)
        rc = errbuf_set(&eb, ERR_INVALID, INCLUDE ": there is no %s", pattern);
    else if (r->s->file_count + g.gl_pathc > FILES_MAX)
        rc = errbuf_set(&eb, ERR_TOO_BIG, INCLUDE ": %s: more than %d files",
                        pattern, FILES_MAX);
    else
        rc = 0;
    if (rc != 0) {
        r->file = 0;
        config_wrong(r, line, &eb);
    }
    for (size_t i = 0; i < g.gl_pathc && rc == 0; i++) {
        if (is_passed_over(g.gl_pathv[i]))
            continue;
        read_one(r, g.gl_pathv[i], g.gl_pathv[i]);
        n++;
    }
    globfree(&g);
    return n;
}

/* Appends the directory of a file, with its slash; wildcards are escaped. */
static void put_escaped(struct buf *b, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr("*?[\\", p[i]) != NULL)
            buf_char(b, '\\');
        buf_char(b, p[i]);
    }
}

static void read_includes(struct reader *r)
{
    const char *path = r->s->config, *slash = strrchr(path, '/');
    r->may_include = false;
    for (unsigned i = 0; i < r->include_count; i++) {
        struct buf pattern = {0};
        if (r->includes[i][0] != '/' && slash != NULL)
            put_escaped(&pattern, path, (size_t)(slash - path) + 1);
        buf_str(&pattern, r->includes[i]);
        (void)read_glob(r, pattern.data, r->include_lines[i]);
        buf_done(&pattern);
    }
}

static void read_directory(struct reader *r)
{
    const char *path = r->s->config;
    struct buf pattern = {0};
    struct errbuf eb;
    put_escaped(&pattern, path, strlen(path));
    buf_str(&pattern, "/*.conf");
    if (read_glob(r, pattern.data, 0) == 0 && r->s->wrong_count == 0) {
        r->file = 0;
        (void)errbuf_set(&eb, ERR_INVALID, "no *.conf is in it");
        config_wrong(r, 0, &eb);
    }
    buf_done(&pattern);
}

static void reader_done(struct reader *r)
{
    for (unsigned i = 0; i < r->include_count; i++)
        free(r->includes[i]);
    free(r->includes);
    free(r->include_lines);
}

void config_read(struct settings *s)
{
    struct reader r = {.s = s};
    struct stat st;
    if (stat(s->config, &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)settings_file(s, s->config);
        read_directory(&r);
    } else {
        r.may_include = true;
        read_one(&r, s->config, s->config);
        read_includes(&r);
    }
    reader_done(&r);
}

void config_read_file(struct settings *s, const char *path, const char *shown)
{
    struct reader r = {.s = s, .may_include = true};
    read_one(&r, path, shown);
    reader_done(&r);
}
