/* What hermes doctor looks at. Nothing is changed, and whatever cannot be read (in a container, say) is
 * unknown. */
#ifndef CLI_CHECKS_H
#define CLI_CHECKS_H

#include <stdbool.h>
#include <stdint.h>

enum check_state { CHECK_GOOD, CHECK_NOTE, CHECK_BAD, CHECK_UNKNOWN };

struct check {
    const char *name;
    enum check_state state;
    char found[192];
    const char *meaning; /* a sentence */
    char remedy[224];    /* "": there is nothing to mend */
    bool is_command;     /* the remedy is, "    (when another one)" behind it or not; else a sentence */
};

/* The name of a check, from 0 on; NULL: there are no more. */
const char *check_name(unsigned index);

/*
 * root: in front of every path that is looked at, so that tests can have a machine of their own; "" is this
 * one. Limits, processors and system calls are always this machine's. Cost: some milliseconds at most.
 */
void check_run(const char *root, unsigned index, struct check *check);

#endif
