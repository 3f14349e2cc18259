#include "log/origins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/standard.h"

struct slot {
    uint8_t magic[4];
    uint16_t version, reserved;
    uint64_t generation;
    uint64_t position;
    uint32_t forgotten;
    uint32_t epoch;
    uint32_t count;
    uint8_t reserved2[24];
    uint32_t crc;
    struct origin known[];
};

_Static_assert(sizeof(struct slot) == 64, "a slot's head is 64 bytes");
_Static_assert(sizeof(struct slot) + ORIGINS_KEPT * sizeof(struct origin) == ORIGINS_SLOT_BYTES, "slot");

/* ---- frames ---- */

uint64_t origin_fill(uint8_t frame[ORIGIN_FRAME_BYTES], uint64_t sequence, const struct origin_mark *mark)
{
    const uint64_t word = hermes_commit_word(HERMES_TYPE_ORIGIN, HERMES_FLAG_CRC);
    hermes_header_t header = {.sequence = sequence, .length = sizeof *mark};
    header.crc = crc32_message(mark, sizeof *mark, word, sequence, 0);
    memcpy(frame + 8, (const uint8_t *)&header + 8, sizeof header - 8);
    memcpy(frame + sizeof header, mark, sizeof *mark);
    return word;
}

bool origin_read(const struct frame *frame, struct origin_mark *mark)
{
    if (frame->header.type != HERMES_TYPE_ORIGIN || frame->header.length != sizeof *mark ||
        (frame->header.flags & HERMES_FLAG_CRC) == 0 ||
        hermes_message_verify(&frame->header, frame->payload, frame->bytes) < 0)
        return false;
    memcpy(mark, frame->payload, sizeof *mark);
    return mark->id != 0 && mark->first != 0;
}

/* ---- the table ---- */

static void forget(struct origins *origins, uint32_t epoch)
{
    origins->count = 0;
    origins->forgotten = epoch > origins->forgotten ? epoch : origins->forgotten;
}

static bool make_room(struct origins *origins)
{
    unsigned room = origins->room == 0 ? 16 : origins->room * 2;
    room = room < ORIGINS_KEPT ? room : ORIGINS_KEPT;
    struct origin *grown = realloc(origins->known, room * sizeof *grown);
    if (grown == NULL)
        return false;
    origins->known = grown;
    origins->room = room;
    return true;
}

/* To the front; what is at the end goes where there are too many. */
static void set(struct origins *origins, const struct origin *origin, uint32_t epoch)
{
    unsigned i = 0;
    while (i < origins->count && origins->known[i].id != origin->id)
        i++;
    if (i == origins->room && i < ORIGINS_KEPT && !make_room(origins)) {
        forget(origins, epoch);
        return;
    }
    if (i == ORIGINS_KEPT) {
        i--;
        origins->forgotten = epoch > origins->forgotten ? epoch : origins->forgotten;
    } else if (i == origins->count) {
        origins->count++;
    }
    memmove(origins->known + 1, origins->known, i * sizeof *origin);
    origins->known[0] = *origin;
}

void origins_set(struct origins *origins, const struct origin *origin, uint32_t epoch)
{
    pthread_mutex_lock(&origins->lock);
    set(origins, origin, epoch);
    pthread_mutex_unlock(&origins->lock);
}

void origins_drop(struct origins *origins, uint64_t id)
{
    pthread_mutex_lock(&origins->lock);
    unsigned i = 0;
    while (i < origins->count && origins->known[i].id != id)
        i++;
    if (i < origins->count) {
        origins->count--;
        memmove(origins->known + i, origins->known + i + 1, (origins->count - i) * sizeof origins->known[0]);
    }
    pthread_mutex_unlock(&origins->lock);
}

void origins_forget(struct origins *origins, uint64_t position, uint32_t epoch)
{
    pthread_mutex_lock(&origins->lock);
    forget(origins, epoch);
    origins->position = position;
    pthread_mutex_unlock(&origins->lock);
}

