#ifndef COMMON_REDIS_KEYS_H
#define COMMON_REDIS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Names of all keys of one queue (docs/PROTOCOL.md, "Keys"). Every key
 * carries the queue as hash tag, so that it lives in one slot of a Cluster.
 */
#define KEY_MAX 320

struct keys {
    char queue[65], ns[65];
    char ready[KEY_MAX];
    char leases[KEY_MAX], lanes[KEY_MAX], reaped[KEY_MAX];
    char scheduled[KEY_MAX], retry[KEY_MAX], dead[KEY_MAX];
    char config[KEY_MAX], fence[KEY_MAX], stats[KEY_MAX];
    char cancelled[KEY_MAX], control[KEY_MAX], outbox[KEY_MAX];
    char cron[KEY_MAX], cron_due[KEY_MAX];
    char queues[KEY_MAX], workers[KEY_MAX]; /* of the namespace */
};

/* ns and queue must be valid names (text_is_name). */
void keys_init(struct keys *k, const char *ns, const char *queue);

/*
 * The active list of a lane, the minute's counters, a kept job, a worker. Ids
 * may come out of Redis: false, and an empty name, when one does not fit.
 */
bool keys_active(const struct keys *k, const char *lane, char out[KEY_MAX]);
void keys_stats_minute(const struct keys *k, int64_t wall_ms,
                       char out[KEY_MAX]);
bool keys_job(const struct keys *k, const char *id, char out[KEY_MAX]);
/* The lines that its runs wrote, and the channel on which that is told. */
bool keys_log(const struct keys *k, const char *id, char out[KEY_MAX]);
/* The lock of a unique key, the envelope that a debounce may still replace,
 * and the note that a push with this id has come. */
bool keys_unique(const struct keys *k, const char *key, char out[KEY_MAX]);
bool keys_pending(const struct keys *k, const char *key, char out[KEY_MAX]);
bool keys_once(const struct keys *k, const char *id, char out[KEY_MAX]);
bool keys_worker(const struct keys *k, const char *worker, char out[KEY_MAX]);

#endif
