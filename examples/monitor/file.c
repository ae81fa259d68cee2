/*
 * Files: first on the disk, then under their name, then the name on the disk.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    FILE *stream;
    char *dir, *path, *temporary;
};

static void free_file(struct file *f)
{
    int saved = errno;

    free(f->dir);
    free(f->path);
    free(f->temporary);
    free(f);
    errno = saved;
}

struct file *file_new(const char *dir, const char *name)
{
    struct file *f = calloc(1, sizeof(*f));
    int fd = -1;

    if (f == NULL)
        return NULL;
    if (asprintf(&f->dir, "%s", dir) < 0)
        f->dir = NULL;
    if (asprintf(&f->path, "%s/%s", dir, name) < 0)
        f->path = NULL;
    if (asprintf(&f->temporary, "%s/.%s.XXXXXX", dir, name) < 0)
        f->temporary = NULL;
    if (f->dir != NULL && f->path != NULL && f->temporary != NULL)
        fd = mkostemp(f->temporary, O_CLOEXEC);
    if (fd >= 0 && fchmod(fd, 0644) == 0)
        f->stream = fdopen(fd, "w");
    if (f->stream != NULL)
        return f;
    if (fd >= 0) {
        (void)unlink(f->temporary);
        (void)close(fd);
    }
    free_file(f);
    return NULL;
}

FILE *file_stream(struct file *f)
{
    return f->stream;
}

static int sync_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int file_keep(struct file *f)
{
    int rc = fflush(f->stream);

    if (rc == 0)
        rc = ferror(f->stream) != 0 ? -1 : fsync(fileno(f->stream));
    if (rc == 0)
        rc = rename(f->temporary, f->path);
    if (rc != 0) {
        file_drop(f);
        return -1;
    }
    (void)fclose(f->stream); /* all of it is on the disk */
    rc = sync_directory(f->dir);
    free_file(f);
    return rc;
}

void file_drop(struct file *f)
{
    int saved = errno;

    (void)fclose(f->stream);
    (void)unlink(f->temporary);
    errno = saved;
    free_file(f);
}
