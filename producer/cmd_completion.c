/*
 * belt completion: a script that makes a shell complete belt's command line.
 *
 * It holds the table of commands as it is now, so it goes with the program that
 * printed it. What lies in Redis, names of queues, it asks belt for, and not
 * for long.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "producer/complain.h"

/* How a value is completed, by what the help calls it. */
static const struct {
    const char *value, *kind;
} kinds[] = {{"FILE", "file"},   {"FILE.json", "file"}, {"DIR", "directory"},
             {"PATH", "file"},   {"QUEUE", "queue"},    {"FORMAT", "format"},
             {"STATE", "state"}, {NULL, NULL}};

static const char *kind_of(const char *value)
{
    for (size_t i = 0; value != NULL && kinds[i].value != NULL; i++)
        if (strcmp(kinds[i].value, value) == 0)
            return kinds[i].kind;
    return "none";
}

static void put_flags(const struct flag *flags)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        printf(" --%s", flags->name);
        if (flags->letter != 0)
            printf(" -%c", flags->letter);
    }
}

/* "COMMAND --flag" patterns of a case, with the kind of the value behind it;
 * command "*" stands for all. */
static void put_values(const char *command, const struct flag *flags)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        if (flags->kind == FLAG_BOOL)
            continue;
        const char *quote = strcmp(command, "*") == 0 ? "" : "'";
        printf("    %s%s%s' --%s'", quote, command, quote, flags->name);
        if (flags->letter != 0)
            printf(" | %s%s%s' -%c'", quote, command, quote, flags->letter);
        printf(") echo %s ;;\n", kind_of(flags->value));
    }
}

static void put_names(void)
{
    fputs("_belt_names='", stdout);
    for (size_t i = 0; commands[i] != NULL; i++)
        printf("%s%s", i > 0 ? "\n" : "", commands[i]->name);
    fputs("'\n\n", stdout);
}

/* The flags of a command, then those of all. */
static void put_all_flags(void)
{
    fputs("_belt_flags() {\n    case $1 in\n", stdout);
    for (size_t i = 0; commands[i] != NULL; i++) {
        printf("    '%s') echo", commands[i]->name);
        put_flags(commands[i]->flags);
        fputs(" ;;\n", stdout);
    }
    fputs("    esac\n    echo", stdout);
    put_flags(global_flags);
    fputs("\n}\n\n", stdout);
}

static void put_all_values(void)
{
    fputs("# What stands behind a flag, by command and flag.\n"
          "_belt_value() {\n    case $1' '$2 in\n",
          stdout);
    for (size_t i = 0; commands[i] != NULL; i++)
        put_values(commands[i]->name, commands[i]->flags);
    put_values("*", global_flags);
    fputs("    *) echo flag ;;\n    esac\n}\n\n", stdout);
}

static void put_arguments(void)
{
    fputs("# What the arguments of a command are.\n"
          "_belt_arguments() {\n    case $1 in\n",
          stdout);
    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *usage = commands[i]->usage;
        if (strncmp(usage + (usage[0] == '['), "QUEUE", 5) == 0)
            printf("    '%s') echo queue ;;\n", commands[i]->name);
    }
    fputs("    *) echo file ;;\n    esac\n}\n", stdout);
}

/* completion.bash: the rest, which does not depend on the commands. */
static const char script[] =
#include "completion.inc"
    ;

static int run_completion(const struct options *o)
{
    if (strcmp(o->args[0], "bash") != 0)
        return fail(o, EX_USAGE, "%s: only bash is known", o->args[0]);
    fputs("# Completion of belt and belt-worker for bash, as belt " BELT_VERSION
          " printed it:\n#     belt completion bash\n\n",
          stdout);
    put_names();
    put_all_flags();
    put_all_values();
    put_arguments();
    fputs(script, stdout);
    return EX_OK;
}

const struct command cmd_completion = {
    .name = "completion",
    .usage = "bash",
    .summary = "Print a script that completes command lines",
    .details = "For this shell: source <(belt completion bash). A package has "
               "it installed.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_completion,
};
