/*
 * Claims about the keys that isolate handlers, in the configuration file of a
 * real worker: what a run sees of them, what Redis says of it, and that
 * nothing stays behind, however the run or the worker ended.
 */
#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/cli_fixture.h"
#include "tests/integration/runs.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

static char *config; /* owned: what the next worker reads */
static char *tmp;    /* owned: its TMPDIR */

static int setup(void **state)
{
    config = mem_strdup("");
    tmp = mem_printf("%s/tmp", redis_dir(runs_redis));
    (void)mkdir(tmp, 0755);
    assert_int_equal(chmod(tmp, 01777), 0);
    assert_int_equal(chmod(redis_dir(runs_redis), 0755), 0);
    return runs_clear(state);
}

static int teardown(void **state)
{
    free(config);
    free(tmp);
    return runs_over(state);
}

/* A handler that is a script of /bin/sh, and more lines of its section. */
static void handler(const char *type, const char *keys, const char *body)
{
    char *text = mem_printf("#!/bin/sh\n%s\n", body);
    const char *path = script_file(runs_redis, type, text);
    char *more = mem_printf("%shandler \"%s\" {\n exec = \"%s\"\n%s\n}\n",
                            config, type, path, keys);

    assert_int_equal(chmod(path, 0755), 0);
    free(text);
    free(config);
    config = more;
}

static struct worker *start(void)
{
    const char *path = script_file(runs_redis, "belt.conf", config);

    assert_int_equal(setenv("TMPDIR", tmp, 1), 0);
    struct worker *w = runs_worker("-c", path, "--threads", "4", NULL);
    (void)unsetenv("TMPDIR");
    return w;
}

/* A kept job whose id is its type. */
static void push(const char *type, const char *more)
{
    runs_push("{\"id\":\"%s\",\"type\":\"%s\",\"payload\":1,\"keep\":600000,"
              "\"backoff\":[3600000]%s}",
              type, type, more);
}

static const char *kept(const char *id, const char *field)
{
    static char text[8192];
    return redis_str(runs_redis, text, sizeof(text), "HGET belt:{q}:job:%s %s",
                     id, field);
}

static void expect_done(const char *id, const char *result)
{
    if (strcmp(kept(id, "state"), "done") != 0)
        fail_msg("%s: %s", id, kept(id, "error"));
    assert_string_equal(kept(id, "result"), result);
}

static void expect_error(const char *id, const char *text)
{
    if (strstr(kept(id, "error"), text) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", id, kept(id, "error"), text);
}

/* Entries of a directory that begin so. */
static unsigned entries(const char *dir, const char *beginning)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strncmp(e->d_name, beginning, strlen(beginning)) == 0;
    closedir(d);
    return n;
}

static bool nothing_private(void *arg)
{
    (void)arg;
    return entries(tmp, "belt-run.") == 0;
}

