/*
 * Dead jobs: shown, and summed up.
 *
 * What is read of a set in one call is bounded, and so is what an answer
 * holds: the cursor goes on where the call stopped, found or not.
 *
 * Thread: see route.h.
 */
#include "producer/serve/dead.h"

#include "producer/serve/place.h"
#include "producer/serve/query.h"
#include "producer/serve/rows.h"
#include "producer/serve/serve.h"
#include "producer/summary.h"

enum {
    LISTED = 100,
    LISTED_MAX = 1000,
    LOOKED_AT_MAX = 10000, /* of a listing: jobs, whether shown or not */
    SUMMED_UP_MAX = 200000
};
#define LISTED_BYTES ((size_t)8 << 20) /* about, of a listing */
#define LOOKED_AT_BYTES ((size_t)32 << 20)
#define SUMMED_UP_BYTES ((size_t)256 << 20)

/* ---- what the three have in common ---- */

void dead_select(struct select *s, struct client *c, const struct request *r,
                 const struct select_plan *plan, struct options *o, void *arg)
{
    *o = (struct options){
        .ns = request_serve(r)->ns, .state = "dead", .format = OUT_JSON};
    *s = (struct select){
        .o = o, .plan = plan, .client = c, .set = QUEUE_DEAD, .arg = arg};
    keys_init(&s->keys, o->ns, request_param(r, "queue"));
    s->filter = (struct filter){.since_ms = INT64_MIN, .until_ms = INT64_MAX};
}

void dead_cursor_append(struct buf *out, const struct select_part *part)
{
    struct buf text = {0};

    place_append(&text, &part->place);
    cursor_append(out, text.data, text.len);
    buf_done(&text);
}

bool dead_cursor_read(const char *cursor, struct select_part *part)
{
    struct buf text = {0};

    part->go_on = cursor_read(cursor, &text) &&
                  place_read(text.data, text.len, &part->place);
    buf_done(&text);
    return part->go_on;
}

static bool read_filter(const struct request *r, struct filter *f,
                        struct answer *a)
{
    struct errbuf eb;
    const char *wrong;

    f->type = request_query(r, "type");
    f->error = request_query(r, "error");
    if (filter_times(f, request_query(r, "since"), request_query(r, "until"),
                     &wrong, &eb) == 0)
        return true;
    return query_is_wrong(a, wrong, "%s", eb.text);
}

/* ---- a listing ---- */

static int list(struct select *s, const struct selected *jobs, unsigned n)
{
    const struct answer *a = s->arg;

    for (unsigned i = 0; i < n; i++) {
        (void)select_show(s, &jobs[i]);
        if (a->body.len >= LISTED_BYTES) {
            select_enough(s, &jobs[i]);
            break;
        }
    }
    return 0;
}

static const char *const list_query[] = {"type",  "error",  "since", "until",
                                         "limit", "cursor", NULL};

static bool read_cursor(const struct request *r, struct select_part *part,
                        struct answer *a)
{
    const char *cursor = request_query(r, "cursor");

    if (!cursor || dead_cursor_read(cursor, part))
        return true;
    return query_is_wrong(a, "cursor", "not one that was given out");
}

/* "next" in the body, too: not all clients read Link. */
static void answer_more(struct answer *a, const struct request *r,
                        const struct select_part *part)
{
    struct buf cursor = {0};

    buf_printf(&a->body,
               ",\"scanned\":%lld,\"cursor\":", (long long)part->looked);
    if (part->more) {
        dead_cursor_append(&cursor, part);
        buf_printf(&a->body, "\"%s\"", cursor.data);
        answer_next(a, r, list_query, cursor.data);
        buf_done(&cursor);
    } else {
        buf_str(&a->body, "null");
    }
}

void look_dead(struct client *c, const struct request *r, struct answer *a)
{
    static const struct select_plan plan = {
        .verb = "list", .past = "listed", .down = true, .act = list};
    struct select_part part = {.look_max = LOOKED_AT_MAX,
                               .bytes_max = LOOKED_AT_BYTES};
    struct options o;
    struct select s;

    dead_select(&s, c, r, &plan, &o, a);
    o.limit = LISTED;
    if (!request_check_query(r, list_query, a) ||
        !read_filter(r, &s.filter, a) || !read_cursor(r, &part, a) ||
        !query_int(r, "limit", 1, LISTED_MAX, &o.limit, a))
        return;
    buf_printf(&a->body, "{\"queue\":\"%s\",\"jobs\":", s.keys.queue);
    s.rows = job_rows_new_to(&o, false, &a->body);
    int status = select_part(&s, &part);
    job_rows_end(s.rows);
    if (status != 0)
        return;
    answer_more(a, r, &part);
    rows_finish(a, 200);
}

/* ---- a summary ---- */

void look_dead_summary(struct client *c, const struct request *r,
                       struct answer *a)
{
    static const char *const names[] = {"type", "error", "since", "until",
                                        NULL};
    static const struct select_plan plan = {.verb = "sum up",
                                            .past = "summed up",
                                            .down = true,
                                            .act = summary_add};
    struct select_part part = {.look_max = SUMMED_UP_MAX,
                               .bytes_max = SUMMED_UP_BYTES};
    struct options o;
    struct select s;

    dead_select(&s, c, r, &plan, &o, NULL);
    if (!request_check_query(r, names, a) || !read_filter(r, &s.filter, a))
        return;
    struct summary *sum = summary_new();
    s.arg = sum;
    if (select_part(&s, &part) == 0) {
        buf_printf(&a->body, "{\"queue\":\"%s\",\"groups\":", s.keys.queue);
        struct out *out = rows_go_on(a, summary_columns);
        summary_out(sum, out, false);
        out_end(out);
        buf_printf(&a->body, ",\"scanned\":%lld,\"complete\":%s",
                   (long long)part.looked, part.more ? "false" : "true");
        rows_finish(a, 200);
    }
    summary_free(sum);
}
