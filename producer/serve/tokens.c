/*
 * Tokens: who may use the HTTP interface.
 *
 * The file has hashes, so who reads it can do nothing with it; who could write
 * it could let himself in, so it is refused where group or others can. Which
 * token a request has is found by the hash of what it sent, compared with all
 * of them in constant time: how long that takes tells neither whether one fits
 * nor which.
 *
 * A set of tokens is what one reading of the file gave. Sets that were replaced
 * are kept, because requests that are under way point into them; a file that
 * has not changed makes no new one.
 *
 * Thread: see tokens.h.
 */
#include "producer/serve/tokens.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/ulid.h"

enum { SHA256_BYTES = 32, TOKEN_BYTES = 32, ROLES = 4 };

#define HASH_PREFIX "sha256:"
#define SPACE " \t\r"

struct entry {
    struct token token;
    char *queues; /* owned; what token.queues is */
    unsigned char hash[SHA256_BYTES];
    unsigned line;
};

struct set {
    struct set *older; /* owned; replaced by this one */
    struct entry *all; /* owned array */
    unsigned count;
    unsigned char file[SHA256_BYTES]; /* of its bytes */
};

struct tokens {
    struct set *now; /* owned */
};

static const struct {
    const char *name;
    enum token_role role;
} role_names[] = {
    {"read", ROLE_READ},
    {"push", ROLE_PUSH},
    {"operate", ROLE_OPERATE},
};

static void sha256(const void *p, size_t n, unsigned char out[SHA256_BYTES])
{
    unsigned len = 0;

    if (EVP_Digest(p, n, out, &len, EVP_sha256(), NULL) != 1 ||
        len != SHA256_BYTES)
        abort(); /* an OpenSSL without SHA-256 can let nobody in */
}

static void set_free(struct set *s)
{
    while (s != NULL) {
        struct set *older = s->older;
        for (unsigned i = 0; i < s->count; i++)
            free(s->all[i].queues);
        free(s->all);
        free(s);
        s = older;
    }
}

/* ---- a line ---- */

static int parse_name(struct token *t, const char *text, struct errbuf *eb)
{
    if (!text_is_name(text, strlen(text)))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.80s\" is no name of a token: letters, digits, "
                          "\".\", \"_\", \"-\", at most %d, not a sign first",
                          text, NAME_MAX_LEN);
    memcpy(t->name, text, strlen(text) + 1);
    return 0;
}

static int parse_role(struct token *t, const char *text, struct errbuf *eb)
{
    for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++) {
        if (strcmp(text, role_names[i].name) == 0) {
            t->roles[role_names[i].role] = true;
            return 0;
        }
    }
    return errbuf_set(eb, ERR_INVALID,
                      "\"%.80s\" is no role: push, read, operate, with commas",
                      text);
}

/* Changes text. */
static int parse_roles(struct token *t, char *text, struct errbuf *eb)
{
    int rc = 0;

    for (char *role; rc == 0 && (role = strsep(&text, ",")) != NULL;)
        rc = parse_role(t, role, eb);
    t->roles[ROLE_READ] = t->roles[ROLE_READ] || t->roles[ROLE_OPERATE];
    return rc;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is wrong is not shown: it may be a token that belongs elsewhere. */
static int parse_hash(unsigned char *out, const char *text, struct errbuf *eb)
{
    size_t prefix = strlen(HASH_PREFIX), len = strlen(text);
    bool good = len == prefix + 2 * (size_t)SHA256_BYTES &&
                strncmp(text, HASH_PREFIX, prefix) == 0;

    for (size_t i = 0; good && i < SHA256_BYTES; i++) {
        int high = hex_digit(text[prefix + 2 * i]);
        int low = hex_digit(text[prefix + 2 * i + 1]);
        good = high >= 0 && low >= 0;
        out[i] = (unsigned char)((unsigned)high << 4 | (unsigned)low);
    }
    if (good)
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "behind the roles comes \"" HASH_PREFIX
                      "\" and the SHA-256 of the token in %d hexadecimal "
                      "digits; what is there is something else",
                      2 * SHA256_BYTES);
}

/* Changes rest; appends the patterns in it to out, a space between. */
static int parse_queues(struct buf *out, char *rest, struct errbuf *eb)
{
    for (char *one; (one = strsep(&rest, SPACE)) != NULL;) {
        size_t n = strlen(one);
        if (n == 0)
            continue;
        if (!text_is_name(one, n) && !text_is_pattern(one, n))
            return errbuf_set(eb, ERR_INVALID,
                              "\"%.80s\" is neither a queue nor a pattern of "
                              "queues, as in mail.*",
                              one);
        if (out->len > 0)
            buf_char(out, ' ');
        buf_str(out, one);
    }
    return 0;
}

