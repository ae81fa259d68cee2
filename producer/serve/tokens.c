/*
 * Tokens: who may use the HTTP interface.
 *
 * Which token a request has is found by the hash of what it sent, compared with
 * all of them in constant time: how long that takes tells neither whether one
 * fits nor which.
 *
 * Sets that were replaced are kept, because requests that are under way point
 * into them; a file that has not changed makes no new one.
 *
 * Thread: see tokens.h.
 */
#include "producer/serve/tokens_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "common/base/mem.h"

struct tokens {
    struct token_set *now; /* owned */
};

/* There is none yet: says how one is made. */
static void say_how(const char *path, const char *why, struct errbuf *eb)
{
    (void)errbuf_set(eb, ERR_INVALID,
                     "%s: %s; belt serve --tokens %s --add-token NAME "
                     "--roles push,read makes a token",
                     path, why, path);
}

static struct token_set *read_path(const char *path, struct errbuf *eb)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT) {
        say_how(path, "there is no such file", eb);
        return NULL;
    }
    if (fd < 0) {
        (void)errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct token_set *s = token_set_read(fd, path, eb);
    close(fd);
    if (s != NULL && s->count == 0) {
        say_how(path, "no token is in it", eb);
        token_set_free(s);
        return NULL;
    }
    return s;
}

struct tokens *tokens_read(const char *path, struct errbuf *eb)
{
    struct token_set *s = read_path(path, eb);

    if (s == NULL)
        return NULL;
    struct tokens *t = mem_new(sizeof(*t));
    t->now = s;
    return t;
}

void tokens_free(struct tokens *t)
{
    if (t != NULL)
        token_set_free(t->now);
    free(t);
}

int tokens_reload(struct tokens *t, const char *path, struct errbuf *eb)
{
    struct token_set *s = read_path(path, eb);

    if (s == NULL)
        return ERR_INVALID;
    if (memcmp(s->file, t->now->file, sizeof(s->file)) == 0) {
        token_set_free(s);
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
    const struct token_set *s = t->now;
    const char *text = "";
    size_t n = bearer(header, &text), found = 0;

    if (n == 0)
        return NULL;
    token_sha256(text, n, hash);
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
