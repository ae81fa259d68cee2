/*
 * Claims about a worker to which orphans come, as to process 1 of a container:
 * it reaps them, and takes no handler from the thread that waits for it.
 *
 * A subreaper is such a process without being one in a namespace of its own;
 * it stays one through an exec, so this program makes itself one and becomes
 * the worker.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/integration/runs.h"
#include "tests/unit/unit.h"

enum { JOBS = 100 };

static const char *self;

/* Its dead children that nobody has reaped. */
static unsigned zombies(pid_t parent)
{
    DIR *d = opendir("/proc");
    unsigned n = 0;
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[280], line[512], state;
        int of;
        (void)snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] > '0' && e->d_name[0] <= '9' ? fopen(path, "re")
                                                            : NULL;
        if (f == NULL)
            continue;
        const char *p = fgets(line, sizeof(line), f);
        p = p != NULL ? strrchr(line, ')') : NULL;
        if (p != NULL && sscanf(p + 1, " %c %d", &state, &of) == 2)
            n += of == (int)parent && state == 'Z';
        (void)fclose(f);
    }
    (void)closedir(d);
    return n;
}

static bool has_none(void *arg)
{
    return zombies(worker_pid(arg)) == 0;
}

static bool has_two(void *arg)
{
    return zombies(worker_pid(arg)) >= 2;
}

/*
 * One that leads a session, and one that leads a group of our session, as a
 * handler does: each tells that it is one before its parent ends, and ends
 * when the gate is there.
 */
static const char leaves[] =
    "perl -MPOSIX=setsid -e 'fork and exit; setsid; "
    "open(F, \">>\", $ARGV[0]); print F \"session\\n\"; close F; "
    "select(undef, undef, undef, 0.01) until -e $ARGV[0] . \".gate\"' $out "
    "</dev/null >/dev/null 2>&1 3>&- 4>&-\n"
    "perl -e 'fork and exit; setpgrp; "
    "open(F, \">>\", $ARGV[0]); print F \"group\\n\"; close F; "
    "select(undef, undef, undef, 0.01) until -e $ARGV[0] . \".gate\"' $out "
    "</dev/null >/dev/null 2>&1 3>&- 4>&-\n"
    "until [ \"$(grep -c . $out)\" = 2 ]; do sleep 0.01; done\n";

static void what_handlers_leave_behind_is_reaped(void **state)
{
    const char *argv[] = {
        self,        "--as-subreaper",      BELT_WORKER_BIN,
        "-u",        redis_url(runs_redis), "-q",
        "q",         "--handler",           runs_handler("x", leaves),
        "--handler", "ok=exec:/bin/true",   NULL};
    (void)state;
    struct worker *w = worker_exec(runs_redis, argv, NULL);
    assert_true(worker_is_up(w, 1));
    runs_push("{\"type\":\"x\"}");
    runs_await_stat("done", 1);
    char *gate = mem_printf("%s.gate", runs_out());
    FILE *f = fopen(gate, "we");
    assert_non_null(f);
    (void)fclose(f);
    assert_true(wait_until(has_two, w, RUN_MS)); /* they have come to it */
    queue_fill(runs_redis, "q", "ok", 0, JOBS);
    runs_await_stat("done", 1 + JOBS);
    assert_true(wait_until(has_none, w, RUN_MS));
    assert_int_equal(queue_stat(runs_redis, "q", "retried"), 0);
    (void)unlink(gate);
    free(gate);
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, RUN_MS), 0);
    worker_free(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_handlers_leave_behind_is_reaped,
                                        runs_clear, runs_over),
    };
    if (argc > 2 && strcmp(argv[1], "--as-subreaper") == 0) {
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        (void)execv(argv[2], argv + 2);
        return 127;
    }
    self = argv[0];
    return cmocka_run_group_tests(tests, runs_start, runs_stop);
}
