/*
 * Connect: a client for a command.
 *
 * Thread: main, bound as the loop.
 */
#include "producer/connect.h"

#include <string.h>
#include <sysexits.h>

#include "producer/complain.h"

/* What a client tells is a line on stderr; a command knows its status. */
static void tell(void *arg, int status, const char *text)
{
    (void)status;
    complain(arg, "%s", text);
}

int client_open(const struct options *o, struct client **ret)
{
    struct url url;
    struct errbuf eb;
    int rc = url_resolve(o->redis_url, o->password_file, &url, &eb);

    if (rc != 0)
        return fail(o, rc == ERR_SYSTEM ? EX_NOINPUT : EX_USAGE, "%s", eb.text);
    /* tell only reads it. */
    union {
        const struct options *o;
        void *given;
    } arg = {.o = o};
    loop_role_bind();
    struct client_config cfg = {
        .url = &url,
        .connect_timeout_ms = o->connect_timeout_ms,
        .tell = tell,
        .arg = arg.given,
    };
    int status = client_new(&cfg, ret);
    explicit_bzero(&url, sizeof(url));
    return status;
}
