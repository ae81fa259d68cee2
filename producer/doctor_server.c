/*
 * Doctor, the server: what Belt needs of Redis, one row each.
 *
 * What may not be asked (CONFIG is often forbidden) is said to be unknown. What
 * docs/RELIABILITY.md needs is wrong where it is missing; what makes it slow or
 * weak is a warning.
 *
 * Thread: that of the client.
 */
#include "producer/doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/redis/keys.h"

enum {
    PINGS = 50,
    SLOW_US = 5000,
    JERK_US = 100 * 1000,
    CLOCK_MS = 1000,
    BUFFER_MIN = 32 * 1024 * 1024
};

/* ---- asking ---- */

/* The value of a line "name:value" of INFO, copied to out; "" if none. */
static const char *info(const struct doctor_answer *a, const char *name,
                        char out[128])
{
    size_t n = strlen(name);
    const char *p = a->text.data;

    out[0] = '\0';
    while (p != NULL && *p != '\0') {
        if (strncmp(p, name, n) == 0 && p[n] == ':') {
            (void)snprintf(out, 128, "%.*s", (int)strcspn(p + n + 1, "\r\n"),
                           p + n + 1);
            break;
        }
        p = strchr(p, '\n');
        p = p != NULL ? p + 1 : NULL;
    }
    return out;
}

static int64_t info_int(const struct doctor_answer *a, const char *name)
{
    char text[128];

    return strtoll(info(a, name, text), NULL, 10);
}

static int ask_info(struct doctor *d, const char *section,
                    struct doctor_answer *ret)
{
    return doctor_ask(d, (const char *[]){"INFO", section, NULL}, ret);
}

/* The value of a directive; "" if it may not be asked. */
static int ask_config(struct doctor *d, const char *name, char out[128])
{
    struct doctor_answer a = {0};
    int status =
        doctor_ask(d, (const char *[]){"CONFIG", "GET", name, NULL}, &a);

    (void)snprintf(out, 128, "%s", a.text.data != NULL ? a.text.data : "");
    doctor_answer_done(&a);
    return status;
}

/* ---- version and kind ---- */

static bool is_older(const char *version, int major, int minor)
{
    char *end;
    long a = strtol(version, &end, 10);
    long b = *end == '.' ? strtol(end + 1, NULL, 10) : 0;

    return a < major || (a == major && b < minor);
}

static int look_at_version(struct doctor *d)
{
    struct doctor_answer a = {0};
    char redis[128], valkey[128], mode[128];
    int status = ask_info(d, "server", &a);

    if (status == 0) {
        (void)info(&a, "redis_version", redis);
        (void)info(&a, "valkey_version", valkey);
        (void)info(&a, "redis_mode", mode);
        if (a.error.len > 0)
            doctor_say(d, DOCTOR_NOTE, "version", NULL,
                       "not known, nor persistence and memory: INFO: %s",
                       a.error.data);
        else if (valkey[0] != '\0')
            doctor_say(d, is_older(valkey, 7, 2) ? DOCTOR_WRONG : DOCTOR_OK,
                       "version", NULL, "Valkey %s; needed is 7.2 or later",
                       valkey);
        else
            doctor_say(d, is_older(redis, 6, 2) ? DOCTOR_WRONG : DOCTOR_OK,
                       "version", NULL, "Redis %s; needed is 6.2 or later",
                       redis);
        if (strcmp(mode, "cluster") == 0)
            doctor_say(d, DOCTOR_NOTE, "cluster", NULL,
                       "a node of a Cluster: queues of other nodes are not "
                       "reached through it");
    }
    doctor_answer_done(&a);
    return status;
}

static int look_at_role(struct doctor *d)
{
    struct doctor_answer a = {0};
    char role[128];
    int status = ask_info(d, "replication", &a);

    if (status == 0 && a.error.len == 0) {
        int64_t replicas = info_int(&a, "connected_slaves");
        if (strcmp(info(&a, "role", role), "master") != 0)
            doctor_say(d, DOCTOR_WRONG, "role", NULL,
                       "a replica, which takes no writes: name the primary");
        else
            doctor_say(d, DOCTOR_OK, "role", NULL,
                       "primary, with %" PRId64 " replica%s", replicas,
                       replicas == 1 ? "" : "s");
    }
    doctor_answer_done(&a);
    return status;
}

/* ---- what it keeps ---- */

