#include "cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

int lines_open(struct lines *lines, int fd, size_t most)
{
    *lines = (struct lines){.fd = fd, .most = most, .room = 4 * (most + 1)};
    lines->bytes = malloc(lines->room);
    return lines->bytes == NULL ? HERMES_ENOMEM : HERMES_OK;
}

/* More bytes, which may take long to come. Read alone would not notice a signal that came just before it. */
static ssize_t read_more(struct lines *lines)
{
    static const int slice_ms = 250;
    struct pollfd input = {.fd = lines->fd, .events = POLLIN};
    while (!cli_stop) {
        if (poll(&input, 1, slice_ms) <= 0)
            continue;
        ssize_t got = read(lines->fd, lines->bytes + lines->end, lines->room - lines->end);
        if (got >= 0 || (errno != EINTR && errno != EAGAIN))
            return got;
    }
    return 0;
}

static void make_room(struct lines *lines)
{
    memmove(lines->bytes, lines->bytes + lines->begin, lines->end - lines->begin);
    lines->looked -= lines->begin;
    lines->end -= lines->begin;
    lines->begin = 0;
}

/* Up to its newline, or to the end of all. */
static int give(struct lines *lines, const char *newline, char **line, size_t *length)
{
    *line = lines->bytes + lines->begin;
    *length = newline == NULL ? lines->end - lines->begin : (size_t)(newline - *line);
    if (*length > lines->most)
        return HERMES_ETOOLARGE;
    lines->begin += *length + (newline != NULL);
    lines->looked = lines->begin;
    return 1;
}

int lines_next(struct lines *lines, char **line, size_t *length)
{
    for (;;) {
        const char *newline = memchr(lines->bytes + lines->looked, '\n', lines->end - lines->looked);
        lines->looked = lines->end;
        if (newline != NULL || lines->end - lines->begin > lines->most)
            return give(lines, newline, line, length);
        if (lines->room - lines->end < lines->most + 1)
            make_room(lines);
        ssize_t got = read_more(lines);
        if (got < 0) {
            lines->error = errno;
            return HERMES_EIO;
        }
        if (got == 0)
            return cli_stop || lines->begin == lines->end ? 0 : give(lines, NULL, line, length);
        lines->end += (size_t)got;
    }
}

void lines_close(struct lines *lines)
{
    free(lines->bytes);
}
