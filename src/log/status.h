/*
 * The status page: what the owner of a topic log (the broker; in embedded use the writer) says about
 * it. A file in shared memory that its owner alone may write and everybody else maps read-only.
 *
 *     0     identity        written once
 *     64    epochs          written when the publisher changes
 *     128   persisted       how far the store has copied the window: the writer's gate
 *     192   durable         how far fdatasync has confirmed
 *     256   first           the oldest position that still exists
 *     320   journal         shared topics: what the sequencer is about to append (see sequencer.c)
 *     384   bells           is the owner asleep, and the word it sleeps on
 *     1024  ring marks      shared topics: a word for each line, which its producer looks at after a commit
 *     4096  epoch records   one line for each of the latest epochs
 *     8192  rings           shared topics: one line for each producer's ring
 *
 * Epochs. One publisher, one window, one epoch. To end one whose publisher may still be alive, the owner (1)
 * stores seal = its epoch, (2) calls barrier_remote(), (3) finds the end P of the committed frames, (4)
 * stores P in the epoch's record. Then, or when the next publisher comes, it (5) copies what is readable into
 * a new window and (6) stores epoch. A publisher looks at the seal after each commit: if it still saw its
 * epoch unsealed, then (2) made its commit visible before (3). A reader looks at it after each frame that it
 * takes: a commit that came after (3) is seen only by who also sees the seal, and is thrown away. What a
 * publisher of epoch e was told is decided by the record of e, however many epochs came after it.
 *
 * The seal is one word with the owner's instance in its upper half, so that the one load that each
 * message pays for tells a publisher as well that a new broker serves and wants to be greeted.
 *
 * Rings. A producer of a shared topic looks at its line's mark instead: the ring's id for as long as this
 * broker takes from the ring. Its line is its own until it is closed, or another ring took it up: told by the
 * id, never by the line's number. `ended`: nothing more is taken, and consumed_sequence is final.
 */
#ifndef LOG_STATUS_H
#define LOG_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STATUS_MAGIC = 0x41545348, /* "HSTA" */
    STATUS_VERSION = 3,
    STATUS_RINGS = 256,
    STATUS_EPOCHS = 64,
    STATUS_BYTES = 4096 + STATUS_EPOCHS * 64 + STATUS_RINGS * 64,
};

enum status_state { STATE_OPEN = 1, STATE_CLOSED = 2, STATE_DELETED = 3, STATE_FAILED = 4 };

/* As enum hermes_durability, in the status page and in requests. */
enum log_durability { DURABILITY_ASYNC = 0, DURABILITY_SYNC = 1, DURABILITY_MEMORY = 2 };

/* Who may write the current epoch's window. */
enum status_writer { WRITER_NOBODY = 0, WRITER_CLIENT = 1, WRITER_OWNER = 2 };

/* Why an epoch is over. */
enum epoch_end {
    EPOCH_OPEN = 0,      /* it is not */
    EPOCH_LEFT = 1,      /* its publisher closed, or its session ended */
    EPOCH_REPLACED = 2,  /* another publisher, or another kind of publishing, took over */
    EPOCH_MALFORMED = 3, /* its window holds nonsense from the end on */
    EPOCH_STOPPED = 4,   /* the owner stopped in good order */
    EPOCH_LOST = 5,      /* a reboot or a power cut: the end is what the store has */
};

/* One epoch. The line of epoch e is number e mod STATUS_EPOCHS: only of the latest there is one. */
struct status_epoch {
    _Alignas(64) _Atomic uint32_t epoch; /* 0: this line is being written */
    _Atomic uint32_t end;                /* enum epoch_end */
    _Atomic uint64_t first_position, first_sequence;
    _Atomic uint64_t end_position, end_sequence; /* behind its last message; once it is over */
};

/* A copy of one. */
struct epoch_record {
    uint32_t epoch;
    uint32_t end; /* enum epoch_end */
    uint64_t first_position, first_sequence;
    uint64_t end_position, end_sequence;
};

enum ring_end {
    RING_TAKEN_FROM = 0,
    RING_ENDED = 1, /* its session was over, and all that it held is in the log */
    RING_LOST = 2,  /* it died with its broker: its producer may be alive, and ask */
};

