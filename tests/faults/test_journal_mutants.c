/*
 * Claims about the accountant on scripts that are wrong: each is one of
 * Belt's with one thing changed, run by a real Redis. The script as it is does
 * nothing that the accountant minds in the same place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/faults/journal.h"
#include "tests/faults/journal_write.h"
#include "tests/support/redis.h"
#include "tests/unit/unit.h"

enum { WORDS_MAX = 64 };

static const char *const keys[][2] = {
    {"fetch", "@ @active:a @leases @config @fence"},
    {"fetch_bulk", "@ @active:a @leases @config @fence"},
    {"leave", "@leases @lanes @reaped @config @active:a"},
    {"promote", "@scheduled @retry @ @stats @stats:1"},
    {"reap", "@leases @lanes @reaped @config @active:a @ @stats @stats:1"},
    {"rebind", "@leases @lanes @reaped @config @active:a @active:b"},
    {"register", "@leases @lanes @reaped @config @active:a"},
    {"release", "@active:a @leases @ @stats @stats:1"},
    {"settle", "@active:a @leases @retry @dead @config @stats @stats:1 @lanes "
               "@ @scheduled @outbox @cancelled @unique:u"},
    {"stamp", "@active:a @leases @fence"},
    {"push_one", "@ @config @stats @stats:1 @scheduled @unique:u @pending:u "
                 "@once:x @job:x"},
    {"purge", "@ @stats @stats:1 @unique:u @job:x @log:x"},
    {"remove", "@scheduled @stats @stats:1 @cancelled @unique:u @job:x @log:x"},
    {"requeue", "@dead @ @stats @stats:1 @unique:u @job:x @log:x"},
    {"send", "@retry @outbox @stats @stats:1 @unique:u @job:x @log:x"},
    {"tick", "@cron @cron:due @ @stats @stats:1 @unique:cron:t"}};

/* Lines are commands, or begin with a script's name and have its arguments. */
#define FETCHED                                                                \
    "register a 60000 {} 1\n"                                                  \
    "RPUSH @ #1 #2 #3\n"                                                       \
    "fetch a 3 100000 01ARZ3NDEKTSV4RRFFQ69G5\n"
/* Job 11 is to follow job 1. */
#define FOLLOWED                                                               \
    "register a 60000 {} 1\n"                                                  \
    "RPUSH @ >1 #2\n"                                                          \
    "fetch a 2 100000 01ARZ3NDEKTSV4RRFFQ69G5\n"
#define LEFT FETCHED "leave a\n"
#define ONE_HELD                                                               \
    "register a 60000 {} 1\n"                                                  \
    "RPUSH @ #1 #2 #3 #4 #5\n"                                                 \
    "fetch a 1 100000 01ARZ3NDEKTSV4RRFFQ69G5\n"

/* Job 1 is due in a minute and holds the lock. */
#define LOCKED "push_one 0 1 #1 J1 0 60000 until replace 0 0 x 0 c 0\n"
#define TICK                                                                   \
    "t {} 1000 2000  0 x 1 cron:t:1000 "                                       \
    "{\"id\":\"cron:t:1000\",\"type\":\"x\",\"payload\":{\"n\":0}}"
#define ENTRY "HSET @cron t {}\nZADD @cron:due 1000 t\n"

