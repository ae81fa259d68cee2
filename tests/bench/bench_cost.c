/*
 * What something costs: time, our CPU, Redis' CPU and commands.
 *
 * Redis is asked before and after; the two questions are part of what is
 * counted, some microseconds in runs of a second.
 *
 * Thread: main.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/bench/bench.h"

/* The number behind "\nfield" and the separator, or -1. */
static double find_number(const char *text, const char *field)
{
    char *key = mem_printf("\n%s", field);
    const char *at = strstr(text, key);
    double n = at != NULL ? strtod(at + strlen(key), NULL) : -1;

    free(key);
    return n;
}

/* Returns owned. */
static redisReply *info(struct bench *b, const char *section)
{
    redisReply *r = redis_cmd(b->redis, "INFO %s", section);

    if (r->type != REDIS_REPLY_STRING)
        bench_fail("INFO %s: no text", section);
    return r;
}

double bench_info(struct bench *b, const char *section, const char *field)
{
    redisReply *r = info(b, section);
    char *key = mem_printf("%s:", field);
    double n = find_number(r->str, key);

    freeReplyObject(r);
    if (n < 0)
        bench_fail("INFO %s has no %s", section, field);
    free(key);
    return n;
}

static double redis_cpu_s(struct bench *b)
{
    redisReply *r = info(b, "cpu");
    double s = find_number(r->str, "used_cpu_user:") +
               find_number(r->str, "used_cpu_sys:");

    freeReplyObject(r);
    return s;
}

static long long scripts_called(struct bench *b)
{
    redisReply *r = info(b, "commandstats");
    double n = find_number(r->str, "cmdstat_evalsha:calls=");

    freeReplyObject(r);
    return n < 0 ? 0 : (long long)n; /* never called yet */
}

static double now_s(void)
{
    return (double)clock_us() / 1e6;
}

static double own_cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void cost_begin(struct bench *b, struct cost_mark *m)
{
    m->commands = (long long)bench_info(b, "stats", "total_commands_processed");
    m->scripts = scripts_called(b);
    m->redis_cpu_s = redis_cpu_s(b);
    m->cpu_s = own_cpu_s();
    m->wall_s = now_s();
}

void cost_end(struct bench *b, const struct cost_mark *m, struct cost *ret)
{
    *ret = (struct cost){.wall_s = now_s() - m->wall_s,
                         .cpu_s = own_cpu_s() - m->cpu_s};
    ret->redis_cpu_s = redis_cpu_s(b) - m->redis_cpu_s;
    ret->commands =
        (long long)bench_info(b, "stats", "total_commands_processed") -
        m->commands;
    ret->scripts = scripts_called(b) - m->scripts;
}
