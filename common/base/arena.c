/*
 * Arena: blocks of one size, a pointer that moves through the first of them.
 *
 * What would waste much of a block has memory of its own, which is never kept
 * (and freed from the oldest on: malloc then trims its heap once).
 * How many blocks are kept follows what is used: at once when it grows, slowly
 * when it falls, since small and big uses alternate.
 *
 * Thread: the caller's.
 */
#include "common/base/arena.h"

#include <stdint.h>
#include <stdlib.h>

/* Of the address sanitizer, where there is one. */
void asan_poison(void *p, size_t n) __asm__("__asan_poison_memory_region")
    __attribute__((weak));
void asan_unpoison(void *p, size_t n) __asm__("__asan_unpoison_memory_region")
    __attribute__((weak));

struct arena_block {
    struct arena_block *next;
    int64_t bytes[]; /* of that alignment */
};

enum {
    BLOCK_BYTES = 64 * 1024,
    ROOM_BYTES = BLOCK_BYTES - sizeof(struct arena_block),
    BIG_BYTES = ROOM_BYTES / 4,
    ALIGN = sizeof(int64_t),
    KEEP_MAX = ARENA_KEEP_BYTES / BLOCK_BYTES,
    FALL = 16, /* each clear forgets so small a part of what was needed */
};

static void *cut_big(struct arena *a, size_t n)
{
    struct arena_block *b =
        n <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + n) : NULL;

    if (b == NULL)
        return NULL;
    b->next = NULL;
    *(a->big != NULL ? &a->last_big->next : &a->big) = b;
    a->last_big = b;
    return b->bytes;
}

static void forbid(struct arena_block *b)
{
    if (asan_poison != NULL)
        asan_poison(b->bytes, ROOM_BYTES);
}

static int add_block(struct arena *a)
{
    struct arena_block *b = a->free;

    if (b != NULL) {
        a->free = b->next;
        a->spare--;
    } else if ((b = malloc(BLOCK_BYTES)) == NULL) {
        return -1;
    } else {
        forbid(b);
    }
    b->next = a->blocks;
    a->blocks = b;
    a->used++;
    a->at = (char *)b->bytes;
    a->end = a->at + ROOM_BYTES;
    return 0;
}

void *arena_cut(struct arena *a, size_t n)
{
    if (n > BIG_BYTES)
        return cut_big(a, n);
    size_t whole = (n + ALIGN - 1) / ALIGN * ALIGN;
    if ((a->at == NULL || whole > (size_t)(a->end - a->at)) &&
        add_block(a) != 0)
        return NULL;
    char *p = a->at;
    a->at += whole;
    if (asan_unpoison != NULL)
        asan_unpoison(p, n);
    return p;
}

static void free_all(struct arena_block **list)
{
    while (*list != NULL) {
        struct arena_block *b = *list;
        *list = b->next;
        free(b);
    }
}

void arena_clear(struct arena *a)
{
    unsigned keep = a->keep - (a->keep + FALL - 1) / FALL;

    if (keep < a->used)
        keep = a->used < KEEP_MAX ? a->used : KEEP_MAX;
    a->keep = keep;
    free_all(&a->big);
    while (a->blocks != NULL) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        forbid(b);
        b->next = a->free;
        a->free = b;
    }
    a->spare += a->used;
    a->used = 0;
    a->at = a->end = NULL;
    for (; a->spare > keep; a->spare--) {
        struct arena_block *b = a->free;
        a->free = b->next;
        free(b);
    }
}

void arena_done(struct arena *a)
{
    free_all(&a->big);
    free_all(&a->blocks);
    free_all(&a->free);
    *a = (struct arena){0};
}
