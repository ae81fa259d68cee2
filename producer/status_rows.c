/*
 * Status rows: how a job stands, one on a line.
 *
 * Thread: as out.h.
 */
#include "producer/status_rows.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/safe.h"
#include "common/base/text.h"
#include "producer/age.h"
#include "producer/failure.h"
#include "producer/kept_out.h"

enum { ERROR_WIDTH = 60, NAME_COLUMNS = 3 };

struct status_rows {
    struct out *out; /* owned */
    const struct column *columns;
    bool table, results;
    int64_t now_ms; /* of the row under way */
};

/* Programs count them: new ones go behind the others. */
#define STATUS_COLUMNS                                                         \
    {"job", FOR_PEOPLE, false}, {"queue", FOR_PROGRAMS, false},                \
        {"id", FOR_PROGRAMS, false}, {"state", FOR_ALL, false},                \
        {"type", FOR_ALL, false}, {"attempt", FOR_ALL, true},                  \
        {"progress", FOR_ALL, true}, {"message", FOR_ALL, false},              \
        {"created", FOR_PEOPLE, true}, {"created_at", FOR_PROGRAMS, true},     \
        {"due", FOR_PEOPLE, true}, {"due_at", FOR_PROGRAMS, true},             \
        {"started", FOR_PEOPLE, true}, {"started_at", FOR_PROGRAMS, true},     \
        {"ended", FOR_PEOPLE, true}, {"ended_at", FOR_PROGRAMS, true},         \
        {"worker", FOR_ALL, false}, {"lane", FOR_PROGRAMS, false},             \
        {"cpu", FOR_PEOPLE, true}, {"cpu_ms", FOR_PROGRAMS, true},             \
        {"memory", FOR_PEOPLE, true}, {"peak_rss", FOR_PROGRAMS, true},        \
        {"exit", FOR_PROGRAMS, true}, {"error", FOR_ALL, false},               \
        {"kept", FOR_PROGRAMS, false},                                         \
    {                                                                          \
        "log_lines", FOR_PROGRAMS, true                                        \
    }

static const struct column plain_columns[] = {STATUS_COLUMNS, {0}};
static const struct column result_columns[] = {
    STATUS_COLUMNS, {"result", FOR_PROGRAMS, false}, {0}};

static struct status_rows *rows_new(const struct options *o, bool results,
                                    struct buf *to)
{
    struct status_rows *rows = mem_new(sizeof(*rows));

    rows->results = results;
    rows->columns = results ? result_columns : plain_columns;
    rows->table = o->format == OUT_TABLE;
    rows->out = out_new_to(o, rows->columns, to);
    return rows;
}

struct status_rows *status_rows_new(const struct options *o)
{
    return rows_new(o, false, NULL);
}

struct status_rows *status_rows_new_to(const struct options *o, struct buf *to)
{
    return rows_new(o, true, to);
}

/* "3m ago" or "in 2h", and the instant for programs; 0: none. */
static void out_instant(struct status_rows *rows, int64_t at_ms)
{
    char age[32], text[48];

    if (at_ms <= 0) {
        out_none(rows->out);
        out_none(rows->out);
        return;
    }
    int64_t ms = rows->now_ms - at_ms;
    if (ms >= 0)
        snprintf(text, sizeof(text), "%s ago", age_format(ms, age));
    else
        snprintf(text, sizeof(text), "in %s", age_format(999 - ms, age));
    out_str(rows->out, text);
    out_int(rows->out, at_ms);
}

static void out_error(struct status_rows *rows, const struct buf *error)
{
    size_t n = error->len;
    struct buf b = {0};

    if (n == 0) {
        out_none(rows->out);
        return;
    }
    size_t cut = rows->table ? safe_cut(error->data, n, ERROR_WIDTH) : n;
    buf_append(&b, error->data, cut);
    if (cut < n)
        buf_str(&b, "…");
    out_text(rows->out, b.data, b.len);
    buf_done(&b);
}

