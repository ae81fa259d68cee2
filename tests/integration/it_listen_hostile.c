/*
 * Slow, many and senseless HTTP clients cost a worker nothing: its jobs go on
 * and the next honest client is answered.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/integration/listen_fixture.h"
#include "tests/unit/unit.h"

enum { PLACES = 32, JOB_MS = 5000 };

static struct response answer;

static void begin(struct fixture *f)
{
    const char *flags[] = {"--handler", "x=builtin:noop", NULL};
    listen_begin(f, flags);
    http_until(f, "/readyz", 200, NULL);
}

/* A job that is pushed now runs now. */
static void expect_work(struct fixture *f)
{
    long long before = queue_stat(f->r, "default", "done");
    queue_fill(f->r, "default", "x", 0, 10);
    assert_true(queue_at_rest(f->r, "default", JOB_MS));
    assert_int_equal(queue_stat(f->r, "default", "done"), before + 10);
}

struct crowd {
    int fds[PLACES];
    size_t sent;
};

/* Another byte of a request that never ends, for each that is still there. */
static bool all_are_cut(void *arg)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nX-Slow: ";
    struct crowd *c = arg;
    const char *next = c->sent < sizeof(request) - 1 ? &request[c->sent] : "a";
    bool all = true;
    c->sent++;
    for (int i = 0; i < PLACES; i++) {
        if (c->fds[i] < 0)
            continue;
        if (!http_send(c->fds[i], next, 1) || http_is_closed(c->fds[i])) {
            (void)close(c->fds[i]);
            c->fds[i] = -1;
        } else {
            all = false;
        }
    }
    return all;
}

static void slow_clients_are_cut_after_their_time(void **state)
{
    struct fixture *f = *state;
    struct crowd c = {.sent = 0};
    begin(f);
    for (int i = 0; i < PLACES; i++) {
        c.fds[i] = http_connect(f->port);
        assert_true(c.fds[i] >= 0);
    }
    int64_t start_ms = clock_ms();
    assert_false(all_are_cut(&c));
    expect_work(f);
    assert_true(wait_until(all_are_cut, &c, LISTEN_MS));
    /* By their time, not by the size of what they sent. */
    assert_true(clock_ms() - start_ms > 5000);
    assert_true(c.sent < 8000);
    http_until(f, "/readyz", 200, NULL);
}