/* false: something is wrong before the end of the frames. The lock is held for one of them at a time: who
 * finds is the broker's loop. */
static bool note(struct origins *origins, struct frames *frames, uint32_t epoch)
{
    struct frame frame;
    struct origin_mark mark;
    int rc = 0;
    while (frames->position < frames->end && (rc = frames_next_message(frames, &frame)) > 0) {
        if (frame.header.type != HERMES_TYPE_ORIGIN)
            continue;
        if (!origin_read(&frame, &mark))
            return false;
        struct origin origin = {.id = mark.id,
                                .last = mark.first + mark.count - 1,
                                .behind = frame.header.sequence + mark.count,
                                .uid = mark.uid};
        origins_set(origins, &origin, epoch);
    }
    return rc >= 0;
}

void origins_note(struct origins *origins, struct frames frames, uint32_t epoch)
{
    if (origins->fd < 0)
        return;
    if (note(origins, &frames, epoch))
        return;
    pthread_mutex_lock(&origins->lock);
    forget(origins, epoch);
    pthread_mutex_unlock(&origins->lock);
}

static bool follow_segment(struct origins *origins, const struct store *store, size_t i, uint64_t *position,
                           uint32_t epoch)
{
    struct segment segment;
    struct error_text ignored;
    int fd;
    if (store_open_segment(store, i, O_RDONLY, &fd, &ignored) < 0)
        return false;
    int rc = segment_map(fd, &segment, &ignored);
    close(fd);
    if (rc < 0)
        return false;
    uint64_t base = store->entries[i].base, end = base + store->segment_bytes;
    struct frames frames = {.data = segment.data,
                            .base = base,
                            .end = end < store->position ? end : store->position,
                            .position = *position};
    bool good = segment.header.base == base && segment.header.size == store->segment_bytes &&
                note(origins, &frames, epoch);
    *position = frames.position;
    segment_release(&segment);
    return good;
}

void origins_follow(struct origins *origins, const struct store *store, uint32_t epoch)
{
    uint64_t position = origins->position;
    bool good = true;
    for (size_t i = 0; i < store->entry_count && good && position < store->position; i++) {
        uint64_t base = store->entries[i].base;
        if (position < base + store->segment_bytes)
            good = position >= base && follow_segment(origins, store, i, &position, epoch);
    }
    if (good && position == store->position)
        return;
    pthread_mutex_lock(&origins->lock);
    forget(origins, epoch);
    pthread_mutex_unlock(&origins->lock);
}

bool origins_end(struct origins *origins, uint64_t sequence)
{
    bool changed = false;
    pthread_mutex_lock(&origins->lock);
    for (unsigned i = 0; i < origins->count; i++) {
        struct origin *origin = &origins->known[i];
        if (origin->behind <= sequence)
            continue;
        origin->last -= origin->behind - sequence;
        origin->behind = sequence;
        changed = true;
    }
    pthread_mutex_unlock(&origins->lock);
    return changed;
}

int origins_find(struct origins *origins, uint64_t id, uint32_t epoch, struct origin *origin)
{
    int rc = HERMES_EGONE;
    pthread_mutex_lock(&origins->lock);
    if (epoch > origins->forgotten)
        rc = HERMES_ENOTFOUND;
    for (unsigned i = 0; i < origins->count; i++) {
        if (origins->known[i].id != id)
            continue;
        *origin = origins->known[i];
        rc = HERMES_OK;
        break;
    }
    pthread_mutex_unlock(&origins->lock);
    return rc;
}

/* ---- the file ---- */

static off_t place_of(uint64_t generation)
{
    return (off_t)(generation & 1) * ORIGINS_SLOT_BYTES;
}

static uint32_t sum_of(const struct slot *slot)
{
    return crc32_update(crc32_update(0, slot->known, slot->count * sizeof slot->known[0]), slot, 60);
}

static bool is_whole(const struct slot *slot)
{
    return memcmp(slot->magic, "HORI", 4) == 0 && slot->version == 1 && slot->count <= ORIGINS_KEPT &&
           slot->crc == sum_of(slot);
}

