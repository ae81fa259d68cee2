#ifndef COMMON_REDIS_URL_H
#define COMMON_REDIS_URL_H

#include <stdbool.h>

#include "common/base/err.h"

/*
 * Where a Redis is, and who we are there.
 *
 *     redis://[user[:password]@]host[:port][/db]      password alone: :pw@
 *     unix://path[?db=n]     unix://[user:password@]/path?db=n
 *
 * Percent-escapes are decoded in user, password and path; [::1] is an IPv6
 * host. Any thread.
 */
struct url {
    bool is_unix;
    char host[256]; /* without brackets */
    char path[108]; /* of the unix socket */
    int port, db;
    char user[128], password[512]; /* "" if none */
};

#define URL_DEFAULT "redis://127.0.0.1:6379"

/* ERR_INVALID says what is wrong, without the password. */
int url_parse(const char *text, struct url *ret, struct errbuf *eb);

/*
 * The URL that a program uses: flag if not NULL, else BELT_REDIS_URL,
 * REDIS_URL, URL_DEFAULT. A password that the URL lacks comes from the first
 * line of password_file if that is not NULL, else from REDISCLI_AUTH.
 */
int url_resolve(const char *flag, const char *password_file, struct url *ret,
                struct errbuf *eb);

/*
 * Writes the URL without user and password, for logs. Returns out, in which
 * nothing is a control character and which parses as the same place.
 */
const char *url_display(const struct url *url, char out[384]);

#endif
