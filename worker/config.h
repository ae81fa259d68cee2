#ifndef WORKER_CONFIG_H
#define WORKER_CONFIG_H

#include "worker/settings.h"

/*
 * The configuration, in the syntax of libconfuse (docs/CONFIGURATION.md):
 *
 *     worker { queues = "a:6,b:1" threads = 8 lease = "15s" }
 *     redis { url = "redis://host:6379" password-file = "/etc/belt/redis" }
 *     handler "img.*" { exec = "/usr/bin/convert - -" timeout = "5m" }
 *     include = "more.conf"
 *
 * Keys of worker, limits and redis may also stand outside of them. In double
 * quotes, and bare, ${VAR} is the variable VAR of the environment.
 *
 * Sets what the file s->config says in s, and those that it includes; or, if
 * that is a directory, what each *.conf in it says. Notes all that is wrong
 * with them, line by line, as far as their syntax can be followed. One thread
 * at a time.
 */
void config_read(struct settings *s);

/* The same for one file, which errors call shown; includes are not read. */
void config_read_file(struct settings *s, const char *path, const char *shown);

#endif
