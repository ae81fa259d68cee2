/*
 * URLs of Redis.
 *
 * An error must never show the password, and a text that does not parse may
 * have it anywhere: so errors name the part that is wrong, and quote a part
 * only once it is known not to be the user and the password.
 *
 * Thread: any.
 */
#include "common/redis/url.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

enum { DEFAULT_PORT = 6379 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes n bytes of s into out. what names the part in errors. */
static int decode(const char *s, size_t n, const char *what, char *out,
                  size_t size, struct errbuf *eb)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)s[i];
        if (c == '%') {
            int hi = i + 2 < n ? hex_digit(s[i + 1]) : -1;
            int lo = hi < 0 ? -1 : hex_digit(s[i + 2]);
            c = lo < 0 ? 0 : hi * 16 + lo;
            i += 2;
        }
        if (c == '\0')
            return errbuf_set(eb, ERR_INVALID, "bad percent-escape in the %s",
                              what);
        if (len + 1 >= size)
            return errbuf_set(eb, ERR_INVALID, "%s of more than %zu bytes",
                              what, size - 1);
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return 0;
}

/* "user", "user:password" or ":password". */
static int parse_userinfo(const char *s, size_t n, struct url *u,
                          struct errbuf *eb)
{
    const char *colon = memchr(s, ':', n);
    size_t user_len = colon ? (size_t)(colon - s) : n;
    int rc = decode(s, user_len, "user", u->user, sizeof(u->user), eb);

    if (rc == 0 && colon)
        rc = decode(colon + 1, n - user_len - 1, "password", u->password,
                    sizeof(u->password), eb);
    return rc;
}

/*
 * Takes userinfo off the front of *s. A password may contain an unescaped @:
 * a host or the start of a path cannot, so the last one before / counts.
 */
static int take_userinfo(const char **s, struct url *u, struct errbuf *eb)
{
    const char *at = memrchr(*s, '@', strcspn(*s, "/"));

    if (!at)
        return 0;
    int rc = parse_userinfo(*s, (size_t)(at - *s), u, eb);
    *s = at + 1;
    return rc;
}

static int parse_db(const char *s, struct url *u, struct errbuf *eb)
{
    int64_t db;

    if (text_parse_int(s, 0, INT_MAX, "database", &db, NULL) != 0)
        return errbuf_set(eb, ERR_INVALID, "bad database number");
    u->db = (int)db;
    return 0;
}

static int parse_port(const char *s, size_t n, struct url *u, struct errbuf *eb)
{
    char text[8] = "";
    int64_t port;

    if (n < sizeof(text))
        memcpy(text, s, n);
    if (text_parse_int(text, 1, 65535, "port", &port, NULL) != 0)
        return errbuf_set(eb, ERR_INVALID, "port: not between 1 and 65535");
    u->port = (int)port;
    return 0;
}

static int set_host(const char *s, size_t n, struct url *u, struct errbuf *eb)
{
    if (n == 0)
        return errbuf_set(eb, ERR_INVALID, "no host");
    if (n >= sizeof(u->host))
        return errbuf_set(eb, ERR_INVALID, "host of more than %zu bytes",
                          sizeof(u->host) - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f || strchr("?#[]@\\\"'", c))
            return errbuf_set(eb, ERR_INVALID, "bad character in the host");
    }
    memcpy(u->host, s, n);
    u->host[n] = '\0';
    return 0;
}

/* host, host:port, [v6] or [v6]:port */
static int parse_authority(const char *s, size_t n, struct url *u,
                           struct errbuf *eb)
{
    size_t host_len, skip = 0;

    if (n > 0 && s[0] == '[') {
        const char *end = memchr(s, ']', n);
        if (!end)
            return errbuf_set(eb, ERR_INVALID, "no ] behind the host");
        host_len = (size_t)(end - s) - 1;
        skip = 1;
    } else {
        const char *colon = memchr(s, ':', n);
        host_len = colon ? (size_t)(colon - s) : n;
    }
    int rc = set_host(s + skip, host_len, u, eb);
    if (rc != 0)
        return rc;
    size_t used = host_len + 2 * skip;
    if (used == n)
        return 0;
    if (s[used] != ':')
        return errbuf_set(eb, ERR_INVALID, "no : between host and port");
    return parse_port(s + used + 1, n - used - 1, u, eb);
}

static int parse_tcp(const char *s, struct url *u, struct errbuf *eb)
{
    int rc = take_userinfo(&s, u, eb);
    if (rc != 0)
        return rc;
    u->port = DEFAULT_PORT;
    size_t n = strcspn(s, "/");
    rc = parse_authority(s, n, u, eb);
    if (rc == 0 && s[n] == '/' && s[n + 1] != '\0')
        rc = parse_db(s + n + 1, u, eb);
    return rc;
}

