#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/*
 * What every fuzzer is: one input, judged by asserts. libFuzzer calls it in
 * the preset fuzz, replay.c with the kept inputs in all others. Input that is
 * wrong is no failure; a promise of ours that does not hold is. Returns 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
