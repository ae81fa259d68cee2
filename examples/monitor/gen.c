/*
 * monitor-gen: makes a registry of patients to try the nightly check on.
 *
 * Usage: monitor-gen [--measurements N] [--centres N] [--seed S] DIR
 *
 * Writes DIR/registry.db, and DIR/truth.csv, the anomalies that it has planted:
 * centre,patient,measurement,rule. The same seed makes the same of both. All is
 * one transaction, so that what is there is whole.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "day.h"
#include "gen_plant.h"

enum {
    EXIT_USAGE = 64,
    EXIT_CANNOT = 73,
    CENTRES_MOST = 500,
    MEASUREMENTS_MOST = 100 * 1000 * 1000,
    MEASUREMENTS_LEAST = 1500, /* of a centre: each rule has to find room */
    SLOT = 5,                  /* at most one anomaly in so many visits */
    FOR_ONE_ANOMALY = 2000     /* measurements, if there are many */
};

#define EXPORTED "2026-06-30"

static const char schema[] =
    "CREATE TABLE export (day TEXT NOT NULL) STRICT;"
    "CREATE TABLE centre (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
    "CREATE TABLE patient (id INTEGER PRIMARY KEY,"
    " centre INTEGER NOT NULL REFERENCES centre, code TEXT NOT NULL,"
    " sex TEXT NOT NULL CHECK (sex IN ('F', 'M')), born TEXT NOT NULL,"
    " enrolled TEXT NOT NULL) STRICT;"
    "CREATE TABLE visit (id INTEGER PRIMARY KEY,"
    " patient INTEGER NOT NULL REFERENCES patient, day TEXT NOT NULL) STRICT;"
    "CREATE TABLE measurement (id INTEGER PRIMARY KEY,"
    " visit INTEGER NOT NULL REFERENCES visit, parameter TEXT NOT NULL,"
    " value REAL NOT NULL, unit TEXT NOT NULL) STRICT;";

static const char indices[] = /* made at the end: that is faster */
    "CREATE INDEX patient_of_centre ON patient (centre);"
    "CREATE INDEX visit_of_patient ON visit (patient);"
    "CREATE INDEX measurement_of_visit ON measurement (visit);";

/* The last two are there to be escaped. */
static const char *const cities[] = {
    "Aachen", "Basel", "Bergen", "Cork",    "Gdansk", "Ghent",       "Graz",
    "Lyon",   "Porto", "Turku",  "Chicago", "Denver", "\"St. Ann\"", "K <& L>"};

enum { CITIES = sizeof(cities) / sizeof(cities[0]) };

struct options {
    int measurements, centres;
    uint64_t seed;
    const char *dir;
};

struct gen {
    struct options options;
    struct rng rng;
    int32_t exported;
    sqlite3 *db;
    sqlite3_stmt *centre, *patient, *visit, *measurement;
    FILE *truth;
    int64_t measurements, visits, patients;
    int bag[PLANT_RULES], in_bag; /* rules that are to come in this centre */
    int planted[PLANT_RULES];
};

static void die(int code, const char *what, const char *why)
{
    fprintf(stderr, "monitor-gen: %s: %s\n", what, why);
    exit(code);
}

static void must(struct gen *g, int rc)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        die(EXIT_CANNOT, "registry.db", sqlite3_errmsg(g->db));
}

static void exec(struct gen *g, const char *sql)
{
    must(g, sqlite3_exec(g->db, sql, NULL, NULL, NULL));
}

static sqlite3_stmt *prepare(struct gen *g, const char *sql)
{
    sqlite3_stmt *s;

    must(g, sqlite3_prepare_v2(g->db, sql, -1, &s, NULL));
    return s;
}

static void insert(struct gen *g, sqlite3_stmt *s)
{
    must(g, sqlite3_step(s));
    must(g, sqlite3_reset(s));
}

static void put_measurement(struct gen *g, const struct gen_visit *v,
                            enum param p)
{
    const char *unit = param_unit(p, v->other_unit[p]);

    sqlite3_bind_int64(g->measurement, 1, ++g->measurements);
    sqlite3_bind_int64(g->measurement, 2, g->visits);
    sqlite3_bind_text(g->measurement, 3, param_name(p), -1, SQLITE_STATIC);
    sqlite3_bind_double(g->measurement, 4, v->value[p]);
    sqlite3_bind_text(g->measurement, 5, unit, -1, SQLITE_STATIC);
    insert(g, g->measurement);
}

