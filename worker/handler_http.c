/*
 * Http: one POST for each job.
 *
 * The body is the payload as it is; what else there is to know of the job
 * travels in headers, as CloudEvents 1.0 has them in binary mode. The request
 * is turned in the thread of the run, beside its eventfd: it ends with the
 * answer, at the time limit, or at once when the run is to stop. Nothing is
 * followed (a redirect would turn the POST into a GET) and nothing is sent
 * twice: what was sent and not answered is a failure, and the job's next
 * attempt.
 *
 * Sessions, a libcurl handle with its open connections, wait for the next job
 * in a stack: the one that was used last is the likeliest to be still open.
 *
 *     take or make ► prepare ► perform, poll ► judge ► give back
 *
 * Thread: init in the one that reads the configuration, run in pool threads.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/handler_http.h"

enum {
    READ_ON_MAX = 1 << 20,  /* of a body beyond what is kept, for the sake of
                             * the connection */
    MESSAGE_BODY_MAX = 200, /* bytes of a body in a failure's message */
    IDLE_SECONDS = 55 /* a connection that was idle for longer is made anew */
};

struct session {
    CURLM *multi;
    CURL *easy;
    struct session *next; /* in the stack */
};

/* One request. */
struct call {
    struct delivery *d;         /* borrowed */
    struct http *http;          /* borrowed */
    struct session *s;          /* ours until it is given back */
    struct curl_slist *headers; /* owned */
    int64_t end_ms;
    bool ended, stopped, too_long;
    CURLcode code; /* once it ended */
    struct buf body;
    uint64_t body_bytes; /* that came, kept or not */
    char error[CURL_ERROR_SIZE];
};

static void run_http(struct delivery *d, int cancel_fd);

static int init(struct handler *h, const char *spec, struct errbuf *eb)
{
    const struct curl *curl = curl_load(eb);
    struct http *http;

    if (curl == NULL)
        return ERR_SYSTEM;
    h->run = run_http;
    http = h->state = mem_new(sizeof(*http));
    http->curl = curl;
    mutex_init(&http->mu);
    return http_read_config(h, spec, eb);
}

/* ---- sessions ---- */

static void session_free(const struct curl *c, struct session *s)
{
    if (s->easy != NULL)
        c->easy_cleanup(s->easy);
    if (s->multi != NULL)
        (void)c->multi_cleanup(s->multi);
    free(s);
}

static struct session *session_take(struct http *http)
{
    const struct curl *c = http->curl;
    struct session *s;

    mutex_lock(&http->mu);
    s = http->idle;
    if (s != NULL)
        http->idle = s->next;
    mutex_unlock(&http->mu);
    if (s != NULL)
        return s;
    s = mem_new(sizeof(*s));
    s->multi = c->multi_init();
    s->easy = c->easy_init();
    if (s->multi != NULL && s->easy != NULL)
        return s;
    session_free(c, s);
    return NULL;
}

static void session_give_back(struct http *http, struct session *s)
{
    http->curl->easy_reset(s->easy);
    mutex_lock(&http->mu);
    s->next = http->idle;
    http->idle = s;
    mutex_unlock(&http->mu);
}

static void stop(struct handler *h)
{
    struct http *http = h->state;
    struct session *s, *next;

    mutex_lock(&http->mu);
    s = http->idle;
    http->idle = NULL;
    mutex_unlock(&http->mu);
    for (; s != NULL; s = next) {
        next = s->next;
        session_free(http->curl, s);
    }
}

static void free_state(struct handler *h)
{
    struct http *http = h->state;

    if (http == NULL)
        return;
    stop(h);
    http->curl->slist_free_all(http->headers);
    mutex_done(&http->mu);
    explicit_bzero(&http->keys, sizeof(http->keys));
    free(http->url);
    free(http->place);
    free(http);
}

const struct handler_kind handler_http_kind = {
    .name = "http", .init = init, .stop = stop, .free = free_state};

/* ---- a request ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct call *c = arg;
    const struct handler_limits *l = &c->d->handler->limits;
    size_t max = l->result_max > l->stderr_max ? l->result_max : l->stderr_max;
    size_t room = max - c->body.len;

    n *= size;
    buf_append(&c->body, p, n < room ? n : room);
    c->body_bytes += n;
    /* Less than n tells libcurl to give up. */
    c->too_long = c->body_bytes > max + READ_ON_MAX;
    return c->too_long ? 0 : n;
}

/* Whether the configuration has a header of the same name. */
static bool is_given(const struct http *http, const char *text)
{
    size_t n = strcspn(text, ":") + 1;

    for (const struct curl_slist *h = http->headers; h != NULL; h = h->next)
        if (strncasecmp(h->data, text, n) == 0)
            return true;
    return false;
}

