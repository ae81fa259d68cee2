/*
 * Claims about reading the answers of the scripts: whatever Redis answers, a
 * verb ends with an error code and a text, or with outputs that are set.
 */
#include "common/redis/queue.h"

#include <string.h>

#include "common/redis/queue_admin.h"
#include "common/redis/queue_cron.h"
#include "common/redis/queue_news.h"
#include "common/redis/reader.h"
#include "tests/unit/unit.h"

typedef int (*read_fn)(int err, const struct reply *r, struct errbuf *eb);

static int read_push(int err, const struct reply *r, struct errbuf *eb)
{
    struct push_result res;
    return queue_push_result(err, r, &res, eb);
}

static int read_push_one(int err, const struct reply *r, struct errbuf *eb)
{
    struct push_one_result res;
    return queue_push_one_result(err, r, &res, eb);
}

static int read_register(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t now_ms;
    return queue_register_result(err, r, &now_ms, eb);
}

static int read_fetch(int err, const struct reply *r, struct errbuf *eb)
{
    struct fetch_result res;
    return queue_fetch_result(err, r, &res, eb);
}

static int read_bulk(int err, const struct reply *r, struct errbuf *eb)
{
    struct fetch_result res;
    return queue_fetch_bulk_result(err, r, &res, eb);
}

static int read_block(int err, const struct reply *r, struct errbuf *eb)
{
    struct bytes job;
    return queue_block_result(err, r, &job, eb);
}

static int read_stamp(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t fence;
    return queue_stamp_result(err, r, &fence, eb);
}

static int read_promote(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t moved, next_ms;
    return queue_promote_result(err, r, &moved, &next_ms, eb);
}

static int read_renew(int err, const struct reply *r, struct errbuf *eb)
{
    struct renew_result res;
    return queue_renew_result(err, r, &res, eb);
}

static int read_rebind(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t settles;
    size_t count;
    return queue_rebind_result(err, r, &settles, &count, eb);
}

static int read_leave(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t left;
    return queue_leave_result(err, r, &left, eb);
}

static int read_reap(int err, const struct reply *r, struct errbuf *eb)
{
    struct reap_result res;
    return queue_reap_result(err, r, &res, eb);
}

static int read_requeue(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t moved;
    size_t refused;
    return queue_requeue_result(err, r, &moved, &refused, eb);
}

static int read_remove(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t removed;
    return queue_remove_result(err, r, &removed, eb);
}

static int read_tick(int err, const struct reply *r, struct errbuf *eb)
{
    enum tick_state state;
    int64_t pushed;
    return queue_tick_result(err, r, &state, &pushed, eb);
}

static int read_purge(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t purged;
    return queue_purge_result(err, r, &purged, eb);
}

static int read_import(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t added;
    return queue_import_result(err, r, &added, eb);
}

static int read_cancel(int err, const struct reply *r, struct errbuf *eb)
{
    int64_t marks;
    return queue_cancel_result(err, r, &marks, eb);
}

static const read_fn readers[] = {
    read_push,   read_register,         read_fetch,        read_block,
    read_stamp,  queue_settle_result,   read_promote,      read_renew,
    read_rebind, queue_release_result,  read_leave,        read_reap,
    read_bulk,   read_push_one,         read_requeue,      read_remove,
    read_purge,  read_import,           queue_note_result, queue_log_result,
    read_tick,   queue_cron_put_result, read_cancel};
enum { READERS = sizeof(readers) / sizeof(readers[0]) };

static struct reader *reader;

