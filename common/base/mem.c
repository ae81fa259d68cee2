/*
 * Allocation that either works or ends the process with a message.
 *
 * A process that dies here loses nothing: what it held in Redis is given back
 * by the reaper. Unwinding every call path instead would be code that never
 * runs except when it must not fail.
 *
 * Thread: any.
 */
#include "common/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void die(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes\n", size);
    abort();
}

void *mem_new(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);
    if (p == NULL)
        die(size);
    return p;
}

void *mem_resize(void *p, size_t size)
{
    void *q = realloc(p, size > 0 ? size : 1);
    if (q == NULL)
        die(size);
    return q;
}

void *mem_dup(const void *p, size_t size)
{
    if (size == SIZE_MAX)
        die(size);
    char *copy = malloc(size + 1);
    if (copy == NULL)
        die(size);
    if (size > 0)
        memcpy(copy, p, size);
    copy[size] = '\0';
    return copy;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *s;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        die(strlen(fmt));
    return s;
}

void *mem_try(size_t size)
{
    return malloc(size > 0 ? size : 1);
}
