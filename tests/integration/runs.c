/*
 * Runs: real workers that work off the queue q of the program's own Redis.
 *
 * Thread: the test's main thread.
 */
#include "tests/integration/runs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/job/job.h"
#include "tests/unit/unit.h"

enum { FLAGS_MAX = 32, WORKERS_MAX = 8 };

struct redis *runs_redis;
static char *out_path;
static struct worker *alive[WORKERS_MAX]; /* of the test that runs */

int runs_start(void **state)
{
    (void)state;
    runs_redis = redis_start(NULL);
    out_path = mem_printf("%s/out", redis_dir(runs_redis));
    return 0;
}

int runs_stop(void **state)
{
    (void)state;
    redis_stop(runs_redis);
    free(out_path);
    return 0;
}

int runs_clear(void **state)
{
    (void)state;
    redis_do(runs_redis, "FLUSHALL");
    redis_do(runs_redis, "CONFIG RESETSTAT");
    (void)unlink(out_path);
    return 0;
}

/* Where w is, or NULL where there is room. */
static struct worker **place_of(const struct worker *w)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (alive[i] == w)
            return &alive[i];
    }
    fail_msg("more than %d workers", WORKERS_MAX);
    return NULL;
}

int runs_over(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        worker_free(alive[i]);
        alive[i] = NULL;
    }
    return 0;
}

struct worker *runs_worker(const char *first, ...)
{
    const char *flags[FLAGS_MAX] = {"-q", "q"};
    unsigned n = 2;
    va_list ap;
    va_start(ap, first);
    for (const char *p = first; p != NULL && n < FLAGS_MAX - 1;
         p = va_arg(ap, const char *))
        flags[n++] = p;
    va_end(ap);
    struct worker *w = worker_start(runs_redis, NULL, flags);
    *place_of(NULL) = w;
    if (!worker_is_up(w, 1))
        fail_msg("the worker does not register; its log: %s", worker_log(w));
    return w;
}

/* The end of its log, which goes with the program's directory. */
static const char *last_lines(const struct worker *w)
{
    static char text[4096];
    FILE *f = fopen(worker_log(w), "re");
    size_t n = 0;
    if (f != NULL) {
        (void)fseek(f, -(long)sizeof(text) + 1, SEEK_END);
        n = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
    }
    text[n] = '\0';
    return text;
}

void runs_end(struct worker *w)
{
    worker_signal(w, SIGTERM);
    int status = worker_wait(w, RUN_MS);
    if (status != 0)
        fail_msg("the worker ends with %d:\n%s", status, last_lines(w));
    *place_of(w) = NULL;
    worker_free(w);
}

const char *runs_handler(const char *type, const char *text)
{
    static char *specs[FLAGS_MAX];
    static unsigned n;
    char name[64];
    (void)snprintf(name, sizeof(name), "%s-%u.sh", type, n);
    char *whole = mem_printf("#!/bin/sh\nout=%s\n%s\n", out_path, text);
    assert_true(n < FLAGS_MAX);
    specs[n] =
        mem_printf("%s=exec:%s", type, script_file(runs_redis, name, whole));
    free(whole);
    return specs[n++];
}

const char *runs_out(void)
{
    return out_path;
}

void runs_expect_line(const char *line)
{
    char text[1024];
    bool found = false;
    FILE *f = fopen(out_path, "re");
    while (f != NULL && !found && fgets(text, sizeof(text), f) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        found = strcmp(text, line) == 0;
    }
    if (f != NULL)
        (void)fclose(f);
    if (!found)
        fail_msg("no handler wrote: %s", line);
}

void runs_push(const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    assert_in_range(n, 0, sizeof(text) - 1);
    redis_do(runs_redis, "RPUSH belt:{q} %s", text);
}

struct wanted {
    const char *command;
    long long n;
};

static bool is_there(void *arg)
{
    struct wanted *w = arg;
    return redis_int(runs_redis, w->command) >= w->n;
}

void runs_await(const char *command, long long n)
{
    struct wanted w = {command, n};
    if (!wait_until(is_there, &w, RUN_MS))
        fail_msg("%s does not become %lld", command, n);
}

static bool is_counted(void *arg)
{
    struct wanted *w = arg;
    return queue_stat(runs_redis, "q", w->command) >= w->n;
}

void runs_await_stat(const char *name, long long n)
{
    struct wanted w = {name, n};
    if (!wait_until(is_counted, &w, RUN_MS))
        fail_msg("%s does not become %lld", name, n);
}

void runs_await_rest(void)
{
    if (!queue_at_rest(runs_redis, "q", RUN_MS))
        fail_msg("the queue does not come to rest");
}

static bool is_blocked(void *arg)
{
    struct wanted *w = arg;
    return runs_info(w->command, "blocked_clients:") == w->n;
}

void runs_await_idle(long long n)
{
    struct wanted w = {"clients", n};
    if (!wait_until(is_blocked, &w, RUN_MS))
        fail_msg("there are never %lld clients blocked", n);
}

long long runs_info(const char *section, const char *before)
{
    char text[16384];
    (void)redis_str(runs_redis, text, sizeof(text), "INFO %s", section);
    const char *p = strstr(text, before);
    return p != NULL ? strtoll(p + strlen(before), NULL, 10) : 0;
}

struct job *runs_first(const char *set)
{
    struct errbuf eb = {""};
    struct job *job = NULL;
    redisReply *r = redis_cmd(runs_redis, "ZRANGE belt:{q}:%s 0 0", set);
    assert_int_equal(r->elements, 1);
    if (job_parse(r->element[0]->str, r->element[0]->len,
                  JOB_ENVELOPE_MAX_BYTES, &job, &eb) != 0)
        fail_msg("%s: %s", set, eb.text);
    freeReplyObject(r);
    return job;
}
