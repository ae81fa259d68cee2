/*
 * Job, answered: what is said about one job.
 *
 * A kept job is answered for from the loop: its news are one HMGET. They do not
 * tell everything: nobody writes there that a job has come due, or that its
 * worker was lost. So of a job that waits the clock is asked, of an active one
 * the lease of its lane; only if that is gone, its worker may have another
 * lane, and a side thread looks.
 *
 * Thread: any; what is ON_LOOP the loop.
 */
#include "producer/serve/job_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/serve/query.h"
#include "producer/serve/side.h"
#include "producer/status_rows.h"

enum { RETRY_MIN_S = 1, RETRY_MAX_S = 60 };

/* A request whose answer waits for one more reply. */
struct telling {
    struct request *request; /* owned */
    struct standing standing;
};

static void on_time(void *arg, int err, const struct reply *r);
static void on_lease(void *arg, int err, const struct reply *r);

void request_job_name(const struct request *r, struct job_name *ret)
{
    *ret = (struct job_name){0};
    snprintf(ret->queue, sizeof(ret->queue), "%s", request_param(r, "queue"));
    snprintf(ret->id, sizeof(ret->id), "%s", request_param(r, "id"));
}

/* ---- answers ---- */

/* The sooner the more often, but for what cannot end before it is due. */
static int64_t retry_after_s(const struct standing *s, int64_t now_ms)
{
    int64_t due_ms = standing_is_kept(s) ? kept_int(&s->kept, KEPT_due_at, 0)
                                         : s->found.at_ms;

    if (due_ms <= now_ms)
        return RETRY_MIN_S;
    if (due_ms - now_ms > (int64_t)RETRY_MAX_S * 1000)
        return RETRY_MAX_S;
    return (due_ms - now_ms + 999) / 1000;
}

static bool is_over(const struct standing *s)
{
    return standing_is_kept(s) ? kept_is_over(&s->kept)
                               : s->found.place == PLACE_DEAD;
}

void answer_job(struct answer *a, const struct request *r,
                const struct standing *s, int64_t now_ms)
{
    static const struct options json = {.format = OUT_NDJSON};
    int64_t wait_ms = 0;

    a->status = 200;
    buf_clear(&a->body);
    struct status_rows *rows = status_rows_new_to(&json, &a->body);
    (void)status_rows_print(rows, s, now_ms);
    status_rows_end(rows);
    if (!is_over(s))
        answer_header(a, "Retry-After", "%lld",
                      (long long)retry_after_s(s, now_ms));
    if (!request_query(r, "wait") && job_wait_ms(r, &wait_ms, NULL) &&
        wait_ms > 0)
        answer_header(a, "Preference-Applied", "wait=%lld",
                      (long long)wait_ms / 1000);
}

void answer_no_job(struct answer *a, const struct request *r)
{
    answer_problem(
        a, 404, "not-found",
        "%s/%s: not found. A job is found for as long as it is kept (\"keep\" "
        "of a push says how long after its end); one that is not kept only "
        "while it is active, scheduled, to be retried or dead.",
        request_param(r, "queue"), request_param(r, "id"));
}

void answer_job_state(struct answer *a, int status, const struct request *r,
                      const char *state)
{
    a->status = status;
    buf_clear(&a->body);
    buf_printf(&a->body, "{\"queue\":\"%s\",\"id\":\"%s\",\"state\":\"%s\"}\n",
               request_param(r, "queue"), request_param(r, "id"), state);
}

void answer_call_failed(struct answer *a, int err, const struct reply *r)
{
    if (err != 0)
        answer_failure(a, EX_UNAVAILABLE, "the connection to Redis was lost");
    else
        answer_failure(a, client_error_status(reply_error(r)), reply_error(r));
}

/* ---- how long to wait ---- */

