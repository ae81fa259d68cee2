/*
 * Replies: hiredis' structure behind accessors that check its shape.
 *
 * struct reply is never defined: a pointer to one is a pointer to redisReply,
 * which only this layer's .c files know.
 *
 * Thread: any.
 */
#include "common/redis/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#define SCRIPT_WRAPPER "ERR Error running script" /* until Redis 6.2 */

/* What is not there has no shape, so that answers may be shorter than hoped. */
static const redisReply *raw(const struct reply *r)
{
    static const redisReply nothing = {.type = -1};
    return r != NULL ? (const redisReply *)(const void *)r : &nothing;
}

bool reply_is_nil(const struct reply *r)
{
    return raw(r)->type == REDIS_REPLY_NIL;
}

bool reply_is_error(const struct reply *r)
{
    return raw(r)->type == REDIS_REPLY_ERROR;
}

const char *reply_error(const struct reply *r)
{
    return reply_is_error(r) ? raw(r)->str : "";
}

static bool starts_with_word(const char *text, const char *word)
{
    size_t n = strlen(word);

    return strncmp(text, word, n) == 0 && (text[n] == ' ' || text[n] == '\0');
}

bool reply_error_is(const struct reply *r, const char *code)
{
    const char *text = reply_error(r);

    if (!reply_is_error(r))
        return false;
    if (starts_with_word(text, code))
        return true;
    if (strncmp(text, SCRIPT_WRAPPER, sizeof(SCRIPT_WRAPPER) - 1) != 0)
        return false;
    const char *inner = strstr(text, " -");
    return inner && starts_with_word(inner + 2, code);
}

bool reply_int(const struct reply *r, int64_t *ret_n)
{
    const redisReply *h = raw(r);

    if (h->type == REDIS_REPLY_INTEGER) {
        *ret_n = h->integer;
        return true;
    }
    /* strtoll would skip blanks and accept a plus: neither is Redis'. */
    if (h->type != REDIS_REPLY_STRING ||
        !(h->str[0] == '-' || (h->str[0] >= '0' && h->str[0] <= '9')))
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(h->str, &end, 10);
    if (errno != 0 || end == h->str || end != h->str + h->len)
        return false;
    *ret_n = n;
    return true;
}

bool reply_str(const struct reply *r, const char **ret_p, size_t *ret_len)
{
    const redisReply *h = raw(r);

    if (h->type != REDIS_REPLY_STRING && h->type != REDIS_REPLY_STATUS)
        return false;
    *ret_p = h->str;
    *ret_len = h->len;
    return true;
}

bool reply_str_is(const struct reply *r, const char *text)
{
    const char *p;
    size_t n;

    return reply_str(r, &p, &n) && n == strlen(text) && memcmp(p, text, n) == 0;
}

size_t reply_len(const struct reply *r)
{
    return raw(r)->type == REDIS_REPLY_ARRAY ? raw(r)->elements : 0;
}

const struct reply *reply_at(const struct reply *r, size_t i)
{
    if (i >= reply_len(r))
        return NULL;
    return (const struct reply *)(const void *)raw(r)->element[i];
}
