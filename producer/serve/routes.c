/*
 * Routes: the table of what belt serve answers.
 */
#include "producer/serve/route.h"

#define QUEUE "/v1/queues/{queue}"
#define JOB QUEUE "/jobs/{id}"
#define CRON QUEUE "/cron/{name}"

const struct route routes[] = {
    {"POST", QUEUE "/jobs", ROLE_PUSH,
     BODY_JSON | BODY_NDJSON | BODY_CLOUDEVENT, serve_push, NULL},
    {"POST", "/v1/push/{type}", ROLE_PUSH, BODY_ANY, serve_push_raw, NULL},

    {"GET", QUEUE "/jobs", ROLE_READ, BODY_NONE, NULL, look_jobs},
    {"GET", JOB, ROLE_READ, BODY_NONE, serve_job, NULL},
    {"DELETE", JOB, ROLE_OPERATE, BODY_NONE, NULL, look_delete},
    {"GET", JOB "/result", ROLE_READ, BODY_NONE, NULL, look_result},
    {"GET", JOB "/log", ROLE_READ, BODY_NONE, NULL, look_log},
    {"POST", JOB "/cancel", ROLE_OPERATE, BODY_NONE, NULL, look_cancel},
    {"POST", JOB "/requeue", ROLE_OPERATE, BODY_NONE, NULL, look_requeue},

    {"GET", "/v1/queues", ROLE_READ, BODY_NONE, NULL, look_queues},
    {"GET", QUEUE, ROLE_READ, BODY_NONE, NULL, look_queue},
    {"PATCH", QUEUE, ROLE_OPERATE, BODY_JSON, NULL, look_queue_set},
    {"POST", QUEUE "/pause", ROLE_OPERATE, BODY_JSON, NULL, look_pause},
    {"POST", QUEUE "/resume", ROLE_OPERATE, BODY_NONE, NULL, look_resume},
    {"GET", QUEUE "/stats", ROLE_READ, BODY_NONE, NULL, look_stats},

    {"GET", QUEUE "/dead", ROLE_READ, BODY_NONE, NULL, look_dead},
    {"GET", QUEUE "/dead/summary", ROLE_READ, BODY_NONE, NULL,
     look_dead_summary},
    {"POST", QUEUE "/dead/requeue", ROLE_OPERATE, BODY_JSON, NULL,
     look_dead_requeue},
    {"POST", QUEUE "/dead/delete", ROLE_OPERATE, BODY_JSON, NULL,
     look_dead_delete},

    {"GET", "/v1/workers", ROLE_READ, BODY_NONE, NULL, look_workers},

    {"GET", QUEUE "/cron", ROLE_READ, BODY_NONE, NULL, look_crons},
    {"GET", CRON, ROLE_READ, BODY_NONE, NULL, look_cron},
    {"PUT", CRON, ROLE_OPERATE, BODY_JSON, NULL, look_cron_put},
    {"DELETE", CRON, ROLE_OPERATE, BODY_NONE, NULL, look_cron_delete},
    {"POST", CRON "/run", ROLE_OPERATE, BODY_NONE, NULL, look_cron_run},
    {"POST", CRON "/pause", ROLE_OPERATE, BODY_NONE, NULL, look_cron_pause},
    {"POST", CRON "/resume", ROLE_OPERATE, BODY_NONE, NULL, look_cron_resume},

    {"GET", "/livez", ROLE_NONE, BODY_NONE, serve_livez, NULL},
    {"GET", "/healthz", ROLE_NONE, BODY_NONE, serve_livez, NULL},
    {"GET", "/readyz", ROLE_NONE, BODY_NONE, serve_readyz, NULL},
    {"GET", "/metrics", ROLE_READ, BODY_NONE, serve_metrics, look_metrics},
    {"GET", "/v1/openapi.json", ROLE_NONE, BODY_NONE, serve_openapi, NULL},
    {"GET", "/v1/version", ROLE_NONE, BODY_NONE, serve_version, NULL},
    {"GET", "/robots.txt", ROLE_NONE, BODY_NONE, serve_robots, NULL},
    {NULL, NULL, ROLE_NONE, BODY_NONE, NULL, NULL},
};
