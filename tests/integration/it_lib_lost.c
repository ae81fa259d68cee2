/*
 * Claims about libbelt in many threads, and when connections or servers go: the
 * four outcomes of a push, no signal, no call that holds up another.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belt/belt.h>

#include "common/base/mem.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

enum { MINUTE_MS = 60 * 1000, THREADS = 8, JOBS = 500 };

static struct belt_error error;

static struct belt_client *open_at(const char *url)
{
    struct belt_client_options options = {
        .size = sizeof(options), .url = url, .max_bytes = (size_t)64 << 20};
    struct belt_client *belt = belt_client_open(&options, &error);

    if (!belt)
        fail_msg("%s", error.text);
    return belt;
}

static struct belt_job *make(const char *keep)
{
    struct belt_job *job = belt_job_new("t");

    assert_int_equal(belt_job_set(job, "queue", "q", &error), 0);
    assert_int_equal(belt_job_set(job, "keep", keep, &error), 0);
    return job;
}

/* ---- threads ---- */

struct crowd {
    struct belt_client *belt;
    atomic_int pushed, ended, failed;
};

/* Pushes, asks and waits; nothing is asserted here (cmocka's is main's). */
static void *work(void *arg)
{
    struct crowd *c = arg;
    struct belt_job *job = belt_job_new("t");
    struct belt_pushed pushed;

    if (belt_job_set(job, "queue", "q", NULL) != 0 ||
        belt_job_set(job, "keep", "1h", NULL) != 0)
        c->failed++;
    for (int i = 0; i < JOBS; i++) {
        if (belt_client_push(c->belt, job, &pushed, NULL) != 0) {
            c->failed++;
            continue;
        }
        c->pushed++;
        if (i % 50 != 0)
            continue;
        struct belt_status *s =
            belt_client_wait(c->belt, pushed.job, MINUTE_MS, NULL);
        c->ended += s && strcmp(belt_status_state(s), "done") == 0;
        belt_status_free(s);
    }
    belt_job_free(job);
    return NULL;
}

static bool nobody_waits_any_more(void *arg)
{
    (void)arg;
    return redis_int(runs_redis, "PUBSUB NUMPAT") == 0 &&
           runs_info("clients", "connected_clients:") <= 10;
}

static void threads_share_a_client(void **state)
{
    struct crowd c = {.belt = open_at(redis_url(runs_redis))};
    pthread_t threads[THREADS];

    (void)state;
    struct worker *w = runs_worker("--handler", "t=builtin:noop", NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &c), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(c.failed, 0);
    assert_int_equal(c.pushed, THREADS * JOBS);
    assert_int_equal(c.ended, THREADS * JOBS / 50);
    runs_await_stat("done", THREADS * JOBS);
    runs_end(w);
    /* No more connections stay than idle_max, ours of the test, and one. */
    assert_true(wait_until(nobody_waits_any_more, NULL, RUN_MS));
    belt_client_close(c.belt);
}

struct waiter {
    struct belt_client *belt;
    struct belt_status *status;
};

static void *wait_for_a(void *arg)
{
    struct waiter *w = arg;

    w->status = belt_client_wait(w->belt, "q/a", MINUTE_MS, NULL);
    return NULL;
}

static bool somebody_waits(void *arg)
{
    redisReply *r = redis_cmd(runs_redis, "PUBSUB NUMSUB belt:{q}:job:a");
    bool yes = r->elements == 2 && r->element[1]->integer == 1;

    (void)arg;
    freeReplyObject(r);
    return yes;
}

static void a_call_that_waits_holds_up_no_other(void **state)
{
    struct waiter w = {.belt = open_at(redis_url(runs_redis))};
    struct belt_job *job = make("1h");
    pthread_t thread;

    (void)state;
    assert_int_equal(belt_job_set(job, "id", "a", &error), 0);
    assert_int_equal(belt_client_push(w.belt, job, NULL, &error), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_a, &w), 0);
    assert_true(wait_until(somebody_waits, NULL, RUN_MS));
    assert_int_equal(belt_job_set(job, "id", "b", &error), 0);
    assert_int_equal(belt_client_push(w.belt, job, NULL, &error), 0);
    redis_do(runs_redis, "HSET belt:{q}:job:a state done");
    redis_do(runs_redis, "PUBLISH belt:{q}:job:a done");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(w.status);
    belt_status_free(w.status);
    belt_job_free(job);
    belt_client_close(w.belt);
}

/* ---- Redis goes ---- */

static void a_client_outlives_its_redis(void **state)
{
    struct belt_client *belt = open_at(redis_url(runs_redis));
    struct belt_job *job = make("1h"), *jobs[] = {job, job};
    struct belt_pushed pushed[2];

    (void)state;
    assert_int_equal(belt_client_push(belt, job, NULL, &error), 0);
    redis_kill9(runs_redis);
    assert_int_equal(belt_client_push(belt, job, pushed, &error),
                     BELT_ERR_UNREACHABLE);
    assert_int_equal(pushed->state, BELT_PUSH_REFUSED);
    assert_non_null(strstr(error.text, "connect: "));
    assert_int_equal(belt_client_push_many(belt, jobs, 2, pushed, &error),
                     BELT_ERR_UNREACHABLE);
    assert_int_equal(pushed[1].code, BELT_ERR_UNREACHABLE);
    assert_null(belt_client_status(belt, "q/x", &error));
    assert_int_equal(error.code, BELT_ERR_UNREACHABLE);
    redis_restart(runs_redis);
    assert_int_equal(belt_client_push(belt, job, NULL, &error), 0);
    belt_job_free(job);
    belt_client_close(belt);
}