static int setup(void **state)
{
    (void)state;
    reader = reader_new(1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    reader_free(reader);
    return 0;
}

/* Lends the reply that text is, until the next one. */
static const struct reply *read_reply(const char *text)
{
    const struct reply *r = NULL;
    struct errbuf eb;
    reader_feed(reader, text, strlen(text));
    if (reader_next(reader, &r, &eb) != 0)
        fail_msg("%s", eb.text);
    assert_non_null(r);
    return r;
}

static void expect_all(const char *text, int err)
{
    const struct reply *r = read_reply(text);
    for (unsigned i = 0; i < READERS; i++) {
        struct errbuf eb = {""};
        assert_int_equal(readers[i](0, r, &eb), err);
        assert_true(eb.text[0] != '\0');
    }
}

static void errors_of_redis_keep_their_text(void **state)
{
    (void)state;
    const struct reply *r = read_reply("-OOM command not allowed\r\n");
    for (unsigned i = 0; i < READERS; i++) {
        struct errbuf eb;
        assert_int_equal(readers[i](0, r, &eb), ERR_REDIS);
        assert_non_null(strstr(eb.text, "OOM command not allowed"));
    }
}

static void nonsense_is_an_error_of_redis(void **state)
{
    (void)state;
    expect_all(":1\r\n", ERR_REDIS);
    expect_all("*0\r\n", ERR_REDIS);
    expect_all("*1\r\n*0\r\n", ERR_REDIS);
    expect_all("*1\r\n$7\r\nNONSENS\r\n", ERR_REDIS);
    expect_all("*3\r\n$7\r\nNONSENS\r\n:1\r\n:2\r\n", ERR_REDIS);
}

static void short_answers_are_errors_of_redis(void **state)
{
    (void)state;
    const struct reply *r = read_reply("*1\r\n$2\r\nOK\r\n");
    for (unsigned i = 0; i < READERS; i++) {
        if (readers[i] == queue_cron_put_result ||
            readers[i] == queue_settle_result ||
            readers[i] == queue_release_result ||
            readers[i] == queue_note_result || readers[i] == queue_log_result)
            continue; /* nothing behind OK is read */
        assert_int_equal(readers[i](0, r, NULL), ERR_REDIS);
    }
    r = read_reply("*1\r\n$4\r\nMORE\r\n");
    assert_int_equal(read_fetch(0, r, NULL), ERR_REDIS);
    assert_int_equal(read_bulk(0, r, NULL), ERR_REDIS);
    r = read_reply("*2\r\n$4\r\nMORE\r\n:1\r\n");
    assert_int_equal(read_fetch(0, r, NULL), ERR_REDIS);
    r = read_reply("*4\r\n$4\r\nMORE\r\n:1\r\n:1\r\n:0\r\n");
    assert_int_equal(read_bulk(0, r, NULL), ERR_REDIS);
}

static void lost_calls_keep_their_code(void **state)
{
    (void)state;
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(readers[i](ERR_UNKNOWN, NULL, NULL), ERR_UNKNOWN);
        assert_int_equal(readers[i](ERR_REFUSED, NULL, NULL), ERR_REFUSED);
    }
}

static void states_become_codes(void **state)
{
    (void)state;
    const struct reply *r = read_reply("*1\r\n$6\r\nFENCED\r\n");
    for (unsigned i = 0; i < READERS; i++) {
        if (readers[i] != read_block) /* no script */
            assert_int_equal(readers[i](0, r, NULL), ERR_FENCED);
    }
    r = read_reply("*2\r\n$6\r\nFORMAT\r\n:7\r\n");
    struct errbuf eb;
    assert_int_equal(read_register(0, r, &eb), ERR_INVALID);
    assert_non_null(strstr(eb.text, "format 7"));
    assert_int_equal(read_push(0, r, &eb), ERR_INVALID);
    assert_int_equal(read_push_one(0, r, &eb), ERR_INVALID);
    r = read_reply("*1\r\n$5\r\nTAKEN\r\n");
    assert_int_equal(read_register(0, r, NULL), ERR_MISSING);
    assert_int_equal(read_rebind(0, r, NULL), ERR_MISSING);
    r = read_reply("-NOSCRIPT no such script\r\n");
    assert_int_equal(queue_note_result(0, r, NULL), ERR_MISSING);
}

