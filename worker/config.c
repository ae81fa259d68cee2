/*
 * The configuration file: what flags say, without dashes.
 *
 * libconfuse parses; every option is a text to it, and each is set as soon as
 * it is read, by the same function as the flag, since only then the line is
 * known. Callbacks note what is wrong and let the parser go on. Unknown keys
 * too: CFGF_KEYSTRVAL takes them as texts once it has reported them. Only
 * what breaks the syntax ends it early, unknown sections among that.
 *
 * Thread: main, before all others. Callbacks get no argument of ours, so
 * there is one reader at a time, as with the library's lexer.
 */
#include "worker/config.h"

#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/config_cron.h"
#include "worker/config_text.h"
#include "worker/options.h"

enum {
    FILE_MAX = 1 << 20,
    OPTS_MAX = SETTINGS_MAX + HANDLER_KEYS_MAX + 16, /* sections, kinds */
};

struct reader {
    struct settings *s;       /* borrowed */
    struct handler_wish wish; /* the section handler that is read now */
    unsigned handler_line;    /* of its kind; 0: none yet */
    unsigned seen[OPTS_MAX];  /* lines of its limits, by row */
    char *cron_name;          /* owned: title of the section cron */
    struct cron_draft cron;   /* the section cron that is read now */
    unsigned last_line;       /* of the last thing that was wrong */
};

static struct reader *reading;

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static int on_key(cfg_t *cfg, cfg_opt_t *opt);
static int on_handler_key(cfg_t *cfg, cfg_opt_t *opt);
static int on_handler_end(cfg_t *cfg, cfg_opt_t *opt);
static int on_cron_key(cfg_t *cfg, cfg_opt_t *opt);
static int on_cron_end(cfg_t *cfg, cfg_opt_t *opt);

static void wrong_at(void *arg, unsigned line, const struct errbuf *eb)
{
    struct reader *r = arg;
    r->last_line = line;
    settings_wrong(r->s, (struct source){LAYER_FILE, line}, eb);
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

static cfg_opt_t text_opt(const char *name, cfg_validate_callback_t cb)
{
    cfg_opt_t opt = CFG_STR(name, NULL, CFGF_NODEFAULT);
    opt.validcb = cb;
    return opt;
}

/* Rows of one section, or of all if it is NULL. Returns how many. */
static unsigned rows_of(const char *section, cfg_opt_t *opts)
{
    const struct setting *row;
    unsigned n = 0;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        if (row->section != NULL &&
            (section == NULL || strcmp(section, row->section) == 0))
            opts[n++] = text_opt(setting_key(row), on_key);
    }
    return n;
}

static cfg_t *make_parser(void)
{
    cfg_opt_t root[OPTS_MAX] = {{0}}, worker[OPTS_MAX] = {{0}};
    cfg_opt_t redis[OPTS_MAX] = {{0}}, handler[OPTS_MAX] = {{0}};
    cfg_opt_t cron[CONFIG_CRON_KEYS + 1] = {{0}};
    cfg_opt_t sections[] = {
        CFG_SEC("worker", worker, CFGF_NONE),
        CFG_SEC("redis", redis, CFGF_NONE),
        CFG_SEC("handler", handler, CFGF_MULTI | CFGF_TITLE),
        CFG_SEC("cron", cron, CFGF_MULTI | CFGF_TITLE),
    };
    const struct setting *row;
    sections[2].validcb = on_handler_end;
    sections[3].validcb = on_cron_end;
    for (int i = 0; i < CONFIG_CRON_KEYS; i++)
        cron[i] = text_opt(config_cron_keys[i], on_cron_key);
    (void)rows_of("worker", worker);
    (void)rows_of("redis", redis);
    const char *name;
    unsigned n = 0;
    for (unsigned i = 0; (name = handlers_kind(i)) != NULL; i++)
        handler[n++] = text_opt(name, on_handler_key);
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++)
        if (row->per_handler)
            handler[n++] = text_opt(setting_key(row), on_handler_key);
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++)
        handler[n++] = text_opt(name, on_handler_key);
    memcpy(root + rows_of(NULL, root), sections, sizeof(sections));
    cfg_t *cfg = cfg_init(root, CFGF_KEYSTRVAL);
    if (cfg != NULL)
        cfg_set_error_function(cfg, on_error);
    return cfg;
}

