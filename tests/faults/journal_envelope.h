#ifndef TESTS_FAULTS_JOURNAL_ENVELOPE_H
#define TESTS_FAULTS_JOURNAL_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/faults/journal_read.h"

/*
 * What the accountant needs to know of an element of a queue, found without
 * Belt's own reader of envelopes. Texts are lent by the element's bytes; .p is
 * NULL for what is absent. Whatever is no JSON object has nothing.
 */
struct envelope {
    struct text id;      /* the first one; only if it is a valid id */
    struct text payload; /* the bytes of its value */
    uint64_t serial;     /* of {"n":<serial> in the payload, 0: none */
    bool put_off;        /* has a member put_offs */
    bool invalid;        /* its type is belt.invalid */
    struct text raw;     /* then: the base64 of what it was */
};

struct envelope envelope_read(struct text element);

/*
 * Whether two elements are the same but for what stamping and reaping put in
 * front: white space, members id and recovered.
 */
bool envelope_same_core(struct text a, struct text b);

/* Whether base64 is the encoding of the bytes. */
bool envelope_is_raw(struct text base64, struct text bytes);

#endif