static struct mutant {
    const char *name, *before;
    const char *script, *from, *to, *args;
    struct breaches breaches;
} mutants[] = {
    {"settle_asks_for_no_lease",
     LEFT,
     "settle",
     "if not redis.call('ZSCORE', leases, ARGV[1])",
     "if false",
     "a 1 v#1 0 0 0 1 0 0 done 1",
     {.unleased = 1}},
    {"settle_trims_one_too_many",
     FETCHED,
     "settle",
     "LTRIM', active, c, -1",
     "LTRIM', active, c + 1, -1",
     "a 1 v#1 0 0 0 1 0 0 done 1",
     {.lost = 1}},
    {"settle_forgets_to_trim",
     FETCHED,
     "settle",
     "if c > 0 then redis.call('LTRIM'",
     "if c > 1 then redis.call('LTRIM'",
     "a 1 v#1 0 1 0 1 0 0 retry 5000 ~1 retried 1",
     {.twice = 1}},
    {"settle_forgets_to_add",
     FETCHED,
     "settle",
     "add(sets[where], now",
     "tostring(sets[where], now",
     "a 1 v#1 0 1 0 1 0 0 retry 5000 ~1 retried 1",
     {.lost = 1, .miscounted = 1}},
    {"settle_counts_too_much",
     FETCHED,
     "settle",
     "local n = tonumber(ARGV[i + 1])",
     "local n = tonumber(ARGV[i + 1]) + 1",
     "a 1 v#1 1 0 0 1 0 0 v#3 done 2",
     {.miscounted = 1}},
    {"settle_removes_all_equal_ones",
     "register a 60000 {} 1\nRPUSH @ #0 #0 #2\n"
     "fetch a 3 100000 01ARZ3NDEKTSV4RRFFQ69G5\n",
     "settle",
     "LREM', active, 1,",
     "LREM', active, 0,",
     "a 0  1 0 0 1 0 0 v#0 done 1",
     {.lost = 1}},
    {"settle_pushes_what_follows_and_keeps_the_parent",
     FOLLOWED,
     "settle",
     "if c > 0 then redis.call('LTRIM'",
     "if c > 1 then redis.call('LTRIM'",
     "a 1 v>1 0 1 0 2 0 0 ready 0 #11 done 1 pushed 1",
     {.twice = 1}},
    {"settle_forgets_what_follows",
     FOLLOWED,
     "settle",
     "if e then redis.call('RPUSH', key, unpack(e)) end",
     "",
     "a 1 v>1 0 1 0 2 0 0 ready 0 #11 done 1 pushed 1",
     {.lost = 1, .miscounted = 1}},
    {"settle_sends_it_to_the_wrong_place",
     FOLLOWED,
     "settle",
     "local lists = { ready = KEYS[9], outbox = KEYS[11] }",
     "local lists = { ready = KEYS[11], outbox = KEYS[9] }",
     "a 1 v>1 0 1 0 2 0 0 outbox 0 #11 done 1 sent 1",
     {.miscounted = 1}},
    {"settle_puts_what_follows_in_front",
     FOLLOWED,
     "settle",
     "if e then redis.call('RPUSH', key",
     "if e then redis.call('LPUSH', key",
     "a 1 v>1 0 1 0 2 0 0 ready 0 #11 done 1 pushed 1",
     {.lost = 1, .twice = 1}},
    {"settle_counts_expired_ones_as_dead",
     FETCHED,
     "settle",
     "redis.pcall('HINCRBY', KEYS[6], ARGV[i], n)",
     "redis.pcall('HINCRBY', KEYS[6], ARGV[i] == 'expired' and 'dead' or "
     "ARGV[i], n)",
     "a 1 v#1 0 1 0 1 0 0 dead 0 !1 expired 1",
     {.miscounted = 2}},
    {"settle_snoozes_and_forgets_to_add",
     FETCHED,
     "settle",
     "add(sets[where], now",
     "tostring(sets[where], now",
     "a 1 v#1 0 1 0 1 0 0 scheduled 5000 #1 snoozed 1",
     {.lost = 1, .miscounted = 1}},
    {"settle_takes_a_cancelled_one_and_its_neighbour",
     FETCHED,
     "settle",
     "LTRIM', active, c, -1",
     "LTRIM', active, c + 1, -1",
     "a 1 v#1 0 0 0 1 0 1 J1 cancelled 1",
     {.lost = 1}},
    {"reap_does_not_pop",
     FETCHED,
     "reap",
     "redis.call('RPOP', active)",
     "",
     "a gone 1",
     {.twice = 1}},
    {"reap_does_not_push",
     FETCHED,
     "reap",
     "redis.call('LPUSH', ready,",
     "tostring(ready,",
     "a gone 1",
     {.lost = 1, .miscounted = 1}},
    {"reap_appends",
     FETCHED,
     "reap",
     "redis.call('LPUSH', ready,",
     "redis.call('RPUSH', ready,",
     "a gone 1",
     {.order = 1}},
    {"reap_takes_the_first_ones_first",
     FETCHED,
     "reap",
     "redis.call('RPOP', active)",
     "redis.call('LPOP', active)",
     "a gone 1",
     {.lost = 1, .twice = 1}},
    {"reap_lets_the_lease_stand",
     FETCHED,
     "reap",
     "redis.call('ZREM', leases, lane)",
     "",
     "a gone 1",
     {.unleased = 1}},
    {"reap_breaks_the_payload",
     FETCHED,
     "reap",
     "string.sub(e, brace + 1)\nend",
     "(string.gsub(string.sub(e, brace + 1), '}}', ' }}'))\nend",
     "a gone 1",
     {.altered = 1}},
    {"reap_makes_another_job_of_it",
     FETCHED,
     "reap",
     "string.sub(e, brace + 1)\nend",
     "(string.gsub(string.sub(e, brace + 1), '3', '4'))\nend",
     "a gone 1",
     {.lost = 1, .twice = 1}},
    {"the_stragglers_look_asks_for_no_lease",
     FETCHED,
     "reap",
     "if lease_end then return { 'ALIVE', 0 } end\n  if not since then return "
     "{ 'NONE' } end",
     "since = since or 0",
     "a straggler 1",
     {.unleased = 1}},
    {"fetch_does_not_trim",
     "register a 60000 {} 1\nRPUSH @ #1 #2\n",
     "fetch",
     "redis.call('LTRIM', ready, #jobs, -1)",
     "",
     "a 2 100000 01ARZ3NDEKTSV4RRFFQ69G5",
     {.twice = 2}},
    {"fetch_asks_for_no_lease",
     "register a 60000 {} 1\nleave a\nRPUSH @ #1\n",
     "fetch",
     "if not redis.call('ZSCORE', leases, lane)",
     "if false",
     "a 2 100000 01ARZ3NDEKTSV4RRFFQ69G5",
     {.unleased = 1}},
    {"fetch_turns_the_jobs_around",
     "register a 60000 {} 1\nRPUSH @ #1 #2\n",
     "fetch",
     "redis.call('RPUSH', active, unpack(jobs))",
     "for i = #jobs, 1, -1 do redis.call('RPUSH', active, jobs[i]) end",
     "a 2 100000 01ARZ3NDEKTSV4RRFFQ69G5",
     {.order = 1}},
    {"fetch_gives_one_number_for_all",
     "register a 60000 {} 1\nRPUSH @ #1 #2\n",
     "fetch",
     "redis.pcall('INCRBY', KEYS[5], #jobs)",
     "redis.pcall('INCRBY', KEYS[5], 1)",
     "a 2 100000 01ARZ3NDEKTSV4RRFFQ69G5",
     {.fences = 1}},
    {"fetch_bulk_does_not_trim",
     "register a 60000 {} 1\nRPUSH @ #1 #2 #3\n",
     "fetch_bulk",
     "redis.call('LTRIM', ready, all, -1)",
     "",
     "a 2 100000 0",
     {.twice = 2}},
    {"fetch_bulk_trims_one_too_many",
     ONE_HELD,
     "fetch_bulk",
     "redis.call('LTRIM', ready, all, -1)",
     "redis.call('LTRIM', ready, all + 1, -1)",
     "a 3 100000 1",
     {.lost = 1}},
    {"fetch_bulk_does_not_put_back_what_is_held",
     ONE_HELD,
     "fetch_bulk",
     "redis.call('LPUSH', ready, unpack(back))",
     "",
     "a 2 100000 1",
     {.lost = 1, .fences = 1}},
    {"fetch_bulk_puts_back_what_is_held_behind_the_others",
     ONE_HELD,
     "fetch_bulk",
     "redis.call('LPUSH', ready, unpack(back))",
     "redis.call('RPUSH', ready, unpack(back))",
     "a 2 100000 1",
     {.miscounted = 1, .order = 1, .fences = 1}},
    {"fetch_bulk_leaves_what_it_put_back",
     "ACL SETUSER default -sort\n" ONE_HELD,
     "fetch_bulk",
     "if held > 0 then redis.call('LTRIM', ready, held, -1) end",
     "",
     "a 3 100000 1",
     {.twice = 1}},
    {"fetch_bulk_asks_for_no_lease",
     "register a 60000 {} 1\nleave a\nRPUSH @ #1 #2\n",
     "fetch_bulk",
     "if not redis.call('ZSCORE', leases, ARGV[1])",
     "if false",
     "a 2 100000 0",
     {.unleased = 2}},
    {"fetch_bulk_gives_one_number_for_all",
     ONE_HELD,
     "fetch_bulk",
     "redis.pcall('INCRBY', KEYS[5], came)",
     "redis.pcall('INCRBY', KEYS[5], 1)",
     "a 3 100000 1",
     {.fences = 1}},
    {"release_turns_the_jobs_around",
     FETCHED,
     "release",
     "values[#ARGV + 1 - i] = e",
     "values[i - 1] = e",
     "a v#1 v#2 v#3",
     {.order = 2}},
    {"release_asks_for_no_lease",
     LEFT,
     "release",
     "if not redis.call('ZSCORE', leases, ARGV[1])",
     "if false",
     "a v#3",
     {.unleased = 1}},
    {"promote_does_not_remove",
     "ZADD @scheduled 1 #1\n",
     "promote",
     "redis.call('ZREM', set, unpack(jobs))",
     "",
     "10 100000",
     {.twice = 1}},
    {"promote_removes_too_much",
     "ZADD @scheduled 1 #1\nZADD @scheduled 9e15 #2\n",
     "promote",
     "redis.call('ZREM', set, unpack(jobs))",
     "redis.call('DEL', set)",
     "10 100000",
     {.lost = 1}},
    {"rebind_asks_for_no_lease",
     LEFT,
     "rebind",
     "if not redis.call('ZSCORE', leases, old) then",
     "if false then",
     "a b 60000 {}",
     {.unleased = 1}},
    {"rebind_takes_no_lease",
     FETCHED,
     "rebind",
     "redis.call('ZADD', leases,",
     "tostring(leases,",
     "a b 60000 {}",
     {.unleased = 1}},
    {"rebind_copies_the_list",
     FETCHED,
     "rebind",
     "redis.call('RENAMENX', KEYS[5], KEYS[6])",
     "redis.call('RPUSH', KEYS[6], unpack(redis.call('LRANGE', KEYS[5], 0, "
     "-1)))",
     "a b 60000 {}",
     {.twice = 3, .fences = 1}},
    {"register_takes_an_old_id",
     "register a 60000 {} 1\nleave a\n",
     "register",
     "if redis.call('ZSCORE', reaped, lane) or",
     "if",
     "a 60000 {} 1",
     {.unleased = 1}},
    {"push_one_schedules_and_pushes_too",
     "",
     "push_one",
     "scheduled_as(schedule(envelope, due), due)",
     "scheduled_as(schedule(envelope, due), due) redis.call('RPUSH', ready, "
     "envelope)",
     "0 1 #1 J1 0 60000  skip 0 0 x 0 c 0",
     {.twice = 1}},
    {"push_one_replaces_and_leaves_the_old_one",
     LOCKED,
     "push_one",
     "redis.call('ZREM', scheduled, was)",
     "",
     "0 1 #2 J2 0 60000 until replace 0 0 x 0 c 0",
     {.twice = 1}},
    {"push_one_replaces_and_forgets_to_add",
     LOCKED,
     "push_one",
     "e = schedule(e, due)",
     "",
     "0 1 #2 J2 0 60000 until replace 0 0 x 0 c 0",
     {.lost = 1}},
    {"push_one_counts_what_it_replaced",
     LOCKED,
     "push_one",
     "come_as(holder)",
     "count('pushed') come_as(holder)",
     "0 1 #2 J2 0 60000 until replace 0 0 x 0 c 0",
     {.miscounted = 1}},
    {"requeue_leaves_it_among_the_dead",
     "ZADD @dead 1 #1\n",
     "requeue",
     "redis.call('ZREM', source, unpack(members))",
     "",
     "ready #1 #1 J1 until 0",
     {.settled_twice = 1, .miscounted = 1}},
    {"requeue_forgets_to_add",
     "ZADD @dead 1 #1\n",
     "requeue",
     "redis.call('RPUSH', target, unpack(envelopes))",
     "",
     "ready #1 #1 J1 until 0",
     {.lost = 1, .miscounted = 1}},
    {"requeue_puts_it_in_front",
     "ZADD @dead 1 #1\n",
     "requeue",
     "redis.call('RPUSH', target",
     "redis.call('LPUSH', target",
     "ready #1 #1 J1 until 0",
     {.order = 1}},
    {"requeue_counts_what_it_sends_as_ready",
     FETCHED "settle a 1 v#1 0 1 0 1 0 0 retry 5000 ~1 retried 1\n",
     "send",
     "away and 'sent'",
     "false and 'sent'",
     "outbox ~1 ~1 J1 until 0",
     {.miscounted = 2}},
    {"remove_leaves_the_lock",
     LOCKED,
     "remove",
     "redis.call('DEL', held)",
     "",
     "removed #1 J1 0",
     {.outlived = 1}},
    {"remove_leaves_the_mark",
     LOCKED "ZADD @cancelled 1 J1\n",
     "remove",
     "redis.call('ZREM', cancelled, id)",
     "",
     "cancelled #1 J1 0",
     {.outlived = 1}},
    {"remove_counts_and_does_not_remove",
     LOCKED,
     "remove",
     "redis.call('ZREM', source, member)",
     "",
     "removed #1 J1 0",
     {.miscounted = 1}},
    {"remove_takes_the_others_too",
     "ZADD @scheduled 1 #1 2 #2\n",
     "remove",
     "redis.call('ZREM', source, member)",
     "redis.call('ZREM', source, unpack(redis.call('ZRANGE', source, 0, -1)))",
     "removed #1 J1 0",
     {.lost = 1}},
    {"purge_takes_one_too_many",
     "RPUSH @ #1 #2\n",
     "purge",
     "LTRIM', ready, n, -1",
     "LTRIM', ready, n + 1, -1",
     "c686ed23026f229eb87e9cf3cbeb856a7366383f J1 0",
     {.lost = 1}},
    {"purge_leaves_the_lock",
     "RPUSH @ #1 #2\nSET @unique:u J1\n",
     "purge",
     "redis.call('DEL', lock)",
     "",
     "c686ed23026f229eb87e9cf3cbeb856a7366383f J1 0",
     {.outlived = 1}},
    {"tick_does_not_ask_whose_instant_it_is",
     ENTRY "tick " TICK "\n",
     "tick",
     "if not score or tonumber(score)",
     "if score and score == 0 and tonumber(score)",
     TICK,
     {.twice = 1}},
    {"tick_forgets_to_push",
     ENTRY,
     "tick",
     "redis.call('RPUSH', ready, unpack(jobs))",
     "",
     TICK,
     {.miscounted = 2}},
    {"settle_leaves_the_lock",
     FETCHED "SET @unique:u J1\n",
     "settle",
     "redis.call('DEL', KEYS[12 + k + j])",
     "",
     "a 1 v#1 0 0 0 1 1 0 J1 done 1",
     {.outlived = 1}},
    {"settle_leaves_the_mark",
     FETCHED "ZADD @cancelled 1 J1\n",
     "settle",
     "redis.pcall('ZREM', cancelled, unpack(ARGV, i, i + m - 1))",
     "0",
     "a 1 v#1 0 0 0 1 0 1 J1 cancelled 1",
     {.outlived = 1}},
    {"stamp_asks_for_no_lease",
     "register a 60000 {} 1\nleave a\nRPUSH @ $1\n"
     "LMOVE @ @active:a LEFT RIGHT\n",
     "stamp",
     "if not redis.call('ZSCORE', leases, ARGV[1])",
     "if false",
     "a 0 $1 #1",
     {.unleased = 1}},
};

