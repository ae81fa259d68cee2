/*
 * Claims about the accountant, on journals written by hand: each breach is
 * found, as that breach and no other, and what is right is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/journal.h"
#include "tests/faults/journal_write.h"
#include "tests/unit/unit.h"

/* Lane a with its lease; jobs 1 to 3 ready; and those in the hands of a. */
#define LEASE "ZADD @leases 1 a\n"
#define READY LEASE "RPUSH @ $1 $2 $3\n"
#define HELD                                                                   \
    READY "MULTI\nRPUSH @active:a #1 #2 #3\nLTRIM @ 3 -1\n"                    \
          "INCRBY @fence 3\nEXEC\n"
/* After jobs 1 and 3 come 11 and 31. */
#define PARENTS                                                                \
    LEASE "RPUSH @ >1 #2 >3\nMULTI\nRPUSH @active:a >1 #2 >3\n"                \
          "LTRIM @ 3 -1\nINCRBY @fence 3\nEXEC\n"
#define ENDED "ZADD @reaped 1 a\nZREM @leases a\nHDEL @lanes a\n"

static struct claim {
    const char *name, *lines;
    struct breaches breaches;
    uint64_t left;
    unsigned allowed;
} claims[] = {
    /* ---- right ---- */
    {"a_fetch_and_settles_of_both_kinds_are_right",
     HELD "MULTI\nLTRIM @active:a 1 -1\nLREM @active:a 1 #3\n"
          "HINCRBY @stats done 2\nEXEC\n"
          "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats discarded 1\nEXEC\n",
     {0},
     0,
     0},
    {"a_blmove_and_its_stamp_are_right",
     LEASE "RPUSH @ $1\nLMOVE @ @active:a left right\n"
           "MULTI\nLSET @active:a 0 #1\nINCR @fence\nEXEC\n"
           "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 1\nEXEC\n",
     {0},
     0,
     0},
    {"failures_come_back",
     HELD "MULTI\nZADD @retry NX 5 ~1\nZADD @retry NX 5 %2\n"
          "ZADD @dead NX 5 ~3\nLTRIM @active:a 3 -1\n"
          "HINCRBY @stats retried 1\nHINCRBY @stats put_off 1\n"
          "HINCRBY @stats dead 1\nEXEC\n"
          "MULTI\nRPUSH @ ~1 %2\nZREM @retry ~1 %2\n"
          "HINCRBY @stats promoted 2\nEXEC\n",
     {0},
     2,
     0},
    {"a_release_keeps_the_order",
     HELD "MULTI\nLPUSH @ #3 #2\nLREM @active:a 1 #3\nLREM @active:a 1 #2\n"
          "HINCRBY @stats released 2\nEXEC\n",
     {0},
     3,
     0},
    {"a_reap_and_its_rest_keep_the_order",
     HELD "MULTI\n" ENDED "LPUSH @ ^3\nRPOP @active:a\nLPUSH @ ^2\n"
          "RPOP @active:a\nHINCRBY @stats reaped 2\nEXEC\n"
          "MULTI\nLPUSH @ ^1\nRPOP @active:a\nHINCRBY @stats reaped 1\nEXEC\n",
     {0},
     3,
     0},
    {"a_late_blmove_is_straggled",
     READY ENDED "LMOVE @ @active:a LEFT RIGHT\n"
                 "MULTI\nLPUSH @ $1\nRPOP @active:a\n"
                 "HINCRBY @stats straggled 1\nEXEC\n",
     {0},
     3,
     0},
    {"a_rebind_takes_all_along",
     HELD "MULTI\nZADD @leases 2 b\nRENAMENX @active:a @active:b\n" ENDED
          "EXEC\nMULTI\nLTRIM @active:b 3 -1\nHINCRBY @stats done 3\nEXEC\n",
     {0},
     0,
     0},
    {"equal_jobs_without_ids_are_counted",
     LEASE "RPUSH @ $0 $0 $0\nLMOVE @ @active:a LEFT RIGHT\n"
           "MULTI\nRPUSH @active:a {\"id\":\"X1\",\"type\":\"x\",\"payload\":"
           "{\"n\":0}} {\"id\":\"X2\",\"type\":\"x\",\"payload\":{\"n\":0}}\n"
           "LTRIM @ 2 -1\nINCRBY @fence 2\nEXEC\n"
           "MULTI\nLPUSH @ $0\nLREM @active:a 1 $0\n"
           "HINCRBY @stats released 1\nEXEC\n",
     {0},
     3,
     0},
    {"what_lpop_took_is_not_lost",
     READY "LPOP @ 2\nMULTI\nHINCRBY @stats done 1\nEXEC\n"
           "MULTI\nLPUSH @ $2\nHINCRBY @stats pushed 1\nEXEC\n",
     {0},
     2,
     0},
    {"invalid_ones_are_buried",
     LEASE "RPUSH @ no_json\nMULTI\nRPUSH @active:a no_json\nLTRIM @ 1 -1\n"
           "INCRBY @fence 1\nEXEC\nMULTI\nZADD @dead NX 5 {\"id\":\"Z\","
           "\"type\":\"belt.invalid\",\"raw\":\"bm9fanNvbg==\"}\n"
           "LTRIM @active:a 1 -1\nHINCRBY @stats invalid 1\n"
           "HINCRBY @stats dead_bytes 60\nEXEC\n",
     {0},
     0,
     0},
    {"the_oldest_dead_fall_out",
     HELD "MULTI\nZADD @dead NX 5 ~1\nZADD @dead NX 5 ~2\n"
          "LTRIM @active:a 2 -1\nZREM @dead ~1\nHINCRBY @stats dead 2\n"
          "HINCRBY @stats dead_evicted 1\nEXEC\n",
     {0},
     1,
     0},
    {"keys_of_others_do_not_matter",
     READY "SELECT 3\nDEL @\nSELECT 0\nDEL other\nSADD belt:queues q\n"
           "PEXPIREAT @stats:29927 1\nXADD stream * a b\n",
     {0},
     3,
     0},
    {"after_a_double_each_is_counted",
     HELD "MULTI\nZADD @retry NX 5 ~1\nEXEC\n"
          "MULTI\nLTRIM @active:a 3 -1\nHINCRBY @stats done 3\nEXEC\n"
          "MULTI\nRPUSH @ ~1\nZREM @retry ~1\nHINCRBY @stats promoted 1\n"
          "EXEC\n",
     {0},
     1,
     JOURNAL_TWICE},

    {"what_stopped_half_way_was_not_counted",
     HELD "LTRIM @active:a 1 -1\n",
     {0},
     2,
     JOURNAL_TWICE},
    {"a_job_may_be_put_aside_and_back",
     HELD "RENAME @active:a @aside\nRENAME @aside @active:a\n"
          "MULTI\nLTRIM @active:a 3 -1\nHINCRBY @stats done 3\nEXEC\n",
     {0},
     0,
     0},
    {"a_job_that_is_put_aside_is_left", HELD "RENAME @active:a x\n", {0}, 3, 0},
    {"a_planted_key_is_no_set",
     HELD "SET @retry x\nAPPEND @retry y\nDEL @retry\n"
          "MULTI\nZADD @retry NX 5 ~1\nLTRIM @active:a 1 -1\n"
          "HINCRBY @stats retried 1\nEXEC\n",
     {0},
     3,
     0},
    {"nothing_can_be_counted_in_a_planted_key",
     HELD "RENAME @stats @aside\nSADD @stats x\nLTRIM @active:a 1 -1\n"
          "DEL @stats\nRENAME @aside @stats\n"
          "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 1\nEXEC\n",
     {0},
     1,
     0},
    {"fences_go_on_above_a_planted_one",
     HELD "SET @fence 1\nSET @fence x\nRPUSH @ $4\nMULTI\nRPUSH @active:a #4\n"
          "LTRIM @ 1 -1\nSET @fence 1700000000000001\nEXEC\n",
     {0},
     4,
     0},
    {"equal_jobs_may_be_pushed_with_one_id",
     LEASE "RPUSH @ #0 #0\nRPUSH @ #0\nMULTI\nRPUSH @active:a #0 #0 #0\n"
           "LTRIM @ 3 -1\nINCRBY @fence 3\nEXEC\n"
           "MULTI\nLREM @active:a 1 #0\nHINCRBY @stats done 1\nEXEC\n",
     {0},
     2,
     0},
    {"commands_may_be_in_any_case",
     "zadd @leases 1 a\nrpush @ $1\nmulti\nrpush @active:a #1\n"
     "ltrim @ 1 -1\nincrby @fence 1\nexec\n",
     {0},
     1,
     0},

    {"equal_jobs_are_given_back_in_any_order",
     LEASE "RPUSH @ $0 $0\nLMOVE @ @active:a LEFT RIGHT\n"
           "LMOVE @ @active:a LEFT RIGHT\nMULTI\nLPUSH @ $0 $0\n"
           "LREM @active:a 1 $0\nLREM @active:a 1 $0\n"
           "HINCRBY @stats released 2\nEXEC\n",
     {0},
     2,
     0},
    {"a_stamped_job_keeps_its_place",
     LEASE "RPUSH @ $1 $2\nLMOVE @ @active:a LEFT RIGHT\n"
           "LMOVE @ @active:a LEFT RIGHT\n"
           "MULTI\nLSET @active:a 1 #2\nINCR @fence\nEXEC\n"
           "MULTI\nLPUSH @ #2 $1\nLREM @active:a 1 #2\n"
           "LREM @active:a 1 $1\nHINCRBY @stats released 2\nEXEC\n",
     {0},
     2,
     0},
    {"what_comes_after_a_rebind_stands_behind_it",
     HELD "MULTI\nZADD @leases 2 b\nRENAMENX @active:a @active:b\n" ENDED
          "EXEC\nRPUSH @ $4\nLMOVE @ @active:b LEFT RIGHT\n"
          "MULTI\nLPUSH @ $4 #3\nLREM @active:b 1 $4\n"
          "LREM @active:b 1 #3\nHINCRBY @stats released 2\nEXEC\n",
     {0},
     4,
     0},
    {"what_lpop_took_may_fail_under_a_new_id",
     LEASE "RPUSH @ $0\nLPOP @\n"
           "MULTI\nZADD @retry NX 5 ~0\nHINCRBY @stats retried 1\nEXEC\n",
     {0},
     1,
     0},

    {"what_is_snoozed_comes_back",
     HELD "MULTI\nZADD @scheduled NX 5 #1\nLTRIM @active:a 1 -1\n"
          "HINCRBY @stats snoozed 1\nEXEC\n"
          "MULTI\nRPUSH @ #1\nZREM @scheduled #1\n"
          "HINCRBY @stats promoted 1\nEXEC\n",
     {0},
     3,
     0},
    {"expired_and_cancelled_jobs_have_ended",
     HELD "MULTI\nZADD @dead NX 5 !1\nLTRIM @active:a 3 -1\n"
          "HINCRBY @stats done 1\nHINCRBY @stats expired 1\n"
          "HINCRBY @stats cancelled 1\nZREM @cancelled J2\n"
          "DEL @unique:k\nPUBLISH @job:a done\nEXEC\n",
     {0},
     0,
     0},
    {"what_follows_comes_with_the_end",
     PARENTS "MULTI\nRPUSH @ #11\nRPUSH @outbox #31\nLTRIM @active:a 3 -1\n"
             "HINCRBY @stats done 2\nHINCRBY @stats discarded 1\n"
             "HINCRBY @stats pushed 1\nHINCRBY @stats sent 1\nEXEC\n",
     {0},
     2,
     0},
    {"what_a_cancelled_job_would_have_pushed_does_not_come",
     PARENTS "MULTI\nRPUSH @ #31\nLTRIM @active:a 3 -1\n"
             "HINCRBY @stats done 2\nHINCRBY @stats cancelled 1\n"
             "HINCRBY @stats pushed 1\nEXEC\n",
     {0},
     1,
     0},
    {"what_is_no_follower_is_buried",
     PARENTS "MULTI\nZADD @dead NX 5 "
             "{\"id\":\"K\",\"type\":\"belt.invalid\",\"raw\":"
             "\"eyJ0eXBlIjoieCIsInBheWxvYWQiOnsibiI6MTF9fQ==\"}\n"
             "LTRIM @active:a 1 -1\nHINCRBY @stats done 1\n"
             "HINCRBY @stats invalid 1\nEXEC\n",
     {0},
     2,
     0},
    {"what_is_sent_is_pushed_and_then_taken_out",
     PARENTS "MULTI\nRPUSH @outbox #11\nLTRIM @active:a 1 -1\n"
             "HINCRBY @stats done 1\nHINCRBY @stats sent 1\nEXEC\n"
             "MULTI\nZADD @scheduled 5 #11\nHINCRBY @stats pushed 1\nEXEC\n"
             "LREM @outbox 1 #11\n",
     {0},
     3,
     0},

    /* ---- breaches ---- */
    {"what_follows_does_not_come",
     PARENTS "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 1\nEXEC\n",
     {.lost = 1},
     2,
     0},
    {"what_follows_comes_before_the_end",
     PARENTS "MULTI\nRPUSH @ #11\nHINCRBY @stats done 1\n"
             "HINCRBY @stats pushed 1\nEXEC\n",
     {.twice = 1},
     4,
     0},
    {"what_follows_comes_twice",
     PARENTS "MULTI\nRPUSH @ #11 #11\nLTRIM @active:a 1 -1\n"
             "HINCRBY @stats done 1\nHINCRBY @stats pushed 2\nEXEC\n",
     {.twice = 1},
     4,
     0},
    {"what_nobody_named_comes",
     PARENTS "MULTI\nRPUSH @ #12\nLTRIM @active:a 1 -1\n"
             "HINCRBY @stats done 1\nHINCRBY @stats pushed 1\nEXEC\n",
     {.lost = 1, .twice = 1},
     3,
     0},
    {"what_follows_is_not_counted",
     PARENTS "MULTI\nRPUSH @outbox #11\nLTRIM @active:a 1 -1\n"
             "HINCRBY @stats done 1\nEXEC\n",
     {.miscounted = 1},
     3,
     0},
    {"what_is_sent_is_pushed_twice",
     PARENTS "MULTI\nRPUSH @outbox #11\nLTRIM @active:a 1 -1\n"
             "HINCRBY @stats done 1\nHINCRBY @stats sent 1\nEXEC\n"
             "RPUSH @ #11\nRPUSH @ #11\n",
     {.twice = 1},
     5,
     0},
    {"an_expired_job_is_counted_as_dead",
     HELD "MULTI\nZADD @dead NX 5 !1\nLTRIM @active:a 1 -1\n"
          "HINCRBY @stats dead 1\nEXEC\n",
     {.miscounted = 2},
     2,
     0},
    {"a_snooze_without_a_lease",
     HELD ENDED "MULTI\nZADD @scheduled NX 5 #1\nLTRIM @active:a 1 -1\n"
                "HINCRBY @stats snoozed 1\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"a_fetch_that_only_trims_loses",
     READY "LTRIM @ 1 -1\n",
     {.lost = 1},
     2,
     0},
    {"a_key_that_is_deleted_loses", HELD "DEL @active:a\n", {.lost = 3}, 0, 0},
    {"a_flush_loses", READY "FLUSHALL\n", {.lost = 3}, 0, 0},
    {"a_settle_that_trims_one_too_many_loses",
     HELD "MULTI\nLTRIM @active:a 2 -1\nHINCRBY @stats done 1\nEXEC\n",
     {.lost = 1},
     1,
     0},
    {"a_promote_that_only_removes_loses",
     LEASE "ZADD @scheduled 5 #1\nZREM @scheduled #1\n",
     {.lost = 1},
     0,
     0},
    {"a_fetch_that_does_not_trim_doubles",
     READY "MULTI\nRPUSH @active:a #1\nINCRBY @fence 1\nEXEC\n",
     {.twice = 1},
     4,
     0},
    {"a_reap_that_does_not_pop_doubles",
     HELD "MULTI\n" ENDED "LPUSH @ ^3\nHINCRBY @stats reaped 1\nEXEC\n",
     {.twice = 1},
     4,
     0},
    {"a_job_comes_after_its_end",
     HELD "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 1\nEXEC\n"
          "RPUSH @ ~1\n",
     {.settled_twice = 1},
     3,
     0},
    {"a_late_settle",
     HELD ENDED "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 1\nEXEC\n",
     {.unleased = 1},
     2,
     0},
    {"a_late_failure",
     HELD ENDED "MULTI\nZADD @retry NX 5 ~1\nLTRIM @active:a 1 -1\n"
                "HINCRBY @stats retried 1\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"a_late_release",
     HELD ENDED "MULTI\nLPUSH @ #1\nLREM @active:a 1 #1\n"
                "HINCRBY @stats released 1\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"a_late_fetch",
     READY ENDED "MULTI\nRPUSH @active:a #1\nLTRIM @ 1 -1\n"
                 "INCRBY @fence 1\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"a_late_stamp",
     READY ENDED "LMOVE @ @active:a LEFT RIGHT\n"
                 "MULTI\nLSET @active:a 0 #1\nINCR @fence\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"a_late_rebind",
     HELD ENDED "MULTI\nZADD @leases 1 b\nRENAMENX @active:a @active:b\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"a_reap_of_the_living",
     HELD "MULTI\nLPUSH @ ^3\nRPOP @active:a\nHINCRBY @stats reaped 1\nEXEC\n",
     {.unleased = 1},
     3,
     0},
    {"an_id_is_leased_again",
     READY ENDED "ZADD @leases 9 a\n",
     {.unleased = 1},
     3,
     0},
    {"more_is_counted_than_done",
     HELD "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 2\nEXEC\n",
     {.miscounted = 1},
     2,
     0},
    {"a_failure_is_counted_as_another",
     HELD "MULTI\nZADD @dead NX 5 ~1\nLTRIM @active:a 1 -1\n"
          "HINCRBY @stats retried 1\nEXEC\n",
     {.miscounted = 2},
     2,
     0},
    {"a_reap_is_not_counted",
     HELD "MULTI\n" ENDED "LPUSH @ ^3\nRPOP @active:a\nEXEC\n",
     {.miscounted = 1},
     3,
     0},
    {"more_is_counted_than_pushed",
     LEASE "MULTI\nRPUSH @ $1\nHINCRBY @stats pushed 2\nEXEC\n",
     {.miscounted = 1},
     1,
     0},
    {"an_eviction_is_not_counted",
     HELD "MULTI\nZADD @dead NX 5 ~1\nLTRIM @active:a 1 -1\n"
          "HINCRBY @stats dead 1\nEXEC\nZREM @dead ~1\n",
     {.miscounted = 1},
     2,
     0},
    {"a_fetch_turns_jobs_around",
     READY "MULTI\nRPUSH @active:a #2 #1\nLTRIM @ 2 -1\n"
           "INCRBY @fence 2\nEXEC\n",
     {.order = 1},
     3,
     0},
    {"a_fetch_takes_the_last",
     READY "RPOPLPUSH @ @active:a\nLMOVE @ @active:a LEFT RIGHT\n",
     {.order = 1},
     3,
     0},
    {"a_release_turns_jobs_around",
     HELD "MULTI\nLPUSH @ #2 #3\nLREM @active:a 1 #2\nLREM @active:a 1 #3\n"
          "HINCRBY @stats released 2\nEXEC\n",
     {.order = 1},
     3,
     0},
    {"a_reap_appends",
     HELD "MULTI\n" ENDED "RPUSH @ ^3\nRPOP @active:a\n"
          "HINCRBY @stats reaped 1\nEXEC\n",
     {.order = 1},
     3,
     0},
    {"a_payload_changes",
     HELD "MULTI\nZADD @retry NX 5 {\"id\":\"J1\",\"type\":\"x\",\"payload\":"
          "{\"n\":1,\"m\":1}}\nLTRIM @active:a 1 -1\n"
          "HINCRBY @stats retried 1\nEXEC\n",
     {.altered = 1},
     3,
     0},
    {"a_stamp_hits_another_job",
     HELD "MULTI\nLSET @active:a 0 #2\nINCR @fence\nEXEC\n",
     {.altered = 2},
     3,
     0},
    {"fences_begin_again",
     HELD "RPUSH @ $4\nDEL @fence\nMULTI\nRPUSH @active:a #4\nLTRIM @ 1 -1\n"
          "INCRBY @fence 1\nEXEC\n",
     {.fences = 1},
     4,
     0},
    {"fences_are_too_few",
     READY "MULTI\nRPUSH @active:a #1 #2\nLTRIM @ 2 -1\n"
           "INCRBY @fence 1\nEXEC\n",
     {.fences = 1},
     3,
     0},
    {"no_fence_is_given",
     READY "MULTI\nRPUSH @active:a #1\nLTRIM @ 1 -1\nEXEC\n",
     {.fences = 1},
     3,
     0},
    {"of_equal_jobs_one_is_lost",
     LEASE "RPUSH @ #0 #0\nLTRIM @ 1 -1\n",
     {.lost = 1},
     1,
     0},
    {"a_serial_is_pushed_again", READY "RPUSH @ $1\n", {.twice = 1}, 4, 0},
    {"a_key_is_overwritten", READY "SET @ x\n", {.lost = 3}, 0, 0},
    {"a_key_takes_the_place_of_another",
     HELD "RPUSH @ $4\nRENAME @active:a @\n",
     {.lost = 1},
     3,
     0},
    {"a_command_is_unknown", READY "SORT @ STORE @\n", {.unknown = 1}, 3, 0},
    {"a_key_expires_later", READY "PEXPIREAT @ 5\n", {.unknown = 1}, 3, 0},
    {"a_job_goes_where_no_arrow_goes",
     READY "MULTI\nZADD @retry 5 #1\nLTRIM @ 1 -1\nEXEC\n",
     {.unknown = 1},
     3,
     0},
    {"a_job_of_another_queue_comes",
     READY "LMOVE belt:{p} @ LEFT RIGHT\n",
     {.unknown = 1},
     3,
     0},
};

