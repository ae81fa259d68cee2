/*
 * A plugin that does what its payload, a JSON string, says: every verdict, and
 * every way to misbehave.
 *
 * Thread: those of the worker.
 */
#include <belt/plugin.h>

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef TEST_PLUGIN_ABI
#define TEST_PLUGIN_ABI BELT_PLUGIN_ABI
#endif
#ifndef TEST_PLUGIN_SIZE
#define TEST_PLUGIN_SIZE sizeof(struct belt_plugin)
#endif

enum { HOUR_MS = 3600 * 1000, STAND_MS = 1000 };

/* args: "fail TEXT", "fail", or anything else, which is the state. */
static int init(const struct belt_host *host, const char *args, void **state,
                char *err, size_t err_size)
{
    if (!BELT_HOST_HAS(host, snooze))
        return -1;
    if (strncmp(args, "fail", 4) == 0) {
        (void)snprintf(err, err_size, "%s", args + 4 + strspn(args + 4, " "));
        return 7;
    }
    *state = strdup(args);
    return 0;
}

static void fini(void *state)
{
    char *path = state;

    /* "fini FILE": that it was called is seen by the file. */
    if (strncmp(path, "fini ", 5) == 0)
        fclose(fopen(path + 5, "we"));
    free(path);
}

static int done(struct belt_run *run, void *state)
{
    char text[512];
    int n = snprintf(text, sizeof(text),
                     "{\"id\":\"%s\",\"type\":\"%s\",\"queue\":\"%s\","
                     "\"attempt\":%d,\"max_attempts\":%d,\"recovered\":%d,"
                     "\"args\":\"%s\"}",
                     run->id, run->type, run->queue, (int)run->attempt,
                     (int)run->max_attempts, (int)run->recovered,
                     (const char *)state);

    return belt_result(run, text, (size_t)n) == BELT_OK ? BELT_DONE : BELT_DEAD;
}

static int big(struct belt_run *run, void *state)
{
    size_t n = run->max_result + 1;
    char *text = malloc(n);

    (void)state;
    memset(text, 'x', n);
    int rc = belt_result(run, text, n);
    free(text);
    return rc == BELT_E_TOO_BIG ? BELT_DONE : BELT_DEAD;
}

static int retry(struct belt_run *run, void *state)
{
    (void)state;
    (void)belt_retry_after(run, 2 * HOUR_MS);
    return belt_retry(run, "disk", "disk %d is full", 7);
}

static int mute(struct belt_run *run, void *state)
{
    (void)run;
    (void)state;
    return BELT_RETRY;
}

static int dead(struct belt_run *run, void *state)
{
    (void)state;
    return belt_dead(run, "input", "no %s in it", "sense");
}

static int discard(struct belt_run *run, void *state)
{
    (void)run;
    (void)state;
    return BELT_DISCARD;
}

static int snooze(struct belt_run *run, void *state)
{
    (void)state;
    if (belt_snooze(run, -1) != BELT_RETRY)
        return BELT_DEAD;
    return belt_snooze(run, HOUR_MS);
}

static int odd(struct belt_run *run, void *state)
{
    (void)run;
    (void)state;
    return 42;
}

/* Ends when it is told to, and says why in its log. */
static int waits(struct belt_run *run, void *state)
{
    static const char *const why[] = {"go on", "cancelled", "timeout",
                                      "stopping"};

    (void)state;
    (void)belt_progress(run, 40, "waits");
    int stop = belt_wait(run, HOUR_MS);
    (void)belt_log(run, BELT_WARN, why[stop]);
    return stop == belt_should_stop(run) ? BELT_RETRY : BELT_DEAD;
}

static int naps(struct belt_run *run, void *state)
{
    (void)state;
    return belt_wait(run, 5) == BELT_GO_ON ? BELT_DONE : BELT_DEAD;
}

/* Does its work all the same. */
static int finishes(struct belt_run *run, void *state)
{
    (void)belt_progress(run, 40, "waits");
    (void)belt_wait(run, HOUR_MS);
    return done(run, state);
}

static int wrong(struct belt_run *run, void *state)
{
    if (belt_progress(run, 101, NULL) != BELT_E_INVALID ||
        belt_log(run, (enum belt_level)9, "x") != BELT_E_INVALID ||
        belt_log(run, BELT_INFO, NULL) != BELT_E_INVALID ||
        belt_result(run, NULL, 1) != BELT_E_INVALID ||
        belt_retry_after(run, -1) != BELT_E_INVALID ||
        belt_retry_after(run, INT64_MAX) != BELT_E_INVALID)
        return BELT_DEAD;
    return done(run, state);
}

static int chatty(struct belt_run *run, void *state)
{
    (void)state;
    for (int i = 0; i < 1010; i++)
        (void)belt_log(run, BELT_INFO, "line");
    return BELT_DONE;
}

static int pushes(struct belt_run *run, void *state)
{
    static const char one[] = "{\"type\":\"x\",\"payload\":\"done\","
                              "\"id\":\"pushed\",\"keep\":60000}";

    (void)state;
    return belt_push(run, one, sizeof(one) - 1, NULL, 0) == BELT_OK ? BELT_DONE
                                                                    : BELT_DEAD;
}

static int pushes_wrong(struct belt_run *run, void *state)
{
    char err[128] = "";

    (void)state;
    if (belt_push(run, "{}", 2, err, sizeof(err)) != BELT_E_INVALID ||
        strstr(err, "type") == NULL)
        return BELT_DEAD;
    return BELT_DONE;
}

