/*
 * The description of the interface: openapi.json, as it was at the build.
 *
 * Its digest is its ETag, so who has it already is told so.
 *
 * Thread: event loop only.
 */
#include <string.h>

#include "common/redis/sha1.h"
#include "producer/serve/answer.h"
#include "producer/serve/request.h"

static const char text[] =
#include "openapi.inc"
    ;

enum { DIGEST_LEN = 40 };

static const char *digest(void)
{
    static char hex[DIGEST_LEN + 1];

    if (hex[0] == '\0')
        sha1_hex(text, sizeof(text) - 1, hex);
    return hex;
}

/* Whether an If-None-Match has it: "*", or a list of tags. */
static bool is_known(const char *header)
{
    return header != NULL &&
           (strcmp(header, "*") == 0 || strstr(header, digest()) != NULL);
}

void serve_openapi(struct request *r)
{
    struct answer a = {.status = 200};

    answer_header(&a, "ETag", "\"%s\"", digest());
    if (is_known(request_header(r, "If-None-Match")))
        a.status = 304;
    else
        buf_append(&a.body, text, sizeof(text) - 1);
    request_answer(r, &a);
}
