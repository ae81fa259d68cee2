/*
 * Fuzzer: what a handler process writes on descriptor 3.
 *
 * However it is cut into parts it means the same, and what it asks for is
 * within bounds.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "common/base/log.h"
#include "worker/handler_control.h"

static struct delivery *a_delivery(void)
{
    static const char raw[] = "{\"id\":\"a\",\"type\":\"t\"}";
    static struct delivery *d;
    struct job *job;

    if (d == NULL) {
        int rc = job_parse(raw, sizeof(raw) - 1, sizeof(raw), &job, NULL);
        assert(rc == 0);
        d = delivery_new(job);
        log_setup((enum log_level)(LOG_LVL_ERROR + 1), LOG_LOGFMT);
    }
    return d;
}

static void feed(struct wishes *w, const uint8_t *data, size_t size,
                 size_t part)
{
    wishes_init(w, a_delivery());
    for (size_t at = 0; at < size; at += part)
        wishes_feed(w, (const char *)data + at,
                    part < size - at ? part : size - at);
    wishes_end(w);
    assert(w->line.data == NULL);
}

static void check_same(const struct wishes *a, const struct wishes *b)
{
    assert(a->retry_ms == b->retry_ms && a->snooze_ms == b->snooze_ms);
    assert(a->lines == b->lines && a->logged == b->logged);
    assert(a->warned == b->warned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wishes whole, parts;

    feed(&whole, data, size, size > 0 ? size : 1);
    feed(&parts, data, size, 1);
    check_same(&whole, &parts);
    feed(&parts, data, size, 1 + size / 3);
    check_same(&whole, &parts);
    assert(whole.retry_ms >= -1 && whole.retry_ms <= JOB_DURATION_MAX_MS);
    assert(whole.snooze_ms >= -1 && whole.snooze_ms <= JOB_DURATION_MAX_MS);
    return 0;
}