/* found: what of this visit is in the truth. */
static void put_visit(struct gen *g, int centre, const struct gen_visit *v,
                      const struct planted *found)
{
    char day[DAY_TEXT];

    sqlite3_bind_int64(g->visit, 1, ++g->visits);
    sqlite3_bind_int64(g->visit, 2, g->patients);
    sqlite3_bind_text(g->visit, 3, day_text(v->day, day), -1, SQLITE_STATIC);
    insert(g, g->visit);
    for (int p = 0; p < P_COUNT; p++) {
        if (!v->has[p])
            continue;
        put_measurement(g, v, (enum param)p);
        if (found->rule != NULL && found->param == (enum param)p)
            fprintf(g->truth, "%d,%lld,%lld,%s\n", centre,
                    (long long)g->patients, (long long)g->measurements,
                    found->rule);
    }
}

static void put_patient(struct gen *g, int centre, const struct person *p,
                        const struct planted found[])
{
    char code[40], born[DAY_TEXT], enrolled[DAY_TEXT];

    snprintf(code, sizeof(code), "C%02d-%05lld", centre,
             (long long)++g->patients);
    sqlite3_bind_int64(g->patient, 1, g->patients);
    sqlite3_bind_int(g->patient, 2, centre);
    sqlite3_bind_text(g->patient, 3, code, -1, SQLITE_STATIC);
    sqlite3_bind_text(g->patient, 4, p->man ? "M" : "F", -1, SQLITE_STATIC);
    sqlite3_bind_text(g->patient, 5, day_text(p->born, born), -1,
                      SQLITE_STATIC);
    sqlite3_bind_text(g->patient, 6, day_text(p->enrolled, enrolled), -1,
                      SQLITE_STATIC);
    insert(g, g->patient);
    for (int i = 0; i < p->visit_count; i++)
        put_visit(g, centre, &p->visits[i], &found[i]);
}

/* Each rule comes once before any comes again. */
static struct planted plant_one(struct gen *g, struct person *p, int visit,
                                int serial, bool american)
{
    struct planted found = {.rule = NULL};

    if (g->in_bag == 0)
        while (g->in_bag < PLANT_RULES) {
            int at = rng_int(&g->rng, 0, g->in_bag);

            g->bag[g->in_bag] = g->bag[at];
            g->bag[at] = g->in_bag++;
        }
    for (int i = g->in_bag - 1; i >= 0 && found.rule == NULL; i--) {
        int rule = g->bag[i];

        found = plant(p, &g->rng, rule, visit, serial, g->exported, american);
        if (found.rule == NULL)
            continue;
        g->planted[rule]++;
        memmove(&g->bag[i], &g->bag[i + 1],
                (size_t)(--g->in_bag - i) * sizeof(g->bag[0]));
    }
    return found;
}

/* every: of so many slots one has an anomaly. */
static void make_patient(struct gen *g, int centre, int every, bool american)
{
    struct planted found[2 * VISITS_MOST] = {{.rule = NULL}};
    struct person p;

    person_make(&p, &g->rng, g->exported, american);
    int slots = p.visit_count / SLOT;
    for (int slot = 0; slot < slots; slot++) {
        if (rng_int(&g->rng, 1, every) != 1)
            continue;
        struct planted f =
            plant_one(g, &p, slot * SLOT + SLOT / 2, slot, american);
        if (f.rule != NULL)
            found[f.visit] = f;
    }
    put_patient(g, centre, &p, found);
}

static void make_centre(struct gen *g, int centre, int64_t until)
{
    const char *city = cities[(centre - 1) % CITIES];
    bool american = city[0] == 'D' || strcmp(city, "Chicago") == 0;
    int64_t quota = until - g->measurements;
    int64_t wanted = quota / FOR_ONE_ANOMALY;

    if (centre == g->options.centres && centre < CITIES)
        city = cities[CITIES - 1];
    sqlite3_bind_int(g->centre, 1, centre);
    sqlite3_bind_text(g->centre, 2, city, -1, SQLITE_STATIC);
    insert(g, g->centre);
    if (wanted < (int64_t)2 * PLANT_RULES)
        wanted = (int64_t)2 * PLANT_RULES;
    int every = (int)(quota / 8 / SLOT / wanted);
    g->in_bag = 0;
    while (g->measurements < until)
        make_patient(g, centre, every > 1 ? every : 1, american);
}

