/*
 * The table of handlers: which one runs the jobs of a type.
 *
 * It is built before any other thread sees it and never changes then, so that
 * any thread may read it without a lock; a reload builds another one. Exact
 * names come first, sorted for a binary search; globs follow, the most specific
 * first, so the first that matches is the right one.
 *
 * Thread: one while it is built, then any.
 */
#include "worker/handler.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/handler_priv.h"
#include "worker/subtask.h"

#define WILDCARDS "*?[\\"

static const struct handler_limits default_limits = {
    .timeout_ms = 30 * 60 * 1000,
    .kill_after_ms = 10 * 1000,
    .cancel_kill_after_ms = 500,
    .result_max = 64 * 1024,
    .stderr_max = 8 * 1024,
};

/* A policy, by its name; handlers point into it. */
struct named_retry {
    char *name; /* owned */
    struct retry_policy policy;
};

struct handlers {
    struct handler_limits limits;
    struct named_retry **retries; /* owned */
    size_t retry_count;
    char **carry;         /* owned */
    struct handler **all; /* owned, exact names first */
    size_t count, exact;
    unsigned layer;      /* of what is added now */
    _Atomic size_t lent; /* to so many deliveries */
};

static const struct handler_kind *const kinds[] = {
    &handler_exec_kind,   &handler_command_kind, &handler_process_kind,
    &handler_plugin_kind, &handler_builtin_kind, &handler_http_kind,
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct handlers *handlers_new(const struct handler_limits *limits)
{
    struct handlers *hs = mem_new(sizeof(*hs));

    hs->limits = limits != NULL ? *limits : default_limits;
    hs->carry = env_carry();
    return hs;
}

static void handler_free(struct handler *h)
{
    if (h->kind != NULL && h->kind->free != NULL)
        h->kind->free(h);
    isolation_free(h->isolation);
    handler_keys_done(&h->keys);
    free(h->pattern);
    free(h->arg);
    argv_free(h->argv);
    free(h);
}

void handlers_free(struct handlers *hs)
{
    if (hs == NULL)
        return;
    for (size_t i = 0; i < hs->count; i++)
        handler_free(hs->all[i]);
    free(hs->all);
    for (size_t i = 0; i < hs->retry_count; i++) {
        free(hs->retries[i]->name);
        free(hs->retries[i]);
    }
    free(hs->retries);
    argv_free(hs->carry);
    free(hs);
}

/* ---- retry policies ---- */

/* The last one of that name, or NULL. */
static const struct retry_policy *find_retry(const struct handlers *hs,
                                             const char *name)
{
    for (size_t i = hs->retry_count; i > 0; i--)
        if (strcmp(hs->retries[i - 1]->name, name) == 0)
            return &hs->retries[i - 1]->policy;
    return NULL;
}

void handlers_add_retry(struct handlers *hs, const char *name,
                        const struct retry_policy *policy)
{
    struct named_retry *r = mem_new(sizeof(*r));

    r->name = mem_strdup(name);
    r->policy = *policy;
    hs->retries =
        mem_resize(hs->retries, (hs->retry_count + 1) * sizeof(*hs->retries));
    hs->retries[hs->retry_count++] = r;
}

int64_t handler_max_attempts(const struct delivery *d)
{
    const struct retry_policy *r =
        d->handler != NULL ? d->handler->retry : NULL;

    return !d->job->says_attempts && r != NULL && r->max_attempts > 0
               ? r->max_attempts
               : d->job->max_attempts;
}

void handler_backoff(const struct delivery *d, struct backoff *ret)
{
    const struct retry_policy *r =
        d->handler != NULL ? d->handler->retry : NULL;

    if (d->job->backoff.p == NULL && r != NULL && r->has_backoff)
        *ret = r->backoff;
    else if (backoff_parse(d->job->backoff, ret, NULL) != 0)
        (void)backoff_parse((struct json_span){0}, ret, NULL);
}

/* ---- the table ---- */

/* Whether it can be the type of a job: UTF-8 without control characters. */
static bool is_type(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n <= JOB_TYPE_MAX_LEN && text_utf8_error(s, n) == n &&
           text_control(s, n) == n;
}

static struct handler *handler_new(const struct handlers *hs, char *pattern,
                                   bool may_be_glob)
{
    struct handler *h = mem_new(sizeof(*h));

    h->pattern = pattern;
    h->plain_len = strcspn(pattern, WILDCARDS);
    h->is_glob = may_be_glob && pattern[h->plain_len] != '\0';
    h->layer = hs->layer;
    h->limits = hs->limits;
    handler_keys_init(&h->keys);
    h->retry = find_retry(hs, "default");
    h->carry = hs->carry;
    return h;
}

/* Below 0 when a is asked before b, 0 when only the order of adding tells. */
static int compare(const struct handler *a, const struct handler *b)
{
    size_t a_len, b_len;

    if (a->is_glob != b->is_glob)
        return a->is_glob ? 1 : -1;
    if (!a->is_glob)
        return strcmp(a->pattern, b->pattern);
    if (a->plain_len != b->plain_len)
        return a->plain_len > b->plain_len ? -1 : 1;
    a_len = strlen(a->pattern);
    b_len = strlen(b->pattern);
    return a_len > b_len ? -1 : a_len < b_len;
}

/* Takes h, also on failure. */
static int insert(struct handlers *hs, struct handler *h, struct errbuf *eb)
{
    size_t at = 0;

    for (size_t i = 0; i < hs->count; i++) {
        struct handler *old = hs->all[i];

        if (old->is_glob != h->is_glob || strcmp(old->pattern, h->pattern) != 0)
            continue;
        if (old->layer < h->layer) {
            handler_free(old);
            hs->all[i] = h;
            return 0;
        }
        int rc =
            errbuf_set(eb, ERR_INVALID,
                       "handler %s: there is one for it already", h->pattern);

        handler_free(h);
        return rc;
    }
    while (at < hs->count && compare(hs->all[at], h) <= 0)
        at++;
    hs->all = mem_resize(hs->all, (hs->count + 1) * sizeof(struct handler *));
    memmove(hs->all + at + 1, hs->all + at,
            (hs->count - at) * sizeof(struct handler *));
    hs->all[at] = h;
    hs->count++;
    if (!h->is_glob)
        hs->exact++;
    return 0;
}

static int init_kind(struct handler *h, const char *text, struct errbuf *eb)
{
    const char *names[KINDS], *near;
    size_t n = strcspn(text, ":");
    char *given;
    int rc;

    if (text[n] == '\0')
        return errbuf_set(eb, ERR_INVALID, "expected TYPE=KIND:SPEC");
    for (size_t i = 0; i < KINDS; i++) {
        names[i] = kinds[i]->name;
        if (strlen(names[i]) != n || strncmp(text, names[i], n) != 0)
            continue;
        h->kind = kinds[i];
        return h->kind->init(h, text + n + 1, eb);
    }
    given = mem_dup(text, n);
    near = text_nearest(given, names, KINDS);
    rc = errbuf_set(eb, ERR_INVALID, "no such kind of handler: %s%s%s%s", given,
                    near != NULL ? " (did you mean " : "",
                    near != NULL ? near : "", near != NULL ? "?)" : "");
    free(given);
    return rc;
}

int handlers_add_with(struct handlers *hs, const char *type, const char *what,
                      const struct handler_limits *limits,
                      struct handler_keys *keys, struct errbuf *eb)
{
    struct handler *h;
    int rc;

    if (!is_type(type))
        return errbuf_set(eb, ERR_INVALID,
                          "handler %s: not a type or a glob of types", type);
    h = handler_new(hs, mem_strdup(type), true);
    if (limits != NULL)
        h->limits = *limits;
    if (keys != NULL) {
        h->keys = *keys;
        handler_keys_init(keys);
    }
    if (h->keys.retry != NULL &&
        (h->retry = find_retry(hs, h->keys.retry)) == NULL) {
        rc = errbuf_set(eb, ERR_INVALID, "handler %s: no retry policy \"%s\"",
                        type, h->keys.retry);
        handler_free(h);
        return rc;
    }
    rc = init_kind(h, what, eb);
    if (rc == 0)
        rc = isolation_new(&h->keys, hs->carry, &h->isolation, eb);
    if (rc < 0) {
        if (keys != NULL)
            keys->wrong_line = h->keys.wrong_line;
        handler_free(h);
        return errbuf_wrap(eb, rc, "handler %s=%s", type, what);
    }
    if (h->isolation != NULL)
        h->carry = isolation_env(h->isolation);
    return insert(hs, h, eb);
}

int handlers_add(struct handlers *hs, const char *spec, struct errbuf *eb)
{
    size_t n = strcspn(spec, "=");
    char *type;
    int rc;

    if (spec[n] == '\0')
        return errbuf_set(eb, ERR_INVALID,
                          "handler %s: expected TYPE=KIND:SPEC", spec);
    type = mem_dup(spec, n);
    rc = handlers_add_with(hs, type, spec + n + 1, NULL, NULL, eb);
    free(type);
    return rc;
}

const char *handlers_kind(unsigned i)
{
    return i < KINDS ? kinds[i]->name : NULL;
}

int handlers_start(struct handlers *hs, struct errbuf *eb)
{
    for (size_t i = 0; i < hs->count; i++) {
        struct handler *h = hs->all[i];
        int rc = h->kind->start != NULL ? h->kind->start(h, eb) : 0;

        if (rc != 0) {
            handlers_stop(hs);
            return errbuf_wrap(eb, rc, "handler %s", h->pattern);
        }
    }
    return 0;
}

void handlers_stop(struct handlers *hs)
{
    for (size_t i = 0; i < hs->count; i++) {
        struct handler *h = hs->all[i];

        if (h->kind->dismiss != NULL)
            h->kind->dismiss(h);
    }
    for (size_t i = 0; i < hs->count; i++) {
        struct handler *h = hs->all[i];

        if (h->kind->stop != NULL)
            h->kind->stop(h);
    }
}

unsigned handlers_kept(const struct handlers *hs, unsigned threads)
{
    unsigned n = 0;

    for (size_t i = 0; i < hs->count; i++) {
        const struct handler *h = hs->all[i];

        if (h->kind->kept != NULL)
            n += h->kind->kept(h, threads);
    }
    return n;
}

void handlers_override(struct handlers *hs)
{
    hs->layer++;
}

static int add_file(struct handlers *hs, const char *dir, const char *name,
                    struct errbuf *eb)
{
    size_t n = strlen(name);
    struct handler *h;
    struct stat st;
    char *path;

    if (name[0] == '.' || name[n - 1] == '~')
        return 0;
    path = mem_printf("%s/%s", dir, name);
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
        free(path);
        return 0;
    }
    if (!is_type(name)) {
        LOG_WARN("handler_passed_over", F_STR("file", path),
                 F_STR("why", "its name is not a job type"));
        free(path);
        return 0;
    }
    h = handler_new(hs, mem_strdup(name), false);
    handler_exec_init_path(h, path);
    free(path);
    return insert(hs, h, eb);
}

