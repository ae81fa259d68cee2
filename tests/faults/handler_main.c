/*
 * battle_handler RECORD STORE: the handler of battles, which does harm as its
 * payload says and books what it did.
 *
 * A payload begins {"n":SERIAL or {"n":SERIAL,"do":"WHAT"; more may follow, of
 * any size. A run is written to RECORD before anything can go wrong, its token
 * is made known to STORE, then it does WHAT, then the job takes effect in
 * STORE, then the end is written. WHAT is
 *
 *   ok            nothing; the default
 *   sleep:MS      takes so long
 *   fail:K        exit 1 on the first K attempts
 *   temp          exit 75 on the first attempt
 *   dead          exit 65: can never work
 *   discard       exit 99
 *   crash:K       dies by a signal on the first K attempts: SIGSEGV and
 *                 SIGKILL by turns; before the effect if SERIAL is even;
 *                 after it, and so only once, if odd
 *   killworker:K  kills its worker, until the job was recovered K times
 *   flood:MIB     writes so much to stdout and to stderr
 *   deaf:MS       ignores TERM for so long, on the first attempt
 *   fork          leaves two processes that hold its stdout: one in its group
 *                 for a minute, one in a session of its own for ten seconds;
 *                 both end when RECORD is removed
 *   close         closes stdin without having read all of a long payload,
 *                 stdout and stderr, and goes on for 20 ms
 *   leak          ends with 500 descriptors more and 50 MiB in use
 *   snooze:MS     asks on its first run to be run again after so long
 *   delay:MS      exit 1 on the first attempt, and asks for that delay
 *
 * Jobs that fail take no effect. Exit codes apart from those: 0 also if the
 * effect was there before; 75 for a stale delivery, which has done nothing,
 * and must not be taken as done should its settle be accepted all the same;
 * 75 if the store fails; 65 for another payload; 1 if the record cannot be
 * written; 64 if it was not started so.
 *
 * Thread: one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "tests/faults/record.h"
#include "tests/faults/store.h"

enum {
    HEAD = 256,           /* bytes of a payload that are looked at */
    GROUP_MS = 60 * 1000, /* until it is killed, which it has to be */
    ESCAPED_MS = 10 * 1000,
    CLOSED_MS = 20,
    CONTROL_FD = 3,
    BLOCK = 64 * 1024,
    MIB = 1024 * 1024,
    LEAK_FDS = 500, /* leaves some of the usual 1024 for the end */
    LEAK_BYTES = 50 * MIB
};

enum {
    EXIT_DONE = 0,
    EXIT_FAIL = 1,
    EXIT_USAGE = 64,
    EXIT_DEAD = 65,
    EXIT_TEMPORARY = 75,
    EXIT_DISCARD = 99,
    EXIT_SNOOZE = 256 /* 0, but without an effect */
};

struct handler {
    const char *record;
    struct run run;
    char what[32];
    uint64_t arg; /* the number behind the colon, 0 if there is none */
};

/* ---- what it was told ---- */

/* A number of the environment; dflt if it is not there. */
static uint64_t env_number(const char *name, int64_t dflt)
{
    const char *value = getenv(name);
    struct errbuf eb = {0};
    int64_t n = dflt;

    if (value != NULL &&
        text_parse_int(value, 0, INT64_MAX, name, &n, &eb) < 0) {
        (void)fprintf(stderr, "battle_handler: %s\n", eb.text);
        exit(EXIT_USAGE);
    }
    return (uint64_t)n;
}

static void read_env(struct handler *h)
{
    const char *id = getenv("BELT_JOB_ID");

    if (id == NULL || !text_is_id(id, strlen(id)) ||
        getenv("BELT_ATTEMPT") == NULL) {
        (void)fputs("battle_handler: started by belt-worker only\n", stderr);
        exit(EXIT_USAGE);
    }
    (void)snprintf(h->run.id, sizeof(h->run.id), "%s", id);
    h->run.attempt = (unsigned)env_number("BELT_ATTEMPT", 0);
    h->run.recovered = (unsigned)env_number("BELT_RECOVERED", 0);
    h->run.fence = env_number("BELT_FENCE", 0);
    h->run.pid = (int)getpid();
}

/* Reads at most size bytes, less only at the end of the payload. */
static size_t read_stdin(char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len < size) {
        n = read(STDIN_FILENO, out + len, size - len);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        if (n > 0)
            len += (size_t)n;
    }
    return len;
}

