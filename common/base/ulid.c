/*
 * Unique ids and random numbers.
 *
 * Within one millisecond an id is the previous one plus one, so ids ascend in
 * the order in which they are made; each new millisecond draws fresh bits.
 * The top random bit starts at 0: 2^79 additions never carry into the time.
 *
 * Thread: any.
 */
#include "common/base/ulid.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"

enum { TIME_CHARS = 10, RANDOM_BYTES = 10, RANDOM_CHARS = 16 };
/* Bits of the characters behind a prefix. */
enum { FREE_BITS = 5 * (ULID_LEN - ULID_PREFIX_LEN) };

static struct mutex last_mu = {PTHREAD_MUTEX_INITIALIZER};
/* last_mu guards what follows: the id made last. */
static int64_t last_ms = -1;
static uint8_t last_random[RANDOM_BYTES];

static pthread_once_t fork_watched = PTHREAD_ONCE_INIT;

static const char base32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void random_bytes(void *p, size_t n)
{
    char *out = p;
    while (n > 0) {
        ssize_t got = getrandom(out, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            perror("getrandom");
            abort();
        }
        out += got;
        n -= (size_t)got;
    }
}

static void add_locked(unsigned bit) REQUIRES(last_mu);
static void next_locked(unsigned bit) REQUIRES(last_mu);
static void write_locked(char *out) REQUIRES(last_mu);

/* Adds 1 << bit. */
static void add_locked(unsigned bit)
{
    unsigned sum = 1U << bit % 8;
    for (size_t i = RANDOM_BYTES - bit / 8; i-- > 0 && sum > 0; sum >>= 8) {
        sum += last_random[i];
        last_random[i] = (uint8_t)sum;
    }
}

/* A child draws fresh bits: it must not go on with its parent's. */
static void on_fork(void)
{
    last_ms = -1;
}

static void watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, on_fork) != 0)
        abort();
}

static void next_locked(unsigned bit)
{
    int64_t now_ms = clock_wall_ms();
    pthread_once(&fork_watched, watch_forks);
    if (now_ms == last_ms) {
        add_locked(bit);
        return;
    }
    last_ms = now_ms;
    random_bytes(last_random, sizeof(last_random));
    last_random[0] &= 0x7f;
}

static void write_locked(char *out)
{
    uint64_t ms = (uint64_t)last_ms;
    for (size_t i = TIME_CHARS; i-- > 0; ms >>= 5)
        out[i] = base32[ms & 31];
    /* Five bytes are eight characters, twice. */
    for (size_t half = 0; half < 2; half++) {
        uint64_t word = 0;
        for (size_t i = 0; i < 5; i++)
            word = word << 8 | last_random[half * 5 + i];
        char *end = out + TIME_CHARS + (half + 1) * (RANDOM_CHARS / 2);
        for (size_t i = 0; i < RANDOM_CHARS / 2; i++, word >>= 5)
            *--end = base32[word & 31];
    }
}

void ulid_make(char out[ULID_LEN + 1])
{
    mutex_lock(&last_mu);
    next_locked(0);
    write_locked(out);
    mutex_unlock(&last_mu);
    out[ULID_LEN] = '\0';
}

void ulid_make_prefix(char out[ULID_PREFIX_LEN + 1])
{
    char id[ULID_LEN];
    mutex_lock(&last_mu);
    next_locked(FREE_BITS);
    write_locked(id);
    add_locked(FREE_BITS); /* the next single id leaves this prefix alone */
    mutex_unlock(&last_mu);
    memcpy(out, id, ULID_PREFIX_LEN);
    out[ULID_PREFIX_LEN] = '\0';
}

/* SplitMix64 (Steele, Lea, Flood 2014), one stream for each thread. */
static uint64_t random_word(void)
{
    static _Thread_local uint64_t state;
    static _Thread_local bool seeded;
    if (!seeded) {
        random_bytes(&state, sizeof(state));
        seeded = true;
    }
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t random_below(uint64_t bound)
{
    assert(bound > 0);
    /* 2^64 mod bound words would make the small results likelier. */
    uint64_t word, surplus = (0 - bound) % bound;
    do
        word = random_word();
    while (word < surplus);
    return word % bound;
}
