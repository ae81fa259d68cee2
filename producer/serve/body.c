/*
 * Body: a JSON object, member by member, into a struct.
 *
 * The scanner checks the whole text while it hands out the members, so a body
 * that is no JSON is found out behind some of them: then only that is told.
 *
 * Thread: any.
 */
#include "producer/serve/body.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum { ERRORS_MAX = 20, NAME_SHOWN = 64, TEXT_SHOWN = 512, MEMBERS_MAX = 64 };

struct reading {
    struct body *body;
    const struct body_member *members;
    char *into;
    uint64_t seen; /* a bit for each of members */
};

struct array {
    struct body *body;
    const struct body_member *member;
    struct body_texts *texts;
    size_t cap;
    bool wrong;
};

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb);
static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb);

static void own(struct body *b, void *p)
{
    if (b->owned_count == b->owned_cap) {
        b->owned_cap = b->owned_cap ? b->owned_cap * 2 : 8;
        b->owned =
            mem_resize((void *)b->owned, b->owned_cap * sizeof(*b->owned));
    }
    b->owned[b->owned_count++] = p;
}

void body_done(struct body *b)
{
    for (size_t i = 0; i < b->owned_count; i++)
        free(b->owned[i]);
    free((void *)b->owned);
    free(b->not_json);
    buf_done(&b->errors);
    *b = (struct body){0};
}

/* ---- what is wrong ---- */

