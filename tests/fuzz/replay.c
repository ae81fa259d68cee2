/*
 * Replays the corpus of a fuzzer without libFuzzer, so that every input that
 * once broke something stays a test under each compiler and sanitizer.
 *
 * Usage: replay_NAME DIR. Fails if DIR is not there or has no input in it: a
 * corpus that got lost must not look like one that passes.
 *
 * Thread: main.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "tests/fuzz/fuzz.h"

static int is_input(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Each input in memory of its own size, so that sanitizers see its end. */
static bool replay(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    long size = -1;
    if (f != NULL && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    uint8_t *data = size >= 0 ? malloc((size_t)size) : NULL;
    bool good = size >= 0 && fseek(f, 0, SEEK_SET) == 0 &&
                fread(data, 1, (size_t)size, f) == (size_t)size;
    if (good) {
        printf("%s\n", name);
        (void)fflush(stdout); /* the last one named is the one that crashed */
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    } else {
        (void)fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    }
    if (f != NULL)
        (void)fclose(f);
    free(data);
    free(path);
    return good;
}

int main(int argc, char **argv)
{
    struct dirent **inputs = NULL;
    int n = argc == 2 ? scandir(argv[1], &inputs, is_input, alphasort) : -1;
    bool good = n > 0;
    if (n <= 0)
        (void)fprintf(stderr, "replay: no inputs in %s\n",
                      argc == 2 ? argv[1] : "DIR");
    for (int i = 0; i < n; i++) {
        good = replay(argv[1], inputs[i]->d_name) && good;
        free(inputs[i]);
    }
    free(inputs);
    return good ? 0 : 1;
}
