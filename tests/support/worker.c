/*
 * Worker: starts real programs for a test, and ends them with it.
 *
 * Children get PR_SET_PDEATHSIG, so that they end even if the test is killed;
 * atexit does it for orderly exits.
 *
 * Thread: the test's.
 */
#include "tests/support/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/support/wait.h"

enum { WORKERS_MAX = 64, ARGS_MAX = 64, FILES_MAX = 256 };
enum { START_MS = 60 * 1000 }; /* a sanitized worker on a busy machine */

struct worker {
    pid_t pid; /* 0: ended */
    int status;
    char *log;
};

static struct worker *running[WORKERS_MAX];
static char *files[FILES_MAX];
static unsigned file_count, started;

static void die(const char *what)
{
    (void)fprintf(stderr, "tests/support/worker: %s: %s\n", what,
                  strerror(errno));
    exit(1);
}

static void kill_all(void)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (running[i] != NULL && running[i]->pid > 0) {
            (void)kill(running[i]->pid, SIGKILL);
            (void)waitpid(running[i]->pid, NULL, 0);
        }
    }
    for (unsigned i = 0; i < file_count; i++)
        free(files[i]);
    file_count = 0;
}

static void remember(struct worker *w)
{
    static bool registered;
    if (!registered) {
        registered = true;
        (void)atexit(kill_all);
    }
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (running[i] == NULL) {
            running[i] = w;
            return;
        }
    }
    die("too many programs");
}

static void child(const struct worker *w, pid_t parent, const char *const *argv,
                  const char *const *env)
{
    int fd = open(w->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd < 0 || getppid() != parent || dup2(fd, STDOUT_FILENO) < 0 ||
        dup2(fd, STDERR_FILENO) < 0)
        _exit(127);
    for (; env != NULL && *env != NULL; env++) {
        const char *eq = strchr(*env, '=');
        char *name = mem_dup(*env, (size_t)(eq - *env));
        (void)setenv(name, eq + 1, 1);
        free(name);
    }
    const char *args[ARGS_MAX];
    unsigned n = 0;
    while (argv[n] != NULL && n < ARGS_MAX - 1) {
        args[n] = argv[n];
        n++;
    }
    args[n] = NULL;
    /* execv takes char *const[] for history's sake and changes nothing. */
    (void)execvp(args[0], (char **)(void *)args);
    _exit(127);
}

struct worker *worker_exec(struct redis *r, const char *const *argv,
                           const char *const *env)
{
    struct worker *w = mem_new(sizeof(*w));
    pid_t parent = getpid();
    w->log = mem_printf("%s/program-%u.log", redis_dir(r), ++started);
    w->pid = fork();
    if (w->pid < 0)
        die("fork");
    if (w->pid == 0)
        child(w, parent, argv, env);
    remember(w);
    return w;
}

struct worker *worker_start(struct redis *r, const char *host,
                            const char *const *flags)
{
    const char *argv[ARGS_MAX] = {BELT_WORKER_BIN, "-u", redis_url(r)};
    char *host_env = mem_printf("BELT_HOST=%s", host != NULL ? host : "");
    const char *env[] = {host_env, NULL};
    unsigned n = 3;
    for (unsigned i = 0; flags[i] != NULL && n < ARGS_MAX - 1; i++)
        argv[n++] = flags[i];
    struct worker *w = worker_exec(r, argv, env);
    free(host_env);
    return w;
}

pid_t worker_pid(const struct worker *w)
{
    return w->pid;
}

void worker_signal(struct worker *w, int sig)
{
    if (w->pid > 0 && kill(w->pid, sig) != 0)
        die("kill");
}

static bool has_ended(void *arg)
{
    struct worker *w = arg;
    if (w->pid > 0 && waitpid(w->pid, &w->status, WNOHANG) == w->pid)
        w->pid = 0;
    return w->pid == 0;
}

bool worker_has_ended(struct worker *w)
{
    return has_ended(w);
}

int worker_wait(struct worker *w, int64_t timeout_ms)
{
    if (!wait_until(has_ended, w, timeout_ms)) {
        (void)fprintf(stderr, "program %d does not end; its log: %s\n",
                      (int)w->pid, w->log);
        exit(1);
    }
    return WIFSIGNALED(w->status) ? -WTERMSIG(w->status)
                                  : WEXITSTATUS(w->status);
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    if (w->pid > 0) {
        (void)kill(w->pid, SIGKILL);
        (void)waitpid(w->pid, &w->status, 0);
    }
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (running[i] == w)
            running[i] = NULL;
    }
    free(w->log);
    free(w);
}

const char *worker_log(const struct worker *w)
{
    return w->log;
}

unsigned worker_count(struct worker *w, const char *text)
{
    char *line = NULL;
    size_t cap = 0;
    unsigned n = 0;
    FILE *f = fopen(w->log, "re");
    if (f == NULL)
        return 0;
    while (getline(&line, &cap, f) >= 0)
        n += strstr(line, text) != NULL;
    free(line);
    (void)fclose(f);
    return n;
}

bool worker_said(struct worker *w, const char *text)
{
    return worker_count(w, text) > 0;
}

