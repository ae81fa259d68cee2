/*
 * Life: jobs with all kinds of options are pushed, and people cancel, pause
 * and requeue meanwhile, by the real belt.
 *
 * Thread: the test's.
 */
#include "tests/faults/life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/support/worker.h"

enum {
    ARGS_MAX = 32,
    SINGLES = 6,    /* pushed at the same time */
    KEYS = 4,       /* few, so that many want the same */
    STARTING = 500, /* ms in which a handler has written that it begun */
    PAUSED_MS = 200
};

/* What is pushed. Followers are written as + (same queue), 2 (the other one)
 * and ~ (by way of the outbox); one behind another follows that one. */
static const struct want {
    const char *what, *options, *then;
    unsigned percent;
    bool sure, kept, late;
} wants[] = {
    {"ok", "", "", 20, true, false, false},
    {"ok", ",\"in\":150", "", 8, true, false, false},
    {"ok", ",\"keep\":3600000", "", 8, true, true, false},
    {"ok", "", "+", 8, true, false, false},
    {"ok", "", "+++", 5, true, false, false},
    {"ok", ",\"in\":80", "2", 5, true, false, false},
    {"ok", "", "~+", 5, true, false, false},
    {"ok", ",\"keep\":3600000", "+2", 4, true, true, false},
    {"sleep:40", "", "2", 5, true, false, false},
    {"fail:1", "", "+", 4, true, false, false},
    {"snooze:60", "", "+", 4, true, false, false},
    {"snooze:60", ",\"keep\":3600000", "", 2, true, true, false},
    {"delay:90", "", "2", 4, true, false, false},
    {"fail:9", ",\"max_attempts\":2", "+", 4, false, false, false},
    {"fail:9", ",\"max_attempts\":2,\"keep\":3600000", "", 2, false, true,
     false},
    {"dead", "", "2", 2, false, false, false},
    {"discard", "", "+", 3, false, false, false},
    {"crash:1", "", "+", 2, true, false, false},
    {"ok", ",\"expires_at\":1700000000000", "+", 3, false, false, true},
    {"ok", ",\"expires_at\":1700000000000,\"keep\":3600000", "", 2, false, true,
     true},
};

static struct life_job *new_job(struct life *l, struct life_job job)
{
    if (++l->count >= l->cap) {
        l->cap = l->cap > 0 ? 2 * l->cap : 1024;
        l->jobs = mem_resize(l->jobs, l->cap * sizeof(*l->jobs));
    }
    l->jobs[l->count] = job;
    return &l->jobs[l->count];
}

static const struct want *pick(struct battle *b)
{
    uint64_t at = seeded_below(&b->feed.random, 100);
    const struct want *w = wants;
    while (at >= w->percent) {
        at -= w->percent;
        w++;
    }
    return w;
}

/* ---- running belt ---- */

static struct worker *belt(struct battle *b, const char *const *args,
                           const char *url)
{
    const char *argv[ARGS_MAX] = {BELT_BIN};
    unsigned n = 1;
    while (args[n - 1] != NULL) {
        argv[n] = args[n - 1];
        n++;
    }
    argv[n++] = "-u";
    argv[n] = url != NULL ? url : redis_url(b->redis);
    return worker_exec(b->redis, argv, NULL);
}

static bool has_ended(void *arg)
{
    return worker_has_ended(arg);
}

/* Its exit code; what it said goes into out, if not NULL. */
static int end_of(struct battle *b, struct worker *w, const char *what,
                  char *out, size_t size)
{
    char *waited = mem_printf("the end of belt %s, %d, which says %s", what,
                              (int)worker_pid(w), worker_log(w));
    battle_await(b, waited, has_ended, w);
    free(waited);
    int rc = worker_wait(w, 0);
    FILE *f = fopen(worker_log(w), "re");
    size_t n = f != NULL && out != NULL ? fread(out, 1, size - 1, f) : 0;
    if (out != NULL)
        out[n] = '\0';
    if (f != NULL)
        (void)fclose(f);
    (void)unlink(worker_log(w));
    worker_free(w);
    return rc;
}

static int run_belt(struct battle *b, const char *const *args)
{
    char said[2000];
    int rc = end_of(b, belt(b, args, NULL), args[0], said, sizeof(said));
    if (rc != 0 && rc != 1 && rc != EX_TEMPFAIL)
        battle_breach(b, "belt %s: %d %s", args[0], rc, said);
    return rc;
}

/* ---- envelopes ---- */

