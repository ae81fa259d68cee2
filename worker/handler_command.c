/*
 * Command: runs the argv that a job's payload names, if it is allowed here.
 *
 * Whoever can write to Redis can write a payload, so what may run is said by
 * the worker's configuration alone: patterns of whole command lines, matched
 * word by word. No shell looks at it. A program is a name, found by the PATH
 * of handlers, or an absolute path: what it is does not depend on where it
 * runs. The same holds for the environment and the directory that a payload
 * asks for: none of it unless a pattern allows it, and never the names by
 * which an allowed program becomes another one.
 *
 * A command knows nothing of Belt: 0 is done, any other exit code a failure
 * (exec_run), and what cannot be started is one too, as with a shell.
 *
 * Thread: one that reads the configuration, then the pool thread of a run.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/json.h"
#include "worker/handler_priv.h"

enum {
    WORD_MAX = 128 * 1024 - 1, /* bytes that Linux takes of one */
    WORDS_MAX = 1024 * 1024,   /* bytes of all, their pointers counted */
    SHOWN_MAX = 400            /* bytes of a command line in a message */
};

/* One command line that may run. */
struct entry {
    char *const *words; /* borrowed from struct allowed */
    size_t n;
    bool rest; /* any words may follow */
};

struct allowed {
    char **words; /* owned: of all entries */
    struct entry *entries;
    size_t n;
    char **env, **dirs; /* owned globs; NULL: none */
};

/* What a payload asks for. All of it is owned. */
struct command {
    char **argv, **env; /* NULL at the end */
    size_t argc, envc;
    size_t bytes; /* of both */
    char *dir, *input;
    size_t input_len;
};

/* ---- what is allowed ---- */

static int add_entry(struct allowed *a, char *const *words, size_t n,
                     struct errbuf *eb)
{
    bool rest = n > 0 && strcmp(words[n - 1], "...") == 0;

    if (rest)
        n--;
    if (n == 0)
        return errbuf_set(eb, ERR_INVALID, "a command in it names no program");
    if (strchr(words[0], '/') != NULL && words[0][0] != '/')
        return errbuf_set(eb, ERR_INVALID,
                          "%s: a program is a name or an absolute path",
                          words[0]);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(words[i]);

        if (strcmp(words[i], "...") == 0)
            return errbuf_set(eb, ERR_INVALID, "... is the last word or none");
        if (len > 1 && words[i][len - 1] == ';')
            return errbuf_set(eb, ERR_INVALID, "%s: a blank goes before ;",
                              words[i]);
    }
    a->entries = mem_resize(a->entries, (a->n + 1) * sizeof(*a->entries));
    a->entries[a->n++] = (struct entry){words, n, rest};
    return 0;
}

static int add_entries(struct allowed *a, struct errbuf *eb)
{
    size_t start = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0; i++) {
        bool end = a->words[i] == NULL;

        if (!end && strcmp(a->words[i], ";") != 0)
            continue;
        rc = add_entry(a, a->words + start, i - start, eb);
        if (end)
            break;
        start = i + 1;
    }
    return rc;
}

static int read_globs(const char *key, const char *text, char ***ret,
                      struct errbuf *eb)
{
    int rc = text != NULL ? argv_split(text, ret, eb) : 0;

    return rc == 0 ? 0 : errbuf_wrap(eb, rc, "%s", key);
}

static void run_command(struct delivery *d, int cancel_fd);

static int init(struct handler *h, const char *spec, struct errbuf *eb)
{
    struct allowed *a = mem_new(sizeof(*a));
    int rc;

    h->run = run_command;
    h->state = a; /* freed with h */
    rc = argv_split(spec, &a->words, eb);
    if (rc == 0)
        rc = add_entries(a, eb);
    if (rc == 0)
        rc = read_globs("allow-env", h->keys.allow_env, &a->env, eb);
    if (rc == 0)
        rc = read_globs("allow-dir", h->keys.allow_dir, &a->dirs, eb);
    return rc;
}

static void free_state(struct handler *h)
{
    struct allowed *a = h->state;

    if (a == NULL)
        return;
    argv_free(a->words);
    argv_free(a->env);
    argv_free(a->dirs);
    free(a->entries);
    free(a);
}

const struct handler_kind handler_command_kind = {
    .name = "command", .init = init, .free = free_state};

/* ---- matching ---- */

/* Whether a part of it, between slashes, is "..". */
static bool climbs(const char *word)
{
    for (const char *p = word; (p = strstr(p, "..")) != NULL; p++)
        if ((p == word || strchr("/=:", p[-1]) != NULL) &&
            (p[2] == '\0' || p[2] == '/'))
            return true;
    return false;
}

