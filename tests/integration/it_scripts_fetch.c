/*
 * Claims about the scripts by which jobs come to a lane: push, fetch and
 * stamp.
 */
#include "tests/integration/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/job.h"
#include "tests/unit/unit.h"

#define LEASE "ZADD @leases NOW+60000 L\n"
#define P "01ABCDEFGHJKMNPQRSTVWXY" /* 23 characters of a ULID */
#define SOME "L 10 1000 " P

static void push_puts_jobs_at_either_end(void **state)
{
    static const struct row rows[] = {
        {"to the tail, in order", "RPUSH @ready x", SCRIPT_push, "0 1 a b c",
         "OK 4",
         "LRANGE @ready 0 -1 => x a b c\nHGET @stats pushed => 3\n"
         "HGET @minute pushed => 3\nTTL @minute => 86#"},
        {"in front, in order", "RPUSH @ready x", SCRIPT_push, "1 1 a b c",
         "OK 4", "LRANGE @ready 0 -1 => a b c x"},
        {"the minute's time to live begins once",
         "HSET @minute pushed 1\nEXPIRE @minute 5555", SCRIPT_push, "0 1 a",
         "OK 1", "HGET @minute pushed => 2\nTTL @minute => 55#"},
        {"a queue of a newer format refuses", "HSET @config format 2",
         SCRIPT_push, "0 1 a", "FORMAT 2",
         "EXISTS @ready => 0\nEXISTS @stats => 0"},
        {"one of an older format does not", "HSET @config format 1",
         SCRIPT_push, "0 2 a", "OK 1", ""},
        {"at least one", "", SCRIPT_push, "0 1",
         "ERR push takes 1 to 1000 envelopes, not 0*", "EXISTS @ready => 0"},
    };
    (void)state;
    ROWS(rows);
}

#define NOT_RUN "ERR the RPUSH has not run, or not just before*"

static void push_looks_behind_an_rpush(void **state)
{
    static const struct row rows[] = {
        {"and counts", "RPUSH @ready x a b c", SCRIPT_push, "2 1 3 c", "OK 4",
         "LRANGE @ready 0 -1 => x a b c\nHGET @stats pushed => 3\n"
         "HGET @minute pushed => 3\nTTL @minute => 86#"},
        {"and takes back from a newer queue",
         "RPUSH @ready x a b c\nHSET @config format 2", SCRIPT_push, "2 1 3 c",
         "FORMAT 2", "LRANGE @ready 0 -1 => x\nEXISTS @stats => 0"},
        {"and takes back all that there is",
         "RPUSH @ready a\nHSET @config format 2", SCRIPT_push, "2 1 1 a",
         "FORMAT 2", "EXISTS @ready => 0"},
        {"and leaves others' jobs when it did not run",
         "RPUSH @ready x y z\nHSET @config format 2", SCRIPT_push, "2 1 2 c",
         NOT_RUN, "LRANGE @ready 0 -1 => x y z\nEXISTS @stats => 0"},
        {"and the same if there are none", "HSET @config format 2", SCRIPT_push,
         "2 1 2 c", NOT_RUN, "EXISTS @ready => 0"},
        {"and the same if nobody says what was last",
         "RPUSH @ready x y z\nHSET @config format 2", SCRIPT_push, "2 1 2",
         NOT_RUN, "LRANGE @ready 0 -1 => x y z"},
        {"and equal ones when it may not have run",
         "RPUSH @ready x c c\nHSET @config format 2\n"
         "ACL SETUSER default -rpush",
         SCRIPT_push, "2 1 2 c", NOT_RUN,
         "ACL SETUSER default +rpush => OK\n"
         "LRANGE @ready 0 -1 => x c c"},
    };
    (void)state;
    ROWS(rows);
}

static char *repeated(const char *before, const char *word, int n)
{
    struct buf b = {0};
    buf_str(&b, before);
    for (int i = 0; i < n; i++)
        buf_str(&b, word);
    return buf_take(&b);
}

