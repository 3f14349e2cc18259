/* Searches among the segments of a store: by any thread, in the list that its owner published last. */
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/standard.h"
#include "log/store.h"

static int open_entry(const struct store *store, const struct store_entry *entry, int flags, int *fd,
                      struct error_text *text)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(entry->base, name);
    *fd = standard_move_above(openat(store->directory, name, flags | O_CLOEXEC | O_NOFOLLOW));
    return *fd < 0 ? error_set_errno(text, "open segment", name) : HERMES_OK;
}

int store_open_segment(const struct store *store, size_t i, int flags, int *fd, struct error_text *text)
{
    return open_entry(store, &store->entries[i], flags, fd, text);
}

static bool know(const struct store *store, struct store_entry *entry)
{
    struct error_text ignored;
    int fd;
    /* Acquire pairs with the release below: who sees the sequence sees the time. */
    if (atomic_load_explicit(&entry->first_sequence, memory_order_acquire) != 0)
        return true;
    if (open_entry(store, entry, O_RDONLY, &fd, &ignored) < 0)
        return false;
    struct segment_header header;
    int rc = segment_read_header(fd, &header);
    close(fd);
    if (rc < 0 || header.base != entry->base || header.size != store->segment_bytes ||
        header.topic_id != store->topic_id)
        return false;
    atomic_store_explicit(&entry->created, header.created, memory_order_relaxed);
    atomic_store_explicit(&entry->first_sequence, header.first_sequence, memory_order_release);
    return true;
}

bool store_know(struct store *store, size_t i)
{
    return know(store, &store->entries[i]);
}

static uint64_t created_of(const struct store_entry *entry)
{
    return atomic_load_explicit(&entry->created, memory_order_relaxed);
}

/* Whether entry->before is known: the first entry of its index has it. */
static bool know_time(const struct store *store, struct store_entry *entry)
{
    struct index_entry first;
    /* Acquire pairs with the release below. */
    if (atomic_load_explicit(&entry->timed, memory_order_acquire))
        return true;
    if (!know(store, entry) ||
        !index_find(store->directory, entry->base, entry->base + 1, created_of(entry), true, 0, &first))
        return false;
    atomic_store_explicit(&entry->before, first.timestamp, memory_order_relaxed);
    atomic_store_explicit(&entry->timed, true, memory_order_release);
    return true;
}

/* Is what is searched for in that segment or behind it? -1: that cannot be known. */
static int is_behind(const struct store *store, struct store_entry *entry, enum store_key key, uint64_t value)
{
    if (key == STORE_BY_POSITION)
        return entry->base <= value;
    if (key == STORE_BY_SEQUENCE)
        return know(store, entry)
                   ? atomic_load_explicit(&entry->first_sequence, memory_order_relaxed) <= value
                   : -1;
    return know_time(store, entry) ? atomic_load_explicit(&entry->before, memory_order_relaxed) < value : -1;
}

/* The last segment that what is searched for can be in. */
static struct store_entry *find_segment(const struct store *store, struct segment_list *list,
                                        enum store_key key, uint64_t value)
{
    struct store_entry *entries = list->entries;
    size_t low = 0, high = list->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2, at = middle;
        int behind = is_behind(store, &entries[at], key, value);
        while (behind < 0 && at > low + 1) /* damaged: its neighbours know */
            behind = is_behind(store, &entries[--at], key, value);
        for (at = behind < 0 ? middle : at; behind < 0 && at < high - 1;)
            behind = is_behind(store, &entries[++at], key, value);
        if (behind < 0)
            break;
        *(behind ? &low : &high) = at;
    }
    return &entries[low];
}

static int find_in(const struct store *store, struct segment_list *list, enum store_key key, uint64_t value,
                   struct store_place *place, struct error_text *text)
{
    if (list == NULL || list->count == 0)
        return error_say(text, HERMES_ENOTFOUND, "the store is empty");
    /* Acquire pairs with store_purge(). */
    const uint64_t floor = atomic_load_explicit(&store->floor, memory_order_acquire);
    const uint64_t first = floor > list->entries[0].base ? floor : list->entries[0].base;
    if (key == STORE_BY_POSITION && value < first)
        return error_say(text, HERMES_EGONE, "position %" PRIu64 " is gone; the first is %" PRIu64, value,
                         first);
    struct store_entry *entry = find_segment(store, list, key, value);
    if (key == STORE_BY_POSITION && value - entry->base >= store->segment_bytes)
        return error_say(text, HERMES_ENOTFOUND, "the segment with position %" PRIu64 " is missing", value);
    place->position = entry->base;
    bool known = know(store, entry);
    if (known)
        place->sequence = atomic_load_explicit(&entry->first_sequence, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&store->searchable, memory_order_relaxed);
    if (end > entry->base + store->segment_bytes)
        end = entry->base + store->segment_bytes;
    struct index_entry found;
    if (known && key == STORE_BY_POSITION
            ? index_last(store->directory, entry->base, value < end ? value : end, created_of(entry), &found)
            : known && index_find(store->directory, entry->base, end, created_of(entry), key == STORE_BY_TIME,
                                  value, &found)) {
        place->position = found.position;
        place->sequence = found.sequence;
        place->indexed = true;
    }
    return open_entry(store, entry, O_RDONLY, &place->fd, text);
}

int store_find(struct store *store, enum store_key key, uint64_t value, struct store_place *place,
               struct error_text *text)
{
    bool again;
    int rc;
    do {
        *place = (struct store_place){.fd = -1};
        struct segment_list *list = segments_take(&store->segments);
        rc = find_in(store, list, key, value, place, text);
        again = segments_give_back(&store->segments, list) && rc == HERMES_ENOTFOUND; /* retired meanwhile */
    } while (again);
    return rc;
}
