/*
 * Queues: what waits where, and pauses.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void look_queues(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_queue(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_queue_set(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_pause(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_resume(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}

void look_stats(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}
