#ifndef COMMON_BASE_STDFD_H
#define COMMON_BASE_STDFD_H

/*
 * Opens /dev/null on what is closed of stdin, stdout and stderr. First thing
 * in main: otherwise the next socket or pipe becomes one of them, and what is
 * printed goes there. Returns 0 or ERR_SYSTEM.
 */
int stdfd_open(void);

#endif
