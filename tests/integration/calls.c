/*
 * Calls of every script, and the question whether a job is missing.
 *
 * Thread: the test's main thread.
 */
#include "tests/integration/calls.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/unit/unit.h"

#define J(n) "{`id`:`j" #n "`}"
#define LANE "ZADD @leases NOW+60000 L\nHSET @lanes L {}\n"
#define ACTIVE3 "RPUSH @active:L " J(1) " " J(2) " " J(3) "\n"
#define DEAD_LANE LANE "RPUSH @active:L " J(1) " " J(2) "\nRPUSH @ready " J(3)
#define ENDED_LANE                                                             \
    "ZADD @reaped NOW L\nRPUSH @active:L " J(1) " " J(2) "\nRPUSH @ready " J(3)
#define DEAD_JOBS                                                              \
    "ZADD @dead 1 " J(1) " 2 " J(2) " 3 " J(3) "\nRPUSH @ready " J(4) "\n"
#define TICK "HSET @cron n {}\nZADD @cron:due 5 n\n"
/* SHA-1 of J(1), J(2) and J(3). */
#define SHA_1 "e72adfb6331568dff47aa4fab46f4d1fc410c8a6"
#define SHA_12                                                                 \
    "43639a61058fce1973493433377954dc5a69ad1b" /* each with a newline */
#define SHA_2 "87b78019ec5923ebf6f8532d6fb93c17d02535a3"
#define SHA_3 "668be1135aea930d3a40bbe1cd35eb6837cfbdc7"
#define ULID "01ABCDEFGHJKMNPQRSTVWXY"

