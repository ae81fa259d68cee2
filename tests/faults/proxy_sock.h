#ifndef TESTS_FAULTS_PROXY_SOCK_H
#define TESTS_FAULTS_PROXY_SOCK_H

/*
 * Unix sockets, close-on-exec; -1 with errno. flags: SOCK_NONBLOCK or 0.
 */
int sock_listen(const char *path, int flags);
int sock_connect(const char *path, int flags);

#endif
