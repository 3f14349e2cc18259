/*
 * What io_uring saves a broker, by programs that do nothing else.
 *
 *     build/release/bin/probe_uring [ROUNDS [PERCENT]]
 *
 * Receiving: one receive at a time into a buffer of the connection's own, as the broker does it, beside one
 * that goes on (multishot) into a ring of buffers that all connections share, from which each piece is copied
 * to where its connection's bytes are put together. Another process sends to each connection in turn and
 * waits until all of it was read.
 *
 * Sending: a message to each of 64 connections, by a system call each, and by one for all. Another process
 * reads and answers when it has all.
 *
 * Processor time of the thread that receives or sends, medians of ROUNDS by turns; PERCENT: of the usual
 * work. 77: no such io_uring here.
 */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    OWN_BYTES = 128 * 1024,
    SHARED = 256,
    BATCH = 32,
    CONNECTIONS_MOST = 64,
    ROUNDS_MOST = 100,
    SKIP = 77
};

struct load {
    const char *name;
    unsigned connections;
    uint32_t bytes; /* to each, at a time */
    unsigned times;
};

static const struct load loads[] = {
    {"received, 32 KiB at a time", 1, 32768, 5000},
    {"received, 128 bytes by each of 64", 64, 128, 500},
};

/* shared_bytes: of each buffer of the ring; 0: one receive at a time. */
static const uint32_t ways[] = {0, 4096, 16384, 65536};
enum { LOADS = sizeof loads / sizeof loads[0], WAYS = sizeof ways / sizeof ways[0] };

struct receiver {
    struct io_uring ring;
    struct io_uring_buf_ring *shared;
    uint8_t *pool;
    uint32_t shared_bytes;
    int fds[CONNECTIONS_MOST];
    uint8_t *own[CONNECTIONS_MOST];
};

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(errno == ENOSYS || errno == EPERM || errno == EINVAL ? SKIP : 1);
}

static void check(int rc, const char *what)
{
    if (rc >= 0)
        return;
    errno = -rc;
    fail(what);
}

static void connect_both(int ends[2])
{
    const int yes = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) != 0 ||
        connect(ends[0], (struct sockaddr *)&at, sizeof at) != 0 ||
        (ends[1] = accept(listener, NULL, NULL)) < 0)
        fail("a TCP connection");
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    close(listener);
}

/* 0: in the other process, which goes with this one. */
static pid_t other_process(void)
{
    pid_t ours = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != ours)
            _exit(1);
    }
    return pid;
}

static void send_all(const struct load *load, const int *fds)
{
    static const uint8_t bytes[OWN_BYTES];
    char done;
    for (unsigned time = 0; time < load->times; time++) {
        for (unsigned i = 0; i < load->connections; i++)
            if (send(fds[i], bytes, load->bytes, MSG_NOSIGNAL) != (ssize_t)load->bytes)
                _exit(1);
        if (recv(fds[0], &done, 1, 0) != 1)
            _exit(1);
    }
    _exit(0);
}

static void give_back(struct receiver *receiver, uint16_t index)
{
    uint8_t *buffer = receiver->pool + (size_t)index * receiver->shared_bytes;
    io_uring_buf_ring_add(receiver->shared, buffer, receiver->shared_bytes, index, SHARED - 1, 0);
    io_uring_buf_ring_advance(receiver->shared, 1);
}

static void share(struct receiver *receiver)
{
    void *memory;
    receiver->pool = calloc(SHARED, receiver->shared_bytes);
    if (receiver->pool == NULL || posix_memalign(&memory, 4096, SHARED * sizeof(struct io_uring_buf)) != 0)
        fail("memory");
    receiver->shared = memory;
    io_uring_buf_ring_init(receiver->shared);
    struct io_uring_buf_reg registered = {.ring_addr = (uintptr_t)memory, .ring_entries = SHARED};
    check(io_uring_register_buf_ring(&receiver->ring, &registered, 0), "a ring of buffers");
    for (uint16_t i = 0; i < SHARED; i++)
        give_back(receiver, i);
}

