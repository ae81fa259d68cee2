/*
 * Fuzzer: cron expressions.
 *
 * The first line is the zone, the second the instant, the rest the expression.
 * Whatever is accepted comes, later than asked and again later than that; a
 * refusal says why.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/cron.h"

static void check_instants(const struct cron *c, const struct zone *z,
                           int64_t at_ms)
{
    for (int i = 0; i < 4; i++) {
        int64_t next_ms = cron_next(c, z, at_ms);
        if (next_ms < 0) { /* the calendar ends */
            assert(at_ms > INT64_C(251000000000000));
            return;
        }
        assert(next_ms > at_ms);
        if (c->every_ms == 0)
            assert(next_ms % 1000 == 0);
        at_ms = next_ms;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_dup(data, size), *rest = text;
    const char *zone = strsep(&rest, "\n");
    const char *at = rest != NULL ? strsep(&rest, "\n") : NULL;
    struct errbuf eb = {""};
    struct zone *z = NULL;
    struct cron c;

    if (rest != NULL) {
        int rc = cron_parse(rest, &c, &eb);
        assert(rc == 0 || (rc == ERR_INVALID && eb.text[0] != '\0'));
        /* GLib's zones are not what is tried here. */
        bool open = strlen(zone) < 20 && zone_open(zone, &z, &eb) == 0;
        if (rc == 0 && open)
            check_instants(&c, z,
                           strtoll(at, NULL, 10) & INT64_C(0xffffffffffff));
        zone_free(z);
    }
    free(text);
    return 0;
}
