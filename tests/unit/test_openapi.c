/*
 * Claims about openapi.json: it describes the routes that there are, each as it
 * is, and nothing else. What they answer is compared by it_serve_openapi.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "producer/serve/answer.h"
#include "producer/serve/route.h"
#include "tests/support/schema.h"
#include "tests/unit/unit.h"

static json_t *doc;

static int setup(void **state)
{
    json_error_t error;

    (void)state;
    doc = json_load_file(BELT_OPENAPI, JSON_REJECT_DUPLICATES, &error);
    if (doc == NULL)
        print_error("%s:%d: %s\n", BELT_OPENAPI, error.line, error.text);
    return doc == NULL;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(doc);
    return 0;
}

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

/* Lends what the document says of a route, or NULL. */
static const json_t *operation(const struct route *r)
{
    char method[16] = "";

    for (size_t i = 0; r->method[i] != '\0' && i < sizeof(method) - 1; i++)
        method[i] = (char)tolower((unsigned char)r->method[i]);
    const json_t *paths = json_object_get(doc, "paths");
    return json_object_get(json_object_get(paths, r->path), method);
}

static void it_is_of_this_version(void **state)
{
    (void)state;
    assert_memory_equal(text_of(doc, "openapi"), "3.1.", 4);
    assert_string_equal(text_of(json_object_get(doc, "info"), "version"),
                        BELT_VERSION);
}

static void every_route_is_described(void **state)
{
    static const char *const roles[] = {[ROLE_NONE] = "none",
                                        [ROLE_READ] = "read",
                                        [ROLE_PUSH] = "push",
                                        [ROLE_OPERATE] = "operate"};

    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const json_t *op = operation(r);
        if (op == NULL)
            fail_msg("%s %s is not described", r->method, r->path);
        if (strcmp(text_of(op, "x-belt-role"), roles[r->role]) != 0)
            fail_msg("%s %s needs \"%s\"", r->method, r->path, roles[r->role]);
        /* Where none is needed it says so; elsewhere the whole document does.
         */
        const json_t *security = json_object_get(op, "security");
        if ((r->role == ROLE_NONE) != (security != NULL) ||
            json_array_size(security) != 0)
            fail_msg("%s %s: security", r->method, r->path);
    }
    assert_int_equal(json_array_size(json_object_get(doc, "security")), 1);
}

static void nothing_else_is_described(void **state)
{
    const json_t *path;
    const char *name;
    size_t described = 0, there = 0;

    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++)
        there++;
    json_object_foreach(json_object_get(doc, "paths"), name, path)
    {
        described += json_object_size(path) -
                     (json_object_get(path, "parameters") != NULL);
    }
    assert_int_equal(described, there); /* and each of those that are there */
}

static void bodies_are_of_the_kinds_that_are_read(void **state)
{
    static const struct {
        const char *type;
        unsigned bit;
    } kinds[] = {{"application/json", BODY_JSON},
                 {"application/x-ndjson", BODY_NDJSON},
                 {"application/jsonl", BODY_NDJSON},
                 {"application/cloudevents+json", BODY_CLOUDEVENT},
                 {"*/*", BODY_ANY}};

    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const json_t *body = json_object_get(operation(r), "requestBody");
        const json_t *content = json_object_get(body, "content");
        size_t known = 0;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            bool said = json_object_get(content, kinds[i].type) != NULL;
            if (said != ((r->bodies & kinds[i].bit) != 0))
                fail_msg("%s %s: %s", r->method, r->path, kinds[i].type);
            known += said;
        }
        assert_int_equal(json_object_size(content), known);
    }
}

/* Whether parameters name this one, of the path. */
static bool has_parameter(const json_t *parameters, const char *name, size_t n)
{
    const json_t *one;
    size_t i;

    json_array_foreach(parameters, i, one)
    {
        const json_t *p = schema_follow(doc, one);
        const char *text = text_of(p, "name");
        if (strcmp(text_of(p, "in"), "path") == 0 && strlen(text) == n &&
            memcmp(text, name, n) == 0)
            return json_is_true(json_object_get(p, "required"));
    }
    return false;
}

static void parts_of_paths_are_described(void **state)
{
    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const json_t *paths = json_object_get(doc, "paths");
        const json_t *path = json_object_get(paths, r->path);
        const json_t *parameters = json_object_get(path, "parameters");
        size_t count = 0;
        for (const char *at = strchr(r->path, '{'); at != NULL;
             at = strchr(at, '{')) {
            size_t n = strcspn(++at, "}");
            if (!has_parameter(parameters, at, n))
                fail_msg("%s: %.*s", r->path, (int)n, at);
            count++;
        }
        assert_int_equal(json_array_size(parameters), count);
    }
}

static void check_refs(const json_t *o)
{
    const char *ref = json_string_value(json_object_get(o, "$ref"));
    const char *name;
    const json_t *part;
    size_t i;

    if (ref != NULL && schema_at(doc, ref) == NULL)
        fail_msg("%s leads nowhere", ref);
    if (json_is_object(o)) {
        json_object_foreach(schema_writable(o), name, part)
        {
            check_refs(part);
        }
    } else if (json_is_array(o)) {
        json_array_foreach(o, i, part)
        {
            check_refs(part);
        }
    }
}

