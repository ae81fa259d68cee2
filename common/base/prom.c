/*
 * Prom: metrics as text.
 *
 * Thread: any.
 */
#include "common/base/prom.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/safe.h"

void prom_family(struct buf *out, const char *name, enum prom_type type,
                 const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
               types[type]);
}

/* Valid UTF-8 without control characters, whatever it was. */
static void put_escaped(struct buf *out, const char *text)
{
    struct buf safe = {0};

    safe_append(&safe, text, strlen(text));
    for (size_t i = 0; i < safe.len; i++) {
        if (safe.data[i] == '\\' || safe.data[i] == '"')
            buf_char(out, '\\');
        buf_char(out, safe.data[i]);
    }
    buf_done(&safe);
}

/* le is one more label, NULL: none. */
static void put_labels(struct buf *out, const struct prom_label *labels,
                       const char *le)
{
    char before = '{';

    for (; labels != NULL && labels->key != NULL; labels++) {
        buf_char(out, before);
        buf_str(out, labels->key);
        buf_str(out, "=\"");
        put_escaped(out, labels->value);
        buf_char(out, '"');
        before = ',';
    }
    if (le != NULL) {
        buf_char(out, before);
        buf_printf(out, "le=\"%s\"", le);
        before = ',';
    }
    if (before == ',')
        buf_char(out, '}');
}

void prom_int(struct buf *out, const char *name,
              const struct prom_label *labels, int64_t n)
{
    buf_str(out, name);
    put_labels(out, labels, NULL);
    buf_printf(out, " %" PRId64 "\n", n);
}

/* Without zeros at its end. */
static void format_fraction(char text[48], int64_t n, int64_t per)
{
    int width = per == 1000 ? 3 : 6;
    char *end;

    (void)snprintf(text, 48, "%s%" PRId64 ".%0*" PRId64, n < 0 ? "-" : "",
                   n < 0 ? -(n / per) : n / per, width,
                   n < 0 ? -(n % per) : n % per);
    end = text + strlen(text);
    while (end[-1] == '0')
        *--end = '\0';
    if (end[-1] == '.')
        *--end = '\0';
}

void prom_fraction(struct buf *out, const char *name,
                   const struct prom_label *labels, int64_t n, int64_t per)
{
    char text[48];

    format_fraction(text, n, per);
    buf_str(out, name);
    put_labels(out, labels, NULL);
    buf_printf(out, " %s\n", text);
}

static void put_bucket(struct buf *out, const char *name,
                       const struct prom_label *labels, const char *le,
                       uint64_t n)
{
    buf_printf(out, "%s_bucket", name);
    put_labels(out, labels, le);
    buf_printf(out, " %" PRIu64 "\n", n);
}

void prom_times(struct buf *out, const char *name,
                const struct prom_label *labels, const int64_t *le_us,
                const uint64_t *buckets, size_t n_buckets, uint64_t beyond,
                int64_t sum_us)
{
    uint64_t n = 0;
    char text[48];

    for (size_t i = 0; i < n_buckets; i++) {
        n += buckets[i];
        format_fraction(text, le_us[i], 1000000);
        put_bucket(out, name, labels, text, n);
    }
    n += beyond;
    put_bucket(out, name, labels, "+Inf", n);
    format_fraction(text, sum_us, 1000000);
    buf_printf(out, "%s_sum", name);
    put_labels(out, labels, NULL);
    buf_printf(out, " %s\n%s_count", text, name);
    put_labels(out, labels, NULL);
    buf_printf(out, " %" PRIu64 "\n", n);
}

/* ---- the process ---- */

static int64_t cpu_us(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

/* proc(5), statm */
void process_memory(int64_t *ret_virtual, int64_t *ret_resident)
{
    long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f != NULL) {
        char line[128], *end = line;
        if (fgets(line, sizeof(line), f) != NULL) {
            pages = strtoll(line, &end, 10);
            resident = strtoll(end, NULL, 10);
        }
        (void)fclose(f);
    }
    *ret_virtual = pages * sysconf(_SC_PAGESIZE);
    *ret_resident = resident * sysconf(_SC_PAGESIZE);
}

static int64_t open_descriptors(void)
{
    int64_t n = 0;
    DIR *d = opendir("/proc/self/fd");

    if (d == NULL)
        return 0;
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n - 3; /* ".", "..", and that of the directory */
}

void prom_process(struct buf *out, int64_t started_at_ms)
{
    int64_t all, resident;
    struct rlimit limit = {0, 0};

    prom_family(out, "belt_build_info", PROM_GAUGE,
                "1, labelled by the version.");
    prom_int(
        out, "belt_build_info",
        (const struct prom_label[]){{"version", BELT_VERSION}, {NULL, NULL}},
        1);
    process_memory(&all, &resident);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    prom_family(out, "process_cpu_seconds_total", PROM_COUNTER,
                "CPU time of the process itself, user and system.");
    prom_fraction(out, "process_cpu_seconds_total", NULL, cpu_us(), 1000000);
    prom_family(out, "process_resident_memory_bytes", PROM_GAUGE,
                "Resident memory.");
    prom_int(out, "process_resident_memory_bytes", NULL, resident);
    prom_family(out, "process_virtual_memory_bytes", PROM_GAUGE,
                "Virtual memory.");
    prom_int(out, "process_virtual_memory_bytes", NULL, all);
    prom_family(out, "process_open_fds", PROM_GAUGE, "Open descriptors.");
    prom_int(out, "process_open_fds", NULL, open_descriptors());
    prom_family(out, "process_max_fds", PROM_GAUGE,
                "How many descriptors may be open.");
    prom_int(out, "process_max_fds", NULL,
             limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur);
    prom_family(out, "process_start_time_seconds", PROM_GAUGE,
                "Start of the process, since the epoch.");
    prom_fraction(out, "process_start_time_seconds", NULL, started_at_ms, 1000);
}