static int header(struct call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int header(struct call *c, const char *fmt, ...)
{
    char text[JOB_TYPE_MAX_LEN * 3 + 128];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    assert(n > 0 && (size_t)n < sizeof(text));
    if (is_given(c->http, text))
        return 0;
    return http_add_header(c->http->curl, &c->headers, text);
}

/* As CloudEvents wants values: printable ASCII, the rest as %XX. */
static void escape(const char *text, char out[JOB_TYPE_MAX_LEN * 3 + 1])
{
    for (; *text != '\0'; text++) {
        unsigned char b = (unsigned char)*text;

        if (b > ' ' && b < 0x7f && b != '"' && b != '%')
            *out++ = (char)b;
        else
            out += snprintf(out, 4, "%%%02X", b);
    }
    *out = '\0';
}

static int event_headers(struct call *c)
{
    const struct job *job = c->d->job;
    char type[JOB_TYPE_MAX_LEN * 3 + 1], when[32];
    time_t at = (time_t)(job->created_at_ms / 1000);
    struct tm tm;
    int rc;

    escape(job->type, type);
    rc = header(c, "ce-specversion: 1.0");
    if (rc == 0)
        rc = header(c, "ce-id: %s", job->id);
    if (rc == 0)
        rc = header(c, "ce-type: %s", type);
    if (rc == 0)
        rc = header(c, "ce-source: /belt/%s", c->d->queue);
    if (rc == 0 && job->created_at_ms > 0 && gmtime_r(&at, &tm) != NULL &&
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm) > 0)
        rc = header(c, "ce-time: %s.%03dZ", when,
                    (int)(job->created_at_ms % 1000));
    if (rc == 0 && job->traceparent[0] != '\0')
        rc = header(c, "traceparent: %s", job->traceparent);
    return rc;
}

static int belt_headers(struct call *c, int64_t deadline_wall_ms)
{
    const struct job *job = c->d->job;
    int rc = header(c, "Content-Type: application/json");

    if (rc == 0)
        rc = header(c, "User-Agent: belt-worker/" BELT_VERSION);
    /* Without it a body of 1 MiB would wait for a word of the server. */
    if (rc == 0)
        rc = header(c, "Expect:");
    if (rc == 0)
        rc = header(c, "Belt-Attempt: %" PRId64,
                    handler_instant(job->attempt, 1));
    if (rc == 0)
        rc = header(c, "Belt-Max-Attempts: %" PRId64,
                    handler_max_attempts(c->d));
    if (rc == 0)
        rc = header(c, "Belt-Deadline: %" PRId64 ".%03d",
                    deadline_wall_ms / 1000, (int)(deadline_wall_ms % 1000));
    if (rc == 0 && c->d->fence != 0)
        rc = header(c, "Belt-Fence: %" PRId64, c->d->fence);
    return rc;
}

static int sign_headers(struct call *c)
{
    const struct job *job = c->d->job;
    int64_t seconds = clock_wall_ms() / 1000;
    struct buf signatures = {0};
    int rc;

    if (c->http->keys.count == 0)
        return 0;
    sign(&c->http->keys, job->id, seconds, job->payload.p, job->payload.len,
         &signatures);
    rc = header(c, "webhook-id: %s", job->id);
    if (rc == 0)
        rc = header(c, "webhook-timestamp: %" PRId64, seconds);
    if (rc == 0)
        rc = header(c, "webhook-signature: %s", signatures.data);
    buf_done(&signatures);
    return rc;
}

static int make_headers(struct call *c, int64_t deadline_wall_ms)
{
    int rc = event_headers(c);

    if (rc == 0)
        rc = belt_headers(c, deadline_wall_ms);
    if (rc == 0)
        rc = sign_headers(c);
    for (const struct curl_slist *h = c->http->headers; h != NULL && rc == 0;
         h = h->next)
        rc = http_add_header(c->http->curl, &c->headers, h->data);
    return rc;
}

static int prepare(struct call *c)
{
    const struct curl *curl = c->http->curl;
    const struct handler_keys *k = &c->d->handler->keys;
    struct json_span body = c->d->job->payload;
    int64_t timeout_ms = handler_timeout_ms(c->d);
    CURL *easy = c->s->easy;
    bool bad =
        make_headers(c, handler_instant(clock_wall_ms(), timeout_ms)) != 0;

    c->end_ms = handler_instant(clock_ms(), timeout_ms);
#define SET(option, value)                                                     \
    bad = bad || curl->easy_setopt(easy, option, value) != CURLE_OK
    SET(CURLOPT_URL, c->http->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    SET(CURLOPT_POSTFIELDS, body.p);
    SET(CURLOPT_HTTPHEADER, c->headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_ERRORBUFFER, c->error);
    SET(CURLOPT_PRIVATE, c);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_SECONDS);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)k->connect_timeout_ms);
    if (k->ca_file != NULL)
        SET(CURLOPT_CAINFO, k->ca_file);
#undef SET
    if (bad || curl->multi_add_handle(c->s->multi, easy) != CURLM_OK)
        return ERR_NOMEM;
    return 0;
}

static void take_end(struct call *c)
{
    CURLMsg *m;
    int left;

    while ((m = c->http->curl->multi_info_read(c->s->multi, &left)) != NULL) {
        if (m->msg == CURLMSG_DONE) {
            c->ended = true;
            c->code = m->data.result;
        }
    }
}

