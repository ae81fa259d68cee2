#ifndef COMMON_BASE_MEM_H
#define COMMON_BASE_MEM_H

#include <stddef.h>

/*
 * Allocation.
 *
 * mem_new, mem_dup and mem_strdup are for sizes that we choose: they abort
 * with a message when memory is out. The lease outlives the process, so the
 * reaper recovers what it held. mem_try is for sizes that strangers choose.
 * All memory is freed with free().
 */
void *mem_new(size_t size); /* zeroed */
void *mem_resize(void *p, size_t size);
void *mem_dup(const void *p, size_t size); /* adds a NUL behind the copy */
char *mem_strdup(const char *s);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Returns NULL when there is not so much memory. */
void *mem_try(size_t size);

#endif
