/*
 * Job list: jobs of a queue that are in one state, a page at a time.
 *
 * A page ends at the limit, or when so much was looked at that neither Redis
 * nor the thread should be held any longer; then it may be empty and there is
 * more. Where the next page begins is in the cursor:
 *
 *     scheduled, retry, dead: behind a score and a member (walk.h). What stays
 *     in the set comes once, whatever else comes and goes.
 *     ready: at a number from the head. Nothing else can be asked of a list.
 *     Its jobs are taken from the head, so while workers fetch some are passed
 *     over, and while jobs are put back to it some come twice.
 *     active: at a number in the list of a lane, lanes being in the order of
 *     their names. A lane's list is as short as its window.
 *
 * Thread: side threads.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/select.h"
#include "producer/serve/job_answer.h"
#include "producer/serve/place.h"
#include "producer/serve/query.h"

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    SCANNED_MAX = 10000,
    PAGE_FIRST = 20, /* elements of a list that are asked for at once */
    PAGE_MAX = 200,
    LANES_AT_ONCE = 1000,
    LANES_MAX = 100000
};
#define PAGE_BYTES ((size_t)1 << 20)
#define READ_MAX ((size_t)32 << 20) /* bytes of jobs that are looked at */
#define SHOWN_MAX ((size_t)8 << 20) /* bytes of the answer */

struct listing {
    const struct request *request; /* borrowed, as all here */
    struct client *client;
    struct answer *answer;
    struct keys keys;
    struct filter filter;
    struct job_rows *rows; /* owned */
    const char *state, *lane;
    enum queue_set set; /* of those in one */
    bool in_set;
    int64_t left, scanned; /* rows that may come, jobs that were looked at */
    size_t read;           /* bytes of those */
    struct buf shown;      /* the answer so far */
    struct buf cursor;     /* of the next page, as text; empty: the end */

    int64_t at;     /* of a list: the next element */
    size_t got;     /* elements of the last answer */
    size_t bytes;   /* of those */
    bool is_behind; /* the last answer was not used up */
};

struct lanes {
    char **names; /* owned, each too */
    size_t count, cap, got;
};

static void on_jobs(void *arg, const struct reply *r);
static void on_lanes(void *arg, const struct reply *r);

static const char *const names[] = {"state", "type", "limit", "cursor", NULL};

/* ---- a job ---- */

static bool is_enough(const struct listing *l)
{
    return l->left == 0 || l->scanned >= SCANNED_MAX || l->read >= READ_MAX ||
           l->shown.len >= SHOWN_MAX;
}

static void take(struct listing *l, struct bytes e, int64_t at_ms)
{
    struct errbuf eb = {""};
    struct job *job = job_of(e, &eb);
    const struct job_row row = {.queue = l->keys.queue,
                                .state = l->state,
                                .lane = l->lane,
                                .element = e,
                                .job = job,
                                .at_ms = at_ms,
                                .why = eb.text};

    l->scanned++;
    l->read += e.len;
    if (job ? filter_takes(&l->filter, job, -1) : !filter_is_set(&l->filter)) {
        (void)job_rows_print(l->rows, &row);
        l->left--;
    }
    job_free(job);
}

/* ---- sets ---- */

static void save_place(struct listing *l, const struct walk *w, unsigned i)
{
    struct walk_place place;

    walk_place(w, i, &place);
    buf_clear(&l->cursor);
    place_append(&l->cursor, &place);
}

static bool cursor_is_wrong(struct listing *l)
{
    return query_is_wrong(l->answer, "cursor",
                          "not one that a page of this state had");
}

static int list_set(struct listing *l, const struct buf *from)
{
    struct walk *w = walk_new(l->client, queue_set_key(&l->keys, l->set),
                              l->set == QUEUE_DEAD, INT64_MIN, INT64_MAX);
    struct walk_place place;
    unsigned n = 1;
    int status = 0;

    if (from && (!place_read(from->data, from->len, &place) ||
                 !walk_go_on(w, &place))) {
        (void)cursor_is_wrong(l);
        walk_free(w);
        return 0;
    }
    while (status == 0 && n > 0 && !is_enough(l)) {
        status = walk_next(w, &n);
        for (unsigned i = 0; i < n && status == 0 && !is_enough(l); i++) {
            take(l, walk_at(w, i)->member, walk_at(w, i)->at_ms);
            save_place(l, w, i);
        }
    }
    if (n == 0) /* the end */
        buf_clear(&l->cursor);
    walk_free(w);
    return status;
}

