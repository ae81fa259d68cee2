/*
 * Isolation: what the keys of a handler ask for its processes.
 *
 * All that can be wrong with the keys alone is found here, when the
 * configuration is read: a user that is not known, a variable
 * that may not be passed, a limit that the worker itself does not have. What
 * only the run can tell (a directory that is not there) puts the job off.
 *
 * Thread: one at a time, which reads the configuration; constant afterwards.
 */
#include "worker/isolation.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/handler_priv.h"

enum { GROUPS_MAX = 65536 }; /* NGROUPS_MAX of Linux */

static bool asks_for_any(const struct handler_keys *k)
{
    return k->env != NULL || k->pass_env != NULL || k->dir != NULL ||
           k->user != NULL || k->private_tmp || k->nice != 0 ||
           k->max_memory != 0 || k->max_files != 0 || k->max_cpu_ms != 0 ||
           k->cgroup != NULL || k->cgroup_memory != 0 || k->cgroup_cpu != 0 ||
           k->cgroup_pids != 0;
}

/* ---- the environment ---- */

static bool has_name(const char *entry, const char *name, size_t n)
{
    return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

/* Takes entry, "NAME=value", in place of one of that name. */
static void env_put(char ***env, char *entry)
{
    size_t name = strcspn(entry, "="), n = 0;

    for (; (*env)[n] != NULL; n++) {
        if (!has_name((*env)[n], entry, name))
            continue;
        free((*env)[n]);
        (*env)[n] = entry;
        return;
    }
    *env = mem_resize(*env, (n + 2) * sizeof(char *));
    (*env)[n] = entry;
    (*env)[n + 1] = NULL;
}

static void env_set(char ***env, const char *name, const char *value)
{
    env_put(env, mem_printf("%s=%s", name, value));
}

static bool is_variable(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = name[i];

        if (c != '_' && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
            !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return n > 0;
}

static bool is_one_of(const char *name, size_t n, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strlen(*names) == n && strncmp(*names, name, n) == 0)
            return true;
    return false;
}

/* What both keys refuse: the worker says it, or it is no name. */
static int check_name(const char *name, size_t n, struct errbuf *eb)
{
    static const char *const ours[] = {"TRACEPARENT", NULL};
    static const char *const may[] = {"BELT_REDIS_URL", NULL};

    if (!is_variable(name, n))
        return errbuf_set(eb, ERR_INVALID, "%.*s: not the name of a variable",
                          (int)n, name);
    if (is_one_of(name, n, ours) ||
        (n >= 5 && strncmp(name, "BELT_", 5) == 0 && !is_one_of(name, n, may)))
        return errbuf_set(eb, ERR_INVALID, "%.*s is set by the worker", (int)n,
                          name);
    return 0;
}

static int pass_one(char ***env, const char *name, size_t n, struct errbuf *eb)
{
    static const char *const secret[] = {"BELT_REDIS_URL", "REDIS_URL",
                                         "REDISCLI_AUTH", NULL};
    int rc = check_name(name, n, eb);

    if (rc == 0 && is_one_of(name, n, secret))
        rc = errbuf_set(eb, ERR_INVALID,
                        "%.*s is what the worker knows of Redis, and is not "
                        "passed on",
                        (int)n, name);
    for (char **e = environ; rc == 0 && e != NULL && *e != NULL; e++)
        if (has_name(*e, name, n))
            env_put(env, mem_strdup(*e));
    return rc;
}

static int pass_env(struct isolation *iso, const char *names, struct errbuf *eb)
{
    int rc = 0;

    for (names += strspn(names, " \t"); *names != '\0' && rc == 0;) {
        size_t n = strcspn(names, " \t");

        rc = pass_one(&iso->env, names, n, eb);
        names += n;
        names += strspn(names, " \t");
    }
    return rc;
}

static int set_env(struct isolation *iso, char *const *list, struct errbuf *eb)
{
    for (; *list != NULL; list++) {
        size_t n = strcspn(*list, "=");
        int rc;

        if ((*list)[n] == '\0')
            return errbuf_set(eb, ERR_INVALID, "%s: expected NAME=value",
                              *list);
        rc = check_name(*list, n, eb);
        if (rc != 0)
            return rc;
        if (has_name(*list, "TMPDIR", 6))
            iso->says_tmpdir = true;
        env_put(&iso->env, mem_strdup(*list));
    }
    return 0;
}

/* ---- the user ---- */

static bool is_number(const char *text, unsigned *ret)
{
    int64_t n;

    if (text_parse_int(text, 0, UINT32_MAX - 1, "id", &n, NULL) != 0)
        return false;
    *ret = (unsigned)n;
    return true;
}

/* Returns NULL if there is no such user, the reason in eb. */
static const struct passwd *find_user(const char *name, struct errbuf *eb)
{
    const struct passwd *pw;
    unsigned id;

    errno = 0;
    pw = getpwnam(name);
    if (pw == NULL && is_number(name, &id))
        pw = getpwuid((uid_t)id);
    if (pw == NULL)
        errbuf_set(eb, ERR_INVALID, "no such user: %s%s%s", name,
                   errno > 0 && errno != ENOENT && errno != ESRCH ? ": " : "",
                   errno > 0 && errno != ENOENT && errno != ESRCH
                       ? strerror(errno)
                       : "");
    return pw;
}

static int find_group(const char *name, gid_t *ret, struct errbuf *eb)
{
    const struct group *gr = getgrnam(name);
    unsigned id;

    if (gr == NULL && !is_number(name, &id))
        return errbuf_set(eb, ERR_INVALID, "no such group: %s", name);
    *ret = gr != NULL ? gr->gr_gid : (gid_t)id;
    return 0;
}

static int find_groups(struct isolation *iso, const char *user,
                       struct errbuf *eb)
{
    int n = 16;

    for (;;) {
        iso->groups = mem_resize(iso->groups, (size_t)n * sizeof(gid_t));
        if (getgrouplist(user, iso->setup.gid, iso->groups, &n) >= 0)
            break;
        if (n > GROUPS_MAX)
            return errbuf_set(eb, ERR_INVALID, "%s is in too many groups",
                              user);
    }
    iso->setup.groups = iso->groups;
    iso->setup.group_count = (size_t)n;
    return 0;
}

/*
 * A user with a name has the groups and the home that the system knows of. A
 * number alone will do where nobody has a name, in a container, but then its
 * group must be said.
 */
static int set_user(struct isolation *iso, const char *user, const char *group,
                    struct errbuf *eb)
{
    const struct passwd *pw = find_user(user, eb);
    struct spawn_setup *u = &iso->setup;
    unsigned id;
    int rc = 0;

    if (geteuid() != 0)
        return errbuf_set(eb, ERR_INVALID,
                          "only a worker of root can run handlers as %s", user);
    if (pw == NULL && (group == NULL || !is_number(user, &id)))
        return ERR_INVALID;
    u->has_user = true;
    u->uid = pw != NULL ? pw->pw_uid : (uid_t)id;
    if (pw != NULL)
        u->gid = pw->pw_gid;
    if (group != NULL)
        rc = find_group(group, &u->gid, eb);
    if (rc != 0 || pw == NULL)
        return rc;
    env_set(&iso->env, "HOME", pw->pw_dir);
    env_set(&iso->env, "USER", pw->pw_name);
    env_set(&iso->env, "LOGNAME", pw->pw_name);
    return find_groups(iso, pw->pw_name, eb);
}

static int set_user_key(struct isolation *iso, const char *value,
                        struct errbuf *eb)
{
    size_t n = strcspn(value, ":");
    char *user = mem_dup(value, n);
    int rc = set_user(iso, user, value[n] == ':' ? value + n + 1 : NULL, eb);

    free(user);
    return rc;
}

/* ---- limits ---- */

static int set_nice(struct isolation *iso, int64_t nice, struct errbuf *eb)
{
    int ours;

    errno = 0;
    ours = getpriority(PRIO_PROCESS, 0);
    if (errno == 0 && nice < ours && geteuid() != 0)
        return errbuf_set(eb, ERR_INVALID,
                          "the worker itself has %d, and may not go below it",
                          ours);
    iso->setup.has_nice = true;
    iso->setup.nice = (int)nice;
    return 0;
}

/* name is the key; 0 is no limit. The hard one is behind the soft one. */
static int set_limit(struct isolation *iso, const char *name, int resource,
                     int64_t soft, int64_t behind, struct errbuf *eb)
{
    struct spawn_limit *l = &iso->setup.limits[iso->setup.limit_count];
    struct rlimit64 ours;

    if (soft == 0)
        return 0;
    *l = (struct spawn_limit){
        .name = name,
        .resource = resource,
        .to = {(uint64_t)soft, (uint64_t)soft + (uint64_t)behind}};
    /* Root may raise it, unless it is a root with less rights: the run tells.
     */
    if (getrlimit64((__rlimit_resource_t)resource, &ours) == 0 &&
        geteuid() != 0) {
        if (l->to.rlim_cur > ours.rlim_max)
            return errbuf_set(eb, ERR_INVALID,
                              "the worker itself may have no more than %llu",
                              (unsigned long long)ours.rlim_max);
        if (l->to.rlim_max > ours.rlim_max)
            l->to.rlim_max = ours.rlim_max;
    }
    iso->setup.limit_count++;
    return 0;
}

/* ---- all of it ---- */

static int set_cgroup(struct isolation *iso, const struct handler_keys *k,
                      struct errbuf *eb)
{
    if (k->cgroup != NULL && k->cgroup[0] != '/')
        return errbuf_set(eb, ERR_INVALID, "%s: not an absolute path",
                          k->cgroup);
    iso->cgroup = k->cgroup;
    iso->cgroup_memory = k->cgroup_memory;
    iso->cgroup_cpu = k->cgroup_cpu;
    iso->cgroup_pids = k->cgroup_pids;
    return 0;
}

static int needs_cgroup(struct handler_keys *k, const char *name, int64_t value,
                        struct errbuf *eb)
{
    if (value == 0 || k->cgroup != NULL)
        return 0;
    return handler_keys_wrong(k, name,
                              errbuf_set(eb, ERR_INVALID,
                                         "without the key cgroup there is none "
                                         "to be limited"),
                              eb);
}

static int set_places(struct isolation *iso, struct handler_keys *k,
                      struct errbuf *eb)
{
    const char *root = getenv("TMPDIR");
    int rc = set_cgroup(iso, k, eb);

    if (rc != 0)
        return handler_keys_wrong(k, "cgroup", rc, eb);
    if ((rc = needs_cgroup(k, "cgroup-memory", k->cgroup_memory, eb)) != 0 ||
        (rc = needs_cgroup(k, "cgroup-cpu", k->cgroup_cpu, eb)) != 0 ||
        (rc = needs_cgroup(k, "cgroup-pids", k->cgroup_pids, eb)) != 0)
        return rc;
    iso->dir = k->dir;
    iso->private_tmp = k->private_tmp;
    iso->tmp_root = mem_strdup(root != NULL && root[0] == '/' ? root : "/tmp");
    return 0;
}

static int set_who_and_limits(struct isolation *iso, struct handler_keys *k,
                              struct errbuf *eb)
{
    int64_t cpu_s = (k->max_cpu_ms + 999) / 1000;
    int rc = 0;

    if (k->user != NULL && (rc = set_user_key(iso, k->user, eb)) != 0)
        return handler_keys_wrong(k, "user", rc, eb);
    if (k->nice != 0 && (rc = set_nice(iso, k->nice, eb)) != 0)
        return handler_keys_wrong(k, "nice", rc, eb);
    rc = set_limit(iso, "max-memory", RLIMIT_AS, k->max_memory, 0, eb);
    if (rc != 0)
        return handler_keys_wrong(k, "max-memory", rc, eb);
    rc = set_limit(iso, "max-files", RLIMIT_NOFILE, k->max_files, 0, eb);
    if (rc != 0)
        return handler_keys_wrong(k, "max-files", rc, eb);
    /* XCPU at the first, which may be caught; KILL at the other. */
    rc = set_limit(iso, "max-cpu", RLIMIT_CPU, cpu_s, 1, eb);
    if (rc != 0)
        return handler_keys_wrong(k, "max-cpu", rc, eb);
    return 0;
}

/* After the user, whose variables it may replace. */
static int set_environment(struct isolation *iso, struct handler_keys *k,
                           struct errbuf *eb)
{
    int rc = 0;

    if (k->pass_env != NULL && (rc = pass_env(iso, k->pass_env, eb)) != 0)
        return handler_keys_wrong(k, "pass-env", rc, eb);
    if (k->env != NULL && (rc = set_env(iso, k->env, eb)) != 0)
        return handler_keys_wrong(k, "env", rc, eb);
    return 0;
}

int isolation_new(struct handler_keys *keys, char *const *carry,
                  struct isolation **ret, struct errbuf *eb)
{
    struct isolation *iso;
    int rc;

    if (!asks_for_any(keys))
        return 0;
    iso = mem_new(sizeof(*iso));
    iso->setup.cgroup_procs = -1;
    iso->env = mem_new(sizeof(char *));
    for (; *carry != NULL; carry++)
        env_put(&iso->env, mem_strdup(*carry));
    if ((rc = set_places(iso, keys, eb)) != 0 ||
        (rc = set_who_and_limits(iso, keys, eb)) != 0 ||
        (rc = set_environment(iso, keys, eb)) != 0) {
        isolation_free(iso);
        return rc;
    }
    *ret = iso;
    return 0;
}

void isolation_free(struct isolation *iso)
{
    if (iso == NULL)
        return;
    free(iso->groups);
    argv_free(iso->env);
    free(iso->tmp_root);
    free(iso);
}

char *const *isolation_env(const struct isolation *iso)
{
    return iso->env;
}
