/*
 * Claims about handlers of kind http, against a server that misbehaves in
 * every way (http_server.h).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/unit/http_server.h"
#include "tests/unit/runner.h"
#include "tests/unit/unit.h"
#include "worker/handler_keys.h"

struct fixture {
    struct runner_fixture *r;
    struct http_server *server;
    struct handler_keys keys; /* of the next handler */
};

static int setup(void **state)
{
    struct fixture *f = mem_new(sizeof(*f));
    void *runner;

    runner_setup(&runner);
    f->r = runner;
    f->server = http_server_start(false);
    handler_keys_init(&f->keys);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *runner = f->r;

    handlers_free(f->r->hs); /* which closes its connections */
    f->r->hs = NULL;
    http_server_stop(f->server);
    handler_keys_done(&f->keys);
    runner_teardown(&runner);
    free(f);
    return 0;
}

static void key(struct fixture *f, const char *name, const char *value)
{
    struct errbuf eb = {""};
    unsigned i = 0;

    while (strcmp(handler_keys_name(i), name) != 0)
        i++;
    if (handler_keys_set(&f->keys, i, value, &eb) != 0)
        fail_msg("%s", eb.text);
}

static int add_url(struct fixture *f, const char *url, struct errbuf *eb)
{
    char *what = mem_printf("http:%s", url);
    int rc;

    handlers_free(f->r->hs);
    f->r->hs = handlers_new(&f->r->limits);
    rc = handlers_add_with(f->r->hs, "hook", what, NULL, &f->keys, eb);
    free(what);
    return rc;
}

static void handler(struct fixture *f, const char *path)
{
    struct errbuf eb = {""};
    char *url =
        mem_printf("http://127.0.0.1:%d%s", http_server_port(f->server), path);

    if (add_url(f, url, &eb) != 0)
        fail_msg("%s", eb.text);
    free(url);
}

static struct delivery *run_more(struct fixture *f, const char *payload,
                                 const char *more)
{
    struct delivery *d = runner_delivery(f->r, "hook", payload, more);

    handler_run(d, f->r->cancel_fd);
    return d;
}

static struct delivery *run(struct fixture *f, const char *path)
{
    handler(f, path);
    return run_more(f, "{\"n\":1}", NULL);
}

static void expect_message(const struct delivery *d, const char *text)
{
    expect_contains(&d->outcome.message, text);
}

/* ---- what is sent ---- */

static void payload_and_what_belongs_to_it_arrive(void **state)
{
    struct fixture *f = *state;
    struct delivery *d;
    struct buf b;

    handler(f, "/ok");
    d = run_more(f, "{\"n\": 12345678901234567890}",
                 ",\"created_at\":1764000120500,\"attempt\":2,"
                 "\"meta\":{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80"
                 "319c-b7ad6b7169203331-01\"}");
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "{\"n\": 12345678901234567890}");
    assert_int_equal(d->outcome.exit_status, 0);
    b = http_server_request(f->server);
    assert_memory_equal(b.data, "POST /ok HTTP/1.1\r\n", 19);
    expect_contains(&b, "\r\nContent-Type: application/json\r\n");
    expect_contains(&b, "\r\nce-specversion: 1.0\r\n");
    expect_contains(&b, "\r\nce-id: job-1\r\n");
    expect_contains(&b, "\r\nce-type: hook\r\n");
    expect_contains(&b, "\r\nce-source: /belt/mail\r\n");
    expect_contains(&b, "\r\nce-time: 2025-11-24T16:02:00.500Z\r\n");
    expect_contains(&b, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80");
    expect_contains(&b, "\r\nBelt-Attempt: 3\r\n");
    expect_contains(&b, "\r\n\r\n{\"n\": 12345678901234567890}");
    assert_null(strstr(b.data, "webhook-"));
    assert_null(strstr(b.data, "Expect"));
    buf_done(&b);
    delivery_free(d);
}

