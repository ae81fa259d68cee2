/*
 * Lua out of memory: lets the k-th allocation of a redis-server's Lua fail.
 *
 * Redis' own code allocates by malloc and calloc, and calls realloc only for
 * what it has. The Lua in it allocates all by realloc from one place: so the
 * place in redis-server from which realloc is asked for something new is
 * Lua's. Shrinking never fails.
 *
 * Thread: any; Redis' Lua runs on its main thread.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/support/lua_oom.h"

enum { PLACES = 8 };

static struct lua_oom *oom;
static uintptr_t program, program_end;
static uintptr_t places[PLACES];
static int place_count;

static void *(*next_realloc)(void *p, size_t n);

/* The first object is the program itself. */
static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    program = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
                        info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > program_end)
            program_end = end;
    }
    return 1;
}

static void find_next(void)
{
    *(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("LUA_OOM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    find_next();
    if (fd < 0)
        return;
    void *map =
        mmap(NULL, sizeof(*oom), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) {
        (void)dl_iterate_phdr(on_object, NULL);
        oom = map;
    }
}

static bool is_lua(uintptr_t from, bool fresh)
{
    if (from < program || from >= program_end)
        return false;
    for (int i = 0; i < place_count; i++) {
        if (places[i] == from)
            return true;
    }
    if (!fresh || place_count == PLACES)
        return false;
    places[place_count++] = from;
    return true;
}

static bool shall_fail(void)
{
    if (atomic_load(&oom->countdown) == 0)
        return false;
    atomic_fetch_add(&oom->seen, 1);
    if (atomic_load(&oom->countdown) > 1) {
        atomic_fetch_sub(&oom->countdown, 1);
        return false;
    }
    if (atomic_load(&oom->more) > 0)
        atomic_fetch_sub(&oom->more, 1);
    else
        atomic_store(&oom->countdown, 0);
    atomic_fetch_add(&oom->failed, 1);
    return true;
}

void *realloc(void *ptr, size_t size)
{
    uintptr_t from = (uintptr_t)__builtin_return_address(0);

    if (!next_realloc)
        find_next();
    if (oom && is_lua(from, ptr == NULL) &&
        (ptr == NULL || size > malloc_usable_size(ptr)) && shall_fail()) {
        errno = ENOMEM;
        return NULL;
    }
    return next_realloc(ptr, size);
}