static void receive(struct receiver *receiver, unsigned connection)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&receiver->ring);
    if (receiver->shared_bytes == 0) {
        io_uring_prep_recv(sqe, receiver->fds[connection], receiver->own[connection], OWN_BYTES, 0);
    } else {
        io_uring_prep_recv(sqe, receiver->fds[connection], NULL, 0, 0);
        sqe->ioprio |= IORING_RECV_MULTISHOT;
        sqe->flags |= IOSQE_BUFFER_SELECT;
    }
    io_uring_sqe_set_data64(sqe, connection);
}

/* How many bytes came. */
static uint64_t take(struct receiver *receiver, const struct io_uring_cqe *cqe)
{
    unsigned connection = (unsigned)io_uring_cqe_get_data64(cqe);
    uint64_t bytes = cqe->res > 0 ? (uint64_t)cqe->res : 0;
    if (cqe->res == -EINVAL || (cqe->res <= 0 && cqe->res != -ENOBUFS)) {
        errno = -cqe->res;
        fail("receive");
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint16_t index = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        memcpy(receiver->own[connection], receiver->pool + (size_t)index * receiver->shared_bytes, bytes);
        give_back(receiver, index);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        receive(receiver, connection);
    return bytes;
}

static void receive_all(struct receiver *receiver, const struct load *load)
{
    uint64_t wanted = (uint64_t)load->bytes * load->connections, got = 0;
    for (unsigned time = 0; time < load->times;) {
        struct io_uring_cqe *ready[BATCH];
        check(io_uring_submit_and_wait(&receiver->ring, 1), "wait");
        unsigned count = io_uring_peek_batch_cqe(&receiver->ring, ready, BATCH);
        for (unsigned i = 0; i < count; i++)
            got += take(receiver, ready[i]);
        io_uring_cq_advance(&receiver->ring, count);
        if (got < wanted)
            continue;
        got -= wanted;
        time++;
        if (send(receiver->fds[0], "", 1, MSG_NOSIGNAL) != 1)
            fail("send");
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds for each send of the other process. */
static double measure(const struct load *load, uint32_t shared_bytes)
{
    struct receiver receiver = {.shared_bytes = shared_bytes};
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                                  IORING_SETUP_TASKRUN_FLAG};
    int theirs[CONNECTIONS_MOST], status;
    for (unsigned i = 0; i < load->connections; i++) {
        int ends[2];
        connect_both(ends);
        theirs[i] = ends[0];
        receiver.fds[i] = ends[1];
        receiver.own[i] = calloc(1, OWN_BYTES);
    }
    pid_t sender = other_process();
    if (sender == 0)
        send_all(load, theirs);
    check(io_uring_queue_init_params(256, &receiver.ring, &parameters), "io_uring");
    if (shared_bytes > 0)
        share(&receiver);
    for (unsigned i = 0; i < load->connections; i++)
        receive(&receiver, i);
    uint64_t before = cpu_ns();
    receive_all(&receiver, load);
    uint64_t took = cpu_ns() - before;
    io_uring_queue_exit(&receiver.ring);
    for (unsigned i = 0; i < load->connections; i++) {
        close(theirs[i]);
        close(receiver.fds[i]);
        free(receiver.own[i]);
    }
    free(receiver.shared);
    free(receiver.pool);
    if (waitpid(sender, &status, 0) != sender || status != 0)
        fail("the process that sends");
    return (double)took / ((double)load->times * load->connections);
}

/* ---- sending ---- */

enum { MESSAGE_BYTES = 128, SENDS = 500 };

static void read_all(const int *fds, unsigned times)
{
    char bytes[MESSAGE_BYTES];
    for (unsigned time = 0; time < times; time++) {
        for (unsigned i = 0; i < CONNECTIONS_MOST; i++)
            if (recv(fds[i], bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes)
                _exit(1);
        if (send(fds[0], "", 1, MSG_NOSIGNAL) != 1)
            _exit(1);
    }
    _exit(0);
}

static void send_by_calls(const int *fds, struct msghdr *message)
{
    for (unsigned i = 0; i < CONNECTIONS_MOST; i++)
        if (sendmsg(fds[i], message, MSG_DONTWAIT | MSG_NOSIGNAL) != MESSAGE_BYTES)
            fail("send");
}

static void send_by_ring(struct io_uring *ring, const int *fds, struct msghdr *message)
{
    for (unsigned i = 0; i < CONNECTIONS_MOST; i++)
        io_uring_prep_sendmsg(io_uring_get_sqe(ring), fds[i], message, MSG_NOSIGNAL);
    check(io_uring_submit_and_wait(ring, CONNECTIONS_MOST), "send");
    io_uring_cq_advance(ring, CONNECTIONS_MOST);
}

/* Nanoseconds for each message. */
static double measure_sends(bool by_ring, unsigned times)
{
    static uint8_t bytes[MESSAGE_BYTES];
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct io_uring ring;
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                                  IORING_SETUP_TASKRUN_FLAG};
    int ours[CONNECTIONS_MOST], theirs[CONNECTIONS_MOST], status;
    char done;
    for (unsigned i = 0; i < CONNECTIONS_MOST; i++) {
        int ends[2];
        connect_both(ends);
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
    pid_t reader = other_process();
    if (reader == 0)
        read_all(theirs, times);
    check(io_uring_queue_init_params(256, &ring, &parameters), "io_uring");
    uint64_t took = 0;
    for (unsigned time = 0; time < times; time++) {
        uint64_t before = cpu_ns();
        if (by_ring)
            send_by_ring(&ring, ours, &message);
        else
            send_by_calls(ours, &message);
        took += cpu_ns() - before;
        if (recv(ours[0], &done, 1, 0) != 1)
            fail("receive");
    }
    io_uring_queue_exit(&ring);
    for (unsigned i = 0; i < CONNECTIONS_MOST; i++) {
        close(ours[i]);
        close(theirs[i]);
    }
    if (waitpid(reader, &status, 0) != reader || status != 0)
        fail("the process that reads");
    return (double)took / ((double)times * CONNECTIONS_MOST);
}

/* ---- both, by turns ---- */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
    static double took[LOADS][WAYS][ROUNDS_MOST], sends[2][ROUNDS_MOST];
    int rounds = argc > 1 ? atoi(argv[1]) : 9, percent = argc > 2 ? atoi(argv[2]) : 100;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MOST ? ROUNDS_MOST : rounds;
    percent = percent < 1 ? 1 : percent;
    for (int round = 0; round < rounds; round++) {
        for (int by_ring = 0; by_ring < 2; by_ring++)
            sends[by_ring][round] = measure_sends(by_ring, SENDS * (unsigned)percent / 100 + 1);
        for (int i = 0; i < LOADS; i++)
            for (int way = 0; way < WAYS; way++) {
                struct load load = loads[i];
                load.times = load.times * (unsigned)percent / 100 + 1;
                took[i][way][round] = measure(&load, ways[way]);
            }
    }
    for (int i = 0; i < LOADS; i++)
        for (int way = 0; way < WAYS; way++) {
            qsort(took[i][way], (size_t)rounds, sizeof(double), compare);
            printf("%-34s ", loads[i].name);
            if (ways[way] == 0)
                printf("%-34s", "one at a time, own buffers");
            else
                printf("multishot, shared of %5u bytes    ", ways[way]);
            printf(" %7.0f ns of processor\n", took[i][way][rounds / 2]);
        }
    for (int by_ring = 0; by_ring < 2; by_ring++) {
        qsort(sends[by_ring], (size_t)rounds, sizeof(double), compare);
        printf("%-34s %-34s %7.0f ns of processor\n", "sent, 128 bytes to each of 64",
               by_ring ? "one system call for all" : "one system call each", sends[by_ring][rounds / 2]);
    }
    return 0;
}
