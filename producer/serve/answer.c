/*
 * Answer: what a request is answered with.
 *
 * Kinds of problems are a closed list, so that programs can rely on them; and
 * docs/HTTP.md has the same table.
 *
 * Thread: any; an answer belongs to who makes it.
 */
#include "producer/serve/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"

enum { TEXT_MAX = 2048 };

static const struct problem_kind kinds[] = {
    {"bad-request", "The request cannot be understood"},
    {"invalid-path", "The path has a part that cannot be right"},
    {"invalid-query", "The query has a part that cannot be right"},
    {"invalid-header", "A header has a value that cannot be right"},
    {"invalid-json", "The body is no JSON"},
    {"invalid-body", "The body has parts that cannot be right"},
    {"invalid", "The request has a part that cannot be right"},
    {"unauthorized", "A token is needed"},
    {"forbidden", "The token does not allow it"},
    {"cross-site", "Another site may not do this"},
    {"misdirected", "The host is not this server"},
    {"not-found", "Not found"},
    {"method-not-allowed", "The method is not for this path"},
    {"method-unknown", "The method is not known"},
    {"timeout", "The request took too long"},
    {"conflict", "The state is not one for this"},
    {"not-ended", "The job has not ended"},
    {"no-result", "The job ended without a result"},
    {"held", "Another job holds the unique key"},
    {"body-too-large", "The body is too large"},
    {"unsupported-media-type", "The Content-Type is not for this path"},
    {"expectation-failed", "The expectation cannot be met"},
    {"key-reused", "The Idempotency-Key came with another body"},
    {"headers-too-large", "The headers are too large"},
    {"queue-full", "The queue is full"},
    {"version-unknown", "The version of HTTP is not known"},
    {"internal", "The server failed"},
    {"redis-away", "Redis is away"},
    {"outcome-unknown", "The outcome is unknown"},
    {"overloaded", "Too much is under way"},
    {"try-again", "Not now"},
};

const struct problem_kind *problem_kinds(size_t *ret_n)
{
    *ret_n = sizeof(kinds) / sizeof(kinds[0]);
    return kinds;
}

const struct answer_status answer_statuses[ANSWER_STATUSES] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {0, ""},
};

unsigned answer_status_place(int status)
{
    unsigned i = 0;

    while (i < ANSWER_STATUSES - 1 && answer_statuses[i].status != status)
        i++;
    return i;
}

const char *answer_phrase(int status)
{
    return answer_statuses[answer_status_place(status)].phrase;
}

static const char *title_of(const char *kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, kind) == 0)
            return kinds[i].title;
    }
    return kind;
}

void answer_done(struct answer *a)
{
    buf_done(&a->body);
    for (unsigned i = 0; i < a->header_count; i++)
        free(a->headers[i].value);
    *a = (struct answer){0};
}

void answer_header(struct answer *a, const char *name, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    char *value;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || a->header_count >= ANSWER_HEADERS_MAX)
        return;
    if ((size_t)n < sizeof(text)) {
        value = mem_dup(text, (size_t)n);
    } else {
        value = mem_new((size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf(value, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    for (char *p = value; *p; p++) {
        if (*p == '\r' || *p == '\n')
            *p = ' ';
    }
    a->headers[a->header_count].name = name;
    a->headers[a->header_count++].value = value;
}

void answer_problem(struct answer *a, int status, const char *kind,
                    const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    a->status = status;
    a->content_type = ANSWER_PROBLEM;
    buf_clear(&a->body);
    buf_printf(&a->body,
               "{\"type\":\"urn:belt:problem:%s\",\"title\":\"%s\","
               "\"status\":%d,\"detail\":",
               kind, title_of(kind), status);
    buf_json_string(&a->body, text, strlen(text));
    buf_str(&a->body, "}\n");
}

/* Opens the object at its end, for a member. */
static void reopen(struct answer *a, const char *name)
{
    struct buf *b = &a->body;

    while (b->len > 0 && b->data[b->len - 1] != '}')
        b->len--;
    if (b->len > 0)
        b->len--;
    buf_str(b, ",\"");
    buf_str(b, name);
    buf_str(b, "\":");
}

void answer_add_text(struct answer *a, const char *name, const char *text)
{
    reopen(a, name);
    buf_json_string(&a->body, text, strlen(text));
    buf_str(&a->body, "}\n");
}

void answer_add_int(struct answer *a, const char *name, int64_t n)
{
    reopen(a, name);
    buf_int(&a->body, n);
    buf_str(&a->body, "}\n");
}

void answer_add_json(struct answer *a, const char *name, const struct buf *json)
{
    reopen(a, name);
    buf_append(&a->body, json->data, json->len);
    buf_str(&a->body, "}\n");
}

void answer_failure(struct answer *a, int status, const char *text)
{
    switch (status) {
    case EX_DATAERR:
        answer_problem(a, 400, "invalid", "%s", text);
        return;
    case EX_NOINPUT:
    case 1:
        answer_problem(a, 404, "not-found", "%s", text);
        return;
    case EX_UNAVAILABLE:
        answer_problem(a, 503, "redis-away", "%s", text);
        answer_header(a, "Retry-After", "1");
        return;
    case EX_TEMPFAIL:
        answer_problem(a, 503, "try-again", "%s", text);
        answer_header(a, "Retry-After", "1");
        return;
    case EX_NOPERM:
        answer_problem(a, 403, "forbidden", "%s", text);
        return;
    default:
        answer_problem(a, 500, "internal", "%s", text);
    }
}
