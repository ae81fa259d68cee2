/*
 * fault_proxy: hurts connections to Redis at chosen commands.
 *
 * Usage: fault_proxy CONTROL_SOCKET UPSTREAM_SOCKET LINK_SOCKET...
 *
 * It does what is said on the control socket, a line and an answer at a time
 * (proxy.h has the words). It ends by a signal, or with its parent, and then
 * removes its sockets; being told nothing more is no reason to end.
 *
 * Thread: one.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "common/base/mem.h"
#include "tests/faults/proxy_hub.h"
#include "tests/faults/proxy_sock.h"

enum { WORDS_MAX = 8, LATER_MAX_MS = 60000 };

/* Somebody who tells us what to do. */
struct control {
    LIST_ENTRY(control) link;
    struct proxy_main *main;
    struct bufferevent *bev; /* owned */
};

struct proxy_main {
    struct event_base *base;
    struct hub *hub;
    const char *path; /* of the control socket */
    int fd, signals;
    LIST_HEAD(, control) controls; /* owned */
    struct bufferevent *waits;     /* whoever said late; NULL: nobody */
};

static void on_line(struct bufferevent *bev, void *arg);
static void on_control_gone(struct bufferevent *bev, short what, void *arg);

/* ---- answers ---- */

static void answer_ok(struct bufferevent *bev)
{
    (void)evbuffer_add_printf(bufferevent_get_output(bev), "ok\n");
}

static void answer_number(struct bufferevent *bev, int64_t n)
{
    (void)evbuffer_add_printf(bufferevent_get_output(bev), "%" PRId64 "\n", n);
}

static void answer_wrong(struct bufferevent *bev, const char *why)
{
    (void)evbuffer_add_printf(bufferevent_get_output(bev), "wrong: %s\n", why);
}

static void on_late_done(void *arg, int64_t n)
{
    struct proxy_main *m = arg;
    if (m->waits != NULL)
        answer_number(m->waits, n);
    m->waits = NULL;
}

/* ---- lines ---- */

/* Word i as a number up to max; absent is otherwise, anything else -1. */
static int64_t number(unsigned n, char *const *words, unsigned i, int64_t max,
                      int64_t otherwise)
{
    char *end = NULL;
    if (i >= n)
        return otherwise;
    long long x = strtoll(words[i], &end, 10);
    return words[i][0] < '0' || words[i][0] > '9' || *end != '\0' || x > max
               ? -1
               : (int64_t)x;
}

/* Which of the two a word means, by direction. */
static const char *read_way(const char *word, bool ret[2])
{
    bool both = strcmp(word, "both") == 0;
    ret[0] = both || strcmp(word, "c2s") == 0;
    ret[1] = both || strcmp(word, "s2c") == 0;
    return ret[0] || ret[1] ? NULL : "no such direction";
}

static const char *stall(struct hub *h, unsigned link, const char *word)
{
    bool way[2];
    const char *wrong = read_way(word, way);
    if (wrong == NULL)
        hub_stall(h, link, way[0], way[1]);
    return wrong;
}

static const char *delay(struct hub *h, int64_t ms, const char *word)
{
    bool way[2];
    const char *wrong = read_way(word, way);
    for (unsigned i = 0; wrong == NULL && i < 2; i++)
        h->delay_ms[i] = way[i] ? ms : 0;
    return wrong;
}

/* What changes something. Returns what is wrong with it, or NULL. */
static const char *command(struct hub *h, unsigned n, char *const *words)
{
    const char *verb = words[0];
    int64_t link = number(n, words, 1, h->link_count - 1, -1);
    int64_t size = number(n, words, 1, INT32_MAX, -1);
    if (strcmp(verb, "cut") == 0 || strcmp(verb, "chance") == 0)
        return rules_add(h->rules, n, words);
    if (strcmp(verb, "delay") == 0 && (n == 2 || n == 3) && size >= 0 &&
        size <= LATER_MAX_MS)
        return delay(h, size, n == 3 ? words[2] : "both");
    if (strcmp(verb, "split") == 0 && n == 2 && size >= 0)
        h->split = (size_t)size;
    else if (strcmp(verb, "stall") == 0 && n == 3 && link >= 0)
        return stall(h, (unsigned)link, words[2]);
    else if (strcmp(verb, "drop") == 0 && n == 2 && link >= 0)
        hub_drop(h, (unsigned)link);
    else if (strcmp(verb, "heal") == 0 && n == 1)
        hub_heal(h);
    else
        return "not understood";
    return NULL;
}