static int parse_unix(const char *s, struct url *u, struct errbuf *eb)
{
    int rc = take_userinfo(&s, u, eb);
    if (rc != 0)
        return rc;
    u->is_unix = true;
    size_t n = strcspn(s, "?");
    if (n == 0)
        return errbuf_set(eb, ERR_INVALID, "no path");
    rc = decode(s, n, "path", u->path, sizeof(u->path), eb);
    if (rc != 0 || s[n] == '\0')
        return rc;
    if (strncmp(s + n, "?db=", 4) != 0)
        return errbuf_set(eb, ERR_INVALID, "only ?db=n may follow the path");
    return parse_db(s + n + 4, u, eb);
}

int url_parse(const char *text, struct url *ret, struct errbuf *eb)
{
    struct url u = {0};
    int rc;

    if (strncmp(text, "redis://", 8) == 0)
        rc = parse_tcp(text + 8, &u, eb);
    else if (strncmp(text, "unix://", 7) == 0)
        rc = parse_unix(text + 7, &u, eb);
    else
        rc = errbuf_set(eb, ERR_INVALID,
                        "neither redis://host:port/db nor unix:///path");
    if (rc == 0)
        *ret = u;
    explicit_bzero(&u, sizeof(u));
    return rc;
}

static int read_password(const char *path, struct url *u, struct errbuf *eb)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    char line[sizeof(u->password) + 1]; /* room for the newline */
    int rc = 0;
    bool got = fgets(line, sizeof(line), f) != NULL;
    size_t n = got ? strcspn(line, "\r\n") : 0;
    if (!got && ferror(f))
        rc = errbuf_set(eb, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    else if (n == 0)
        rc = errbuf_set(eb, ERR_INVALID, "%s: no password in it", path);
    else if (n >= sizeof(u->password))
        rc = errbuf_set(eb, ERR_INVALID, "%s: password too long", path);
    fclose(f);
    if (rc == 0) {
        memcpy(u->password, line, n);
        u->password[n] = '\0';
    }
    explicit_bzero(line, sizeof(line));
    return rc;
}

static int find_password(const char *file, struct url *u, struct errbuf *eb)
{
    const char *env = getenv("REDISCLI_AUTH");

    if (file) {
        int rc = read_password(file, u, eb);
        return rc == 0 ? 0 : errbuf_wrap(eb, rc, "password file");
    }
    if (!env)
        return 0;
    size_t n = strlen(env);
    if (n >= sizeof(u->password))
        return errbuf_set(eb, ERR_INVALID, "REDISCLI_AUTH: too long");
    memcpy(u->password, env, n + 1);
    return 0;
}

int url_resolve(const char *flag, const char *password_file, struct url *ret,
                struct errbuf *eb)
{
    static const char *const names[] = {"BELT_REDIS_URL", "REDIS_URL"};
    const char *text = flag, *source = "Redis URL";

    for (size_t i = 0; i < 2 && !text; i++) {
        source = names[i];
        text = getenv(source);
        if (text && text[0] == '\0')
            text = NULL;
    }
    struct url u;
    int rc = url_parse(text ? text : URL_DEFAULT, &u, eb);
    if (rc != 0)
        return errbuf_wrap(eb, rc, "%s", source);
    if (u.password[0] == '\0')
        rc = find_password(password_file, &u, eb);
    if (rc == 0)
        *ret = u;
    explicit_bzero(&u, sizeof(u));
    return rc;
}

/* What would not be read as part of the path again, or not by a person. */
static bool is_escaped(char c)
{
    return (unsigned char)c <= ' ' || (unsigned char)c >= 0x7f ||
           strchr("%?@", c) != NULL;
}

/* Writes the path of a unix URL. Three bytes for one are room enough. */
static void write_path(const char *path, char *out)
{
    for (; *path != '\0'; path++) {
        if (is_escaped(*path))
            out += sprintf(out, "%%%02x", (unsigned char)*path);
        else
            *out++ = *path;
    }
    *out = '\0';
}

const char *url_display(const struct url *url, char out[384])
{
    char path[3 * sizeof(url->path)];

    write_path(url->path, path);
    if (url->is_unix && url->db == 0)
        snprintf(out, 384, "unix://%s", path);
    else if (url->is_unix)
        snprintf(out, 384, "unix://%s?db=%d", path, url->db);
    else if (strchr(url->host, ':'))
        snprintf(out, 384, "redis://[%s]:%d/%d", url->host, url->port, url->db);
    else
        snprintf(out, 384, "redis://%s:%d/%d", url->host, url->port, url->db);
    return out;
}
