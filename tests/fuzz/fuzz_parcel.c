/*
 * Fuzzer: elements of an outbox, where any stranger may RPUSH.
 *
 * What is read arrives as an envelope that is the same job and names no queue
 * any more; what is not, and what is held there, ends in dead as an envelope.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/redis/parcel.h"

static int no_queue(void *arg, struct json_span key, struct json_span value,
                    struct errbuf *eb)
{
    (void)arg;
    (void)value;
    (void)eb;
    return json_string_is(key, "queue") ? ERR_INVALID : 0;
}

static struct job *parse(const struct buf *b)
{
    struct job *job = NULL;
    int rc = job_parse(b->data, b->len, b->len, &job, NULL);

    assert(rc == 0);
    assert(json_scan_object(b->data, b->len, no_queue, NULL, NULL) == 0);
    return job;
}

static void check_delivered(const struct parcel *p)
{
    struct buf out = {0};

    assert(text_is_name(p->queue, strlen(p->queue)));
    parcel_write(p, &out);
    struct job *job = parse(&out);
    assert(memcmp(out.data, "{\"id\":\"", 7) == 0);
    assert(strcmp(job->id, p->job->id) == 0 && job->id[0] != '\0');
    assert(strcmp(job->type, p->job->type) == 0);
    assert(job->payload.len == p->job->payload.len);
    assert(memcmp(job->payload.p, p->job->payload.p, job->payload.len) == 0);
    job_free(job);
    buf_clear(&out);
    parcel_write_held(p, "h", 1, &out);
    job_free(parse(&out));
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parcel p = {.raw = mem_dup(data, size), .len = size};
    struct errbuf eb = {""};
    struct buf out = {0};

    if (parcel_read(&p, 1, &eb) == 0) {
        check_delivered(&p);
    } else {
        assert(p.job == NULL && eb.text[0] != '\0');
        parcel_write_invalid(&p, eb.text, 1, &out);
        job_free(parse(&out));
        buf_done(&out);
    }
    parcel_done(&p);
    return 0;
}
