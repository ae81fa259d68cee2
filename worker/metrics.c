/*
 * Metrics: the numbers of one worker, as text.
 *
 * One row a metric. What concerns a queue has one sample for each lane, with
 * the queue as label, so that sums over queues mean something. Ids, types and
 * hosts are never labels: strangers choose them, and each value would be a
 * series for ever.
 *
 * Thread: event loop only.
 */
#include "worker/metrics.h"

#include "common/base/prom.h"
#include "worker/lane.h"
#include "worker/reload.h"

struct metric {
    const char *name;
    enum prom_type type;
    const char *help;
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
    {"belt_worker_threads", PROM_GAUGE, "Threads that run handlers.", threads,
     NULL},
    {"belt_worker_threads_busy", PROM_GAUGE, "Threads that run one right now.",
     busy, NULL},
    {"belt_subtask_threads_busy", PROM_GAUGE,
     "Threads that run a sub-task right now.", subtasks_busy, NULL},
    {"belt_worker_window_jobs", PROM_GAUGE,
     "Unfinished jobs that this worker may hold now.", window, NULL},
    {"belt_worker_draining", PROM_GAUGE, "1 from the signal to end on.",
     draining, NULL},
    {"belt_handlers_broken", PROM_GAUGE,
     "Handlers that could not be started when last tried.", broken_handlers,
     NULL},
    {"belt_config_last_reload_success", PROM_GAUGE,
     "1 if the configuration was right when it was last read.", reload_success,
     NULL},
    {"belt_config_last_reload_timestamp_seconds", PROM_GAUGE,
     "When that was, since the epoch.", reload_seconds, NULL},
    {"belt_jobs_held", PROM_GAUGE,
     "Jobs in the active list of the lane: waiting, running or to be settled.",
     NULL, held},
    {"belt_lane_up", PROM_GAUGE,
     "1 if the lane is bound to its queue in Redis.", NULL, up},
    {"belt_lane_rebinds_total", PROM_COUNTER,
     "Times the lane took its jobs over to a new id.", NULL, rebinds},
    {"belt_lane_fenced_total", PROM_COUNTER,
     "Times the lane had lost its lease and dropped its jobs.", NULL, fenced},
};
enum { METRICS = sizeof(metrics) / sizeof(metrics[0]) };

/* Of the queue of a lane, and one more (key NULL: none). */
#define OF_QUEUE(lane, key, value)                                             \
    (const struct prom_label[])                                                \
    {                                                                          \
        {"queue", (lane)->keys.queue}, {key, value},                           \
        {                                                                      \
            NULL, NULL                                                         \
        }                                                                      \
    }

static void put_metric(struct agent *a, unsigned broken, const struct metric *m,
                       struct buf *out)
{
    prom_family(out, m->name, m->type, m->help);
    if (m->of_agent != NULL)
        prom_int(out, m->name, NULL, m->of_agent(a, broken));
    for (unsigned i = 0; m->of_lane != NULL && i < a->lane_count; i++)
        prom_int(out, m->name, OF_QUEUE(a->lanes[i], NULL, NULL),
                 m->of_lane(a->lanes[i]));
}

/* All outcomes from the start, so that a rate sees the first of each. */
static void put_jobs(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_jobs_processed_total";
    prom_family(out, name, PROM_COUNTER,
                "Jobs that left this worker, by outcome, once Redis has said "
                "so.");
    for (unsigned i = 0; i < a->lane_count; i++) {
        const struct lane *lane = a->lanes[i];
        for (unsigned c = 0; c < COUNTERS; c++)
            prom_int(out, name, OF_QUEUE(lane, "outcome", counter_names[c]),
                     lane->counts[c]);
    }
}

static void put_cpu(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_job_cpu_seconds_total";
    prom_family(out, name, PROM_COUNTER,
                "CPU time of the processes that ran jobs, once Redis has their "
                "end.");
    for (unsigned i = 0; i < a->lane_count; i++)
        prom_fraction(out, name, OF_QUEUE(a->lanes[i], NULL, NULL),
                      a->lanes[i]->cpu_us, 1000000);
}

static void put_waits(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_job_wait_seconds";
    prom_family(out, name, PROM_HISTOGRAM,
                "From when a job could have started to its first start.");
    for (unsigned i = 0; i < a->lane_count; i++)
        tally_write_times(&a->lanes[i]->waits,
                          OF_QUEUE(a->lanes[i], NULL, NULL), name, out);
}

static void put_round_trips(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_redis_round_trip_seconds";
    loop_role_assert();
    prom_family(out, name, PROM_GAUGE,
                "Smoothed time of recent calls of Redis; 0: none was made.");
    for (unsigned i = 0; i < a->lane_count; i++)
        prom_fraction(out, name, OF_QUEUE(a->lanes[i], NULL, NULL),
                      conn_rtt_us(a->lanes[i]->cmd), 1000000);
}

static void put_subtasks(const struct agent *a, struct buf *out)
{
    static const char name[] = "belt_subtasks_processed_total";
    prom_family(out, name, PROM_COUNTER, "Sub-tasks of jobs that have ended.");
    for (int i = 0; i < SUBTASK_STATES; i++)
        prom_int(out, name,
                 (const struct prom_label[]){{"outcome", subtask_state_name(i)},
                                             {NULL, NULL}},
                 subtask_pool_count(a->subtasks, i));
}

void metrics_write(struct agent *a, unsigned broken, const struct tally *runs,
                   struct buf *out)
{
    put_jobs(a, out);
    tally_write(runs, out);
    put_waits(a, out);
    put_cpu(a, out);
    put_subtasks(a, out);
    put_round_trips(a, out);
    for (unsigned i = 0; i < METRICS; i++)
        put_metric(a, broken, &metrics[i], out);
    prom_process(out, a->started_at_ms);
}
