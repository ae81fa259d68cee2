/*
 * What the tests of connections share.
 *
 * Thread: the test's, which is the loop thread.
 */
#include "tests/integration/conn_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/support/wait.h"
#include "tests/unit/unit.h"

static void on_up(void *arg)
{
    struct fixture *f = arg;

    f->ups++;
}

static void on_down(void *arg, int err, const char *why)
{
    struct fixture *f = arg;

    f->downs++;
    f->down_err = err;
    snprintf(f->why, sizeof(f->why), "%s", why);
    if (f->when_down)
        f->when_down(f);
}

void fixture_on_message(void *arg, const char *channel, const char *text,
                        size_t len)
{
    struct fixture *f = arg;

    f->messages++;
    snprintf(f->channel, sizeof(f->channel), "%s", channel);
    snprintf(f->message, sizeof(f->message), "%.*s", (int)(len < 63 ? len : 63),
             text);
}

struct fixture *fixture_new(const char *url)
{
    struct fixture *f = mem_new(sizeof(*f));
    struct event_config *ec = event_config_new();
    struct errbuf eb;

    event_config_set_flag(ec, EVENT_BASE_FLAG_NOLOCK);
    f->base = event_base_new_with_config(ec);
    event_config_free(ec);
    f->cfg = (struct conn_config){.on_up = on_up, .on_down = on_down, .arg = f};
    if (url_parse(url, &f->cfg.url, &eb) != 0)
        fail_msg("%s", eb.text);
    return f;
}

void fixture_free(struct fixture *f)
{
    conn_free(f->c);
    event_base_free(f->base);
    free(f);
}

void fixture_open(struct fixture *f)
{
    f->c = conn_new(f->base, &f->cfg);
    conn_open(f->c);
}

void fixture_up(struct fixture *f)
{
    fixture_open(f);
    fixture_wait_ups(f, 1);
}

void fixture_on_reply(void *arg, int err, const struct reply *r)
{
    struct answer *a = arg;
    const char *p = "";

    a->times++;
    a->err = err;
    a->f->answered++;
    if (!r)
        return;
    if (reply_is_error(r)) {
        p = reply_error(r);
        a->len = strlen(p);
    } else if (!reply_int(r, &a->n)) {
        reply_str(r, &p, &a->len);
    }
    snprintf(a->text, sizeof(a->text), "%.*s",
             (int)(a->len < 159 ? a->len : 159), p);
}

struct answer *fixture_answer(struct fixture *f)
{
    assert_true(f->asked < FIXTURE_ANSWERS);
    struct answer *a = &f->answers[f->asked++];
    a->f = f;
    return a;
}

struct answer *fixture_call_until(struct fixture *f, const char *const *words,
                                  int64_t deadline_ms, bool blocking)
{
    struct answer *a = fixture_answer(f);
    struct args args = {0};

    for (; *words; words++)
        args_str(&args, *words);
    assert_int_equal(
        conn_call(f->c, &args, deadline_ms, blocking, fixture_on_reply, a), 0);
    assert_int_equal(a->times, 0);
    args_done(&args);
    return a;
}

struct answer *fixture_call(struct fixture *f, const char *const *words)
{
    return fixture_call_until(f, words, clock_ms() + PATIENCE_MS, false);
}

static bool all_answered(void *arg)
{
    const struct fixture *f = arg;

    return f->answered == f->asked;
}

static bool ups_reached(void *arg)
{
    const struct fixture *f = arg;

    return f->ups >= f->want;
}

static bool downs_reached(void *arg)
{
    const struct fixture *f = arg;

    return f->downs >= f->want;
}

static bool messages_reached(void *arg)
{
    const struct fixture *f = arg;

    return f->messages >= f->want;
}

void fixture_wait_messages(struct fixture *f, int n)
{
    f->want = n;
    if (!loop_until(f->base, messages_reached, f, PATIENCE_MS))
        fail_msg("%d of %d messages", f->messages, n);
}

void fixture_wait_answers(struct fixture *f)
{
    if (!loop_until(f->base, all_answered, f, PATIENCE_MS))
        fail_msg("%d of %d answers", f->answered, f->asked);
    for (int i = 0; i < f->asked; i++)
        assert_int_equal(f->answers[i].times, 1);
}

void fixture_wait_ups(struct fixture *f, int n)
{
    f->want = n;
    if (!loop_until(f->base, ups_reached, f, PATIENCE_MS))
        fail_msg("up %d of %d times, down %d: %s", f->ups, n, f->downs, f->why);
}

void fixture_wait_downs(struct fixture *f, int n)
{
    f->want = n;
    if (!loop_until(f->base, downs_reached, f, PATIENCE_MS))
        fail_msg("down %d of %d times: %s", f->downs, n, f->why);
}
