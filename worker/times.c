/*
 * Times: how long the jobs of a lane waited and ran, told to Redis.
 *
 * A run counts once its settle is answered, so none counts twice. About once a
 * second a settle carries what has come together; what is left when nothing
 * is settled any more goes with one of its own, at a renewal or before the lane
 * leaves. If that certainly did not run, its counts come back.
 *
 * Thread: event loop only.
 */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/settle_priv.h"

enum { TELL_MS = 1000 };

/* From when on it could have started, 0 if that is not known. */
static int64_t due_at_ms(const struct job *job)
{
    int64_t at = job->created_at_ms;
    if (at <= 0)
        return 0;
    if (job->in_ms > 0 && job->in_ms <= INT64_MAX / 2 && at <= INT64_MAX / 2)
        at += job->in_ms;
    return at > job->at_ms ? at : job->at_ms;
}

/* It has waited for nothing but its turn. */
static bool is_first(const struct job *job)
{
    return job->attempt == 0 && job->recovered_count == 0 &&
           job->snoozes == 0 && job->put_offs == 0;
}

void lane_note_times(struct lane *lane, const struct slot *slots)
{
    int64_t offset_ms = lane_now_ms(lane) - clock_wall_ms();
    for (const struct slot *s = slots; s != NULL; s = s->next) {
        if (s->invalid != NULL || s->d == NULL)
            continue;
        const struct outcome *o = &s->d->outcome;
        const struct job *job = s->d->job;
        if (o->started_at_ms == 0 || o->verdict == VERDICT_PUT_OFF)
            continue;
        lane->times.runs++;
        lane->cpu_us += o->cpu_us > 0 ? o->cpu_us : 0;
        histogram_add(&lane->times.run, o->run_us);
        int64_t due_ms = is_first(job) ? due_at_ms(job) : 0;
        int64_t wait_ms = o->started_at_ms + offset_ms - due_ms;
        if (wait_ms > QUEUE_WAIT_MAX_MS) /* it says that it is as old */
            wait_ms = QUEUE_WAIT_MAX_MS;
        if (due_ms > 0) {
            int64_t wait_us = wait_ms > 0 ? wait_ms * 1000 : 0;
            histogram_add(&lane->times.wait, wait_us);
            histogram_add(&lane->waits, wait_us);
        }
    }
}

bool lane_times_due(const struct lane *lane, int64_t now_ms)
{
    int64_t ago = now_ms - lane->times_told_ms;
    return lane->times.runs > 0 && (ago >= TELL_MS || ago < 0);
}

void work_tell_times(struct work *w, struct batch *b)
{
    struct lane *lane = w->lane;
    struct settle_count counts[TIMES_COUNTS];
    b->told = mem_new(sizeof(*b->told));
    unsigned n = times_tell(&lane->times, counts, b->told);
    for (unsigned i = 0; i < n; i++)
        work_count(w, counts[i].name, counts[i].n);
    lane->times_told_ms = w->now_ms;
}

void batch_give_back_times(struct batch *b)
{
    if (b->told != NULL)
        times_give_back(&b->lane->times, b->told);
}
