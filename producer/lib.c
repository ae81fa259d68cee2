/*
 * libbelt: clients, and the connections that calls take from them.
 *
 *     idle ──lib_begin──► one call's own ──lib_end──► idle, or closed
 *
 * A connection has an event loop to itself and is turned by the thread whose
 * call has it, so nothing but the stack of idle ones is shared. What has
 * failed, or was left with something under way, is closed and never lent again.
 *
 * Thread: any; the lock is held for a push or a pop of a pointer.
 */
#include "producer/lib.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/job/job.h"
#include "producer/find.h"
#include "producer/waiting.h"

enum { CONNECT_TIMEOUT_MS = 5000, IDLE_MAX = 8, IDLE_LIMIT = 1024 };

static void on_tell(void *arg, int status, const char *text);

const char *belt_client_version(void)
{
    return BELT_VERSION;
}

/* ---- errors ---- */

const char *belt_err_text(int code)
{
    switch (code) {
    case 0:
        return "ok";
    case BELT_ERR_INVALID:
        return "invalid argument";
    case BELT_ERR_TOO_BIG:
        return "too big";
    case BELT_ERR_UNREACHABLE:
        return "Redis is unreachable";
    case BELT_ERR_DENIED:
        return "permission denied";
    case BELT_ERR_AGAIN:
        return "not now: try again";
    case BELT_ERR_FULL:
        return "queue full";
    case BELT_ERR_UNKNOWN:
        return "outcome unknown";
    case BELT_ERR_HELD:
        return "unique key held by another job";
    case BELT_ERR_NOT_FOUND:
        return "not found";
    case BELT_ERR_TIMEOUT:
        return "timed out";
    case BELT_ERR_TOO_NEW:
        return "format of the queue too new";
    case BELT_ERR_REDIS:
        return "error of Redis";
    case BELT_ERR_SYSTEM:
        return "system error";
    default:
        return "unknown error";
    }
}

int lib_error(struct belt_error *error, int code, const char *fmt, ...)
{
    va_list ap;

    if (!error)
        return code;
    error->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(error->text, sizeof(error->text), fmt, ap);
    va_end(ap);
    return code;
}

int lib_code_of_err(int err)
{
    switch (err) {
    case 0:
        return 0;
    case ERR_TOO_BIG:
        return BELT_ERR_TOO_BIG;
    case ERR_SYSTEM:
    case ERR_MISSING:
        return BELT_ERR_SYSTEM;
    default:
        return BELT_ERR_INVALID;
    }
}

int lib_code_of_status(int status)
{
    switch (status) {
    case EX_UNAVAILABLE:
        return BELT_ERR_UNREACHABLE;
    case EX_NOPERM:
        return BELT_ERR_DENIED;
    case EX_TEMPFAIL:
        return BELT_ERR_AGAIN;
    case EX_CONFIG:
        return BELT_ERR_TOO_NEW;
    case WAITING_TIMED_OUT:
        return BELT_ERR_TIMEOUT;
    default:
        return BELT_ERR_REDIS;
    }
}

static void on_tell(void *arg, int status, const char *text)
{
    struct lib_call *call = arg;

    if (status != 0 && call->error.code == 0)
        (void)lib_error(&call->error, lib_code_of_status(status), "%s", text);
}

/* ---- opening ---- */

static int check_options(const struct belt_client_options *o, struct errbuf *eb)
{
    if (!text_is_name(o->key_namespace, strlen(o->key_namespace)))
        return errbuf_set(eb, ERR_INVALID,
                          "key_namespace: \"%.64s\": not a namespace",
                          o->key_namespace);
    if (o->connect_timeout_ms < 0)
        return errbuf_set(eb, ERR_INVALID, "connect_timeout_ms: below 0");
    if (o->max_bytes > LIB_MAX_BYTES)
        return errbuf_set(eb, ERR_INVALID, "max_bytes: %zu, the most is %zu",
                          o->max_bytes, LIB_MAX_BYTES);
    if (o->idle_max > IDLE_LIMIT)
        return errbuf_set(eb, ERR_INVALID, "idle_max: more than %d",
                          IDLE_LIMIT);
    return 0;
}

/* The members that a program of its size knows, over what stands for none. */
static int read_options(const struct belt_client_options *given,
                        struct belt_client_options *ret, struct errbuf *eb)
{
    const char *ns = getenv("BELT_NAMESPACE");

    *ret = (struct belt_client_options){0};
    if (given && (given->size < sizeof(size_t) || given->size > sizeof(*ret))) {
        (void)errbuf_set(eb, ERR_INVALID,
                         "options: size: %zu, this library knows up to %zu",
                         given->size, sizeof(*ret));
        return ERR_INVALID;
    }
    if (given)
        memcpy(ret, given, given->size);
    if (!ret->key_namespace)
        ret->key_namespace = ns && ns[0] != '\0' ? ns : "belt";
    if (ret->connect_timeout_ms == 0)
        ret->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (ret->max_bytes == 0)
        ret->max_bytes = JOB_ENVELOPE_MAX_BYTES;
    if (ret->idle_max == 0)
        ret->idle_max = IDLE_MAX;
    return check_options(ret, eb);
}

