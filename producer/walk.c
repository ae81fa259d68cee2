/*
 * Walk: through a sorted set that others change.
 *
 * A page begins at the score of the last member that came. With it come again
 * those of that score that came before and are still there: as many as we know
 * of, but one, are passed over by number (LIMIT), and that one, in front of
 * the answer, is the proof that nothing was skipped. If it is missing, since
 * somebody has removed some of them, fewer are passed over.
 *
 * Thread: main, which is also the loop.
 */
#include "producer/walk.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/redis/sha1.h"

enum { PAGE_FIRST = 20, PAGE_LAST = WALK_PAGE_MAX - 1 };
#define PAGE_BYTES ((size_t)1 << 20) /* what a page is made for, about */

struct member {
    size_t start, len; /* in bytes */
    int64_t same;      /* of its score up to it, that we know of */
    char score[WALK_SCORE_MAX];
    double value;
};

struct walk {
    struct client *client; /* borrowed */
    const char *key;       /* borrowed */
    bool down;
    char begin[WALK_SCORE_MAX], end[WALK_SCORE_MAX]; /* as Redis takes them */
    int64_t total;

    /* The last member that came, and how many of its score, it included, came
     * and are there. */
    bool begun;
    char score[WALK_SCORE_MAX];
    double value;
    struct buf last;
    bool last_is_cut;             /* it is only the beginning of that member */
    char digest[WALK_DIGEST + 1]; /* of that, to be looked for; "": no need */
    int64_t kept;

    struct buf bytes;
    struct member members[WALK_PAGE_MAX];
    struct walked walked[WALK_PAGE_MAX];
    unsigned n, size; /* of this page, and of the next one */

    unsigned got, passed; /* of the last answer: members, and known ones */
};

static void on_total(void *arg, const struct reply *r);
static void on_end(void *arg, const struct reply *r);
static void on_page(void *arg, const struct reply *r);
static void on_last(void *arg, const struct reply *r);

static void set_bound(char out[WALK_SCORE_MAX], int64_t ms)
{
    if (ms == INT64_MIN)
        snprintf(out, WALK_SCORE_MAX, "-inf");
    else if (ms == INT64_MAX)
        snprintf(out, WALK_SCORE_MAX, "+inf");
    else
        snprintf(out, WALK_SCORE_MAX, "%" PRId64, ms);
}

struct walk *walk_new(struct client *c, const char *key, bool down,
                      int64_t from, int64_t to)
{
    struct walk *w = mem_new(sizeof(*w));

    w->client = c;
    w->key = key;
    w->down = down;
    w->size = PAGE_FIRST;
    w->total = -1;
    set_bound(w->begin, down ? to : from);
    set_bound(w->end, down ? from : to);
    return w;
}

void walk_free(struct walk *w)
{
    if (!w)
        return;
    buf_done(&w->last);
    buf_done(&w->bytes);
    free(w);
}

static void on_total(void *arg, const struct reply *r)
{
    struct walk *w = arg;

    if (!reply_int(r, &w->total))
        w->total = 0;
}

static bool read_score(const struct reply *r, char out[WALK_SCORE_MAX],
                       double *ret_value)
{
    const char *p;
    size_t n;

    if (!reply_str(r, &p, &n) || n >= WALK_SCORE_MAX)
        return false;
    memcpy(out, p, n + 1);
    *ret_value = strtod(p, NULL);
    return true;
}

/* Scores that are added from now on, behind the last one, are not ours. */
static void on_end(void *arg, const struct reply *r)
{
    struct walk *w = arg;
    char score[WALK_SCORE_MAX];
    double top, end = strtod(w->down ? w->begin : w->end, NULL);

    if (read_score(reply_at(r, 1), score, &top) && top < end)
        memcpy(w->down ? w->begin : w->end, score, WALK_SCORE_MAX);
}

static int look_at_end(struct walk *w)
{
    struct args a = {0};

    args_str(&a, "ZCARD");
    args_str(&a, w->key);
    client_call(w->client, &a, on_total, w);
    args_clear(&a);
    args_str(&a, "ZREVRANGE");
    args_str(&a, w->key);
    args_int(&a, 0);
    args_int(&a, 0);
    args_str(&a, "WITHSCORES");
    client_call(w->client, &a, on_end, w);
    args_done(&a);
    return client_wait(w->client);
}

/* Whether a member came already: it is not behind the last one. */
static bool is_known(const struct walk *w, const char *p, size_t n,
                     double value)
{
    if (!w->begun)
        return false;
    if (value != w->value)
        return w->down ? value > w->value : value < w->value;
    size_t both = n < w->last.len ? n : w->last.len;
    int order = both > 0 ? memcmp(p, w->last.data, both) : 0;
    if (order == 0 && w->last_is_cut && n >= w->last.len)
        return false; /* rather twice than never */
    if (order == 0)
        order = n < w->last.len ? -1 : n > w->last.len;
    return w->down ? order >= 0 : order <= 0;
}

static void on_page(void *arg, const struct reply *r)
{
    struct walk *w = arg;

    w->got = (unsigned)(reply_len(r) / 2);
    w->passed = 0;
    w->n = 0;
    buf_clear(&w->bytes);
    for (size_t i = 0; i + 1 < reply_len(r) && w->n < WALK_PAGE_MAX; i += 2) {
        struct member *m = &w->members[w->n];
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, i), &p, &n) ||
            !read_score(reply_at(r, i + 1), m->score, &m->value))
            continue;
        if (is_known(w, p, n, m->value)) {
            w->passed++;
            continue;
        }
        m->start = w->bytes.len;
        m->len = n;
        buf_append(&w->bytes, p, n);
        w->n++;
    }
}

