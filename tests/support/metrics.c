/*
 * Metrics: what holds for the text of every /metrics.
 *
 * Thread: main.
 */
#include "tests/support/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum { MANUAL_MAX = 1 << 20 };

static char *read_manual(void)
{
    char *text = mem_new(MANUAL_MAX);
    FILE *f = fopen(BELT_DOCS "/METRICS.md", "re");
    if (f != NULL) {
        text[fread(text, 1, MANUAL_MAX - 1, f)] = '\0';
        (void)fclose(f);
    }
    return text;
}

/* In backquotes, with labels in braces or without. */
static bool is_in(const char *manual, const char *name)
{
    char *quoted = mem_printf("`%s", name);
    bool found = false;
    for (const char *p = manual; !found && (p = strstr(p, quoted)) != NULL;) {
        p += strlen(quoted);
        found = *p == '`' || *p == '{';
    }
    free(quoted);
    return found;
}

static bool promtool_is_content(const char *text)
{
    /* NOLINTNEXTLINE(cert-env33-c) */
    if (system("promtool --version >/dev/null 2>&1") != 0)
        return true;
    /* NOLINTNEXTLINE(cert-env33-c) */
    FILE *tool = popen("promtool check metrics", "w");
    if (tool == NULL)
        return false;
    bool written = fputs(text, tool) >= 0;
    return pclose(tool) == 0 && written;
}

const char *metrics_breach(const char *text)
{
    static char name[128];
    char *manual = read_manual();
    const char *breach = NULL;
    for (const char *p = text;
         breach == NULL && (p = strstr(p, "# TYPE ")) != NULL;) {
        p += strlen("# TYPE ");
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, " "), p);
        if (!is_in(manual, name))
            breach = name;
    }
    free(manual);
    if (breach == NULL && !promtool_is_content(text))
        breach = "promtool";
    return breach;
}
