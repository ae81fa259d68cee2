#ifndef WORKER_CRON_H
#define WORKER_CRON_H

#include "common/redis/queue.h"

/*
 * What a lane does for the periodic jobs of its queue: it looks when the next
 * one is due, which renewals tell, and pushes what is to be pushed. Every
 * worker does; a script call pushes each tick once. Loop thread only.
 */
struct lane;
struct cron_watch;

struct cron_watch *cron_watch_new(struct lane *lane) ON_LOOP;
void cron_watch_free(struct cron_watch *w) ON_LOOP; /* NULL is a no-op */

/* A renewal tells in how many ms an entry is due; -1: there is none. */
void cron_watch_due(struct cron_watch *w, int64_t wait_ms) ON_LOOP;

/* An entry was written: the next renewal is to be believed. */
void cron_watch_changed(struct cron_watch *w) ON_LOOP;

/* The lane is down: nothing is looked at until a renewal tells again. */
void cron_watch_stop(struct cron_watch *w);

/* ---- cron_file.c: the entries of the configuration file ---- */

struct agent;
struct cron_config;
struct cron_file;

struct cron_file *cron_file_new(const struct agent *a);
void cron_file_free(struct cron_file *f);

/*
 * Writes those that are new or have changed, over the connection of a lane
 * that is up, unless that is done or under way.
 */
void cron_file_write(struct cron_file *f, struct lane *lane) ON_LOOP;

/*
 * From now on these, borrowed, instead of the old ones, which are looked at no
 * more. lane may be NULL: then the next one that comes up is used.
 */
void cron_file_renew(struct cron_file *f, const struct cron_config *crons,
                     unsigned count, struct lane *lane) ON_LOOP;

#endif
