#include "cli/template.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/when.h"

static const char letters[] = "sStopTD%", escapes[] = "nrt\\";

bool template_is(const char *format)
{
    return strpbrk(format, "%\\") != NULL;
}

static bool is_hex_escape(const char *p)
{
    return p[0] == 'x' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]);
}

const char *template_wrong(const char *format)
{
    for (const char *p = format; *p != 0; p++) {
        const char *start = p;
        if (*p != '%' && *p != '\\')
            continue;
        const char *known = *p == '%' ? letters : escapes;
        p++;
        if (*start == '\\' && is_hex_escape(p))
            p += 2;
        else if (*p == 0 || strchr(known, *p) == NULL)
            return start;
    }
    return NULL;
}

static void print_date(FILE *file, uint64_t timestamp)
{
    char date[WHEN_DATE_BYTES];
    fprintf(file, "%s.%09uZ", when_date((int64_t)(timestamp / 1000000000u), date),
            (unsigned)(timestamp % 1000000000u));
}

static void print_letter(FILE *file, char letter, const char *topic, const hermes_message_t *message)
{
    switch (letter) {
    case 's':
        if (cli_is_terminal(file))
            cli_print_visible(file, message->payload, message->length);
        else
            fwrite(message->payload, 1, message->length, file);
        return;
    case 'S':
        fprintf(file, "%" PRIu32, message->length);
        return;
    case 't':
        fputs(topic, file);
        return;
    case 'o':
        fprintf(file, "%" PRIu64, message->sequence);
        return;
    case 'p':
        fprintf(file, "%" PRIu64, message->position);
        return;
    case 'T':
        fprintf(file, "%" PRIu64, message->timestamp);
        return;
    case 'D':
        print_date(file, message->timestamp);
        return;
    default:
        fputc('%', file);
    }
}

/* Behind the backslash; returns the escape's last character. */
static const char *print_escape(FILE *file, const char *p)
{
    static const char meanings[] = "\n\r\t\\";
    if (*p != 'x') {
        fputc(meanings[strchr(escapes, *p) - escapes], file);
        return p;
    }
    fputc((int)strtoul((char[]){p[1], p[2], 0}, NULL, 16), file);
    return p + 2;
}

void template_print(FILE *file, const char *format, const char *topic, const hermes_message_t *message)
{
    for (const char *p = format; *p != 0; p++)
        if (*p == '%')
            print_letter(file, *++p, topic, message);
        else if (*p == '\\')
            p = print_escape(file, p + 1);
        else
            fputc(*p, file);
}
