/*
 * Gen: good reports, and the files.
 */
#include "gen.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *p)
{
    if (p == NULL) {
        fputs("epro-gen: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return p;
}

static char *text_of(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0)));
static char *text_of(const char *fmt, va_list ap)
{
    char *text = NULL;

    return vasprintf(&text, fmt, ap) >= 0 ? text : or_die(NULL);
}

char *gen_text(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *text = text_of(fmt, ap);
    va_end(ap);
    return text;
}

/* splitmix64: Steele, Lea, Flood, OOPSLA 2014. */
static uint64_t next_random(struct gen *g)
{
    uint64_t z = g->random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

unsigned gen_random(struct gen *g, unsigned below)
{
    return (unsigned)((next_random(g) >> 32) * below >> 32);
}

double gen_fraction(struct gen *g)
{
    return (double)((next_random(g) >> 11) + 1) / 9007199254740992.0;
}

/* ---- one report ---- */

/* 0 to 3: of three chances, those that come true. */
static unsigned draw_answer(struct gen *g, double chance)
{
    unsigned n = 0;

    for (int i = 0; i < 3; i++)
        n += gen_fraction(g) <= chance;
    return n;
}

/*
 * Sums of a population fall off exponentially (Tomitaka et al., BMC Psychiatry
 * 2018, for the PHQ-9): most people are well, one in thirty is severely ill.
 * Item 9 is the rarest.
 */
static void draw_answers(struct gen *g, struct draft *d)
{
    double burden = -0.22 * log(gen_fraction(g));
    size_t at = 0;

    if (burden > 0.97)
        burden = 0.97;
    for (unsigned i = 0; i < d->items; i++) {
        d->answer[i] = draw_answer(g, i == 8 ? burden * burden / 2 : burden);
        d->total += d->answer[i];
        at += (size_t)snprintf(d->answers + at, sizeof(d->answers) - at, "%c%u",
                               i > 0 ? ',' : '[', d->answer[i]);
    }
    (void)snprintf(d->answers + at, sizeof(d->answers) - at, "]");
    d->item9 = d->is_phq9 ? d->answer[8] : 0;
}

static void draw_comment(struct gen *g, struct draft *d)
{
    static const char *const comments[] = {
        "",
        "",
        "",
        "",
        "\"\"",
        "null",
        "\"slept badly\"",
        "\"  I'm fine, \\\"really\\\".\\n\"",
        "\"Schlaf schlecht, müde 😴\"",
        "\"最近よく眠れない\"",
        "\"تعبان\\u200f\"",
        "\"\\u0007bell and \\ud83d\\ude00\"",
    };
    unsigned n = sizeof(comments) / sizeof(comments[0]);

    (void)snprintf(d->comment, sizeof(d->comment), "%s",
                   comments[gen_random(g, n)]);
}

/* What phones do to it that is no harm: one in six. */
static void draw_oddity(struct gen *g, struct draft *d)
{
    size_t at = 0;

    switch (gen_random(g, 30)) {
    case 0:
        (void)snprintf(d->instrument, sizeof(d->instrument), "\" %s \"",
                       d->is_phq9 ? "phq9" : "gad 7");
        break;
    case 1: /* a hyphen that does not break */
        (void)snprintf(d->instrument, sizeof(d->instrument), "\"%s\"",
                       d->is_phq9 ? "PHQ\u20119" : "GAD\u20117");
        break;
    case 2: /* "p-0042" and a blank that nobody sees */
        (void)snprintf(d->patient, sizeof(d->patient), "\"p-%04u\\u00a0\"",
                       1 + gen_random(g, PATIENTS));
        break;
    case 3:
        for (unsigned i = 0; i < d->items; i++)
            at += (size_t)snprintf(d->answers + at, sizeof(d->answers) - at,
                                   "%c\"%u\"", i > 0 ? ',' : '[', d->answer[i]);
        (void)snprintf(d->answers + at, sizeof(d->answers) - at, "]");
        break;
    case 4:
        (void)snprintf(d->completed_at, sizeof(d->completed_at),
                       "\"2024-02-29T23:%02u:00.250+05:30\"",
                       gen_random(g, 60));
        break;
    default:
        break;
    }
}

void gen_draft(struct gen *g, struct draft *d)
{
    memset(d, 0, offsetof(struct draft, comment));
    d->comment[0] = '\0';
    d->is_phq9 = gen_random(g, 5) < 3;
    d->items = d->is_phq9 ? 9 : 7;
    d->total = 0;
    (void)snprintf(d->id, sizeof(d->id), "R-%06u", ++g->last_id);
    (void)snprintf(d->report, sizeof(d->report), "\"%s\"", d->id);
    (void)snprintf(d->patient, sizeof(d->patient), "\"P-%04u\"",
                   1 + gen_random(g, PATIENTS));
    (void)snprintf(d->instrument, sizeof(d->instrument), "\"%s\"",
                   d->is_phq9 ? "PHQ-9" : "GAD-7");
    (void)snprintf(d->completed_at, sizeof(d->completed_at),
                   "\"2024-%02u-%02uT%02u:%02u:%02uZ\"", 1 + gen_random(g, 12),
                   1 + gen_random(g, 28), gen_random(g, 24), gen_random(g, 60),
                   gen_random(g, 60));
    draw_answers(g, d);
    draw_comment(g, d);
}

/* ,"name":value unless there is none */
static void add_member(char *out, size_t size, const char *name,
                       const char *value)
{
    size_t at = strlen(out);

    if (value[0] != '\0')
        (void)snprintf(out + at, size - at, "%s\"%s\":%s",
                       out[at - 1] == '{' ? "" : ",", name, value);
}

char *gen_body(const struct draft *d)
{
    size_t size = strlen(d->comment) + 1024;
    char *out = or_die(malloc(size));

    (void)snprintf(out, size, "{\"type\":\"epro.report\",\"payload\":{");
    add_member(out, size, "report", d->report);
    add_member(out, size, "patient", d->patient);
    add_member(out, size, "instrument", d->instrument);
    add_member(out, size, "completed_at", d->completed_at);
    add_member(out, size, "answers", d->answers);
    add_member(out, size, "comment", d->comment);
    (void)snprintf(out + strlen(out), size - strlen(out), "}}");
    return out;
}

/* ---- what is sent, and what is to come of it ---- */

static void *room_for_one(void *items, size_t count, size_t *room, size_t each)
{
    if (count < *room)
        return items;
    *room = *room > 0 ? 2 * *room : 64;
    return or_die(realloc(items, *room * each));
}

static void add_line(char ***lines, size_t *count, size_t *room, char *line)
{
    *lines = room_for_one(*lines, *count, room, sizeof(**lines));
    (*lines)[(*count)++] = line;
}

/* Takes the body. */
static void add_request(struct gen *g, const char *report, const char *key,
                        char *body)
{
    g->requests =
        room_for_one(g->requests, g->count, &g->room, sizeof(*g->requests));
    struct request *r = &g->requests[g->count++];
    r->report = gen_text("%s", report);
    r->key = gen_text("%s", key);
    r->body = body;
}

void gen_send(struct gen *g, const struct draft *d, const char *key,
              bool stored)
{
    add_request(g, stored ? d->id : "-", key, gen_body(d));
}

void gen_send_raw(struct gen *g, const char *key, const char *body)
{
    add_request(g, "-", key, gen_text("%s", body));
}

/* The published cut-offs once more, in words of their own. */
static const char *severity_of(const struct draft *d)
{
    if (d->total < 5)
        return "minimal";
    if (d->total < 10)
        return "mild";
    if (d->total < 15)
        return "moderate";
    return d->is_phq9 && d->total < 20 ? "moderately severe" : "severe";
}

void gen_note_stored(struct gen *g, const struct draft *d)
{
    bool severe = strcmp(severity_of(d), "severe") == 0;
    const char *alert = severe && d->item9 > 0 ? "severe, item 9"
                        : severe               ? "severe"
                        : d->item9 > 0         ? "item 9"
                                               : "";

    add_line(&g->stored, &g->stored_count, &g->stored_room,
             gen_text("%s\t%s\t%u\t%s\t%s", d->id,
                      d->is_phq9 ? "PHQ-9" : "GAD-7", d->total, severity_of(d),
                      alert));
}

void gen_note_dead(struct gen *g, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line(&g->dead, &g->dead_count, &g->dead_room, text_of(fmt, ap));
    va_end(ap);
}

static void make_good(struct gen *g)
{
    struct draft d;

    gen_draft(g, &d);
    draw_oddity(g, &d);
    gen_note_stored(g, &d);
    gen_send(g, &d, d.id, true);
    g->truth.accepted++;
    g->truth.jobs++;
}

/* Fisher and Yates. */
static void shuffle(struct gen *g)
{
    for (size_t i = g->count; i > 1; i--) {
        size_t j = gen_random(g, (unsigned)i);
        struct request r = g->requests[i - 1];
        g->requests[i - 1] = g->requests[j];
        g->requests[j] = r;
    }
}

void gen_make(struct gen *g, unsigned count, unsigned bad, uint64_t seed)
{
    memset(g, 0, sizeof(*g));
    g->random = seed;
    for (unsigned n = 0; n < bad && g->count + BAD_TAKES <= count; n++)
        gen_bad(g, n);
    while (g->count < count)
        make_good(g);
    shuffle(g);
}

void gen_done(struct gen *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->requests[i].report);
        free(g->requests[i].key);
        free(g->requests[i].body);
    }
    for (size_t i = 0; i < g->stored_count; i++)
        free(g->stored[i]);
    for (size_t i = 0; i < g->dead_count; i++)
        free(g->dead[i]);
    free(g->requests);
    free(g->stored);
    free(g->dead);
}

