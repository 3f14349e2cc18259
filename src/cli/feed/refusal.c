#include "cli/feed/refusal.h"

#include <stdio.h>

int feed_refuse(struct error_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text->bytes, sizeof text->bytes, format, arguments);
    va_end(arguments);
    return HERMES_EMALFORMED;
}
