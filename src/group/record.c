#include "group/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/path.h"

struct header {
    uint8_t magic[4]; /* "HGRC" */
    uint16_t version;
    uint16_t header_bytes;
    uint64_t topic_id;
    uint64_t floor;
    uint64_t cursor;
    uint64_t cursor_sequence;
    uint64_t lease_ns;
    uint32_t slots;
    uint32_t max_deliveries;
    uint32_t uid;
    uint32_t count;
    uint64_t redelivered;
    uint64_t expired;
    uint64_t dead;
    uint64_t lost;
    uint64_t page_id;
    char dead_letter[GROUP_DEAD_LETTER_BYTES];
    uint64_t lost_through; /* from version 2 on, as the next one */
    uint32_t generation;
    uint32_t made;        /* 0: by who did not write it, as the next ones */
    uint64_t last, known; /* of a durable subscription */
    uint8_t reserved[52];
    uint32_t crc; /* CRC-32 of the entries, then of the header up to here */
};

_Static_assert(sizeof(struct header) == GROUP_RECORD_HEADER_BYTES, "header");
_Static_assert(offsetof(struct header, lost_through) == 232, "lost_through");
_Static_assert(offsetof(struct header, crc) == 316, "crc");
_Static_assert(sizeof(struct group_record_entry) == 16, "entry");

/* ---- pages ---- */

static bool grow(struct group_record *record)
{
    uint32_t room = record->room == 0 ? 64 : record->room * 2;
    struct group_record_entry *grown = realloc(record->entries, room * sizeof *grown);
    if (grown == NULL)
        return false;
    record->entries = grown;
    record->room = room;
    return true;
}

static uint64_t load_word(struct group_page *page, uint64_t mask, uint64_t position)
{
    return atomic_load_explicit(&page->slot[position >> 6 & mask], memory_order_acquire);
}

static int take_word(struct group_record *record, uint64_t position, uint64_t word)
{
    enum group_state state = group_state_of(word);
    if (!group_is_of(word, position) || (state == GROUP_DONE && position < record->cursor))
        return HERMES_OK;
    if (group_is_nobodys(word)) /* there is nothing to give out again */
        return HERMES_OK;
    if (record->count == record->room && !grow(record))
        return HERMES_ENOMEM;
    record->entries[record->count++] = (struct group_record_entry){
        .position = position,
        .deliveries = group_deliveries_of(word),
        .state = state == GROUP_DONE   ? ENTRY_DONE
                 : state == GROUP_DEAD ? ENTRY_DEAD
                                       : ENTRY_AVAILABLE,
    };
    return HERMES_OK;
}

/*
 * The cursor is a hint, and may be an older one than claims are: these have words, and none that has no word
 * stands between them but what could not be read. So what is claimed or done behind the cursor is looked for
 * as far as there are words, the least span of a page apart.
 */
static int take_words(struct group_record *record, struct group_page *page, uint64_t mask)
{
    const uint64_t span = (mask + 1) << 6, ahead = (uint64_t)GROUP_SLOTS_MIN << 6;
    uint64_t end = record->cursor - record->floor < span ? record->cursor : record->floor + span;
    for (uint64_t at = record->floor; at - record->floor < span && at < end + ahead; at += 64) {
        uint64_t word = load_word(page, mask, at);
        if (at >= end && group_is_of(word, at))
            end = at;
        int rc = take_word(record, at, word);
        if (rc < 0)
            return rc;
    }
    return HERMES_OK;
}

int group_record_take(struct group_record *record, struct group_page *page, uint64_t mask)
{
    int rc = HERMES_OK;
    record->count = 0;
    /* First: a gap that is counted meanwhile is rather counted again than not at all. */
    record->lost_through = atomic_load(&page->lost_through);
    record->floor = record->slots == 0 ? group_sane(atomic_load(&page->floor)) : group_advance(page, mask);
    /* Before the words: what is claimed behind it has one, or comes again. */
    struct group_place edge = group_edge(page);
    record->cursor_sequence = edge.sequence;
    record->cursor = record->slots == 0 ? record->floor : edge.position;
    if (record->cursor < record->floor)
        record->cursor = record->floor;
    if (record->slots != 0)
        rc = take_words(record, page, mask);
    record->redelivered = atomic_load(&page->redelivered);
    record->expired = atomic_load(&page->expired);
    record->dead = atomic_load(&page->dead);
    record->lost = atomic_load(&page->lost);
    record->generation = atomic_load(&page->generation);
    if (record->slots == 0) {
        record->last = atomic_load(&page->members[0].last);
        record->known = atomic_load(&page->members[0].known);
    }
    return rc;
}

