/* A directory of a benchmark's own, which goes when the benchmark does, however that ends. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "bench/bench.h"

/* Sockets are made in it, whose paths have at most 107 bytes. */
static void make(char path[BENCH_PATH_BYTES], const char *parent)
{
    if (parent == NULL || parent[0] != '/' ||
        (size_t)snprintf(path, BENCH_PATH_BYTES, "%s/hermes-bench-XXXXXX", parent) >= BENCH_PATH_BYTES)
        snprintf(path, BENCH_PATH_BYTES, "/tmp/hermes-bench-XXXXXX");
    if (mkdtemp(path) == NULL)
        exit(cli_fail("cannot make a directory for temporary files", 0, strerror(errno)));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Until the last process that was to work in it has ended: then the pipe has, too. */
static void keep(const struct bench_directory *directory, int pipe_fd)
{
    char shm[SHM_PATH_BYTES], byte;
    struct error_text text;
    bool has_shm = path_shm_for(directory->path, shm, &text) == HERMES_OK;
    setsid(); /* ^C and hang-ups are for who works in it */
    while (read(pipe_fd, &byte, 1) < 0 && errno == EINTR)
        ;
    if (has_shm) /* of a writer that was killed */
        remove_all(shm);
    remove_all(directory->path);
    _exit(0);
}

void bench_directory_make_in(struct bench_directory *directory, const char *parent)
{
    int fds[2];
    make(directory->path, parent);
    if (pipe2(fds, O_CLOEXEC) != 0 || (directory->keeper = fork()) < 0) {
        int error = errno;
        rmdir(directory->path);
        exit(cli_fail(directory->path, 0, strerror(error)));
    }
    if (directory->keeper == 0) {
        close(fds[1]);
        keep(directory, fds[0]);
    }
    close(fds[0]);
    directory->in_use = fds[1];
}

void bench_directory_make(struct bench_directory *directory)
{
    bench_directory_make_in(directory, getenv("TMPDIR"));
}

void bench_directory_delete(struct bench_directory *directory)
{
    close(directory->in_use);
    waitpid(directory->keeper, NULL, 0);
}
