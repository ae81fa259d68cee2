/*
 * Worker path: finding the programs that belt runs.
 *
 * Looked up before the exec, so that what is missing is told by name.
 *
 * Thread: main.
 */
#include "producer/worker_path.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/complain.h"

/* Takes path if it can be run, frees it otherwise. */
static char *if_runs(char *path)
{
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *program_path(const char *name)
{
    const char *p = getenv("PATH");

    if (!p || p[0] == '\0')
        p = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t n = strcspn(p, ":");
        char *found =
            if_runs(mem_printf("%.*s/%s", n ? (int)n : 1, n ? p : ".", name));
        if (found)
            return found;
        if (p[n] == '\0')
            return NULL;
        p += n + 1;
    }
}

char *sibling_path(const struct options *o, const char *name)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *path = NULL;

    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
            path =
                if_runs(mem_printf("%.*s/%s", (int)(slash - self), self, name));
    }
    if (!path)
        path = program_path(name);
    if (!path)
        complain(o, "%s: neither beside belt nor in PATH", name);
    return path;
}

void worker_export(const struct options *o)
{
    if (o->redis_url)
        setenv("BELT_REDIS_URL", o->redis_url, 1);
    setenv("BELT_NAMESPACE", o->ns, 1);
}
