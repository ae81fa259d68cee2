/*
 * Settle: tells Redis how jobs ended.
 *
 * Everything that finished by one turn of the loop goes in one call: the run
 * of finished slots at the front by count, the others by value, and what
 * comes of them (retry, dead, kept results, counters) with it, so that each
 * job ends in one atomic step. The slots leave the ledger when the call is
 * sent, as they leave the list when it runs; until the answer is there they
 * wait in a batch, for the case that a rebind finds them still in the list.
 *
 * Thread: event loop only.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"
#include "common/job/backoff.h"
#include "worker/lane.h"

enum {
    FRONT_MS = 5,          /* then those behind the front do not wait */
    GATHER_MAX = 100,      /* finished jobs that wait for an answer */
    CRASHES_MAX = 3,       /* then the job is a poison pill */
    KEEP_FIELDS = 14,      /* names and values */
    SAID_MAX = 256,        /* types that were said to have no handler */
    MESSAGE_MAX = 2 * 1024 /* bytes of an error's message that are kept */
};
#define PUT_OFF_MAX_MS (24 * 3600 * 1000LL)
/* In base64 it fits into what Redis takes at once, 512 MiB. */
#define INVALID_RAW_MAX ((size_t)256 << 20)

const char *const counter_names[COUNTERS] = {"done",     "retried",   "dead",
                                             "put_off",  "discarded", "invalid",
                                             "released", "stale"};

/*
 * One call under construction. The arrays have max elements each, and are made
 * when the first of them is needed: most jobs are done and nothing is kept.
 */
struct work {
    struct lane *lane;
    int64_t now_ms;
    struct settle call;
    struct ref *refs;
    struct settle_add *adds;
    struct buf *envelopes; /* one for each add */
    struct settle_keep *keeps;
    struct bytes (*fields)[KEEP_FIELDS];
    char (*numbers)[3][24]; /* of kept jobs */
    struct settle_count counts[SETTLE_COUNTERS];
    size_t bytes;
    unsigned max;
};

static void on_settled(void *arg, int err, const struct reply *r);
static void on_released(void *arg, int err, const struct reply *r);
static void add_slot(struct work *w, struct slot *s) ON_LOOP;
static void fail(struct work *w, struct slot *s) ON_LOOP;
static void put_off(struct work *w, struct slot *s) ON_LOOP;
static void gather(struct work *w, struct batch *b) ON_LOOP;

/* ---- batches ---- */

static struct batch *batch_begin(struct lane *lane, bool release)
{
    struct batch *b = mem_new(sizeof(*b));
    b->lane = lane;
    b->release = release;
    if (lane->unacked_last != NULL)
        lane->unacked_last->next = b;
    else
        lane->unacked = b;
    lane->unacked_last = b;
    return b;
}

void batch_free(struct batch *b)
{
    while (b->slots != NULL) {
        struct slot *s = b->slots;
        b->slots = s->next;
        slot_free(s);
    }
    free(b);
}

/* Mostly the oldest one; a call that found its script not loaded is later. */
static void batch_end(struct lane *lane, struct batch *b)
{
    struct batch **at = &lane->unacked, *before = NULL;
    while (*at != b) {
        assert(*at != NULL);
        before = *at;
        at = &before->next;
    }
    *at = b->next;
    if (lane->unacked_last == b)
        lane->unacked_last = before;
    for (const struct slot *s = b->slots; s != NULL; s = s->next)
        lane->counts[b->release ? C_RELEASED : s->counter]++;
    batch_free(b);
}

/* ---- what becomes of a finished job ---- */

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
    w->adds[w->call.add_count++] = (struct settle_add){
        .dead = dead, .delay_ms = delay_ms, .envelope = {out->data, out->len}};
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
    w->adds[w->call.add_count++] =
        (struct settle_add){.dead = true, .envelope = {out->data, out->len}};
    w->bytes += out->len;
    count(w, s, C_INVALID);
    LOG_WARN("invalid", F_STR("queue", w->lane->keys.queue),
             F_INT("bytes", (int64_t)s->raw_len), F_STR("error", s->invalid),
             F_STR("so", "moved to dead"));
}

static void add_slot(struct work *w, struct slot *s)
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
    case VERDICT_NONE:
    case VERDICT_RELEASE:
        assert(!"a released job is not finished");
    }
}

/* ---- the call ---- */

