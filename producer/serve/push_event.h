#ifndef PRODUCER_SERVE_PUSH_EVENT_H
#define PRODUCER_SERVE_PUSH_EVENT_H

#include "producer/serve/push_read.h"

/*
 * CloudEvents 1.0 as jobs: type is the job's, data its payload, and all other
 * attributes go into meta, in an object "cloudevent". source and id together
 * name an event, so one that comes twice is one job (push.c). Start with {0}.
 * Any thread.
 */
struct push_event {
    struct buf source, id;  /* what names it; texts */
    struct buf attributes;  /* members of an object, commas between */
    struct buf traceparent; /* of an event that has one, a text */
    struct buf tracestate;
    struct json_span data, data_base64; /* borrowed from the body */
    bool has_version, has_type;
};

void push_event_done(struct push_event *e);

/* One event, in one JSON object (structured mode), which must stay as long
 * as p. */
void push_event_json(struct push_event *e, struct push_read *p,
                     const char *text, size_t len);

/*
 * The other way (binary mode): each header, "ce-source" and so on, whose name
 * may be in any case of letters, in percent-encoding; others are passed over.
 * The body is for push_read_raw.
 */
void push_event_header(struct push_event *e, struct push_read *p,
                       const char *name, const char *value);

/* What is behind the last of either: what is missing is noted in p->bad. */
void push_event_end(struct push_event *e, struct push_read *p);

#endif
