/*
 * Roff: manual pages.
 *
 * Thread: any.
 */
#include "common/base/roff.h"

#include <ctype.h>
#include <string.h>

/* One line, without its end. */
static void put(FILE *f, const char *s, size_t n)
{
    if (n > 0 && (s[0] == '.' || s[0] == '\''))
        (void)fputs("\\&", f);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '-')
            (void)fputs("\\-", f);
        else if (s[i] == '\\')
            (void)fputs("\\e", f);
        else if (s[i] == '~')
            (void)fputs("\\(ti", f);
        else if (s[i] == '^')
            (void)fputs("\\(ha", f);
        else if (s[i] == '\'')
            (void)fputs("\\(aq", f);
        else if (s[i] == '`')
            (void)fputs("\\(ga", f);
        else
            (void)fputc(s[i], f);
    }
}

static void put_lines(FILE *f, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        put(f, text, n);
        (void)fputc('\n', f);
        text += n + (text[n] == '\n');
    }
}

void roff_head(FILE *f, const char *name, const char *summary)
{
    (void)fputs(".TH ", f);
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '-')
            (void)fputs("\\-", f);
        else
            (void)fputc(toupper((unsigned char)*p), f);
    }
    (void)fprintf(f, " 1 \"\" \"Belt %s\" \"Belt\"\n.nh\n", BELT_VERSION);
    roff_section(f, "NAME");
    put(f, name, strlen(name));
    (void)fputs(" \\- ", f);
    put_lines(f, summary);
}

void roff_section(FILE *f, const char *title)
{
    (void)fprintf(f, ".SH \"%s\"\n", title);
}

void roff_subsection(FILE *f, const char *title)
{
    (void)fputs(".SS \"", f);
    put(f, title, strlen(title));
    (void)fputs("\"\n", f);
}

void roff_text(FILE *f, const char *text)
{
    (void)fputs(".PP\n", f);
    put_lines(f, text);
}

void roff_lines(FILE *f, const char *text)
{
    (void)fputs(".PP\n.nf\n", f);
    put_lines(f, text);
    (void)fputs(".fi\n", f);
}

void roff_tagged(FILE *f, const char *tag, const char *text)
{
    (void)fputs(".TP\n\\fB", f);
    put(f, tag, strlen(tag));
    (void)fputs("\\fR\n", f);
    put_lines(f, text);
}
