/*
 * Schema: does a value fit its description?
 *
 * Thread: any.
 */
#include "tests/support/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE_MAX = 256, DEPTH_MAX = 40, KEY_MAX_LEN = 128 };

struct check {
    const json_t *doc;
    char place[PLACE_MAX]; /* "/jobs/0/id" */
    unsigned depth;
    char *why;
    size_t size;
};

static bool fits(struct check *c, const json_t *schema, const json_t *value);

/* The next part of a pointer, ~1 and ~0 decoded; returns what is behind. */
static const char *next_part(const char *at, char out[KEY_MAX_LEN])
{
    size_t n = 0;

    for (at++; *at != '\0' && *at != '/'; at++) {
        char ch = *at;
        if (ch == '~') {
            at++;
            ch = *at == '1' ? '/' : '~';
        }
        if (n < KEY_MAX_LEN - 1)
            out[n++] = ch;
    }
    out[n] = '\0';
    return at;
}

const json_t *schema_at(const json_t *doc, const char *ref)
{
    char part[KEY_MAX_LEN];

    if (ref[0] != '#')
        return NULL;
    for (ref++; doc != NULL && *ref == '/';) {
        ref = next_part(ref, part);
        doc = json_object_get(doc, part);
    }
    return doc;
}

const json_t *schema_follow(const json_t *doc, const json_t *o)
{
    for (int i = 0; o != NULL && i < DEPTH_MAX; i++) {
        const char *ref = json_string_value(json_object_get(o, "$ref"));
        if (ref == NULL)
            return o;
        o = schema_at(doc, ref);
    }
    return NULL;
}

json_t *schema_writable(const json_t *o)
{
    json_t *same;

    memcpy(&same, &o, sizeof(same));
    return same;
}

__attribute__((format(printf, 2, 3))) static bool wrong(struct check *c,
                                                        const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)snprintf(c->why, c->size, "%s: %s",
                   c->place[0] != '\0' ? c->place : "/", text);
    return false;
}

static bool is_of(const json_t *value, const char *type)
{
    static const struct {
        const char *name;
        json_type type, other;
    } types[] = {
        {"object", JSON_OBJECT, JSON_OBJECT},
        {"array", JSON_ARRAY, JSON_ARRAY},
        {"string", JSON_STRING, JSON_STRING},
        {"integer", JSON_INTEGER, JSON_INTEGER},
        {"number", JSON_INTEGER, JSON_REAL},
        {"boolean", JSON_TRUE, JSON_FALSE},
        {"null", JSON_NULL, JSON_NULL},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].name, type) == 0)
            return json_typeof(value) == types[i].type ||
                   json_typeof(value) == types[i].other;
    return false;
}

static bool check_type(struct check *c, const json_t *schema,
                       const json_t *value)
{
    const json_t *type = json_object_get(schema, "type"), *one;
    size_t i;

    if (type == NULL)
        return true;
    if (json_is_string(type) && is_of(value, json_string_value(type)))
        return true;
    json_array_foreach(type, i, one)
    {
        if (is_of(value, json_string_value(one)))
            return true;
    }
    char *text = json_dumps(type, JSON_ENCODE_ANY | JSON_COMPACT);
    (void)wrong(c, "is no %s", text);
    free(text);
    return false;
}

static bool check_enum(struct check *c, const json_t *schema,
                       const json_t *value)
{
    const json_t *all = json_object_get(schema, "enum"), *one;
    size_t i;

    if (all == NULL)
        return true;
    json_array_foreach(all, i, one)
    {
        if (json_equal(one, value))
            return true;
    }
    return wrong(c, "\"%s\" is not one of its values",
                 json_is_string(value) ? json_string_value(value) : "?");
}

/* Calls fits for a part of the value, with its name in the place. */
static bool part_fits(struct check *c, const char *name, const json_t *schema,
                      const json_t *value)
{
    size_t n = strlen(c->place);

    (void)snprintf(c->place + n, sizeof(c->place) - n, "/%s", name);
    bool good = fits(c, schema, value);
    c->place[n] = '\0';
    return good;
}

static bool check_members(struct check *c, const json_t *schema,
                          const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const json_t *required = json_object_get(schema, "required"), *one;
    const char *name;
    json_t *member;
    size_t i;

    json_array_foreach(required, i, one)
    {
        if (json_object_get(value, json_string_value(one)) == NULL)
            return wrong(c, "has no \"%s\"", json_string_value(one));
    }
    /* jansson's iteration takes no const. */
    json_object_foreach(schema_writable(value), name, member)
    {
        const json_t *schema_of = json_object_get(properties, name);
        if (schema_of == NULL)
            schema_of = others;
        if (schema_of == NULL)
            return wrong(c, "\"%s\" is not described", name);
        if (!part_fits(c, name, schema_of, member))
            return false;
    }
    return true;
}

static bool check_items(struct check *c, const json_t *schema,
                        const json_t *value)
{
    const json_t *items = json_object_get(schema, "items"), *one;
    char name[24];
    size_t i;

    if (items == NULL)
        return true;
    json_array_foreach(value, i, one)
    {
        (void)snprintf(name, sizeof(name), "%zu", i);
        if (!part_fits(c, name, items, one))
            return false;
    }
    return true;
}

static bool check_one_of(struct check *c, const json_t *all,
                         const json_t *value)
{
    size_t i, good = 0;
    const json_t *one;

    json_array_foreach(all, i, one)
    {
        good += fits(c, one, value);
    }
    return good == 1 || wrong(c, "fits %zu of its kinds", good);
}

static bool fits(struct check *c, const json_t *schema, const json_t *value)
{
    if (json_is_true(schema))
        return true;
    schema = schema_follow(c->doc, schema);
    if (!json_is_object(schema))
        return wrong(c, "nothing describes it");
    if (c->depth == DEPTH_MAX)
        return wrong(c, "is too deep");
    c->depth++;
    const json_t *one_of = json_object_get(schema, "oneOf");
    bool good =
        check_type(c, schema, value) && check_enum(c, schema, value) &&
        (!json_is_object(value) || json_object_get(schema, "type") == NULL ||
         check_members(c, schema, value)) &&
        (!json_is_array(value) || check_items(c, schema, value)) &&
        (one_of == NULL || check_one_of(c, one_of, value));
    c->depth--;
    return good;
}

bool schema_fits(const json_t *doc, const json_t *schema, const json_t *value,
                 char *why, size_t size)
{
    struct check c = {.doc = doc, .size = size};

    c.why = why;
    return fits(&c, schema, value);
}
