/*
 * Memory mapping: files in shared memory, files on disk, sealed memfds. One struct, one unmap.
 * Pages are touched when mapped (prefault), so that the data path never faults.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map {
    void *address; /* NULL: not mapped */
    size_t size;
};

enum map_access { MAP_READ, MAP_READ_WRITE };
enum map_pages { MAP_LAZY, MAP_PREFAULT };

/* Maps the first size bytes of fd, shared. The file must be that large: the caller has checked. */
int map_fd(int fd, size_t size, enum map_access access, enum map_pages pages, struct map *map);

/* The page of fd that has the byte at offset, for reading and writing; the file must have it. */
int map_page(int fd, uint64_t offset, struct map *map);

/*
 * Creates path (mode 0600, must not exist), gives it real room for size bytes - so that a full
 * /dev/shm is HERMES_EFULL here and never SIGBUS later - and maps it. *fd stays open.
 */
int map_create(const char *path, size_t size, struct map *map, int *fd);

/* An anonymous file with these bytes, which nobody can change any more. */
int map_seal_bytes(const char *name, const void *bytes, size_t count, int *fd);

/* An anonymous file, sealed against growing and shrinking, mapped read-write. */
int map_create_memfd(const char *name, size_t size, struct map *map, int *fd);

/* Memory of this process that is there twice in a row: what stands at an offset stands size bytes further on,
 * too, so that nothing in a ring has to be in two pieces. size: of one, a multiple of the page's. */
int map_create_twice(size_t size, struct map *map);

/* After this nobody can map fd writable any more; mappings that exist keep their rights. */
int map_seal_future_writes(int fd);

/* Size of an open file, or a negative error. Refuses what is not a regular file. */
int map_file_size(int fd, uint64_t *size);

void map_release(struct map *map);

#endif
