/*
 * Report: JSON in, a scored report or a reason out.
 *
 * The JSON functions of SQLite read it, so no other library is needed.
 */
#include "report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clean.h"
#include "store.h"

/* What ST_FIELDS selects: type and value of each. */
enum field { F_REPORT, F_PATIENT, F_INSTRUMENT, F_COMPLETED, F_COMMENT };

static const char *const field_names[] = {
    [F_REPORT] = "report",         [F_PATIENT] = "patient",
    [F_INSTRUMENT] = "instrument", [F_COMPLETED] = "completed_at",
    [F_COMMENT] = "comment",
};

/* Its other columns. */
enum { COLUMN_TYPE = 10, COLUMN_ANSWERS = 11, COLUMN_COUNT = 12 };

/* What is being read, and where the reason goes. */
struct reader {
    sqlite3_stmt *fields;
    char *why;
    size_t why_size;
};

static enum reading refuse(const struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static enum reading refuse(const struct reader *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(r->why, r->why_size, fmt, ap);
    va_end(ap);
    return READ_REFUSED;
}

static const char *column(sqlite3_stmt *st, int n)
{
    return (const char *)sqlite3_column_text(st, n);
}

static size_t column_size(sqlite3_stmt *st, int n)
{
    return (size_t)sqlite3_column_bytes(st, n);
}

/* How a type of JSON is called in a reason. */
static const char *type_name(const char *type)
{
    if (strcmp(type, "integer") == 0 || strcmp(type, "real") == 0)
        return "a number";
    if (strcmp(type, "true") == 0 || strcmp(type, "false") == 0)
        return type;
    if (strcmp(type, "text") == 0)
        return "a text";
    return strcmp(type, "array") == 0 ? "an array" : "an object";
}

/* Steps to the only row; READ_REFUSED: there is none, it is no JSON. */
static enum reading first_row(struct connection *c, sqlite3_stmt *st,
                              const char *json, size_t size,
                              const struct reader *r)
{
    int rc = sqlite3_bind_text64(st, 1, json, size, SQLITE_STATIC, SQLITE_UTF8);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return READ_OK;
    if (rc == SQLITE_DONE)
        return refuse(r, "the report is no JSON");
    (void)refuse(r, "%s", store_why(c));
    return READ_FAILED;
}

/*
 * A field that has to be a text of at most max characters, cleaned. One that
 * is not there is "" if it may be left out.
 */
static enum reading read_text(const struct reader *r, enum field f, size_t max,
                              bool optional, char *out)
{
    const char *name = field_names[f];
    const char *type = column(r->fields, 2 * (int)f);
    int at = 2 * (int)f + 1;
    size_t count = 0;

    out[0] = '\0';
    if (type == NULL || strcmp(type, "null") == 0)
        return optional ? READ_OK : refuse(r, "%s is missing", name);
    if (strcmp(type, "text") != 0)
        return refuse(r, "%s is %s: a text is needed", name, type_name(type));
    switch (clean_text(column(r->fields, at), column_size(r->fields, at), max,
                       out, &count)) {
    case CLEAN_OK:
        break;
    case CLEAN_TOO_LONG:
        return refuse(r, "%s has %zu characters: %zu are allowed", name, count,
                      max);
    case CLEAN_NO_UTF8:
        return refuse(r, "%s is no UTF-8", name);
    }
    return out[0] != '\0' || optional ? READ_OK
                                      : refuse(r, "%s is empty", name);
}

/* An id: what may be part of the id of a job, and fits. */
static enum reading read_id(const struct reader *r, enum field f, size_t max,
                            char *out)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789._:-";
    char text[4 * REPORT_ID_MAX + 1], quoted[QUOTED_MAX];
    enum reading reading = read_text(r, f, max, false, text);

    if (reading != READ_OK)
        return reading;
    if (text[strspn(text, allowed)] != '\0')
        return refuse(r, "%s is %s: letters, digits and ._:- are allowed",
                      field_names[f], clean_quote(text, strlen(text), quoted));
    memcpy(out, text, strlen(text) + 1);
    return READ_OK;
}

/* Ids of patients are printed in capitals; phones send what was typed. */
static enum reading read_patient(const struct reader *r, struct report *ret)
{
    enum reading reading = read_id(r, F_PATIENT, PATIENT_MAX, ret->patient);

    for (char *p = ret->patient; reading == READ_OK && *p != '\0'; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    return reading;
}

static enum reading read_instrument(const struct reader *r, struct report *ret)
{
    char text[4 * REPORT_ID_MAX + 1], quoted[QUOTED_MAX];
    enum reading reading =
        read_text(r, F_INSTRUMENT, REPORT_ID_MAX, false, text);

    if (reading != READ_OK)
        return reading;
    ret->instrument = instrument_find(text, strlen(text));
    if (ret->instrument == NULL)
        return refuse(r, "instrument %s is not known: PHQ-9 or GAD-7",
                      clean_quote(text, strlen(text), quoted));
    return READ_OK;
}

static enum reading read_completed(const struct reader *r, int64_t now,
                                   struct report *ret)
{
    char text[4 * REPORT_ID_MAX + 1], quoted[QUOTED_MAX];
    enum reading reading =
        read_text(r, F_COMPLETED, REPORT_ID_MAX, false, text);
    int64_t instant;
    struct tm tm;

