/*
 * Runs handlers for tests.
 *
 * The log of a run goes to a file, so that claims about it can be checked and
 * the output of the tests stays readable.
 *
 * Thread: the test's.
 */
#include "tests/unit/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/unit/unit.h"
#include "worker/handler_keys.h"

enum { PATIENCE_MS = 20 * 1000 };

int runner_setup(void **state)
{
    struct runner_fixture *f = mem_new(sizeof(*f));

    strcpy(f->dir, "/tmp/belt-unit-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(setenv("D", f->dir, 1), 0);
    f->limits = (struct handler_limits){.timeout_ms = 60 * 1000,
                                        .kill_after_ms = 10 * 1000,
                                        .cancel_kill_after_ms = 500,
                                        .result_max = 64 * 1024,
                                        .stderr_max = 8 * 1024};
    f->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(f->cancel_fd >= 0);
    f->log_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC | O_APPEND, 0600);
    assert_true(f->log_fd >= 0);
    f->stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
    f->stderr_file = stderr;
    stderr = fdopen(f->stderr_fd, "w");
    assert_non_null(stderr);
    assert_true(dup2(f->log_fd, 2) == 2);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int runner_teardown(void **state)
{
    struct runner_fixture *f = *state;

    handlers_free(f->hs);
    dup2(f->stderr_fd, 2);
    fclose(stderr);
    stderr = f->stderr_file;
    close(f->log_fd);
    close(f->cancel_fd);
    nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

const char *runner_file(struct runner_fixture *f, const char *name,
                        const char *text)
{
    static char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

void runner_handler(struct runner_fixture *f, const char *spec)
{
    struct errbuf eb = {""};

    handlers_free(f->hs);
    f->hs = handlers_new(&f->limits);
    if (handlers_add(f->hs, spec, &eb) != 0)
        fail_msg("%s", eb.text);
}

void runner_script(struct runner_fixture *f, const char *body)
{
    char *text = mem_printf("#!/bin/sh\nD=%s\n%s\n", f->dir, body);
    char *spec = mem_printf("sh=exec:%s", runner_file(f, "script", text));

    runner_handler(f, spec);
    free(spec);
    free(text);
}

static void set_key(struct handler_keys *k, const char *name, const char *value)
{
    struct errbuf eb = {""};
    unsigned i = 0;

    while (handler_keys_name(i) != NULL &&
           strcmp(handler_keys_name(i), name) != 0)
        i++;
    assert_non_null(handler_keys_name(i));
    if (handler_keys_set(k, i, value, &eb) != 0)
        fail_msg("%s: %s", name, eb.text);
}

void runner_process(struct runner_fixture *f, const char *language,
                    const char *body, const char *const *keys)
{
    bool shell = strcmp(language, "/bin/sh") == 0;
    char *text = mem_printf("#!%s\n%s%s%s%s\n", language, shell ? "D=" : "",
                            shell ? f->dir : "", shell ? "\n" : "", body);
    char *what = mem_printf("process:%s", runner_file(f, "program", text));
    struct handler_keys k;
    struct errbuf eb = {""};

    handlers_free(f->hs);
    f->hs = handlers_new(&f->limits);
    handler_keys_init(&k);
    for (; keys != NULL && keys[0] != NULL; keys += 2)
        set_key(&k, keys[0], keys[1]);
    if (handlers_add_with(f->hs, "p", what, NULL, &k, &eb) != 0)
        fail_msg("%s", eb.text);
    free(what);
    free(text);
}

struct delivery *runner_delivery(struct runner_fixture *f, const char *type,
                                 const char *payload, const char *more)
{
    struct errbuf eb = {""};
    struct delivery *d;
    struct buf raw = {0};
    struct job *job;

    buf_printf(&raw, "{\"id\":\"job-1\",\"type\":\"%s\",\"payload\":", type);
    buf_str(&raw, payload != NULL ? payload : "null");
    buf_printf(&raw, "%s}", more != NULL ? more : "");
    if (job_parse(raw.data, raw.len, SIZE_MAX / 4, &job, &eb) != 0)
        fail_msg("%s", eb.text);
    buf_done(&raw);
    d = delivery_new(job);
    d->handler = handlers_find(f->hs, type);
    assert_non_null(d->handler);
    strcpy(d->queue, "mail");
    return d;
}

struct delivery *runner_run(struct runner_fixture *f, const char *body,
                            const char *payload)
{
    struct delivery *d;

    runner_script(f, body);
    d = runner_delivery(f, "sh", payload, NULL);
    handler_run(d, f->cancel_fd);
    return d;
}

void expect_verdict(const struct delivery *d, enum verdict v, const char *class)
{
    const struct outcome *o = &d->outcome;

    if (o->verdict != v)
        fail_msg("verdict %d, expected %d: %s", (int)o->verdict, (int)v,
                 o->message.len > 0 ? o->message.data : "no message");
    assert_string_equal(o->error_class, class);
}

void expect_result(const struct delivery *d, const char *text)
{
    assert_int_equal(d->outcome.result.len, strlen(text));
    if (text[0] != '\0')
        assert_string_equal(d->outcome.result.data, text);
}

void expect_contains(const struct buf *b, const char *text)
{
    if (b->len == 0 || strstr(b->data, text) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", b->len > 0 ? b->data : "",
                 text);
}

struct buf runner_log(struct runner_fixture *f)
{
    struct buf b = {0};
    char part[65536];
    ssize_t n;

    while ((n = pread(f->log_fd, part, sizeof(part), (off_t)b.len)) > 0)
        buf_append(&b, part, (size_t)n);
    assert_int_equal(n, 0);
    return b;
}

bool runner_has(struct runner_fixture *f, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return access(path, F_OK) == 0;
}

bool fd_becomes_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, PATIENCE_MS);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

bool process_ends(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool ended;

    if (fd < 0)
        return errno == ESRCH;
    ended = fd_becomes_readable(fd);
    close(fd);
    return ended;
}