/* Takes the word if it stands there. */
static bool take(const char **at, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

static bool take_number(const char **at, uint64_t *ret_n)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret_n = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

static bool take_what(struct handler *h, const char **at)
{
    size_t n = strspn(*at, "abcdefghijklmnopqrstuvwxyz");

    if (n == 0 || n >= sizeof(h->what))
        return false;
    memcpy(h->what, *at, n);
    h->what[n] = '\0';
    *at += n;
    if (take(at, ":") && !take_number(at, &h->arg))
        return false;
    return take(at, "\"");
}

/* Reads the beginning of the payload. Returns false if it is another. */
static bool read_head(struct handler *h)
{
    char head[HEAD + 1];
    const char *at = head;

    head[read_stdin(head, HEAD)] = '\0';
    (void)snprintf(h->what, sizeof(h->what), "ok");
    if (!take(&at, "{\"n\":") || !take_number(&at, &h->run.serial))
        return false;
    if (take(&at, ",\"do\":\"") && !take_what(h, &at))
        return false;
    return *at == ',' || *at == '}';
}

static void read_rest(void)
{
    static char block[BLOCK];

    while (read_stdin(block, sizeof(block)) == sizeof(block))
        continue;
}

/* ---- harm ---- */

static void pause_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

static int do_nothing(struct handler *h)
{
    (void)h;
    return EXIT_DONE;
}

static int do_sleep(struct handler *h)
{
    pause_ms(h->arg);
    return EXIT_DONE;
}

static int do_fail(struct handler *h)
{
    return h->run.attempt <= h->arg ? EXIT_FAIL : EXIT_DONE;
}

static int do_temp(struct handler *h)
{
    return h->run.attempt == 1 ? EXIT_TEMPORARY : EXIT_DONE;
}

static int do_dead(struct handler *h)
{
    (void)h;
    return EXIT_DEAD;
}

static int do_discard(struct handler *h)
{
    (void)h;
    return EXIT_DISCARD;
}

static int do_crash(struct handler *h)
{
    const struct rlimit none = {0, 0};
    int sig = h->run.attempt % 2 == 1 ? SIGSEGV : SIGKILL;

    if (h->run.attempt > h->arg)
        return EXIT_DONE;
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would exit instead */
    (void)raise(sig);
    return EXIT_FAIL;
}

/* Stays that long, but not longer than the battle. */
__attribute__((noreturn)) static void linger(const char *record, int64_t ms)
{
    int64_t until_ms = clock_ms() + ms;

    while (clock_ms() < until_ms && access(record, F_OK) == 0)
        pause_ms(50);
    _exit(0);
}

/* Once it is gone we have another parent, which must not be hurt. */
static bool parent_is_worker(pid_t parent)
{
    char path[64], name[32] = "";

    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)parent);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool is = fgets(name, sizeof(name), f) != NULL &&
              strcmp(name, "belt-worker\n") == 0;
    (void)fclose(f);
    return is;
}

/* The worker's end is ours: by its guard, or by our death signal. */
static int do_killworker(struct handler *h)
{
    pid_t parent = getppid();

    if (h->run.recovered >= h->arg)
        return EXIT_DONE;
    if (!parent_is_worker(parent)) {
        (void)fputs("battle_handler: no worker to kill\n", stderr);
        return EXIT_FAIL;
    }
    (void)kill(parent, SIGKILL);
    linger(h->record, GROUP_MS);
}

static void write_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static int do_flood(struct handler *h)
{
    static char block[BLOCK];

    memset(block, 'x', sizeof(block));
    for (size_t i = 99; i < sizeof(block); i += 100)
        block[i] = '\n';
    for (uint64_t i = 0; i < h->arg * (MIB / BLOCK); i++) {
        write_all(STDOUT_FILENO, block, sizeof(block));
        write_all(STDERR_FILENO, block, sizeof(block));
    }
    return EXIT_DONE;
}

static int do_deaf(struct handler *h)
{
    if (h->run.attempt > 1)
        return EXIT_DONE;
    (void)signal(SIGTERM, SIG_IGN);
    pause_ms(h->arg);
    return EXIT_DONE;
}

/* Each by way of a child that ends, so that init is their parent. */
static int do_fork(struct handler *h)
{
    static const int64_t stay_ms[] = {GROUP_MS, ESCAPED_MS};

    for (unsigned i = 0; i < 2; i++) {
        pid_t child = fork();

        if (child < 0)
            return EXIT_TEMPORARY;
        if (child > 0)
            continue;
        if (i == 1)
            (void)setsid();
        if (fork() == 0)
            linger(h->record, stay_ms[i]);
        _exit(0);
    }
    return EXIT_DONE;
}

