/*
 * Army: the workers of a battle, and the clocks that can be set.
 *
 * Thread: the test's.
 */
#include "tests/faults/army.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { FLAGS_MAX = 40 };

/* A sanitized worker on a busy machine may be silent for three seconds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LEASE "9s"
#else
#define LEASE "3s"
#endif

struct clock_shift *army_new_clock(struct battle *b, const char *name)
{
    char path[BATTLE_PATH_MAX];
    const struct clock_shift none = {0};
    (void)snprintf(path, sizeof(path), "%s/%s", redis_dir(b->redis), name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *p = MAP_FAILED;
    if (fd >= 0 && write(fd, &none, sizeof(none)) == sizeof(none))
        p = mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    (void)close(fd);
    return p;
}

static const char *handler_spec(const struct battle *b)
{
    static char spec[3 * BATTLE_PATH_MAX];
    (void)snprintf(spec, sizeof(spec), "battle=exec:%s %s %s",
                   BATTLE_HANDLER_BIN, b->record, b->store);
    return spec;
}

static bool has_lane(void *arg)
{
    struct fighter *f = arg;
    return worker_count(f->w, "ev=register") + worker_count(f->w, "ev=rebind") >
           0;
}

/* The address sanitizer wants to be first; the shim calls nothing of it. */
static struct worker *start_worker(struct battle *b, const struct fighter *f,
                                   const char *const *argv)
{
    const char *options = getenv("ASAN_OPTIONS");
    char *host = mem_printf("BELT_HOST=%s", f->host);
    char *clock = mem_printf("BELT_CLOCK_FILE=%s/clock-%u", redis_dir(b->redis),
                             (unsigned)(f - b->army));
    char *asan = mem_printf("ASAN_OPTIONS=%s:verify_asan_link_order=0",
                            options != NULL ? options : "");
    const char *env[] = {host, NULL, NULL, NULL, NULL};
    if (f->clock != NULL) {
        env[1] = "LD_PRELOAD=" CLOCK_SHIM;
        env[2] = clock;
        env[3] = asan;
    }
    struct worker *w = worker_exec(b->redis, argv, env);
    free(host);
    free(clock);
    free(asan);
    return w;
}

void battle_enlist(struct battle *b, unsigned i)
{
    struct fighter *f = &b->army[i];
    const struct scenario *s = b->s;
    char *threads = mem_printf("%u", s->threads > 0 ? s->threads : 2);
    const char *url =
        b->proxy != NULL ? proxy_url(b->proxy, i) : redis_url(b->redis);
    const char *const always[] = {BELT_WORKER_BIN,
                                  "-u",
                                  url,
                                  "-q",
                                  "q",
                                  "--fence",
                                  "--threads",
                                  threads,
                                  "--lease",
                                  LEASE,
                                  "--max-recoveries",
                                  "0",
                                  "--kill-after",
                                  "300ms",
                                  "--handler",
                                  handler_spec(b)};
    const char *argv[FLAGS_MAX];
    unsigned n = sizeof(always) / sizeof(always[0]);
    memcpy(argv, always, sizeof(always));
    for (unsigned k = 0; s->flags != NULL && s->flags[k] != NULL; k++)
        argv[n++] = s->flags[k];
    argv[n] = NULL;
    f->w = start_worker(b, f, argv);
    f->paused = false;
    free(threads);
    battle_await(b, "a lane of a new worker", has_lane, f);
}

static bool has_ended(void *arg)
{
    const struct fighter *f = arg;
    return worker_has_ended(f->w);
}

/* Its exit code, or -signal. */
static int await_end(struct battle *b, struct fighter *f)
{
    battle_await(b, "the end of a worker", has_ended, f);
    int rc = worker_wait(f->w, 0);
    worker_free(f->w);
    f->w = NULL;
    f->paused = false;
    return rc;
}

void battle_signal(struct battle *b, unsigned i, int sig)
{
    struct fighter *f = &b->army[i];
    worker_signal(f->w, sig);
    if (sig == SIGSTOP || sig == SIGCONT)
        f->paused = sig == SIGSTOP;
    if (sig != SIGKILL)
        return;
    int rc = await_end(b, f);
    if (rc != -SIGKILL)
        battle_breach(b, "worker %u had ended by itself with %d", i, rc);
}

void battle_discharge(struct battle *b, unsigned i)
{
    struct fighter *f = &b->army[i];
    worker_signal(f->w, SIGTERM);
    int rc = await_end(b, f);
    if (rc != 0)
        battle_breach(b, "worker %u, told to end, ended with %d", i, rc);
}

bool battle_has_fallen(struct battle *b, unsigned i)
{
    struct fighter *f = &b->army[i];
    if (f->w == NULL || !worker_has_ended(f->w))
        return f->w == NULL;
    worker_free(f->w);
    f->w = NULL;
    return true;
}

unsigned battle_someone(struct battle *b)
{
    unsigned i;
    do {
        i = battle_random(b, b->army_size);
    } while (b->army[i].w == NULL || b->army[i].paused);
    return i;
}

void army_raise(struct battle *b)
{
    char name[32];
    b->army_size = b->s->workers > 0 ? b->s->workers : 4;
    if (b->s->through_proxy)
        b->proxy = proxy_start(b->redis, b->army_size);
    for (unsigned i = 0; i < b->army_size; i++) {
        (void)snprintf(b->army[i].host, sizeof(b->army[i].host), "host-%u",
                       b->s->same_host ? 0 : i);
        (void)snprintf(name, sizeof(name), "clock-%u", i);
        if (b->s->clocks)
            b->army[i].clock = army_new_clock(b, name);
    }
    for (unsigned i = 0; i < b->army_size; i++)
        battle_enlist(b, i);
}

void army_disband(struct battle *b)
{
    for (unsigned i = 0; i < b->army_size; i++) {
        worker_free(b->army[i].w);
        if (b->army[i].clock != NULL)
            (void)munmap(b->army[i].clock, sizeof(struct clock_shift));
    }
}
