/*
 * Descriptors: how many a configuration needs.
 *
 * Thread: main, or the event loop.
 */
#include "worker/descriptors.h"

#include <sys/resource.h>

/* Of a handler that runs: five pipes while it starts, what tells of its end, of
 * a cancel and of sub-tasks, and its place: directory and cgroup. */
enum { RUN_FDS = 16, KEPT_FDS = 8 };

/*
 * Two connections a queue, those of each running handler, eight a process that
 * is kept, and some of our own: with fewer the worker would only seem to work.
 */
int descriptors_want(const struct worker_config *cfg, struct errbuf *eb)
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