static void one_too_many_is_closed_and_the_others_stay(void **state)
{
    struct fixture *f = *state;
    int fds[PLACES], more[8];
    begin(f);
    for (int i = 0; i < PLACES; i++)
        assert_true((fds[i] = http_connect(f->port)) >= 0);
    for (int i = 0; i < 8; i++) {
        assert_true((more[i] = http_connect(f->port)) >= 0);
        (void)http_send(more[i], "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 32);
    }
    for (int i = 0; i < 8; i++) {
        size_t len;
        assert_true(
            http_read_all(more[i], answer.text, sizeof(answer.text), &len));
        assert_int_equal(len, 0);
        (void)close(more[i]);
    }
    expect_work(f);
    for (int i = 0; i < PLACES; i++) {
        static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
        size_t len;
        assert_true(http_send(fds[i], request, sizeof(request) - 1));
        assert_true(
            http_read_all(fds[i], answer.text, sizeof(answer.text), &len));
        assert_non_null(strstr(answer.text, "alive\n"));
        (void)close(fds[i]);
    }
    http_until(f, "/livez", 200, NULL); /* their places are free again */
}

static void places_of_clients_that_left_are_free(void **state)
{
    struct fixture *f = *state;
    begin(f);
    int64_t start_ms = clock_ms();
    for (int round = 0; round < 10; round++) {
        int fds[PLACES];
        for (int i = 0; i < PLACES; i++) {
            if ((fds[i] = http_connect(f->port)) >= 0)
                (void)http_send(fds[i], "GET /li", (size_t)(i % 8));
        }
        for (int i = 0; i < PLACES; i++) {
            if (fds[i] >= 0)
                (void)close(fds[i]);
        }
        http_until(f, "/livez", 200, NULL);
    }
    assert_true(clock_ms() - start_ms < 9000); /* before their time was up */
    expect_work(f);
}

struct garbage {
    const char *what, *text;
    size_t len;
};
#define GARBAGE(text)                                                          \
    {                                                                          \
#text, text, sizeof(text) - 1                                          \
    }

static const struct garbage garbage[] = {
    GARBAGE("\r\n\r\n\r\n"),
    GARBAGE("\0\0\0\0\0\0\0\0\r\n\r\n"),
    GARBAGE("GET\r\n\r\n"),
    GARBAGE("GET /livez\r\n\r\n"),
    GARBAGE("GET /livez HTTP/9.9\r\n\r\n"),
    GARBAGE("BREW /livez HTTP/1.1\r\n\r\n"),
    GARBAGE("GET /livez HTTP/1.1\r\nno colon\r\n\r\n"),
    GARBAGE("GET /livez HTTP/1.1\r\n: x\r\n\r\n"),
    GARBAGE("GET http://[::1/livez HTTP/1.1\r\n\r\n"),
    GARBAGE("GET livez HTTP/1.1\r\n\r\n"),
    GARBAGE("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    GARBAGE("CONNECT HTTP/1.1\r\n\r\n"),
    GARBAGE("POST /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
    GARBAGE("POST /livez HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"),
    GARBAGE("POST /livez HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
    GARBAGE("POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            "fffffffffffffffff\r\n"),
    GARBAGE("POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
            "Content-Length: 3\r\n\r\n0\r\n\r\n"),
    GARBAGE("PUT /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2000\r\n"),
    GARBAGE("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls hello\r\n\r\n"),
    GARBAGE("*1\r\n$4\r\nPING\r\n"),
    GARBAGE("\xff\xfe\xfd / HTTP/1.1\r\n\r\n"),
};

/* It may also wait for more: then the client goes first. */
static void send_and_leave(const struct fixture *f, const char *data,
                           size_t len)
{
    char part[1024];
    int fd = http_connect(f->port);
    assert_true(fd >= 0);
    (void)http_send(fd, data, len);
    (void)shutdown(fd, SHUT_WR);
    ssize_t n;
    do
        n = recv(fd, part, sizeof(part), 0);
    while (n > 0);
    (void)close(fd);
}

static void garbage_ends_its_connection_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    begin(f);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        send_and_leave(f, garbage[i].text, garbage[i].len);
        http_ask(f, "GET", "/livez", &answer);
        if (answer.status != 200)
            fail_msg("after %s: %d", garbage[i].what, answer.status);
    }
    expect_work(f);
}

static void random_bytes_do_no_harm(void **state)
{
    struct fixture *f = *state;
    char data[2000];
    unsigned short seed[3] = {1, 2, 3};
    begin(f);
    for (int i = 0; i < 200; i++) {
        size_t len = (size_t)(nrand48(seed) % (long)sizeof(data));
        size_t head = 0;
        if (i % 2 == 0)
            head = (size_t)snprintf(data, sizeof(data),
                                    "GET /metrics HTTP/1.1\r\n");
        for (size_t k = head; k < len; k++)
            data[k] = (char)(nrand48(seed) >> 8);
        send_and_leave(f, data, len);
    }
    http_until(f, "/livez", 200, NULL);
    expect_work(f);
}

static void a_request_without_end_is_refused(void **state)
{
    struct fixture *f = *state;
    static char big[256 * 1024];
    static const char *const heads[] = {
        "GET /", "GET /livez HTTP/1.1\r\nX: ",
        "POST /livez HTTP/1.1\r\nContent-Length: 200000\r\n\r\n"};
    begin(f);
    for (int i = 0; i < 3; i++) {
        memset(big, 'a', sizeof(big));
        memcpy(big, heads[i], strlen(heads[i]));
        http_ask_raw(f, big, sizeof(big), &answer);
        /* It may have been cut while it was still sending. */
        assert_true(answer.status == 0 || answer.status == 400 ||
                    answer.status == 413);
        http_until(f, "/livez", 200, NULL);
    }
    expect_work(f);
}

static void a_second_request_of_a_connection_is_not_read(void **state)
{
    struct fixture *f = *state;
    static const char two[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
                              "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    begin(f);
    http_ask_raw(f, two, sizeof(two) - 1, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "alive\n");
}

/* Which socket a descriptor of the process is: false if it is none. */
static bool socket_at(pid_t pid, int fd, char name[64])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    ssize_t n = readlink(path, name, 63);
    name[n > 0 ? n : 0] = '\0';
    return strncmp(name, "socket:", 7) == 0;
}

/* The flags of a descriptor; -1 if there is none. */
static long flags_at(pid_t pid, int fd)
{
    char path[64], line[128];
    long flags = -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "flags:", 6) == 0)
            flags = strtol(line + 6, NULL, 8);
    }
    if (f != NULL)
        (void)fclose(f);
    return flags;
}