const struct call calls[] = {
    {"push", SCRIPT_push, "RPUSH @ready " J(1), "0 1 " J(8) " " J(9), "OK 3",
     ""},
    {"push to the head", SCRIPT_push, "RPUSH @ready " J(1),
     "1 1 " J(8) " " J(9), "OK 3", ""},
    {"push into a queue with little room", SCRIPT_push,
     "RPUSH @ready " J(1) "\nHSET @config max_length 2 max_bytes 100000",
     "0 1 " J(8) " " J(9), "FULL 2 1 2", ""},
    {"push one", SCRIPT_push_one, "RPUSH @ready " J(1),
     "0 1 " J(8) " j8 0 0 until skip 60000 1 t 5 @control", "OK 2", ""},
    {"push one, later", SCRIPT_push_one,
     "RPUSH @ready " J(1) "\nZADD @scheduled NOW+90000 " J(2),
     "0 1 " J(8) " j8 0 50000 60000 skip 60000 1 t 5 @control", "OK 1", ""},
    {"push one in the place of another", SCRIPT_push_one,
     "SET @unique:k j1\nZADD @scheduled NOW+90000 " J(1) "\nSET @pending:k " J(
         1),
     "0 1 {`id`:`k`,`v`:2} k 0 50000 until replace 60000 0 '' 5 @control",
     "REPLACED j1", ""},
    {"register", SCRIPT_register,
     "RPUSH @ready " J(1) "\nRPUSH @active:M " J(2), "L 15000 {} 1",
     "OK NOW 0 0 1", ""},
    {"fetch all", SCRIPT_fetch,
     LANE "RPUSH @ready " J(1) " {`type`:`j2`} {`recovered`:[7],`type`:`j4`}\n"
                               "RPUSH @active:L " J(3),
     "L 10 1000 " ULID, "EMPTY 1 0 *", ""},
    {"fetch some", SCRIPT_fetch,
     LANE "RPUSH @ready " J(1) " " J(2) " " J(3) "\nSET @fence abc",
     "L 2 1000 " ULID, "MORE # 0 *", ""},
    {"fetch in bulk: all", SCRIPT_fetch_bulk,
     LANE "RPUSH @ready " J(1) " {`type`:`j2`} " J(4) " " J(
         5) "\n"
            "RPUSH @active:L " J(3),
     "L 10 100000 1", "EMPTY 1 4 0 0", ""},
    {"fetch in bulk: some", SCRIPT_fetch_bulk,
     LANE "RPUSH @ready " J(1) " " J(2) " " J(3) "\nSET @fence abc",
     "L 2 100000 0", "MORE # 2 0 0", ""},
    {"stamp", SCRIPT_stamp, LANE "RPUSH @active:L " J(1) " {`type`:`j2`}",
     "L 1 {`type`:`j2`} {`id`:`abcdefgh`,`type`:`j2`}", "OK 1", ""},
    {"stamp with a token only", SCRIPT_stamp,
     LANE "RPUSH @active:L " J(1) "\nSET @fence abc", "L 0 " J(1) " ''", "OK #",
     ""},
    {"settle: retry, dead, keep", SCRIPT_settle,
     LANE "RPUSH @active:L " J(1) " " J(2) " " J(4) " " J(3) "\nRPUSH @ready "
                                                             "" J(5),
     "@job:a | L 2 v" J(2) " 1 3 1 1 0 0 v" J(3) " retry 5 " J(1) " dead 0 " J(
         2) " retry 5 " J(3) " 60000 '' 2 state dead retried 2",
     "OK NOW", ""},
    {"settle: done", SCRIPT_settle,
     LANE "RPUSH @active:L " J(1) " " J(2) " " J(3) " " J(4),
     "@job:a @job:b | L 2 v" J(2) " 1 0 2 1 0 0 v" J(
         4) " 60000 '' 2 state done "
            "60000 '' 2 state done done 3",
     "OK NOW", "j1 j2 j4"},
    {"settle: by digest", SCRIPT_settle, LANE ACTIVE3,
     "L 1 s0:" SHA_1 " 1 2 0 1 0 0 s2:" SHA_3
     " retry 5 " J(1) " dead 0 " J(3) " retried 2",
     "OK NOW", ""},
    {"settle: the oldest dead give way", SCRIPT_settle,
     LANE ACTIVE3 "HSET @config dead_max 1\nZADD @dead 1 " J(7),
     "L 0 '' 1 1 0 1 0 0 v" J(2) " dead 0 " J(2) " dead 1", "OK NOW", "j7"},
    {"settle: a twin waits in retry", SCRIPT_settle,
     LANE ACTIVE3 "ZADD @retry 1 " J(1),
     "L 1 v" J(1) " 0 1 0 1 0 0 retry 5 " J(1) " retried 1", "OK NOW", ""},
    {"settle: snooze, what follows, lock, mark", SCRIPT_settle,
     LANE ACTIVE3 "RPUSH @ready " J(4) "\nSET @unique:k j2\n"
                                       "ZADD @cancelled 1 x",
     "@job:b @unique:k | L 2 v" J(2) " 0 3 1 1 1 1 scheduled 5 " J(
         1) " ready 0 " J(5) " outbox 0 " J(6) " 60000 done 2 state done j2 x "
                                               "done 1",
     "OK NOW", "j2"},
    {"release", SCRIPT_release, LANE ACTIVE3 "RPUSH @ready " J(4),
     "L v" J(1) " v" J(3), "OK 2", ""},
    {"release by digest", SCRIPT_release, LANE ACTIVE3,
     "L s0:" SHA_1 " s1:" SHA_2, "OK 2", ""},
    {"promote", SCRIPT_promote,
     "ZADD @scheduled 1 " J(1) "\nZADD @retry 1 " J(2) " NOW+60000 " J(
         3) "\nRPUSH @ready " J(4),
     "10 1000", "2 # NOW", ""},
    {"note", SCRIPT_note,
     LANE "RPUSH @active:L " J(1) "\nSET @unique:a j1\nHSET @job:a state ready",
     "@job:a @unique:a @job:b @leases | L j1 60000 5 2 state active '' 60000 "
     "'' 2 progress 9",
     "OK", ""},
    {"log", SCRIPT_log,
     LANE
     "RPUSH @active:L " J(1) "\nHSET @job:a log_run r:0 log_lines 2 "
                             "log_bytes 20\nRPUSH @log:a {`n`:1,} {`n`:2,}",
     "@log:a @job:a @log:b @job:b | L 3 30 r 60000 2 3 x} y} z} "
     "s 60000 1 1 x}",
     "OK", ""},
    {"renew", SCRIPT_renew,
     LANE
     "RPUSH @active:L " J(1) "\nRPUSH @ready " J(2) "\nZADD @retry 1 " J(3),
     "L 15000 -1", "OK NOW 1 0 0 0 0 1 0 L 15000 -1 -1 0", ""},
    {"rebind", SCRIPT_rebind, LANE ACTIVE3, "L M 15000 {}", "OK NOW 0 {*", ""},
    {"rebind once more", SCRIPT_rebind,
     "ZADD @leases NOW+9000 M\nHSET @lanes M {}\nZADD @reaped NOW L\n"
     "RPUSH @active:M " J(1),
     "L M 15000 {}", "OK NOW 0 " J(1), ""},
    {"leave", SCRIPT_leave, LANE "RPUSH @active:L " J(1), "L", "OK 1", ""},
    {"reap gone", SCRIPT_reap, DEAD_LANE, "L gone 1000", "OK 2 0", ""},
    {"reap gone, some bytes", SCRIPT_reap, DEAD_LANE, "L gone 1", "OK 1 1", ""},
    {"reap expired", SCRIPT_reap,
     "ZADD @leases NOW-1000 L\nHSET @lanes L {}\nRPUSH @active:L " J(
         1) " {`rec"
            "overed`:[7],`id`:`j2`}",
     "L expired 1000", "OK 2 0", ""},
    {"reap rest", SCRIPT_reap, ENDED_LANE, "L rest 1000", "OK 2 0", ""},
    {"reap straggler", SCRIPT_reap, ENDED_LANE, "L straggler 1000", "OK 2 0",
     ""},
    {"reap forgotten", SCRIPT_reap,
     "ZADD @reaped NOW-90000000 L\nRPUSH @ready " J(3), "L straggler 1000",
     "FORGOTTEN", ""},
    {"requeue", SCRIPT_requeue, DEAD_JOBS "HSET @job:a state dead",
     "@dead @ready @stats @minute @unique:a @job:a @log:a @unique:b @stats "
     "@stats | ready "
     "" J(1) " " J(1) " j1 until 1 " J(2) " " J(2) " j2 60000 0",
     "OK 2", ""},
    {"requeue to another queue", SCRIPT_requeue,
     DEAD_JOBS "SET @unique:a j1\nHSET @job:a state dead",
     "@dead @outbox @stats @minute @unique:a @job:a @log:a | outbox " J(
         1) " " J(1) " j1 until 1",
     "OK 1", ""},
    {"cancel", SCRIPT_cancel,
     LANE ACTIVE3 "ZADD @cancelled 1 old NOW j2\nRPUSH @ready " J(4),
     "@control j1 j4", "OK 3", ""},
    {"remove", SCRIPT_remove,
     DEAD_JOBS "SET @unique:a j1\nHSET @job:a state dead",
     "@dead @stats @minute @cancelled @unique:a @job:a @log:a @stats @stats "
     "@stats | "
     "removed " J(1) " j1 60000 " J(2) " '' 0",
     "OK 2", "j1 j2"},
    {"purge", SCRIPT_purge,
     "RPUSH @ready " J(1) " " J(2) " " J(
         3) "\nSET @unique:a j1\nHSET @job:a state ready",
     "@ready @stats @minute @unique:a @job:a @log:a @stats @stats @stats "
     "| " SHA_12 " j1 1 '' 0",
     "OK 2", "j1 j2"},
    {"import", SCRIPT_import, DEAD_JOBS, "9 " J(8) " 2 " J(2), "OK 1", ""},
    {"remove as cancelled", SCRIPT_remove,
     DEAD_JOBS "HSET @job:a state dead\nZADD @cancelled 1 j1",
     "@dead @stats @minute @cancelled @stats @job:a @log:a | cancelled " J(
         1) " j1 "
            "60000",
     "OK 1", "j1"},
    {"tick", SCRIPT_tick, TICK "RPUSH @ready " J(1),
     "n {} 5 9 {`times`:1} 0 t 5 j8 " J(8) " j9 " J(9), "OK 2", ""},
    {"tick with a lock", SCRIPT_tick, TICK "RPUSH @ready " J(1),
     "n {} 5 9 '' 1 t 5 j8 " J(8), "OK 1", ""},
    {"tick with news", SCRIPT_tick,
     TICK "RPUSH @ready " J(1) "\nHSET @job:a state dead",
     "@job:a | n {} 5 9 '' 0 t 5 j8 " J(8), "OK 1", ""},
    {"tick while the lock is held", SCRIPT_tick,
     TICK "RPUSH @ready " J(1) "\nSET @unique:cron:n j1",
     "n {} 5 9 '' 1 t 5 j8 " J(8), "SKIPPED", ""},
    {"the last tick", SCRIPT_tick, TICK "RPUSH @ready " J(1),
     "n {} 5 9 - 0 t 5 j8 " J(8), "OK 1", ""},
};
const size_t call_count = sizeof(calls) / sizeof(calls[0]);

