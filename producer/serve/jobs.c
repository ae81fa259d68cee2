/*
 * Jobs: one job, or those of a queue.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void serve_job(struct request *r)
{
    struct answer a = {0};
    answer_problem(&a, 501, "not-implemented", "not built yet");
    request_answer(r, &a);
}

void look_jobs(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_result(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_log(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_cancel(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_requeue(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_delete(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}
