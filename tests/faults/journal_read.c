/*
 * Reading the append-only file: the manifest, the base and the commands.
 *
 * Redis 7 keeps a directory: a manifest, a snapshot that the commands start
 * from, and files of commands in the order of the manifest. Effects of a
 * script stand between MULTI and EXEC unless there is only one.
 *
 * Thread: the test's.
 */
#include "tests/faults/journal_read.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { FILES_MAX = 64, LINE_MAX_BYTES = 1024 };

struct file {
    char *name; /* owned */
    char *p;    /* mapped; NULL if empty */
    size_t len;
};

struct journal_files {
    struct file files[FILES_MAX];
    size_t file_count, file; /* how many; which one is read */
    size_t at;               /* offset in it */

    struct text *words; /* owned; of the transaction */
    size_t word_count, word_cap;
    struct command *commands; /* owned */
    size_t *first_words;      /* owned; of each command */
    size_t command_cap;
    struct transaction now;
};

enum parsed { PARSED, PARSED_END, PARSED_TORN };

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt,
                                                                ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fputs("journal: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* ---- texts ---- */

bool text_is(struct text t, const char *s)
{
    return text_same(t, (struct text){s, strlen(s)});
}

bool text_same(struct text a, struct text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool text_named(struct text t, const char *s)
{
    return t.len == strlen(s) && strncasecmp(t.p, s, t.len) == 0;
}

bool text_number(struct text t, int64_t *ret_n)
{
    char digits[24], *end;
    if (t.len == 0 || t.len >= sizeof(digits))
        return false;
    memcpy(digits, t.p, t.len);
    digits[t.len] = '\0';
    errno = 0;
    int64_t n = strtoll(digits, &end, 10);
    if (errno != 0 || end != digits + t.len ||
        isspace((unsigned char)digits[0]))
        return false;
    *ret_n = n;
    return true;
}

const char *text_shown(struct text t, char out[SHOWN_MAX])
{
    size_t n = 0;
    out[n++] = '\'';
    for (size_t i = 0; i < t.len && n < SHOWN_MAX - 10; i++) {
        unsigned char c = (unsigned char)t.p[i];
        if (c >= ' ' && c < 0x7f && c != '\\')
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
    }
    (void)snprintf(out + n, SHOWN_MAX - n, "%s",
                   n >= SHOWN_MAX - 10 ? "'..." : "'");
    return out;
}

/* ---- files ---- */

static void map(struct file *f, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        die("%s: %s", path, strerror(errno));
    f->len = (size_t)st.st_size;
    if (f->len > 0) {
        f->p = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (f->p == MAP_FAILED)
            die("%s: %s", path, strerror(errno));
    }
    (void)close(fd);
}

/* The length of a string of a snapshot, and how many bytes say it. */
static bool rdb_length(const unsigned char *p, size_t left, size_t *ret_len,
                       size_t *ret_head)
{
    static const size_t integers[] = {1, 2, 4};
    if (left < 2)
        return false;
    switch (p[0] >> 6) {
    case 0:
        *ret_len = p[0];
        *ret_head = 1;
        return true;
    case 1:
        *ret_len = ((size_t)(p[0] & 0x3f) << 8) | p[1];
        *ret_head = 2;
        return true;
    case 3: /* an integer instead */
        if ((p[0] & 0x3f) > 2)
            return false;
        *ret_len = integers[p[0] & 0x3f];
        *ret_head = 1;
        return true;
    default:
        return false;
    }
}

/* A snapshot of nothing has only a head of names and values. */
static bool rdb_is_empty(const struct file *f)
{
    enum { HEAD = 9, AUX = 0xfa, END = 0xff };
    const unsigned char *p = (const unsigned char *)f->p;
    if (f->len == 0)
        return true;
    if (f->len < HEAD || memcmp(p, "REDIS", 5) != 0)
        die("%s is no snapshot", f->name);
    size_t at = HEAD;
    while (at < f->len && p[at] == AUX) {
        at++;
        for (int i = 0; i < 2; i++) {
            size_t len, head;
            if (at > f->len || !rdb_length(p + at, f->len - at, &len, &head))
                die("%s: cannot read its head", f->name);
            at += head + len;
        }
    }
    return at < f->len && p[at] == END;
}

static void add_file(struct journal_files *f, const char *dir, const char *name,
                     char type)
{
    char path[PATH_MAX];
    size_t len = strlen(name);
    bool snapshot = len > 4 && strcmp(name + len - 4, ".rdb") == 0;
    if (f->file_count == FILES_MAX)
        die("more than %d files", FILES_MAX);
    struct file *file = &f->files[f->file_count];
    file->name = mem_strdup(name);
    (void)snprintf(path, sizeof(path), "%s/appendonlydir/%s", dir, name);
    map(file, path);
    if (!snapshot) {
        f->file_count++;
        return;
    }
    if (!rdb_is_empty(file))
        die("%s holds data (type %c): what came before it is not known; was "
            "the file rewritten?",
            name, type);
    if (file->p != NULL)
        (void)munmap(file->p, file->len);
    free(file->name);
    *file = (struct file){0};
}

struct journal_files *read_open(const char *dir)
{
    struct journal_files *f = mem_new(sizeof(*f));
    char path[PATH_MAX], line[LINE_MAX_BYTES], name[256], type;
    (void)snprintf(path, sizeof(path),
                   "%s/appendonlydir/appendonly.aof.manifest", dir);
    FILE *manifest = fopen(path, "re");
    if (manifest == NULL)
        die("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), manifest) != NULL) {
        if (line[0] == '#')
            continue;
        if (sscanf(line, "file %255s seq %*u type %c", name, &type) != 2)
            die("%s: cannot read: %s", path, line);
        if (type != 'h') /* history, about to be removed */
            add_file(f, dir, name, type);
    }
    (void)fclose(manifest);
    return f;
}

void read_close(struct journal_files *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->file_count; i++) {
        if (f->files[i].p != NULL)
            (void)munmap(f->files[i].p, f->files[i].len);
        free(f->files[i].name);
    }
    free(f->words);
    free(f->commands);
    free(f->first_words);
    free(f);
}

/* ---- commands ---- */

static struct file *current(struct journal_files *f)
{
    return &f->files[f->file];
}

/* Reads "<mark><number>\r\n". */
static enum parsed parse_count(struct journal_files *f, char mark,
                               size_t *ret_n)
{
    const struct file *file = current(f);
    size_t at = f->at;
    int64_t n;
    if (at == file->len)
        return PARSED_TORN;
    const char *line = file->p + at;
    const char *end = memchr(line, '\n', file->len - at);
    if (line[0] != mark)
        die("%s: byte %zu: no %c", file->name, at, mark);
    if (end == NULL)
        return PARSED_TORN;
    if (end - line < 3 || end[-1] != '\r' ||
        !text_number((struct text){line + 1, (size_t)(end - line) - 2}, &n) ||
        n < 0)
        die("%s: byte %zu: no number", file->name, at);
    *ret_n = (size_t)n;
    f->at = (size_t)(end + 1 - file->p);
    return PARSED;
}

static enum parsed parse_word(struct journal_files *f)
{
    const struct file *file = current(f);
    size_t len;
    if (parse_count(f, '$', &len) != PARSED)
        return PARSED_TORN;
    if (len > file->len - f->at || file->len - f->at - len < 2)
        return PARSED_TORN;
    if (memcmp(file->p + f->at + len, "\r\n", 2) != 0)
        die("%s: byte %zu: no end of a word", file->name, f->at + len);
    if (f->word_count == f->word_cap) {
        f->word_cap = f->word_cap > 0 ? 2 * f->word_cap : 256;
        f->words = mem_resize(f->words, f->word_cap * sizeof(*f->words));
    }
    f->words[f->word_count++] = (struct text){file->p + f->at, len};
    f->at += len + 2;
    return PARSED;
}

/* Lines of the form #TS:1795630138 stand between commands. */
static enum parsed skip_notes(struct journal_files *f)
{
    const struct file *file = current(f);
    while (f->at < file->len && file->p[f->at] == '#') {
        const char *line = file->p + f->at;
        const char *end = memchr(line, '\n', file->len - f->at);
        if (end == NULL)
            return PARSED_TORN;
        f->at = (size_t)(end + 1 - file->p);
    }
    return f->at == file->len ? PARSED_END : PARSED;
}

/* Appends the next command to the transaction. */
static enum parsed parse_command(struct journal_files *f)
{
    size_t words, first = f->word_count;
    enum parsed p = skip_notes(f);
    if (p != PARSED)
        return p;
    if (parse_count(f, '*', &words) != PARSED)
        return PARSED_TORN;
    if (words == 0)
        die("%s: byte %zu: no words", current(f)->name, f->at);
    for (size_t i = 0; i < words; i++) {
        if (parse_word(f) != PARSED)
            return PARSED_TORN;
    }
    if (f->now.count == f->command_cap) {
        f->command_cap = f->command_cap > 0 ? 2 * f->command_cap : 64;
        f->commands =
            mem_resize(f->commands, f->command_cap * sizeof(*f->commands));
        f->first_words = mem_resize(f->first_words,
                                    f->command_cap * sizeof(*f->first_words));
    }
    f->first_words[f->now.count] = first;
    f->commands[f->now.count++] = (struct command){.count = words};
    return PARSED;
}

static bool last_is(const struct journal_files *f, const char *name)
{
    size_t i = f->now.count - 1;
    return f->commands[i].count == 1 &&
           text_named(f->words[f->first_words[i]], name);
}

/* One command, or from MULTI to EXEC, which are left away. */
static enum parsed parse_transaction(struct journal_files *f)
{
    enum parsed p = parse_command(f);
    if (p != PARSED || !last_is(f, "MULTI"))
        return p;
    f->now.count = f->word_count = 0;
    do {
        p = parse_command(f);
        if (p != PARSED)
            return PARSED_TORN;
    } while (!last_is(f, "EXEC"));
    f->now.count--;
    return PARSED;
}

const struct transaction *read_next(struct journal_files *f)
{
    enum parsed p = PARSED_END;
    f->now.count = f->word_count = 0;
    while (f->file < f->file_count) {
        p = parse_transaction(f);
        if (p == PARSED)
            break;
        if (p == PARSED_TORN && f->file + 1 < f->file_count)
            die("%s: ends in the middle of a command", current(f)->name);
        f->file++;
        f->at = 0;
        f->now.count = f->word_count = 0;
    }
    if (p != PARSED)
        return NULL;
    for (size_t i = 0; i < f->now.count; i++)
        f->commands[i].words = f->words + f->first_words[i];
    f->now.commands = f->commands;
    f->now.number++;
    return &f->now;
}
