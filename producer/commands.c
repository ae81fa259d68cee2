/*
 * Commands: the table that parsing, help and dispatch share.
 *
 * Thread: main.
 */
#include "producer/command.h"

#include <string.h>

#include "common/base/text.h"
#include "producer/options.h"

/* In the order of the help; those of a group stand together. */
/* One a line. */
/* clang-format off */
const struct command *const commands[] = {
    &cmd_push,
    &cmd_run,
    &cmd_wait,
    &cmd_result,
    &cmd_status,
    &cmd_logs,
    &cmd_explain,
    &cmd_cancel,
    &cmd_jobs,
    &cmd_requeue,
    &cmd_move,
    &cmd_delete,
    &cmd_dead_list,
    &cmd_dead_show,
    &cmd_dead_summary,
    &cmd_dead_requeue,
    &cmd_dead_delete,
    &cmd_dead_export,
    &cmd_dead_import,
    &cmd_cron_add,
    &cmd_cron_list,
    &cmd_cron_show,
    &cmd_cron_next,
    &cmd_cron_run,
    &cmd_cron_pause,
    &cmd_cron_resume,
    &cmd_cron_remove,
    &cmd_cron_import,
    &cmd_queues,
    &cmd_queues_set,
    &cmd_queues_purge,
    &cmd_queues_delete,
    &cmd_pause,
    &cmd_resume,
    &cmd_stats,
    &cmd_workers,
    &cmd_progress,
    &cmd_log,
    &cmd_emit,
    &cmd_doctor,
    &cmd_serve,
    &cmd_dev,
    &cmd_worker,
    &cmd_completion,
    &cmd_help,
    NULL,
};
/* clang-format on */

enum { COMMANDS_MAX = sizeof(commands) / sizeof(commands[0]) };

#define AT(member) offsetof(struct options, member)
#define DAY_MS (24LL * 3600 * 1000)

const struct flag global_flags[] = {
    {"redis", 'u', FLAG_TEXT, "URL", AT(redis_url), 0, 0,
     "redis://[user:password@]host:port/db or unix:///path?db=n"},
    {"password-file", 0, FLAG_TEXT, "FILE", AT(password_file), 0, 0,
     "its first line is the password of Redis"},
    {"namespace", 0, FLAG_TEXT, "NAME", AT(ns), 0, 0,
     "prefix of all keys (BELT_NAMESPACE, else belt)"},
    {"output", 'o', FLAG_FORMAT, "FORMAT", AT(format), 0, 0,
     "table, json, ndjson or tsv"},
    {"json", 0, FLAG_BOOL, NULL, AT(json), 0, 0, "the same as -o json"},
    {"connect-timeout", 0, FLAG_DURATION, "D", AT(connect_timeout_ms), 1,
     DAY_MS, "how long Redis may take to be reached (5s)"},
    {"timeout", 0, FLAG_DURATION, "D", AT(connect_timeout_ms), 1, DAY_MS,
     "the same, where the command has no --timeout of its own"},
    {"no-color", 0, FLAG_BOOL, NULL, AT(no_color), 0, 0,
     "nothing bold, as with NO_COLOR"},
    {"help", 'h', FLAG_BOOL, NULL, AT(help), 0, 0, "print help and end"},
    {"version", 0, FLAG_BOOL, NULL, AT(version), 0, 0,
     "print the version and end"},
    {0},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

/* Returns what follows the word in the name of a command of its group. */
static const char *second_word(const struct command *c, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(c->name, word, n) != 0 || c->name[n] != ' ')
        return NULL;
    return c->name + n + 1;
}

const struct command *command_find_two(const char *word, const char *second)
{
    for (size_t i = 0; second && commands[i]; i++) {
        const char *name = second_word(commands[i], word);
        if (name && strcmp(name, second) == 0)
            return commands[i];
    }
    return NULL;
}

bool command_is_group(const char *word)
{
    for (size_t i = 0; commands[i]; i++) {
        if (second_word(commands[i], word))
            return true;
    }
    return false;
}

const char *command_nearest_in(const char *word, const char *second)
{
    const char *names[COMMANDS_MAX];
    size_t n = 0;

    for (size_t i = 0; commands[i]; i++) {
        const char *name = second_word(commands[i], word);
        if (name)
            names[n++] = name;
    }
    return text_nearest(second, names, n);
}

const char *command_nearest(const char *name)
{
    const char *names[COMMANDS_MAX];
    size_t n = 0;

    for (; commands[n]; n++)
        names[n] = commands[n]->name;
    return text_nearest(name, names, n);
}
