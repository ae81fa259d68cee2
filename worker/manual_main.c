/*
 * worker-manual: writes the manual page of the worker, belt-worker.1, to
 * stdout. It is run by the build and not installed.
 *
 * Thread: main.
 */
#include <stdio.h>

#include "common/base/roff.h"
#include "worker/options.h"
#include "worker/settings.h"

static void put_flags(void)
{
    const struct setting *row;
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++) {
        char tag[128], text[512];
        (void)snprintf(tag, sizeof(tag), "%s%s%s%s%s",
                       row->brief != NULL ? row->brief : "",
                       row->brief != NULL ? ", " : "", row->flag,
                       row->arg != NULL ? " " : "",
                       row->arg != NULL ? row->arg : "");
        (void)snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", row->help,
                       row->def != NULL ? " (" : "",
                       row->def != NULL ? row->def : "",
                       row->def != NULL ? ")" : "",
                       row->env != NULL ? "; environment: " : "",
                       row->env != NULL ? row->env : "",
                       row->section == NULL ? "; not in a file" : "");
        roff_tagged(stdout, tag, text);
    }
}

int main(void)
{
    roff_head(stdout, "belt-worker", "run the jobs of a queue on Redis");
    roff_section(stdout, "SYNOPSIS");
    roff_lines(stdout, "belt-worker [-q A,B] [-c FILE] [--handlers DIR] "
                       "[--handler TYPE=KIND:SPEC]... [FLAG]...");
    roff_section(stdout, "DESCRIPTION");
    roff_text(stdout,
              "Takes jobs from queues in Redis into a bounded channel, runs "
              "their handlers in a\npool of threads, and settles each job in "
              "one step that only the worker which still\nowns it can take. "
              "What dead workers held it gives back.");
    roff_section(stdout, "OPTIONS");
    put_flags();
    roff_text(stdout, "Durations: 500ms 10s 5m 2h 7d. Sizes: 64k 10m 1g.");
    roff_section(stdout, "CONFIGURATION");
    roff_text(stdout, "A file says the same without dashes, in sections; flags "
                      "win, then the environment,\nthen the file:");
    roff_lines(stdout, "worker { threads = 8  queues = \"mail:6,bulk:1\" }\n"
                       "redis { url = \"unix:///run/redis/redis.sock\" }\n"
                       "handler \"img.*\" { exec = \"/usr/bin/convert - -\"  "
                       "timeout = \"5m\" }");
    roff_section(stdout, "SIGNALS");
    roff_tagged(stdout, "TERM, INT",
                "give back what has not begun, let the rest end, and end; once "
                "more: at once");
    roff_tagged(stdout, "USR1", "fetch nothing more");
    roff_tagged(stdout, "HUP", "read the configuration again");
    roff_section(stdout, "EXIT STATUS");
    roff_tagged(stdout, "0", "ended as told");
    roff_tagged(stdout, "64", "usage");
    roff_tagged(stdout, "69", "Redis was away at the end");
    roff_tagged(stdout, "71", "the system refused something");
    roff_tagged(stdout, "78",
                "the configuration is wrong; --check says all "
                "that is");
    roff_section(stdout, "SEE ALSO");
    roff_text(stdout, "belt(1), HANDLERS.md and CONFIGURATION.md in the "
                      "documentation of the package");
    return fflush(stdout) != 0 || ferror(stdout);
}
