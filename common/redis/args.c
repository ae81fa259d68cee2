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
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common/base/mem.h"

enum { NUM_CELL = 24 };             /* "-9223372036854775808" and a NUL */
#define WIRE_MAX_BYTES (512U << 20) /* hiredis 0.14 counts in an int */

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
    int len = snprintf(cell, NUM_CELL, "%" PRId64, n);
    assert(len > 0 && len < NUM_CELL);
    args_mem(a, cell, (size_t)len);
}

struct wire *wire_new(const struct args *a)
{
    size_t total = 0;

    assert(a->argc > 0);
    for (int i = 0; i < a->argc; i++) {
        if (a->lens[i] > WIRE_MAX_BYTES - total)
            return NULL;
        total += a->lens[i];
    }
    char *bytes;
    long long n = redisFormatCommandArgv(&bytes, a->argc, a->argv, a->lens);
    if (n < 0)
        return NULL;
    struct wire *w = mem_new(sizeof(*w));
    *w = (struct wire){.refs = 1, .bytes = bytes, .len = (size_t)n};
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
    redisFreeCommand(w->bytes);
    free(w);
}
