/*
 * Story: what the tests of whole workers look at.
 *
 * Thread: the test's.
 */
#include "tests/integration/story.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif
const bool story_sanitized = SANITIZED;

enum { PATHS_MAX = 256 };

static struct redis *server;
static char *paths[PATHS_MAX];
static unsigned path_count;

static void free_paths(void)
{
    while (path_count > 0)
        free(paths[--path_count]);
}

struct redis *story_redis(void)
{
    if (server == NULL)
        (void)atexit(free_paths);
    redis_stop(server);
    server = redis_start(NULL);
    return server;
}

const char *story_script(struct redis *r, const char *type, const char *name,
                         const char *body)
{
    char *text =
        mem_printf("#!/bin/sh\ncd %s || exit 1\n%s", redis_dir(r), body);
    assert_true(path_count < PATHS_MAX);
    paths[path_count] =
        mem_printf("%s=exec:%s", type, script_file(r, name, text));
    free(text);
    return paths[path_count++];
}

const char *story_path(struct redis *r, const char *name)
{
    assert_true(path_count < PATHS_MAX);
    paths[path_count] = mem_printf("%s/%s", redis_dir(r), name);
    (void)unlink(paths[path_count]);
    return paths[path_count++];
}

char *story_read(const char *path)
{
    FILE *f = fopen(path, "re");
    size_t len = 0, n;
    char *text = mem_new(1);
    char part[4096];
    if (f == NULL)
        return text;
    while ((n = fread(part, 1, sizeof(part), f)) > 0) {
        text = mem_resize(text, len + n + 1);
        memcpy(text + len, part, n);
        len += n;
        text[len] = '\0';
    }
    (void)fclose(f);
    return text;
}

unsigned story_count(const char *path, const char *beginning)
{
    char *text = story_read(path), *end = NULL;
    unsigned n = 0;
    for (char *p = text; *p != '\0'; p = end + 1) {
        end = strchr(p, '\n');
        n += strncmp(p, beginning, strlen(beginning)) == 0;
        if (end == NULL)
            break;
    }
    free(text);
    return n;
}

long long story_payload(struct redis *r, const char *queue, long long index)
{
    char text[4096];
    (void)redis_str(r, text, sizeof(text), "LINDEX belt:{%s} %lld", queue,
                    index);
    const char *p = strstr(text, "\"payload\":");
    assert_non_null(p);
    return strtoll(p + strlen("\"payload\":"), NULL, 10);
}

void story_no_lanes(struct redis *r, const char *queue)
{
    redisReply *lists = redis_cmd(r, "KEYS belt:{%s}:active:*", queue);
    assert_int_equal(lists->elements, 0);
    freeReplyObject(lists);
    assert_int_equal(redis_int(r, "ZCARD belt:{%s}:leases", queue), 0);
    assert_int_equal(redis_int(r, "HLEN belt:{%s}:lanes", queue), 0);
}

void story_until(const char *what, wait_cond cond, void *arg)
{
    if (!wait_until(cond, arg, STORY_MS))
        fail_msg("does not come about: %s", what);
}

struct want {
    struct redis *r;
    struct worker *w;
    const char *a, *b;
    long long n, is;
};

static bool has_lines(void *arg)
{
    struct want *t = arg;
    t->is = file_lines(t->a);
    return t->is >= t->n;
}

void story_lines(const char *path, unsigned n)
{
    struct want t = {.a = path, .n = n};
    if (!wait_until(has_lines, &t, STORY_MS))
        fail_msg("%s has %lld lines, not %u", path, t.is, n);
}

static bool has_stat(void *arg)
{
    struct want *t = arg;
    t->is = queue_stat(t->r, t->a, t->b);
    return t->is >= t->n;
}

void story_stat(struct redis *r, const char *queue, const char *name,
                long long n)
{
    struct want t = {.r = r, .a = queue, .b = name, .n = n};
    if (!wait_until(has_stat, &t, STORY_MS))
        fail_msg("%s of %s is %lld, not %lld", name, queue, t.is, n);
    assert_int_equal(t.is, n);
}

