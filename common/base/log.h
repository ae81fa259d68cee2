#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/*
 * Log lines to stderr, one per event, as logfmt or JSON.
 *
 *     LOG_INFO("fetch", F_STR("queue", q), F_INT("jobs", n));
 *     t=2026-12-01T09:00:00.123Z lvl=info ev=fetch queue=mail jobs=12
 *
 * Each line is one write(2), so lines of several threads and processes do not
 * mix. It never waits: what has no room is lost, and the next line that has
 * says so (lines_lost). Control bytes are escaped. Payloads are never logged.
 * For programs: common/ returns errors and does not log. Any thread.
 */
enum log_level { LOG_LVL_DEBUG, LOG_LVL_INFO, LOG_LVL_WARN, LOG_LVL_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };
enum log_field_kind { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT };

struct log_field {
    enum log_field_kind kind;
    const char *name;
    const char *str; /* NULL is written as an empty text */
    size_t len;      /* of str; SIZE_MAX: up to its NUL */
    int64_t num;
};

#define F_STR(n, s)                                                            \
    {                                                                          \
        .kind = LOG_FIELD_STR, .name = (n), .str = (s), .len = SIZE_MAX        \
    }
#define F_MEM(n, s, l)                                                         \
    {                                                                          \
        .kind = LOG_FIELD_STR, .name = (n), .str = (s), .len = (l)             \
    }
#define F_INT(n, v)                                                            \
    {                                                                          \
        .kind = LOG_FIELD_INT, .name = (n), .num = (v)                         \
    }

#define LOG_AT(lvl, ev, ...)                                                   \
    do {                                                                       \
        if (log_enabled(lvl))                                                  \
            log_emit((lvl), (ev),                                              \
                     (const struct log_field[]){__VA_ARGS__,                   \
                                                {.kind = LOG_FIELD_END}});     \
    } while (0)
#define LOG_DEBUG(ev, ...) LOG_AT(LOG_LVL_DEBUG, ev, __VA_ARGS__)
#define LOG_INFO(ev, ...) LOG_AT(LOG_LVL_INFO, ev, __VA_ARGS__)
#define LOG_WARN(ev, ...) LOG_AT(LOG_LVL_WARN, ev, __VA_ARGS__)
#define LOG_ERROR(ev, ...) LOG_AT(LOG_LVL_ERROR, ev, __VA_ARGS__)

/* Before any other thread starts. Defaults: LOG_LVL_INFO, LOG_LOGFMT. */
void log_setup(enum log_level least, enum log_format format);
/* Lends its name. */
const char *log_level_name(enum log_level level);

/* Any thread, at any time. */
void log_set_level(enum log_level least);
/* "debug" "info" "warn" "error"; "logfmt" "json". */
int log_level_parse(const char *s, enum log_level *ret, struct errbuf *eb);
int log_format_parse(const char *s, enum log_format *ret, struct errbuf *eb);

bool log_enabled(enum log_level level);
/* Called through the macros. fields ends with LOG_FIELD_END. */
void log_emit(enum log_level level, const char *event,
              const struct log_field *fields);

#endif
