/*
 * Back-off, from what people write to what an envelope says.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/backoff_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

/* Appends a duration in milliseconds. */
static int put_duration(struct buf *out, const char *p, size_t n,
                        struct errbuf *eb)
{
    char *text = mem_dup(p, n);
    int64_t ms;
    int rc = text_parse_duration(text, &ms, eb);

    free(text);
    if (rc == 0)
        buf_int(out, ms);
    return rc;
}

/* "10s,1m,5m" */
static int put_list(struct buf *out, const char *text, struct errbuf *eb)
{
    int rc = 0;

    for (const char *p = text; rc == 0; p++) {
        size_t n = strcspn(p, ",");
        buf_char(out, p == text ? '[' : ',');
        rc = put_duration(out, p, n, eb);
        p += n;
        if (*p == '\0')
            break;
    }
    buf_char(out, ']');
    return rc;
}

/* What stands behind "exponential:" or "fixed:", parts between colons. */
static int put_parts(struct buf *out, const char *kind, const char *p,
                     struct errbuf *eb)
{
    static const char *const exponential[] = {"base", "factor", "max", NULL};
    static const char *const fixed[] = {"delay", NULL};
    const char *const *name = kind[0] == 'f' ? fixed : exponential;
    int rc = 0;

    buf_printf(out, "{\"kind\":\"%s\"", kind);
    for (; rc == 0; p++, name++) {
        size_t n = strcspn(p, ":");
        if (!*name)
            return errbuf_set(eb, ERR_INVALID, "%s: too many parts", p);
        buf_printf(out, ",\"%s\":", *name);
        if (strcmp(*name, "factor") == 0)
            buf_append(out, p, n);
        else
            rc = put_duration(out, p, n, eb);
        p += n;
        if (*p == '\0')
            break;
    }
    buf_char(out, '}');
    return rc;
}

int backoff_from_text(const char *text, struct buf *out, struct errbuf *eb)
{
    size_t n = strcspn(text, ":");

    if (strcmp(text, "default") == 0 || strcmp(text, "exponential") == 0) {
        buf_json_string(out, text, strlen(text));
        return 0;
    }
    if (text[0] == '{' || text[0] == '[' || text[0] == '"') {
        buf_str(out, text);
        return 0;
    }
    if (n == 5 && strncmp(text, "fixed:", 6) == 0)
        return put_parts(out, "fixed", text + 6, eb);
    if (n == 11 && strncmp(text, "exponential:", 12) == 0)
        return put_parts(out, "exponential", text + 12, eb);
    return put_list(out, text, eb);
}
