#ifndef EPRO_GEN_H
#define EPRO_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The generator: requests as phones send them, good and bad, and what is to
 * become of them. The same seed gives the same bytes. Nothing is shared with
 * the plugin: two programs that agree are the test.
 */
enum { PATIENTS = 200, LONG_COMMENT = 20000 };

/* A report on its way into JSON: each member as it is written there. */
struct draft {
    char id[32]; /* bare */
    char report[64], patient[64], instrument[64], completed_at[64];
    char answers[64]; /* of ITEMS_MAX items, or as they are wrong */
    char comment[4 * LONG_COMMENT];
    bool is_phq9;
    unsigned items, total, item9;
    unsigned answer[16];
};

/* One request: what is sent. The texts are owned. */
struct request {
    char *report; /* the id that it should be stored under; "-": none */
    char *key;    /* Idempotency-Key */
    char *body;
};

/* What is to come of all of them; the files of gen_write. */
struct truth {
    unsigned accepted; /* with 202 */
    unsigned jobs;     /* of those, with a key of their own */
    unsigned refused;  /* with 400: no JSON */
    unsigned unfit;    /* with 422: JSON that is no job */
    unsigned too_big;  /* with 413 */
};

struct gen {
    uint64_t random; /* the state of its random numbers */
    struct request *requests;
    size_t count, room;
    char **stored; /* lines of stored.tsv */
    size_t stored_count, stored_room;
    char **dead; /* reasons: lines of dead.tsv */
    size_t dead_count, dead_room;
    struct truth truth;
    unsigned last_id;
};

/* Makes about so many requests, so many of them bad; then in what order. */
void gen_make(struct gen *g, unsigned count, unsigned bad, uint64_t seed);

/*
 * Writes patients.tsv, requests.tsv, stored.tsv, dead.tsv and doors.tsv into a
 * directory. Returns 0, or -1 with the name of the file in errno's company.
 */
int gen_write(const struct gen *g, const char *dir, const char **ret_file);
void gen_done(struct gen *g);

/* ---- between its files ---- */

unsigned gen_random(struct gen *g, unsigned below);
double gen_fraction(struct gen *g); /* 0 < x <= 1 */

/* A good report of a patient who is known. */
void gen_draft(struct gen *g, struct draft *d);

/* The request of a draft; the report is to be stored if it says so. */
void gen_send(struct gen *g, const struct draft *d, const char *key,
              bool stored);
/* A body that is none, or is one of another shape. */
void gen_send_raw(struct gen *g, const char *key, const char *body);

char *gen_body(const struct draft *d); /* owned */

/* Notes what is to be there in the end. */
void gen_note_stored(struct gen *g, const struct draft *d);
void gen_note_dead(struct gen *g, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* One or two requests, of the n-th kind of bad ones. */
enum { BAD_TAKES = 2 };
void gen_bad(struct gen *g, unsigned n);

/* printf into a text of its own; ends the program without memory. */
char *gen_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
