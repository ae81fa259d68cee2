/*
 * Sections cron, retry and queue.
 *
 * Thread: one at a time, which reads the configuration.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/job/backoff_text.h"
#include "worker/config_priv.h"
#include "worker/options.h"
#include "worker/queue_list.h"

#define ATTEMPTS_MAX 1000000000 /* as an envelope */

static int on_cron_key(cfg_t *cfg, cfg_opt_t *opt);
static int on_retry_key(cfg_t *cfg, cfg_opt_t *opt);
static int on_queue_key(cfg_t *cfg, cfg_opt_t *opt);

static const char *const retry_keys[RETRY_KEYS] = {
    [RETRY_ATTEMPTS] = "max-attempts",
    [RETRY_BACKOFF] = "backoff",
};

/* The library knows paths, as in 'handler=x|exec': not here. */
static int refuse_path(const cfg_t *cfg, const char *section, struct errbuf *eb)
{
    if (cfg->title != NULL)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "a key of %s only", section);
}

/* ---- the section cron ---- */

void config_cron_opts(cfg_opt_t *opts)
{
    for (int i = 0; i < CONFIG_CRON_KEYS; i++)
        opts[i] = config_text_opt(config_cron_keys[i], on_cron_key);
}

static int on_cron_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const char *key = cfg_opt_name(opt);
    int at = config_cron_key(key);
    struct errbuf eb;
    assert(at >= 0);
    int rc = refuse_path(cfg, "cron", &eb);
    if (rc == 0)
        rc = config_set_once(r->cron.lines[at], &eb);
    if (rc == 0) {
        r->cron.lines[at] = (unsigned)cfg->line;
        r->cron.values[at] = mem_strdup(config_value(opt));
    }
    return config_blame(r, cfg, key, rc, &eb);
}

int config_cron_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    unsigned line = (unsigned)cfg->line;
    const char *name = config_last_section(opt)->title;
    struct errbuf eb;
    int rc = cron_draft_add(&r->cron, name, r->s, r->file, &line, &eb);
    if (rc != 0) {
        (void)errbuf_wrap(&eb, rc, "cron \"%s\"", name);
        config_wrong(r, line, &eb);
    }
    cron_draft_done(&r->cron);
    return 0;
}

/* ---- the section retry ---- */

void config_retry_opts(cfg_opt_t *opts)
{
    for (int i = 0; i < RETRY_KEYS; i++)
        opts[i] = config_text_opt(retry_keys[i], on_retry_key);
}

static int set_backoff(struct retry_policy *p, const char *value,
                       struct errbuf *eb)
{
    struct buf json = {0};
    int rc = backoff_from_text(value, &json, eb);
    if (rc == 0)
        rc = json_check_member(json.data, json.len, eb);
    if (rc == 0)
        rc = backoff_parse((struct json_span){json.data, json.len}, &p->backoff,
                           eb);
    p->has_backoff = true;
    buf_done(&json);
    return rc;
}

static int on_retry_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const char *key = cfg_opt_name(opt), *value = config_value(opt);
    int at = strcmp(key, retry_keys[RETRY_ATTEMPTS]) == 0 ? RETRY_ATTEMPTS
                                                          : RETRY_BACKOFF;
    struct errbuf eb;
    int rc = refuse_path(cfg, "retry", &eb);
    if (rc == 0)
        rc = config_set_once(r->retry_lines[at], &eb);
    if (rc == 0) {
        r->retry_lines[at] = (unsigned)cfg->line;
        rc = at == RETRY_BACKOFF ? set_backoff(&r->retry, value, &eb)
                                 : text_parse_int(value, 1, ATTEMPTS_MAX, NULL,
                                                  &r->retry.max_attempts, &eb);
    }
    return config_blame(r, cfg, key, rc, &eb);
}

