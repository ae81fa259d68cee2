/*
 * The commands that the model knows.
 *
 * What has no effect is not in the journal, so each of these did something;
 * whether it was right is the accountant's. Commands stand there as they were
 * sent (a BLMOVE as LMOVE), in small letters or great ones.
 *
 * Thread: the test's.
 */
#include <string.h>

#include "common/base/mem.h"
#include "tests/faults/journal_world.h"

enum type {
    LIST,
    SET,
    HASH,
    STRING,
    FOREIGN, /* none that Belt has: in its key, something planted */
    ANY
};

/* k is the key that the second word names. */
typedef void (*verb_fn)(struct world *w, struct key *k,
                        const struct command *c);

static void unknown(struct world *w, const struct key *k,
                    const struct command *c)
{
    char name[SHOWN_MAX];
    report_breach(w->report, &w->report->breaches.unknown,
                  "unknown command %s of %zu words on %s, where %s is",
                  text_shown(c->words[0], name), c->count, k->name,
                  role_name(k->role));
}

static bool number(const struct command *c, size_t i, int64_t *ret)
{
    return i < c->count && text_number(c->words[i], ret);
}

/* ---- lists ---- */

static void run_rpush(struct world *w, struct key *k, const struct command *c)
{
    for (size_t i = 2; i < c->count; i++)
        list_add(w, k, c->words[i], false);
}

static void run_lpush(struct world *w, struct key *k, const struct command *c)
{
    for (size_t i = 2; i < c->count; i++)
        list_add(w, k, c->words[i], true);
}

static void pop(struct world *w, struct key *k, const struct command *c,
                bool head)
{
    int64_t n = 1;
    if (c->count > 2 && !number(c, 2, &n))
        unknown(w, k, c);
    while (n-- > 0 && k->len > 0)
        list_remove(w, k, head ? k->first : k->last, HOW_POPPED);
}

static void run_lpop(struct world *w, struct key *k, const struct command *c)
{
    pop(w, k, c, true);
}

static void run_rpop(struct world *w, struct key *k, const struct command *c)
{
    pop(w, k, c, false);
}

static void run_ltrim(struct world *w, struct key *k, const struct command *c)
{
    int64_t start, stop, len = (int64_t)k->len;
    if (!number(c, 2, &start) || !number(c, 3, &stop)) {
        unknown(w, k, c);
        return;
    }
    start += start < 0 ? len : 0;
    stop += stop < 0 ? len : 0;
    start = start < 0 ? 0 : start;
    if (start > stop || start >= len)
        start = len;
    for (int64_t i = 0; i < start; i++)
        list_remove(w, k, k->first, HOW_REMOVED);
    for (int64_t i = stop + 1; start < len && i < len; i++)
        list_remove(w, k, k->last, HOW_REMOVED);
}

static void run_lrem(struct world *w, struct key *k, const struct command *c)
{
    int64_t n;
    if (c->count != 4 || !number(c, 2, &n)) {
        unknown(w, k, c);
        return;
    }
    int64_t left = n == 0 ? (int64_t)k->len : n < 0 ? -n : n;
    struct element *e = n < 0 ? k->last : k->first;
    while (e != NULL && left > 0) {
        struct element *next = n < 0 ? e->prev : e->next;
        if (text_same(e->bytes, c->words[3])) {
            list_remove(w, k, e, HOW_REMOVED);
            left--;
        }
        e = next;
    }
}

static void run_lset(struct world *w, struct key *k, const struct command *c)
{
    int64_t i;
    if (c->count != 4 || !number(c, 2, &i)) {
        unknown(w, k, c);
        return;
    }
    i += i < 0 ? (int64_t)k->len : 0;
    struct element *e = k->first;
    while (e != NULL && i-- > 0)
        e = e->next;
    if (e != NULL)
        list_set(w, k, e, c->words[3]);
    else
        unknown(w, k, c);
}

static void move_end(struct world *w, struct key *from, struct key *to,
                     bool from_head, bool to_head)
{
    struct element *e = from_head ? from->first : from->last;
    if (e != NULL && to != NULL)
        list_move(w, from, e, to, to_head);
    else if (e != NULL)
        list_remove(w, from, e, HOW_REMOVED);
}

static void run_lmove(struct world *w, struct key *k, const struct command *c)
{
    if (c->count != 5) {
        unknown(w, k, c);
        return;
    }
    move_end(w, k, key_of(w, c->words[2]), text_named(c->words[3], "LEFT"),
             text_named(c->words[4], "LEFT"));
}

static void run_rpoplpush(struct world *w, struct key *k,
                          const struct command *c)
{
    move_end(w, k, c->count == 3 ? key_of(w, c->words[2]) : NULL, false, true);
}

/* SORT from BY nosort LIMIT 0 n STORE to: copies, in place of what was there.
 */
