#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/channel.h"

/* How long the loop sleeps when nothing is due: it is woken by what happens, not by time. */
static const uint64_t longest_sleep_ns = 60000000000u;
/* A store that refuses is told of at once, and again this often. */
static const uint64_t tell_again_ns = 60000000000u;
/* While rings are polled, sockets are looked at this often. */
enum { TURNS_A_LOOK = 64 };
enum { LISTEN_QUEUE = 128 };

/* On a worker. Windows are replaced by the loop: they are its own. */
static void trouble(void *context, struct log *log, int error)
{
    struct broker *broker = context;
    uint64_t now = clock_monotonic_ns();
    if (error == HERMES_EMALFORMED || error == HERMES_EVERSION || error == HERMES_ETOOLARGE) {
        uint64_t one = 1;
        atomic_store_explicit(&log->malformed, error, memory_order_release);
        if (write(broker->trouble_fd, &one, sizeof one) != (ssize_t)sizeof one)
            note("%s: %s", log->directory, hermes_strerror(error));
    } else if (log->told_ns == 0 || now - log->told_ns > tell_again_ns) { /* the persister tries on and on */
        log->told_ns = now;
        note("%s: %s", log->directory, log->error.bytes);
    }
}

/* A publisher that writes its window itself and wrote nonsense: its epoch ends before it. */
static void troubled(struct poller_op *op, int result)
{
    struct broker *broker = (struct broker *)(void *)((char *)op - offsetof(struct broker, trouble_op));
    if (result < 0)
        return;
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next) {
        int error = atomic_exchange_explicit(&topic->log.malformed, 0, memory_order_acquire);
        if (error == 0)
            continue;
        struct error_text text;
        topic->refused++;
        bool sequenced = atomic_load(&topic->log.status->writer) == WRITER_OWNER;
        log_end(&topic->log, EPOCH_MALFORMED);
        int rc = sequenced ? sequencer_begin(topic, &text) : HERMES_OK;
        note("topic '%s': its publisher wrote a malformed frame (%s) and is cut off%s%s", topic->name,
             hermes_error_name(error), rc < 0 ? ": " : "", rc < 0 ? text.bytes : "");
        if (topic->publisher != NULL)
            session_end(topic->publisher);
    }
    if (!broker->stopping)
        (void)poller_read(broker->poller, op, broker->trouble_fd, &broker->trouble_buffer,
                          sizeof broker->trouble_buffer);
}

/* Jobs are complete: their answers are events. */
static void completed(struct poller_op *op, int result)
{
    struct broker *broker = (struct broker *)(void *)((char *)op - offsetof(struct broker, workers_op));
    (void)result;
    workers_completed(&broker->workers);
    if (!broker->stopping)
        (void)poller_read(broker->poller, op, broker->workers.event_fd, &broker->workers_buffer,
                          sizeof broker->workers_buffer);
}

/* ---- opening ---- */

/* A lock is the one sure sign of life: it goes with its process, while a killed broker's socket may
 * accept for some moments more, until the kernel has taken its io_uring down. */
static int take_lock(const char *path, const char *whose, int *fd, struct error_text *text)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_set_errno(text, "open", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(text, HERMES_EBUSY, "another broker serves %s", whose);
    return HERMES_OK;
}

static int lock_data(struct broker *broker, struct error_text *text)
{
    char path[PATH_BYTES];
    const char *data = broker->config.location.data;
    int rc = path_make_parents(data, text);
    if (rc < 0)
        return rc;
    snprintf(path, sizeof path, "%.4000s/lock", data);
    rc = take_lock(path, data, &broker->lock_fd, text);
    if (rc < 0)
        return rc;
    snprintf(broker->topics_path, sizeof broker->topics_path, "%.4000s/topics", data);
    rc = path_make_parents(broker->topics_path, text);
    if (rc == 0)
        rc = path_shm_for(data, broker->shm, text);
    return rc < 0 ? rc : path_make_private(broker->shm, text);
}

static int lock_socket(struct broker *broker, struct error_text *text)
{
    const char *path = broker->config.location.socket;
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    const char *temporary = broker->config.location.temporary;
    if (temporary[0] != 0 && strncmp(path, temporary, strlen(temporary)) == 0) {
        int rc = path_make_private(temporary, text);
        if (rc < 0)
            return rc;
    }
    if (slash != NULL && slash != parent) {
        *slash = 0;
        int rc = path_make_parents(parent, text);
        if (rc < 0)
            return rc;
    }
    char lock[PATH_BYTES + 8];
    snprintf(lock, sizeof lock, "%s.lock", path);
    return take_lock(lock, path, &broker->socket_lock_fd, text);
}

