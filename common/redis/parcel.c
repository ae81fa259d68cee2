/*
 * Parcels: what lies in an outbox, as it is read and as it leaves.
 *
 * Times of recovery stay behind: they are of lanes of the queue it comes from,
 * and what a push begins with is the id.
 *
 * Thread: any; nothing here has state.
 */
#include "common/redis/parcel.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/text.h"

#define ENVELOPE_MAX ((size_t)512 << 20) /* what Redis takes at once */
/* In base64 it fits into that. */
#define INVALID_RAW_MAX ((size_t)256 << 20)

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct parcel *p = arg;
    size_t n;

    if (!json_string_is(key, "queue"))
        return 0;
    if (json_string_copy(value, p->queue, sizeof(p->queue), &n) != 0 ||
        !text_is_name(p->queue, n)) {
        p->queue[0] = '\0';
        return errbuf_set(eb, ERR_INVALID, "queue: not the name of one");
    }
    return 0;
}

/* Puts an id in front of what has none; another relay may choose another. */
static int complete(struct parcel *p, int64_t now_ms, struct errbuf *eb)
{
    struct buf whole = {0};
    struct job *job;
    int rc = job_complete(p->raw, p->len, NULL, now_ms, ENVELOPE_MAX, &whole,
                          NULL, eb);

    if (rc == 0)
        rc = job_parse(whole.data, whole.len, ENVELOPE_MAX, &job, eb);
    buf_done(&whole);
    if (rc != 0)
        return rc;
    job_free(p->job);
    p->job = job;
    return 0;
}

int parcel_read(struct parcel *p, int64_t now_ms, struct errbuf *eb)
{
    int rc = job_parse(p->raw, p->len, ENVELOPE_MAX, &p->job, eb);

    if (rc == 0)
        rc = json_scan_object(p->raw, p->len, on_member, p, eb);
    if (rc == 0 && p->queue[0] == '\0')
        rc = errbuf_set(eb, ERR_INVALID, "queue: missing");
    if (rc == 0 && p->job->unique.p != NULL)
        rc = unique_parse(p->job->unique, &p->unique, eb);
    if (rc == 0 && p->job->id[0] == '\0')
        rc = complete(p, now_ms, eb);
    if (rc != 0) {
        job_free(p->job);
        p->job = NULL;
    }
    return rc;
}

void parcel_done(struct parcel *p)
{
    free(p->raw);
    job_free(p->job);
    *p = (struct parcel){0};
}

void parcel_write(const struct parcel *p, struct buf *out)
{
    static const struct job_change changes[] = {{"queue", NULL}};

    job_rewrite(p->job, changes, 1, INT64_MAX, out);
}

bool parcel_may_be_dropped(const struct parcel *p)
{
    return p->unique.on_conflict != UNIQUE_ERROR && p->job->attempt == 0 &&
           p->job->failures.p == NULL;
}

void parcel_write_held(const struct parcel *p, const char *holder,
                       int64_t now_ms, struct buf *out)
{
    struct buf error = {0}, message = {0};

    buf_printf(&message, "in queue %s its unique key is held by %s", p->queue,
               holder[0] != '\0' ? holder : "somebody");
    buf_str(&error, "{\"class\":\"held\",\"message\":");
    buf_json_string(&error, message.data, message.len);
    buf_printf(&error, ",\"at\":%" PRId64 "}", now_ms);
    struct job_change changes[] = {{"queue", NULL}, {"error", error.data}};
    job_rewrite(p->job, changes, 2, INT64_MAX, out);
    buf_done(&message);
    buf_done(&error);
}

void parcel_write_invalid(const struct parcel *p, const char *why,
                          int64_t now_ms, struct buf *out)
{
    job_build_invalid(p->raw, p->len, INVALID_RAW_MAX, why, now_ms, out);
}
