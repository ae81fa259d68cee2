/*
 * Elements: what lies in a list or a set of a queue, as jobs.
 *
 * Thread: any.
 */
#include "producer/element.h"

struct job *job_of(struct bytes element, struct errbuf *eb)
{
    struct job *job = NULL;

    if (job_parse(element.p, element.len, SIZE_MAX, &job, eb) != 0)
        return NULL;
    if (job->type[0] != '\0')
        return job;
    job_free(job);
    errbuf_set(eb, ERR_INVALID, "type: missing");
    return NULL;
}
