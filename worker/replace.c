/*
 * Replace: runs that do not stop, and the worker's way out.
 *
 * A run of a plugin that does not end is taken away from its thread, which is
 * then lost. The worker goes on with the others, but only until it can be
 * replaced: it drains as for a signal, leaves, and executes itself anew, as the
 * same process, so that whoever watches it notices nothing. Not more often
 * than once in 30 s, unless no thread is left: then it gives its jobs back at
 * once and waits for that moment without any.
 *
 * It executes /proc/self/exe, which is the program that runs now even if
 * another one has its name since: an upgrade is for who made it to start. The
 * configuration is read anew, and objects of plugins are loaded anew.
 *
 * Thread: event loop for agent_*, main for the rest.
 */
#include "worker/replace.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/notify.h"
#include "common/base/text.h"
#include "worker/lane.h"
#include "worker/subtask.h"

enum { LOOK_SOON_MS = 5 }; /* what most runs need to stop */

#define OWN_PROGRAM "/proc/self/exe"

int64_t replaced_at_ms(void)
{
    static const char env[] = REPLACED_ENV;
    const char *text = getenv(env);
    int64_t now = clock_boot_ms(), at;
    char *end;

    if (text == NULL)
        return 0;
    errno = 0;
    at = strtoll(text, &end, 10);
    /* Of another boot, or somebody's invention. */
    if (errno != 0 || *end != '\0' || at < 0 || at > now)
        return 0;
    return at;
}

unsigned agent_lost(const struct agent *a)
{
    return pool_lost(a->pool) + subtask_pool_lost(a->subtasks);
}

static bool none_is_left(const struct agent *a)
{
    return pool_lost(a->pool) == a->cfg->threads ||
           subtask_pool_lost(a->subtasks) == worker_subtask_threads(a->cfg);
}

static bool may_be_replaced(const struct agent *a)
{
    int64_t at = a->replaced_at_ms;

    return at == 0 || clock_boot_ms() - at >= REPLACE_EVERY_MS ||
           none_is_left(a);
}

/* A worker that was told to stop, or to be quiet, stays what it is. */
static void consider(struct agent *a) ON_LOOP;

static void consider(struct agent *a)
{
    if (a->stage != AGENT_RUNNING || agent_lost(a) == 0 || !may_be_replaced(a))
        return;
    LOG_WARN("replace", F_INT("lost", agent_lost(a)),
             F_STR("so", "the worker drains and then starts anew"));
    a->replace = true;
    agent_drain(a, "replace");
    agent_turn(a);
}

void agent_look_late(struct agent *a)
{
    int64_t now = clock_ms(), next, next_part;

    (void)pool_give_up_late(a->pool, now, &next);
    (void)subtask_pool_give_up_late(a->subtasks, now, &next_part);
    if (next_part < next)
        next = next_part;
    consider(a);
    /* The tick comes again anyway, but cancelled jobs have half a second. */
    if (next - now < AGENT_TICK_MS)
        timer_in(a->late_timer, next > now ? next - now : LOOK_SOON_MS);
}

void agent_look_soon(struct agent *a)
{
    if (!evtimer_pending(a->late_timer, NULL))
        timer_in(a->late_timer, LOOK_SOON_MS);
}

void on_late_timer(evutil_socket_t fd, short what, void *arg)
{
    loop_role_assert();
    (void)fd;
    (void)what;
    agent_look_late(arg);
}

/* Whether a signal that ends us came before it is time to go on. */
static bool is_told_to_stop(int64_t wait_ms)
{
    int64_t ping_ms = notify_watchdog_ms(), until_ms = clock_ms() + wait_ms;
    int64_t left_ms;
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    do {
        left_ms = until_ms - clock_ms();
        int64_t ms = left_ms < 0 ? 0 : left_ms;
        if (ping_ms > 0 && ms > ping_ms)
            ms = ping_ms;
        struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000) * 1000000};
        if (sigtimedwait(&set, NULL, &t) > 0)
            return true;
        (void)notify_send("WATCHDOG=1");
    } while (left_ms > 0);
    return false;
}

static int64_t left_ms(void)
{
    int64_t at = replaced_at_ms();
    int64_t left = at != 0 ? at + REPLACE_EVERY_MS - clock_boot_ms() : 0;

    return left > 0 ? left : 0;
}

int replace_self(char **argv)
{
    char at[INT_TEXT_MAX];

    if (is_told_to_stop(left_ms())) {
        (void)notify_send("STOPPING=1");
        return EX_OK;
    }
    notify_hand_over();
    (void)text_format_int(clock_boot_ms(), at);
    /* What plugins and libraries opened must not pile up. */
    if (setenv(REPLACED_ENV, at, 1) == 0 &&
        close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0)
        (void)execv(OWN_PROGRAM, argv);
    LOG_ERROR("replace", F_STR("program", OWN_PROGRAM),
              F_STR("error", strerror(errno)),
              F_STR("so", "the worker ends: it must be started again"));
    return EX_OSERR;
}
