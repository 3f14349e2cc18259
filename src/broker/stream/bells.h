/*
 * What the loop sleeps on beside its descriptors: futex words of logs, that publishers ring who write their
 * windows themselves, and the persister. Threads of io/notifier.h turn them into descriptors, each up to
 * NOTIFIER_WORDS of them; they are made when they are needed, and stay.
 *
 * Threads: the loop's.
 */
#ifndef BROKER_STREAM_BELLS_H
#define BROKER_STREAM_BELLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/wait.h"
#include "io/poller.h"

struct bell_ringer;

/* All zeros: nothing is armed. */
struct bells {
    struct bell_ringer *ringers;
    struct futex_word *words; /* that are armed, or are to be */
    size_t count, room;
    size_t armed; /* so many of them; 0: none */
};

/* The words from here on, one after the other. HERMES_ENOMEM: it is not among them. */
void bells_begin(struct bells *bells);
int bells_add(struct bells *bells, struct futex_word word);

/* Are exactly these armed, and has none of them rung? */
bool bells_are_armed(const struct bells *bells);

/* Wakes the poller when one of them changes. false: no thread can be had, or the kernel has not what it needs
 * (Linux 5.16): nobody wakes. */
bool bells_arm(struct bells *bells, struct poller *poller);

/* When the poller runs no more. */
void bells_close(struct bells *bells);

#endif
