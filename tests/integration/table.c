/*
 * Tables: before → call → after for scripts, on a Redis of the program's own.
 *
 * The scripts are called by EVAL with their embedded text, without the code of
 * the project that calls them otherwise: what is shown here holds for clients
 * in every language.
 *
 * Thread: the test's main thread.
 */
#include "tests/integration/table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

enum { WORDS_MAX = 8192, CLOSE_MS = 60 * 1000 };

/* $1 and $2 are arguments. */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma): some take two lines. */
static const char *const script_keys[SCRIPT_COUNT] = {
    [SCRIPT_push] = "@ready @config @stats @minute",
    [SCRIPT_push_one] = "@ready @config @stats @minute @scheduled @unique:k "
                        "@pending:k @once:$4 @job:$4",
    [SCRIPT_register] = "@leases @lanes @reaped @config @active:$1",
    [SCRIPT_fetch] = "@ready @active:$1 @leases @config @fence",
    [SCRIPT_fetch_bulk] = "@ready @active:$1 @leases @config @fence",
    [SCRIPT_stamp] = "@active:$1 @leases @fence",
    [SCRIPT_settle] =
        "@active:$1 @leases @retry @dead @config @stats @minute @lanes "
        "@ready @scheduled @outbox @cancelled",
    [SCRIPT_release] = "@active:$1 @leases @ready @stats @minute",
    [SCRIPT_promote] = "@scheduled @retry @ready @stats @minute",
    [SCRIPT_note] = "@leases",
    [SCRIPT_log] = "@leases",
    [SCRIPT_renew] = "@leases @active:$1 @config @ready @scheduled @retry "
                     "@lanes @cron:due @outbox",
    [SCRIPT_rebind] = "@leases @lanes @reaped @config @active:$1 @active:$2",
    [SCRIPT_leave] = "@leases @lanes @reaped @config @active:$1",
    [SCRIPT_reap] =
        "@leases @lanes @reaped @config @active:$1 @ready @stats @minute",
    [SCRIPT_cancel] = "@cancelled @config",
    [SCRIPT_requeue] = "", /* all of them stand in front of "| " */
    [SCRIPT_remove] = "",
    [SCRIPT_tick] = "@cron @cron:due @ready @stats @minute @unique:cron:$1",
    [SCRIPT_cron_put] = "@cron @cron:due",
    [SCRIPT_purge] = "",
    [SCRIPT_import] = "@dead @stats",
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */

static struct redis *server;

int table_start(void **state)
{
    (void)state;
    server = redis_start(NULL);
    return 0;
}

int table_stop(void **state)
{
    (void)state;
    redis_stop(server);
    return 0;
}

struct redis *table_redis(void)
{
    return server;
}

void table_use(struct redis *r)
{
    server = r;
}

int table_clear(void **state)
{
    (void)state;
    redis_do(server, "FLUSHALL");
    return 0;
}

/* ---- commands ---- */

struct words {
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    char *owned[WORDS_MAX];
    int n;
};

static void add_word(struct words *w, char *text, size_t len)
{
    assert_true(w->n < WORDS_MAX);
    w->argv[w->n] = w->owned[w->n] = text;
    w->lens[w->n++] = len;
}

static void words_done(struct words *w)
{
    for (int i = 0; i < w->n; i++)
        free(w->owned[i]);
    free(w);
}

/* What may stand behind NOW. */
static const char *read_offset(const char *p, int64_t *ret_ms)
{
    char *rest;
    *ret_ms = 0;
    if (*p != '+' && *p != '-')
        return p;
    *ret_ms = strtoll(p, &rest, 10);
    return rest;
}

/* One word, beginning at p; returns where it ends. */
static const char *read_word(const char *p, const char *end, struct words *w)
{
    struct buf b = {0};
    bool quoted = *p == '\'', name = *p == '@';
    if (strncmp(p, "NOW", 3) == 0) {
        int64_t offset;
        p = read_offset(p + 3, &offset);
        buf_int(&b, clock_wall_ms() + offset);
    }
    if (quoted || name)
        p++;
    if (name && strncmp(p, "ready", 5) == 0 && (p + 5 == end || p[5] == ' ')) {
        buf_str(&b, "belt:{q}");
        p += 5;
    } else if (name) {
        buf_str(&b, "belt:{q}:");
    }
    size_t n = strcspn(p, quoted ? "'" : " ");
    if (n > (size_t)(end - p))
        n = (size_t)(end - p);
    buf_append(&b, p, n);
    p += n;
    for (char *c = b.data; (c = strchr(c, '`')) != NULL;)
        *c = '"';
    size_t len = b.len;
    add_word(w, buf_take(&b), len);
    return p < end && quoted ? p + 1 : p;
}

static void read_words(const char *p, const char *end, struct words *w)
{
    while (p < end) {
        if (*p == ' ')
            p++;
        else
            p = read_word(p, end, w);
    }
}

static void render(const redisReply *r, struct buf *out)
{
    switch (r->type) {
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < r->elements; i++) {
            if (i > 0)
                buf_char(out, ' ');
            render(r->element[i], out);
        }
        break;
    case REDIS_REPLY_INTEGER:
        buf_int(out, r->integer);
        break;
    case REDIS_REPLY_NIL:
        buf_str(out, "(nil)");
        break;
    default:
        if (r->len == 0)
            buf_str(out, "''");
        buf_append(out, r->str, r->len);
    }
}

