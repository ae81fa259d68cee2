/*
 * Pausing over HTTP, and letting go on.
 *
 * Thread: see route.h.
 */
#include <string.h>

#include "common/base/clock.h"
#include "producer/pausing.h"
#include "producer/serve/body.h"
#include "producer/serve/query.h"
#include "producer/serve/request.h"
#include "producer/serve/rows.h"
#include "producer/serve/serve.h"
#include "producer/serve/server.h"

enum {
    WAIT_MS = 10 * 1000, /* for the lanes, unless ?wait= says */
    WAIT_MAX_MS = 60 * 1000,
    STEP_MS = 500, /* so soon a stop is seen */
    LANES_TOLD = 20
};

struct wish {
    int64_t for_ms;
    const char *reason;
};

static const struct body_member members[] = {
    {"for", MEMBER_SPAN, offsetof(struct wish, for_ms), 1, QUEUE_WAIT_MAX_MS},
    {"reason", MEMBER_TEXT, offsetof(struct wish, reason), 0, PAUSE_REASON_MAX},
    {0},
};

/* Those that have not heard, as many as anybody would read. */
static void append_lanes(struct buf *out, const struct lanes *l)
{
    size_t named = 0;

    buf_char(out, '[');
    for (size_t i = 0; i < l->count && named < LANES_TOLD; i++) {
        if (l->versions[i] >= l->version)
            continue;
        if (named++ > 0)
            buf_char(out, ',');
        buf_json_string(out, l->ids[i], strlen(l->ids[i]));
    }
    buf_char(out, ']');
}

static void answer_pause(struct answer *a, const struct pausing *p)
{
    const char *state = p->done ? "paused" : p->lifted ? "resumed" : "pausing";

    buf_printf(&a->body,
               "{\"queue\":\"%s\",\"state\":\"%s\",\"complied\":%s,"
               "\"paused_until\":",
               p->keys.queue, state, p->done ? "true" : "false");
    if (p->until_ms > 0)
        buf_int(&a->body, p->until_ms);
    else
        buf_str(&a->body, "null");
    buf_printf(&a->body,
               ",\"waiting\":%lld,\"lanes\":", (long long)p->lanes.behind);
    append_lanes(&a->body, &p->lanes);
    rows_finish(a, p->done || p->lifted ? 200 : 202);
}

/* Until all have heard, or it is over, or the server is to stop. */
static int wait_for_lanes(struct pausing *p, const struct serve *s,
                          int64_t deadline_ms)
{
    int status = 0;

    for (;;) {
        int64_t now_ms = clock_ms(), step_ms = now_ms + STEP_MS;
        status =
            pausing_wait(p, 1, step_ms < deadline_ms ? step_ms : deadline_ms);
        if (status != 0 || p->done || p->lifted || clock_ms() >= deadline_ms ||
            server_is_stopping(s->server))
            return status;
    }
}

static void pause_one(struct client *c, const struct request *r,
                      struct answer *a, const struct pause_wish *w,
                      int64_t wait_ms)
{
    struct pausing p;
    int64_t deadline_ms = clock_ms() + wait_ms;

    pausing_init(&p, c, request_serve(r)->ns, request_param(r, "queue"));
    int status = pausing_pause(&p, 1, w);
    if (status == 0)
        status = wait_for_lanes(&p, request_serve(r), deadline_ms);
    if (status == 0)
        answer_pause(a, &p);
    pausing_done(&p);
}

void look_pause(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {"wait", NULL};
    struct wish w = {0};
    struct body b = {0};
    int64_t wait_ms = WAIT_MS;

    if (!request_check_query(r, names, a) ||
        !query_span(r, "wait", 0, WAIT_MAX_MS, &wait_ms, a))
        return;
    body_read(&b, request_body(r), members, &w);
    if (!body_is_wrong(&b, a)) {
        const struct pause_wish wish = {
            .for_ms = w.for_ms, .reason = w.reason, .by = request_who(r)};
        pause_one(c, r, a, &wish, wait_ms);
    }
    body_done(&b);
}

void look_resume(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {NULL};
    struct pausing p;

    if (!request_check_query(r, names, a))
        return;
    pausing_init(&p, c, request_serve(r)->ns, request_param(r, "queue"));
    if (pausing_resume(&p, 1) == 0) {
        buf_printf(&a->body, "{\"queue\":\"%s\",\"state\":\"%s\"", p.keys.queue,
                   p.removed > 0 ? "resumed" : "not paused");
        rows_finish(a, 200);
    }
    pausing_done(&p);
}
