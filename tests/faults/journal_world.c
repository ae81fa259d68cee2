/*
 * The keys of one queue, by the commands of the journal.
 *
 * The journal says what was done, not why: this file runs it and notes each
 * element that comes or goes. A command that it does not know on a key that
 * matters is a breach: the accountant would no longer know where jobs are.
 *
 * Thread: the test's.
 */
#include "tests/faults/journal_world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum { LINES_MAX = 100 };

/* ---- saying ---- */

void report_breach(struct report *r, uint64_t *kind, const char *fmt, ...)
{
    va_list ap;
    (*kind)++;
    if (r->lines++ >= LINES_MAX)
        return;
    (void)fprintf(r->out,
                  "transaction %llu: ", (unsigned long long)r->transaction);
    va_start(ap, fmt);
    (void)vfprintf(r->out, fmt, ap);
    va_end(ap);
    (void)fputs(r->lines == LINES_MAX ? "\n(and more)\n" : "\n", r->out);
}

const char *role_name(enum role role)
{
    static const char *const names[] = {
        [ROLE_READY] = "ready",       [ROLE_ACTIVE] = "active",
        [ROLE_RETRY] = "retry",       [ROLE_SCHEDULED] = "scheduled",
        [ROLE_DEAD] = "dead",         [ROLE_OUTBOX] = "outbox",
        [ROLE_ASIDE] = "another key", [ROLE_LEASES] = "leases",
        [ROLE_REAPED] = "reaped",     [ROLE_STATS] = "stats",
        [ROLE_FENCE] = "fence",       [ROLE_LOCK] = "a lock",
        [ROLE_MARKS] = "cancelled",   [ROLE_PLAIN] = "no key of jobs"};
    return names[role];
}

/* ---- keys ---- */

static enum role role_of(const struct world *w, struct text name,
                         struct text *ret_lane)
{
    static const struct {
        const char *suffix;
        enum role role;
    } roles[] = {{":retry", ROLE_RETRY},    {":scheduled", ROLE_SCHEDULED},
                 {":dead", ROLE_DEAD},      {":outbox", ROLE_OUTBOX},
                 {":leases", ROLE_LEASES},  {":reaped", ROLE_REAPED},
                 {":stats", ROLE_STATS},    {":fence", ROLE_FENCE},
                 {":cancelled", ROLE_MARKS}};
    static const char active[] = ":active:", lock[] = ":unique:";
    *ret_lane = (struct text){0};
    if (name.len < w->prefix_len ||
        memcmp(name.p, w->prefix, w->prefix_len) != 0)
        return ROLE_PLAIN;
    struct text rest = {name.p + w->prefix_len, name.len - w->prefix_len};
    if (rest.len == 0)
        return ROLE_READY;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (text_is(rest, roles[i].suffix))
            return roles[i].role;
    }
    if (rest.len > sizeof(active) - 1 &&
        memcmp(rest.p, active, sizeof(active) - 1) == 0) {
        *ret_lane = (struct text){rest.p + sizeof(active) - 1,
                                  rest.len - (sizeof(active) - 1)};
        return ROLE_ACTIVE;
    }
    if (rest.len > sizeof(lock) - 1 &&
        memcmp(rest.p, lock, sizeof(lock) - 1) == 0)
        return ROLE_LOCK;
    return ROLE_PLAIN;
}

static struct key *key_new(struct world *w, struct text name, enum role role)
{
    struct key *k = mem_new(sizeof(*k));
    k->name = mem_dup(name.p, name.len);
    name.p = k->name;
    (void)role_of(w, name, &k->lane);
    k->role = role;
    index_put(&w->keys, name, k);
    return k;
}

struct key *key_of(struct world *w, struct text name)
{
    struct text lane;
    struct key *k = index_get(&w->keys, name);
    enum role role = role_of(w, name, &lane);
    if (k != NULL || role == ROLE_PLAIN)
        return k;
    return key_new(w, name, role);
}

struct key *key_aside(struct world *w, struct text name)
{
    struct key *k = key_of(w, name);
    return k != NULL ? k : key_new(w, name, ROLE_ASIDE);
}

bool key_holds_jobs(const struct key *k)
{
    return k->role <= ROLE_ASIDE;
}

