#ifndef PRODUCER_TOPICS_H
#define PRODUCER_TOPICS_H

#include <stddef.h>

/* Texts of "belt help TOPIC" that belong to no command. */
struct topic {
    const char *name, *summary, *text; /* text NULL: made from the commands */
};

extern const struct topic topics[]; /* ended by one without name */

const struct topic *topic_find(const char *name);

#endif
