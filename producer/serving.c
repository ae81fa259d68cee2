/*
 * Serving: leases, page by page, and the hashes of their workers.
 *
 * A worker's own word that it is busy is up to 20 s old, so it is also full
 * when its lane holds a job for each thread.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/serving.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/job.h"
#include "common/job/json.h"

enum { LANES_AT_ONCE = 100, LANE_MAX = 192 };

#define FIELDS(X)                                                              \
    X(handlers)                                                                \
    X(handlers_left_out)                                                       \
    X(running)                                                                 \
    X(threads)                                                                 \
    X(busy)                                                                    \
    X(lease)                                                                   \
    X(stage)

enum field {
#define FIELD_ENUM(name) FIELD_##name,
    FIELDS(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_COUNT
};

static const char *const field_names[] = {
#define FIELD_NAME(name) #name,
    FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

struct look {
    struct client *client;   /* borrowed */
    const struct keys *keys; /* borrowed */
    const char *type, *id;   /* borrowed */
    const char *lane;        /* borrowed */
    int64_t now_ms;
    struct serving *ret; /* borrowed */
    size_t seen;         /* lanes of the last page */
};

struct worker {
    struct look *look; /* borrowed */
    bool holder;       /* has the lane that holds the job */
    int64_t held;      /* by its lane */
};

static void on_leases(void *arg, const struct reply *r);
static void on_worker(void *arg, const struct reply *r);
static void on_held(void *arg, const struct reply *r);
static void on_lane(void *arg, const struct reply *r);
static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);

const char *lane_worker(const char *lane, char out[192])
{
    const char *dot = strrchr(lane, '.');
    int n = dot ? (int)(dot - lane) : (int)strlen(lane);

    snprintf(out, LANE_MAX, "%.*s", n, lane);
    return out;
}

/* Whether one of the patterns, with commas between them, is for the type. */
static bool handles(const char *patterns, const char *type)
{
    for (const char *p = patterns; *p != '\0';) {
        char pattern[JOB_TYPE_MAX_LEN + 1];
        size_t n = strcspn(p, ",");
        if (n < sizeof(pattern)) {
            memcpy(pattern, p, n);
            pattern[n] = '\0';
            if (strcmp(pattern, type) == 0 || fnmatch(pattern, type, 0) == 0)
                return true;
        }
        p += n + (p[n] == ',');
    }
    return false;
}

/* Since when the job runs, as a line "type id since" says; 0: no line. */
static int64_t running_since(const char *runs, const char *id)
{
    char *word = mem_printf(" %s ", id);
    const char *found = runs ? strstr(runs, word) : NULL;
    int64_t since_ms = 0;
    char text[INT_TEXT_MAX];

    if (found) {
        const char *p = found + strlen(word);
        size_t n = strcspn(p, "\n");
        snprintf(text, sizeof(text), "%.*s", n < sizeof(text) ? (int)n : 0, p);
        since_ms = text_int_or(text, 0);
    }
    free(word);
    return since_ms;
}

static void on_worker(void *arg, const struct reply *r)
{
    struct worker *w = arg;
    struct look *l = w->look;
    const char *f[FIELD_COUNT] = {0};

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        size_t n;
        (void)reply_str(reply_at(r, i), &f[i], &n);
    }
    int64_t held = w->held;
    if (w->holder) {
        l->ret->since_ms = running_since(f[FIELD_running], l->id);
        l->ret->term_ms = text_int_or(f[FIELD_lease], 0);
    }
    free(w);
    if (f[FIELD_handlers] && text_int_or(f[FIELD_handlers_left_out], 0) == 0 &&
        l->type[0] != '\0' && !handles(f[FIELD_handlers], l->type))
        return;
    l->ret->able++;
    if (f[FIELD_stage] && strcmp(f[FIELD_stage], "running") != 0)
        return;
    int64_t threads = text_int_or(f[FIELD_threads], 0);
    l->ret->awake++;
    l->ret->threads += threads < INT32_MAX ? threads : 0;
    int64_t busy =
        text_int_or(f[FIELD_busy], 0); /* of all its queues, but old */
    l->ret->full += threads > 0 && (busy >= threads || held >= threads);
}

static void on_held(void *arg, const struct reply *r)
{
    struct worker *w = arg;

    (void)reply_int(r, &w->held);
}

static void ask_worker(struct look *l, const char *lane)
{
    char key[KEY_MAX], active[KEY_MAX], worker[LANE_MAX];
    struct args a = {0};

    if (!keys_worker(l->keys, lane_worker(lane, worker), key) ||
        !keys_active(l->keys, lane, active))
        return;
    struct worker *w = mem_new(sizeof(*w));
    w->look = l;
    w->holder = strcmp(lane, l->lane) == 0;
    args_str(&a, "LLEN");
    args_str(&a, active);
    client_call(l->client, &a, on_held, w);
    args_clear(&a);
    args_str(&a, "HMGET");
    args_str(&a, key);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        args_str(&a, field_names[i]);
    client_call(l->client, &a, on_worker, w);
    args_done(&a);
}

static void on_leases(void *arg, const struct reply *r)
{
    struct look *l = arg;

    l->seen = reply_len(r) / 2;
    for (size_t i = 0; i < l->seen; i++) {
        const char *lane;
        size_t n;
        int64_t end_ms = 0;
        if (!reply_str(reply_at(r, 2 * i), &lane, &n) || n >= LANE_MAX)
            continue;
        (void)reply_int(reply_at(r, 2 * i + 1), &end_ms);
        l->ret->lanes++;
        if (end_ms <= l->now_ms)
            continue;
        l->ret->live++;
        ask_worker(l, lane);
    }
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct serving *s = arg;
    size_t n;

    (void)eb;
    if (json_string_is(key, "host") &&
        json_string_copy(value, s->host, sizeof(s->host), &n) != 0)
        s->host[0] = '\0';
    return 0;
}

static void on_lane(void *arg, const struct reply *r)
{
    const char *p;
    size_t n;

    if (reply_str(r, &p, &n))
        (void)json_scan_object(p, n, on_member, arg, NULL);
}

static void ask_lane(struct look *l)
{
    struct args a = {0};

    args_str(&a, "HGET");
    args_str(&a, l->keys->lanes);
    args_str(&a, l->lane);
    client_call(l->client, &a, on_lane, l->ret);
    args_done(&a);
}

int serving_ask(struct client *c, const struct keys *keys, const char *type,
                const char *id, const char *lane, int64_t now_ms,
                struct serving *ret)
{
    struct look l = {.client = c,
                     .keys = keys,
                     .type = type,
                     .id = id,
                     .lane = lane,
                     .now_ms = now_ms,
                     .ret = ret,
                     .seen = LANES_AT_ONCE};
    int status = 0;

    *ret = (struct serving){0};
    if (lane[0] != '\0')
        ask_lane(&l);
    for (int64_t from = 0;
         status == 0 && from < SERVING_LANES_MAX && l.seen == LANES_AT_ONCE;
         from += LANES_AT_ONCE) {
        struct args a = {0};
        args_str(&a, "ZRANGE");
        args_str(&a, keys->leases);
        args_int(&a, from);
        args_int(&a, from + LANES_AT_ONCE - 1);
        args_str(&a, "WITHSCORES");
        client_call(c, &a, on_leases, &l);
        args_done(&a);
        status = client_wait(c);
    }
    return status;
}
