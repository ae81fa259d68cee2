/*
 * belt jobs: a look at the jobs of a queue, in the order of their turn.
 *
 * Lists are read a few elements at a time, since each may be as big as the
 * limit allows, and not to their end if few of their jobs are meant: that is
 * told. Sets are walked (walk.h).
 *
 * Thread: main, which is also the loop.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/select.h"

enum {
    JOBS_MAX = 1000,
    PAGE_FIRST = 20,
    PAGE_MAX = 200,
    LANES_AT_ONCE = 100,
    LOOKED_MAX = 100000 /* at jobs of one state */
};
#define PAGE_BYTES ((size_t)1 << 20)

struct look {
    const struct options *o; /* borrowed */
    struct client *client;   /* owned */
    struct keys keys;
    struct filter filter;
    struct job_rows *rows; /* owned */
    const char *state;     /* that is looked at */
    const char *lane;      /* of the list under way; borrowed; NULL: none */
    int64_t left;          /* rows that may still be printed */
    int64_t looked;        /* at jobs of this state */
    size_t got, bytes;     /* elements of the last answer */
};

struct lanes {
    char names[LANES_AT_ONCE][192];
    size_t count, seen;
};

static void on_jobs(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);

/* ---- a job ---- */

/* set: of a member, else NULL. */
static void look_at_job(struct look *l, struct bytes e, const char *set,
                        int64_t at_ms)
{
    struct errbuf eb = {""};

    l->looked++;
    if (l->left == 0)
        return;
    struct job *job = job_of(e, &eb);
    int64_t came_ms = job && job->created_at_ms > 0 ? job->created_at_ms : -1;
    if (set)
        came_ms =
            select_came_at((enum queue_set)select_find_set(set), job, at_ms);
    bool meant = job ? filter_takes(&l->filter, job, came_ms)
                     : !filter_is_set(&l->filter);
    if (meant) {
        const struct job_row row = {.queue = l->keys.queue,
                                    .state = l->state,
                                    .lane = l->lane,
                                    .element = e,
                                    .job = job,
                                    .at_ms = at_ms,
                                    .why = eb.text};
        (void)job_rows_print(l->rows, &row);
        l->left--;
    }
    job_free(job);
}

/* Whether there is no more to be looked at; says so if there may be. */
static bool is_enough(const struct look *l)
{
    if (l->left == 0)
        return true;
    if (l->looked < LOOKED_MAX)
        return false;
    complain(l->o, "%s: looked at the first %lld jobs only", l->state,
             (long long)l->looked);
    return true;
}

/* ---- lists ---- */

static void on_jobs(void *arg, const struct reply *r)
{
    struct look *l = arg;

    l->got = reply_len(r);
    l->bytes = 0;
    for (size_t i = 0; i < l->got; i++) {
        struct bytes e;
        if (!reply_str(reply_at(r, i), &e.p, &e.len))
            continue;
        l->bytes += e.len;
        look_at_job(l, e, NULL, -1);
    }
}

static int look_at_list(struct look *l, const char *key)
{
    int64_t from = 0, size = PAGE_FIRST;
    int status = 0;

    do {
        struct args a = {0};
        args_str(&a, "LRANGE");
        args_str(&a, key);
        args_int(&a, from);
        args_int(&a, from + size - 1);
        client_call(l->client, &a, on_jobs, l);
        args_done(&a);
        status = client_wait(l->client);
        from += size;
        if ((int64_t)l->got < size)
            break;
        if (l->bytes > PAGE_BYTES)
            size = size > 1 ? size / 2 : 1;
        else if (l->bytes < PAGE_BYTES / 4 && size < PAGE_MAX)
            size *= 2;
    } while (status == 0 && !is_enough(l));
    return status;
}

static void on_lanes(void *arg, const struct reply *r)
{
    struct lanes *lanes = arg;

    lanes->count = 0;
    lanes->seen = reply_len(r);
    for (size_t i = 0; i < reply_len(r) && i < LANES_AT_ONCE; i++) {
        const char *p;
        size_t n;
        if (reply_str(reply_at(r, i), &p, &n) && strlen(p) == n &&
            n < sizeof(lanes->names[0]))
            memcpy(lanes->names[lanes->count++], p, n + 1);
    }
}