static void print_breaches(const char *what, const struct breaches *b)
{
    print_error("%s: lost %d twice %d settled_twice %d unleased %d "
                "miscounted %d order %d altered %d fences %d unknown %d\n",
                what, (int)b->lost, (int)b->twice, (int)b->settled_twice,
                (int)b->unleased, (int)b->miscounted, (int)b->order,
                (int)b->altered, (int)b->fences, (int)b->unknown);
}

static void is_judged_so(void **state)
{
    const struct claim *c = *state;
    struct buf bytes = {0};
    char *said = NULL;
    size_t said_len;
    write_lines(&bytes, c->lines);
    char *dir = write_journal(bytes.data, bytes.len);
    FILE *out = open_memstream(&said, &said_len);
    struct journal *j = journal_replay(dir, "q", c->allowed, out);
    assert_int_equal(fclose(out), 0);
    struct breaches got = journal_breaches(j);
    bool same = memcmp(&got, &c->breaches, sizeof(got)) == 0 &&
                journal_left(j) == c->left;
    if (!same) {
        print_breaches("expected", &c->breaches);
        print_breaches("got", &got);
        print_error("left %d\n%s", (int)journal_left(j), said);
    }
    journal_free(j);
    write_remove(dir);
    buf_done(&bytes);
    free(said);
    assert_true(same);
}

