/*
 * A descriptor for event loops. Messages come by a futex, and a futex cannot be waited for by poll(2): one
 * parked thread for each subscriber that asks for a descriptor, and in the broker for its subscribers on
 * other hosts, turns the one into the other.
 *
 * The thread touches nothing of its owner's but the addresses of futex words, which it gives to the kernel
 * alone: a mapping that is gone by then is an error of the system call, and a needless wake-up.
 */
#ifndef IO_NOTIFIER_H
#define IO_NOTIFIER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/wait.h"

struct notifier;

/* HERMES_ENOTSUP: a kernel before 5.16. */
int notifier_start(struct notifier **notifier);

/* Its descriptor: readable once what was armed has happened. The notifier's. */
int notifier_fd(const struct notifier *notifier);

/* Makes the descriptor unreadable, and readable again when one of the words (at most NOTIFIER_WORDS) is no
 * longer what is expected, or timeout_ns have gone by. What was armed before is forgotten. */
enum { NOTIFIER_WORDS = FUTEX_WORDS_MAX - 1 };
void notifier_arm(struct notifier *notifier, const struct futex_word *words, unsigned count,
                  uint64_t timeout_ns);

/* NULL is allowed. */
void notifier_stop(struct notifier *notifier);

/* In a child after fork(2), where the thread is not. NULL is allowed. */
void notifier_forget(struct notifier *notifier);

#endif
