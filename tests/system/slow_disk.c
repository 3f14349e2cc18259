/*
 * A disk that hangs for some files: LD_PRELOADed into a broker. fdatasync() and fsync() of a file whose path
 * contains $SLOW_DISK, fsync() of one whose path contains $SLOW_FSYNC (a directory, in which something was
 * renamed), and close() of one whose path contains $SLOW_CLOSE, as if it were the last and the file large,
 * first make $SLOW_DISK_HOLD.hangs, and then wait as long as somebody has an exclusive lock on
 * $SLOW_DISK_HOLD.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static void hang(int fd, const char *variable)
{
    const char *slow = getenv(variable), *hold = getenv("SLOW_DISK_HOLD");
    char link[64], path[4096], mark[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (slow == NULL || hold == NULL || length < 0)
        return;
    path[length] = 0;
    if (strstr(path, slow) == NULL)
        return;
    int lock = open(hold, O_RDONLY | O_CLOEXEC);
    if (lock < 0)
        return;
    snprintf(mark, sizeof mark, "%s.hangs", hold);
    syscall(SYS_close, open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    flock(lock, LOCK_SH);
    syscall(SYS_close, lock);
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int fdatasync(int fd)
{
    hang(fd, "SLOW_DISK");
    return (int)syscall(SYS_fdatasync, fd);
}

EXPORTED int fsync(int fd)
{
    hang(fd, "SLOW_DISK");
    hang(fd, "SLOW_FSYNC");
    return (int)syscall(SYS_fsync, fd);
}

EXPORTED int close(int fd)
{
    hang(fd, "SLOW_CLOSE");
    return (int)syscall(SYS_close, fd);
}
