/*
 * Resolver: libevent's evdns, since getaddrinfo would block the loop.
 *
 * Both files are read again before each look-up, so a connection that is
 * tried again sees what changed. evdns answers a cancelled request too, in a
 * later turn of the loop, and touches its base when it does: so a look-up is
 * memory of its own, and the base is freed by a finalizer, which libevent
 * runs behind the callbacks that wait already.
 *
 * Thread: event loop only.
 */
#include "common/redis/resolver.h"

#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>

#include "common/base/mem.h"

struct lookup {
    struct resolver *r;                    /* borrowed; NULL once cancelled */
    struct evdns_getaddrinfo_request *req; /* evdns' */
    resolver_cb cb;
    void *arg;
};

struct resolver {
    struct event_base *base; /* borrowed */
    struct evdns_base *dns;  /* owned; NULL until a name was looked up */
    struct lookup *lookup;   /* under way; freed by its callback */
    struct event last;       /* carries the finalizer */
};

static void on_resolved(int result, struct evutil_addrinfo *res, void *arg);
static void on_final(struct event *ev, void *arg);

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *r = mem_new(sizeof(*r));

    r->base = base;
    return r;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    resolver_cancel(r);
    if (!r->dns) {
        free(r);
        return;
    }
    event_assign(&r->last, r->base, -1, 0, NULL, r);
    event_finalize(0, &r->last, on_final);
}

static void on_final(struct event *ev, void *arg)
{
    struct resolver *r = arg;

    (void)ev;
    evdns_base_free(r->dns, 0);
    free(r);
}

static void read_files(struct resolver *r)
{
    if (!r->dns)
        r->dns = evdns_base_new(r->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!r->dns)
        abort();
    evdns_base_clear_nameservers_and_suspend(r->dns);
    evdns_base_clear_host_addresses(r->dns);
    evdns_base_search_clear(r->dns);
    /* Without the file evdns falls back to 127.0.0.1 and says so: good. */
    (void)evdns_base_resolv_conf_parse(r->dns, DNS_OPTIONS_ALL,
                                       "/etc/resolv.conf");
    evdns_base_resume(r->dns);
}

void resolver_look_up(struct resolver *r, const char *host, int port,
                      resolver_cb cb, void *arg)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = EVUTIL_AI_NUMERICHOST};
    struct evutil_addrinfo *res = NULL;
    char port_text[12];

    assert(!r->lookup);
    snprintf(port_text, sizeof(port_text), "%d", port);
    if (evutil_getaddrinfo(host, port_text, &hints, &res) == 0) {
        cb(arg, res, NULL);
        evutil_freeaddrinfo(res);
        return;
    }
    read_files(r);
    struct lookup *l = mem_new(sizeof(*l));
    *l = (struct lookup){.r = r, .cb = cb, .arg = arg};
    r->lookup = l;
    hints.ai_flags = 0;
    struct evdns_getaddrinfo_request *req =
        evdns_getaddrinfo(r->dns, host, port_text, &hints, on_resolved, l);
    if (req) /* otherwise it was answered, and l is gone */
        l->req = req;
}

static void on_resolved(int result, struct evutil_addrinfo *res, void *arg)
{
    loop_role_assert();
    struct lookup *l = arg;

    if (l->r) {
        l->r->lookup = NULL;
        if (result == 0 && res)
            l->cb(l->arg, res, NULL);
        else
            l->cb(l->arg, NULL, evutil_gai_strerror(result));
    }
    if (res)
        evutil_freeaddrinfo(res);
    free(l);
}

void resolver_cancel(struct resolver *r)
{
    struct lookup *l = r->lookup;

    if (!l)
        return;
    r->lookup = NULL;
    l->r = NULL;
    evdns_getaddrinfo_cancel(l->req);
}