static char *try(struct words *w)
{
    struct buf out = {0};
    redisReply *r = redis_try_argv(server, w->n, w->argv, w->lens);
    words_done(w);
    if (r == NULL)
        return NULL;
    render(r, &out);
    freeReplyObject(r);
    return out.len > 0 ? buf_take(&out) : mem_strdup("");
}

static char *run(struct words *w)
{
    char *answer = try(w);
    if (answer == NULL)
        fail_msg("Redis died");
    return answer;
}

static char *run_range(const char *p, const char *end)
{
    struct words *w = mem_new(sizeof(*w));
    read_words(p, end, w);
    return run(w);
}

char *table_run(const char *command)
{
    return run_range(command, command + strlen(command));
}

void table_do(const char *commands)
{
    const char *p = commands;
    while (*p != '\0') {
        const char *end = p + strcspn(p, "\n");
        struct words *w = mem_new(sizeof(*w));
        read_words(p, end, w);
        redisReply *r = redis_argv(server, w->n, w->argv, w->lens);
        if (r->type == REDIS_REPLY_ERROR)
            fail_msg("%.*s: %s", (int)(end - p), p, r->str);
        freeReplyObject(r);
        words_done(w);
        p = *end == '\0' ? end : end + 1;
    }
}

/* ---- scripts ---- */

static const char *arg_words(const char *args)
{
    const char *bar = strstr(args, "| ");
    return bar != NULL ? bar + 2 : args;
}

char *table_keys(enum script s, const char *args)
{
    struct words *w = mem_new(sizeof(*w));
    struct buf out = {0};
    const char *p = arg_words(args);
    read_words(p, p + strlen(p), w);
    for (const char *k = script_keys[s]; *k != '\0'; k++) {
        if (*k == '$')
            buf_str(&out, w->argv[*++k - '1']);
        else
            buf_char(&out, *k);
    }
    if (p != args) {
        buf_char(&out, ' ');
        buf_append(&out, args, (size_t)(p - args) - 2);
    }
    words_done(w);
    return buf_take(&out);
}

static struct words *script_words(enum script s, const char *args)
{
    struct words *w = mem_new(sizeof(*w));
    char *keys = table_keys(s, args);
    add_word(w, mem_strdup("EVAL"), 4);
    add_word(w, mem_strdup(script_source(s)), strlen(script_source(s)));
    add_word(w, NULL, 0); /* the number of keys */
    read_words(keys, keys + strlen(keys), w);
    w->argv[2] = w->owned[2] = mem_printf("%d", w->n - 3);
    w->lens[2] = strlen(w->argv[2]);
    read_words(arg_words(args), args + strlen(args), w);
    free(keys);
    return w;
}

char *table_run_script(enum script s, const char *args)
{
    return run(script_words(s, args));
}

char *table_try_script(enum script s, const char *args)
{
    return try(script_words(s, args));
}

/* ---- answers ---- */

static bool matches(const char *text, const char *p, const char *end);

static bool matches_number(const char *text, const char *p, const char *end,
                           bool now)
{
    char *rest;
    int64_t offset;
    if (!isdigit((unsigned char)*text) && *text != '-')
        return false;
    int64_t n = strtoll(text, &rest, 10);
    if (!now)
        return matches(rest, p + 1, end);
    const char *after = read_offset(p + 3, &offset);
    int64_t wanted = clock_wall_ms() + offset;
    return n >= wanted - CLOSE_MS && n <= wanted + CLOSE_MS &&
           matches(rest, after, end);
}

static bool matches_ulid(const char *text, const char *p, const char *end)
{
    return strspn(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") >= 26 &&
           matches(text + 26, p + 4, end);
}

static bool matches(const char *text, const char *p, const char *end)
{
    for (; p < end; p++, text++) {
        if (*p == '*') {
            for (; *text != '\0'; text++) {
                if (matches(text, p + 1, end))
                    return true;
            }
            return p + 1 == end;
        }
        if (*p == '#')
            return matches_number(text, p, end, false);
        if (strncmp(p, "NOW", 3) == 0)
            return matches_number(text, p, end, true);
        if (strncmp(p, "ULID", 4) == 0)
            return matches_ulid(text, p, end);
        if (*text != (*p == '`' ? '"' : *p))
            return false;
    }
    return *text == '\0';
}

static void expect(const char *what, int len, char *text, const char *p,
                   const char *end)
{
    if (!matches(text, p, end))
        fail_msg("%.*s\n  gives   %s\n  and not %.*s", len, what, text,
                 (int)(end - p), p);
    free(text);
}

void table_check(const char *checks)
{
    const char *p = checks;
    while (*p != '\0') {
        const char *end = p + strcspn(p, "\n"), *arrow = strstr(p, " =>");
        if (arrow == NULL || arrow >= end)
            fail_msg("no => in %s", p);
        const char *wanted = arrow + 3;
        if (wanted < end)
            wanted++;
        expect(p, (int)(arrow - p), run_range(p, arrow), wanted, end);
        p = *end == '\0' ? end : end + 1;
    }
}

void table_call(enum script s, const char *args, const char *expected)
{
    expect(script_name(s), (int)strlen(script_name(s)),
           table_run_script(s, args), expected, expected + strlen(expected));
}

void table_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        print_message("  %s: %s\n", script_name(rows[i].script), rows[i].name);
        (void)table_clear(NULL);
        table_do(rows[i].before);
        table_call(rows[i].script, rows[i].args, rows[i].reply);
        table_check(rows[i].after);
    }
}
