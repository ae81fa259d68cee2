#ifndef TESTS_BENCH_FAILS_H
#define TESTS_BENCH_FAILS_H

#include "tests/bench/bench.h"

/*
 * For tests of the benchmark's own parts. fails.c has a bench_fail that ends
 * the process in a way of its own; fails runs what in a copy of the process
 * and tells whether it came to that.
 */
bool fails(void (*what)(struct bench *b), struct bench *b);

#endif
