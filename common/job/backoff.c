/*
 * Back-off: from a policy and a number of attempts to a delay.
 *
 * A policy comes out of an envelope, so from strangers: every delay is bounded
 * here, which keeps due times far away from overflow, and unknown members are
 * refused, because a misspelt "max" would otherwise be no limit at all.
 *
 * Thread: any; nothing here has state.
 */
#include "common/job/backoff.h"

#include <assert.h>
#include <stdbool.h>

/* The longest delay that anybody can ask for. */
#define DELAY_MAX_MS (366 * 24 * 3600 * 1000LL)
#define FACTOR_MAX 1000.0
#define PUT_OFF_MAX_MS 60000

enum { FIRST_CAPPED_ATTEMPT = 13 }; /* 15 s + 13^4 s is above six hours */

enum member { KIND, BASE, FACTOR, MAX, DELAY, MEMBER_COUNT };

static const char *const member_names[MEMBER_COUNT] = {
    [KIND] = "kind", [BASE] = "base",   [FACTOR] = "factor",
    [MAX] = "max",   [DELAY] = "delay",
};

struct spec {
    struct backoff *out; /* borrowed */
    unsigned seen;       /* bit per member */
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);

static const struct backoff default_policy = {
    .kind = BACKOFF_DEFAULT,
    .base_ms = 1000,
    .max_ms = BACKOFF_CAP_MS,
    .factor = 2,
};

static int parse_kind(struct json_span value, struct backoff *b,
                      struct errbuf *eb)
{
    if (json_string_is(value, "default"))
        b->kind = BACKOFF_DEFAULT;
    else if (json_string_is(value, "exponential"))
        b->kind = BACKOFF_EXPONENTIAL;
    else if (json_string_is(value, "fixed"))
        b->kind = BACKOFF_FIXED;
    else
        return errbuf_set(eb, ERR_INVALID,
                          "backoff: not default, exponential or fixed");
    return 0;
}

/* Whether the members that were given are those that the kind knows. */
static int check_members(const struct spec *spec, struct errbuf *eb)
{
    static const unsigned allowed[] = {
        [BACKOFF_DEFAULT] = 1U << KIND,
        [BACKOFF_EXPONENTIAL] =
            1U << KIND | 1U << BASE | 1U << FACTOR | 1U << MAX,
        [BACKOFF_FIXED] = 1U << KIND | 1U << DELAY,
    };

    if ((spec->seen & 1U << KIND) == 0)
        return errbuf_set(eb, ERR_INVALID, "backoff: kind is missing");
    unsigned extra = spec->seen & ~allowed[spec->out->kind];
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        if ((extra >> i & 1) != 0)
            return errbuf_set(eb, ERR_INVALID,
                              "backoff: %s does not belong to this kind",
                              member_names[i]);
    }
    if (spec->out->kind == BACKOFF_FIXED && (spec->seen & 1U << DELAY) == 0)
        return errbuf_set(eb, ERR_INVALID, "backoff: delay is missing");
    return 0;
}

static int parse_spec(struct json_span text, struct backoff *b,
                      struct errbuf *eb)
{
    struct spec spec = {.out = b};
    int rc;

    switch (json_kind(text)) {
    case JSON_IS_STRING:
        rc = parse_kind(text, b, eb);
        spec.seen = 1U << KIND;
        return rc != 0 ? rc : check_members(&spec, eb);
    case JSON_IS_OBJECT:
        rc = json_scan_object(text.p, text.len, on_member, &spec, eb);
        return rc != 0 ? rc : check_members(&spec, eb);
    case JSON_IS_ARRAY:
        b->kind = BACKOFF_LIST;
        rc = json_scan_array(text.p, text.len, on_element, b, eb);
        if (rc == 0 && b->count == 0)
            return errbuf_set(eb, ERR_INVALID, "backoff: an empty list");
        return rc;
    default:
        return errbuf_set(eb, ERR_INVALID,
                          "backoff: not a string, object or array");
    }
}

int backoff_parse(struct json_span spec, struct backoff *ret, struct errbuf *eb)
{
    struct backoff b = default_policy;
    int rc = spec.p == NULL ? 0 : parse_spec(spec, &b, eb);

    if (rc == 0)
        *ret = b;
    return rc;
}

