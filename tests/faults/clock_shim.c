/*
 * Clock shim: loaded into a program by LD_PRELOAD, moves its clocks.
 *
 * BELT_CLOCK_FILE is a file of two int64_t: milliseconds by which the wall
 * clock and the boot-time clock are ahead of the machine's. It is mapped, so
 * that a test sets the clocks of a running program by writing two numbers.
 * A relative path is tried until the file is there, since redis-server goes
 * to its directory only after its start. The monotonic clock is left alone:
 * nobody can step it.
 *
 * (NOLINT below: the library's own parameter names are reserved.)
 *
 * Thread: any. The map is made once; a lost race maps it twice.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WALL, BOOT, SHIFTS };

static _Atomic(const volatile int64_t *) shifts;

static int64_t shift_ms(int which)
{
    const volatile int64_t *map = atomic_load(&shifts);
    const char *path = getenv("BELT_CLOCK_FILE");
    if (map == NULL && path != NULL) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return 0;
        void *p =
            mmap(NULL, SHIFTS * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
        (void)close(fd);
        if (p == MAP_FAILED)
            return 0;
        map = p;
        atomic_store(&shifts, map);
    }
    return map != NULL ? map[which] : 0;
}

static void add_ms(struct timespec *ts, int64_t ms)
{
    int64_t ns = ts->tv_nsec + ms % 1000 * 1000000;
    ts->tv_sec += (time_t)(ms / 1000);
    if (ns < 0 || ns >= 1000000000) {
        ts->tv_sec += ns < 0 ? -1 : 1;
        ns += ns < 0 ? 1000000000 : -1000000000;
    }
    ts->tv_nsec = (long)ns;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        add_ms(ts, shift_ms(WALL));
    else if (rc == 0 && id == CLOCK_BOOTTIME)
        add_ms(ts, shift_ms(BOOT));
    return rc;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return -1;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
time_t time(time_t *ret)
{
    struct timespec ts;
    time_t now =
        clock_gettime(CLOCK_REALTIME, &ts) == 0 ? ts.tv_sec : (time_t)-1;
    if (ret != NULL)
        *ret = now;
    return now;
}
