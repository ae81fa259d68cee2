/*
 * Fleet: this worker's entry in belt:workers, for people to look at.
 *
 * Nothing depends on it: leases are what counts. The entry goes over any lane
 * that is up, and expires by itself.
 *
 * Thread: event loop only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/prom.h"
#include "worker/lane.h"

enum {
    ENTRY_MS = 65000,
    OLD_MS = 24 * 3600 * 1000,
    HANDLERS_BYTES = 4096,
    RUNS_MAX = 50
};

static struct lane *lane_up(const struct agent *a) ON_LOOP;

static struct lane *lane_up(const struct agent *a)
{
    for (unsigned i = 0; i < a->lane_count; i++) {
        if (conn_is_up(a->lanes[i]->cmd))
            return a->lanes[i];
    }
    return NULL;
}

static void call(struct lane *lane, struct args *a) ON_LOOP;

static void call(struct lane *lane, struct args *a)
{
    (void)conn_call(lane->cmd, a, clock_ms() + QUEUE_DEADLINE_MS, false, NULL,
                    NULL);
    args_clear(a);
}

static void put_int(struct args *args, const char *name, int64_t n)
{
    args_str(args, name);
    args_int(args, n);
}

/*
 * The types that have a handler here, with commas between them. Returns how
 * many did not fit: then nothing can be concluded from what is not there.
 */
static int64_t put_handlers(const struct handlers *hs, struct buf *b)
{
    int64_t left_out = 0;
    for (size_t i = 0; i < handlers_count(hs); i++) {
        const char *pattern = handlers_pattern(hs, i);
        size_t n = strlen(pattern);
        if (b->len + n + 1 > HANDLERS_BYTES || memchr(pattern, ',', n)) {
            left_out++;
            continue;
        }
        if (b->len > 0)
            buf_char(b, ',');
        buf_append(b, pattern, n);
    }
    return left_out;
}

/* A line for each run: type, id, since when. Only a type may hold blanks. */
static void put_runs(const struct pool *pool, struct buf *b)
{
    struct pool_run runs[RUNS_MAX];
    unsigned n = pool_running(pool, runs, RUNS_MAX);
    for (unsigned i = 0; i < n; i++)
        buf_printf(b, "%s%s %s %" PRId64, i > 0 ? "\n" : "", runs[i].type,
                   runs[i].id, runs[i].since_ms);
}

static void put_text(struct args *args, const char *name, const struct buf *b)
{
    args_str(args, name);
    args_str(args, b->len > 0 ? b->data : "");
}

void fleet_update(struct agent *a)
{
    struct lane *lane = lane_up(a);
    struct args args = {0};
    struct buf queues = {0}, handlers = {0}, runs = {0};
    char key[KEY_MAX];
    int64_t now = clock_wall_ms(), all, resident;
    size_t held = 0;
    if (lane == NULL)
        return;
    process_memory(&all, &resident);
    for (unsigned i = 0; i < a->lane_count; i++) {
        held += a->lanes[i]->ledger.len;
        buf_printf(&queues, "%s%s", i > 0 ? "," : "", a->lanes[i]->keys.queue);
    }
    keys_worker(&lane->keys, a->id, key);
    args_str(&args, "HSET");
    args_str(&args, key);
    args_str(&args, "host");
    args_str(&args, a->host.name);
    put_int(&args, "pid", a->host.pid);
    put_text(&args, "queues", &queues);
    put_int(&args, "handlers_left_out",
            put_handlers(a->cfg->handlers, &handlers));
    put_text(&args, "handlers", &handlers);
    put_runs(a->pool, &runs);
    put_text(&args, "running", &runs);
    put_int(&args, "threads", a->cfg->threads);
    put_int(&args, "busy", pool_busy(a->pool));
    put_int(&args, "lease", a->cfg->lease_ms);
    put_int(&args, "held", (int64_t)held);
    put_int(&args, "rss_kb", resident / 1024);
    args_str(&args, "version");
    args_str(&args, BELT_VERSION);
    args_str(&args, "stage");
    args_str(&args, a->stage == AGENT_RUNNING ? "running"
                    : a->stage == AGENT_QUIET ? "quiet"
                                              : "stopping");
    put_int(&args, "started_at", a->started_at_ms);
    put_int(&args, "updated_at", now);
    call(lane, &args);
    args_str(&args, "PEXPIRE");
    args_str(&args, key);
    args_int(&args, ENTRY_MS);
    call(lane, &args);
    args_str(&args, "ZADD");
    args_str(&args, lane->keys.workers);
    args_int(&args, now + ENTRY_MS);
    args_str(&args, a->id);
    call(lane, &args);
    if (!a->fleet_cleaned) { /* once: what others left behind for a day */
        a->fleet_cleaned = true;
        args_str(&args, "ZREMRANGEBYSCORE");
        args_str(&args, lane->keys.workers);
        args_str(&args, "-inf");
        args_int(&args, now - OLD_MS);
        call(lane, &args);
    }
    args_done(&args);
    buf_done(&queues);
    buf_done(&handlers);
    buf_done(&runs);
}

static void on_gone(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct agent *a = arg;
    (void)err;
    (void)r;
    (void)event_base_loopexit(a->base, NULL);
}

void fleet_leave(struct agent *a)
{
    struct lane *lane = lane_up(a);
    struct args args = {0};
    char key[KEY_MAX];
    if (lane == NULL) {
        (void)event_base_loopexit(a->base, NULL);
        return;
    }
    (void)keys_worker(&lane->keys, a->id, key);
    args_str(&args, "DEL");
    args_str(&args, key);
    call(lane, &args);
    args_str(&args, "ZREM");
    args_str(&args, lane->keys.workers);
    args_str(&args, a->id);
    if (conn_call(lane->cmd, &args, clock_ms() + QUEUE_DEADLINE_MS, false,
                  on_gone, a) != 0)
        (void)event_base_loopexit(a->base, NULL);
    args_done(&args);
}