/* Asks for size members behind offset known ones. */
static void ask_for(struct walk *w, int64_t offset, unsigned size,
                    client_reply_cb cb)
{
    struct args a = {0};

    args_str(&a, w->down ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE");
    args_str(&a, w->key);
    args_str(&a, w->begun ? w->score : w->begin);
    args_str(&a, w->end);
    args_str(&a, "WITHSCORES");
    args_str(&a, "LIMIT");
    args_int(&a, offset);
    args_int(&a, size);
    client_call(w->client, &a, cb, w);
    args_done(&a);
}

static int ask(struct walk *w, int64_t offset, unsigned size)
{
    w->got = w->n = 0;
    ask_for(w, offset, size, on_page);
    return client_wait(w->client);
}

static int64_t to_ms(double value)
{
    return value >= 0 && value <= (double)QUEUE_COUNT_MAX ? (int64_t)value : -1;
}

/* The page's members become known, the last one the place to go on from. */
static void take_page(struct walk *w, int64_t known)
{
    w->kept = known;
    for (unsigned i = 0; i < w->n; i++) {
        struct member *m = &w->members[i];
        bool same = w->begun && m->value == w->value;
        m->same = w->kept = same ? w->kept + 1 : 1;
        w->begun = true;
        w->value = m->value;
        w->walked[i] = (struct walked){
            .member = {w->bytes.data + m->start, m->len},
            .at_ms = to_ms(m->value),
        };
    }
    const struct member *end = &w->members[w->n - 1];
    memcpy(w->score, end->score, WALK_SCORE_MAX);
    buf_clear(&w->last);
    buf_append(&w->last, w->bytes.data + end->start, end->len);
    w->last_is_cut = false;
    if (w->bytes.len > PAGE_BYTES)
        w->size = w->size > 1 ? w->size / 2 : 1;
    else if (w->bytes.len < PAGE_BYTES / 4)
        w->size = w->size * 2 < PAGE_LAST ? w->size * 2 : PAGE_LAST;
}

static void digest_of(const char *p, size_t n, char out[WALK_DIGEST + 1])
{
    char hex[41];

    sha1_hex_plain(p, n, hex);
    memcpy(out, hex, WALK_DIGEST);
    out[WALK_DIGEST] = '\0';
}

/* The member that another walk came to, if it is where it was. */
static void on_last(void *arg, const struct reply *r)
{
    struct walk *w = arg;
    char score[WALK_SCORE_MAX], digest[WALK_DIGEST + 1];
    double value;
    const char *p;
    size_t n;

    if (!reply_str(reply_at(r, 0), &p, &n) ||
        !read_score(reply_at(r, 1), score, &value) || value != w->value)
        return;
    digest_of(p, n, digest);
    if (strcmp(digest, w->digest) != 0)
        return;
    buf_clear(&w->last);
    buf_append(&w->last, p, n);
    w->last_is_cut = false;
}

static int look_for_last(struct walk *w)
{
    ask_for(w, w->kept - 1, 1, on_last);
    int status = client_wait(w->client);
    w->digest[0] = '\0';
    return status;
}

int walk_next(struct walk *w, unsigned *ret_n)
{
    int status = w->total < 0 ? look_at_end(w) : 0;
    if (status == 0 && w->last_is_cut && w->digest[0] != '\0')
        status = look_for_last(w);
    int64_t offset = w->kept > 0 ? w->kept - 1 : 0;

    *ret_n = 0;
    while (status == 0) {
        unsigned size = w->size + w->begun; /* one more, for the proof */
        status = ask(w, offset, size);
        if (status != 0)
            break;
        if (offset > 0 && w->passed == 0) {
            offset /= 2; /* somebody removed some of them */
        } else if (w->n > 0) {
            take_page(w, offset + w->passed);
            *ret_n = w->n;
            break;
        } else if (w->got < size) {
            break; /* the end */
        } else {
            offset += w->passed; /* all of these are known */
        }
    }
    return status;
}

const struct walked *walk_at(const struct walk *w, unsigned i)
{
    assert(i < w->n);
    return &w->walked[i];
}

void walk_place(const struct walk *w, unsigned i, struct walk_place *ret)
{
    assert(i < w->n);
    const struct member *m = &w->members[i];

    *ret = (struct walk_place){.same = m->same};
    memcpy(ret->score, m->score, sizeof(ret->score));
    if (!w->down)
        memcpy(ret->end, w->end, sizeof(ret->end));
    ret->prefix_len = m->len < WALK_PREFIX ? m->len : WALK_PREFIX;
    memcpy(ret->prefix, w->bytes.data + m->start, ret->prefix_len);
    digest_of(w->bytes.data + m->start, m->len, ret->digest);
}

bool walk_go_on(struct walk *w, const struct walk_place *from)
{
    assert(!w->begun && w->total < 0);
    char *end;

    w->value = strtod(from->score, &end);
    if (end == from->score || *end != '\0' || isnan(w->value))
        return false;
    w->begun = true;
    memcpy(w->score, from->score, sizeof(w->score));
    if (!w->down && from->end[0] != '\0')
        memcpy(w->end, from->end, sizeof(w->end));
    w->kept = from->same > 0 ? from->same : 1;
    buf_append(&w->last, from->prefix, from->prefix_len);
    w->last_is_cut = from->prefix_len == WALK_PREFIX;
    memcpy(w->digest, from->digest, sizeof(w->digest));
    return true;
}

void walk_gone(struct walk *w, unsigned i)
{
    assert(i < w->n);
    if (w->members[i].value == w->value && w->kept > 0)
        w->kept--;
}

int64_t walk_total(const struct walk *w)
{
    return w->total;
}
