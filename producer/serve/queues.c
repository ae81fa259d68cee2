/*
 * Queues: what waits where, how much may, and what became of it.
 *
 * Thread: see route.h.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "producer/bounds.h"
#include "producer/queue_sizes.h"
#include "producer/serve/body.h"
#include "producer/serve/query.h"
#include "producer/serve/request.h"
#include "producer/serve/rows.h"
#include "producer/serve/serve.h"
#include "producer/stats_rows.h"

enum { LISTED = 1000, LISTED_MAX = 1000, VALUE_MAX = 64 };

static void on_member(void *arg, const struct reply *r);

/* ---- all ---- */

/* Those that the token may use, behind the one that the cursor names. */
static void keep_usable(struct queue_names *list, const struct request *r,
                        const char *after)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->names[i], after) > 0 &&
            request_may_use(r, list->names[i]))
            list->names[kept++] = list->names[i];
        else
            free(list->names[i]);
    }
    list->count = kept;
}

static int write_some(struct client *c, const char *ns, struct out *out,
                      char *const *names, size_t n)
{
    struct queue_sizes *rows = mem_new(n * sizeof(*rows));
    int64_t now_ms;
    int status = queue_sizes_look(c, ns, names, n, rows, &now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        queue_sizes_out(out, &rows[i], now_ms);
    queue_sizes_done(rows, n);
    free(rows);
    return status;
}

static int write_all(struct client *c, const struct request *r,
                     const struct queue_names *list, size_t n, struct out *out)
{
    const char *ns = request_serve(r)->ns;
    int status = 0;

    for (size_t i = 0; i < n && status == 0; i += QUEUE_SIZES_AT_ONCE) {
        size_t some = n - i;
        if (some > QUEUE_SIZES_AT_ONCE)
            some = QUEUE_SIZES_AT_ONCE;
        status = write_some(c, ns, out, list->names + i, some);
    }
    return status;
}

static const char *const list_query[] = {"limit", "cursor", NULL};

/* last: behind it there are more; NULL: there are not. */
static void end_list(struct answer *a, const struct request *r,
                     const char *last)
{
    struct buf cursor = {0};

    if (!last) {
        buf_str(&a->body, ",\"cursor\":null");
        return;
    }
    cursor_append(&cursor, last, strlen(last));
    buf_printf(&a->body, ",\"cursor\":\"%s\"", cursor.data);
    answer_next(a, r, list_query, cursor.data);
    buf_done(&cursor);
}

static void answer_list(struct client *c, const struct request *r,
                        struct answer *a, const char *after, size_t limit)
{
    struct queue_names list = {0};
    int status = queue_names_find(&list, c, request_serve(r)->ns);

    keep_usable(&list, r, after);
    size_t n = list.count < limit ? list.count : limit;
    struct out *out = rows_begin(a, "queues", queue_sizes_columns);
    if (status == 0)
        status = write_all(c, r, &list, n, out);
    out_end(out);
    if (status == 0) {
        end_list(a, r, n < list.count ? list.names[n - 1] : NULL);
        rows_finish(a, 200);
    }
    queue_names_done(&list);
}

void look_queues(struct client *c, const struct request *r, struct answer *a)
{
    int64_t limit = LISTED;
    struct buf after = {0};

    if (!request_check_query(r, list_query, a) ||
        !query_int(r, "limit", 1, LISTED_MAX, &limit, a))
        return;
    const char *cursor = request_query(r, "cursor");
    if (cursor && !cursor_read(cursor, &after))
        (void)query_is_wrong(a, "cursor", "not one that was given out");
    else
        answer_list(c, r, a, after.data ? after.data : "", (size_t)limit);
    buf_done(&after);
}

/* ---- one ---- */

static const char *const no_query[] = {NULL};

/* "bounds":{…},"bounds_set":[…] */
static void append_bounds(struct buf *out, const struct bounds *b)
{
    const char *comma = "";

    buf_str(out, "\"bounds\":{");
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", queue_bounds[i].field);
        if (b->values[i] == QUEUE_BOUND_NONE)
            buf_str(out, "null");
        else
            buf_int(out, b->values[i]);
    }
    buf_str(out, "},\"bounds_set\":[");
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        if (!b->set[i])
            continue;
        buf_printf(out, "%s\"%s\"", comma, queue_bounds[i].field);
        comma = ",";
    }
    buf_char(out, ']');
}

static void on_member(void *arg, const struct reply *r)
{
    int64_t n = 0;

    if (reply_int(r, &n) && n > 0)
        *(bool *)arg = true;
}

/* It is in the set of queues, or has a config, or something is in it: whoever
 * pushes with RPUSH need not have named it. */
static int is_known(struct client *c, const struct queue_sizes *q, bool *ret)
{
    struct args a = {0};

    *ret =
        q->ready + q->active + q->scheduled + q->retry + q->dead + q->lanes > 0;
    args_str(&a, "SISMEMBER");
    args_str(&a, q->keys.queues);
    args_str(&a, q->keys.queue);
    client_call(c, &a, on_member, ret);
    args_clear(&a);
    args_str(&a, "EXISTS");
    args_str(&a, q->keys.config);
    client_call(c, &a, on_member, ret);
    args_done(&a);
    return client_wait(c);
}

