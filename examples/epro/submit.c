/*
 * Submit: one thread for each connection, each taking the next request.
 *
 * With a rate, a request has a time at which it is due, and its latency counts
 * from there: if the server is slow, those that had to wait are slow too.
 */
#include "submit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "http.h"

enum { US_PER_S = 1000000, STATUS_MAX = 600 };
enum { PAUSE_US = US_PER_S / 10 };

struct item {
    char *report, *key, *body; /* in the text of the file */
    struct http_answer answer; /* status 0: none came */
    int64_t due_us, answered_us;
    unsigned tries;
};

struct plan {
    const struct submit *s;
    char *text; /* of the whole file */
    struct item *items;
    size_t count;
    atomic_size_t next;
    atomic_bool gone; /* one had no answer in time: the others need not try */
    int64_t begin_us;
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

static void wait_until_us(int64_t at_us)
{
    const struct timespec t = {at_us / US_PER_S, at_us % US_PER_S * 1000};

    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* What is said about now may be otherwise in a moment. */
static bool is_for_now(int status)
{
    return status == 429 || status >= 500;
}

static void send_item(struct plan *p, struct http *h, size_t n)
{
    struct item *item = &p->items[n];
    unsigned rate = p->s->rate;

    item->due_us = now_us();
    if (rate > 0) {
        item->due_us = p->begin_us + (int64_t)n * US_PER_S / rate;
        wait_until_us(item->due_us);
    }
    int64_t until = now_us() + (int64_t)p->s->patience_s * US_PER_S;
    for (;;) {
        struct http_answer a = {0};
        item->tries++;
        int rc = http_post(h, p->s->path, item->key, item->body, &a);
        item->answered_us = now_us();
        item->answer = a;
        if (rc == 0 && !is_for_now(a.status))
            return;
        if (item->answered_us > until)
            atomic_store(&p->gone, true);
        if (atomic_load(&p->gone))
            return;
        int64_t pause_us = (int64_t)a.retry_after_s * US_PER_S;
        wait_until_us(item->answered_us + (pause_us > 0 ? pause_us : PAUSE_US));
    }
}

static void *work(void *arg)
{
    struct plan *p = arg;
    struct http h;

    http_init(&h, p->s->host, p->s->port);
    for (size_t n; (n = atomic_fetch_add(&p->next, 1)) < p->count &&
                   !atomic_load(&p->gone);)
        send_item(p, &h, n);
    http_close(&h);
    return NULL;
}

/* ---- files ---- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t room = 0;

    if (f == NULL)
        return NULL;
    bool read = getdelim(&text, &room, '\0', f) >= 0;
    bool empty = !read && feof(f);
    (void)fclose(f);
    if (read)
        return text;
    free(text);
    return empty ? strdup("") : NULL;
}

/* Report, key and body of each line. Returns 0, or the line that is wrong. */
static size_t read_items(struct plan *p)
{
    size_t room = 0;
    char *line = p->text;

    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        char *key = strchr(line, '\t');
        char *body = key != NULL ? strchr(key + 1, '\t') : NULL;
        if (body == NULL)
            return p->count + 1;
        *key++ = '\0';
        *body++ = '\0';
        if (p->count == room) {
            room = room > 0 ? 2 * room : 1024;
            struct item *more = realloc(p->items, room * sizeof(*more));
            if (more == NULL)
                return p->count + 1;
            p->items = more;
        }
        p->items[p->count++] =
            (struct item){.report = line, .key = key, .body = body};
    }
    return 0;
}

static const char *job_of(const struct item *item)
{
    const char *slash = strrchr(item->answer.location, '/');

    return slash != NULL ? slash + 1 : "-";
}

static bool write_items(const struct plan *p)
{
    FILE *f = fopen(p->s->out, "we");

    if (f == NULL)
        return false;
    for (size_t i = 0; i < p->count; i++) {
        const struct item *item = &p->items[i];
        (void)fprintf(f, "%s\t%d\t%lld\t%lld\t%s\n", item->report,
                      item->answer.status, (long long)item->due_us,
                      (long long)item->answered_us, job_of(item));
    }
    bool good = ferror(f) == 0;
    return fclose(f) == 0 && good;
}

/* ---- all of it ---- */

static void tell(const struct plan *p)
{
    unsigned by_status[STATUS_MAX] = {0}, again = 0;
    int64_t end_us = p->begin_us + 1;

    for (size_t i = 0; i < p->count; i++) {
        const struct item *item = &p->items[i];
        int status = item->answer.status;
        by_status[status > 0 && status < STATUS_MAX ? status : 0]++;
        again += item->tries > 0 ? item->tries - 1 : 0;
        if (item->answered_us > end_us)
            end_us = item->answered_us;
    }
    int64_t took_ms = (end_us - p->begin_us + 999) / 1000;
    printf("%zu requests over %u connections in %lld ms, %lld a second:",
           p->count, p->s->connections, (long long)took_ms,
           (long long)p->count * 1000 / took_ms);
    for (int status = 0; status < STATUS_MAX; status++)
        if (by_status[status] > 0)
            printf(" %u x %d", by_status[status], status);
    printf(" (%u sent again)\n", again);
}

static int run_threads(struct plan *p)
{
    pthread_t *threads = calloc(p->s->connections, sizeof(*threads));
    unsigned n = 0;

    if (threads == NULL)
        return EX_OSERR;
    p->begin_us = now_us();
    while (n < p->s->connections &&
           pthread_create(&threads[n], NULL, work, p) == 0)
        n++;
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    free(threads);
    return n > 0 ? EX_OK : EX_OSERR;
}

static int fail(int status, const char *what, const char *why)
{
    (void)fprintf(stderr, "epro-gen: %s: %s\n", what, why);
    return status;
}

static int submit_plan(struct plan *p)
{
    p->text = read_file(p->s->in);
    if (p->text == NULL)
        return fail(EX_NOINPUT, p->s->in, strerror(errno));
    size_t wrong = read_items(p);
    if (wrong > 0) {
        (void)fprintf(stderr,
                      "epro-gen: %s:%zu: report, key and body with "
                      "tabs between are needed\n",
                      p->s->in, wrong);
        return EX_DATAERR;
    }
    if (run_threads(p) != EX_OK)
        return fail(EX_OSERR, "threads", strerror(errno));
    tell(p);
    if (!write_items(p))
        return fail(EX_CANTCREAT, p->s->out, strerror(errno));
    return atomic_load(&p->gone)
               ? fail(EX_UNAVAILABLE, p->s->path, "no good answer in time")
               : EX_OK;
}

int submit_run(const struct submit *s)
{
    struct plan p = {.s = s};
    int status = submit_plan(&p);

    free(p.items);
    free(p.text);
    return status;
}