int config_retry_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const cfg_t *section = config_last_section(opt);
    struct retry_wish w = {
        .policy = r->retry,
        .from = {LAYER_FILE, (unsigned)section->line, r->file}};
    struct errbuf eb;
    int rc = 0;
    (void)cfg;
    if (!text_is_name(section->title, strlen(section->title)))
        rc = errbuf_set(&eb, ERR_INVALID, "no valid name");
    for (size_t i = 0; i < r->s->retry_count && rc == 0; i++)
        if (strcmp(r->s->retries[i].name, section->title) == 0)
            rc = config_set_once_at(r, r->s->retries[i].from, &eb);
    if (rc == 0) {
        w.name = mem_strdup(section->title);
        settings_retry(r->s, w);
    } else {
        (void)errbuf_wrap(&eb, rc, "retry \"%s\"", section->title);
        config_wrong(r, w.from.line, &eb);
    }
    r->retry = (struct retry_policy){0};
    memset(r->retry_lines, 0, sizeof(r->retry_lines));
    return 0;
}

/* ---- the section queue ---- */

void config_queue_opts(cfg_opt_t *opts)
{
    opts[QUEUE_WEIGHT] = config_text_opt("weight", on_queue_key);
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        opts[1 + i] = config_text_opt(queue_bounds[i].name, on_queue_key);
}

void config_queue_begin(struct reader *r)
{
    r->queue = (struct queue_wish){.weight = 0};
    for (int i = 0; i < QUEUE_BOUNDS; i++)
        r->queue.bounds[i] = QUEUE_BOUND_UNSAID;
    memset(r->queue_lines, 0, sizeof(r->queue_lines));
}

/* Place of a key in queue_lines. */
static unsigned place_of(const char *key)
{
    unsigned i = 0;
    while (i < QUEUE_BOUNDS && strcmp(queue_bounds[i].name, key) != 0)
        i++;
    return i < QUEUE_BOUNDS ? 1 + i : QUEUE_WEIGHT;
}

static int on_queue_key(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const char *key = cfg_opt_name(opt), *value = config_value(opt);
    unsigned at = place_of(key);
    struct errbuf eb;
    int rc = refuse_path(cfg, "queue", &eb);
    if (rc == 0)
        rc = config_set_once(r->queue_lines[at], &eb);
    if (rc == 0) {
        r->queue_lines[at] = (unsigned)cfg->line;
        rc = at == QUEUE_WEIGHT
                 ? text_parse_int(value, 1, QUEUE_WEIGHT_MAX, NULL,
                                  &r->queue.weight, &eb)
                 : queue_bound_read(&queue_bounds[at - 1], value,
                                    &r->queue.bounds[at - 1], &eb);
    }
    return config_blame(r, cfg, key, rc, &eb);
}

static int check_queue(struct reader *r, const char *name, struct errbuf *eb)
{
    int rc = queue_list_name(name, &r->queue.pattern, eb);
    for (size_t i = 0; i < r->s->queue_count && rc == 0; i++)
        if (strcmp(r->s->queues[i].name, name) == 0)
            rc = config_set_once_at(r, r->s->queues[i].from, eb);
    for (int i = 0; i < QUEUE_BOUNDS && rc == 0; i++)
        if (r->queue.pattern && r->queue_lines[1 + i] > 0)
            rc = errbuf_set(eb, ERR_INVALID, "a pattern has no %s",
                            queue_bounds[i].name);
    return rc;
}

int config_queue_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = config_reading;
    const cfg_t *section = config_last_section(opt);
    struct errbuf eb;
    (void)cfg;
    r->queue.from =
        (struct source){LAYER_FILE, (unsigned)section->line, r->file};
    int rc = check_queue(r, section->title, &eb);
    if (rc == 0) {
        r->queue.name = mem_strdup(section->title);
        settings_queue(r->s, r->queue);
    } else {
        (void)errbuf_wrap(&eb, rc, "queue \"%s\"", section->title);
        config_wrong(r, r->queue.from.line, &eb);
    }
    config_queue_begin(r);
    return 0;
}
