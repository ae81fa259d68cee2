/*
 * Sweep: the steps that all cuts go through.
 *
 *     worker up ─ prepare ─ rule ─ provoke ─ fired ─ (killed) ─ back again ─
 * late ─ all jobs ended ─ worker ended ─ what is left is swept up ─ audit
 *
 * Each step is done for all pairs before the next, so that they wait together.
 *
 * Thread: the test's.
 */
#include "tests/faults/sweep.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

#define NOOP "noop=builtin:noop"

const char *const sweep_points[SWEEP_POINTS] = {"before", "after", "middle",
                                                "late"};

/* Every run is a line: attempt and id. One program for all types. */
static const char handler[] =
    "#!/bin/sh\n"
    "d=%s\n"
    "echo \"$BELT_ATTEMPT $BELT_JOB_ID\" >>$d/runs.$BELT_QUEUE\n"
    "case $BELT_JOB_TYPE in\n"
    "fails) [ $BELT_ATTEMPT -gt 1 ] ;;\n"
    "dies) exit 65 ;;\n"
    "hangs) sleep 600 ;;\n"
    "waits) while [ ! -e $d/go.$BELT_QUEUE ]; do sleep 0.02; done ;;\n"
    "esac\n";

static void print_log(const struct pair *p)
{
    char line[1024];
    FILE *f = fopen(worker_log(p->worker), "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        (void)fputs(line, stderr);
    if (f != NULL)
        (void)fclose(f);
}

__attribute__((noreturn)) static void fail_pair(const struct pair *p,
                                                const char *what)
{
    if (p->worker != NULL)
        print_log(p);
    fail_msg("%s %s, %s jobs, number %u: %s (queue %s)", p->point,
             p->scene->name, p->equal ? "equal" : "distinct", p->nth, what,
             p->queue);
    abort(); /* not reached */
}

/* ---- begin and end ---- */

static struct pair *add_pair(struct sweep *s, const struct scene *scene,
                             const char *point, bool equal, unsigned nth)
{
    assert_true(s->count < PAIRS_MAX);
    struct pair *p = &s->pairs[s->count];
    *p = (struct pair){.sweep = s,
                       .scene = scene,
                       .point = point,
                       .equal = equal,
                       .nth = nth,
                       .link = s->count,
                       .bytes = -1};
    (void)snprintf(p->queue, sizeof(p->queue), "q%u", s->count++);
    return p;
}

static void begin(struct sweep *s)
{
    static const struct redis_opts opts = {
        .appendonly = true, .conf = "auto-aof-rewrite-percentage 0"};
    char text[1024];
    if (s->count == 0) /* no scene has a command that comes so often */
        return;
    s->redis = redis_start(&opts);
    s->proxy = proxy_start(s->redis, s->count);
    (void)snprintf(text, sizeof(text), handler, redis_dir(s->redis));
    s->handler = mem_printf("*=exec:%s", script_file(s->redis, "note", text));
}

void sweep_begin(struct sweep *s, const struct scene *const *scenes,
                 unsigned count, unsigned nth)
{
    *s = (struct sweep){0};
    for (unsigned i = 0; i < count * 2 * SWEEP_POINTS; i++) {
        const struct scene *scene = scenes[i / (2 * SWEEP_POINTS)];
        if ((nth == 1 || scene->again) && !(scene->named && i % 2 == 1))
            (void)add_pair(s, scene, sweep_points[i / 2 % SWEEP_POINTS],
                           i % 2 == 1, nth);
    }
    begin(s);
}

void sweep_begin_bytes(struct sweep *s, const struct scene *scene, unsigned nth,
                       unsigned first)
{
    *s = (struct sweep){0};
    for (unsigned i = 0; i < PAIRS_MAX; i++)
        add_pair(s, scene, "middle", i % 2 == 1, nth)->bytes = first + i / 2;
    begin(s);
}

void sweep_end(struct sweep *s)
{
    if (s->redis == NULL)
        return;
    for (unsigned i = 0; i < s->count; i++)
        worker_free(s->pairs[i].worker);
    proxy_stop(s->proxy);
    redis_stop(s->redis);
    free(s->handler);
    s->redis = NULL;
}

/* ---- files ---- */

static char *file_of(const struct pair *p, const char *kind)
{
    return mem_printf("%s/%s.%s", redis_dir(p->sweep->redis), kind, p->queue);
}

/* Ends the jobs that wait. */
static void let_go(struct pair *p)
{
    char *path = file_of(p, "go");
    FILE *f = fopen(path, "we");
    if (f == NULL || fclose(f) != 0)
        fail_pair(p, "go");
    free(path);
}

/* ---- waiting ---- */

struct wanted {
    struct pair *p;
    const char *command;
    int64_t n;
};

static void wait_for(struct pair *p, wait_cond cond, void *arg,
                     const char *what)
{
    if (!wait_until(cond, arg, SWEEP_MS))
        fail_pair(p, what);
}

static bool has_run(void *arg)
{
    const struct wanted *w = arg;
    char *path = file_of(w->p, "runs");
    unsigned n = file_lines(path);
    free(path);
    return n >= w->n;
}

void sweep_wait_runs(struct pair *p, unsigned n)
{
    struct wanted w = {p, NULL, n};
    wait_for(p, has_run, &w, "its jobs are not run");
}

static bool was_seen(void *arg)
{
    const struct wanted *w = arg;
    return proxy_ask(w->p->sweep->proxy, "seen %s %u", w->command,
                     w->p->link) >= w->n;
}

void sweep_wait_seen(struct pair *p, const char *command, int64_t n)
{
    struct wanted w = {p, command, n};
    wait_for(p, was_seen, &w, command);
}

static bool is_at_rest(void *arg)
{
    const struct pair *p = arg;
    struct redis *r = p->sweep->redis;
    return redis_int(r, "LLEN belt:{%s}", p->queue) +
               redis_int(r, "ZCARD belt:{%s}:retry", p->queue) +
               queue_active(r, p->queue) ==
           0;
}

void sweep_wait_rest(struct pair *p)
{
    wait_for(p, is_at_rest, p, "jobs do not end");
}

bool sweep_has_fired(const struct pair *p)
{
    return proxy_ask(p->sweep->proxy, "fired %u", p->link) > 0;
}

/* Or nothing is left that could bring the command about. */
static bool has_fired(void *arg)
{
    const struct pair *p = arg;
    return sweep_has_fired(p) || (p->scene->again && is_at_rest(arg));
}

static bool has_ended(struct worker *w)
{
    return worker_pid(w) == 0 || worker_said(w, "ev=stop ");
}

static unsigned times_bound(struct worker *w)
{
    return worker_count(w, "ev=register") + worker_count(w, "ev=rebind");
}

struct bound {
    struct worker *w;
    unsigned n;
};

static bool are_bound(void *arg)
{
    const struct bound *b = arg;
    return times_bound(b->w) >= b->n;
}

static bool is_back(void *arg)
{
    struct pair *p = arg;
    return times_bound(p->worker) > p->bound || has_ended(p->worker);
}

/* ---- workers ---- */

struct worker *sweep_worker(struct pair *p, const char *host, bool direct)
{
    struct sweep *s = p->sweep;
    char *env_host = mem_printf("BELT_HOST=%s", host);
    const char *env[] = {env_host, NULL};
    const char *url =
        direct ? redis_url(s->redis) : proxy_url(s->proxy, p->link);
    const char *mode =
        p->scene->at_most_once ? "at-most-once" : "at-least-once";
    const char *argv[] = {
        BELT_WORKER_BIN, "-u",        url,         "-q",         p->queue,
        "--lease",       "3s",        "--threads", "2",          "--handler",
        s->handler,      "--handler", NOOP,        "--delivery", mode,
        p->scene->flag,  NULL};
    struct worker *w = worker_exec(s->redis, argv, env);
    free(env_host);
    return w;
}

void sweep_stop(struct pair *p)
{
    if (!p->told_to_end)
        worker_signal(p->worker, SIGTERM);
    p->told_to_end = true;
}

static void start(struct pair *p)
{
    p->worker = sweep_worker(p, "sweep", false);
}

static void start_unless_early(struct pair *p)
{
    if (!p->scene->early)
        start(p);
}

static void await_idle(struct pair *p)
{
    if (p->scene->early)
        return;
    sweep_wait_seen(p, p->scene->at_most_once ? "BLPOP" : "BLMOVE", 1);
    p->bound = times_bound(p->worker);
}

/* ---- steps ---- */

static void make_rule(struct pair *p)
{
    struct proxy *proxy = p->sweep->proxy;
    if (p->bytes >= 0)
        proxy_do(proxy, "cut %u %s %s %u %lld", p->link, p->point,
                 p->scene->command, p->nth, (long long)p->bytes);
    else
        proxy_do(proxy, "cut %u %s %s %u", p->link, p->point, p->scene->command,
                 p->nth);
}

static bool is_late(const struct pair *p)
{
    return strcmp(p->point, "late") == 0;
}

static void prepare(struct pair *p)
{
    if (p->scene->prepare != NULL)
        p->scene->prepare(p);
}

static void provoke(struct pair *p)
{
    if (p->scene->early)
        start(p);
    if (p->scene->provoke != NULL)
        p->scene->provoke(p);
}

static void await_fired(struct pair *p)
{
    do {
        wait_for(p, has_fired, p, "the command never came");
        if (!sweep_has_fired(p))
            p->scene->provoke(p);
    } while (!sweep_has_fired(p));
}

/* Another one of its host finds what it held. */
static void kill_worker(struct pair *p)
{
    if (!p->scene->killed)
        return;
    worker_signal(p->worker, SIGKILL);
    assert_int_equal(worker_wait(p->worker, SWEEP_MS), -SIGKILL);
    worker_free(p->worker);
    p->worker = sweep_worker(p, "sweep", true);
    p->bound = 0;
}

static void await_back(struct pair *p)
{
    wait_for(p, is_back, p, "the worker does not come back");
    if (is_late(p) && p->scene->before_late != NULL)
        p->scene->before_late(p);
}

/* When all workers are back, and perhaps busy. */
static void run_late(struct sweep *s)
{
    int64_t late = 0;
    for (unsigned i = 0; i < s->count; i++)
        late += is_late(&s->pairs[i]);
    assert_int_equal(proxy_ask(s->proxy, "late"), late);
    for (unsigned i = 0; i < s->count; i++) {
        struct pair *p = &s->pairs[i];
        if (is_late(p) && p->scene->fenced &&
            proxy_ask(s->proxy, "fenced %u", p->link) != 1)
            fail_pair(p, "what ran late was not answered FENCED");
    }
}

static void finish(struct pair *p)
{
    let_go(p);
    if (!p->scene->leaves_jobs)
        sweep_wait_rest(p);
}

static void await_end(struct pair *p)
{
    int code = worker_wait(p->worker, SWEEP_MS);
    if (code == 0)
        return;
    (void)fprintf(stderr, "exit code %d\n", code);
    fail_pair(p, "the worker did not end well");
}

struct swept {
    struct sweep *sweep;
    unsigned next; /* of its pairs: those before are clean */
};

static long long others_leases(const struct pair *p)
{
    return redis_int(p->sweep->redis, "ZCARD belt:{%s}:leases", p->queue) - 1;
}

static bool is_clean(void *arg)
{
    struct swept *x = arg;
    struct redis *r = x->sweep->redis;
    for (; x->next < x->sweep->count; x->next++) {
        const struct pair *p = &x->sweep->pairs[x->next];
        redisReply *lists = redis_cmd(r, "KEYS belt:{%s}:active:*", p->queue);
        size_t n = lists->elements;
        freeReplyObject(lists);
        if (n > 0 || others_leases(p) > 0 ||
            redis_int(r, "LLEN belt:{%s}", p->queue) > 0)
            return false;
    }
    return true;
}

/* One more worker finds what was left: ghosts, stragglers, released jobs. */
static void sweep_up(struct sweep *s)
{
    struct buf queues = {0};
    struct swept x = {s, 0};
    for (unsigned i = 0; i < s->count; i++)
        buf_printf(&queues, "%s%s", i > 0 ? "," : "", s->pairs[i].queue);
    struct worker *w = worker_start(
        s->redis, "sweep",
        (const char *[]){"-q", queues.data, "--lease", "3s", "--handler",
                         s->handler, "--handler", NOOP, NULL});
    struct bound all = {w, s->count};
    assert_true(wait_until(are_bound, &all, SWEEP_MS));
    if (!wait_until(is_clean, &x, SWEEP_MS))
        fail_pair(&s->pairs[x.next], "something is left behind");
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, SWEEP_MS), 0);
    worker_free(w);
    buf_done(&queues);
}

static void each(struct sweep *s, void (*step)(struct pair *p))
{
    for (unsigned i = 0; i < s->count; i++)
        step(&s->pairs[i]);
}

void sweep_run(struct sweep *s)
{
    each(s, start_unless_early);
    each(s, await_idle);
    each(s, prepare);
    each(s, make_rule);
    each(s, provoke);
    each(s, await_fired);
    each(s, kill_worker);
    each(s, await_back);
    run_late(s);
    each(s, finish);
    each(s, sweep_stop);
    each(s, await_end);
    sweep_up(s);
}

void sweep_run_sessions(struct sweep *s)
{
    each(s, prepare);
    each(s, make_rule);
    each(s, provoke);
    each(s, await_end);
    sweep_up(s);
}
