/*
 * Claims about what a service tells its manager. The manager is a socket of
 * this test's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/notify.h"
#include "tests/unit/unit.h"

struct manager {
    char name[108]; /* as NOTIFY_SOCKET has it */
    char dir[64];
    int fd;
    char text[2048]; /* what it heard last */
};

static void listen_at(struct manager *m)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(m->name);
    memcpy(un.sun_path, m->name, n);
    if (m->name[0] == '@')
        un.sun_path[0] = '\0';
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_not_equal(m->fd, -1);
    assert_int_equal(
        bind(m->fd, (struct sockaddr *)&un,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
}

static int setup(void **state)
{
    struct manager *m = calloc(1, sizeof(*m));
    (void)snprintf(m->dir, sizeof(m->dir), "/tmp/belt-notify.XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    (void)snprintf(m->name, sizeof(m->name), "%s/notify", m->dir);
    listen_at(m);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct manager *m = *state;
    char path[80];
    (void)close(m->fd);
    (void)snprintf(path, sizeof(path), "%s/notify", m->dir);
    (void)unlink(path);
    (void)rmdir(m->dir);
    free(m);
    (void)unsetenv("NOTIFY_SOCKET");
    notify_start();
    return 0;
}

static void start(const char *socket_name)
{
    (void)setenv("NOTIFY_SOCKET", socket_name, 1);
    notify_start();
}

/* The next message; "": there is none. */
static const char *hear(struct manager *m)
{
    ssize_t n = recv(m->fd, m->text, sizeof(m->text) - 1, 0);
    m->text[n > 0 ? n : 0] = '\0';
    return m->text;
}

static void lines_arrive_in_one_message(void **state)
{
    struct manager *m = *state;
    start(m->name);
    assert_true(notify_is_heard());
    assert_true(notify_send("READY=1\nSTATUS=%d of %d busy", 3, 4));
    assert_string_equal(hear(m), "READY=1\nSTATUS=3 of 4 busy");
    assert_string_equal(hear(m), "");
}

static void a_name_without_a_file_is_heard_too(void **state)
{
    struct manager *m = *state;
    (void)close(m->fd);
    (void)snprintf(m->name, sizeof(m->name), "@belt-notify-%d", (int)getpid());
    listen_at(m);
    start(m->name);
    assert_true(notify_send("STOPPING=1"));
    assert_string_equal(hear(m), "STOPPING=1");
}

static void handlers_do_not_see_the_variables(void **state)
{
    struct manager *m = *state;
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("WATCHDOG_USEC", "30000000", 1);
    (void)setenv("WATCHDOG_PID", pid, 1);
    start(m->name);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    assert_int_equal(notify_watchdog_ms(), 15000);

    notify_hand_over();
    assert_string_equal(getenv("NOTIFY_SOCKET"), m->name);
    assert_string_equal(getenv("WATCHDOG_USEC"), "30000000");
    assert_string_equal(getenv("WATCHDOG_PID"), pid);
    notify_start(); /* as the successor does */
    assert_int_equal(notify_watchdog_ms(), 15000);
    assert_true(notify_send("READY=1"));
    assert_string_equal(hear(m), "READY=1");
}

/* A byte more than a socket's path may have. */
static const char too_long[] =
    "/0123456789012345678901234567890123456789012345678901234567890123456789"
    "012345678901234567890123456789012345678";

static void without_a_manager_nothing_is_sent(void **state)
{
    static const char *const others[] = {
        "", "/", "relative/path", "vsock:2:1234", "/nowhere/at/all", too_long};
    struct manager *m = *state;
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        (void)setenv("WATCHDOG_USEC", "1000000", 1);
        start(others[i]);
        assert_int_equal(notify_is_heard(), i == 4);
        assert_true(notify_send("READY=1"));
        assert_int_equal(notify_watchdog_ms(), i == 4 ? 500 : 0);
        assert_string_equal(hear(m), "");
    }
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
    struct manager *m = *state;
    (void)setenv("WATCHDOG_USEC", "1000000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1);
    start(m->name);
    assert_int_equal(notify_watchdog_ms(), 0);
    assert_true(notify_is_heard());
}

static void a_limit_that_is_none_asks_for_nothing(void **state)
{
    static const char *const wrong[] = {"",     "0",  "-5",
                                        "soon", "3s", "99999999999999999999"};
    struct manager *m = *state;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)setenv("WATCHDOG_USEC", wrong[i], 1);
        start(m->name);
        assert_int_equal(notify_watchdog_ms(), 0);
    }
    (void)setenv("WATCHDOG_USEC", "1", 1); /* as often as we can */
    start(m->name);
    assert_int_equal(notify_watchdog_ms(), 1);
}

static void a_manager_that_does_not_listen_holds_nobody_up(void **state)
{
    struct manager *m = *state;
    unsigned taken = 0;
    start(m->name);
    int64_t before = clock_ms();
    while (taken < 100000 && notify_send("STATUS=%u", taken))
        taken++;
    assert_in_range(taken, 1, 99999);
    assert_true(clock_ms() - before < 20000);
    assert_string_equal(hear(m), "STATUS=0");
    assert_true(notify_send("READY=1")); /* there is room again */
}

static void what_is_too_long_is_cut(void **state)
{
    struct manager *m = *state;
    start(m->name);
    assert_true(notify_send("STATUS=%01500d", 0));
    assert_int_equal(strlen(hear(m)), NOTIFY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(lines_arrive_in_one_message),
        T(a_name_without_a_file_is_heard_too),
        T(handlers_do_not_see_the_variables),
        T(without_a_manager_nothing_is_sent),
        T(the_watchdog_of_another_process_is_not_ours),
        T(a_limit_that_is_none_asks_for_nothing),
        T(a_manager_that_does_not_listen_holds_nobody_up),
        T(what_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