/* Also when Redis is full, and by what stands in front of a long one. */
static void push_takes_back_a_long_envelope_at_maxmemory(void **state)
{
    char *envelope = repeated("", "x", 257), *push;

    (void)state;
    push = mem_printf("RPUSH @ready a %s\nHSET @config format 2\n"
                      "CONFIG SET maxmemory 1",
                      envelope);
    table_do(push);
    free(push);
    push = mem_printf("2 1 1 %.256s", envelope);
    table_call(SCRIPT_push, push, "FORMAT 2");
    table_check("CONFIG SET maxmemory 0 => OK\nLRANGE @ready 0 -1 => a");
    free(push);
    free(envelope);
}

static void push_takes_at_most_a_thousand(void **state)
{
    char *many = repeated("0 1", " {}", 1001),
         *most = repeated("0 1", " {}", 1000);
    (void)state;
    table_call(SCRIPT_push, many, "ERR push takes 1 to 1000 *, not 1001*");
    table_check("EXISTS @ready => 0");
    table_call(SCRIPT_push, most, "OK 1000");
    free(many);
    free(most);
}

static void push_takes_at_most_64_mib_but_one_of_any_size(void **state)
{
    char *half = mem_new((34U << 20) + 1), *both, *one;
    (void)state;
    memset(half, 'x', 34U << 20);
    both = mem_printf("0 1 %s %s", half, half);
    one = mem_printf("0 1 %s%s", half, half);
    free(half);
    table_call(SCRIPT_push, both, "ERR push takes at most 64 MiB, not 713*");
    table_check("EXISTS @ready => 0");
    table_call(SCRIPT_push, one, "OK 1");
    free(both);
    free(one);
}

static void fetch_moves_from_the_head(void **state)
{
    static const struct row rows[] = {
        {"all there is", LEASE "RPUSH @ready {`id`:`a`} {`id`:`b`}",
         SCRIPT_fetch, SOME, "EMPTY 1 0 {`id`:`a`} {`id`:`b`}",
         "EXISTS @ready => 0\nLRANGE @active:L 0 -1 => {`id`:`a`} {`id`:`b`}\n"
         "GET @fence => 2"},
        {"n of them, behind those held",
         LEASE "RPUSH @ready {`id`:`a`} {`id`:`b`} {`id`:`c`}\n"
               "RPUSH @active:L x\nSET @fence 40",
         SCRIPT_fetch, "L 2 1000 " P, "MORE 41 0 {`id`:`a`} {`id`:`b`}",
         "LRANGE @ready 0 -1 => {`id`:`c`}\n"
         "LRANGE @active:L 0 -1 => x {`id`:`a`} {`id`:`b`}\n"
         "GET @fence => 42"},
        {"nothing", LEASE, SCRIPT_fetch, SOME, "EMPTY 0 0",
         "EXISTS @active:L => 0\nEXISTS @fence => 0"},
        {"paused 0 is not paused", LEASE "HSET @config paused 0", SCRIPT_fetch,
         SOME, "EMPTY 0 0", ""},
        {"a paused queue", LEASE "HSET @config paused 1\nRPUSH @ready {}",
         SCRIPT_fetch, SOME, "PAUSED", "LLEN @ready => 1"},
        {"one paused until an instant",
         LEASE "HSET @config paused NOW+60000\nRPUSH @ready {}", SCRIPT_fetch,
         SOME, "PAUSED", "LLEN @ready => 1"},
        {"which has come", LEASE "HSET @config paused NOW-1\nRPUSH @ready a",
         SCRIPT_fetch, SOME, "EMPTY 1 0 a", ""},
        {"what is no number does not pause",
         LEASE "HSET @config paused yes\nRPUSH @ready a", SCRIPT_fetch, SOME,
         "EMPTY 1 0 a", ""},
        {"nor does one that only Lua takes for one",
         LEASE "HSET @config paused inf\nRPUSH @ready a", SCRIPT_fetch, SOME,
         "EMPTY 1 0 a", ""},
        {"it tells the version of what is cancelled",
         LEASE "HSET @config cancelled_version 12\nRPUSH @ready a",
         SCRIPT_fetch, SOME, "EMPTY 1 12 a", ""},
        {"also if there is nothing", LEASE "HSET @config cancelled_version 12",
         SCRIPT_fetch, SOME, "EMPTY 0 12", ""},
        {"a version that is none is 0",
         LEASE "HSET @config cancelled_version x", SCRIPT_fetch, SOME,
         "EMPTY 0 0", ""},
        {"without a lease", "RPUSH @ready {}\nZADD @leases NOW+60000 M",
         SCRIPT_fetch, SOME, "FENCED",
         "LLEN @ready => 1\nEXISTS @active:L => 0"},
        {"a lease that ran out and was not ended",
         "ZADD @leases 1 L\nRPUSH @ready {`id`:`a`}", SCRIPT_fetch, SOME,
         "EMPTY 1 0 {`id`:`a`}", "LLEN @active:L => 1"},
        {"bytes bound it",
         LEASE "RPUSH @ready {`id`:`a`} {`id`:`b`} {`id`:`c`}", SCRIPT_fetch,
         "L 10 20 " P, "MORE 1 0 {`id`:`a`} {`id`:`b`}",
         "LRANGE @ready 0 -1 => {`id`:`c`}"},
        {"but one comes", LEASE "RPUSH @ready {`id`:`a`} {`id`:`b`}",
         SCRIPT_fetch, "L 10 1 " P, "MORE 1 0 {`id`:`a`}",
         "LRANGE @ready 0 -1 => {`id`:`b`}"},
        {"empty elements are elements", LEASE "RPUSH @ready '' '' {`id`:`a`}",
         SCRIPT_fetch, SOME, "EMPTY 1 0 '' '' {`id`:`a`}",
         "LLEN @active:L => 3"},
    };
    (void)state;
    ROWS(rows);
}