static void a_full_queue_tells_its_depth_and_what_it_took(void **state)
{
    (void)state;
    struct push_result many = {0};
    struct push_one_result one = {0};
    struct errbuf eb;
    const struct reply *r =
        read_reply("*4\r\n$4\r\nFULL\r\n:9\r\n:4\r\n:13\r\n");
    assert_int_equal(queue_push_result(0, r, &many, &eb), ERR_FULL);
    assert_int_equal(many.depth, 9);
    assert_int_equal(many.accepted, 4);
    assert_non_null(strstr(eb.text, "full"));
    assert_int_equal(queue_push_one_result(0, r, &one, &eb), ERR_FULL);
    assert_int_equal(one.depth, 9);
    assert_int_equal(many.limit, 13);
    assert_int_equal(one.limit, 13);
    r = read_reply("*3\r\n$4\r\nFULL\r\n:9\r\n:4\r\n");
    assert_int_equal(queue_push_result(0, r, &many, &eb), ERR_FULL);
    assert_int_equal(many.limit, -1);
    r = read_reply("*3\r\n$4\r\nFULL\r\n:9\r\n:-4\r\n");
    assert_int_equal(queue_push_result(0, r, &many, &eb), ERR_REDIS);
    r = read_reply("*1\r\n$4\r\nFULL\r\n");
    assert_int_equal(queue_push_result(0, r, &many, &eb), ERR_REDIS);
    assert_int_equal(queue_push_one_result(0, r, &one, &eb), ERR_REDIS);
}