/* Moves *text behind its next word; returns the word, or "" behind the last. */
static char *next_word(char **text)
{
    char *word = *text + strspn(*text, SPACE);

    *text = word + strcspn(word, SPACE);
    if (**text != '\0')
        *(*text)++ = '\0';
    return word;
}

/* Changes line, which has something in it. */
static int parse_line(struct entry *e, char *line, struct errbuf *eb)
{
    struct buf queues = {0};
    int rc = parse_name(&e->token, next_word(&line), eb);

    if (rc == 0)
        rc = parse_roles(&e->token, next_word(&line), eb);
    if (rc == 0)
        rc = parse_hash(e->hash, next_word(&line), eb);
    if (rc == 0)
        rc = parse_queues(&queues, line, eb);
    if (rc == 0)
        e->token.queues = e->queues = buf_take(&queues);
    buf_done(&queues);
    return rc;
}

/* ---- a file ---- */

static int check_twice(const struct set *s, const struct entry *e,
                       struct errbuf *eb)
{
    for (unsigned i = 0; i < s->count; i++) {
        const struct entry *old = &s->all[i];
        if (strcmp(old->token.name, e->token.name) == 0)
            return errbuf_set(eb, ERR_INVALID, "\"%s\" is on line %u already",
                              old->token.name, old->line);
        if (memcmp(old->hash, e->hash, sizeof(e->hash)) == 0)
            return errbuf_set(eb, ERR_INVALID,
                              "the token of \"%s\", on line %u already",
                              old->token.name, old->line);
    }
    return 0;
}

static int add_line(struct set *s, char *line, size_t n, unsigned number,
                    struct errbuf *eb)
{
    struct entry e = {.line = number};
    int rc;

    if (n > TOKENS_LINE_MAX)
        return errbuf_set(eb, ERR_TOO_BIG, "%zu bytes, at most %d are allowed",
                          n, TOKENS_LINE_MAX);
    if (strlen(line) < n)
        return errbuf_set(eb, ERR_INVALID, "there is a byte 0 in it");
    line += strspn(line, SPACE);
    if (*line == '\0' || *line == '#')
        return 0;
    if ((rc = parse_line(&e, line, eb)) != 0)
        return rc;
    if ((rc = check_twice(s, &e, eb)) != 0) {
        free(e.queues);
        return rc;
    }
    if ((s->count & (s->count - 1)) == 0) /* full: it has a power of two */
        s->all = mem_resize(s->all, (s->count > 0 ? 2 * s->count : 1) *
                                        sizeof(*s->all));
    s->all[s->count++] = e;
    return 0;
}

/* Changes text, which a NUL follows. */
static int add_lines(struct set *s, struct buf *text, const char *path,
                     struct errbuf *eb)
{
    char *at = text->data, *end = text->data + text->len;

    for (unsigned number = 1; at < end; number++) {
        char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((eol != NULL ? eol : end) - at);
        at[n] = '\0';
        int rc = add_line(s, at, n, number, eb);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "%s:%u", path, number);
        at += n + 1;
    }
    return 0;
}

static int check_file(int fd, const char *path, struct errbuf *eb)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return errbuf_set(eb, ERR_INVALID, "%s: not a regular file", path);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return errbuf_set(eb, ERR_INVALID,
                          "%s: %s can write to it (mode %04o), and so could "
                          "let themselves in: chmod go-w %s",
                          path, (st.st_mode & S_IWOTH) ? "others" : "its group",
                          (unsigned)st.st_mode & 07777U, path);
    return 0;
}

static int read_all(int fd, struct buf *out, const char *path,
                    struct errbuf *eb)
{
    for (;;) {
        buf_reserve(out, 64 * 1024);
        ssize_t n = read(fd, out->data + out->len, 64 * 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len > TOKENS_FILE_MAX)
            return errbuf_set(eb, ERR_TOO_BIG, "%s: more than %d bytes", path,
                              TOKENS_FILE_MAX);
        if (n == 0)
            return 0;
    }
}

/* Returns the owned set that a file has, which may be empty, or NULL. */
static struct set *read_set(int fd, const char *path, struct errbuf *eb)
{
    struct set *s = mem_new(sizeof(*s));
    struct buf text = {0};
    int rc = check_file(fd, path, eb);

