/*
 * Fuzzer: cron expressions.
 *
 * The first line is the zone, the second the instant, the rest the expression,
 * or an entry if it begins with {. Whatever is accepted comes, later than asked
 * and again later than that; a refusal says why. What follows from an entry is
 * bounded, in order, and not yet to come.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/job/cron_entry.h"

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

static void check_entry(const char *text, int64_t now_ms)
{
    struct errbuf eb = {""};
    struct cron_entry *e = NULL;
    struct cron_plan p;
    struct zone *z = NULL;
    struct buf b = {0};
    struct job *job = NULL;

    if (cron_entry_parse("n", text, strlen(text), &e, &eb) != 0) {
        assert(eb.text[0] != '\0');
        return;
    }
    assert(zone_open("UTC", &z, &eb) == 0);
    cron_plan(e, z, now_ms > 100000000 ? now_ms - 100000000 : 0, now_ms, &p);
    assert(p.count <= CRON_TICKS_MAX && p.missed >= 0);
    for (unsigned i = 0; i < p.count; i++) {
        char id[ID_MAX_LEN + 1];
        assert(i == 0 || p.ticks[i] > p.ticks[i - 1]);
        assert(cron_claim_ms(e, p.ticks[i]) <= now_ms);
        buf_clear(&b);
        cron_job_id(e, p.ticks[i], id);
        cron_job(e, id, p.ticks[i], now_ms, &b);
        int rc = job_parse(b.data, b.len, JOB_ENVELOPE_MAX_BYTES, &job, &eb);
        assert(rc == 0);
        job_free(rc == 0 ? job : NULL);
    }
    assert(p.next_ms < 0 || cron_claim_ms(e, p.next_ms) > now_ms);
    buf_clear(&b);
    cron_entry_rewrite(e, NULL, 0, &b);
    struct cron_entry *again = NULL;
    int rc = cron_entry_parse("n", b.data, b.len, &again, &eb);
    assert(rc == 0 && cron_entry_same(e, again));
    cron_entry_free(again);
    cron_entry_free(e);
    zone_free(z);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_dup(data, size), *rest = text;
    const char *zone = strsep(&rest, "\n");
    const char *at = rest != NULL ? strsep(&rest, "\n") : NULL;
    struct errbuf eb = {""};
    struct zone *z = NULL;
    struct cron c;

    if (rest != NULL && rest[0] == '{') {
        check_entry(rest, strtoll(at, NULL, 10) & INT64_C(0x3ffffffffff));
    } else if (rest != NULL) {
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