struct lanes_wanted {
    struct worker *w;
    unsigned n;
};

static bool lanes_are_up(void *arg)
{
    struct lanes_wanted *l = arg;
    return worker_count(l->w, "ev=register") +
               worker_count(l->w, "ev=rebind") >=
           l->n;
}

bool worker_is_up(struct worker *w, unsigned n)
{
    struct lanes_wanted l = {w, n};
    return wait_until(lanes_are_up, &l, START_MS);
}

/* ---- queues ---- */

long long queue_active(struct redis *r, const char *queue)
{
    long long n = 0;
    redisReply *lanes = redis_cmd(r, "ZRANGE belt:{%s}:leases 0 -1", queue);
    for (size_t i = 0; lanes != NULL && i < lanes->elements; i++)
        n += redis_int(r, "LLEN belt:{%s}:active:%s", queue,
                       lanes->element[i]->str);
    freeReplyObject(lanes);
    return n;
}

struct rest {
    struct redis *r;
    const char *queue;
    long long ready, active, scheduled, retry;
};

/*
 * In one step: jobs that move from list to list between two looks would be in
 * neither.
 */
static bool is_at_rest(void *arg)
{
    static const char script[] =
        "local active = 0 "
        "for _, lane in ipairs(redis.call('ZRANGE', KEYS[1] .. ':leases', 0, "
        "-1)) do active = active + "
        "redis.call('LLEN', KEYS[1] .. ':active:' .. lane) end "
        "return { redis.call('LLEN', KEYS[1]), active, "
        "redis.call('ZCARD', KEYS[1] .. ':scheduled'), "
        "redis.call('ZCARD', KEYS[1] .. ':retry') }";
    struct rest *t = arg;
    long long *const all[] = {&t->ready, &t->active, &t->scheduled, &t->retry};
    redisReply *r = redis_cmd(t->r, "EVAL %s 1 belt:{%s}", script, t->queue);
    bool known = r != NULL && r->type == REDIS_REPLY_ARRAY;
    long long sum = 0;
    for (size_t i = 0; known && i < 4; i++)
        sum += *all[i] = r->element[i]->integer;
    freeReplyObject(r);
    return known && sum == 0;
}

bool queue_at_rest(struct redis *r, const char *queue, int64_t timeout_ms)
{
    struct rest t = {.r = r, .queue = queue};
    if (wait_until(is_at_rest, &t, timeout_ms))
        return true;
    (void)fprintf(stderr,
                  "queue %s: %lld ready, %lld active, %lld scheduled, "
                  "%lld to be retried\n",
                  queue, t.ready, t.active, t.scheduled, t.retry);
    return false;
}

long long queue_stat(struct redis *r, const char *queue, const char *name)
{
    char text[32];
    (void)redis_str(r, text, sizeof(text), "HGET belt:{%s}:stats %s", queue,
                    name);
    return strcmp(text, "(nil)") == 0 ? 0 : strtoll(text, NULL, 10);
}

void queue_fill(struct redis *r, const char *queue, const char *type,
                unsigned first, unsigned n)
{
    /* One script call for each thousand: a test is not about this. */
    static const char script[] =
        "for i = ARGV[2], ARGV[2] + ARGV[3] - 1 do "
        "redis.call('RPUSH', KEYS[1], string.format("
        "'{\"type\":\"%s\",\"payload\":%d}', ARGV[1], i)) end return 1";
    char key[128];
    (void)snprintf(key, sizeof(key), "belt:{%s}", queue);
    for (unsigned done = 0; done < n; done += 1000) {
        unsigned some = n - done < 1000 ? n - done : 1000;
        (void)redis_int(r, "EVAL %s 1 %s %s %u %u", script, key, type,
                        first + done, some);
    }
}

/* ---- files ---- */

const char *script_file(struct redis *r, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", redis_dir(r), name);
    /* Written under another name: exec refuses a file that is open. */
    char *temp = mem_printf("%s.new", path);
    FILE *f = fopen(temp, "we");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0 ||
        chmod(temp, 0755) != 0 || rename(temp, path) != 0 ||
        file_count == FILES_MAX)
        die(path);
    free(temp);
    files[file_count++] = path;
    return path;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static unsigned count_lines(const char *path, bool distinct)
{
    char **lines = NULL, *line = NULL;
    size_t cap = 0, n = 0, room = 0;
    unsigned different = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    while (getline(&line, &cap, f) >= 0) {
        if (n == room) {
            room = room > 0 ? 2 * room : 1024;
            lines = mem_resize(lines, room * sizeof(*lines));
        }
        lines[n++] = mem_strdup(line);
    }
    free(line);
    (void)fclose(f);
    if (n > 0)
        qsort(lines, n, sizeof(*lines), compare);
    for (size_t i = 0; i < n; i++)
        different += i == 0 || strcmp(lines[i], lines[i - 1]) != 0;
    for (size_t i = 0; i < n; i++)
        free(lines[i]);
    free(lines);
    return distinct ? different : (unsigned)n;
}

unsigned file_lines(const char *path)
{
    return count_lines(path, false);
}

unsigned file_distinct_lines(const char *path)
{
    return count_lines(path, true);
}
