/*
 * Writing append-only files: what Redis writes, from lines that people can
 * read.
 *
 * Thread: the test's.
 */
#include "tests/faults/journal_write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/faults/journal.h"

static const char base_name[] = "appendonly.aof.1.base.rdb";
static const char incr_name[] = "appendonly.aof.1.incr.aof";
static const char manifest_name[] = "appendonly.aof.manifest";

static void job(struct buf *out, char kind, const char *n, size_t len)
{
    int digits = (int)len;
    buf_char(out, '{');
    if (kind == '^')
        buf_str(out, "\"recovered\":[1700000000000],");
    if (kind != '$')
        buf_printf(out, "\"id\":\"J%.*s\",", digits, n);
    buf_printf(out, "\"type\":\"x\",\"payload\":{\"n\":%.*s}", digits, n);
    if (kind == '~')
        buf_str(out, ",\"attempt\":1");
    if (kind == '%')
        buf_str(out, ",\"put_offs\":1");
    if (kind == '!')
        buf_str(out, ",\"error\":{\"class\":\"expired\"}");
    if (kind == '>')
        buf_printf(out,
                   ",\"then\":[{\"type\":\"x\",\"payload\":{\"n\":%.*s1}}]",
                   digits, n);
    buf_char(out, '}');
}

void write_word(struct buf *out, const char *token, size_t len)
{
    if (len > 0 && token[0] == '@') {
        buf_str(out, len > 1 ? "belt:{q}:" : "belt:{q}");
        buf_append(out, token + 1, len - 1);
    } else if (len > 1 && strchr("$#^~%!>", token[0]) != NULL) {
        job(out, token[0], token + 1, len - 1);
    } else {
        buf_append(out, token, len);
    }
}

static void command(struct buf *out, const char *line, size_t len)
{
    struct buf words = {0};
    size_t count = 0;
    for (size_t at = 0; at < len; count++) {
        struct buf word = {0};
        const char *blank = memchr(line + at, ' ', len - at);
        size_t n = blank != NULL ? (size_t)(blank - line) - at : len - at;
        write_word(&word, line + at, n);
        buf_printf(&words, "$%zu\r\n", word.len);
        buf_append(&words, word.data, word.len);
        buf_str(&words, "\r\n");
        buf_done(&word);
        at += n + 1;
    }
    buf_printf(out, "*%zu\r\n", count);
    buf_append(out, words.data, words.len);
    buf_done(&words);
}

void write_lines(struct buf *out, const char *lines)
{
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");
        if (len > 0)
            command(out, lines, len);
        lines += len + (lines[len] == '\n');
    }
}

/* ---- files ---- */

static void path_of(char out[PATH_MAX], const char *dir, const char *name)
{
    (void)snprintf(out, PATH_MAX, "%s/appendonlydir/%s", dir, name);
}

static void write_file(const char *dir, const char *name, const void *p,
                       size_t len)
{
    char path[PATH_MAX];
    path_of(path, dir, name);
    FILE *f = fopen(path, "we");
    if (f == NULL || fwrite(p, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

char *write_journal(const char *bytes, size_t len)
{
    /* What Redis 7 writes when it begins with nothing, but for its times. */
    static const char base[] = "REDIS0010\xfa\x09redis-ver\x06"
                               "7.0.15\xfa\x0aredis-bits\xc0\x40\xff"
                               "checksum";
    static const char manifest[] =
        "file appendonly.aof.1.base.rdb seq 1 type b\n"
        "file appendonly.aof.1.incr.aof seq 1 type i\n";
    char path[PATH_MAX];
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/belt-journal-XXXXXX",
                           tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    path_of(path, mkdtemp(dir) != NULL ? dir : "", "");
    if (mkdir(path, 0700) != 0) {
        perror(path);
        exit(1);
    }
    write_file(dir, base_name, base, sizeof(base) - 1);
    write_file(dir, incr_name, bytes, len);
    write_file(dir, manifest_name, manifest, sizeof(manifest) - 1);
    return dir;
}

void write_remove(char *dir)
{
    const char *const names[] = {base_name, incr_name, manifest_name, ""};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_of(path, dir, names[i]);
        (void)remove(path);
    }
    (void)rmdir(dir);
    free(dir);
}

struct journal *write_and_replay(const struct buf *bytes)
{
    char *dir = write_journal(bytes->data, bytes->len);
    struct journal *j = journal_replay(dir, "q", 0, stderr);
    write_remove(dir);
    if (journal_breach_count(j) != 0)
        exit(1); /* journal_replay has told which */
    return j;
}