/*
 * Sockets of the process; those that its children would inherit. It may close
 * one while we look: flags count if the same socket was there before and after.
 */
static unsigned sockets(pid_t pid, unsigned *ret_inherited)
{
    char before[64], after[64];
    unsigned n = 0;
    *ret_inherited = 0;
    for (int fd = 0; fd < 256; fd++) {
        while (socket_at(pid, fd, before)) {
            long flags = flags_at(pid, fd);
            if (!socket_at(pid, fd, after) || strcmp(before, after) != 0)
                continue;
            assert_true(flags >= 0);
            n++;
            *ret_inherited += (flags & O_CLOEXEC) == 0;
            break;
        }
    }
    return n;
}

static void its_sockets_are_close_on_exec(void **state)
{
    struct fixture *f = *state;
    unsigned inherited;
    begin(f);
    int fd = http_connect(f->port);
    assert_true(http_send(fd, "GET", 3));
    http_until(f, "/livez", 200, NULL); /* so that the other was accepted */
    /* Two to Redis, the listening one, and ours. */
    assert_true(sockets(worker_pid(f->w), &inherited) >= 4);
    assert_int_equal(inherited, 0);
    (void)close(fd);
}

/* The lowest descriptor that the process has free. */
static rlim_t free_descriptor(pid_t pid)
{
    for (rlim_t n = 0;; n++) {
        char path[64];
        struct stat st;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%llu", (int)pid,
                       (unsigned long long)n);
        if (lstat(path, &st) != 0)
            return n;
    }
}

struct siege {
    struct fixture *f;
    int fds[PLACES];
    int count;
};

/*
 * Holds one connection more, until the worker has twice had no descriptor for
 * one: more than it has room for, since some of its own become free meanwhile.
 */
static bool has_complained(void *arg)
{
    struct siege *s = arg;
    if (worker_count(s->f->w, "ev=accept ") >= 2)
        return true;
    if (s->count < PLACES - 1)
        s->fds[s->count++] = http_connect(s->f->port);
    return false;
}

static void without_free_descriptors_it_waits_and_does_not_spin(void **state)
{
    struct fixture *f = *state;
    struct siege s = {.f = f};
    struct rlimit limit, none;
    begin(f);
    pid_t pid = worker_pid(f->w);
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    none = limit;
    none.rlim_cur = free_descriptor(pid);
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &none, NULL), 0);
    assert_true(wait_until(has_complained, &s, LISTEN_MS));
    expect_work(f);
    assert_true(worker_count(f->w, "ev=accept ") < 20);
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
    http_until(f, "/livez", 200, NULL);
    while (s.count > 0)
        (void)close(s.fds[--s.count]);
}

/* Under the address sanitizer also: it forgets none of what they cost. */
static void clients_that_hang_on_do_not_hold_up_its_end(void **state)
{
    struct fixture *f = *state;
    int fds[PLACES];
    begin(f);
    for (int i = 0; i < PLACES; i++) {
        assert_true((fds[i] = http_connect(f->port)) >= 0);
        (void)http_send(fds[i], "GET /livez HTTP/1.1\r\n", (size_t)(i % 22));
    }
    for (int i = 0; i < PLACES / 2; i++)
        (void)close(fds[i]);
    http_until(f, "/livez", 200, NULL);
    worker_signal(f->w, SIGTERM);
    assert_int_equal(worker_wait(f->w, LISTEN_MS), 0);
    for (int i = PLACES / 2; i < PLACES; i++)
        (void)close(fds[i]);
}

#define STORY(name)                                                            \
    cmocka_unit_test_setup_teardown(name, listen_setup, listen_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(slow_clients_are_cut_after_their_time),
        STORY(one_too_many_is_closed_and_the_others_stay),
        STORY(places_of_clients_that_left_are_free),
        STORY(garbage_ends_its_connection_and_nothing_else),
        STORY(random_bytes_do_no_harm),
        STORY(a_request_without_end_is_refused),
        STORY(a_second_request_of_a_connection_is_not_read),
        STORY(its_sockets_are_close_on_exec),
        STORY(without_free_descriptors_it_waits_and_does_not_spin),
        STORY(clients_that_hang_on_do_not_hold_up_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
