/*
 * Options read from a configuration file, for tests.
 *
 * Thread: main.
 */
#include "tests/unit/config_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "worker/settings.h"

enum { ARGS_MAX = 32 };

int conf_setup(void **state)
{
    static const char *const others[] = {"BELT_REDIS_URL", "REDIS_URL",
                                         "REDISCLI_AUTH"};
    struct conf *c = mem_new(sizeof(*c));
    const struct setting *row;
    for (unsigned i = 0; i < 3; i++)
        (void)unsetenv(others[i]);
    for (unsigned i = 0; (row = settings_row(i)) != NULL; i++)
        if (row->env != NULL)
            (void)unsetenv(row->env);
    (void)snprintf(c->dir, sizeof(c->dir), "/tmp/belt-conf-XXXXXX");
    if (mkdtemp(c->dir) == NULL) {
        free(c);
        return -1;
    }
    *state = c;
    return 0;
}

int conf_teardown(void **state)
{
    struct conf *c = *state;
    struct dirent *e;
    DIR *d = opendir(c->dir);
    while (d != NULL && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    (void)rmdir(c->dir);
    options_done(&c->o);
    free(c);
    return 0;
}

const char *conf_file(struct conf *c, const char *name, const char *text)
{
    (void)snprintf(c->path, sizeof(c->path), "%s/%s", c->dir, name);
    FILE *f = fopen(c->path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return c->path;
}

void conf_parse(struct conf *c, const char *const *flags, const char *text)
{
    char *argv[ARGS_MAX + 1] = {mem_strdup("belt-worker")};
    int argc = 1;
    for (; flags[argc - 1] != NULL && argc < ARGS_MAX - 2; argc++)
        argv[argc] = mem_strdup(flags[argc - 1]);
    if (text != NULL) {
        argv[argc++] = mem_strdup("-c");
        argv[argc++] = mem_strdup(conf_file(c, "belt.conf", text));
    }
    options_done(&c->o);
    c->eb.text[0] = '\0';
    c->rc = options_parse(argc, argv, &c->o, &c->eb);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
}

void conf_read(struct conf *c, const char *const *flags, const char *text)
{
    conf_parse(c, flags, text);
    if (c->rc != 0)
        fail_msg("%s", c->o.wrong != NULL ? c->o.wrong : c->eb.text);
    assert_null(c->o.wrong);
}

/* Returns text, owned, with the path of the file as "FILE". */
static char *shorten(const struct conf *c, const char *text)
{
    struct buf b = {0};
    size_t n = strlen(c->path);
    while (*text != '\0') {
        bool is_path = strncmp(text, c->path, n) == 0;
        if (is_path)
            buf_str(&b, "FILE");
        else
            buf_char(&b, *text);
        text += is_path ? n : 1;
    }
    return buf_take(&b);
}

void conf_expect_wrong(struct conf *c, const char *text, const char *lines)
{
    conf_parse(c, NO_FLAGS, text);
    assert_int_equal(c->rc, ERR_INVALID);
    assert_non_null(c->o.wrong);
    char *got = shorten(c, c->o.wrong);
    bool same = strcmp(got, lines) == 0;
    if (!same)
        print_error("%s\nis wrong like this:\n%s", text, got);
    free(got);
    assert_true(same);
}
