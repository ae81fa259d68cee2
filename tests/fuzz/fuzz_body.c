/*
 * Fuzzer: bodies of requests, and cursors.
 *
 * What is read is within the bounds of the table, what is wrong makes a
 * problem that is JSON, and a cursor that is taken is one that is given out.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "producer/serve/body.h"
#include "producer/serve/place.h"
#include "producer/serve/query.h"

enum { TEXT_TOP = 8, TEXTS_TOP = 3, TOP = 1000 };

struct wish {
    const char *text;
    bool yes;
    int64_t n, ms;
    struct json_span json;
    struct body_texts texts;
};

static const struct body_member members[] = {
    {"text", MEMBER_TEXT, offsetof(struct wish, text), 0, TEXT_TOP},
    {"yes", MEMBER_BOOL, offsetof(struct wish, yes), 0, 0},
    {"n", MEMBER_INT, offsetof(struct wish, n), -1, TOP},
    {"for", MEMBER_SPAN, offsetof(struct wish, ms), 1, TOP},
    {"json", MEMBER_JSON, offsetof(struct wish, json), 0, 0},
    {"ids", MEMBER_TEXTS, offsetof(struct wish, texts), 0, TEXTS_TOP},
    {0},
};

static void check_wish(const struct wish *w)
{
    assert(!w->text || strlen(w->text) <= TEXT_TOP);
    assert(w->n >= -1 && w->n <= TOP);
    assert(w->ms == 0 || (w->ms >= 1 && w->ms <= TOP));
    assert(!w->json.p || json_check(w->json.p, w->json.len, NULL) == 0);
    assert(w->texts.count <= TEXTS_TOP);
    for (size_t i = 0; i < w->texts.count; i++)
        assert(w->texts.texts[i]);
}

static void try_body(const char *text, size_t n)
{
    struct answer a = {0};
    struct body b = {0};
    struct wish w = {0};

    body_read(&b, (struct bytes){text, n}, members, &w);
    if (body_is_wrong(&b, &a)) {
        assert(a.status == 400 || a.status == 422);
        assert(json_check(a.body.data, a.body.len, NULL) == 0);
    } else {
        assert(a.status == 0);
        check_wish(&w);
    }
    answer_done(&a);
    body_done(&b);
}

static void try_place(const char *text, size_t n)
{
    struct walk_place place, again;
    struct buf out = {0}, cursor = {0}, back = {0};

    if (place_read(text, n, &place)) {
        place_append(&out, &place);
        cursor_append(&cursor, out.data, out.len);
        bool right = cursor_read(cursor.data, &back) &&
                     place_read(back.data, back.len, &again);
        assert(right && back.len == out.len);
        assert(memcmp(back.data, out.data, out.len) == 0);
        assert(memcmp(again.prefix, place.prefix, place.prefix_len) == 0);
        (void)right;
    }
    buf_done(&out);
    buf_done(&cursor);
    buf_done(&back);
}

static void try_cursor(const char *text)
{
    struct buf plain = {0}, again = {0};

    if (cursor_read(text, &plain)) {
        cursor_append(&again, plain.data, plain.len);
        struct buf back = {0};
        bool right = cursor_read(again.data, &back);
        assert(right && back.len == plain.len);
        assert(memcmp(back.data, plain.data, plain.len) == 0);
        (void)right;
        buf_done(&back);
    }
    buf_done(&plain);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_dup((const char *)data, size);

    try_body(text, size);
    try_place(text, size);
    try_cursor(text);
    free(text);
    return 0;
}