static void a_push_of_one_tells_who_holds_its_key(void **state)
{
    static const struct {
        const char *text;
        enum push_state state;
        const char *holder;
    } rows[] = {
        {"*2\r\n$2\r\nOK\r\n:3\r\n", PUSH_DONE, ""},
        {"*1\r\n$4\r\nSAME\r\n", PUSH_SAME, ""},
        {"*2\r\n$4\r\nSAME\r\n$1\r\nc\r\n", PUSH_SAME, "c"},
        {"*2\r\n$4\r\nHELD\r\n$2\r\nab\r\n", PUSH_HELD, "ab"},
        {"*2\r\n$4\r\nHELD\r\n$3\r\na b\r\n", PUSH_HELD, ""},
        {"*2\r\n$8\r\nREPLACED\r\n$1\r\na\r\n", PUSH_REPLACED, "a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct push_one_result res;
        const struct reply *r = read_reply(rows[i].text);
        assert_int_equal(queue_push_one_result(0, r, &res, NULL), 0);
        assert_int_equal(res.state, rows[i].state);
        assert_string_equal(res.holder, rows[i].holder);
    }
}

static void a_push_with_another_mark_is_an_error(void **state)
{
    struct push_one_result res = {0};
    struct errbuf eb;
    (void)state;
    const struct reply *r = read_reply("*2\r\n$5\r\nOTHER\r\n$1\r\na\r\n");
    assert_int_equal(queue_push_one_result(0, r, &res, &eb), ERR_HELD);
    assert_string_equal(res.holder, "a");
}

/* A server that is none of ours could otherwise make sums overflow. */
static void numbers_that_cannot_be_are_refused(void **state)
{
    static const char *const answers[] = {
        "*2\r\n$2\r\nOK\r\n:-1\r\n",
        "*2\r\n$2\r\nOK\r\n:9223372036854775807\r\n",
        "*2\r\n$2\r\nOK\r\n:9007199254740993\r\n"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct reply *r = read_reply(answers[i]);
        assert_int_equal(read_push(0, r, NULL), ERR_REDIS);
        assert_int_equal(read_register(0, r, NULL), ERR_REDIS);
        assert_int_equal(read_leave(0, r, NULL), ERR_REDIS);
    }
    const struct reply *r = read_reply("*3\r\n$2\r\nOK\r\n:-1\r\n:0\r\n");
    assert_int_equal(read_reap(0, r, NULL), ERR_REDIS);
    r = read_reply("*3\r\n:-1\r\n:0\r\n:0\r\n");
    assert_int_equal(read_promote(0, r, NULL), ERR_REDIS);
}

static void fences_of_all_jobs_fit(void **state)
{
    struct fetch_result res;
    (void)state;
    const struct reply *r = read_reply("*5\r\n$4\r\nMORE\r\n"
                                       ":9223372036854775806\r\n:3\r\n"
                                       "$1\r\na\r\n$1\r\nb\r\n");
    assert_int_equal(queue_fetch_result(0, r, &res, NULL), ERR_REDIS);
    r = read_reply("*5\r\n$4\r\nMORE\r\n:9223372036854775805\r\n:3\r\n"
                   "$1\r\na\r\n$1\r\nb\r\n");
    assert_int_equal(queue_fetch_result(0, r, &res, NULL), 0);
    assert_int_equal(res.fence, INT64_MAX - 2);
    assert_int_equal(res.cancelled_version, 3);
}

/* It answers with numbers; the jobs come behind, by another command. */
static void bulk_says_what_it_moved(void **state)
{
    struct fetch_result res;
    (void)state;
    const struct reply *r =
        read_reply("*5\r\n$4\r\nMORE\r\n:7\r\n:1000\r\n:1\r\n:3\r\n");
    assert_int_equal(queue_fetch_bulk_result(0, r, &res, NULL), 0);
    assert_true(res.more && res.bigger && !res.paused && !res.refused);
    assert_int_equal(res.fence, 7);
    assert_int_equal(res.count, QUEUE_BATCH_MAX);
    assert_int_equal(res.cancelled_version, 3);
    r = read_reply("*5\r\n$5\r\nEMPTY\r\n:7\r\n:0\r\n:0\r\n:0\r\n");
    assert_int_equal(queue_fetch_bulk_result(0, r, &res, NULL), 0);
    assert_true(!res.more && !res.bigger && res.count == 0);
    r = read_reply("*1\r\n$6\r\nPAUSED\r\n");
    assert_int_equal(queue_fetch_bulk_result(0, r, &res, NULL), 0);
    assert_true(res.paused && !res.refused && res.count == 0);
    r = read_reply("*1\r\n$2\r\nNO\r\n");
    assert_int_equal(queue_fetch_bulk_result(0, r, &res, NULL), 0);
    assert_true(res.refused && !res.paused && res.count == 0);
}

static void bulk_of_what_cannot_be_is_refused(void **state)
{
    static const char *const answers[] = {
        "*5\r\n$4\r\nMORE\r\n:7\r\n:1001\r\n:0\r\n:0\r\n",
        "*5\r\n$4\r\nMORE\r\n:7\r\n:-1\r\n:0\r\n:0\r\n",
        "*5\r\n$4\r\nMORE\r\n:9223372036854775806\r\n:2\r\n:0\r\n:0\r\n",
        "*5\r\n$4\r\nMORE\r\n$1\r\nx\r\n:2\r\n:0\r\n:0\r\n",
        "*5\r\n$4\r\nMORE\r\n:7\r\n:2\r\n$1\r\nx\r\n:0\r\n",
        "*5\r\n$4\r\nMORE\r\n:7\r\n:2\r\n:0\r\n$1\r\nx\r\n"};
    struct fetch_result res = {.fence = 5};
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct reply *r = read_reply(answers[i]);
        assert_int_equal(queue_fetch_bulk_result(0, r, &res, NULL), ERR_REDIS);
        assert_int_equal(res.fence, 5); /* written only on success */
    }
    const struct reply *r = read_reply(
        "*5\r\n$4\r\nMORE\r\n:9223372036854775805\r\n:2\r\n:0\r\n:0\r\n");
    assert_int_equal(queue_fetch_bulk_result(0, r, &res, NULL), 0);
    assert_int_equal(res.fence, INT64_MAX - 2);
}

