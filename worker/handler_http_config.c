/*
 * Http: what its configuration says, read and checked.
 *
 * Thread: one at a time, which reads the configuration; http_add_header any.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "worker/handler_http.h"

enum { HEADER_NAME_MAX = 128 };

int http_add_header(const struct curl *c, struct curl_slist **list,
                    const char *text)
{
    struct curl_slist *longer = c->slist_append(*list, text);

    if (longer == NULL)
        return ERR_NOMEM;
    *list = longer;
    return 0;
}

static int parse_url(struct http *http, const char *text, struct errbuf *eb)
{
    const struct curl *c = http->curl;
    CURLU *u = c->url();
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    int rc = 0;

    if (u == NULL)
        return errbuf_set(eb, ERR_NOMEM, "out of memory");
    if (c->url_set(u, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) !=
            CURLUE_OK ||
        c->url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        c->url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        c->url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        c->url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        rc = errbuf_set(eb, ERR_INVALID, "it is no URL");
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        rc = errbuf_set(eb, ERR_INVALID, "neither http:// nor https://");
    if (rc == 0) {
        http->url = mem_strdup(text);
        http->place = mem_printf("%s://%s:%s%s", scheme, host, port, path);
    }
    c->free(scheme);
    c->free(host);
    c->free(port);
    c->free(path);
    c->url_cleanup(u);
    return rc;
}

/* "404 5xx": what becomes of jobs whose answer has such a status. */
static int parse_statuses(struct http *http, const char *list, int rule,
                          struct errbuf *eb)
{
    while (*(list += strspn(list, " ,")) != '\0') {
        size_t n = strcspn(list, " ,");
        bool is_class = n == 3 && strncmp(list + 1, "xx", 2) == 0;
        int first = 0;

        for (size_t i = 0; i < (is_class ? 1 : n) && n == 3; i++)
            first = list[i] >= '0' && list[i] <= '9'
                        ? first * 10 + (list[i] - '0')
                        : INT_MIN / 100;
        if (is_class)
            first *= 100;
        /* What is done is done: a 2xx is no failure. */
        if (n != 3 || first < 300 || first > 599)
            return errbuf_set(eb, ERR_INVALID,
                              "\"%.*s\" is neither a status from 300 to 599 "
                              "nor a class as 4xx",
                              (int)n, list);
        for (int i = 0; i < (is_class ? 100 : 1); i++) {
            unsigned char *r = &http->rules[first + i - HTTP_STATUS_MIN];

            /* One status goes before its class, wherever it stands. */
            if (is_class && *r != HTTP_BY_TABLE)
                continue;
            *r = (unsigned char)rule;
        }
        list += n;
    }
    return 0;
}

static int check_header(const char *text, struct errbuf *eb)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrst"
                                "uvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = strspn(text, token);

    if (n == 0 || n > HEADER_NAME_MAX || text[n] != ':')
        return errbuf_set(eb, ERR_INVALID,
                          "header \"%s\": expected \"Name: value\"", text);
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return errbuf_set(eb, ERR_INVALID,
                              "header \"%.*s\": a control character in it",
                              (int)n, text);
    return 0;
}

static int read_keys(struct handler *h, struct errbuf *eb)
{
    struct http *http = h->state;
    const struct handler_keys *k = &h->keys;
    int rc = 0;

    if (k->secret_file != NULL)
        rc = sign_keys_read(&http->keys, k->secret_file, eb);
    if (rc == 0 && k->ca_file != NULL && access(k->ca_file, R_OK) != 0)
        rc = errbuf_set(eb, ERR_SYSTEM, "%s: %s", k->ca_file, strerror(errno));
    /* Single ones first, so that a class leaves them alone. */
    if (rc == 0 && k->dead_status != NULL)
        rc = parse_statuses(http, k->dead_status, HTTP_AS_DEAD, eb);
    if (rc == 0 && k->retry_status != NULL)
        rc = parse_statuses(http, k->retry_status, HTTP_AS_RETRY, eb);
    for (size_t i = 0; rc == 0 && k->headers != NULL && k->headers[i] != NULL;
         i++) {
        rc = check_header(k->headers[i], eb);
        if (rc == 0)
            rc = http_add_header(http->curl, &http->headers, k->headers[i]);
    }
    return rc;
}

int http_read_config(struct handler *h, const char *url, struct errbuf *eb)
{
    int rc = parse_url(h->state, url, eb);

    return rc == 0 ? read_keys(h, eb) : rc;
}