static void fetch_bulk_moves_as_fetch_does(void **state)
{
    static const struct row rows[] = {
        {"all there is", LEASE "RPUSH @ready {`id`:`a`} b", SCRIPT_fetch_bulk,
         "L 10 100000 0", "EMPTY 1 2 0 0",
         "EXISTS @ready => 0\nLRANGE @active:L 0 -1 => {`id`:`a`} b\n"
         "GET @fence => 2"},
        {"n of them, behind those held, which keep their order",
         LEASE "RPUSH @ready a b c d e\nRPUSH @active:L x y\nSET @fence 40",
         SCRIPT_fetch_bulk, "L 4 100000 2", "MORE 41 4 0 0",
         "LRANGE @ready 0 -1 => e\nLRANGE @active:L 0 -1 => x y a b c d\n"
         "GET @fence => 44"},
        {"numbers, empty ones and equal ones stay what they are",
         LEASE "RPUSH @ready 7 '' 7 -1 007", SCRIPT_fetch_bulk, "L 10 100000 0",
         "EMPTY 1 5 0 0", "LRANGE @active:L 0 -1 => 7 '' 7 -1 007"},
        {"nothing", LEASE, SCRIPT_fetch_bulk, "L 10 100000 0", "EMPTY 0 0 0 0",
         "EXISTS @active:L => 0\nEXISTS @fence => 0"},
        {"a paused queue", LEASE "HSET @config paused 1\nRPUSH @ready a",
         SCRIPT_fetch_bulk, "L 10 100000 0", "PAUSED", "LLEN @ready => 1"},
        {"one paused until an instant",
         LEASE "HSET @config paused NOW+60000\nRPUSH @ready a",
         SCRIPT_fetch_bulk, "L 10 100000 0", "PAUSED", "LLEN @ready => 1"},
        {"which has come", LEASE "HSET @config paused NOW-1\nRPUSH @ready a",
         SCRIPT_fetch_bulk, "L 10 100000 0", "EMPTY 1 1 0 0", ""},
        {"what is no number does not pause",
         LEASE "HSET @config paused 1e400\nRPUSH @ready a", SCRIPT_fetch_bulk,
         "L 10 100000 0", "EMPTY 1 1 0 0", ""},
        {"it tells the version of what is cancelled",
         LEASE "HSET @config cancelled_version 12\nRPUSH @ready a b",
         SCRIPT_fetch_bulk, "L 1 100000 0", "MORE 1 1 0 12", ""},
        {"also if there is nothing", LEASE "HSET @config cancelled_version 12",
         SCRIPT_fetch_bulk, "L 1 100000 0", "EMPTY 0 0 0 12", ""},
        {"without a lease", "RPUSH @ready a\nZADD @leases NOW+60000 M",
         SCRIPT_fetch_bulk, "L 10 100000 0", "FENCED",
         "LLEN @ready => 1\nEXISTS @active:L => 0"},
        {"a fence that is no number", LEASE "RPUSH @ready a\nSET @fence abc",
         SCRIPT_fetch_bulk, "L 10 100000 0", "EMPTY # 1 0 0",
         "LLEN @active:L => 1"},
    };
    (void)state;
    ROWS(rows);
}

