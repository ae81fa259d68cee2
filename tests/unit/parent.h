#ifndef TESTS_UNIT_PARENT_H
#define TESTS_UNIT_PARENT_H

#include "common/base/chan.h"
#include "tests/unit/runner.h"
#include "worker/pool.h"
#include "worker/subtask.h"

/*
 * Parents of sub-tasks for tests: a pool of parents, the second tier, and a
 * parent that is the test's own thread. All of it fails the test when
 * something goes wrong. Types: noop, echo, sleep (an hour, or "ms"), fail, bad
 * (dead), stay (ignores TERM; makes the file "up") and parent (parent_body).
 */
enum { PATIENCE_MS = 20 * 1000, PARENTS_MAX = 16 };

struct parents {
    struct runner_fixture *f;
    struct handlers *hs;
    struct subtask_pool *tier;
    struct chan *jobs, *outcomes;
    int wake_fd;
    struct pool *pool;  /* of parents */
    struct delivery *d; /* the test's parent */
    struct subtasks *s; /* its sub-tasks */
};

/* What the handler of type "parent" does. */
extern void (*parent_body)(struct delivery *d, struct subtasks *s, int cancel);

struct parents *parents_start_with(void **state, struct subtask_config cfg);
struct delivery *parents_new(struct parents *x, const char *more);
struct parents *parents_start(void **state, unsigned threads, unsigned window);
void parents_stop(struct parents *x);
void parent_set(struct parents *x, struct subtasks_options o);
struct json_span text_span(const char *text);
int parent_try_emit(struct parents *x, const char *type, const char *payload,
                    const char *key);
void parent_emit(struct parents *x, const char *type, const char *payload,
                 const char *key);
struct subtask *parent_next(struct parents *x);
void parent_expect_next(struct parents *x, int64_t number,
                        enum subtask_state state, const char *text);
void parent_expect_none(struct parents *x);
void parent_finish(struct parents *x, enum verdict said);
void parent_cancel(struct parents *x, enum cancel why);
void parents_wait_busy(struct parents *x, unsigned n);
struct delivery *parents_next_outcome(struct parents *x);

#endif
