/*
 * Claims about the pool: each delivery comes back once, no outcome stays
 * unseen, and cancelling reaches the right run.
 */
#include "worker/pool.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler.h"

enum { CAP = 64 };

struct fixture {
    struct handlers *hs;
    struct chan *jobs, *outcomes;
    int wake_fd;
    struct pool *pool;
};

static struct fixture *start(unsigned threads)
{
    struct fixture *f = mem_new(sizeof(*f));
    struct errbuf eb = {""};

    f->hs = handlers_new(NULL);
    assert_int_equal(handlers_add(f->hs, "noop=builtin:noop", &eb), 0);
    assert_int_equal(handlers_add(f->hs, "sleep=builtin:sleep 1h", &eb), 0);
    assert_int_equal(handlers_add(f->hs, "exec=exec:sh -c 'sleep 1000'", &eb),
                     0);
    assert_int_equal(
        handlers_add(f->hs, "status=exec:grep SigBlk /proc/self/status", &eb),
        0);
    f->jobs = chan_new(CAP);
    f->outcomes = chan_new(CAP);
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(f->wake_fd >= 0);
    f->pool = pool_start(&(struct pool_config){.threads = threads,
                                               .jobs = f->jobs,
                                               .outcomes = f->outcomes,
                                               .wake_fd = f->wake_fd},
                         &eb);
    if (f->pool == NULL)
        fail_msg("%s", eb.text);
    return f;
}

static void stop(struct fixture *f)
{
    chan_close(f->jobs);
    pool_join(f->pool);
    assert_int_equal(chan_len(f->outcomes), 0);
    chan_free(f->jobs);
    chan_free(f->outcomes);
    close(f->wake_fd);
    handlers_free(f->hs);
    free(f);
}

static struct delivery *new_delivery(struct fixture *f, const char *type,
                                     const char *payload)
{
    char raw[128];
    struct errbuf eb = {""};
    struct delivery *d;
    struct job *job;
    int len = snprintf(raw, sizeof(raw),
                       "{\"id\":\"x\",\"type\":\"%s\",\"payload\":%s}", type,
                       payload);

    assert_int_equal(job_parse(raw, (size_t)len, 1024, &job, &eb), 0);
    d = delivery_new(job);
    d->handler = handlers_find(f->hs, type);
    assert_non_null(d->handler);
    return d;
}

static struct delivery *submit(struct fixture *f, const char *type,
                               const char *payload)
{
    struct delivery *d = new_delivery(f, type, payload);

    assert_int_equal(chan_try_send(f->jobs, d), 0);
    return d;
}

/* As the loop does: sleeps until woken, then lends what came. */
static struct note *next_note(struct fixture *f)
{
    void *item;

    while (chan_try_recv(f->outcomes, &item) != 0) {
        if (!fd_becomes_readable(f->wake_fd))
            fail_msg("a note stays unseen, or a thread is stuck");
        pool_woken(f->pool);
    }
    return item;
}

static struct delivery *ended(const void *item)
{
    const struct note *n = item;

    assert_int_equal(n->kind, NOTE_ENDED);
    return n->d;
}

static struct delivery *next_outcome(struct fixture *f)
{
    return ended(next_note(f));
}

/* Waits until n threads are busy. */
static void wait_busy(struct fixture *f, unsigned n)
{
    int64_t deadline_ms = clock_ms() + 20 * 1000;

    while (pool_busy(f->pool) != n)
        assert_true(clock_ms() < deadline_ms);
}

static void deliveries_come_back_once_each(void **state)
{
    enum { ALL = 20000 };
    struct fixture *f = start(4);
    bool *seen = mem_new(ALL * sizeof(*seen));
    int sent = 0;

    (void)state;
    for (int back = 0; back < ALL; back++) {
        struct delivery *d;

        for (; sent < ALL && sent - back < CAP; sent++) {
            d = new_delivery(f, "noop", "null");
            d->fence = sent;
            assert_int_equal(chan_try_send(f->jobs, d), 0);
        }
        d = next_outcome(f);
        assert_int_equal(d->outcome.verdict, VERDICT_DONE);
        assert_true(d->outcome.started_at_ms > 0 && d->outcome.run_us >= 0);
        assert_false(seen[d->fence]);
        seen[d->fence] = true;
        delivery_free(d);
    }
    assert_int_equal(pool_busy(f->pool), 0);
    free(seen);
    stop(f);
}

/* One at a time, so that each wake decides between going on and a hang. */
static void coalesced_wakes_leave_no_outcome_unseen(void **state)
{
    struct fixture *f = start(2);

    (void)state;
    for (int round = 0; round < 5000; round++) {
        int n = 1 + round % 3;
        void *item;

        for (int i = 0; i < n; i++)
            submit(f, "noop", "null");
        while (n > 0) {
            assert_true(fd_becomes_readable(f->wake_fd));
            pool_woken(f->pool);
            for (; chan_try_recv(f->outcomes, &item) == 0; n--)
                delivery_free(ended(item));
        }
    }
    stop(f);
}

