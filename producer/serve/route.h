#ifndef PRODUCER_SERVE_ROUTE_H
#define PRODUCER_SERVE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/thread.h"

/*
 * The HTTP interface as data: what is answered where, by whom, and who may ask.
 * Routing, tokens, Allow, metrics and the check of openapi.json read this
 * table. A new route is a row in routes.c.
 */
struct request;
struct answer;
struct client;

/* What a token must allow. ROLE_OPERATE includes ROLE_READ. */
enum token_role { ROLE_NONE, ROLE_READ, ROLE_PUSH, ROLE_OPERATE };

/* What a body may be: the Content-Type. Bits of route.bodies. */
enum body_kind {
    BODY_NONE = 0,
    BODY_JSON = 1,       /* application/json */
    BODY_NDJSON = 2,     /* application/x-ndjson, application/jsonl */
    BODY_CLOUDEVENT = 4, /* application/cloudevents+json */
    BODY_ANY = 8         /* whatever it says, or nothing */
};

struct route {
    const char *method;
    const char *path; /* "/v1/queues/{queue}/jobs/{id}" */
    enum token_role role;
    unsigned bodies; /* of enum body_kind; BODY_NONE: it is not looked at */

    /* One of the two: on the loop, which takes the request (and may hand it to
     * side_run if there is a look too), */
    void (*handle)(struct request *r);
    /* or in a side thread, which may wait for Redis: c is of that thread alone;
     * what c tells as failed is answered by answer_failure if a is left empty.
     */
    void (*look)(struct client *c, const struct request *r, struct answer *a);
};

/* All of them, ended by one without method. */
extern const struct route routes[];

/* ---- who answers ---- */

/* health.c, openapi.c, metrics.c */
void serve_livez(struct request *r) ON_LOOP;
void serve_readyz(struct request *r) ON_LOOP;
void serve_version(struct request *r) ON_LOOP;
void serve_robots(struct request *r) ON_LOOP;
void serve_openapi(struct request *r) ON_LOOP;
void serve_metrics(struct request *r) ON_LOOP;
void look_metrics(struct client *c, const struct request *r, struct answer *a);

/* push.c */
void serve_push(struct request *r) ON_LOOP;     /* JSON, NDJSON, CloudEvents */
void serve_push_raw(struct request *r) ON_LOOP; /* the body is the payload */

/* jobs.c, wait.c */
void serve_job(struct request *r) ON_LOOP; /* ?wait=s */
void look_jobs(struct client *c, const struct request *r, struct answer *a);
void look_result(struct client *c, const struct request *r, struct answer *a);
void look_log(struct client *c, const struct request *r, struct answer *a);
void look_cancel(struct client *c, const struct request *r, struct answer *a);
void look_requeue(struct client *c, const struct request *r, struct answer *a);
void look_delete(struct client *c, const struct request *r, struct answer *a);

/* queues.c, dead.c, workers.c, cron.c */
void look_queues(struct client *c, const struct request *r, struct answer *a);
void look_queue(struct client *c, const struct request *r, struct answer *a);
void look_queue_set(struct client *c, const struct request *r,
                    struct answer *a);
void look_pause(struct client *c, const struct request *r, struct answer *a);
void look_resume(struct client *c, const struct request *r, struct answer *a);
void look_stats(struct client *c, const struct request *r, struct answer *a);
void look_dead(struct client *c, const struct request *r, struct answer *a);
void look_dead_summary(struct client *c, const struct request *r,
                       struct answer *a);
void look_dead_requeue(struct client *c, const struct request *r,
                       struct answer *a);
void look_dead_delete(struct client *c, const struct request *r,
                      struct answer *a);
void look_workers(struct client *c, const struct request *r, struct answer *a);
void look_crons(struct client *c, const struct request *r, struct answer *a);
void look_cron(struct client *c, const struct request *r, struct answer *a);
void look_cron_put(struct client *c, const struct request *r, struct answer *a);
void look_cron_delete(struct client *c, const struct request *r,
                      struct answer *a);
void look_cron_run(struct client *c, const struct request *r, struct answer *a);
void look_cron_pause(struct client *c, const struct request *r,
                     struct answer *a);
void look_cron_resume(struct client *c, const struct request *r,
                      struct answer *a);

#endif
