/*
 * Battle: feed, fight, heal, drain, count.
 *
 * Everything that is waited for is a state that can be seen (a line of the
 * record, a key, the end of a process), with much patience: how fast this
 * machine is decides nothing.
 *
 * Thread: the test's.
 */
#include "tests/faults/battle.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/faults/army.h"
#include "tests/faults/audit.h"

enum { BACKLOG = 100, PUSH_AT_ONCE = 50, FLAGS_MAX = 40 };

static const struct kind usual_kinds[] = {
    {"ok", 72},     {"sleep:20", 12}, {"fail:1", 4},  {"temp", 4},
    {"discard", 3}, {"dead", 2},      {"crash:1", 3}, {NULL, 0}};

/* ---- telling ---- */

__attribute__((format(printf, 3, 0))) static void
say(const struct battle *b, const char *mark, const char *fmt, va_list ap)
{
    printf("%s%-14s %5zu starts  ", mark, b->s->name, b->tail.starts);
    vprintf(fmt, ap);
    putchar('\n');
    (void)fflush(stdout);
}

void battle_say(struct battle *b, const char *fmt, ...)
{
    va_list ap;
    if (b->quiet)
        return;
    va_start(ap, fmt);
    say(b, "  ", fmt, ap);
    va_end(ap);
}

void battle_breach(struct battle *b, const char *fmt, ...)
{
    va_list ap;
    b->breaches++;
    va_start(ap, fmt);
    say(b, "! ", fmt, ap);
    va_end(ap);
}

unsigned battle_random(struct battle *b, unsigned n)
{
    return (unsigned)seeded_below(&b->random, n);
}

/* ---- waiting ---- */

/* A copy of all files, to find out what happened. */
static void keep_files(struct battle *b)
{
    if (b->keep == NULL || redis_pid(b->redis) == 0)
        return;
    char *data = battle_data_dir(b);
    const char *argv[] = {"cp", "-a", "-t", b->keep, redis_dir(b->redis),
                          data, NULL};
    if (!b->s->small_disk)
        argv[5] = NULL; /* they are the same */
    (void)mkdir(b->keep, 0700);
    struct worker *copy = worker_exec(b->redis, argv, NULL);
    (void)worker_wait(copy, BATTLE_PATIENCE_MS);
    worker_free(copy);
    free(data);
}

static void show_last_line(const char *path)
{
    char *line = NULL, *last = NULL;
    size_t cap = 0;
    FILE *log = fopen(path, "re");
    while (log != NULL && getline(&line, &cap, log) >= 0) {
        free(last);
        last = mem_strdup(line);
    }
    printf("%s", last != NULL ? last : "no log\n");
    free(line);
    free(last);
    if (log != NULL)
        (void)fclose(log);
}

static void show_workers(const struct battle *b)
{
    for (unsigned i = 0; i < b->army_size; i++) {
        const struct fighter *f = &b->army[i];
        printf("  worker %u%s: ", i, f->paused ? ", paused" : "");
        if (f->w == NULL)
            printf("none\n");
        else
            show_last_line(worker_log(f->w));
    }
}

/* Those that did not end, and whose process is there. */
static void show_runs(const struct battle *b)
{
    size_t n;
    struct run *runs = record_read(b->record, &n);
    for (size_t i = 0; i < n; i++) {
        if (runs[i].exit < 0 && kill(runs[i].pid, 0) == 0)
            printf("  process %d runs job %s since %lld ms\n", runs[i].pid,
                   runs[i].id,
                   (long long)(clock_boot_ms() - runs[i].started_at_ms));
    }
    free(runs);
}

static void show_redis(const struct battle *b)
{
    static const char script[] =
        "local q = 'belt:{q}' local out = { "
        "'ready ' .. redis.call('LLEN', q), "
        "'retry ' .. redis.call('ZCARD', q .. ':retry'), "
        "'scheduled ' .. redis.call('ZCARD', q .. ':scheduled') } "
        "for _, k in ipairs(redis.call('KEYS', q .. ':active:*')) do "
        "out[#out + 1] = k .. ' ' .. redis.call('LLEN', k) end "
        "for _, k in ipairs(redis.call('ZRANGE', q .. ':leases', 0, -1, "
        "'WITHSCORES')) do out[#out + 1] = 'lease ' .. k end return out";
    if (redis_pid(b->redis) == 0) {
        printf("  Redis does not run\n");
        return;
    }
    redisReply *reply = redis_cmd(b->redis, "EVAL %s 0", script);
    for (size_t i = 0; i < reply->elements; i++)
        printf("  %s\n", reply->element[i]->str);
    freeReplyObject(reply);
}

