/*
 * belt cron import: a crontab becomes periodic jobs.
 *
 * A line that is wrong is told by its number and does not stop the others. An
 * entry that is not named is called after its line, so that the same file
 * leads to the same entries.
 *
 * Thread: main, which is also the loop.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "producer/complain.h"
#include "producer/connect.h"
#include "producer/cron_client.h"
#include "producer/crontab.h"
#include "producer/out.h"

#define AT(member) offsetof(struct options, member)

enum { FILE_MAX = 1 << 20 };

struct item {
    unsigned line;
    char queue[NAME_MAX_LEN + 1];
    struct cron_entry *entry; /* owned */
    char *command;            /* owned */
};

struct import {
    const struct options *o; /* borrowed */
    struct item *items;      /* owned */
    size_t count;
    int status;
};

static void on_entry(void *arg, const struct crontab_line *l);
static void on_ignored(void *arg, unsigned line, const char *variable);
static void on_wrong(void *arg, unsigned line, const char *why);

static void on_ignored(void *arg, unsigned line, const char *variable)
{
    const struct import *im = arg;

    complain(im->o, "line %u: %s is ignored", line, variable);
}

static void on_wrong(void *arg, unsigned line, const char *why)
{
    struct import *im = arg;

    im->status = fail(im->o, EX_DATAERR, "line %u: %s", line, why);
}

/* Named after what it does and when: FNV-1a. */
static void name_of(const struct crontab_line *l, char out[32])
{
    const char *const parts[] = {l->spec, l->zone != NULL ? l->zone : "",
                                 l->command, l->input != NULL ? l->input : ""};
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < 4; i++) {
        for (const char *p = parts[i]; *p != '\0'; p++)
            h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
        h = (h ^ 0xff) * UINT64_C(1099511628211);
    }
    (void)snprintf(out, 32, "crontab-%012" PRIx64, h >> 16);
}

static void build_payload(const struct crontab_line *l, struct buf *out)
{
    buf_str(out, "{\"argv\":[\"/bin/sh\",\"-c\",");
    buf_json_string(out, l->command, strlen(l->command));
    buf_char(out, ']');
    if (l->input != NULL) {
        buf_str(out, ",\"stdin\":");
        buf_json_string(out, l->input, strlen(l->input));
    }
    buf_char(out, '}');
}

static const struct item *find(const struct import *im, const char *queue,
                               const char *name)
{
    for (size_t i = 0; i < im->count; i++) {
        if (strcmp(im->items[i].queue, queue) == 0 &&
            strcmp(im->items[i].entry->name, name) == 0)
            return &im->items[i];
    }
    return NULL;
}

static int make(const struct import *im, const struct crontab_line *l,
                const char *name, struct item *ret, struct errbuf *eb)
{
    const char *queue = l->queue != NULL ? l->queue : im->o->queue;
    const char *type = l->type != NULL ? l->type : im->o->type;
    struct buf payload = {0};

    if (!text_is_name(queue, strlen(queue))) {
        (void)errbuf_set(eb, ERR_INVALID, "%s: not the name of a queue", queue);
        return ERR_INVALID;
    }
    build_payload(l, &payload);
    struct cron_wish w = {
        .spec = l->spec,
        .zone = l->zone != NULL ? l->zone : im->o->tz,
        .type = type != NULL ? type : "command",
        .payload = {payload.data, payload.len},
        .overlap = im->o->overlap,
        .catch_up = im->o->catch_up,
        .catch_up_limit_ms = -1,
        .source = "crontab",
        .updated_at_ms = clock_wall_ms(),
    };
    int rc = cron_entry_make(name, &w, &ret->entry, eb);
    buf_done(&payload);
    if (rc != 0)
        return rc;
    ret->line = l->line;
    ret->command = mem_strdup(l->command);
    (void)snprintf(ret->queue, sizeof(ret->queue), "%s", queue);
    return 0;
}

static void on_entry(void *arg, const struct crontab_line *l)
{
    struct import *im = arg;
    struct item item = {0};
    struct errbuf eb;
    char fresh[32];

    name_of(l, fresh);
    if (make(im, l, l->name != NULL ? l->name : fresh, &item, &eb) != 0) {
        on_wrong(im, l->line, eb.text);
        return;
    }
    const struct item *same = find(im, item.queue, item.entry->name);
    if (same != NULL) {
        (void)errbuf_set(&eb, ERR_INVALID, "%s is what line %u is called",
                         item.entry->name, same->line);
        on_wrong(im, l->line, eb.text);
        cron_entry_free(item.entry);
        free(item.command);
        return;
    }
    im->items = mem_resize(im->items, (im->count + 1) * sizeof(item));
    im->items[im->count++] = item;
}