static void
fetch_bulk_leaves_to_fetch_what_it_does_not_make_cheaper(void **state)
{
    static const struct row rows[] = {
        {"more held than believed",
         LEASE "RPUSH @ready a b c\n"
               "RPUSH @active:L x",
         SCRIPT_fetch_bulk, "L 10 100000 0", "NO",
         "LRANGE @ready 0 -1 => a b c\nLRANGE @active:L 0 -1 => x"},
        {"less held than believed", LEASE "RPUSH @ready a b c",
         SCRIPT_fetch_bulk, "L 10 100000 1", "NO", "LLEN @ready => 3"},
        {"more held than come", LEASE "RPUSH @ready a b c\nRPUSH @active:L x y",
         SCRIPT_fetch_bulk, "L 10 100000 2", "NO",
         "LRANGE @ready 0 -1 => a b c\nLRANGE @active:L 0 -1 => x y"},
        {"more bytes than asked for", LEASE "RPUSH @ready a b c",
         SCRIPT_fetch_bulk, "L 10 10 0", "NO", "LLEN @ready => 3"},
    };
    (void)state;
    ROWS(rows);
}

/* 4 MB in all; behind small ones, where the first look does not see it. */
static void fetch_bulk_is_bounded_in_bytes(void **state)
{
    char *small = repeated("RPUSH @ready", " 0123456789abcdef", 400);
    char *big = mem_new(50001), *push;
    (void)state;
    memset(big, 'x', 50000);
    push = mem_printf("RPUSH @ready %s %s %s %s", big, big, big, big);
    table_do(LEASE);
    for (int i = 0; i < 20; i++)
        table_do(push);
    free(table_run_script(SCRIPT_fetch_bulk, "L 1000 1000000 0"));
    assert_in_range(redis_int(table_redis(), "LLEN belt:{q}:active:L"), 10, 20);
    table_do("DEL @ready @active:L");
    table_do(small);
    for (int i = 0; i < 20; i++)
        table_do(push);
    for (int i = 0; i < 50; i++)
        table_do(small);
    free(table_run_script(SCRIPT_fetch_bulk, "L 1000 100000 0"));
    assert_in_range(redis_int(table_redis(), "LLEN belt:{q}:active:L"), 100,
                    404);
    /* Big ones among small ones: nothing is copied to find that out. */
    table_do("DEL @ready @active:L");
    table_do(small);
    for (int i = 0; i < 50; i++)
        table_do(push);
    for (int i = 0; i < 50; i++)
        table_do(small);
    table_call(SCRIPT_fetch_bulk, "L 1000 500000 0", "NO");
    table_check("EXISTS @active:L => 0");
    free(push);
    free(small);
    free(big);
}

