/*
 * The child of section_process.c: answers each job at once, as little as a
 * handler of kind process can do.
 *
 * Thread: main.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    static const char before[] = "{\"op\":\"job\",\"id\":\"";
    const size_t head = sizeof(before) - 1;
    char *line = NULL;
    size_t cap = 0;

    (void)puts("{\"op\":\"ready\"}");
    (void)fflush(stdout);
    while (getline(&line, &cap, stdin) > 0) {
        if (strncmp(line, before, head) != 0)
            continue;
        (void)printf("{\"op\":\"done\",\"id\":\"%.*s\"}\n",
                     (int)strcspn(line + head, "\""), line + head);
        (void)fflush(stdout);
    }
    free(line);
    return 0;
}
