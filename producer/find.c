/*
 * Find: looking for a job by its id, in bounded steps.
 *
 * What Belt writes begins with {"id":"…" or {"recovered":[…],"id":"…", so
 * sets are scanned for these beginnings, which costs Redis a glance at each
 * member. Lists have no such command: their pages come here, as many jobs as
 * are about PAGE_BYTES, judged by those before.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum {
    PAGE_FIRST = 20,
    PAGE_MAX = 1000,
    PAGE_BYTES = 1 << 20,
    SCAN_AT_ONCE = 1000,
    LANES_AT_ONCE = 100,
    LANES_MAX = 1000,
    QUEUES_AT_ONCE = 100,
    QUEUES_MAX = 10000,
    CURSOR_MAX = 24
};

struct search {
    struct client *client;   /* borrowed */
    const struct keys *keys; /* borrowed */
    const char *id;          /* borrowed */
    enum place place;        /* that is looked at now */
    bool whole;              /* sets to their end */
    struct found *found;     /* borrowed */
    size_t bytes, jobs;      /* read of lists so far */
    int64_t from;            /* of a list: index of the page */
    size_t got;              /* elements of the last answer */
    char cursor[CURSOR_MAX]; /* of a scan */
};

struct lanes {
    struct {
        char id[192];
        int64_t lease_ms;
    } all[LANES_AT_ONCE];
    size_t count, seen;
};

struct queues {
    char **names; /* owned, each too */
    size_t count;
    char cursor[CURSOR_MAX];
};

static void on_page(void *arg, const struct reply *r);
static void on_scan(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);
static void on_queues(void *arg, const struct reply *r);
static void on_there(void *arg, const struct reply *r);

const char *place_name(enum place place)
{
    switch (place) {
    case PLACE_NONE:
        break;
    case PLACE_ACTIVE:
        return "active";
    case PLACE_SCHEDULED:
        return "scheduled";
    case PLACE_RETRY:
        return "retry";
    case PLACE_DEAD:
        return "dead";
    case PLACE_OUTBOX:
        return "outbox";
    case PLACE_READY:
        return "ready";
    }
    return "nowhere";
}

void found_done(struct found *f)
{
    job_free(f->job);
    *f = (struct found){0};
}

/* Takes note of the element if it is the job. */
static bool is_it(struct search *s, const struct reply *r)
{
    struct job *job;
    const char *p;
    size_t n;

    if (s->found->job || !reply_str(r, &p, &n))
        return false;
    s->bytes += n;
    s->jobs++;
    if (!memmem(p, n, s->id, strlen(s->id)) ||
        job_parse(p, n, SIZE_MAX, &job, NULL) != 0)
        return false;
    if (strcmp(job->id, s->id) != 0) {
        job_free(job);
        return false;
    }
    s->found->job = job;
    s->found->place = s->place;
    return true;
}

/* ---- lists ---- */

static void on_page(void *arg, const struct reply *r)
{
    struct search *s = arg;

    s->got = reply_len(r);
    for (size_t i = 0; i < s->got; i++) {
        if (is_it(s, reply_at(r, i)))
            s->found->ahead = s->from + (int64_t)i;
    }
}

static int64_t page_size(const struct search *s)
{
    size_t each = s->jobs > 0 ? s->bytes / s->jobs + 1 : 0;

    if (s->jobs < PAGE_FIRST)
        return PAGE_FIRST;
    size_t n = PAGE_BYTES / each;
    return n < 1 ? 1 : n > PAGE_MAX ? PAGE_MAX : (int64_t)n;
}

static int look_at_list(struct search *s, const char *key, int64_t max)
{
    int64_t size = 0;
    int status = 0;

    s->got = 0;
    for (s->from = 0; status == 0 && !s->found->job &&
                      (s->from == 0 || s->got == (size_t)size);
         s->from += size) {
        struct args a = {0};
        if (s->from >= max || s->bytes >= FIND_BYTES_MAX) {
            s->found->cut |= s->place;
            break;
        }
        size = page_size(s);
        if (size > max - s->from)
            size = max - s->from;
        args_str(&a, "LRANGE");
        args_str(&a, key);
        args_int(&a, s->from);
        args_int(&a, s->from + size - 1);
        client_call(s->client, &a, on_page, s);
        args_done(&a);
        status = client_wait(s->client);
    }
    return status;
}

/* ---- sets ---- */

static void copy_cursor(char out[CURSOR_MAX], const struct reply *r)
{
    const char *p;
    size_t n;

    out[0] = '0'; /* what is none ends the scan */
    out[1] = '\0';
    if (reply_str(r, &p, &n) && n < CURSOR_MAX)
        memcpy(out, p, n + 1);
}

