#include "counters/book.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/shm.h"
#include "counters/process.h"

/* The files grow by so many entries: 160 KiB and 32 KiB. */
enum { STEP_ENTRIES = 512 };

static const size_t most_bytes = COUNTERS_ENTRIES_AT + sizeof(struct counters_entry) * COUNTERS_ENTRIES_MAX,
                    most_told_bytes = sizeof(struct told_line) * COUNTERS_ENTRIES_MAX;

/* ---- files ---- */

static void path_of(const struct counters_book *book, const char *file, char path[SHM_PATH_BYTES + 32])
{
    snprintf(path, SHM_PATH_BYTES + 32, "%s/%s", book->directory, file);
}

/* Address space for all that the file may ever hold; of memory it has what it was enlarged to. */
static int make_file(const struct counters_book *book, const char *file, size_t most, size_t bytes,
                     struct map *map, int *fd)
{
    char path[SHM_PATH_BYTES + 32];
    path_of(book, file, path);
    unlink(path);
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return error_from_errno(errno);
    int number = bytes == 0 ? 0 : posix_fallocate(*fd, 0, (off_t)bytes);
    return number != 0 ? error_from_errno(number) : map_fd(*fd, most, MAP_READ_WRITE, MAP_LAZY, map);
}

static void remove_file(const struct counters_book *book, const char *file)
{
    char path[SHM_PATH_BYTES + 32];
    path_of(book, file, path);
    unlink(path);
}

/* Room for STEP_ENTRIES more, real room: a full /dev/shm is an error here, and no signal later. */
static bool grow(struct counters_book *book)
{
    uint32_t *grown;
    uint64_t before = book->used, after = before + STEP_ENTRIES;
    if (after > COUNTERS_ENTRIES_MAX)
        return false;
    grown = realloc(book->free, after * sizeof *grown);
    if (grown == NULL)
        return false;
    book->free = grown;
    off_t from = (off_t)(COUNTERS_ENTRIES_AT + before * sizeof(struct counters_entry));
    if (posix_fallocate(book->fd, from, STEP_ENTRIES * (off_t)sizeof(struct counters_entry)) != 0 ||
        posix_fallocate(book->told_fd, (off_t)(before * sizeof(struct told_line)),
                        STEP_ENTRIES * (off_t)sizeof(struct told_line)) != 0)
        return false;
    for (uint64_t i = after; i > before; i--)
        book->free[book->free_count++] = (uint32_t)(i - 1);
    book->used = (uint32_t)after;
    /* Release pairs with the acquire in view_count(): the file is that large. */
    atomic_store_explicit(&book->header->entries, after, memory_order_release);
    return true;
}

/* ---- opening ---- */

static void write_header(struct counters_book *book, const struct book_identity *identity)
{
    struct counters_header *header = book->header;
    unsigned count;
    const struct counters_column *columns = counters_columns(&count);
    memcpy((uint8_t *)book->map.address + COUNTERS_COLUMNS_AT, columns, count * sizeof *columns);
    header->columns = (uint16_t)count;
    header->columns_at = COUNTERS_COLUMNS_AT;
    header->column_bytes = sizeof *columns;
    header->entries_at = COUNTERS_ENTRIES_AT;
    header->entry_bytes = sizeof(struct counters_entry);
    header->pid = (uint32_t)getpid();
    header->uid = (uint32_t)geteuid();
    header->instance = identity->instance;
    header->process_began = process_began(header->pid);
    header->pid_namespace = process_namespace();
    header->began_ns = clock_monotonic_ns();
    header->began_at_ns = clock_realtime_ns();
    for (unsigned kind = 0; kind < COUNTERS_KINDS; kind++)
        snprintf(header->kinds[kind], sizeof header->kinds[kind], "%s", counters_kind_name(kind));
    if (strlen(identity->socket) < sizeof header->socket)
        strcpy(header->socket, identity->socket);
    if (strlen(identity->data) < sizeof header->data)
        strcpy(header->data, identity->data);
    header->version = COUNTERS_VERSION;
    atomic_store_explicit(&header->state, COUNTERS_SERVING, memory_order_relaxed);
    /* Whoever opens the file sooner sees no magic word, and comes again. */
    atomic_thread_fence(memory_order_release);
    header->magic = COUNTERS_MAGIC;
}

