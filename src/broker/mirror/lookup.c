#include "broker/mirror/lookup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"
#include "hermes/client.h"
#include "io/tcp.h"
#include "io/udp.h"

enum {
    AGAIN_MS = 500, /* who was not found, or did not answer */
    LOOK_MS = 1000, /* is it still the same key? */
    TOPIC_BYTES = 128,
};

struct lookup {
    pthread_mutex_t lock; /* of what follows, up to `fresh` */
    unsigned holders;     /* who asked, and the thread */
    bool closed;
    bool fresh; /* the answer was not taken yet */
    struct lookup_answer answer;
    int answer_fd, close_fd;
    char whole[UDP_URL_BYTES], topic[TOPIC_BYTES];
    char url[UDP_URL_BYTES]; /* up to "?", and what stands behind it: */
    struct udp_group group;
    struct lookup_identity identity;
};

/* ---- both sides ---- */

static void let_go(struct lookup *l)
{
    pthread_mutex_lock(&l->lock);
    bool last = --l->holders == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last)
        return;
    close(l->answer_fd);
    close(l->close_fd);
    pthread_mutex_destroy(&l->lock);
    OPENSSL_cleanse(l, sizeof *l);
    free(l);
}

static void ring(int fd)
{
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);
}

/* ---- the thread ---- */

static bool is_closed(struct lookup *l)
{
    pthread_mutex_lock(&l->lock);
    bool closed = l->closed;
    pthread_mutex_unlock(&l->lock);
    return closed;
}

/* false: it is closed. */
static bool rest(struct lookup *l, int timeout_ms)
{
    struct pollfd polled = {.fd = l->close_fd, .events = POLLIN};
    (void)poll(&polled, 1, timeout_ms);
    return !is_closed(l);
}

static void tell(struct lookup *l, const struct lookup_answer *answer)
{
    pthread_mutex_lock(&l->lock);
    l->answer = *answer;
    l->fresh = true;
    ring(l->answer_fd); /* under the lock: it rings while there is one, and no longer */
    pthread_mutex_unlock(&l->lock);
}

static void find_address(struct lookup *l)
{
    struct lookup_answer answer;
    do {
        answer = (struct lookup_answer){.group = l->group};
        answer.error = udp_resolve(l->whole, &answer.there, &answer.text);
        tell(l, &answer);
    } while (answer.error < 0 && rest(l, AGAIN_MS));
}

static bool is_any(const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *six = (const void *)address;
    const struct sockaddr_in *four = (const void *)address;
    return address->ss_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)
                                          : four->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Where a broker that sends from every address of its host is reached: as it was for the key. */
static int find_host(const struct lookup *l, struct sockaddr_storage *there, struct error_text *text)
{
    char host[TCP_URL_BYTES], url[UDP_URL_BYTES + TCP_URL_BYTES];
    const struct sockaddr_in *four = (const void *)there; /* the port stands where it does in IPv6 */
    tcp_host(l->url, host);
    bool bracketed = strchr(host, ':') != NULL;
    snprintf(url, sizeof url, "udp://%s%s%s:%u", bracketed ? "[" : "", host, bracketed ? "]" : "",
             ntohs(four->sin_port));
    return udp_resolve(url, there, text);
}

/* The group is the sender's; how this host gets to it is its own affair. */
static int find_there(const struct lookup *l, const char *url, struct lookup_answer *answer)
{
    char base[UDP_URL_BYTES];
    int rc = udp_split(url, base, &answer->group, &answer->text);
    memcpy(answer->group.interface, l->group.interface, sizeof answer->group.interface);
    answer->group.hops = 0;
    if (rc == 0)
        rc = udp_resolve(url, &answer->there, &answer->text);
    return rc == 0 && is_any(&answer->there) ? find_host(l, &answer->there, &answer->text) : rc;
}

/* good: the last answer that was no error, however many were since. The same key is of the same place, and no
 * name is looked up again for it: elsewhere its numbers would begin anew. */
static int ask(const struct lookup *l, hermes_client_t *client, const struct lookup_answer *good,
               struct lookup_answer *answer)
{
    hermes_mirror_grant_t grant = {.size = sizeof grant};
    int rc = hermes_mirror_key(client, l->topic, &grant);
    if (rc < 0)
        return error_say(&answer->text, rc, "%s", hermes_last_error(client));
    answer->sealed = true;
    answer->key.id = grant.id;
    answer->key.member = grant.member;
    memcpy(answer->key.secret, grant.secret, sizeof answer->key.secret);
    OPENSSL_cleanse(grant.secret, sizeof grant.secret);
    if (good->error == 0 && memcmp(&good->key, &answer->key, sizeof good->key) == 0) {
        answer->there = good->there;
        answer->group = good->group;
        return HERMES_OK;
    }
    return find_there(l, grant.url, answer);
}

