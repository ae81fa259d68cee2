/*
 * Rules: which command is to be cut where.
 *
 * A rule that chose its command is busy until the cut was made: if the
 * connection ends before (its reply never came), it waits for the next such
 * command, so that a rule ends with its cut and not without one.
 *
 * Thread: the proxy's.
 */
#include "tests/faults/proxy_rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "common/base/mem.h"
#include "common/redis/script.h"

enum { NAMES_MAX = 256 };

struct rule {
    LIST_ENTRY(rule) link;
    unsigned on; /* a link */
    enum point point;
    char command[COMMAND_NAME_MAX];
    int64_t bytes;
    uint64_t nth; /* until its turn; 0: by chance */
    uint64_t permille, random;
    bool busy;
};

struct seen {
    unsigned on;
    char command[COMMAND_NAME_MAX];
    int64_t n;
};

struct rules {
    unsigned links;
    LIST_HEAD(, rule) all; /* owned */
    int64_t *fired;        /* owned: by link */
    struct seen *seen;     /* owned */
    size_t seen_count;
};

struct rules *rules_new(unsigned links)
{
    struct rules *r = mem_new(sizeof(*r));
    r->links = links;
    r->fired = mem_new(links * sizeof(*r->fired));
    LIST_INIT(&r->all);
    return r;
}

void rules_forget(struct rules *r)
{
    while (!LIST_EMPTY(&r->all)) {
        struct rule *rule = LIST_FIRST(&r->all);
        LIST_REMOVE(rule, link);
        free(rule);
    }
}

void rules_free(struct rules *r)
{
    rules_forget(r);
    free(r->fired);
    free(r->seen);
    free(r);
}

/* ---- names ---- */

static const char *verb_of(const char *sha)
{
    for (int s = 0; s < SCRIPT_COUNT; s++) {
        if (strcasecmp(script_sha((enum script)s), sha) == 0)
            return script_name((enum script)s);
    }
    return NULL;
}

void command_name(const struct resp *command, char out[COMMAND_NAME_MAX])
{
    static const char *const containers[] = {"CLIENT", "SCRIPT", "CONFIG"};
    const char *first = command->words[0].text;
    const char *second = command->words[1].text;
    const char *verb =
        strcasecmp(first, "EVALSHA") == 0 ? verb_of(second) : NULL;
    if (verb != NULL) {
        (void)snprintf(out, COMMAND_NAME_MAX, "%s", verb);
        return;
    }
    bool with_second = false;
    for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++)
        with_second = with_second || strcasecmp(first, containers[i]) == 0;
    (void)snprintf(out, COMMAND_NAME_MAX, "%s%s%s", first,
                   with_second ? "|" : "", with_second ? second : "");
    for (char *p = out; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
}

/* * is any, and CLIENT is every CLIENT|…. */
static bool is_meant(const char *pattern, const char *name)
{
    size_t n = strlen(pattern);
    return strcmp(pattern, "*") == 0 || (strncmp(pattern, name, n) == 0 &&
                                         (name[n] == '\0' || name[n] == '|'));
}

/* ---- reading rules ---- */

static bool read_number(const char *text, uint64_t min, uint64_t max,
                        uint64_t *ret)
{
    char *end = NULL;
    uint64_t n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < min || n > max)
        return false;
    *ret = n;
    return true;
}

static enum point read_point(const char *word)
{
    static const char *const points[] = {[POINT_BEFORE] = "before",
                                         [POINT_AFTER] = "after",
                                         [POINT_MIDDLE] = "middle",
                                         [POINT_LATE] = "late"};
    for (int i = POINT_BEFORE; i <= POINT_LATE; i++) {
        if (strcmp(points[i], word) == 0)
            return (enum point)i;
    }
    return POINT_NONE;
}

