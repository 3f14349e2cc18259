/*
 * Programs that a shell or a supervisor starts without standard input, output or error. The next file that
 * they open would get that number, and whatever is printed would go into it: a connection, a lock, a log.
 */
#ifndef BASE_STANDARD_H
#define BASE_STANDARD_H

/* Before anything is opened: takes the numbers 0 to 2 that are free, with descriptors that cannot be read
 * from, or written to: who tries fails, as if it were closed. Ends the process if even that cannot be done.
 * (As stdopen() of GNU coreutils.) */
void standard_take_free_numbers(void);

/* For a descriptor of a library, in a process that may lack them: the same file under a number from 3 on. On
 * failure (-1, errno) and otherwise fd is closed if it was another. */
int standard_move_above(int fd);

#endif
