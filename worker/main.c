/*
 * belt-worker: takes jobs from queues in Redis and runs their handlers.
 *
 * Thread: main, which becomes the loop thread in agent_run.
 */
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#include "common/base/log.h"
#include "common/base/stdfd.h"
#include "worker/agent.h"
#include "worker/guard.h"
#include "worker/options.h"

/* Says why not, and frees o. Returns the exit code. */
static int refuse(struct options *o, const struct errbuf *eb)
{
    int code = o->wrong != NULL ? EX_CONFIG : EX_USAGE;
    if (o->wrong != NULL)
        (void)fputs(o->wrong, stderr);
    else
        (void)fprintf(stderr, "belt-worker: %s\nSee belt-worker --help.\n",
                      eb->text);
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

int main(int argc, char **argv)
{
    struct options o;
    struct errbuf eb;
    if (stdfd_open() != 0)
        return EX_OSERR;
    if (options_parse(argc, argv, &o, &eb) != 0)
        return refuse(&o, &eb);
    if (o.help || o.version || o.check)
        return answer(&o);
    log_setup(o.log_level, o.log_format);
    (void)signal(SIGPIPE, SIG_IGN);
    /* Before any thread exists, since it forks. */
    if (guard_start(&eb) != 0) {
        LOG_ERROR("start", F_STR("error", eb.text));
        options_done(&o);
        return EX_OSERR;
    }
    int code = agent_run(&o.config);
    guard_stop();
    options_done(&o);
    return code;
}
