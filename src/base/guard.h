/*
 * Files that somebody cuts short while they are mapped. Reading behind their new end raises SIGBUS, which
 * would end whatever program the library is used in. A guarded mapping reads zeros there instead, which
 * no check of ours takes for a message.
 *
 * The first guard installs a SIGBUS handler for the process. It deals with addresses in guarded mappings
 * alone, and hands all others to the handler that was there before.
 */
#ifndef BASE_GUARD_H
#define BASE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* false: too many are guarded (1,024); the mapping is as usable as any other. Thread-safe. */
bool guard_add(const void *address, size_t size);
/* Before the mapping goes. Nothing happens where it is not guarded. */
void guard_remove(const void *address);

#endif