static void work_begin(struct work *w, struct lane *lane, unsigned max)
{
    *w = (struct work){.lane = lane, .now_ms = lane_now_ms(lane), .max = max};
    for (unsigned c = 0; c < SETTLE_COUNTERS; c++)
        w->counts[c].name = counter_names[c];
}

static void work_end(struct work *w)
{
    for (unsigned i = 0; i < w->call.add_count; i++)
        buf_done(&w->envelopes[i]);
    free(w->refs);
    free(w->adds);
    free(w->keeps);
    free(w->fields);
    free(w->numbers);
    free(w->envelopes);
}

static struct slot **chain(struct slot **end, struct slot *s)
{
    *end = s;
    s->next = NULL;
    return &s->next;
}

/* Takes finished slots off the ledger and into the batch and the call. */
static void gather(struct work *w, struct batch *b)
{
    struct ledger *l = &w->lane->ledger;
    struct slot *chosen[QUEUE_BATCH_MAX];
    size_t front = ledger_front_finished(l, w->max, NULL), i = 0, n = 0;
    struct slot *s = l->first;
    for (; i < front && w->bytes < QUEUE_BATCH_MAX_BYTES; i++, s = s->next) {
        add_slot(w, s);
        w->call.last = (struct ref){{s->raw, s->raw_len}, i};
    }
    w->call.cumulative = (unsigned)i;
    bool whole = i == front;
    for (; whole && s != NULL && i + n < w->max; s = s->next, front++) {
        if (s->state != SLOT_FINISHED)
            continue;
        if (w->bytes >= QUEUE_BATCH_MAX_BYTES)
            break;
        add_slot(w, s);
        if (w->refs == NULL)
            w->refs = mem_new(w->max * sizeof(*w->refs));
        w->refs[n] = (struct ref){{s->raw, s->raw_len}, front};
        w->bytes += s->raw_len <= REF_BYTES_MAX ? s->raw_len : 64;
        chosen[n++] = s;
    }
    w->call.selective_count = (unsigned)n;
    struct slot **end = &b->slots;
    while (i-- > 0)
        end = chain(end, ledger_shift(l));
    for (i = 0; i < n; i++) {
        ledger_remove(l, chosen[i]);
        end = chain(end, chosen[i]);
    }
}

static void settle_some(struct lane *lane, unsigned n) ON_LOOP;

static void settle_some(struct lane *lane, unsigned n)
{
    struct work w;
    work_begin(&w, lane, n);
    struct batch *b = batch_begin(lane, false);
    gather(&w, b);
    w.call.selective = w.refs;
    w.call.adds = w.adds;
    w.call.keeps = w.keeps;
    if (lane->agent->cfg->at_most_once) /* there is no list to take them off */
        w.call.cumulative = w.call.selective_count = 0;
    for (unsigned c = 0; c < SETTLE_COUNTERS; c++) {
        if (w.counts[c].n > 0)
            w.counts[w.call.count_count++] = w.counts[c];
    }
    w.call.counts = w.counts;
    /* Not sent means down: rebind will find them in the list. */
    (void)queue_settle(lane->cmd, &lane->keys, lane->id, &w.call, on_settled,
                       b);
    work_end(&w);
}

/*
 * Whether the job in front is a long one, so that those behind it are to be
 * settled one by one. Mostly it ends in a moment, and they go by count.
 */
static bool front_is_long(struct lane *lane, const struct slot *front)
{
    int64_t now_us = clock_us();
    if (front->number != lane->front_number) {
        lane->front_number = front->number;
        lane->front_since_us = now_us;
    }
    return now_us - lane->front_since_us >= FRONT_MS * 1000LL;
}

/*
 * How many jobs the next call may settle, 0: none yet. While a call is under
 * way what finishes gathers for the next one, as small segments do in TCP
 * (RFC 896): the busier Redis, the fewer the calls. Many need not wait, so that
 * a long round trip does not hold up the lane.
 */
static unsigned due(struct lane *lane) ON_LOOP;