/* No script: any list is one, and what it has is judged job by job. */
static void a_list_lends_its_jobs_and_no_more(void **state)
{
    size_t count = 7;
    struct bytes job;
    struct errbuf eb;
    (void)state;
    assert_int_equal(queue_list_active_result(ERR_UNKNOWN, NULL, &count, &eb),
                     ERR_UNKNOWN);
    const struct reply *r = read_reply("-WRONGTYPE not a list\r\n");
    assert_int_equal(queue_list_active_result(0, r, &count, &eb), ERR_REDIS);
    assert_non_null(strstr(eb.text, "WRONGTYPE not a list"));
    assert_int_equal(count, 7);
    r = read_reply("*3\r\n$1\r\na\r\n:1\r\n$-1\r\n");
    assert_int_equal(queue_list_active_result(0, r, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_true(queue_list_active_job(r, 0, &job));
    assert_true(job.len == 1 && job.p[0] == 'a');
    for (size_t i = 1; i <= count; i++)
        assert_false(queue_list_active_job(r, i, &job));
    r = read_reply("*0\r\n");
    assert_int_equal(queue_list_active_result(0, r, &count, NULL), 0);
    assert_int_equal(count, 0);
}

static void requeue_says_who_stayed_and_why(void **state)
{
    int64_t moved = 0, place = 0;
    size_t refused = 0;
    struct bytes holder = {"", 0};
    (void)state;
    const struct reply *r =
        read_reply("*6\r\n$2\r\nOK\r\n:7\r\n:1\r\n$4\r\nGONE\r\n:9\r\n"
                   "$2\r\nj5\r\n");
    assert_int_equal(queue_requeue_result(0, r, &moved, &refused, NULL), 0);
    assert_int_equal(moved, 7);
    assert_int_equal(refused, 2);
    assert_true(queue_requeue_refused(r, 0, &place, &holder));
    assert_true(place == 1 && holder.p == NULL);
    assert_true(queue_requeue_refused(r, 1, &place, &holder));
    assert_true(place == 9 && holder.len == 2);
    assert_memory_equal(holder.p, "j5", 2);
    assert_false(queue_requeue_refused(r, 2, &place, &holder));
    r = read_reply("*3\r\n$2\r\nOK\r\n:7\r\n:1\r\n");
    assert_int_equal(queue_requeue_result(0, r, &moved, &refused, NULL),
                     ERR_REDIS);
    r = read_reply("*2\r\n$2\r\nOK\r\n:-1\r\n");
    assert_int_equal(queue_requeue_result(0, r, &moved, &refused, NULL),
                     ERR_REDIS);
    assert_int_equal(read_remove(0, r, NULL), ERR_REDIS);
    assert_int_equal(read_purge(0, r, NULL), ERR_REDIS);
    assert_int_equal(read_import(0, r, NULL), ERR_REDIS);
    r = read_reply("*1\r\n$7\r\nCHANGED\r\n");
    assert_int_equal(read_purge(0, r, NULL), ERR_MISSING);
}

/* A plain LPUSH: how many wait then, or an error. */
static void what_goes_back_is_there_or_is_not(void **state)
{
    struct errbuf eb;
    (void)state;
    assert_int_equal(queue_unpop_result(0, read_reply(":7\r\n"), &eb), 0);
    assert_int_equal(queue_unpop_result(0, read_reply("-OOM x\r\n"), &eb),
                     ERR_REDIS);
    assert_string_equal(eb.text, "unpop: OOM x");
    assert_int_equal(queue_unpop_result(0, read_reply("+OK\r\n"), &eb),
                     ERR_REDIS);
    assert_int_equal(queue_unpop_result(ERR_UNKNOWN, NULL, &eb), ERR_UNKNOWN);
}

/* Anybody may put a job into scheduled that is due in a million years. */
static void marks_are_lent_one_by_one(void **state)
{
    struct bytes id;
    int64_t at_ms, n;
    (void)state;
    const struct reply *r =
        read_reply("*4\r\n$1\r\na\r\n$2\r\n17\r\n$1\r\nb\r\n$1\r\nx\r\n");
    assert_int_equal(queue_marks_result(0, r, NULL), 0);
    assert_true(queue_marks_id(r, 0, &id, &at_ms));
    assert_true(id.len == 1 && *id.p == 'a' && at_ms == 17);
    assert_false(queue_marks_id(r, 2, &id, &at_ms));
    assert_false(queue_marks_id(r, 4, &id, &at_ms));
    r = read_reply("-WRONGTYPE x\r\n");
    assert_int_equal(queue_marks_result(0, r, NULL), ERR_REDIS);
    r = read_reply("*2\r\n$4\r\nFULL\r\n:10000\r\n");
    assert_int_equal(queue_cancel_result(0, r, &n, NULL), ERR_FULL);
}

static void far_times_are_cut(void **state)
{
    struct renew_result res;
    int64_t moved, next_ms;
    (void)state;
    const struct reply *r =
        read_reply("*3\r\n:1\r\n:9223372036854775807\r\n:0\r\n");
    assert_int_equal(queue_promote_result(0, r, &moved, &next_ms, NULL), 0);
    assert_int_equal(next_ms, QUEUE_WAIT_MAX_MS);
    r = read_reply(
        "*14\r\n$2\r\nOK\r\n:1764000000000\r\n:2\r\n:1\r\n:0\r\n"
        ":3\r\n:0\r\n:7\r\n:9223372036854775807\r\n$1\r\nx\r\n"
        ":-9223372036854775808\r\n:9223372036854775807\r\n:-1\r\n:8\r\n");
    assert_int_equal(queue_renew_result(0, r, &res, NULL), 0);
    assert_int_equal(res.next_due_ms, QUEUE_WAIT_MAX_MS);
    assert_int_equal(res.oldest_left_ms, -QUEUE_WAIT_MAX_MS);
    assert_int_equal(res.ready, 7);
    assert_int_equal(res.paused_left_ms, QUEUE_WAIT_MAX_MS);
    assert_int_equal(res.cron_due_ms, -1);
    assert_int_equal(res.outbox, 8);
}

static void no_reply_has_no_shape(void **state)
{
    (void)state;
    int64_t n;
    struct bytes b;
    assert_false(reply_is_nil(NULL) || reply_is_error(NULL));
    assert_false(reply_int(NULL, &n) || reply_str(NULL, &b.p, &b.len));
    assert_int_equal(reply_len(NULL), 0);
    assert_null(reply_at(NULL, 0));
    assert_string_equal(reply_error(NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_redis_keep_their_text),
        cmocka_unit_test(nonsense_is_an_error_of_redis),
        cmocka_unit_test(short_answers_are_errors_of_redis),
        cmocka_unit_test(lost_calls_keep_their_code),
        cmocka_unit_test(states_become_codes),
        cmocka_unit_test(a_full_queue_tells_its_depth_and_what_it_took),
        cmocka_unit_test(a_push_of_one_tells_who_holds_its_key),
        cmocka_unit_test(a_push_with_another_mark_is_an_error),
        cmocka_unit_test(numbers_that_cannot_be_are_refused),
        cmocka_unit_test(fences_of_all_jobs_fit),
        cmocka_unit_test(bulk_says_what_it_moved),
        cmocka_unit_test(bulk_of_what_cannot_be_is_refused),
        cmocka_unit_test(a_list_lends_its_jobs_and_no_more),
        cmocka_unit_test(requeue_says_who_stayed_and_why),
        cmocka_unit_test(marks_are_lent_one_by_one),
        cmocka_unit_test(what_goes_back_is_there_or_is_not),
        cmocka_unit_test(far_times_are_cut),
        cmocka_unit_test(no_reply_has_no_shape),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