static void waiting_goes_on_over_a_restart(void **state)
{
    struct waiter w = {.belt = open_at(redis_url(runs_redis))};
    pthread_t thread;

    (void)state;
    redis_do(runs_redis, "HSET belt:{q}:job:a state active");
    assert_int_equal(pthread_create(&thread, NULL, wait_for_a, &w), 0);
    assert_true(wait_until(somebody_waits, NULL, RUN_MS));
    redis_do(runs_redis, "HSET belt:{q}:job:a state done result 1");
    redis_do(runs_redis, "CLIENT KILL TYPE pubsub");
    redis_do(runs_redis, "CLIENT KILL TYPE normal SKIPME yes");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(w.status);
    assert_string_equal(belt_status_get(w.status, "result", NULL), "1");
    belt_status_free(w.status);
    belt_client_close(w.belt);
}

/* ---- a server that goes in the middle ---- */

/* Answers as Redis does until a word comes, and then hangs up. */
struct fake {
    const char *word;
    char *path, *url; /* owned */
    int fd;
    pthread_t thread;
};

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    struct fake *f = arg;
    int fd;

    while ((fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        char text[65536];
        size_t len = 0;
        ssize_t n;
        while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0) {
            len += (size_t)n;
            text[len] = '\0';
            if (strstr(text, f->word))
                break;
            if (strstr(text, "PING"))
                say(fd, "+PONG\r\n+OK\r\n");
            len = 0;
        }
        close(fd);
    }
    return NULL;
}

static void fake_start(struct fake *f, const char *word)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    f->word = word;
    f->path = mem_printf("%s/fake", redis_dir(runs_redis));
    f->url = mem_printf("unix://%s", f->path);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", f->path);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->fd >= 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(f->fd, 8), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void fake_stop(struct fake *f)
{
    (void)shutdown(f->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    close(f->fd);
    (void)unlink(f->path);
    free(f->path);
    free(f->url);
}

static void a_push_without_an_answer_is_unknown(void **state)
{
    struct fake f;

    (void)state;
    fake_start(&f, "EVALSHA");
    struct belt_client *belt = open_at(f.url);
    struct belt_job *job = make("1h"), *jobs[1200];
    struct belt_pushed pushed[1200];
    assert_int_equal(belt_job_set(job, "id", "mine", &error), 0);
    assert_int_equal(belt_client_push(belt, job, pushed, &error),
                     BELT_ERR_UNKNOWN);
    assert_int_equal(pushed->state, BELT_PUSH_UNKNOWN);
    assert_string_equal(pushed->job, "q/mine"); /* to be pushed again by */
    assert_non_null(strstr(error.text, "outcome unknown"));

    assert_int_equal(belt_job_set(job, "keep", NULL, &error), 0);
    for (int i = 0; i < 1200; i++)
        jobs[i] = job;
    assert_int_equal(belt_client_push_many(belt, jobs, 1200, pushed, &error),
                     BELT_ERR_UNKNOWN);
    assert_int_equal(pushed[0].state, BELT_PUSH_UNKNOWN);
    assert_int_equal(pushed[999].state, BELT_PUSH_UNKNOWN);
    /* The second batch waits for the answer of the first. */
    assert_int_equal(pushed[1000].state, BELT_PUSH_REFUSED);
    assert_int_equal(pushed[1199].code, BELT_ERR_AGAIN);
    belt_job_free(job);
    belt_client_close(belt);
    fake_stop(&f);
}

static void no_signal_is_raised(void **state)
{
    enum { BIG = 32 << 20 }; /* more than any socket takes at once */
    char *json = mem_new(BIG);
    struct belt_job *job = make("1h");
    struct fake f;

    (void)state;
    assert_int_equal(signal(SIGPIPE, SIG_DFL) == SIG_ERR, 0);
    memset(json, 'x', BIG);
    json[0] = json[BIG - 1] = '"';
    assert_int_equal(belt_job_set_payload(job, json, BIG, &error), 0);
    fake_start(&f, "SADD");
    struct belt_client *belt = open_at(f.url);
    assert_int_equal(belt_client_push(belt, job, NULL, &error),
                     BELT_ERR_UNKNOWN);
    belt_job_free(job);
    belt_client_close(belt);
    fake_stop(&f);
    free(json);
}

static void a_child_is_refused(void **state)
{
    struct belt_client *belt = open_at(redis_url(runs_redis));
    struct belt_job *job = make("1h");
    int status;

    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int rc = belt_client_push(belt, job, NULL, &error);
        belt_client_close(belt);
        _exit(rc == BELT_ERR_INVALID && strstr(error.text, "parent") ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(belt_client_push(belt, job, NULL, &error), 0);
    belt_job_free(job);
    belt_client_close(belt);
}

static void a_lazy_client_connects_later(void **state)
{
    struct belt_client_options options = {
        .size = sizeof(options), .url = redis_url(runs_redis), .lazy = 1};
    struct belt_job *job = make("1h");

    (void)state;
    redis_kill9(runs_redis);
    struct belt_client *belt = belt_client_open(&options, &error);
    assert_non_null(belt);
    redis_restart(runs_redis);
    assert_int_equal(belt_client_push(belt, job, NULL, &error), 0);
    belt_job_free(job);
    belt_client_close(belt);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, runs_clear, runs_over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(threads_share_a_client),
        CLAIM(a_call_that_waits_holds_up_no_other),
        CLAIM(a_client_outlives_its_redis),
        CLAIM(waiting_goes_on_over_a_restart),
        CLAIM(a_push_without_an_answer_is_unknown),
        CLAIM(no_signal_is_raised),
        CLAIM(a_child_is_refused),
        CLAIM(a_lazy_client_connects_later),
    };

    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