static void cancel_ends_a_run(void **state)
{
    static const char *const types[] = {"sleep", "exec"};
    struct fixture *f = start(2);

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct delivery *d = submit(f, types[i], "null");

        wait_busy(f, 1);
        pool_cancel(f->pool, d, CANCEL_FENCED);
        pool_cancel(f->pool, d, CANCEL_RELEASE);
        assert_ptr_equal(next_outcome(f), d);
        assert_int_equal(d->outcome.verdict, VERDICT_RELEASE);
        assert_int_equal(atomic_load(&d->cancel), CANCEL_FENCED);
        delivery_free(d);
    }
    stop(f);
}

static void what_runs_is_known(void **state)
{
    struct fixture *f = start(3);
    int64_t before_ms = clock_wall_ms();
    struct pool_run runs[3];

    (void)state;
    assert_int_equal(pool_running(f->pool, runs, 3), 0);
    struct delivery *first = submit(f, "sleep", "null");
    wait_busy(f, 1);
    assert_int_equal(pool_running(f->pool, runs, 3), 1);
    assert_string_equal(runs[0].id, "x");
    assert_string_equal(runs[0].type, "sleep");
    assert_in_range(runs[0].since_ms, before_ms, clock_wall_ms());
    struct delivery *second = submit(f, "exec", "null");
    wait_busy(f, 2);
    assert_int_equal(pool_running(f->pool, runs, 3), 2);
    assert_int_equal(pool_running(f->pool, runs, 1), 1);
    pool_cancel(f->pool, first, CANCEL_RELEASE);
    pool_cancel(f->pool, second, CANCEL_RELEASE);
    delivery_free(next_outcome(f));
    delivery_free(next_outcome(f));
    assert_int_equal(pool_running(f->pool, runs, 3), 0);
    stop(f);
}

static void cancelled_delivery_that_waits_comes_back_unrun(void **state)
{
    struct fixture *f = start(1);
    struct delivery *first = submit(f, "sleep", "null"), *second;

    (void)state;
    wait_busy(f, 1);
    second = submit(f, "noop", "null");
    pool_cancel(f->pool, second, CANCEL_RELEASE);
    pool_cancel(f->pool, first, CANCEL_RELEASE);
    assert_ptr_equal(next_outcome(f), first);
    assert_int_equal(first->outcome.verdict, VERDICT_RELEASE);
    assert_ptr_equal(next_outcome(f), second);
    assert_int_equal(second->outcome.verdict, VERDICT_NONE);
    delivery_free(first);
    delivery_free(second);
    stop(f);
}

/* Of a lane whose lease has run out, or which does not know. */
static void what_is_not_good_any_more_comes_back_unrun(void **state)
{
    struct fixture *f = start(1);
    _Atomic int64_t until_ms = clock_boot_ms() - 1;

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        struct delivery *d = new_delivery(f, "noop", "null");
        d->good_until_ms = &until_ms;
        assert_int_equal(chan_try_send(f->jobs, d), 0);
        assert_ptr_equal(next_outcome(f), d);
        assert_int_equal(d->outcome.verdict,
                         i == 2 ? VERDICT_DONE : VERDICT_NONE);
        assert_int_equal(pool_begun(f->pool), i);
        delivery_free(d);
        until_ms += i == 1 ? 3600 * 1000 : -3600 * 1000;
    }
    stop(f);
}

static void cancel_spares_the_next_run(void **state)
{
    struct fixture *f = start(1);

    (void)state;
    for (int round = 0; round < 100; round++) {
        struct delivery *d = submit(f, "sleep", "null");

        wait_busy(f, 1);
        pool_cancel(f->pool, d, CANCEL_RELEASE);
        pool_cancel(f->pool, d, CANCEL_RELEASE);
        assert_ptr_equal(next_outcome(f), d);
        delivery_free(d);
        d = submit(f, "sleep", "1");
        assert_ptr_equal(next_outcome(f), d);
        assert_int_equal(d->outcome.verdict, VERDICT_DONE);
        delivery_free(d);
    }
    stop(f);
}

static void expect_note(struct fixture *f, const struct delivery *d,
                        enum note_kind kind)
{
    struct note *n = next_note(f);

    assert_ptr_equal(n->d, d);
    assert_int_equal(n->kind, kind);
}

static void start_comes_before_the_end_for_who_wants_to_know(void **state)
{
    struct fixture *f = start(1);
    struct delivery *d = new_delivery(f, "noop", "null");

    (void)state;
    d->tell_start = true;
    assert_int_equal(chan_try_send(f->jobs, d), 0);
    expect_note(f, d, NOTE_STARTED);
    expect_note(f, d, NOTE_ENDED);
    delivery_free(d);
    stop(f);
}

