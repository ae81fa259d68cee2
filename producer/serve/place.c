/*
 * Place: "SCORE END SAME PREFIX" in base64url. END is * if there is none.
 *
 * A cursor may come from anybody: scores go to Redis, so they are numbers as
 * Redis writes them.
 *
 * Thread: any.
 */
#include "producer/serve/place.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "producer/serve/query.h"

void place_append(struct buf *out, const struct walk_place *p)
{
    struct buf text = {0};

    buf_printf(&text, "%s %s %" PRId64 " ", p->score,
               p->end[0] != '\0' ? p->end : "*", p->same);
    buf_append(&text, p->prefix, p->prefix_len);
    cursor_append(out, text.data, text.len);
    buf_done(&text);
}

/* The word at *p, at most cap - 1 bytes, and the space behind it. */
static bool read_word(const char **p, const char *end, char *out, size_t cap)
{
    const char *space = memchr(*p, ' ', (size_t)(end - *p));

    if (!space || (size_t)(space - *p) >= cap || space == *p)
        return false;
    memcpy(out, *p, (size_t)(space - *p));
    out[space - *p] = '\0';
    *p = space + 1;
    return true;
}

static bool is_score(const char *text)
{
    return text[strspn(text, "0123456789+-.einf")] == '\0';
}

static bool read_text(const struct buf *text, struct walk_place *ret)
{
    const char *p = text->data, *end = p + text->len;
    char same[INT_TEXT_MAX];

    *ret = (struct walk_place){0};
    if (!read_word(&p, end, ret->score, sizeof(ret->score)) ||
        !read_word(&p, end, ret->end, sizeof(ret->end)) ||
        !read_word(&p, end, same, sizeof(same)) ||
        text_parse_int(same, 0, QUEUE_COUNT_MAX, NULL, &ret->same, NULL) != 0 ||
        (size_t)(end - p) > WALK_PREFIX)
        return false;
    if (strcmp(ret->end, "*") == 0)
        ret->end[0] = '\0';
    ret->prefix_len = (size_t)(end - p);
    memcpy(ret->prefix, p, ret->prefix_len);
    return is_score(ret->score) && is_score(ret->end);
}

bool place_read(const char *cursor, struct walk_place *ret)
{
    struct buf text = {0};
    bool right = cursor_read(cursor, &text) && read_text(&text, ret);

    buf_done(&text);
    return right;
}
