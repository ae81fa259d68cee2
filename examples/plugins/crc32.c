/*
 * crc32: the checksum of a file, as gzip and cksum -a crc32b have it.
 *
 *     cc -shared -fPIC -Icommon/include -o crc32.so examples/plugins/crc32.c
 *     belt-worker -q files --handler "crc32=plugin:$PWD/crc32.so /srv/files"
 *     belt push -q files --wait --raw crc32 '"big.iso"'
 *     {"bytes":4697620480,"crc32":"1c291ca3"}
 *
 * The text behind the path is the directory; the payload is the name of a file
 * in it. A long one tells how far it is, and stops when it is to.
 */
#include <belt/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024, PROGRESS_BLOCKS = 256 };

struct crc32 {
    int dir;
    uint32_t table[256]; /* constant once made: many threads read it */
};

static int init(const struct belt_host *host, const char *args, void **state,
                char *err, size_t err_size)
{
    struct crc32 *c = calloc(1, sizeof(*c));

    (void)host;
    c->dir =
        open(args[0] != '\0' ? args : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir < 0) {
        (void)snprintf(err, err_size, "%s: %s", args, strerror(errno));
        free(c);
        return -1;
    }
    for (uint32_t i = 0; i < 256; i++) {
        c->table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            c->table[i] =
                (c->table[i] >> 1) ^ (0xedb88320u & -(c->table[i] & 1));
    }
    *state = c;
    return 0;
}

static void fini(void *state)
{
    struct crc32 *c = state;

    (void)close(c->dir);
    free(c);
}

/* The payload, a JSON string: a plain name, which needs no escapes. */
static int read_name(const struct belt_run *run, char *name, size_t size)
{
    size_t n = run->payload_size;

    if (n < 3 || n - 2 >= size || run->payload[0] != '"')
        return -1;
    memcpy(name, run->payload + 1, n - 2);
    name[n - 2] = '\0';
    return strpbrk(name, "/\\") == NULL && name[0] != '.' ? 0 : -1;
}

static int sum(struct belt_run *run, const struct crc32 *c, int fd,
               int64_t size)
{
    unsigned char block[BLOCK];
    uint32_t crc = 0xffffffffu;
    int64_t done = 0;
    char text[64];
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            crc = c->table[(crc ^ block[i]) & 0xff] ^ (crc >> 8);
        done += n;
        if (belt_should_stop(run))
            return BELT_RETRY;
        if (done / BLOCK % PROGRESS_BLOCKS == 0 && size >= done)
            (void)belt_progress(run, 100.0 * (double)done / (double)size, NULL);
    }
    if (n < 0)
        return belt_retry(run, "io", "%s", strerror(errno));
    n = snprintf(text, sizeof(text), "{\"bytes\":%lld,\"crc32\":\"%08x\"}",
                 (long long)done, (unsigned)~crc);
    (void)belt_result(run, text, (size_t)n);
    return BELT_DONE;
}

static int run_job(struct belt_run *run, void *state)
{
    const struct crc32 *c = state;
    struct stat st;
    char name[256];

    if (read_name(run, name, sizeof(name)) != 0)
        return belt_dead(run, "input", "the payload is no name of a file");
    int fd = openat(c->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT
                   ? belt_dead(run, "input", "no file %s", name)
                   : belt_retry(run, "io", "%s: %s", name, strerror(errno));
    int verdict = fstat(fd, &st) == 0
                      ? sum(run, c, fd, st.st_size)
                      : belt_retry(run, "io", "%s: %s", name, strerror(errno));
    (void)close(fd);
    return verdict;
}

BELT_PLUGIN("crc32", "1.0", init, run_job, fini)
