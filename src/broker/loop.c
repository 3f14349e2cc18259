#include "broker/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "broker/delivery.h"
#include "broker/group_start.h"
#include "broker/mirror/mirror.h"
#include "broker/request/access.h"
#include "broker/request/handles.h"
#include "broker/request/request.h"
#include "broker/sequencer.h"
#include "broker/session.h"
#include "broker/shared_memory.h"
#include "broker/stream/streams.h"
#include "broker/topics.h"
#include "io/channel.h"

/* How long the loop sleeps when nothing is due: it is woken by what happens, not by time. */
static const uint64_t longest_sleep_ns = 60000000000u;
/* A store that refuses is told of at once, and again this often. */
static const uint64_t tell_again_ns = 60000000000u;
/* Whether the directory in shared memory is still there. */
static const uint64_t look_again_ns = 10000000000u;
/* While rings are polled, sockets are looked at this often, or after so much that was moved. */
enum { TURNS_A_LOOK = 64, BYTES_A_LOOK = 64 * 1024 };
/* Where so much was sequenced at once there is more to come: what has come in goes out together with it, up
 * to so much. Each send wakes somebody. */
enum { HOLDS_FROM_BYTES = 4 * 1024, HOLDS_UP_TO_BYTES = 64 * 1024 };
enum { LISTEN_QUEUE = 128 };
enum { HEAP_STEP_BYTES = 64 * 1024 * 1024, DESCRIPTORS = 32 * 1024 };

/* On a worker. Windows are replaced by the loop: they are its own. */
static void trouble(void *context, struct log *log, int error)
{
    struct loop *loop = context;
    uint64_t now = clock_monotonic_ns();
    if (error == HERMES_EMALFORMED || error == HERMES_EVERSION || error == HERMES_ETOOLARGE) {
        uint64_t one = 1;
        atomic_store_explicit(&log->malformed, error, memory_order_release);
        if (write(loop->trouble_fd, &one, sizeof one) != (ssize_t)sizeof one)
            note("%s: %s", log->directory, hermes_strerror(error));
    } else if (log->told_ns == 0 || now - log->told_ns > tell_again_ns) { /* the persister tries on and on */
        log->told_ns = now;
        note("%s: %s", log->directory, log->error.bytes);
    }
}

/* A publisher that writes its window itself and wrote nonsense: its epoch ends before it. */
static void cut_off(struct topic *topic, int error)
{
    topic_count_refused(topic);
    note("topic '%s': a publisher wrote a malformed frame (%s) and is cut off", topic->name,
         hermes_error_name(error));
    topic_end_epoch(topic, EPOCH_MALFORMED);
    if (topic->publisher != NULL)
        session_end(topic->publisher);
}

static void troubled(struct poller_op *op, int result)
{
    struct loop *loop = (struct loop *)(void *)((char *)op - offsetof(struct loop, trouble_op));
    if (result < 0)
        return;
    for (struct topic *topic = loop->broker.topics; topic != NULL; topic = topic->next) {
        int error =
            topic->opening ? 0 : atomic_exchange_explicit(&topic->log.malformed, 0, memory_order_acquire);
        if (error != 0)
            cut_off(topic, error);
    }
    if (!loop->broker.stopping)
        (void)poller_read(loop->broker.poller, op, loop->trouble_fd, &loop->trouble_buffer,
                          sizeof loop->trouble_buffer);
}

static void completed(struct poller_op *op, int result)
{
    struct loop *loop = (struct loop *)(void *)((char *)op - offsetof(struct loop, workers_op));
    if (result < 0)
        return;
    workers_completed(&loop->broker.workers);
    (void)poller_read(loop->broker.poller, op, loop->broker.workers.event_fd, &loop->workers_buffer,
                      sizeof loop->workers_buffer);
}

/* Groups have dead letters to deliver. */
static void posted(struct poller_op *op, int result)
{
    struct loop *loop = (struct loop *)(void *)((char *)op - offsetof(struct loop, post_op));
    if (result < 0 || loop->broker.stopping)
        return;
    delivery_turn(&loop->broker);
    (void)poller_read(loop->broker.poller, op, loop->broker.post.event_fd, &loop->post_buffer,
                      sizeof loop->post_buffer);
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
        return error_say(text, HERMES_EBUSY, "another broker serves %s", whose);
    return HERMES_OK;
}

