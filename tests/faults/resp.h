#ifndef TESTS_FAULTS_RESP_H
#define TESTS_FAULTS_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Scanner of RESP2: finds where a command or a reply ends, whatever its size,
 * without keeping it, and notes its first two strings.
 *
 * Start with {0}, and again for the next one. Bytes may come in any pieces.
 */
enum { RESP_WORD_MAX = 63 };

struct resp_word {
    size_t len; /* at most RESP_WORD_MAX are noted, and a NUL behind */
    char text[RESP_WORD_MAX + 1];
};

struct resp {
    bool done;        /* the last byte was scanned */
    bool bad;         /* this is no RESP */
    unsigned strings; /* that are complete */
    struct resp_word words[2];

    enum { RESP_TYPE, RESP_LINE, RESP_STRING } state;
    char type;
    bool nil;
    uint64_t number;     /* of the line */
    uint64_t left;       /* bytes of the string, with its end of line */
    int64_t more_values; /* that belong to it, behind the one being read */
};

/* Scans on, not beyond the end of the value. Returns how many bytes it took. */
size_t resp_scan(struct resp *s, const char *p, size_t n);

/* Whether the first two words are all there, or will never be. */
bool resp_words_known(const struct resp *s);

#endif
