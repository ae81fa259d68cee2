/*
 * A periodic job is put there, or another one in its place.
 *
 * The members of the body are those of an entry, so what GET shows as the
 * entry may be put again; spans may be texts. The judge of what is right is
 * that of entries (cron_entry.h), whose texts begin with the name of a member.
 *
 * Thread: see route.h.
 */
#include "producer/serve/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/job/backoff_text.h"
#include "producer/push_options.h"
#include "producer/serve/body.h"
#include "producer/serve/serve.h"

enum { NEXT = 5, POINTER_MAX = 64 };

struct wish {
    struct cron_wish entry;
    struct json_span payload, backoff, ignored;
};

#define AT(member) offsetof(struct wish, member)

static const struct body_member members[] = {
    {"spec", MEMBER_TEXT, AT(entry.spec), 0, CRON_SPEC_MAX_LEN},
    {"tz", MEMBER_TEXT, AT(entry.zone), 0, ZONE_NAME_MAX_LEN},
    {"type", MEMBER_TEXT, AT(entry.type), 0, JOB_TYPE_MAX_LEN},
    {"payload", MEMBER_JSON, AT(payload), 0, 0},
    {"jitter", MEMBER_SPAN, AT(entry.jitter_ms), 0, CRON_JITTER_MAX_MS},
    {"overlap", MEMBER_TEXT, AT(entry.overlap), 0, 0},
    {"catch_up", MEMBER_TEXT, AT(entry.catch_up), 0, 0},
    {"catch_up_limit", MEMBER_SPAN, AT(entry.catch_up_limit_ms), 0,
     CRON_LIMIT_MAX_MS},
    {"times", MEMBER_INT, AT(entry.times), 1, CRON_TIMES_MAX},
    {"keep", MEMBER_SPAN, AT(entry.keep_ms), 1, CRON_SPAN_MAX_MS},
    {"timeout", MEMBER_SPAN, AT(entry.timeout_ms), 1, CRON_SPAN_MAX_MS},
    {"max_attempts", MEMBER_INT, AT(entry.max_attempts), 1, PUSH_ATTEMPTS_MAX},
    {"backoff", MEMBER_JSON, AT(backoff), 0, 0},
    {"expires", MEMBER_SPAN, AT(entry.expires_ms), 1, CRON_SPAN_MAX_MS},
    {"paused", MEMBER_BOOL, AT(entry.paused), 0, 0},
    {"source", MEMBER_JSON, AT(ignored), 0, 0},     /* ours */
    {"updated_at", MEMBER_JSON, AT(ignored), 0, 0}, /* now */
    {0},
};

/* What the judge says, told of the member that it is about. */
static void tell_judged(struct body *b, const char *text)
{
    char pointer[POINTER_MAX];

    if (strncmp(text, "cron expression", 15) == 0) {
        body_wrong(b, "/spec", "%s", text);
        return;
    }
    if (strncmp(text, "time zone", 9) == 0) {
        body_wrong(b, "/tz", "%s", text);
        return;
    }
    for (size_t i = 0; members[i].name; i++) {
        size_t n = strlen(members[i].name);
        if (strncmp(text, members[i].name, n) != 0 || text[n] != ':')
            continue;
        snprintf(pointer, sizeof(pointer), "/%s", members[i].name);
        body_wrong(b, pointer, "%s", text + n + 1 + strspn(text + n + 1, " "));
        return;
    }
    body_wrong(b, "", "%s", text);
}

/* A policy as JSON; a text is one as belt push takes it. */
static void read_backoff(struct body *b, struct json_span value,
                         struct buf *out)
{
    struct errbuf eb = {""};
    size_t n;
    char *text;

    if (!value.p || json_kind(value) == JSON_IS_NULL)
        return;
    if (json_kind(value) != JSON_IS_STRING) {
        buf_append(out, value.p, value.len);
        return;
    }
    text = json_string_dup(value, &n);
    if (!text || backoff_from_text(text, out, &eb) != 0)
        body_wrong(b, "/backoff", "%s", text ? eb.text : "NUL within");
    free(text);
}

/* Returns the entry, owned, or NULL, with what is wrong in a. */
static struct cron_entry *make(const struct request *r, struct answer *a)
{
    struct wish w = {.entry = {.catch_up_limit_ms = -1, .source = "http"}};
    struct cron_entry *e = NULL;
    struct body b = {0};
    struct buf backoff = {0};
    struct errbuf eb;
    int rc = 0;

    body_read(&b, request_body(r), members, &w);
    read_backoff(&b, w.backoff, &backoff);
    if (b.count == 0 && !b.not_json) {
        w.entry.payload = w.payload;
        w.entry.backoff = backoff.len > 0 ? backoff.data : NULL;
        w.entry.updated_at_ms = clock_wall_ms();
        if (!w.entry.spec)
            w.entry.spec = "";
        if (!w.entry.type)
            w.entry.type = "";
        rc = cron_entry_make(request_param(r, "name"), &w.entry, &e, &eb);
    }
    if (rc == ERR_SYSTEM) /* no zones here: not the client's doing */
        answer_problem(a, 500, "internal", "%s", eb.text);
    else if (rc != 0)
        tell_judged(&b, eb.text);
    (void)body_is_wrong(&b, a);
    buf_done(&backoff);
    body_done(&b);
    return e;
}

static void put(struct cron_client *cc, const struct request *r,
                const struct cron_entry *e, struct answer *a)
{
    if (cron_client_add(cc, e) != 0) {
        (void)cron_lost_race(cc, a);
        return;
    }
    bool added = cc->was == NULL;
    if (added)
        answer_header(a, "Location", "/v1/queues/%s/cron/%s", cc->keys.queue,
                      e->name);
    (void)cron_answer(cc, r, added ? 201 : 200, NEXT, a);
}

void look_cron_put(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {NULL};
    struct cron_client cc;

    if (!request_check_query(r, names, a) || !cron_begin(&cc, c, r, a))
        return;
    struct cron_entry *e = make(r, a);
    if (e)
        put(&cc, r, e, a);
    cron_entry_free(e);
    cron_client_done(&cc);
}
