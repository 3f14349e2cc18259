/* Which values there are, and where they stand. What is added goes to the end of its kind. */
#include <string.h>

#include "counters/page.h"
#include "group/readers.h"
#include "log/status.h"
#include "log/told.h"
#include "log/window.h"

#define ENTRY(of, kind_of, value_name, unit_name, at)                                                        \
    {                                                                                                        \
        .name = value_name, .unit = unit_name, .kind = of, .type = kind_of, .source = COUNTERS_IN_ENTRY,     \
        .bytes = 8, .offset = (uint32_t)(offsetof(struct counters_entry, value) + 8 * (at))                  \
    }

#define FIELD(of, kind_of, value_name, unit_name, from, type_name, field)                                    \
    {                                                                                                        \
        .name = value_name, .unit = unit_name, .kind = of, .type = kind_of, .source = from,                  \
        .bytes = (uint16_t)sizeof(((type_name *)0)->field), .offset = (uint32_t)offsetof(type_name, field)   \
    }

#define TOLD(of, kind_of, value_name, unit_name, at)                                                         \
    {                                                                                                        \
        .name = value_name, .unit = unit_name, .kind = of, .type = kind_of, .source = COUNTERS_TOLD,         \
        .bytes = 8, .offset = 8 * (at)                                                                       \
    }

enum { COUNTER = COUNTERS_COUNTER, GAUGE = COUNTERS_GAUGE };