/* Reports the key, with what may have been meant. */
static void unknown_key(cfg_t *cfg, const char *key, struct errbuf *eb)
{
    const char *names[OPTS_MAX], *near;
    bool at_top = strcmp(cfg_name(cfg), "root") == 0;
    cfg_opt_t *opt;
    unsigned n = 0;
    /* Unknown ones are added at the end, without a callback. */
    for (unsigned i = 0; (opt = cfg_getnopt(cfg, i)) != NULL; i++)
        if (n < OPTS_MAX && (opt->validcb != NULL || opt->type == CFGT_SEC))
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
    wrong_at(reading, line, &eb);
}

static const struct setting *find_row(const char *key)
{
    const struct setting *row;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++)
        if (row->section != NULL && strcmp(setting_key(row), key) == 0)
            return row;
    return NULL;
}

static const char *value_of(cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, 0);
    assert(value != NULL);
    return value;
}

static int set_once(unsigned before, struct errbuf *eb)
{
    if (before == 0)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "line %u says it already", before);
}

/* A key of worker or redis. Returns 0 always, so that the parser goes on. */
static int on_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct settings *s = reading->s;
    const char *key = cfg_opt_name(opt);
    const struct setting *row = find_row(key);
    assert(row != NULL);
    struct source *last = &s->from[setting_index(row)];
    struct source from = {LAYER_FILE, (unsigned)cfg->line};
    struct errbuf eb;
    int rc = set_once(last->layer == LAYER_FILE ? last->line : 0, &eb);
    if (rc == 0)
        rc = settings_set(s, row, value_of(opt), from, &eb);
    if (rc != 0) {
        (void)errbuf_wrap(&eb, rc, "%s", key);
        wrong_at(reading, from.line, &eb);
    }
    return 0;
}

/* What the handler does: its kind is the key. */
static int set_kind(struct reader *r, cfg_t *cfg, cfg_opt_t *opt,
                    struct errbuf *eb)
{
    struct handler_wish *w = &r->wish;
    int rc = set_once(r->handler_line, eb);
    if (rc != 0)
        return rc;
    r->handler_line = (unsigned)cfg->line;
    w->from = (struct source){LAYER_FILE, r->handler_line};
    w->type = mem_strdup(cfg_title(cfg));
    w->what = mem_printf("%s:%s", cfg_opt_name(opt), value_of(opt));
    return 0;
}

static int set_limit(struct reader *r, cfg_t *cfg, cfg_opt_t *opt,
                     struct errbuf *eb)
{
    const struct setting *row = find_row(cfg_opt_name(opt));
    assert(row != NULL && row->per_handler);
    unsigned *line = &r->seen[setting_index(row)];
    int rc = set_once(*line, eb);
    if (rc != 0)
        return rc;
    *line = (unsigned)cfg->line;
    r->s->limits = &r->wish.limits;
    rc = row->set(r->s, value_of(opt), eb);
    r->s->limits = &r->s->o->limits;
    return rc;
}

static bool is_kind(const char *key)
{
    const char *name;
    for (unsigned i = 0; (name = handlers_kind(i)) != NULL; i++)
        if (strcmp(key, name) == 0)
            return true;
    return false;
}

/* Row of handler_keys, or -1. */
static int find_handler_key(const char *key)
{
    const char *name;
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++)
        if (strcmp(key, name) == 0)
            return (int)i;
    return -1;
}

static int set_handler_key(struct reader *r, cfg_t *cfg, cfg_opt_t *opt,
                           unsigned row, struct errbuf *eb)
{
    unsigned *line = &r->wish.keys.lines[row];
    int rc = handler_keys_is_list(row) ? 0 : set_once(*line, eb);
    if (rc != 0)
        return rc;
    *line = (unsigned)cfg->line;
    return handler_keys_set(&r->wish.keys, row, value_of(opt), eb);
}

