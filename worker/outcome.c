/*
 * Outcome: what becomes of a finished job: done, retried, dead, put off,
 * discarded or buried, as a part of the call that settles it.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "common/job/backoff.h"
#include "worker/settle_priv.h"

enum {
    CRASHES_MAX = 3,       /* then the job is a poison pill */
    SAID_MAX = 256,        /* types that were said to have no handler */
    MESSAGE_MAX = 2 * 1024 /* bytes of an error's message that are kept */
};
#define PUT_OFF_MAX_MS (24 * 3600 * 1000LL)
/* In base64 it fits into what Redis takes at once, 512 MiB. */
#define INVALID_RAW_MAX ((size_t)256 << 20)

static void fail(struct work *w, struct slot *s) ON_LOOP;
static void put_off(struct work *w, struct slot *s) ON_LOOP;

static void put_error(const struct work *w, const struct slot *s,
                      int64_t attempt, struct buf *out)
{
    const struct outcome *o = &s->d->outcome;
    size_t n = o->message.len < MESSAGE_MAX ? o->message.len : MESSAGE_MAX;
    buf_str(out, "{\"class\":");
    buf_json_string(out, o->error_class, strlen(o->error_class));
    buf_str(out, ",\"message\":");
    buf_json_string(out, o->message.data, n);
    buf_printf(out, ",\"at\":%" PRId64 ",\"attempt\":%" PRId64 ",\"worker\":",
               w->now_ms, attempt);
    buf_json_string(out, w->lane->agent->id, strlen(w->lane->agent->id));
    if (o->stderr_tail.len > 0) {
        buf_str(out, ",\"stderr\":");
        buf_json_string(out, o->stderr_tail.data, o->stderr_tail.len);
    }
    buf_char(out, '}');
}

static void count(struct work *w, struct slot *s, enum counter c)
{
    w->counts[c].n++;
    s->counter = c;
}

/* Returns the buffer for the envelope of the next add. */
static struct buf *next_envelope(struct work *w)
{
    if (w->adds == NULL) {
        w->adds = mem_new(w->max * sizeof(*w->adds));
        w->envelopes = mem_new(w->max * sizeof(*w->envelopes));
    }
    return &w->envelopes[w->call.add_count];
}

/* Adds the job's new envelope to retry or dead. */
static void add(struct work *w, const struct slot *s, bool dead,
                int64_t delay_ms, const struct job_change *changes, size_t n)
{
    struct buf *out = next_envelope(w);
    job_rewrite(s->d->job, changes, n, w->now_ms - RECOVERY_WINDOW_MS, out);
    w->adds[w->call.add_count++] =
        (struct settle_add){.where = dead ? SETTLE_DEAD : SETTLE_RETRY,
                            .delay_ms = delay_ms,
                            .envelope = {out->data, out->len}};
    w->bytes += out->len;
}

static int64_t retry_delay(const struct slot *s, int64_t attempt)
{
    struct backoff policy;
    double jitter = (double)random_below(1 << 20) / (1 << 20);
    if (backoff_parse(s->d->job->backoff, &policy, NULL) != 0)
        (void)backoff_parse((struct json_span){0}, &policy, NULL);
    return backoff_delay(&policy, attempt, jitter);
}

/* A kept job: its last state, for as long as it was pushed with. */
static void keep(struct work *w, const struct slot *s, const char *state,
                 int64_t attempt)
{
    const struct job *job = s->d->job;
    const struct outcome *o = &s->d->outcome;
    if (job->keep_ms <= 0)
        return;
    if (w->keeps == NULL) {
        w->keeps = mem_new(w->max * sizeof(*w->keeps));
        w->fields = mem_new(w->max * sizeof(*w->fields));
        w->numbers = mem_new(w->max * sizeof(*w->numbers));
    }
    unsigned k = w->call.keep_count++;
    char(*n)[24] = w->numbers[k];
    const struct buf *text =
        o->verdict == VERDICT_DONE ? &o->result : &o->message;
    (void)snprintf(n[0], sizeof(n[0]), "%" PRId64, attempt);
    (void)snprintf(n[1], sizeof(n[1]), "%" PRId64, o->started_at_ms);
    (void)snprintf(n[2], sizeof(n[2]), "%" PRId64, w->now_ms);
    const char *texts[KEEP_FIELDS] = {"state",
                                      state,
                                      "type",
                                      job->type,
                                      "worker",
                                      w->lane->agent->id,
                                      "attempt",
                                      n[0],
                                      "started_at",
                                      n[1],
                                      "ended_at",
                                      n[2],
                                      o->verdict == VERDICT_DONE ? "result"
                                                                 : "error",
                                      NULL};
    struct bytes *f = w->fields[k];
    for (unsigned i = 0; i + 1 < KEEP_FIELDS; i++)
        f[i] = (struct bytes){texts[i], strlen(texts[i])};
    f[KEEP_FIELDS - 1] =
        (struct bytes){text->len > 0 ? text->data : "", text->len};
    w->keeps[k] = (struct settle_keep){.id = job->id,
                                       .ttl_ms = job->keep_ms,
                                       .fields = f,
                                       .field_count = KEEP_FIELDS};
    w->bytes += text->len;
}