/* Parts by the payloads 0 to 99; their results added up. */
static int parts(struct belt_run *run, void *state)
{
    struct belt_subtask_result r;
    char text[64];
    int sum = 0, rc, n;

    (void)state;
    if (belt_subtasks(run, BELT_SUBTASKS_IN_ORDER) != BELT_OK ||
        belt_subtask(run, "echo", "1,", 2, NULL) != BELT_E_INVALID)
        return BELT_DEAD;
    for (int i = 0; i < 100; i++) {
        n = snprintf(text, sizeof(text), "%d", i);
        if (belt_subtask(run, "echo", text, (size_t)n, text) != BELT_OK)
            return BELT_DEAD;
        if (i >= 50 && belt_subtask_result(run, &r) == BELT_OK)
            sum += atoi(r.result);
    }
    (void)belt_subtasks_end(run);
    while ((rc = belt_subtask_result(run, &r)) == BELT_OK)
        sum += strcmp(r.key, r.result) == 0 ? atoi(r.result) : 1000;
    n = snprintf(text, sizeof(text), "%d", sum);
    (void)belt_result(run, text, (size_t)n);
    return rc == BELT_E_END ? BELT_DONE : BELT_DEAD;
}

/* A part that fails, collected. */
static int bad_part(struct belt_run *run, void *state)
{
    struct belt_subtask_result r;

    (void)state;
    (void)belt_subtasks(run, BELT_SUBTASKS_COLLECT);
    (void)belt_subtask(run, "x", "\"dead\"", 6, "k");
    if (belt_subtasks(run, 0) != BELT_E_INVALID ||
        belt_subtask_result(run, &r) != BELT_OK ||
        r.state != BELT_SUBTASK_FAILED || strcmp(r.error_class, "input") != 0)
        return BELT_DEAD;
    (void)belt_result(run, r.message, strlen(r.message));
    return BELT_DONE;
}

static int parts_that_hang(struct belt_run *run, void *state)
{
    struct belt_subtask_result r;

    (void)state;
    (void)belt_subtask(run, "x", "\"hangs\"", 7, NULL);
    (void)belt_progress(run, 10, "waits");
    return belt_subtask_result(run, &r) == BELT_E_STOP ? BELT_RETRY : BELT_DEAD;
}

/* It hangs itself, and so does its part. */
static int all_hang(struct belt_run *run, void *state)
{
    (void)belt_subtask(run, "x", "\"hangs\"", 7, NULL);
    (void)belt_progress(run, 10, "hangs");
    while (belt_subtask(run, "x", "\"done\"", 6, NULL) != BELT_E_OVER)
        (void)usleep(1000);
    return done(run, state);
}

static int hangs(struct belt_run *run, void *state)
{
    (void)state;
    (void)belt_progress(run, 10, "hangs");
    while (pause() != 0)
        continue;
    return BELT_DONE;
}

/* Hangs until it was given up, then does all that a run may do. */
static int comes_late(struct belt_run *run, void *state)
{
    struct timespec ms = {.tv_nsec = 1000000};

    (void)belt_progress(run, 10, "hangs");
    while (belt_progress(run, 20, "still") != BELT_E_OVER) {
        (void)belt_log(run, BELT_DEBUG, run->id);
        (void)nanosleep(&ms, NULL);
    }
    (void)belt_log(run, BELT_ERROR, "too late");
    (void)belt_wait(run, 1);
    (void)pushes(run, state);
    (void)belt_retry_after(run, 1);
    (void)belt_fail(run, "late", run->payload);
    return done(run, state);
}

static atomic_bool stands, may_go;

static void stand_still(int sig)
{
    (void)sig;
    atomic_store(&stands, true);
    while (!atomic_load(&may_go))
        (void)poll(NULL, 0, 1);
}

/* The worker's first thread, its loop, stands still for a while. */
static int stops_the_loop(struct belt_run *run, void *state)
{
    struct timespec ms = {.tv_nsec = 1000000};

    (void)state;
    (void)signal(SIGUSR2, stand_still);
    (void)syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2);
    while (!atomic_load(&stands))
        (void)nanosleep(&ms, NULL);
    (void)belt_log(run, BELT_WARN, "the loop stands");
    (void)belt_wait(run, STAND_MS);
    atomic_store(&may_go, true);
    return BELT_DONE;
}

static int crashes(struct belt_run *run, void *state)
{
    (void)run;
    (void)state;
    abort();
}

static const struct {
    const char *name;
    int (*run)(struct belt_run *run, void *state);
} acts[] = {{"done", done},
            {"big", big},
            {"retry", retry},
            {"mute", mute},
            {"dead", dead},
            {"discard", discard},
            {"snooze", snooze},
            {"odd", odd},
            {"waits", waits},
            {"naps", naps},
            {"wrong", wrong},
            {"chatty", chatty},
            {"hangs", hangs},
            {"late", comes_late},
            {"push", pushes},
            {"wrong push", pushes_wrong},
            {"parts", parts},
            {"bad-part", bad_part},
            {"parts-hang", parts_that_hang},
            {"all-hang", all_hang},
            {"crash", crashes},
            {"stop-loop", stops_the_loop},
            {"finishes", finishes}};

static int run_job(struct belt_run *run, void *state)
{
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        size_t n = strlen(acts[i].name);

        if (run->payload_size == n + 2 &&
            memcmp(run->payload + 1, acts[i].name, n) == 0)
            return acts[i].run(run, state);
    }
    return belt_dead(run, "input", "no such act: %.*s", (int)run->payload_size,
                     run->payload);
}

const struct belt_plugin belt_plugin_v1 = {
    .abi = TEST_PLUGIN_ABI,
    .size = TEST_PLUGIN_SIZE,
    .name = "test",
    .version = "1",
    .init = init,
    .run = run_job,
    .fini = fini,
};
