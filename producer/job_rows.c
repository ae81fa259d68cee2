/*
 * Job rows: what is known of a job, one on a line.
 *
 * Thread: as out.h.
 */
#include "producer/job_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/safe.h"
#include "producer/age.h"
#include "producer/failure.h"

enum {
    ERROR_WIDTH = 60,
    RAW_SHOWN = 4096 /* of an element that is no envelope */
};

struct job_rows {
    const struct options *o; /* borrowed */
    struct out *out;         /* owned */
    bool placed;
    int64_t now_ms;
};

#define JOB_COLUMNS                                                            \
    {"id", FOR_ALL, false}, {"type", FOR_ALL, false},                          \
        {"attempt", FOR_ALL, true}, {"age", FOR_PEOPLE, true},                 \
        {"created_at", FOR_PROGRAMS, true}, {"when", FOR_PEOPLE, true},        \
        {"at", FOR_PROGRAMS, true}, {"bytes", FOR_ALL, true},                  \
        {"lane", FOR_PROGRAMS, false}, {"error", FOR_ALL, false},              \
        {"job", FOR_PROGRAMS, false}, {"raw", FOR_PROGRAMS, false},            \
    {                                                                          \
        0                                                                      \
    }

static const struct column plain_columns[] = {JOB_COLUMNS};
static const struct column placed_columns[] = {
    {"queue", FOR_ALL, false}, {"state", FOR_ALL, false}, JOB_COLUMNS};

struct job_rows *job_rows_new_to(const struct options *o, bool placed,
                                 struct buf *to)
{
    struct job_rows *rows = mem_new(sizeof(*rows));

    rows->o = o;
    rows->placed = placed;
    rows->now_ms = clock_wall_ms();
    rows->out = out_new_to(o, placed ? placed_columns : plain_columns, to);
    return rows;
}

struct job_rows *job_rows_new(const struct options *o, bool placed)
{
    return job_rows_new_to(o, placed, NULL);
}

static void print_error(struct job_rows *rows, const char *text, size_t n)
{
    size_t cut =
        rows->o->format == OUT_TABLE ? safe_cut(text, n, ERROR_WIDTH) : n;
    struct buf b = {0};

    if (n == 0) {
        out_none(rows->out);
        return;
    }
    buf_append(&b, text, cut);
    if (cut < n)
        buf_str(&b, "…");
    out_text(rows->out, b.data, b.len);
    buf_done(&b);
}

static void out_age(struct out *out, int64_t ms, const char *suffix)
{
    char age[32], text[48];

    snprintf(text, sizeof(text), "%s%s", age_format(ms, age), suffix);
    out_str(out, text);
}

static void print_times(struct job_rows *rows, int64_t created_ms,
                        int64_t at_ms)
{
    struct out *out = rows->out;

    if (created_ms > 0) {
        out_age(out, rows->now_ms - created_ms, "");
        out_int(out, created_ms);
    } else {
        out_none(out);
        out_none(out);
    }
    if (at_ms < 0) {
        out_none(out);
        out_none(out);
        return;
    }
    if (at_ms > rows->now_ms)
        out_age(out, at_ms - rows->now_ms + 999, " to go");
    else
        out_age(out, rows->now_ms - at_ms, " ago");
    out_int(out, at_ms);
}

static void print_job(struct job_rows *rows, const struct job_row *row)
{
    const struct job *job = row->job;
    struct out *out = rows->out;
    struct buf error = {0};

    out_str(out, job->id[0] != '\0' ? job->id : NULL);
    out_str(out, job->type);
    out_int(out, job->attempt);
    print_times(rows, job->created_at_ms, row->at_ms);
    out_int(out, (int64_t)job->raw_len);
    out_str(out, row->lane);
    failure_append(job, &error);
    print_error(rows, error.data, error.len);
    buf_done(&error);
    out_json(out, job->raw, job->raw_len);
    out_none(out);
}

static void print_invalid(struct job_rows *rows, const struct job_row *row)
{
    struct out *out = rows->out;
    size_t n = row->element.len;

    out_none(out);
    out_str(out, rows->o->format == OUT_TABLE ? "(invalid)" : NULL);
    out_none(out);
    print_times(rows, 0, row->at_ms);
    out_int(out, (int64_t)n);
    out_str(out, row->lane);
    print_error(rows, row->why, strlen(row->why));
    out_none(out);
    out_text(out, row->element.p, n < RAW_SHOWN ? n : RAW_SHOWN);
}

bool job_rows_print(struct job_rows *rows, const struct job_row *row)
{
    if (rows->placed) {
        out_str(rows->out, row->queue);
        out_str(rows->out, row->state);
    }
    if (row->job)
        print_job(rows, row);
    else
        print_invalid(rows, row);
    return out_row(rows->out);
}

void job_rows_end(struct job_rows *rows)
{
    out_end(rows->out);
    free(rows);
}