static void each_key_is_felt(void **state)
{
    char cwd[64];
    (void)state;
    (void)snprintf(cwd, sizeof(cwd), " dir = \"%s\"", "/usr/lib");
    handler("limits",
            " nice = 9\n max-files = 41\n max-memory = 700m\n max-cpu = 7s",
            "nice; ulimit -n; ulimit -v; ulimit -t");
    handler("dir", cwd, "pwd");
    handler("env",
            " env = \"A=1 and 2\"\n env = \"B=2\"\n pass-env = \"IT_PASSED\"",
            "echo \"$A|$B|$IT_PASSED|$IT_OTHER\"");
    handler("cpu", " max-cpu = 1s", "while :; do :; done");
    handler("memory", " max-memory = 32m",
            "exec dd if=/dev/zero of=/dev/null bs=100M count=1");
    handler("gone", " dir = \"/nowhere\"", "exit 0");
    handler("plain", "", "nice; echo \"$TMPDIR\"");
    assert_int_equal(setenv("IT_PASSED", "passed", 1), 0);
    assert_int_equal(setenv("IT_OTHER", "secret", 1), 0);
    static const char *const types[] = {"cpu",    "limits", "dir",  "env",
                                        "memory", "gone",   "plain"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        push(types[i], "");
    struct worker *w = start();
    runs_await_stat("done", 4);
    runs_await_stat("retried", 2);
    runs_await_stat("put_off", 1);
    expect_done("limits", "9\n41\n716800\n7\n");
    expect_done("dir", "/usr/lib\n");
    expect_done("env", "1 and 2|2|passed|\n");
    expect_error("cpu", "used more CPU time than max-cpu, 1s");
    expect_error("memory", "memory exhausted");
    expect_error("gone", "dir: No such file or directory");
    runs_end(w);
}

/* More of the configuration, as it is. */
static void configure(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

static void configure(const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    char *more = mem_printf("%s%s\n", config, text);
    free(config);
    config = more;
}

static const char all_keys[] = " private-tmp = true\n nice = 9\n"
                               " max-files = 41\n env = \"A=1\"\n";

/* A process has one place for all its jobs, until it ends. */
static void processes_that_stay_are_isolated_too(void **state)
{
    (void)state;
    const char *path = script_file(
        runs_redis, "loop",
        "#!/bin/sh\n"
        "echo '{\"op\":\"ready\"}'; mkdir -p a/b; chmod 0 a/b;\n"
        "while IFS= read -r line; do\n"
        " case $line in '{\"op\":\"job\",'*) ;; *) continue ;; esac\n"
        " id=${line#*'\"id\":\"'} id=${id%%'\"'*}\n"
        " [ \"$PWD\" = \"$TMPDIR\" ] && here=yes || here=no\n"
        " printf '{\"op\":\"done\",\"id\":\"%s\",\"result\":"
        "\"%s %s %s %s\"}\\n'"
        " \"$id\" \"$(nice)\" \"$(ulimit -n)\" \"$A\" $here\n"
        "done\n");
    configure("handler \"p\" {\n process = \"%s\"\n processes = 1\n%s}", path,
              all_keys);
    runs_push("{\"id\":\"p1\",\"type\":\"p\",\"keep\":600000}");
    runs_push("{\"id\":\"p2\",\"type\":\"p\",\"keep\":600000}");
    struct worker *w = start();
    runs_await_stat("done", 2);
    expect_done("p1", "\"9 41 1 yes\"");
    expect_done("p2", "\"9 41 1 yes\"");
    assert_int_equal(entries(tmp, "belt-run."), 1);
    runs_end(w);
    assert_true(nothing_private(NULL));
}

static void commands_are_isolated_too(void **state)
{
    (void)state;
    configure("handler \"c\" {\n command = \"sh -c *\"\n%s}", all_keys);
    runs_push("{\"id\":\"c\",\"type\":\"c\",\"keep\":600000,\"payload\":"
              "[\"sh\",\"-c\",\"nice; ulimit -n; echo $A; mkdir -p a/b;"
              " chmod 0 a; [ $PWD = $TMPDIR ] && echo here\"]}");
    struct worker *w = start();
    runs_await_stat("done", 1);
    expect_done("c", "9\n41\n1\nhere\n");
    assert_true(nothing_private(NULL));
    runs_end(w);
}

/* Whether others may go where the handlers of the test are. */
static bool others_reach(const char *dir)
{
    char *path = mem_strdup(dir);
    bool may = true;

    for (char *p = path + strlen(path); may && p > path; *p = '\0') {
        struct stat st;

        may = stat(path, &st) == 0 && (st.st_mode & S_IXOTH) != 0;
        p = strrchr(path, '/');
    }
    free(path);
    return may;
}

static void the_user_is_that_of_the_key(void **state)
{
    const char *why = geteuid() != 0 ? "only root can become another user"
                      : !others_reach(redis_dir(runs_redis))
                          ? "another user cannot reach the test's directory"
                          : NULL;
    (void)state;
    if (why != NULL) {
        print_message("skipped: %s\n", why);
        skip();
        return; /* which not every compiler knows */
    }
    handler("user", " user = \"nobody\"\n private-tmp = true",
            "id -un; id -Gn; stat -c %U:%a .; echo heard >/dev/stderr;"
            "touch mine; cp mine /etc/not-mine 2>/dev/null || echo refused;"
            "mkdir sub && chmod 0 sub");
    push("user", "");
    struct worker *w = start();
    runs_await_stat("done", 1);
    char *group = mem_printf("%s", kept("user", "result"));
    assert_memory_equal(group, "nobody\n", 7);
    assert_non_null(strstr(group, "nobody:700\nrefused\n"));
    free(group);
    assert_true(worker_said(w, "message=heard"));
    assert_true(nothing_private(NULL));
    runs_end(w);
}

/* A tree to make the removal of it go wrong; $victim is not to be harmed. */
static const char hostile[] =
    "ls -A\n"
    "ln -s $victim link; ln -s .. up; mkfifo fifo; mkdir -p a/b/c\n"
    "ln -s $victim a/b/link; ln $victim/precious a/hard; touch a/b/c/x\n"
    "touch $(seq 100)\n"
    "chmod 0500 a/b/c; chmod 0 a/b; chmod 0500 a; chmod 0500 .\n";

static const char deep[] = "deep=$(printf 'd/%.0s' $(seq 200))\n"
                           "mkdir -p $deep && (cd $deep && mkdir -p $deep)\n";

static char *hostile_script(const char *then)
{
    bool is_deep = strcmp(then, "deep") == 0;
    return mem_printf("victim=%s/victim\n%s%s%s", redis_dir(runs_redis),
                      is_deep ? deep : "", hostile, is_deep ? "exit 1" : then);
}

static void what_a_run_leaves_is_removed(void **state)
{
    static const struct {
        const char *type, *then;
    } rows[] = {{"ends", "exit 0"},
                {"fails", "deep"},
                {"stays", "trap '' TERM; sleep 1000 & wait; sleep 1000"}};
    char path[128];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/victim", redis_dir(runs_redis));
    assert_int_equal(mkdir(path, 0755), 0);
    (void)script_file(runs_redis, "victim/precious", "x");
    for (size_t i = 0; i < 3; i++) {
        char *body = hostile_script(rows[i].then);
        handler(rows[i].type,
                i == 2 ? " private-tmp = true\n timeout = 300ms\n"
                         " kill-after = 10ms"
                       : " private-tmp = true",
                body);
        free(body);
        push(rows[i].type, "");
    }
    struct worker *w = start();
    runs_await_stat("done", 1);
    runs_await_stat("retried", 2);
    expect_done("ends", "");
    expect_error("stays", "timed out");
    assert_true(nothing_private(NULL));
    assert_int_equal(entries(path, "precious"), 1);
    assert_int_equal(worker_count(w, "ev=private_tmp_left"), 0);
    runs_end(w);
}

static bool is_running(void *arg)
{
    (void)arg;
    return access(runs_out(), F_OK) == 0;
}

static void a_killed_worker_leaves_it_to_the_next(void **state)
{
    char *body;
    (void)state;
    body = mem_printf("mkdir a && chmod 0500 a\n"
                      "[ \"$BELT_RECOVERED\" = 0 ] || exit 0\n"
                      "echo >%s; exec sleep 1000",
                      runs_out());
    handler("x", " private-tmp = true", body);
    free(body);
    push("x", "");
    struct worker *w = start();
    story_until("the job runs", is_running, NULL);
    assert_int_equal(entries(tmp, "belt-run."), 1);
    worker_signal(w, SIGKILL);
    assert_int_equal(worker_wait(w, RUN_MS), -SIGKILL);
    assert_int_equal(entries(tmp, "belt-run."), 1);
    w = start();
    runs_await_stat("done", 1);
    assert_true(nothing_private(NULL));
    assert_true(worker_said(w, "ev=private_tmp_swept"));
    runs_end(w);
}

/* A directory of our own in a hierarchy of that type; NULL: there is none. */
static char *make_cgroup(const char *type, const char *option)
{
    FILE *f = setmntent("/proc/self/mounts", "re");
    struct mntent *m;
    char *path = NULL;

    while (f != NULL && path == NULL && (m = getmntent(f)) != NULL) {
        if (strcmp(m->mnt_type, type) != 0 ||
            (option != NULL && hasmntopt(m, option) == NULL))
            continue;
        path = mem_printf("%s/belt-test-%d", m->mnt_dir, (int)getpid());
        if (mkdir(path, 0755) != 0) {
            free(path);
            path = NULL;
        }
    }
    if (f != NULL)
        (void)endmntent(f);
    return path;
}

static void a_cgroup_ends_with_its_run(void **state)
{
    char *path = make_cgroup("cgroup2", NULL), *keys, *body;
    int escaped = 0;
    (void)state;
    if (path == NULL) {
        print_message("skipped: no cgroup v2 in which we may make one\n");
        skip();
        return;
    }
    keys = mem_printf(" cgroup = \"%s\"", path);
    body = mem_printf("setsid sleep 1000 >/dev/null 2>&1 3>&- &\necho $!\n"
                      "sed -n 's/^0::.*\\/belt-test/belt-test/p' "
                      "/proc/self/cgroup\n");
    handler("x", keys, body);
    push("x", "");
    struct worker *w = start();
    runs_await_stat("done", 1);
    char *result = mem_strdup(kept("x", "result"));
    assert_int_equal(sscanf(result, "%d", &escaped), 1);
    assert_non_null(strstr(result, "/belt-run-"));
    free(result);
    assert_false(story_lives(escaped));
    assert_int_equal(entries(path, "belt-run-"), 0);
    runs_end(w);
    free(body);
    free(keys);
    assert_int_equal(rmdir(path), 0);
    free(path);
}

/* pids.max is the same file in both versions: where v2 has no controllers, as
 * on hosts that mount both, v1 shows that a limit holds. */
static void a_limit_of_a_cgroup_holds(void **state)
{
    char *path = make_cgroup("cgroup", "pids"), *keys;
    (void)state;
    if (path == NULL) {
        print_message("skipped: no pids controller of cgroup v1\n");
        skip();
        return;
    }
    keys = mem_printf(" cgroup = \"%s\"\n cgroup-pids = 4", path);
    handler("x", keys,
            "for i in 1 2 3 4 5 6; do sleep 1000 & done; echo unlimited");
    push("x", "");
    struct worker *w = start();
    runs_await_stat("retried", 1);
    expect_error("x", "ork");
    assert_int_equal(entries(path, "belt-run-"), 0);
    runs_end(w);
    free(keys);
    assert_int_equal(rmdir(path), 0);
    free(path);
}

static long long usage(const char *id, const char *field)
{
    return strtoll(kept(id, field), NULL, 10);
}

static void what_a_run_used_is_told(void **state)
{
    (void)state;
    handler("burns", "",
            "while read -r a b c d e f g h i j k l m u s rest </proc/$$/stat;"
            " [ $((u + s)) -lt 22 ]; do :; done");
    handler("eats", "", "x=$(head -c 52428800 /dev/zero | tr '\\0' x); exit 3");
    handler("sleeps", "", "sleep 0.2");
    push("burns", "");
    push("eats", "");
    push("sleeps", "");
    struct worker *w = start();
    runs_await_stat("done", 2);
    runs_await_stat("retried", 1);
    assert_in_range(usage("burns", "cpu_ms"), 150, 5000);
    if (!story_sanitized) {
        assert_in_range(usage("eats", "peak_rss"), 52428800, 500000000);
        assert_in_range(usage("sleeps", "cpu_ms"), 0, 100);
    }
    EXPECT(runs_redis, NULL, 0, "\"cpu_ms\":", "", "status", "q/burns",
           "--json");
    EXPECT(runs_redis, NULL, 0, "CPU", "", "status", "q/burns");
    runs_end(w);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(each_key_is_felt),
        CLAIM(processes_that_stay_are_isolated_too),
        CLAIM(commands_are_isolated_too),
        CLAIM(the_user_is_that_of_the_key),
        CLAIM(what_a_run_leaves_is_removed),
        CLAIM(a_killed_worker_leaves_it_to_the_next),
        CLAIM(a_cgroup_ends_with_its_run),
        CLAIM(a_limit_of_a_cgroup_holds),
        CLAIM(what_a_run_used_is_told),
    };

    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