static int take(struct origins *origins, const struct slot *slot)
{
    while (origins->room < slot->count)
        if (!make_room(origins))
            return HERMES_ENOMEM;
    if (slot->count > 0)
        memcpy(origins->known, slot->known, slot->count * sizeof slot->known[0]);
    origins->count = slot->count;
    origins->generation = slot->generation;
    origins->position = slot->position;
    origins->forgotten = slot->forgotten;
    origins->epoch = slot->epoch;
    return HERMES_OK;
}

/* The newer of the two that are whole. */
static int read_slots(struct origins *origins)
{
    int rc = HERMES_ENOTFOUND;
    struct slot *slot = malloc(ORIGINS_SLOT_BYTES);
    if (slot == NULL)
        return HERMES_ENOMEM;
    for (uint64_t i = 0; i < 2 && (rc == 0 || rc == HERMES_ENOTFOUND); i++)
        if (pread(origins->fd, slot, ORIGINS_SLOT_BYTES, place_of(i)) == ORIGINS_SLOT_BYTES &&
            is_whole(slot) && (rc == HERMES_ENOTFOUND || slot->generation > origins->generation))
            rc = take(origins, slot);
    free(slot);
    return rc;
}

void origins_init(struct origins *origins)
{
    *origins = (struct origins){.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .forgotten = UINT32_MAX};
}

int origins_open(struct origins *origins, const char *path)
{
    origins_init(origins);
    origins->forgotten = 0;
    origins->fd = standard_move_above(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    int rc = origins->fd < 0 ? error_from_errno(errno) : HERMES_OK;
    if (rc == 0) /* its room is taken once: a full disk does not keep anything from being saved */
        rc = error_from_errno(posix_fallocate(origins->fd, 0, 2 * ORIGINS_SLOT_BYTES));
    if (rc == 0)
        rc = read_slots(origins);
    if (rc < 0 && rc != HERMES_ENOTFOUND)
        origins_close(origins);
    return rc;
}

/* A copy of what is known, as it stands in the file. */
static struct slot *make_slot(struct origins *origins, uint64_t position, uint32_t epoch)
{
    pthread_mutex_lock(&origins->lock);
    size_t bytes = origins->count * sizeof origins->known[0];
    struct slot *slot = calloc(1, sizeof *slot + bytes);
    if (slot != NULL) {
        *slot = (struct slot){.magic = {'H', 'O', 'R', 'I'},
                              .version = 1,
                              .generation = origins->generation + 1,
                              .position = position,
                              .forgotten = origins->forgotten,
                              .epoch = epoch,
                              .count = origins->count};
        if (bytes > 0)
            memcpy(slot->known, origins->known, bytes);
        slot->crc = sum_of(slot);
    }
    pthread_mutex_unlock(&origins->lock);
    return slot;
}

/* Where there is nobody it is one sector, old or new whatever happens, and need not be there soon: but that
 * it is there at all. */
int origins_save(struct origins *origins, uint64_t position, uint32_t epoch)
{
    if (origins->fd < 0)
        return HERMES_OK;
    struct slot *slot = make_slot(origins, position, epoch);
    if (slot == NULL)
        return HERMES_ENOMEM;
    ssize_t bytes = (ssize_t)(sizeof *slot + slot->count * sizeof slot->known[0]);
    errno = EIO; /* for a write that is short */
    int rc = pwrite(origins->fd, slot, (size_t)bytes, place_of(slot->generation)) == bytes &&
                     (slot->generation > 1 || fsync(origins->fd) == 0) &&
                     (slot->count == 0 || fdatasync(origins->fd) == 0)
                 ? HERMES_OK
                 : error_from_errno(errno);
    if (rc == 0) {
        origins->generation = slot->generation;
        origins->position = position;
    }
    free(slot);
    return rc;
}

void origins_close(struct origins *origins)
{
    if (origins->fd >= 0)
        close(origins->fd);
    free(origins->known);
    origins_init(origins);
}
