#include "broker/mirror/engine.h"

#include <assert.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "base/thread.h"
#include "broker/topic.h"

/* An address that is not there yet, or a name that nobody knows. */
static const uint64_t again_ns = 500000000;

static void *run(void *argument)
{
    struct engine *engine = argument;
    while (sem_wait(&engine->go) != 0)
        continue;
    return engine_stops(engine) ? NULL : engine->body(engine);
}

int engine_prepare(struct engine *engine, struct error_text *text)
{
    atomic_store_explicit(&engine->stop, false, memory_order_relaxed);
    engine->event_fd = eventfd(0, EFD_CLOEXEC);
    if (engine->event_fd < 0)
        return error_set_errno(text, "make", "an eventfd");
    (void)sem_init(&engine->go, 0, 0);
    int rc = thread_start(&engine->thread, run, engine);
    if (rc < 0) {
        sem_destroy(&engine->go);
        close(engine->event_fd);
        return error_set(text, rc, "no thread for a mirror of topic '%s'", engine->topic->name);
    }
    engine->runs = true;
    return HERMES_OK;
}

void engine_go(struct engine *engine)
{
    sem_post(&engine->go);
}

void engine_end(struct engine *engine)
{
    uint64_t one = 1;
    atomic_store_explicit(&engine->stop, true, memory_order_relaxed);
    if (!engine->runs)
        return;
    (void)!write(engine->event_fd, &one, sizeof one);
    engine_go(engine); /* one that never went */
}

void engine_join(struct engine *engine)
{
    if (!engine->runs)
        return;
    pthread_join(engine->thread, NULL);
    sem_destroy(&engine->go);
    close(engine->event_fd);
    engine->runs = false;
}

void engine_tell(struct engine *engine, enum mirror_state state, int error)
{
    atomic_store_explicit(&engine->state, state, memory_order_relaxed);
    atomic_store_explicit(&engine->error, error, memory_order_relaxed);
    counters_set(engine->counters, MIRROR_COUNTS_STATE, state);
}

_Static_assert(MIRROR_COUNTS_RECEIVERS + (int)MIRROR_REFUSED == (int)MIRROR_COUNTS_REFUSED, "one order");

void engine_figures(struct engine *engine, const uint64_t figures[MIRROR_FIGURES])
{
    for (unsigned i = 0; i < MIRROR_FIGURES; i++) {
        atomic_store_explicit(&engine->figures[i], figures[i], memory_order_relaxed);
        counters_set(engine->counters, MIRROR_COUNTS_RECEIVERS + i, figures[i]);
    }
}

/* ---- where it leads to ---- */

/* Once for each error. */
static void wait_for(struct engine *engine, int error, const char *why)
{
    engine_tell(engine, MIRROR_WAITING, error);
    if (engine->noted != error)
        note("topic '%s': its mirror tries again: %s", engine->topic->name, why);
    engine->noted = error;
}

int engine_look_up(struct engine *engine, struct lookup **lookup)
{
    struct error_text text;
    struct lookup_wish wish = {engine->url, engine->topic->name, engine->identity};
    int rc = lookup_open(lookup, &wish, &text);
    if (rc < 0) {
        note("topic '%s' has no mirror at %s: %s", engine->topic->name, engine->url, text.bytes);
        engine_tell(engine, MIRROR_FAILED, rc);
    }
    return rc;
}

bool engine_hear(struct engine *engine, struct lookup *lookup, struct lookup_answer *answer)
{
    if (!lookup_take(lookup, answer))
        return false;
    if (answer->error < 0)
        wait_for(engine, answer->error, answer->text.bytes);
    else
        engine->noted = HERMES_OK;
    return true;
}

bool engine_await(struct engine *engine, struct lookup *lookup, struct lookup_answer *answer)
{
    while (!engine_stops(engine)) {
        if (engine_hear(engine, lookup, answer) && answer->error == 0)
            return true;
        engine_sleep(engine, NULL, lookup_fd(lookup), UINT64_MAX);
    }
    return false;
}

void engine_was_busy(struct engine *engine, uint64_t now_ns)
{
    engine->busy_ns = now_ns;
}

bool engine_spins(const struct engine *engine, uint64_t now_ns)
{
    return now_ns - engine->busy_ns < engine->topic->broker->config.mirror_spin_us * 1000ull;
}

int engine_place(const struct sockaddr_storage *here, const struct udp_group *group,
                 struct mirror_socket_config *config)
{
    *config = (struct mirror_socket_config){.local = *here,
                                            .group = group->address,
                                            .hops = group->hops,
                                            .interface = if_nametoindex(group->interface)};
    return group->interface[0] != 0 && config->interface == 0 ? HERMES_ENOTFOUND : HERMES_OK;
}

int engine_bind(struct engine *engine, const struct sockaddr_storage *here, const struct udp_group *group,
                struct mirror_socket **socket)
{
    struct error_text text;
    struct mirror_socket_config config;
    int rc = engine_place(here, group, &config);
    if (rc == 0)
        rc = mirror_socket_open(socket, &config);
    if (rc < 0) {
        (void)error_say(&text, rc, "a socket for %s: %s", engine->url, hermes_strerror(rc));
        wait_for(engine, rc, text.bytes);
    }
    return rc;
}

bool engine_socket(struct engine *engine, struct mirror_socket **socket, struct lookup_answer *here)
{
    while (!engine_stops(engine)) {
        struct lookup *lookup;
        if (engine_look_up(engine, &lookup) < 0)
            return false;
        bool found = engine_await(engine, lookup, here);
        lookup_close(lookup);
        if (found && engine_bind(engine, &here->there, &here->group, socket) == 0)
            return true;
        engine_pause(engine);
    }
    return false;
}

/* ---- sleeping ---- */

void engine_pause(struct engine *engine)
{
    engine_sleep(engine, NULL, -1, clock_monotonic_ns() + again_ns);
}

void engine_sleep(struct engine *engine, const struct mirror_socket *socket, int other_fd, uint64_t until_ns)
{
    struct pollfd polled[4] = {{.fd = engine->event_fd, .events = POLLIN},
                               {.fd = other_fd, .events = POLLIN}};
    nfds_t count = 2;
    int descriptors[2], sockets = socket == NULL ? 0 : mirror_socket_descriptors(socket, descriptors);
    for (int i = 0; i < sockets; i++)
        polled[count++] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    uint64_t left_ns = clock_left_ns(until_ns);
    struct timespec left = {(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)};
    (void)ppoll(polled, count, until_ns == UINT64_MAX ? NULL : &left, NULL);
}

void engine_random(void *bytes, size_t count)
{
    ssize_t got = getrandom(bytes, count, 0);
    assert(got == (ssize_t)count); /* so few come whole (getrandom(2)) */
    (void)got;
}
