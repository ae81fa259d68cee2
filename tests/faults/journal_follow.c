/*
 * Judging what follows: the envelopes that "then" of a done job names come in
 * the very transaction in which that job leaves for good, each once; and what
 * waits in the outbox is pushed before it is taken out.
 *
 * Thread: the test's.
 */
#include "tests/faults/journal_account.h"

enum { ELEMENTS_MAX = 128 };

/* Whether the follower is this element of a "then". */
static bool is_element(const struct change *to, struct text element)
{
    const struct envelope *e = &to->element->envelope;
    if (e->invalid)
        return envelope_is_raw(e->raw, element);
    return text_same(e->payload, envelope_read(element).payload);
}

/* How many of those elements it is: one, or all when it is "then" itself. */
static unsigned names(struct text then, const struct change *to)
{
    struct text elements[ELEMENTS_MAX];
    size_t n = envelope_elements(then, elements, ELEMENTS_MAX);
    const struct envelope *e = &to->element->envelope;
    if (e->invalid && envelope_is_raw(e->raw, then))
        return (unsigned)n;
    for (size_t i = 0; i < n; i++) {
        if (is_element(to, elements[i]))
            return 1;
    }
    return 0;
}

static bool is_end(const struct change *c)
{
    return !c->came && !c->matched && c->role == ROLE_ACTIVE &&
           c->how == HOW_REMOVED;
}

unsigned follow_expected(const struct change *c)
{
    struct text elements[ELEMENTS_MAX];
    struct text then = c->element->envelope.then;
    return then.p != NULL
               ? (unsigned)envelope_elements(then, elements, ELEMENTS_MAX)
               : 0;
}

bool follow_parent(struct account *a, const struct change *to)
{
    bool into_queue = to->role == ROLE_READY && !to->at_head;
    bool buried = to->role == ROLE_DEAD && to->element->envelope.invalid;
    if (!into_queue && !buried && to->role != ROLE_OUTBOX)
        return false;
    for (size_t i = 0; i < a->world.change_count; i++) {
        struct change *c = &a->world.changes[i];
        if (!is_end(c) || c->element->envelope.then.p == NULL ||
            c->followers >= follow_expected(c))
            continue;
        unsigned n = names(c->element->envelope.then, to);
        c->followers += n;
        if (n > 0)
            return true;
    }
    return false;
}
