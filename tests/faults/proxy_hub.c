/*
 * Hub: the links, and what is said about all their connections.
 *
 * Thread: the proxy's.
 */
#include "tests/faults/proxy_hub.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/mem.h"
#include "tests/faults/proxy_sock.h"

static void on_client(evutil_socket_t fd, short what, void *arg);

static bool open_link(struct hub *h, struct link *l, unsigned number,
                      const char *path)
{
    *l = (struct link){.hub = h, .number = number, .path = path};
    l->fd = sock_listen(path, SOCK_NONBLOCK);
    if (l->fd < 0) {
        (void)fprintf(stderr, "fault_proxy: %s: %s\n", path, strerror(errno));
        return false;
    }
    l->on_client =
        event_new(h->base, l->fd, EV_READ | EV_PERSIST, on_client, l);
    (void)event_add(l->on_client, NULL);
    return true;
}

struct hub *hub_new(struct event_base *base, const char *upstream,
                    unsigned links, const char *const *paths)
{
    struct hub *h = mem_new(sizeof(*h));
    h->base = base;
    h->upstream = upstream;
    h->rules = rules_new(links);
    h->links = mem_new(links * sizeof(*h->links));
    LIST_INIT(&h->sessions);
    for (; h->link_count < links; h->link_count++) {
        unsigned i = h->link_count;
        if (!open_link(h, &h->links[i], i, paths[i])) {
            hub_free(h);
            return NULL;
        }
    }
    return h;
}

void hub_free(struct hub *h)
{
    if (h == NULL)
        return;
    h->late_done = NULL;
    while (!LIST_EMPTY(&h->sessions))
        session_free(LIST_FIRST(&h->sessions));
    for (unsigned i = 0; i < h->link_count; i++) {
        event_free(h->links[i].on_client);
        (void)close(h->links[i].fd);
        (void)unlink(h->links[i].path);
    }
    rules_free(h->rules);
    free(h->links);
    free(h);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    (void)what;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0)
        session_begin(l, client);
}

static bool is_stalled(const struct link *l)
{
    return l->stalled[0] || l->stalled[1];
}

/* Cuts what has a client; what is held back has none any more. */
static void cut_link(struct hub *h, const struct link *l)
{
    struct session *s = LIST_FIRST(&h->sessions), *next;
    for (; s != NULL; s = next) {
        next = session_next(s);
        if (session_link(s) == l && !session_is_held(s))
            session_free(s);
    }
}

void hub_drop(struct hub *h, unsigned link)
{
    cut_link(h, &h->links[link]);
}

static void turn_all(struct hub *h)
{
    struct session *s = LIST_FIRST(&h->sessions), *next;
    for (; s != NULL; s = next) {
        next = session_next(s);
        session_turn(s);
    }
}

void hub_stall(struct hub *h, unsigned link, bool c2s, bool s2c)
{
    h->links[link].stalled[0] |= c2s;
    h->links[link].stalled[1] |= s2c;
    turn_all(h);
}

void hub_heal(struct hub *h)
{
    struct session *s = LIST_FIRST(&h->sessions);
    for (; s != NULL; s = session_next(s))
        session_forget(s);
    rules_forget(h->rules);
    h->delay_ms[0] = h->delay_ms[1] = 0;
    h->split = 0;
    for (unsigned i = 0; i < h->link_count; i++) {
        struct link *l = &h->links[i];
        if (is_stalled(l))
            cut_link(h, l);
        l->stalled[0] = l->stalled[1] = false;
    }
    turn_all(h);
}

int64_t hub_connections(const struct hub *h)
{
    int64_t n = 0;
    struct session *s = LIST_FIRST(&h->sessions);
    for (; s != NULL; s = session_next(s))
        n += !session_is_held(s);
    return n;
}

int64_t hub_fenced(const struct hub *h, unsigned link)
{
    int64_t n = 0;
    for (unsigned i = 0; i < h->link_count; i++)
        n += link == ALL_LINKS || link == i ? h->links[i].fenced : 0;
    return n;
}

static void end_late(struct hub *h)
{
    late_done_cb done = h->late_done;
    h->late_done = NULL;
    if (done != NULL)
        done(h->late_arg, h->late_ran);
}

void hub_late(struct hub *h, late_done_cb done, void *arg)
{
    struct session *s = LIST_FIRST(&h->sessions), *next;
    assert(h->late_running == 0);
    h->late_done = done;
    h->late_arg = arg;
    h->late_ran = 0;
    h->late_running = 1; /* us, until all have begun */
    for (; s != NULL; s = next) {
        next = session_next(s);
        if (session_is_held(s)) {
            h->late_running++;
            h->late_ran++;
            session_run_late(s);
        }
    }
    hub_late_ran(h);
}

void hub_late_ran(struct hub *h)
{
    if (--h->late_running == 0)
        end_late(h);
}
