/*
 * Periodic jobs: shown, paused, run and removed. Putting one there is in
 * cron_put.c.
 *
 * Thread: see route.h.
 */
#include "producer/serve/cron.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/safe.h"
#include "common/base/text.h"
#include "producer/cron_rows.h"
#include "producer/serve/query.h"
#include "producer/serve/rows.h"
#include "producer/serve/serve.h"

enum { LISTED = 100, LISTED_MAX = 1000, NEXT = 5, NEXT_MAX = 1000 };
#define LISTED_BYTES ((size_t)8 << 20)

static const char *const no_query[] = {NULL};

/* ---- all of a queue ---- */

static const char *const list_query[] = {"limit", "cursor", NULL};

static void answer_more(struct answer *a, const struct request *r,
                        const struct cron_page *p)
{
    struct buf cursor = {0};
    char text[24];

    if (p->cursor == 0) {
        buf_str(&a->body, ",\"cursor\":null");
        return;
    }
    int n = snprintf(text, sizeof(text), "%" PRIu64, p->cursor);
    cursor_append(&cursor, text, (size_t)n);
    buf_printf(&a->body, ",\"cursor\":\"%s\"", cursor.data);
    answer_next(a, r, list_query, cursor.data);
    buf_done(&cursor);
}

static int list(struct cron_page *p, struct answer *a, int64_t limit)
{
    struct out *out = rows_go_on(a, cron_columns);
    int64_t now_ms, n = 0;
    int status = client_now(p->client, &now_ms);

    while (status == 0) {
        status = cron_page_read(p, limit - n);
        for (size_t i = 0; i < p->count && status == 0; i++)
            cron_row_out(out, &p->keys, &p->rows[i], now_ms);
        n += (int64_t)p->count;
        if (p->cursor == 0 || n >= limit || a->body.len >= LISTED_BYTES)
            break;
    }
    out_end(out);
    return status;
}

static bool read_cursor(const struct request *r, uint64_t *ret,
                        struct answer *a)
{
    const char *cursor = request_query(r, "cursor");
    struct buf text = {0};
    bool right = true;

    if (cursor) {
        right = cursor_read(cursor, &text) &&
                strspn(text.data, "0123456789") == text.len;
        *ret = right ? strtoull(text.data, NULL, 10) : 0;
        buf_done(&text);
    }
    return right || query_is_wrong(a, "cursor", "not one that was given out");
}

void look_crons(struct client *c, const struct request *r, struct answer *a)
{
    struct cron_page p = {.client = c};
    int64_t limit = LISTED;

    if (!request_check_query(r, list_query, a) ||
        !query_int(r, "limit", 1, LISTED_MAX, &limit, a) ||
        !read_cursor(r, &p.cursor, a))
        return;
    keys_init(&p.keys, request_serve(r)->ns, request_param(r, "queue"));
    buf_printf(&a->body, "{\"queue\":\"%s\",\"cron\":", p.keys.queue);
    if (list(&p, a, limit) == 0) {
        answer_more(a, r, &p);
        rows_finish(a, 200);
    }
    cron_page_done(&p);
}

/* ---- one ---- */

bool cron_begin(struct cron_client *cc, struct client *c,
                const struct request *r, struct answer *a)
{
    const char *name = request_param(r, "name");

    *cc = (struct cron_client){0};
    if (!cron_is_name(name, strlen(name))) {
        answer_problem(a, 400, "invalid-path",
                       "%s: no name of an entry: up to %d of A-Z a-z 0-9 . _ "
                       "-, a letter or digit first",
                       name, CRON_NAME_MAX_LEN);
        return false;
    }
    cron_client_init(cc, c, request_serve(r)->ns, request_param(r, "queue"));
    return true;
}

static int append_instants(struct cron_client *cc, struct answer *a,
                           const char *name, int64_t now_ms, int64_t count)
{
    struct cron_entry *e = NULL;
    struct errbuf eb;
    int rc = cron_entry_parse(name, cc->was, cc->was_len, &e, &eb);
    struct out *out = rows_go_on(a, cron_next_columns);

    if (rc == 0)
        rc = cron_next_out(out, &e->cron, e->zone,
                           cron_client_from(cc, e, now_ms), count, &eb);
    out_end(out);
    cron_entry_free(e);
    return rc;
}