static void log_failure(const struct work *w, const struct slot *s,
                        const char *event, int64_t attempt, int64_t delay_ms)
{
    const struct outcome *o = &s->d->outcome;
    LOG_INFO(event, F_STR("job", s->d->job->id),
             F_STR("queue", w->lane->keys.queue),
             F_STR("type", s->d->job->type), F_INT("attempt", attempt),
             F_STR("class", o->error_class),
             F_MEM("error", o->message.data, o->message.len),
             F_INT("delay_ms", delay_ms));
}

static void fail(struct work *w, struct slot *s)
{
    const struct job *job = s->d->job;
    const struct outcome *o = &s->d->outcome;
    bool ran =
        o->verdict != VERDICT_PUT_OFF && strcmp(o->error_class, "poison") != 0;
    int64_t attempt = job->attempt + (ran ? 1 : 0);
    int64_t crashes = job->crashes + (o->crashed ? 1 : 0);
    bool dead = o->verdict == VERDICT_DEAD || o->verdict == VERDICT_PUT_OFF ||
                attempt >= job->max_attempts ||
                (o->crashed && crashes >= CRASHES_MAX);
    char attempt_text[24], crashes_text[24];
    struct buf error = {0};
    put_error(w, s, attempt, &error);
    (void)snprintf(attempt_text, sizeof(attempt_text), "%" PRId64, attempt);
    (void)snprintf(crashes_text, sizeof(crashes_text), "%" PRId64, crashes);
    struct job_change changes[] = {
        {"attempt", attempt_text},
        {"crashes", crashes > 0 ? crashes_text : NULL},
        {"put_offs", NULL},
        {"put_off_since", NULL},
        {"error", error.data}};
    int64_t delay = dead ? 0 : retry_delay(s, attempt);
    add(w, s, dead, delay, changes, sizeof(changes) / sizeof(changes[0]));
    buf_done(&error);
    if (dead)
        keep(w, s, "dead", attempt);
    else
        lane_promote_in(w->lane, delay);
    count(w, s, dead ? C_DEAD : C_RETRIED);
    log_failure(w, s, dead ? "dead" : "retry", attempt, delay);
}

/* Says once for each type that it is put off. */
static bool first_time(const char *type)
{
    static char *said[SAID_MAX];
    static unsigned n;
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(said[i], type) == 0)
            return false;
    }
    if (n == SAID_MAX)
        return false;
    said[n++] = mem_strdup(type);
    return true;
}

static void put_off(struct work *w, struct slot *s)
{
    const struct job *job = s->d->job;
    int64_t since = job->put_offs > 0 ? job->put_off_since_ms : w->now_ms;
    if (w->now_ms - since > PUT_OFF_MAX_MS) {
        fail(w, s);
        return;
    }
    char n_text[24], since_text[24];
    struct buf error = {0};
    put_error(w, s, job->attempt, &error);
    (void)snprintf(n_text, sizeof(n_text), "%" PRId64, job->put_offs + 1);
    (void)snprintf(since_text, sizeof(since_text), "%" PRId64, since);
    struct job_change changes[] = {{"put_offs", n_text},
                                   {"put_off_since", since_text},
                                   {"error", error.data}};
    double jitter = (double)random_below(1 << 20) / (1 << 20);
    int64_t delay = backoff_put_off(job->put_offs + 1, jitter);
    add(w, s, false, delay, changes, sizeof(changes) / sizeof(changes[0]));
    buf_done(&error);
    lane_promote_in(w->lane, delay);
    count(w, s, C_PUT_OFF);
    if (first_time(job->type))
        log_failure(w, s, "put_off", job->attempt, delay);
}

static void bury_invalid(struct work *w, struct slot *s)
{
    struct buf *out = next_envelope(w);
    job_build_invalid(s->raw, s->raw_len, INVALID_RAW_MAX, s->invalid,
                      w->now_ms, out);
    w->adds[w->call.add_count++] = (struct settle_add){
        .where = SETTLE_DEAD, .envelope = {out->data, out->len}};
    w->bytes += out->len;
    count(w, s, C_INVALID);
    LOG_WARN("invalid", F_STR("queue", w->lane->keys.queue),
             F_INT("bytes", (int64_t)s->raw_len), F_STR("error", s->invalid),
             F_STR("so", "moved to dead"));
}

void work_add(struct work *w, struct slot *s)
{
    if (s->invalid != NULL) {
        bury_invalid(w, s);
        return;
    }
    switch (s->d->outcome.verdict) {
    case VERDICT_DONE:
        keep(w, s, "done", s->d->job->attempt + 1);
        count(w, s, C_DONE);
        break;
    case VERDICT_DISCARD:
        keep(w, s, "cancelled", s->d->job->attempt + 1);
        count(w, s, C_DISCARDED);
        break;
    case VERDICT_RETRY:
    case VERDICT_DEAD:
        fail(w, s);
        break;
    case VERDICT_PUT_OFF:
        put_off(w, s);
        break;
    case VERDICT_SNOOZE:
    case VERDICT_CANCEL:
    case VERDICT_EXPIRE:
    case VERDICT_NONE:
    case VERDICT_RELEASE:
        assert(!"a released job is not finished");
    }
}
