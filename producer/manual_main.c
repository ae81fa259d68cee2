/*
 * belt-manual: writes the manual page of belt, belt.1, to stdout. It is run by
 * the build and not installed.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/roff.h"
#include "producer/command.h"
#include "producer/topics.h"

static void put_flags(const struct flag *flags)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        char letter[8] = "", tag[128];
        if (flags->letter != 0)
            (void)snprintf(letter, sizeof(letter), "-%c, ", flags->letter);
        (void)snprintf(tag, sizeof(tag), "%s--%s%s%s", letter, flags->name,
                       flags->value != NULL ? " " : "",
                       flags->value != NULL ? flags->value : "");
        roff_tagged(stdout, tag, flags->help);
    }
}

static void put_command(const struct command *c)
{
    char title[64], usage[512];

    (void)snprintf(title, sizeof(title), "belt %s", c->name);
    roff_subsection(stdout, title);
    (void)snprintf(usage, sizeof(usage), "belt %s %s", c->name, c->usage);
    roff_lines(stdout, usage);
    roff_text(stdout, c->summary);
    if (c->details != NULL)
        roff_lines(stdout, c->details);
    put_flags(c->flags);
}

int main(void)
{
    roff_head(stdout, "belt", "a distributed job queue on Redis");
    roff_section(stdout, "SYNOPSIS");
    roff_lines(stdout, "belt [FLAGS] COMMAND [ARGUMENTS]\n"
                       "belt COMMAND --help");
    roff_section(stdout, "DESCRIPTION");
    roff_text(stdout,
              "Producers put jobs on Redis lists; workers, belt-worker(1), "
              "move them into their\nthreads and settle them. belt pushes "
              "jobs, waits for them, looks at them and at\nqueues and "
              "workers, and operates them.");
    roff_section(stdout, "COMMANDS");
    for (size_t i = 0; commands[i] != NULL; i++)
        put_command(commands[i]);
    roff_section(stdout, "FLAGS OF EVERY COMMAND");
    put_flags(global_flags);
    for (const struct topic *t = topics; t->name != NULL; t++) {
        if (t->text == NULL)
            continue;
        char title[64];
        (void)snprintf(title, sizeof(title), "HELP %s", t->name);
        roff_section(stdout, title);
        roff_lines(stdout, t->text);
    }
    roff_section(stdout, "SEE ALSO");
    roff_text(stdout, "belt-worker(1), redis-cli(1), the guides in the "
                      "documentation of the package");
    return fflush(stdout) != 0 || ferror(stdout);
}
