/*
 * Notes to the operator: one line each, on standard error, in the order in which they were made.
 *
 * note() never waits: it puts the line into a bounded queue, and a thread of its own writes it. A terminal
 * that is held, a pipe that nobody reads, a full disk cost notes, never the program. What a flood brings is
 * told once: of each kind of note - its format string is its kind - so many are written in some seconds, then
 * one line says how many more there were. Notes that found the queue full are counted, and that is told, too.
 *
 *     note_start("hermesd", STDERR_FILENO);
 *     note("topic '%s' is not served: %s", name, text.bytes);
 *     note_stop(1000000000);
 *
 * Threads: any, at any time; before note_start() notes wait in the queue. start and stop are the main
 * thread's.
 */
#ifndef BASE_NOTE_H
#define BASE_NOTE_H

#include <stdint.h>

enum {
    NOTE_BYTES = 640,       /* a longer one is cut */
    NOTES_QUEUED = 128,     /* the next ones are dropped and counted */
    NOTES_OF_A_KIND = 20,   /* in each ... */
    NOTE_KIND_SECONDS = 10, /* ... so many seconds; the others are counted */
};

/* format: a string literal, or one that lives as long as the program. */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* Begins to write, each line behind "program: ". fd stays the caller's. HERMES_E...: no thread could be had;
 * notes then wait for note_stop(). */
int note_start(const char *program, int fd);

/* Waits until what is queued is written, for at most timeout_ns. */
void note_flush(uint64_t timeout_ns);

/* Writes what is queued, for at most timeout_ns, and ends the thread; one that hangs in a write is left to
 * its fate. */
void note_stop(uint64_t timeout_ns);

/* Since the program began: notes that were lost because standard error did not take them. */
uint64_t note_dropped(void);

#endif
