/*
 * libbelt: jobs to be pushed.
 *
 * The options are a table: what a program says is read as belt push reads its
 * flags, at once, so that the error is where the mistake is.
 *
 * Thread: one at a time for each job.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/backoff_text.h"
#include "common/job/job.h"
#include "producer/lib.h"

enum kind {
    QUEUE,
    ID,
    AFTER,
    SWITCH,
    COUNT,
    SPAN,
    INSTANT,
    EXPIRES,
    WORD,
    BACKOFF,
    JSON,
    ONLY_INT
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset; /* of the member of struct belt_job */
};

#define AT(member) offsetof(struct belt_job, member)

static const struct option options[] = {
    {"queue", QUEUE, AT(queue)},
    {"id", ID, AT(id)},
    {"front", SWITCH, AT(front)},
    {"in", SPAN, AT(options.in_ms)},
    {"at", INSTANT, AT(options.at_ms)},
    {"after", AFTER, AT(after)},
    {"expires", EXPIRES, AT(options)},
    {"expires_at", ONLY_INT, AT(options.expires_at_ms)},
    {"timeout", SPAN, AT(timeout_ms)},
    {"max_attempts", COUNT, AT(max_attempts)},
    {"backoff", BACKOFF, AT(options.backoff)},
    {"keep", SPAN, AT(keep_ms)},
    {"unique", WORD, AT(unique)},
    {"until", WORD, AT(until)},
    {"on_conflict", WORD, AT(on_conflict)},
    {"then", JSON, AT(options.then)},
    {"meta", JSON, AT(options.meta)},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static void *member_at(struct belt_job *job, const struct option *o)
{
    return (char *)job + o->offset;
}

struct belt_job *belt_job_new(const char *type)
{
    struct belt_job *job = mem_new(sizeof(*job));

    job->type = mem_strdup(type ? type : "");
    return job;
}

void belt_job_free(struct belt_job *job)
{
    if (!job)
        return;
    free(job->type);
    free(job->queue);
    free(job->id);
    free(job->after);
    free(job->unique);
    free(job->until);
    free(job->on_conflict);
    buf_done(&job->payload);
    push_options_done(&job->options);
    free(job);
}

/* ---- payload ---- */

static int check_size(size_t size, struct belt_error *error)
{
    if (size <= LIB_MAX_BYTES)
        return 0;
    return lib_error(error, BELT_ERR_TOO_BIG,
                     "payload: %zu bytes, the most is %zu", size,
                     LIB_MAX_BYTES);
}

int belt_job_set_payload(struct belt_job *job, const char *json, size_t size,
                         struct belt_error *error)
{
    struct errbuf eb;
    int rc = check_size(size, error);

    if (rc != 0)
        return rc;
    if (json_check_member(json, size, &eb) != 0)
        return lib_error(error, BELT_ERR_INVALID, "payload: %s", eb.text);
    buf_clear(&job->payload);
    buf_append(&job->payload, json, size);
    return 0;
}

int belt_job_set_payload_text(struct belt_job *job, const char *text,
                              size_t size, struct belt_error *error)
{
    int rc = check_size(size, error);
    size_t wrong = rc == 0 ? text_utf8_error(text, size) : 0;

    if (rc != 0)
        return rc;
    if (wrong != size)
        return lib_error(error, BELT_ERR_INVALID,
                         "payload: byte %zu: not UTF-8", wrong);
    buf_clear(&job->payload);
    buf_json_string(&job->payload, text, size);
    return 0;
}

/* ---- options ---- */

/* "max-attempts" is max_attempts. */
static bool is_name(const char *text, const char *name)
{
    for (; *text == *name || (*text == '-' && *name == '_'); text++, name++) {
        if (*name == '\0')
            return true;
    }
    return false;
}

static const struct option *find(const char *name, struct belt_error *error)
{
    const char *names[OPTIONS];

    for (size_t i = 0; i < OPTIONS; i++) {
        if (is_name(name, options[i].name))
            return &options[i];
        names[i] = options[i].name;
    }
    const char *near = text_nearest(name, names, OPTIONS);
    (void)lib_error(error, BELT_ERR_INVALID, "%.40s: no such option%s%s%s",
                    name, near ? "; did you mean " : "", near ? near : "",
                    near ? "?" : "");
    return NULL;
}

static void set_text(char **member, const char *value)
{
    char *copy = value ? mem_strdup(value) : NULL;

    free(*member);
    *member = copy;
}

static int set_number(int64_t n, int64_t max, int64_t *ret, struct errbuf *eb)
{
    if (n < 0 || n > max)
        return errbuf_set(eb, ERR_INVALID, "%lld: too %s", (long long)n,
                          n < 0 ? "small" : "big");
    *ret = n;
    return 0;
}

static int set_span(const char *value, int64_t *ret, struct errbuf *eb)
{
    int64_t ms;
    int rc = text_parse_duration(value, &ms, eb);

    return rc == 0 ? set_number(ms, JOB_DURATION_MAX_MS, ret, eb) : rc;
}

static int set_name(const struct option *o, char **member, const char *value,
                    struct errbuf *eb)
{
    size_t n = strlen(value);
    struct job_name name;

    if (o->kind == QUEUE && !text_is_name(value, n))
        return errbuf_set(eb, ERR_INVALID, "\"%.64s\": not the name of a queue",
                          value);
    if (o->kind == ID && !text_is_id(value, n))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.64s\": up to 64 of A-Z a-z 0-9 . _ : -", value);
    if (o->kind == AFTER && !job_name_parse(value, n, &name))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.130s\": neither QUEUE/ID nor ID", value);
    set_text(member, value);
    return 0;
}

