/*
 * Escaping. A control character that XML does not know would make the page
 * unreadable for strict readers, so it is shown as U+FFFD.
 */
#include "text.h"

#include <string.h>

void text_html(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '&')
            (void)fputs("&amp;", out);
        else if (c == '<')
            (void)fputs("&lt;", out);
        else if (c == '>')
            (void)fputs("&gt;", out);
        else if (c == '"')
            (void)fputs("&quot;", out);
        else if (c == '\'')
            (void)fputs("&#39;", out);
        else if (c < ' ' && c != '\t' && c != '\n')
            (void)fputs("\xef\xbf\xbd", out);
        else
            (void)fputc(c, out);
    }
}

void text_csv(FILE *out, const char *text)
{
    if (strpbrk(text, "\",\r\n") == NULL) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            (void)fputc('"', out);
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}