static void write_then(struct life *l, struct buf *out, size_t parent,
                       const char *then, bool second)
{
    if (*then == '\0' || second)
        return;
    (void)new_job(l, (struct life_job){.outcome = LIFE_FOLLOWS,
                                       .parent = parent,
                                       .second = *then == '2',
                                       .sure = true});
    size_t n = l->count;
    buf_printf(out,
               ",\"then\":[{\"id\":\"F%zu\",\"type\":\"battle\",\"payload\":"
               "{\"n\":1%06zu,\"do\":\"ok\"}",
               n, n);
    if (*then == '2')
        buf_str(out, ",\"queue\":\"q2\"");
    if (*then == '~')
        buf_str(out, ",\"in\":60");
    write_then(l, out, n, then + 1, *then == '2');
    buf_str(out, "}]");
}

static void write_job(struct battle *b, struct buf *out)
{
    struct life *l = b->own;
    const struct want *w = pick(b);
    (void)new_job(l, (struct life_job){
                         .sure = w->sure, .kept = w->kept, .late = w->late});
    size_t n = l->count;
    buf_printf(
        out,
        "{\"id\":\"L%zu\",\"type\":\"battle\",\"backoff\":{\"kind\":"
        "\"fixed\",\"delay\":30},\"payload\":{\"n\":1%06zu,\"do\":\"%s\"}%s",
        n, n, w->what, w->options);
    write_then(l, out, n, w->then, false);
    buf_str(out, "}\n");
}

static void write_unique(struct battle *b, struct buf *out)
{
    static const char *const until[] = {"done", "started", "time"};
    struct life *l = b->own;
    unsigned k = (unsigned)seeded_below(&b->feed.random, KEYS);
    unsigned u = (unsigned)seeded_below(&b->feed.random, 3);
    bool replace = seeded_below(&b->feed.random, 2) == 0;
    (void)new_job(l, (struct life_job){.sure = true, .kept = true});
    buf_printf(out,
               "{\"id\":\"L%zu\",\"type\":\"battle\",\"payload\":{\"n\":1%06zu,"
               "\"do\":\"ok\"},\"unique\":{\"key\":\"%s%u\",\"until\":\"%s\","
               "\"on_conflict\":\"%s\"%s}%s,\"keep\":3600000}\n",
               l->count, l->count, until[u], k, until[u],
               replace ? "replace" : "skip", u == 2 ? ",\"ttl\":300" : "",
               replace ? ",\"in\":200" : "");
}

/* ---- pushing ---- */