/* Through a copy: what is wrong changes nothing. */
static int set_json(const struct option *o, struct buf *member,
                    const char *value, struct errbuf *eb)
{
    struct buf json = {0};
    int rc = 0;

    if (o->kind == BACKOFF)
        rc = backoff_from_text(value, &json, eb);
    else
        buf_str(&json, value);
    if (rc == 0)
        rc = json_check(json.data, json.len, eb);
    if (rc == 0) {
        buf_done(member);
        *member = json;
    } else {
        buf_done(&json);
    }
    return rc;
}

static int set_expires(struct push_options *p, const char *value,
                       struct errbuf *eb)
{
    struct push_options read = {0};
    int rc = push_expires_read(value, &read, eb);

    if (rc != 0)
        return rc;
    p->expires_at_ms = read.expires_at_ms;
    p->expires_in_ms = read.expires_in_ms;
    return 0;
}

static int set_value(const struct option *o, void *member, const char *value,
                     struct errbuf *eb)
{
    int64_t n;
    int rc;

    switch (o->kind) {
    case QUEUE:
    case ID:
    case AFTER:
    case WORD:
        return set_name(o, member, value, eb);
    case SWITCH:
        return text_parse_switch(strcmp(value, "1") == 0   ? "yes"
                                 : strcmp(value, "0") == 0 ? "no"
                                                           : value,
                                 member, eb);
    case COUNT:
        rc = text_parse_int(value, 1, PUSH_ATTEMPTS_MAX, NULL, &n, eb);
        return rc == 0 ? set_number(n, PUSH_ATTEMPTS_MAX, member, eb) : rc;
    case SPAN:
        return set_span(value, member, eb);
    case INSTANT:
        return text_parse_instant(value, member, eb);
    case EXPIRES:
        return set_expires(member, value, eb);
    case BACKOFF:
    case JSON:
        return set_json(o, member, value, eb);
    case ONLY_INT:
        break;
    }
    return errbuf_set(eb, ERR_INVALID, "for belt_job_set_int");
}

/* As if it had never been set. */
static void take_back(const struct option *o, void *member)
{
    struct push_options *p = member;

    switch (o->kind) {
    case QUEUE:
    case ID:
    case AFTER:
    case WORD:
        set_text(member, NULL);
        break;
    case SWITCH:
        *(bool *)member = false;
        break;
    case COUNT:
    case SPAN:
    case INSTANT:
    case ONLY_INT:
        *(int64_t *)member = 0;
        break;
    case EXPIRES:
        p->expires_at_ms = p->expires_in_ms = 0;
        break;
    case BACKOFF:
    case JSON:
        buf_done(member);
        break;
    }
}

int belt_job_set(struct belt_job *job, const char *name, const char *value,
                 struct belt_error *error)
{
    const struct option *o = find(name, error);
    struct errbuf eb;

    if (!o)
        return BELT_ERR_INVALID;
    if (!value) {
        take_back(o, member_at(job, o));
        return 0;
    }
    if (set_value(o, member_at(job, o), value, &eb) != 0)
        return lib_error(error, BELT_ERR_INVALID, "%s: %s", o->name, eb.text);
    return 0;
}

int belt_job_set_int(struct belt_job *job, const char *name, int64_t value,
                     struct belt_error *error)
{
    const struct option *o = find(name, error);
    struct errbuf eb;
    int64_t n = 0;
    int rc;

    if (!o)
        return BELT_ERR_INVALID;
    switch (o->kind) {
    case SWITCH:
        rc = set_number(value, 1, &n, &eb);
        if (rc == 0)
            *(bool *)member_at(job, o) = n == 1;
        break;
    case COUNT:
        rc = set_number(value, PUSH_ATTEMPTS_MAX, member_at(job, o), &eb);
        break;
    case SPAN:
        rc = set_number(value, JOB_DURATION_MAX_MS, member_at(job, o), &eb);
        break;
    case ONLY_INT:
    case INSTANT:
        if (o->kind == ONLY_INT)
            job->options.expires_in_ms = 0;
        rc = set_number(value, QUEUE_COUNT_MAX, member_at(job, o), &eb);
        break;
    default:
        rc = errbuf_set(&eb, ERR_INVALID, "not for a number");
        break;
    }
    if (rc != 0)
        return lib_error(error, BELT_ERR_INVALID, "%s: %s", o->name, eb.text);
    return 0;
}
