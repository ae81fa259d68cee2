#ifndef WORKER_CONFIG_H
#define WORKER_CONFIG_H

#include "worker/settings.h"

/*
 * The configuration file, in the syntax of libconfuse:
 *
 *     worker { queues = "a:6,b:1" threads = 8 lease = "15s" }
 *     redis { url = "redis://host:6379" password-file = "/etc/belt/redis" }
 *     handler "img.*" { exec = "/usr/bin/convert - -" timeout = "5m" }
 *
 * Keys of worker and redis may also stand outside of them. In double quotes,
 * and bare, ${VAR} is the variable VAR of the environment.
 *
 * Sets what the file says in s, and notes all that is wrong with it, line by
 * line, as far as its syntax can be followed. Main thread, one at a time.
 */
void config_read(struct settings *s, const char *path);

#endif
