#ifndef TESTS_INTEGRATION_CLI_FIXTURE_H
#define TESTS_INTEGRATION_CLI_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tests/support/redis.h"

/*
 * The real belt, run as people run it: arguments, environment, stdin; what it
 * wrote, how it ended, and how much memory it took. Whatever fails here fails
 * the test.
 */
struct cli {
    pid_t pid;
    int in;       /* our end of its stdin; -1: it has another */
    int out, err; /* files that it writes */
};

struct cli_result {
    int status;      /* exit status, or 128 + signal */
    char *out, *err; /* owned, NUL behind them */
    size_t out_len;
    long rss_kb; /* the most it had */
};

/*
 * Starts belt with a URL of server (NULL: none). in_fd is borrowed and becomes
 * its stdin; -1: a pipe. args ends with NULL and lacks the program.
 */
void cli_start(struct cli *c, struct redis *server, int in_fd,
               const char *const *args);
/* Where its stdout goes, if not to be read: /dev/full. NULL: as usual. */
void cli_set_stdout(const char *path);
/* Returns false once it reads no more. */
bool cli_write(struct cli *c, const char *p, size_t n);
void cli_finish(struct cli *c, struct cli_result *ret);
/* What it has written to stdout so far, owned. */
char *cli_output(const struct cli *c);

/* The whole life of one. input NULL: /dev/null. */
struct cli_result cli_run(struct redis *server, const char *input,
                          const char *const *argv);
void cli_result_done(struct cli_result *r);

#define CLI(server, input, ...)                                                \
    cli_run((server), (input), (const char *const[]){__VA_ARGS__, NULL})

/* An anonymous file with this text, at its start. */
int cli_file(const char *text, size_t n);

/* Runs it and expects a status and, unless NULL, texts in its outputs. */
#define EXPECT(server, input, status, in_out, in_err, ...)                     \
    cli_expect((server), (input), (status), (in_out), (in_err),                \
               (const char *const[]){__VA_ARGS__, NULL})
void cli_expect(struct redis *server, const char *input, int status,
                const char *in_out, const char *in_err,
                const char *const *argv);

#endif