/* The jobs are there by then: not to know how many is no reason to fail. */
static void push_without_a_right_to_ask_for_the_length(void **state)
{
    (void)state;
    table_do("RPUSH @ready a b");
    redis_do(table_redis(), "ACL SETUSER default -llen");
    table_call(SCRIPT_push, "2 1 2 b", "OK 0");
    redis_do(table_redis(), "ACL SETUSER default +llen");
    table_check("LRANGE @ready 0 -1 => a b\nHGET @stats pushed => 2");
}

/* As an ACL may have it. */
static void fetch_bulk_without_a_right_to_sort_does_nothing(void **state)
{
    (void)state;
    table_do(LEASE "RPUSH @ready a b c\nRPUSH @active:L x");
    redis_do(table_redis(), "ACL SETUSER default -sort");
    table_call(SCRIPT_fetch_bulk, "L 10 100000 1", "NO");
    redis_do(table_redis(), "ACL SETUSER default +sort");
    table_check("LRANGE @ready 0 -1 => a b c\nLRANGE @active:L 0 -1 => x");
}

static void fetch_takes_at_most_a_thousand(void **state)
{
    char *push = repeated("RPUSH @ready", " {`id`:`a`}", 1500);
    (void)state;
    table_do(LEASE);
    table_do(push);
    free(push);
    char *answer = table_run_script(SCRIPT_fetch, "L 2000 10000000 " P);
    assert_int_equal(strncmp(answer, "MORE 1 0 {", 8), 0);
    free(answer);
    table_check("LLEN @ready => 500\nLLEN @active:L => 1000");
}

/* Sizes that differ much: the steps in which fetch reads follow them. */
static void fetch_respects_bytes_whatever_the_sizes(void **state)
{
    char fill[5001], *push;
    long long jobs;
    (void)state;
    memset(fill, 'x', 5000);
    fill[5000] = '\0';
    table_do(LEASE);
    for (int i = 0; i < 200; i++) {
        push = mem_printf("RPUSH @ready {`id`:`%d`,`payload`:`%.*s`}", i,
                          i < 100 ? 10 : 5000, fill);
        table_do(push);
        free(push);
    }
    /* 100 of 37 or 38 bytes, then 9 of 5029 fit into 50000. */
    free(table_run_script(SCRIPT_fetch, "L 1000 50000 " P));
    jobs = redis_int(table_redis(), "LLEN belt:{q}:active:L");
    assert_int_equal(jobs, 109);
    table_check("LINDEX @active:L -1 => {`id`:`108`*\n"
                "LINDEX @ready 0 => {`id`:`109`*");
}

#define STAMPED(in, out)                                                       \
    {                                                                          \
        in, LEASE "RPUSH @ready '" in "'", SCRIPT_fetch, SOME,                 \
            "EMPTY 1 0 " out, "LRANGE @active:L 0 -1 => " out                  \
    }
#define ID "`id`:`" P "000`,"