static void close_all(void)
{
    for (int fd = 0; fd < 3; fd++)
        (void)close(fd);
}

static int do_close(struct handler *h)
{
    (void)h;
    pause_ms(CLOSED_MS);
    return EXIT_DONE;
}

static int do_leak(struct handler *h)
{
    static char *volatile leak;

    (void)h;
    for (unsigned i = 0; i < LEAK_FDS; i++)
        (void)open("/dev/null", O_RDONLY);
    leak = malloc(LEAK_BYTES);
    if (leak != NULL)
        memset(leak, 1, LEAK_BYTES);
    return EXIT_DONE;
}

/* A line to the worker, on its control channel. */
static void ask(const char *op, uint64_t ms)
{
    char line[100];
    int n = snprintf(line, sizeof(line), "{\"op\":\"%s\",\"after\":%llu}\n", op,
                     (unsigned long long)ms);

    write_all(CONTROL_FD, line, (size_t)n);
}

/* Which run is the first a file knows: no attempt is counted. */
static int do_snooze(struct handler *h)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s-%s", h->record, h->run.id);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return EXIT_DONE;
    (void)close(fd);
    ask("snooze", h->arg);
    return EXIT_SNOOZE;
}

static int do_delay(struct handler *h)
{
    if (h->run.attempt > 1)
        return EXIT_DONE;
    ask("retry", h->arg);
    return EXIT_FAIL;
}

/* ---- a run ---- */

typedef int (*harm_fn)(struct handler *h);

static const struct harm {
    const char *what;
    harm_fn fn;
    bool either_way; /* after the effect, for an odd serial */
} harms[] = {
    {"ok", do_nothing, false},  {"sleep", do_sleep, false},
    {"fail", do_fail, false},   {"temp", do_temp, false},
    {"dead", do_dead, false},   {"discard", do_discard, false},
    {"crash", do_crash, true},  {"killworker", do_killworker, false},
    {"flood", do_flood, false}, {"deaf", do_deaf, false},
    {"fork", do_fork, false},   {"close", do_close, false},
    {"leak", do_leak, false},   {"snooze", do_snooze, false},
    {"delay", do_delay, false},
};

static const struct harm *find_harm(const char *what)
{
    for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
        if (strcmp(harms[i].what, what) == 0)
            return &harms[i];
    }
    return NULL;
}

/* What a delivery does, between its token made known and its end. */
static int run_begun(struct handler *h, const struct harm *harm,
                     struct store *s)
{
    bool after = harm->either_way && h->run.serial % 2 == 1;
    int code = after ? EXIT_DONE : harm->fn(h);

    if (code != EXIT_DONE)
        return code;
    switch (store_commit(s, h->run.id, h->run.serial, h->run.fence,
                         (int64_t)(1 + h->run.serial % 1000))) {
    case STORE_OK:
        return after ? harm->fn(h) : EXIT_DONE;
    case STORE_ALREADY:
        return EXIT_DONE;
    default:
        return EXIT_TEMPORARY;
    }
}

static int run(struct handler *h, const struct harm *harm, const char *path)
{
    struct store *s = store_open(path);
    int code = EXIT_TEMPORARY;

    if (s == NULL)
        return code;
    switch (store_begin(s, h->run.id, h->run.fence)) {
    case STORE_OK:
        code = run_begun(h, harm, s);
        break;
    case STORE_ALREADY:
        code = EXIT_DONE;
        break;
    default:
        break;
    }
    store_close(s);
    return code;
}

int main(int argc, char **argv)
{
    struct handler h = {0};
    const struct harm *harm = NULL;

    if (argc != 3) {
        (void)fputs("usage: battle_handler RECORD STORE\n", stderr);
        return EXIT_USAGE;
    }
    h.record = argv[1];
    read_env(&h);
    if (read_head(&h))
        harm = find_harm(h.what);
    h.run.started_at_ms = clock_boot_ms();
    record_start(h.record, &h.run);
    if (harm == NULL) {
        (void)fputs("battle_handler: no payload of a battle\n", stderr);
        h.run.exit = EXIT_DEAD;
    } else {
        if (harm->fn == do_close)
            close_all();
        else
            read_rest();
        h.run.exit = run(&h, harm, argv[2]) % EXIT_SNOOZE;
    }
    h.run.ended_at_ms = clock_boot_ms();
    record_end(h.record, &h.run);
    return h.run.exit;
}
