#ifndef WORKER_REPLACE_H
#define WORKER_REPLACE_H

#include <stdint.h>

/*
 * The worker puts itself in its own place, as the same process: the way back
 * to all its threads when some were lost to plugins that do not stop. See
 * agent_run for how it comes to that. Main thread, no other but lost ones.
 */

/* The variable by which the successor knows when it began, by the boot clock.
 */
#define REPLACED_ENV "BELT_REPLACED"

/* When this process was last replaced, clock_boot_ms(); 0: it never was. */
int64_t replaced_at_ms(void);

/*
 * Runs the program that runs now once more, with these arguments and our
 * environment, but not before REPLACE_EVERY_MS have passed since it was
 * replaced last. Signals that end the worker stay blocked until the successor
 * listens to them. Returns an exit code: 0 when such a signal came meanwhile,
 * 71 when the program does not start.
 */
int replace_self(char **argv);

enum { REPLACE_EVERY_MS = 30 * 1000 };

#endif