static void types_are_escaped_as_cloudevents_wants_it(void **state)
{
    struct fixture *f = *state;
    struct errbuf eb = {""};
    struct delivery *d;
    struct buf b;
    char *what =
        mem_printf("http:http://127.0.0.1:%d/ok", http_server_port(f->server));

    f->r->hs = handlers_new(&f->r->limits);
    assert_int_equal(handlers_add_with(f->r->hs, "*", what, NULL, NULL, &eb),
                     0);
    free(what);
    d = runner_delivery(f->r, "caf\xc3\xa9 100%", "1", NULL);
    handler_run(d, f->r->cancel_fd);
    b = http_server_request(f->server);
    expect_contains(&b, "\r\nce-type: caf%C3%A9%20100%25\r\n");
    buf_done(&b);
    delivery_free(d);
}

static void configured_headers_win(void **state)
{
    struct fixture *f = *state;
    struct delivery *d;
    struct buf b;

    key(f, "header", "Authorization: Bearer t0ken");
    key(f, "header", "content-type: application/vnd.x+json");
    d = run(f, "/ok");
    expect_verdict(d, VERDICT_DONE, "");
    b = http_server_request(f->server);
    expect_contains(&b, "\r\nAuthorization: Bearer t0ken\r\n");
    expect_contains(&b, "\r\ncontent-type: application/vnd.x+json\r\n");
    assert_null(strstr(b.data, "Content-Type"));
    buf_done(&b);
    delivery_free(d);
}

/* The value of a header of a request, for free(). */
static char *value_of(const struct buf *b, const char *name)
{
    const char *at = strstr(b->data, name);

    assert_non_null(at);
    at += strlen(name);
    return mem_dup(at, strcspn(at, "\r"));
}

/* Computed here anew, from the words of the standard. */
static void expect_signature(const char *signature, const char *key_bytes,
                             size_t key_len, const char *seconds,
                             const char *body)
{
    unsigned char mac[32], base64[48];
    char *text = mem_printf("job-1.%s.%s", seconds, body);
    unsigned len = sizeof(mac);

    HMAC(EVP_sha256(), key_bytes, (int)key_len, (const unsigned char *)text,
         strlen(text), mac, &len);
    EVP_EncodeBlock(base64, mac, sizeof(mac));
    free(text);
    text = mem_printf("v1,%s", (const char *)base64);
    assert_non_null(strstr(signature, text));
    free(text);
}

