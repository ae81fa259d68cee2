/*
 * Arguments of a command, and the bytes that go over the wire.
 *
 * Numbers are formatted into one arena, so that a call of a script with
 * thousands of them allocates a handful of times. The arena moves when it
 * grows, and the pointers into it are moved along.
 *
 * The bytes of a command are counted references: the output buffer holds one
 * until the kernel has them, script.c another while it may send them again.
 *
 * Thread: the caller's; wires belong to the event loop.
 */
#include "common/redis/conn_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum { NUM_CELL = 24 };             /* INT_TEXT_MAX, rounded up */
enum { HEAD_MAX = 24 };             /* "$", a number and "\r\n" */
#define WIRE_MAX_BYTES (512U << 20) /* what Redis takes as one bulk */

void args_clear(struct args *a)
{
    a->argc = 0;
    a->nums_len = 0;
}

void args_done(struct args *a)
{
    free((void *)a->argv);
    free(a->lens);
    free(a->nums);
    *a = (struct args){0};
}

void args_mem(struct args *a, const char *p, size_t n)
{
    if (a->argc == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 16;
        a->argv = mem_resize((void *)a->argv, (size_t)a->cap * sizeof(char *));
        a->lens = mem_resize(a->lens, (size_t)a->cap * sizeof(size_t));
    }
    a->argv[a->argc] = p;
    a->lens[a->argc++] = n;
}

void args_str(struct args *a, const char *s)
{
    args_mem(a, s, strlen(s));
}

static void grow_nums(struct args *a)
{
    int cap = a->nums_cap ? a->nums_cap * 2 : 16 * NUM_CELL;
    char *nums = mem_new((size_t)cap);
    uintptr_t old = (uintptr_t)a->nums;

    if (a->nums_len > 0)
        memcpy(nums, a->nums, (size_t)a->nums_len);
    for (int i = 0; i < a->argc; i++) {
        uintptr_t p = (uintptr_t)a->argv[i];
        if (p >= old && p < old + (uintptr_t)a->nums_len)
            a->argv[i] = nums + (p - old);
    }
    free(a->nums);
    a->nums = nums;
    a->nums_cap = cap;
}

void args_int(struct args *a, int64_t n)
{
    if (a->nums_len == a->nums_cap)
        grow_nums(a);
    char *cell = a->nums + a->nums_len;
    a->nums_len += NUM_CELL;
    args_mem(a, cell, text_format_int(n, cell));
}

/* "*3\r\n" or "$3\r\n". Returns the place behind it. */
static char *put_head(char *p, char kind, size_t n)
{
    *p++ = kind;
    p += text_format_int((int64_t)n, p);
    memcpy(p, "\r\n", 2);
    return p + 2;
}

struct wire *wire_new(const struct args *a)
{
    size_t total = HEAD_MAX;

    assert(a->argc > 0);
    for (int i = 0; i < a->argc; i++) {
        if (a->lens[i] > WIRE_MAX_BYTES || total > WIRE_MAX_BYTES)
            return NULL;
        total += HEAD_MAX + a->lens[i] + 2;
    }
    struct wire *w = mem_try(sizeof(*w) + total);
    if (!w)
        return NULL;
    char *p = put_head(w->bytes, '*', (size_t)a->argc);
    for (int i = 0; i < a->argc; i++) {
        p = put_head(p, '$', a->lens[i]);
        if (a->lens[i] > 0) /* or it may be NULL */
            memcpy(p, a->argv[i], a->lens[i]);
        p += a->lens[i];
        memcpy(p, "\r\n", 2);
        p += 2;
    }
    w->refs = 1;
    w->len = (size_t)(p - w->bytes);
    return w;
}

struct wire *wire_ref(struct wire *w)
{
    w->refs++;
    return w;
}

void wire_unref(struct wire *w)
{
    if (!w)
        return;
    assert(w->refs > 0);
    if (--w->refs > 0)
        return;
    free(w);
}