static struct belt_client *new_client(const struct belt_client_options *o,
                                      const struct url *url)
{
    struct belt_client *b = mem_new(sizeof(*b));

    b->pid = getpid();
    b->url = *url;
    url_display(url, b->shown);
    memcpy(b->ns, o->key_namespace, strlen(o->key_namespace));
    b->connect_timeout_ms = o->connect_timeout_ms;
    b->max_bytes = o->max_bytes;
    b->idle_max = o->idle_max;
    b->idle = mem_new(o->idle_max * sizeof(struct client *));
    mutex_init(&b->mu);
    return b;
}

struct belt_client *belt_client_open(const struct belt_client_options *options,
                                     struct belt_error *error)
{
    struct belt_client_options o;
    struct lib_call call;
    struct errbuf eb;
    struct url url;

    int rc = read_options(options, &o, &eb);
    if (rc == 0)
        rc = url_resolve(o.url, o.password_file, &url, &eb);
    if (rc != 0) {
        (void)lib_error(error, lib_code_of_err(rc), "%s", eb.text);
        return NULL;
    }
    struct belt_client *b = new_client(&o, &url);
    explicit_bzero(&url, sizeof(url));
    if (o.lazy)
        return b;
    rc = lib_begin(b, &call, error);
    if (rc == 0)
        rc = lib_end(b, &call, error);
    if (rc == 0)
        return b;
    belt_client_close(b);
    return NULL;
}

void belt_client_close(struct belt_client *client)
{
    if (!client || client->pid != getpid())
        return; /* what is shared with the parent must not be touched */
    for (unsigned i = 0; i < client->idle_count; i++)
        client_close(client->idle[i]);
    free((void *)client->idle);
    mutex_done(&client->mu);
    explicit_bzero(&client->url, sizeof(client->url));
    free(client);
}

const char *belt_client_url(const struct belt_client *client)
{
    return client->shown;
}

/* ---- calls ---- */

static struct client *pop(struct belt_client *b)
{
    struct client *c = NULL;

    mutex_lock(&b->mu);
    if (b->idle_count > 0)
        c = b->idle[--b->idle_count];
    mutex_unlock(&b->mu);
    return c;
}

static void push(struct belt_client *b, struct client *c)
{
    mutex_lock(&b->mu);
    if (b->idle_count < b->idle_max) {
        b->idle[b->idle_count++] = c;
        c = NULL;
    }
    mutex_unlock(&b->mu);
    client_close(c);
}

/* The one that was used last, unless Redis has closed it meanwhile. */
static struct client *take_idle(struct belt_client *b, struct lib_call *call)
{
    struct client *c;

    while ((c = pop(b)) != NULL) {
        client_set_tell_arg(c, call);
        client_turn(c, false);
        if (client_is_idle(c))
            return c;
        client_close(c);
    }
    return NULL;
}

int lib_begin(struct belt_client *b, struct lib_call *call,
              struct belt_error *error)
{
    struct client_config cfg = {.url = &b->url,
                                .connect_timeout_ms = b->connect_timeout_ms,
                                .tell = on_tell,
                                .arg = call};

    *call = (struct lib_call){.owner = b};
    if (b->pid != getpid())
        return lib_error(error, BELT_ERR_INVALID,
                         "the client was opened by process %ld, the parent",
                         (long)b->pid);
    call->client = take_idle(b, call);
    if (call->client || client_new(&cfg, &call->client) == 0)
        return 0;
    return lib_error(error, call->error.code, "%s", call->error.text);
}

int lib_end(struct belt_client *b, struct lib_call *call,
            struct belt_error *error)
{
    client_set_tell_arg(call->client, NULL);
    if (client_is_idle(call->client))
        push(b, call->client);
    else
        client_close(call->client);
    call->client = NULL;
    if (call->error.code != 0 && error)
        *error = call->error;
    return call->error.code;
}

int lib_read_name(struct lib_call *call, const char *text, struct job_name *ret)
{
    if (!job_name_parse(text, strlen(text), ret))
        return lib_error(&call->error, BELT_ERR_INVALID,
                         "\"%.140s\": neither queue/id nor id", text);
    if (ret->queue[0] != '\0')
        return 0;
    if (find_queue(call->client, call->owner->ns, ret) != 0)
        return call->error.code;
    if (ret->queue[0] == '\0')
        return lib_error(&call->error, BELT_ERR_NOT_FOUND, "%s: in no queue",
                         ret->id);
    return 0;
}
