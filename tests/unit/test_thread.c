/*
 * Claims about condition variables and the loop role.
 */
#include "common/base/thread.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "tests/unit/unit.h"

struct gate {
    struct mutex mu; /* guards open */
    struct cond changed;
    bool open;
};

static void gate_init(struct gate *g)
{
    mutex_init(&g->mu);
    cond_init(&g->changed);
    g->open = false;
}

static void gate_done(struct gate *g)
{
    cond_done(&g->changed);
    mutex_done(&g->mu);
}

static void *open_gate(void *arg)
{
    struct gate *g = arg;
    mutex_lock(&g->mu);
    g->open = true;
    cond_signal(&g->changed);
    cond_broadcast(&g->changed);
    mutex_unlock(&g->mu);
    return NULL;
}

static void a_signal_ends_the_wait(void **state)
{
    (void)state;
    const int64_t deadlines_ms[] = {INT64_MAX, clock_ms() + 60000};
    for (int i = 0; i < 2; i++) {
        struct gate g;
        pthread_t thread;
        int rc = 0;
        gate_init(&g);
        mutex_lock(&g.mu);
        assert_int_equal(pthread_create(&thread, NULL, open_gate, &g), 0);
        while (!g.open && rc == 0)
            rc = cond_wait(&g.changed, &g.mu, deadlines_ms[i]);
        mutex_unlock(&g.mu);
        pthread_join(thread, NULL);
        assert_int_equal(rc, 0);
        assert_true(g.open);
        gate_done(&g);
    }
}

static void a_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    struct gate g;
    int64_t deadline_ms = clock_ms() + 20;
    gate_init(&g);
    mutex_lock(&g.mu);
    while (cond_wait(&g.changed, &g.mu, deadline_ms) == 0)
        continue;
    assert_true(clock_ms() >= deadline_ms);
    assert_int_equal(cond_wait(&g.changed, &g.mu, INT64_MIN), ERR_TIMEOUT);
    mutex_unlock(&g.mu);
    gate_done(&g);
}

static void *assert_loop_role(void *arg)
{
    loop_role_assert();
    return arg;
}

/* Runs in a child: the other thread's assert is to end the process. */
static void child_misuses_the_role(void)
{
    pthread_t thread;
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    loop_role_bind();
    loop_role_assert();
    if (pthread_create(&thread, NULL, assert_loop_role, NULL) != 0)
        _exit(1);
    pthread_join(thread, NULL);
    _exit(0);
}

static void the_loop_role_is_the_binding_threads_alone(void **state)
{
    (void)state;
    int status;
    loop_role_assert(); /* nobody has it yet */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers catch it */
        child_misuses_the_role();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_ends_the_wait),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
        cmocka_unit_test(the_loop_role_is_the_binding_threads_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
