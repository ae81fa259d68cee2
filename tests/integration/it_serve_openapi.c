/*
 * Claims about openapi.json: what belt-serve answers is what it describes. The
 * example of each operation is sent, and what comes back, its status, its type,
 * its body, is held against the description. A story gives each of them
 * something to find.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "producer/serve/tokens.h"
#include "tests/integration/http_fixture.h"
#include "tests/support/schema.h"
#include "tests/unit/unit.h"

#define QUEUE "mail"

/* A request of an operation. What is NULL is as its example says. */
struct visit {
    const char *operation; /* operationId */
    int status;
    const char *id;    /* of the path */
    const char *query; /* "wait=20" */
    const char *type;  /* Content-Type */
    const char *body;
    const char *headers;
};

static json_t *doc;
static json_t *answered; /* operationId and status, as "getJob 200" */
static struct buf all_token, read_token, push_token;

static int load(void **state)
{
    json_error_t error;

    (void)state;
    doc = json_load_file(BELT_OPENAPI, 0, &error);
    answered = json_object();
    return doc == NULL;
}

static int unload(void **state)
{
    (void)state;
    json_decref(doc);
    json_decref(answered);
    return 0;
}

/* ---- the server ---- */

static void add_token(const char *path, const char *name, const char *roles,
                      const char *queues, struct buf *out)
{
    struct errbuf eb;

    buf_clear(out);
    if (tokens_add(path, name, roles, queues, out, &eb) != 0)
        fail_msg("%s", eb.text);
}

static int setup(void **state)
{
    assert_int_equal(web_setup(state), 0);
    struct web *f = *state;
    char *path = mem_printf("%s/tokens", redis_dir(f->r));
    add_token(path, "all", "operate,push", "", &all_token);
    add_token(path, "reader", "read", QUEUE, &read_token);
    add_token(path, "pusher", "push", QUEUE " default", &push_token);
    web_begin(f, (const char *const[]){"--tokens", path, NULL});
    free(path);
    return 0;
}

static int teardown(void **state)
{
    buf_done(&all_token);
    buf_done(&read_token);
    buf_done(&push_token);
    return web_teardown(state);
}

/* ---- what the document says ---- */

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

struct operation {
    const char *method, *path, *id;
    const json_t *o, *path_parameters;
};

typedef void (*operation_cb)(const struct operation *op, void *arg);

static void each_operation(operation_cb cb, void *arg)
{
    const char *path, *method;
    json_t *item, *o;

    json_object_foreach(json_object_get(doc, "paths"), path, item)
    {
        json_object_foreach(item, method, o)
        {
            if (!json_is_object(o))
                continue; /* parameters, of all of them */
            struct operation op = {.method = method,
                                   .path = path,
                                   .id = text_of(o, "operationId"),
                                   .o = o,
                                   .path_parameters =
                                       json_object_get(item, "parameters")};
            cb(&op, arg);
        }
    }
}

struct search {
    const char *id;
    struct operation found;
};

static void take_if_named(const struct operation *op, void *arg)
{
    struct search *s = arg;

    if (strcmp(op->id, s->id) == 0)
        s->found = *op;
}

static struct operation find_operation(const char *id)
{
    struct search s = {.id = id};

    each_operation(take_if_named, &s);
    if (s.found.o == NULL)
        fail_msg("%s is not described", id);
    return s.found;
}

/* Appends the parts of its path, each by its example unless v says. */
static void append_path(struct buf *out, const struct operation *op,
                        const struct visit *v)
{
    for (const char *at = op->path; *at != '\0';) {
        const json_t *p;
        size_t i, n = strcspn(at, "{");
        buf_append(out, at, n);
        at += n;
        if (*at == '\0')
            break;
        n = strcspn(at, "}");
        json_array_foreach(op->path_parameters, i, p)
        {
            const json_t *there = schema_follow(doc, p);
            const char *name = text_of(there, "name");
            if (strlen(name) != n - 1 || memcmp(name, at + 1, n - 1) != 0)
                continue;
            bool given = v->id != NULL && strcmp(name, "id") == 0;
            buf_str(out, given ? v->id : text_of(there, "example"));
        }
        at += n + 1;
    }
    if (v->query != NULL)
        buf_printf(out, "?%s", v->query);
}

