#ifndef WORKER_HANDLER_HTTP_CURL_H
#define WORKER_HANDLER_HTTP_CURL_H

/* Its checks of types are macros around the functions that we look up. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "common/base/err.h"

/*
 * The functions of libcurl that handlers of kind http use. It is looked up when
 * the first of them is configured and not linked: with what it needs itself it
 * would cost every worker some MiB.
 */
struct curl {
    CURLcode (*global_init)(long flags);
    struct curl_slist *(*slist_append)(struct curl_slist *list,
                                       const char *text);
    void (*slist_free_all)(struct curl_slist *list);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    void (*easy_reset)(CURL *easy);
    void (*easy_cleanup)(CURL *easy);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_perform)(CURLM *multi, int *running);
    CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd *extra,
                            unsigned extra_count, int timeout_ms, int *ret_n);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLU *(*url)(void);
    CURLUcode (*url_set)(CURLU *u, CURLUPart part, const char *text,
                         unsigned flags);
    CURLUcode (*url_get)(const CURLU *u, CURLUPart part, char **ret,
                         unsigned flags);
    void (*url_cleanup)(CURLU *u);
    void (*free)(void *p);
};

/*
 * Lends them for ever, or NULL with a text that says what is missing. One
 * thread at a time, which reads the configuration.
 */
const struct curl *curl_load(struct errbuf *eb);

#endif
