/*
 * belt help: what the tables of commands and topics say.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/text.h"
#include "producer/complain.h"
#include "producer/topics.h"

enum { NAME_COLUMN = 24, COMMAND_COLUMN = 13, WORDS_MAX = 64 };

static void print_flags(const struct flag *flags, FILE *f)
{
    for (; flags && flags->name; flags++) {
        char left[64], letter[8] = "    ";
        if (flags->letter)
            snprintf(letter, sizeof(letter), "-%c, ", flags->letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, flags->name,
                 flags->value ? " " : "", flags->value ? flags->value : "");
        fprintf(f, "  %-*s  %s\n", NAME_COLUMN, left, flags->help);
    }
}

void command_print_help(const struct command *c, FILE *f)
{
    fprintf(f, "belt %s %s\n\n%s.\n", c->name, c->usage, c->summary);
    if (c->details)
        fprintf(f, "\n%s", c->details);
    if (c->flags && c->flags->name) {
        fputs("\nFlags:\n", f);
        print_flags(c->flags, f);
    }
    if (!c->raw) {
        fputs("\nFlags of every command:\n", f);
        print_flags(global_flags, f);
    }
}

static void print_summary(const struct command *c, FILE *f)
{
    fprintf(f, "  %-*s %s\n", COMMAND_COLUMN, c->name, c->summary);
}

void group_print_help(const char *word, FILE *f)
{
    fprintf(f, "belt %s COMMAND [ARGUMENTS]\n\n", word);
    for (size_t i = 0; commands[i]; i++) {
        const char *space = strchr(commands[i]->name, ' ');
        if (command_find_two(word, space ? space + 1 : NULL) == commands[i])
            print_summary(commands[i], f);
    }
    fprintf(f, "\nbelt %s COMMAND --help tells more.\n", word);
}

/* One line for all of the group that begins at i; returns what is next. */
static size_t print_group(size_t i, FILE *f)
{
    size_t n = strcspn(commands[i]->name, " ") + 1;
    const char *group = commands[i]->name;

    fprintf(f, "  %.*s%-*s", (int)n, group, COMMAND_COLUMN + 1 - (int)n, "...");
    for (; commands[i] && strncmp(commands[i]->name, group, n) == 0; i++)
        fprintf(f, "%s%s", commands[i]->name == group ? "" : " | ",
                commands[i]->name + n);
    fputc('\n', f);
    return i;
}

void commands_print_help(FILE *f)
{
    fputs("belt: a distributed job queue on Redis\n\n"
          "Usage: belt [FLAGS] COMMAND [ARGUMENTS]\n\n",
          f);
    for (size_t i = 0; commands[i];) {
        if (strchr(commands[i]->name, ' '))
            i = print_group(i, f);
        else
            print_summary(commands[i++], f);
    }
    fputs("\nExamples:\n"
          "  belt dev --handlers ./handlers\n"
          "  belt push email.welcome user:=42 lang=de\n"
          "  belt push --ndjson jobs.ndjson -q mail\n"
          "  belt queues\n\n"
          "belt COMMAND --help tells more; belt help TOPIC explains\n",
          f);
    for (const struct topic *t = topics; t->name; t++)
        fprintf(f, "  %-11s %s\n", t->name, t->summary);
}

static const char *nearest(const char *word)
{
    const char *words[WORDS_MAX];
    size_t n = 0;

    for (size_t i = 0; commands[i] && n < WORDS_MAX; i++)
        words[n++] = commands[i]->name;
    for (const struct topic *t = topics; t->name && n < WORDS_MAX; t++)
        words[n++] = t->name;
    return text_nearest(word, words, n);
}

static int run_help(const struct options *o)
{
    const char *word = o->args[0];

    if (!word) {
        commands_print_help(stdout);
        return EX_OK;
    }
    const struct command *c = command_find_two(word, o->args[1]);
    const struct topic *t = topic_find(word);
    if (o->args[1] && !c)
        return fail(o, EX_USAGE, "%s %s: no such command", word, o->args[1]);
    if (!c)
        c = command_find(word);
    if (c)
        command_print_help(c, stdout);
    else if (command_is_group(word))
        group_print_help(word, stdout);
    else if (t && t->text)
        fputs(t->text, stdout);
    else if (t)
        commands_print_help(stdout);
    else if (nearest(word))
        return fail(o, EX_USAGE, "%s: no such topic; did you mean %s?", word,
                    nearest(word));
    else
        return fail(o, EX_USAGE, "%s: no such topic", word);
    return EX_OK;
}

const struct command cmd_help = {
    .name = "help",
    .usage = "[COMMAND | TOPIC]",
    .summary = "Explain a command or a topic",
    .max_args = 2,
    .run = run_help,
};
