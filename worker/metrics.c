/*
 * Metrics: the numbers of one worker, as text.
 *
 * One row a metric. What concerns a queue has one sample for each lane, with
 * the queue as label, so that sums over queues mean something. Ids, types,
 * handlers and hosts are never labels: strangers choose them, and each value
 * would be a series for ever. Names of queues and outcomes need no escapes
 * (text_is_name).
 *
 * Thread: event loop only.
 */
#include "worker/metrics.h"

#include <inttypes.h>

#include "worker/lane.h"
#include "worker/reload.h"

struct metric {
    const char *name, *type, *help;
    int64_t (*of_agent)(struct agent *a, unsigned broken); /* or */
    int64_t (*of_lane)(const struct lane *lane);
};

static int64_t threads(struct agent *a, unsigned broken)
{
    (void)broken;
    return a->cfg->threads;
}

static int64_t busy(struct agent *a, unsigned broken)
{
    (void)broken;
    return pool_busy(a->pool);
}

static int64_t subtasks_busy(struct agent *a, unsigned broken)
{
    (void)broken;
    return subtask_pool_busy(a->subtasks);
}

static int64_t window(struct agent *a, unsigned broken)
{
    (void)broken;
    loop_role_assert();
    return agent_window(a);
}

static int64_t draining(struct agent *a, unsigned broken)
{
    (void)broken;
    return a->stage >= AGENT_DRAINING;
}

static int64_t broken_handlers(struct agent *a, unsigned broken)
{
    (void)a;
    return broken;
}

static int64_t reload_success(struct agent *a, unsigned broken)
{
    (void)broken;
    return reload_went_well(a->reload);
}

static int64_t reload_seconds(struct agent *a, unsigned broken)
{
    (void)broken;
    return reload_at_ms(a->reload) / 1000;
}

static int64_t resident(struct agent *a, unsigned broken)
{
    (void)a;
    (void)broken;
    return host_resident_bytes();
}

static int64_t held(const struct lane *lane)
{
    return (int64_t)lane->ledger.len;
}

static int64_t up(const struct lane *lane)
{
    return lane->state == LANE_UP;
}

static int64_t rebinds(const struct lane *lane)
{
    return lane->rebinds;
}

static int64_t fenced(const struct lane *lane)
{
    return lane->fenced;
}

static const struct metric metrics[] = {
    {"belt_worker_threads", "gauge", "Threads that run handlers.", threads,
     NULL},
    {"belt_worker_threads_busy", "gauge", "Threads that run one right now.",
     busy, NULL},
    {"belt_subtask_threads_busy", "gauge",
     "Threads that run a sub-task right now.", subtasks_busy, NULL},
    {"belt_worker_window_jobs", "gauge",
     "Unfinished jobs that this worker may hold now.", window, NULL},
    {"belt_worker_draining", "gauge", "1 from the signal to end on.", draining,
     NULL},
    {"belt_handlers_broken", "gauge",
     "Handlers that could not be started when last tried.", broken_handlers,
     NULL},
    {"belt_config_last_reload_success", "gauge",
     "1 if the configuration was right when it was last read.", reload_success,
     NULL},
    {"belt_config_last_reload_timestamp_seconds", "gauge",
     "When that was, since the epoch.", reload_seconds, NULL},
    {"belt_jobs_held", "gauge",
     "Jobs in the active list of the lane: waiting, running or to be settled.",
     NULL, held},
    {"belt_lane_up", "gauge", "1 if the lane is bound to its queue in Redis.",
     NULL, up},
    {"belt_lane_rebinds_total", "counter",
     "Times the lane took its jobs over to a new id.", NULL, rebinds},
    {"belt_lane_fenced_total", "counter",
     "Times the lane had lost its lease and dropped its jobs.", NULL, fenced},
    {"process_resident_memory_bytes", "gauge", "Resident memory.", resident,
     NULL},
};
enum { METRICS = sizeof(metrics) / sizeof(metrics[0]) };

static void put_head(struct buf *out, const char *name, const char *type,
                     const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_metric(struct agent *a, unsigned broken, const struct metric *m,
                       struct buf *out)
{
    put_head(out, m->name, m->type, m->help);
    if (m->of_agent != NULL)
        buf_printf(out, "%s %" PRId64 "\n", m->name, m->of_agent(a, broken));
    for (unsigned i = 0; m->of_lane != NULL && i < a->lane_count; i++)
        buf_printf(out, "%s{queue=\"%s\"} %" PRId64 "\n", m->name,
                   a->lanes[i]->keys.queue, m->of_lane(a->lanes[i]));
}

/* All outcomes from the start, so that a rate sees the first of each. */
static void put_jobs(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_jobs_processed_total";
    put_head(out, name, "counter",
             "Jobs that left this worker, by outcome, once Redis has said so.");
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *lane = a->lanes[i];
        for (unsigned c = 0; c < COUNTERS; c++)
            buf_printf(out, "%s{queue=\"%s\",outcome=\"%s\"} %" PRId64 "\n",
                       name, lane->keys.queue, counter_names[c],
                       lane->counts[c]);
    }
}

static void put_cpu(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_job_cpu_seconds_total";
    put_head(out, name, "counter",
             "CPU time of the processes that ran jobs, once Redis has their "
             "end.");
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *lane = a->lanes[i];
        buf_printf(out, "%s{queue=\"%s\"} %" PRId64 ".%06d\n", name,
                   lane->keys.queue, lane->cpu_us / 1000000,
                   (int)(lane->cpu_us % 1000000));
    }
}

static void put_subtasks(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_subtasks_processed_total";
    put_head(out, name, "counter", "Sub-tasks of jobs that have ended.");
    for (int i = 0; i < SUBTASK_STATES; i++)
        buf_printf(out, "%s{outcome=\"%s\"} %" PRId64 "\n", name,
                   subtask_state_name(i), subtask_pool_count(a->subtasks, i));
}

void metrics_write(struct agent *a, unsigned broken, struct buf *out)
{
    put_head(out, "belt_build_info", "gauge", "1, labelled by the version.");
    buf_str(out, "belt_build_info{version=\"" BELT_VERSION "\"} 1\n");
    put_jobs(a, out);
    put_cpu(a, out);
    put_subtasks(a, out);
    for (unsigned i = 0; i < METRICS; i++)
        put_metric(a, broken, &metrics[i], out);
    put_head(out, "process_start_time_seconds", "gauge",
             "Start of the worker, since the epoch.");
    buf_printf(out, "process_start_time_seconds %" PRId64 ".%03d\n",
               a->started_at_ms / 1000, (int)(a->started_at_ms % 1000));
}