static void fetch_stamps_what_has_no_id(void **state)
{
    static const struct row rows[] = {
        STAMPED("{`type`:`x`}", "{" ID "`type`:`x`}"),
        STAMPED(" { `type` : `x` }", "{" ID "`type` : `x` }"),
        /* An id further back is an id, wherever it stands. */
        STAMPED("{`type`:`x`,`id`:`a`}", "{`type`:`x`,`id`:`a`}"),
        STAMPED("{`type`:`x`, `id` : `a`}", "{`type`:`x`, `id` : `a`}"),
        STAMPED("{`payload`:[1,{`id`:2}],`id`:`a`}",
                "{`payload`:[1,{`id`:2}],`id`:`a`}"),
        /* One inside of something is none. */
        STAMPED("{`payload`:{`id`:`a`},`type`:`x`}",
                "{" ID "`payload`:{`id`:`a`},`type`:`x`}"),
        STAMPED("{`payload`:[{`b`:{`id`:1}}]}",
                "{" ID "`payload`:[{`b`:{`id`:1}}]}"),
        /* A value is no name, nor is text that looks like one. */
        STAMPED("{`type`:`id`}", "{" ID "`type`:`id`}"),
        STAMPED("{`type`:`id`,`a`:`id`}", "{" ID "`type`:`id`,`a`:`id`}"),
        STAMPED("{`payload`:`\\`id\\`:`}", "{" ID "`payload`:`\\`id\\`:`}"),
        STAMPED("{`payload`:`\\\\`,`id`:`a`}", "{`payload`:`\\\\`,`id`:`a`}"),
        STAMPED("{`payload`:`\\\\\\`,\\`id\\`:`}",
                "{" ID "`payload`:`\\\\\\`,\\`id\\`:`}"),
        STAMPED("{`payload`:`}{]`,`id`:`a`}", "{`payload`:`}{]`,`id`:`a`}"),
        STAMPED("{`payload`:`[`,`a`:[{`id`:1}]}",
                "{" ID "`payload`:`[`,`a`:[{`id`:1}]}"),
        STAMPED("{`xid`:1,`id2`:2}", "{" ID "`xid`:1,`id2`:2}"),
        /* What reap noted stays in front. */
        STAMPED("{`recovered`:[5,4],`type`:`x`}",
                "{`recovered`:[5,4]," ID "`type`:`x`}"),
        STAMPED("{`recovered`:[5,4],`id`:`a`}", "{`recovered`:[5,4],`id`:`a`}"),
        STAMPED("{`recovered`:[5,4], `type`:`x`, `id`:`a`}",
                "{`recovered`:[5,4], `type`:`x`, `id`:`a`}"),
    };
    (void)state;
    ROWS(rows);
}

static void what_cannot_be_stamped_travels_as_it_is(void **state)
{
    static const struct row rows[] = {
        STAMPED("{}", "{}"),
        STAMPED(" { } ", " { } "),
        STAMPED("garbage", "garbage"),
        STAMPED("`id`", "`id`"),
        STAMPED("[`id`,1]", "[`id`,1]"),
        STAMPED("", "''"),
    };
    (void)state;
    ROWS(rows);
}

/* What fetch stamps must be read as an envelope with that id by our parser. */
static void stamped_envelopes_are_read_with_their_id(void **state)
{
    static const char *const texts[] = {
        "{`type`:`x`,`payload`:{`id`:`a`}}",
        "{`recovered`:[5,4],`type`:`x`,`payload`:`\\`id\\`:`}",
        " { `type` : `id` } ",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct job *job;
        char *push = mem_printf("RPUSH @ready '%s'", texts[i]), *got;
        (void)table_clear(NULL);
        table_do(LEASE);
        table_do(push);
        free(push);
        free(table_run_script(SCRIPT_fetch, SOME));
        got = table_run("LINDEX @active:L 0");
        assert_int_equal(job_parse(got, strlen(got), 4096, &job, NULL), 0);
        assert_string_equal(job->id, P "000");
        job_free(job);
        free(got);
    }
}

static void a_thousand_equal_elements_become_a_thousand_jobs(void **state)
{
    char *push = repeated("RPUSH @ready", " {`type`:`x`}", 1000);
    bool seen[1000] = {false};
    (void)state;
    table_do(LEASE);
    table_do(push);
    free(push);
    free(table_run_script(SCRIPT_fetch, "L 1000 10000000 " P));
    redisReply *r =
        redis_cmd(table_redis(), "LRANGE %s 0 -1", "belt:{q}:active:L");
    assert_int_equal(r->elements, 1000);
    for (size_t i = 0; i < r->elements; i++) {
        struct job *job;
        assert_int_equal(
            job_parse(r->element[i]->str, r->element[i]->len, 4096, &job, NULL),
            0);
        assert_int_equal(strlen(job->id), 26);
        assert_int_equal(strncmp(job->id, P, 23), 0);
        long n = strtol(job->id + 23, NULL, 10);
        assert_in_range(n, 0, 999);
        assert_false(seen[n]);
        seen[n] = true;
        job_free(job);
    }
    freeReplyObject(r);
}