static void every_reference_leads_somewhere(void **state)
{
    (void)state;
    check_refs(doc);
    assert_null(schema_at(doc, "#/components/schemas/NotThere"));
}

static void every_route_says_what_it_answers(void **state)
{
    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const json_t *op = operation(r), *answer;
        const json_t *answers = json_object_get(op, "responses");
        const char *status;
        size_t good = 0;
        json_object_foreach(schema_writable(answers), status, answer)
        {
            const json_t *there = schema_follow(doc, answer);
            if (text_of(there, "description")[0] == '\0')
                fail_msg("%s %s: %s", r->method, r->path, status);
            good += status[0] == '2';
        }
        if (good == 0)
            fail_msg("%s %s: no success", r->method, r->path);
        bool guarded = r->role != ROLE_NONE;
        if (guarded != (json_object_get(answers, "401") != NULL) ||
            guarded != (json_object_get(answers, "403") != NULL))
            fail_msg("%s %s: 401 and 403", r->method, r->path);
        if (text_of(op, "summary")[0] == '\0' ||
            json_array_size(json_object_get(op, "tags")) != 1)
            fail_msg("%s %s: no summary, or no tag", r->method, r->path);
    }
}

static void names_of_operations_are_different(void **state)
{
    json_t *seen = json_object();

    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const char *id = text_of(operation(r), "operationId");
        if (id[0] == '\0' || json_object_get(seen, id) != NULL)
            fail_msg("%s %s: operationId \"%s\"", r->method, r->path, id);
        json_object_set_new(seen, id, json_true());
    }
    json_decref(seen);
}

static void every_kind_of_problem_is_described(void **state)
{
    const json_t *type =
        schema_at(doc, "#/components/schemas/Problem/properties/type/enum");
    size_t n;
    const struct problem_kind *kinds = problem_kinds(&n);

    (void)state;
    assert_int_equal(json_array_size(type), n);
    for (size_t i = 0; i < n; i++) {
        char urn[96];
        (void)snprintf(urn, sizeof(urn), "urn:belt:problem:%s", kinds[i].name);
        if (strcmp(json_string_value(json_array_get(type, i)), urn) != 0)
            fail_msg("%s is not in its place", urn);
    }
}

/* What a client sees of an answer in its first line, and in the metrics. */
static void every_status_has_a_name_of_its_own(void **state)
{
    static const int elsewhere[] = {408, 417, 421, 431, 501, 505};

    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const char *status;
        json_t *answer;
        json_object_foreach(json_object_get(operation(r), "responses"), status,
                            answer)
        {
            if (answer_phrase(atoi(status))[0] == '\0')
                fail_msg("%s %s: %s", r->method, r->path, status);
        }
    }
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        if (answer_phrase(elsewhere[i])[0] == '\0')
            fail_msg("%d", elsewhere[i]);
    assert_string_equal(answer_phrase(299), "");
}

/* Lends docs/HTTP.md. */
static const char *http_md(void)
{
    static char text[256 * 1024];
    FILE *f;

    if (text[0] != '\0')
        return text;
    f = fopen(BELT_HTTP_MD, "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    (void)fclose(f);
    return text;
}

static void every_kind_of_problem_is_documented(void **state)
{
    size_t n;
    const struct problem_kind *kinds = problem_kinds(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        char name[96];
        (void)snprintf(name, sizeof(name), "`%s`", kinds[i].name);
        if (strstr(http_md(), name) == NULL)
            fail_msg("%s is not in docs/HTTP.md", name);
    }
}

/* The table there shortens paths: only how they end is looked for. */
static void every_route_is_documented(void **state)
{
    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        const char *last = strrchr(r->path, '/');
        char end[64], word[64];
        if (last[1] == '{') /* "/jobs/{id}" */
            last = memrchr(r->path, '/', (size_t)(last - r->path));
        bool named = strchr(last, '{') != NULL;
        (void)snprintf(end, sizeof(end), "%s%s", last, named ? "" : "`");
        (void)snprintf(word, sizeof(word), "`%s`", last + 1);
        if (strstr(http_md(), end) == NULL && strstr(http_md(), word) == NULL)
            fail_msg("%s %s is not in docs/HTTP.md", r->method, r->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_of_this_version),
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(nothing_else_is_described),
        cmocka_unit_test(bodies_are_of_the_kinds_that_are_read),
        cmocka_unit_test(parts_of_paths_are_described),
        cmocka_unit_test(every_reference_leads_somewhere),
        cmocka_unit_test(every_route_says_what_it_answers),
        cmocka_unit_test(names_of_operations_are_different),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
        cmocka_unit_test(every_kind_of_problem_is_described),
        cmocka_unit_test(every_kind_of_problem_is_documented),
        cmocka_unit_test(every_route_is_documented),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