static int look_at_persistence(struct doctor *d)
{
    struct doctor_answer a = {0};
    char text[128], fsync[128] = "";
    int status = ask_info(d, "persistence", &a);

    if (status == 0)
        status = ask_config(d, "appendfsync", fsync);
    if (status == 0 && a.error.len == 0) {
        if (info_int(&a, "aof_enabled") == 0)
            doctor_say(d, DOCTOR_WRONG, "persistence", NULL,
                       "appendonly is off: a restart of Redis loses jobs; set "
                       "appendonly yes");
        else if (strcmp(fsync, "no") == 0)
            doctor_say(d, DOCTOR_WARNING, "persistence", NULL,
                       "appendfsync no: a machine that loses power loses half "
                       "a minute; set everysec or always");
        else
            doctor_say(d, DOCTOR_OK, "persistence", NULL,
                       "append-only file, appendfsync %s",
                       fsync[0] != '\0' ? fsync : "unknown");
        if (strcmp(info(&a, "aof_last_write_status", text), "err") == 0)
            doctor_say(d, DOCTOR_WRONG, "persistence", NULL,
                       "the last write of the append-only file failed: is the "
                       "disk full?");
        if (strcmp(info(&a, "rdb_last_bgsave_status", text), "err") == 0)
            doctor_say(d, DOCTOR_WARNING, "persistence", NULL,
                       "the last snapshot failed; with "
                       "stop-writes-on-bgsave-error Redis refuses writes");
        if (strcmp(info(&a, "aof_last_bgrewrite_status", text), "err") == 0)
            doctor_say(d, DOCTOR_WARNING, "persistence", NULL,
                       "the last rewrite of the append-only file failed");
    }
    doctor_answer_done(&a);
    return status;
}

static int look_at_memory(struct doctor *d)
{
    struct doctor_answer a = {0};
    char policy[128], used_text[128], max_text[128];
    int status = ask_info(d, "memory", &a);

    if (status == 0 && a.error.len == 0) {
        int64_t used = info_int(&a, "used_memory");
        int64_t max = info_int(&a, "maxmemory");
        (void)info(&a, "maxmemory_policy", policy);
        (void)info(&a, "used_memory_human", used_text);
        (void)info(&a, "maxmemory_human", max_text);
        if (strcmp(policy, "noeviction") != 0)
            doctor_say(d, max > 0 ? DOCTOR_WRONG : DOCTOR_WARNING, "memory",
                       NULL,
                       "maxmemory-policy %s throws jobs away%s; set "
                       "noeviction",
                       policy, max > 0 ? "" : " once there is a maxmemory");
        else if (max > 0 && used > max / 10 * 9)
            doctor_say(d, DOCTOR_WARNING, "memory", NULL,
                       "%s of %s are used: pushes will be refused", used_text,
                       max_text);
        else if (max > 0)
            doctor_say(d, DOCTOR_OK, "memory", NULL,
                       "noeviction, %s of %s are used", used_text, max_text);
        else
            doctor_say(d, DOCTOR_OK, "memory", NULL,
                       "noeviction, %s are used; no maxmemory: the machine's "
                       "memory is the limit",
                       used_text);
    }
    doctor_answer_done(&a);
    return status;
}

/* ---- connections ---- */

/* "normal 0 0 0 slave …": whether the normal class has a bound that is low. */
static bool has_low_buffer(const char *limits)
{
    const char *normal = strstr(limits, "normal ");
    int64_t hard = normal != NULL ? strtoll(normal + 7, NULL, 10) : 0;

    return hard > 0 && hard < BUFFER_MIN;
}