/* The newest counts, and one note is on its way, however much was said. */
static void progress_comes_one_at_a_time(void **state)
{
    char said[PROGRESS_MESSAGE_MAX + 1], far[2 * PROGRESS_MESSAGE_MAX];
    struct fixture *f = start(1);
    struct delivery *d = new_delivery(f, "sleep", "null");
    double percent;

    (void)state;
    d->tell_start = true;
    d->job->keep_ms = 1;
    assert_int_equal(chan_try_send(f->jobs, d), 0);
    expect_note(f, d, NOTE_STARTED);
    for (int i = 1; i <= 100; i++)
        pool_progress(d, i, "a");
    expect_note(f, d, NOTE_PROGRESS);
    assert_int_equal(chan_len(f->outcomes), 0);
    pool_take_progress(d, &percent, said);
    assert_true(percent > 99.5);
    assert_string_equal(said, "a");
    memset(far, 'a', sizeof(far));
    memcpy(far + PROGRESS_MESSAGE_MAX - 1, "\xc3\xa4", 3);
    pool_progress(d, 0.5, far);
    pool_progress(d, 0.5, far);
    expect_note(f, d, NOTE_PROGRESS);
    pool_take_progress(d, &percent, said);
    assert_int_equal(strlen(said), PROGRESS_MESSAGE_MAX - 1);
    pool_progress(d, 1, NULL);
    pool_cancel(f->pool, d, CANCEL_RELEASE);
    expect_note(f, d, NOTE_PROGRESS);
    expect_note(f, d, NOTE_ENDED);
    delivery_free(d);
    stop(f);
}

static void progress_of_what_is_not_kept_goes_nowhere(void **state)
{
    struct fixture *f = start(1);
    struct delivery *d = new_delivery(f, "sleep", "null");

    (void)state;
    d->tell_start = true;
    assert_int_equal(chan_try_send(f->jobs, d), 0);
    expect_note(f, d, NOTE_STARTED);
    pool_progress(d, 1, "x");
    assert_null(d->progress);
    pool_cancel(f->pool, d, CANCEL_RELEASE);
    expect_note(f, d, NOTE_ENDED);
    delivery_free(d);
    stop(f);
}

/* Cancels at any moment of a delivery's way; none may be lost or hang. */
static void cancel_at_any_moment_is_safe(void **state)
{
    struct fixture *f = start(3);
    struct delivery *out[8] = {NULL};
    int done[VERDICT_RELEASE + 1] = {0};

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct delivery *d;
        size_t at = 0;

        for (size_t i = 0; i < 8; i++)
            if (out[i] == NULL)
                out[i] = submit(f, "sleep", i % 2 == 0 ? "null" : "0");
        for (size_t i = 0; i < 8; i++)
            if (i % 2 == 0 || random_below(2) == 0)
                pool_cancel(f->pool, out[i], CANCEL_RELEASE);
        d = next_outcome(f);
        while (out[at] != d)
            assert_true(++at < 8);
        done[d->outcome.verdict]++;
        delivery_free(d);
        out[at] = NULL;
    }
    for (size_t i = 0; i < 7; i++)
        delivery_free(next_outcome(f));
    assert_int_equal(
        done[VERDICT_NONE] + done[VERDICT_RELEASE] + done[VERDICT_DONE], 3000);
    stop(f);
}

/* Threads of this process whose name begins so. */
static unsigned threads_named(const char *prefix)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
        file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fgets(name, sizeof(name), file) != NULL &&
            strncmp(name, prefix, strlen(prefix)) == 0)
            n++;
        fclose(file);
    }
    closedir(dir);
    return n;
}

static void threads_have_names(void **state)
{
    struct fixture *f = start(3);

    (void)state;
    assert_int_equal(threads_named("belt-pool-"), 3);
    assert_int_equal(threads_named("belt-pool-2"), 1);
    stop(f);
}

static void signals_blocked_in_the_pool_are_not_in_children(void **state)
{
    struct fixture *f = start(1);
    struct delivery *d = submit(f, "status", "null");

    (void)state;
    assert_ptr_equal(next_outcome(f), d);
    assert_int_equal(d->outcome.verdict, VERDICT_DONE);
    assert_string_equal(d->outcome.result.data, "SigBlk:\t0000000000000000\n");
    delivery_free(d);
    stop(f);
}

static void join_ends_idle_threads(void **state)
{
    struct fixture *f = start(8);

    (void)state;
    assert_int_equal(pool_busy(f->pool), 0);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deliveries_come_back_once_each),
        cmocka_unit_test(coalesced_wakes_leave_no_outcome_unseen),
        cmocka_unit_test(cancel_ends_a_run),
        cmocka_unit_test(what_runs_is_known),
        cmocka_unit_test(cancelled_delivery_that_waits_comes_back_unrun),
        cmocka_unit_test(what_is_not_good_any_more_comes_back_unrun),
        cmocka_unit_test(cancel_spares_the_next_run),
        cmocka_unit_test(start_comes_before_the_end_for_who_wants_to_know),
        cmocka_unit_test(progress_comes_one_at_a_time),
        cmocka_unit_test(progress_of_what_is_not_kept_goes_nowhere),
        cmocka_unit_test(cancel_at_any_moment_is_safe),
        cmocka_unit_test(threads_have_names),
        cmocka_unit_test(signals_blocked_in_the_pool_are_not_in_children),
        cmocka_unit_test(join_ends_idle_threads),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
