/*
 * Command lines of exec handlers: split into words, without a shell.
 *
 * Only the quoting of a shell is understood, nothing is expanded, so what a
 * configuration says is what runs.
 *
 * Thread: any.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "worker/handler_priv.h"

struct words {
    char **v; /* owned words, NULL at the end */
    size_t n;
};

static void words_add(struct words *w, char *word)
{
    w->v = mem_resize(w->v, (w->n + 2) * sizeof(*w->v));
    w->v[w->n++] = word;
    w->v[w->n] = NULL;
}

/*
 * Appends the text of a quoted part that begins behind the quote at p.
 * Returns the position of the closing quote, NULL if there is none.
 */
static const char *take_quoted(const char *p, char quote, struct buf *word)
{
    for (; *p != quote; p++) {
        if (quote == '"' && *p == '\\' && p[1] != '\0' &&
            strchr("\"\\$`", p[1]) != NULL)
            p++;
        if (*p == '\0')
            return NULL;
        buf_char(word, *p);
    }
    return p;
}

/* Appends the word that begins at *p and moves *p behind it. */
static int take_word(const char **p, struct buf *word, struct errbuf *eb)
{
    const char *at = *p;

    for (; *at != '\0' && strchr(" \t\n", *at) == NULL; at++) {
        if (*at == '\'' || *at == '"') {
            const char *end = take_quoted(at + 1, *at, word);

            if (end == NULL)
                return errbuf_set(eb, ERR_INVALID, "%c is not closed", *at);
            at = end;
            continue;
        }
        if (*at == '\\' && *++at == '\0')
            return errbuf_set(eb, ERR_INVALID, "nothing follows the last \\");
        buf_char(word, *at);
    }
    *p = at;
    return 0;
}

int argv_split(const char *line, char ***ret_argv, struct errbuf *eb)
{
    struct words w = {0};
    const char *p = line;

    for (;;) {
        struct buf word = {0};
        int rc;

        p += strspn(p, " \t\n");
        if (*p == '\0')
            break;
        buf_reserve(&word, 1);
        rc = take_word(&p, &word, eb);
        if (rc < 0) {
            buf_done(&word);
            argv_free(w.v);
            return rc;
        }
        words_add(&w, mem_strdup(word.data != NULL ? word.data : ""));
        buf_done(&word);
    }
    if (w.n == 0 || w.v[0][0] == '\0') {
        argv_free(w.v);
        return errbuf_set(eb, ERR_INVALID, "it names no program");
    }
    *ret_argv = w.v;
    return 0;
}

void argv_free(char **argv)
{
    if (argv == NULL)
        return;
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
    free(argv);
}
