/*
 * Job names: as text and back.
 *
 * Thread: any.
 */
#include "producer/job_name.h"

#include <stdio.h>
#include <string.h>

const char *job_name_format(const struct job_name *name,
                            char out[JOB_NAME_TEXT_MAX])
{
    snprintf(out, JOB_NAME_TEXT_MAX, "%s%s%s", name->queue,
             name->queue[0] != '\0' ? "/" : "", name->id);
    return out;
}

bool job_name_parse(const char *text, size_t n, struct job_name *ret)
{
    const char *slash = memchr(text, '/', n);
    size_t queue_len = slash ? (size_t)(slash - text) : 0;
    const char *id = slash ? slash + 1 : text;
    size_t id_len = n - (size_t)(id - text);

    *ret = (struct job_name){0};
    if ((slash && !text_is_name(text, queue_len)) || !text_is_id(id, id_len))
        return false;
    memcpy(ret->queue, text, queue_len);
    memcpy(ret->id, id, id_len);
    return true;
}
