/*
 * Host: names this process so that its neighbours can tell when it is gone.
 *
 * A process id alone is not enough: ids are used again, and mean something
 * else in another pid namespace or after a boot. Start time, namespace and
 * boot id make it unique on a host.
 *
 * Thread: any.
 */
#include "worker/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/job/json.h"

struct description {
    char host[65], boot[40];
    int64_t pid_ns, pid, start;
};

static bool read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    out[0] = '\0';
    if (f == NULL)
        return false;
    bool got = fgets(out, (int)size, f) != NULL;
    out[strcspn(out, "\n")] = '\0';
    (void)fclose(f);
    return got;
}

enum host_process host_process_look(pid_t pid, int64_t *ret_start)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_line(path, line, sizeof(line))) {
        /* No file descriptor left, or no right to look, is no death. */
        bool ended = kill(pid, 0) != 0 && errno == ESRCH;
        return ended ? HOST_PROCESS_GONE : HOST_PROCESS_HIDDEN;
    }
    /* The command, in parentheses, may hold anything: go behind its end. */
    const char *p = strrchr(line, ')');
    if (p == NULL || p[1] == '\0')
        return HOST_PROCESS_HIDDEN;
    /* A zombie runs no more, though its parent has not looked yet. */
    if (p[2] == 'Z' || p[2] == 'X')
        return HOST_PROCESS_GONE;
    for (int field = 2; field < 22 && p != NULL; field++)
        p = strchr(p + 1, ' ');
    if (p == NULL)
        return HOST_PROCESS_HIDDEN;
    *ret_start = strtoll(p + 1, NULL, 10);
    return HOST_PROCESS_RUNS;
}

void host_self(struct host *ret)
{
    struct host h = {.pid = getpid()};
    const char *name = getenv("BELT_HOST");
    char buf[256] = "";
    if (name == NULL || name[0] == '\0') {
        (void)gethostname(buf, sizeof(buf) - 1);
        buf[strcspn(buf, ".")] = '\0';
        name = buf;
    }
    (void)snprintf(h.name, sizeof(h.name), "%.40s", name);
    for (char *p = h.name; *p != '\0'; p++) {
        if (!text_is_id(p, 1) || *p == ':')
            *p = '-';
    }
    if (!text_is_name(h.name, strlen(h.name)))
        (void)snprintf(h.name, sizeof(h.name), "host");
    (void)read_line("/proc/sys/kernel/random/boot_id", h.boot_id,
                    sizeof(h.boot_id));
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) == 0)
        h.pid_ns = (int64_t)st.st_ino;
    h.start = -1;
    (void)host_process_look(h.pid, &h.start);
    *ret = h;
}

void host_describe(const struct host *h, unsigned threads, const char *worker,
                   const char *was, char *out, size_t size)
{
    (void)snprintf(out, size,
                   "{\"host\":\"%s\",\"boot\":\"%s\",\"pid_ns\":%lld,"
                   "\"pid\":%d,\"start\":%lld,\"threads\":%u,"
                   "\"worker\":\"%s\",\"was\":\"%s\"}",
                   h->name, h->boot_id, (long long)h->pid_ns, (int)h->pid,
                   (long long)h->start, threads, worker, was);
}

static void set_text(char *out, size_t size, struct json_span value)
{
    if (value.len >= 2 && value.p[0] == '"' && value.len - 2 < size) {
        memcpy(out, value.p + 1, value.len - 2);
        out[value.len - 2] = '\0';
    }
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct description *d = arg;
    (void)eb;
    if (key.len == 6 && memcmp(key.p, "\"host\"", 6) == 0)
        set_text(d->host, sizeof(d->host), value);
    else if (key.len == 6 && memcmp(key.p, "\"boot\"", 6) == 0)
        set_text(d->boot, sizeof(d->boot), value);
    else if (key.len == 8 && memcmp(key.p, "\"pid_ns\"", 8) == 0)
        (void)json_int_value(value, &d->pid_ns);
    else if (key.len == 5 && memcmp(key.p, "\"pid\"", 5) == 0)
        (void)json_int_value(value, &d->pid);
    else if (key.len == 7 && memcmp(key.p, "\"start\"", 7) == 0)
        (void)json_int_value(value, &d->start);
    return 0;
}

static bool read_neighbour(const struct host *h, const char *description,
                           size_t len, struct description *d)
{
    *d = (struct description){.pid = -1, .start = -1};
    return json_scan_object(description, len, on_member, d, NULL) == 0 &&
           strcmp(d->host, h->name) == 0 && h->boot_id[0] != '\0' &&
           strcmp(d->boot, h->boot_id) == 0 && h->pid_ns != 0 &&
           d->pid_ns == h->pid_ns && d->pid > 0 && d->pid <= INT32_MAX &&
           d->start >= 0 && h->start >= 0;
}

bool host_is_neighbour(const struct host *h, const char *description,
                       size_t len)
{
    struct description d;
    return read_neighbour(h, description, len, &d);
}

bool host_is_gone(const struct host *h, const char *description, size_t len)
{
    struct description d;
    int64_t start;
    if (!read_neighbour(h, description, len, &d))
        return false;
    switch (host_process_look((pid_t)d.pid, &start)) {
    case HOST_PROCESS_GONE:
        return true;
    case HOST_PROCESS_RUNS:
        return start != d.start; /* the id was used again */
    case HOST_PROCESS_HIDDEN:
        break;
    }
    return false;
}
