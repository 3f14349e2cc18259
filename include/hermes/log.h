/*
 * hermes/log.h - a topic log by path, without a broker: one process appends, any number read.
 *
 * A log is an endless sequence of messages addressed by position. Its newest bytes stand in the hot
 * window in shared memory, all of it in segment files under the path. Readers follow the writer through
 * the window at the speed of one cache line transfer a message; a reader that falls behind, or begins
 * early, reads the files and changes over to the window by itself, without a gap or a repeat.
 *
 *     hermes_log_t *log;                                         // writer
 *     if (hermes_log_open("/var/lib/feed/quotes", NULL, &log) < 0) ...
 *     uint64_t sequence;
 *     hermes_log_append(log, "hello", 5, &sequence);
 *     hermes_log_close(log);
 *
 *     hermes_log_reader_t *reader;                               // reader, in any process of the same user
 *     if (hermes_log_reader_open("/var/lib/feed/quotes", &reader) < 0) ...
 *     hermes_log_reader_seek_first(reader);
 *     hermes_message_t message;
 *     while (hermes_log_reader_wait(reader, &message, 1000000000) > 0)
 *         fwrite(message.payload, 1, message.length, stdout);
 *     hermes_log_reader_close(reader);
 *
 * Durability. What was appended survives the death of the writer at any instruction: the next writer
 * takes the window up. A background thread copies it into the files and syncs them every sync interval
 * (10 ms), so a power cut costs at most the last interval. hermes_log_sync() waits for that.
 *
 * Threads: a log handle and a reader handle are each for one thread at a time. Different handles are
 * independent. After fork(2) only the parent may go on using a handle.
 * Errors: as listed; hermes_log_last_error() and hermes_log_reader_last_error() give the sentence.
 */
#ifndef HERMES_LOG_H
#define HERMES_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/message.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hermes_log hermes_log_t;
typedef struct hermes_log_reader hermes_log_reader_t;

typedef struct hermes_log_options {
    size_t size;            /* sizeof(hermes_log_options_t): lets the struct grow */
    uint64_t window_bytes;  /* power of two, 256 KiB to 1 GiB; 0: 4 MiB. A window that a writer left which
                             * died is taken up as it is: the size counts from the next opening on */
    uint64_t segment_bytes; /* a multiple of window_bytes, up to 1 TiB, the same as long as the log lives; 0:
                               64 MiB */
    uint32_t sync_interval_ms; /* 0: 10 */
    uint32_t flags;            /* HERMES_LOG_...; others: HERMES_ENOTSUP */
} hermes_log_options_t;

#define HERMES_LOG_NO_CRC 1u /* writer: messages without checksum */

typedef struct hermes_slice {
    const void *data;
    size_t length;
} hermes_slice_t;

/* ---- writing ---- */

/*
 * Opens the log at path for appending; makes it if it is not there. Recovers what a writer left that died.
 * options: NULL for the defaults. After an error *log is NULL, and nothing that was told to be in the log is
 * lost: the next opening finds it.
 *     HERMES_EINVALID   no path; an option outside of its range; another segment_bytes than the log has
 *     HERMES_ENOTSUP    an option that this library is too old to know
 *     HERMES_ETOOLARGE  the path is too long
 *     HERMES_ENOTFOUND  part of the path is no directory
 *     HERMES_EBUSY      another process writes to it
 *     HERMES_EFULL      no room on disk or in /dev/shm
 *     HERMES_ENOMEM     no memory
 *     HERMES_ELIMIT     no descriptor, or no thread, is left to this process; or no number for an epoch
 *     HERMES_EACCESS    the path, or the directory in /dev/shm, is not ours to write to, or not ours alone
 *     HERMES_EIO        the operating system refused a read, a write or a mapping
 *     HERMES_ECORRUPT   confirmed bytes are damaged, or segments that were confirmed are missing
 *     HERMES_EMALFORMED what the last writer left in shared memory is not what it was
 *     HERMES_EVERSION   the files, or the window, were written by another version
 *     HERMES_EEXISTS    recovery has cut something off at the same place 999 times: delete the .cut files
 */
HERMES_API int hermes_log_open(const char *path, const hermes_log_options_t *options, hermes_log_t **log);

