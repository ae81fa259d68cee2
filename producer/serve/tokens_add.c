/*
 * A new token for the file.
 *
 * Thread: any.
 */
#include "producer/serve/tokens_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "common/base/mem.h"
#include "common/base/ulid.h"

enum { TOKEN_BYTES = 32 };

static void append_hex(struct buf *out, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%02x", p[i]);
}

/* All of it or nothing; size is what the file had before. */
static int append_to(int fd, const struct buf *line, off_t size)
{
    ssize_t n;

    do
        n = write(fd, line->data, line->len);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)line->len && fsync(fd) == 0)
        return 0;
    int why = n >= 0 && n < (ssize_t)line->len ? ENOSPC : errno;
    if (n > 0 && ftruncate(fd, size) != 0)
        why = errno;
    errno = why;
    return ERR_SYSTEM;
}

/* Whether its last line has no end. */
static bool ends_open(int fd, off_t size)
{
    char last = '\n';

    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* fd is locked; line is what e was made of. */
static int add_to(int fd, const char *path, const struct token_entry *e,
                  const struct buf *line, struct errbuf *eb)
{
    struct token_set *s = token_set_read(fd, path, eb);
    struct buf text = {0};

    if (s == NULL)
        return ERR_INVALID;
    int rc = token_check_twice(s, e, eb);
    token_set_free(s);
    if (rc != 0)
        return errbuf_wrap(eb, rc, "%s", path);
    off_t size = lseek(fd, 0, SEEK_END);
    if (ends_open(fd, size))
        buf_char(&text, '\n');
    buf_append(&text, line->data, line->len);
    if (size + (off_t)text.len > TOKENS_FILE_MAX)
        rc = errbuf_set(eb, ERR_TOO_BIG, "%s: more than %d bytes with it", path,
                        TOKENS_FILE_MAX);
    else if ((rc = append_to(fd, &text, size)) != 0)
        (void)errbuf_set(eb, rc, "%s: %s", path, strerror(errno));
    buf_done(&text);
    return rc;
}

/* The lock is for others that add; a reader sees all of the line or nothing. */
static int add_to_path(const char *path, const struct token_entry *e,
                       const struct buf *line, struct errbuf *eb)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
                  S_IRUSR | S_IWUSR);

    if (fd < 0)
        return errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    int rc =
        flock(fd, LOCK_EX) == 0
            ? add_to(fd, path, e, line, eb)
            : errbuf_set(eb, ERR_SYSTEM, "%s: lock: %s", path, strerror(errno));
    close(fd);
    return rc;
}

/* Checks the parts one by one: a space in one would make two of it. */
static int parse_parts(struct token_entry *e, const char *roles,
                       const char *queues, struct buf *ret_queues,
                       struct errbuf *eb)
{
    char *copy = mem_strdup(roles);
    int rc = token_parse_roles(&e->token, copy, eb);

    free(copy);
    copy = mem_strdup(queues);
    if (rc == 0)
        rc = token_parse_queues(ret_queues, copy, eb);
    free(copy);
    return rc;
}

/* Appends a fresh token to text. */
static void make_token(struct buf *text)
{
    unsigned char secret[TOKEN_BYTES];

    random_bytes(secret, sizeof(secret));
    buf_str(text, TOKENS_PREFIX);
    append_hex(text, secret, sizeof(secret));
    OPENSSL_cleanse(secret, sizeof(secret));
}

int tokens_add(const char *path, const char *name, const char *roles,
               const char *queues, struct buf *out, struct errbuf *eb)
{
    struct buf secret = {0}, patterns = {0}, line = {0};
    struct token_entry e = {0};
    int rc = token_parse_name(&e.token, name, eb);

    if (rc == 0)
        rc = parse_parts(&e, roles, queues, &patterns, eb);
    if (rc == 0) {
        make_token(&secret);
        token_sha256(secret.data, secret.len, e.hash);
        buf_printf(&line, "%s %s " TOKEN_HASH_PREFIX, name, roles);
        append_hex(&line, e.hash, sizeof(e.hash));
        if (patterns.len > 0)
            buf_printf(&line, " %s", patterns.data);
        if (line.len > TOKENS_LINE_MAX)
            rc = errbuf_set(eb, ERR_TOO_BIG,
                            "the line would have %zu bytes, at most %d are "
                            "allowed",
                            line.len, TOKENS_LINE_MAX);
        buf_char(&line, '\n');
    }
    if (rc == 0)
        rc = add_to_path(path, &e, &line, eb);
    if (rc == 0)
        buf_append(out, secret.data, secret.len);
    if (secret.data != NULL)
        OPENSSL_cleanse(secret.data, secret.len);
    buf_done(&secret);
    buf_done(&patterns);
    buf_done(&line);
    return rc;
}