/* Returns the body, owned, or NULL, and its type. */
static char *example_body(const struct operation *op, const struct visit *v,
                          const char **ret_type)
{
    const json_t *content =
        json_object_get(json_object_get(op->o, "requestBody"), "content");
    const char *first =
        json_object_iter_key(json_object_iter(schema_writable(content)));
    const char *type = v->type != NULL ? v->type : first;

    *ret_type = type;
    if (type == NULL || v->body != NULL)
        return v->body != NULL ? mem_strdup(v->body) : NULL;
    const json_t *example =
        json_object_get(json_object_get(content, type), "example");
    if (example == NULL)
        fail_msg("%s has no example of %s", op->id, type);
    if (json_is_string(example))
        return mem_strdup(json_string_value(example));
    return json_dumps(example, JSON_COMPACT);
}

/* ---- what comes back ---- */

static void check_json(const struct operation *op, const json_t *schema,
                       const char *text, size_t n)
{
    char why[512];
    json_error_t error;
    json_t *value = json_loadb(text, n, JSON_DECODE_ANY, &error);

    if (value == NULL)
        fail_msg("%s: no JSON: %.*s", op->id, (int)n, text);
    if (!schema_fits(doc, schema, value, why, sizeof(why)))
        fail_msg("%s: %s\n%.*s", op->id, why, (int)n, text);
    json_decref(value);
}

static void check_body(const struct operation *op, const json_t *answer,
                       const struct web_reply *a)
{
    const json_t *content = json_object_get(answer, "content");
    char type[128];

    if (content == NULL) {
        assert_int_equal(a->body_len, 0);
        return;
    }
    (void)snprintf(type, sizeof(type), "%s", web_header(a, "Content-Type"));
    type[strcspn(type, "; ")] = '\0';
    const json_t *schema =
        json_object_get(json_object_get(content, type), "schema");
    if (schema == NULL)
        fail_msg("%s: %d is not described as %s", op->id, a->status, type);
    if (strstr(type, "json") == NULL)
        return;
    if (strcmp(type, "application/x-ndjson") != 0) {
        check_json(op, schema, a->body, a->body_len);
        return;
    }
    for (const char *at = a->body, *eol; (eol = strchr(at, '\n')) != NULL;
         at = eol + 1)
        check_json(op, schema, at, (size_t)(eol - at));
}

static void check_headers(const struct operation *op, const json_t *answer,
                          const struct web_reply *a)
{
    const char *name;
    json_t *header;

    json_object_foreach(json_object_get(answer, "headers"), name, header)
    {
        bool needed = json_is_true(
            json_object_get(schema_follow(doc, header), "required"));
        if (needed && web_header(a, name)[0] == '\0')
            fail_msg("%s: %d has no %s", op->id, a->status, name);
    }
}

static void check_answer(const struct operation *op, const struct web_reply *a)
{
    char status[16];

    (void)snprintf(status, sizeof(status), "%d", a->status);
    const json_t *answer = schema_follow(
        doc, json_object_get(json_object_get(op->o, "responses"), status));
    if (answer == NULL)
        fail_msg("%s: %s is not described: %s", op->id, status, a->body);
    check_headers(op, answer, a);
    check_body(op, answer, a);
    char *done = mem_printf("%s %s", op->id, status);
    json_object_set_new(answered, done, json_true());
    free(done);
}

/* Sends it with this token ("": none) and checks what comes; the caller takes
 * the answer. */
static void ask(struct web *f, const struct operation *op,
                const struct visit *v, const char *token, struct web_reply *a)
{
    struct buf path = {0}, headers = {0};
    char method[16] = "";
    const char *type;
    char *body = example_body(op, v, &type);

    for (size_t i = 0; i < sizeof(method) - 1 && op->method[i] != '\0'; i++)
        method[i] = (char)(op->method[i] & ~32);
    append_path(&path, op, v);
    buf_str(&headers, v->headers != NULL ? v->headers : "");
    if (token[0] != '\0')
        buf_printf(&headers, "Authorization: Bearer %s\r\n", token);
    if (type != NULL && strcmp(type, "*/*") != 0)
        buf_printf(&headers, "Content-Type: %s\r\n", type);
    web_ask(f, method, path.data, headers.data, body, a);
    check_answer(op, a);
    free(body);
    buf_done(&path);
    buf_done(&headers);
}

static void visit(struct web *f, const struct visit *v)
{
    struct operation op = find_operation(v->operation);
    struct web_reply a;

    ask(f, &op, v, all_token.data, &a);
    if (a.status != v->status)
        fail_msg("%s: %d, not %d: %s", op.id, a.status, v->status, a.body);
    web_reply_done(&a);
}