static void requests_are_signed_with_both_secrets(void **state)
{
    struct fixture *f = *state;
    char *id, *seconds, *signature;
    struct delivery *d;
    struct buf b;
    int64_t age;

    key(f, "secret-file",
        runner_file(f->r, "secret",
                    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nold secret\n"));
    d = run(f, "/ok");
    expect_verdict(d, VERDICT_DONE, "");
    b = http_server_request(f->server);
    id = value_of(&b, "\r\nwebhook-id: ");
    seconds = value_of(&b, "\r\nwebhook-timestamp: ");
    signature = value_of(&b, "\r\nwebhook-signature: ");
    assert_string_equal(id, "job-1");
    age = clock_wall_ms() / 1000 - strtoll(seconds, NULL, 10);
    assert_true(age >= 0 && age < 30);
    expect_signature(signature,
                     "\x31\xf2\x90\xf6\xbf\x06\x29\x8a\xab\x4f\x08\xd4\x3c"
                     "\x3f\x08\x2c\xf6\x48\xa3\x62\xda\x2d\xa4\xb0",
                     24, seconds, "{\"n\":1}");
    expect_signature(signature, "old secret", 10, seconds, "{\"n\":1}");
    free(id);
    free(seconds);
    free(signature);
    buf_done(&b);
    delivery_free(d);
}

/* ---- what comes back ---- */

static void statuses_become_verdicts(void **state)
{
    static const struct {
        const char *path;
        enum verdict verdict;
    } table[] = {
        {"/status/201", VERDICT_DONE},  {"/status/408", VERDICT_RETRY},
        {"/status/425", VERDICT_RETRY}, {"/status/429", VERDICT_RETRY},
        {"/status/500", VERDICT_RETRY}, {"/status/503", VERDICT_RETRY},
        {"/status/400", VERDICT_DEAD},  {"/status/404", VERDICT_DEAD},
        {"/status/410", VERDICT_DEAD},  {"/status/422", VERDICT_DEAD},
        {"/redirect", VERDICT_DEAD},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct delivery *d = run(f, table[i].path);
        bool done = table[i].verdict == VERDICT_DONE;

        expect_verdict(d, table[i].verdict, done ? "" : "http");
        delivery_free(d);
    }
}

static void failure_says_what_was_answered(void **state)
{
    struct fixture *f = *state;
    struct delivery *d = run(f, "/status/503");

    expect_message(d, "/status/503 answered 503: first line");
    assert_null(strstr(d->outcome.message.data, "second"));
    expect_contains(&d->outcome.stderr_tail, "first line\nsecond");
    assert_int_equal(d->outcome.delay_ms, -1);
    assert_int_equal(d->outcome.result.len, 0);
    delivery_free(d);
}

static void statuses_can_be_configured(void **state)
{
    struct fixture *f = *state;
    struct delivery *d;

    key(f, "dead-status", "5xx 429");
    key(f, "retry-status", "404, 503 4xx");
    d = run(f, "/status/404");
    expect_verdict(d, VERDICT_RETRY, "http");
    delivery_free(d);
    key(f, "dead-status", "5xx 429");
    key(f, "retry-status", "404, 503 4xx");
    d = run(f, "/status/500");
    expect_verdict(d, VERDICT_DEAD, "http");
    delivery_free(d);
    key(f, "dead-status", "5xx 429");
    key(f, "retry-status", "404, 503 4xx");
    d = run(f, "/status/503"); /* one status goes before a class */
    expect_verdict(d, VERDICT_RETRY, "http");
    delivery_free(d);
}

static void retry_after_is_honoured(void **state)
{
    struct fixture *f = *state;
    time_t later = time(NULL) + 90;
    char path[64], date[64];
    struct delivery *d = run(f, "/after/17");

    expect_verdict(d, VERDICT_RETRY, "http");
    assert_int_equal(d->outcome.delay_ms, 17000);
    delivery_free(d);

    strftime(date, sizeof(date), "/after/%a,_%d_%b_%Y_%H:%M:%S_GMT",
             gmtime(&later));
    snprintf(path, sizeof(path), "%s", date);
    d = run(f, path);
    assert_true(d->outcome.delay_ms > 60000 && d->outcome.delay_ms <= 90000);
    delivery_free(d);

    d = run(f, "/after/99999999999999");
    assert_true(d->outcome.delay_ms >= 86400000LL);
    assert_true(d->outcome.delay_ms <= JOB_DURATION_MAX_MS);
    delivery_free(d);

    d = run(f, "/after/nonsense");
    assert_int_equal(d->outcome.delay_ms, -1);
    delivery_free(d);
}

static void results_are_cut_at_the_limit(void **state)
{
    struct fixture *f = *state;
    struct delivery *d = run(f, "/big/65536");

    assert_int_equal(d->outcome.result.len, 65536);
    assert_false(d->outcome.result_truncated);
    delivery_free(d);
    d = run(f, "/big/65537");
    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->outcome.result.len, 65536);
    assert_true(d->outcome.result_truncated);
    delivery_free(d);
}

static void flood_is_cut_and_done(void **state)
{
    struct fixture *f = *state;
    struct delivery *d = run(f, "/flood");

    expect_verdict(d, VERDICT_DONE, "");
    assert_int_equal(d->outcome.result.len, 65536);
    assert_true(d->outcome.result_truncated);
    delivery_free(d);
}

static void broken_answers_are_retried(void **state)
{
    static const char *const paths[] = {"/close", "/reset", "/half", "/garbage",
                                        "/headers"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct delivery *d = run(f, paths[i]);

        expect_verdict(d, VERDICT_RETRY, "network");
        expect_message(d, "http://127.0.0.1:");
        expect_message(d, paths[i]);
        delivery_free(d);
    }
}

static void nobody_listening_is_retried(void **state)
{
    struct fixture *f = *state;
    struct errbuf eb = {""};
    struct delivery *d;

    assert_int_equal(
        add_url(f, "http://user:secret@127.0.0.1:1/x?token=7", &eb), 0);
    d = run_more(f, "1", NULL);
    expect_verdict(d, VERDICT_RETRY, "network");
    expect_message(d, "http://127.0.0.1:1/x: ");
    assert_null(strstr(d->outcome.message.data, "secret"));
    assert_null(strstr(d->outcome.message.data, "token"));
    delivery_free(d);
}

static void unknown_host_is_put_off(void **state)
{
    struct fixture *f = *state;
    struct errbuf eb = {""};
    struct delivery *d;

    /* A label of more than 63 letters: nobody is asked for it. */
    assert_int_equal(
        add_url(f,
                "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid/",
                &eb),
        0);
    d = run_more(f, "1", NULL);
    expect_verdict(d, VERDICT_PUT_OFF, "network");
    delivery_free(d);
}

/* ---- how it is stopped ---- */

static void time_limit_ends_what_hangs(void **state)
{
    static const char *const paths[] = {"/hang", "/trickle"};
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        struct delivery *d;

        handler(f, paths[i]);
        d = run_more(f, "1", ",\"timeout\":50");
        expect_verdict(d, VERDICT_RETRY, "timeout");
        delivery_free(d);
    }
}

