#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdint.h>

/* Clocks. Milliseconds unless the name says otherwise. Any thread. */

int64_t clock_ms(void);      /* CLOCK_MONOTONIC: deadlines, timers */
int64_t clock_us(void);      /* the same in microseconds: measurements */
int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME: goes on while suspended */
int64_t clock_boot_us(void); /* the same in microseconds */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME: what people read */

/* Writes "2026-12-01T09:00:00.123Z" with its NUL. */
void clock_format(int64_t wall_ms, char out[25]);

#endif
