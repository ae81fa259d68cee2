#ifndef COMMON_BASE_PROM_H
#define COMMON_BASE_PROM_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/*
 * Metrics in the text format of Prometheus, 0.0.4 (prometheus.io, "Exposition
 * formats"). A family is its head and then its samples, one behind the other.
 * Any thread, each into a buffer of its own.
 */
#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum prom_type { PROM_COUNTER, PROM_GAUGE, PROM_HISTOGRAM };

/*
 * name follows prometheus.io, "Metric and label naming": belt_ or process_ in
 * front, base units, _total behind a counter. help is one line of plain ASCII.
 */
void prom_family(struct buf *out, const char *name, enum prom_type type,
                 const char *help);

/* Of a label: key is a constant; value any text, which is escaped. */
struct prom_label {
    const char *key; /* NULL ends the list */
    const char *value;
};

/* A sample; labels may be NULL. */
void prom_int(struct buf *out, const char *name,
              const struct prom_label *labels, int64_t n);
/* The same of n / per, which is 1000 or 1000000. */
void prom_fraction(struct buf *out, const char *name,
                   const struct prom_label *labels, int64_t n, int64_t per);

/*
 * A histogram of times: n_buckets counts, bucket i of times of at most
 * le_us[i] and more than le_us[i - 1] microseconds, and beyond of still longer
 * ones; and the sum of all times.
 */
void prom_times(struct buf *out, const char *name,
                const struct prom_label *labels, const int64_t *le_us,
                const uint64_t *buckets, size_t n_buckets, uint64_t beyond,
                int64_t sum_us);

/* All memory of this process and its resident part, in bytes; 0: not known. */
void process_memory(int64_t *ret_virtual, int64_t *ret_resident);

/* The families that every process has: belt_build_info, and
 * process_cpu_seconds_total and so on. */
void prom_process(struct buf *out, int64_t started_at_ms);

#endif