static int look_at_lanes(struct look *l, const struct lanes *lanes)
{
    int status = 0;

    for (size_t i = 0; i < lanes->count && status == 0 && l->left > 0; i++) {
        char key[KEY_MAX];
        l->lane = lanes->names[i];
        if (keys_active(&l->keys, l->lane, key))
            status = look_at_list(l, key);
    }
    l->lane = NULL;
    return status;
}

static int look_at_active(struct look *l)
{
    struct lanes lanes = {.seen = LANES_AT_ONCE};
    int status = 0;

    for (int64_t from = 0;
         status == 0 && l->left > 0 && lanes.seen == LANES_AT_ONCE;
         from += LANES_AT_ONCE) {
        struct args a = {0};
        args_str(&a, "ZRANGE");
        args_str(&a, l->keys.leases);
        args_int(&a, from);
        args_int(&a, from + LANES_AT_ONCE - 1);
        client_call(l->client, &a, on_lanes, &lanes);
        args_done(&a);
        status = client_wait(l->client);
        if (status == 0)
            status = look_at_lanes(l, &lanes);
    }
    return status;
}

/* ---- sets ---- */

static int look_at_set(struct look *l, enum queue_set set)
{
    const char *name = select_set_name(set);
    struct walk *w = walk_new(l->client, queue_set_key(&l->keys, set),
                              set == QUEUE_DEAD, INT64_MIN, INT64_MAX);
    unsigned n = 1;
    int status = 0;

    while (status == 0 && n > 0 && !is_enough(l)) {
        status = walk_next(w, &n);
        for (unsigned i = 0; i < n && status == 0; i++)
            look_at_job(l, walk_at(w, i)->member, name, walk_at(w, i)->at_ms);
    }
    walk_free(w);
    return status;
}

static int look_at_state(struct look *l, const char *state)
{
    int set = select_find_set(state);

    l->state = state;
    l->looked = 0;
    if (strcmp(state, "ready") == 0)
        return look_at_list(l, l->keys.ready);
    if (strcmp(state, "active") == 0)
        return look_at_active(l);
    return look_at_set(l, (enum queue_set)set);
}

/* ---- the command line ---- */

static const char *const states[] = {"active", "ready", "scheduled", "retry",
                                     "dead"};
enum { STATES = sizeof(states) / sizeof(states[0]) };

static int check(const struct options *o, const char *state)
{
    const char *queue = o->args[0];

    if (!text_is_name(queue, strlen(queue)))
        return fail(o, EX_USAGE, "%s: not the name of a queue", queue);
    for (size_t i = 0; i < STATES; i++) {
        if (strcmp(state, states[i]) == 0)
            return 0;
    }
    if (strcmp(state, "all") == 0)
        return 0;
    return fail(o, EX_USAGE,
                "--state: %s: not ready, active, scheduled, retry, dead or all",
                state);
}

static int run_jobs(const struct options *o)
{
    const char *state = o->state ? o->state : "ready";
    struct look l = {.o = o, .left = o->count};
    bool all = strcmp(state, "all") == 0;
    int status = check(o, state);

    if (status == 0)
        status = filter_init(&l.filter, o);
    if (status == 0)
        status = client_open(o, &l.client);
    if (status != 0)
        return status;
    keys_init(&l.keys, o->ns, o->args[0]);
    l.rows = job_rows_new(o, all);
    for (size_t i = 0; i < STATES && status == 0; i++) {
        if (all || strcmp(state, states[i]) == 0)
            status = look_at_state(&l, states[i]);
    }
    job_rows_end(l.rows);
    client_close(l.client);
    return status;
}

static const struct flag flags[] = {
    {"state", 0, FLAG_TEXT, "STATE", offsetof(struct options, state), 0, 0,
     "ready, active, scheduled, retry, dead or all (ready)"},
    FILTER_FLAGS,
    {"count", 'n', FLAG_INT, "N", offsetof(struct options, count), 1, JOBS_MAX,
     "at most so many (20)"},
    {0},
};

const struct command cmd_jobs = {
    .name = "jobs",
    .usage = "QUEUE [--state STATE] [FILTER] [-n N]",
    .summary = "Show the first jobs of a queue",
    .details =
        "WHEN is when a job is due, or since when it is dead; dead jobs come "
        "newest\nfirst. --since and --until are held against the death of a "
        "job, its last failure\n(retry), or else its push. After a hundred "
        "thousand jobs of a state it looks no\nfurther, and says so. The "
        "formats for programs have the whole envelope as \"job\".\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_jobs,
};