static int on_handler_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = reading;
    const char *key = cfg_opt_name(opt);
    int row = find_handler_key(key);
    struct errbuf eb;
    int rc;
    /* The library knows paths, as in 'handler=x|exec': not here. */
    if (cfg_title(cfg) == NULL)
        rc = errbuf_set(&eb, ERR_INVALID, "a key of handler only");
    else if (is_kind(key))
        rc = set_kind(r, cfg, opt, &eb);
    else if (row >= 0)
        rc = set_handler_key(r, cfg, opt, (unsigned)row, &eb);
    else
        rc = set_limit(r, cfg, opt, &eb);
    if (rc != 0) {
        (void)errbuf_wrap(&eb, rc, "%s", key);
        wrong_at(r, (unsigned)cfg->line, &eb);
    }
    return 0;
}

static void next_handler(struct reader *r)
{
    r->wish = (struct handler_wish){.limits = LIMITS_UNSET};
    handler_keys_init(&r->wish.keys);
    r->handler_line = 0;
    memset(r->seen, 0, sizeof(r->seen));
}

/* Keys that its kind does not know. */
static void check_keys(struct reader *r)
{
    char *kind = mem_dup(r->wish.what, strcspn(r->wish.what, ":"));
    const char *name;
    struct errbuf eb;
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++) {
        unsigned line = r->wish.keys.lines[i];
        if (line == 0 || handler_keys_fits(i, kind))
            continue;
        (void)errbuf_set(&eb, ERR_INVALID, "%s: no key of a handler of kind %s",
                         name, kind);
        wrong_at(r, line, &eb);
    }
    free(kind);
}

static int on_handler_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = reading;
    struct errbuf eb;
    (void)opt;
    if (r->handler_line > 0) {
        check_keys(r);
        settings_wish(r->s, r->wish);
    } else {
        (void)errbuf_set(&eb, ERR_INVALID,
                         "this handler has no kind, as exec or builtin");
        wrong_at(r, (unsigned)cfg->line, &eb);
        handler_keys_done(&r->wish.keys);
    }
    next_handler(r);
    return 0;
}

/* ---- the section cron ---- */

static int on_cron_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = reading;
    const char *key = cfg_opt_name(opt);
    int at = config_cron_key(key);
    struct errbuf eb;
    int rc;
    assert(at >= 0);
    if (cfg_title(cfg) == NULL) /* a path, as for handlers */
        rc = errbuf_set(&eb, ERR_INVALID, "a key of cron only");
    else
        rc = set_once(r->cron.lines[at], &eb);
    if (rc == 0) {
        r->cron.lines[at] = (unsigned)cfg->line;
        if (r->cron_name == NULL)
            r->cron_name = mem_strdup(cfg_title(cfg));
        r->cron.values[at] = mem_strdup(value_of(opt));
    } else {
        (void)errbuf_wrap(&eb, rc, "%s", key);
        wrong_at(r, (unsigned)cfg->line, &eb);
    }
    return 0;
}

static int on_cron_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = reading;
    unsigned line = (unsigned)cfg->line;
    const char *name = r->cron_name != NULL ? r->cron_name : "";
    struct errbuf eb;
    (void)opt;
    int rc = cron_draft_add(&r->cron, name, &r->s->o->config, &line, &eb);
    if (rc != 0) {
        (void)errbuf_wrap(&eb, rc, "cron \"%s\"", name);
        wrong_at(r, line, &eb);
    }
    cron_draft_done(&r->cron);
    free(r->cron_name);
    r->cron_name = NULL;
    return 0;
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

void config_read(struct settings *s, const char *path)
{
    struct reader r = {.s = s};
    struct buf text = {0};
    struct errbuf eb;
    next_handler(&r);
    reading = &r;
    int rc = read_file(path, &text, &eb);
    if (rc == 0 && is_text(&r, &text) &&
        config_text_prepare(text.data, wrong_at, &r) == 0)
        rc = parse(&text, &eb);
    /* An error of the file as a whole, or one behind the last of a line. */
    if (rc != 0)
        wrong_at(&r, r.last_line, &eb);
    free(r.wish.type); /* of a section that did not end */
    free(r.wish.what);
    handler_keys_done(&r.wish.keys);
    cron_draft_done(&r.cron);
    free(r.cron_name);
    reading = NULL;
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
}
