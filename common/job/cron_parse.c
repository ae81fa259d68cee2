/*
 * Cron: from a text to bits.
 *
 * Each field is a list of ranges that set bits. What only people mean, as in
 * names and in Sunday as 7, ends here.
 *
 * Thread: any; nothing here has state.
 */
#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "common/base/text.h"
#include "common/job/cron.h"

#define DURATION_MAX_MS (366 * 86400000LL)
#define BLANKS " \t"

enum field_index { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY",
                                          "JUN", "JUL", "AUG", "SEP", "OCT",
                                          "NOV", "DEC", NULL};
static const char *const day_names[] = {"SUN", "MON", "TUE", "WED",
                                        "THU", "FRI", "SAT", NULL};

static const struct field {
    const char *name;
    int min, max;
    const char *const *names; /* of min and those that follow; or NULL */
} fields[FIELDS] = {
    [SECOND] = {"second", 0, 59, NULL},
    [MINUTE] = {"minute", 0, 59, NULL},
    [HOUR] = {"hour", 0, 23, NULL},
    [DAY] = {"day of month", 1, 31, NULL},
    [MONTH] = {"month", 1, 12, month_names},
    [WEEKDAY] = {"day of week", 0, 7, day_names},
};

/* A field that is being read. */
struct reading {
    const struct field *f;
    const char *text, *p, *end; /* the whole field, and what is left of it */
    uint64_t bits;
    struct cron *c; /* for what no bit says */
    struct errbuf *eb;
};

static int wrong(const struct reading *r, const char *why)
{
    return errbuf_set(r->eb, ERR_INVALID, "cron expression: %s: \"%.*s\": %s",
                      r->f->name, (int)(r->end - r->text), r->text, why);
}

