/*
 * Fuzzer: envelopes, as any stranger may RPUSH them.
 *
 * What job_parse accepts must survive a rewrite: it parses again, keeps its
 * id, its type and the bytes of its payload. What it refuses must still make
 * an element for dead that is an envelope. What follows it is an envelope too,
 * that has an id and goes somewhere, or is refused.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/job/job.h"
#include "common/job/then.h"

enum { MAX_BYTES = 64 * 1024 };

static void check_same(const struct job *was, const struct job *is)
{
    assert(strcmp(was->id, is->id) == 0);
    assert(strcmp(was->type, is->type) == 0);
    assert(was->payload.len == is->payload.len);
    assert(memcmp(was->payload.p, is->payload.p, is->payload.len) == 0);
    assert(was->max_attempts == is->max_attempts);
    assert(was->timeout_ms == is->timeout_ms);
    assert(is->attempt == 7);
}

/* What is reckoned with later, in milliseconds or times, cannot overflow. */
static void check_numbers(const struct job *job)
{
    const int64_t numbers[] = {
        job->created_at_ms, job->attempt,       job->max_attempts,
        job->timeout_ms,    job->expires_at_ms, job->keep_ms,
        job->crashes,       job->put_offs,      job->put_off_since_ms};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert(numbers[i] >= 0 && numbers[i] <= INT64_C(1) << 53);
    assert(job->timeout_ms <= JOB_DURATION_MAX_MS);
    assert(job->keep_ms <= JOB_DURATION_MAX_MS);
    assert(job->recovered_count <= JOB_RECOVERED_MAX);
    for (unsigned i = 0; i < job->recovered_count; i++)
        assert(job->recovered_ms[i] >= 0 && job->recovered_ms[i] <= INT64_C(1)
                                                                        << 53);
    assert(job_recoveries_since(job, 0) <= JOB_RECOVERED_MAX);
}

static void check_rewrite(const struct job *job)
{
    static const struct job_change changes[] = {{"attempt", "7"},
                                                {"error", "null"}};
    struct buf out = {0};
    struct job *again = NULL;

    job_rewrite(job, changes, 2, 0, &out);
    int rc = job_parse(out.data, out.len, out.len, &again, NULL);
    assert(rc == 0);
    check_same(job, again);
    job_free(again);
    buf_done(&out);
}

/* A text without an id gets one first, as stamp would do it. */
static void check_complete(const char *text, size_t len)
{
    struct buf out = {0};
    struct job *job = NULL;

    if (job_complete(text, len, "fuzz", 1, MAX_BYTES, &out, NULL, NULL) == 0) {
        int rc = job_parse(out.data, out.len, out.len, &job, NULL);
        assert(rc == 0);
        assert(job->id[0] != '\0');
        check_rewrite(job);
        job_free(job);
    } else {
        assert(out.len == 0);
    }
    buf_done(&out);
}

static void check_invalid(const char *text, size_t len, const char *why)
{
    struct buf out = {0};
    struct job *job = NULL;

    job_build_invalid(text, len, len / 2, why, 1, &out);
    int rc = job_parse(out.data, out.len, out.len, &job, NULL);
    assert(rc == 0);
    assert(strcmp(job->type, "belt.invalid") == 0);
    job_free(job);
    buf_done(&out);
}

static int on_follower(void *arg, struct json_span element)
{
    struct buf out = {0};
    struct job *job = NULL;
    bool ready = false;

    (void)arg;
    if (then_complete(element, "q", 1, &out, &ready, NULL) == 0) {
        int rc = job_parse(out.data, out.len, out.len, &job, NULL);
        assert(rc == 0);
        assert(job->id[0] != '\0' && job->created_at_ms != 0);
        assert(ready || job->queue.p != NULL);
        check_rewrite(job);
        job_free(job);
    } else {
        assert(out.len == 0);
    }
    buf_done(&out);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct errbuf eb;
    struct job *job = NULL;

    if (job_parse(text, size, MAX_BYTES, &job, &eb) == 0) {
        check_numbers(job);
        if (job->id[0] != '\0')
            check_rewrite(job);
        if (job->then.p != NULL)
            (void)then_each(job->then, on_follower, NULL, NULL);
        job_free(job);
    } else {
        check_invalid(text, size, eb.text);
    }
    check_complete(text, size);
    return 0;
}
