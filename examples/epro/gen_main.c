/*
 * epro-gen: reports to try examples/epro with.
 *
 *     epro-gen make DIR [--reports N] [--bad N] [--seed S]
 *     epro-gen submit DIR --port PORT [--host HOST] [--queue QUEUE]
 *                     [--connections N] [--rate N] [--patience S]
 *
 * make writes DIR/requests.tsv, and what is to become of them: stored.tsv,
 * dead.tsv, doors.tsv. submit sends them to belt serve and writes
 * DIR/sent.tsv.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "gen.h"
#include "submit.h"

static const char usage[] =
    "Usage: epro-gen make DIR [--reports N] [--bad N] [--seed S]\n"
    "       epro-gen submit DIR --port PORT [--host HOST] [--queue QUEUE]\n"
    "                       [--connections N] [--rate N] [--patience S]\n";

struct args {
    const char *verb, *dir, *host, *port, *queue;
    unsigned reports, bad, seed, connections, rate, patience;
    bool has_bad;
};

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "epro-gen: %s '%s'\n%s", what, value, usage);
    return EX_USAGE;
}

static bool number(const char *text, unsigned max, unsigned *ret)
{
    char *end;

    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || n > max)
        return false;
    *ret = (unsigned)n;
    return true;
}

static int read_flag(struct args *a, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *n, max;
    } flags[] = {
        {"--host", &a->host, NULL, 0},
        {"--port", &a->port, NULL, 0},
        {"--queue", &a->queue, NULL, 0},
        {"--reports", NULL, &a->reports, 10000000},
        {"--bad", NULL, &a->bad, 10000000},
        {"--seed", NULL, &a->seed, UINT32_MAX},
        {"--connections", NULL, &a->connections, 1000},
        {"--rate", NULL, &a->rate, 1000000},
        {"--patience", NULL, &a->patience, 86400},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(name, flags[i].name) != 0)
            continue;
        if (value == NULL)
            return wrong("no value for", name);
        if (flags[i].text != NULL)
            *flags[i].text = value;
        else if (!number(value, flags[i].max, flags[i].n))
            return wrong("no number", value);
        a->has_bad = a->has_bad || flags[i].n == &a->bad;
        return EX_OK;
    }
    return wrong("unknown flag", name);
}

static int make(const struct args *a)
{
    struct gen g;
    const char *file;

    gen_make(&g, a->reports, a->has_bad ? a->bad : a->reports / 10, a->seed);
    int rc = gen_write(&g, a->dir, &file);
    if (rc != 0)
        (void)fprintf(stderr, "epro-gen: %s/%s: %s\n", a->dir, file,
                      strerror(errno));
    else
        printf("%zu requests: %zu reports to be stored, %zu to end dead, "
               "%u to be refused at the door\n",
               g.count, g.stored_count, g.dead_count,
               g.truth.refused + g.truth.too_big + g.truth.unfit);
    gen_done(&g);
    return rc == 0 ? EX_OK : EX_CANTCREAT;
}

static int send_them(const struct args *a)
{
    char *in = gen_text("%s/requests.tsv", a->dir);
    char *out = gen_text("%s/sent.tsv", a->dir);
    char *path = gen_text("/v1/queues/%s/jobs", a->queue);
    const struct submit s = {.host = a->host,
                             .port = a->port,
                             .path = path,
                             .connections = a->connections,
                             .rate = a->rate,
                             .patience_s = a->patience,
                             .in = in,
                             .out = out};
    int status = submit_run(&s);

    free(path);
    free(out);
    free(in);
    return status;
}

int main(int argc, char **argv)
{
    struct args a = {.host = "127.0.0.1",
                     .queue = "reports",
                     .reports = 4000,
                     .seed = 1,
                     .connections = 8,
                     .patience = 30};

    if (argc < 3) {
        fputs(usage, stderr);
        return EX_USAGE;
    }
    a.verb = argv[1];
    a.dir = argv[2];
    for (int i = 3; i < argc; i += 2) {
        int status = read_flag(&a, argv[i], argv[i + 1]);
        if (status != EX_OK)
            return status;
    }
    if (strcmp(a.verb, "make") == 0)
        return make(&a);
    if (strcmp(a.verb, "submit") != 0)
        return wrong("unknown command", a.verb);
    if (a.port == NULL || a.connections == 0)
        return wrong("--port is needed, and a connection, for", a.verb);
    return send_them(&a);
}
