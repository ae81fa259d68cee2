/*
 * Side threads: requests that take more than one question to Redis.
 *
 *     loop ──asked─► thread: look with its client ──done──► loop: answer
 *
 * A thread connects when it has something to do and no connection that is
 * still good; what failed is closed. done has room for all that can be under
 * way, so a thread never waits for the loop.
 *
 * Thread: event loop; run_thread and what it calls are of a side thread.
 */
#include "producer/serve/side.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/chan.h"
#include "common/base/mem.h"
#include "producer/client.h"

enum { WAITING_FOR_EACH = 32 };

struct errand {
    struct request *request;
    void (*look)(struct client *c, const struct request *r, struct answer *a);
    struct answer answer;
};

struct side_thread {
    struct side *side; /* borrowed */
    pthread_t id;
    struct client *client; /* owned; NULL: not connected */
    int status;            /* of the first failure that was told; 0: none */
    char text[1024];       /* of it */
};

struct side {
    struct serve *serve; /* borrowed */
    struct chan *asked, *done;
    int wake_fd;
    atomic_bool awake; /* a wake is under way */
    struct event *on_wake;
    unsigned under_way; /* errands that are not answered yet */
    unsigned count;
    struct side_thread *threads; /* owned; count of them */
};

static void on_wake(evutil_socket_t fd, short what, void *arg);
static void on_tell(void *arg, int status, const char *text);
static void *run_thread(void *arg);

/* ---- in a side thread ---- */

static void on_tell(void *arg, int status, const char *text)
{
    struct side_thread *t = arg;
    if (status == 0 || t->status != 0)
        return;
    t->status = status;
    (void)snprintf(t->text, sizeof(t->text), "%s", text);
}

/* A connection may have ended while nobody looked. */
static bool connect_client(struct side_thread *t)
{
    if (t->client)
        client_turn(t->client, false);
    if (t->client && !client_is_idle(t->client)) {
        client_close(t->client);
        t->client = NULL;
    }
    if (t->client)
        return true;
    const struct options *o = t->side->serve->o;
    struct client_config cfg = {
        .url = &t->side->serve->url,
        .connect_timeout_ms = o->connect_timeout_ms < o->redis_timeout_ms
                                  ? o->connect_timeout_ms
                                  : o->redis_timeout_ms,
        .call_timeout_ms = o->redis_timeout_ms,
        .tell = on_tell,
        .arg = t,
    };
    return client_new(&cfg, &t->client) == 0;
}

static void run_errand(struct side_thread *t, struct errand *e)
{
    t->status = 0;
    if (connect_client(t))
        e->look(t->client, e->request, &e->answer);
    if (e->answer.status == 0)
        answer_failure(&e->answer, t->status != 0 ? t->status : EX_SOFTWARE,
                       t->status != 0 ? t->text : "nothing was answered");
    if (t->client && !client_is_idle(t->client)) {
        client_close(t->client);
        t->client = NULL;
    }
}

static void wake(struct side *side)
{
    uint64_t one = 1;
    if (!atomic_exchange(&side->awake, true)) {
        ssize_t n = write(side->wake_fd, &one, sizeof(one));
        (void)n;
    }
}

static void *run_thread(void *arg)
{
    struct side_thread *t = arg;
    void *item;
    while (chan_recv(t->side->asked, &item, CHAN_FOREVER) == 0) {
        run_errand(t, item);
        (void)chan_try_send(t->side->done, item);
        wake(t->side);
    }
    client_close(t->client);
    return NULL;
}

/* ---- on the loop ---- */

struct side *side_new(struct serve *s)
{
    struct side *side = mem_new(sizeof(*side));
    unsigned n = (unsigned)s->o->side_threads;
    side->serve = s;
    side->asked = chan_new(n * WAITING_FOR_EACH);
    side->done = chan_new(n * (WAITING_FOR_EACH + 1));
    side->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    side->on_wake =
        event_new(s->base, side->wake_fd, EV_READ | EV_PERSIST, on_wake, side);
    (void)event_add(side->on_wake, NULL);
    side->threads = mem_new(n * sizeof(*side->threads));
    for (; side->count < n; side->count++) {
        struct side_thread *t = &side->threads[side->count];
        t->side = side;
        if (pthread_create(&t->id, NULL, run_thread, t) != 0)
            break;
    }
    if (side->count > 0)
        return side;
    side_free(side);
    return NULL;
}

static void answer_done_ones(struct side *side) ON_LOOP
{
    void *item;
    while (chan_try_recv(side->done, &item) == 0) {
        struct errand *e = item;
        side->under_way--;
        request_answer(e->request, &e->answer);
        free(e);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    struct side *side = arg;
    uint64_t n;
    (void)what;
    ssize_t got = read(fd, &n, sizeof(n));
    (void)got;
    atomic_store(&side->awake, false);
    answer_done_ones(side);
}

static void refuse(struct request *r) ON_LOOP
{
    struct answer a = {0};
    answer_problem(&a, 503, "overloaded",
                   "too many requests of this kind are under way");
    answer_header(&a, "Retry-After", "1");
    request_answer(r, &a);
}

void side_run(struct side *side, struct request *r)
{
    side_look(side, r, request_route(r)->look);
}

void side_look(struct side *side, struct request *r,
               void (*look)(struct client *c, const struct request *r,
                            struct answer *a))
{
    struct answer a = {0};
    if (!serve_has_redis(side->serve, &a)) {
        request_answer(r, &a);
        return;
    }
    struct errand *e = mem_new(sizeof(*e));
    e->request = r;
    e->look = look;
    if (chan_try_send(side->asked, e) == 0) {
        side->under_way++;
        return;
    }
    free(e);
    refuse(r);
}

bool side_is_busy(const struct side *side)
{
    return side && side->under_way > 0;
}

void side_free(struct side *side)
{
    void *item;
    if (!side)
        return;
    while (chan_try_recv(side->asked, &item) == 0) {
        struct errand *e = item;
        refuse(e->request);
        free(e);
    }
    chan_close(side->asked);
    for (unsigned i = 0; i < side->count; i++)
        (void)pthread_join(side->threads[i].id, NULL);
    answer_done_ones(side);
    event_free(side->on_wake);
    (void)close(side->wake_fd);
    chan_free(side->asked);
    chan_free(side->done);
    free(side->threads);
    free(side);
}