/* ---- what it knows of each job ---- */

static void it_tells_what_each_job_went_through(void **state)
{
    (void)state;
    struct buf bytes = {0};
    write_lines(&bytes, HELD
                "MULTI\nLTRIM @active:a 1 -1\nHINCRBY @stats done 1\nEXEC\n"
                "MULTI\nLPUSH @ #3\nLREM @active:a 1 #3\n"
                "HINCRBY @stats released 1\nEXEC\n"
                "MULTI\nRPUSH @active:a #3\nLTRIM @ 1 -1\nINCRBY @fence 1\n"
                "EXEC\n");
    struct journal *j = write_and_replay(&bytes);
    assert_int_equal(journal_jobs(j), 3);
    const struct job_history *one = journal_job(j, 0);
    const struct job_history *three = journal_job(j, 2);
    assert_int_equal(one->serial, 1);
    assert_string_equal(one->id, "J1");
    assert_true(one->settled);
    assert_int_equal(one->moves.done, 1);
    assert_int_equal(one->first_fence, 1);
    assert_int_equal(one->last_fence, 1);
    assert_int_equal(three->serial, 3);
    assert_false(three->settled);
    assert_int_equal(three->moves.fetched, 2);
    assert_int_equal(three->moves.released, 1);
    assert_int_equal(three->first_fence, 3);
    assert_int_equal(three->last_fence, 4);
    assert_int_equal(journal_stat(j, "released"), 1);
    assert_int_equal(journal_stat(j, "reaped"), 0);
    journal_free(j);
    buf_done(&bytes);
}

