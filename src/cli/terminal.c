#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

unsigned terminal_columns(int fd)
{
    struct winsize size = {0};
    if (!isatty(fd))
        return 0;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void terminal_show(const char *line)
{
    /* Not the last column: some terminals go on to the next line once that is written. */
    unsigned columns = terminal_columns(STDERR_FILENO);
    fprintf(stderr, "\r%.*s\033[K", columns > 1 ? (int)columns - 1 : 0, line);
}

void terminal_end_line(void)
{
    fputc('\n', stderr);
}

void terminal_print_wrapped(const char *text, unsigned indentation, unsigned columns)
{
    unsigned used = indentation;
    for (const char *space = ""; *text != 0; space = " ") {
        unsigned length = (unsigned)strcspn(text, " ");
        if (columns > 0 && *space != 0 && used + 1 + length > columns) {
            printf("\n%*s", (int)indentation, "");
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
