/*
 * Rows: what the commands print, within the body of an answer.
 *
 * Thread: any.
 */
#include "producer/serve/rows.h"

static const struct options as_array = {.format = OUT_JSON};
static const struct options as_object = {.format = OUT_NDJSON};

struct out *rows_begin(struct answer *a, const char *name,
                       const struct column *columns)
{
    buf_printf(&a->body, "{\"%s\":", name);
    return rows_go_on(a, columns);
}

struct out *rows_go_on(struct answer *a, const struct column *columns)
{
    return out_new_to(&as_array, columns, &a->body);
}

struct out *row_begin(struct answer *a, const struct column *columns)
{
    return out_new_to(&as_object, columns, &a->body);
}

void row_end(struct out *out, struct answer *a)
{
    struct buf *b = &a->body;

    out_end(out);
    while (b->len > 0 && b->data[b->len - 1] != '}')
        b->len--;
    if (b->len > 0)
        b->data[--b->len] = '\0';
}

void rows_finish(struct answer *a, int status)
{
    buf_str(&a->body, "}\n");
    a->status = status;
}