bool group_page_fits(struct group_page *page, uint64_t mask, uint64_t end)
{
    uint64_t floor = group_sane(atomic_load(&page->floor));
    if (floor > end || (mask != 0 && atomic_load(&page->cursor) > end))
        return false;
    for (uint64_t at = end; mask != 0 && at - floor < (mask + 1) << 6; at += 64)
        if (group_is_of(load_word(page, mask, at), at))
            return false;
    return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* So many members may have come between two records, of whom the last one knows nothing. */
enum { GENERATIONS_A_RECORD = 64 };

static void restore_done(struct group_page *page, uint64_t mask, const struct group_record_entry *entry)
{
    atomic_store(&page->slot[entry->position >> 6 & mask],
                 group_word(entry->position, entry->deliveries, 0, 0, GROUP_DONE));
}

void group_record_restore(const struct group_record *record, struct group_page *page, uint64_t mask,
                          struct group_place end)
{
    uint64_t floor = least(record->floor, end.position), cursor = least(record->cursor, end.position);
    bool cut = record->cursor > end.position;
    atomic_store(&page->floor, floor);
    group_set_edge(page, cursor, cut ? end.sequence : record->cursor_sequence);
    /* Where that ends, no record says. */
    group_set_counted(page, least(record->lost_through, end.sequence), floor);
    atomic_store(&page->redelivered, record->redelivered);
    atomic_store(&page->expired, record->expired);
    atomic_store(&page->dead, record->dead);
    atomic_store(&page->lost, record->lost);
    atomic_store(&page->generation, (record->generation + GENERATIONS_A_RECORD) % GROUP_GENERATIONS);
    atomic_store(&page->max_deliveries, record->max_deliveries);
    atomic_store(&page->members[0].last, record->last);
    atomic_store(&page->members[0].known, record->known);
    for (uint32_t i = 0; i < record->count; i++) {
        const struct group_record_entry *entry = &record->entries[i];
        if (entry->position < floor || entry->position >= end.position)
            continue;
        if (entry->state == ENTRY_DONE)
            restore_done(page, mask, entry);
        else
            group_restore(page, mask, entry->position, entry->deliveries, entry->state == ENTRY_DEAD);
    }
}

bool group_record_equal(const struct group_record *a, const struct group_record *b)
{
    return a->floor == b->floor && a->cursor == b->cursor && a->lease_ns == b->lease_ns &&
           a->max_deliveries == b->max_deliveries && a->count == b->count &&
           strcmp(a->dead_letter, b->dead_letter) == 0 && a->redelivered == b->redelivered &&
           a->expired == b->expired && a->dead == b->dead && a->lost == b->lost &&
           a->cursor_sequence == b->cursor_sequence && a->lost_through == b->lost_through &&
           a->generation == b->generation &&
           (a->count == 0 || memcmp(a->entries, b->entries, a->count * sizeof *a->entries) == 0);
}

/* ---- files ---- */

/* A write that is short says why at the next try: a disk that is full says so only when nothing fits. */
static int write_all(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t now = write(fd, (const char *)bytes + done, size - done);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return -1;
        done += (size_t)now;
    }
    return 0;
}

