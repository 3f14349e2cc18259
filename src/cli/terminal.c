#include "cli/terminal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

unsigned terminal_columns(int fd)
{
    struct winsize size = {0};
    if (!isatty(fd))
        return 0;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Standard error as it is; stderr, until it is guarded. */
static FILE *errors;

static ssize_t write_visibly(void *cookie, const char *bytes, size_t length)
{
    cli_print_visible(cookie, bytes, length);
    return fflush(cookie) == 0 ? (ssize_t)length : 0;
}

void terminal_guard_errors(void)
{
    FILE *bare = fdopen(STDERR_FILENO, "w");
    FILE *guarded =
        bare == NULL ? NULL : fopencookie(bare, "w", (cookie_io_functions_t){.write = write_visibly});
    if (guarded == NULL || setvbuf(guarded, NULL, _IONBF, 0) != 0)
        return;
    errors = bare;
    stderr = guarded; /* glibc: a variable like any other (info libc, Standard Streams) */
}

/* As many characters as fit, of whole parts. */
static int fitting(const char *line, int most)
{
    int whole = 0, at = 0;
    for (; at <= most && line[at] != 0; at++)
        whole = line[at] == ',' || line[at] == ';' ? at : whole;
    return at <= most ? at : whole;
}

void terminal_show(const char *line)
{
    /* Not the last column: some terminals go on to the next line once that is written. */
    unsigned columns = terminal_columns(STDERR_FILENO);
    FILE *to = errors != NULL ? errors : stderr;
    fprintf(to, "\r%.*s\033[K", fitting(line, columns > 1 ? (int)columns - 1 : 0), line);
    fflush(to);
}

void terminal_end_line(void)
{
    fputc('\n', stderr);
}

/* end: of a line that goes on. */
static void print_wrapped(const char *text, unsigned indentation, unsigned columns, const char *end)
{
    unsigned used = indentation, reserved = (unsigned)strlen(end);
    for (const char *space = ""; *text != 0; space = " ") {
        unsigned length = (unsigned)strcspn(text, " ");
        bool is_last = text[length] == 0;
        if (columns > 0 && *space != 0 && used + 1 + length + (is_last ? 0 : reserved) > columns) {
            printf("%s\n%*s", end, (int)indentation, "");
            used = indentation;
            space = "";
        }
        printf("%s%.*s", space, (int)length, text);
        used += length + (*space != 0);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

void terminal_print_wrapped(const char *text, unsigned indentation, unsigned columns)
{
    print_wrapped(text, indentation, columns, "");
}

void terminal_print_command(const char *command, unsigned indentation, unsigned columns)
{
    print_wrapped(command, indentation, columns, " \\");
}