/*
 * Of an argument: * matches / too, but a path does not leave the directory
 * that a pattern names. Of a program no wildcard matches a slash.
 */
static bool word_fits(const char *pattern, const char *word, bool program)
{
    if (program)
        return fnmatch(pattern, word, FNM_PATHNAME | FNM_PERIOD) == 0;
    if (strcmp(pattern, "*") == 0)
        return true;
    return fnmatch(pattern, word, 0) == 0 && (!climbs(word) || climbs(pattern));
}

static bool fits(const struct entry *e, const struct command *c)
{
    if (c->argc < e->n || (c->argc > e->n && !e->rest))
        return false;
    for (size_t i = 0; i < e->n; i++)
        if (!word_fits(e->words[i], c->argv[i], i == 0))
            return false;
    return true;
}

static bool one_fits(char *const *globs, const char *text)
{
    for (; globs != NULL && *globs != NULL; globs++)
        if (fnmatch(*globs, text, 0) == 0)
            return true;
    return false;
}

/* Whether the variable makes another program, or another job, of any. */
static bool is_ours(const char *name)
{
    return strcmp(name, "PATH") == 0 || strncmp(name, "LD_", 3) == 0 ||
           strncmp(name, "BELT_", 5) == 0;
}

/* The command line for a person, cut. */
static void show(const struct command *c, char out[SHOWN_MAX + 8])
{
    size_t len = 0;

    for (size_t i = 0; i < c->argc && len < SHOWN_MAX; i++) {
        const char *word = c->argv[i];
        const char *quote =
            word[0] == '\0' || strpbrk(word, " \t\n'\"\\;") ? "\"" : "";
        int n = snprintf(out + len, SHOWN_MAX - len, "%s%s%s%s",
                         i > 0 ? " " : "", quote, word, quote);

        len += n > 0 ? (size_t)n : 0;
    }
    if (len >= SHOWN_MAX)
        memcpy(out + SHOWN_MAX - 1, "...", 4);
}

/* Returns 0, or ERR_REFUSED with what is not allowed. */
static int check(const struct allowed *a, const struct command *c,
                 struct errbuf *eb)
{
    char shown[SHOWN_MAX + 8] = "";
    size_t i = 0;

    while (i < a->n && !fits(&a->entries[i], c))
        i++;
    if (i == a->n) {
        show(c, shown);
        return errbuf_set(eb, ERR_REFUSED, "not allowed here: %s", shown);
    }
    for (i = 0; i < c->envc; i++) {
        char *name = mem_dup(c->env[i], strcspn(c->env[i], "="));
        bool good = !is_ours(name) && one_fits(a->env, name);

        if (!good)
            (void)errbuf_set(eb, ERR_REFUSED,
                             "not allowed here: variable %.64s", name);
        free(name);
        if (!good)
            return ERR_REFUSED;
    }
    if (c->dir != NULL && (climbs(c->dir) || !one_fits(a->dirs, c->dir)))
        return errbuf_set(eb, ERR_REFUSED, "not allowed here: directory %.200s",
                          c->dir);
    return 0;
}

/* ---- the payload ---- */

/* Takes text. */
static int add_word(struct command *c, char ***words, size_t *n, char *text,
                    size_t len, struct errbuf *eb)
{
    *words = mem_resize(*words, (*n + 2) * sizeof(**words));
    (*words)[(*n)++] = text;
    (*words)[*n] = NULL;
    c->bytes += len + 1 + sizeof(char *);
    if (len > WORD_MAX || c->bytes > WORDS_MAX)
        return errbuf_set(eb, ERR_INVALID, "too long to be run");
    return 0;
}

static int on_word(void *arg, struct json_span key, struct json_span value,
                   struct errbuf *eb)
{
    struct command *c = arg;
    size_t len;
    char *text = json_string_dup(value, &len);

    (void)key;
    if (text == NULL)
        return errbuf_set(eb, ERR_INVALID, "word %zu is no text", c->argc + 1);
    return add_word(c, &c->argv, &c->argc, text, len, eb);
}

static bool is_variable(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz_0123456789";
    size_t n = strlen(name);

    return n > 0 && strspn(name, letters) == n &&
           (name[0] < '0' || name[0] > '9');
}

static int on_variable(void *arg, struct json_span key, struct json_span value,
                       struct errbuf *eb)
{
    struct command *c = arg;
    size_t name_len = 0, len = 0;
    char *name = json_string_dup(key, &name_len);
    char *text = json_string_dup(value, &len);
    int rc = 0;

