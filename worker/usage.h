#ifndef WORKER_USAGE_H
#define WORKER_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

/* What processes used: CPU time in us, memory in bytes; -1: not known. */

/*
 * Of a process that lives: of all its threads, without its children. The clock,
 * looked up once, is good as long as the process is not reaped.
 */
int64_t usage_cpu_us(clockid_t clock);
bool usage_cpu_clock(pid_t pid, clockid_t *ret_clock);

/* The most memory that a living process ever had resident. Opens a file. */
int64_t usage_peak_rss(pid_t pid);

/*
 * The same of a child that spawn_start started and that was reaped with *ru:
 * of it and of all that it waited for. Linux counts into a child's peak what
 * we had when it began, so a peak that is not above ours is not known.
 */
int64_t usage_of_child_cpu_us(const struct rusage *ru);
int64_t usage_of_child_peak_rss(const struct rusage *ru);

#endif
