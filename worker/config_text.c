/*
 * The text of a configuration file, before libconfuse 3.3 reads it.
 *
 * The library counts the lines of comments wrong; a comment or text that does
 * not end leaves its lexer in that state for the next file; and what it does
 * not know outside quotes it drops, so that the handler img.* becomes the
 * handler img. Here the same tokens are walked first, and what would go wrong
 * so is refused: also a section without its end, which the library takes as
 * ended with the file, and a variable that is not set, since nobody wants an
 * empty password by accident. A section that is none would end the reading, so
 * it is named and made blank.
 *
 * Thread: main, before all others.
 */
#include "worker/config_text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define STRUCTURE " #\"'\t\n\r={}()+,*|" /* what ends a bare word */

struct word {
    char *p;
    size_t n;
    unsigned line;
};

struct text {
    char *p; /* borrowed: the next byte */
    unsigned line;
    unsigned depth, opened; /* braces that are open; line of the outermost */
    struct word head;       /* outside of sections: the first word */
    unsigned words;         /* of what is no value, from head on */
    bool is_value;          /* an = was the last that came */
    char *blank;            /* where a section that is none begins, or NULL */
    const char *const *sections;
    config_text_cb wrong;
    void *arg;
};

/* Moves on, over blanks if blank, to n bytes further. */
static void advance(struct text *t, size_t n, bool blank)
{
    for (; n > 0; n--, t->p++) {
        if (*t->p == '\n')
            t->line++;
        else if (blank)
            *t->p = ' ';
    }
}

static int not_closed(struct text *t, unsigned line, const char *what)
{
    struct errbuf eb;
    int rc = errbuf_set(&eb, ERR_INVALID,
                        "the %s that begins here does not end", what);
    t->wrong(t->arg, line, &eb);
    return rc;
}

static int pass_comment(struct text *t)
{
    if (t->p[0] == '#' || t->p[1] == '/') {
        advance(t, strcspn(t->p, "\n"), true);
        return 0;
    }
    const char *end = strstr(t->p + 2, "*/");
    if (end == NULL)
        return not_closed(t, t->line, "comment");
    advance(t, (size_t)(end - t->p) + 2, true);
    return 0;
}

/* At "${". Such a thing may say what stands for a variable that is not set. */
static int pass_variable(struct text *t)
{
    size_t n = strcspn(t->p, "}\"'\n");
    struct errbuf eb;
    if (t->p[n] != '}')
        return not_closed(t, t->line, "${");
    char *name = mem_dup(t->p + 2, n - 2);
    char *colon = strchr(name, ':');
    bool has_default = colon != NULL && colon[1] == '-';
    if (!has_default && getenv(name) == NULL) {
        (void)errbuf_set(&eb, ERR_INVALID,
                         "the environment has no %s; ${%s:-} would stand for "
                         "an empty text then",
                         name, name);
        t->wrong(t->arg, t->line, &eb);
    }
    free(name);
    advance(t, n + 1, false);
    return 0;
}

static int bad_escape(struct text *t)
{
    struct errbuf eb;
    int rc =
        errbuf_set(&eb, ERR_INVALID,
                   "\"\\%c\" in a text: for a backslash write two", t->p[1]);
    t->wrong(t->arg, t->line, &eb);
    return rc;
}

static int pass_quoted(struct text *t)
{
    unsigned begin = t->line;
    char quote = *t->p;
    advance(t, 1, false);
    while (*t->p != quote) {
        int rc = 0;
        if (*t->p == '\0' || (*t->p == '\\' && t->p[1] == '\0'))
            return not_closed(t, begin, "text");
        if (*t->p == '\\' && quote == '"' && strchr("0123456789", t->p[1]))
            return bad_escape(t);
        if (*t->p == '\\')
            advance(t, 2, false);
        else if (quote == '"' && strncmp(t->p, "${", 2) == 0)
            rc = pass_variable(t);
        else
            advance(t, 1, false);
        if (rc != 0)
            return rc;
    }
    advance(t, 1, false);
    return 0;
}

static void refuse(struct text *t)
{
    struct errbuf eb;
    (void)errbuf_set(&eb, ERR_INVALID,
                     "\"%c\" outside quotes: write the whole text in quotes",
                     *t->p);
    t->wrong(t->arg, t->line, &eb);
    advance(t, 1, false);
}

/* Outside of sections: of "handler img.*" handler is the head. */
static void note_word(struct text *t, struct word w)
{
    if (t->depth > 0)
        return;
    if (t->is_value)
        t->words = 0;
    else if (t->words++ == 0)
        t->head = w;
    t->is_value = false;
}

/* At the { of a section, with a title or not. */
static void check_head(struct text *t)
{
    struct errbuf eb;
    unsigned n = 0;
    if (t->words < 1 || t->words > 2 || t->is_value)
        return; /* the library says what that is */
    char *name = mem_dup(t->head.p, t->head.n);
    while (t->sections[n] != NULL && strcmp(t->sections[n], name) != 0)
        n++;
    if (t->sections[n] == NULL) {
        const char *near = text_nearest(name, t->sections, n);
        (void)errbuf_set(&eb, ERR_INVALID, "unknown section \"%s\"%s%s%s", name,
                         near != NULL ? ", did you mean " : "",
                         near != NULL ? near : "", near != NULL ? "?" : "");
        t->wrong(t->arg, t->head.line, &eb);
        t->blank = t->head.p;
    }
    free(name);
}

/* Behind the } of a section. */
static void end_section(struct text *t)
{
    for (char *p = t->blank; p != NULL && p < t->p; p++)
        if (*p != '\n')
            *p = ' ';
    t->blank = NULL;
    t->words = 0;
    t->is_value = false;
}

static void pass_structure(struct text *t)
{
    char c = *t->p;
    if (c == '{' && t->depth == 0)
        check_head(t);
    if (c == '{' && t->depth++ == 0)
        t->opened = t->line;
    advance(t, 1, false);
    if (c == '}' && t->depth > 0 && --t->depth == 0)
        end_section(t);
    if (c == '=' && t->depth == 0) {
        t->is_value = true;
        t->words = 0;
    }
}

static int pass_token(struct text *t)
{
    struct word w = {.p = t->p, .line = t->line};
    const char *p = t->p;
    int rc = 0;
    if (*p == '#' || strncmp(p, "//", 2) == 0 || strncmp(p, "/*", 2) == 0)
        return pass_comment(t);
    if (*p == '*' || *p == '|' || (*p == '+' && p[1] != '=')) {
        refuse(t);
        return 0;
    }
    if (*p == '"' || *p == '\'')
        rc = pass_quoted(t);
    else if (strncmp(p, "${", 2) == 0)
        rc = pass_variable(t);
    else if (strchr(STRUCTURE, *p) == NULL)
        advance(t, strcspn(p, STRUCTURE), false);
    else
        pass_structure(t);
    w.n = (size_t)(t->p - w.p);
    if (strchr(STRUCTURE, *p) == NULL || *p == '"' || *p == '\'')
        note_word(t, w);
    return rc;
}

int config_text_prepare(char *text, const char *const *sections,
                        config_text_cb wrong, void *arg)
{
    struct text t = {.line = 1, .sections = sections, .wrong = wrong};
    int rc = 0;
    t.arg = arg;
    t.p = text;
    while (rc == 0 && *t.p != '\0')
        rc = pass_token(&t);
    if (rc == 0 && t.depth > 0)
        rc = not_closed(&t, t.opened, "section");
    return rc;
}
