/*
 * Fuzzer: URLs of Redis, as flags, files and the environment give them.
 *
 * What url_parse accepts is within its bounds, and what url_display writes
 * for logs leads to the same place. A password, planted where each input has
 * its first line end, is in no error and in no text for logs.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/redis/url.h"

#define SECRET "s3cr3t-Pa55w0rd"

static bool is_within(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static void check_bounds(const struct url *u)
{
    assert(is_within(u->host, sizeof(u->host)));
    assert(is_within(u->path, sizeof(u->path)));
    assert(is_within(u->user, sizeof(u->user)));
    assert(is_within(u->password, sizeof(u->password)));
    assert(u->db >= 0);
    assert((u->path[0] != '\0') == u->is_unix);
    assert((u->host[0] != '\0') == !u->is_unix);
    assert(u->is_unix ? u->port == 0 : u->port >= 1 && u->port <= 65535);
}

static void check_display(const struct url *u)
{
    char out[384];
    struct url again;
    struct errbuf eb;

    assert(url_display(u, out) == out);
    int rc = url_parse(out, &again, &eb);
    assert(rc == 0);
    assert(again.is_unix == u->is_unix);
    assert(strcmp(again.host, u->host) == 0);
    assert(strcmp(again.path, u->path) == 0);
    assert(again.port == u->port && again.db == u->db);
    assert(again.user[0] == '\0' && again.password[0] == '\0');
    for (const char *p = out; *p != '\0'; p++)
        assert((unsigned char)*p > ' ' && *p != 0x7f);
}

static void check_secret(const char *before, const char *after)
{
    char *text = mem_printf("%s" SECRET "%s", before, after);
    char out[384];
    struct url u;
    struct errbuf eb = {""};

    if (url_parse(text, &u, &eb) != 0) {
        assert(eb.text[0] != '\0');
        assert(strstr(eb.text, SECRET) == NULL);
    } else if (strstr(u.password, SECRET) != NULL) {
        assert(strstr(url_display(&u, out), SECRET) == NULL);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_dup(data, size);
    struct url u;
    struct errbuf eb;

    if (url_parse(text, &u, &eb) == 0) {
        check_bounds(&u);
        check_display(&u);
    }
    char *end = strchr(text, '\n');
    if (end != NULL && strstr(text, SECRET) == NULL) {
        *end = '\0';
        check_secret(text, end + 1);
    }
    free(text);
    return 0;
}
