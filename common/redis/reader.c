/*
 * Reader: hiredis' parser, kept from allocating what a stranger announces.
 *
 * hiredis allocates an array for as many elements as its header says, and
 * looks for the end of a line from its start each time bytes arrive. So arrays
 * are charged before they are made, and lines have a limit.
 *
 * The objects of a reply are hiredis' own structures, as reply.c reads them,
 * in an arena: a reply of a thousand jobs is made and freed without a malloc
 * for each of them. It is cleared by the call behind the one that lent the
 * reply.
 *
 * Thread: event loop only.
 */
#include "common/redis/reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common/base/arena.h"
#include "common/base/mem.h"

/* What an element costs besides its bytes: its slot and its object. */
enum { ELEMENT_BYTES = sizeof(redisReply *) + sizeof(redisReply) };
enum { LINE_MAX_BYTES = 64 * 1024 }; /* errors and headers are short */

#if HIREDIS_MAJOR >= 1
typedef size_t array_len;
#else
typedef int array_len;
#endif

struct reader {
    redisReader *hi; /* owned */
    struct arena objects;
    bool lent; /* the objects are a whole reply */

    size_t max_bytes;
    size_t bytes; /* of the reply that is being read, so far */
    bool too_big;
};

static void *on_string(const redisReadTask *task, char *p, size_t n);
static void *on_array(const redisReadTask *task, array_len n);
static void *on_integer(const redisReadTask *task, long long n);
static void *on_nil(const redisReadTask *task);
static void on_free(void *object);

#if HIREDIS_MAJOR >= 1
/* RESP3, which we did not ask for: of no shape that reply.h knows. */
static void *on_double(const redisReadTask *task, double d, char *p, size_t n)
{
    (void)d;
    return on_string(task, p, n);
}

static void *on_bool(const redisReadTask *task, int yes)
{
    return on_integer(task, yes);
}
#endif

static redisReplyObjectFunctions make = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = on_double,
    .createBool = on_bool,
#endif
    .freeObject = on_free,
};

struct reader *reader_new(size_t max_bytes)
{
    struct reader *rd = mem_new(sizeof(*rd));

    rd->max_bytes = max_bytes;
    rd->hi = redisReaderCreateWithFunctions(&make);
    if (!rd->hi)
        abort();
    rd->hi->privdata = rd;
    return rd;
}

void reader_free(struct reader *rd)
{
    if (!rd)
        return;
    redisReaderFree(rd->hi);
    arena_done(&rd->objects);
    free(rd);
}

void reader_feed(struct reader *rd, const char *p, size_t n)
{
    rd->bytes += n;
    (void)redisReaderFeed(rd->hi, p, n); /* reader_next reports its error */
}

/*
 * Returns an object in its place with room for n bytes behind it; NULL, which
 * hiredis reports, without memory.
 */
static redisReply *add_object(const redisReadTask *task, size_t n)
{
    struct reader *rd = task->privdata;
    redisReply *r = n <= SIZE_MAX - sizeof(*r)
                        ? arena_cut(&rd->objects, sizeof(*r) + n)
                        : NULL;

    if (!r)
        return NULL;
    *r = (redisReply){.type = task->type};
    if (task->parent) {
        redisReply *array = task->parent->obj;
        assert((size_t)task->idx < array->elements);
        array->element[task->idx] = r;
    }
    return r;
}

static void *on_string(const redisReadTask *task, char *p, size_t n)
{
    redisReply *r = n < SIZE_MAX ? add_object(task, n + 1) : NULL;

    if (!r)
        return NULL;
    r->str = (char *)(r + 1);
    r->len = n;
    memcpy(r->str, p, n);
    r->str[n] = '\0';
    return r;
}

static void *on_array(const redisReadTask *task, array_len n)
{
    struct reader *rd = task->privdata;
    size_t room = rd->bytes < rd->max_bytes ? rd->max_bytes - rd->bytes : 0;

    if (n > 0 && (size_t)n > room / ELEMENT_BYTES) {
        rd->too_big = true;
        return NULL;
    }
    rd->bytes += (size_t)n * ELEMENT_BYTES;
    redisReply *r = add_object(task, (size_t)n * sizeof(r));
    if (!r)
        return NULL;
    r->elements = (size_t)n;
    r->element = (redisReply **)(r + 1);
    return r;
}

static void *on_integer(const redisReadTask *task, long long n)
{
    redisReply *r = add_object(task, 0);

    if (r)
        r->integer = n;
    return r;
}

static void *on_nil(const redisReadTask *task)
{
    redisReply *r = add_object(task, 0);

    if (r)
        r->type = REDIS_REPLY_NIL; /* the task's is of what is missing */
    return r;
}

static void on_free(void *object)
{
    (void)object; /* the arena's */
}

static size_t unread(const struct reader *rd)
{
    return rd->hi->len - rd->hi->pos;
}

/* Whether what is read now began with a line that does not end. */
static bool line_too_long(const struct reader *rd)
{
    return unread(rd) > LINE_MAX_BYTES &&
           !memmem(rd->hi->buf + rd->hi->pos, LINE_MAX_BYTES, "\r\n", 2);
}

int reader_next(struct reader *rd, const struct reply **ret, struct errbuf *eb)
{
    void *reply = NULL;

    if (rd->lent)
        arena_clear(&rd->objects);
    rd->lent = false;
    int rc = redisReaderGetReply(rd->hi, &reply);
    if (rd->too_big || (!reply && rd->bytes > rd->max_bytes)) {
        return errbuf_set(eb, ERR_TOO_BIG, "reply of more than %zu bytes",
                          rd->max_bytes);
    }
    if (rc != REDIS_OK)
        return errbuf_set(eb, ERR_REDIS, "%s", rd->hi->errstr);
    if (!reply && line_too_long(rd))
        return errbuf_set(eb, ERR_REDIS, "Protocol error: line too long");
    if (reply)
        rd->bytes = unread(rd);
    rd->lent = reply != NULL;
    *ret = reply;
    return 0;
}