static bool take(struct reading *r, char c)
{
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static int read_number(struct reading *r, int max, int *ret)
{
    int n = 0;

    if (r->p == r->end || !isdigit((unsigned char)*r->p))
        return wrong(r, "not understood");
    while (r->p < r->end && isdigit((unsigned char)*r->p)) {
        n = n * 10 + (*r->p++ - '0');
        if (n > 9999)
            break;
    }
    if (n > max) {
        (void)errbuf_set(r->eb, ERR_INVALID,
                         "cron expression: %s: \"%.*s\": %d is not within %d "
                         "and %d",
                         r->f->name, (int)(r->end - r->text), r->text, n,
                         r->f->min, r->f->max);
        return ERR_INVALID;
    }
    *ret = n;
    return 0;
}

static int read_value(struct reading *r, int *ret)
{
    const char *const *names = r->f->names;

    for (int i = 0; names != NULL && names[i] != NULL; i++) {
        if (r->end - r->p >= 3 && strncasecmp(r->p, names[i], 3) == 0) {
            r->p += 3;
            *ret = r->f->min + i;
            return 0;
        }
    }
    int rc = read_number(r, r->f->max, ret);
    if (rc == 0 && *ret < r->f->min)
        return wrong(r, "0 is too small");
    return rc;
}

/* Behind a weekday: #N, or L for the last one of the month. */
static int read_nth(struct reading *r, int weekday)
{
    int n = 0;

    if (!take(r, 'L') && !take(r, 'l')) {
        r->p++;
        int rc = read_number(r, 5, &n);
        if (rc != 0)
            return wrong(r, "behind # stands a number from 1 to 5");
        if (n == 0)
            return wrong(r, "behind # stands a number from 1 to 5");
    }
    r->c->nth[weekday % 7] |= (uint8_t)(1U << n);
    return 0;
}

static bool is_at(const struct reading *r, const char *any)
{
    return r->p < r->end && strchr(any, *r->p) != NULL;
}

/* "/STEP" if it is there, else 1. */
static int read_step(struct reading *r, int *ret)
{
    *ret = 1;
    if (!take(r, '/'))
        return 0;
    int rc = read_number(r, r->f->max, ret);
    if (rc == 0 && *ret == 0)
        return wrong(r, "a step of 0");
    return rc;
}

/* One element of the list. */
static int read_range(struct reading *r)
{
    bool is_weekday = r->f == &fields[WEEKDAY];
    bool open = take(r, '*') || take(r, '?');
    int from = r->f->min, to = is_weekday ? 6 : r->f->max, step;
    int rc = 0;

    if (!open && r->f == &fields[DAY] && is_at(r, "Ll")) {
        r->p++;
        r->c->last_day = true;
        return 0;
    }
    if (!open) {
        rc = read_value(r, &from);
        if (rc == 0 && is_weekday && is_at(r, "#Ll"))
            return read_nth(r, from);
        if (rc == 0 && take(r, '-'))
            rc = read_value(r, &to);
        else if (!is_at(r, "/"))
            to = from;
    }
    if (rc == 0)
        rc = read_step(r, &step);
    if (rc != 0)
        return rc;
    if (is_weekday && to < from && to == 0)
        to = 7; /* FRI-SUN */
    if (to < from)
        return wrong(r, "a range ends before it begins");
    for (int n = from; n <= to; n += step)
        r->bits |= UINT64_C(1) << (is_weekday ? n % 7 : n);
    return 0;
}

static int read_field(const struct field *f, const char *text, size_t len,
                      struct cron *c, uint64_t *ret, struct errbuf *eb)
{
    struct reading r = {
        .f = f, .text = text, .p = text, .end = text + len, .c = c, .eb = eb};

    for (;;) {
        int rc = read_range(&r);
        if (rc != 0)
            return rc;
        if (r.p == r.end)
            break;
        if (is_at(&r, "Ww") && f == &fields[DAY])
            return wrong(&r, "W is not known");
        if (!take(&r, ','))
            return wrong(&r, "not understood");
    }
    *ret = r.bits;
    return 0;
}

/* "*" and "?", with or without a step: that field does not restrict days. */
static bool is_open(const char *text)
{
    return text[0] == '*' || text[0] == '?';
}

static int read_fields(const char *const *text, const size_t *len, int n,
                       struct cron *c, struct errbuf *eb)
{
    uint64_t bits[FIELDS] = {1};
    int first = FIELDS - n;

    for (int i = first; i < FIELDS; i++) {
        int rc = read_field(&fields[i], text[i - first], len[i - first], c,
                            &bits[i], eb);
        if (rc != 0)
            return rc;
    }
    c->seconds = bits[SECOND];
    c->minutes = bits[MINUTE];
    c->hours = (uint32_t)bits[HOUR];
    c->days = (uint32_t)bits[DAY];
    c->months = (uint32_t)bits[MONTH];
    c->weekdays = (uint8_t)bits[WEEKDAY];
    c->elapsed = is_open(text[HOUR - first]);
    c->either = !is_open(text[DAY - first]) && !is_open(text[WEEKDAY - first]);
    return 0;
}

static int parse_fields(const char *spec, struct cron *c, struct errbuf *eb)
{
    const char *text[FIELDS];
    size_t len[FIELDS];
    int n = 0;

    for (const char *p = spec + strspn(spec, BLANKS); *p != '\0'; n++) {
        size_t word = strcspn(p, BLANKS);
        if (n < FIELDS) {
            text[n] = p;
            len[n] = word;
        }
        p += word;
        p += strspn(p, BLANKS);
    }
    if (n != FIELDS && n != FIELDS - 1)
        return errbuf_set(eb, ERR_INVALID,
                          "cron expression: \"%s\" has %d fields, not five "
                          "(minute hour day-of-month month day-of-week) or "
                          "six (second in front)",
                          spec, n);
    return read_fields(text, len, n, c, eb);
}

static int parse_every(const char *spec, const char *text, struct cron *c,
                       struct errbuf *eb)
{
    int rc = text_parse_duration(text + strspn(text, BLANKS), &c->every_ms, eb);

    if (rc != 0)
        return errbuf_wrap(eb, rc, "cron expression: @every");
    if (c->every_ms < CRON_EVERY_MIN_MS || c->every_ms > DURATION_MAX_MS)
        return errbuf_set(eb, ERR_INVALID,
                          "cron expression: \"%s\": not within 1s and 366d",
                          spec);
    return 0;
}

static int parse_name(const char *spec, struct cron *c, struct errbuf *eb)
{
    static const char *const names[][2] = {
        {"@yearly", "0 0 1 1 *"},  {"@annually", "0 0 1 1 *"},
        {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
        {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(spec, names[i][0]) == 0)
            return parse_fields(names[i][1], c, eb);
    }
    if (strncasecmp(spec, "@every", 6) == 0 && strchr(BLANKS, spec[6]) != NULL)
        return parse_every(spec, spec + 6, c, eb);
    return errbuf_set(eb, ERR_INVALID,
                      "cron expression: \"%s\" is none of @yearly @annually "
                      "@monthly @weekly @daily @midnight @hourly @every D",
                      spec);
}

int cron_parse(const char *text, struct cron *ret, struct errbuf *eb)
{
    struct cron c = {0};
    size_t len = strlen(text);

    if (len > CRON_SPEC_MAX_LEN)
        return errbuf_set(eb, ERR_INVALID,
                          "cron expression: longer than %d bytes",
                          CRON_SPEC_MAX_LEN);
    int rc =
        text[0] == '@' ? parse_name(text, &c, eb) : parse_fields(text, &c, eb);
    if (rc != 0)
        return rc;
    if (c.every_ms == 0 && !cron_ever(&c))
        return errbuf_set(eb, ERR_INVALID,
                          "cron expression: \"%s\" never comes: no year has "
                          "such a day",
                          text);
    *ret = c;
    return 0;
}
