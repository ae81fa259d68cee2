/*
 * Jobs in and out: envelopes, the textbook, Belt's own programs, and the
 * books of a queue afterwards.
 *
 * Envelopes are made as they are needed, from a template whose digits change:
 * a list of all would make this process big, and the peak memory of a child
 * (bench_run) begins with its parent's.
 *
 * Thread: main.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/bench/bench.h"
#include "tests/support/worker.h"

enum { DIGITS = 8, KEY_BYTES = 128, CHUNK = 64 * 1024, END_MS = 120 * 1000 };

/* ---- envelopes ---- */

void envelope_init(struct envelope *e, size_t bytes)
{
    static const char
        front[] = "{\"id\":\"01M84TE1FZD2NK2AJY",
        middle[] =
            "00000000\",\"type\":\"bench.job\",\"created_at\":1795458270719,"
            "\"payload\":{\"n\":\"",
        end[] = "00000000\",\"p\":\"", tail[] = "\"}}";
    struct buf b = {0};

    buf_str(&b, front);
    e->digits_at[0] = b.len;
    buf_str(&b, middle);
    e->digits_at[1] = b.len;
    buf_str(&b, end);
    if (bytes < ENVELOPE_MIN || b.len + sizeof(tail) > ENVELOPE_MIN)
        bench_fail("no envelope has only %zu bytes", bytes);
    while (b.len + strlen(tail) < bytes)
        buf_char(&b, 'x');
    buf_str(&b, tail);
    e->len = b.len;
    buf_char(&b, '\n');
    e->text = buf_take(&b);
}

void envelope_set(struct envelope *e, int64_t n)
{
    for (int i = DIGITS - 1; i >= 0; i--, n /= 10)
        e->text[e->digits_at[0] + (size_t)i] =
            e->text[e->digits_at[1] + (size_t)i] = (char)('0' + n % 10);
}

void envelope_done(struct envelope *e)
{
    free(e->text);
}

/* Returns false when nobody reads any more. */
static bool write_batch(const struct batch *jobs, FILE *out)
{
    struct envelope e;
    bool ok = true;

    envelope_init(&e, jobs->bytes);
    for (int64_t i = 0; ok && i < jobs->count; i++) {
        envelope_set(&e, jobs->first + i);
        ok = fwrite(e.text, e.len + 1, 1, out) == 1;
    }
    envelope_done(&e);
    return ok && fflush(out) == 0;
}

void bench_write(const struct batch *jobs, const char *path)
{
    FILE *f = fopen(path, "we");

    if (f == NULL || !write_batch(jobs, f) || fclose(f) != 0)
        bench_fail("%s: %s", path, strerror(errno));
}

/* ---- the textbook ---- */

redisContext *bench_connect(struct bench *b)
{
    redisContext *c = redisConnectUnix(redis_url(b->redis) + strlen("unix://"));

    if (c == NULL || c->err != 0)
        bench_fail("connect: %s", c != NULL ? c->errstr : "no memory");
    fcntl(c->fd, F_SETFD, FD_CLOEXEC);
    return c;
}

static redisReply *take_reply(redisContext *c, int type)
{
    void *answer;
    redisReply *r;

    if (redisGetReply(c, &answer) != REDIS_OK)
        bench_fail("reply: %s", c->errstr);
    r = answer;
    if (r->type != type)
        bench_fail("reply of type %d, not %d: %s", r->type, type,
                   r->str != NULL ? r->str : "");
    return r;
}

long long bench_reply_int(redisContext *c)
{
    redisReply *r = take_reply(c, REDIS_REPLY_INTEGER);
    long long n = r->integer;

    freeReplyObject(r);
    return n;
}

static void append(redisContext *c, int argc, const char **argv,
                   const size_t *lens)
{
    if (redisAppendCommandArgv(c, argc, argv, lens) != REDIS_OK)
        bench_fail("append: %s", c->errstr);
}

static size_t ready_key(const char *queue, char out[KEY_BYTES])
{
    return (size_t)snprintf(out, KEY_BYTES, "belt:{%s}", queue);
}

static void push_some(redisContext *c, struct envelope *e, const char *ready,
                      int64_t first, int64_t n)
{
    const char *argv[] = {"RPUSH", ready, e->text};
    const size_t lens[] = {5, strlen(ready), e->len};

    for (int64_t i = 0; i < n; i++) {
        envelope_set(e, first + i);
        append(c, 3, argv, lens);
    }
    for (int64_t i = 0; i < n; i++)
        bench_reply_int(c);
}

void textbook_push(struct bench *b, const struct batch *jobs, struct cost *ret)
{
    redisContext *c = bench_connect(b);
    struct envelope e;
    struct cost_mark m;
    char ready[KEY_BYTES];

    ready_key(jobs->queue, ready);
    envelope_init(&e, jobs->bytes);
    cost_begin(b, &m);
    for (int64_t at = 0; at < jobs->count; at += PIPELINE)
        push_some(c, &e, ready, jobs->first + at,
                  jobs->count - at < PIPELINE ? jobs->count - at : PIPELINE);
    cost_end(b, &m, ret);
    envelope_done(&e);
    redisFree(c);
}

