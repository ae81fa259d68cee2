/*
 * Claims about belt dev and belt worker.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/cli_fixture.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 30 * 1000 };

static struct redis *server; /* lends its directory */

static bool is_ready(void *arg)
{
    char *out = cli_output(arg);
    bool ready = strstr(out, "Ctrl-C stops all") != NULL;

    free(out);
    return ready;
}

/* Starts belt dev in a directory below the server's; copies its URL. */
static void dev_start(struct cli *c, char dir[128], char url[160])
{
    snprintf(dir, 128, "%s/dev-%d", redis_dir(server), (int)getpid());
    cli_start(c, NULL, -1,
              (const char *const[]){"dev", "--dir", dir, "--", "--handler",
                                    "t=builtin:echo", NULL});
    assert_true(wait_until(is_ready, c, PATIENCE_MS));
    snprintf(url, 160, "unix://%.100s/redis.sock", dir);
}

static bool is_done(void *arg)
{
    struct cli_result r = CLI(NULL, NULL, "-u", arg, "result", "default/job");
    bool done = r.status == 0;

    cli_result_done(&r);
    return done;
}

static bool is_unreachable(void *arg)
{
    struct cli_result r = CLI(NULL, NULL, "-u", arg, "queues");
    bool gone = r.status == 69;

    cli_result_done(&r);
    return gone;
}

static void dev_runs_jobs_and_stops_redis_and_worker_together(void **state)
{
    char dir[128], url[160];
    struct cli_result r;
    struct cli c;

    (void)state;
    dev_start(&c, dir, url);
    EXPECT(NULL, NULL, 0, "default/job", NULL, "push", "t", "-u", url, "--id",
           "job", "--keep", "1h", "a=b");
    assert_true(wait_until(is_done, url, PATIENCE_MS));
    EXPECT(NULL, NULL, 75, NULL, "runs there already, pid", "dev", "--dir",
           dir);
    kill(c.pid, SIGTERM);
    cli_finish(&c, &r);
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    cli_result_done(&r);
    assert_true(is_unreachable(url));
    /* The append-only file kept the result for the next time. */
    dev_start(&c, dir, url);
    EXPECT(NULL, NULL, 0, "{\"a\":\"b\"}", NULL, "-u", url, "result",
           "default/job");
    kill(c.pid, SIGINT);
    cli_finish(&c, &r);
    assert_int_equal(r.status, 0);
    cli_result_done(&r);
}

/* The port at which dev says that HTTP is answered. */
static int http_port(struct cli *c)
{
    static const char before[] = "Over HTTP: http://127.0.0.1:";
    char *out = cli_output(c);
    const char *at = strstr(out, before);
    int port = at != NULL ? (int)strtol(at + strlen(before), NULL, 10) : 0;

    free(out);
    assert_true(port > 0);
    return port;
}

/* The status of GET path, 0: nobody answers. */
static long http_status(int port, const char *path)
{
    char answer[16] = "", ask[128];
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(ask, sizeof(ask), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
             path);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
        send(fd, ask, strlen(ask), MSG_NOSIGNAL) == (ssize_t)strlen(ask) &&
        recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) < 12)
        answer[0] = '\0';
    (void)close(fd);
    return answer[0] != '\0' ? strtol(answer + strlen("HTTP/1.1 "), NULL, 10)
                             : 0;
}

static bool http_is_ready(void *arg)
{
    return http_status(*(int *)arg, "/readyz") == 200;
}

static void dev_answers_http_and_stops_that_too(void **state)
{
    char dir[128], url[160];
    struct cli_result r;
    struct cli c;

    (void)state;
    dev_start(&c, dir, url);
    int port = http_port(&c);
    assert_int_equal(http_status(port, "/livez"), 200);
    assert_true(wait_until(http_is_ready, &port, PATIENCE_MS));
    kill(c.pid, SIGINT);
    cli_finish(&c, &r);
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    cli_result_done(&r);
    assert_int_equal(http_status(port, "/livez"), 0);
}

static void a_killed_dev_leaves_nothing_behind(void **state)
{
    char dir[128], url[160];
    struct cli_result r;
    struct cli c;

    (void)state;
    dev_start(&c, dir, url);
    kill(c.pid, SIGKILL);
    cli_finish(&c, &r);
    cli_result_done(&r);
    assert_true(wait_until(is_unreachable, url, PATIENCE_MS));
}

static void dev_ends_when_its_worker_cannot_run(void **state)
{
    char dir[128];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/dev", redis_dir(server));
    EXPECT(NULL, NULL, 64, NULL, "--nonsense", "dev", "--dir", dir, "--",
           "--nonsense");
    EXPECT(NULL, NULL, 64, NULL, "stand behind --", "dev", "--dir", dir, "x");
    EXPECT(NULL, NULL, 73, NULL, "/no/such/dir: ", "dev", "--dir",
           "/no/such/dir");
}

static void worker_is_belt_worker(void **state)
{
    (void)state;
    EXPECT(NULL, NULL, 0, "belt-worker", NULL, "worker", "--version");
    EXPECT(NULL, NULL, 0, "--burst", NULL, "worker", "--help");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(dev_runs_jobs_and_stops_redis_and_worker_together),
        cmocka_unit_test(dev_answers_http_and_stops_that_too),
        cmocka_unit_test(a_killed_dev_leaves_nothing_behind),
        cmocka_unit_test(dev_ends_when_its_worker_cannot_run),
        cmocka_unit_test(worker_is_belt_worker),
    };

    server = redis_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_stop(server);
    return failed;
}
