/*
 * libcurl, looked up by name.
 *
 * Thread: see the header.
 */
#include "worker/handler_http_curl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset; /* of the member that it goes into */
} functions[] = {
#define FUNCTION(member)                                                       \
    {                                                                          \
        "curl_" #member, offsetof(struct curl, member)                         \
    }
    FUNCTION(global_init),
    FUNCTION(slist_append),
    FUNCTION(slist_free_all),
    FUNCTION(easy_init),
    FUNCTION(easy_setopt),
    FUNCTION(easy_getinfo),
    FUNCTION(easy_reset),
    FUNCTION(easy_cleanup),
    FUNCTION(easy_strerror),
    FUNCTION(multi_init),
    FUNCTION(multi_add_handle),
    FUNCTION(multi_remove_handle),
    FUNCTION(multi_perform),
    FUNCTION(multi_poll),
    FUNCTION(multi_info_read),
    FUNCTION(multi_cleanup),
    FUNCTION(url),
    FUNCTION(url_set),
    FUNCTION(url_get),
    FUNCTION(url_cleanup),
    FUNCTION(free),
#undef FUNCTION
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static int look_up(struct curl *c, struct errbuf *eb)
{
    void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (lib == NULL)
        return errbuf_set(eb, ERR_SYSTEM, "libcurl4 is missing: %s", dlerror());
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        void *p = dlsym(lib, functions[i].name);

        if (p == NULL)
            return errbuf_set(eb, ERR_SYSTEM,
                              "libcurl is too old: it has no %s",
                              functions[i].name);
        /* ISO C has no cast from an object to a function. */
        memcpy((char *)c + functions[i].offset, &p, sizeof(p));
    }
    if (c->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return errbuf_set(eb, ERR_SYSTEM, "libcurl does not start");
    return 0;
}

const struct curl *curl_load(struct errbuf *eb)
{
    static struct curl curl;
    static bool there;

    if (!there)
        there = look_up(&curl, eb) == 0;
    return there ? &curl : NULL;
}
