/*
 * How fast belt push --ndjson is, against the textbook.
 *
 *     bench_push [ROUNDS [JOBS]]
 *
 * The textbook is one hiredis client that sends RPUSH of the same envelopes of
 * about 200 bytes, a hundred in flight, to the same Redis, which this program
 * starts for itself. Both are measured in turn within each round, so that a
 * busy machine slows both; the median of the ratios counts. belt is measured
 * with its start, the connection and the reading of the file. Then the time
 * of a push of one job, start to end of the process.
 *
 * Thread: main.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "tests/support/redis.h"

enum { PIPELINE = 100, ROUNDS_MAX = 99, SINGLES = 200 };
#define READY "belt:{default}"

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Envelopes as a producer writes them: all members that belt would add. */
static void make_lines(struct buf *b, int64_t jobs)
{
    char pad[101];

    memset(pad, 'x', sizeof(pad) - 1);
    pad[sizeof(pad) - 1] = '\0';
    for (int64_t i = 0; i < jobs; i++)
        buf_printf(b,
                   "{\"id\":\"01M84TE1FZD2NK2AJY%08lld\",\"type\":"
                   "\"bench.job\",\"created_at\":1795458270719,\"payload\":"
                   "{\"n\":%lld,\"p\":\"%s\"}}\n",
                   (long long)i, (long long)i, pad);
}

static void write_file(const char *path, const struct buf *b)
{
    FILE *f = fopen(path, "we");

    if (!f || fwrite(b->data, 1, b->len, f) != b->len || fclose(f) != 0)
        die(path);
}

static redisContext *connect_to(struct redis *r)
{
    redisContext *c = redisConnectUnix(redis_url(r) + strlen("unix://"));

    if (!c || c->err)
        die("connect");
    return c;
}

static void take_reply(redisContext *c)
{
    void *reply;

    if (redisGetReply(c, &reply) != REDIS_OK)
        die("reply");
    freeReplyObject(reply);
}

/* Returns microseconds. */
static int64_t run_textbook(struct redis *r, const struct buf *b)
{
    const char *p = b->data, *end = b->data + b->len;
    redisContext *c = connect_to(r);
    int64_t started_us = clock_us();

    while (p < end) {
        int sent = 0;
        for (; sent < PIPELINE && p < end; sent++) {
            const char *lf = memchr(p, '\n', (size_t)(end - p));
            const char *argv[] = {"RPUSH", READY, p};
            const size_t lens[] = {5, sizeof(READY) - 1, (size_t)(lf - p)};
            if (redisAppendCommandArgv(c, 3, argv, lens) != REDIS_OK)
                die("append");
            p = lf + 1;
        }
        while (sent-- > 0)
            take_reply(c);
    }
    int64_t us = clock_us() - started_us;
    redisFree(c);
    return us;
}

static int64_t run_belt(struct redis *r, char *const *argv)
{
    int64_t started_us = clock_us();
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        setenv("BELT_REDIS_URL", redis_url(r), 1);
        dup2(null, 1);
        dup2(null, 2);
        execv(BELT_BIN, argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "belt push failed\n");
        exit(1);
    }
    return clock_us() - started_us;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

static void expect_jobs(struct redis *r, int64_t jobs)
{
    if (redis_int(r, "LLEN %s", READY) != jobs) {
        fprintf(stderr, "not all jobs arrived\n");
        exit(1);
    }
}

static void bench_bulk(struct redis *r, int64_t rounds, int64_t jobs)
{
    double ratios[ROUNDS_MAX];
    struct buf b = {0};
    char path[128], word[][16] = {"belt", "push", "--ndjson"};
    char *argv[] = {word[0], word[1], word[2], path, NULL};

    make_lines(&b, jobs);
    snprintf(path, sizeof(path), "%s/jobs.ndjson", redis_dir(r));
    write_file(path, &b);
    for (int64_t i = 0; i < rounds; i++) {
        redis_do(r, "FLUSHALL");
        int64_t textbook_us = run_textbook(r, &b);
        expect_jobs(r, jobs);
        redis_do(r, "FLUSHALL");
        int64_t belt_us = run_belt(r, argv);
        expect_jobs(r, jobs);
        ratios[i] = (double)textbook_us / (double)belt_us;
        printf("RPUSH %8.0f/s   belt push --ndjson %8.0f/s   ratio %.2f\n",
               1e6 * (double)jobs / (double)textbook_us,
               1e6 * (double)jobs / (double)belt_us, ratios[i]);
    }
    printf("median ratio %.2f\n", median(ratios, (size_t)rounds));
    buf_done(&b);
}

static void bench_one(struct redis *r)
{
    char word[][16] = {"belt", "push", "bench.job", "user:=42"};
    char *argv[] = {word[0], word[1], word[2], word[3], NULL};
    double us[SINGLES];

    for (int i = 0; i < SINGLES; i++)
        us[i] = (double)run_belt(r, argv);
    double middle = median(us, SINGLES);
    printf("one job: median %.2f ms, p99 %.2f ms\n", middle / 1000,
           us[SINGLES * 99 / 100] / 1000);
}

int main(int argc, char **argv)
{
    int64_t rounds = 5, jobs = 500 * 1000;
    struct errbuf eb;

    if ((argc > 1 &&
         text_parse_int(argv[1], 1, ROUNDS_MAX, "ROUNDS", &rounds, &eb) != 0) ||
        (argc > 2 && text_parse_int(argv[2], 1, 10 * 1000 * 1000, "JOBS", &jobs,
                                    &eb) != 0)) {
        fprintf(stderr, "bench_push: %s\n", eb.text);
        return 64;
    }
    struct redis *r = redis_start(NULL);
    bench_bulk(r, rounds, jobs);
    bench_one(r);
    redis_stop(r);
    return 0;
}