static bool is_int(void *arg)
{
    struct want *t = arg;
    t->is = redis_int(t->r, t->a);
    return t->is == t->n;
}

void story_int(struct redis *r, long long n, const char *fmt, ...)
{
    char command[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    struct want t = {.r = r, .a = command, .n = n};
    if (!wait_until(is_int, &t, STORY_MS))
        fail_msg("%s is %lld, not %lld", command, t.is, n);
}

static bool has_said(void *arg)
{
    struct want *t = arg;
    t->is = worker_count(t->w, t->a);
    return t->is >= t->n;
}

void story_said(struct worker *w, const char *text, unsigned times)
{
    struct want t = {.w = w, .a = text, .n = times};
    if (!wait_until(has_said, &t, STORY_MS))
        fail_msg("the log has \"%s\" %lld times, not %u", text, t.is, times);
}

/* A number behind name in what a command answers as text; -1: not there. */
static long long number_of(struct redis *r, const char *command,
                           const char *name)
{
    char text[16384];
    const char *p;
    (void)redis_str(r, text, sizeof(text), command);
    p = strstr(text, name);
    return p != NULL ? strtoll(p + strlen(name), NULL, 10) : -1;
}

static bool has_blocked(void *arg)
{
    struct want *t = arg;
    t->is = number_of(t->r, "INFO clients", "blocked_clients:");
    return t->is == t->n;
}

void story_blocked(struct redis *r, long long n)
{
    struct want t = {.r = r, .n = n};
    if (!wait_until(has_blocked, &t, STORY_MS))
        fail_msg("%lld clients are blocked, not %lld", t.is, n);
}

/* The sum of all lease ends: it changes with every renewal. */
static double lease_ends(struct redis *r, const char *queue)
{
    double sum = 0;
    redisReply *got =
        redis_cmd(r, "ZRANGE belt:{%s}:leases 0 -1 WITHSCORES", queue);
    for (size_t i = 1; i < got->elements; i += 2)
        sum += strtod(got->element[i]->str, NULL);
    freeReplyObject(got);
    return sum;
}

struct renewed {
    struct redis *r;
    const char *queue;
    double was;
};

static bool has_renewed(void *arg)
{
    struct renewed *t = arg;
    return lease_ends(t->r, t->queue) != t->was;
}

void story_renewals(struct redis *r, const char *queue, unsigned n)
{
    for (; n > 0; n--) {
        struct renewed t = {r, queue, lease_ends(r, queue)};
        story_until("a renewal", has_renewed, &t);
    }
}

void story_ends(struct worker *w, int code)
{
    int is = worker_wait(w, STORY_MS);
    if (is != code) {
        char *log = story_read(worker_log(w));
        (void)fputs(log, stderr);
        free(log);
    }
    assert_int_equal(is, code);
    worker_free(w);
}

long story_status(pid_t pid, const char *name)
{
    char *path = mem_printf("/proc/%d/status", (int)pid);
    char *text = story_read(path), *p = strstr(text, name);
    long n = p != NULL ? strtol(p + strlen(name), NULL, 10) : -1;
    free(text);
    free(path);
    return n;
}

pid_t story_child(pid_t parent, const char *name)
{
    char *line = mem_printf("Name:\t%s\n", name);
    pid_t found = 0;
    struct dirent *e;
    DIR *d = opendir("/proc");
    assert_non_null(d);
    while (found == 0 && (e = readdir(d)) != NULL) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || story_status(pid, "\nPPid:") != parent)
            continue;
        char *path = mem_printf("/proc/%d/status", (int)pid);
        char *text = story_read(path);
        if (strncmp(text, line, strlen(line)) == 0)
            found = pid;
        free(text);
        free(path);
    }
    (void)closedir(d);
    free(line);
    return found;
}

bool story_lives(pid_t pid)
{
    char *path = mem_printf("/proc/%d/status", (int)pid);
    char *text = story_read(path), *state = strstr(text, "\nState:\t");
    bool lives = state != NULL && strchr("ZX", state[8]) == NULL;
    free(text);
    free(path);
    return lives;
}