int handlers_add_dir(struct handlers *hs, const char *dir, struct errbuf *eb)
{
    struct dirent *e;
    DIR *d = opendir(dir);
    int rc = 0;

    if (d == NULL)
        return errbuf_set(eb, ERR_SYSTEM, "handlers %s: %s", dir,
                          strerror(errno));
    while (rc == 0 && (errno = 0, e = readdir(d)) != NULL)
        rc = add_file(hs, dir, e->d_name, eb);
    if (rc == 0 && errno != 0)
        rc =
            errbuf_set(eb, ERR_SYSTEM, "handlers %s: %s", dir, strerror(errno));
    closedir(d);
    return rc;
}

size_t handlers_count(const struct handlers *hs)
{
    return hs->count;
}

const char *handlers_pattern(const struct handlers *hs, size_t i)
{
    assert(i < hs->count);
    return hs->all[i]->pattern;
}

const struct handler *handlers_find(const struct handlers *hs, const char *type)
{
    size_t low = 0, high = hs->exact;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(type, hs->all[mid]->pattern);

        if (order == 0)
            return hs->all[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    for (size_t i = hs->exact; i < hs->count; i++)
        if (fnmatch(hs->all[i]->pattern, type, 0) == 0)
            return hs->all[i];
    return NULL;
}

bool handlers_lend(struct handlers *hs, struct delivery *d)
{
    struct handlers *before = d->handlers;

    d->handler = handlers_find(hs, d->job->type);
    d->handlers = d->handler != NULL ? hs : NULL;
    if (d->handlers != NULL)
        atomic_fetch_add(&hs->lent, 1);
    if (before != NULL)
        handlers_give_back(before);
    return d->handler != NULL;
}

bool handlers_lent(const struct handlers *hs)
{
    return atomic_load(&hs->lent) > 0;
}

void handlers_give_back(struct handlers *hs)
{
    size_t before = atomic_fetch_sub(&hs->lent, 1);

    assert(before > 0);
    (void)before;
}

const char *handler_pattern(const struct handler *h)
{
    return h->pattern;
}

void handler_run(struct delivery *d, int cancel_fd)
{
    d->handler->run(d, cancel_fd);
    subtasks_finish(d, cancel_fd);
    delivery_judge_pushes(d);
    assert(d->outcome.verdict != VERDICT_NONE);
}

void handler_given_up(struct delivery *d)
{
    if (atomic_load(&d->cancel) != CANCEL_NONE) {
        handler_stopped(d);
    } else {
        handler_fail_timeout(d);
        buf_str(&d->outcome.message,
                ", and did not stop: its thread was given up");
    }
    if (d->subtasks != NULL) /* which stay, with d, for who runs them */
        subtasks_cancel(d->subtasks, CANCEL_JOB);
    if (d->handler->kind->give_up != NULL)
        d->handler->kind->give_up(d->handler);
}
