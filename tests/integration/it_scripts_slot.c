/*
 * Claims about scripts in a slot of a Cluster that is on its way from one
 * node to another: some keys are here and some there, and a list that becomes
 * empty is a key that is not here. A job may be there twice, never nowhere.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/integration/calls.h"
#include "tests/integration/faults.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

enum { FEED = 200, ROUNDS = 5 };

static struct redis *from, *to; /* the nodes; from owns all slots but one */
static char from_id[64], to_id[64];
static long long slot;

/* ---- two nodes ---- */

static bool know_each_other(void *arg)
{
    struct redis *r = arg;
    char info[4096];
    (void)redis_str(r, info, sizeof(info), "CLUSTER INFO");
    return strstr(info, "cluster_state:ok") != NULL &&
           strstr(info, "cluster_known_nodes:2") != NULL;
}

static const char *port_of(struct redis *r)
{
    return strrchr(redis_tcp_url(r), ':') + 1;
}

static int begin(void **state)
{
    const struct redis_opts opts = {.tcp = true, .conf = "cluster-enabled yes"};
    (void)state;
    from = redis_start(&opts);
    to = redis_start(&opts);
    table_use(from);
    /* 6.2 has no ADDSLOTSRANGE. Without any slot it would be a replica. */
    redis_do(from, "EVAL %s 0",
             "for s = 1, 16383 do redis.call('CLUSTER', 'ADDSLOTS', s) end");
    redis_do(to, "CLUSTER ADDSLOTS 0");
    redis_do(from, "CLUSTER MEET 127.0.0.1 %s", port_of(to));
    assert_true(wait_until(know_each_other, from, PATIENCE_MS));
    assert_true(wait_until(know_each_other, to, PATIENCE_MS));
    slot = redis_int(from, "CLUSTER KEYSLOT belt:{q}");
    (void)redis_str(from, from_id, sizeof(from_id), "CLUSTER MYID");
    (void)redis_str(to, to_id, sizeof(to_id), "CLUSTER MYID");
    return 0;
}

static int end(void **state)
{
    (void)state;
    redis_stop(from);
    redis_stop(to);
    return 0;
}

static void begin_migration(struct redis *a, struct redis *b)
{
    redis_do(b, "CLUSTER SETSLOT %lld IMPORTING %s", slot,
             a == from ? from_id : to_id);
    redis_do(a, "CLUSTER SETSLOT %lld MIGRATING %s", slot,
             b == from ? from_id : to_id);
}

/* NOKEY is no error. */
static void move(struct redis *a, struct redis *b, const char *key)
{
    redis_do(a, "MIGRATE 127.0.0.1 %s %s 0 5000 REPLACE", port_of(b), key);
}

static void move_all(struct redis *a, struct redis *b)
{
    while (redis_int(a, "CLUSTER COUNTKEYSINSLOT %lld", slot) > 0) {
        redisReply *keys =
            redis_cmd(a, "CLUSTER GETKEYSINSLOT %lld 1000", slot);
        for (size_t i = 0; i < keys->elements; i++)
            move(a, b, keys->element[i]->str);
        freeReplyObject(keys);
    }
}

static void end_migration(struct redis *a, struct redis *b)
{
    const char *owner = b == from ? from_id : to_id;
    redis_do(b, "CLUSTER SETSLOT %lld NODE %s", slot, owner);
    redis_do(a, "CLUSTER SETSLOT %lld NODE %s", slot, owner);
}

/* ---- the scripts ---- */

/* Keys that are there, so that calls are not turned away at the door. */
#define FILLED                                                                 \
    "ZADD @leases NOW+90000 filler\nZADD @reaped NOW filler\n"                 \
    "ZADD @scheduled NOW+90000 filler\nZADD @retry NOW+90000 filler\n"         \
    "ZADD @dead NOW filler\nHSET @lanes filler {}\nHSET @config filler 0\n"    \
    "HSET @stats filler 0\nHSET @minute filler 0\nHSET @job:a filler 0\n"      \
    "HSET @job:b filler 0\nSETNX @fence 7"

static struct marks marks_now(void)
{
    char *here = calls_jobs(from, false), *there = calls_jobs(to, true);
    struct marks m = calls_marks(here), n = calls_marks(there);
    for (int j = 0; j < MARKS; j++)
        m.n[j] += n.n[j];
    free(here);
    free(there);
    return m;
}

static struct {
    unsigned ok, ask, tryagain, half_way, other;
} answers;