/* ---- lists ---- */

static void on_jobs(void *arg, const struct reply *r)
{
    struct listing *l = arg;
    size_t i;

    l->got = reply_len(r);
    l->bytes = 0;
    for (i = 0; i < l->got && !is_enough(l); i++) {
        struct bytes e;
        l->at++;
        if (!reply_str(reply_at(r, i), &e.p, &e.len))
            continue;
        l->bytes += e.len;
        take(l, e, -1);
    }
    l->is_behind = i < l->got;
}

/* From l->at on, to the end or until it is enough: then *ret_more. */
static int list_list(struct listing *l, const char *key, bool *ret_more)
{
    int64_t size = PAGE_FIRST;
    int status = 0;

    l->is_behind = false;
    *ret_more = false;
    while (status == 0 && !is_enough(l)) {
        struct args a = {0};
        args_str(&a, "LRANGE");
        args_str(&a, key);
        args_int(&a, l->at);
        args_int(&a, l->at + size - 1);
        client_call(l->client, &a, on_jobs, l);
        args_done(&a);
        status = client_wait(l->client);
        if ((int64_t)l->got < size && !l->is_behind)
            return status;
        if (l->bytes > PAGE_BYTES)
            size = size > 1 ? size / 2 : 1;
        else if (l->bytes < PAGE_BYTES / 4 && size < PAGE_MAX)
            size *= 2;
    }
    *ret_more = true;
    return status;
}

/* "NUMBER", or "NUMBER LANE". */
static bool read_number(struct listing *l, const struct buf *from,
                        char lane[LANE_ID_MAX + 1])
{
    const char *p = from->data, *end = p + from->len;
    char number[INT_TEXT_MAX];

    if (!cursor_word(&p, end, number, sizeof(number)) ||
        text_parse_int(number, 0, QUEUE_COUNT_MAX, NULL, &l->at, NULL) != 0 ||
        (size_t)(end - p) > LANE_ID_MAX || memchr(p, '\0', (size_t)(end - p)))
        return cursor_is_wrong(l);
    memcpy(lane, p, (size_t)(end - p));
    lane[end - p] = '\0';
    return true;
}

static int list_ready(struct listing *l, const struct buf *from)
{
    char none[LANE_ID_MAX + 1];
    bool more = false;

    if (from && !read_number(l, from, none))
        return 0;
    int status = list_list(l, l->keys.ready, &more);
    if (more)
        buf_printf(&l->cursor, "%" PRId64 " ", l->at);
    return status;
}

/* ---- lanes ---- */

static void on_lanes(void *arg, const struct reply *r)
{
    struct lanes *lanes = arg;

    lanes->got = reply_len(r);
    for (size_t i = 0; i < lanes->got; i++) {
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, i), &p, &n) || strlen(p) != n ||
            n > LANE_ID_MAX)
            continue;
        if (lanes->count == lanes->cap) {
            lanes->cap = lanes->cap ? 2 * lanes->cap : 64;
            lanes->names = mem_resize((void *)lanes->names,
                                      lanes->cap * sizeof(*lanes->names));
        }
        lanes->names[lanes->count++] = mem_dup(p, n);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All that hold a lease, by name: by lease they change places all the time. */
static int ask_lanes(struct listing *l, struct lanes *lanes)
{
    int status = 0;

    lanes->got = LANES_AT_ONCE;
    for (int64_t from = 0;
         status == 0 && lanes->got == LANES_AT_ONCE && lanes->count < LANES_MAX;
         from += LANES_AT_ONCE) {
        struct args a = {0};
        args_str(&a, "ZRANGE");
        args_str(&a, l->keys.leases);
        args_int(&a, from);
        args_int(&a, from + LANES_AT_ONCE - 1);
        client_call(l->client, &a, on_lanes, lanes);
        args_done(&a);
        status = client_wait(l->client);
    }
    if (lanes->count > 0)
        qsort((void *)lanes->names, lanes->count, sizeof(*lanes->names),
              compare);
    return status;
}

