/*
 * Claims about the file of tokens, and about what a token allows.
 */
#include "producer/serve/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "tests/support/tmp.h"
#include "tests/unit/unit.h"

/* Of "abc" and of nothing, from FIPS 180-2. */
#define SHA_ABC                                                                \
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_NONE                                                               \
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA_ZERO                                                               \
    "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static char dir[TMP_DIR_MAX];
static char path[TMP_DIR_MAX + 16];
static struct errbuf eb;

int __real_CRYPTO_memcmp(const void *a, const void *b, size_t n);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t n);
static unsigned compared;

int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t n)
{
    compared += n == 32;
    return __real_CRYPTO_memcmp(a, b, n);
}

static int setup(void **state)
{
    (void)state;
    tmp_dir(dir, sizeof(dir));
    (void)snprintf(path, sizeof(path), "%s/tokens", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_bytes(const void *p, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void write_file(const char *text)
{
    write_bytes(text, strlen(text), 0600);
}

static struct tokens *read_text(const char *text)
{
    write_file(text);
    struct tokens *t = tokens_read(path, &eb);
    if (t == NULL)
        fail_msg("%s", eb.text);
    return t;
}

static char *slurp(void)
{
    static char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    assert_true(n >= 0);
    text[n] = '\0';
    close(fd);
    return text;
}

static void a_token_is_found_by_what_its_hash_is_of(void **state)
{
    (void)state;
    struct tokens *t = read_text("# who\n\n \t\nshop push " SHA_ABC "\r\n"
                                 "  ops\toperate,push\t" SHA_ZERO " mail.*  x");
    assert_int_equal(tokens_count(t), 2);
    const struct token *shop = tokens_find(t, "Bearer abc");
    assert_non_null(shop);
    assert_string_equal(shop->name, "shop");
    assert_string_equal(shop->queues, "");
    assert_true(shop->roles[ROLE_PUSH]);
    assert_false(shop->roles[ROLE_READ]);
    assert_false(shop->roles[ROLE_OPERATE]);
    assert_ptr_equal(tokens_find(t, "bEARER   abc \t"), shop);
    tokens_free(t);
}

static void what_is_no_such_header_finds_none(void **state)
{
    static const char *const headers[] = {
        "",           "Bearer",      "Bearer ",     "Bearer abcd",
        "Bearer ab",  "Bearer\tabc", "Basic abc",   "abc",
        "Bearerabc",  "Bearer ABC",  "Bearer abc,", " Bearer abc",
        "Bearer a bc"};

    (void)state;
    struct tokens *t =
        read_text("shop push " SHA_ABC "\nnobody push " SHA_NONE "\n");
    assert_null(tokens_find(t, NULL));
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        if (tokens_find(t, headers[i]) != NULL)
            fail_msg("\"%s\" is let in", headers[i]);
    tokens_free(t);
}

/* Time is not measured: each hash is compared once, in constant time, be it the
 * first that fits, the last or none. */
static void all_are_looked_at_whichever_fits(void **state)
{
    static const char *const tokens[] = {"Bearer abc", "Bearer xyz"};
    static const char others[] = "a push " SHA_ZERO "\nb push " SHA_NONE "\n";
    char text[1024];

    (void)state;
    for (int last = 0; last <= 1; last++) {
        (void)snprintf(text, sizeof(text), "%sshop push " SHA_ABC "\n%s",
                       last ? others : "", last ? "" : others);
        struct tokens *t = read_text(text);
        for (int i = 0; i <= 1; i++) {
            compared = 0;
            const struct token *found = tokens_find(t, tokens[i]);
            assert_int_equal(found != NULL, i == 0);
            assert_int_equal(compared, 3);
        }
        tokens_free(t);
    }
}

static void a_role_is_needed_and_operate_reads(void **state)
{
    (void)state;
    struct tokens *t = read_text("ops operate " SHA_ABC "\n");
    const struct token *ops = tokens_find(t, "Bearer abc");
    assert_non_null(ops);
    assert_true(token_allows(ops, ROLE_NONE, NULL));
    assert_true(token_allows(ops, ROLE_OPERATE, "mail"));
    assert_true(token_allows(ops, ROLE_READ, NULL));
    assert_false(token_allows(ops, ROLE_PUSH, "mail"));
    assert_true(token_allows(NULL, ROLE_NONE, "mail"));
    assert_false(token_allows(NULL, ROLE_READ, NULL));
    tokens_free(t);
}

static void patterns_name_the_queues(void **state)
{
    (void)state;
    struct tokens *t = read_text("shop push " SHA_ABC " mail.* [ab]? news\n");
    const struct token *shop = tokens_find(t, "Bearer abc");
    assert_non_null(shop);
    assert_true(token_allows(shop, ROLE_PUSH, "mail.eu"));
    assert_true(token_allows(shop, ROLE_PUSH, "a1"));
    assert_true(token_allows(shop, ROLE_PUSH, "news"));
    assert_true(token_allows(shop, ROLE_PUSH, NULL));
    assert_false(token_allows(shop, ROLE_PUSH, "mail"));
    assert_false(token_allows(shop, ROLE_PUSH, "c1"));
    assert_false(token_allows(shop, ROLE_PUSH, "newsy"));
    assert_false(token_allows(shop, ROLE_PUSH, "xnews"));
    assert_false(token_allows(shop, ROLE_READ, "news"));
    tokens_free(t);
}

static void refused(const char *text, const char *why)
{
    write_file(text);
    if (tokens_read(path, &eb) != NULL)
        fail_msg("read: %s", text);
    if (strncmp(eb.text, path, strlen(path)) != 0 || !strstr(eb.text, why))
        fail_msg("%s: \"%s\" has no \"%s\"", text, eb.text, why);
}

static void what_is_wrong_is_told_by_its_line(void **state)
{
    (void)state;
    refused("", ": no token is in it; belt serve --tokens ");
    refused("# none\n", ": no token is in it");
    refused("a push " SHA_ABC "\n-b push " SHA_NONE, ":2: \"-b\" is no name");
    refused("\n\na admin " SHA_ABC, ":3: \"admin\" is no role");
    refused("a push, " SHA_ABC, ":1: \"\" is no role");
    refused("a", ":1: \"\" is no role");
    refused("a none " SHA_ABC, ":1: \"none\" is no role");
    refused("a push", ":1: behind the roles comes \"sha256:\"");
    refused("a push " SHA_ABC "0", ":1: behind the roles");
    refused("a push sha256:", ":1: behind the roles");
    refused("a push " SHA_ABC " mail/x",
            ":1: \"mail/x\" is neither a queue nor");
    refused("a push " SHA_ABC " x -*,b", ":1: \"-*,b\" is neither");
    refused("a push " SHA_ABC "\na push " SHA_NONE,
            ":2: \"a\" is on line 1 already");
    refused("a push " SHA_ABC "\nb push " SHA_ABC,
            ":2: the token of \"a\", on line 1 already");
}

static void a_token_in_place_of_its_hash_is_not_repeated(void **state)
{
    (void)state;
    refused("a push belt_sEcReT", "something else");
    assert_null(strstr(eb.text, "sEcReT"));
    char bad[] = "a push " SHA_ABC;
    bad[strlen(bad) - 1] = 'g';
    refused(bad, "hexadecimal digits");
    bad[strlen(bad) - 1] = 'D'; /* as good as d */
    struct tokens *t = read_text(bad);
    assert_non_null(tokens_find(t, "Bearer abc"));
    tokens_free(t);
}

static void lines_and_files_are_bounded(void **state)
{
    static char text[TOKENS_FILE_MAX + 2];
    static const char nul[] = "a push\0" SHA_ABC;

    (void)state;
    memset(text, ' ', TOKENS_LINE_MAX);
    memcpy(text, "a push " SHA_ABC, strlen("a push " SHA_ABC));
    tokens_free(read_text(text));
    text[TOKENS_LINE_MAX] = ' ';
    refused(text, ":1: 4097 bytes, at most 4096");
    memset(text, '\n', TOKENS_FILE_MAX + 1);
    refused(text, ": more than 1048576 bytes");
    write_bytes(nul, sizeof(nul) - 1, 0600);
    assert_null(tokens_read(path, &eb));
    assert_non_null(strstr(eb.text, ":1: there is a byte 0 in it"));
}

static void a_file_that_others_can_write_is_refused(void **state)
{
    static const struct {
        mode_t mode;
        const char *who;
    } cases[] = {{0620, "its group can write"}, {0602, "others can write"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        write_bytes("a push " SHA_ABC, strlen("a push " SHA_ABC),
                    cases[i].mode);
        assert_null(tokens_read(path, &eb));
        assert_non_null(strstr(eb.text, cases[i].who));
        struct buf out = {0};
        assert_true(tokens_add(path, "b", "push", "", &out, &eb) < 0);
        assert_int_equal(out.len, 0);
        buf_done(&out);
    }
    write_bytes("a push " SHA_ABC, strlen("a push " SHA_ABC), 0444);
    tokens_free(tokens_read(path, &eb));
    assert_null(tokens_read(dir, &eb));
    assert_non_null(strstr(eb.text, "not a regular file"));
    unlink(path);
    assert_null(tokens_read(path, &eb));
    assert_non_null(strstr(eb.text, ": there is no such file; belt serve"));
    assert_non_null(strstr(eb.text, " --roles push,read makes a token"));
}

static void an_added_token_opens_what_it_says(void **state)
{
    struct buf out = {0}, header = {0};
    struct stat st;

    (void)state;
    unlink(path);
    assert_int_equal(
        tokens_add(path, "shop", "push,read", "mail.* x", &out, &eb), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(out.len, strlen(TOKENS_PREFIX) + 64);
    assert_memory_equal(out.data, TOKENS_PREFIX, strlen(TOKENS_PREFIX));
    assert_null(strstr(slurp(), out.data));
    buf_printf(&header, "Bearer %s", out.data);

    struct tokens *t = tokens_read(path, &eb);
    assert_non_null(t);
    const struct token *shop = tokens_find(t, header.data);
    assert_non_null(shop);
    assert_string_equal(shop->queues, "mail.* x");
    assert_true(shop->roles[ROLE_PUSH] && shop->roles[ROLE_READ]);
    tokens_free(t);
    buf_done(&header);
    buf_done(&out);
}

static void adding_leaves_what_is_there(void **state)
{
    struct buf one = {0}, two = {0};

    (void)state;
    write_file("# mine\na push " SHA_ABC); /* its last line has no end */
    assert_int_equal(tokens_add(path, "b", "read", "", &one, &eb), 0);
    assert_int_equal(tokens_add(path, "c", "operate", "", &two, &eb), 0);
    assert_string_not_equal(one.data, two.data);
    assert_memory_equal(slurp(), "# mine\na push " SHA_ABC "\nb read sha256:",
                        strlen("# mine\na push " SHA_ABC "\nb read sha256:"));
    struct tokens *t = tokens_read(path, &eb);
    assert_non_null(t);
    assert_int_equal(tokens_count(t), 3);
    assert_non_null(tokens_find(t, "Bearer abc"));
    tokens_free(t);
    buf_done(&one);
    buf_done(&two);
}

static void not_added(const char *name, const char *roles, const char *queues,
                      const char *why)
{
    struct buf out = {0};
    char before[4096];

    memcpy(before, slurp(), sizeof(before));
    assert_true(tokens_add(path, name, roles, queues, &out, &eb) < 0);
    assert_int_equal(out.len, 0);
    assert_string_equal(slurp(), before);
    if (!strstr(eb.text, why))
        fail_msg("\"%s\" has no \"%s\"", eb.text, why);
    buf_done(&out);
}

static void what_cannot_be_added_changes_nothing(void **state)
{
    static char many[TOKENS_LINE_MAX + 2];

    (void)state;
    write_file("a push " SHA_ABC "\n");
    not_added("a", "push", "", "\"a\" is on line 1 already");
    not_added("b c", "push", "", "\"b c\" is no name");
    not_added("b\nc", "push", "", "is no name");
    not_added("b", "push read", "", "\"push read\" is no role");
    not_added("b", "", "", "\"\" is no role");
    not_added("b", "push", "m\nc", "is neither a queue nor a pattern");
    memset(many, 'x', sizeof(many) - 1);
    for (size_t i = 50; i < sizeof(many); i += 50)
        many[i] = ' ';
    not_added("b", "push", many, "at most 4096 are allowed");
    write_file("oops\n");
    not_added("b", "push", "", ":1: \"\" is no role");
}

static void a_reload_takes_the_new_and_keeps_what_was_lent(void **state)
{
    (void)state;
    struct tokens *t = read_text("old push " SHA_ABC "\n");
    const struct token *old = tokens_find(t, "Bearer abc");
    assert_int_equal(tokens_reload(t, path, &eb), 0);
    assert_ptr_equal(tokens_find(t, "Bearer abc"), old); /* the same file */

    write_file("new read " SHA_ABC "\nmore read " SHA_ZERO "\n");
    assert_int_equal(tokens_reload(t, path, &eb), 0);
    assert_int_equal(tokens_count(t), 2);
    assert_string_equal(tokens_find(t, "Bearer abc")->name, "new");
    assert_string_equal(old->name, "old");
    assert_true(token_allows(old, ROLE_PUSH, "x"));

    write_file("new reed " SHA_ABC "\n");
    assert_true(tokens_reload(t, path, &eb) < 0);
    assert_non_null(strstr(eb.text, ":1: \"reed\" is no role"));
    assert_string_equal(tokens_find(t, "Bearer abc")->name, "new");
    tokens_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_found_by_what_its_hash_is_of),
        cmocka_unit_test(what_is_no_such_header_finds_none),
        cmocka_unit_test(all_are_looked_at_whichever_fits),
        cmocka_unit_test(a_role_is_needed_and_operate_reads),
        cmocka_unit_test(patterns_name_the_queues),
        cmocka_unit_test(what_is_wrong_is_told_by_its_line),
        cmocka_unit_test(a_token_in_place_of_its_hash_is_not_repeated),
        cmocka_unit_test(lines_and_files_are_bounded),
        cmocka_unit_test(a_file_that_others_can_write_is_refused),
        cmocka_unit_test(an_added_token_opens_what_it_says),
        cmocka_unit_test(adding_leaves_what_is_there),
        cmocka_unit_test(what_cannot_be_added_changes_nothing),
        cmocka_unit_test(a_reload_takes_the_new_and_keeps_what_was_lent),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
