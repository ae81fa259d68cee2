#ifndef TESTS_UNIT_CONFIG_FIXTURE_H
#define TESTS_UNIT_CONFIG_FIXTURE_H

#include "tests/unit/unit.h"
#include "worker/options.h"

/*
 * Options read from flags and a configuration file in a directory of its own,
 * with none of our variables in the environment.
 */
struct conf {
    char dir[32], path[64];
    struct options o;
    struct errbuf eb;
    int rc;
};

int conf_setup(void **state);
int conf_teardown(void **state);

/* Creates a file in the directory. Returns its path, lent until teardown. */
const char *conf_file(struct conf *c, const char *name, const char *text);

/*
 * Reads options anew: flags, NULL at the end, then -c and a file of text; no
 * -c if text is NULL.
 */
void conf_parse(struct conf *c, const char *const *flags, const char *text);

/* The same, and fails the test unless it succeeds. */
void conf_read(struct conf *c, const char *const *flags, const char *text);

/* Fails the test unless the file is wrong in these lines exactly, FILE being
 * the name of the file: "FILE:1: …\n". */
void conf_expect_wrong(struct conf *c, const char *text, const char *lines);

#define NO_FLAGS ((const char *const[]){NULL})

#endif
