/*
 * Unique: from the member of an envelope to a struct.
 *
 * A push reads it to take the lock, a worker to let it go.
 *
 * Thread: any.
 */
#include "common/job/unique.h"

#include <string.h>

#include "common/base/text.h"
#include "common/job/job.h"

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);

/* The place of a word in words (NULL at the end), or ERR_INVALID. */
static int find_word(struct json_span value, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (json_string_is(value, words[i]))
            return i;
    }
    return ERR_INVALID;
}

static int read_key(struct json_span value, struct unique *u, struct errbuf *eb)
{
    size_t len;

    if (json_string_copy(value, u->key, sizeof(u->key), &len) != 0 ||
        len == 0 || text_control(u->key, len) < len)
        return errbuf_set(eb, ERR_INVALID,
                          "unique: the key is not a text of 1 to %d bytes "
                          "without control characters",
                          UNIQUE_KEY_MAX_LEN);
    return 0;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    static const char *const untils[] = {"done", "started", "time", NULL};
    static const char *const conflicts[] = {"skip", "replace", "error", NULL};
    struct unique *u = arg;
    int word = 0;

    if (json_string_is(key, "key"))
        return read_key(value, u, eb);
    if (json_string_is(key, "until")) {
        word = find_word(value, untils);
        u->until = word < 0 ? UNIQUE_DONE : (enum unique_until)word;
    } else if (json_string_is(key, "on_conflict")) {
        word = find_word(value, conflicts);
        u->on_conflict = word < 0 ? UNIQUE_SKIP : (enum unique_conflict)word;
    } else if (json_string_is(key, "ttl")) {
        if (json_int_value(value, &u->ttl_ms) != 0 || u->ttl_ms < 1 ||
            u->ttl_ms > JOB_DURATION_MAX_MS)
            word = ERR_INVALID;
    } else {
        word = ERR_INVALID;
    }
    if (word < 0)
        return errbuf_set(eb, ERR_INVALID, "unique: %.*s: %.*s: not understood",
                          (int)(key.len < 64 ? key.len : 64), key.p,
                          (int)(value.len < 64 ? value.len : 64), value.p);
    return 0;
}

int unique_parse(struct json_span value, struct unique *ret, struct errbuf *eb)
{
    struct unique u = {.until = UNIQUE_DONE};
    int rc = json_kind(value) == JSON_IS_OBJECT
                 ? json_scan_object(value.p, value.len, on_member, &u, eb)
                 : read_key(value, &u, eb);

    if (rc != 0)
        return rc;
    if (u.key[0] == '\0')
        return errbuf_set(eb, ERR_INVALID, "unique: key: missing");
    if ((u.until == UNIQUE_TIME) != (u.ttl_ms > 0))
        return errbuf_set(eb, ERR_INVALID,
                          "unique: ttl belongs to until time, and only there");
    *ret = u;
    return 0;
}

bool unique_ends_with_job(struct json_span value, struct unique *ret)
{
    return value.p != NULL && unique_parse(value, ret, NULL) == 0 &&
           ret->until != UNIQUE_TIME;
}
