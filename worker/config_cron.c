/*
 * Section cron: from texts to a periodic job.
 *
 * Thread: one at a time, which reads the configuration.
 */
#include "worker/config_cron.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/backoff_text.h"
#include "common/job/cron_entry.h"
#include "worker/options.h"

#define COUNT_MAX 1000000000

enum key {
    QUEUE,
    SPEC,
    TZ,
    TYPE,
    PAYLOAD,
    JITTER,
    OVERLAP,
    CATCH_UP,
    CATCH_UP_LIMIT,
    MAX_ATTEMPTS,
    TIMEOUT,
    BACKOFF,
    KEEP,
    EXPIRES,
    PAUSED
};

const char *const config_cron_keys[CONFIG_CRON_KEYS] = {
    [QUEUE] = "queue",
    [SPEC] = "spec",
    [TZ] = "tz",
    [TYPE] = "type",
    [PAYLOAD] = "payload",
    [JITTER] = "jitter",
    [OVERLAP] = "overlap",
    [CATCH_UP] = "catch-up",
    [CATCH_UP_LIMIT] = "catch-up-limit",
    [MAX_ATTEMPTS] = "max-attempts",
    [TIMEOUT] = "timeout",
    [BACKOFF] = "backoff",
    [KEEP] = "keep",
    [EXPIRES] = "expires",
    [PAUSED] = "paused",
};

void cron_draft_done(struct cron_draft *d)
{
    for (int i = 0; i < CONFIG_CRON_KEYS; i++)
        free(d->values[i]);
    memset(d, 0, sizeof(*d));
}

int config_cron_key(const char *key)
{
    for (int i = 0; i < CONFIG_CRON_KEYS; i++) {
        if (strcmp(config_cron_keys[i], key) == 0)
            return i;
    }
    return -1;
}

/* Names the key, and its line. */
static int blame(const struct cron_draft *d, enum key key, int rc,
                 unsigned *ret_line, struct errbuf *eb)
{
    if (d->lines[key] > 0)
        *ret_line = d->lines[key];
    return errbuf_wrap(eb, rc, "%s", config_cron_keys[key]);
}

/* Reads the keys that are numbers, into members that have their defaults. */
static int read_numbers(const struct cron_draft *d, struct cron_wish *w,
                        unsigned *ret_line, struct errbuf *eb)
{
    const struct {
        enum key key;
        int64_t *out;
    } durations[] = {{JITTER, &w->jitter_ms},
                     {CATCH_UP_LIMIT, &w->catch_up_limit_ms},
                     {TIMEOUT, &w->timeout_ms},
                     {KEEP, &w->keep_ms},
                     {EXPIRES, &w->expires_ms}};
    const char *attempts = d->values[MAX_ATTEMPTS];

    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        const char *value = d->values[durations[i].key];
        if (value == NULL)
            continue;
        int rc = text_parse_duration(value, durations[i].out, eb);
        if (rc != 0)
            return blame(d, durations[i].key, rc, ret_line, eb);
    }
    if (attempts != NULL) {
        int rc =
            text_parse_int(attempts, 1, COUNT_MAX, NULL, &w->max_attempts, eb);
        if (rc != 0)
            return blame(d, MAX_ATTEMPTS, rc, ret_line, eb);
    }
    return 0;
}

static int read_paused(const char *text, bool *ret, struct errbuf *eb)
{
    *ret = text != NULL && strcasecmp(text, "true") == 0;
    if (text == NULL || *ret || strcasecmp(text, "false") == 0)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "\"%s\" is neither true nor false",
                      text);
}

static int read_json(const char *text, struct json_span *ret, struct errbuf *eb)
{
    *ret = (struct json_span){text, text != NULL ? strlen(text) : 0};
    return text == NULL ? 0 : json_check_member(text, strlen(text), eb);
}

