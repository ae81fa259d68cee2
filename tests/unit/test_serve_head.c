/*
 * Claims about what is read of a request before its body, and about which
 * route a path is for.
 */
#include <stdlib.h>
#include <string.h>

#include "producer/serve/head.h"
#include "producer/serve/match.h"
#include "tests/unit/unit.h"

#define FIRST "POST /x HTTP/1.1\r\nHost: a\r\n"

static struct head read_whole(const char *text)
{
    struct head h;
    if (!head_read(text, strlen(text), 0, &h))
        fail_msg("no end in %s", text);
    return h;
}

static void a_head_ends_with_an_empty_line(void **state)
{
    static const char text[] = FIRST "\r\nbody";
    struct head h;
    size_t end = sizeof(FIRST "\r\n") - 1;
    (void)state;
    for (size_t n = 0; n <= end; n++) {
        /* As it is asked when each byte comes alone. */
        assert_int_equal(head_read(text, n, n > 0 ? n - 1 : 0, &h), n == end);
    }
    assert_int_equal(read_whole(text).len, end);
    assert_int_equal(read_whole("GET / HTTP/1.0\n\nx").len, 16);
}

static void it_tells_of_the_body(void **state)
{
    struct head h;
    (void)state;
    h = read_whole(FIRST "\r\n");
    assert_int_equal(h.status, 0);
    assert_int_equal(h.body_len, -1);
    assert_false(h.chunked || h.bulk);
    h = read_whole(FIRST "content-LENGTH:  12 \r\n"
                         "Content-Type: Application/X-NDJSON; charset=u\r\n"
                         "Authorization: Bearer abc\t\r\n\r\n");
    assert_int_equal(h.status, 0);
    assert_int_equal(h.body_len, 12);
    assert_true(h.bulk);
    assert_int_equal(h.token_len, 10);
    assert_memory_equal(h.token, "Bearer abc", 10);
    h = read_whole(FIRST "Transfer-Encoding: Chunked\r\n"
                         "Content-Type: application/json\r\n\r\n");
    assert_int_equal(h.status, 0);
    assert_true(h.chunked);
    assert_false(h.bulk);
}

static void what_can_be_read_in_two_ways_is_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } all[] = {
        {"GET /x HTTP/1.1\r\n\r\n", 400},
        {"GET /x HTTP/3.0\r\nHost: a\r\n\r\n", 505},
        {"GET /x FTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"Hics HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {" HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {" GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {FIRST "Host: a\r\n\r\n", 400},
        {FIRST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {FIRST "Content-Length: 0x1\r\n\r\n", 400},
        {FIRST "Content-Length:\r\n\r\n", 400},
        {FIRST "Content-Length: 1234567890123456789\r\n\r\n", 400},
        {FIRST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {FIRST "Transfer-Encoding: identity\r\n\r\n", 400},
        {"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {FIRST "Content-Type: a/b\r\nContent-Type: a/c\r\n\r\n", 400},
        {FIRST "Authorization: a\r\nAuthorization: b\r\n\r\n", 400},
        {FIRST "Content-Length : 1\r\n\r\n", 400},
        {FIRST ": 1\r\n\r\n", 400},
        {FIRST "A: b\r\n\tc\r\n\r\n", 400},
        {FIRST "A: \x7f\r\n\r\n", 400},
        {FIRST "A: b\r\r\n\r\n", 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct head h = read_whole(all[i].text);
        if (h.status != all[i].status)
            fail_msg("%s: %d, not %d", all[i].text, h.status, all[i].status);
        assert_non_null(h.kind);
        assert_true(strlen(h.why) > 0);
    }
}

static void a_path_has_its_route_and_its_parts(void **state)
{
    struct match m;
    (void)state;
    match_path("DELETE", "/v1/queues/a%2Fb/jobs/x", &m);
    assert_non_null(m.route);
    assert_string_equal(m.route->path, "/v1/queues/{queue}/jobs/{id}");
    assert_int_equal(m.count, 2);
    assert_int_equal(m.params[0].len, 5);
    assert_memory_equal(m.params[0].text, "a%2Fb", 5);
    assert_int_equal(m.params[1].name_len, 2);
    assert_memory_equal(m.params[1].name, "id", 2);
    match_path("PUT", "/livez", &m);
    assert_null(m.route);
    assert_true(m.known);
    static const char *const none[] = {
        "",        "/",           "livez",     "/livez/",
        "//livez", "/v1/queues/", "/v1//jobs", "/v1/queues/a/jobs/b/c"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        match_path("GET", none[i], &m);
        assert_false(m.known);
    }
}

/* A row that stands behind one that takes its paths could not be reached. */
static void every_route_can_be_reached(void **state)
{
    struct match m;
    (void)state;
    for (const struct route *r = routes; r->method != NULL; r++) {
        match_path(r->method, r->path, &m);
        assert_ptr_equal(m.route, r);
        assert_true(r->handle != NULL || r->look != NULL);
    }
}

static void parts_are_decoded_strictly(void **state)
{
    static const struct {
        const char *text;
        bool plus;
        const char *is;
    } all[] = {
        {"a%20b+c", false, "a b+c"},
        {"a%20b+c", true, "a b c"},
        {"%C3%bc", false, "\xc3\xbc"},
        {"", false, ""},
        {"%", false, NULL},
        {"%4", false, NULL},
        {"a%4", false, NULL},
        {"%4g", false, NULL},
        {"%00", false, NULL},
        {"%0a", false, NULL},
        {"%ff", false, NULL},
        {"%c3", false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char *text =
            percent_decode(all[i].text, strlen(all[i].text), all[i].plus);
        if (all[i].is == NULL)
            assert_null(text);
        else
            assert_string_equal(text, all[i].is);
        free(text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_ends_with_an_empty_line),
        cmocka_unit_test(it_tells_of_the_body),
        cmocka_unit_test(what_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(a_path_has_its_route_and_its_parts),
        cmocka_unit_test(every_route_can_be_reached),
        cmocka_unit_test(parts_are_decoded_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
