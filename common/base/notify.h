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
 * so that no handler speaks in our name. A second call forgets the first.
 */
void notify_start(void);

/* Puts them back, for a program that is about to take this one's place. */
void notify_hand_over(void);

/* Whether there is a manager to be told anything. */
bool notify_is_heard(void);

/*
 * Sends lines such as "READY=1" or "STATUS=…", with a newline between, cut
 * after NOTIFY_MAX bytes. Never waits: false when the manager has no room for
 * it now, so that what matters may be sent again.
 */
enum { NOTIFY_MAX = 1024 };
bool notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often the manager wants to hear of us: half of its limit; 0: never. */
int64_t notify_watchdog_ms(void);

#endif