/* As people write it, or JSON. w then borrows it from out. */
static int read_backoff(const char *text, struct buf *out, struct cron_wish *w,
                        struct errbuf *eb)
{
    if (text == NULL)
        return 0;
    int rc = backoff_from_text(text, out, eb);
    if (rc == 0)
        rc = json_check_member(out->data, out->len, eb);
    w->backoff = out->data;
    return rc;
}

static int read_wish(const struct cron_draft *d, struct cron_wish *w,
                     struct buf *backoff, unsigned *ret_line, struct errbuf *eb)
{
    char *const *v = d->values;

    for (int i = 0; i < 2; i++) {
        enum key needed = i == 0 ? SPEC : TYPE;
        if (v[needed] == NULL)
            return errbuf_set(eb, ERR_INVALID, "it has no %s",
                              config_cron_keys[needed]);
    }
    int rc = read_json(v[PAYLOAD], &w->payload, eb);
    if (rc != 0)
        return blame(d, PAYLOAD, rc, ret_line, eb);
    rc = read_backoff(v[BACKOFF], backoff, w, eb);
    if (rc != 0)
        return blame(d, BACKOFF, rc, ret_line, eb);
    rc = read_paused(v[PAUSED], &w->paused, eb);
    if (rc != 0)
        return blame(d, PAUSED, rc, ret_line, eb);
    w->spec = v[SPEC];
    w->zone = v[TZ];
    w->type = v[TYPE];
    w->overlap = v[OVERLAP];
    w->catch_up = v[CATCH_UP];
    return read_numbers(d, w, ret_line, eb);
}

/* A word of "payload: …" as the entry names it, "max_attempts". */
static void find_line(const struct cron_draft *d, const char *text,
                      unsigned *ret_line)
{
    if (strncmp(text, "cron expression", 15) == 0)
        *ret_line = d->lines[SPEC];
    else if (strncmp(text, "time zone", 9) == 0 && d->lines[TZ] > 0)
        *ret_line = d->lines[TZ];
    else
        for (int i = 0; i < CONFIG_CRON_KEYS; i++) {
            size_t n = strlen(config_cron_keys[i]);
            if (strncmp(text, config_cron_keys[i], n) == 0 && text[n] == ':' &&
                d->lines[i] > 0)
                *ret_line = d->lines[i];
        }
}

int cron_draft_add(const struct cron_draft *d, const char *name,
                   struct settings *s, unsigned file, unsigned *ret_line,
                   struct errbuf *eb)
{
    struct worker_config *cfg = &s->o->config;
    struct cron_wish w = {.catch_up_limit_ms = -1,
                          .source = "config",
                          .updated_at_ms = clock_wall_ms()};
    const char *queue = d->values[QUEUE] != NULL ? d->values[QUEUE] : "default";
    struct cron_config c = {.line = *ret_line, .file = file};
    char text[PLACE_MAX];
    struct buf backoff = {0};

    if (!text_is_name(queue, strlen(queue))) {
        int rc =
            errbuf_set(eb, ERR_INVALID, "\"%s\" is no name of a queue", queue);
        return blame(d, QUEUE, rc, ret_line, eb);
    }
    for (unsigned i = 0; i < cfg->cron_count; i++) {
        const struct cron_config *o = &cfg->crons[i];
        const struct source at = {LAYER_FILE, o->line, o->file};
        if (strcmp(o->queue, queue) == 0 && strcmp(o->entry->name, name) == 0)
            return errbuf_set(eb, ERR_INVALID,
                              "there is one of this name already, %s",
                              settings_place(s, at, file, text));
    }
    int rc = read_wish(d, &w, &backoff, ret_line, eb);
    if (rc == 0) {
        rc = cron_entry_make(name, &w, &c.entry, eb);
        if (rc != 0)
            find_line(d, eb->text, ret_line);
    }
    buf_done(&backoff);
    if (rc != 0)
        return rc;
    memcpy(c.queue, queue, strlen(queue) + 1);
    cfg->crons =
        mem_resize(cfg->crons, (cfg->cron_count + 1) * sizeof(*cfg->crons));
    cfg->crons[cfg->cron_count++] = c;
    return 0;
}