/* ---- a story in which all succeed ---- */

#define VISIT(name, code, ...)                                                 \
    visit(f, &(const struct visit){                                            \
                 .operation = (name), .status = (code), __VA_ARGS__})

static void look_at_the_server(struct web *f)
{
    VISIT("livez", 200);
    VISIT("healthz", 200);
    VISIT("readyz", 200);
    VISIT("version", 200);
    VISIT("robots", 200);
    VISIT("openapi", 200);
    VISIT("openapi", 304, .headers = "If-None-Match: *\r\n");
    VISIT("metrics", 200);
}

static void push_of_all_kinds(struct web *f)
{
    VISIT("pushJobs", 202);
    VISIT("pushJobs", 202, .headers = "Idempotency-Key: \"k-1\"\r\n",
          .body = "{\"type\":\"mail.once\"}");
    VISIT("pushJobs", 202, .headers = "Idempotency-Key: k-1\r\n",
          .body = "{\"type\":\"mail.once\"}");
    VISIT("pushJobs", 422, .headers = "Idempotency-Key: k-1\r\n",
          .body = "{\"type\":\"mail.twice\"}");
    VISIT("pushJobs", 202, .body = "{\"type\":\"u\",\"unique\":\"x\"}");
    VISIT("pushJobs", 202, .body = "{\"type\":\"u\",\"unique\":\"x\"}");
    VISIT("pushJobs", 409,
          .body =
              "{\"type\":\"u\",\"unique\":\"x\",\"on_conflict\":\"error\"}");
    VISIT("pushJobs", 200, .type = "application/x-ndjson");
    VISIT("pushJobs", 200, .type = "application/x-ndjson",
          .body = "{\"type\":\"a\",\"in\":\"1h\"}\n\n{\"tipe\":1}\nnot json\n");
    VISIT("pushJobs", 200, .type = "application/jsonl");
    VISIT("pushJobs", 202, .type = "application/cloudevents+json");
    VISIT("pushPayload", 202, .query = "queue=" QUEUE "&in=1h&id=later-1");
    VISIT("pushPayload", 202, .query = "queue=" QUEUE "&in=1h&id=later-2");
}

static void operate_on_the_queue(struct web *f)
{
    VISIT("pauseQueue", 200);
    VISIT("pauseQueue", 200, .type = "application/json", .body = "");
    VISIT("listQueues", 200, .query = "limit=1");
    VISIT("getQueue", 200);
    VISIT("setQueue", 200);
    VISIT("setQueue", 200, .body = "{\"max_length\":1}");
    VISIT("pushJobs", 202, .body = "{\"type\":\"a\"}");
    VISIT("pushJobs", 429, .body = "{\"type\":\"a\"}");
    VISIT("pushJobs", 200, .type = "application/x-ndjson");
    VISIT("setQueue", 200, .body = "{\"max_length\":null}");
    VISIT("getStats", 200, .query = "minutes=2");
    VISIT("getStats", 200, .query = "total=true");
}

static void move_jobs(struct web *f)
{
    VISIT("listJobs", 200, .query = "state=scheduled&limit=1");
    VISIT("listJobs", 200, .query = "state=ready");
    VISIT("getJob", 200);
    VISIT("getJob", 200, .id = "later-1");
    VISIT("getJob", 404, .id = "nobody");
    VISIT("getResult", 409);
    VISIT("getResult", 404, .id = "nobody");
    VISIT("deleteJob", 204, .id = "later-1");
    VISIT("deleteJob", 404, .id = "later-1");
    VISIT("requeueJob", 200, .id = "later-2");
    VISIT("requeueJob", 409);
    VISIT("cancelJob", 202, .id = "later-2");
    VISIT("cancelJob", 404, .id = "nobody");
}

static void bury(struct web *f, const char *id)
{
    redis_do(f->r,
             "ZADD belt:{" QUEUE "}:dead 1764000000000 "
             "{\"id\":\"%s\",\"type\":\"mail.x\",\"created_at\":1763999999999,"
             "\"attempt\":1,\"error\":{\"class\":\"exit\",\"message\":\"no\"}}",
             id);
}

