/*
 * Dead jobs: requeued or deleted, a bounded number a call.
 *
 *     body ──► ids or filter ──part of the set──► script calls ──► counts,
 * place
 *
 * A call that is not through says where it stopped. The cursor has the end
 * that the set had when the first call began, so that a job that is requeued,
 * fails and dies again while others go on is left, as by the command.
 *
 * Thread: see route.h.
 */
#include "producer/serve/dead.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "producer/remove.h"
#include "producer/requeue.h"
#include "producer/serve/body.h"
#include "producer/serve/rows.h"
#include "producer/serve/serve.h"

enum {
    LIMIT_MAX = 10000,
    IDS_MAX = 1000,
    LOOKED_AT_MAX = 100000, /* with a filter, in a call */
    SEARCHED_MAX = 1000000, /* for ids */
    PROBLEMS_MAX = 20
};

#define LOOKED_AT_BYTES ((size_t)128 << 20)
#define SEARCHED_BYTES ((size_t)1 << 30)

struct wish {
    struct body_texts ids;
    const char *type, *error, *since, *until, *cursor;
    bool all, dry_run, raw;
    int64_t limit;
};

#define AT(member) offsetof(struct wish, member)
#define MEMBERS                                                                \
    {"ids", MEMBER_TEXTS, AT(ids), 0, IDS_MAX},                                \
        {"type", MEMBER_TEXT, AT(type), 0, 0},                                 \
        {"error", MEMBER_TEXT, AT(error), 0, 0},                               \
        {"since", MEMBER_TEXT, AT(since), 0, 0},                               \
        {"until", MEMBER_TEXT, AT(until), 0, 0},                               \
        {"all", MEMBER_BOOL, AT(all), 0, 0},                                   \
        {"limit", MEMBER_INT, AT(limit), 1, LIMIT_MAX},                        \
        {"dry_run", MEMBER_BOOL, AT(dry_run), 0, 0},                           \
    {                                                                          \
        "cursor", MEMBER_TEXT, AT(cursor), 0, 0                                \
    }

static const struct body_member requeue_members[] = {
    MEMBERS, {"raw", MEMBER_BOOL, AT(raw), 0, 0}, {0}};
static const struct body_member delete_members[] = {MEMBERS, {0}};

/* What a call does, and what it tells. */
struct act {
    struct buf problems; /* the first ones, as JSON, commas between */
    unsigned count;      /* of them */
};

/* ---- what is done ---- */

static void on_left(struct select *s, const struct selected *job,
                    const char *why)
{
    struct act *act = s->arg;
    const char *id = job->job ? job->job->id : "";

    if (act->count++ >= PROBLEMS_MAX)
        return;
    buf_str(&act->problems, act->count > 1 ? ",{\"id\":" : "{\"id\":");
    buf_json_string(&act->problems, id, strlen(id));
    buf_str(&act->problems, ",\"why\":");
    buf_json_string(&act->problems, why, strlen(why));
    buf_char(&act->problems, '}');
}

static int requeue(struct select *s, const struct selected *jobs, unsigned n)
{
    return requeue_jobs(s, jobs, n, NULL);
}

static int count(struct select *s, const struct selected *jobs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        select_done(s, &jobs[i], false);
    return 0;
}

static const struct select_plan requeue_plan = {
    .verb = "requeue", .past = "requeued", .act = requeue, .on_left = on_left};
static const struct select_plan delete_plan = {.verb = "delete",
                                               .past = "deleted",
                                               .act = remove_jobs,
                                               .on_left = on_left};
static const struct select_plan count_plan = {
    .verb = "count", .past = "counted", .looks = true, .act = count};

/* ---- what is wanted ---- */

static void check_ids(struct body *b, const struct wish *w)
{
    char pointer[32];

    if (w->ids.given && w->ids.count == 0)
        body_wrong(b, "/ids", "empty");
    for (size_t i = 0; i < w->ids.count; i++) {
        const char *id = w->ids.texts[i];
        if (text_is_id(id, strlen(id)))
            continue;
        snprintf(pointer, sizeof(pointer), "/ids/%zu", i);
        body_wrong(b, pointer, "not the id of a job");
    }
}

static void read_wish(struct body *b, const struct wish *w, struct filter *f,
                      struct select_part *part)
{
    char pointer[16];
    const char *wrong;
    struct errbuf eb;

    f->type = w->type;
    f->error = w->error;
    if (filter_times(f, w->since, w->until, &wrong, &eb) != 0) {
        snprintf(pointer, sizeof(pointer), "/%s", wrong);
        body_wrong(b, pointer, "%s", eb.text);
    }
    check_ids(b, w);
    if (w->ids.given && (filter_is_set(f) || w->all))
        body_wrong(b, "/ids", "go with neither a filter nor all");
    if (!w->ids.given && !filter_is_set(f) && !w->all)
        body_wrong(b, "", "which jobs? ids, or a filter, or all");
    if (w->cursor && !dead_cursor_read(w->cursor, part))
        body_wrong(b, "/cursor", "not one that was given out");
}

static void answer_counts(struct answer *a, const struct select *s,
                          const struct select_part *part, bool dry_run,
                          const struct act *act)
{
    struct buf *out = &a->body;

    buf_printf(out,
               "{\"queue\":\"%s\",\"done\":%lld,\"left\":%lld,"
               "\"missing\":%lld,\"dry_run\":%s,\"more\":%s,\"cursor\":",
               s->keys.queue, (long long)s->done, (long long)s->left,
               (long long)s->missing, dry_run ? "true" : "false",
               part->more ? "true" : "false");
    if (part->more) {
        buf_char(out, '"');
        dead_cursor_append(out, part);
        buf_char(out, '"');
    } else {
        buf_str(out, "null");
    }
    buf_str(out, ",\"problems\":[");
    buf_append(out, act->problems.data, act->problems.len);
    buf_char(out, ']');
    rows_finish(a, 200);
}

static void do_it(struct client *c, const struct request *r, struct answer *a,
                  const struct select_plan *plan,
                  const struct body_member *members)
{
    struct wish w = {.limit = LIMIT_MAX};
    struct select_part part = {.look_max = LOOKED_AT_MAX,
                               .bytes_max = LOOKED_AT_BYTES};
    struct act act = {{0}, 0};
    struct body b = {0};
    struct options o;
    struct select s;
    int status;

    dead_select(&s, c, r, plan, &o, &act);
    body_read(&b, request_body(r), members, &w);
    read_wish(&b, &w, &s.filter, &part);
    if (!body_is_wrong(&b, a)) {
        o.limit = w.limit;
        o.raw = w.raw;
        if (w.dry_run)
            s.plan = &count_plan;
        if (w.ids.given) {
            part.look_max = SEARCHED_MAX;
            part.bytes_max = SEARCHED_BYTES;
            status = select_part_ids(&s, w.ids.texts, w.ids.count, &part);
        } else {
            status = select_part(&s, &part);
        }
        if (status == 0)
            answer_counts(a, &s, &part, w.dry_run, &act);
    }
    buf_done(&act.problems);
    body_done(&b);
}

void look_dead_requeue(struct client *c, const struct request *r,
                       struct answer *a)
{
    static const char *const names[] = {NULL};

    if (request_check_query(r, names, a))
        do_it(c, r, a, &requeue_plan, requeue_members);
}

void look_dead_delete(struct client *c, const struct request *r,
                      struct answer *a)
{
    static const char *const names[] = {NULL};

    if (request_check_query(r, names, a))
        do_it(c, r, a, &delete_plan, delete_members);
}
