/* A directory in shared memory: whose it is, and when it may go. */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/shm.h"
#include "hermes/log.h"

static void open_told(struct shm *shm, const char *home)
{
    struct error_text text;
    assert_int_equal(shm_open_directory(shm, home, &text), 0);
    assert_int_equal(shm_tell_home(shm, &text), 0);
}

static void touch(const struct shm *shm, const char *name)
{
    int fd = openat(shm->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* What a kill does: the lock is gone, the rest is there. */
static void die(struct shm *shm)
{
    close(shm->fd);
    shm->fd = -1;
}

struct sweeping {
    const char *root;
    _Atomic bool over;
};

static void only_what_belongs_to_no_home_is_swept(void **state)
{
    (void)state;
    struct shm gone, there, alive;
    TEST_DIRECTORY(first);
    TEST_DIRECTORY(second);
    TEST_DIRECTORY(third);
    open_told(&gone, first);
    open_told(&there, second);
    open_told(&alive, third);
    touch(&gone, "0123456789abcdef.status");
    touch(&gone, "0123456789abcdef.7.window");
    touch(&gone, SHM_COUNTERS);
    touch(&gone, SHM_TOLD);
    touch(&gone, SHM_NEW_COUNTERS);
    touch(&gone, SHM_NEW_TOLD);
    touch(&there, "0123456789abcdef.status");
    touch(&alive, "0123456789abcdef.status");
    die(&gone);
    die(&there);
    assert_int_equal(rmdir(first), 0);
    assert_int_equal(rmdir(third), 0); /* its broker lives: it may not go */
    (void)shm_sweep_homeless("/dev/shm", NULL);
    assert_false(is_there(gone.path));
    assert_true(is_there(there.path));
    assert_true(is_there(alive.path));
    assert_int_equal(faccessat(alive.fd, "0123456789abcdef.status", F_OK, 0), 0);
    test_remove(second);
    path_sweep(alive.path, "");
    die(&alive);
}

static void *sweep_on(void *context)
{
    struct sweeping *sweeping = context;
    while (!atomic_load(&sweeping->over))
        (void)shm_sweep_homeless(sweeping->root, NULL);
    return NULL;
}

/* Of a broker that is about to start again, while another one of that user's starts. */
static void what_has_a_home_is_never_held_by_a_sweep(void **state)
{
    (void)state;
    enum { STARTS = 20000 };
    char path[128], bytes[128];
    struct stat status;
    TEST_DIRECTORY(root);
    struct sweeping sweeping = {.root = root};
    snprintf(path, sizeof path, "%s/hermes-%u-0123456789abcdef", root, (unsigned)geteuid());
    assert_int_equal(mkdir(path, 0700), 0);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int home = openat(directory, ".home", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(stat(root, &status), 0);
    snprintf(bytes, sizeof bytes, "%llu %s", (unsigned long long)status.st_dev, root);
    assert_int_equal(write(home, bytes, strlen(bytes)), strlen(bytes));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sweep_on, &sweeping), 0);
    int refused = 0;
    for (int i = 0; i < STARTS; i++) {
        refused += flock(directory, LOCK_EX | LOCK_NB) != 0;
        (void)flock(directory, LOCK_UN);
    }
    atomic_store(&sweeping.over, true);
    pthread_join(thread, NULL);
    assert_int_equal(refused, 0);
    close(home);
    close(directory);
    path_sweep(path, "");
    path_sweep(root, "");
}

static void a_killed_embedded_log_is_swept_when_its_directory_is_gone(void **state)
{
    (void)state;
    struct error_text text;
    char shm[SHM_PATH_BYTES];
    TEST_DIRECTORY(home);
    pid_t writer = test_fork();
    if (writer == 0) {
        hermes_log_t *log;
        if (hermes_log_open(home, NULL, &log) == 0)
            raise(SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(path_shm_for(home, shm, &text), 0);
    (void)shm_sweep_homeless("/dev/shm", NULL);
    assert_true(is_there(shm)); /* what its next writer takes up */
    test_remove(home);
    (void)shm_sweep_homeless("/dev/shm", NULL);
    assert_false(is_there(shm));
}

/* A directory whose .home says that, of a broker that died and a home that went. */
static void expect_kept(const char *said)
{
    struct shm shm;
    TEST_DIRECTORY(home);
    open_told(&shm, home);
    int fd = openat(shm.fd, ".home", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, said, strlen(said)), strlen(said));
    close(fd);
    die(&shm);
    assert_int_equal(rmdir(home), 0);
    (void)shm_sweep_homeless("/dev/shm", NULL);
    assert_true(is_there(shm.path));
    path_sweep(shm.path, "");
}

/* A home that is not there because its disk is not: its device is another than that of what is there. */
static void a_home_that_may_be_mounted_later_is_kept(void **state)
{
    (void)state;
    expect_kept("12345678 /tmp/hermes-test-nowhere");
}

/* Not a broker's, or damaged: nobody knows what it is. */
static void what_cannot_be_understood_is_kept(void **state)
{
    (void)state;
    static const char *const homes[] = {"", "x", "12", "12 relative", " /nowhere", "12/nowhere"};
    for (size_t i = 0; i < sizeof homes / sizeof homes[0]; i++)
        expect_kept(homes[i]);
}

static void a_foreign_file_stays_with_its_directory(void **state)
{
    (void)state;
    struct shm shm;
    TEST_DIRECTORY(home);
    open_told(&shm, home);
    touch(&shm, "somebody's notes");
    die(&shm);
    assert_int_equal(rmdir(home), 0);
    (void)shm_sweep_homeless("/dev/shm", NULL);
    char path[SHM_PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/somebody's notes", shm.path);
    assert_true(is_there(path));
    snprintf(path, sizeof path, "%s/.home", shm.path);
    assert_true(is_there(path));
    path_sweep(shm.path, "");
}

static void a_directory_that_is_removed_is_made_anew(void **state)
{
    (void)state;
    struct error_text text;
    struct shm shm;
    bool lost;
    TEST_DIRECTORY(home);
    open_told(&shm, home);
    assert_int_equal(shm_check(&shm, &lost, &text), 0);
    assert_false(lost);
    path_sweep(shm.path, "");
    assert_int_equal(shm_check(&shm, &lost, &text), 0);
    assert_true(lost);
    assert_true(is_there(shm.path));
    assert_int_equal(shm_tell_home(&shm, &text), 0);
    assert_int_equal(faccessat(shm.fd, ".home", F_OK, 0), 0);
    assert_int_equal(shm_check(&shm, &lost, &text), 0);
    assert_false(lost);
    /* A file in its place: that is said, and tried again. */
    path_sweep(shm.path, "");
    int fd = open(shm.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(shm_check(&shm, &lost, &text), HERMES_EACCESS);
    assert_true(lost);
    unlink(shm.path);
    assert_int_equal(shm_check(&shm, &lost, &text), 0);
    assert_true(lost);
    shm_close_directory(&shm);
    assert_false(is_there(shm.path));
    assert_int_equal(rmdir(home), 0);
}

static void closing_keeps_what_is_left_for_the_next_broker(void **state)
{
    (void)state;
    struct error_text text;
    struct shm shm;
    TEST_DIRECTORY(home);
    open_told(&shm, home);
    struct shm other;
    assert_int_equal(shm_open_directory(&other, home, &text), HERMES_EBUSY);
    touch(&shm, "0123456789abcdef.status");
    shm_close_directory(&shm);
    open_told(&shm, home);
    assert_int_equal(faccessat(shm.fd, "0123456789abcdef.status", F_OK, 0), 0);
    assert_int_equal(faccessat(shm.fd, ".home", F_OK, 0), 0);
    die(&shm);
    test_remove(home);
}

static void what_a_closing_left_is_swept_when_its_home_is_gone(void **state)
{
    (void)state;
    struct shm shm;
    TEST_DIRECTORY(home);
    open_told(&shm, home);
    touch(&shm, "0123456789abcdef.0123456789abcdef.group");
    assert_int_equal(rmdir(home), 0); /* while its broker stops */
    shm_close_directory(&shm);
    (void)shm_sweep_homeless("/dev/shm", NULL);
    assert_false(is_there(shm.path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_belongs_to_no_home_is_swept),
        cmocka_unit_test(what_has_a_home_is_never_held_by_a_sweep),
        cmocka_unit_test(a_killed_embedded_log_is_swept_when_its_directory_is_gone),
        cmocka_unit_test(a_home_that_may_be_mounted_later_is_kept),
        cmocka_unit_test(what_cannot_be_understood_is_kept),
        cmocka_unit_test(a_foreign_file_stays_with_its_directory),
        cmocka_unit_test(a_directory_that_is_removed_is_made_anew),
        cmocka_unit_test(closing_keeps_what_is_left_for_the_next_broker),
        cmocka_unit_test(what_a_closing_left_is_swept_when_its_home_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