static void operate_on_the_dead(struct web *f)
{
    bury(f, "dead-1");
    bury(f, "dead-2");
    bury(f, "welcome-41");
    VISIT("listDead", 200, .query = "limit=1&type=mail.*");
    VISIT("sumUpDead", 200);
    VISIT("requeueDead", 200, .body = "{\"all\":true,\"dry_run\":true}");
    VISIT("requeueDead", 200, .body = "{\"type\":\"mail.*\",\"limit\":1}");
    VISIT("deleteDead", 200);
    VISIT("deleteDead", 200, .body = "{\"all\":true}");
    VISIT("deleteDead", 422, .body = "{}");
}

static void operate_on_cron(struct web *f)
{
    VISIT("putCron", 201);
    VISIT("putCron", 200);
    VISIT("putCron", 422, .body = "{\"spec\":\"never\",\"type\":\"a\"}");
    VISIT("listCron", 200);
    VISIT("getCron", 200, .query = "next=2");
    VISIT("pauseCron", 200);
    VISIT("resumeCron", 200);
    VISIT("runCron", 202);
    VISIT("deleteCron", 204);
    VISIT("getCron", 404);
    VISIT("runCron", 404);
}

/* A worker, so that there are results and lines of a log. */
static void see_a_job_done(struct web *f)
{
    const char *const flags[] = {
        "-q",        QUEUE,
        "--handler", "mail.welcome=exec:/bin/sh -c 'echo seen >&2; echo {}'",
        "--handler", "*=builtin:noop",
        NULL};
    struct worker *w;

    VISIT("resumeQueue", 200);
    VISIT("resumeQueue", 200);
    w = worker_start(f->r, NULL, flags);
    VISIT("getJob", 200, .query = "wait=30");
    VISIT("getJob", 200, .headers = "Prefer: wait=30\r\n");
    VISIT("getResult", 200);
    VISIT("getLog", 200);
    VISIT("getLog", 200, .headers = "Accept: application/x-ndjson\r\n");
    VISIT("getLog", 404, .id = "nobody");
    VISIT("cancelJob", 409);
    VISIT("listWorkers", 200);
    VISIT("pushJobs", 202,
          .body = "{\"type\":\"x\",\"id\":\"n\",\"keep\":\"1h\"}");
    VISIT("getJob", 200, .id = "n", .query = "wait=30");
    VISIT("getResult", 204, .id = "n");
    worker_free(w);
}

/* Of each operation each success that it describes was seen. */
static void check_seen(const struct operation *op, void *arg)
{
    const char *status;
    json_t *answer;

    (void)arg;
    json_object_foreach(json_object_get(op->o, "responses"), status, answer)
    {
        char *key = mem_printf("%s %s", op->id, status);
        if (status[0] == '2' && json_object_get(answered, key) == NULL &&
            strcmp(key, "cancelJob 200") != 0 &&
            strcmp(key, "pauseQueue 202") != 0)
            fail_msg("%s was not seen", key);
        free(key);
    }
}

static void every_example_is_answered_as_described(void **state)
{
    struct web *f = *state;

    look_at_the_server(f);
    operate_on_the_queue(f);
    push_of_all_kinds(f);
    move_jobs(f);
    operate_on_the_dead(f);
    operate_on_cron(f);
    see_a_job_done(f);
    each_operation(check_seen, NULL);
}

/* ---- what goes wrong, for each of them ---- */

struct wrong {
    struct web *f;
    const struct visit *visit;
    const char *token;
    int status;
    const char *kind;
};

static void expect_problem(const struct operation *op, const struct wrong *w)
{
    struct web_reply a;

    ask(w->f, op, w->visit, w->token, &a);
    if (a.status != w->status || strstr(a.body, w->kind) == NULL)
        fail_msg("%s: %d %s, not %d %s", op->id, a.status, a.body, w->status,
                 w->kind);
    web_reply_done(&a);
}

static bool needs(const struct operation *op, const char *role)
{
    return strcmp(text_of(op->o, "x-belt-role"), role) == 0;
}

static void ask_without_right(const struct operation *op, void *arg)
{
    static const struct visit plain = {0};
    struct wrong w = {.f = arg,
                      .visit = &plain,
                      .token = "",
                      .status = 401,
                      .kind = "problem:unauthorized"};

    if (needs(op, "none"))
        return;
    expect_problem(op, &w);
    w.token = "belt_of_nobody";
    expect_problem(op, &w);
    w.token = needs(op, "push") ? read_token.data : push_token.data;
    w.status = 403;
    w.kind = "problem:forbidden";
    expect_problem(op, &w);
    if (needs(op, "operate")) {
        w.token = read_token.data;
        expect_problem(op, &w);
    }
}