    if (name == NULL || !is_variable(name))
        rc = errbuf_set(eb, ERR_INVALID, "%.*s: not a name",
                        (int)(key.len < 64 ? key.len : 64), key.p);
    else if (text == NULL)
        rc = errbuf_set(eb, ERR_INVALID, "%.64s: no text", name);
    else
        rc = add_word(c, &c->env, &c->envc, mem_printf("%s=%s", name, text),
                      name_len + 1 + len, eb);
    free(name);
    free(text);
    return rc;
}

static int read_text(struct json_span value, char **ret, size_t *ret_len,
                     struct errbuf *eb)
{
    free(*ret);
    *ret = json_string_dup(value, ret_len);
    return *ret != NULL ? 0 : errbuf_set(eb, ERR_INVALID, "no text");
}

static int read_words(struct command *c, struct json_span value,
                      struct errbuf *eb)
{
    if (json_kind(value) != JSON_IS_ARRAY)
        return errbuf_set(eb, ERR_INVALID, "not an array of texts");
    if (c->argc > 0) /* which one is meant is not to be guessed */
        return errbuf_set(eb, ERR_INVALID, "it is there twice");
    return json_scan_array(value.p, value.len, on_word, c, eb);
}

static int read_env(struct command *c, struct json_span value,
                    struct errbuf *eb)
{
    if (json_kind(value) != JSON_IS_OBJECT)
        return errbuf_set(eb, ERR_INVALID, "not an object");
    return json_scan_object(value.p, value.len, on_variable, c, eb);
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct command *c = arg;
    size_t len;
    int rc;

    if (json_string_is(key, "argv"))
        rc = read_words(c, value, eb);
    else if (json_string_is(key, "env"))
        rc = read_env(c, value, eb);
    else if (json_string_is(key, "dir"))
        rc = read_text(value, &c->dir, &len, eb);
    else if (json_string_is(key, "input"))
        rc = read_text(value, &c->input, &c->input_len, eb);
    else /* misspelt, or what a later version knows: not to be guessed */
        rc = errbuf_set(eb, ERR_INVALID,
                        "argv, env, dir and input are known here");
    return rc == 0 ? 0
                   : errbuf_wrap(eb, rc, "%.*s",
                                 (int)(key.len < 64 ? key.len : 64), key.p);
}

static int read_payload(struct command *c, struct json_span payload,
                        struct errbuf *eb)
{
    const enum json_kind kind = json_kind(payload);
    int rc;

    if (kind == JSON_IS_ARRAY)
        rc = read_words(c, payload, eb);
    else if (kind == JSON_IS_OBJECT)
        rc = json_scan_object(payload.p, payload.len, on_member, c, eb);
    else
        rc = errbuf_set(eb, ERR_INVALID, "neither an object nor an array");
    if (rc == 0 && (c->argc == 0 || c->argv[0][0] == '\0'))
        rc = errbuf_set(eb, ERR_INVALID, "argv: it names no program");
    return rc == 0 ? 0 : errbuf_wrap(eb, rc, "payload");
}

static void command_done(struct command *c)
{
    argv_free(c->argv);
    argv_free(c->env);
    free(c->dir);
    free(c->input);
}

/* ---- a run ---- */

static bool is_among(char *const *env, const char *entry)
{
    size_t n = strcspn(entry, "=") + 1;

    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, entry, n) == 0)
            return true;
    return false;
}

/* The environment of the handler with that of the payload; free() it. */
static char **merge(char *const *carry, char *const *more, size_t more_n)
{
    size_t n = 0;
    char **env;

    while (carry[n] != NULL)
        n++;
    env = mem_new((n + more_n + 1) * sizeof(*env));
    for (n = 0; *carry != NULL; carry++)
        if (!is_among(more, *carry))
            env[n++] = *carry;
    for (size_t i = 0; i < more_n; i++)
        env[n++] = more[i];
    return env;
}

static void run_command(struct delivery *d, int cancel_fd)
{
    const struct handler *h = d->handler;
    struct command c = {0};
    struct errbuf eb;

    if (read_payload(&c, d->job->payload, &eb) != 0) {
        handler_fail(d, VERDICT_DEAD, "payload", "%s", eb.text);
    } else if (check(h->state, &c, &eb) != 0) {
        handler_fail(d, VERDICT_DEAD, "forbidden", "%s", eb.text);
    } else {
        char **env = merge(h->carry, c.env, c.envc);
        const struct exec_what what = {
            .argv = c.argv,
            .input = {c.input != NULL ? c.input : "", c.input_len},
            .carry = env,
            .dir = c.dir,
            .is_command = true,
        };

        exec_run(d, cancel_fd, &what);
        free(env);
    }
    command_done(&c);
}
