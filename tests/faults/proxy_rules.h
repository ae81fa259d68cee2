#ifndef TESTS_FAULTS_PROXY_RULES_H
#define TESTS_FAULTS_PROXY_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/faults/resp.h"

/*
 * Rules of the fault proxy: which command is to be cut where (proxy.h has the
 * words), and how many commands and cuts there were on each link.
 */
enum { COMMAND_NAME_MAX = 2 * RESP_WORD_MAX + 2 };

enum point { POINT_NONE, POINT_BEFORE, POINT_AFTER, POINT_MIDDLE, POINT_LATE };

struct rule;
struct rules;

/* What is to happen to one command. */
struct verdict {
    enum point point;
    int64_t bytes;     /* of POINT_MIDDLE; -1: half of the reply */
    struct rule *rule; /* lent until rules_forget; NULL: made by chance */
};

struct rules *rules_new(unsigned links); /* returns owned */
void rules_free(struct rules *r);

/*
 * Reads "cut …" or "chance …", its words split. Returns NULL, or what is wrong
 * with it: a static text.
 */
const char *rules_add(struct rules *r, unsigned n, char *const *words);

/* The command by name: BLMOVE, CLIENT|UNBLOCK, fetch. */
void command_name(const struct resp *command, char out[COMMAND_NAME_MAX]);

/* A command came on the link: what is to happen to it. */
struct verdict rules_judge(struct rules *r, unsigned link, const char *name);

/*
 * The verdict was carried out; its connection ended before, so that the rule
 * waits for the next one; the reply has no such place.
 */
void rules_fired(struct rules *r, unsigned link, const struct verdict *v);
void rules_missed(const struct verdict *v);
void rules_over(const struct verdict *v);

/* All rules. Verdicts that were given and not carried out end with them. */
void rules_forget(struct rules *r);

/* A command was passed on. How many there were of a name; of cuts. */
void rules_passed(struct rules *r, unsigned link, const char *name);
#define ALL_LINKS UINT32_MAX
int64_t rules_seen(const struct rules *r, unsigned link, const char *name);
int64_t rules_fired_count(const struct rules *r, unsigned link);

#endif