static void on_scan(void *arg, const struct reply *r)
{
    struct search *s = arg;
    const struct reply *pairs = reply_at(r, 1);

    copy_cursor(s->cursor, reply_at(r, 0));
    for (size_t i = 0; i + 1 < reply_len(pairs); i += 2) {
        if (is_it(s, reply_at(pairs, i)) &&
            !reply_int(reply_at(pairs, i + 1), &s->found->at_ms))
            s->found->at_ms = 0; /* a fraction: not one of ours */
    }
}

static int scan(struct search *s, const char *key, const char *pattern)
{
    int64_t seen = 0;
    int status = 0;

    memcpy(s->cursor, "0", 2);
    do {
        struct args a = {0};
        if (seen >= FIND_SET_MAX && !s->whole) {
            s->found->cut |= s->place;
            break;
        }
        args_str(&a, "ZSCAN");
        args_str(&a, key);
        args_str(&a, s->cursor);
        args_str(&a, "MATCH");
        args_str(&a, pattern);
        args_str(&a, "COUNT");
        args_int(&a, SCAN_AT_ONCE);
        client_call(s->client, &a, on_scan, s);
        status = client_wait(s->client);
        args_done(&a);
        seen += SCAN_AT_ONCE;
    } while (status == 0 && !s->found->job && strcmp(s->cursor, "0") != 0);
    return status;
}

/* An id has no character that means something in a pattern. */
static int look_at_set(struct search *s, const char *key)
{
    char *plain = mem_printf("{\"id\":\"%s\"*", s->id);
    char *recovered = mem_printf("{\"recovered\":*\"id\":\"%s\"*", s->id);
    int status = scan(s, key, plain);

    if (status == 0 && !s->found->job)
        status = scan(s, key, recovered);
    free(plain);
    free(recovered);
    return status;
}

/* ---- lanes ---- */

static void on_lanes(void *arg, const struct reply *r)
{
    struct lanes *lanes = arg;

    lanes->count = 0;
    lanes->seen = reply_len(r) / 2;
    for (size_t i = 0; i < lanes->seen && i < LANES_AT_ONCE; i++) {
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, 2 * i), &p, &n) || strlen(p) != n ||
            n >= sizeof(lanes->all[0].id))
            continue;
        memcpy(lanes->all[lanes->count].id, p, n + 1);
        if (!reply_int(reply_at(r, 2 * i + 1),
                       &lanes->all[lanes->count].lease_ms))
            lanes->all[lanes->count].lease_ms = 0;
        lanes->count++;
    }
}

static int ask_lanes(struct client *c, const struct keys *keys, int64_t from,
                     struct lanes *lanes)
{
    struct args a = {0};

    args_str(&a, "ZRANGE");
    args_str(&a, keys->leases);
    args_int(&a, from);
    args_int(&a, from + LANES_AT_ONCE - 1);
    args_str(&a, "WITHSCORES");
    client_call(c, &a, on_lanes, lanes);
    args_done(&a);
    return client_wait(c);
}

static int look_at_lanes(struct search *s, const struct lanes *lanes)
{
    int status = 0;

    for (size_t i = 0; i < lanes->count && status == 0 && !s->found->job; i++) {
        char key[KEY_MAX];
        if (!keys_active(s->keys, lanes->all[i].id, key))
            continue;
        status = look_at_list(s, key, FIND_READY_MAX);
        if (s->found->job) {
            memcpy(s->found->lane, lanes->all[i].id, sizeof(s->found->lane));
            s->found->lease_ms = lanes->all[i].lease_ms;
        }
    }
    return status;
}

static int look_at_active(struct search *s)
{
    struct lanes lanes = {.seen = LANES_AT_ONCE};
    int status = 0;

    for (int64_t from = 0;
         status == 0 && !s->found->job && lanes.seen == LANES_AT_ONCE;
         from += LANES_AT_ONCE) {
        if (from >= LANES_MAX) {
            s->found->cut |= PLACE_ACTIVE;
            break;
        }
        status = ask_lanes(s->client, s->keys, from, &lanes);
        if (status == 0)
            status = look_at_lanes(s, &lanes);
    }
    return status;
}

int find_lease(struct client *c, const struct keys *keys, const char *lane,
               bool *ret)
{
    const char *dot = strrchr(lane, '.');
    size_t n = dot ? (size_t)(dot - lane) + 1 : strlen(lane);
    struct lanes lanes = {.seen = LANES_AT_ONCE};
    int status = 0;

    *ret = false;
    for (int64_t from = 0; status == 0 && !*ret && from < LANES_MAX &&
                           lanes.seen == LANES_AT_ONCE;
         from += LANES_AT_ONCE) {
        status = ask_lanes(c, keys, from, &lanes);
        for (size_t i = 0; i < lanes.count && status == 0; i++)
            *ret |= strncmp(lanes.all[i].id, lane, n) == 0;
    }
    return status;
}

/* ---- all of it ---- */

