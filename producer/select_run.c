/*
 * Select, as a command: from the command line to the sum that is told.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/connect.h"
#include "producer/select_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/complain.h"
#include "producer/ids.h"

enum { IDS_AT_ONCE = 10000 };

static void on_time(void *arg, const struct reply *r);
static int on_name(void *arg, const struct job_name *name);

static const struct column *sum_columns(const char *past)
{
    static struct column columns[] = {{NULL, FOR_ALL, true},
                                      {"left", FOR_ALL, true},
                                      {"missing", FOR_ALL, true},
                                      {0}};

    columns[0].name = past;
    return columns;
}

static void tell_sum(const struct select *s)
{
    const char *past = s->plan->past;

    if (s->left > SELECT_TOLD_MAX)
        complain(s->o, "%lld more like these",
                 (long long)s->left - SELECT_TOLD_MAX);
    if (s->missing > SELECT_TOLD_MAX)
        complain(s->o, "%lld more were not found",
                 (long long)s->missing - SELECT_TOLD_MAX);
    if (s->plan->quiet)
        return;
    if (s->o->dry_run) {
        complain(s->o, "%lld would be %s", (long long)s->done, past);
    } else if (s->o->format == OUT_TABLE) {
        printf("%lld %s", (long long)s->done, past);
        if (s->left > 0)
            printf(", %lld left", (long long)s->left);
        if (s->missing > 0)
            printf(", %lld not found", (long long)s->missing);
        putchar('\n');
    } else {
        struct out *out = out_new(s->o, sum_columns(past));
        out_int(out, s->done);
        out_int(out, s->left);
        out_int(out, s->missing);
        out_row(out);
        out_end(out);
    }
}

static int on_name(void *arg, const struct job_name *name)
{
    struct wanted_list *list = arg;

    list->all[list->count++] = (struct wanted){.name = *name};
    return list->count == IDS_AT_ONCE ? select_wanted(list) : 0;
}

static int run_ids(struct select *s)
{
    struct wanted_list list = {
        .s = s, .all = mem_new(IDS_AT_ONCE * sizeof(struct wanted))};
    int status = job_names_read(s->o, on_name, &list);

    if (status == 0 || status == EX_DATAERR) {
        int rest = select_wanted(&list);
        status = rest != 0 ? rest : status;
    }
    free(list.all);
    return status;
}

static int run_queues(struct select *s)
{
    int first = s->plan->waits ? QUEUE_RETRY : QUEUE_DEAD;
    int last = s->plan->waits ? QUEUE_SCHEDULED : QUEUE_DEAD;
    int status = 0;

    if (s->o->state)
        first = last = select_find_set(s->o->state);
    for (int i = 0; i < s->o->arg_count && status == 0; i++) {
        keys_init(&s->keys, s->o->ns, s->o->args[i]);
        for (int set = first; set <= last && status == 0; set++)
            status = select_walk_set(s, NULL, (enum queue_set)set);
    }
    return status;
}

/* ---- the command ---- */

static void on_time(void *arg, const struct reply *r)
{
    int64_t seconds, us;

    if (reply_int(reply_at(r, 0), &seconds) && reply_int(reply_at(r, 1), &us) &&
        seconds >= 0 && seconds <= QUEUE_COUNT_MAX / 1000)
        *(int64_t *)arg = seconds * 1000 + us / 1000;
}

static int ask_time(struct select *s)
{
    struct args a = {0};

    s->started_ms = clock_wall_ms();
    args_str(&a, "TIME");
    client_call(s->client, &a, on_time, &s->started_ms);
    args_done(&a);
    return client_wait(s->client);
}

int select_run(const struct options *o, const struct select_plan *plan,
               void *arg)
{
    struct select s = {.o = o, .plan = plan, .arg = arg};
    int status = select_check(&s);

    if (status == 0)
        status = client_open(o, &s.client);
    if (status != 0)
        return status;
    status = ask_time(&s);
    if (o->dry_run || !plan->act)
        s.rows = job_rows_new(o, o->arg_count > 1 || select_is_id(o->args[0]));
    if (status == 0)
        status = select_is_id(o->args[0]) ? run_ids(&s) : run_queues(&s);
    if (s.rows)
        job_rows_end(s.rows);
    tell_sum(&s);
    client_close(s.client);
    if (status == 0 && (s.left > 0 || s.missing > 0))
        status = 1;
    return status;
}
