/* Errors inside the library: errno to HERMES_E..., and the sentence that a handle keeps. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

#include "hermes/error.h"

/* What went wrong, in a sentence: which file, which field, what to do. Part of a handle. */
struct error_text {
    char bytes[512];
};

int error_from_errno(int number);

/* Formats the sentence, appends what the code means, returns the code. */
__attribute__((format(printf, 3, 4))) int error_set(struct error_text *text, int error, const char *format,
                                                    ...);

/* The same, of a sentence that says by itself what the code means. */
__attribute__((format(printf, 3, 4))) int error_say(struct error_text *text, int error, const char *format,
                                                    ...);

/* "cannot <action> <object>: <strerror(errno)>"; returns errno as a code. */
int error_set_errno(struct error_text *text, const char *action, const char *object);

#endif
