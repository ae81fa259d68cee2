/*
 * Zone: GLib's time zones behind five functions.
 *
 * glibc's own zones need setenv and tzset, which are the whole process's. GLib
 * is not linked, since that costs every start of belt half a millisecond;
 * its few functions are declared here and looked up by name. They are part of
 * its stable interface (g_time_zone_new_identifier is of 2.68).
 *
 * Making a zone takes GLib two milliseconds, finding one that it has made next
 * to nothing. So some are held, for an hour, in which a new edition of the
 * rules is not noticed.
 *
 * Thread: any; the table of held zones has a lock.
 */
#include "common/job/zone.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum {
    UNIVERSAL_TIME = 2, /* G_TIME_TYPE_UNIVERSAL */
    HELD_MAX = 16,
    HELD_MS = 3600 * 1000,
    PATH_LEN_MAX = 512,
    NAMES_MAX = 1000,
    NAMES_BYTES_MAX = 1 << 17
};

typedef void gtz; /* GTimeZone */

static struct {
    bool tried, there;
    gtz *(*new_identifier)(const char *name);
    gtz *(*ref)(gtz *tz);
    void (*unref)(gtz *tz);
    int (*find_interval)(gtz *tz, int type, int64_t at);
    int32_t (*get_offset)(gtz *tz, int interval);
    const char *(*get_abbreviation)(gtz *tz, int interval);
} glib;

static struct {
    char name[ZONE_NAME_MAX_LEN + 1];
    gtz *tz; /* owned; NULL: free */
    int64_t until_ms;
} held[HELD_MAX];

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards both */

struct zone {
    gtz *tz; /* owned; NULL: UTC */
    char name[ZONE_NAME_MAX_LEN + 1];
};

static bool is_utc(const char *name)
{
    static const char *const names[] = {"UTC", "Etc/UTC", "Z", "GMT"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Letters, digits, _ + - in parts: what can never leave the directory. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (c == '/' && (i == 0 || name[i - 1] == '/' || i + 1 == len))
            return false;
        if (c != '/' && !isalnum((unsigned char)c) && strchr("_+-", c) == NULL)
            return false;
    }
    return len > 0 && len <= ZONE_NAME_MAX_LEN;
}

/* A function out of GLib; ISO C has no cast from an object to a function. */
static bool look_up(void *lib, const char *name, void *ret)
{
    void *p = dlsym(lib, name);

    memcpy(ret, &p, sizeof(p));
    return p != NULL;
}

static bool load_locked(void)
{
    if (glib.tried)
        return glib.there;
    glib.tried = true;
    void *lib = dlopen("libglib-2.0.so.0", RTLD_NOW | RTLD_LOCAL);
    glib.there =
        lib != NULL &&
        look_up(lib, "g_time_zone_new_identifier", &glib.new_identifier) &&
        look_up(lib, "g_time_zone_ref", &glib.ref) &&
        look_up(lib, "g_time_zone_unref", &glib.unref) &&
        look_up(lib, "g_time_zone_find_interval", &glib.find_interval) &&
        look_up(lib, "g_time_zone_get_offset", &glib.get_offset) &&
        look_up(lib, "g_time_zone_get_abbreviation", &glib.get_abbreviation);
    return glib.there;
}

static const char *zone_dir(void)
{
    const char *dir = getenv("TZDIR");

    return dir != NULL && dir[0] != '\0' ? dir : "/usr/share/zoneinfo";
}