static int lock_data(struct loop *loop, struct error_text *text)
{
    char path[PATH_BYTES];
    const char *data = loop->broker.config.location.data;
    int rc = path_make_parents(data, text);
    if (rc < 0)
        return rc;
    snprintf(path, sizeof path, "%.4000s/lock", data);
    rc = take_lock(path, data, &loop->lock_fd, text);
    if (rc < 0)
        return rc;
    snprintf(loop->broker.topics_path, sizeof loop->broker.topics_path, "%.4000s/topics", data);
    rc = path_make_parents(loop->broker.topics_path, text);
    return rc < 0 ? rc : shared_memory_open(&loop->broker.shm, data, text);
}

static int lock_socket(struct loop *loop, struct error_text *text)
{
    const char *path = loop->broker.config.location.socket;
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    const char *temporary = loop->broker.config.location.temporary;
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
    return take_lock(lock, path, &loop->socket_lock_fd, text);
}

/* A former broker's: we hold the lock beside it. */
static int remove_old_socket(const char *path, struct error_text *text)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? HERMES_OK : error_set_errno(text, "look at", path);
    if (!S_ISSOCK(status.st_mode))
        return error_say(text, HERMES_EEXISTS,
                         "%s is in the way of the broker's socket, and is none; remove it", path);
    return unlink(path) == 0 ? HERMES_OK : error_set_errno(text, "remove the old socket", path);
}

/* The name is taken before topics are loaded, so that what fails fails early; who connects before
 * start_listening() is told that there is no broker. */
static int bind_socket(struct loop *loop, struct error_text *text)
{
    const char *path = loop->broker.config.location.socket;
    struct sockaddr_un address;
    int directory;
    int rc = lock_socket(loop, text);
    if (rc == 0)
        rc = channel_address(path, &address, &directory, text);
    if (rc < 0)
        return rc;
    loop->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (loop->listen_fd < 0) {
        rc = error_set_errno(text, "make", "a socket");
    } else if ((rc = remove_old_socket(path, text)) == 0) {
        mode_t before = umask(0777 & ~loop->broker.config.socket_mode);
        loop->bound = bind(loop->listen_fd, (struct sockaddr *)&address, sizeof address) == 0;
        umask(before);
        if (!loop->bound)
            rc = error_set_errno(text, "make the socket", path);
    }
    if (directory >= 0)
        close(directory);
    return rc;
}

/* A client may send descriptors with its bytes. Nobody here takes them, so the kernel closes them for us when
 * we read, and to close a stranger's descriptor may take as long as the stranger likes (SO_LINGER; a file
 * system in user space). Linux 6.16 lets us refuse them; before, who may connect may do that. */
static void refuse_descriptors(int fd)
{
#ifndef SO_PASSRIGHTS
    enum { SO_PASSRIGHTS = 83 }; /* include/uapi/asm-generic/socket.h */
#endif
    const int no = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof no);
}

/* Who is on the way in is nobody yet: without a key to the door, others stay outside the house. */
static int check_address(const struct config *config, const struct tcp_address *address,
                         struct remote_listener *remote, const char *url, struct error_text *text)
{
    bool reached = !tcp_is_loopback(address) && !config->insecure;
    remote->must_authenticate = reached || config->must_authenticate;
    if (!reached || remote->secure)
        return HERMES_OK;
    return error_say(text, HERMES_EACCESS,
                     "%s can be reached from other hosts, where whoever listens could read all that is said: "
                     "tls://... is for that. [net] insecure = true allows it",
                     url);
}

static bool is_open_to_nobody(const struct broker *broker, const struct remote_listener *remote)
{
    return remote->must_authenticate && broker->security->tokens.count == 0 &&
           !(remote->secure && broker->config.client_ca[0] != 0);
}

static int bind_one(struct loop *loop, const char *url, struct remote_listener *remote,
                    struct error_text *text)
{
    struct tcp_address address;
    char plain[TCP_URL_BYTES];
    remote->secure = config_is_secure(url);
    snprintf(plain, sizeof plain, "tcp%s", url + 3);
    int rc = tcp_parse(plain, &address, text);
    if (rc == 0)
        rc = check_address(&loop->broker.config, &address, remote, url, text);
    if (rc == 0)
        rc = tcp_bind(&address, url, &remote->fd, text);
    if (rc == 0 && is_open_to_nobody(&loop->broker, remote))
        note("%s serves those alone who say who they are, and nobody can: 'hermes auth token create NAME', "
             "then SIGHUP; or [tls] client_ca",
             url);
    return rc;
}