/* What answers a number. False if it is something else. */
static bool question(struct hub *h, unsigned n, char *const *words,
                     int64_t *ret)
{
    const char *verb = words[0];
    bool seen = strcmp(verb, "seen") == 0;
    unsigned at = seen ? 2 : 1; /* where a link may stand */
    int64_t link = number(n, words, at, h->link_count - 1, ALL_LINKS);
    if (n < at || n > at + 1 || link < 0)
        return false;
    if (seen)
        *ret = rules_seen(h->rules, (unsigned)link, words[1]);
    else if (strcmp(verb, "fired") == 0)
        *ret = rules_fired_count(h->rules, (unsigned)link);
    else if (strcmp(verb, "connections") == 0 && n == 1)
        *ret = hub_connections(h);
    else if (strcmp(verb, "fenced") == 0)
        *ret = hub_fenced(h, (unsigned)link);
    else
        return false;
    return true;
}

static void run_late(struct proxy_main *m, struct bufferevent *bev)
{
    if (m->hub->late_running > 0) {
        answer_wrong(bev, "still at it");
        return;
    }
    m->waits = bev;
    hub_late(m->hub, on_late_done, m);
}

static void obey(struct proxy_main *m, struct bufferevent *bev, char *line)
{
    char *words[WORDS_MAX], *rest = NULL;
    unsigned n = 0;
    int64_t answer = 0;
    for (char *w = strtok_r(line, " ", &rest); w != NULL && n < WORDS_MAX;
         w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    if (n == 1 && strcmp(words[0], "late") == 0) {
        run_late(m, bev);
    } else if (n > 0 && question(m->hub, n, words, &answer)) {
        answer_number(bev, answer);
    } else {
        const char *why = n > 0 ? command(m->hub, n, words) : "empty";
        if (why != NULL)
            answer_wrong(bev, why);
        else
            answer_ok(bev);
    }
}

static void on_line(struct bufferevent *bev, void *arg)
{
    struct control *c = arg;
    char *line;
    while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL,
                                   EVBUFFER_EOL_LF)) != NULL) {
        obey(c->main, bev, line);
        free(line);
    }
}

static void end_control(struct control *c)
{
    if (c->main->waits == c->bev)
        c->main->waits = NULL;
    LIST_REMOVE(c, link);
    bufferevent_free(c->bev);
    free(c);
}

static void on_control_gone(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    end_control(arg);
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    struct proxy_main *m = arg;
    (void)what;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    struct control *c = mem_new(sizeof(*c));
    c->main = m;
    c->bev = bufferevent_socket_new(m->base, client, BEV_OPT_CLOSE_ON_FREE);
    LIST_INSERT_HEAD(&m->controls, c, link);
    bufferevent_setcb(c->bev, on_line, NULL, on_control_gone, c);
    (void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* ---- start and end ---- */

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)event_base_loopbreak(arg);
}

/* Its timers keep the millisecond; without asking they round up to the next. */
static struct event_base *new_base(void)
{
    struct event_config *ec = event_config_new();
    struct event_base *base = NULL;
    if (ec != NULL &&
        event_config_set_flag(ec, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
        base = event_base_new_with_config(ec);
    if (ec != NULL)
        event_config_free(ec);
    return base;
}

/*
 * What ends us is blocked, and read, from before the first socket is there to
 * the end: at no moment would it leave one behind. A handler would not do: the
 * thread sanitizer can lose a signal at the first call that blocks.
 */
static int open_signals(void)
{
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    return signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int serve(struct proxy_main *m)
{
    struct event *end =
        event_new(m->base, m->signals, EV_READ, on_signal, m->base);
    struct event *control =
        event_new(m->base, m->fd, EV_READ | EV_PERSIST, on_control, m);
    (void)event_add(end, NULL);
    (void)event_add(control, NULL);
    int rc = event_base_dispatch(m->base);
    while (!LIST_EMPTY(&m->controls))
        end_control(LIST_FIRST(&m->controls));
    event_free(control);
    event_free(end);
    return rc < 0 ? EX_OSERR : 0;
}

/* Makes the sockets, serves, removes them. Returns the exit code. */
static int run(struct proxy_main *m, const char *upstream, unsigned links,
               const char *const *paths)
{
    int rc = EX_OSERR;
    m->hub = hub_new(m->base, upstream, links, paths);
    if (m->hub == NULL)
        return rc;
    m->fd = sock_listen(m->path, SOCK_NONBLOCK);
    if (m->fd >= 0) {
        rc = serve(m);
        (void)close(m->fd);
        (void)unlink(m->path);
    } else {
        (void)fprintf(stderr, "fault_proxy: %s: %s\n", m->path,
                      strerror(errno));
    }
    hub_free(m->hub);
    return rc;
}

int main(int argc, char **argv)
{
    struct proxy_main m = {.fd = -1};
    if (argc < 4) {
        (void)fprintf(stderr, "usage: fault_proxy CONTROL UPSTREAM LINK...\n");
        return EX_USAGE;
    }
    m.signals = open_signals();
    if (m.signals < 0) {
        perror("fault_proxy: signalfd");
        return EX_OSERR;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGPIPE, SIG_IGN);
    m.base = new_base();
    m.path = argv[1];
    int rc =
        run(&m, argv[2], (unsigned)argc - 3, (const char *const *)&argv[3]);
    event_base_free(m.base);
    (void)close(m.signals);
    return rc;
}
