/*
 * The file of tokens, line by line.
 *
 * The file has hashes, so who reads it can do nothing with it; who could write
 * it could let himself in, so it is refused where group or others can.
 *
 * Thread: any.
 */
#include "producer/serve/tokens_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/base/mem.h"

#define SPACE " \t\r"

static const struct {
    const char *name;
    enum token_role role;
} role_names[] = {
    {"read", ROLE_READ},
    {"push", ROLE_PUSH},
    {"operate", ROLE_OPERATE},
};

void token_sha256(const void *p, size_t n, unsigned char out[SHA256_BYTES])
{
    unsigned len = 0;

    if (EVP_Digest(p, n, out, &len, EVP_sha256(), NULL) != 1 ||
        len != SHA256_BYTES)
        abort(); /* an OpenSSL without SHA-256 can let nobody in */
}

void token_set_free(struct token_set *s)
{
    while (s != NULL) {
        struct token_set *older = s->older;
        for (unsigned i = 0; i < s->count; i++)
            free(s->all[i].queues);
        free(s->all);
        free(s);
        s = older;
    }
}

/* ---- a line ---- */

int token_parse_name(struct token *t, const char *text, struct errbuf *eb)
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

int token_parse_roles(struct token *t, char *text, struct errbuf *eb)
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
    size_t prefix = strlen(TOKEN_HASH_PREFIX), len = strlen(text);
    bool good = len == prefix + 2 * (size_t)SHA256_BYTES &&
                strncmp(text, TOKEN_HASH_PREFIX, prefix) == 0;

    for (size_t i = 0; good && i < SHA256_BYTES; i++) {
        int high = hex_digit(text[prefix + 2 * i]);
        int low = hex_digit(text[prefix + 2 * i + 1]);
        good = high >= 0 && low >= 0;
        out[i] = (unsigned char)((unsigned)high << 4 | (unsigned)low);
    }
    if (good)
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "behind the roles comes \"" TOKEN_HASH_PREFIX
                      "\" and the SHA-256 of the token in %d hexadecimal "
                      "digits; what is there is something else",
                      2 * SHA256_BYTES);
}

int token_parse_queues(struct buf *out, char *text, struct errbuf *eb)
{
    for (char *one; (one = strsep(&text, SPACE)) != NULL;) {
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
static int parse_line(struct token_entry *e, char *line, struct errbuf *eb)
{
    struct buf queues = {0};
    int rc = token_parse_name(&e->token, next_word(&line), eb);

    if (rc == 0)
        rc = token_parse_roles(&e->token, next_word(&line), eb);
    if (rc == 0)
        rc = parse_hash(e->hash, next_word(&line), eb);
    if (rc == 0)
        rc = token_parse_queues(&queues, line, eb);
    if (rc == 0)
        e->token.queues = e->queues = buf_take(&queues);
    buf_done(&queues);
    return rc;
}

/* ---- a file ---- */

int token_check_twice(const struct token_set *s, const struct token_entry *e,
                      struct errbuf *eb)
{
    for (unsigned i = 0; i < s->count; i++) {
        const struct token_entry *old = &s->all[i];
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

static int add_line(struct token_set *s, char *line, size_t n, unsigned number,
                    struct errbuf *eb)
{
    struct token_entry e = {.line = number};
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
    if ((rc = token_check_twice(s, &e, eb)) != 0) {
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
static int add_lines(struct token_set *s, struct buf *text, const char *path,
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

struct token_set *token_set_read(int fd, const char *path, struct errbuf *eb)
{
    struct token_set *s = mem_new(sizeof(*s));
    struct buf text = {0};
    int rc = check_file(fd, path, eb);

    if (rc == 0)
        rc = read_all(fd, &text, path, eb);
    if (rc == 0) {
        token_sha256(text.data, text.len, s->file);
        rc = add_lines(s, &text, path, eb);
    }
    buf_done(&text);
    if (rc == 0)
        return s;
    token_set_free(s);
    return NULL;
}
