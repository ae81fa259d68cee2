/*
 * Section handler: its kind, its limits, and its keys.
 *
 * Whether a key fits the kind is known at the end of the section only: the
 * kind may stand behind it.
 *
 * Thread: one at a time, which reads the configuration.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "worker/config_priv.h"
#include "worker/options.h"

static int on_handler_key(cfg_t *cfg, cfg_opt_t *opt);

void config_handler_opts(cfg_opt_t *opts)
{
    const struct setting *row;
    const char *name;
    unsigned n = 0;
    for (unsigned i = 0; (name = handlers_kind(i)) != NULL; i++)
        opts[n++] = config_text_opt(name, on_handler_key);
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++)
        if (row->per_handler)
            opts[n++] = config_text_opt(setting_key(row), on_handler_key);
    for (unsigned i = 0; (name = handler_keys_name(i)) != NULL; i++)
        opts[n++] = config_text_opt(name, on_handler_key);
    assert(n < CONFIG_OPTS_MAX);
}

void config_handler_begin(struct reader *r)
{
    r->wish = (struct handler_wish){.limits = LIMITS_UNSET};
    handler_keys_init(&r->wish.keys);
    r->handler_line = 0;
    memset(r->seen, 0, sizeof(r->seen));
}

/* What the handler does: its kind is the key. */
static int set_kind(struct reader *r, cfg_t *cfg, cfg_opt_t *opt,
                    struct errbuf *eb)
{
    struct handler_wish *w = &r->wish;
    int rc = config_set_once(r->handler_line, eb);
    if (rc != 0)
        return rc;
    r->handler_line = (unsigned)cfg->line;
    w->from = (struct source){LAYER_FILE, r->handler_line, r->file};
    w->type = mem_strdup(cfg_title(cfg));
    w->what = mem_printf("%s:%s", cfg_opt_name(opt), config_value(opt));
    return 0;
}

static int set_limit(struct reader *r, cfg_t *cfg, cfg_opt_t *opt,
                     struct errbuf *eb)
{
    const struct setting *row = config_find_row(cfg_opt_name(opt));
    assert(row != NULL && row->per_handler);
    unsigned *line = &r->seen[setting_index(row)];
    int rc = config_set_once(*line, eb);
    if (rc != 0)
        return rc;
    *line = (unsigned)cfg->line;
    r->s->limits = &r->wish.limits;
    rc = row->set(r->s, config_value(opt), eb);
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
    int rc = handler_keys_is_list(row) ? 0 : config_set_once(*line, eb);
    if (rc != 0)
        return rc;
    *line = (unsigned)cfg->line;
    return handler_keys_set(&r->wish.keys, row, config_value(opt), eb);
}

static int on_handler_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
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
    return config_blame(r, cfg, key, rc, &eb);
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
        config_wrong(r, line, &eb);
    }
    free(kind);
}

int config_handler_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    struct errbuf eb;
    (void)opt;
    if (r->handler_line > 0) {
        check_keys(r);
        settings_wish(r->s, r->wish);
    } else {
        (void)errbuf_set(&eb, ERR_INVALID,
                         "this handler has no kind, as exec or builtin");
        config_wrong(r, (unsigned)cfg->line, &eb);
        handler_keys_done(&r->wish.keys);
    }
    config_handler_begin(r);
    return 0;
}
