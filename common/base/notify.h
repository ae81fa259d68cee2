#ifndef COMMON_BASE_NOTIFY_H
#define COMMON_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a service tells its manager: datagrams to the socket that NOTIFY_SOCKET
 * names (sd_notify(3)). All do nothing where nobody listens. Any thread, but
 * notify_start before there are others.
 */

/*
 * Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment,
 * so that no handler speaks in our name.
 */
void notify_start(void);

/* Sends lines such as "READY=1" or "STATUS=…", with a newline between. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often the manager wants to hear of us: half of its limit; 0: never. */
int64_t notify_watchdog_ms(void);

#endif
