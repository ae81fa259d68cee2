/*
 * The keys of a handler: how each is read, and for which kinds it is.
 *
 * Thread: one at a time, which reads the configuration.
 */
#include "worker/handler_keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum how { DURATION, SIZE, COUNT, SWITCH, TEXT, LIST };

#define DAY_MS (24LL * 3600 * 1000)
#define PROCESSES "exec process command"

struct row {
    const char *name, *kinds; /* kinds with blanks between; NULL: all */
    enum how how;
    size_t offset;    /* of the member that it sets */
    int64_t min, max; /* of a number */
};

#define AT(member) offsetof(struct handler_keys, member)

static const struct row rows[] = {
    {"heartbeat", PROCESSES, DURATION, AT(heartbeat_ms), 0, 7 * DAY_MS},
    {"retry", NULL, TEXT, AT(retry), 0, 0},
    {"env", PROCESSES, LIST, AT(env), 0, 0},
    {"pass-env", PROCESSES, TEXT, AT(pass_env), 0, 0},
    {"dir", PROCESSES, TEXT, AT(dir), 0, 0},
    {"private-tmp", PROCESSES, SWITCH, AT(private_tmp), 0, 0},
    {"user", PROCESSES, TEXT, AT(user), 0, 0},
    {"nice", PROCESSES, COUNT, AT(nice), 0, 19},
    {"max-memory", PROCESSES, SIZE, AT(max_memory), 1 << 20, INT64_MAX},
    {"max-files", PROCESSES, COUNT, AT(max_files), 8, 1 << 20},
    {"max-cpu", PROCESSES, DURATION, AT(max_cpu_ms), 1000, 7 * DAY_MS},
    {"cgroup", PROCESSES, TEXT, AT(cgroup), 0, 0},
    {"cgroup-memory", PROCESSES, SIZE, AT(cgroup_memory), 1 << 20, INT64_MAX},
    {"cgroup-cpu", PROCESSES, COUNT, AT(cgroup_cpu), 1, 100000},
    {"cgroup-pids", PROCESSES, COUNT, AT(cgroup_pids), 1, 1 << 22},
    {"allow-env", "command", TEXT, AT(allow_env), 0, 0},
    {"allow-dir", "command", TEXT, AT(allow_dir), 0, 0},
    {"processes", "process", COUNT, AT(processes), 1, 1000},
    {"max-jobs", "process", COUNT, AT(max_jobs), 0, INT64_MAX},
    {"max-rss", "process", SIZE, AT(max_rss), 0, INT64_MAX},
    {"start-timeout", "process", DURATION, AT(start_timeout_ms), 1, DAY_MS},
    {"secret-file", "http", TEXT, AT(secret_file), 0, 0},
    {"ca-file", "http", TEXT, AT(ca_file), 0, 0},
    {"connect-timeout", "http", DURATION, AT(connect_timeout_ms), 1, DAY_MS},
    {"header", "http", LIST, AT(headers), 0, 0},
    {"dead-status", "http", TEXT, AT(dead_status), 0, 0},
    {"retry-status", "http", TEXT, AT(retry_status), 0, 0},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert((int)ROWS <= (int)HANDLER_KEYS_MAX, "lines is too short");

void handler_keys_init(struct handler_keys *k)
{
    *k = (struct handler_keys){.start_timeout_ms = 10000,
                               .connect_timeout_ms = 5000};
}

static void *member(struct handler_keys *k, const struct row *row)
{
    return (char *)k + row->offset;
}

void handler_keys_done(struct handler_keys *k)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (rows[i].how == TEXT) {
            free(*(char **)member(k, &rows[i]));
        } else if (rows[i].how == LIST) {
            char **list = *(char ***)member(k, &rows[i]);

            for (size_t n = 0; list != NULL && list[n] != NULL; n++)
                free(list[n]);
            free(list);
        }
    }
    *k = (struct handler_keys){0};
}

const char *handler_keys_name(unsigned i)
{
    return i < ROWS ? rows[i].name : NULL;
}

unsigned handler_keys_line(const struct handler_keys *k, const char *name)
{
    for (unsigned i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return k->lines[i];
    return 0;
}

bool handler_keys_is_list(unsigned i)
{
    return rows[i].how == LIST;
}

bool handler_keys_fits(unsigned i, const char *kind)
{
    const char *at = rows[i].kinds;
    size_t n = strlen(kind);

    if (at == NULL)
        return true;
    while (*at != '\0') {
        size_t word = strcspn(at, " ");

        if (word == n && strncmp(at, kind, n) == 0)
            return true;
        at += word + strspn(at + word, " ");
    }
    return false;
}

static int set_number(const struct row *row, const char *value, int64_t *out,
                      struct errbuf *eb)
{
    int64_t n = 0;
    int rc;

    if (row->how == COUNT)
        return text_parse_int(value, row->min, row->max, NULL, out, eb);
    rc = row->how == SIZE ? text_parse_size(value, &n, eb)
                          : text_parse_duration(value, &n, eb);
    if (rc == 0 && (n < row->min || n > row->max))
        rc = errbuf_set(eb, ERR_INVALID, "%s is too %s", value,
                        n < row->min ? "small" : "large");
    if (rc == 0)
        *out = n;
    return rc;
}

static void add(char ***list, const char *value)
{
    size_t n = 0;

    while (*list != NULL && (*list)[n] != NULL)
        n++;
    *list = mem_resize(*list, (n + 2) * sizeof(char *));
    (*list)[n] = mem_strdup(value);
    (*list)[n + 1] = NULL;
}

int handler_keys_set(struct handler_keys *k, unsigned i, const char *value,
                     struct errbuf *eb)
{
    const struct row *row = &rows[i];

    if (row->how == SWITCH)
        return text_parse_switch(value, member(k, row), eb);
    if (row->how != TEXT && row->how != LIST)
        return set_number(row, value, member(k, row), eb);
    if (value[0] == '\0')
        return errbuf_set(eb, ERR_INVALID, "it is empty");
    if (row->how == LIST) {
        add(member(k, row), value);
    } else {
        char **text = member(k, row);

        free(*text);
        *text = mem_strdup(value);
    }
    return 0;
}

int handler_keys_wrong(struct handler_keys *k, const char *name, int rc,
                       struct errbuf *eb)
{
    for (unsigned i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            k->wrong_line = k->lines[i];
    return errbuf_wrap(eb, rc, "%s", name);
}
