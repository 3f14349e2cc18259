#include "counters/view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/guard.h"
#include "base/shm.h"
#include "counters/process.h"
#include "group/readers.h"
#include "log/window.h"

/* A loop that is idle shows itself every ten seconds. */
static const uint64_t silent_ns = 30000000000u;

/* ---- files ---- */

static int open_file(const char *directory, const char *file, uint64_t *size, uint64_t *inode)
{
    char path[SHM_PATH_BYTES + 64];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", directory, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_from_errno(errno);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return HERMES_EMALFORMED;
    }
    *size = (uint64_t)status.st_size;
    *inode = (uint64_t)status.st_ino;
    return fd;
}

static void unmap_file(struct map *map)
{
    guard_remove(map->address);
    map_release(map);
}

/* All of it, or its first `most` bytes. *map is as it was if there is none. Whose it is may cut it short at
 * any time: then zeros are read. */
static int map_file(const char *directory, const char *file, uint64_t most, struct map *map, uint64_t *inode)
{
    uint64_t size = 0;
    int fd = open_file(directory, file, &size, inode);
    if (fd < 0)
        return fd;
    struct map fresh = {0};
    size = size < most ? size : most;
    int rc = size == 0 ? HERMES_EMALFORMED : map_fd(fd, (size_t)size, MAP_READ, MAP_LAZY, &fresh);
    close(fd);
    if (rc < 0)
        return rc;
    unmap_file(map);
    *map = fresh;
    (void)guard_add(map->address, map->size);
    return HERMES_OK;
}

/* 4 or 8 bytes that are there. */
static bool load(const struct map *map, uint64_t offset, unsigned bytes, uint64_t *value)
{
    const uint8_t *at = map->address;
    if (at == NULL || (bytes != 4 && bytes != 8) || offset % bytes != 0 || offset > map->size ||
        map->size - offset < bytes)
        return false;
    at += offset;
    *value = bytes == 8
                 ? atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_relaxed)
                 : atomic_load_explicit((const _Atomic uint32_t *)(const void *)at, memory_order_relaxed);
    return true;
}

/* ---- opening ---- */

static int check_header(struct view *view, struct error_text *text)
{
    const struct counters_header *header = view->map.address;
    if (view->map.size < COUNTERS_ENTRIES_AT || header->magic != COUNTERS_MAGIC)
        return error_set(text, HERMES_EMALFORMED, "%s/" SHM_COUNTERS, view->directory);
    atomic_thread_fence(memory_order_acquire); /* pairs with the release fence before the magic word */
    if (header->version != COUNTERS_VERSION || header->entry_bytes != sizeof(struct counters_entry) ||
        header->column_bytes != sizeof(struct counters_column) || header->columns_at != COUNTERS_COLUMNS_AT ||
        header->entries_at != COUNTERS_ENTRIES_AT)
        return error_set(text, HERMES_EVERSION, "%s/" SHM_COUNTERS " of version %u", view->directory,
                         header->version);
    view->header = header;
    view->column_count = header->columns < COUNTERS_COLUMNS_MAX ? header->columns : COUNTERS_COLUMNS_MAX;
    memcpy(view->columns, (const uint8_t *)view->map.address + COUNTERS_COLUMNS_AT, sizeof view->columns);
    for (unsigned i = 0; i < view->column_count; i++)
        view->columns[i].name[sizeof view->columns[i].name - 1] = 0;
    return HERMES_OK;
}

int view_open(struct view *view, const char *directory, struct error_text *text)
{
    *view = (struct view){0};
    if (snprintf(view->directory, sizeof view->directory, "%s", directory) >= (int)sizeof view->directory)
        return error_set(text, HERMES_ETOOLARGE, "path %.64s...", directory);
    int rc = map_file(directory, SHM_COUNTERS, UINT64_MAX, &view->map, &view->inode);
    if (rc < 0)
        return error_set(text, rc, "%s/" SHM_COUNTERS, directory);
    rc = check_header(view, text);
    if (rc < 0)
        view_close(view);
    return rc;
}

void view_close(struct view *view)
{
    unmap_file(&view->map);
    unmap_file(&view->told_map);
    view->header = NULL;
}

bool view_is_replaced(const struct view *view)
{
    char path[SHM_PATH_BYTES + 64];
    struct stat status;
    snprintf(path, sizeof path, "%s/" SHM_COUNTERS, view->directory);
    return stat(path, &status) != 0 || (uint64_t)status.st_ino != view->inode;
}