static int bind_remote(struct loop *loop, struct error_text *text)
{
    const struct config *config = &loop->broker.config;
    int rc = HERMES_OK;
    for (unsigned i = 0; rc == 0 && i < config->listen_count; i++) {
        rc = bind_one(loop, config->listen[i], &loop->remote[i], text);
        loop->remote_count += rc == 0;
    }
    return rc;
}

static void accepted_remote(struct listener *listener, int fd)
{
    const struct remote_listener *remote = (struct remote_listener *)(void *)listener;
    struct broker *broker = &remote->loop->broker;
    if (broker->stopping)
        close(fd);
    else
        session_accept_remote(broker, fd, remote->secure ? broker->security->tls : NULL,
                              remote->must_authenticate);
}

static void not_accepted(struct listener *listener, int error);

static int start_listening_remote(struct loop *loop, struct error_text *text)
{
    int rc = HERMES_OK;
    for (unsigned i = 0; rc == 0 && i < loop->remote_count; i++) {
        struct remote_listener *remote = &loop->remote[i];
        remote->loop = loop;
        remote->listener.accepted = accepted_remote;
        remote->listener.trouble = not_accepted;
        if (listen(remote->fd, LISTEN_QUEUE) != 0)
            rc = error_set_errno(text, "listen on", loop->broker.config.listen[i]);
        if (rc == 0)
            rc = listener_start(&remote->listener, loop->broker.poller, remote->fd, text);
    }
    return rc;
}

static void stop_listening(struct loop *loop)
{
    listener_stop(&loop->listener);
    for (unsigned i = 0; i < loop->remote_count; i++)
        listener_stop(&loop->remote[i].listener);
}

static int start_listening(struct loop *loop, struct error_text *text)
{
    refuse_descriptors(loop->listen_fd); /* and who is accepted, too */
    if (listen(loop->listen_fd, LISTEN_QUEUE) != 0)
        return error_set_errno(text, "listen on", loop->broker.config.location.socket);
    int rc = listener_start(&loop->listener, loop->broker.poller, loop->listen_fd, text);
    return rc < 0 ? rc : start_listening_remote(loop, text);
}

static void accepted(struct listener *listener, int fd)
{
    struct loop *loop = (struct loop *)(void *)((char *)listener - offsetof(struct loop, listener));
    if (loop->broker.stopping)
        close(fd);
    else
        session_accept(&loop->broker, fd);
}

static void not_accepted(struct listener *listener, int error)
{
    (void)listener;
    if (error == EMFILE || error == ENFILE)
        note("out of descriptors (RLIMIT_NOFILE): a connection was refused");
    else
        note("a connection could not be accepted: %s", strerror(error));
}

/* ---- certificates, tokens and rules, again ---- */

static void read_again(struct job *job)
{
    struct reading *reading = (struct reading *)(void *)job;
    reading->result = security_read(&reading->loop->broker.config, &reading->security, &reading->text);
}

static void review_more(struct poller_op *op, int result)
{
    struct loop *loop = (struct loop *)(void *)((char *)op - offsetof(struct loop, review_op));
    if (result >= 0 && access_review(&loop->broker))
        (void)poller_timer(loop->broker.poller, op, 0); /* there is room for it: it was one of them */
}

/* One that is under way begins anew by itself. */
static void begin_review(struct loop *loop)
{
    if (!loop->review_op.under_way && poller_timer(loop->broker.poller, &loop->review_op, 0) < 0)
        while (access_review(&loop->broker))
            ;
}

static void begin_reading(struct loop *loop);

/* What is not as it should be changes nothing. */
static void have_read(struct job *job)
{
    struct reading *reading = (struct reading *)(void *)job;
    struct broker *broker = &reading->loop->broker;
    reading->busy = false;
    if (reading->result < 0) {
        note("certificates, tokens and rules stay as they were: %s", reading->text.bytes);
    } else {
        reading->security->generation = broker->security->generation + 1;
        security_free(broker->security);
        broker->security = reading->security;
        note("certificates, tokens and rules were read again: %u tokens, %u rules",
             broker->security->tokens.count, broker->security->rules.count);
        begin_review(reading->loop);
    }
    if (reading->again)
        begin_reading(reading->loop);
}

static void begin_reading(struct loop *loop)
{
    struct reading *reading = &loop->reading;
    reading->again = reading->busy;
    if (reading->busy || loop->broker.stopping)
        return;
    reading->busy = true;
    reading->loop = loop;
    reading->job = (struct job){.work = read_again, .done = have_read};
    workers_submit(&loop->broker.workers, NULL, &reading->job);
}