/*
 * Two numbers of one delivery, in bulk and stamped, then one that names no job:
 * that of the second delivery is not known.
 */
static void two_fences_of_one_delivery_count_once(void **state)
{
    (void)state;
    struct buf bytes = {0};
    write_lines(&bytes,
                LEASE "RPUSH @ $1\n"
                      "MULTI\nSORT @ BY nosort LIMIT 0 1 STORE @active:a\n"
                      "LTRIM @ 1 -1\nINCRBY @fence 1\nEXEC\n"
                      "MULTI\nLSET @active:a 0 #1\nINCR @fence\nEXEC\n"
                      "MULTI\nLPUSH @ #1\nLREM @active:a 1 #1\n"
                      "HINCRBY @stats released 1\nEXEC\n"
                      "LMOVE @ @active:a LEFT RIGHT\n"
                      "INCR @fence\n");
    struct journal *j = write_and_replay(&bytes);
    const struct job_history *one = journal_job(j, 0);
    assert_int_equal(one->moves.fetched, 2);
    assert_int_equal(one->fences, 1);
    assert_int_equal(one->first_fence, 1);
    assert_int_equal(one->last_fence, 2);
    journal_free(j);
    buf_done(&bytes);
}

int main(void)
{
    enum { CLAIMS = sizeof(claims) / sizeof(claims[0]) };
    const struct CMUnitTest others[] = {
        cmocka_unit_test(it_tells_what_each_job_went_through),
        cmocka_unit_test(two_fences_of_one_delivery_count_once),
    };
    struct CMUnitTest tests[CLAIMS + sizeof(others) / sizeof(others[0])];
    for (size_t i = 0; i < CLAIMS; i++) {
        tests[i] = (struct CMUnitTest){.name = claims[i].name,
                                       .test_func = is_judged_so,
                                       .initial_state = &claims[i]};
    }
    memcpy(tests + CLAIMS, others, sizeof(others));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
