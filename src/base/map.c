#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/standard.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum { HUGE_PAGE_BYTES = 2 * 1024 * 1024 };

/* The kernel holds the process' memory map for as long as one call takes, and whoever allocates meanwhile, or
 * unmaps, waits: so a large mapping is filled and given back by pieces. */
enum { PIECE_BYTES = HUGE_PAGE_BYTES };

static size_t piece_of(size_t left)
{
    return left < PIECE_BYTES ? left : PIECE_BYTES;
}

static void populate(uint8_t *address, size_t size, enum map_access access)
{
    int advice = access == MAP_READ ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
    for (size_t done = 0; done < size; done += piece_of(size - done))
        if (madvise(address + done, piece_of(size - done), advice) != 0)
            return;
}

int map_fd(int fd, size_t size, enum map_access access, enum map_pages pages, struct map *map)
{
    int protection = access == MAP_READ ? PROT_READ : PROT_READ | PROT_WRITE;
    void *address = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED)
        return error_from_errno(errno);
    /* Only speed hangs on these. Huge pages: where the system lets shared memory have them on request
     * (transparent_hugepage/shmem_enabled: advise). Kernels before 5.14 fault page by page. */
    if (size >= HUGE_PAGE_BYTES && access == MAP_READ_WRITE)
        (void)madvise(address, size, MADV_HUGEPAGE);
    if (pages == MAP_PREFAULT)
        populate(address, size, access);
    *map = (struct map){address, size};
    return HERMES_OK;
}

int map_page(int fd, uint64_t offset, struct map *map)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *address = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                         (off_t)(offset - offset % page));
    if (address == MAP_FAILED)
        return error_from_errno(errno);
    *map = (struct map){address, page};
    return HERMES_OK;
}

static int allocate_and_map(int fd, size_t size, struct map *map)
{
    int number = posix_fallocate(fd, 0, (off_t)size);
    if (number != 0)
        return error_from_errno(number);
    return map_fd(fd, size, MAP_READ_WRITE, MAP_PREFAULT, map);
}

int map_create(const char *path, size_t size, struct map *map, int *fd)
{
    *fd = standard_move_above(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (*fd < 0)
        return error_from_errno(errno);
    int rc = allocate_and_map(*fd, size, map);
    if (rc < 0) {
        close(*fd);
        unlink(path);
        *fd = -1;
    }
    return rc;
}

int map_create_memfd(const char *name, size_t size, struct map *map, int *fd)
{
    *fd = standard_move_above(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (*fd < 0)
        return error_from_errno(errno);
    int rc = allocate_and_map(*fd, size, map);
    if (rc == 0 && fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
        rc = error_from_errno(errno);
        map_release(map);
    }
    if (rc < 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int map_seal_bytes(const char *name, const void *bytes, size_t count, int *fd)
{
    *fd = standard_move_above(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (*fd >= 0 && pwrite(*fd, bytes, count, 0) == (ssize_t)count &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return HERMES_OK;
    int rc = error_from_errno(errno);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return rc;
}

int map_create_twice(size_t size, struct map *map)
{
    int fd = memfd_create("hermes-ring", MFD_CLOEXEC);
    if (fd < 0)
        return error_from_errno(errno);
    uint8_t *address = MAP_FAILED;
    bool made = ftruncate(fd, (off_t)size) == 0 &&
                (address = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED;
    for (int i = 0; made && i < 2; i++)
        made = mmap(address + (size_t)i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                    0) != MAP_FAILED;
    int rc = made ? HERMES_OK : error_from_errno(errno);
    if (!made && address != MAP_FAILED)
        munmap(address, 2 * size);
    close(fd);
    if (made)
        *map = (struct map){address, 2 * size};
    return rc;
}

int map_seal_future_writes(int fd)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
        return error_from_errno(errno);
    return HERMES_OK;
}

int map_file_size(int fd, uint64_t *size)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_from_errno(errno);
    if (!S_ISREG(status.st_mode))
        return HERMES_EMALFORMED;
    *size = (uint64_t)status.st_size;
    return HERMES_OK;
}

void map_release(struct map *map)
{
    uint8_t *address = map->address;
    for (size_t left = address == NULL ? 0 : map->size; left > 0;) {
        size_t piece = piece_of(left);
        munmap(address, piece);
        address += piece;
        left -= piece;
    }
    *map = (struct map){0};
}