/* From the kernel SIGHUP says that the terminal is gone; from somebody, that there is something to be read.
 */
static void signalled(struct poller_op *op, int result)
{
    struct loop *loop = (struct loop *)(void *)((char *)op - offsetof(struct loop, signal_op));
    if (result <= 0)
        return;
    if (loop->signal.ssi_signo != SIGHUP || loop->signal.ssi_code == SI_KERNEL)
        loop->broker.stopping = true;
    else
        begin_reading(loop);
    if (!loop->broker.stopping)
        (void)poller_read(loop->broker.poller, op, loop->signal_fd, &loop->signal, sizeof loop->signal);
}

/* Without them the broker serves all the same. */
static void open_book(struct broker *broker)
{
    struct error_text text;
    const struct book_identity identity = {.directory = broker->shm.path,
                                           .socket = broker->config.location.socket,
                                           .data = broker->shm.home,
                                           .instance = broker->instance};
    if (book_open(&broker->book, &identity, &text) < 0)
        note("%s", text.bytes);
    broker->counters = book_take(&broker->book, &(struct book_entry){.kind = COUNTERS_LOOP,
                                                                     .label = "control",
                                                                     .pid = (uint32_t)getpid(),
                                                                     .uid = (uint32_t)broker->uid,
                                                                     .id = broker_next_id(broker)});
}

/* When the loop is about to sleep, and has time; if it never is, with its look at shared memory. */
static void tell_counters(struct broker *broker)
{
    struct turn_figures turns = poller_turns(broker->poller);
    counters_set(broker->counters, LOOP_SEEN_NS, clock_monotonic_ns());
    counters_set(broker->counters, LOOP_LONGEST_TURN_NS, turns.longest_ns);
    counters_set(broker->counters, LOOP_LONGEST_OWN_NS, turns.longest_own_ns);
    counters_set(broker->counters, LOOP_BLOCKED_TURNS, turns.blocked);
    counters_set(broker->counters, LOOP_SESSIONS, broker->session_count);
    counters_set(broker->counters, LOOP_TOPICS, broker->topic_count);
    counters_set(broker->counters, LOOP_NOTES_LOST, note_dropped());
}

static void look(struct poller_op *op, int result)
{
    struct loop *loop = (struct loop *)(void *)((char *)op - offsetof(struct loop, look_op));
    if (result < 0)
        return;
    shared_memory_look(&loop->broker.shm);
    tell_counters(&loop->broker);
    access_expire(&loop->broker);
    (void)poller_timer(loop->broker.poller, op, look_again_ns); /* there is room for it: it was one of them */
}

static sigset_t heard_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

void loop_hold_signals(void)
{
    sigset_t set = heard_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: the write fails, which is enough */
}

static int watch_signals(struct loop *loop, struct error_text *text)
{
    sigset_t set = heard_signals();
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    return loop->signal_fd < 0 ? error_set_errno(text, "make", "a signalfd") : HERMES_OK;
}

/* To grow the heap or to cut it takes the process' memory map, which a worker may have that was put off the
 * processor: it has room for many sessions from the beginning, is grown seldom, and never cut. What is not
 * used takes no memory. */
static void keep_heap(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_STEP_BYTES / 4);
    (void)mallopt(M_TOP_PAD, HEAP_STEP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    void *volatile some = malloc(HEAP_STEP_BYTES / 8);
    free(some);
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

void loop_before_threads(void)
{
    raise_descriptor_limit();
    for (int most = DESCRIPTORS; most > 256; most /= 2) {
        int highest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, most - 1);
        if (highest >= 0) {
            close(highest);
            break;
        }
    }
    (void)barrier_register();
}

/* Nothing that a former broker gave out is given out again, whatever the clock says. */
static int name_instance(struct broker *broker, struct error_text *text)
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set_errno(text, "get", "random numbers");
    broker->instance = (uint32_t)random[0] | 1;
    broker->last_id = random[1] >> 1;
    return HERMES_OK;
}