/*
 * Scanning is bounded. A job whose id was not found in time gets one more in
 * front; readers take the first.
 */
static void hostile_envelopes_do_not_hold_redis_up(void **state)
{
    char *deep = repeated("RPUSH @ready {`payload`:", "[", 30000), *push;
    (void)state;
    push = repeated(deep, "]", 30000);
    free(deep);
    deep = mem_printf("%s,`id`:`a`}", push);
    free(push);
    table_do(LEASE);
    table_do(deep);
    table_do("RPUSH @ready {`type`:`x`,`id`:`b`}");
    free(deep);
    free(table_run_script(SCRIPT_fetch, "L 10 1000000 " P));
    table_check("LINDEX @active:L 0 => {`id`:`" P "000`,`payload`:*`id`:`a`}\n"
                "LINDEX @active:L 1 => {`id`:`" P "001`,`type`:`x`,`id`:`b`}");
}

static void stamp_changes_what_is_there_and_nothing_else(void **state)
{
    static const struct row rows[] = {
        {"one element gets other bytes",
         LEASE "RPUSH @active:L a b c\nSET @fence 7", SCRIPT_stamp,
         "L 1 b {`id`:`x`}", "OK 8",
         "LRANGE @active:L 0 -1 => a {`id`:`x`} c\nGET @fence => 8"},
        {"or only a fencing token", LEASE "RPUSH @active:L a", SCRIPT_stamp,
         "L 0 a ''", "OK 1", "LRANGE @active:L 0 -1 => a"},
        {"another element is not touched", LEASE "RPUSH @active:L a b",
         SCRIPT_stamp, "L 1 a x", "REFUSED",
         "LRANGE @active:L 0 -1 => a b\nEXISTS @fence => 0"},
        {"nor one that is not there", LEASE "RPUSH @active:L a", SCRIPT_stamp,
         "L 5 a x", "REFUSED", "LRANGE @active:L 0 -1 => a"},
        {"nor without a lease", "RPUSH @active:L a", SCRIPT_stamp, "L 0 a x",
         "FENCED", "LRANGE @active:L 0 -1 => a\nEXISTS @fence => 0"},
    };
    (void)state;
    ROWS(rows);
}

#define TEST(name) cmocka_unit_test_setup(name, table_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push_puts_jobs_at_either_end),
        TEST(push_looks_behind_an_rpush),
        TEST(push_takes_back_a_long_envelope_at_maxmemory),
        TEST(push_takes_at_most_a_thousand),
        TEST(push_takes_at_most_64_mib_but_one_of_any_size),
        TEST(fetch_moves_from_the_head),
        TEST(fetch_bulk_moves_as_fetch_does),
        TEST(fetch_bulk_leaves_to_fetch_what_it_does_not_make_cheaper),
        TEST(fetch_bulk_is_bounded_in_bytes),
        TEST(push_without_a_right_to_ask_for_the_length),
        TEST(fetch_bulk_without_a_right_to_sort_does_nothing),
        TEST(fetch_takes_at_most_a_thousand),
        TEST(fetch_respects_bytes_whatever_the_sizes),
        TEST(fetch_stamps_what_has_no_id),
        TEST(what_cannot_be_stamped_travels_as_it_is),
        TEST(stamped_envelopes_are_read_with_their_id),
        TEST(a_thousand_equal_elements_become_a_thousand_jobs),
        TEST(hostile_envelopes_do_not_hold_redis_up),
        TEST(stamp_changes_what_is_there_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, table_start, table_stop);
}
