#ifndef EPRO_SUBMIT_H
#define EPRO_SUBMIT_H

/*
 * Sends the requests of a file to belt serve, over several connections, as
 * many phones would, and writes for each what came of it.
 */
struct submit {
    const char *host, *port, *path; /* of the server */
    unsigned connections;
    unsigned rate;        /* requests per second, 0: as fast as it answers */
    unsigned patience_s;  /* with one request, before all is given up */
    const char *in, *out; /* requests.tsv, sent.tsv */
};

/* Returns an exit status; what is wrong was told. */
int submit_run(const struct submit *s);

#endif