void battle_await(struct battle *b, const char *what, wait_cond cond, void *arg)
{
    if (wait_until(cond, arg, BATTLE_PATIENCE_MS))
        return;
    battle_breach(b, "waited in vain for: %s", what);
    show_workers(b);
    show_runs(b);
    show_redis(b);
    (void)fflush(stdout);
    keep_files(b);
    exit(1);
}

static bool is_past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

void battle_let_pass(struct battle *b, unsigned ms)
{
    int64_t until_ms = clock_ms() + ms;
    battle_await(b, "time to pass", is_past, &until_ms);
}

void battle_feed(struct battle *b, unsigned n)
{
    if (b->s->feed != NULL)
        b->s->feed(b, n);
    else
        feed_push(&b->feed, n);
}

void battle_top_up(struct battle *b)
{
    long long backlog = feed_backlog(&b->feed);
    if (backlog >= 0 && backlog < BACKLOG / 4)
        battle_feed(b, PUSH_AT_ONCE);
}

struct starts {
    struct battle *b;
    size_t wanted;
};

static bool have_started(void *arg)
{
    struct starts *s = arg;
    record_follow(&s->b->tail);
    if (s->b->tail.starts >= s->wanted)
        return true;
    battle_top_up(s->b);
    return false;
}

void battle_await_starts(struct battle *b, unsigned n)
{
    struct starts s = {b, b->tail.starts + n};
    battle_await(b, "more runs", have_started, &s);
}

/* ---- looking ---- */

static unsigned count_lines(const char *path, const char *text)
{
    char *line = NULL;
    size_t cap = 0;
    unsigned n = 0;
    FILE *log = fopen(path, "re");
    while (log != NULL && getline(&line, &cap, log) >= 0)
        n += strstr(line, text) != NULL;
    free(line);
    if (log != NULL)
        (void)fclose(log);
    return n;
}

unsigned battle_said(struct battle *b, const char *text)
{
    unsigned n = 0;
    char *pattern = mem_printf("%s/program-*.log", redis_dir(b->redis));
    glob_t logs;
    if (glob(pattern, 0, NULL, &logs) != 0) {
        battle_breach(b, "no logs at %s", pattern);
        logs.gl_pathc = 0;
    }
    for (size_t i = 0; i < logs.gl_pathc; i++)
        n += count_lines(logs.gl_pathv[i], text);
    globfree(&logs);
    free(pattern);
    return n;
}

long long battle_stat(struct battle *b, const char *name)
{
    return queue_stat(b->redis, "q", name);
}

char *battle_data_dir(const struct battle *b)
{
    return mem_printf("/proc/%d/root%s%s", (int)redis_pid(b->redis),
                      redis_dir(b->redis), b->s->small_disk ? "/disk" : "");
}

/* ---- the course of it ---- */

/* Redis goes to its directory, so its clock has a relative path. */
static void start_redis(struct battle *b)
{
    static const char *const clock_env[] = {
        "LD_PRELOAD=" CLOCK_SHIM, "BELT_CLOCK_FILE=clock-redis", NULL};
    char conf[512];
    (void)snprintf(conf, sizeof(conf), "auto-aof-rewrite-percentage 0\n%s\n",
                   b->s->redis_conf != NULL ? b->s->redis_conf
                                            : "appendfsync always");
    struct redis_opts opts = {.appendonly = true,
                              .conf = conf,
                              .env = b->s->redis_clock ? clock_env : NULL};
    if (b->s->small_disk)
        (void)setenv("BELT_TEST_REDIS", SMALL_DISK_REDIS, 1);
    b->redis = redis_start(&opts);
    if (b->s->small_disk)
        (void)unsetenv("BELT_TEST_REDIS");
    if (b->s->redis_clock)
        b->redis_clock = army_new_clock(b, "clock-redis");
}

static void open_battle(struct battle *b)
{
    const struct scenario *s = b->s;
    start_redis(b);
    (void)snprintf(b->record, sizeof(b->record), "%s/record",
                   redis_dir(b->redis));
    (void)snprintf(b->store, sizeof(b->store), "%s/store.db",
                   redis_dir(b->redis));
    b->tail.path = b->record;
    feed_init(&b->feed, b->redis, s->kinds != NULL ? s->kinds : usual_kinds,
              ~b->seed);
    army_raise(b);
    if (s->open != NULL)
        s->open(b);
}

/* Enough runs for the next strike, or room for more jobs. */
struct progress {
    struct battle *b;
    size_t starts;
    bool feeding;
};

static bool goes_on(void *arg)
{
    struct progress *p = arg;
    record_follow(&p->b->tail);
    if (p->b->tail.starts >= p->starts)
        return true;
    long long backlog = p->feeding ? feed_backlog(&p->b->feed) : -1;
    return backlog >= 0 && backlog < BACKLOG;
}

