/*
 * Fuzzer: what belt serve is given to push: bodies in the language of
 * envelopes, raw ones, queries, CloudEvents and keys.
 *
 * What is accepted makes an envelope that a worker reads, with the id and the
 * payload that were meant and all that a push heeds; what is not is told in
 * JSON, and leaves nothing behind.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/push_job.h"
#include "producer/serve/idempotency.h"
#include "producer/serve/push_event.h"
#include "producer/serve/push_read.h"

#define NOW 1795680000000LL
#define ID "01F"

enum { MAX_BYTES = 8192 };
enum mode { MODE_JSON, MODE_RAW, MODE_EVENT, MODE_HEADERS, MODE_QUERY, MODES };

static const char *const types[] = {
    NULL,        "application/json",
    "a/b+json",  "text/plain; charset=x",
    "image/png", "application/x-www-form-urlencoded"};
enum { TYPES = 6, TYPE_JSON = 1, TYPE_TEXT = 3, TYPE_PNG = 4 };

static void check_refused(const struct push_read *p, int rc,
                          const struct buf *out)
{
    struct buf all = {0};

    assert(out->len == 0);
    assert(rc == ERR_TOO_BIG || p->bad.count > 0 || p->bad.not_json != NULL);
    buf_char(&all, '[');
    buf_append(&all, p->bad.errors.data, p->bad.errors.len);
    buf_char(&all, ']');
    assert(json_check(all.data, all.len, NULL) == 0);
    buf_done(&all);
}

/* A worker reads in the envelope what the push heeds. */
static struct job *check_built(const struct push_read *p, const struct buf *out,
                               const struct push_one *one)
{
    struct job *job;
    int rc = job_parse(out->data, out->len, MAX_BYTES, &job, NULL);

    assert(rc == 0 && p->bad.count == 0 && p->bad.not_json == NULL);
    assert(strncmp(out->data, "{\"id\":\"" ID "\"", 10) == 0);
    assert(strcmp(job->id, ID) == 0 && strcmp(job->type, one->type) == 0);
    assert(job->at_ms == one->at_ms && job->in_ms == one->in_ms);
    assert((job->keep_ms > 0) == one->keep);
    assert((job->unique.p != NULL) == (one->unique != NULL));
    assert(!one->front || (job->at_ms == 0 && job->in_ms == 0));
    assert(one->envelope.len == out->len);
    return job;
}

/* The payload of a raw body says what the body was. */
static void check_raw(struct json_span payload, const char *body, size_t len,
                      unsigned type)
{
    struct buf bytes = {0};
    size_t n;

    if (len == 0) {
        assert(payload.len == 4 && memcmp(payload.p, "null", 4) == 0);
        return;
    }
    if (type == TYPE_JSON)
        assert(memmem(body, len, payload.p, payload.len) != NULL);
    if (type == TYPE_PNG) {
        bool right = buf_unbase64(&bytes, payload.p + 1, payload.len - 2);
        assert(right && bytes.len == len && memcmp(bytes.data, body, len) == 0);
    }
    if (type == TYPE_TEXT && text_utf8_error(body, len) == len &&
        memchr(body, '\0', len) == NULL) {
        char *text = json_string_dup(payload, &n);
        assert(text != NULL && n == len && memcmp(text, body, len) == 0);
        free(text);
    }
    buf_done(&bytes);
}

static void check(struct push_read *p, enum mode mode, const char *body,
                  size_t len, unsigned type)
{
    struct buf out = {0};
    struct push_one one;
    struct errbuf eb;
    int rc = push_read_build(p, ID, MAX_BYTES, &out, &one, &eb);

    assert(rc == 0 || rc == ERR_INVALID || rc == ERR_TOO_BIG);
    if (rc != 0) {
        check_refused(p, rc, &out);
    } else {
        struct job *job = check_built(p, &out, &one);
        if (mode == MODE_RAW)
            check_raw(job->payload, body, len, type);
        else if (mode == MODE_JSON && job->payload.len > 4)
            assert(memmem(body, len, job->payload.p, job->payload.len));
        job_free(job);
    }
    buf_done(&out);
}

/* Lines "name=value": a header each, or an option of a query each. */
static void read_lines(struct push_read *p, struct push_event *e,
                       enum mode mode, char *text)
{
    char *line;

    while ((line = strsep(&text, "\n")) != NULL) {
        char *value = strchr(line, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        if (mode == MODE_HEADERS)
            push_event_header(e, p, line, value);
        for (const char *const *n = push_read_names;
             mode == MODE_QUERY && *n != NULL; n++) {
            if (strcmp(*n, line) == 0)
                push_read_text(p, *n, value);
        }
    }
}

static void check_key(const char *header)
{
    char key[IDEMPOTENCY_KEY_MAX + 1];

    if (!idempotency_key(header, key))
        return;
    size_t n = strlen(key);
    assert(n >= 1 && n <= IDEMPOTENCY_KEY_MAX);
    for (size_t i = 0; i < n; i++)
        assert(key[i] > ' ' && key[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct push_event e = {0};
    struct push_read p;

    if (size == 0)
        return 0;
    enum mode mode = (enum mode)(data[0] % MODES);
    unsigned type = data[0] / MODES % TYPES;
    bool traced = data[0] >= 128;
    /* A copy of just its size, so that a sanitizer sees who reads behind it. */
    size_t len = size - 1;
    char *body = mem_new(len + (len == 0)), *text = mem_dup(data + 1, len);
    memcpy(body, data + 1, len);
    push_read_init(&p, "q", NOW);
    switch (mode) {
    case MODE_JSON:
        push_read_json(&p, body, len);
        assert((p.bad.not_json != NULL) == (json_check(body, len, NULL) != 0));
        break;
    case MODE_EVENT:
        push_event_json(&e, &p, body, len);
        if (p.bad.not_json == NULL)
            push_event_end(&e, &p);
        break;
    case MODE_RAW:
        push_read_type(&p, "t");
        push_read_raw(&p, types[type], (struct bytes){body, len});
        break;
    default:
        read_lines(&p, &e, mode, text);
        if (mode == MODE_HEADERS)
            push_event_end(&e, &p);
        push_read_type(&p, "t");
    }
    if (traced)
        push_read_trace(
            &p, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            text);
    check(&p, mode, body, len, type);
    check_key(text);
    push_read_done(&p);
    push_event_done(&e);
    free(body);
    free(text);
    return 0;
}
