/*
 * Workers.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void look_workers(struct client *c, const struct request *r, struct answer *a)
{
    (void)c;
    (void)r;
    answer_problem(a, 501, "not-implemented", "not built yet");
}