/* One producer's ring of a shared topic, as the sequencer sees it. */
struct status_ring {
    _Alignas(64) _Atomic uint64_t id;   /* of the ring, never used twice; 0: free */
    _Atomic uint64_t consumed;          /* the ring's position up to which all is in the log */
    _Atomic uint64_t consumed_sequence; /* the last of its frames that is in the log */
    _Atomic uint64_t log_position;      /* the log's end when consumed was stored */
    _Atomic uint64_t log_sequence;
    _Atomic uint32_t refused; /* a frame was malformed: enum hermes_error, negated */
    _Atomic uint32_t ended;   /* enum ring_end; not 0: nothing more is taken from it */
    _Atomic uint64_t origin;  /* 1 + whose publisher from afar fills it, and may come again; 0: nobody's */
};

struct status {
    uint32_t magic;
    uint16_t version;
    uint16_t shared;
    uint64_t topic_id;
    uint64_t window_bytes;
    uint64_t segment_bytes;
    uint32_t durability;     /* enum log_durability */
    _Atomic uint32_t writer; /* enum status_writer. A client may come back after a crash */

    _Alignas(64) _Atomic uint64_t seal; /* instance << 32 | the last epoch that takes no more messages */
    _Atomic uint32_t epoch;
    uint32_t reserved2;
    _Atomic uint32_t state; /* enum status_state */
    _Atomic uint32_t error; /* why STATE_FAILED: enum hermes_error, negated */

    _Alignas(64) _Atomic uint64_t persisted;
    _Atomic uint64_t persisted_sequence;

    _Alignas(64) _Atomic uint64_t durable;
    _Atomic uint64_t durable_sequence;
    _Atomic uint32_t durable_bell; /* changes with durable; waiters sleep on it */

    _Alignas(64) _Atomic uint64_t first;
    _Atomic uint32_t full;       /* 1: there is no room for the store; heals by itself */
    _Atomic uint32_t full_waits; /* publishers then wait for room; else they are told at once */
    _Atomic uint64_t corrupt;    /* damaged frames that were found in the store */

    _Alignas(64) _Atomic uint64_t journal_ring; /* id of the ring being read; 0: none */
    _Atomic uint64_t journal_log_position;
    _Atomic uint64_t journal_sequence; /* that ring's last consumed one before it */
    _Atomic uint32_t journal_line;

    _Alignas(64) _Atomic uint32_t persister_bell; /* the owner's persister sleeps on it */
    _Atomic uint32_t sequencer_parked;            /* producers of a shared topic: write your eventfd */

    _Alignas(1024) _Atomic uint64_t ring_marks[STATUS_RINGS];

    _Alignas(4096) struct status_epoch epochs[STATUS_EPOCHS];

    struct status_ring rings[STATUS_RINGS];
};

_Static_assert(sizeof(struct status) == STATUS_BYTES, "size");
_Static_assert(offsetof(struct status, seal) == 64, "epochs");
_Static_assert(offsetof(struct status, persisted) == 128, "persisted");
_Static_assert(offsetof(struct status, durable) == 192, "durable");
_Static_assert(offsetof(struct status, first) == 256, "first");
_Static_assert(offsetof(struct status, journal_ring) == 320, "journal");
_Static_assert(offsetof(struct status, persister_bell) == 384, "bells");
_Static_assert(offsetof(struct status, ring_marks) == 1024, "marks");
_Static_assert(offsetof(struct status, epochs) == 4096, "records");
_Static_assert(offsetof(struct status, rings) == 8192, "rings");
_Static_assert(sizeof(struct status_epoch) == 64, "record");
_Static_assert(sizeof(struct status_ring) == 64, "ring");

static inline uint64_t status_seal(uint32_t instance, uint32_t sealed_epoch)
{
    return (uint64_t)instance << 32 | sealed_epoch;
}

/* Acquire pairs with the owner's release: who sees the seal sees what led to it. */
static inline uint64_t status_load_seal(const struct status *status)
{
    return atomic_load_explicit(&status->seal, memory_order_acquire);
}

/* Acquire pairs with the release in log_close(): the last epoch's record is final. */
static inline bool status_is_closed(const struct status *status)
{
    uint32_t state = atomic_load_explicit(&status->state, memory_order_acquire);
    return state == STATE_CLOSED || state == STATE_DELETED;
}

/* The owner's: says what is known of an epoch, in the place of the one STATUS_EPOCHS before it. */
void status_note_epoch(struct status *status, const struct epoch_record *record);

/* Anybody's. false: the page does not have it (any more). */
bool status_find_epoch(const struct status *status, uint32_t epoch, struct epoch_record *record);

#endif
