/*
 * Fuzzer: files of tokens.
 *
 * What is accepted has names, roles and patterns that are allowed; what is not
 * is told with its place. A header is matched or not, never more than read.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "producer/serve/tokens_priv.h"

static void check(const struct token_set *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        const struct token *t = &s->all[i].token;
        assert(text_is_name(t->name, strlen(t->name)));
        assert(!t->roles[ROLE_NONE]);
        assert(t->roles[ROLE_READ] || t->roles[ROLE_PUSH]);
        assert(t->roles[ROLE_READ] || !t->roles[ROLE_OPERATE]);
        assert(token_allows(t, ROLE_NONE, NULL));
        assert(token_allows(t, ROLE_PUSH, NULL) == t->roles[ROLE_PUSH]);
        for (unsigned k = 0; k < i; k++)
            assert(strcmp(s->all[k].token.name, t->name) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[32];
    struct errbuf eb = {""};

    if (fd < 0) {
        fd = memfd_create("tokens", MFD_CLOEXEC);
        assert(fd >= 0 && fchmod(fd, 0600) == 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    int rc = ftruncate(fd, 0);
    assert(rc == 0);
    ssize_t n = pwrite(fd, data, size, 0);
    assert(n == (ssize_t)size);
    (void)lseek(fd, 0, SEEK_SET);
    struct token_set *s = token_set_read(fd, path, &eb);
    if (s != NULL)
        check(s);
    else
        assert(strncmp(eb.text, path, strlen(path)) == 0);
    token_set_free(s);

    struct tokens *t = tokens_read(path, &eb);
    if (t != NULL) {
        char *header = mem_dup(data, size);
        assert(tokens_count(t) > 0);
        (void)tokens_find(t, header);
        free(header);
    }
    tokens_free(t);
    return 0;
}