/* ---- what comes of them ---- */

static const struct column columns[] = {
    {"line", FOR_ALL, true},     {"queue", FOR_ALL, false},
    {"name", FOR_ALL, false},    {"spec", FOR_ALL, false},
    {"tz", FOR_ALL, false},      {"type", FOR_ALL, false},
    {"command", FOR_ALL, false}, {0},
};

static void print(struct out *out, const struct item *item)
{
    out_int(out, item->line);
    out_str(out, item->queue);
    out_str(out, item->entry->name);
    out_str(out, item->entry->spec);
    out_str(out, item->entry->zone);
    out_str(out, item->entry->type);
    out_str(out, item->command);
    out_row(out);
}

static int write_all(struct import *im)
{
    const struct options *o = im->o;
    struct client *client = NULL;
    struct out *out;
    int status = o->dry_run || im->count == 0 ? 0 : client_open(o, &client);

    if (status != 0)
        return status;
    out = out_new(o, columns);
    for (size_t i = 0; i < im->count && status == 0; i++) {
        if (!o->dry_run) {
            struct cron_client c;
            cron_client_init(&c, client, o->ns, im->items[i].queue);
            status = cron_client_add(&c, im->items[i].entry);
            cron_client_done(&c);
        }
        if (status == 0)
            print(out, &im->items[i]);
    }
    out_end(out);
    client_close(client);
    return status;
}

static int read_all(const struct options *o, const char *path, struct buf *out)
{
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *f = from_stdin ? stdin : fopen(path, "re");
    char chunk[8192];
    size_t n;
    int status = 0;

    if (f == NULL)
        return fail(o, EX_NOINPUT, "%s: %s", path, strerror(errno));
    while (out->len <= FILE_MAX && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(out, chunk, n);
    if (ferror(f))
        status = fail(o, EX_IOERR, "%s: %s", path, strerror(errno));
    if (!from_stdin)
        (void)fclose(f);
    buf_char(out, '\n');
    if (status == 0 && (out->len > FILE_MAX || strlen(out->data) < out->len))
        status = fail(o, EX_DATAERR, "%s: not a text of up to %d bytes", path,
                      FILE_MAX);
    return status;
}

static int run_import(const struct options *o)
{
    struct import im = {.o = o};
    struct crontab_calls calls = {on_entry, on_ignored, on_wrong, &im};
    struct buf text = {0};
    int status = read_all(o, o->args[0], &text);

    if (status == 0) {
        crontab_read(text.data, &calls);
        status = write_all(&im);
    }
    for (size_t i = 0; i < im.count; i++) {
        cron_entry_free(im.items[i].entry);
        free(im.items[i].command);
    }
    free(im.items);
    buf_done(&text);
    return status != 0 ? status : im.status;
}

static const struct flag flags[] = {
    {"queue", 'q', FLAG_TEXT, "QUEUE", AT(queue), 0, 0,
     "where to (default: \"default\")"},
    {"type", 0, FLAG_TEXT, "TYPE", AT(type), 0, 0, "of the jobs (command)"},
    {"tz", 0, FLAG_TEXT, "ZONE", AT(tz), 0, 0,
     "where no CRON_TZ= says it (UTC)"},
    {"overlap", 0, FLAG_TEXT, "allow|skip", AT(overlap), 0, 0,
     "as for cron add"},
    {"catch-up", 0, FLAG_TEXT, "none|last|all", AT(catch_up), 0, 0,
     "as for cron add"},
    {"dry-run", 0, FLAG_BOOL, NULL, AT(dry_run), 0, 0,
     "only say what would be there; needs no Redis"},
    {0},
};

const struct command cmd_cron_import = {
    .name = "cron import",
    .usage = "FILE | -",
    .summary = "Make periodic jobs of the lines of a crontab",
    .details =
        "As in crontab -l | belt cron import - --dry-run. Each line becomes an "
        "entry of type\ncommand, which needs a handler, with the payload\n"
        "{\"argv\":[\"/bin/sh\",\"-c\",COMMAND]}, and \"stdin\" if there is a "
        "%. "
        "CRON_TZ= and TZ=\nare heeded, other "
        "variables ignored; there is no column for users. A comment\n"
        "\"# belt: name=NAME queue=QUEUE type=TYPE\" in front of a line says "
        "more; else the name\nis made of the line. Lines that are wrong are "
        "told; then the exit status is 65.\n",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_import,
};
