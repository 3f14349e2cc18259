/*
 * Counters in shared memory: a catalogue that says by itself what is in it. The broker writes it, whoever may
 * enter its directory in /dev/shm reads it, without a word with the broker, and after its death as before.
 *
 *     <shm>/broker.counters   (SHM_COUNTERS of base/shm.h)
 *     0      header      written once, but for `entries` and `state`
 *     4096   columns     what values there are: of which kind of entry, what unit, where they stand
 *     16384  entries     each of one topic, session, publisher, ...; the file grows with them
 *     <shm>/clients.told      (SHM_TOLD)
 *     line i is told by the client that has entry i (log/told.h)
 *
 * docs/reference/counters.md has the same in words.
 *
 * An entry is one thing's from its generation's becoming odd until it is even again. Identity and label are
 * written before, each value by exactly one thread, 64 bits, at once, whenever it changes. Who reads looks at
 * the generation before and after: the same odd number means that all it read is of one thing.
 *
 * Most values cost nobody anything: they stand where they stood before there were counters, and a column says
 * where (enum counters_source).
 */
#ifndef COUNTERS_PAGE_H
#define COUNTERS_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "hermes/error.h"

enum {
    COUNTERS_MAGIC = 0x544E4348, /* "HCNT" */
    COUNTERS_VERSION = 1,
    COUNTERS_COLUMNS_AT = 4096,
    COUNTERS_COLUMNS_MAX = 192,
    COUNTERS_ENTRIES_AT = 16384,
    COUNTERS_ENTRIES_MAX = 1 << 17,
    COUNTERS_LABEL_WORDS = 16,
    COUNTERS_VALUES = 16,
    COUNTERS_PATH_BYTES = 1024,
};

/* What an entry is of. Numbers are for good; 8 to 15 are the network's: connections, mirrors, transports. */
enum counters_kind {
    COUNTERS_LOOP = 1,
    COUNTERS_TOPIC = 2,
    COUNTERS_STORE = 3, /* and persister, of a stored topic */
    COUNTERS_SESSION = 4,
    COUNTERS_PUBLISHER = 5,
    COUNTERS_SUBSCRIBER = 6,
    COUNTERS_GROUP = 7,
    COUNTERS_MIRROR = 8,
    COUNTERS_KINDS = 16,
};

/* A counter only grows, from the entry's beginning on; a gauge is how it stands. */
enum counters_type { COUNTERS_COUNTER = 1, COUNTERS_GAUGE = 2 };

/* Where a column's value stands. All but the first are files beside this one, of the entry's topic. */
enum counters_source {
    COUNTERS_IN_ENTRY = 0,  /* offset is that of its value in the entry */
    COUNTERS_IN_STATUS = 1, /* <topic>.status */
    COUNTERS_IN_WINDOW = 2, /* <topic>.<epoch>.window; the epoch is a column of the topic */
    COUNTERS_IN_READERS =
        3, /* <topic>.readers, in the line that the entry's value `waited_for_line` - 1 names */
    COUNTERS_IN_RING = 4, /* <topic>.status, in the ring that the entry's value `ring_line` - 1 names */
    COUNTERS_TOLD = 5,    /* the entry's line of clients.told */
    COUNTERS_IN_READERS_PAGE = 6, /* <topic>.readers */
};

struct counters_column {
    char name[28]; /* with its unit, as it stands in JSON */
    char unit[12];
    uint16_t kind;   /* enum counters_kind */
    uint16_t type;   /* enum counters_type */
    uint16_t source; /* enum counters_source */
    uint16_t bytes;  /* of the value there: 4 or 8 */
    uint32_t offset; /* there */
    uint32_t reserved[3];
};

struct counters_header {
    uint32_t magic;
    uint16_t version;
    uint16_t columns; /* that there are */
    uint32_t columns_at, column_bytes;
    uint32_t entries_at, entry_bytes;
    uint32_t pid, uid;
    uint32_t instance;
    uint32_t reserved;
    uint64_t process_began; /* field 22 of /proc/<pid>/stat: which process had that pid */
    uint64_t pid_namespace; /* inode of /proc/self/ns/pid: where pids mean what they say */
    uint64_t began_ns;      /* CLOCK_MONOTONIC */
    uint64_t began_at_ns;   /* since 1970 */

    _Alignas(64) _Atomic uint64_t entries; /* there is room for so many by now; only grows */
    _Atomic uint64_t missing;              /* counter: entries that found no room */
    _Atomic uint64_t state;                /* enum counters_state */

    _Alignas(64) char kinds[COUNTERS_KINDS][16];
    char socket[COUNTERS_PATH_BYTES]; /* "": it does not fit */
    char data[COUNTERS_PATH_BYTES];
};

enum counters_state { COUNTERS_SERVING = 1, COUNTERS_STOPPED = 2 };