static void push_lines(struct battle *b, unsigned n)
{
    struct life *l = b->own;
    char *path = mem_printf("%s/feed.ndjson", redis_dir(b->redis));
    size_t first = l->count + 1;
    struct buf lines = {0};
    bool *unique = mem_new(n * sizeof(*unique));
    size_t *serial = mem_new(n * sizeof(*serial));
    for (unsigned i = 0; i < n; i++) {
        unique[i] = seeded_below(&b->feed.random, 8) == 0;
        serial[i] = l->count + 1;
        if (unique[i])
            write_unique(b, &lines);
        else
            write_job(b, &lines);
    }
    FILE *f = fopen(path, "we");
    if (f == NULL || fwrite(lines.data, 1, lines.len, f) != lines.len ||
        fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    buf_done(&lines);
    char said[2000];
    const char *args[] = {"push", "--ndjson", path, "-q", "q", NULL};
    int rc = end_of(b, belt(b, args, NULL), args[0], said, sizeof(said));
    /* 1: some could not take the place of one that is not scheduled. */
    bool all = (rc == 0 || rc == 1) && strstr(said, "nknown") == NULL;
    if (!all)
        battle_say(b, "belt push --ndjson, from L%zu: %d %s", first, rc, said);
    for (unsigned i = 0; i < n && all; i++) {
        l->jobs[serial[i]].outcome = unique[i] ? LIFE_MAYBE : LIFE_ACKED;
        b->feed.acked++;
    }
    free(unique);
    free(serial);
    free(path);
}

struct single {
    struct worker *w;
    size_t job;
    char id[32];
};

/* With a unique key, of few; some by way of a link that may be cut. */
static void start_single(struct battle *b, struct single *s)
{
    static const char *const until[] = {"done", "started"};
    static const char *const conflict[] = {"skip", "replace", "error"};
    struct life *l = b->own;
    char payload[64], key[32], then[160];
    unsigned u = (unsigned)seeded_below(&b->feed.random, 2);
    unsigned k = (unsigned)seeded_below(&b->feed.random, KEYS);
    unsigned c = (unsigned)seeded_below(&b->feed.random, 3);
    bool follows = seeded_below(&b->feed.random, 3) == 0 && c != 1;
    const char *args[ARGS_MAX] = {
        "push",   "battle",        payload,     "-q",     "q",
        "--id",   s->id,           "--unique",  key,      "--until",
        until[u], "--on-conflict", conflict[c], "--keep", "1h"};
    unsigned n = 15;
    (void)new_job(l, (struct life_job){.sure = true, .kept = true});
    s->job = l->count;
    (void)snprintf(s->id, sizeof(s->id), "L%zu", s->job);
    (void)snprintf(payload, sizeof(payload), "{\"n\":1%06zu,\"do\":\"ok\"}",
                   s->job);
    (void)snprintf(key, sizeof(key), "%s%u", until[u], k);
    if (c == 1 || k == 0) {
        args[n++] = "--in";
        args[n++] = "120ms";
    }
    if (follows) {
        struct life_job f = {.outcome = LIFE_FOLLOWS, .parent = s->job};
        f.second = f.sure = true;
        (void)new_job(l, f);
        (void)snprintf(then, sizeof(then),
                       "{\"id\":\"F%zu\",\"type\":\"battle\",\"queue\":\"q2\","
                       "\"payload\":{\"n\":1%06zu,\"do\":\"ok\"}}",
                       l->count, l->count);
        args[n++] = "--then";
        args[n++] = then;
    }
    unsigned link = (unsigned)seeded_below(&b->feed.random, b->army_size);
    s->w = belt(b, args, c == 0 ? proxy_url(b->proxy, link) : NULL);
}

static void end_single(struct battle *b, const struct single *s)
{
    struct life *l = b->own;
    char said[2000], own[40];
    int rc = end_of(b, s->w, s->id, said, sizeof(said));
    (void)snprintf(own, sizeof(own), "q/%s\n", s->id);
    if (rc == 0 && strstr(said, own) != NULL) {
        l->jobs[s->job].outcome = LIFE_ACKED;
        b->feed.acked++;
    } else if ((rc == 0 && strstr(said, "q/L") != NULL) ||
               strstr(said, "held by") != NULL) {
        l->jobs[s->job].outcome = LIFE_NOT;
    } else if (strstr(said, "nknown") == NULL && rc != EX_TEMPFAIL &&
               rc != EX_UNAVAILABLE) {
        battle_breach(b, "belt push --id %s: %d %s", s->id, rc, said);
    }
}

static void push_singles(struct battle *b)
{
    struct single all[SINGLES];
    for (unsigned i = 0; i < SINGLES; i++)
        start_single(b, &all[i]);
    for (unsigned i = 0; i < SINGLES; i++)
        end_single(b, &all[i]);
}

/* ---- what people do ---- */

/* Some of the last jobs, or of those that follow them. */
static void cancel_some(struct battle *b)
{
    struct life *l = b->own;
    char names[4][32];
    const char *args[6] = {"cancel"};
    unsigned count = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t back = seeded_below(&b->feed.random, 60);
        size_t n = l->count > back ? l->count - back : 1;
        struct life_job *j = &l->jobs[n];
        if (j->cancelled) /* of one that has ended a second mark would stay */
            continue;
        j->cancelled = true;
        (void)snprintf(names[count], sizeof(names[count]), "%s/%c%zu",
                       j->second ? "q2" : "q",
                       j->outcome == LIFE_FOLLOWS ? 'F' : 'L', n);
        args[count + 1] = names[count];
        count++;
    }
    if (count > 0)
        (void)run_belt(b, args);
}

static void requeue_dead(struct battle *b)
{
    const char *const args[] = {"dead", "requeue", "q", "--all", NULL};
    (void)run_belt(b, args);
}

static void requeue_waiting(struct battle *b)
{
    bool retry = seeded_below(&b->feed.random, 2) == 0;
    const char *const args[] = {"requeue", "q",
                                "--state", retry ? "retry" : "scheduled",
                                "--all",   NULL};
    (void)run_belt(b, args);
}

/* For a moment, by itself; or until no job starts, which is looked at. */
static void pause_queue(struct battle *b)
{
    const char *const some[] = {"pause", "q",     "--no-wait",
                                "--for", "200ms", NULL};
    const char *const all[] = {"pause", "q", "--timeout", "20s", NULL};
    const char *const resume[] = {"resume", "q", NULL};
    struct life *l = b->own;
    if (l->paused == LIFE_PAUSES || seeded_below(&b->feed.random, 2) == 0) {
        (void)run_belt(b, some);
        return;
    }
    if (run_belt(b, all) == 0) {
        l->pauses[l->paused].from_ms = clock_boot_ms() + STARTING;
        battle_let_pass(b, STARTING + PAUSED_MS);
        l->pauses[l->paused++].to_ms = clock_boot_ms();
    }
    (void)run_belt(b, resume);
}

