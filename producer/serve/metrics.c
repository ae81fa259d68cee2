/*
 * Metrics of the HTTP side and of the fleet.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void serve_metrics(struct request *r)
{
    struct answer a = {0};
    answer_problem(&a, 501, "not-implemented", "not built yet");
    request_answer(r, &a);
}