struct stopper {
    struct fixture *f;
    struct delivery *d;
};

static void *stop_main(void *arg)
{
    struct stopper *s = arg;
    uint64_t one = 1;

    http_server_await_request(s->f->server);
    atomic_store(&s->d->cancel, CANCEL_JOB);
    assert_int_equal(write(s->f->r->cancel_fd, &one, sizeof(one)), 8);
    return NULL;
}

static void cancelling_ends_it_at_once(void **state)
{
    struct fixture *f = *state;
    struct stopper s = {.f = f};
    pthread_t thread;

    handler(f, "/hang");
    s.d = runner_delivery(f->r, "hook", "1", NULL);
    assert_int_equal(pthread_create(&thread, NULL, stop_main, &s), 0);
    handler_run(s.d, f->r->cancel_fd);
    pthread_join(thread, NULL);
    expect_verdict(s.d, VERDICT_CANCEL, "cancelled");
    delivery_free(s.d);
}

static void what_was_cancelled_before_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct delivery *d;

    handler(f, "/ok");
    d = runner_delivery(f->r, "hook", "1", NULL);
    atomic_store(&d->cancel, CANCEL_RELEASE);
    handler_run(d, f->r->cancel_fd);
    expect_verdict(d, VERDICT_RELEASE, "stopped");
    assert_int_equal(http_server_connections(f->server), 0);
    delivery_free(d);
}

/* ---- connections ---- */

static void connections_are_used_again(void **state)
{
    struct fixture *f = *state;

    handler(f, "/ok");
    for (int i = 0; i < 50; i++) {
        struct delivery *d = run_more(f, "1", NULL);

        expect_verdict(d, VERDICT_DONE, "");
        delivery_free(d);
    }
    assert_int_equal(http_server_connections(f->server), 1);
}

static void *many_main(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < 50; i++) {
        struct delivery *d = runner_delivery(f->r, "hook", "[1,2,3]", NULL);

        handler_run(d, f->r->cancel_fd);
        expect_verdict(d, VERDICT_DONE, "");
        expect_result(d, "[1,2,3]");
        delivery_free(d);
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];

    handler(f, "/ok");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_main, f), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(http_server_connections(f->server) <= 4);
}

/* ---- TLS ---- */

static void https(struct fixture *f, const char *host, const char *ca)
{
    struct errbuf eb = {""};
    char *url =
        mem_printf("https://%s:%d/ok", host, http_server_port(f->server));

    if (ca != NULL)
        key(f, "ca-file", ca);
    if (add_url(f, url, &eb) != 0)
        fail_msg("%s", eb.text);
    free(url);
}