static int make_files(struct counters_book *book)
{
    int rc = make_file(book, SHM_NEW_COUNTERS, most_bytes, COUNTERS_ENTRIES_AT, &book->map, &book->fd);
    return rc < 0 ? rc : make_file(book, SHM_NEW_TOLD, most_told_bytes, 0, &book->told_map, &book->told_fd);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void release(struct counters_book *book)
{
    remove_file(book, book->is_shown ? SHM_COUNTERS : SHM_NEW_COUNTERS);
    remove_file(book, book->is_shown ? SHM_TOLD : SHM_NEW_TOLD);
    map_release(&book->map);
    map_release(&book->told_map);
    close_fd(&book->fd);
    close_fd(&book->told_fd);
}

int book_open(struct counters_book *book, const struct book_identity *identity, struct error_text *text)
{
    *book = (struct counters_book){.fd = -1, .told_fd = -1, .is_open = true};
    pthread_mutex_init(&book->lock, NULL);
    snprintf(book->directory, sizeof book->directory, "%s", identity->directory);
    int rc = make_files(book);
    if (rc < 0) {
        release(book);
        return error_set(text, rc, "no counters can be kept in %s", book->directory);
    }
    book->header = book->map.address;
    book->entries = (void *)((uint8_t *)book->map.address + COUNTERS_ENTRIES_AT);
    book->lines = book->told_map.address;
    write_header(book, identity);
    return HERMES_OK;
}

void book_show(struct counters_book *book)
{
    char from[SHM_PATH_BYTES + 32], to[SHM_PATH_BYTES + 32];
    if (book->header == NULL)
        return;
    path_of(book, SHM_NEW_TOLD, from);
    path_of(book, SHM_TOLD, to);
    (void)rename(from, to); /* first: who finds the catalogue finds its lines */
    path_of(book, SHM_NEW_COUNTERS, from);
    path_of(book, SHM_COUNTERS, to);
    (void)rename(from, to);
    book->is_shown = true;
}

void book_close(struct counters_book *book)
{
    if (!book->is_open)
        return;
    if (book->header != NULL)
        atomic_store_explicit(&book->header->state, COUNTERS_STOPPED, memory_order_relaxed);
    release(book);
    free(book->free);
    pthread_mutex_destroy(&book->lock);
    *book = (struct counters_book){.fd = -1, .told_fd = -1};
}

/* ---- entries ---- */

static void set_word(_Atomic uint64_t *word, uint64_t to)
{
    atomic_store_explicit(word, to, memory_order_relaxed);
}

static void set_label(struct counters_entry *entry, const char *label)
{
    char bytes[COUNTERS_LABEL_WORDS * 8] = {0};
    memcpy(bytes, label, strnlen(label, sizeof bytes - 1));
    for (unsigned i = 0; i < COUNTERS_LABEL_WORDS; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * sizeof word, sizeof word);
        set_word(&entry->label[i], word);
    }
}

static void fill(struct counters_entry *entry, const struct book_entry *what)
{
    set_word(&entry->kind, what->kind);
    set_word(&entry->id, what->id);
    set_word(&entry->topic, what->topic);
    set_word(&entry->session, what->session);
    set_word(&entry->owner, (uint64_t)what->pid << 32 | what->uid);
    set_word(&entry->began_ns, clock_monotonic_ns());
    set_label(entry, what->label == NULL ? "" : what->label);
    for (unsigned i = 0; i < COUNTERS_VALUES; i++)
        set_word(&entry->value[i], 0);
}

static void clear_line(struct told_line *line)
{
    for (unsigned i = 0; i < TOLD_VALUES; i++)
        set_word(&line->value[i], 0);
    set_word(&line->sum, 0);
}

struct counters_entry *book_take(struct counters_book *book, const struct book_entry *what)
{
    if (book->header == NULL)
        return &book->nowhere;
    pthread_mutex_lock(&book->lock);
    struct counters_entry *entry = NULL;
    if (book->free_count > 0 || grow(book))
        entry = &book->entries[book->free[--book->free_count]];
    else
        atomic_fetch_add_explicit(&book->header->missing, 1, memory_order_relaxed);
    pthread_mutex_unlock(&book->lock);
    if (entry == NULL)
        return &book->nowhere;
    clear_line(&book->lines[entry - book->entries]);
    fill(entry, what);
    uint64_t generation = atomic_load_explicit(&entry->generation, memory_order_relaxed);
    if (generation == 0) /* none that another broker's entries had: clients outlive it */
        generation = (uint64_t)book->header->instance << 32;
    /* Release pairs with the acquire in counters_read(). */
    atomic_store_explicit(&entry->generation, generation + 1, memory_order_release);
    return entry;
}

void book_give_back(struct counters_book *book, struct counters_entry *entry)
{
    if (entry == NULL || entry == &book->nowhere)
        return;
    uint64_t generation = atomic_load_explicit(&entry->generation, memory_order_relaxed);
    atomic_store_explicit(&entry->generation, generation + 1, memory_order_relaxed);
    /* Pairs with the acquire fence in counters_read(): before the next owner's words. */
    atomic_thread_fence(memory_order_release);
    pthread_mutex_lock(&book->lock);
    book->free[book->free_count++] = (uint32_t)(entry - book->entries);
    pthread_mutex_unlock(&book->lock);
}

uint32_t book_line(struct counters_book *book, const struct counters_entry *entry, uint64_t *generation)
{
    *generation = 0;
    if (entry == NULL || entry == &book->nowhere || book->told_fd < 0)
        return 0;
    *generation = atomic_load_explicit(&entry->generation, memory_order_relaxed);
    return 1 + (uint32_t)(entry - book->entries);
}
