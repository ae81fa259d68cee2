/*
 * Claims about a worker that has nothing to do, and about its memory.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/integration/story.h"
#include "tests/unit/unit.h"

enum {
    WATCH_MS = 20 * 1000, /* one round of everything that is done at times */
    RSS_MAX_KB = 12 * 1024,
    MILLION = 1000000,
    ROUND = 110000 /* pushed at once: Redis keeps no more */
};

static struct worker *start(struct redis *r, const char *queues,
                            const char *threads)
{
    return worker_start(r, NULL,
                        (const char *[]){"-q", queues, "--threads", threads,
                                         "--handler", "x=builtin:noop", NULL});
}

static void stop(struct worker *w)
{
    worker_signal(w, SIGTERM);
    story_ends(w, 0);
}

static struct worker *monitor(struct redis *r)
{
    struct worker *m = worker_exec(
        r,
        (const char *[]){"redis-cli", "-s", redis_url(r) + strlen("unix://"),
                         "monitor", NULL},
        NULL);
    story_said(m, "OK", 1);
    return m;
}

static bool is_past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

/* Commands that clients sent between the two marks, scripts' own not counted.
 */
static unsigned sent_between(struct worker *m, const char *begin,
                             const char *end)
{
    char *text = story_read(worker_log(m)), *p = strstr(text, begin);
    const char *last = strstr(text, end);
    unsigned n = 0;
    assert_non_null(p);
    assert_non_null(last);
    for (p = strchr(p, '\n') + 1; p < last; p = strchr(p, '\n') + 1) {
        char *stop_at = strchr(p, '\n');
        *stop_at = '\0';
        if (p + strlen(p) < last && strstr(p, " lua] ") == NULL)
            n++;
        *stop_at = '\n';
    }
    free(text);
    return n;
}

static void it_sends_at_most_one_command_a_second(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    struct worker *w = start(r, "q", "4");
    story_blocked(r, 1);
    story_renewals(r, "q", 2);
    struct worker *m = monitor(r);
    int64_t end_ms = clock_ms() + WATCH_MS;
    redis_do(r, "PING begin");
    story_until("the end of the watch", is_past, &end_ms);
    redis_do(r, "PING end");
    story_said(m, "\"end\"", 1);
    unsigned n = sent_between(m, "\"begin\"", "\"end\"");
    if (n > WATCH_MS / 1000)
        fail_msg("%u commands in %d s", n, WATCH_MS / 1000);
    assert_true(n > 0);
    worker_free(m);
    stop(w);
}

static void a_million_jobs_leave_memory_where_ten_thousand_did(void **state)
{
    struct redis *r = story_redis();
    (void)state;
    if (story_sanitized)
        skip();
    struct worker *w = start(r, "q", "16");
    story_blocked(r, 1);
    assert_in_range(story_status(worker_pid(w), "VmRSS:"), 1, RSS_MAX_KB);
    queue_fill(r, "q", "x", 0, 10000);
    story_stat(r, "q", "done", 10000);
    story_blocked(r, 1);
    long rss = story_status(worker_pid(w), "VmRSS:");
    for (unsigned n = 10000; n < MILLION; n += ROUND) {
        queue_fill(r, "q", "x", n, ROUND);
        story_stat(r, "q", "done", n + ROUND);
    }
    story_blocked(r, 1);
    /* A page here and there: of an allocator that met a longer queue. */
    assert_in_range(story_status(worker_pid(w), "VmRSS:"), 1, rss + rss / 4);
    assert_in_range(story_status(worker_pid(w), "VmHWM:"), 1, RSS_MAX_KB);
    printf("rss %ld, then %ld, peak %ld KiB\n", rss,
           story_status(worker_pid(w), "VmRSS:"),
           story_status(worker_pid(w), "VmHWM:"));
    stop(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sends_at_most_one_command_a_second),
        cmocka_unit_test(a_million_jobs_leave_memory_where_ten_thousand_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
