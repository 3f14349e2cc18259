/*
 * What hermes sub --format prints of a message, in the letters of kcat where there is such a thing here:
 *
 *     %s  the payload          %S  its length          %t  the topic
 *     %o  the sequence         %p  the position        %%  a percent sign
 *     %T  the time stamp, in nanoseconds since 1970    %D  the same as 2026-11-25T09:30:00.123456789Z
 *     \n  \r  \t  \\  \xHH     (nothing else is printed behind a message)
 */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include <stdbool.h>
#include <stdio.h>

#include "hermes/hermes.h"
#include "hermes/message.h"

#define TEMPLATE_FIELDS "%s payload, %S length, %t topic, %o sequence, %p position"
#define TEMPLATE_TIMES "%T and %D time, %%"
#define TEMPLATE_LETTERS TEMPLATE_FIELDS ", " TEMPLATE_TIMES

/* Is it a template, rather than the name of a format? */
bool template_is(const char *format);

/* NULL: it can be printed; else where it cannot: an unknown letter or escape, or one that is cut off. */
const char *template_wrong(const char *format);

/* A template that template_wrong() finds nothing wrong with. */
void template_print(FILE *file, const char *format, const char *topic, const hermes_message_t *message);

#endif
