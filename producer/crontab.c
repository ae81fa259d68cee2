/*
 * Crontab: a file of cron, line by line.
 *
 * Thread: any; nothing here has state.
 */
#include "producer/crontab.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t"

enum { FIELDS = 5, SPEC_MAX = 256 };

struct crontab {
    const struct crontab_calls *calls; /* borrowed */
    unsigned line;
    struct crontab_line next; /* what a comment said, and the zone */
    char spec[SPEC_MAX];
};

static char *skip_blanks(char *p)
{
    return p + strspn(p, BLANKS);
}

static void forget_comment(struct crontab *t)
{
    t->next.name = t->next.queue = t->next.type = NULL;
}

/* "belt: name=x queue=y type=z" */
static void read_comment(struct crontab *t, char *p)
{
    char *word;

    p += strspn(p, "# \t");
    if (strncmp(p, "belt:", 5) != 0)
        return;
    forget_comment(t);
    p += 5;
    while ((word = strsep(&p, BLANKS)) != NULL) {
        if (strncmp(word, "name=", 5) == 0)
            t->next.name = word + 5;
        else if (strncmp(word, "queue=", 6) == 0)
            t->next.queue = word + 6;
        else if (strncmp(word, "type=", 5) == 0)
            t->next.type = word + 5;
        else if (word[0] != '\0')
            t->calls->wrong(t->calls->arg, t->line,
                            "belt: knows name=, queue= and type=");
    }
}

/* The value of a variable, without its quotes. */
static char *unquote(char *p)
{
    size_t len;

    p = skip_blanks(p);
    for (len = strlen(p); len > 0 && strchr(BLANKS, p[len - 1]) != NULL; len--)
        p[len - 1] = '\0';
    if (len >= 2 && (p[0] == '"' || p[0] == '\'') && p[len - 1] == p[0]) {
        p[len - 1] = '\0';
        p++;
    }
    return p;
}

/* Whether it is NAME=VALUE; then it has been dealt with. */
static bool read_variable(struct crontab *t, char *line)
{
    size_t n = 0;

    while (isalnum((unsigned char)line[n]) || line[n] == '_')
        n++;
    char *equals = skip_blanks(line + n);
    if (n == 0 || isdigit((unsigned char)line[0]) || *equals != '=')
        return false;
    line[n] = '\0';
    char *value = unquote(equals + 1);
    if (strcmp(line, "CRON_TZ") == 0 || strcmp(line, "TZ") == 0)
        t->next.zone = value[0] != '\0' ? value : NULL;
    else
        t->calls->ignored(t->calls->arg, t->line, line);
    return true;
}

/* \% becomes %; the first % alone ends the command, others are newlines. */
static char *cut_input(char *command)
{
    char *out = command, *input = NULL;

    for (const char *p = command; *p != '\0'; p++) {
        if (p[0] == '\\' && p[1] == '%') {
            *out++ = *++p;
        } else if (*p == '%' && input == NULL) {
            *out++ = '\0';
            input = out;
        } else {
            *out++ = (char)(*p == '%' ? '\n' : *p);
        }
    }
    *out = '\0';
    return input;
}

static void read_entry(struct crontab *t, char *line)
{
    int fields = line[0] == '@' ? 1 : FIELDS;
    char *p = line;

    /* "@every D" has a word more. */
    if (strncmp(line, "@every", 6) == 0)
        fields = 2;
    for (int i = 0; i < fields; i++)
        p = skip_blanks(p + strcspn(p, BLANKS));
    size_t len = (size_t)(p - line);
    while (len > 0 && strchr(BLANKS, line[len - 1]) != NULL)
        len--;
    if (*p == '\0' || len >= sizeof(t->spec)) {
        t->calls->wrong(t->calls->arg, t->line,
                        *p == '\0' ? "no command behind the time"
                                   : "a very long time");
        return;
    }
    (void)snprintf(t->spec, sizeof(t->spec), "%.*s", (int)len, line);
    t->next.line = t->line;
    t->next.spec = t->spec;
    t->next.command = p;
    t->next.input = cut_input(p);
    t->calls->entry(t->calls->arg, &t->next);
}

void crontab_read(char *text, const struct crontab_calls *calls)
{
    struct crontab t = {.calls = calls};
    char *line;

    while ((line = strsep(&text, "\n")) != NULL) {
        size_t len = strlen(line);
        if (len > 0 && line[len - 1] == '\r')
            line[len - 1] = '\0';
        t.line++;
        line = skip_blanks(line);
        if (line[0] == '#') {
            read_comment(&t, line);
        } else if (line[0] != '\0' && !read_variable(&t, line)) {
            read_entry(&t, line);
            forget_comment(&t);
        }
    }
}
