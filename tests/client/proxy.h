/* Between a client and its broker: passes on what comes, and cuts each connection after as many bytes as it
 * is told. */
#ifndef TESTS_CLIENT_PROXY_H
#define TESTS_CLIENT_PROXY_H

#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

struct proxy {
    int listener;
    unsigned port;
    unsigned target;       /* the broker's port */
    _Atomic uint64_t seed; /* of how long connections live; 0: as long as their ends */
    _Atomic uint64_t most; /* bytes, in both directions */
    _Atomic unsigned cuts, threads;
    _Atomic bool cuts_now; /* whichever passes on the next bytes, instead */
    pthread_t accepts;
};

struct proxy_link {
    struct proxy *proxy;
    int ends[2];
    _Atomic int64_t left; /* bytes until it is cut */
    _Atomic unsigned users;
    bool resets;
};

struct proxy_way {
    struct proxy_link *link;
    int from;
};

static inline int proxy_socket(unsigned port, bool listens)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (listens ? bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0
                : connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline void proxy_end(struct proxy_link *link)
{
    struct proxy *proxy = link->proxy;
    for (int i = 0; i < 2; i++)
        shutdown(link->ends[i], SHUT_RDWR);
    if (atomic_fetch_sub(&link->users, 1) == 1) {
        struct linger reset = {.l_onoff = 1};
        for (int i = 0; i < 2; i++) {
            if (link->resets)
                setsockopt(link->ends[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(link->ends[i]);
        }
        free(link);
    }
    atomic_fetch_sub(&proxy->threads, 1);
}

static inline bool proxy_pass(struct proxy_link *link, int to, const char *bytes, size_t count)
{
    if (atomic_exchange(&link->proxy->cuts_now, false))
        atomic_store(&link->left, 0);
    int64_t before = atomic_fetch_sub(&link->left, (int64_t)count);
    size_t may = before <= 0 ? 0 : (int64_t)count < before ? count : (size_t)before;
    for (size_t done = 0; done < may;) {
        ssize_t now = send(to, bytes + done, may - done, MSG_NOSIGNAL);
        if (now <= 0)
            return false;
        done += (size_t)now;
    }
    if (may == count)
        return true;
    if (before > 0)
        atomic_fetch_add(&link->proxy->cuts, 1);
    return false;
}

static inline void *proxy_run(void *argument)
{
    struct proxy_way way = *(struct proxy_way *)argument;
    char bytes[2048];
    ssize_t got;
    free(argument);
    while ((got = recv(way.link->ends[way.from], bytes, sizeof bytes, 0)) > 0 &&
           proxy_pass(way.link, way.link->ends[1 - way.from], bytes, (size_t)got))
        ;
    proxy_end(way.link);
    return NULL;
}

static inline uint64_t proxy_random(struct proxy *proxy)
{
    uint64_t seed = atomic_load(&proxy->seed), value = test_random(&seed);
    atomic_store(&proxy->seed, seed);
    return value;
}

static inline void proxy_begin(struct proxy *proxy, int client, int broker)
{
    struct proxy_link *link = calloc(1, sizeof *link);
    *link = (struct proxy_link){.proxy = proxy, .ends = {client, broker}, .left = INT64_MAX, .users = 2};
    if (atomic_load(&proxy->seed) != 0) {
        uint64_t random = proxy_random(proxy);
        link->left = (int64_t)(random % atomic_load(&proxy->most));
        link->resets = (random >> 40) % 2 == 0;
    }
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        struct proxy_way *way = malloc(sizeof *way);
        *way = (struct proxy_way){link, i};
        atomic_fetch_add(&proxy->threads, 1);
        assert_int_equal(pthread_create(&thread, NULL, proxy_run, way), 0);
        pthread_detach(thread);
    }
}

static inline void *proxy_accept(void *argument)
{
    struct proxy *proxy = argument;
    int client;
    while ((client = accept(proxy->listener, NULL, NULL)) >= 0) {
        int broker = proxy_socket(proxy->target, false);
        if (broker < 0)
            close(client);
        else
            proxy_begin(proxy, client, broker);
    }
    return NULL;
}

static inline void proxy_start(struct proxy *proxy, unsigned target)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    *proxy = (struct proxy){.target = target};
    proxy->listener = proxy_socket(0, true);
    assert_true(proxy->listener >= 0);
    assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&at, &length), 0);
    proxy->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&proxy->accepts, NULL, proxy_accept, proxy), 0);
}

/* The connection of which the next bytes come. */
static inline void proxy_cut(struct proxy *proxy)
{
    atomic_store(&proxy->cuts_now, true);
}

/* After those that are connected have gone. */
static inline void proxy_stop(struct proxy *proxy)
{
    shutdown(proxy->listener, SHUT_RDWR);
    pthread_join(proxy->accepts, NULL);
    close(proxy->listener);
    while (atomic_load(&proxy->threads) > 0)
        sched_yield();
}

#endif
