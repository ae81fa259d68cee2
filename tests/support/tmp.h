#ifndef TESTS_SUPPORT_TMP_H
#define TESTS_SUPPORT_TMP_H

#include <stddef.h>

/*
 * Makes a directory of the test's own, in TMPDIR or /tmp, and writes its path,
 * which is short enough for sockets in it. The test removes it. Failure ends
 * the program.
 */
enum { TMP_DIR_MAX = 64 };
void tmp_dir(char *out, size_t size);

#endif