/* word LINK POINT COMMAND NTH [BYTES], or … PERMILLE SEED for chance. */
const char *rules_add(struct rules *r, unsigned n, char *const *words)
{
    bool chance = strcmp(words[0], "chance") == 0;
    struct rule rule = {.bytes = -1};
    uint64_t on, number = 0;
    if (chance ? n != 6 : n != 5 && n != 6)
        return "a word too many or too few";
    if (!read_number(words[1], 0, r->links - 1, &on))
        return "no such link";
    rule.point = read_point(words[2]);
    if (rule.point == POINT_NONE)
        return "no such point";
    if (n == 6 && !chance && rule.point != POINT_MIDDLE)
        return "bytes are for middle";
    if (strlen(words[3]) >= sizeof(rule.command))
        return "no such command";
    if (!read_number(words[4], chance ? 0 : 1, chance ? 1000 : UINT32_MAX,
                     chance ? &rule.permille : &rule.nth) ||
        (n == 6 && !read_number(words[5], 0, INT64_MAX, &number)))
        return "no number, or out of range";
    rule.on = (unsigned)on;
    if (chance)
        rule.random = number;
    else if (n == 6)
        rule.bytes = (int64_t)number;
    (void)snprintf(rule.command, sizeof(rule.command), "%s", words[3]);
    struct rule *kept = mem_dup(&rule, sizeof(rule));
    LIST_INSERT_HEAD(&r->all, kept, link);
    return NULL;
}

/* ---- judging ---- */

/* splitmix64: any seed will do. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool is_its_turn(struct rule *rule)
{
    if (rule->nth == 0)
        return next_random(&rule->random) % 1000 < rule->permille;
    if (rule->busy || --rule->nth > 0)
        return false;
    rule->busy = true;
    rule->nth = 1; /* if this one is missed */
    return true;
}

struct verdict rules_judge(struct rules *r, unsigned link, const char *name)
{
    struct verdict v = {.point = POINT_NONE};
    struct rule *rule;
    /* Each counts, also when another one has spoken. */
    LIST_FOREACH(rule, &r->all, link)
    {
        if (rule->on != link || !is_meant(rule->command, name) ||
            !is_its_turn(rule))
            continue;
        struct verdict now = {rule->point, rule->bytes,
                              rule->busy ? rule : NULL};
        if (v.point == POINT_NONE)
            v = now;
        else
            rules_missed(&now);
    }
    return v;
}

void rules_fired(struct rules *r, unsigned link, const struct verdict *v)
{
    r->fired[link]++;
    rules_over(v);
}

void rules_over(const struct verdict *v)
{
    if (v->rule == NULL)
        return;
    LIST_REMOVE(v->rule, link);
    free(v->rule);
}

void rules_missed(const struct verdict *v)
{
    if (v->rule != NULL)
        v->rule->busy = false;
}

/* ---- counting ---- */

void rules_passed(struct rules *r, unsigned link, const char *name)
{
    size_t i = 0;
    while (i < r->seen_count &&
           (r->seen[i].on != link || strcmp(r->seen[i].command, name) != 0))
        i++;
    if (i == r->seen_count) {
        if (i == (size_t)r->links * NAMES_MAX)
            return; /* nobody asks for so many names */
        r->seen = mem_resize(r->seen, (i + 1) * sizeof(*r->seen));
        r->seen[i] = (struct seen){.on = link};
        (void)snprintf(r->seen[i].command, COMMAND_NAME_MAX, "%s", name);
        r->seen_count++;
    }
    r->seen[i].n++;
}

int64_t rules_seen(const struct rules *r, unsigned link, const char *name)
{
    int64_t n = 0;
    for (size_t i = 0; i < r->seen_count; i++) {
        if ((link == ALL_LINKS || link == r->seen[i].on) &&
            is_meant(name, r->seen[i].command))
            n += r->seen[i].n;
    }
    return n;
}

int64_t rules_fired_count(const struct rules *r, unsigned link)
{
    int64_t n = 0;
    for (unsigned i = 0; i < r->links; i++)
        n += link == ALL_LINKS || link == i ? r->fired[i] : 0;
    return n;
}
