/*
 * monitor.so: the nightly check of a registry of patients.
 *
 *     --handler 'monitor.*=plugin:/path/monitor.so registry=/srv/registry.db
 *         findings=/srv/findings.db reports=/srv/reports pace=5ms'
 *
 * One plugin for four types of jobs. The worker needs --fence. pace, 0 if it is
 * not said, is how long a thread rests after each patient: for a registry that
 * others work with at night.
 */
#include "monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct state {
    struct monitor monitor;
    char *args; /* cut into words */
};

static void free_state(struct state *s)
{
    if (s == NULL)
        return;
    db_pool_free(s->monitor.dbs);
    free(s->args);
    free(s);
}

/* Frees s and returns -1, with the text. */
static int refuse(struct state *s, char *err, size_t err_size, const char *what,
                  const char *word)
{
    (void)snprintf(err, err_size, "%s%s", what, word);
    free_state(s);
    return -1;
}

static int read_pace(const char *text, int64_t *ret_ms)
{
    char *end;

    errno = 0;
    long ms = strtol(text, &end, 10);
    if (errno != 0 || end == text || ms < 0 || ms > 60000 ||
        strcmp(end, "ms") != 0)
        return -1;
    *ret_ms = ms;
    return 0;
}

static const char *after(const char *word, const char *key)
{
    size_t n = strlen(key);

    return strncmp(word, key, n) == 0 && word[n] != '\0' ? word + n : NULL;
}

static int init(const struct belt_host *host, const char *args, void **state,
                char *err, size_t err_size)
{
    const char *registry = NULL, *findings = NULL, *value;
    struct state *s = calloc(1, sizeof(*s));
    char *rest = NULL;

    (void)host;
    if (s == NULL || (s->args = strdup(args)) == NULL)
        return refuse(s, err, err_size, "out of memory", "");
    for (char *word = strtok_r(s->args, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        if ((value = after(word, "registry=")) != NULL)
            registry = value;
        else if ((value = after(word, "findings=")) != NULL)
            findings = value;
        else if ((value = after(word, "reports=")) != NULL)
            s->monitor.reports = value;
        else if ((value = after(word, "pace=")) == NULL ||
                 read_pace(value, &s->monitor.pace_ms) != 0)
            return refuse(s, err, err_size, "not understood: ", word);
    }
    if (registry == NULL || findings == NULL || s->monitor.reports == NULL)
        return refuse(s, err, err_size,
                      "registry=, findings= and reports= are needed", "");
    if (mkdir(s->monitor.reports, 0777) != 0 && errno != EEXIST)
        return refuse(s, err, err_size, "cannot make ", s->monitor.reports);
    s->monitor.dbs = db_pool_new(registry, findings, err, err_size);
    if (s->monitor.dbs == NULL) {
        free_state(s);
        return -1;
    }
    *state = s;
    return 0;
}

static void fini(void *state)
{
    free_state(state);
}

static int run_job(struct belt_run *run, void *state)
{
    static const struct {
        const char *type;
        int (*run)(struct belt_run *, const struct monitor *, struct db *);
    } types[] = {{"monitor.patient", patient_run},
                 {"monitor.centre", centre_run},
                 {"monitor.night", night_run},
                 {"monitor.report", report_run}};
    const struct monitor *m = &((struct state *)state)->monitor;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].type, run->type) != 0)
            continue;
        struct db *db = db_take(m->dbs);
        if (db == NULL)
            return belt_retry(run, "sqlite", "no connection");
        int verdict = types[i].run(run, m, db);
        db_give(db);
        return verdict;
    }
    return belt_dead(run, "type", "no such type");
}

BELT_PLUGIN("monitor", "1.0", init, run_job, fini)