static int look_at(struct search *s, enum place place)
{
    const struct keys *keys = s->keys;

    s->place = place;
    switch (place) {
    case PLACE_NONE:
        break;
    case PLACE_ACTIVE:
        return look_at_active(s);
    case PLACE_SCHEDULED:
        return look_at_set(s, keys->scheduled);
    case PLACE_RETRY:
        return look_at_set(s, keys->retry);
    case PLACE_DEAD:
        return look_at_set(s, keys->dead);
    case PLACE_OUTBOX:
        return look_at_list(s, keys->outbox, FIND_READY_MAX);
    case PLACE_READY:
        return look_at_list(s, keys->ready, FIND_READY_MAX);
    }
    return 0;
}

int find_job(struct client *c, const struct keys *keys, const char *id,
             unsigned places, enum place first, struct found *ret)
{
    struct search s = {.client = c,
                       .keys = keys,
                       .id = id,
                       .whole = (places & PLACES_WHOLE) != 0,
                       .found = ret};
    int status = 0;

    *ret = (struct found){0};
    if ((places & first) != 0)
        status = look_at(&s, first);
    for (unsigned p = 1; p <= PLACE_READY && status == 0 && !ret->job; p *= 2) {
        if ((places & p) != 0 && p != (unsigned)first)
            status = look_at(&s, (enum place)p);
    }
    return status;
}

/* Anybody may write to that set: what is no name is no queue. */
static void on_queues(void *arg, const struct reply *r)
{
    struct queues *q = arg;
    const struct reply *names = reply_at(r, 1);

    copy_cursor(q->cursor, reply_at(r, 0));
    for (size_t i = 0; i < reply_len(names) && q->count < QUEUES_MAX; i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(names, i), &p, &n) && text_is_name(p, n))
            q->names[q->count++] = mem_dup(p, n);
    }
}

static int ask_queues(struct client *c, const char *ns, struct queues *q)
{
    struct keys keys;
    int status;

    keys_init(&keys, ns, "any"); /* only the key of the set of queues */
    memcpy(q->cursor, "0", 2);
    do {
        struct args a = {0};
        args_str(&a, "SSCAN");
        args_str(&a, keys.queues);
        args_str(&a, q->cursor);
        args_str(&a, "COUNT");
        args_int(&a, SCAN_AT_ONCE);
        client_call(c, &a, on_queues, q);
        status = client_wait(c);
        args_done(&a);
    } while (status == 0 && strcmp(q->cursor, "0") != 0 &&
             q->count < QUEUES_MAX);
    return status;
}

static void on_there(void *arg, const struct reply *r)
{
    int64_t n = 0;

    *(bool *)arg = reply_int(r, &n) && n > 0;
}

/* Whether one of n queues keeps the job: the index of it, or n. */
static int find_kept(struct client *c, const char *ns, char *const *names,
                     size_t n, const char *id, size_t *ret)
{
    bool there[QUEUES_AT_ONCE] = {0};
    struct keys keys;
    char key[KEY_MAX];

    for (size_t i = 0; i < n; i++) {
        struct args a = {0};
        keys_init(&keys, ns, names[i]);
        if (!keys_job(&keys, id, key))
            continue;
        args_str(&a, "EXISTS");
        args_str(&a, key);
        client_call(c, &a, on_there, &there[i]);
        args_done(&a);
    }
    int status = client_wait(c);
    *ret = 0;
    while (*ret < n && !there[*ret])
        ++*ret;
    return status;
}

static void set_queue(struct job_name *name, const char *queue)
{
    snprintf(name->queue, sizeof(name->queue), "%s", queue);
}

static int find_in_queues(struct client *c, const char *ns,
                          const struct queues *q, struct job_name *name)
{
    int status = 0;

    for (size_t i = 0; i < q->count && status == 0; i += QUEUES_AT_ONCE) {
        size_t n = q->count - i, at;
        n = n > QUEUES_AT_ONCE ? QUEUES_AT_ONCE : n;
        status = find_kept(c, ns, q->names + i, n, name->id, &at);
        if (status == 0 && at < n) {
            set_queue(name, q->names[i + at]);
            return 0;
        }
    }
    for (size_t i = 0; i < q->count && status == 0; i++) {
        struct found found;
        struct keys keys;
        keys_init(&keys, ns, q->names[i]);
        status = find_job(c, &keys, name->id, PLACES_CHEAP, PLACE_NONE, &found);
        bool there = found.job != NULL;
        found_done(&found);
        if (there) {
            set_queue(name, q->names[i]);
            return 0;
        }
    }
    return status;
}

int find_queue(struct client *c, const char *ns, struct job_name *name)
{
    struct queues q = {.names = mem_new(QUEUES_MAX * sizeof(char *))};
    int status = ask_queues(c, ns, &q);

    if (status == 0)
        status = find_in_queues(c, ns, &q, name);
    for (size_t i = 0; i < q.count; i++)
        free(q.names[i]);
    free((void *)q.names);
    return status;
}
