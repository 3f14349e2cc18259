#include "broker/shared_memory.h"

#include "base/note.h"

static void tell_home(const struct shm *shm)
{
    struct error_text text;
    if (shm_tell_home(shm, &text) < 0)
        note("%s", text.bytes);
}

int shared_memory_open(struct shm *shm, const char *data, struct error_text *text)
{
    int rc = shm_open_directory(shm, data, text);
    if (rc == 0)
        tell_home(shm);
    return rc;
}

void shared_memory_look(struct shm *shm)
{
    struct error_text text;
    bool lost;
    int rc = shm_check(shm, &lost, &text);
    if (rc < 0)
        note("the directory %s was removed while the broker serves, and cannot be made anew: %s", shm->path,
             text.bytes);
    if (rc < 0 || !lost)
        return;
    tell_home(shm);
    note(
        "the directory %s was removed while the broker serves (by a cleaner of temporary files, or systemd's "
        "RemoveIPC), and made anew. Topics go on, but what they had in it would not survive a crash: stop "
        "the "
        "broker in good order, and start it again",
        shm->path);
}

static void tell_swept(const char *name, const char *home)
{
    note("shared memory %s belonged to %s, which is gone: removed", name, home);
}

void shared_memory_sweep(void)
{
    (void)shm_sweep_homeless("/dev/shm", tell_swept);
}
