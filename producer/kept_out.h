#ifndef PRODUCER_KEPT_OUT_H
#define PRODUCER_KEPT_OUT_H

#include "producer/kept.h"
#include "producer/out.h"

/* The next value of a row: text, a number if it is one, JSON if it is that. */
void kept_out(struct out *out, const struct kept *k, enum kept_field f);
void kept_out_number(struct out *out, const struct kept *k, enum kept_field f);
void kept_out_value(struct out *out, const struct kept *k, enum kept_field f);

#endif