void body_wrong(struct body *b, const char *pointer, const char *fmt, ...)
{
    char text[TEXT_SHOWN];
    va_list ap;

    if (b->count++ >= ERRORS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_str(&b->errors, b->count > 1 ? ",{\"pointer\":" : "{\"pointer\":");
    buf_json_string(&b->errors, pointer, strlen(pointer));
    buf_str(&b->errors, ",\"message\":");
    buf_json_string(&b->errors, text, strlen(text));
    buf_char(&b->errors, '}');
}

static void wrong_member(struct body *b, const struct body_member *m,
                         const char *what)
{
    char pointer[NAME_SHOWN + 2];

    snprintf(pointer, sizeof(pointer), "/%s", m->name);
    body_wrong(b, pointer, "%s", what);
}

static void tell_wrong(const struct body *b, int status, const char *what,
                       struct answer *a)
{
    struct buf errors = {0};
    char kind[16];

    (void)snprintf(kind, sizeof(kind), "invalid-%s", what);
    answer_problem(a, status, kind, "%u thing%s wrong with the %s", b->count,
                   b->count == 1 ? " is" : "s are", what);
    buf_printf(&errors, "[%s]", b->errors.data);
    answer_add_json(a, "errors", &errors);
    buf_done(&errors);
}

bool body_is_wrong(const struct body *b, struct answer *a)
{
    if (b->not_json)
        answer_problem(a, 400, "invalid-json", "%s", b->not_json);
    else if (b->count > 0)
        tell_wrong(b, 422, "body", a);
    return b->not_json || b->count > 0;
}

bool body_query_is_wrong(const struct body *b, struct answer *a)
{
    if (b->count > 0)
        tell_wrong(b, 400, "query", a);
    return b->count > 0;
}

void body_wrong_key(struct body *b, struct json_span key,
                    const char *const *names, size_t n)
{
    struct buf pointer = {0};
    size_t len;
    char *name = json_string_dup(key, &len);

    buf_char(&pointer, '/');
    for (const char *p = name ? name : "?"; *p && pointer.len < 2 * NAME_SHOWN;
         p++) {
        if (*p == '~' || *p == '/')
            buf_str(&pointer, *p == '~' ? "~0" : "~1");
        else
            buf_char(&pointer, *p);
    }
    const char *meant = name ? text_nearest(name, names, n) : NULL;
    if (meant)
        body_wrong(b, pointer.data, "not known; %s was meant?", meant);
    else
        body_wrong(b, pointer.data, "not known");
    buf_done(&pointer);
    free(name);
}

static void tell_unknown(struct reading *rd, struct json_span key)
{
    const char *names[MEMBERS_MAX];
    size_t n = 0;

    for (; rd->members[n].name; n++)
        names[n] = rd->members[n].name;
    body_wrong_key(rd->body, key, names, n);
}

/* ---- values ---- */

static char *read_text(struct body *b, struct json_span value)
{
    size_t n;
    char *text =
        json_kind(value) == JSON_IS_STRING ? json_string_dup(value, &n) : NULL;

    if (text)
        own(b, text);
    return text;
}

static void take_text(struct reading *rd, const struct body_member *m,
                      struct json_span value)
{
    const char *text = read_text(rd->body, value);
    char why[64];

    if (!text) {
        wrong_member(rd->body, m, "has to be a text without NUL");
        return;
    }
    if (m->max > 0 && strlen(text) > (size_t)m->max) {
        snprintf(why, sizeof(why), "longer than %lld bytes", (long long)m->max);
        wrong_member(rd->body, m, why);
        return;
    }
    memcpy(rd->into + m->offset, &text, sizeof(text));
}

static void take_int(struct reading *rd, const struct body_member *m,
                     struct json_span value)
{
    int64_t n;
    char why[96];

    if (json_kind(value) != JSON_IS_NUMBER || json_int_value(value, &n) != 0 ||
        n < m->min || n > m->max) {
        snprintf(why, sizeof(why), "has to be a whole number from %lld to %lld",
                 (long long)m->min, (long long)m->max);
        wrong_member(rd->body, m, why);
        return;
    }
    memcpy(rd->into + m->offset, &n, sizeof(n));
}

static void take_span(struct reading *rd, const struct body_member *m,
                      struct json_span value)
{
    const char *text = read_text(rd->body, value);
    char why[160], least[32], most[32];
    int64_t ms = 0;
    bool right = text ? text_parse_duration(text, &ms, NULL) == 0
                      : json_kind(value) == JSON_IS_NUMBER &&
                            json_int_value(value, &ms) == 0;

    if (!right || ms < m->min || ms > m->max) {
        snprintf(why, sizeof(why),
                 "has to be a span (\"10m\", or milliseconds) from %s to %s",
                 text_format_duration(m->min, least),
                 text_format_duration(m->max, most));
        wrong_member(rd->body, m, why);
        return;
    }
    memcpy(rd->into + m->offset, &ms, sizeof(ms));
}

static int on_element(void *arg, struct json_span key, struct json_span value,
                      struct errbuf *eb)
{
    struct array *array = arg;
    struct body_texts *t = array->texts;
    char pointer[NAME_SHOWN + 32];
    const char *text = read_text(array->body, value);

    (void)key;
    (void)eb;
    if (!text) {
        snprintf(pointer, sizeof(pointer), "/%s/%zu", array->member->name,
                 t->count);
        body_wrong(array->body, pointer, "has to be a text without NUL");
        text = "";
    }
    if (t->count == array->cap) {
        array->cap = array->cap ? array->cap * 2 : 16;
        t->texts = mem_resize((void *)t->texts, array->cap * sizeof(*t->texts));
    }
    t->texts[t->count++] = text;
    return 0;
}

static void take_texts(struct reading *rd, const struct body_member *m,
                       struct json_span value)
{
    struct body_texts texts = {.given = true};
    struct array array = {.body = rd->body, .member = m, .texts = &texts};
    char why[64];

    if (json_kind(value) != JSON_IS_ARRAY) {
        wrong_member(rd->body, m, "has to be an array of texts");
        return;
    }
    (void)json_scan_array(value.p, value.len, on_element, &array, NULL);
    if (texts.texts)
        own(rd->body, (void *)texts.texts);
    if (texts.count > (size_t)m->max) {
        snprintf(why, sizeof(why), "more than %lld", (long long)m->max);
        wrong_member(rd->body, m, why);
    }
    memcpy(rd->into + m->offset, &texts, sizeof(texts));
}

static void take_bool(struct reading *rd, const struct body_member *m,
                      struct json_span value)
{
    enum json_kind kind = json_kind(value);
    bool yes = kind == JSON_IS_TRUE;

    if (kind != JSON_IS_TRUE && kind != JSON_IS_FALSE)
        wrong_member(rd->body, m, "has to be true or false");
    else
        memcpy(rd->into + m->offset, &yes, sizeof(yes));
}

static void take(struct reading *rd, const struct body_member *m,
                 struct json_span value)
{
    if (json_kind(value) == JSON_IS_NULL && m->type != MEMBER_JSON)
        return;
    switch (m->type) {
    case MEMBER_TEXT:
        take_text(rd, m, value);
        break;
    case MEMBER_BOOL:
        take_bool(rd, m, value);
        break;
    case MEMBER_INT:
        take_int(rd, m, value);
        break;
    case MEMBER_SPAN:
        take_span(rd, m, value);
        break;
    case MEMBER_JSON:
        memcpy(rd->into + m->offset, &value, sizeof(value));
        break;
    case MEMBER_TEXTS:
        take_texts(rd, m, value);
        break;
    }
}

static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct reading *rd = arg;

    (void)eb;
    for (unsigned i = 0; rd->members[i].name; i++) {
        const struct body_member *m = &rd->members[i];
        if (!json_string_is(key, m->name))
            continue;
        if (rd->seen & (UINT64_C(1) << i))
            wrong_member(rd->body, m, "given twice");
        else
            take(rd, m, value);
        rd->seen |= UINT64_C(1) << i;
        return 0;
    }
    tell_unknown(rd, key);
    return 0;
}

void body_read(struct body *b, struct bytes text,
               const struct body_member *members, void *into)
{
    struct reading rd = {.body = b, .members = members, .into = into};
    struct errbuf eb = {""};
    size_t blank = 0;

    while (blank < text.len && strchr(" \t\r\n", text.p[blank]) &&
           text.p[blank] != '\0')
        blank++;
    if (blank == text.len)
        return;
    if (json_scan_object(text.p, text.len, on_member, &rd, &eb) != 0)
        b->not_json = mem_strdup(eb.text);
}
