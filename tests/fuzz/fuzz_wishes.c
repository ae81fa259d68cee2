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
    struct job *job;
    int rc = job_parse(raw, sizeof(raw) - 1, sizeof(raw), &job, NULL);

    assert(rc == 0);
    (void)rc;
    log_setup((enum log_level)(LOG_LVL_ERROR + 1), LOG_LOGFMT);
    return delivery_new(job);
}

struct heard {
    struct wishes w;
    unsigned pushed, asked, refused;
};

static void feed(struct heard *h, const uint8_t *data, size_t size, size_t part)
{
    struct delivery *d = a_delivery();

    *h = (struct heard){0};
    wishes_init(&h->w, d);
    for (size_t at = 0; at < size; at += part)
        wishes_feed(&h->w, (const char *)data + at,
                    part < size - at ? part : size - at);
    wishes_end(&h->w);
    assert(h->w.line.data == NULL);
    if (d->pushes != NULL) {
        h->pushed = d->pushes->n;
        h->asked = d->pushes->asked;
        h->refused = d->pushes->refused;
        assert(h->pushed <= PUSHES_MAX && h->refused <= h->asked);
        assert(d->pushes->text.len <= PUSHES_MAX_BYTES);
    }
    delivery_free(d);
}

static void check_same(const struct heard *x, const struct heard *y)
{
    const struct wishes *a = &x->w, *b = &y->w;

    assert(a->retry_ms == b->retry_ms && a->snooze_ms == b->snooze_ms);
    assert(a->lines == b->lines && a->logged == b->logged);
    assert(a->warned == b->warned && x->pushed == y->pushed);
    assert(x->asked == y->asked && x->refused == y->refused);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard whole, parts;

    feed(&whole, data, size, size > 0 ? size : 1);
    feed(&parts, data, size, 1);
    check_same(&whole, &parts);
    feed(&parts, data, size, 1 + size / 3);
    check_same(&whole, &parts);
    assert(whole.w.retry_ms >= -1 && whole.w.retry_ms <= JOB_DURATION_MAX_MS);
    assert(whole.w.snooze_ms >= -1 && whole.w.snooze_ms <= JOB_DURATION_MAX_MS);
    return 0;
}
