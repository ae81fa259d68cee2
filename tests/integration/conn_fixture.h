#ifndef TESTS_INTEGRATION_CONN_FIXTURE_H
#define TESTS_INTEGRATION_CONN_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/conn.h"

struct event_base;

enum { PATIENCE_MS = 20 * 1000, FIXTURE_ANSWERS = 2048 };

/* What came back for one call. */
struct answer {
    struct fixture *f;
    int times; /* its callback ran */
    int err;
    int64_t n;      /* of an integer */
    char text[160]; /* of a string or error, cut */
    size_t len;     /* of that, uncut */
};

/* A loop, a connection on it, and what they told. */
struct fixture {
    struct event_base *base;
    struct conn *c;
    struct conn_config cfg;
    int ups, downs, down_err;
    char why[256];
    struct answer answers[FIXTURE_ANSWERS];
    int asked, answered;

    /* With cfg.on_message = fixture_on_message: how many, and the last one. */
    int messages;
    char channel[64], message[64];

    /* What fixture_wait_* wait for; run inside on_down if not NULL. */
    int want;
    void (*when_down)(struct fixture *f);
};

/* Returns an owned fixture for url; change f->cfg before fixture_open. */
struct fixture *fixture_new(const char *url) ON_LOOP;
void fixture_free(struct fixture *f) ON_LOOP;
void fixture_open(struct fixture *f) ON_LOOP;
void fixture_up(struct fixture *f) ON_LOOP; /* opens, and waits for on_up */

/* Sends words, up to a NULL; returns where the answer will be. */
struct answer *fixture_call(struct fixture *f,
                            const char *const *words) ON_LOOP;
struct answer *fixture_call_until(struct fixture *f, const char *const *words,
                                  int64_t deadline_ms, bool blocking) ON_LOOP;
struct answer *fixture_answer(struct fixture *f); /* for fixture_on_reply */
void fixture_on_reply(void *arg, int err, const struct reply *r);

#define CALL(f, ...) fixture_call(f, (const char *[]){__VA_ARGS__, NULL})

void fixture_on_message(void *arg, const char *channel, const char *text,
                        size_t len);

/* End the test unless it happens: all answers, n times on_up, on_down. */
void fixture_wait_answers(struct fixture *f);
void fixture_wait_ups(struct fixture *f, int n);
void fixture_wait_downs(struct fixture *f, int n);
void fixture_wait_messages(struct fixture *f, int n);

#endif
