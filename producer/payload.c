/*
 * Payload: from arguments to a JSON value.
 *
 * What looks like JSON is checked and never rewritten. key=value builds an
 * object, so that common payloads need no quotes in a shell.
 *
 * Thread: main.
 */
#include "producer/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/job/json.h"

enum { READ_BLOCK = 64 * 1024 };
#define START "%.40s%s" /* enough of an argument to recognise it */
#define START_OF(arg) (arg), strlen(arg) > 40 ? "…" : ""

/* A part key=value or key:=json of an object. */
struct part {
    const char *key, *value;
    size_t key_len;
    bool is_json;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Appends a JSON text without the white space around it. what names it. */
static int append_json(struct buf *out, const char *text, size_t n,
                       const char *what, struct errbuf *eb)
{
    int rc = json_check(text, n, eb);

    if (rc != 0)
        return errbuf_wrap(eb, rc, "%s", what);
    while (n > 0 && is_space(text[0])) {
        text++;
        n--;
    }
    while (n > 0 && is_space(text[n - 1]))
        n--;
    buf_append(out, text, n);
    return 0;
}

int payload_read(int fd, const char *what, size_t max_bytes, struct buf *text,
                 struct errbuf *eb)
{
    for (;;) {
        buf_reserve(text, READ_BLOCK);
        ssize_t n = read(fd, text->data + text->len, READ_BLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errbuf_set(eb, ERR_SYSTEM, "%s: %s", what, strerror(errno));
        if (n == 0)
            return 0;
        text->len += (size_t)n;
        if (text->len > max_bytes)
            return errbuf_set(eb, ERR_TOO_BIG,
                              "%s: more than %zu bytes (--max-bytes)", what,
                              max_bytes);
    }
}

static int append_fd(struct buf *out, int fd, const char *what,
                     size_t max_bytes, struct errbuf *eb)
{
    struct buf text = {0};
    int rc = payload_read(fd, what, max_bytes, &text, eb);

    if (rc == 0)
        rc = append_json(out, text.data, text.len, what, eb);
    buf_done(&text);
    return rc;
}

static int append_file(struct buf *out, const char *path, size_t max_bytes,
                       struct errbuf *eb)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errbuf_set(eb, ERR_MISSING, "%s: %s", path, strerror(errno));
    int rc = append_fd(out, fd, path, max_bytes, eb);
    close(fd);
    return rc;
}

static bool split(const char *arg, struct part *ret)
{
    const char *equals = strchr(arg, '=');

    if (!equals)
        return false;
    bool is_json = equals > arg && equals[-1] == ':';
    *ret = (struct part){
        .key = arg,
        .key_len = (size_t)(equals - arg) - is_json,
        .value = equals + 1,
        .is_json = is_json,
    };
    return ret->key_len > 0;
}

static int check_key(const char *const *args, int i, const struct part *part,
                     struct errbuf *eb)
{
    size_t n = strlen(args[i]);

    if (text_utf8_error(args[i], n) != n)
        return errbuf_set(eb, ERR_INVALID, START ": not UTF-8",
                          START_OF(args[i]));
    for (int j = 0; j < i; j++) {
        struct part other;
        if (split(args[j], &other) && other.key_len == part->key_len &&
            memcmp(other.key, part->key, part->key_len) == 0)
            return errbuf_set(eb, ERR_INVALID, "%.*s: given twice",
                              (int)part->key_len, part->key);
    }
    return 0;
}

static int append_part(struct buf *out, const char *const *args, int i,
                       struct errbuf *eb)
{
    struct part part;

    if (!split(args[i], &part))
        return errbuf_set(eb, ERR_INVALID,
                          START ": neither key=value nor key:=json",
                          START_OF(args[i]));
    int rc = check_key(args, i, &part, eb);
    if (rc != 0)
        return rc;
    buf_char(out, i == 0 ? '{' : ',');
    buf_json_string(out, part.key, part.key_len);
    buf_char(out, ':');
    if (part.is_json) {
        rc = append_json(out, part.value, strlen(part.value), "JSON", eb);
        return rc == 0 ? 0 : errbuf_wrap(eb, rc, START, START_OF(args[i]));
    }
    buf_json_string(out, part.value, strlen(part.value));
    return 0;
}

/* A number, true, false and null hold no '='; other values begin so. */
static bool is_json_arg(const char *arg)
{
    arg += strspn(arg, " \t\r\n");
    return strchr("{[\"", arg[0]) != NULL || !strchr(arg, '=');
}

static int append_arg(struct buf *out, const char *arg, struct errbuf *eb)
{
    int rc = append_json(out, arg, strlen(arg), "JSON", eb);

    if (rc == 0)
        return 0;
    if (arg[0] != '\0' && strchr("{[\"", arg[0]))
        return errbuf_wrap(eb, rc, START, START_OF(arg));
    return errbuf_set(eb, rc,
                      START ": neither JSON nor key=value; a JSON string "
                            "needs its quotes: '\"text\"'",
                      START_OF(arg));
}

int payload_build(const char *const *args, int n, size_t max_bytes,
                  struct buf *out, struct errbuf *eb)
{
    if (n == 0) {
        buf_str(out, "null");
        return 0;
    }
    if (n == 1 && strcmp(args[0], "-") == 0)
        return append_fd(out, STDIN_FILENO, "standard input", max_bytes, eb);
    if (n == 1 && args[0][0] == '@')
        return append_file(out, args[0] + 1, max_bytes, eb);
    if (n == 1 && is_json_arg(args[0]))
        return append_arg(out, args[0], eb);
    for (int i = 0; i < n; i++) {
        int rc = append_part(out, args, i, eb);
        if (rc != 0)
            return rc;
    }
    buf_char(out, '}');
    return 0;
}