/*
 * Appends one message; visible to readers at once. *sequence may be NULL. Not taken, each time:
 *     HERMES_ETOOLARGE  more than 65,536 bytes
 *     HERMES_EINVALID   no payload (NULL, and a length), or a claim is open
 * and where the window is full, because
 *     HERMES_EAGAIN     the files cannot keep up (see hermes_log_wait_room())
 *     HERMES_EFULL      there is no room on disk: heals
 *     HERMES_ELIMIT     there is no descriptor, HERMES_ENOMEM no memory, to open a file with: heals
 *     HERMES_EIO        a write or a sync failed. For good: open the log again
 *     HERMES_ECORRUPT   somebody deleted a segment, or cut it short. Then HERMES_EIO
 *     HERMES_EMALFORMED something in this process wrote over messages that are not stored yet
 * Cost: about 25 ns and 0.1 ns a byte.
 */
HERMES_API int hermes_log_append(hermes_log_t *log, const void *payload, size_t length, uint64_t *sequence);

/*
 * The same with the writer's own time stamp, in nanoseconds since the Unix epoch: the exchange's, or the
 * network card's, of a feed that has them. No clock is read, which saves 10 ns. HERMES_EINVALID also: 0,
 * which is no time, or more than INT64_MAX (the year 2262). Stamps need not go forward: messages stand in the
 * order in which they were appended; hermes_log_reader_seek_time() says what stamps mean to it.
 */
HERMES_API int hermes_log_append_at(hermes_log_t *log, uint64_t timestamp_ns, const void *payload,
                                    size_t length, uint64_t *sequence);

/* Appends count messages. Returns how many, the first ones: fewer only on an error, which a call with the
 * rest returns, if it still is one; where none was taken, the error, as hermes_log_append(). */
HERMES_API int64_t hermes_log_append_batch(hermes_log_t *log, const hermes_slice_t *slices, size_t count);

/* The same, message i with the time stamp timestamps_ns[i], as hermes_log_append_at(). */
HERMES_API int64_t hermes_log_append_batch_at(hermes_log_t *log, const uint64_t *timestamps_ns,
                                              const hermes_slice_t *slices, size_t count);

/*
 * Zero-copy: room for length bytes inside the log at *payload, 8-byte aligned, valid until commit or abort.
 * One at a time; until then nothing else is appended. Commit computes the checksum over what stands there.
 * hermes_log_claim(): as hermes_log_append(); there is no claim then. hermes_log_commit(): HERMES_EINVALID:
 * there is none. hermes_log_abort() of none does nothing.
 */
HERMES_API int hermes_log_claim(hermes_log_t *log, size_t length, void **payload);
HERMES_API int hermes_log_commit(hermes_log_t *log, uint64_t *sequence);
/* With a time stamp as of hermes_log_append_at(). HERMES_EINVALID also: it is none; the claim stays open. */
HERMES_API int hermes_log_commit_at(hermes_log_t *log, uint64_t timestamp_ns, uint64_t *sequence);
HERMES_API void hermes_log_abort(hermes_log_t *log);

/* Waits until the window has room for any message. HERMES_ETIMEOUT; HERMES_EINVALID: a claim is open; or why
 * the files do not keep up, as hermes_log_append(), but for HERMES_EAGAIN. */
HERMES_API int hermes_log_wait_room(hermes_log_t *log, uint64_t timeout_ns);

/* Returns when everything appended so far is on disk (fdatasync). HERMES_EFULL, HERMES_ELIMIT, HERMES_ENOMEM,
 * HERMES_EIO, HERMES_ECORRUPT, HERMES_EMALFORMED: it is not, as hermes_log_append() says. */
HERMES_API int hermes_log_sync(hermes_log_t *log);

/* The position behind the last message, and its sequence (0: none yet). */
HERMES_API uint64_t hermes_log_position(const hermes_log_t *log);
HERMES_API uint64_t hermes_log_sequence(const hermes_log_t *log);

/*
 * Aborts a claim, stores and syncs everything, removes what is in shared memory, frees the handle. NULL is
 * allowed. The first error on the way is returned, as hermes_log_sync(); the handle is gone all the same, and
 * what is not stored stays in shared memory for the next writer. But HERMES_EMALFORMED: the log ends where
 * something in this process wrote over it, and what was appended from there on is lost.
 */
HERMES_API int hermes_log_close(hermes_log_t *log);

/* NULL: of the last opening or closing of this thread that failed, of a log or of a reader. */
HERMES_API const char *hermes_log_last_error(const hermes_log_t *log);