static void strike(struct battle *b)
{
    b->struck_at_ms[b->strikes++] = clock_boot_ms();
    b->s->strike(b);
    record_follow(&b->tail);
}

/* Strikes come at equal distances, each a little early or late. */
static size_t next_strike(struct battle *b, unsigned planned)
{
    size_t step = b->jobs / (planned + 1);
    size_t at = step * (b->strikes + 1);
    return b->strikes < planned
               ? at - step / 4 + battle_random(b, (unsigned)(step / 2) + 1)
               : SIZE_MAX;
}

static void fight(struct battle *b)
{
    unsigned planned = 0;
    if (b->s->strike != NULL)
        planned = b->jobs / b->s->jobs_per_strike;
    if (b->s->strike != NULL && planned == 0)
        planned = 1; /* a battle without a fault shows nothing */
    b->struck_at_ms = mem_new((planned + 1) * sizeof(*b->struck_at_ms));
    struct progress p = {.b = b, .starts = next_strike(b, planned)};
    for (;;) {
        p.feeding = b->feed.acked < b->jobs;
        if (!p.feeding && b->strikes == planned)
            return;
        battle_await(b, "progress", goes_on, &p);
        if (b->tail.starts >= p.starts) {
            strike(b);
            p.starts = next_strike(b, planned);
        } else if (p.feeding) {
            battle_feed(b, PUSH_AT_ONCE);
        }
    }
}

static void heal(struct battle *b)
{
    if (b->s->heal != NULL)
        b->s->heal(b);
    if (redis_pid(b->redis) == 0)
        redis_restart(b->redis);
    if (b->proxy != NULL)
        proxy_do(b->proxy, "heal");
    for (unsigned i = 0; i < b->army_size; i++) {
        if (b->army[i].paused)
            battle_signal(b, i, SIGCONT);
        if (b->army[i].w == NULL)
            battle_enlist(b, i);
    }
}

static bool is_empty(void *arg)
{
    static const char script[] =
        "local q = 'belt:{q}' return redis.call('LLEN', q) + "
        "redis.call('ZCARD', q .. ':retry') + "
        "redis.call('ZCARD', q .. ':scheduled') + "
        "redis.call('LLEN', q .. ':outbox') + "
        "#redis.call('KEYS', q .. ':active:*')";
    struct battle *b = arg;
    return redis_int(b->redis, "EVAL %s 0", script) == 0;
}

static void drain(struct battle *b)
{
    battle_await(b, "all jobs to be settled", is_empty, b);
    record_follow(&b->tail);
    if (b->s->judge != NULL)
        b->s->judge(b);
    for (unsigned i = 0; i < b->army_size; i++) {
        if (b->army[i].w != NULL)
            battle_discharge(b, i);
    }
}

static void print_row(const struct battle *b, const struct verdict *v)
{
    char recovery[32] = "-";
    if (v->recovery_ms >= 0)
        (void)snprintf(recovery, sizeof(recovery), "%.1f s",
                       (double)v->recovery_ms / 1000);
    printf("| %s | %llu | %u | %llu | %llu | %llu | %.3f (%llu) | %llu | %s | "
           "%llu | %s |\n",
           b->s->name, (unsigned long long)v->jobs, b->strikes,
           (unsigned long long)v->lost, (unsigned long long)v->settled_twice,
           (unsigned long long)v->stranded,
           v->jobs > 0 ? (double)v->runs / (double)v->jobs : 0.0,
           (unsigned long long)v->runs_max, (unsigned long long)v->interrupted,
           recovery, (unsigned long long)b->seed,
           b->breaches == 0 ? "ok" : "BREACH");
    (void)fflush(stdout);
}

static void close_battle(struct battle *b)
{
    proxy_stop(b->proxy);
    army_disband(b);
    if (b->redis_clock != NULL)
        (void)munmap(b->redis_clock, sizeof(struct clock_shift));
    feed_done(&b->feed);
    free(b->struck_at_ms);
    redis_stop(b->redis);
}

unsigned battle_run(const struct scenario *s, uint64_t seed, unsigned jobs,
                    bool quiet, const char *keep)
{
    struct verdict v;
    struct battle *b = mem_new(sizeof(*b));
    b->s = s;
    b->seed = seed;
    b->random = seed;
    b->jobs = jobs;
    b->quiet = quiet;
    b->keep = keep;
    open_battle(b);
    fight(b);
    heal(b);
    drain(b);
    if (s->audit != NULL)
        s->audit(b, &v);
    else
        audit(b, &v);
    print_row(b, &v);
    if (b->breaches > 0)
        keep_files(b);
    unsigned breaches = b->breaches;
    close_battle(b);
    free(b);
    return breaches;
}