static void who_may_not_is_told_so(void **state)
{
    static const struct visit plain = {0};
    const struct wrong w = {.f = *state,
                            .visit = &plain,
                            .token = read_token.data,
                            .status = 403,
                            .kind = "metrics are of all queues"};
    struct operation metrics = find_operation("metrics");

    each_operation(ask_without_right, *state);
    expect_problem(&metrics, &w);
}

static void follow_ups_go_where_the_token_may_push(void **state)
{
    static const struct {
        const char *then; /* the value, and what else the body says */
        int status;
    } rows[] = {
        {"{\"type\":\"b\"}", 202},
        {"{\"type\":\"b\"},\"after\":\"i\"", 202},
        {"{\"type\":\"b\"},\"after\":\"default/i\"", 202},
        {"{\"type\":\"b\"},\"after\":\"others/i\"", 403},
        {"null,\"after\":\"others/i\"", 403},
        {"{\"type\":\"b\",\"queue\":\"default\"}", 202},
        {"{\"type\":\"b\",\"queue\":\"others\"}", 403},
        {"{\"type\":\"b\",\"qu\\u0065ue\":\"\\u006fthers\"}", 403},
        {"[{\"type\":\"b\"},{\"type\":\"b\",\"then\":"
         "[{\"type\":\"c\",\"queue\":\"others\"}]}]",
         403},
        {"{\"type\":\"b\",\"queue\":\"others\",\"queue\":\"mail\"}", 403},
        {"{\"type\":\"b\",\"queue\":7}", 422},
    };
    struct web *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[32];
        char *body = mem_printf("{\"type\":\"a\",\"then\":%s}", rows[i].then);
        (void)snprintf(line, sizeof(line), "\"status\":%d", rows[i].status);
        struct operation op = find_operation("pushJobs");
        struct visit one = {.body = body};
        struct visit many = {.type = "application/x-ndjson", .body = body};
        struct web_reply a;
        ask(f, &op, &one, push_token.data, &a);
        assert_int_equal(a.status, rows[i].status);
        web_reply_done(&a);
        ask(f, &op, &many, push_token.data, &a);
        if (strstr(a.body, line) == NULL)
            fail_msg("%s: %s", body, a.body);
        web_reply_done(&a);
        free(body);
    }
}

static void ask_wrongly(const struct operation *op, void *arg)
{
    const json_t *content =
        json_object_get(json_object_get(op->o, "requestBody"), "content");
    static const struct visit query = {.query = "nosuchname=1"};
    static const struct visit no_json = {.body = "{\"a\":"};
    static const struct visit no_member = {.body = "{\"nosuchname\":1}"};
    struct wrong w = {.f = arg,
                      .visit = &query,
                      .token = all_token.data,
                      .status = 400,
                      .kind = "problem:invalid-query"};

    if (needs(op, "none") || strcmp(op->id, "metrics") == 0)
        return;
    expect_problem(op, &w);
    if (json_object_get(content, "application/json") == NULL)
        return;
    w.visit = &no_json;
    w.kind = "problem:invalid-json";
    expect_problem(op, &w);
    w.visit = &no_member;
    w.status = 422;
    w.kind = "nosuchname";
    expect_problem(op, &w);
}

static void what_is_not_described_is_refused(void **state)
{
    each_operation(ask_wrongly, *state);
}

static void ask_in_vain(const struct operation *op, void *arg)
{
    static const struct visit plain = {0};
    const struct wrong w = {.f = arg,
                            .visit = &plain,
                            .token = all_token.data,
                            .status = 503,
                            .kind = "problem:redis-away"};

    if (!needs(op, "none") && strcmp(op->id, "metrics") != 0)
        expect_problem(op, &w);
}

static void without_redis_all_say_so(void **state)
{
    struct web *f = *state;

    redis_kill9(f->r);
    web_until(f, "/readyz", 503, NULL);
    VISIT("readyz", 503);
    VISIT("livez", 200);
    VISIT("metrics", 200);
    each_operation(ask_in_vain, f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(every_example_is_answered_as_described),
        TEST(who_may_not_is_told_so),
        TEST(follow_ups_go_where_the_token_may_push),
        TEST(what_is_not_described_is_refused),
        TEST(without_redis_all_say_so),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