static void prepare(struct loop *loop, const struct config *config)
{
    *loop = (struct loop){
        .broker = {.config = *config,
                   .workers.event_fd = -1,
                   .post.event_fd = -1,
                   .shm.fd = -1,
                   .book = {.fd = -1, .told_fd = -1},
                   .uid = geteuid(),
                   .membarrier = barrier_register(),
                   .answer = request_answer,
                   .leave = handles_leave,
                   .let_go = handles_let_go},
        .lock_fd = -1,
        .socket_lock_fd = -1,
        .listen_fd = -1,
        .signal_fd = -1,
        .trouble_fd = -1,
    };
    loop->broker.began_ns = clock_monotonic_ns();
    memcpy(loop->broker.principals.most, config->most, sizeof config->most);
    loop->broker.persister.trouble = trouble;
    loop->broker.persister.context = loop;
    loop->broker.scrubber.workers = &loop->broker.workers;
    loop->broker.scrubber.bytes_per_second = config->scrub_mb_s * 1000000ull;
    loop->broker.scrubber.interval_ns = config->scrub_hours * 3600000000000ull;
    loop->listener.accepted = accepted;
    loop->listener.trouble = not_accepted;
    loop->signal_op.done = signalled;
    loop->trouble_op.done = troubled;
    loop->workers_op.done = completed;
    loop->post_op.done = posted;
    loop->look_op.done = look;
    loop->review_op.done = review_more;
}

/* What does not depend on topics, and can fail. */
static int open_engine(struct loop *loop, struct error_text *text)
{
    int rc = watch_signals(loop, text);
    if (rc == 0 && (loop->trouble_fd = eventfd(0, EFD_CLOEXEC)) < 0)
        rc = error_set_errno(text, "make", "an eventfd");
    if (rc == 0)
        rc = poller_open(loop->broker.config.backend, &loop->broker.poller, text);
    if (rc == 0)
        rc = poller_read(loop->broker.poller, &loop->signal_op, loop->signal_fd, &loop->signal,
                         sizeof loop->signal);
    if (rc == 0)
        rc = poller_read(loop->broker.poller, &loop->trouble_op, loop->trouble_fd, &loop->trouble_buffer,
                         sizeof loop->trouble_buffer);
    if (rc == 0)
        rc = post_open(&loop->broker.post, text);
    if (rc == 0)
        rc = poller_read(loop->broker.poller, &loop->post_op, loop->broker.post.event_fd, &loop->post_buffer,
                         sizeof loop->post_buffer);
    return rc;
}

static int start_workers(struct loop *loop, struct error_text *text)
{
    int rc = workers_start(&loop->broker.workers, loop->broker.config.workers);
    if (rc < 0)
        return error_set(text, rc, "cannot start %u workers", loop->broker.config.workers);
    persister_start(&loop->broker.persister, &loop->broker.workers, loop->broker.config.sync_interval_ms);
    return poller_read(loop->broker.poller, &loop->workers_op, loop->broker.workers.event_fd,
                       &loop->workers_buffer, sizeof loop->workers_buffer);
}

static void release(struct loop *loop)
{
    persister_stop(&loop->broker.persister);
    scrubber_stop(&loop->broker.scrubber);
    workers_stop(&loop->broker.workers);
    topics_forget_unserved(&loop->broker);
    book_close(&loop->broker.book);
    poller_close(loop->broker.poller);
    bells_close(&loop->broker.bells);
    for (unsigned i = 0; i < loop->remote_count; i++)
        close(loop->remote[i].fd);
    post_close(&loop->broker.post);
    if (loop->listen_fd >= 0)
        close(loop->listen_fd);
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    if (loop->trouble_fd >= 0)
        close(loop->trouble_fd);
    security_free(loop->broker.security);
    if (loop->bound)
        unlink(loop->broker.config.location.socket);
    shm_close_directory(&loop->broker.shm);
    if (loop->socket_lock_fd >= 0)
        close(loop->socket_lock_fd);
    if (loop->lock_fd >= 0)
        close(loop->lock_fd);
}

int loop_open(struct loop *loop, const struct config *config, struct error_text *text)
{
    prepare(loop, config);
    keep_heap();
    int rc = name_instance(&loop->broker, text);
    if (rc == 0)
        rc = lock_data(loop, text);
    if (rc == 0)
        open_book(&loop->broker);
    if (rc == 0)
        rc = bind_socket(loop, text);
    if (rc == 0)
        rc = security_read(config, &loop->broker.security, text);
    if (rc == 0)
        loop->broker.security->generation = 1;
    if (rc == 0)
        rc = bind_remote(loop, text);
    if (rc == 0)
        rc = open_engine(loop, text);
    if (rc == 0)
        rc = start_workers(loop, text);
    if (rc == 0)
        rc = topics_load(&loop->broker, text);
    if (rc == 0)
        mirrors_load(&loop->broker);
    if (rc == 0)
        rc = start_listening(loop, text);
    if (rc == 0)
        rc = poller_timer(loop->broker.poller, &loop->look_op, look_again_ns);
    if (rc == 0) {
        tell_counters(&loop->broker);
        book_show(&loop->broker.book);
        shared_memory_sweep();
        mirrors_start(&loop->broker);
        return HERMES_OK;
    }
    /* Not loop_close(): that stores everything and leaves nothing in shared memory. Who could not start has
     * no business there. */
    stop_listening(loop);
    topics_abandon(&loop->broker);
    release(loop);
    return rc;
}

