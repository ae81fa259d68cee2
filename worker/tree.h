#ifndef WORKER_TREE_H
#define WORKER_TREE_H

#include "common/base/err.h"
#include "common/base/thread.h"

/*
 * Removes everything inside the open directory fd, whatever it looks like:
 * links are removed and not followed, directories that their owner may not
 * read or write are opened up, depth does not matter, and nothing is touched
 * that is mounted there. What can be removed is removed even when something
 * cannot be; then ERR_SYSTEM, with a text about the first such entry. fd may be
 * anywhere in its entries afterwards. Takes time with their number.
 */
int tree_empty(int fd, struct errbuf *eb) MAY_BLOCK;

/*
 * Opens a directory and takes the lock (flock) that says that it is in use.
 * -1, and errno EWOULDBLOCK if somebody has it, ENOENT if it has just gone.
 */
int tree_lock(const char *path);

#endif