static int parse_ms(struct json_span value, int64_t least, const char *what,
                    int64_t *ret_ms, struct errbuf *eb)
{
    int64_t n;

    if (json_int_value(value, &n) != 0 || n < least || n > DELAY_MAX_MS)
        return errbuf_set(eb, ERR_INVALID,
                          "backoff: %s is not a whole number of milliseconds "
                          "from %lld to %lld",
                          what, (long long)least, DELAY_MAX_MS);
    *ret_ms = n;
    return 0;
}

/*
 * By hand, because strtod reads the decimal point of the locale. Nobody needs
 * an exponent here.
 */
static int parse_factor(struct json_span value, double *ret, struct errbuf *eb)
{
    double n = 0, unit = 1;
    bool fraction = false, good = true;

    for (size_t i = 0; i < value.len && good; i++) {
        char c = value.p[i];
        if (c == '.' && !fraction) {
            fraction = true;
        } else if (c >= '0' && c <= '9') {
            unit /= fraction ? 10 : 1;
            n = fraction ? n + (c - '0') * unit : n * 10 + (c - '0');
        } else {
            good = false;
        }
    }
    if (!good || n < 1 || n > FACTOR_MAX)
        return errbuf_set(eb, ERR_INVALID,
                          "backoff: factor is not a plain decimal number from "
                          "1 to %.0f",
                          FACTOR_MAX);
    *ret = n;
    return 0;
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct spec *spec = arg;
    struct backoff *b = spec->out;
    unsigned m = 0;

    while (m < MEMBER_COUNT && !json_string_is(key, member_names[m]))
        m++;
    if (m == MEMBER_COUNT)
        return errbuf_set(eb, ERR_INVALID,
                          "backoff: a member other than kind, base, factor, "
                          "max, delay");
    if ((spec->seen >> m & 1) != 0)
        return errbuf_set(eb, ERR_INVALID, "backoff: %s twice",
                          member_names[m]);
    spec->seen |= 1U << m;
    switch ((enum member)m) {
    case KIND:
        return parse_kind(value, b, eb);
    case FACTOR:
        return parse_factor(value, &b->factor, eb);
    case MAX:
        return parse_ms(value, 1, "max", &b->max_ms, eb);
    case DELAY:
        return parse_ms(value, 0, "delay", &b->base_ms, eb);
    default:
        return parse_ms(value, 1, "base", &b->base_ms, eb);
    }
}

static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct backoff *b = arg;

    (void)key;
    if (b->count == BACKOFF_LIST_MAX)
        return errbuf_set(eb, ERR_INVALID, "backoff: more than %d delays",
                          BACKOFF_LIST_MAX);
    return parse_ms(value, 0, "a delay", &b->list_ms[b->count++], eb);
}

static int64_t default_delay(int64_t n, double random01)
{
    if (n >= FIRST_CAPPED_ATTEMPT)
        return BACKOFF_CAP_MS;
    const int64_t fixed = (15 + n * n * n * n) * 1000;
    const double jitter = ((double)fixed / 10 + 10000) * random01;
    const int64_t delay = fixed + (int64_t)jitter;
    return delay < BACKOFF_CAP_MS ? delay : BACKOFF_CAP_MS;
}

/* By squaring: n may be anything, and a factor of 1 never reaches max. */
static double power(double factor, int64_t n)
{
    double result = 1;

    for (; n > 0; n /= 2) {
        if (n % 2 != 0)
            result *= factor;
        factor *= factor;
    }
    return result;
}

static int64_t exponential_delay(const struct backoff *b, int64_t n,
                                 double random01)
{
    const double max = (double)b->max_ms;
    double full = (double)b->base_ms * power(b->factor, n - 1);

    if (full > max) /* infinity included */
        full = max;
    return (int64_t)(full / 2 + full / 2 * random01);
}

int64_t backoff_delay(const struct backoff *b, int64_t n, double random01)
{
    assert(n >= 1 && random01 >= 0 && random01 < 1);
    switch (b->kind) {
    case BACKOFF_EXPONENTIAL:
        return exponential_delay(b, n, random01);
    case BACKOFF_FIXED:
        return b->base_ms;
    case BACKOFF_LIST:
        assert(b->count > 0);
        return b->list_ms[n <= b->count ? n - 1 : b->count - 1];
    default:
        return default_delay(n, random01);
    }
}

int64_t backoff_put_off(int64_t n, double random01)
{
    assert(n >= 1 && random01 >= 0 && random01 < 1);
    const int64_t full = n >= 6 ? PUT_OFF_MAX_MS : 1000 << n;
    return full / 2 + (int64_t)((double)full / 2 * random01);
}
