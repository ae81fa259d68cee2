/*
 * Kept, shown: its fields as values of a row.
 *
 * Thread: main.
 */
#include "producer/kept_out.h"

#include "common/job/json.h"

void kept_out(struct out *out, const struct kept *k, enum kept_field f)
{
    if (k->values[f])
        out_text(out, k->values[f], k->lens[f]);
    else
        out_none(out);
}

void kept_out_number(struct out *out, const struct kept *k, enum kept_field f)
{
    int64_t n = kept_int(k, f, INT64_MIN);

    if (n != INT64_MIN)
        out_int(out, n);
    else
        kept_out(out, k, f);
}

void kept_out_value(struct out *out, const struct kept *k, enum kept_field f)
{
    if (k->values[f] && json_check(k->values[f], k->lens[f], NULL) == 0)
        out_json(out, k->values[f], k->lens[f]);
    else
        kept_out(out, k, f);
}