static void run_sort(struct world *w, struct key *k, const struct command *c)
{
    int64_t n;
    struct key *to = c->count == 9 ? key_of(w, c->words[8]) : NULL;
    if (to == NULL || !text_named(c->words[3], "nosort") ||
        !text_named(c->words[5], "0") || !number(c, 6, &n)) {
        unknown(w, k, c);
        return;
    }
    const struct element *e = k->first;
    struct element *same = to->first; /* what is written over with the like */
    for (;
         n > 0 && e != NULL && same != NULL && text_same(e->bytes, same->bytes);
         n--) {
        e = e->next;
        same = same->next;
    }
    while (same != NULL) {
        struct element *next = same->next;
        list_remove(w, to, same, HOW_REMOVED);
        same = next;
    }
    for (; n > 0 && e != NULL; e = e->next) {
        list_add(w, to, e->bytes, false);
        n--;
    }
}

/* ---- sets ---- */

static void add_lease(struct world *w, struct key *k, struct text lane)
{
    char name[SHOWN_MAX];
    if (index_get(&k->members, lane) == NULL &&
        index_get(&w->reaped->members, lane) != NULL)
        report_breach(w->report, &w->report->breaches.unleased,
                      "lane %s holds a lease again after its end",
                      text_shown(lane, name));
    set_add(w, k, lane);
}

static void run_zadd(struct world *w, struct key *k, const struct command *c)
{
    static const char *const flags[] = {"NX", "XX", "GT", "LT", "CH", "INCR"};
    bool only_old = false;
    size_t i = 2;
    for (size_t f = 0; i < c->count && f < sizeof(flags) / sizeof(flags[0]);) {
        if (!text_named(c->words[i], flags[f])) {
            f++;
            continue;
        }
        only_old = only_old || f == 1;
        f = 0;
        i++;
    }
    for (; i + 1 < c->count && !only_old; i += 2) {
        if (k == w->leases)
            add_lease(w, k, c->words[i + 1]);
        else
            set_add(w, k, c->words[i + 1]);
    }
}

static void run_zrem(struct world *w, struct key *k, const struct command *c)
{
    for (size_t i = 2; i < c->count; i++)
        set_remove(w, k, c->words[i]);
}

/* ---- counters ---- */

static int64_t *field_of(struct delta *fields, size_t *count, struct text name)
{
    for (size_t i = 0; i < *count; i++) {
        if (text_same(fields[i].field, name))
            return &fields[i].n;
    }
    if (*count == FIELDS_MAX)
        return NULL;
    fields[*count] = (struct delta){.field = name};
    return &fields[(*count)++].n;
}

static int64_t *stat_of(struct key *k, struct text name)
{
    if (k->fields == NULL)
        k->fields = mem_new(FIELDS_MAX * sizeof(*k->fields));
    return field_of(k->fields, &k->field_count, name);
}

static void run_hincrby(struct world *w, struct key *k, const struct command *c)
{
    int64_t n, *stat, *delta;
    if (c->count != 4 || !number(c, 3, &n) ||
        (stat = stat_of(k, c->words[2])) == NULL ||
        (delta = field_of(w->deltas, &w->delta_count, c->words[2])) == NULL) {
        unknown(w, k, c);
        return;
    }
    *stat += n;
    *delta += n;
}

static void run_hset(struct world *w, struct key *k, const struct command *c)
{
    for (size_t i = 2; i + 1 < c->count; i += 2) {
        int64_t n = 0, *stat = stat_of(k, c->words[i]);
        (void)number(c, i + 1, &n);
        if (stat == NULL) {
            unknown(w, k, c);
            return;
        }
        *stat = n;
    }
}

static void run_hdel(struct world *w, struct key *k, const struct command *c)
{
    (void)w;
    for (size_t i = 2; i < c->count; i++) {
        for (size_t f = 0; f < k->field_count; f++) {
            if (text_same(k->fields[f].field, c->words[i]))
                k->fields[f--] = k->fields[--k->field_count];
        }
    }
}

static void run_incr(struct world *w, struct key *k, const struct command *c)
{
    int64_t n = 1;
    if (c->count > 2 && !number(c, 2, &n)) {
        unknown(w, k, c);
        return;
    }
    w->fence += n;
    w->fence_by += n;
    w->fence_given = true;
}

/*
 * Sets the fence, or who holds a lock (of one that ends by itself nobody need
 * know), or puts something foreign in the place of any other key.
 */
static void run_set(struct world *w, struct key *k, const struct command *c)
{
    int64_t n;
    if (k->role == ROLE_LOCK && c->count > 2) {
        bool ends =
            c->count > 4 || (c->count == 4 && !text_named(c->words[3], "NX"));
        k->planted = false;
        lock_set(w, k, ends ? (struct text){0} : c->words[2]);
        return;
    }
    if (k->role != ROLE_FENCE || !number(c, 2, &n)) {
        key_plant(w, k);
        return;
    }
    k->planted = false;
    w->fence = n;
    w->fence_given = w->fence_set = true;
}

/* ---- whole keys ---- */

static void delete (struct world *w, struct key *k)
{
    if (k->role == ROLE_FENCE)
        w->fence = 0;
    key_empty(w, k);
}

