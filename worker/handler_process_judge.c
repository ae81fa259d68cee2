/*
 * What became of a job that ran on a child.
 *
 * An answer was judged when it came. A run that we stopped is judged by why we
 * did, whatever the child answered then, as in exec.
 *
 * Thread: the pool thread of the run.
 */
#include "worker/handler_process_run.h"

#include <signal.h>

#include "common/base/log.h"

/* It has ended and said nothing that answers the job. */
static void judge_end(struct process_run *r)
{
    const struct process *p = r->p;
    struct outcome *o = &r->d->outcome;

    if (r->state == RUN_KILLED) {
        handler_fail(r->d, VERDICT_RETRY, "protocol",
                     "it closed its stdin or stdout and did not answer");
        return;
    }
    if (!p->end_known) {
        handler_fail(r->d, VERDICT_RETRY, "lost", "exit status is unknown");
        return;
    }
    o->exit_status = exec_end_status(&p->end);
    if (p->end.info.si_code == CLD_EXITED)
        handler_fail(r->d, VERDICT_RETRY, "exit", "exit code %d",
                     o->exit_status);
    else
        exec_end_judge(r->d, &p->end);
    buf_str(&o->message, " before it answered");
}

void process_run_add_last_line(struct process_run *r)
{
    struct buf *message = &r->d->outcome.message;
    const char *line;
    size_t n = stderr_log_last_line(&r->stderr_log, &line);

    if (n == 0)
        return;
    buf_str(message, ": ");
    buf_append(message, line,
               n < PROCESS_MESSAGE_LINE_MAX ? n : PROCESS_MESSAGE_LINE_MAX);
}

void process_run_judge(struct process_run *r)
{
    if (r->stop != STOP_NONE) {
        buf_done(&r->d->outcome.result);
        r->d->outcome.result_truncated = false;
        r->d->outcome.delay_ms = -1;
        if (r->stop == STOP_CANCEL)
            handler_stopped(r->d);
        else if (r->stop == STOP_SILENT)
            handler_fail_silent(r->d);
        else if (r->stop == STOP_SUBTASK) /* subtasks_finish says which */
            handler_fail(r->d, VERDICT_RETRY, "subtask", "a sub-task failed");
        else
            handler_fail_timeout(r->d);
    } else if (!r->answered) {
        judge_end(r);
    }
}

void process_run_keep(struct process_run *r)
{
    struct outcome *o = &r->d->outcome;
    bool failed = o->verdict != VERDICT_DONE && o->verdict != VERDICT_SNOOZE;

    if (o->verdict != VERDICT_DONE)
        buf_done(&o->result);
    else if (o->result_truncated)
        LOG_WARN("result_truncated", F_STR("job", r->d->job->id),
                 F_INT("kept", (int64_t)o->result.len));
    if (!failed) {
        buf_done(&r->stderr_log.tail);
        buf_done(&r->trace);
        return;
    }
    if (!r->answered || r->stop != STOP_NONE)
        process_run_add_last_line(r);
    if (r->trace.len > 0) {
        buf_done(&r->stderr_log.tail);
        o->stderr_tail = r->trace;
    } else {
        buf_done(&r->trace);
        o->stderr_tail = r->stderr_log.tail;
    }
}