/* The seconds of the preference wait (RFC 7240 4.3), or -1. */
static int64_t preferred_s(const char *header)
{
    static const char name[] = "wait";
    int64_t s;

    for (const char *p = header; p && *p; p += strcspn(p, ",;"), p += *p != 0) {
        char digits[INT_TEXT_MAX];
        p += strspn(p, " \t,;");
        if (strncasecmp(p, name, sizeof(name) - 1) != 0)
            continue;
        const char *value = p + sizeof(name) - 1;
        value += strspn(value, " \t");
        if (*value != '=')
            continue;
        value += 1 + strspn(value + 1, " \t\"");
        size_t n = strspn(value, "0123456789");
        if (n == 0 || n >= sizeof(digits))
            continue;
        memcpy(digits, value, n);
        digits[n] = '\0';
        if (text_parse_int(digits, 0, INT64_MAX, NULL, &s, NULL) == 0)
            return s;
    }
    return -1;
}

bool job_wait_ms(const struct request *r, int64_t *ret_ms, struct answer *a)
{
    int64_t longest_s = request_serve(r)->o->longest_wait_ms / 1000, s = 0;

    if (request_query(r, "wait")) {
        if (!query_int(r, "wait", 0, longest_s, &s, a))
            return false;
    } else {
        s = preferred_s(request_header(r, "Prefer"));
        s = s > longest_s ? longest_s : s < 0 ? 0 : s;
    }
    *ret_ms = s * 1000;
    return true;
}

/* ---- from the loop ---- */

static void finish(struct request *r, struct answer *a,
                   struct telling *t) ON_LOOP
{
    standing_done(&t->standing);
    free(t);
    request_answer(r, a);
}

static void on_time(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct telling *t = arg;
    struct answer a = {0};
    int64_t s, us;

    if (err != 0 || reply_is_error(r))
        answer_call_failed(&a, err, r);
    else if (reply_int(reply_at(r, 0), &s) && reply_int(reply_at(r, 1), &us))
        answer_job(&a, t->request, &t->standing, s * 1000 + us / 1000);
    else
        answer_failure(&a, EX_SOFTWARE, "TIME: Redis does not tell the time");
    finish(t->request, &a, t);
}

static void on_lease(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct telling *t = arg;
    struct request *request = t->request;
    struct answer a = {0};

    if (err == 0 && reply_is_nil(r)) {
        standing_done(&t->standing);
        free(t);
        side_look(request_serve(request)->side, request, look_job);
        return;
    }
    t->standing.leased = true;
    if (err != 0 || reply_is_error(r))
        answer_call_failed(&a, err, r);
    else
        answer_job(&a, request, &t->standing, clock_wall_ms());
    finish(request, &a, t);
}

static void ask_more(struct request *r, const struct kept *k,
                     bool active) ON_LOOP
{
    const struct serve *s = request_serve(r);
    struct telling *t = mem_new(sizeof(*t));
    struct args args = {0};
    struct answer a = {0};
    struct keys keys;

    t->request = r;
    request_job_name(r, &t->standing.name);
    kept_copy(&t->standing.kept, k);
    keys_init(&keys, s->ns, t->standing.name.queue);
    if (active) {
        args_str(&args, "ZSCORE");
        args_str(&args, keys.leases);
        args_mem(&args, k->values[KEPT_lane], k->lens[KEPT_lane]);
    } else {
        args_str(&args, "TIME");
    }
    int rc = conn_call(s->conn, &args, clock_ms() + s->o->redis_timeout_ms,
                       false, active ? on_lease : on_time, t);
    args_done(&args);
    if (rc == 0)
        return;
    answer_call_failed(&a, rc, NULL);
    finish(r, &a, t);
}

void job_tell(struct request *r, const struct kept *k)
{
    bool active = kept_is(k, "active") && k->values[KEPT_lane];
    struct standing standing = {.kept = *k};
    struct answer a = {0};

    if (active || kept_is(k, "retry") || kept_is(k, "scheduled")) {
        ask_more(r, k, active);
        return;
    }
    request_job_name(r, &standing.name);
    answer_job(&a, r, &standing, clock_wall_ms());
    request_answer(r, &a);
}

/* ---- from a side thread ---- */

void look_job(struct client *c, const struct request *r, struct answer *a)
{
    struct standing s = {0};
    int64_t now_ms;

    request_job_name(r, &s.name);
    int status = standing_ask(c, request_serve(r)->ns, &s, 1, &now_ms);
    if (status == 0 && standing_state(&s, now_ms))
        answer_job(a, r, &s, now_ms);
    else if (status == 0)
        answer_no_job(a, r);
    standing_done(&s);
}