/* Or over: from now on it must get on with a Redis that goes away. */
static bool is_listening(void *arg)
{
    struct battle *b = arg;
    struct life *l = b->own;
    redisReply *reply =
        redis_cmd(b->redis, "PUBSUB NUMSUB belt:{q}:job:L%llu",
                  (unsigned long long)l->waiters[l->waiting].job);
    bool is = reply->elements == 2 && reply->element[1]->integer > 0;
    freeReplyObject(reply);
    return is || worker_has_ended(l->waiters[l->waiting].w);
}

static void wait_for_one(struct battle *b)
{
    struct life *l = b->own;
    char name[32];
    const char *const args[] = {"wait", name, "--timeout", "100s", NULL};
    for (size_t n = l->count; n > 0 && l->waiting < LIFE_WAITERS; n--) {
        if (!l->jobs[n].kept || l->jobs[n].outcome != LIFE_ACKED)
            continue;
        (void)snprintf(name, sizeof(name), "q/L%zu", n);
        l->waiters[l->waiting].job = n;
        l->waiters[l->waiting].w = belt(b, args, NULL);
        battle_await(b, "belt wait to listen", is_listening, b);
        l->waiting++;
        return;
    }
}

static void do_something(struct battle *b)
{
    static void (*const deeds[])(struct battle *) = {
        cancel_some, requeue_dead, requeue_waiting,
        pause_queue, cancel_some,  wait_for_one};
    deeds[seeded_below(&b->feed.random, sizeof(deeds) / sizeof(deeds[0]))](b);
}

/* ---- hooks ---- */

void life_open(struct battle *b)
{
    const char *const every[] = {"cron",       "add",  "tick", "* * * * * *",
                                 "battle",     "n:=0", "-q",   "q",
                                 "--catch-up", "all",  NULL};
    const char *const alone[] = {"cron",      "add",  "alone", "@every 1s",
                                 "battle",    "n:=0", "-q",    "q",
                                 "--overlap", "skip", NULL};
    b->own = mem_new(sizeof(struct life));
    if (run_belt(b, every) != 0 || run_belt(b, alone) != 0)
        battle_breach(b, "no periodic jobs");
}

void life_feed(struct battle *b, unsigned n)
{
    push_lines(b, n - SINGLES);
    push_singles(b);
    do_something(b);
    do_something(b);
}

void life_heal(struct battle *b)
{
    const char *const tick[] = {"cron", "remove", "tick", "-q", "q", NULL};
    const char *const alone[] = {"cron", "remove", "alone", "-q", "q", NULL};
    const char *const resume[] = {"resume", "q", NULL};
    if (run_belt(b, tick) != 0 || run_belt(b, alone) != 0)
        battle_breach(b, "periodic jobs that cannot be removed");
    (void)run_belt(b, resume);
}

/* And the lanes of the dead have gone, in both. */
static bool is_second_empty(void *arg)
{
    struct battle *b = arg;
    static const char script[] =
        "local q = 'belt:{q2}' return redis.call('LLEN', q) + "
        "redis.call('ZCARD', q .. ':retry') + "
        "redis.call('ZCARD', q .. ':scheduled') + "
        "redis.call('LLEN', q .. ':outbox') + "
        "#redis.call('KEYS', q .. ':active:*') + "
        "redis.call('ZCARD', q .. ':leases') + "
        "redis.call('ZCARD', 'belt:{q}:leases')";
    return redis_int(b->redis, "EVAL %s 0", script) == 2 * b->army_size;
}

void life_judge(struct battle *b)
{
    struct life *l = b->own;
    battle_await(b, "the other queue to be empty", is_second_empty, b);
    for (unsigned i = 0; i < l->waiting; i++) {
        char said[2000], state[32];
        int rc = end_of(b, l->waiters[i].w, "wait", said, sizeof(said));
        (void)redis_str(b->redis, state, sizeof(state),
                        "HGET belt:{q}:job:L%llu state",
                        (unsigned long long)l->waiters[i].job);
        bool well = strcmp(state, "done") == 0;
        /* It may have died first, and been put back. */
        if (rc == 124 || rc == EX_UNAVAILABLE || (rc == 0 && !well))
            battle_breach(b, "belt wait q/L%zu: %d %s, its state is %s",
                          l->waiters[i].job, rc, said, state);
    }
}
