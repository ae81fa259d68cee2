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
    bool expired;        /* its error is of class expired */
    struct text then;    /* the bytes of its value */
    bool invalid;        /* its type is belt.invalid */
    struct text raw;     /* then: the base64 of what it was */
};

struct envelope envelope_read(struct text element);

/* The elements of a "then": itself, or those of an array, at most max. */
size_t envelope_elements(struct text then, struct text *out, size_t max);

/*
 * Whether two elements are the same but for what stamping and reaping put in
 * front: white space, members id and recovered.
 */
bool envelope_same_core(struct text a, struct text b);

/* Whether base64 is the encoding of the bytes. */
bool envelope_is_raw(struct text base64, struct text bytes);

#endif