/* The name is taken before topics are loaded, so that what fails fails early; who connects before
 * start_listening() is told that there is no broker. */
static int bind_socket(struct broker *broker, struct error_text *text)
{
    const char *path = broker->config.location.socket;
    struct sockaddr_un address;
    int directory;
    int rc = lock_socket(broker, text);
    if (rc == 0)
        rc = channel_address(path, &address, &directory, text);
    if (rc < 0)
        return rc;
    broker->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (broker->listen_fd < 0) {
        rc = error_set_errno(text, "make", "a socket");
    } else if (unlink(path) != 0 && errno != ENOENT) { /* a former broker's: we hold the lock beside it */
        rc = error_set(text, error_from_errno(errno),
                       "%s is in the way of the broker's socket; remove it (%s)", path, strerror(errno));
    } else {
        mode_t before = umask(0777 & ~broker->config.socket_mode);
        broker->bound = bind(broker->listen_fd, (struct sockaddr *)&address, sizeof address) == 0;
        umask(before);
        if (!broker->bound)
            rc = error_set_errno(text, "make the socket", path);
    }
    if (directory >= 0)
        close(directory);
    return rc;
}

static int start_listening(struct broker *broker, struct error_text *text)
{
    if (listen(broker->listen_fd, LISTEN_QUEUE) != 0)
        return error_set_errno(text, "listen on", broker->config.location.socket);
    return listener_start(&broker->listener, broker->poller, broker->listen_fd, text);
}

static void accepted(struct listener *listener, int fd)
{
    struct broker *broker = (struct broker *)(void *)((char *)listener - offsetof(struct broker, listener));
    if (broker->stopping)
        close(fd);
    else
        session_accept(broker, fd);
}

static void not_accepted(struct listener *listener, int error)
{
    (void)listener;
    if (error == EMFILE || error == ENFILE)
        note("out of descriptors (RLIMIT_NOFILE): a connection was refused");
    else
        note("a connection could not be accepted: %s", strerror(error));
}

static void signalled(struct poller_op *op, int result)
{
    struct broker *broker = (struct broker *)(void *)((char *)op - offsetof(struct broker, signal_op));
    if (result > 0)
        broker->stopping = true;
}

static int watch_signals(struct broker *broker, struct error_text *text)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: the write fails, which is enough */
    broker->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    return broker->signal_fd < 0 ? error_set_errno(text, "make", "a signalfd") : HERMES_OK;
}

/* Each session, ring and topic holds a few descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void prepare(struct broker *broker, const struct config *config)
{
    *broker = (struct broker){
        .config = *config,
        .lock_fd = -1,
        .socket_lock_fd = -1,
        .listen_fd = -1,
        .signal_fd = -1,
        .trouble_fd = -1,
        .workers.event_fd = -1,
        .uid = geteuid(),
        .instance = (uint32_t)(clock_realtime_ns() >> 10) | 1,
        .membarrier = barrier_register(),
    };
    broker->next_ring_id = clock_realtime_ns();
    memcpy(broker->principals.most, config->most, sizeof config->most);
    broker->persister.trouble = trouble;
    broker->persister.context = broker;
    broker->scrubber.workers = &broker->workers;
    broker->scrubber.bytes_per_second = config->scrub_mb_s * 1000000ull;
    broker->scrubber.interval_ns = config->scrub_hours * 3600000000000ull;
    broker->listener.accepted = accepted;
    broker->listener.trouble = not_accepted;
    broker->signal_op.done = signalled;
    broker->trouble_op.done = troubled;
    broker->workers_op.done = completed;
}

/* What does not depend on topics, and can fail. */
static int open_engine(struct broker *broker, struct error_text *text)
{
    int rc = watch_signals(broker, text);
    if (rc == 0 && (broker->trouble_fd = eventfd(0, EFD_CLOEXEC)) < 0)
        rc = error_set_errno(text, "make", "an eventfd");
    if (rc == 0)
        rc = poller_open(broker->config.backend, &broker->poller, text);
    if (rc == 0)
        rc = poller_read(broker->poller, &broker->signal_op, broker->signal_fd, broker->signal_buffer,
                         sizeof broker->signal_buffer);
    if (rc == 0)
        rc = poller_read(broker->poller, &broker->trouble_op, broker->trouble_fd, &broker->trouble_buffer,
                         sizeof broker->trouble_buffer);
    return rc;
}