/* ---- files ---- */

static FILE *begin(const char *dir, const char *name)
{
    char *path = gen_text("%s/%s", dir, name);
    FILE *f = fopen(path, "we");

    free(path);
    return f;
}

/* Whether all of it was written. */
static bool end(FILE *f)
{
    bool good = ferror(f) == 0;

    return fclose(f) == 0 && good;
}

static bool write_lines(const char *dir, const char *name, char *const *lines,
                        size_t count)
{
    FILE *f = begin(dir, name);

    if (f == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        (void)fprintf(f, "%s\n", lines[i]);
    return end(f);
}

static bool write_patients(const char *dir)
{
    FILE *f = begin(dir, "patients.tsv");

    if (f == NULL)
        return false;
    for (unsigned i = 1; i <= PATIENTS; i++)
        (void)fprintf(f, "P-%04u\n", i);
    return end(f);
}

static bool write_requests(const struct gen *g, const char *dir)
{
    FILE *f = begin(dir, "requests.tsv");

    if (f == NULL)
        return false;
    for (size_t i = 0; i < g->count; i++)
        (void)fprintf(f, "%s\t%s\t%s\n", g->requests[i].report,
                      g->requests[i].key, g->requests[i].body);
    return end(f);
}

static bool write_doors(const struct gen *g, const char *dir)
{
    FILE *f = begin(dir, "doors.tsv");

    if (f == NULL)
        return false;
    (void)fprintf(f, "202\t%u\n400\t%u\n413\t%u\n422\t%u\njobs\t%u\n",
                  g->truth.accepted, g->truth.refused, g->truth.too_big,
                  g->truth.unfit, g->truth.jobs);
    return end(f);
}

int gen_write(const struct gen *g, const char *dir, const char **ret_file)
{
    *ret_file = "patients.tsv";
    if (!write_patients(dir))
        return -1;
    *ret_file = "requests.tsv";
    if (!write_requests(g, dir))
        return -1;
    *ret_file = "stored.tsv";
    if (!write_lines(dir, *ret_file, g->stored, g->stored_count))
        return -1;
    *ret_file = "dead.tsv";
    if (!write_lines(dir, *ret_file, g->dead, g->dead_count))
        return -1;
    *ret_file = "doors.tsv";
    return write_doors(g, dir) ? 0 : -1;
}