static int list_lanes(struct listing *l, const struct lanes *lanes,
                      const char *first)
{
    int status = 0;

    for (size_t i = 0; i < lanes->count && status == 0; i++) {
        const char *lane = lanes->names[i];
        int order = strcmp(lane, first);
        char key[KEY_MAX];
        bool more;
        if (order < 0 || (i > 0 && strcmp(lane, lanes->names[i - 1]) == 0) ||
            !keys_active(&l->keys, lane, key))
            continue;
        if (order > 0)
            l->at = 0;
        l->lane = lane;
        status = list_list(l, key, &more);
        if (status == 0 && more) {
            buf_printf(&l->cursor, "%" PRId64 " %s", l->at, lane);
            break;
        }
    }
    return status;
}

static int list_active(struct listing *l, const struct buf *from)
{
    char first[LANE_ID_MAX + 1] = "";
    struct lanes lanes = {0};

    if (from && !read_number(l, from, first))
        return 0;
    int status = ask_lanes(l, &lanes);
    if (status == 0)
        status = list_lanes(l, &lanes, first);
    for (size_t i = 0; i < lanes.count; i++)
        free(lanes.names[i]);
    free((void *)lanes.names);
    return status;
}

/* ---- the page ---- */

static int list(struct listing *l, const struct buf *from)
{
    if (l->in_set)
        return list_set(l, from);
    if (strcmp(l->state, "active") == 0)
        return list_active(l, from);
    return list_ready(l, from);
}

static bool read_state(struct listing *l)
{
    const char *state = request_query(l->request, "state");

    l->state = state ? state : "ready";
    int set = select_find_set(l->state);
    l->in_set = set >= 0;
    if (l->in_set)
        l->set = (enum queue_set)set;
    else if (strcmp(l->state, "ready") != 0 && strcmp(l->state, "active") != 0)
        return query_is_wrong(l->answer, "state",
                              "%s: not ready, active, scheduled, retry or dead",
                              l->state);
    return true;
}

/* The cursor begins with the state that it is of. */
static bool read_cursor(struct listing *l, struct buf *ret)
{
    const char *text = request_query(l->request, "cursor");
    size_t n = strlen(l->state);
    struct buf plain = {0};

    if (!text)
        return true;
    bool right = cursor_read(text, &plain) && plain.len > n + 1 &&
                 memcmp(plain.data, l->state, n) == 0 && plain.data[n] == ' ';
    if (right)
        buf_append(ret, plain.data + n + 1, plain.len - n - 1);
    buf_done(&plain);
    return right || cursor_is_wrong(l);
}

static void end_page(struct listing *l)
{
    struct answer *a = l->answer;
    struct buf plain = {0}, cursor = {0};

    buf_printf(&l->shown, ",\"scanned\":%" PRId64 ",\"cursor\":", l->scanned);
    if (l->cursor.len > 0) {
        buf_printf(&plain, "%s ", l->state);
        buf_append(&plain, l->cursor.data, l->cursor.len);
        cursor_append(&cursor, plain.data, plain.len);
        answer_next(a, l->request, names, cursor.data);
        buf_printf(&l->shown, "\"%s\"}\n", cursor.data);
    } else {
        buf_str(&l->shown, "null}\n");
    }
    buf_done(&plain);
    buf_done(&cursor);
    a->status = 200;
    a->body = l->shown;
    l->shown = (struct buf){0};
}

static void make_page(struct listing *l, const struct buf *from)
{
    static const struct options json = {.format = OUT_JSON};

    buf_printf(&l->shown, "{\"queue\":\"%s\",\"jobs\":", l->keys.queue);
    l->rows = job_rows_new_to(&json, false, &l->shown);
    int status = list(l, from);
    job_rows_end(l->rows);
    if (status == 0 && l->answer->status == 0)
        end_page(l);
    buf_done(&l->shown);
    buf_done(&l->cursor);
}

void look_jobs(struct client *c, const struct request *r, struct answer *a)
{
    struct listing l = {
        .request = r, .client = c, .answer = a, .left = LIMIT_DEFAULT};
    struct buf from = {0};

    if (!request_check_query(r, names, a) || !read_state(&l) ||
        !query_int(r, "limit", 1, LIMIT_MAX, &l.left, a) ||
        !read_cursor(&l, &from))
        return;
    keys_init(&l.keys, request_serve(r)->ns, request_param(r, "queue"));
    l.filter = (struct filter){.type = request_query(r, "type"),
                               .since_ms = INT64_MIN,
                               .until_ms = INT64_MAX};
    make_page(&l, from.len > 0 ? &from : NULL);
    buf_done(&from);
}
