/*
 * Small texts that people write.
 *
 * Everything here is input from outside: each parser accepts exactly what its
 * header says, checks for overflow before it multiplies, and says in the error
 * what it was given.
 *
 * Thread: any.
 */
#include "common/base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    WORD_MAX = 64,    /* longer words have no near ones */
    NEAR = 2,         /* edits */
    FRACTION_MAX = 9, /* digits behind the point */
};

struct unit {
    const char *name;
    int64_t ms;
};

/* Largest first: the order in which a duration names them. */
static const struct unit units[] = {
    {"d", 24 * 3600 * 1000},
    {"h", 3600 * 1000},
    {"m", 60 * 1000},
    {"s", 1000},
    {"ms", 1},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool text_is_name(const char *s, size_t n)
{
    if (n == 0 || n > NAME_MAX_LEN || !is_alnum(s[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!is_alnum(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-')
            return false;
    return true;
}

/* Bit c % 64 of word c / 64: whether c may be in an id. */
static const uint64_t id_bytes[4] = {
    UINT64_C(0x07ff600000000000), /* - . 0-9 : */
    UINT64_C(0x07fffffe87fffffe), /* A-Z _ a-z */
};

bool text_is_id(const char *s, size_t n)
{
    if (n == 0 || n > ID_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((id_bytes[c / 64] >> c % 64 & 1) == 0)
            return false;
    }
    return true;
}

bool text_is_pattern(const char *s, size_t n)
{
    bool wild = false;
    if (n == 0 || n > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool opens = s[i] == '*' || s[i] == '?' || s[i] == '[';
        if (!opens && s[i] != ']' && s[i] != '!' && !is_alnum(s[i]) &&
            s[i] != '.' && s[i] != '_' && s[i] != '-')
            return false;
        wild = wild || opens;
    }
    return wild;
}

/*
 * Reads digits at *s, at least one, and moves *s behind them. Returns false
 * on none or when the number does not fit.
 */
static bool read_digits(const char **s, int64_t *ret_n)
{
    const char *p = *s;
    int64_t n = 0;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *p - '0', &n))
            return false;
    if (p == *s)
        return false;
    *s = p;
    *ret_n = n;
    return true;
}

/* Finds the unit that the letters at *s name, from index first on. */
static const struct unit *read_unit(const char **s, size_t first)
{
    size_t n = strcspn(*s, "0123456789");
    for (size_t i = first; i < sizeof(units) / sizeof(units[0]); i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, *s, n) == 0) {
            *s += n;
            return &units[i];
        }
    return NULL;
}

/* Reads "1.5h" at *s and adds it to *ms; *first bars the larger units. */
static bool read_part(const char **s, size_t *first, int64_t *ms)
{
    int64_t whole, fraction = 0, scale = 1;
    if (!read_digits(s, &whole))
        return false;
    if (**s == '.') {
        const char *p = ++*s;
        if (!read_digits(s, &fraction) || *s - p > FRACTION_MAX)
            return false;
        for (; p < *s; p++)
            scale *= 10;
    }
    const struct unit *unit = read_unit(s, *first);
    if (unit == NULL)
        return false;
    *first = (size_t)(unit - units) + 1;
    /* Rounded up: a positive duration must not become "none". */
    int64_t part = (fraction * unit->ms + scale - 1) / scale;
    return !__builtin_mul_overflow(whole, unit->ms, &whole) &&
           !__builtin_add_overflow(part, whole, &part) &&
           !__builtin_add_overflow(*ms, part, ms);
}

int text_parse_duration(const char *s, int64_t *ret_ms, struct errbuf *eb)
{
    const char *p = s;
    int64_t ms = 0;
    size_t first = 0;
    if (strcmp(s, "0") == 0) {
        *ret_ms = 0;
        return 0;
    }
    do {
        if (!read_part(&p, &first, &ms))
            return errbuf_set(eb, ERR_INVALID,
                              "\"%.64s\" is no duration like 500ms, 10s, "
                              "1h30m or 7d",
                              s);
    } while (*p != '\0');
    *ret_ms = ms;
    return 0;
}

const char *text_format_duration(int64_t ms, char out[32])
{
    size_t used = 0;
    uint64_t rest = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        out[used++] = '-';
    if (rest < 1000) {
        snprintf(out + used, 32 - used, rest > 0 ? "%" PRIu64 "ms" : "0s",
                 rest);
        return out;
    }
    for (size_t i = 0; i < 3; i++) {
        uint64_t n = rest / (uint64_t)units[i].ms;
        rest %= (uint64_t)units[i].ms;
        if (n > 0)
            used += (size_t)snprintf(out + used, 32 - used, "%" PRIu64 "%s", n,
                                     units[i].name);
    }
    if (rest == 0)
        return out;
    used += (size_t)snprintf(out + used, 32 - used, "%" PRIu64 ".%03" PRIu64,
                             rest / 1000, rest % 1000);
    while (out[used - 1] == '0')
        used--;
    if (out[used - 1] == '.')
        used--;
    assert(used + 1 < 32);
    out[used] = 's';
    out[used + 1] = '\0';
    return out;
}

/* Reads exactly n digits at *s, a number within [min, max]. */
static bool read_field(const char **s, int n, int min, int max, int *ret)
{
    int value = 0;
    for (int i = 0; i < n; i++, ++*s) {
        if (!is_digit(**s))
            return false;
        value = value * 10 + (**s - '0');
    }
    *ret = value;
    return value >= min && value <= max;
}

static bool read_char(const char **s, const char *any)
{
    if (**s == '\0' || strchr(any, **s) == NULL)
        return false;
    ++*s;
    return true;
}

/* Days since 1970-01-01: years begin in March, so that a leap day is last. */
static int64_t count_days(int year, int month, int day)
{
    int64_t y = year - (month <= 2), m = (month + 9) % 12;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 -
           719468;
}

/* "2026-11-26", in days since 1970. */
static bool read_date(const char **s, int64_t *ret_days)
{
    int year, month, day;
    if (!read_field(s, 4, 0, 9999, &year) || !read_char(s, "-") ||
        !read_field(s, 2, 1, 12, &month) || !read_char(s, "-") ||
        !read_field(s, 2, 1, 31, &day))
        return false;
    *ret_days = count_days(year, month, day);
    int64_t next = month == 12 ? count_days(year + 1, 1, 1)
                               : count_days(year, month + 1, 1);
    return *ret_days < next;
}

/* "09:30:00.25", in milliseconds; digits beyond those are left out. */
static bool read_time(const char **s, int64_t *ret_ms)
{
    int hour, minute, second, unit = 100;
    if (!read_field(s, 2, 0, 23, &hour) || !read_char(s, ":") ||
        !read_field(s, 2, 0, 59, &minute) || !read_char(s, ":") ||
        !read_field(s, 2, 0, 60, &second)) /* 60: a leap second */
        return false;
    *ret_ms = ((hour * 60 + minute) * 60 + second) * INT64_C(1000);
    if (**s != '.')
        return true;
    if (!is_digit(*++*s))
        return false;
    for (; is_digit(**s); ++*s, unit /= 10)
        *ret_ms += (**s - '0') * unit;
    return true;
}

/* "Z" or "+01:00", in minutes. */
static bool read_zone(const char **s, int *ret_minutes)
{
    int hour, minute;
    bool west = **s == '-';
    *ret_minutes = 0;
    if (read_char(s, "Zz"))
        return true;
    if (!read_char(s, "+-") || !read_field(s, 2, 0, 23, &hour) ||
        !read_char(s, ":") || !read_field(s, 2, 0, 59, &minute))
        return false;
    *ret_minutes = west ? -(hour * 60 + minute) : hour * 60 + minute;
    return true;
}

int text_parse_instant(const char *s, int64_t *ret_ms, struct errbuf *eb)
{
    const char *p = s;
    int64_t days, ms;
    int zone;
    if (!read_date(&p, &days) || !read_char(&p, "Tt ") || !read_time(&p, &ms) ||
        !read_zone(&p, &zone) || *p != '\0')
        return errbuf_set(
            eb, ERR_INVALID,
            "\"%.64s\" is no instant like 2026-11-26T08:30:00Z or "
            "2026-11-26T09:30:00+01:00",
            s);
    ms += (days * 1440 - zone) * 60000;
    if (ms < 0)
        return errbuf_set(eb, ERR_INVALID, "\"%.64s\" is before 1970", s);
    *ret_ms = ms;
    return 0;
}

/* The factor of a size's last letter, 0 if it is none. */
static int64_t size_factor(const char *suffix)
{
    if (suffix[0] == '\0')
        return 1;
    if (suffix[1] != '\0')
        return 0;
    switch (suffix[0]) {
    case 'k':
    case 'K':
        return INT64_C(1) << 10;
    case 'm':
    case 'M':
        return INT64_C(1) << 20;
    case 'g':
    case 'G':
        return INT64_C(1) << 30;
    default:
        return 0;
    }
}

int text_parse_size(const char *s, int64_t *ret_bytes, struct errbuf *eb)
{
    const char *p = s;
    int64_t n, factor;
    if (!read_digits(&p, &n) || (factor = size_factor(p)) == 0 ||
        __builtin_mul_overflow(n, factor, &n))
        return errbuf_set(eb, ERR_INVALID,
                          "\"%.64s\" is no size like 4096, 64k, 10m or 1g", s);
    *ret_bytes = n;
    return 0;
}

int text_parse_int(const char *s, int64_t min, int64_t max, const char *what,
                   int64_t *ret_n, struct errbuf *eb)
{
    bool negative = s[0] == '-';
    const char *p = s + negative;
    int64_t n;
    if (strcmp(s, "-9223372036854775808") == 0) {
        n = INT64_MIN; /* the one whose digits alone do not fit */
    } else {
        if (!read_digits(&p, &n) || *p != '\0')
            return errbuf_set(eb, ERR_INVALID,
                              "%s%s\"%.64s\" is no number from %" PRId64
                              " to %" PRId64,
                              what != NULL ? what : "",
                              what != NULL ? ": " : "", s, min, max);
        if (negative)
            n = -n;
    }
    if (n < min || n > max)
        return errbuf_set(eb, ERR_INVALID,
                          "%s%s%" PRId64 " is not from %" PRId64 " to %" PRId64,
                          what != NULL ? what : "", what != NULL ? ": " : "", n,
                          min, max);
    *ret_n = n;
    return 0;
}

int64_t text_int_or(const char *s, int64_t none)
{
    int64_t n = none;
    if (s != NULL)
        (void)text_parse_int(s, 0, INT64_MAX, NULL, &n, NULL);
    return n;
}

/*
 * Returns the length of the well-formed sequence at s, 0 if there is none.
 * The second byte's range is what keeps out overlong forms, surrogates and
 * everything above U+10FFFF (RFC 3629, section 4).
 */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t len;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        len = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        len = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    if (s[0] == 0xed)
        high = 0x9f;
    if (s[0] == 0xf0)
        low = 0x90;
    if (s[0] == 0xf4)
        high = 0x8f;
    if (n < len || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

size_t text_utf8_error(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= sizeof(eight)) {
            memcpy(&eight, s + i, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof(eight); /* eight ASCII bytes at a time */
                continue;
            }
        }
        size_t len = utf8_len((const unsigned char *)s + i, n - i);
        if (len == 0)
            return i;
        i += len;
    }
    return n;
}

/* Levenshtein's distance of two words of at most WORD_MAX bytes. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned row[WORD_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned corner = row[0]; /* row[j - 1] of the row above */
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

const char *text_nearest(const char *word, const char *const *words, size_t n)
{
    const char *nearest = NULL;
    unsigned least = NEAR + 1;
    size_t len = strlen(word);
    for (size_t i = 0; i < n && len <= WORD_MAX; i++) {
        size_t other = strlen(words[i]);
        if (other > WORD_MAX)
            continue;
        unsigned d = distance(word, len, words[i], other);
        if (d < least) {
            least = d;
            nearest = words[i];
        }
    }
    return nearest;
}

size_t text_format_int(int64_t n, char out[INT_TEXT_MAX])
{
    char digits[INT_TEXT_MAX], *end = digits + sizeof(digits), *p = end;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

    *--p = '\0';
    do
        *--p = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (n < 0)
        *--p = '-';
    memcpy(out, p, (size_t)(end - p));
    return (size_t)(end - p) - 1;
}

size_t text_control(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f)
            return i;
        /* U+0080 to U+009F; well-formed UTF-8 has a byte behind 0xc2. */
        if (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0)
            return i;
    }
    return n;
}

int text_parse_switch(const char *s, bool *ret_on, struct errbuf *eb)
{
    static const char *const words[] = {"true",  "yes", "on",
                                        "false", "no",  "off"};
    enum { WORDS = sizeof(words) / sizeof(words[0]) };

    for (unsigned i = 0; i < WORDS; i++) {
        if (strcasecmp(s, words[i]) == 0) {
            *ret_on = i < WORDS / 2;
            return 0;
        }
    }
    return errbuf_set(eb, ERR_INVALID, "\"%s\" is neither true nor false", s);
}