static void run_del(struct world *w, struct key *k, const struct command *c)
{
    delete (w, k);
    for (size_t i = 2; i < c->count; i++) {
        struct key *other = key_of(w, c->words[i]);
        if (other != NULL)
            delete (w, other);
    }
}

static void run_rename(struct world *w, struct key *k, const struct command *c)
{
    if (c->count == 3)
        key_rename(w, k, key_aside(w, c->words[2]));
    else
        unknown(w, k, c);
}

static void flush(struct world *w)
{
    struct key *k;
    size_t at = 0;
    while ((k = index_next(&w->keys, &at)) != NULL)
        delete (w, k);
}

/* ---- all of them ---- */

static const struct verb {
    const char *name;
    enum type type;
    verb_fn run;
} verbs[] = {
    {"RPUSH", LIST, run_rpush},
    {"LPUSH", LIST, run_lpush},
    {"LTRIM", LIST, run_ltrim},
    {"LREM", LIST, run_lrem},
    {"LMOVE", LIST, run_lmove},
    {"LSET", LIST, run_lset},
    {"LPOP", LIST, run_lpop},
    {"RPOP", LIST, run_rpop},
    {"RPUSHX", LIST, run_rpush},
    {"LPUSHX", LIST, run_lpush},
    {"RPOPLPUSH", LIST, run_rpoplpush},
    {"SORT", LIST, run_sort},
    {"ZADD", SET, run_zadd},
    {"ZREM", SET, run_zrem},
    {"HINCRBY", HASH, run_hincrby},
    {"HSET", HASH, run_hset},
    {"HMSET", HASH, run_hset},
    {"HSETNX", HASH, run_hset},
    {"HDEL", HASH, run_hdel},
    {"INCRBY", STRING, run_incr},
    {"INCR", STRING, run_incr},
    {"SADD", FOREIGN, NULL},
    {"SREM", FOREIGN, NULL},
    {"XADD", FOREIGN, NULL},
    {"APPEND", FOREIGN, NULL},
    {"SET", ANY, run_set},
    {"DEL", ANY, run_del},
    {"UNLINK", ANY, run_del},
    {"RENAME", ANY, run_rename},
    {"RENAMENX", ANY, run_rename},
};

static bool fits(const struct key *k, enum type type)
{
    switch (k->role) {
    case ROLE_READY:
    case ROLE_ACTIVE:
    case ROLE_OUTBOX:
        return type == LIST;
    case ROLE_RETRY:
    case ROLE_SCHEDULED:
    case ROLE_DEAD:
    case ROLE_LEASES:
    case ROLE_REAPED:
    case ROLE_MARKS:
        return type == SET;
    case ROLE_STATS:
        return type == HASH;
    case ROLE_FENCE:
    case ROLE_LOCK:
        return type == STRING;
    case ROLE_ASIDE:
        return (type == LIST && k->members.count == 0) ||
               (type == SET && k->len == 0);
    case ROLE_PLAIN:
        break;
    }
    return false;
}

static const struct verb *verb_of(struct text name)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (text_named(name, verbs[i].name))
            return &verbs[i];
    }
    return NULL;
}

/* The first of its words that names a key that matters, or NULL. */
static struct key *touched(struct world *w, const struct command *c)
{
    for (size_t i = 1; i < c->count; i++) {
        struct key *k = key_of(w, c->words[i]);
        if (k != NULL)
            return k;
    }
    return NULL;
}

static void run_on(struct world *w, const struct verb *v, struct key *k,
                   const struct command *c)
{
    if (v->type == ANY || fits(k, v->type)) {
        k->planted = k->planted && v->type == ANY;
        v->run(w, k, c);
    } else if (key_is_empty(k)) {
        key_plant(w, k); /* a value of another type */
    } else if (!k->planted) {
        unknown(w, k, c);
    }
}

/* A command whose first key is none of ours, but perhaps another one is. */
static void run_foreign(struct world *w, const struct verb *v,
                        const struct command *c)
{
    struct key *k = touched(w, c);
    if (k == NULL)
        return;
    if (v->run == run_del)
        run_del(w, k, c);
    else if (v->run == run_rename)
        key_plant(w, k); /* something foreign has its name now */
    else if (v->run == run_lmove || v->run == run_rpoplpush)
        unknown(w, k, c);
}

void world_apply(struct world *w, const struct command *c)
{
    const struct verb *v = verb_of(c->words[0]);
    bool flush_all = text_named(c->words[0], "FLUSHALL");
    if (text_named(c->words[0], "SELECT")) {
        (void)number(c, 1, &w->db);
    } else if (flush_all || text_named(c->words[0], "FLUSHDB")) {
        if (flush_all || w->db == 0)
            flush(w);
    } else if (w->db != 0) {
        return; /* another one's keys */
    } else if (v != NULL && c->count > 1) {
        struct key *k = key_of(w, c->words[1]);
        if (k != NULL)
            run_on(w, v, k, c);
        else
            run_foreign(w, v, c);
    } else {
        const struct key *k = touched(w, c);
        if (k != NULL)
            unknown(w, k, c);
    }
}
