/*
 * News: what is told of kept jobs, and what ends together with a job.
 *
 * A job with "keep" has a hash for people to look at. It says what was last
 * told: that the job waits again, or how it ended, which is published too. The
 * script removes what was told before and does not hold any more.
 *
 * Thread: event loop only.
 */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/settle_priv.h"

static void say(struct news *n, const char *name, const char *p, size_t len)
{
    n->fields[n->n++] = (struct bytes){name, strlen(name)};
    n->fields[n->n++] = (struct bytes){len > 0 ? p : "", len};
}

static void say_text(struct news *n, const char *name, const char *text)
{
    say(n, name, text, strlen(text));
}

static void say_number(struct news *n, const char *name, int64_t value)
{
    char *text = n->numbers[n->numbers_n++];
    size_t len = text_format_int(value, text);
    say(n, name, text, len);
}

/* The fields that all news have; NULL if the job is not kept. */
static struct news *begin(struct work *w, const struct slot *s,
                          const char *state, int64_t attempt)
{
    const struct job *job = s->d->job;
    const struct outcome *o = &s->d->outcome;
    if (job->keep_ms <= 0)
        return NULL;
    if (w->keeps == NULL) {
        w->keeps = mem_new(2 * w->max * sizeof(*w->keeps));
        w->news = mem_new(w->max * sizeof(*w->news));
    }
    struct news *n = &w->news[w->news_count++];
    say_text(n, "state", state);
    say_text(n, "type", job->type);
    say_text(n, "worker", w->lane->agent->id);
    say_number(n, "attempt", attempt);
    if (job->created_at_ms > 0)
        say_number(n, "created_at", job->created_at_ms);
    if (o->started_at_ms > 0) /* by Redis' clock, as all other instants */
        say_number(n, "started_at",
                   o->started_at_ms + w->now_ms - clock_wall_ms());
    if (o->cpu_us >= 0)
        say_number(n, "cpu_ms", (o->cpu_us + 500) / 1000);
    if (o->peak_rss >= 0)
        say_number(n, "peak_rss", o->peak_rss);
    return n;
}

static void say_error(struct work *w, struct news *n, const struct outcome *o)
{
    size_t len = o->message.len < MESSAGE_MAX ? o->message.len : MESSAGE_MAX;
    if (len == 0)
        return;
    say(n, "error", o->message.data, len);
    w->bytes += len;
}

static void finish(struct work *w, const struct slot *s, struct news *n,
                   int64_t ttl_ms, const char *publish)
{
    w->keeps[w->call.keep_count++] = (struct settle_keep){.id = s->d->job->id,
                                                          .ttl_ms = ttl_ms,
                                                          .publish = publish,
                                                          .fields = n->fields,
                                                          .field_count = n->n};
}

/* The log goes when its news go. */
static void finish_log(struct work *w, const struct slot *s)
{
    if (may_have_log(s->d))
        w->keeps[w->call.keep_count++] = (struct settle_keep){
            .id = s->d->job->id, .log = true, .ttl_ms = s->d->job->keep_ms};
}

void work_tell_wait(struct work *w, const struct slot *s, const char *state,
                    int64_t attempt, int64_t due_ms)
{
    struct news *n = begin(w, s, state, attempt);
    if (n == NULL)
        return;
    say_number(n, "due_at", due_ms);
    if (s->d->outcome.verdict != VERDICT_SNOOZE)
        say_error(w, n, &s->d->outcome);
    finish(w, s, n, QUEUE_NEWS_TTL_MS, NULL);
}

/* The lock of a job that has ended; what is no unique took none. */
static void unlock(struct work *w, const struct job *job)
{
    struct unique u;
    if (!unique_ends_with_job(job->unique, &u))
        return;
    if (w->unlocks == NULL) {
        w->unlocks = mem_new(w->max * sizeof(*w->unlocks));
        w->locks = mem_new(w->max * sizeof(*w->locks));
    }
    const unsigned i = w->call.unlock_count++;
    w->locks[i] = u;
    w->unlocks[i] = (struct settle_unlock){w->locks[i].key, job->id};
}

static void unmark(struct work *w, const struct job *job)
{
    if (w->marks == NULL)
        w->marks = mem_new(w->max * sizeof(*w->marks));
    w->marks[w->call.mark_count++] = job->id;
}

void work_tell_end(struct work *w, const struct slot *s, const char *state,
                   int64_t attempt)
{
    const struct job *job = s->d->job;
    const struct outcome *o = &s->d->outcome;
    const bool done = o->verdict == VERDICT_DONE;
    unlock(w, job);
    if (o->verdict == VERDICT_CANCEL ||
        marks_has(&w->lane->cancelling.marks, job->id))
        unmark(w, job);
    struct news *n = begin(w, s, state, attempt);
    if (n == NULL)
        return;
    say_number(n, "ended_at", w->now_ms);
    if (done) {
        say(n, "result", o->result.data, o->result.len);
        w->bytes += o->result.len;
    } else {
        say_error(w, n, o);
    }
    if (o->exit_status >= 0 || done)
        say_number(n, "exit", o->exit_status >= 0 ? o->exit_status : 0);
    finish(w, s, n, job->keep_ms, state);
    finish_log(w, s);
}
