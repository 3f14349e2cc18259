#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
} descriptions[] = {
    {"HERMES_OK", "success"},
    {"HERMES_EINVALID", "an argument is outside its range"},
    {"HERMES_ENOMEM", "out of memory"},
    {"HERMES_EIO", "the operating system reported an input/output error"},
    {"HERMES_EFULL", "no space left on the disk or in shared memory"},
    {"HERMES_EACCESS", "permission denied"},
    {"HERMES_ENOTFOUND", "not found"},
    {"HERMES_EEXISTS", "exists already"},
    {"HERMES_EBUSY", "in use"},
    {"HERMES_EAGAIN", "would have to wait"},
    {"HERMES_ETIMEOUT", "timed out"},
    {"HERMES_ETOOLARGE", "too large (a payload holds at most 65536 bytes)"},
    {"HERMES_ENAME", "not a legal name (1-127 of A-Z a-z 0-9 . _ -, not starting with '.' or '-')"},
    {"HERMES_EVERSION", "written by an unknown version"},
    {"HERMES_EMALFORMED", "malformed: the bytes are not what the format says"},
    {"HERMES_ECHECKSUM", "checksum mismatch"},
    {"HERMES_ECORRUPT", "stored data is corrupt"},
    {"HERMES_EGONE", "that position no longer exists"},
    {"HERMES_EFENCED", "another publisher has taken over this topic"},
    {"HERMES_EDISCONNECTED", "the broker is not reachable"},
    {"HERMES_EPROTOCOL", "the peer broke the control protocol"},
    {"HERMES_ELIMIT", "a limit is reached"},
    {"HERMES_ENOTSUP", "not supported"},
    {"HERMES_ECLOSED", "closed or deleted"},
    {"HERMES_EINTERRUPTED", "interrupted"},
    {"HERMES_EEXPIRED", "the message is not this member's any more: it comes again, or is given up"},
};

enum { DESCRIPTIONS = sizeof descriptions / sizeof descriptions[0] };
_Static_assert(DESCRIPTIONS == 1 - HERMES_EEXPIRED, "one description for each error");

const char *hermes_strerror(int error)
{
    if (error > 0 || error <= -DESCRIPTIONS)
        return "unknown error";
    return descriptions[-error].text;
}

const char *hermes_error_name(int error)
{
    if (error > 0 || error <= -DESCRIPTIONS)
        return "HERMES_EUNKNOWN";
    return descriptions[-error].name;
}

int error_from_errno(int number)
{
    switch (number) {
    case 0:
        return HERMES_OK;
    case EINVAL:
    case EBADF:
        return HERMES_EINVALID;
    case ENOMEM:
        return HERMES_ENOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return HERMES_EFULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return HERMES_EACCESS;
    case ENOENT:
    case ENOTDIR:
        return HERMES_ENOTFOUND;
    case EEXIST:
        return HERMES_EEXISTS;
    case EBUSY:
    case EADDRINUSE:
        return HERMES_EBUSY;
    case EAGAIN:
        return HERMES_EAGAIN;
    case ETIMEDOUT:
        return HERMES_ETIMEOUT;
    case ENAMETOOLONG:
        return HERMES_ETOOLARGE;
    case EMFILE:
    case ENFILE:
        return HERMES_ELIMIT;
    case ENOSYS:
    case EOPNOTSUPP:
        return HERMES_ENOTSUP;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
        return HERMES_EDISCONNECTED;
    case EINTR:
        return HERMES_EINTERRUPTED;
    default:
        return HERMES_EIO;
    }
}

int error_set(struct error_text *text, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(text->bytes, sizeof text->bytes, format, arguments);
    va_end(arguments);
    if (used >= 0 && (size_t)used < sizeof text->bytes)
        snprintf(text->bytes + used, sizeof text->bytes - (size_t)used, ": %s", hermes_strerror(error));
    return error;
}

int error_say(struct error_text *text, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text->bytes, sizeof text->bytes, format, arguments);
    va_end(arguments);
    return error;
}

int error_set_errno(struct error_text *text, const char *action, const char *object)
{
    int number = errno;
    snprintf(text->bytes, sizeof text->bytes, "cannot %s %s: %s", action, object, strerror(number));
    return error_from_errno(number);
}
