/*
 * Proxy: the handle of the fault proxy, a program of its own.
 *
 * Thread: the test's.
 */
#include "tests/faults/proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/faults/proxy_sock.h"
#include "tests/support/wait.h"
#include "tests/support/worker.h"

enum { START_MS = 20 * 1000, LINKS_MAX = 48, LINE_MAX_BYTES = 256 };
#define SCHEME "unix://"

struct proxy {
    struct worker *program; /* owned */
    char *control;          /* owned: its path */
    char *urls[LINKS_MAX];  /* owned */
    unsigned links;
    FILE *to, *from; /* owned: the control connection; NULL: none yet */
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt,
                                                                ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fputs("fault proxy: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* Its control socket comes last: it serves by then. */
static bool connects(void *arg)
{
    struct proxy *p = arg;
    int fd = sock_connect(p->control, 0);
    if (fd < 0)
        return false;
    p->to = fdopen(fd, "w");
    p->from = fdopen(dup(fd), "r");
    return p->to != NULL && p->from != NULL;
}

struct proxy *proxy_start(struct redis *r, unsigned links)
{
    static unsigned started;
    const char *argv[LINKS_MAX + 4] = {FAULT_PROXY_BIN};
    struct proxy *p = mem_new(sizeof(*p));
    if (links == 0 || links > LINKS_MAX)
        die("1 to %d links, not %u", LINKS_MAX, links);
    started++;
    p->links = links;
    p->control = mem_printf("%s/proxy-%u.sock", redis_dir(r), started);
    argv[1] = p->control;
    argv[2] = redis_url(r) + strlen(SCHEME);
    for (unsigned i = 0; i < links; i++) {
        p->urls[i] =
            mem_printf(SCHEME "%s/link-%u-%u.sock", redis_dir(r), started, i);
        argv[3 + i] = p->urls[i] + strlen(SCHEME);
    }
    p->program = worker_exec(r, argv, NULL);
    if (!wait_until(connects, p, START_MS))
        die("no answer; see %s", worker_log(p->program));
    return p;
}

const char *proxy_url(const struct proxy *p, unsigned link)
{
    if (link >= p->links)
        die("there is no link %u", link);
    return p->urls[link];
}

pid_t proxy_pid(const struct proxy *p)
{
    return worker_pid(p->program);
}

__attribute__((format(printf, 2, 0))) static void
say(struct proxy *p, const char *fmt, va_list ap, char answer[LINE_MAX_BYTES])
{
    char line[LINE_MAX_BYTES];
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    (void)fprintf(p->to, "%s\n", line);
    if (fflush(p->to) != 0 || fgets(answer, LINE_MAX_BYTES, p->from) == NULL)
        die("%s: it is gone; see %s", line, worker_log(p->program));
    answer[strcspn(answer, "\n")] = '\0';
    if (strncmp(answer, "wrong", 5) == 0)
        die("%s: %s", line, answer);
}

void proxy_do(struct proxy *p, const char *fmt, ...)
{
    char answer[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    say(p, fmt, ap, answer);
    va_end(ap);
    if (strcmp(answer, "ok") != 0)
        die("%s: %s", fmt, answer);
}

int64_t proxy_ask(struct proxy *p, const char *fmt, ...)
{
    char answer[LINE_MAX_BYTES], *end = NULL;
    va_list ap;
    va_start(ap, fmt);
    say(p, fmt, ap, answer);
    va_end(ap);
    int64_t n = strtoll(answer, &end, 10);
    if (end == answer || *end != '\0')
        die("%s: %s", fmt, answer);
    return n;
}

void proxy_stop(struct proxy *p)
{
    if (p == NULL)
        return;
    (void)fclose(p->to);
    (void)fclose(p->from);
    worker_signal(p->program, SIGTERM);
    int code = worker_wait(p->program, START_MS);
    if (code != 0)
        die("it ended with %d; see %s", code, worker_log(p->program));
    worker_free(p->program);
    for (unsigned i = 0; i < p->links; i++)
        free(p->urls[i]);
    free(p->control);
    free(p);
}