static unsigned due(struct lane *lane)
{
    size_t n = lane->ledger.count[SLOT_FINISHED];
    if (n > QUEUE_BATCH_MAX)
        n = QUEUE_BATCH_MAX;
    if (n == 0 || (n < GATHER_MAX && lane->unacked != NULL))
        return 0;
    const struct slot *front;
    size_t in_front = ledger_front_finished(&lane->ledger, n, &front);
    if (in_front < n && !lane->agent->cfg->at_most_once &&
        !front_is_long(lane, front)) {
        if (!evtimer_pending(lane->settle_timer, NULL))
            timer_in(lane->settle_timer, FRONT_MS);
        n = in_front;
    }
    return n >= GATHER_MAX || lane->unacked == NULL ? (unsigned)n : 0;
}

void lane_settle(struct lane *lane)
{
    if (lane->state != LANE_UP)
        return;
    /* After a suspension the lease may be gone: ask before telling. */
    if (clock_boot_ms() - lane->renewed_boot_ms > lane->agent->cfg->lease_ms) {
        if (!lane->renewing)
            timer_in(lane->renew_timer, 0);
        return;
    }
    unsigned n;
    while (lane->state == LANE_UP && (n = due(lane)) > 0)
        settle_some(lane, n);
    lane_release(lane);
}

void on_settle_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct lane *lane = arg;
    (void)fd;
    (void)what;
    agent_turn(lane->agent);
}

static void on_settled(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct lane *lane = b->lane;
    struct errbuf eb;
    int rc = queue_settle_result(err, r, &eb);
    if (rc != 0) {
        /* Told with the time a refusal comes late: the rest of it has run. */
        bool counted = err == 0 && reply_len(r) == 2;
        b->not_run = rc == ERR_REFUSED ||
                     (!lane->agent->cfg->at_most_once && err == 0 && !counted);
        lane_failed(lane, rc, &eb);
        return;
    }
    lane->settles++;
    batch_end(lane, b);
    if (lane->unacked == NULL)
        agent_turn(lane->agent);
}

/* ---- release ---- */

void lane_release(struct lane *lane)
{
    struct ledger *l = &lane->ledger;
    bool at_most_once = lane->agent->cfg->at_most_once;
    if (l->count[SLOT_GIVE_BACK] > 0)
        lane_unblock(lane);
    /* Jobs that come or are stamped now are behind these: they go first. */
    while (lane->state == LANE_UP && l->count[SLOT_GIVE_BACK] > 0 &&
           l->count[SLOT_STAMPING] == 0 && lane_is_quiescent(lane)) {
        /* From the end: what goes first ends up behind what goes next. */
        struct slot *chosen[QUEUE_BATCH_MAX];
        struct ref refs[QUEUE_BATCH_MAX];
        struct bytes raws[QUEUE_BATCH_MAX];
        size_t n = 0, bytes = 0, index = l->len, first = QUEUE_BATCH_MAX;
        for (struct slot *s = l->last; s != NULL; s = s->prev) {
            index--;
            if (s->state != SLOT_GIVE_BACK)
                continue;
            if (n == QUEUE_BATCH_MAX ||
                (n > 0 && bytes + s->raw_len > QUEUE_BATCH_MAX_BYTES))
                break;
            first--;
            n++;
            bytes += s->raw_len;
            chosen[first] = s;
            raws[first] = (struct bytes){s->raw, s->raw_len};
            refs[first] = (struct ref){raws[first], index};
        }
        struct batch *b = batch_begin(lane, true);
        if (at_most_once)
            (void)queue_push(lane->cmd, &lane->keys, true, &raws[first],
                             (unsigned)n, on_released, b);
        else
            (void)queue_release(lane->cmd, &lane->keys, lane->id, &refs[first],
                                (unsigned)n, on_released, b);
        LOG_INFO("release", F_STR("queue", lane->keys.queue),
                 F_INT("jobs", (int64_t)n));
        struct slot **end = &b->slots;
        for (size_t i = first; i < first + n; i++) {
            ledger_remove_last(l, chosen[i]);
            end = chain(end, chosen[i]);
        }
        lane->empty = false;
    }
}

static void on_released(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct batch *b = arg;
    struct lane *lane = b->lane;
    struct errbuf eb;
    int64_t depth;
    int rc = lane->agent->cfg->at_most_once
                 ? queue_push_result(err, r, &depth, &eb)
                 : queue_release_result(err, r, &eb);
    if (rc != 0) {
        b->not_run = rc == ERR_REFUSED || rc == ERR_REDIS;
        lane_failed(lane, rc, &eb);
        return;
    }
    batch_end(lane, b);
    agent_turn(lane->agent);
}