struct counters_entry {
    _Alignas(64) _Atomic uint64_t generation; /* odd: it is somebody's */
    _Atomic uint64_t kind;                    /* enum counters_kind */
    _Atomic uint64_t id;                      /* a topic's, a session's; of others a number of their own */
    _Atomic uint64_t topic;                   /* id of the topic it belongs to; 0: none */
    _Atomic uint64_t session;                 /* id of the session it belongs to; 0: none */
    _Atomic uint64_t owner;                   /* pid << 32 | uid */
    _Atomic uint64_t began_ns;                /* CLOCK_MONOTONIC */
    _Atomic uint64_t reserved;
    _Alignas(64) _Atomic uint64_t label[COUNTERS_LABEL_WORDS]; /* a name, zeros behind it */
    _Alignas(64) _Atomic uint64_t value[COUNTERS_VALUES];
};

_Static_assert(sizeof(struct counters_column) == 64, "column");
_Static_assert(sizeof(struct counters_header) <= COUNTERS_COLUMNS_AT, "header");
_Static_assert(COUNTERS_COLUMNS_AT + COUNTERS_COLUMNS_MAX * 64 <= COUNTERS_ENTRIES_AT, "columns");
_Static_assert(offsetof(struct counters_header, entries) == 128, "entries");
_Static_assert(offsetof(struct counters_header, kinds) == 192, "kinds");
_Static_assert(sizeof(struct counters_entry) == 320, "entry");
_Static_assert(offsetof(struct counters_entry, label) == 64, "label");
_Static_assert(offsetof(struct counters_entry, value) == 192, "values");

/* ---- values that stand in entries, by kind ---- */

enum counters_loop_value {
    LOOP_SEEN_NS,
    LOOP_SLEEPS,
    LOOP_LONGEST_TURN_NS,
    LOOP_LONGEST_OWN_NS,
    LOOP_BLOCKED_TURNS,
    LOOP_SESSIONS,
    LOOP_TOPICS,
    LOOP_NOTES_LOST,
    LOOP_REFUSED_CONNECTIONS,
    LOOP_REFUSED_TOKENS,
    LOOP_REFUSED_REQUESTS,
};
enum counters_topic_value { TOPIC_SHARED, TOPIC_DURABILITY, TOPIC_PUSH_BACK, TOPIC_REFUSED };
enum counters_store_value { STORE_SYNCS, STORE_LONGEST_SYNC_NS, STORE_SYNC_NS, STORE_TROUBLES };
enum counters_session_value { SESSION_REQUESTS };
enum counters_publisher_value { PUBLISHER_RING_LINE };
enum counters_subscriber_value { SUBSCRIBER_GROUP, SUBSCRIBER_WAITED_FOR_LINE };
enum counters_group_value {
    GROUP_DURABLE,
    GROUP_DONE_POSITION,
    GROUP_CLAIMED_POSITION,
    GROUP_CLAIMED_SEQUENCE,
    GROUP_IN_FLIGHT,
    GROUP_REDELIVERED,
    GROUP_EXPIRED,
    GROUP_DEAD_MESSAGES,
    GROUP_LOST,
    GROUP_LOOKED_NS,
};

enum counters_mirror_value {
    MIRROR_COUNTS_FOLLOWS,
    MIRROR_COUNTS_STATE,
    MIRROR_COUNTS_RECEIVERS,
    MIRROR_COUNTS_POSITION,
    MIRROR_COUNTS_LAG,
    MIRROR_COUNTS_RTT_NS,
    MIRROR_COUNTS_DATAGRAMS,
    MIRROR_COUNTS_BYTES,
    MIRROR_COUNTS_LOST,
    MIRROR_COUNTS_REPAIRED,
    MIRROR_COUNTS_GONE,
    MIRROR_COUNTS_DUPLICATES,
    MIRROR_COUNTS_NAKS,
    MIRROR_COUNTS_OVERRUNS,
    MIRROR_COUNTS_REFUSED,
};

/* Relaxed: a value stands for itself. */
static inline void counters_set(struct counters_entry *entry, unsigned value, uint64_t to)
{
    atomic_store_explicit(&entry->value[value], to, memory_order_relaxed);
}

/* Of the value's one writer. */
static inline void counters_add(struct counters_entry *entry, unsigned value, uint64_t more)
{
    uint64_t before = atomic_load_explicit(&entry->value[value], memory_order_relaxed);
    atomic_store_explicit(&entry->value[value], before + more, memory_order_relaxed);
}

/* What one reads of an entry at once. */
struct counters_copy {
    uint64_t generation;
    uint64_t kind, id, topic, session;
    uint32_t pid, uid;
    uint64_t began_ns;
    char label[COUNTERS_LABEL_WORDS * 8 + 1];
    uint64_t value[COUNTERS_VALUES];
};

/* false: it is nobody's, or changes hands at this moment. */
bool counters_read(const struct counters_entry *entry, struct counters_copy *copy);

/* All columns that this version has. */
const struct counters_column *counters_columns(unsigned *count);
const char *counters_kind_name(unsigned kind);

#endif