/* ---- running lines ---- */

/* The words of a command, expanded. */
struct words {
    struct buf text[WORDS_MAX];
    size_t count;
};

/* An empty word stands between two blanks; v names a job by its bytes. */
static void add_words(struct words *w, const char *line, size_t len)
{
    for (size_t at = 0; at <= len;) {
        const char *blank = memchr(line + at, ' ', len - at);
        size_t n = blank != NULL ? (size_t)(blank - line) - at : len - at;
        size_t v =
            n > 1 && line[at] == 'v' && strchr("#>", line[at + 1]) != NULL;
        assert_true(w->count < WORDS_MAX);
        struct buf *b = &w->text[w->count++];
        buf_append(b, "v", v);
        write_word(b, line + at + v, n - v);
        at += n + 1;
    }
}

static void add_word(struct words *w, const char *word)
{
    assert_true(w->count < WORDS_MAX);
    buf_str(&w->text[w->count++], word);
}

/* Frees the words; an error of Redis fails the test. */
static void run_words(struct redis *r, struct words *w)
{
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    for (size_t i = 0; i < w->count; i++) {
        argv[i] = w->text[i].data != NULL ? w->text[i].data : "";
        lens[i] = w->text[i].len;
    }
    redisReply *reply = redis_argv(r, (int)w->count, argv, lens);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", argv[0], reply->str);
    freeReplyObject(reply);
    for (size_t i = 0; i < w->count; i++)
        buf_done(&w->text[i]);
}

