/*
 * Control: hears at once what lanes would learn at their next renewal.
 *
 * One connection for all lanes, which does nothing but listen. Whoever changes
 * something publishes a word on the channel of the queue; what is so is then
 * asked of Redis, so a message that is lost, doubled or a lie does no harm,
 * and without the right to subscribe everything goes on as slowly as renewals
 * come.
 *
 * Thread: event loop only.
 */
#include "worker/control.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/cron.h"
#include "worker/lane.h"

enum { INSTANT_DIGITS_MAX = 15 };

struct control {
    struct agent *agent; /* borrowed */
    struct conn *conn;   /* owned */
    bool refused_said;
};

static void on_up(void *arg);
static void on_subscribed(void *arg, int err, const struct reply *r);
static void on_message(void *arg, const char *channel, const char *text,
                       size_t len);

struct control *control_start(struct agent *a)
{
    struct control *c = mem_new(sizeof(*c));
    char *name = mem_printf("%s:control", a->id);
    struct conn_config cfg = {.url = a->cfg->url,
                              .name = name,
                              .on_up = on_up,
                              .on_message = on_message,
                              .arg = c};
    c->agent = a;
    c->conn = conn_new(a->base, &cfg);
    conn_open(c->conn);
    free(name);
    return c;
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    conn_free(c->conn);
    free(c);
}

/* ---- subscribing ---- */

void control_add(struct control *c, const struct lane *lane)
{
    struct args a = {0};
    if (c == NULL || !conn_is_up(c->conn))
        return; /* on_up will */
    args_str(&a, "SUBSCRIBE");
    args_str(&a, lane->keys.control);
    (void)conn_call(c->conn, &a, clock_ms() + QUEUE_DEADLINE_MS, false,
                    on_subscribed, c);
    args_done(&a);
}

static void on_up(void *arg)
{
    loop_role_assert();
    struct control *c = arg;
    for (unsigned i = 0; i < c->agent->lane_count; i++)
        control_add(c, c->agent->lanes[i]);
}

static struct lane *lane_of(const struct control *c, const char *channel)
{
    const struct agent *a = c->agent;
    for (unsigned i = 0; i < a->lane_count; i++) {
        if (strcmp(a->lanes[i]->keys.control, channel) == 0)
            return a->lanes[i];
    }
    return NULL;
}

static void on_subscribed(void *arg, int err, const struct reply *r)
{
    loop_role_assert();
    struct control *c = arg;
    const char *channel;
    size_t len;
    if (err != 0)
        return;
    /* What was published before this did not come here. */
    if (reply_str(reply_at(r, 1), &channel, &len) &&
        lane_of(c, channel) != NULL)
        lane_renew_soon(lane_of(c, channel));
    if (!reply_is_error(r) || c->refused_said)
        return;
    c->refused_said = true;
    LOG_WARN("control", F_STR("error", reply_error(r)),
             F_STR("so", "a pause or a cancel is heard of at the next renewal "
                         "only"));
}

/* ---- hearing ---- */

/* "due <instant>", of Redis' clock. */
static bool read_due(const char *text, size_t len, int64_t *ret_ms)
{
    static const char due[] = "due ";
    size_t skip = sizeof(due) - 1;
    int64_t ms = 0;
    if (len <= skip || len > skip + INSTANT_DIGITS_MAX ||
        memcmp(text, due, skip) != 0)
        return false;
    for (size_t i = skip; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        ms = ms * 10 + (text[i] - '0');
    }
    *ret_ms = ms;
    return true;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* What nobody here understands is of a newer version, or of a stranger. */
static void hear(struct lane *lane, const char *text, size_t len) ON_LOOP;

static void hear(struct lane *lane, const char *text, size_t len)
{
    int64_t due_ms;
    if (lane->state != LANE_UP)
        return; /* its first renewal will tell */
    if (read_due(text, len, &due_ms)) {
        int64_t wait_ms = due_ms - lane_now_ms(lane);
        if (wait_ms < QUEUE_WAIT_MAX_MS)
            lane_promote_in(lane, wait_ms > 0 ? wait_ms : 0);
    } else if (is_word(text, len, "outbox")) {
        lane->outbox_seen++; /* who put it there does not bring it on */
        lane_renew_soon(lane);
    } else if (is_word(text, len, "cron")) {
        cron_watch_changed(lane->cron);
        lane_renew_soon(lane);
    } else if (is_word(text, len, "pause") || is_word(text, len, "cancel")) {
        lane_renew_soon(lane);
    }
}

static void on_message(void *arg, const char *channel, const char *text,
                       size_t len)
{
    loop_role_assert();
    struct lane *lane = lane_of(arg, channel);
    if (lane != NULL)
        hear(lane, text, len);
}
