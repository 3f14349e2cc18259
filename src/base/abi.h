/*
 * Structs that cross the library's boundary begin with their size, as the caller's compiler saw it, so that
 * either side may be the older one: what the older does not know is 0.
 */
#ifndef BASE_ABI_H
#define BASE_ABI_H

#include <stddef.h>
#include <string.h>

#include "hermes/error.h"

enum { ABI_STRUCT_MAX = 4096 };

/*
 * *from, a caller's options, into our own *to, whose fields have their defaults. HERMES_EINVALID: no size was
 * set. HERMES_ENOTSUP: the caller asks for something that this library is too old to know.
 */
static inline int abi_take(void *to, size_t to_size, const void *from)
{
    size_t size;
    memcpy(&size, from, sizeof size);
    if (size <= sizeof size || size > ABI_STRUCT_MAX)
        return HERMES_EINVALID;
    for (size_t i = to_size; i < size; i++)
        if (((const unsigned char *)from)[i] != 0)
            return HERMES_ENOTSUP;
    size_t known = size < to_size ? size : to_size;
    memcpy((char *)to + sizeof size, (const char *)from + sizeof size, known - sizeof size);
    return HERMES_OK;
}

/* Our answer *from into the caller's *to, whose size is set. HERMES_EINVALID: it is not. */
static inline int abi_give(void *to, const void *from, size_t from_size)
{
    size_t size;
    memcpy(&size, to, sizeof size);
    if (size <= sizeof size || size > ABI_STRUCT_MAX)
        return HERMES_EINVALID;
    size_t known = size < from_size ? size : from_size;
    memset((char *)to + known, 0, size - known);
    memcpy((char *)to + sizeof size, (const char *)from + sizeof size, known - sizeof size);
    return HERMES_OK;
}

#endif