int group_record_write(const struct group_record *record, const char *path, struct error_text *text)
{
    struct header header = {
        .magic = {'H', 'G', 'R', 'C'},
        .version = GROUP_RECORD_VERSION,
        .header_bytes = sizeof header,
        .topic_id = record->topic_id,
        .floor = record->floor,
        .cursor = record->cursor,
        .cursor_sequence = record->cursor_sequence,
        .lease_ns = record->lease_ns,
        .slots = record->slots,
        .max_deliveries = record->max_deliveries,
        .uid = record->uid,
        .count = record->count,
        .redelivered = record->redelivered,
        .expired = record->expired,
        .dead = record->dead,
        .lost = record->lost,
        .page_id = record->page_id,
        .lost_through = record->lost_through,
        .generation = record->generation,
        .made = record->made,
        .last = record->last,
        .known = record->known,
    };
    memcpy(header.dead_letter, record->dead_letter, sizeof header.dead_letter);
    size_t bytes = record->count * sizeof *record->entries;
    header.crc = crc32_update(0, record->entries, bytes);
    header.crc = crc32_update(header.crc, &header, offsetof(struct header, crc));
    char fresh[PATH_BYTES + 8];
    snprintf(fresh, sizeof fresh, "%s~", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(text, "create", fresh);
    int rc = HERMES_OK;
    if (write_all(fd, &header, sizeof header) != 0 || write_all(fd, record->entries, bytes) != 0 ||
        fdatasync(fd) != 0)
        rc = error_set_errno(text, "write", fresh);
    close(fd);
    if (rc == 0 && rename(fresh, path) != 0)
        rc = error_set_errno(text, "rename to", path);
    if (rc < 0)
        unlink(fresh);
    return rc < 0 ? rc : path_sync_parent(path, text);
}

int group_record_decode(struct group_record *record, const uint8_t *bytes, size_t size)
{
    struct header header;
    *record = (struct group_record){0};
    if (size < sizeof header)
        return HERMES_EMALFORMED;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, "HGRC", 4) != 0)
        return HERMES_EMALFORMED;
    if (header.version < 1 || header.version > GROUP_RECORD_VERSION)
        return HERMES_EVERSION;
    if (header.header_bytes != sizeof header ||
        size != sizeof header + (uint64_t)header.count * sizeof *record->entries)
        return HERMES_EMALFORMED;
    uint32_t crc = crc32_update(0, bytes + sizeof header, size - sizeof header);
    if (header.crc != crc32_update(crc, &header, offsetof(struct header, crc)))
        return HERMES_ECHECKSUM;
    if (!group_slots_are_legal(header.slots) || header.cursor < header.floor || header.floor % 64 != 0 ||
        header.cursor % 64 != 0 || memchr(header.dead_letter, 0, sizeof header.dead_letter) == NULL)
        return HERMES_EMALFORMED;
    *record = (struct group_record){
        .topic_id = header.topic_id,
        .floor = header.floor,
        .cursor = header.cursor,
        .cursor_sequence = header.cursor_sequence,
        .lease_ns = header.lease_ns,
        .slots = header.slots,
        .max_deliveries = header.max_deliveries,
        .uid = header.uid,
        .count = header.count,
        .redelivered = header.redelivered,
        .expired = header.expired,
        .dead = header.dead,
        .lost = header.lost,
        .page_id = header.page_id,
        .lost_through = header.lost_through,
        .generation = header.generation,
        .made = header.made,
        .last = header.last,
        .known = header.known,
        .room = header.count,
    };
    memcpy(record->dead_letter, header.dead_letter, sizeof record->dead_letter);
    if (header.count == 0)
        return HERMES_OK;
    record->entries = malloc(header.count * sizeof *record->entries);
    if (record->entries == NULL)
        return HERMES_ENOMEM;
    memcpy(record->entries, bytes + sizeof header, header.count * sizeof *record->entries);
    uint64_t next = header.floor, span = (uint64_t)header.slots * 64;
    for (uint32_t i = 0; i < header.count; i++) {
        const struct group_record_entry *entry = &record->entries[i];
        if (entry->position < next || entry->position % 64 != 0 || entry->position - header.floor >= span ||
            entry->deliveries > GROUP_DELIVERIES_MAX || entry->state > ENTRY_DONE) {
            group_record_release(record);
            return HERMES_EMALFORMED;
        }
        next = entry->position + 64;
    }
    return HERMES_OK;
}

int group_record_read(struct group_record *record, const char *path, struct error_text *text)
{
    *record = (struct group_record){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set_errno(text, "open", path);
    struct stat status;
    uint8_t *bytes = NULL;
    int rc = fstat(fd, &status) != 0 ? error_set_errno(text, "stat", path) : HERMES_OK;
    size_t size = rc == 0 ? (size_t)status.st_size : 0;
    const size_t most = GROUP_RECORD_HEADER_BYTES + (size_t)GROUP_SLOTS_MAX * sizeof *record->entries;
    if (rc == 0 && (!S_ISREG(status.st_mode) || size > most))
        rc = error_set(text, HERMES_EMALFORMED, "%s", path);
    if (rc == 0 && (bytes = malloc(size + 1)) == NULL)
        rc = error_set(text, HERMES_ENOMEM, "%s", path);
    if (rc == 0 && pread(fd, bytes, size, 0) != (ssize_t)size)
        rc = error_set(text, HERMES_EIO, "read %s", path);
    if (rc == 0 && (rc = group_record_decode(record, bytes, size)) < 0)
        error_set(text, rc, "%s", path);
    free(bytes);
    close(fd);
    return rc;
}

void group_record_release(struct group_record *record)
{
    free(record->entries);
    record->entries = NULL;
    record->count = record->room = 0;
}