/* ---- running ---- */

/* Subscribers that are waited for have some time to come back after a crash of ours. */
static uint64_t sleep_in_grace(struct loop *loop, uint64_t sleep_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (now >= loop->broker.grace_until_ns) {
        loop->broker.grace_until_ns = 0;
        topic_end_grace(&loop->broker);
        return sleep_ns;
    }
    uint64_t left = loop->broker.grace_until_ns - now;
    return left < sleep_ns ? left : sleep_ns;
}

/* Is what streams have to send better sent with what is to come at once? The next turn of the sequencer
 * tells. */
static bool holds_back(const struct loop *loop, uint64_t more, uint64_t *held)
{
    *held += more;
    if (more >= HOLDS_FROM_BYTES && *held < HOLDS_UP_TO_BYTES && loop->broker.streamed != NULL)
        return true;
    *held = 0;
    return false;
}

/*
 * Spins while rings are busy, looking at the sockets now and then; after spin_us of nothing it asks to
 * be woken, looks once more, and sleeps in the poller.
 */
void loop_run(struct loop *loop)
{
    uint64_t spin_ns =
        loop->broker.config.spin_us == UINT32_MAX ? UINT64_MAX : loop->broker.config.spin_us * 1000ull;
    uint64_t idle_since = 0;
    uint64_t moved = 0, held = 0;
    unsigned turns = 0;
    while (!loop->broker.stopping) {
        uint64_t more = sequencer_turn(&loop->broker);
        moved += more;
        if (holds_back(loop, more, &held)) {
            idle_since = 0;
            if (poller_has_news(loop->broker.poller))
                poller_run(loop->broker.poller, 0);
            continue;
        }
        if (streams_turn(&loop->broker) > 0) { /* what is to be sent waits for the poller */
            idle_since = 0;
            poller_run(loop->broker.poller, 0);
            continue;
        }
        if (more > 0) {
            idle_since = 0;
            if (++turns % TURNS_A_LOOK == 0 || moved >= BYTES_A_LOOK) {
                poller_run(loop->broker.poller, 0);
                moved = 0;
            }
            continue;
        }
        if (loop->broker.rings > 0) {
            if (++turns % TURNS_A_LOOK != 0) {
                if (loop->broker.streamed != NULL && poller_has_news(loop->broker.poller))
                    poller_run(loop->broker.poller, 0);
                else
                    cpu_relax();
                continue;
            }
            uint64_t now = clock_monotonic_ns();
            if (idle_since == 0)
                idle_since = now;
            if (now - idle_since < spin_ns) {
                poller_run(loop->broker.poller, 0);
                poller_yield(loop->broker.poller); /* the persister may have been woken on this core */
                continue;
            }
        }
        uint64_t sleep_ns = sequencer_park(&loop->broker), streams_ns = streams_park(&loop->broker);
        sleep_ns = sleep_ns < streams_ns ? sleep_ns : streams_ns;
        sleep_ns = sleep_ns < longest_sleep_ns ? sleep_ns : longest_sleep_ns;
        if (loop->broker.grace_until_ns != 0)
            sleep_ns = sleep_in_grace(loop, sleep_ns);
        tell_counters(&loop->broker);
        counters_add(loop->broker.counters, LOOP_SLEEPS, sleep_ns > 0);
        poller_run(loop->broker.poller, sleep_ns);
        sequencer_unpark(&loop->broker);
        idle_since = 0;
    }
}

int loop_close(struct loop *loop, struct error_text *text)
{
    loop->broker.stopping = true;
    stop_listening(loop);
    unlink(loop->broker.config.location.socket);
    loop->bound = false;
    session_close_all(&loop->broker);
    streams_close(&loop->broker);
    workers_drain(&loop->broker.workers); /* what was begun is finished, while topics are there */
    mirrors_stop(&loop->broker);
    for (struct topic *topic = loop->broker.topics; topic != NULL; topic = topic->next)
        group_stop_all(topic);
    int rc = topics_close(&loop->broker, text); /* takes all tasks out */
    release(loop);
    return rc;
}