    if (reading != READ_OK)
        return reading;
    if (instant_read(text, &instant) != 0)
        return refuse(r,
                      "completed_at is %s: an instant as "
                      "2026-11-20T08:15:00Z is needed",
                      clean_quote(text, strlen(text), quoted));
    if (instant > now + CLOCK_AHEAD_S)
        return refuse(r, "completed_at is %s: that is in the future",
                      clean_quote(text, strlen(text), quoted));
    time_t t = (time_t)instant;
    (void)strftime(ret->completed_at, sizeof(ret->completed_at),
                   "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    return READ_OK;
}

/* One row of ST_ANSWERS: type and value; the n-th answer, from 1. */
static enum reading read_answer(const struct reader *r, sqlite3_stmt *st,
                                unsigned n, unsigned *ret)
{
    const char *type = column(st, 0);
    char text[4 * REPORT_ID_MAX + 1], quoted[QUOTED_MAX];
    size_t count;

    if (strcmp(type, "null") == 0)
        return refuse(r, "answer %u is missing", n);
    if (strcmp(type, "text") == 0) { /* as some forms send numbers */
        const char *value = column(st, 1);
        size_t size = column_size(st, 1);
        if (clean_text(value, size, REPORT_ID_MAX, text, &count) != CLEAN_OK ||
            strlen(text) != 1 || text[0] < '0' || text[0] > '0' + ANSWER_MAX)
            return refuse(r, "answer %u is %s: 0 to %d is allowed", n,
                          clean_quote(value, size, quoted), ANSWER_MAX);
        *ret = (unsigned)(text[0] - '0');
        return READ_OK;
    }
    if (strcmp(type, "integer") == 0) {
        sqlite3_int64 value = sqlite3_column_int64(st, 1);
        if (value >= 0 && value <= ANSWER_MAX) {
            *ret = (unsigned)value;
            return READ_OK;
        }
    }
    bool number = strcmp(type_name(type), "a number") == 0;
    return refuse(r, "answer %u is %s: 0 to %d is allowed", n,
                  number ? column(st, 1) : type_name(type), ANSWER_MAX);
}

static enum reading read_answers(struct connection *c, const struct reader *r,
                                 const char *json, size_t size,
                                 struct report *ret)
{
    sqlite3_stmt *st = c->statements[ST_ANSWERS];
    const char *type = column(r->fields, COLUMN_ANSWERS);
    sqlite3_int64 count = sqlite3_column_int64(r->fields, COLUMN_COUNT);
    const struct instrument *i = ret->instrument;
    enum reading reading = READ_OK;

    if (type == NULL || strcmp(type, "null") == 0)
        return refuse(r, "answers are missing");
    if (strcmp(type, "array") != 0)
        return refuse(r, "answers are %s: an array is needed", type_name(type));
    if (count != i->items)
        return refuse(r, "%lld answers: %s needs %u", (long long)count, i->name,
                      i->items);
    for (unsigned n = 0; n < i->items && reading == READ_OK; n++) {
        reading = n == 0 ? first_row(c, st, json, size, r)
                  : sqlite3_step(st) == SQLITE_ROW ? READ_OK
                                                   : READ_FAILED;
        if (reading == READ_FAILED)
            (void)refuse(r, "%s", store_why(c));
        if (reading == READ_OK)
            reading = read_answer(r, st, n + 1, &ret->answers[n]);
    }
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    return reading;
}

static enum reading read_object(const struct reader *r)
{
    const char *type = column(r->fields, COLUMN_TYPE);

    if (strcmp(type, "object") == 0)
        return READ_OK;
    return refuse(r, "the report is %s: an object is needed",
                  strcmp(type, "null") == 0 ? type : type_name(type));
}

static enum reading read_all(struct connection *c, const struct reader *r,
                             const char *json, size_t size, int64_t now,
                             struct report *ret)
{
    enum reading reading = read_object(r);

    if (reading == READ_OK)
        reading = read_id(r, F_REPORT, REPORT_ID_MAX, ret->id);
    if (reading == READ_OK)
        reading = read_patient(r, ret);
    if (reading == READ_OK)
        reading = read_instrument(r, ret);
    if (reading == READ_OK)
        reading = read_completed(r, now, ret);
    if (reading == READ_OK)
        reading = read_answers(c, r, json, size, ret);
    if (reading == READ_OK)
        reading = read_text(r, F_COMMENT, COMMENT_MAX, true, ret->comment);
    return reading;
}

static void reader_init(struct reader *r, sqlite3_stmt *fields, char *why,
                        size_t why_size)
{
    r->fields = fields;
    r->why = why;
    r->why_size = why_size;
}

enum reading report_read(struct connection *c, const char *json, size_t size,
                         int64_t now, struct report *ret, char *why,
                         size_t why_size)
{
    sqlite3_stmt *st = c->statements[ST_FIELDS];
    struct reader r;

    reader_init(&r, st, why, why_size);
    enum reading reading = first_row(c, st, json, size, &r);
    memset(ret, 0, sizeof(*ret));
    if (reading == READ_OK)
        reading = read_all(c, &r, json, size, now, ret);
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    if (reading != READ_OK)
        return reading;
    ret->total = instrument_total(ret->instrument, ret->answers);
    ret->severity = instrument_severity(ret->instrument, ret->total);
    ret->alert = instrument_alert(ret->instrument, ret->answers);
    return READ_OK;
}

enum reading report_read_id(struct connection *c, const char *json, size_t size,
                            char *ret, char *why, size_t why_size)
{
    sqlite3_stmt *st = c->statements[ST_FIELDS];
    struct reader r;

    reader_init(&r, st, why, why_size);
    enum reading reading = first_row(c, st, json, size, &r);

    if (reading == READ_OK)
        reading = read_object(&r);
    if (reading == READ_OK)
        reading = read_id(&r, F_REPORT, REPORT_ID_MAX, ret);
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    return reading;
}
