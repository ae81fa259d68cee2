/*
 * Jobs: what is asked about one job.
 *
 * Thread: see route.h.
 */
#include "producer/serve/job_answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/json.h"
#include "producer/failure.h"
#include "producer/follow.h"
#include "producer/log_rows.h"
#include "producer/serve/query.h"
#include "producer/serve/side.h"
#include "producer/serve/wait.h"

#define ND_JSON "application/x-ndjson"

static const char *const no_names[] = {NULL};

/* ---- how it stands, on the loop ---- */

struct ask {
    struct request *request; /* owned */
    int64_t wait_ms;
};

static void on_hash(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct ask ask = *(struct ask *)arg;
    struct serve *s = request_serve(ask.request);
    struct answer a = {0};
    struct kept k = {0};

    free(arg);
    if (err != 0 || reply_is_error(r)) {
        answer_call_failed(&a, err, r);
        request_answer(ask.request, &a);
        return;
    }
    kept_read(&k, r);
    if (!k.values[KEPT_state])
        side_look(s->side, ask.request, look_job);
    else if (ask.wait_ms > 0 && !kept_is_over(&k))
        waits_add(s->waits, ask.request, ask.wait_ms);
    else
        job_tell(ask.request, &k);
    kept_done(&k);
}

/* Returns 0, or ERR_REFUSED if the connection is not up. */
static int ask_news(struct request *r, int64_t wait_ms) ON_LOOP
{
    const struct serve *s = request_serve(r);
    struct ask *ask = mem_new(sizeof(*ask));
    struct args args = {0};
    struct job_name name;
    struct keys keys;
    char key[KEY_MAX];

    *ask = (struct ask){r, wait_ms};
    request_job_name(r, &name);
    keys_init(&keys, s->ns, name.queue);
    (void)keys_job(&keys, name.id, key); /* a valid id fits */
    kept_args(key, &args);
    int rc = conn_call(s->conn, &args, clock_ms() + s->o->redis_timeout_ms,
                       false, on_hash, ask);
    args_done(&args);
    if (rc != 0)
        free(ask);
    return rc;
}

void serve_job(struct request *r)
{
    static const char *const names[] = {"wait", NULL};
    struct answer a = {0};
    int64_t wait_ms = 0;

    if (!request_check_query(r, names, &a) || !job_wait_ms(r, &wait_ms, &a) ||
        !serve_has_redis(request_serve(r), &a)) {
        request_answer(r, &a);
        return;
    }
    int rc = ask_news(r, wait_ms);
    if (rc == 0)
        return;
    answer_call_failed(&a, rc, NULL);
    request_answer(r, &a);
}

/* ---- its result ---- */

static void give_result(struct answer *a, const struct kept *k)
{
    const char *p = k->values[KEPT_result];
    size_t n = k->lens[KEPT_result];

    if (n == 0) { /* a handler that said nothing leaves an empty text */
        a->status = 204;
        return;
    }
    a->status = 200;
    buf_append(&a->body, p, n);
    if (json_check(p, n, NULL) == 0)
        a->content_type = "application/json";
    else if (text_utf8_error(p, n) == n)
        a->content_type = "text/plain; charset=utf-8";
    else
        a->content_type = "application/octet-stream";
}

static void tell_failed(struct answer *a, const struct request *r,
                        const struct kept *k)
{
    struct buf error = {0};

    if (k->values[KEPT_error])
        failure_append_text(k->values[KEPT_error], k->lens[KEPT_error], &error);
    answer_problem(a, 409, "no-result", "%s/%s: %s%s%s",
                   request_param(r, "queue"), request_param(r, "id"),
                   k->values[KEPT_state], error.len > 0 ? ": " : "",
                   error.len > 0 ? error.data : "");
    buf_done(&error);
}

static int ask_kept(struct client *c, const struct request *r, struct kept *k)
{
    struct keys keys;

    keys_init(&keys, request_serve(r)->ns, request_param(r, "queue"));
    kept_ask(c, &keys, request_param(r, "id"), k);
    return client_wait(c);
}

