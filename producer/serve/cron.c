/*
 * Periodic jobs.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void look_crons(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cron(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cron_put(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cron_delete(struct client *c, const struct request *r,
                      struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cron_run(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cron_pause(struct client *c, const struct request *r,
                     struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cron_resume(struct client *c, const struct request *r,
                      struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}
