#ifndef TESTS_INTEGRATION_SERVE_ADMIN_H
#define TESTS_INTEGRATION_SERVE_ADMIN_H

#include <jansson.h>

#include "tests/integration/http_fixture.h"
#include "tests/unit/unit.h"

/*
 * Tests of what people do by HTTP: one server for a program, whose Redis is
 * emptied before each test, and answers as JSON.
 */
extern struct web web;

int admin_begin(void **state); /* for the group */
int admin_end(void **state);
int admin_clear(void **state); /* for each test */

/* Returns what the answer of this status has, lent until the next call. */
const json_t *ask(const char *method, const char *path, const char *body,
                  int status);

/* A header of the last answer; lent until the next call. */
const char *last_header(const char *name);

/* The same at a place: "queues", "0", "ready" are names and numbers of the
 * last answer, NULL at the end. Fails if there is none. */
const json_t *at(const json_t *v, ...);
#define AT(v, ...) at(v, __VA_ARGS__, NULL)

void expect_int(const json_t *v, json_int_t n);
void expect_text(const json_t *v, const char *text);
#define INT(v, n, ...) expect_int(AT(v, __VA_ARGS__), n)
#define TEXT(v, text, ...) expect_text(AT(v, __VA_ARGS__), text)

/* The problem has this kind, and, unless NULL, an error at this place. */
void expect_problem(const json_t *v, const char *kind, const char *pointer);

#endif
