/*
 * Reader: hiredis' parser, kept from allocating what a stranger announces.
 *
 * hiredis allocates an array for as many elements as its header says, and
 * looks for the end of a line from its start each time bytes arrive. So arrays
 * are charged before they are made, and lines have a limit.
 *
 * Thread: event loop only.
 */
#include "common/redis/reader.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

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
    redisReplyObjectFunctions make;
    void *(*make_array)(const redisReadTask *task, array_len n);

    size_t max_bytes;
    size_t bytes; /* of the reply that is being read, so far */
    bool too_big;
};

static void *on_array(const redisReadTask *task, array_len n);

struct reader *reader_new(size_t max_bytes)
{
    struct reader *rd = mem_new(sizeof(*rd));

    rd->max_bytes = max_bytes;
    rd->hi = redisReaderCreate();
    if (!rd->hi)
        abort();
    rd->make = *rd->hi->fn;
    rd->make_array = rd->make.createArray;
    rd->make.createArray = on_array;
    rd->hi->fn = &rd->make;
    rd->hi->privdata = rd;
    return rd;
}

void reader_free(struct reader *rd)
{
    if (!rd)
        return;
    redisReaderFree(rd->hi);
    free(rd);
}

void reader_feed(struct reader *rd, const char *p, size_t n)
{
    rd->bytes += n;
    (void)redisReaderFeed(rd->hi, p, n); /* reader_next reports its error */
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
    return rd->make_array(task, n);
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

int reader_next(struct reader *rd, struct reply **ret, struct errbuf *eb)
{
    void *reply = NULL;
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
    *ret = reply;
    return 0;
}

void reader_free_reply(struct reply *r)
{
    if (r)
        freeReplyObject(r);
}
