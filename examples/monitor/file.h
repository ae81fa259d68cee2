#ifndef EXAMPLES_MONITOR_FILE_H
#define EXAMPLES_MONITOR_FILE_H

#include <stdio.h>

/*
 * A file that is there whole or not at all, also when two write it at once or
 * the power fails: written beside its place, and renamed.
 */
struct file;

/* Returns owned; NULL: see errno. */
struct file *file_new(const char *dir, const char *name);

FILE *file_stream(struct file *f); /* lent until file_keep or file_drop */

/* Both free it. file_keep returns 0, or -1 with errno and nothing kept. */
int file_keep(struct file *f);
void file_drop(struct file *f);

#endif
