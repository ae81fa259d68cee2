/*
 * Pushes a job, waits until it has ended, and prints its result: what
 *
 *     belt push TYPE JSON --keep 10m --wait --raw
 *
 * does, as a program of one's own.
 *
 *     cc -o client client.c $(pkg-config --cflags --libs belt)
 *     ./client TYPE [JSON]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belt/belt.h>

enum { PATIENCE_MS = 60 * 1000 };

static void complain(const struct belt_error *error)
{
    fprintf(stderr, "client: %s (%s)\n", error->text,
            belt_err_text(error->code));
}

/* Returns 0 with the name of the job, or an error that was told. */
static int push(struct belt_client *belt, const char *type, const char *json,
                struct belt_pushed *ret)
{
    struct belt_job *job = belt_job_new(type);
    struct belt_error error;
    int rc = belt_job_set_payload(job, json, strlen(json), &error);

    if (rc == 0)
        rc = belt_job_set(job, "keep", "10m", &error);
    if (rc == 0)
        rc = belt_client_push(belt, job, ret, &error);
    if (rc != 0)
        complain(&error);
    belt_job_free(job);
    return rc;
}

/* Returns the exit status: 0 if the job is done. */
static int print_end(const struct belt_status *status)
{
    size_t size = 0;
    const char *result = belt_status_get(status, "result", &size);
    const char *why = belt_status_get(status, "error_text", NULL);

    if (strcmp(belt_status_state(status), "done") == 0) {
        fwrite(result ? result : "", 1, size, stdout);
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "client: %s is %s: %s\n", belt_status_job(status),
            belt_status_state(status), why ? why : "no reason is kept");
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct belt_error error;
    struct belt_pushed pushed;
    int status = EXIT_FAILURE;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s TYPE [JSON]\n", argv[0]);
        return 64;
    }
    struct belt_client *belt = belt_client_open(NULL, &error);
    if (!belt) {
        complain(&error);
        return EXIT_FAILURE;
    }
    if (push(belt, argv[1], argc > 2 ? argv[2] : "null", &pushed) == 0) {
        struct belt_status *end =
            belt_client_wait(belt, pushed.job, PATIENCE_MS, &error);
        if (end)
            status = print_end(end);
        else
            complain(&error);
        belt_status_free(end);
    }
    belt_client_close(belt);
    return status;
}