/* Returns once it has ended, is to stop, or is too late. */
static void turn(struct call *c, int cancel_fd)
{
    const struct curl *curl = c->http->curl;

    for (;;) {
        struct curl_waitfd wait = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
        int running;

        if (curl->multi_perform(c->s->multi, &running) != CURLM_OK)
            return;
        take_end(c);
        c->stopped = atomic_load(&c->d->cancel) != CANCEL_NONE;
        int64_t left_ms = c->end_ms - clock_ms();
        if (c->ended || c->stopped || left_ms <= 0)
            return;
        if (curl->multi_poll(c->s->multi, &wait, 1,
                             left_ms < INT_MAX ? (int)left_ms : INT_MAX,
                             NULL) != CURLM_OK)
            return;
        /* A wake that is left over from an earlier run is read away. */
        uint64_t wakes;
        if (wait.revents != 0 && read(cancel_fd, &wakes, sizeof(wakes)) < 0 &&
            errno != EAGAIN)
            return;
    }
}

/* ---- what becomes of it ---- */

static enum verdict verdict_of_status(const struct http *http, long status)
{
    if (status >= 200 && status < 300)
        return VERDICT_DONE;
    if (status >= HTTP_STATUS_MIN && status < HTTP_STATUS_MIN + HTTP_STATUSES) {
        int rule = http->rules[status - HTTP_STATUS_MIN];

        if (rule != HTTP_BY_TABLE)
            return rule == HTTP_AS_DEAD ? VERDICT_DEAD : VERDICT_RETRY;
    }
    return status == 408 || status == 425 || status == 429 || status >= 500
               ? VERDICT_RETRY
               : VERDICT_DEAD;
}

/* Failures of the place, not of the job. */
static bool is_out_of_order(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OUT_OF_MEMORY:
        return true;
    default:
        return false;
    }
}

/* The first line of the body, in the message; all that was kept, in the tail */
static void keep_failure(struct call *c)
{
    struct outcome *o = &c->d->outcome;
    size_t max = c->d->handler->limits.stderr_max;
    size_t line = 0;

    if (c->body.len > max)
        c->body.len = max;
    while (line < c->body.len && line < MESSAGE_BODY_MAX &&
           (unsigned char)c->body.data[line] >= ' ')
        line++;
    if (line > 0) {
        buf_str(&o->message, ": ");
        buf_append(&o->message, c->body.data, line);
    }
    o->stderr_tail = c->body;
    c->body = (struct buf){0};
}

static void judge_status(struct call *c)
{
    struct outcome *o = &c->d->outcome;
    curl_off_t after = 0;
    long status = 0;

    (void)c->http->curl->easy_getinfo(c->s->easy, CURLINFO_RESPONSE_CODE,
                                      &status);
    enum verdict v = verdict_of_status(c->http, status);
    if (v == VERDICT_DONE) {
        size_t max = c->d->handler->limits.result_max;

        o->verdict = v;
        o->exit_status = 0;
        o->result = c->body;
        c->body = (struct buf){0};
        o->result_truncated = c->body_bytes > max;
        if (o->result.len > max)
            o->result.len = max;
        return;
    }
    handler_fail(c->d, v, "http", "%s answered %ld", c->http->place, status);
    keep_failure(c);
    if (v == VERDICT_RETRY &&
        c->http->curl->easy_getinfo(c->s->easy, CURLINFO_RETRY_AFTER, &after) ==
            CURLE_OK &&
        after > 0)
        o->delay_ms = after < JOB_DURATION_MAX_MS / 1000 ? (int64_t)after * 1000
                                                         : JOB_DURATION_MAX_MS;
}

static void judge(struct call *c)
{
    if (c->stopped && !c->ended)
        handler_stopped(c->d);
    else if (!c->ended && clock_ms() >= c->end_ms)
        handler_fail_timeout(c->d);
    else if (!c->ended)
        handler_fail(c->d, VERDICT_PUT_OFF, "http", "libcurl failed");
    else if (c->code == CURLE_OK || c->too_long)
        judge_status(c);
    else
        handler_fail(
            c->d, is_out_of_order(c->code) ? VERDICT_PUT_OFF : VERDICT_RETRY,
            "network", "%s: %s", c->http->place,
            c->error[0] != '\0' ? c->error
                                : c->http->curl->easy_strerror(c->code));
}

static void run_http(struct delivery *d, int cancel_fd)
{
    struct http *http = d->handler->state;
    struct call c = {.d = d, .http = http};

    if (atomic_load(&d->cancel) != CANCEL_NONE) {
        handler_stopped(d);
        return;
    }
    c.s = session_take(http);
    if (c.s == NULL) {
        handler_fail(d, VERDICT_PUT_OFF, "http", "out of memory");
        return;
    }
    if (prepare(&c) == 0) {
        turn(&c, cancel_fd);
        judge(&c);
        (void)http->curl->multi_remove_handle(c.s->multi, c.s->easy);
        session_give_back(http, c.s);
    } else {
        handler_fail(d, VERDICT_PUT_OFF, "http", "out of memory");
        session_free(http->curl, c.s);
    }
    http->curl->slist_free_all(c.headers);
    buf_done(&c.body);
}