bool view_is_alive(const struct view *view, const struct view_sample *sample)
{
    const struct counters_header *header = view->header;
    if (atomic_load_explicit(&header->state, memory_order_relaxed) != COUNTERS_SERVING)
        return false;
    if (header->pid_namespace == process_namespace())
        return process_began(header->pid) == header->process_began;
    uint64_t seen_ns;
    for (size_t i = 0; i < sample->count; i++)
        if (sample->rows[i].entry.kind == COUNTERS_LOOP &&
            view_value(view, &sample->rows[i], "seen_monotonic_ns", &seen_ns) &&
            sample->taken_ns - seen_ns < silent_ns)
            return true;
    return false;
}

/* ---- values ---- */

/* The files of one topic, opened as they are asked for. */
struct topic_files {
    uint64_t id;
    struct map status, window, readers;
    bool looked_for_window, looked_for_readers;
};

static void close_topic(struct topic_files *files)
{
    unmap_file(&files->status);
    unmap_file(&files->window);
    unmap_file(&files->readers);
}

static void open_topic(const struct view *view, struct topic_files *files, uint64_t id)
{
    char file[64];
    uint64_t inode;
    if (files->id == id)
        return;
    close_topic(files);
    *files = (struct topic_files){.id = id};
    snprintf(file, sizeof file, "%016" PRIx64 ".status", id);
    (void)map_file(view->directory, file, STATUS_BYTES, &files->status, &inode);
}

/* The window may be replaced between a look at its number and one at its file. */
static const struct map *window_of(const struct view *view, struct topic_files *files)
{
    enum { TRIES = 4 };
    char file[64];
    uint64_t epoch, inode;
    for (int i = 0; i < TRIES && !files->looked_for_window; i++) {
        if (!load(&files->status, offsetof(struct status, epoch), 4, &epoch))
            break;
        snprintf(file, sizeof file, "%016" PRIx64 ".%" PRIu64 ".window", files->id, epoch);
        files->looked_for_window =
            map_file(view->directory, file, WINDOW_HEADER_BYTES, &files->window, &inode) == 0;
    }
    files->looked_for_window = true;
    return &files->window;
}

static const struct map *readers_of(const struct view *view, struct topic_files *files)
{
    char file[64];
    uint64_t inode;
    snprintf(file, sizeof file, "%016" PRIx64 ".readers", files->id);
    if (!files->looked_for_readers)
        (void)map_file(view->directory, file, READERS_BYTES, &files->readers, &inode);
    files->looked_for_readers = true;
    return &files->readers;
}

static bool told_value(const struct view *view, const struct view_row *row,
                       const struct counters_column *column, uint64_t *value)
{
    uint64_t told[TOLD_VALUES];
    uint64_t end = ((uint64_t)row->index + 1) * sizeof(struct told_line);
    const struct told_line *lines = view->told_map.address;
    if (view->told_map.size < end || column->offset % 8 != 0 || column->offset / 8 >= TOLD_VALUES ||
        !told_read(&lines[row->index], row->entry.generation, told))
        return false;
    *value = told[column->offset / 8];
    return true;
}

static bool read_value(const struct view *view, struct topic_files *files, const struct view_row *row,
                       const struct counters_column *column, uint64_t *value)
{
    uint64_t line;
    switch (column->source) {
    case COUNTERS_IN_ENTRY: {
        uint64_t at = column->offset - offsetof(struct counters_entry, value);
        if (at % 8 != 0 || at / 8 >= COUNTERS_VALUES)
            return false;
        *value = row->entry.value[at / 8];
        return true;
    }
    case COUNTERS_IN_STATUS:
        return load(&files->status, column->offset, column->bytes, value);
    case COUNTERS_IN_WINDOW:
        return load(window_of(view, files), column->offset, column->bytes, value);
    case COUNTERS_IN_RING:
        line = row->entry.value[PUBLISHER_RING_LINE] - 1;
        return line < STATUS_RINGS &&
               load(&files->status,
                    offsetof(struct status, rings) + line * sizeof(struct status_ring) + column->offset,
                    column->bytes, value);
    case COUNTERS_IN_READERS:
        line = row->entry.value[SUBSCRIBER_WAITED_FOR_LINE] - 1;
        return line < READERS_LINES &&
               load(readers_of(view, files),
                    offsetof(struct readers, line) + line * sizeof(struct readers_line) + column->offset,
                    column->bytes, value) &&
               *value != READERS_NOBODY;
    case COUNTERS_IN_READERS_PAGE:
        return load(readers_of(view, files), column->offset, column->bytes, value) &&
               *value != READERS_NOBODY;
    case COUNTERS_TOLD:
        return told_value(view, row, column, value);
    default:
        return false; /* of a broker that is newer */
    }
}