void world_init(struct world *w, const char *queue, struct report *report)
{
    *w = (struct world){.report = report};
    w->prefix = mem_printf("belt:{%s}", queue);
    w->prefix_len = strlen(w->prefix);
    struct {
        const char *suffix;
        enum role role;
        struct key **at;
    } keys[] = {{"leases", ROLE_LEASES, &w->leases},
                {"reaped", ROLE_REAPED, &w->reaped},
                {"stats", ROLE_STATS, &w->stats_key},
                {"cancelled", ROLE_MARKS, &w->marks}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char *name = mem_printf("%s:%s", w->prefix, keys[i].suffix);
        *keys[i].at =
            key_new(w, (struct text){name, strlen(name)}, keys[i].role);
        free(name);
    }
}

static void free_elements(struct key *k)
{
    struct element *e;
    size_t at = 0;
    while ((e = k->first) != NULL) {
        k->first = e->next;
        free(e);
    }
    while ((e = index_next(&k->members, &at)) != NULL)
        free(e);
    index_done(&k->members);
    free(k->fields);
}

void world_done(struct world *w)
{
    struct key *k;
    size_t at = 0;
    world_forget(w);
    while ((k = index_next(&w->keys, &at)) != NULL) {
        free_elements(k);
        free(k->name);
        free(k);
    }
    index_done(&w->keys);
    index_done(&w->held);
    free(w->changes);
    free(w->prefix);
}

/* ---- changes ---- */

static void note(struct world *w, struct key *k, struct element *e,
                 struct change c)
{
    if (!key_holds_jobs(k)) {
        if (!c.came)
            free(e);
        return;
    }
    if (k->role != ROLE_DEAD && !c.came && e->came_as > 0 && e->job == NULL) {
        w->changes[e->came_as - 1].passing = true; /* in this transaction */
        w->passing = true;
        return;
    }
    if (w->change_count == w->change_cap) {
        w->change_cap = w->change_cap > 0 ? 2 * w->change_cap : 256;
        w->changes = mem_resize(w->changes, w->change_cap * sizeof(c));
    }
    c.element = e;
    c.role = k->role;
    c.key = k;
    c.leased = k->role == ROLE_ACTIVE && world_has_lease(w, k->lane);
    w->changes[w->change_count++] = c;
    if (e != NULL)
        e->came_as = c.came ? w->change_count : 0;
}

void world_settle(struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; w->passing && i < w->change_count; i++) {
        if (w->changes[i].passing)
            free(w->changes[i].element);
        else
            w->changes[n++] = w->changes[i];
    }
    if (w->passing)
        w->change_count = n;
    w->passing = false;
}

void world_forget(struct world *w)
{
    for (size_t i = 0; i < w->change_count; i++) {
        struct element *e = w->changes[i].element;
        if (!w->changes[i].came)
            free(e);
        else if (e != NULL)
            e->came_as = 0;
    }
    if (w->unmarked.count > 0)
        index_done(&w->unmarked);
    w->unmarked = (struct index){0};
    w->change_count = w->delta_count = 0;
    w->fence_given = w->fence_set = false;
    w->fence_by = 0;
}

static struct element *element_new(const struct key *k, struct text bytes)
{
    struct element *e = mem_new(sizeof(*e));
    e->bytes = bytes;
    if (key_holds_jobs(k))
        e->envelope = envelope_read(bytes);
    return e;
}

/* ---- lists ---- */

static void link_at_end(struct key *k, struct element *e)
{
    e->at = ++k->last_at;
    e->prev = k->last;
    e->next = NULL;
    *(k->last != NULL ? &k->last->next : &k->first) = e;
    k->last = e;
    k->len++;
}

static void link_at_head(struct key *k, struct element *e)
{
    e->at = k->first_at--;
    e->next = k->first;
    e->prev = NULL;
    *(k->first != NULL ? &k->first->prev : &k->last) = e;
    k->first = e;
    k->len++;
}

static void list_insert(struct world *w, struct key *k, struct element *e,
                        bool head)
{
    if (head)
        link_at_head(k, e);
    else
        link_at_end(k, e);
    note(w, k, e, (struct change){.came = true, .at_head = head});
}

void list_add(struct world *w, struct key *k, struct text bytes, bool head)
{
    list_insert(w, k, element_new(k, bytes), head);
}

void list_remove(struct world *w, struct key *k, struct element *e,
                 enum how how)
{
    *(e->prev != NULL ? &e->prev->next : &k->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &k->last) = e->prev;
    k->len--;
    note(w, k, e, (struct change){.how = how});
}

