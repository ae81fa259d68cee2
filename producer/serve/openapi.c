/*
 * The description of the interface.
 *
 * Thread: see route.h.
 */
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

void serve_openapi(struct request *r)
{
    struct answer a = {0};
    answer_problem(&a, 501, "not-implemented", "not built yet");
    request_answer(r, &a);
}
