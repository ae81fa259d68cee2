/*
 * Claims about who a worker's neighbours are, and when one is gone.
 */
#include "worker/host.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/job/json.h"
#include "tests/unit/unit.h"

static bool neighbour(const struct host *h, const char *d)
{
    return host_is_neighbour(h, d, strlen(d));
}

static bool gone(const struct host *h, const char *d)
{
    return host_is_gone(h, d, strlen(d));
}

static void describe(const struct host *h, char out[512])
{
    host_describe(h, 4, "w-1-abc", "w-1-abc.1", out, 512);
}

/* Start time of a process that runs. */
static int64_t start_of(pid_t pid)
{
    int64_t start = -1;
    assert_int_equal(host_process_look(pid, &start), HOST_PROCESS_RUNS);
    return start;
}

static void it_knows_itself(void **state)
{
    struct host h;
    (void)state;
    (void)unsetenv("BELT_HOST");
    host_self(&h);
    assert_int_equal(h.pid, getpid());
    assert_true(h.start > 0);
    assert_int_equal(h.start, start_of(getpid()));
    assert_int_equal(strlen(h.boot_id), 36);
    assert_true(h.pid_ns > 0);
    assert_true(text_is_name(h.name, strlen(h.name)));
    assert_null(strchr(h.name, '.'));
}

static void the_environment_names_the_host(void **state)
{
    static const char *const names[][2] = {
        {"box-7", "box-7"},
        {"a.b.example", "a.b.example"},
        {"a b\"c/d:e", "a-b-c-d-e"},
        {"-x", "host"},
        {"\xc3\xa9", "host"},
        {"0123456789012345678901234567890123456789012345",
         "0123456789012345678901234567890123456789"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct host h;
        (void)setenv("BELT_HOST", names[i][0], 1);
        host_self(&h);
        assert_string_equal(h.name, names[i][1]);
    }
    (void)unsetenv("BELT_HOST");
}

static void a_description_is_json_and_says_who(void **state)
{
    struct host h;
    char d[512], part[64];
    (void)state;
    host_self(&h);
    describe(&h, d);
    assert_int_equal(json_check(d, strlen(d), NULL), 0);
    (void)snprintf(part, sizeof(part), "\"pid\":%d,", (int)getpid());
    assert_non_null(strstr(d, part));
    assert_non_null(strstr(d, "\"threads\":4,"));
    assert_non_null(strstr(d, "\"worker\":\"w-1-abc\""));
    assert_non_null(strstr(d, "\"was\":\"w-1-abc.1\""));
}

static void a_living_process_is_a_neighbour(void **state)
{
    struct host h;
    char d[512];
    (void)state;
    host_self(&h);
    describe(&h, d);
    assert_true(neighbour(&h, d));
    assert_false(gone(&h, d));
}

/* Each member that could make a process id mean another process. */
static void others_are_no_neighbours_and_never_gone(void **state)
{
    struct host self, h;
    char d[512];
    (void)state;
    host_self(&self);
    for (int i = 0; i < 3; i++) {
        h = self;
        h.start++; /* were it ours, it would be gone */
        if (i == 0)
            h.name[0] = h.name[0] == 'x' ? 'y' : 'x';
        else if (i == 1)
            h.boot_id[0] = h.boot_id[0] == '0' ? '1' : '0';
        else
            h.pid_ns++;
        describe(&h, d);
        assert_false(neighbour(&self, d));
        assert_false(gone(&self, d));
    }
}

static void a_process_id_used_again_is_another_process(void **state)
{
    struct host self, h;
    char d[512];
    (void)state;
    host_self(&self);
    h = self;
    h.start--;
    describe(&h, d);
    assert_true(neighbour(&self, d));
    assert_true(gone(&self, d));
}

static void a_dead_process_is_gone_before_anybody_waits(void **state)
{
    struct host self, h;
    char d[512];
    siginfo_t info;
    (void)state;
    host_self(&self);
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(pid > 0);
    h = self;
    h.pid = pid;
    h.start = start_of(pid);
    assert_true(h.start >= self.start);
    describe(&h, d);
    assert_false(gone(&self, d));
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(gone(&self, d)); /* a zombie */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(gone(&self, d));
    int64_t start;
    assert_int_equal(host_process_look(pid, &start), HOST_PROCESS_GONE);
}

static void in_doubt_nobody_is_gone(void **state)
{
    static const char *const tails[] = {
        "}", /* no process id */
        ",\"pid\":0,\"start\":1}",
        ",\"pid\":-1,\"start\":1}",
        ",\"pid\":99999999999,\"start\":1}",
        ",\"pid\":\"1\",\"start\":1}",
        ",\"pid\":1}",
        ",\"pid\":1,\"start\":-1}",
        ",\"pid\":1,\"start\":1",
    };
    struct host h;
    char d[512];
    (void)state;
    host_self(&h);
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        (void)snprintf(d, sizeof(d),
                       "{\"host\":\"%s\",\"boot\":\"%s\",\"pid_ns\":%lld%s",
                       h.name, h.boot_id, (long long)h.pid_ns, tails[i]);
        assert_false(neighbour(&h, d));
        assert_false(gone(&h, d));
    }
    assert_false(gone(&h, ""));
    assert_false(gone(&h, "garbage"));
    assert_false(gone(&h, "[]"));
}

static void what_it_does_not_know_of_itself_makes_doubt(void **state)
{
    struct host h, other;
    char d[512];
    (void)state;
    host_self(&h);
    for (int i = 0; i < 3; i++) {
        other = h;
        if (i == 0)
            other.boot_id[0] = '\0';
        else if (i == 1)
            other.pid_ns = 0;
        else
            other.start = -1;
        describe(&other, d);
        assert_false(neighbour(&other, d));
        assert_false(gone(&other, d));
    }
}

static void the_name_of_a_command_does_not_confuse(void **state)
{
    char name[17] = "";
    (void)state;
    int64_t start = start_of(getpid());
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    assert_int_equal(prctl(PR_SET_NAME, "x) Z 1 2 3 4"), 0);
    int64_t then = start_of(getpid());
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
    assert_int_equal(then, start);
}

static void what_cannot_be_seen_may_run(void **state)
{
    struct host h;
    struct rlimit was, none;
    int64_t start;
    char d[512];
    (void)state;
    host_self(&h);
    describe(&h, d);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum host_process self = host_process_look(getpid(), &start);
    bool self_gone = gone(&h, d);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(self, HOST_PROCESS_HIDDEN);
    assert_false(self_gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_itself),
        cmocka_unit_test(what_cannot_be_seen_may_run),
        cmocka_unit_test(the_environment_names_the_host),
        cmocka_unit_test(a_description_is_json_and_says_who),
        cmocka_unit_test(a_living_process_is_a_neighbour),
        cmocka_unit_test(others_are_no_neighbours_and_never_gone),
        cmocka_unit_test(a_process_id_used_again_is_another_process),
        cmocka_unit_test(a_dead_process_is_gone_before_anybody_waits),
        cmocka_unit_test(in_doubt_nobody_is_gone),
        cmocka_unit_test(what_it_does_not_know_of_itself_makes_doubt),
        cmocka_unit_test(the_name_of_a_command_does_not_confuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