static void certificates_are_checked(void **state)
{
    struct fixture *f = *state;
    char *ca = mem_printf("%s/ca.pem", f->r->dir);
    struct delivery *d;

    http_server_stop(f->server);
    f->server = http_server_start(true);
    http_server_certificate(f->server, ca);

    https(f, "127.0.0.1", ca);
    d = run_more(f, "\"over TLS\"", NULL);
    expect_verdict(d, VERDICT_DONE, "");
    expect_result(d, "\"over TLS\"");
    delivery_free(d);

    https(f, "localhost", ca); /* the certificate names the address only */
    d = run_more(f, "1", NULL);
    expect_verdict(d, VERDICT_PUT_OFF, "network");
    delivery_free(d);

    https(f, "127.0.0.1", NULL); /* nobody whom the system trusts signed it */
    d = run_more(f, "1", NULL);
    expect_verdict(d, VERDICT_PUT_OFF, "network");
    delivery_free(d);
    free(ca);
}

/* ---- what is refused ---- */

static void refuse(struct fixture *f, const char *url, const char *text)
{
    struct errbuf eb = {""};

    assert_int_not_equal(add_url(f, url, &eb), 0);
    if (strstr(eb.text, text) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", eb.text, text);
}

static void wrong_configurations_are_named(void **state)
{
    struct fixture *f = *state;

    refuse(f, "ftp://example.org/", "neither http:// nor https://");
    refuse(f, "", "it is no URL");
    refuse(f, "http://", "it is no URL");
    key(f, "header", "no colon");
    refuse(f, "http://x/", "header \"no colon\": expected \"Name: value\"");
    key(f, "header", "X: a\nY: b");
    refuse(f, "http://x/", "header \"X\": a control character");
    key(f, "dead-status", "404 20x");
    refuse(f, "http://x/", "\"20x\" is neither a status");
    key(f, "retry-status", "200");
    refuse(f, "http://x/", "\"200\" is neither a status");
    key(f, "secret-file", "/nonexistent/secret");
    refuse(f, "http://x/", "/nonexistent/secret: No such file");
    key(f, "secret-file", runner_file(f->r, "empty", "\n"));
    refuse(f, "http://x/", "empty: no secret in it");
    key(f, "secret-file", "/dev/zero"); /* it never ends */
    refuse(f, "http://x/", "/dev/zero: more than 4096 bytes");
    const char *nul = runner_file(f->r, "nul", "0123456789abcdef");
    assert_int_equal(truncate(nul, 20), 0); /* with bytes 0 at the end */
    key(f, "secret-file", nul);
    refuse(f, "http://x/", "nul: a byte 0 in it: such a secret wants whsec_");
    key(f, "secret-file", runner_file(f->r, "bad", "whsec_!!!!\n"));
    refuse(f, "http://x/", "bad: no base64 behind whsec_");
    key(f, "secret-file", runner_file(f->r, "short", "abc\n"));
    refuse(f, "http://x/", "short: a secret has 8 to 128 bytes");
    key(f, "ca-file", "/nonexistent/ca");
    refuse(f, "http://x/", "/nonexistent/ca: No such file");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(payload_and_what_belongs_to_it_arrive),
        TEST(types_are_escaped_as_cloudevents_wants_it),
        TEST(configured_headers_win),
        TEST(requests_are_signed_with_both_secrets),
        TEST(statuses_become_verdicts),
        TEST(failure_says_what_was_answered),
        TEST(statuses_can_be_configured),
        TEST(retry_after_is_honoured),
        TEST(results_are_cut_at_the_limit),
        TEST(flood_is_cut_and_done),
        TEST(broken_answers_are_retried),
        TEST(nobody_listening_is_retried),
        TEST(unknown_host_is_put_off),
        TEST(time_limit_ends_what_hangs),
        TEST(cancelling_ends_it_at_once),
        TEST(what_was_cancelled_before_is_not_sent),
        TEST(connections_are_used_again),
        TEST(threads_do_not_disturb_each_other),
        TEST(certificates_are_checked),
        TEST(wrong_configurations_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