/* send: requeue to the outbox. */
static char *script_text(const char *name)
{
    char path[512];
    struct buf b = {0};
    char piece[4096];
    size_t n;
    (void)snprintf(path, sizeof(path), "%s/%s.lua", BELT_LUA,
                   strcmp(name, "send") == 0 ? "requeue" : name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_append(&b, piece, n);
    (void)fclose(f);
    return buf_take(&b);
}

static const char *keys_of(const char *name)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i][0], name) == 0)
            return keys[i][1];
    }
    return NULL;
}

static void eval(struct redis *r, const char *name, const char *text,
                 const char *args, size_t args_len)
{
    struct words w = {0};
    const char *k = keys_of(name);
    char count[16];
    add_word(&w, "EVAL");
    add_word(&w, text);
    add_word(&w, "");
    add_words(&w, k, strlen(k));
    (void)snprintf(count, sizeof(count), "%zu", w.count - 3);
    buf_str(&w.text[2], count);
    add_words(&w, args, args_len);
    run_words(r, &w);
}

static void run_lines(struct redis *r, const char *lines)
{
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n"), n = strcspn(lines, " ");
        char *name = mem_dup(lines, n);
        if (keys_of(name) != NULL) {
            char *text = script_text(name);
            eval(r, name, text, lines + n + 1, len - n - 1);
            free(text);
        } else {
            struct words w = {0};
            add_words(&w, lines, len);
            run_words(r, &w);
        }
        free(name);
        lines += len + 1;
    }
}