static int start_workers(struct broker *broker, struct error_text *text)
{
    int rc = workers_start(&broker->workers, broker->config.workers);
    if (rc < 0)
        return error_set(text, rc, "cannot start %u workers", broker->config.workers);
    persister_start(&broker->persister, &broker->workers, broker->config.sync_interval_ms);
    return poller_read(broker->poller, &broker->workers_op, broker->workers.event_fd, &broker->workers_buffer,
                       sizeof broker->workers_buffer);
}

static void release(struct broker *broker)
{
    persister_stop(&broker->persister);
    scrubber_stop(&broker->scrubber);
    workers_stop(&broker->workers);
    poller_close(broker->poller);
    if (broker->listen_fd >= 0)
        close(broker->listen_fd);
    if (broker->signal_fd >= 0)
        close(broker->signal_fd);
    if (broker->trouble_fd >= 0)
        close(broker->trouble_fd);
    if (broker->bound)
        unlink(broker->config.location.socket);
    if (broker->shm[0] != 0)
        rmdir(broker->shm); /* if nothing is in it */
    if (broker->socket_lock_fd >= 0)
        close(broker->socket_lock_fd);
    if (broker->lock_fd >= 0)
        close(broker->lock_fd);
}

int broker_open(struct broker *broker, const struct config *config, struct error_text *text)
{
    prepare(broker, config);
    raise_descriptor_limit();
    int rc = lock_data(broker, text);
    if (rc == 0)
        rc = bind_socket(broker, text);
    if (rc == 0)
        rc = open_engine(broker, text);
    if (rc == 0)
        rc = start_workers(broker, text);
    if (rc == 0)
        rc = topic_load_all(broker, text);
    if (rc == 0)
        rc = start_listening(broker, text);
    if (rc == 0)
        return HERMES_OK;
    /* Not broker_close(): that stores everything and leaves nothing in shared memory. Who could not start has
     * no business there. */
    listener_stop(&broker->listener);
    topic_abandon_all(broker);
    release(broker);
    return rc;
}

/* ---- running ---- */

/* Subscribers that are waited for have some time to come back after a crash of ours. */
static uint64_t sleep_in_grace(struct broker *broker, uint64_t sleep_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (now >= broker->grace_until_ns) {
        broker->grace_until_ns = 0;
        topic_end_grace(broker);
        return sleep_ns;
    }
    uint64_t left = broker->grace_until_ns - now;
    return left < sleep_ns ? left : sleep_ns;
}

/*
 * Spins while rings are busy, looking at the sockets now and then; after spin_us of nothing it asks to
 * be woken, looks once more, and sleeps in the poller.
 */
void broker_run(struct broker *broker)
{
    uint64_t spin_ns = broker->config.spin_us == UINT32_MAX ? UINT64_MAX : broker->config.spin_us * 1000ull;
    uint64_t idle_since = 0;
    unsigned turns = 0;
    while (!broker->stopping) {
        if (sequencer_turn(broker)) {
            idle_since = 0;
            if (++turns % TURNS_A_LOOK == 0)
                poller_run(broker->poller, 0);
            continue;
        }
        if (broker->sequenced > 0) {
            if (++turns % TURNS_A_LOOK != 0) {
                cpu_relax();
                continue;
            }
            uint64_t now = clock_monotonic_ns();
            if (idle_since == 0)
                idle_since = now;
            if (now - idle_since < spin_ns) {
                poller_run(broker->poller, 0);
                sched_yield(); /* the persister may have been woken on this core */
                continue;
            }
        }
        uint64_t sleep_ns = sequencer_park(broker);
        sleep_ns = sleep_ns < longest_sleep_ns ? sleep_ns : longest_sleep_ns;
        if (broker->grace_until_ns != 0)
            sleep_ns = sleep_in_grace(broker, sleep_ns);
        poller_run(broker->poller, sleep_ns);
        sequencer_unpark(broker);
        idle_since = 0;
    }
}

int broker_close(struct broker *broker, struct error_text *text)
{
    broker->stopping = true;
    listener_stop(&broker->listener);
    unlink(broker->config.location.socket);
    broker->bound = false;
    group_stop_all(broker);
    session_close_all(broker);
    workers_drain(&broker->workers);        /* what was begun is finished, while topics are there */
    int rc = topic_close_all(broker, text); /* takes all tasks out */
    release(broker);
    return rc;
}
