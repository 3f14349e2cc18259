/* Terminals: how wide they are, and what is written to them. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

/* Columns of the terminal that fd is (TIOCGWINSZ); one that does not say has 80. 0: no terminal. */
unsigned terminal_columns(int fd);

/* From here on what is written to stderr, by whomever, has control characters but newline and tab, and what
 * is no UTF-8, as \xNN: names that are told there are anybody's, and a terminal would obey them. */
void terminal_guard_errors(void);

/* Writes a line over the one that stands on standard error. So that it never wraps, what does not fit the
 * terminal is left out, from a comma or semicolon on: half a number would be another one. Only where
 * terminal_columns(STDERR_FILENO) is not 0. */
void terminal_show(const char *line);
/* That line is over. */
void terminal_end_line(void);

/* Prints a text word by word, from behind the indentation on, and goes to a new line, indented so far, before
 * one would be longer than that. columns 0: all on one line. */
void terminal_print_wrapped(const char *text, unsigned indentation, unsigned columns);
/* The same of a command: a line that goes on says so to the shell, so that all of them can be pasted. */
void terminal_print_command(const char *command, unsigned indentation, unsigned columns);

#endif
