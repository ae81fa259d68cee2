/*
 * belt logs: what runs of a kept job wrote, now or as it comes.
 *
 * For people a line is its time, where it was written and its text; the pieces
 * of a long one are put together. Programs get all of it.
 *
 * Thread: main, which is also the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/base/safe.h"
#include "producer/client.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/find.h"
#include "producer/follow.h"
#include "producer/ids.h"
#include "producer/log_rows.h"

#define AT(member) offsetof(struct options, member)
#define DURATION_MAX_MS (366LL * 24 * 3600 * 1000)

struct logs {
    const struct options *o; /* borrowed */
    struct job_name name;
    struct out *out; /* owned; NULL: for people */
    struct buf text; /* one line */

    bool open; /* a line was printed without its end, */
    int64_t open_attempt;
    char open_source[16]; /* which goes on there */
};

static bool on_line(void *arg, const struct log_line *line);
static void on_missing(void *arg, int64_t n);
static void on_absent(void *arg, bool seen);

/* ---- a line ---- */

static void end_line(struct logs *l)
{
    if (l->open)
        putchar('\n');
    l->open = false;
}

/* "12:03:04.123 stderr ", of the time of day here. */
static void put_head(struct logs *l, const struct log_line *line)
{
    bool own = strcmp(line->source, "log") == 0;
    time_t seconds = (time_t)(line->at_ms / 1000);
    struct tm tm = {0};
    char clock[16];

    localtime_r(&seconds, &tm);
    (void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    buf_printf(&l->text, "%s.%03d ", clock, (int)(line->at_ms % 1000));
    const char *where = own ? line->level : line->source;
    safe_append(&l->text, where, strlen(where));
    for (size_t n = strlen(where); n < sizeof("stderr") - 1; n++)
        buf_char(&l->text, ' ');
    buf_char(&l->text, ' ');
}

static void put_text(struct logs *l, const struct log_line *line)
{
    bool goes_on = l->open && line->attempt == l->open_attempt &&
                   strcmp(line->source, l->open_source) == 0;

    buf_clear(&l->text);
    if (!goes_on) {
        end_line(l);
        put_head(l, line);
    }
    if (line->text.len > 0)
        safe_append(&l->text, line->text.data, line->text.len);
    fwrite(l->text.data ? l->text.data : "", 1, l->text.len, stdout);
    l->open = true;
    l->open_attempt = line->attempt;
    memcpy(l->open_source, line->source, sizeof(l->open_source));
    if (!line->more)
        end_line(l);
}

static bool on_line(void *arg, const struct log_line *line)
{
    struct logs *l = arg;

    if (l->out)
        (void)log_row_put(l->out, line);
    else
        put_text(l, line);
    if (l->o->follow)
        fflush(stdout);
    return !ferror(stdout);
}

static void on_missing(void *arg, int64_t n)
{
    struct logs *l = arg;

    end_line(l);
    fflush(stdout); /* in its place, where both go to one file */
    complain(l->o, "%lld lines are not there any more", (long long)n);
}

static void on_absent(void *arg, bool seen)
{
    const struct logs *l = arg;
    char text[JOB_NAME_TEXT_MAX];

    complain(l->o,
             seen ? "%s: removed, or not kept any longer"
                  : "%s: not kept: only what is pushed with --keep has a log "
                    "here, other jobs write to the worker's own",
             job_name_format(&l->name, text));
}

/* ---- the command ---- */

static int follow(struct logs *l, struct client *client, int64_t lines,
                  const struct follow_events *events)
{
    struct follow *f = NULL;
    int status = follow_new(client, l->o->ns, &l->name, lines,
                            l->o->wait_timeout_ms, events, &f);

    if (status == 0)
        status = follow_run(f);
    follow_free(f);
    return status;
}

static int show(struct logs *l, struct client *client)
{
    struct follow_events events = {.on_line = on_line,
                                   .on_missing = on_missing,
                                   .on_absent = on_absent,
                                   .arg = l};
    int64_t lines = l->o->lines > 0 ? l->o->lines : FOLLOW_ALL;
    int status = 0;

    if (l->name.queue[0] == '\0')
        status = find_queue(client, l->o->ns, &l->name);
    if (status != 0)
        return status;
    if (l->name.queue[0] == '\0')
        return fail(l->o, 1, "%s: in no queue", l->name.id);
    if (l->o->follow)
        return follow(l, client, lines, &events);
    return follow_read(client, l->o->ns, &l->name, lines, &events);
}

static int on_name(void *arg, const struct job_name *name);

static int on_name(void *arg, const struct job_name *name)
{
    ((struct logs *)arg)->name = *name;
    return 0;
}

static int run_logs(const struct options *o)
{
    struct logs l = {.o = o};
    struct client *client;
    int status = job_names_read(o, on_name, &l);

    if (status == 0)
        status = client_open(o, &client);
    if (status != 0)
        return status;
    if (o->format != OUT_TABLE)
        l.out = out_new(o, log_columns);
    status = show(&l, client);
    end_line(&l);
    if (l.out)
        out_end(l.out);
    buf_done(&l.text);
    client_close(client);
    return status;
}

static const struct flag flags[] = {
    {"follow", 'f', FLAG_BOOL, NULL, AT(follow), 0, 0,
     "go on until the job has ended"},
    {"lines", 'n', FLAG_INT, "N", AT(lines), 1, FOLLOW_ALL,
     "begin with the last N lines (all that are there)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(wait_timeout_ms), 1, DURATION_MAX_MS,
     "with --follow, no longer than that: exit 124"},
    {0},
};

const struct command cmd_logs = {
    .name = "logs",
    .usage = "QUEUE/ID | ID  [--follow]",
    .summary = "Show what a job that was pushed with --keep wrote",
    .details =
        "Its stderr, and the lines of belt log, of all attempts, wherever it "
        "ran: the last\n1000 lines and 256 KiB, until its result goes too. "
        "With --follow line by line as they\ncome, and the exit status is that "
        "of belt wait: the job's own. A connection that is\nlost meanwhile is "
        "made again. Lines that are gone already are counted on stderr. A\njob "
        "that is not kept is status 1.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_logs,
};
