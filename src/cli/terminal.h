/* How wide the terminal is, if there is one. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

/* Columns of the terminal that fd is (TIOCGWINSZ); one that does not say has 80. 0: no terminal. */
unsigned terminal_columns(int fd);

/* Writes a line over the one that stands on standard error, cut where the terminal ends, so that it never
 * wraps. Only where terminal_columns(STDERR_FILENO) is not 0. */
void terminal_show(const char *line);
/* That line is over. */
void terminal_end_line(void);

/* Prints a text word by word, from behind the indentation on, and goes to a new line, indented so far, before
 * one would be longer than that. columns 0: all on one line. */
void terminal_print_wrapped(const char *text, unsigned indentation, unsigned columns);

#endif
