/*
 * Lines of a file, a pipe or a terminal, one after the other, that a signal ends: at once, wherever it comes.
 *
 *     struct lines lines;
 *     int rc = lines_open(&lines, fd, HERMES_PAYLOAD_MAX);
 *     while (rc == 0 && (rc = lines_next(&lines, &line, &length)) > 0)
 *         ...
 *     lines_close(&lines);
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stddef.h>

struct lines {
    int fd;
    int error;   /* errno of the read that failed */
    size_t most; /* bytes of a line */
    size_t room, begin, looked, end;
    char *bytes;
};

/* fd is the caller's, before and after. HERMES_ENOMEM. */
int lines_open(struct lines *lines, int fd, size_t most);

/*
 * 1: the next line, without its newline; *line is the caller's until the next call. The last one may have
 * none. 0: that was all, or cli_stop was raised: what there is of a line then is none. HERMES_EIO:
 * lines->error says why it cannot be read; what was read of a line is none either. HERMES_ETOOLARGE: the line
 * has more than most bytes.
 */
int lines_next(struct lines *lines, char **line, size_t *length);

void lines_close(struct lines *lines);

#endif
