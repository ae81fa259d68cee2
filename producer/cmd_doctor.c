/*
 * belt doctor: whether Redis is as Belt needs it, and what keeps jobs waiting.
 *
 * Thread: main, which is also the loop.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/doctor.h"
#include "producer/queue_sizes.h"

#define AT(member) offsetof(struct options, member)

const struct column doctor_columns[] = {{"verdict", FOR_ALL, false},
                                        {"check", FOR_ALL, false},
                                        {"queue", FOR_ALL, false},
                                        {"finding", FOR_ALL, false},
                                        {NULL, FOR_ALL, false}};

void doctor_say(struct doctor *d, enum doctor_verdict v, const char *check,
                const char *of, const char *fmt, ...)
{
    static const char *const names[] = {"ok", "note", "warning", "wrong"};
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    d->counts[v]++;
    out_str(d->out, names[v]);
    out_str(d->out, check);
    out_str(d->out, of);
    out_str(d->out, line);
    (void)out_row(d->out);
}

void doctor_answer_done(struct doctor_answer *a)
{
    buf_done(&a->text);
    buf_done(&a->error);
}

struct question {
    struct doctor_answer *answer;
    int err;
    bool answered;
};

static void on_answer(void *arg, int err, const struct reply *r)
{
    struct question *q = arg;
    const char *p = "";
    size_t n = 0;
    int64_t number;

    q->answered = true;
    q->err = err;
    if (err == 0 && reply_is_error(r)) {
        buf_str(&q->answer->error, reply_error(r));
        return;
    }
    if (!reply_str(r, &p, &n) && !reply_str(reply_at(r, 1), &p, &n) &&
        reply_int(r, &number)) {
        buf_int(&q->answer->text, number);
        return;
    }
    buf_append(&q->answer->text, p, n);
}

int doctor_ask(struct doctor *d, const char *const *argv,
               struct doctor_answer *ret)
{
    struct question q = {.answer = ret};
    struct args a = {0};

    for (; *argv != NULL; argv++)
        args_str(&a, *argv);
    loop_role_assert();
    int rc =
        conn_call(client_conn(d->client), &a,
                  clock_ms() + CONN_TIMEOUT_DEFAULT_MS, false, on_answer, &q);
    args_done(&a);
    int status = client_await(d->client, rc, &q.answered);
    if (status == 0 && q.err != 0)
        status =
            client_tell(d->client, EX_UNAVAILABLE, "%s: connection lost: %s",
                        client_url(d->client), client_down_why(d->client));
    return status;
}

static int look(const struct options *o, struct client *client,
                struct queue_names *names, struct doctor *d)
{
    bool right = true;

    *d = (struct doctor){.client = client, .ns = o->ns};
    d->out = out_new(o, doctor_columns);
    int status = doctor_server(d);
    if (status == 0)
        status = doctor_shared(d, &right);
    if (status == 0 && right && names->count == 0)
        status = queue_names_find(names, client, o->ns);
    if (status == 0 && right)
        status = doctor_queues(d, names->names, names->count);
    out_end(d->out);
    return status;
}

static int run_doctor(const struct options *o)
{
    struct queue_names names = {0};
    struct client *client;
    struct doctor d;
    int status = 0;

    for (int i = 0; i < o->arg_count && status == 0; i++) {
        if (!text_is_name(o->args[i], strlen(o->args[i])))
            status =
                fail(o, EX_USAGE, "%s: not the name of a queue", o->args[i]);
        queue_names_add(&names, o->args[i]);
    }
    if (status == 0)
        status = client_open(o, &client);
    if (status == 0) {
        status = look(o, client, &names, &d);
        if (status == 0 && (d.counts[DOCTOR_WRONG] > 0 ||
                            (o->strict && d.counts[DOCTOR_WARNING] > 0)))
            status = 1;
        client_close(client);
    }
    queue_names_done(&names);
    return status;
}

static const struct flag flags[] = {
    {"strict", 0, FLAG_BOOL, NULL, AT(strict), 0, 0,
     "end with 1 for warnings, too"},
    {0},
};

const struct command cmd_doctor = {
    .name = "doctor",
    .usage = "[QUEUE ...] [--strict]",
    .summary = "Look for what is wrong with Redis and the queues",
    .details =
        "wrong: it does not work, or jobs will be lost; warning: jobs may be "
        "late, or lost\nin a bad case; note: to be known. Nothing is changed. "
        "Exit code: 1 if something\nis wrong, else 0.\n",
    .flags = flags,
    .max_args = -1,
    .run = run_doctor,
};