static void read_values(const struct view *view, struct topic_files *files, struct view_row *row)
{
    unsigned at = 0;
    for (unsigned i = 0; i < view->column_count && at < VIEW_VALUES_MAX; i++) {
        if (view->columns[i].kind != row->entry.kind)
            continue;
        if (read_value(view, files, row, &view->columns[i], &row->value[at]))
            row->known |= 1u << at;
        at++;
    }
}

bool view_value(const struct view *view, const struct view_row *row, const char *name, uint64_t *value)
{
    unsigned at = 0;
    for (unsigned i = 0; i < view->column_count && at < VIEW_VALUES_MAX; i++) {
        if (view->columns[i].kind != row->entry.kind)
            continue;
        if (strcmp(view->columns[i].name, name) == 0) {
            *value = row->value[at];
            return (row->known >> at & 1) != 0;
        }
        at++;
    }
    return false;
}

uint64_t view_number(const struct view *view, const struct view_row *row, const char *name)
{
    uint64_t value;
    return view_value(view, row, name, &value) ? value : 0;
}

/* ---- samples ---- */

/* How many entries there are by now; the mapping has them all. */
static uint64_t view_count(struct view *view)
{
    /* Acquire pairs with the release in book's grow(). */
    uint64_t count = atomic_load_explicit(&view->header->entries, memory_order_acquire), inode;
    uint64_t mapped = (view->map.size - COUNTERS_ENTRIES_AT) / sizeof(struct counters_entry);
    struct map map = {0};
    if (count > mapped && map_file(view->directory, SHM_COUNTERS, UINT64_MAX, &map, &inode) == 0) {
        if (inode == view->inode) {
            unmap_file(&view->map);
            view->map = map;
            view->header = map.address;
        } else {
            unmap_file(&map); /* a successor's */
        }
        mapped = (view->map.size - COUNTERS_ENTRIES_AT) / sizeof(struct counters_entry);
    }
    if (view->told_map.size < count * sizeof(struct told_line))
        (void)map_file(view->directory, SHM_TOLD, UINT64_MAX, &view->told_map, &inode);
    return count < mapped ? count : mapped;
}

static bool make_room(struct view_sample *sample)
{
    if (sample->count < sample->room)
        return true;
    size_t room = sample->room == 0 ? 256 : sample->room * 2;
    struct view_row *rows = realloc(sample->rows, room * sizeof *rows);
    if (rows == NULL)
        return false;
    sample->rows = rows;
    sample->room = room;
    return true;
}

static int compare_rows(const void *a, const void *b)
{
    const struct view_row *x = a, *y = b;
    if (x->entry.topic != y->entry.topic)
        return x->entry.topic < y->entry.topic ? -1 : 1;
    if (x->entry.kind != y->entry.kind)
        return x->entry.kind < y->entry.kind ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The rows of a topic follow its own. */
static void read_rows(const struct view *view, struct view_sample *sample)
{
    struct topic_files files = {0};
    size_t topic_row = 0;
    for (size_t i = 0; i < sample->count; i++) {
        struct view_row *row = &sample->rows[i];
        open_topic(view, &files, row->entry.topic);
        read_values(view, &files, row);
        if (row->entry.kind == COUNTERS_TOPIC)
            topic_row = i + 1;
        bool is_of_it = topic_row > 0 && row->entry.topic != 0 &&
                        sample->rows[topic_row - 1].entry.topic == row->entry.topic;
        row->topic_row = is_of_it ? (uint32_t)topic_row : 0;
    }
    close_topic(&files);
}

const struct view_row *view_find(const struct view_sample *sample, const struct view_row *row)
{
    const struct view_row *found =
        sample->count == 0 ? NULL
                           : bsearch(row, sample->rows, sample->count, sizeof *sample->rows, compare_rows);
    return found != NULL && found->entry.generation == row->entry.generation ? found : NULL;
}

int view_take(struct view *view, struct view_sample *sample)
{
    uint64_t count = view_count(view);
    const struct counters_entry *entries =
        (const void *)((const uint8_t *)view->map.address + COUNTERS_ENTRIES_AT);
    sample->count = 0;
    sample->taken_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < count; i++) {
        if (!make_room(sample))
            return HERMES_ENOMEM;
        struct view_row *row = &sample->rows[sample->count];
        row->index = (uint32_t)i;
        row->known = 0;
        sample->count += counters_read(&entries[i], &row->entry);
    }
    if (sample->count > 0)
        qsort(sample->rows, sample->count, sizeof *sample->rows, compare_rows);
    read_rows(view, sample);
    return HERMES_OK;
}

void view_release(struct view_sample *sample)
{
    free(sample->rows);
    *sample = (struct view_sample){0};
}