void look_result(struct client *c, const struct request *r, struct answer *a)
{
    struct kept k = {0};

    if (!request_check_query(r, no_names, a) || ask_kept(c, r, &k) != 0) {
        kept_done(&k);
        return;
    }
    if (!k.values[KEPT_state]) {
        answer_problem(a, 404, "not-found",
                       "%s/%s: not kept: only a job that was pushed with "
                       "\"keep\" has a result, for that long",
                       request_param(r, "queue"), request_param(r, "id"));
    } else if (kept_is(&k, "done")) {
        give_result(a, &k);
    } else if (kept_is_over(&k)) {
        tell_failed(a, r, &k);
    } else {
        answer_header(a, "Retry-After", "1");
        answer_problem(a, 409, "not-ended", "%s/%s: %s: it has not ended",
                       request_param(r, "queue"), request_param(r, "id"),
                       k.values[KEPT_state]);
    }
    kept_done(&k);
}

/* ---- its log ---- */

struct log_page {
    struct out *out; /* owned */
    int64_t after;   /* the last line that is known; -1: not said */
    int64_t left;    /* lines that may still be shown */
    int64_t first, last;
    bool absent;
};

static bool on_line(void *arg, const struct log_line *line);
static void on_absent(void *arg, bool seen);

static bool on_line(void *arg, const struct log_line *line)
{
    struct log_page *page = arg;

    if (line->n <= page->after)
        return true;
    if (page->left == 0)
        return false;
    page->left--;
    if (page->first == 0)
        page->first = line->n;
    page->last = line->n;
    return log_row_put(page->out, line);
}

static void on_absent(void *arg, bool seen)
{
    (void)seen;
    ((struct log_page *)arg)->absent = true;
}

static bool wants_ndjson(const struct request *r)
{
    const char *accept = request_header(r, "Accept");

    return accept && (strcasestr(accept, ND_JSON) ||
                      strcasestr(accept, "application/jsonl"));
}

/* Behind the lines: how many were lost between, and where to go on. */
static void end_page(struct answer *a, const struct request *r,
                     const struct log_page *page)
{
    int64_t last = page->last > 0    ? page->last
                   : page->after > 0 ? page->after
                                     : 0;
    int64_t missing = page->after >= 0 && page->first > page->after + 1
                          ? page->first - page->after - 1
                          : 0;

    a->status = 200;
    if (wants_ndjson(r))
        a->content_type = ND_JSON;
    else
        buf_printf(&a->body, ",\"missing\":%lld,\"last\":%lld}\n",
                   (long long)missing, (long long)last);
}

void look_log(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {"lines", "after", NULL};
    const struct options o = {.format =
                                  wants_ndjson(r) ? OUT_NDJSON : OUT_JSON};
    struct log_page page = {.after = -1, .left = FOLLOW_ALL};
    struct follow_events events = {
        .on_line = on_line, .on_absent = on_absent, .arg = &page};
    struct job_name name;

    if (!request_check_query(r, names, a) ||
        !query_int(r, "lines", 1, FOLLOW_ALL, &page.left, a) ||
        !query_int(r, "after", 0, INT64_MAX, &page.after, a))
        return;
    request_job_name(r, &name);
    if (o.format == OUT_JSON)
        buf_str(&a->body, "{\"lines\":");
    page.out = out_new_to(&o, log_columns, &a->body);
    int64_t lines = page.after >= 0 ? FOLLOW_ALL : page.left;
    int status = follow_read(c, request_serve(r)->ns, &name, lines, &events);
    out_end(page.out);
    bool full = page.left == 0; /* which ends the reading */
    if (page.absent)
        answer_problem(a, 404, "not-found",
                       "%s/%s: not kept: only a job that was pushed with "
                       "\"keep\" has a log here, for that long",
                       name.queue, name.id);
    else if (status == 0 || full)
        end_page(a, r, &page);
    else
        buf_clear(&a->body);
}
