#ifndef PRODUCER_DOCTOR_H
#define PRODUCER_DOCTOR_H

#include "common/base/buf.h"
#include "producer/client.h"
#include "producer/out.h"

/*
 * What belt doctor looks at: the server, and what lies in it. It changes
 * nothing but that names of commands are tried on a key that is not there. One
 * thread at a time, that of the client.
 */
enum doctor_verdict {
    DOCTOR_OK,
    DOCTOR_NOTE,    /* to be known */
    DOCTOR_WARNING, /* works, but jobs may be late, or lost in a bad case */
    DOCTOR_WRONG,   /* does not work, or jobs will be lost */
    DOCTOR_VERDICTS
};

struct doctor {
    struct client *client; /* borrowed */
    const char *ns;        /* borrowed */
    struct out *out;       /* borrowed */
    unsigned counts[DOCTOR_VERDICTS];
};

extern const struct column doctor_columns[];

/* A row: what was looked at, of what (NULL: of the server), and what is. */
void doctor_say(struct doctor *d, enum doctor_verdict v, const char *check,
                const char *of, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* An answer: a text, or an error of Redis. Done with doctor_answer_done. */
struct doctor_answer {
    struct buf text;  /* of a bulk, a number, or the second of an array's */
    struct buf error; /* empty: none */
};
void doctor_answer_done(struct doctor_answer *a);

/*
 * Asks one thing; argv is NULL-terminated. Returns 0, or the status of a lost
 * connection, which was told.
 */
int doctor_ask(struct doctor *d, const char *const *argv,
               struct doctor_answer *ret);

/* All return 0, or the status of a failure that was told. */
int doctor_server(struct doctor *d);
/* Whether what all queues share has the right types: else it is not read. */
int doctor_shared(struct doctor *d, bool *ret_right);
int doctor_queues(struct doctor *d, char *const *names, size_t n);

#endif