/* ---- mutants ---- */

/* The text with its only such part changed; takes it, returns owned. */
static char *changed(char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL || strstr(at + 1, from) != NULL)
        fail_msg("not once in the script: %s", from);
    char *out =
        mem_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    free(text);
    return out;
}

/* What the accountant finds after the script, changed or not. */
static struct breaches breaches_of(const struct mutant *m, bool change)
{
    struct redis *r = redis_start(&(struct redis_opts){
        .appendonly = true, .conf = "auto-aof-rewrite-percentage 0"});
    char *text = script_text(m->script);
    if (change)
        text = changed(text, m->from, m->to);
    run_lines(r, m->before);
    eval(r, m->script, text, m->args, strlen(m->args));
    free(text);
    redis_shutdown(r); /* writes out what it has answered */
    struct journal *j = journal_replay(redis_dir(r), "q", 0, stderr);
    struct breaches found = journal_breaches(j);
    journal_free(j);
    redis_stop(r);
    return found;
}

static void is_found(void **state)
{
    const struct mutant *m = *state;
    const struct breaches none = {0};
    struct breaches found = breaches_of(m, false);
    assert_memory_equal(&found, &none, sizeof(none));
    found = breaches_of(m, true);
    assert_memory_equal(&found, &m->breaches, sizeof(found));
}

int main(void)
{
    enum { MUTANTS = sizeof(mutants) / sizeof(mutants[0]) };
    struct CMUnitTest tests[MUTANTS];
    for (size_t i = 0; i < MUTANTS; i++)
        tests[i] = (struct CMUnitTest){.name = mutants[i].name,
                                       .test_func = is_found,
                                       .initial_state = &mutants[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
