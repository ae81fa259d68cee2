#ifndef WORKER_HANDLER_HTTP_H
#define WORKER_HANDLER_HTTP_H

#include "common/base/thread.h"
#include "worker/handler_http_curl.h"
#include "worker/handler_http_sign.h"
#include "worker/handler_priv.h"

/*
 * What a handler of kind http is told by its configuration. For
 * worker/handler_http*.c only. Constant once it was read, but for idle.
 */
enum { HTTP_STATUS_MIN = 100, HTTP_STATUSES = 500 /* 100 to 599 */ };

/* What becomes of a job whose answer has a status. */
enum http_rule { HTTP_BY_TABLE, HTTP_AS_DEAD, HTTP_AS_RETRY };

struct session;

struct http {
    const struct curl *curl; /* borrowed, for ever */
    char *url;               /* owned */
    char *place;             /* owned: the same without password and query */
    struct sign_keys keys;
    struct curl_slist *headers;         /* owned: those of the configuration */
    unsigned char rules[HTTP_STATUSES]; /* by status - HTTP_STATUS_MIN */
    struct mutex mu;                    /* guards what follows */
    struct session *idle;               /* owned */
};

/*
 * Reads the URL and the keys of h, whose state is a struct http with curl.
 * ERR_INVALID and ERR_SYSTEM with a text. One thread at a time, which reads the
 * configuration.
 */
int http_read_config(struct handler *h, const char *url, struct errbuf *eb);

/* Appends a copy. ERR_NOMEM. Any thread. */
int http_add_header(const struct curl *c, struct curl_slist **list,
                    const char *text);

#endif