void list_move(struct world *w, struct key *from, struct element *e,
               struct key *to, bool head)
{
    struct element *copy = element_new(to, e->bytes);
    copy->job = e->job;
    list_remove(w, from, e, HOW_MOVED);
    list_insert(w, to, copy, head);
}

void list_set(struct world *w, struct key *k, struct element *e,
              struct text bytes)
{
    struct element *copy = element_new(k, bytes);
    copy->job = e->job;
    copy->at = e->at;
    copy->prev = e->prev;
    copy->next = e->next;
    *(e->prev != NULL ? &e->prev->next : &k->first) = copy;
    *(e->next != NULL ? &e->next->prev : &k->last) = copy;
    note(w, k, e, (struct change){.how = HOW_MOVED});
    note(w, k, copy, (struct change){.came = true});
}

/* ---- sets ---- */

void set_add(struct world *w, struct key *k, struct text member)
{
    if (index_get(&k->members, member) != NULL)
        return; /* another score */
    struct element *e = element_new(k, member);
    index_put(&k->members, e->bytes, e);
    note(w, k, e, (struct change){.came = true});
}

void set_remove(struct world *w, struct key *k, struct text member)
{
    struct element *e = index_remove(&k->members, member);
    if (e != NULL && k == w->marks && index_get(&w->unmarked, member) == NULL)
        index_put(&w->unmarked, member, k);
    if (e != NULL)
        note(w, k, e, (struct change){.how = HOW_REMOVED});
}

/* ---- whole keys ---- */

void lock_set(struct world *w, struct key *k, struct text id)
{
    if (k->holder.p != NULL && index_get(&w->held, k->holder) == k)
        (void)index_remove(&w->held, k->holder);
    k->holder = id;
    if (id.p != NULL && index_get(&w->held, id) == NULL)
        index_put(&w->held, id, k);
}

void key_empty(struct world *w, struct key *k)
{
    struct element *e;
    size_t at = 0;
    lock_set(w, k, (struct text){0});
    while (k->first != NULL)
        list_remove(w, k, k->first, HOW_KILLED);
    while ((e = index_next(&k->members, &at)) != NULL)
        note(w, k, e, (struct change){.how = HOW_KILLED});
    index_done(&k->members);
    k->field_count = 0;
    k->planted = false;
}

void key_plant(struct world *w, struct key *k)
{
    key_empty(w, k);
    k->planted = true;
}

bool key_is_empty(const struct key *k)
{
    return k->holder.p == NULL && k->len == 0 && k->members.count == 0 &&
           k->field_count == 0 && !k->planted;
}

void key_rename(struct world *w, struct key *from, struct key *to)
{
    struct key held = *from;
    if (from == to)
        return;
    key_empty(w, to);
    from->planted = false;
    from->first = from->last = NULL;
    from->len = 0;
    from->members = (struct index){0};
    from->fields = to->fields;
    from->field_count = 0;
    to->planted = held.planted;
    to->first = held.first;
    to->last = held.last;
    to->first_at = held.first_at;
    to->last_at = held.last_at;
    to->len = held.len;
    to->members = held.members;
    to->fields = held.fields;
    to->field_count = held.field_count;
    if (from->role == ROLE_ACTIVE && to->role == ROLE_ACTIVE) {
        note(w, to, NULL, (struct change){.came = true, .how = HOW_RENAMED});
        w->changes[w->change_count - 1].leased = world_has_lease(w, from->lane);
    }
}

/* ---- what the accountant asks ---- */

bool world_has_lease(const struct world *w, struct text lane)
{
    return index_get(&w->leases->members, lane) != NULL;
}

bool world_locks(const struct world *w, struct text id)
{
    return index_get(&w->held, id) != NULL;
}

bool world_marks(const struct world *w, struct text id)
{
    return index_get(&w->marks->members, id) != NULL;
}

bool world_unmarked(const struct world *w, struct text id)
{
    return index_get(&w->unmarked, id) != NULL;
}

bool world_counts(const struct world *w)
{
    return !w->stats_key->planted;
}

int64_t world_delta(const struct world *w, const char *field)
{
    for (size_t i = 0; i < w->delta_count; i++) {
        if (text_is(w->deltas[i].field, field))
            return w->deltas[i].n;
    }
    return 0;
}