static bool note_answer(char *answer)
{
    bool ok = strncmp(answer, "OK", 2) == 0;
    if (strncmp(answer, "ASK ", 4) == 0)
        answers.ask++;
    else if (strncmp(answer, "TRYAGAIN", 8) == 0)
        answers.tryagain++;
    else if (strstr(answer, "non local key") != NULL)
        answers.half_way++;
    else
        ok ? answers.ok++ : answers.other++;
    free(answer);
    return ok;
}

/* Calls it on both nodes, in the order in which a client is sent along. */
static void call_both(const struct call *c, const char *how)
{
    struct marks was = marks_now();
    bool ended = note_answer(table_run_script(c->script, c->args));
    /* Half-way it may have come to the end of what it was to end. */
    calls_none_is_missing(c, was, marks_now(), true, how);
    if (ended)
        return;
    table_use(to);
    redis_do(to, "ASKING");
    (void)note_answer(table_run_script(c->script, c->args));
    table_use(from);
    calls_none_is_missing(c, was, marks_now(), true, how);
    calls_none_is_beyond(c, marks_now(), 3, how);
}

/* moved: a key that is there already, "": none, NULL: all of them. */
static void call_on_the_way(const struct call *c, const char *moved)
{
    char what[128];
    redis_do(from, "FLUSHALL");
    redis_do(to, "FLUSHALL");
    table_do(c->before);
    table_do(FILLED);
    begin_migration(from, to);
    if (moved == NULL)
        move_all(from, to);
    else if (moved[0] != '\0')
        move(from, to, moved);
    (void)snprintf(what, sizeof(what), "%s moved",
                   moved == NULL ? "all" : moved);
    call_both(c, what);
    redis_do(from, "CLUSTER SETSLOT %lld STABLE", slot);
    redis_do(to, "CLUSTER SETSLOT %lld STABLE", slot);
}

/* "belt:{q}" for "@ready" and so on. */
static char *key_name(const char *word)
{
    if (strcmp(word, "@ready") == 0)
        return mem_strdup("belt:{q}");
    return mem_printf("belt:{q}:%s", word + 1);
}

static void a_slot_on_the_way_loses_no_job(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_count; i++) {
        const struct call *c = &calls[i];
        print_message("  %s\n", c->name);
        call_on_the_way(c, "");
        call_on_the_way(c, NULL);
        char *keys = calls_keys(c), *rest = NULL;
        for (char *key = strtok_r(keys, " ", &rest); key != NULL;
             key = strtok_r(NULL, " ", &rest)) {
            char *name = key_name(key);
            call_on_the_way(c, name);
            free(name);
        }
        free(keys);
    }
    print_message("  %u OK, %u ASK, %u TRYAGAIN, %u half-way, %u others\n",
                  answers.ok, answers.ask, answers.tryagain, answers.half_way,
                  answers.other);
    assert_true(answers.ok > 0 && answers.ask > 0 && answers.tryagain > 0 &&
                answers.half_way > 0);
}

/* ---- a worker at work ---- */

static bool has_resynced(void *arg)
{
    struct worker *w = arg;
    static unsigned seen;
    unsigned n = worker_count(w, "ev=resync");
    bool more = n > seen;
    if (more)
        seen = n;
    return more;
}

static void a_worker_goes_on_when_the_slot_is_stable(void **state)
{
    unsigned pushed = 0;
    (void)state;
    redis_do(from, "FLUSHALL");
    redis_do(to, "FLUSHALL");
    struct worker *w =
        worker_up(from, NULL,
                  (const char *[]){"--handler", note_handler(from, ""), NULL});
    for (int i = 0; i < ROUNDS; i++) {
        queue_fill(from, "q", "note", pushed, FEED);
        pushed += FEED;
        begin_migration(from, to);
        assert_true(wait_until(has_resynced, w, PATIENCE_MS));
        move_all(from, to);
        end_migration(from, to);
        assert_true(wait_until(has_resynced, w, PATIENCE_MS));
        begin_migration(to, from);
        move_all(to, from);
        end_migration(to, from);
    }
    assert_true(queue_at_rest(from, "q", PATIENCE_MS));
    worker_signal(w, SIGTERM);
    assert_int_equal(worker_wait(w, PATIENCE_MS), 0);
    worker_free(w);
    expect_each_ran(from, pushed);
    assert_int_equal(redis_int(from, "ZCARD belt:{q}:dead"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_on_the_way_loses_no_job),
        cmocka_unit_test(a_worker_goes_on_when_the_slot_is_stable),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
