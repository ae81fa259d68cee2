/*
 * Fuzzer: what belt push is given: lines of --ndjson, and arguments that make
 * a payload.
 *
 * However a file arrives, its lines are those that cutting it at once gives,
 * in bounded memory. A payload that was built is JSON, and says what its
 * arguments say.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/job/json.h"
#include "producer/lines.h"
#include "producer/payload.h"

enum {
    RUN_MARK = 0xfe,   /* followed by a length and a byte: a long run */
    RUN_UNIT = 3000,   /* bytes for each of that length, if lines may be long */
    FILE_MAX = 700000, /* of what runs make of an input */
    LONG_LINE = 10000,
    ARGS_MAX = 8,
};

/* A file that is being read, and where a plain cut of it has arrived. */
struct file {
    struct buf text;
    size_t sent, chunk;
    int to; /* the writing end */
    size_t cut;
    uint64_t number;
};

static void expand(struct buf *out, const uint8_t *data, size_t size,
                   size_t unit)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != RUN_MARK || size - i < 3) {
            buf_char(out, (char)data[i]);
            continue;
        }
        /* Line ends by the hundred thousand would only take time. */
        size_t n = (size_t)data[i + 1] * (data[i + 2] == '\n' ? 1 : unit);
        if (out->len + n > FILE_MAX)
            n = 0;
        buf_reserve(out, n);
        memset(out->data + out->len, data[i + 2], n);
        out->len += n;
        i += 2;
    }
}

/* Sends the next chunk, unless one is still to be read; then the end. */
static void feed(struct file *f, const struct lines *l)
{
    size_t n = f->text.len - f->sent;

    if (l->read_bytes < f->sent)
        return;
    if (n == 0) {
        (void)shutdown(f->to, SHUT_WR);
        return;
    }
    n = n < f->chunk ? n : f->chunk;
    ssize_t put = send(f->to, f->text.data + f->sent, n, MSG_DONTWAIT);
    assert(put > 0);
    f->sent += (size_t)put;
}

/* The next line of the plain cut. */
static const char *cut(struct file *f, size_t *ret_len)
{
    assert(f->cut < f->text.len);
    const char *p = f->text.data + f->cut;
    size_t left = f->text.len - f->cut;
    const char *lf = memchr(p, '\n', left);
    size_t n = lf != NULL ? (size_t)(lf - p) : left;

    f->cut += n + (lf != NULL);
    f->number++;
    if (n > 0 && p[n - 1] == '\r')
        n--;
    *ret_len = n;
    return p;
}

static void read_lines(struct file *f, struct lines *l)
{
    const char *p, *want;
    size_t n, want_len;
    enum lines_result r;

    while ((r = lines_next(l, &p, &n)) != LINES_END) {
        if (r == LINES_MORE) {
            feed(f, l);
            int rc = lines_fill(l);
            assert(rc == 0);
            assert(l->cap <= l->max + 256 * 1024);
            continue;
        }
        want = cut(f, &want_len);
        assert(l->number == f->number);
        assert((r == LINES_TOO_LONG) == (want_len > l->max));
        if (r == LINES_LINE)
            assert(n == want_len && memcmp(p, want, n) == 0);
    }
    assert(f->cut == f->text.len && l->read_bytes == f->text.len);
}

static void check_lines(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {0, 1, 16, 1000, 270 * 1000, 600 * 1000};
    static const size_t chunks[] = {1 << 16, 4096, 100, 7};
    struct file f = {.text = {0}};
    struct lines l;
    int fds[2];

    if (size == 0)
        return;
    size_t max = limits[data[0] % 6];
    expand(&f.text, data + 1, size - 1, max > LONG_LINE ? RUN_UNIT : 1);
    f.chunk = chunks[data[0] / 6 % 4];
    if (f.text.len > 4096 * f.chunk / 7)
        f.chunk = 1 << 16; /* not for ever */
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    assert(rc == 0);
    f.to = fds[0];
    lines_init(&l, fds[1], max);
    read_lines(&f, &l);
    lines_done(&l);
    close(fds[0]);
    close(fds[1]);
    buf_done(&f.text);
}

struct built {
    char *const *args; /* borrowed */
    int n;
};

/* Each argument is one member, in order, with what stands behind its =. */
static int on_member(void *arg, struct json_span key, struct json_span value,
                     struct errbuf *eb)
{
    struct built *b = arg;
    const char *text = b->args[b->n++];
    const char *equals = strchr(text, '=');
    size_t len;

    (void)eb;
    assert(equals != NULL && equals > text);
    char *name = json_string_dup(key, &len);
    assert(name != NULL);
    if (equals[-1] == ':') {
        assert(strncmp(text, name, len) == 0 && text[len] == ':');
        assert(memmem(equals, strlen(equals), value.p, value.len) != NULL);
    } else {
        assert(strncmp(text, name, len) == 0 && text + len == equals);
        assert(json_kind(value) == JSON_IS_STRING);
        char *said = json_string_dup(value, &len);
        size_t want = strlen(equals + 1);
        if (text_utf8_error(equals + 1, want) == want)
            assert(len == want && memcmp(said, equals + 1, len) == 0);
        free(said);
    }
    free(name);
    return 0;
}

static void check_payload(char *const *args, int n)
{
    struct buf out = {0};
    struct errbuf eb = {""};
    const char *argv[ARGS_MAX];

    for (int i = 0; i < n; i++)
        argv[i] = args[i];
    if (payload_build(argv, n, 1 << 16, &out, &eb) != 0) {
        assert(eb.text[0] != '\0');
    } else {
        assert(json_check(out.data, out.len, NULL) == 0);
        struct built b = {.args = args};
        if (n > 1) {
            int rc = json_scan_object(out.data, out.len, on_member, &b, NULL);
            assert(rc == 0 && b.n == n);
        }
    }
    buf_done(&out);
}

static void check_arguments(const uint8_t *data, size_t size)
{
    char *text = mem_dup(data, size), *rest = text, *args[ARGS_MAX];
    int n = 0;

    while (n < ARGS_MAX && (args[n] = strsep(&rest, "\n")) != NULL)
        n++;
    /* Files are not what this is about. */
    if (n > 1 || (args[0][0] != '@' && strcmp(args[0], "-") != 0))
        check_payload(args, n);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_lines(data, size);
    check_arguments(data, size);
    return 0;
}
