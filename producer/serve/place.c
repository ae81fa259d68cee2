/*
 * Place: "SCORE END SAME DIGEST PREFIX". END is * if there is none.
 *
 * Scores go to Redis, so they have to be numbers as Redis writes them.
 *
 * Thread: any.
 */
#include "producer/serve/place.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "common/redis/queue.h"
#include "producer/serve/query.h"

void place_append(struct buf *out, const struct walk_place *p)
{
    buf_printf(out, "%s %s %" PRId64 " %s ", p->score,
               p->end[0] != '\0' ? p->end : "*", p->same, p->digest);
    buf_append(out, p->prefix, p->prefix_len);
}

static bool is_score(const char *text)
{
    return text[strspn(text, "0123456789+-.einf")] == '\0';
}

bool place_read(const char *text, size_t n, struct walk_place *ret)
{
    const char *p = text, *end = text + n;
    char same[INT_TEXT_MAX];

    *ret = (struct walk_place){0};
    if (!cursor_word(&p, end, ret->score, sizeof(ret->score)) ||
        !cursor_word(&p, end, ret->end, sizeof(ret->end)) ||
        !cursor_word(&p, end, same, sizeof(same)) ||
        !cursor_word(&p, end, ret->digest, sizeof(ret->digest)) ||
        text_parse_int(same, 0, QUEUE_COUNT_MAX, NULL, &ret->same, NULL) != 0 ||
        (size_t)(end - p) > WALK_PREFIX)
        return false;
    if (strcmp(ret->end, "*") == 0)
        ret->end[0] = '\0';
    ret->prefix_len = (size_t)(end - p);
    memcpy(ret->prefix, p, ret->prefix_len);
    return is_score(ret->score) && is_score(ret->end);
}
