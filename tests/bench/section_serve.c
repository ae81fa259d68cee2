/*
 * Serve: a job of 200 bytes by POST, through belt serve, against a bare server
 * that only answers, and against one RPUSH a round trip on as many connections.
 *
 * wrk leaves in the middle of its last requests, so up to one job a connection
 * is there that it was not told of; never is one missing.
 *
 * Thread: main.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/bench/bench_http.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum { BYTES = 200, SECONDS = 3, UP_MS = 20 * 1000, STOP_MS = 30 * 1000 };

static const char queue[] = "bench";
static const char path[] = "/v1/queues/bench/jobs";
static const char answer[] = /* as long as those of belt serve */
    "{\"id\":\"01JD0000000000000000000000\",\"queue\":\"bench\","
    "\"state\":\"ready\",\"depth\":12345}\n";

struct race {
    struct bench *bench;
    const char *wrk;
    int seconds;
    char body[BYTES + 1];
    struct load belt, bare, rpush;
};

static void make_body(char out[BYTES + 1])
{
    int n = snprintf(out, BYTES + 1, "{\"type\":\"bench.job\",\"payload\":\"");

    memset(out + n, 'x', (size_t)(BYTES - n));
    memcpy(out + BYTES - 2, "\"}", 3);
}

static bool listens(void *w)
{
    return worker_said(w, "ev=listen ");
}

/* The port is in the line that says that it listens. */
static int port_of(struct worker *w)
{
    char line[512];
    int port = 0;
    FILE *f = fopen(worker_log(w), "re");

    while (f != NULL && port == 0 && fgets(line, sizeof(line), f) != NULL) {
        const char *at = strstr(line, "127.0.0.1:");
        if (at != NULL)
            port = atoi(at + strlen("127.0.0.1:"));
    }
    if (f != NULL)
        fclose(f);
    if (port == 0)
        bench_fail("belt serve told no port; its log: %s", worker_log(w));
    return port;
}

static void run_bare(void *arg)
{
    struct race *r = arg;
    struct post p = {
        .wrk = r->wrk, .path = path, .body = r->body, .seconds = r->seconds};

    p.server = http_bare_begin(answer, &p.port);
    http_post(r->bench, &p, &r->bare);
    bench_join(p.server, SIGKILL);
}

/* Every 202 is a job, whatever else is. */
static void check_books(struct bench *b, int64_t accepted)
{
    int64_t jobs = redis_int(b->redis, "LLEN belt:{%s}", queue);

    if (jobs < accepted || jobs > accepted + HTTP_CONNECTIONS)
        bench_fail("%lld requests were accepted, %lld jobs are there",
                   (long long)accepted, (long long)jobs);
}

static void run_belt(void *arg)
{
    static const char *const argv[] = {BELT_BIN, "serve", "--listen",
                                       "127.0.0.1:0", NULL};
    struct race *r = arg;
    char *url = mem_printf("BELT_REDIS_URL=%s", redis_url(r->bench->redis));
    const char *const env[] = {url, NULL};
    struct post p = {
        .wrk = r->wrk, .path = path, .body = r->body, .seconds = r->seconds};

    bench_empty(r->bench);
    struct worker *w = worker_exec(r->bench->redis, argv, env);
    if (!wait_until(listens, w, UP_MS))
        bench_fail("belt serve does not listen; its log: %s", worker_log(w));
    p.port = port_of(w);
    p.server = worker_pid(w);
    http_post(r->bench, &p, &r->belt);
    worker_signal(w, SIGTERM);
    if (worker_wait(w, STOP_MS) != 0)
        bench_fail("belt serve did not end with 0; its log: %s", worker_log(w));
    worker_free(w);
    check_books(r->bench, r->belt.answered);
    free(url);
}

static void run_rpush(void *arg)
{
    struct race *r = arg;
    struct envelope e;

    bench_empty(r->bench);
    envelope_init(&e, BYTES);
    envelope_set(&e, 0);
    e.text[e.len] = '\0';
    http_rpush(r->bench, queue, e.text, r->bench->smoke ? 100 : 1000 * SECONDS,
               &r->rpush);
    bench_expect_ready(r->bench, queue, r->rpush.answered);
    envelope_done(&e);
}

static void run_references(void *arg)
{
    run_bare(arg);
    run_rpush(arg);
}

static void record(struct bench *b, const struct race *r)
{
    static const char bare[] = "a bare server";
    static const struct figure rate = {"POST of a job, 64 connections", "req/s",
                                       bare, GOAL_RATIO_MIN, 0.6};
    static const struct figure p99 = {
        .name = "POST of a job: p99", .unit = "ms", .against = bare};
    static const struct figure p50 = {
        .name = "POST of a job: p50", .unit = "ms", .against = bare};
    static const struct figure cpu = {.name =
                                          "POST of a job: CPU of the server",
                                      .unit = "us/req",
                                      .against = bare};
    static const struct figure rpush = {.name = "POST of a job, beside RPUSH",
                                        .unit = "req/s",
                                        .against = "RPUSH"};

    bench_record(b, &rate, r->belt.per_s, r->bare.per_s);
    bench_record(b, &p50, r->belt.p50_ms, r->bare.p50_ms);
    bench_record(b, &p99, r->belt.p99_ms, r->bare.p99_ms);
    bench_record(b, &cpu, r->belt.server_cpu_us, r->bare.server_cpu_us);
    bench_record(b, &rpush, r->belt.per_s, r->rpush.per_s);
}

static void run_round(struct bench *b)
{
    char *wrk = http_wrk_path();
    struct race r = {.bench = b, .wrk = wrk, .seconds = b->smoke ? 1 : SECONDS};

    if (wrk == NULL) {
        fprintf(stderr, "serve: passed over, the Debian package wrk is not "
                        "installed\n");
        return;
    }
    make_body(r.body);
    bench_pair(b, run_references, run_belt, &r);
    record(b, &r);
    free(wrk);
}

const struct section section_serve = {
    .name = "serve",
    .about = "POST of jobs of 200 bytes, by wrk",
    .round = run_round,
};
