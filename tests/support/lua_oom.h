#ifndef TESTS_SUPPORT_LUA_OOM_H
#define TESTS_SUPPORT_LUA_OOM_H

#include <stdint.h>

/*
 * How a test makes the allocator of Redis' Lua fail: lua_oom_shim.so, loaded
 * into redis-server by LD_PRELOAD, maps the file that LUA_OOM names and looks
 * there before every allocation that Lua makes.
 */
struct lua_oom {
    _Atomic int64_t countdown; /* the allocation that fails; 0: none will */
    _Atomic int64_t more;      /* how many after it fail too */
    _Atomic int64_t seen;      /* allocations of Lua while counting */
    _Atomic int64_t failed;
};

#endif