/* ---- reading ---- */

/*
 * Opens for reading, at the end, whether somebody writes to the log or nobody does. *reader is NULL after
 *     HERMES_EINVALID   no path
 *     HERMES_ENOTFOUND  no log at path
 *     HERMES_ETOOLARGE  the path is too long
 *     HERMES_ENOMEM     no memory
 *     HERMES_ELIMIT     no descriptor is left to this process
 *     HERMES_EACCESS    it is another user's
 *     HERMES_EIO        the operating system refused a read or a mapping
 *     HERMES_ECORRUPT   no segment has a header
 *     HERMES_EMALFORMED the window is not what its writer made
 *     HERMES_EVERSION   the files, or the window, were written by another version
 */
HERMES_API int hermes_log_reader_open(const char *path, hermes_log_reader_t **reader);

/*
 * 1: *message is the next one, its payload valid until the next call with this reader; 0: none now.
 *     HERMES_ECHECKSUM, HERMES_ECORRUPT, HERMES_EMALFORMED
 *                       damage; the next call goes on behind it
 *     HERMES_ECLOSED    the end of a log that its last writer has closed
 *     HERMES_EGONE      where it looks again: the log has become shorter than what was read
 *                       (its end was lost in a power cut, or it is another log); reading goes on at its end
 *     HERMES_ENOMEM, HERMES_ELIMIT, HERMES_EACCESS, HERMES_EIO, HERMES_EVERSION
 *                       a segment or a window could not be opened, as hermes_log_reader_open() says; the next
 *                       call tries again
 *
 * As at the end of a file, HERMES_ECLOSED need not stay so: each further call looks whether somebody wrote,
 * or writes, and goes on with what was added, without a gap or a repeat. A writer that died, or whose
 * hermes_log_close() failed, has not closed the log: at its end there is none now, 0, until the next writer
 * closes it, or the machine starts anew.
 *
 * Cost: one cache line transfer from the writer's core, and 2 to 10 ns; of HERMES_ECLOSED, that of opening.
 */
HERMES_API int hermes_log_reader_poll(hermes_log_reader_t *reader, hermes_message_t *message);

/* The same, waiting up to timeout_ns: spins a little, then sleeps. 0: timed out. At HERMES_ECLOSED it does
 * not wait: who wants to be there when somebody writes again asks again. HERMES_EINTERRUPTED: a signal
 * handler ran meanwhile. */
HERMES_API int hermes_log_reader_wait(hermes_log_reader_t *reader, hermes_message_t *message,
                                      uint64_t timeout_ns);

/* Where to read next, in the log as it is now. After an error (a segment or a window could not be opened, as
 * hermes_log_reader_poll() says) the reader stands where it stood, and goes on there. */
HERMES_API int hermes_log_reader_seek_first(hermes_log_reader_t *reader);
HERMES_API int hermes_log_reader_seek_end(hermes_log_reader_t *reader);
/* The next message will be the first, in the order of the log, whose sequence (time stamp) is not below the
 * value. Where time stamps go back (a clock that was set, hermes_log_append_at()) earlier ones may follow it;
 * one far in the future is found for every time up to its own. Once retention has removed such a one, seeks
 * to times below it look at all headers from the oldest message on: as right, slower. */
HERMES_API int hermes_log_reader_seek_sequence(hermes_log_reader_t *reader, uint64_t sequence);
HERMES_API int hermes_log_reader_seek_time(hermes_log_reader_t *reader, uint64_t timestamp_ns);
/* position: that of a message, or hermes_log_reader_position() of an earlier reader. HERMES_EINVALID: not a
 * multiple of 64; HERMES_ENOTFOUND: behind the end, or within a message; HERMES_EGONE: older than what is
 * kept. */
HERMES_API int hermes_log_reader_seek_position(hermes_log_reader_t *reader, uint64_t position);
/* Of the next message, or of what fills the log up in front of it; behind the last message, where it is not
 * there yet, or the seek was to one that is not. */
HERMES_API uint64_t hermes_log_reader_position(const hermes_log_reader_t *reader);

HERMES_API void hermes_log_reader_close(hermes_log_reader_t *reader);
HERMES_API const char *hermes_log_reader_last_error(const hermes_log_reader_t *reader);

#ifdef __cplusplus
}
#endif
#endif