int cron_answer(struct cron_client *cc, const struct request *r, int status,
                int64_t count, struct answer *a)
{
    const char *name = request_param(r, "name");
    int64_t now_ms;
    int rc = cron_client_read(cc, name);

    if (rc == 0)
        rc = client_now(cc->client, &now_ms);
    if (rc != 0)
        return rc;
    if (!cc->was) {
        answer_problem(a, 404, "not-found", "%s: there is no such entry in %s",
                       name, cc->keys.queue);
        return 0;
    }
    struct out *out = row_begin(a, cron_columns);
    cron_client_out(cc, name, out, now_ms);
    row_end(out, a);
    buf_str(&a->body, ",\"entry\":");
    if (json_check(cc->was, cc->was_len, NULL) == 0)
        safe_append_json(&a->body, cc->was, cc->was_len);
    else
        buf_str(&a->body, "null");
    buf_str(&a->body, ",\"running\":");
    if (cc->holder[0] != '\0')
        buf_json_string(&a->body, cc->holder, strlen(cc->holder));
    else
        buf_str(&a->body, "null");
    buf_str(&a->body, ",\"upcoming\":");
    (void)append_instants(cc, a, name, now_ms, count); /* the row says why */
    rows_finish(a, status);
    return 0;
}

void look_cron(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {"next", NULL};
    struct cron_client cc;
    int64_t count = NEXT;

    if (!request_check_query(r, names, a) ||
        !query_int(r, "next", 0, NEXT_MAX, &count, a) ||
        !cron_begin(&cc, c, r, a))
        return;
    (void)cron_answer(&cc, r, 200, count, a);
    cron_client_done(&cc);
}

/* ---- what is done to it ---- */

bool cron_lost_race(const struct cron_client *cc, struct answer *a)
{
    if (cc->stale)
        answer_problem(a, 409, "conflict",
                       "others change it all the time; nothing was changed");
    return cc->stale;
}

void look_cron_delete(struct client *c, const struct request *r,
                      struct answer *a)
{
    struct cron_client cc;

    if (!request_check_query(r, no_query, a) || !cron_begin(&cc, c, r, a))
        return;
    if (cron_client_remove(&cc, request_param(r, "name")) == 0)
        a->status = 204;
    else
        (void)cron_lost_race(&cc, a);
    cron_client_done(&cc);
}

static void pause_one(struct client *c, const struct request *r,
                      struct answer *a, bool pause)
{
    struct cron_client cc;

    if (!request_check_query(r, no_query, a) || !cron_begin(&cc, c, r, a))
        return;
    if (cron_client_pause(&cc, request_param(r, "name"), pause) == 0)
        (void)cron_answer(&cc, r, 200, NEXT, a);
    else
        (void)cron_lost_race(&cc, a);
    cron_client_done(&cc);
}

void look_cron_pause(struct client *c, const struct request *r,
                     struct answer *a)
{
    pause_one(c, r, a, true);
}

void look_cron_resume(struct client *c, const struct request *r,
                      struct answer *a)
{
    pause_one(c, r, a, false);
}

/* What is left empty was told. */
static void answer_run(struct answer *a, const struct cron_client *cc,
                       const struct cron_run *run)
{
    const char *queue = cc->keys.queue;

    if (run->held) {
        answer_problem(a, 409, "held",
                       "%s has not ended, and the entry skips meanwhile",
                       run->holder);
        answer_add_text(a, "holder", run->holder);
    } else if (run->err == ERR_FULL) {
        answer_problem(a, 429, "queue-full", "%s is full", queue);
        answer_header(a, "Retry-After", "1");
    } else if (run->err == ERR_UNKNOWN) {
        answer_problem(a, 503, "outcome-unknown",
                       "the connection to Redis was lost before it answered: "
                       "%s may have been pushed",
                       run->id);
        answer_add_text(a, "id", run->id);
    } else if (run->err == 0) {
        answer_header(a, "Location", "/v1/queues/%s/jobs/%s", queue, run->id);
        buf_printf(&a->body, "{\"queue\":\"%s\",\"id\":\"%s\"", queue, run->id);
        rows_finish(a, 202);
    }
}

void look_cron_run(struct client *c, const struct request *r, struct answer *a)
{
    const char *name = request_param(r, "name");
    struct cron_client cc;
    struct cron_entry *e = NULL;
    struct cron_run run;

    if (!request_check_query(r, no_query, a) || !cron_begin(&cc, c, r, a))
        return;
    int status = cron_client_read(&cc, name);
    if (status == 0)
        status = cron_client_parse(&cc, name, &e);
    if (status == 0) {
        (void)cron_client_run(&cc, e, &run);
        answer_run(a, &cc, &run);
    }
    cron_entry_free(e);
    cron_client_done(&cc);
}
