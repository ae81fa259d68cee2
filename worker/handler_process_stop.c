/*
 * How a run on a child is stopped: by its limits, or because somebody says so.
 *
 *     running ─ time, cancel ─► asked ─ half of kill_after ─► TERM ─► KILL
 *        └── stdout closed ─► hung up ─ a moment ───────────────────► KILL
 *
 * Thread: the pool thread of the run.
 */
#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "worker/handler_process_run.h"
#include "worker/subtask.h"

enum { HANGUP_MS = 200 }; /* between closing a pipe and its end */

static const char *reason(const struct process_run *r)
{
    if (r->stop != STOP_CANCEL)
        return r->stop == STOP_SUBTASK ? "subtask" : "timeout";
    return atomic_load(&r->d->cancel) == CANCEL_JOB ? "cancelled" : "stopping";
}

static void say_cancel(struct process_run *r)
{
    struct buf b = {0};

    buf_str(&b, "{\"op\":\"cancel\",\"id\":");
    buf_json_string(&b, r->d->job->id, strlen(r->d->job->id));
    buf_printf(&b, ",\"reason\":\"%s\"}\n", reason(r));
    process_say(r->p, b.data, b.len);
    buf_done(&b);
}

static void kill_now(struct process_run *r)
{
    r->state = RUN_KILLED;
    r->next_ms = INT64_MAX;
    process_kill(r->p, SIGKILL);
}

void process_run_ask(struct process_run *r, enum process_run_stop why)
{
    int64_t now = clock_ms(), ms = handler_kill_after_ms(r->d);

    assert(r->stop == STOP_NONE);
    r->stop = why;
    r->state = RUN_ASKED;
    r->kill_at_ms = handler_instant(now, ms);
    r->next_ms = handler_instant(now, ms / 2);
    say_cancel(r);
    subtasks_stop(r->d);
}

static void terminate(struct process_run *r)
{
    r->state = RUN_TERMED;
    r->next_ms = r->kill_at_ms;
    process_kill(r->p, SIGTERM);
}

/* It timed out, and now it was cancelled too: no longer so long. */
static void shorten(struct process_run *r)
{
    int64_t now = clock_ms(), ms = handler_kill_after_ms(r->d);

    if (r->state == RUN_KILLED || r->kill_at_ms <= handler_instant(now, ms))
        return;
    r->kill_at_ms = handler_instant(now, ms);
    r->next_ms =
        r->state == RUN_TERMED ? r->kill_at_ms : handler_instant(now, ms / 2);
}

/* The first wake asks, every later one kills. */
void process_run_wake(struct process_run *r)
{
    uint64_t wakes;

    if (read(r->cancel_fd, &wakes, sizeof(wakes)) != sizeof(wakes) ||
        atomic_load(&r->d->cancel) == CANCEL_NONE)
        return;
    if (r->stop == STOP_NONE)
        process_run_ask(r, STOP_CANCEL);
    else
        shorten(r);
    if (r->hurry || wakes > 1) {
        kill_now(r);
        if (r->d->subtasks != NULL)
            subtasks_hurry(r->d->subtasks);
    }
    r->hurry = true;
}

/* It can be told, or tell, nothing any more: about to end, or of no use. */
void process_run_hang_up(struct process_run *r)
{
    if (r->state != RUN_RUNNING)
        return;
    r->state = RUN_HUNG_UP;
    r->next_ms = handler_instant(clock_ms(), HANGUP_MS);
}

static int64_t next_ms(const struct process_run *r)
{
    int64_t silent_ms;

    if (r->state != RUN_RUNNING)
        return r->next_ms;
    silent_ms = wishes_silent_until(&r->wishes);
    return silent_ms < r->timeout_at_ms ? silent_ms : r->timeout_at_ms;
}

void process_run_time(struct process_run *r)
{
    if (r->state == RUN_RUNNING)
        process_run_ask(r, r->timeout_at_ms <= clock_ms() ? STOP_TIMEOUT
                                                          : STOP_SILENT);
    else if (r->state == RUN_ASKED)
        terminate(r);
    else
        kill_now(r);
}

int process_run_left_ms(const struct process_run *r)
{
    int64_t next = next_ms(r), left;

    if (next == INT64_MAX)
        return -1;
    left = next - clock_ms();
    return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}
