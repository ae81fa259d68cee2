/*
 * belt-worker: takes jobs from queues in Redis and runs their handlers.
 *
 * Thread: main, which becomes the loop thread in agent_run.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/notify.h"
#include "common/base/safe.h"
#include "common/base/stdfd.h"
#include "worker/agent.h"
#include "worker/descriptors.h"
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

enum { GROUPS_LEAST = 16384 }; /* for what a later configuration may keep */

/* Process groups that live at a time. */
static unsigned groups_at_most(const struct worker_config *cfg)
{
    unsigned threads = cfg->threads + worker_subtask_threads(cfg);
    unsigned n = threads + handlers_kept(cfg->handlers, threads);
    return n > GROUPS_LEAST ? n : GROUPS_LEAST;
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
    notify_start(); /* before handlers could be given its variables */
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
    if (descriptors_want(&o.config, &eb) != 0 ||
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