static int look_at_connections(struct doctor *d)
{
    struct doctor_answer a = {0};
    char max_text[128] = "", timeout[128] = "", limits[128] = "";
    int status = ask_info(d, "clients", &a);

    if (status == 0)
        status = ask_config(d, "maxclients", max_text);
    if (status == 0)
        status = ask_config(d, "timeout", timeout);
    if (status == 0)
        status = ask_config(d, "client-output-buffer-limit", limits);
    if (status == 0 && a.error.len == 0) {
        int64_t now = info_int(&a, "connected_clients");
        int64_t max = strtoll(max_text, NULL, 10);
        if (max > 0 && now > max / 10 * 9)
            doctor_say(d, DOCTOR_WARNING, "connections", NULL,
                       "%" PRId64 " of %" PRId64 ": raise maxclients", now,
                       max);
        else
            doctor_say(d, DOCTOR_OK, "connections", NULL, "%" PRId64 " of %s",
                       now, max > 0 ? max_text : "an unknown number");
        if (has_low_buffer(limits))
            doctor_say(d, DOCTOR_WARNING, "connections", NULL,
                       "client-output-buffer-limit normal is below 32 MiB: "
                       "workers are cut off when they fetch big jobs");
        if (strtoll(timeout, NULL, 10) > 0)
            doctor_say(d, DOCTOR_WARNING, "connections", NULL,
                       "timeout %s closes connections that wait; set 0 and "
                       "let tcp-keepalive find dead ones",
                       timeout);
    }
    doctor_answer_done(&a);
    return status;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int look_at_latency(struct doctor *d)
{
    int64_t us[PINGS];
    int status = 0;

    for (int i = 0; i < PINGS && status == 0; i++) {
        struct doctor_answer a = {0};
        int64_t from = clock_us();
        status = doctor_ask(d, (const char *[]){"PING", NULL}, &a);
        us[i] = clock_us() - from;
        doctor_answer_done(&a);
    }
    if (status != 0)
        return status;
    qsort(us, PINGS, sizeof(us[0]), compare_times);
    int64_t median_us = us[PINGS / 2], longest_us = us[PINGS - 1];
    bool slow = median_us > SLOW_US || longest_us > JERK_US;
    doctor_say(d, slow ? DOCTOR_WARNING : DOCTOR_OK, "latency", NULL,
               "a round trip takes %.2f ms, the longest of %d %.2f ms%s",
               (double)median_us / 1000, PINGS, (double)longest_us / 1000,
               slow ? ": Redis is far away or busy" : "");
    return 0;
}

static int look_at_clock(struct doctor *d)
{
    int64_t redis_ms;
    int status = client_now(d->client, &redis_ms);
    int64_t ahead_ms = redis_ms - clock_wall_ms();
    char text[32];

    if (status != 0)
        return status;
    text_format_duration(ahead_ms < 0 ? -ahead_ms : ahead_ms, text);
    if (ahead_ms > CLOCK_MS || ahead_ms < -CLOCK_MS)
        doctor_say(d, DOCTOR_WARNING, "clock", NULL,
                   "Redis' clock is %s %s this host's; jobs are due by that of "
                   "Redis",
                   text, ahead_ms > 0 ? "ahead of" : "behind");
    else
        doctor_say(d, DOCTOR_OK, "clock", NULL, "as this host's, to a second");
    return 0;
}

/* ---- what may be done ---- */

/*
 * Commands that Belt sends, in a form that does nothing to a key that is not
 * there. KEY stands for such a one.
 */
#define KEY "\1"
static const char *const tries[][8] = {
    {"LLEN", KEY},
    {"LRANGE", KEY, "0", "0"},
    {"LREM", KEY, "1", "x"},
    {"LPOP", KEY},
    {"LMOVE", KEY, KEY, "LEFT", "RIGHT"},
    {"LTRIM", KEY, "0", "0"},
    {"RPUSHX", KEY, "x"},
    {"LPUSHX", KEY, "x"},
    {"ZCARD", KEY},
    {"ZRANGE", KEY, "0", "0"},
    {"ZREM", KEY, "x"},
    {"HGETALL", KEY},
    {"HDEL", KEY, "x"},
    {"SMEMBERS", KEY},
    {"SREM", KEY, "x"},
    {"GET", KEY},
    {"DEL", KEY},
    {"PEXPIRE", KEY, "1000"},
    {"TYPE", KEY},
    {"EVAL", "return 1", "1", KEY},
    {"SCRIPT", "LOAD", "return 1"},
    {"TIME"},
};
/* Without these it does, slower or without bounds in bytes. */
static const char *const better[][8] = {
    {"SORT", KEY, "BY", "nosort", "LIMIT", "0", "1"},
    {"MEMORY", "USAGE", KEY},
};
enum {
    TRIES = sizeof(tries) / sizeof(tries[0]),
    BETTER = sizeof(better) / sizeof(better[0])
};

/* Other errors are of the state that the server is in, which has its rows. */
static bool is_refusal(const struct doctor_answer *a)
{
    return a->error.len > 0 &&
           (strncmp(a->error.data, "NOPERM", 6) == 0 ||
            strncmp(a->error.data, "ERR unknown command", 19) == 0);
}

/* Appends what is refused of n commands, with commas. */
static int try_all(struct doctor *d, const char *const (*all)[8], size_t n,
                   struct buf *refused)
{
    struct keys keys;
    int status = 0;

    keys_init(&keys, d->ns, "belt.doctor");
    for (size_t i = 0; i < n && status == 0; i++) {
        const char *argv[9] = {NULL};
        struct doctor_answer a = {0};
        for (int k = 0; k < 8 && all[i][k] != NULL; k++)
            argv[k] = strcmp(all[i][k], KEY) == 0 ? keys.ready : all[i][k];
        status = doctor_ask(d, argv, &a);
        if (is_refusal(&a))
            buf_printf(refused, "%s%s", refused->len > 0 ? ", " : "", argv[0]);
        doctor_answer_done(&a);
    }
    return status;
}

static int look_at_permissions(struct doctor *d)
{
    struct buf refused = {0}, slower = {0};
    int status = try_all(d, tries, TRIES, &refused);

    if (status == 0)
        status = try_all(d, better, BETTER, &slower);
    if (status == 0) {
        if (refused.len > 0)
            doctor_say(d, DOCTOR_WRONG, "permissions", NULL,
                       "refused, but needed: %s", refused.data);
        else
            doctor_say(d, DOCTOR_OK, "permissions", NULL,
                       "all that Belt needs of this namespace");
        if (slower.len > 0)
            doctor_say(d, DOCTOR_NOTE, "permissions", NULL,
                       "refused: %s; without SORT long queues are fetched more "
                       "slowly, without MEMORY a queue has no max-bytes",
                       slower.data);
    }
    buf_done(&refused);
    buf_done(&slower);
    return status;
}

int doctor_server(struct doctor *d)
{
    static int (*const looks[])(struct doctor *) = {
        look_at_version, look_at_role,        look_at_persistence,
        look_at_memory,  look_at_connections, look_at_permissions,
        look_at_latency, look_at_clock};
    int status = 0;

    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]) && status == 0; i++)
        status = looks[i](d);
    return status;
}
