/*
 * Push options: from words to members of an envelope.
 *
 * Only what people write otherwise than an envelope has it is read here: the
 * forms of backoff, unique and expires. Whether a member is right is said by
 * those who read it, when the envelope is built, so that an option takes what
 * an envelope takes.
 *
 * Thread: any.
 */
#include "producer/push_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/job/json.h"

void push_options_done(struct push_options *p)
{
    buf_done(&p->backoff);
    buf_done(&p->then);
    buf_done(&p->meta);
    buf_done(&p->unique_json);
}

/* ---- unique ---- */

/* The colon in front of the TTL of KEY:TTL, or NULL. */
static const char *find_ttl(const char *text, int64_t *ret_ms)
{
    const char *colon = strrchr(text, ':');

    if (!colon || text_parse_duration(colon + 1, ret_ms, NULL) != 0 ||
        *ret_ms < 1)
        return NULL;
    return colon;
}

static int check_word(const char *flag, const char *word,
                      const char *const *words, struct errbuf *eb)
{
    for (size_t i = 0; word && words[i]; i++) {
        if (strcmp(word, words[i]) == 0)
            return 0;
    }
    if (!word)
        return 0;
    return errbuf_set(eb, ERR_INVALID, "%s: %.40s: not one of %s, %s%s%s", flag,
                      word, words[0], words[1], words[2] ? ", " : "",
                      words[2] ? words[2] : "");
}

static void put_unique(struct buf *out, const struct push_unique *u,
                       size_t key_len, int64_t ttl_ms)
{
    bool plain = !ttl_ms && !u->until && !u->on_conflict;

    if (!plain)
        buf_str(out, "{\"key\":");
    buf_json_string(out, u->unique, key_len);
    if (ttl_ms)
        buf_printf(out, ",\"until\":\"time\",\"ttl\":%lld", (long long)ttl_ms);
    else if (u->until)
        buf_printf(out, ",\"until\":\"%s\"", u->until);
    if (u->on_conflict)
        buf_printf(out, ",\"on_conflict\":\"%s\"", u->on_conflict);
    if (!plain)
        buf_char(out, '}');
}

static int check_words(const struct push_unique *u, struct errbuf *eb)
{
    static const char *const untils[] = {"done", "started", NULL};
    static const char *const conflicts[] = {"skip", "replace", "error", NULL};

    if (!u->unique && (u->until || u->on_conflict))
        return errbuf_set(eb, ERR_INVALID, "%s and %s belong to %s",
                          u->names[PUSH_UNTIL], u->names[PUSH_ON_CONFLICT],
                          u->names[PUSH_UNIQUE]);
    int rc = check_word(u->names[PUSH_UNTIL], u->until, untils, eb);
    if (rc == 0)
        rc = check_word(u->names[PUSH_ON_CONFLICT], u->on_conflict, conflicts,
                        eb);
    return rc;
}

int push_unique_read(const struct push_unique *u, struct push_options *ret,
                     struct errbuf *eb)
{
    const char *name = u->names[PUSH_UNIQUE];
    int64_t ttl_ms = 0;
    int rc = check_words(u, eb);

    if (rc != 0 || !u->unique)
        return rc;
    const char *colon = find_ttl(u->unique, &ttl_ms);
    size_t key_len = colon ? (size_t)(colon - u->unique) : strlen(u->unique);
    const char *last = strrchr(u->unique, ':');
    if (!colon && last && strcmp(last, ":0") != 0 &&
        text_parse_duration(last + 1, &ttl_ms, NULL) == 0)
        return errbuf_set(eb, ERR_INVALID, "%s: %.64s: for no time", name,
                          last + 1);
    if (!colon)
        ttl_ms = 0;
    if (ttl_ms && u->until)
        return errbuf_set(eb, ERR_INVALID, "%s: a lock for %s needs no %s",
                          name, colon + 1, u->names[PUSH_UNTIL]);
    if (text_utf8_error(u->unique, key_len) != key_len)
        return errbuf_set(eb, ERR_INVALID, "%s: not UTF-8", name);
    put_unique(&ret->unique_json, u, key_len, ttl_ms);
    return unique_parse(
        (struct json_span){ret->unique_json.data, ret->unique_json.len},
        &ret->unique, eb);
}

/* ---- expires ---- */

int push_expires_read(const char *text, struct push_options *ret,
                      struct errbuf *eb)
{
    ret->expires_at_ms = ret->expires_in_ms = 0;
    if (text_parse_instant(text, &ret->expires_at_ms, NULL) == 0)
        return 0;
    if (text_parse_duration(text, &ret->expires_in_ms, NULL) == 0 &&
        ret->expires_in_ms > 0 && ret->expires_in_ms <= JOB_DURATION_MAX_MS)
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "\"%.64s\" is neither a duration like 90s or 12h, up to "
                      "366d, nor an instant like 2026-11-26T08:30:00Z",
                      text);
}

/* ---- into a job ---- */

static struct json_span span_of(const struct buf *b)
{
    return (struct json_span){b->len > 0 ? b->data : NULL, b->len};
}

void push_options_apply(const struct push_options *p, int64_t now_ms,
                        struct job_spec *spec)
{
    int64_t due_ms = now_ms + p->in_ms;

    if (p->at_ms > due_ms)
        due_ms = p->at_ms;
    spec->at_ms = p->at_ms;
    spec->in_ms = p->in_ms;
    spec->expires_at_ms =
        p->expires_in_ms ? due_ms + p->expires_in_ms : p->expires_at_ms;
    spec->backoff = span_of(&p->backoff);
    spec->unique = span_of(&p->unique_json);
    spec->then = span_of(&p->then);
    spec->meta = span_of(&p->meta);
}
