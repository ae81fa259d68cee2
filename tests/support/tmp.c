/*
 * Temporary directories.
 *
 * Thread: any.
 */
#include "tests/support/tmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tmp_dir(char *out, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL || tmp[0] == '\0' || strlen(tmp) > 40)
        tmp = "/tmp"; /* the path of a socket is short */
    int n = snprintf(out, size, "%.40s/belt-test-XXXXXX", tmp);
    if (n < 0 || (size_t)n >= size || mkdtemp(out) == NULL) {
        perror(tmp);
        exit(1);
    }
}