/* Reads at most cap bytes of a file of the directory. -1: there is none. */
static ssize_t read_file(const char *name, char *out, size_t cap)
{
    char path[PATH_LEN_MAX];
    size_t len = 0;
    ssize_t n = 0;

    if (snprintf(path, sizeof(path), "%s/%s", zone_dir(), name) >=
        (int)sizeof(path))
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -1;
    while (len < cap && (n = read(fd, out + len, cap - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    return n < 0 ? -1 : (ssize_t)len;
}

/* GLib complains aloud of files that are no zones. */
static bool is_zone_file(const char *name)
{
    char magic[4];

    return read_file(name, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
           memcmp(magic, "TZif", sizeof(magic)) == 0;
}

/* Cuts the names of zones out of zone.tab, whose third column they are. */
static size_t cut_names(char *table, const char **names)
{
    size_t n = 0;

    for (char *line = strtok_r(table, "\n", &table); line != NULL;
         line = strtok_r(NULL, "\n", &table)) {
        char *rest = line;
        const char *field = strtok_r(line, "\t", &rest);
        for (int i = 0; i < 2 && field != NULL; i++)
            field = strtok_r(NULL, "\t", &rest);
        if (line[0] != '#' && field != NULL && n < NAMES_MAX)
            names[n++] = field;
    }
    return n;
}

/* The name that was probably meant: of another case, or with a typing error. */
static const char *find_near(const char *name, const char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *city = strrchr(names[i], '/');
        if (strcasecmp(names[i], name) == 0 ||
            (city != NULL && strcasecmp(city + 1, name) == 0))
            return names[i];
    }
    return text_nearest(name, names, n);
}

static int unknown(const char *name, struct errbuf *eb)
{
    const char **names = mem_new(NAMES_MAX * sizeof(*names));
    char *table = mem_new(NAMES_BYTES_MAX);
    ssize_t len = read_file("zone.tab", table, NAMES_BYTES_MAX - 1);
    const char *near = NULL;
    int rc;

    if (len > 0)
        near = find_near(name, names, cut_names(table, names));
    if (len <= 0 && access(zone_dir(), R_OK) != 0)
        rc = errbuf_set(eb, ERR_SYSTEM,
                        "time zone \"%s\": there are no time zones at %s: "
                        "install tzdata",
                        name, zone_dir());
    else
        rc = errbuf_set(eb, ERR_MISSING, "time zone \"%s\" is unknown%s%s%s",
                        name, near != NULL ? ", did you mean " : "",
                        near != NULL ? near : "", near != NULL ? "?" : "");
    free(table);
    free((void *)names);
    return rc;
}

/* Lends the zone if it is held, and lets go of what was held for long. */
static gtz *held_locked(const char *name, int64_t now, int *ret_free)
{
    gtz *found = NULL;

    *ret_free = -1;
    for (int i = 0; i < HELD_MAX; i++) {
        if (held[i].tz != NULL && held[i].until_ms <= now) {
            glib.unref(held[i].tz);
            held[i].tz = NULL;
        }
        if (held[i].tz == NULL)
            *ret_free = i;
        else if (strcmp(held[i].name, name) == 0)
            found = held[i].tz;
    }
    return found;
}

static int make_locked(struct zone *z, struct errbuf *eb)
{
    int64_t now = clock_ms();
    int place;

    if (!load_locked())
        return errbuf_set(eb, ERR_SYSTEM,
                          "time zone \"%s\": needs libglib-2.0.so.0, of 2.68 "
                          "or later, which is not here: install it (Debian: "
                          "libglib2.0-0), or use UTC",
                          z->name);
    gtz *tz = held_locked(z->name, now, &place);
    if (tz != NULL) {
        z->tz = glib.ref(tz);
        return 0;
    }
    if (is_zone_file(z->name))
        z->tz = glib.new_identifier(z->name);
    if (z->tz == NULL)
        return unknown(z->name, eb);
    if (place >= 0) {
        held[place].tz = glib.ref(z->tz);
        held[place].until_ms = now + HELD_MS;
        memcpy(held[place].name, z->name, sizeof(z->name));
    }
    return 0;
}

int zone_open(const char *name, struct zone **ret, struct errbuf *eb)
{
    int rc = 0;

    if (!is_name(name))
        return errbuf_set(eb, ERR_INVALID,
                          "time zone \"%.*s\" is no name of one: as in "
                          "Europe/Berlin",
                          ZONE_NAME_MAX_LEN, name);
    struct zone *z = mem_new(sizeof(*z));
    (void)snprintf(z->name, sizeof(z->name), "%s", name);
    if (!is_utc(name)) {
        (void)pthread_mutex_lock(&mu);
        rc = make_locked(z, eb);
        (void)pthread_mutex_unlock(&mu);
    }
    if (rc == 0)
        *ret = z;
    else
        free(z);
    return rc;
}

void zone_free(struct zone *z)
{
    if (z == NULL)
        return;
    if (z->tz != NULL)
        glib.unref(z->tz);
    free(z);
}

static int interval(const struct zone *z, int64_t at)
{
    return glib.find_interval(z->tz, UNIVERSAL_TIME, at);
}

int64_t zone_offset(const struct zone *z, int64_t at)
{
    return z->tz == NULL ? 0 : glib.get_offset(z->tz, interval(z, at));
}

const char *zone_abbreviation(const struct zone *z, int64_t at)
{
    return z->tz == NULL ? "UTC"
                         : glib.get_abbreviation(z->tz, interval(z, at));
}

int64_t zone_next_change(const struct zone *z, int64_t at, int64_t limit)
{
    int now;

    if (z->tz == NULL || at >= limit ||
        interval(z, limit) == (now = interval(z, at)))
        return limit;
    /* Intervals are in the order of time. */
    while (limit - at > 1) {
        int64_t middle = at + (limit - at) / 2;
        if (interval(z, middle) == now)
            at = middle;
        else
            limit = middle;
    }
    return limit;
}