static void settle_some(redisContext *c, const char *ready, const char *active,
                        int64_t n)
{
    const char *move[] = {"LMOVE", ready, active, "LEFT", "RIGHT"};
    const size_t move_lens[] = {5, strlen(ready), strlen(active), 4, 5};
    const char *rem[] = {"LREM", active, "1", NULL};
    size_t rem_lens[] = {4, strlen(active), 1, 0};
    redisReply *got[PIPELINE];

    for (int64_t i = 0; i < n; i++)
        append(c, 5, move, move_lens);
    for (int64_t i = 0; i < n; i++)
        got[i] = take_reply(c, REDIS_REPLY_STRING);
    for (int64_t i = 0; i < n; i++) {
        rem[3] = got[i]->str;
        rem_lens[3] = got[i]->len;
        append(c, 4, rem, rem_lens);
    }
    for (int64_t i = 0; i < n; i++) {
        if (bench_reply_int(c) != 1)
            bench_fail("LREM found nothing");
        freeReplyObject(got[i]);
    }
}

void textbook_settle(struct bench *b, const char *queue, int64_t count,
                     struct cost *ret)
{
    redisContext *c = bench_connect(b);
    struct cost_mark m;
    char ready[KEY_BYTES], active[KEY_BYTES + 32];

    ready_key(queue, ready);
    snprintf(active, sizeof(active), "%s:active:textbook", ready);
    cost_begin(b, &m);
    for (int64_t at = 0; at < count; at += PIPELINE)
        settle_some(c, ready, active,
                    count - at < PIPELINE ? count - at : PIPELINE);
    cost_end(b, &m, ret);
    if (redis_int(b->redis, "EXISTS %s %s", ready, active) != 0)
        bench_fail("the textbook left jobs behind");
    redisFree(c);
}

/* ---- Belt ---- */

/* From a file, or from in if path is "-". */
static void push_lines(struct bench *b, const char *queue, const char *path,
                       int in, struct cost *ret)
{
    const char *argv[] = {BELT_BIN, "push", "--ndjson", "-q",
                          queue,    path,   NULL};

    bench_run(b, argv, in, ret);
}

void bench_push_file(struct bench *b, const char *queue, const char *path,
                     struct cost *ret)
{
    push_lines(b, queue, path, -1, ret);
}

struct writer {
    const struct batch *jobs;
    int fds[2];
};

static void write_all(void *arg)
{
    const struct writer *w = arg;
    FILE *out = fdopen(w->fds[1], "w");

    close(w->fds[0]);
    if (out == NULL || setvbuf(out, NULL, _IOFBF, CHUNK) != 0 ||
        !write_batch(w->jobs, out))
        bench_fail("belt push did not read all of its input");
}

void bench_push(struct bench *b, const struct batch *jobs, struct cost *ret)
{
    struct writer w = {.jobs = jobs};
    pid_t pid;

    if (pipe2(w.fds, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    pid = bench_fork(write_all, &w);
    close(w.fds[1]);
    push_lines(b, jobs->queue, "-", w.fds[0], ret);
    close(w.fds[0]);
    bench_join(pid, 0);
}

void bench_worker(struct bench *b, const char *const *flags, struct cost *ret)
{
    enum { ARGS = 32 };
    const char *argv[ARGS] = {BELT_WORKER_BIN, "--log-level", "warn"};
    int n = 3;

    for (; *flags != NULL && n < ARGS - 1; flags++)
        argv[n++] = *flags;
    bench_run(b, argv, -1, ret);
}

struct worker *bench_worker_begin(struct bench *b, const char *const *flags)
{
    struct worker *w = worker_start(b->redis, NULL, flags);

    if (!worker_is_up(w, 1))
        bench_fail("the worker does not come up; its log: %s", worker_log(w));
    return w;
}

void bench_worker_end(struct worker *w)
{
    worker_signal(w, SIGTERM);
    if (worker_wait(w, END_MS) != 0)
        bench_fail("the worker did not end with 0; its log: %s", worker_log(w));
    worker_free(w);
}

/* ---- the books ---- */

void bench_empty(struct bench *b)
{
    redis_do(b->redis, "FLUSHALL");
}

static void expect(const char *queue, const char *what, long long there,
                   long long wanted)
{
    if (there != wanted)
        bench_fail("queue %s: %s is %lld, not %lld", queue, what, there,
                   wanted);
}

/* Everything but ready; the server is ours, so KEYS may be asked. */
static void expect_only_ready(struct bench *b, const char *queue)
{
    redisReply *r = redis_cmd(b->redis, "KEYS belt:{%s}:active:*", queue);

    expect(queue, "lists of active jobs", (long long)r->elements, 0);
    freeReplyObject(r);
    expect(queue, "retry, dead or scheduled",
           redis_int(b->redis,
                     "EXISTS belt:{%s}:retry belt:{%s}:dead "
                     "belt:{%s}:scheduled",
                     queue, queue, queue),
           0);
}

void bench_expect_ready(struct bench *b, const char *queue, int64_t jobs)
{
    expect(queue, "ready", redis_int(b->redis, "LLEN belt:{%s}", queue), jobs);
    expect_only_ready(b, queue);
}

void bench_expect_done(struct bench *b, const char *queue, int64_t jobs,
                       int64_t pushed)
{
    bench_expect_ready(b, queue, 0);
    expect(queue, "done", queue_stat(b->redis, queue, "done"), jobs);
    if (pushed >= 0)
        expect(queue, "pushed", queue_stat(b->redis, queue, "pushed"), pushed);
}