static const struct counters_column columns[] = {
    ENTRY(COUNTERS_LOOP, GAUGE, "seen_monotonic_ns", "ns", LOOP_SEEN_NS),
    ENTRY(COUNTERS_LOOP, COUNTER, "sleeps", "count", LOOP_SLEEPS),
    ENTRY(COUNTERS_LOOP, GAUGE, "longest_turn_ns", "ns", LOOP_LONGEST_TURN_NS),
    ENTRY(COUNTERS_LOOP, GAUGE, "longest_own_turn_ns", "ns", LOOP_LONGEST_OWN_NS),
    ENTRY(COUNTERS_LOOP, COUNTER, "blocked_turns", "count", LOOP_BLOCKED_TURNS),
    ENTRY(COUNTERS_LOOP, GAUGE, "sessions", "count", LOOP_SESSIONS),
    ENTRY(COUNTERS_LOOP, GAUGE, "topics", "count", LOOP_TOPICS),
    ENTRY(COUNTERS_LOOP, COUNTER, "notes_lost", "count", LOOP_NOTES_LOST),
    ENTRY(COUNTERS_LOOP, COUNTER, "refused_connections", "count", LOOP_REFUSED_CONNECTIONS),
    ENTRY(COUNTERS_LOOP, COUNTER, "refused_tokens", "count", LOOP_REFUSED_TOKENS),
    ENTRY(COUNTERS_LOOP, COUNTER, "refused_requests", "count", LOOP_REFUSED_REQUESTS),

    ENTRY(COUNTERS_TOPIC, GAUGE, "is_shared", "flag", TOPIC_SHARED),
    ENTRY(COUNTERS_TOPIC, GAUGE, "durability", "enum", TOPIC_DURABILITY),
    ENTRY(COUNTERS_TOPIC, GAUGE, "pushes_back", "flag", TOPIC_PUSH_BACK),
    FIELD(COUNTERS_TOPIC, GAUGE, "epoch", "number", COUNTERS_IN_STATUS, struct status, epoch),
    FIELD(COUNTERS_TOPIC, GAUGE, "state", "enum", COUNTERS_IN_STATUS, struct status, state),
    FIELD(COUNTERS_TOPIC, GAUGE, "error", "number", COUNTERS_IN_STATUS, struct status, error),
    FIELD(COUNTERS_TOPIC, COUNTER, "head_position_bytes", "bytes", COUNTERS_IN_WINDOW, struct window,
          position),
    FIELD(COUNTERS_TOPIC, COUNTER, "next_sequence", "messages", COUNTERS_IN_WINDOW, struct window, sequence),
    FIELD(COUNTERS_TOPIC, GAUGE, "window_bytes", "bytes", COUNTERS_IN_STATUS, struct status, window_bytes),
    ENTRY(COUNTERS_TOPIC, COUNTER, "refused_frames", "frames", TOPIC_REFUSED),
    FIELD(COUNTERS_TOPIC, GAUGE, "waits_until_bytes", "bytes", COUNTERS_IN_READERS_PAGE, struct readers,
          wanted),

    FIELD(COUNTERS_STORE, COUNTER, "persisted_position_bytes", "bytes", COUNTERS_IN_STATUS, struct status,
          persisted),
    FIELD(COUNTERS_STORE, COUNTER, "durable_position_bytes", "bytes", COUNTERS_IN_STATUS, struct status,
          durable),
    FIELD(COUNTERS_STORE, COUNTER, "first_position_bytes", "bytes", COUNTERS_IN_STATUS, struct status, first),
    FIELD(COUNTERS_STORE, GAUGE, "is_full", "flag", COUNTERS_IN_STATUS, struct status, full),
    FIELD(COUNTERS_STORE, COUNTER, "damaged_frames", "frames", COUNTERS_IN_STATUS, struct status, corrupt),
    ENTRY(COUNTERS_STORE, COUNTER, "syncs", "count", STORE_SYNCS),
    ENTRY(COUNTERS_STORE, COUNTER, "sync_time_ns", "ns", STORE_SYNC_NS),
    ENTRY(COUNTERS_STORE, GAUGE, "longest_sync_ns", "ns", STORE_LONGEST_SYNC_NS),
    ENTRY(COUNTERS_STORE, COUNTER, "troubles", "count", STORE_TROUBLES),

    ENTRY(COUNTERS_SESSION, COUNTER, "requests", "count", SESSION_REQUESTS),

    ENTRY(COUNTERS_PUBLISHER, GAUGE, "ring_line", "number", PUBLISHER_RING_LINE),
    FIELD(COUNTERS_PUBLISHER, COUNTER, "taken_bytes", "bytes", COUNTERS_IN_RING, struct status_ring,
          consumed),
    FIELD(COUNTERS_PUBLISHER, COUNTER, "taken_sequence", "messages", COUNTERS_IN_RING, struct status_ring,
          consumed_sequence),
    TOLD(COUNTERS_PUBLISHER, COUNTER, "refused_calls", "count", TOLD_REFUSED),
    TOLD(COUNTERS_PUBLISHER, COUNTER, "waits", "count", TOLD_WAITS),

    ENTRY(COUNTERS_SUBSCRIBER, GAUGE, "group", "id", SUBSCRIBER_GROUP),
    ENTRY(COUNTERS_SUBSCRIBER, GAUGE, "waited_for_line", "number", SUBSCRIBER_WAITED_FOR_LINE),
    FIELD(COUNTERS_SUBSCRIBER, GAUGE, "waited_for_at_bytes", "bytes", COUNTERS_IN_READERS,
          struct readers_line, cursor),
    TOLD(COUNTERS_SUBSCRIBER, COUNTER, "position_bytes", "bytes", TOLD_POSITION),
    TOLD(COUNTERS_SUBSCRIBER, COUNTER, "lost_messages", "messages", TOLD_LOST),
    TOLD(COUNTERS_SUBSCRIBER, COUNTER, "damaged_frames", "frames", TOLD_DAMAGED),

    ENTRY(COUNTERS_GROUP, GAUGE, "is_durable", "flag", GROUP_DURABLE),
    ENTRY(COUNTERS_GROUP, COUNTER, "done_position_bytes", "bytes", GROUP_DONE_POSITION),
    ENTRY(COUNTERS_GROUP, COUNTER, "claimed_position_bytes", "bytes", GROUP_CLAIMED_POSITION),
    ENTRY(COUNTERS_GROUP, COUNTER, "claimed_sequence", "messages", GROUP_CLAIMED_SEQUENCE),
    ENTRY(COUNTERS_GROUP, GAUGE, "in_flight_messages", "messages", GROUP_IN_FLIGHT),
    ENTRY(COUNTERS_GROUP, COUNTER, "redelivered_messages", "messages", GROUP_REDELIVERED),
    ENTRY(COUNTERS_GROUP, COUNTER, "expired_leases", "count", GROUP_EXPIRED),
    ENTRY(COUNTERS_GROUP, COUNTER, "dead_messages", "messages", GROUP_DEAD_MESSAGES),
    ENTRY(COUNTERS_GROUP, COUNTER, "lost_messages", "messages", GROUP_LOST),
    ENTRY(COUNTERS_GROUP, GAUGE, "looked_monotonic_ns", "ns", GROUP_LOOKED_NS),

    ENTRY(COUNTERS_MIRROR, GAUGE, "follows", "flag", MIRROR_COUNTS_FOLLOWS),
    ENTRY(COUNTERS_MIRROR, GAUGE, "state", "enum", MIRROR_COUNTS_STATE),
    ENTRY(COUNTERS_MIRROR, GAUGE, "receivers", "count", MIRROR_COUNTS_RECEIVERS),
    ENTRY(COUNTERS_MIRROR, GAUGE, "position_bytes", "bytes", MIRROR_COUNTS_POSITION),
    ENTRY(COUNTERS_MIRROR, GAUGE, "behind_bytes", "bytes", MIRROR_COUNTS_LAG),
    ENTRY(COUNTERS_MIRROR, GAUGE, "round_trip_ns", "ns", MIRROR_COUNTS_RTT_NS),
    ENTRY(COUNTERS_MIRROR, COUNTER, "datagrams", "count", MIRROR_COUNTS_DATAGRAMS),
    ENTRY(COUNTERS_MIRROR, COUNTER, "log_bytes", "bytes", MIRROR_COUNTS_BYTES),
    ENTRY(COUNTERS_MIRROR, GAUGE, "missed_bytes", "bytes", MIRROR_COUNTS_LOST),
    ENTRY(COUNTERS_MIRROR, COUNTER, "repaired_bytes", "bytes", MIRROR_COUNTS_REPAIRED),
    ENTRY(COUNTERS_MIRROR, COUNTER, "gone", "count", MIRROR_COUNTS_GONE),
    ENTRY(COUNTERS_MIRROR, COUNTER, "duplicates", "count", MIRROR_COUNTS_DUPLICATES),
    ENTRY(COUNTERS_MIRROR, COUNTER, "naks", "count", MIRROR_COUNTS_NAKS),
    ENTRY(COUNTERS_MIRROR, COUNTER, "overruns", "count", MIRROR_COUNTS_OVERRUNS),
    ENTRY(COUNTERS_MIRROR, COUNTER, "refused_datagrams", "count", MIRROR_COUNTS_REFUSED),
};

_Static_assert(sizeof columns / sizeof columns[0] <= COUNTERS_COLUMNS_MAX, "columns");

const struct counters_column *counters_columns(unsigned *count)
{
    *count = sizeof columns / sizeof columns[0];
    return columns;
}

const char *counters_kind_name(unsigned kind)
{
    static const char *const names[COUNTERS_KINDS] = {
        [COUNTERS_LOOP] = "loop",           [COUNTERS_TOPIC] = "topic",
        [COUNTERS_STORE] = "store",         [COUNTERS_SESSION] = "session",
        [COUNTERS_PUBLISHER] = "publisher", [COUNTERS_SUBSCRIBER] = "subscriber",
        [COUNTERS_GROUP] = "group",         [COUNTERS_MIRROR] = "mirror",
    };
    return kind < COUNTERS_KINDS && names[kind] != NULL ? names[kind] : "";
}