static redisReply *ask(struct redis *r, bool asking, const char *command,
                       const char *key)
{
    if (asking)
        redis_do(r, "ASKING");
    return strcmp(command, "TYPE") == 0
               ? redis_cmd(r, "TYPE %s", key)
               : redis_cmd(r, "%s %s 0 -1", command, key);
}

static void add_elements(struct buf *out, const redisReply *list)
{
    for (size_t i = 0; i < list->elements; i++) {
        buf_append(out, list->element[i]->str, list->element[i]->len);
        buf_char(out, '\n');
    }
}

char *calls_jobs(struct redis *r, bool asking)
{
    struct buf out = {0};
    redisReply *keys = redis_cmd(r, "KEYS *");
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        redisReply *type = ask(r, asking, "TYPE", key);
        bool list = strcmp(type->str, "list") == 0;
        if (list || strcmp(type->str, "zset") == 0) {
            redisReply *all = ask(r, asking, list ? "LRANGE" : "ZRANGE", key);
            add_elements(&out, all);
            freeReplyObject(all);
        }
        freeReplyObject(type);
    }
    freeReplyObject(keys);
    buf_reserve(&out, 0);
    return buf_take(&out);
}

char *calls_keys(const struct call *c)
{
    char *all = table_keys(c->script, c->args), *rest = NULL;
    struct buf once = {0};

    buf_char(&once, ' ');
    for (char *key = strtok_r(all, " ", &rest); key != NULL;
         key = strtok_r(NULL, " ", &rest)) {
        char *word = mem_printf(" %s ", key);
        if (strstr(once.data, word) == NULL)
            buf_str(&once, word + 1);
        free(word);
    }
    free(all);
    return buf_take(&once);
}

struct marks calls_marks(const char *jobs)
{
    struct marks m = {0};
    for (unsigned j = 1; j < MARKS; j++) {
        char mark[] = {'"', 'j', (char)('0' + j), '"', '\0'};
        for (const char *p = jobs; (p = strstr(p, mark)) != NULL; p++)
            m.n[j]++;
    }
    return m;
}

void calls_none_is_missing(const struct call *c, struct marks was,
                           struct marks now, bool ended, const char *how)
{
    for (unsigned j = 1; j < MARKS; j++) {
        char mark[] = {'j', (char)('0' + j), '\0'};
        bool may_end = ended && strstr(c->ends, mark) != NULL;
        if (was.n[j] > 0 && now.n[j] == 0 && !may_end)
            fail_msg("%s, %s: %s is nowhere", c->name, how, mark);
    }
}

void calls_none_is_beyond(const struct call *c, struct marks now, unsigned most,
                          const char *how)
{
    for (unsigned j = 1; j < MARKS; j++) {
        if (now.n[j] > most)
            fail_msg("%s, %s: j%u is there %u times", c->name, how, j,
                     now.n[j]);
    }
}
