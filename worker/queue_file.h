#ifndef WORKER_QUEUE_FILE_H
#define WORKER_QUEUE_FILE_H

#include "common/base/thread.h"
#include "worker/agent.h"

/*
 * The bounds of queues that the configuration file asks for, on their way to
 * Redis: written if they differ there, once for each configuration that is
 * read. Later changes by `belt queues set` stay until then. Loop thread only.
 */
struct agent;
struct lane;
struct queue_file;

struct queue_file *queue_file_new(const struct agent *a);
void queue_file_free(struct queue_file *f);

/*
 * Writes those that differ, over the connection of a lane that is up, unless
 * that is done or under way.
 */
void queue_file_write(struct queue_file *f, struct lane *lane) ON_LOOP;

/*
 * From now on these, borrowed, instead of the old ones, which are looked at no
 * more. lane may be NULL: then the next one that comes up is used.
 */
void queue_file_renew(struct queue_file *f, const struct queue_config *bounds,
                      unsigned count, struct lane *lane) ON_LOOP;

#endif