/* What its last run used: "1.2s" and "50.1M", and the numbers for programs. */
static void out_usage(struct out *out, const struct kept *k)
{
    const int64_t cpu_ms = kept_int(k, KEPT_cpu_ms, -1);
    const int64_t rss = kept_int(k, KEPT_peak_rss, -1);
    char text[32];

    out_str(out, cpu_ms < 0 ? NULL : text_format_duration(cpu_ms, text));
    kept_out_number(out, k, KEPT_cpu_ms);
    (void)snprintf(text, sizeof(text), "%.1fM", (double)rss / (1024 * 1024));
    out_str(out, rss < 0 ? NULL : text);
    kept_out_number(out, k, KEPT_peak_rss);
}

static void print_kept(struct status_rows *rows, const struct standing *s)
{
    const struct kept *k = &s->kept;
    struct out *out = rows->out;
    struct buf error = {0};

    out_str(out, standing_state(s, rows->now_ms));
    kept_out(out, k, KEPT_type);
    kept_out_number(out, k, KEPT_attempt);
    kept_out_number(out, k, KEPT_progress);
    kept_out(out, k, KEPT_message);
    out_instant(rows, kept_int(k, KEPT_created_at, 0));
    out_instant(rows, kept_int(k, KEPT_due_at, 0));
    out_instant(rows, kept_int(k, KEPT_started_at, 0));
    out_instant(rows, kept_int(k, KEPT_ended_at, 0));
    kept_out(out, k, KEPT_worker);
    kept_out(out, k, KEPT_lane);
    out_usage(out, k);
    kept_out_number(out, k, KEPT_exit);
    if (k->values[KEPT_error])
        failure_append_text(k->values[KEPT_error], k->lens[KEPT_error], &error);
    out_error(rows, &error);
    buf_done(&error);
    out_bool(out, true);
    kept_out_number(out, k, KEPT_log_lines);
    if (rows->results)
        kept_out_value(out, k, KEPT_result);
}

static void out_worker(struct out *out, const struct standing *s)
{
    size_t n;
    const char *worker = standing_worker(s, &n);

    if (worker)
        out_text(out, worker, n);
    else
        out_none(out);
}

static void print_found(struct status_rows *rows, const struct standing *s)
{
    const struct found *f = &s->found;
    struct out *out = rows->out;
    bool dead = f->place == PLACE_DEAD;
    struct buf error = {0};

    out_str(out, standing_state(s, rows->now_ms));
    out_str(out, f->job->type);
    out_int(out, f->job->attempt);
    out_none(out);
    out_none(out);
    out_instant(rows, f->job->created_at_ms);
    out_instant(rows, dead ? 0 : f->at_ms);
    out_instant(rows, 0);
    out_instant(rows, dead ? f->at_ms : 0);
    out_worker(out, s);
    out_str(out, f->lane[0] != '\0' ? f->lane : NULL);
    for (int i = 0; i < 5; i++) /* nobody has told: its usage, its exit */
        out_none(out);
    failure_append(f->job, &error);
    out_error(rows, &error);
    buf_done(&error);
    out_bool(out, false);
    out_none(out);
    if (rows->results)
        out_none(out);
}

static void print_nothing(struct status_rows *rows)
{
    out_str(rows->out, rows->table ? "(not found)" : NULL);
    for (size_t i = NAME_COLUMNS + 1; rows->columns[i].name; i++)
        out_none(rows->out);
}

bool status_rows_print(struct status_rows *rows, const struct standing *s,
                       int64_t now_ms)
{
    char text[JOB_NAME_TEXT_MAX];

    rows->now_ms = now_ms;
    out_str(rows->out, job_name_format(&s->name, text));
    out_str(rows->out, s->name.queue[0] != '\0' ? s->name.queue : NULL);
    out_str(rows->out, s->name.id);
    if (standing_is_kept(s))
        print_kept(rows, s);
    else if (s->found.job)
        print_found(rows, s);
    else
        print_nothing(rows);
    return out_row(rows->out);
}

void status_rows_end(struct status_rows *rows)
{
    out_end(rows->out);
    free(rows);
}
