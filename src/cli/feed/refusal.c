#include "cli/feed/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int feed_refuse(struct error_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text->bytes, sizeof text->bytes, format, arguments);
    va_end(arguments);
    return HERMES_EMALFORMED;
}

int feed_refuse_errno(struct error_text *text, const char *sentence)
{
    int number = errno;
    snprintf(text->bytes, sizeof text->bytes, "%s: %s", sentence, strerror(number));
    return error_from_errno(number);
}
