/*
 * Dead jobs.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void look_dead(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_dead_summary(struct client *c, const struct request *r,
                       struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_dead_requeue(struct client *c, const struct request *r,
                       struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_dead_delete(struct client *c, const struct request *r,
                      struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}