void look_queue(struct client *c, const struct request *r, struct answer *a)
{
    struct queue_names name = {0};
    struct queue_sizes q;
    struct bounds bounds;
    int64_t now_ms;
    bool known = false;

    if (!request_check_query(r, no_query, a))
        return;
    queue_names_add(&name, request_param(r, "queue"));
    int status =
        queue_sizes_look(c, request_serve(r)->ns, name.names, 1, &q, &now_ms);
    if (status == 0)
        status = is_known(c, &q, &known);
    if (status == 0 && known)
        status = bounds_set(c, &q.keys, NULL, &bounds);
    if (status == 0 && !known) {
        answer_problem(a, 404, "not-found", "%s: no such queue is known",
                       q.keys.queue);
    } else if (status == 0) {
        struct out *out = row_begin(a, queue_sizes_columns);
        queue_sizes_out(out, &q, now_ms);
        row_end(out, a);
        buf_char(&a->body, ',');
        append_bounds(&a->body, &bounds);
        rows_finish(a, 200);
    }
    queue_sizes_done(&q, 1);
    queue_names_done(&name);
}

/* ---- its bounds ---- */

struct wish {
    struct json_span bounds[QUEUE_BOUNDS]; /* p NULL: not given */
};

/* A number as it is; a text as belt queues set takes it; null takes away. */
static void read_bound(struct body *b, int i, struct json_span value,
                       int64_t *ret)
{
    const struct queue_bound *bound = &queue_bounds[i];
    enum json_kind kind = json_kind(value);
    char text[VALUE_MAX], pointer[VALUE_MAX];
    struct errbuf eb = {""};
    size_t n;

    snprintf(pointer, sizeof(pointer), "/%s", bound->field);
    if (kind == JSON_IS_NULL) {
        *ret = QUEUE_BOUND_NONE;
    } else if (kind == JSON_IS_NUMBER) {
        int64_t number;
        if (json_int_value(value, &number) != 0 || number < bound->min ||
            number > bound->max)
            body_wrong(b, pointer,
                       "has to be a whole number from %lld to %lld, or null",
                       (long long)bound->min, (long long)bound->max);
        else
            *ret = number;
    } else if (kind != JSON_IS_STRING ||
               json_string_copy(value, text, sizeof(text), &n) != 0) {
        body_wrong(b, pointer, "has to be a number, a text, or null");
    } else if (queue_bound_read(bound, text, ret, &eb) != 0) {
        body_wrong(b, pointer, "%s", eb.text);
    }
}

static void read_wish(struct body *b, const struct request *r,
                      int64_t wanted[QUEUE_BOUNDS])
{
    struct body_member members[QUEUE_BOUNDS + 1] = {{0}};
    struct wish w = {0};

    for (size_t i = 0; i < QUEUE_BOUNDS; i++)
        members[i] = (struct body_member){
            .name = queue_bounds[i].field,
            .type = MEMBER_JSON,
            .offset = offsetof(struct wish, bounds) + i * sizeof(w.bounds[0])};
    body_read(b, request_body(r), members, &w);
    for (int i = 0; i < QUEUE_BOUNDS; i++) {
        wanted[i] = QUEUE_BOUND_UNSAID;
        if (w.bounds[i].p)
            read_bound(b, i, w.bounds[i], &wanted[i]);
    }
}

void look_queue_set(struct client *c, const struct request *r, struct answer *a)
{
    int64_t wanted[QUEUE_BOUNDS];
    struct bounds bounds;
    struct body b = {0};
    struct keys keys;

    if (!request_check_query(r, no_query, a))
        return;
    read_wish(&b, r, wanted);
    bool wrong = body_is_wrong(&b, a);
    body_done(&b);
    if (wrong)
        return;
    keys_init(&keys, request_serve(r)->ns, request_param(r, "queue"));
    if (bounds_set(c, &keys, wanted, &bounds) != 0)
        return;
    buf_printf(&a->body, "{\"queue\":\"%s\",", keys.queue);
    append_bounds(&a->body, &bounds);
    rows_finish(a, 200);
}

/* ---- stats ---- */

void look_stats(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {"minutes", "by", "total", NULL};
    int64_t minutes = 60, by_ms = STATS_MINUTE_MS;
    bool total = false;
    struct stats s = {0};
    struct keys keys;

    if (!request_check_query(r, names, a) ||
        !query_int(r, "minutes", 1, STATS_MINUTES_MAX, &minutes, a) ||
        !query_span(r, "by", STATS_MINUTE_MS,
                    STATS_MINUTES_MAX * STATS_MINUTE_MS, &by_ms, a) ||
        !query_bool(r, "total", &total, a))
        return;
    if (by_ms % STATS_MINUTE_MS != 0) {
        (void)query_is_wrong(a, "by", "has to be whole minutes");
        return;
    }
    if (total && (request_query(r, "minutes") || request_query(r, "by"))) {
        (void)query_is_wrong(a, "total", "goes with neither minutes nor by");
        return;
    }
    keys_init(&keys, request_serve(r)->ns, request_param(r, "queue"));
    int status = total ? stats_total(&s, c, &keys)
                       : stats_minutes(&s, c, &keys, minutes, by_ms);
    if (status == 0) {
        buf_printf(&a->body, "{\"queue\":\"%s\",\"stats\":", keys.queue);
        struct out *out = rows_go_on(a, stats_columns);
        stats_out(out, &s, false);
        out_end(out);
        rows_finish(a, 200);
    }
    stats_done(&s);
}
