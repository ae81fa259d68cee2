/*
 * belt-worker: takes jobs from queues in Redis and runs their handlers.
 *
 * Thread: main, which becomes the loop thread in agent_run.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/safe.h"
#include "common/base/stdfd.h"
#include "worker/agent.h"
#include "worker/guard.h"
#include "worker/options.h"
#include "worker/reload.h"
#include "worker/replace.h"

/* Says why not, and frees o. Returns the exit code. */
static int refuse(struct options *o, const struct errbuf *eb)
{
    int code = o->wrong != NULL ? EX_CONFIG : EX_USAGE;
    struct buf text = {0};
    safe_append(&text, eb->text, strlen(eb->text));
    if (o->wrong != NULL)
        (void)fputs(o->wrong, stderr);
    else
        (void)fprintf(stderr, "belt-worker: %s\nSee belt-worker --help.\n",
                      text.data);
    buf_done(&text);
    options_done(o);
    return code;
}

/* The same for what is said instead of working. */
static int answer(struct options *o)
{
    if (o->help)
        options_help(stdout);
    else
        (void)puts(o->version ? "belt-worker " BELT_VERSION : "ok");
    options_done(o);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

/* Of a handler that runs: five pipes while it starts, what tells of its end, of
 * a cancel and of sub-tasks, and its place: directory and cgroup. */
enum { RUN_FDS = 16, KEPT_FDS = 8 };

/*
 * Two connections a queue, those of each running handler, eight a process that
 * is kept, and some of our own: with fewer the worker would only seem to work.
 */
static int want_descriptors(const struct worker_config *cfg, struct errbuf *eb)
{
    struct rlimit l;
    rlim_t runs = (rlim_t)cfg->threads + worker_subtask_threads(cfg);
    rlim_t need =
        48 + 2 * (rlim_t)cfg->queue_count + RUN_FDS * runs +
        KEPT_FDS * (rlim_t)handlers_kept(cfg->handlers, (unsigned)runs);
    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= need)
        return 0;
    if (l.rlim_max >= need) {
        l.rlim_cur = need;
        if (setrlimit(RLIMIT_NOFILE, &l) == 0)
            return 0;
    }
    return errbuf_set(eb, ERR_SYSTEM,
                      "%llu file descriptors are allowed (ulimit -n), %llu "
                      "are needed for these threads and queues",
                      (unsigned long long)l.rlim_max, (unsigned long long)need);
}

/* Process groups that live at a time. */
static unsigned groups_at_most(const struct worker_config *cfg)
{
    unsigned threads = cfg->threads + worker_subtask_threads(cfg);

    return threads + handlers_kept(cfg->handlers, threads);
}

static int fail_to_start(struct options *o, const struct errbuf *eb, int code)
{
    LOG_ERROR("start", F_STR("error", eb->text));
    options_done(o);
    return code;
}

/* What is changed while it is read is read again once the loop runs. */
static void hold_reloads(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
    struct options o;
    struct errbuf eb;
    hold_reloads();
    if (stdfd_open() != 0)
        return EX_OSERR;
    if (options_parse(argc, argv, &o, &eb) != 0)
        return refuse(&o, &eb);
    if (o.help || o.version || o.check)
        return answer(&o);
    log_setup(o.log_level, o.log_format);
    (void)signal(SIGPIPE, SIG_IGN);
    /* What one huge envelope took goes back at once. Left alone glibc learns
     * to keep such blocks in its heap, where one small one above holds them. */
    (void)mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
    /* Before any thread exists, since it forks. */
    if (want_descriptors(&o.config, &eb) != 0 ||
        guard_start(groups_at_most(&o.config), &eb) != 0)
        return fail_to_start(&o, &eb, EX_OSERR);
    /* Behind the guard: plugins may start threads of their own. */
    if (handlers_start(o.config.handlers, &eb) != 0) {
        guard_stop();
        return fail_to_start(&o, &eb, EX_CONFIG);
    }
    struct reload *reload = reload_new(argc, argv, &o);
    struct agent_end end;
    int code = agent_run(reload, &end);
    guard_stop();
    if (end.replace)
        code = replace_self(argv);
    if (end.lost) {
        (void)fflush(NULL);
        _exit(code);
    }
    reload_free(reload);
    return code;
}
