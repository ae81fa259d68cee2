/*
 * Lanes: who may start jobs of a queue, and what each has heard.
 *
 * The ids are read at once, since renewals move lanes about in the set; the
 * versions by the hundred. A lane that binds again in between is found under
 * its old id, which complies with nothing any more.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/redis/queue.h"

enum { VERSIONS_AT_ONCE = 500 };

struct chunk {
    struct lanes *lanes;
    size_t from;
};

static void on_time(void *arg, const struct reply *r);
static void on_leases(void *arg, const struct reply *r);
static void on_versions(void *arg, const struct reply *r);

static void forget(struct lanes *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->ids[i]);
    l->count = 0;
}

void lanes_done(struct lanes *l)
{
    forget(l);
    free((void *)l->ids);
    free(l->versions);
    *l = (struct lanes){0};
}

static void on_time(void *arg, const struct reply *r)
{
    int64_t s = 0, us = 0;

    (void)reply_int(reply_at(r, 0), &s);
    (void)reply_int(reply_at(r, 1), &us);
    *(int64_t *)arg = s * 1000 + us / 1000;
}

static void add(struct lanes *l, const char *id, size_t n)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->ids = mem_resize(l->ids, l->cap * sizeof(*l->ids));
        l->versions = mem_resize(l->versions, l->cap * sizeof(*l->versions));
    }
    l->versions[l->count] = -1;
    l->ids[l->count++] = mem_dup(id, n);
}

/* What is no lane's id (people write there, too) starts nothing. */
static void on_leases(void *arg, const struct reply *r)
{
    struct lanes *l = arg;

    for (size_t i = 0; i + 1 < reply_len(r); i += 2) {
        const char *id, *score;
        size_t n, score_len;
        if (reply_str(reply_at(r, i), &id, &n) &&
            reply_str(reply_at(r, i + 1), &score, &score_len) &&
            strtod(score, NULL) >= (double)l->now_ms && n > 0 &&
            n < LANE_ID_MAX && memchr(id, '\0', n) == NULL)
            add(l, id, n);
    }
}

static void on_versions(void *arg, const struct reply *r)
{
    const struct chunk *c = arg;
    struct lanes *l = c->lanes;

    for (size_t i = 0; i < reply_len(r) && c->from + i < l->count; i++) {
        const char *text;
        char *end;
        size_t n;
        if (!reply_str(reply_at(r, i), &text, &n))
            continue;
        long long version = strtoll(text, &end, 10);
        if (n > 0 && *end == '\0' && version <= QUEUE_COUNT_MAX)
            l->versions[c->from + i] = version;
    }
}

static int read_versions(struct lanes *l, struct client *client,
                         const struct keys *k)
{
    size_t n = (l->count + VERSIONS_AT_ONCE - 1) / VERSIONS_AT_ONCE;
    struct chunk *chunks = mem_new((n + 1) * sizeof(*chunks));
    char(*fields)[LANE_ID_MAX + 16] =
        mem_new(VERSIONS_AT_ONCE * sizeof(*fields));

    for (size_t c = 0; c < n; c++) {
        struct args a = {0};
        chunks[c] = (struct chunk){l, c * VERSIONS_AT_ONCE};
        args_str(&a, "HMGET");
        args_str(&a, k->lanes);
        for (size_t i = 0; i < VERSIONS_AT_ONCE; i++) {
            if (chunks[c].from + i == l->count)
                break;
            snprintf(fields[i], sizeof(fields[i]), "%s:version",
                     l->ids[chunks[c].from + i]);
            args_str(&a, fields[i]);
        }
        client_call(client, &a, on_versions, &chunks[c]);
        args_done(&a);
    }
    int status = client_wait(client);
    free(fields);
    free(chunks);
    return status;
}

int lanes_look(struct lanes *l, struct client *client, const struct keys *k,
               int64_t version)
{
    struct args a = {0};

    forget(l);
    l->version = version;
    l->behind = l->highest = 0;
    args_str(&a, "TIME");
    client_call(client, &a, on_time, &l->now_ms);
    args_clear(&a);
    args_str(&a, "ZRANGE");
    args_str(&a, k->leases);
    args_int(&a, 0);
    args_int(&a, -1);
    args_str(&a, "WITHSCORES");
    client_call(client, &a, on_leases, l);
    args_done(&a);
    int status = client_wait(client);
    if (status == 0 && l->count > 0)
        status = read_versions(l, client, k);
    for (size_t i = 0; i < l->count && status == 0; i++) {
        l->behind += l->versions[i] < version;
        if (l->versions[i] > l->highest)
            l->highest = l->versions[i];
    }
    return status;
}

void lanes_name(const struct lanes *l, size_t most, struct buf *out)
{
    size_t named = 0;

    for (size_t i = 0; i < l->count && named < most; i++) {
        if (l->versions[i] >= l->version)
            continue;
        buf_printf(out, "%s%s", named > 0 ? ", " : "", l->ids[i]);
        named++;
    }
    if (l->behind > (int64_t)named)
        buf_printf(out, " and %lld more",
                   (long long)l->behind - (long long)named);
}