static const char *or_null(const char *path)
{
    return path[0] == 0 ? NULL : path;
}

static int connect_to(const struct lookup *l, hermes_client_t **client, struct error_text *text)
{
    const struct lookup_identity *i = &l->identity;
    hermes_connect_options_t options = {.size = sizeof options,
                                        .tls_ca = or_null(i->authority),
                                        .tls_cert = or_null(i->certificate),
                                        .tls_key = or_null(i->key),
                                        .token_file = or_null(i->token_file)};
    char stays[UDP_URL_BYTES + sizeof "?shm=no"]; /* also on this host: it has keys to say, and no messages */
    snprintf(stays, sizeof stays, "%s?shm=no", l->url);
    int rc = hermes_connect_with(stays, &options, client);
    return rc < 0 ? error_say(text, rc, "%s", hermes_last_error(NULL)) : rc;
}

static bool is_same(const struct lookup_answer *one, const struct lookup_answer *other)
{
    return one->error == other->error && memcmp(&one->key, &other->key, sizeof one->key) == 0;
}

/* A call that waits for the other broker is not waited for, either. */
static int is_unwanted(void *lookup)
{
    return is_closed(lookup);
}

static void keep_key(struct lookup *l)
{
    struct lookup_answer answer, told = {.error = HERMES_EINTERRUPTED}, good = told; /* nothing yet */
    hermes_client_t *client = NULL;
    hermes_set_interrupt((hermes_interrupt_t){is_unwanted, l});
    do {
        memset(&answer, 0, sizeof answer);
        if (client == NULL)
            answer.error = connect_to(l, &client, &answer.text);
        if (answer.error == 0)
            answer.error = ask(l, client, &good, &answer);
        if (answer.error == 0)
            good = answer;
        if (is_same(&answer, &told))
            continue;
        tell(l, &answer);
        told = answer;
    } while (rest(l, answer.error < 0 ? AGAIN_MS : LOOK_MS));
    (void)hermes_disconnect(client);
    OPENSSL_cleanse(&answer, sizeof answer);
    OPENSSL_cleanse(&told, sizeof told);
    OPENSSL_cleanse(&good, sizeof good);
}

static void *body(void *argument)
{
    struct lookup *l = argument;
    if (strncmp(l->url, "tls://", strlen("tls://")) == 0)
        keep_key(l);
    else
        find_address(l);
    let_go(l);
    return NULL;
}

/* ---- who asks ---- */

int lookup_open(struct lookup **lookup, const struct lookup_wish *wish, struct error_text *text)
{
    pthread_t thread;
    struct lookup *l = calloc(1, sizeof *l);
    if (l == NULL)
        return error_set(text, HERMES_ENOMEM, "to look up %s", wish->url);
    int rc = udp_split(wish->url, l->url, &l->group, text);
    if (rc < 0) {
        free(l);
        return rc;
    }
    (void)pthread_mutex_init(&l->lock, NULL);
    snprintf(l->whole, sizeof l->whole, "%s", wish->url);
    snprintf(l->topic, sizeof l->topic, "%s", wish->topic);
    if (wish->identity != NULL)
        l->identity = *wish->identity;
    l->answer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->close_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->holders = 2;
    rc = l->answer_fd < 0 || l->close_fd < 0 ? HERMES_ELIMIT : thread_start(&thread, body, l);
    if (rc < 0) {
        l->holders = 1;
        let_go(l);
        return error_set(text, rc, "a thread to look up %s", wish->url);
    }
    pthread_detach(thread);
    *lookup = l;
    return HERMES_OK;
}

int lookup_fd(const struct lookup *lookup)
{
    return lookup->answer_fd;
}

bool lookup_take(struct lookup *l, struct lookup_answer *answer)
{
    uint64_t rings;
    pthread_mutex_lock(&l->lock);
    bool fresh = l->fresh;
    if (fresh) {
        (void)!read(l->answer_fd, &rings, sizeof rings);
        *answer = l->answer;
        OPENSSL_cleanse(&l->answer.key, sizeof l->answer.key);
    }
    l->fresh = false;
    pthread_mutex_unlock(&l->lock);
    return fresh;
}

void lookup_close(struct lookup *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->closed = true;
    pthread_mutex_unlock(&l->lock);
    ring(l->close_fd);
    let_go(l);
}

void lookup_prepare(void)
{
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}
