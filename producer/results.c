/*
 * Results: one row for each job.
 *
 * Thread: main.
 */
#include "producer/results.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "producer/complain.h"
#include "producer/failure.h"
#include "producer/kept_out.h"

struct results {
    const struct options *o; /* borrowed */
    struct out *out;         /* owned; NULL: raw */
};

/* Programs count them: new ones go behind the others. */
static const struct column columns[] = {
    {"job", FOR_PEOPLE, false},
    {"queue", FOR_PROGRAMS, false},
    {"id", FOR_PROGRAMS, false},
    {"state", FOR_ALL, false},
    {"attempt", FOR_ALL, true},
    {"worker", FOR_PROGRAMS, false},
    {"started_at", FOR_PROGRAMS, true},
    {"ended_at", FOR_PROGRAMS, true},
    {"result", FOR_PROGRAMS, false},
    {"error", FOR_PROGRAMS, false},
    {"exit", FOR_PROGRAMS, true},
    {"result", FOR_PEOPLE, false},
    {0},
};

struct results *results_new(const struct options *o)
{
    struct results *rs = mem_new(sizeof(*rs));

    rs->o = o;
    rs->out = o->raw ? NULL : out_new(o, columns);
    return rs;
}

/* Why there is no result, on stderr: stdout is for its bytes. */
static void complain_of(const struct options *o, const struct job_name *name,
                        const struct kept *k)
{
    const char *state = k->values[KEPT_state];
    char text[JOB_NAME_TEXT_MAX];
    struct buf error = {0};

    if (k->values[KEPT_error])
        failure_append_text(k->values[KEPT_error], k->lens[KEPT_error], &error);
    complain(o, "%s: %s%s%s", job_name_format(name, text),
             state ? state : "not kept", error.len > 0 ? ": " : "",
             error.len > 0 ? error.data : "");
    buf_done(&error);
}

static bool print_raw(const struct results *rs, const struct job_name *name,
                      const struct kept *k)
{
    if (!kept_is(k, "done"))
        complain_of(rs->o, name, k);
    else if (k->lens[KEPT_result] > 0)
        fwrite(k->values[KEPT_result], 1, k->lens[KEPT_result], stdout);
    return !ferror(stdout);
}

/* In a table the newline that ends what a handler printed says nothing. */
static void out_in_table(struct out *out, const struct kept *k,
                         enum kept_field f)
{
    size_t n = k->lens[f];

    if (!k->values[f])
        out_none(out);
    else
        out_text(out, k->values[f],
                 n > 0 && k->values[f][n - 1] == '\n' ? n - 1 : n);
}

bool results_print(struct results *rs, const struct job_name *name,
                   const struct kept *k)
{
    bool failed = k->values[KEPT_error] && !k->values[KEPT_result];
    struct out *out = rs->out;
    char text[JOB_NAME_TEXT_MAX];

    if (!out)
        return print_raw(rs, name, k);
    out_str(out, job_name_format(name, text));
    out_str(out, name->queue[0] != '\0' ? name->queue : NULL);
    out_str(out, name->id);
    if (k->values[KEPT_state])
        kept_out(out, k, KEPT_state);
    else
        out_str(out, rs->o->format == OUT_TABLE ? "(not kept)" : NULL);
    kept_out_number(out, k, KEPT_attempt);
    kept_out(out, k, KEPT_worker);
    kept_out_number(out, k, KEPT_started_at);
    kept_out_number(out, k, KEPT_ended_at);
    kept_out_value(out, k, KEPT_result);
    kept_out_value(out, k, KEPT_error);
    kept_out_number(out, k, KEPT_exit);
    out_in_table(out, k, failed ? KEPT_error : KEPT_result);
    return out_row(out);
}

void results_end(struct results *rs)
{
    if (rs->out)
        out_end(rs->out);
    free(rs);
}