static void open_files(struct gen *g)
{
    char *db = sqlite3_mprintf("%s/registry.db", g->options.dir);
    char *truth = sqlite3_mprintf("%s/truth.csv", g->options.dir);

    if (remove(db) != 0 && errno != ENOENT)
        die(EXIT_CANNOT, db, strerror(errno));
    if (sqlite3_open(db, &g->db) != SQLITE_OK)
        die(EXIT_CANNOT, db, sqlite3_errmsg(g->db));
    g->truth = fopen(truth, "we");
    if (g->truth == NULL)
        die(EXIT_CANNOT, truth, strerror(errno));
    sqlite3_free(db);
    sqlite3_free(truth);
}

static void make_all(struct gen *g)
{
    const struct options *o = &g->options;
    int64_t until = 0;

    exec(g, "PRAGMA synchronous = OFF; BEGIN");
    exec(g, schema);
    exec(g, "INSERT INTO export VALUES ('" EXPORTED "')");
    g->centre = prepare(g, "INSERT INTO centre VALUES (?, ?)");
    g->patient = prepare(g, "INSERT INTO patient VALUES (?, ?, ?, ?, ?, ?)");
    g->visit = prepare(g, "INSERT INTO visit VALUES (?, ?, ?)");
    g->measurement =
        prepare(g, "INSERT INTO measurement VALUES (?, ?, ?, ?, ?)");
    for (int c = 1; c <= o->centres; c++) {
        int share = o->measurements / o->centres;

        /* Centres differ in size; the last one makes up for it. */
        until += c % 2 == 1 ? share - share / 4 : share + share / 4;
        make_centre(g, c, c < o->centres ? until : o->measurements);
    }
    sqlite3_finalize(g->centre);
    sqlite3_finalize(g->patient);
    sqlite3_finalize(g->visit);
    sqlite3_finalize(g->measurement);
    exec(g, indices);
    exec(g, "COMMIT");
}

static void finish(struct gen *g)
{
    int all = 0;

    if (sqlite3_close(g->db) != SQLITE_OK)
        die(EXIT_CANNOT, "registry.db", "could not be closed");
    if (ferror(g->truth) != 0 || fclose(g->truth) != 0)
        die(EXIT_CANNOT, "truth.csv", "could not be written");
    for (int i = 0; i < PLANT_RULES; i++) {
        all += g->planted[i];
        if (g->planted[i] == 0)
            die(EXIT_CANNOT, plant_rule_name(i), "nobody was fit for it");
    }
    printf("%d centres, %lld patients, %lld visits, %lld measurements, "
           "%d anomalies planted\n",
           g->options.centres, (long long)g->patients, (long long)g->visits,
           (long long)g->measurements, all);
}

static long long number(const char *flag, const char *text, long long least,
                        long long most)
{
    char *end;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < least || n > most) {
        fprintf(stderr,
                "monitor-gen: --%s %s: not a number from %lld to %lld\n", flag,
                text, least, most);
        exit(EXIT_USAGE);
    }
    return n;
}

static void read_options(struct options *o, int argc, char **argv)
{
    static const struct option flags[] = {
        {"measurements", required_argument, NULL, 'm'},
        {"centres", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (c == 'm')
            o->measurements =
                (int)number("measurements", optarg, 1, MEASUREMENTS_MOST);
        else if (c == 'c')
            o->centres = (int)number("centres", optarg, 1, CENTRES_MOST);
        else if (c == 's')
            o->seed = (uint64_t)number("seed", optarg, 0, INT64_MAX);
        else
            exit(EXIT_USAGE);
    }
    if (optind != argc - 1)
        die(EXIT_USAGE, "usage",
            "monitor-gen [--measurements N] [--centres N] [--seed S] DIR");
    o->dir = argv[optind];
    if (o->measurements / o->centres < MEASUREMENTS_LEAST)
        die(EXIT_USAGE, "--measurements", "at least 1500 for each centre");
}

int main(int argc, char **argv)
{
    struct gen g = {
        .options = {.measurements = 1000 * 1000, .centres = 12, .seed = 1}};

    read_options(&g.options, argc, argv);
    g.rng.state = g.options.seed;
    if (day_parse(EXPORTED, &g.exported) != 0)
        die(EXIT_CANNOT, EXPORTED, "is no date");
    open_files(&g);
    make_all(&g);
    finish(&g);
    return 0;
}
