/*
 * The environment of handler processes: clean, and about one job.
 *
 * The worker's own environment may hold credentials (BELT_REDIS_URL,
 * REDISCLI_AUTH), so nothing is taken over but a short list of harmless names,
 * and what the keys of a handler ask for (isolation.c).
 *
 * Thread: env_carry in the one that reads the configuration; the rest any.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "worker/handler_priv.h"

#define PATH_DEFAULT "PATH=/usr/local/bin:/usr/bin:/bin"

enum {
    ENV_OF_JOB = 12,   /* variables that env_make adds at most */
    ENV_JOB_TEXT = 800 /* their bytes: all have bounded lengths (job.h) */
};

/* Whether "NAME=value" is one to take over; LC_ stands for all LC_*. */
static bool is_carried(const char *entry)
{
    static const char *const names[] = {"PATH", "HOME", "USER",  "LOGNAME",
                                        "LANG", "TZ",   "TMPDIR"};
    size_t n = strcspn(entry, "=");

    if (entry[n] != '=')
        return false;
    if (strncmp(entry, "LC_", 3) == 0)
        return strcasestr(entry, "REDIS") == NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == n && strncmp(entry, names[i], n) == 0)
            return true;
    return false;
}

char **env_carry(void)
{
    size_t n = 0, len = 0;
    char **env;

    while (environ != NULL && environ[n] != NULL)
        n++;
    env = mem_new((n + 2) * sizeof(*env));
    for (size_t i = 0; i < n; i++)
        if (is_carried(environ[i]))
            env[len++] = mem_strdup(environ[i]);
    if (env_find(env, "PATH")[0] == '\0')
        env[len++] = mem_strdup(PATH_DEFAULT);
    return env;
}

const char *env_find(char *const *env, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; env[i] != NULL; i++)
        if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
            return env[i] + n + 1;
    return "";
}

struct env {
    char **v; /* the block: pointers, then text */
    size_t n;
    char *text, *end;
};

static void add(struct env *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct env *e, const char *fmt, ...)
{
    size_t room = (size_t)(e->end - e->text);
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(e->text, room, fmt, ap);
    va_end(ap);
    assert(len >= 0 && (size_t)len < room);
    e->v[e->n++] = e->text;
    e->text += len + 1;
}

static void add_job(struct env *e, const struct delivery *d,
                    int64_t deadline_wall_ms)
{
    const struct job *job = d->job;

    add(e, "BELT_JOB_ID=%s", job->id);
    add(e, "BELT_JOB_TYPE=%s", job->type);
    add(e, "BELT_QUEUE=%s", d->queue);
    add(e, "BELT_ATTEMPT=%" PRId64, handler_instant(job->attempt, 1));
    add(e, "BELT_MAX_ATTEMPTS=%" PRId64, handler_max_attempts(d));
    add(e, "BELT_RECOVERED=%u", job->recovered_count);
    add(e, "BELT_DEADLINE=%" PRId64 ".%03d", deadline_wall_ms / 1000,
        (int)(deadline_wall_ms % 1000));
    if (d->fence != 0)
        add(e, "BELT_FENCE=%" PRId64, d->fence);
    if (job->traceparent[0] != '\0')
        add(e, "TRACEPARENT=%s", job->traceparent);
    add(e, "BELT_RESULTS_FD=4");
}

char **env_make(char *const *carry, const char *tmp, const struct delivery *d,
                int64_t deadline_wall_ms)
{
    const size_t tmp_size = tmp != NULL ? sizeof("TMPDIR=") + strlen(tmp) : 0;
    size_t slots = ENV_OF_JOB + 1;
    struct env e = {0};

    for (size_t i = 0; carry[i] != NULL; i++)
        slots++;
    e.v = mem_new(slots * sizeof(*e.v) + ENV_JOB_TEXT + tmp_size);
    e.text = (char *)(e.v + slots);
    e.end = e.text + ENV_JOB_TEXT + tmp_size;
    for (; *carry != NULL; carry++)
        if (tmp == NULL || strncmp(*carry, "TMPDIR=", 7) != 0)
            e.v[e.n++] = *carry;

    if (tmp != NULL)
        add(&e, "TMPDIR=%s", tmp);
    if (d != NULL)
        add_job(&e, d, deadline_wall_ms);
    add(&e, "BELT_CONTROL_FD=3");
    assert(e.n < slots);
    e.v[e.n] = NULL;
    return e.v;
}
