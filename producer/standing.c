/*
 * Standing: the news of a job, held against what is known besides.
 *
 * Thread: that of the client.
 */
#include "producer/standing.h"

#include <string.h>

static void on_score(void *arg, const struct reply *r);

bool standing_is_kept(const struct standing *s)
{
    return s->kept.values[KEPT_state] != NULL;
}

void standing_done(struct standing *s)
{
    kept_done(&s->kept);
    found_done(&s->found);
    *s = (struct standing){0};
}

/* What was told, unless it is known to have passed. */
const char *standing_state(const struct standing *s, int64_t now_ms)
{
    const struct kept *k = &s->kept;

    if (!standing_is_kept(s))
        return s->found.job ? place_name(s->found.place) : NULL;
    if ((kept_is(k, "retry") || kept_is(k, "scheduled")) &&
        kept_int(k, KEPT_due_at, INT64_MAX) <= now_ms)
        return "ready";
    if (kept_is(k, "active") && k->values[KEPT_lane] && !s->leased)
        return "recovering";
    return k->values[KEPT_state];
}

/* The id of a lane without the number behind the last dot. */
const char *standing_worker(const struct standing *s, size_t *ret_len)
{
    const char *lane = s->found.lane, *dot = strrchr(lane, '.');

    *ret_len = dot ? (size_t)(dot - lane) : strlen(lane);
    return *ret_len > 0 ? lane : NULL;
}

static void on_score(void *arg, const struct reply *r)
{
    *(bool *)arg = !reply_is_nil(r);
}

static void ask_lease(struct client *c, const struct keys *keys,
                      struct standing *s)
{
    struct args a = {0};

    args_str(&a, "ZSCORE");
    args_str(&a, keys->leases);
    args_mem(&a, s->kept.values[KEPT_lane], s->kept.lens[KEPT_lane]);
    client_call(c, &a, on_score, &s->leased);
    args_done(&a);
}

static bool depends_on_lane(const struct standing *s)
{
    return kept_is(&s->kept, "active") && s->kept.values[KEPT_lane];
}

/* A round for all that is kept, one for the lanes of what is active. */
static int ask_kept(struct client *c, const char *ns, struct standing *all,
                    size_t n, int64_t *ret_now_ms)
{
    struct keys keys;
    int status;

    for (size_t i = 0; i < n; i++) {
        if (all[i].name.queue[0] == '\0')
            continue;
        keys_init(&keys, ns, all[i].name.queue);
        kept_ask(c, &keys, all[i].name.id, &all[i].kept);
    }
    status = client_now(c, ret_now_ms);
    for (size_t i = 0; i < n && status == 0; i++) {
        if (!depends_on_lane(&all[i]))
            continue;
        keys_init(&keys, ns, all[i].name.queue);
        ask_lease(c, &keys, &all[i]);
    }
    return status ? status : client_wait(c);
}

/* What a round could not tell: one by one. */
static int look_for(struct client *c, const char *ns, struct standing *s)
{
    struct keys keys;

    if (s->name.queue[0] == '\0')
        return 0;
    keys_init(&keys, ns, s->name.queue);
    if (!standing_is_kept(s))
        return find_job(c, &keys, s->name.id, PLACES_CHEAP, PLACE_NONE,
                        &s->found);
    if (depends_on_lane(s) && !s->leased)
        return find_lease(c, &keys, s->kept.values[KEPT_lane], &s->leased);
    return 0;
}

int standing_ask(struct client *c, const char *ns, struct standing *all,
                 size_t n, int64_t *ret_now_ms)
{
    int status = ask_kept(c, ns, all, n, ret_now_ms);

    for (size_t i = 0; i < n && status == 0; i++)
        status = look_for(c, ns, &all[i]);
    return status;
}