    if (rc == 0)
        rc = read_all(fd, &text, path, eb);
    if (rc == 0) {
        sha256(text.data, text.len, s->file);
        rc = add_lines(s, &text, path, eb);
    }
    buf_done(&text);
    if (rc == 0)
        return s;
    set_free(s);
    return NULL;
}

static struct set *read_path(const char *path, struct errbuf *eb)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        (void)errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct set *s = read_set(fd, path, eb);
    close(fd);
    if (s != NULL && s->count == 0) {
        (void)errbuf_set(eb, ERR_INVALID,
                         "%s: no token is in it; belt serve --tokens %s "
                         "--add-token NAME makes one",
                         path, path);
        set_free(s);
        return NULL;
    }
    return s;
}

struct tokens *tokens_read(const char *path, struct errbuf *eb)
{
    struct set *s = read_path(path, eb);

    if (s == NULL)
        return NULL;
    struct tokens *t = mem_new(sizeof(*t));
    t->now = s;
    return t;
}

void tokens_free(struct tokens *t)
{
    if (t != NULL)
        set_free(t->now);
    free(t);
}

int tokens_reload(struct tokens *t, const char *path, struct errbuf *eb)
{
    struct set *s = read_path(path, eb);

    if (s == NULL)
        return ERR_INVALID;
    if (memcmp(s->file, t->now->file, sizeof(s->file)) == 0) {
        set_free(s);
        return 0;
    }
    s->older = t->now;
    t->now = s;
    return 0;
}

unsigned tokens_count(const struct tokens *t)
{
    return t->now->count;
}

/* ---- a request ---- */

/* Returns the length of the token in a header, and where it is. */
static size_t bearer(const char *header, const char **ret_text)
{
    static const char scheme[] = "Bearer";
    size_t n = strlen(scheme);

    if (header == NULL || strncasecmp(header, scheme, n) != 0 ||
        header[n] != ' ')
        return 0;
    header += n;
    header += strspn(header, " ");
    n = strlen(header);
    while (n > 0 && (header[n - 1] == ' ' || header[n - 1] == '\t'))
        n--;
    *ret_text = header;
    return n;
}

const struct token *tokens_find(const struct tokens *t, const char *header)
{
    unsigned char hash[SHA256_BYTES];
    const struct set *s = t->now;
    const char *text = "";
    size_t n = bearer(header, &text), found = 0;

    if (n == 0)
        return NULL;
    sha256(text, n, hash);
    for (size_t i = 0; i < s->count; i++) {
        int differs = CRYPTO_memcmp(s->all[i].hash, hash, sizeof(hash));
        /* No branch: no two are equal, so at most one adds itself. */
        found += (i + 1) * (size_t)(differs == 0);
    }
    return found > 0 ? &s->all[found - 1].token : NULL;
}

static bool fits(const char *patterns, const char *queue)
{
    while (*patterns != '\0') {
        char one[NAME_MAX_LEN + 1];
        size_t n = strcspn(patterns, " ");
        assert(n < sizeof(one));
        memcpy(one, patterns, n);
        one[n] = '\0';
        if (fnmatch(one, queue, 0) == 0)
            return true;
        patterns += n + (patterns[n] == ' ');
    }
    return false;
}

bool token_allows(const struct token *token, enum token_role role,
                  const char *queue)
{
    if (role == ROLE_NONE)
        return true;
    if (token == NULL || !token->roles[role])
        return false;
    return queue == NULL || token->queues[0] == '\0' ||
           fits(token->queues, queue);
}

/* ---- a new one ---- */

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
static int add_to(int fd, const char *path, const struct entry *e,
                  const struct buf *line, struct errbuf *eb)
{
    struct set *s = read_set(fd, path, eb);
    struct buf text = {0};

    if (s == NULL)
        return ERR_INVALID;
    int rc = check_twice(s, e, eb);
    set_free(s);
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
static int add_to_path(const char *path, const struct entry *e,
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
static int parse_parts(struct entry *e, const char *roles, const char *queues,
                       struct buf *ret_queues, struct errbuf *eb)
{
    char *copy = mem_strdup(roles);
    int rc = parse_roles(&e->token, copy, eb);

    free(copy);
    copy = mem_strdup(queues);
    if (rc == 0)
        rc = parse_queues(ret_queues, copy, eb);
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
    struct entry e = {0};
    int rc = parse_name(&e.token, name, eb);

    if (rc == 0)
        rc = parse_parts(&e, roles, queues, &patterns, eb);
    if (rc == 0) {
        make_token(&secret);
        sha256(secret.data, secret.len, e.hash);
        buf_printf(&line, "%s %s " HASH_PREFIX, name, roles);
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
